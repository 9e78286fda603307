//! Filters: which events are counted.
//!
//! Comes in: the `filters` of a query. Goes out: a checked tree and its SQL. The tree is asked of every
//! event: an `event:` leaf about the event itself, a `visit:` leaf about the visit it belongs to, and
//! `has_done` whether any event of that visit is so, wherever in the visit it stands. A visit is counted
//! where at least one of its events is, and is then described as a whole.

mod sql;

use regex_syntax::ast::parse::Parser;
use serde_json::Value;

use super::dimension::{Dimension, EventField, NOT_SET, VisitField};
use super::period::Step;
use super::request::Refusal;

/// Bounds that keep a statement small: deeper or wider than any segment that people make.
const MAX_DEPTH: usize = 8;
const MAX_LEAVES: usize = 100;
const MAX_VALUES: usize = 500;
const MAX_VALUE_BYTES: usize = 2_000;

/// A checked filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// Not it.
    Not(Box<Filter>),
    /// Some event of the visit is so; with `false`, none is.
    Done(bool, Box<Filter>),
    /// One question.
    Leaf(Leaf),
}

/// One question about one dimension: any of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    operator: Operator,
    dimension: Dimension,
    values: Vec<String>,
    is_case_sensitive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Contains,
    ContainsNot,
    Matches,
    MatchesNot,
}

impl Operator {
    fn parse(word: &str) -> Option<Operator> {
        Some(match word {
            "is" => Operator::Is,
            "is_not" => Operator::IsNot,
            "contains" => Operator::Contains,
            "contains_not" => Operator::ContainsNot,
            "matches" => Operator::Matches,
            "matches_not" => Operator::MatchesNot,
            _ => return None,
        })
    }

    fn is_negative(self) -> bool {
        matches!(
            self,
            Operator::IsNot | Operator::ContainsNot | Operator::MatchesNot
        )
    }
}

/// Reads `filters`, a list of which all must hold.
///
/// # Errors
/// The first thing wrong, with its place.
pub(super) fn parse(filters: &Value) -> Result<Filter, Refusal> {
    let mut n_leaves = 0;
    let all = array(filters, "filters")?;
    let parsed = all.iter().enumerate().map(|(index, filter)| {
        parse_one(
            filter,
            &format!("filters[{index}]"),
            0,
            false,
            &mut n_leaves,
        )
    });
    Ok(Filter::And(parsed.collect::<Result<_, _>>()?))
}

fn parse_one(
    filter: &Value,
    key: &str,
    depth: usize,
    is_done: bool,
    n_leaves: &mut usize,
) -> Result<Filter, Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::new(
            key,
            filter,
            format!("is nested more than {MAX_DEPTH} deep"),
        ));
    }
    let parts = array(filter, key)?;
    let Some(word) = parts.first().and_then(Value::as_str) else {
        return Err(Refusal::new(key, filter, "must begin with an operator"));
    };
    let below = |place: String| {
        move |value: &Value, n: &mut usize, is_done: bool| {
            parse_one(value, &place, depth + 1, is_done, n)
        }
    };
    let operand = || match parts {
        [_, operand] => Ok(operand),
        _ => Err(Refusal::new(
            key,
            filter,
            format!("{word} takes one operand"),
        )),
    };
    match word {
        "and" | "or" => {
            let mut list = Vec::new();
            for (index, value) in array(operand()?, &format!("{key}[1]"))?.iter().enumerate() {
                list.push(below(format!("{key}[1][{index}]"))(
                    value, n_leaves, is_done,
                )?);
            }
            if list.is_empty() {
                return Err(Refusal::new(key, filter, format!("{word} of nothing")));
            }
            Ok(if word == "and" {
                Filter::And(list)
            } else {
                Filter::Or(list)
            })
        }
        "not" => {
            let inner = below(format!("{key}[1]"))(operand()?, n_leaves, is_done)?;
            Ok(Filter::Not(Box::new(inner)))
        }
        "has_done" | "has_not_done" if is_done => {
            Err(Refusal::new(key, filter, "has_done within has_done"))
        }
        "has_done" | "has_not_done" => {
            let inner = below(format!("{key}[1]"))(operand()?, n_leaves, true)?;
            Ok(Filter::Done(word == "has_done", Box::new(inner)))
        }
        _ => {
            *n_leaves += 1;
            within_leaves(*n_leaves, key, filter)?;
            let leaf = parse_leaf(parts, word, key, is_done)?;
            // Each pattern is compiled by itself, and counts as a question of its own.
            if matches!(leaf.operator, Operator::Matches | Operator::MatchesNot) {
                *n_leaves += leaf.values.len() - 1;
                within_leaves(*n_leaves, key, filter)?;
            }
            Ok(Filter::Leaf(leaf))
        }
    }
}

