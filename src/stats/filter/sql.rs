//! A [`Filter`] as SQL over the columns of an event and the `v_…` of its visit.

use super::{Filter, Leaf, Operator};
use crate::stats::dimension::{Dimension, EventField, goals_sql};
use crate::stats::literal::{list, literal};

impl Filter {
    /// Returns its SQL over the columns of an event and the `v_…` of its visit. `whole` selects all events
    /// of the visits in question, for `has_done`.
    pub(in crate::stats) fn sql(&self, whole: &str) -> String {
        let join = |list: &[Filter], word: &str| {
            let parts: Vec<String> = list.iter().map(|filter| filter.sql(whole)).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Filter::And(list) if list.is_empty() => "1".into(),
            Filter::And(list) => join(list, " AND "),
            Filter::Or(list) => join(list, " OR "),
            Filter::Not(filter) => format!("(NOT {})", filter.sql(whole)),
            Filter::Done(is_done, filter) => {
                let word = if *is_done { "IN" } else { "NOT IN" };
                let inner = filter.sql(whole);
                format!("(visit {word} (SELECT visit FROM events WHERE {whole} AND {inner}))")
            }
            Filter::Leaf(leaf) => leaf.sql(),
        }
    }
}

impl Leaf {
    fn sql(&self) -> String {
        let column = match &self.dimension {
            Dimension::Event(EventField::Goal) => return self.negated(self.goals()),
            Dimension::Event(field) => field.sql(),
            Dimension::Visit(field) => field.alias(),
            // Refused when the filter was read; asks nothing.
            Dimension::Time(_) => return "1".into(),
        };
        let any = |question: &dyn Fn(&str) -> String| {
            let parts: Vec<String> = self.values.iter().map(|value| question(value)).collect();
            format!("({})", parts.join(" OR "))
        };
        let sql = match self.operator {
            Operator::Is | Operator::IsNot if self.is_case_sensitive => {
                format!("({column} IN {})", list(&self.values))
            }
            Operator::Is | Operator::IsNot => {
                any(&|value| format!("lowerUTF8({column}) = lowerUTF8({})", literal(value)))
            }
            Operator::Contains | Operator::ContainsNot => {
                let function = if self.is_case_sensitive {
                    "position"
                } else {
                    "positionCaseInsensitiveUTF8"
                };
                any(&|value| format!("{function}({column}, {}) > 0", literal(value)))
            }
            Operator::Matches | Operator::MatchesNot => {
                let flag = if self.is_case_sensitive { "" } else { "(?i)" };
                any(&|value| format!("match({column}, {})", literal(&format!("{flag}{value}"))))
            }
        };
        self.negated(sql)
    }

    fn goals(&self) -> String {
        goals_sql(self.values.iter().map(String::as_str))
    }

    fn negated(&self, sql: String) -> String {
        if self.operator.is_negative() {
            format!("(NOT {sql})")
        } else {
            sql
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::stats::filter::parse;

    fn sql(filters: &Value) -> String {
        parse(filters).unwrap().sql("site = 'portal'")
    }

    #[test]
    fn a_filter_becomes_sql() {
        for (filters, expected) in [
            (json!([]), "1"),
            (
                json!([["is", "event:page", ["/a", "/b"]]]),
                "((path IN ('/a', '/b')))",
            ),
            (
                json!([["is_not", "visit:source", ["(not set)"]]]),
                "((NOT (v_source IN (''))))",
            ),
            (
                json!([["contains", "event:props:it's", ["x"], {"case_sensitive": false}]]),
                r"((positionCaseInsensitiveUTF8(props['it\x27s'], 'x') > 0))",
            ),
            (
                json!([[
                    "or",
                    [
                        ["matches", "event:page", ["^/a"]],
                        ["not", ["is", "visit:os", ["x"]]]
                    ]
                ]]),
                r"(((match(path, '\x5E/a')) OR (NOT (v_os IN ('x')))))",
            ),
            (
                json!([[
                    "has_not_done",
                    ["is", "event:goal", ["Buy", "Visit /thanks"]]
                ]]),
                "((visit NOT IN (SELECT visit FROM events WHERE site = 'portal' AND \
                 ((name = 'Buy' AND name NOT IN ('pageview', 'engagement', 'web_vitals')) OR \
                 (name = 'pageview' AND path = '/thanks')))))",
            ),
        ] {
            assert_eq!(sql(&filters), expected);
        }
    }
}