fn within_leaves(n_leaves: usize, key: &str, filter: &Value) -> Result<(), Refusal> {
    if n_leaves > MAX_LEAVES {
        let reason = format!("is more than {MAX_LEAVES} questions; each pattern is one");
        return Err(Refusal::new(key, filter, reason));
    }
    Ok(())
}

fn parse_leaf(parts: &[Value], word: &str, key: &str, is_done: bool) -> Result<Leaf, Refusal> {
    let Some(operator) = Operator::parse(word) else {
        let reason = "is no operator; there are is, is_not, contains, contains_not, matches, \
            matches_not, and, or, not, has_done, has_not_done";
        return Err(Refusal::new(format!("{key}[0]"), word, reason));
    };
    let (name, values, modifiers) = match parts {
        [_, name, values] => (name, values, None),
        [_, name, values, modifiers] => (name, values, Some(modifiers)),
        _ => {
            let reason = "must be [operator, dimension, [values]]";
            return Err(Refusal::new(key, Value::from(parts.to_vec()), reason));
        }
    };
    let name_key = format!("{key}[1]");
    let text = name.as_str().unwrap_or_default();
    let dimension = Dimension::parse(text, Step::Day)
        .map_err(|reason| Refusal::new(&name_key, name, reason))?;
    let refused = match &dimension {
        Dimension::Time(_) => Some("time cannot be filtered; narrow date_range"),
        Dimension::Event(EventField::Props) => Some(
            "is many names at once; ask event:props:NAME is_not (not set) for events that carry NAME",
        ),
        Dimension::Visit(_) if is_done => Some("has_done asks about events, not about visits"),
        Dimension::Event(EventField::Goal)
            if !matches!(operator, Operator::Is | Operator::IsNot) =>
        {
            Some("goals are named in full: use is or is_not")
        }
        _ => None,
    };
    if let Some(reason) = refused {
        return Err(Refusal::new(&name_key, name, reason));
    }
    let is_case_sensitive = match modifiers {
        None => true,
        Some(modifiers) => case(modifiers, &format!("{key}[3]"))?,
    };
    let values = parse_values(values, operator, &format!("{key}[2]"))?;
    Ok(Leaf {
        operator,
        dimension,
        values,
        is_case_sensitive,
    })
}

fn parse_values(values: &Value, operator: Operator, key: &str) -> Result<Vec<String>, Refusal> {
    let written = array(values, key)?;
    if written.is_empty() || written.len() > MAX_VALUES {
        let reason = format!("must hold 1 to {MAX_VALUES} values");
        return Err(Refusal::new(key, written.len(), reason));
    }
    let mut texts = Vec::with_capacity(written.len());
    for (index, value) in written.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let text = match value.as_str() {
            Some(text) if text.len() <= MAX_VALUE_BYTES => text,
            Some(_) => {
                let reason = format!("is longer than {MAX_VALUE_BYTES} bytes");
                return Err(Refusal::new(key, "…", reason));
            }
            None => return Err(Refusal::new(key, value, "must be text")),
        };
        match operator {
            // Both engines read RE2's syntax; what only one of them takes, ClickHouse refuses by name.
            Operator::Matches | Operator::MatchesNot => {
                // Read, and not compiled, which takes a thousand times as long and would hold up the beacons: ClickHouse
                // does, within the query's limits.
                if let Err(error) = Parser::new().parse(text) {
                    let reason = error.to_string();
                    let last = reason.lines().last().unwrap_or_default().to_owned();
                    return Err(Refusal::new(
                        key,
                        value,
                        format!("is no regular expression: {last}"),
                    ));
                }
            }
            Operator::Contains | Operator::ContainsNot if text.is_empty() => {
                return Err(Refusal::new(key, value, "everything contains nothing"));
            }
            _ => {}
        }
        texts.push(if text == NOT_SET {
            String::new()
        } else {
            text.to_owned()
        });
    }
    Ok(texts)
}

fn case(modifiers: &Value, key: &str) -> Result<bool, Refusal> {
    let wrong = || {
        Refusal::new(
            key,
            modifiers,
            "must be {\"case_sensitive\": true or false}",
        )
    };
    let object = modifiers.as_object().ok_or_else(wrong)?;
    match (
        object.len(),
        object.get("case_sensitive").and_then(Value::as_bool),
    ) {
        (0, _) => Ok(true),
        (1, Some(is_sensitive)) => Ok(is_sensitive),
        _ => Err(wrong()),
    }
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], Refusal> {
    let list = value.as_array().map(Vec::as_slice);
    list.ok_or_else(|| Refusal::new(key, value, "must be a list"))
}

impl Filter {
    /// Tells whether it lets everything through, by having no question.
    pub fn is_empty(&self) -> bool {
        matches!(self, Filter::And(list) if list.iter().all(Filter::is_empty))
    }

    /// Collects what it must know of visits.
    pub(super) fn visit_fields(&self, fields: &mut Vec<VisitField>) {
        match self {
            Filter::And(list) | Filter::Or(list) => {
                list.iter().for_each(|filter| filter.visit_fields(fields));
            }
            Filter::Not(filter) => filter.visit_fields(fields),
            // The question within is about events.
            Filter::Done(..) => {}
            Filter::Leaf(leaf) => {
                if let Dimension::Visit(field) = leaf.dimension {
                    fields.push(field);
                }
            }
        }
    }

    /// Tells whether two events of one visit can fare differently.
    pub(super) fn is_of_event(&self) -> bool {
        match self {
            Filter::And(list) | Filter::Or(list) => list.iter().any(Filter::is_of_event),
            Filter::Not(filter) => filter.is_of_event(),
            Filter::Done(..) => false,
            Filter::Leaf(leaf) => leaf.dimension.is_of_event(),
        }
    }

    /// Returns the filter without its questions about goals: what a conversion rate is of. `None` where
    /// a goal stands under `or`, `not` or `has_done`, and cannot be taken out.
    pub(super) fn without_goals(&self) -> Option<Filter> {
        match self {
            Filter::And(list) => {
                let rest = list.iter().filter(|filter| !filter.is_goal());
                rest.map(Filter::without_goals)
                    .collect::<Option<_>>()
                    .map(Filter::And)
            }
            filter if filter.has_goal() => None,
            filter => Some(filter.clone()),
        }
    }

    /// Tells whether it asks what a visit has done.
    pub(super) fn has_done(&self) -> bool {
        match self {
            Filter::And(list) | Filter::Or(list) => list.iter().any(Filter::has_done),
            Filter::Not(filter) => filter.has_done(),
            Filter::Done(..) => true,
            Filter::Leaf(_) => false,
        }
    }

    /// Tells whether it asks about a goal anywhere.
    pub(super) fn has_goal(&self) -> bool {
        match self {
            Filter::And(list) | Filter::Or(list) => list.iter().any(Filter::has_goal),
            Filter::Not(filter) | Filter::Done(_, filter) => filter.has_goal(),
            Filter::Leaf(_) => self.is_goal(),
        }
    }

    fn is_goal(&self) -> bool {
        matches!(self, Filter::Leaf(leaf) if leaf.dimension == Dimension::Event(EventField::Goal))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Compiled, they took minutes, beside the beacons.
    #[test]
    fn patterns_are_read_and_not_compiled() {
        let patterns: Vec<String> = (0..450).map(|n| format!("\\w{{90}}{n}")).collect();
        let began = std::time::Instant::now();
        let filters = json!([["matches", "event:page", patterns]]);
        let refused = parse(&filters).unwrap_err().reason;
        assert!(refused.contains("more than 100 questions"), "{refused}");
        // As many as are taken.
        parse(&json!([["matches", "event:page", patterns[..100]]])).unwrap();
        let many = vec![json!(["matches", "event:page", patterns[..40]]); 3];
        assert!(parse(&json!(many)).is_err());
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[test]
    fn a_refusal_names_the_place_and_the_reason() {
        let deep = (0..20).fold(json!(["is", "event:page", ["/"]]), |inner, _| {
            json!(["not", inner])
        });
        for (filters, key, reason) in [
            (json!({}), "filters", "must be a list"),
            (json!([7]), "filters[0]", "must be a list"),
            (json!([[]]), "filters[0]", "begin with an operator"),
            (
                json!([["like", "event:page", ["x"]]]),
                "filters[0][0]",
                "no operator",
            ),
            (
                json!([["is", "event:visitor", ["x"]]]),
                "filters[0][1]",
                "no dimension",
            ),
            (
                json!([["is", "time:day", ["x"]]]),
                "filters[0][1]",
                "date_range",
            ),
            (
                json!([["is", "event:page", "x"]]),
                "filters[0][2]",
                "must be a list",
            ),
            (
                json!([["is", "event:page", []]]),
                "filters[0][2]",
                "1 to 500",
            ),
            (
                json!([["is", "event:page", [7]]]),
                "filters[0][2][0]",
                "must be text",
            ),
            (
                json!([["is", "event:page"]]),
                "filters[0]",
                "[operator, dimension, [values]]",
            ),
            (
                json!([["matches", "event:page", ["("]]]),
                "filters[0][2][0]",
                "regular expression",
            ),
            (
                json!([["contains", "event:page", [""]]]),
                "filters[0][2][0]",
                "contains nothing",
            ),
            (
                json!([["is", "event:page", ["x"], {"cs": 1}]]),
                "filters[0][3]",
                "case_sensitive",
            ),
            (json!([["and", []]]), "filters[0]", "of nothing"),
            (
                json!([["not", ["is", "event:goal", ["x"]], 1]]),
                "filters[0]",
                "one operand",
            ),
            (
                json!([["matches", "event:goal", ["x"]]]),
                "filters[0][1]",
                "named in full",
            ),
            (
                json!([["has_done", ["is", "visit:os", ["x"]]]]),
                "filters[0][1][1]",
                "events",
            ),
            (
                json!([["has_done", ["has_done", ["is", "event:page", ["x"]]]]]),
                "filters[0][1]",
                "within",
            ),
            (
                json!([deep]),
                "filters[0][1][1][1][1][1][1][1][1][1]",
                "nested",
            ),
        ] {
            let refusal = parse(&filters).expect_err(key);
            assert_eq!(refusal.key, key);
            assert!(refusal.reason.contains(reason), "{}", refusal.reason);
        }
    }

    #[test]
    fn goals_can_be_taken_out_where_they_stand_alone() {
        let read = |filters: &Value| parse(filters).unwrap();
        let goal = json!(["is", "event:goal", ["Buy"]]);
        let page = json!(["is", "event:page", ["/"]]);
        assert_eq!(
            read(&json!([goal, page])).without_goals(),
            Some(read(&json!([page])))
        );
        assert_eq!(
            read(&json!([["and", [goal]]]))
                .without_goals()
                .map(|f| f.is_empty()),
            Some(true)
        );
        assert_eq!(read(&json!([["or", [goal, page]]])).without_goals(), None);
    }
}
