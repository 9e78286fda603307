//! Closed days from `daily`: finished counts, added up, with what is counted from the events of open days.
//!
//! Rows that are folded are counted, not added up, as everywhere: `daily` says of its small rows which visitors they are
//! (`few`). Where a larger one has to be folded, who they are is not known: the answer says `is_inexact`, and the query is
//! asked again of `events`.

use super::fold::MOST;
use super::visits::numbered;
use super::{Form, Needs, Spans, adds_up, daily_column};
use crate::retention::derived::sql::{FEW, HOURS, PROPS, VITALS};
use crate::retention::derived::sums::MONTH;
use crate::stats::dimension::{Dimension, EventField, VisitField};
use crate::stats::literal::{list, literal};
use crate::stats::metric::{Metric, Part, Vital};
use crate::stats::period::Step;
use crate::stats::sql::events::Events;
use crate::stats::sql::together::{Placed, apart};
use crate::stats::sql::{Counting, named_or_not};

/// What `daily` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stats) enum Dimensioned {
    Whole,
    /// One breakdown, by one or two dimensions.
    By(Vec<Dimension>),
    /// Several of them in one statement; the first key is their place.
    Each(Vec<Vec<Dimension>>),
}

impl Dimensioned {
    /// Keys of a row, besides time.
    fn width(&self) -> usize {
        match self {
            Dimensioned::Whole => 0,
            Dimensioned::By(dimensions) => dimensions.len(),
            Dimensioned::Each(sets) => sets.iter().map(Vec::len).max().unwrap_or(1),
        }
    }
}

/// Visitors of a row are listed up to so many: only rows that are folded need it, and these are small.
const MOST_LISTED: u64 = 1_000;

/// The aggregate function that lists those of closed days, each of whom is in a day's row once.
const LISTED: &str = "groupArrayArray(1000)";

/// The aggregate function of a vital. Its states are passed on: lists of all values, made and made again, took half the time
/// of a year.
const PERCENTILE: &str = "quantileExactArray";

/// The hours of the week.
const WEEK: [Dimension; 2] = [
    Dimension::Visit(VisitField::Weekday),
    Dimension::Visit(VisitField::Hour),
];

/// The properties of all events.
const NAMED_PROPS: [Dimension; 2] = [
    Dimension::Event(EventField::Name),
    Dimension::Event(EventField::Props),
];

/// The first and the second value of a row by two dimensions: what was folded has no space in it.
const PAIR: [&str; 2] = [
    "if(value = '(other)', value, decodeURLComponent(substring(value, 1, position(value, ' ') - 1)))",
    "if(value = '(other)', value, substring(value, position(value, ' ') + 1))",
];

/// Where a vital stands in `vital_visitors` and `vital_few`.
fn bit(vital: Vital) -> usize {
    let column = vital.column();
    VITALS.iter().position(|name| *name == column).unwrap_or(0)
}

/// The vitals that are asked for.
pub(super) fn vitals(parts: &[Part]) -> impl Iterator<Item = Vital> {
    parts.iter().filter_map(|part| match part {
        Part::Vital(vital) => Some(*vital),
        _ => None,
    })
}

/// Of the visitors of a small row, those who told a vital.
pub(super) fn who_told(vital: Vital) -> String {
    let bit = bit(vital);
    format!("arrayMap(told -> told.1, arrayFilter(told -> bitTest(told.2, {bit}), s_told))")
}

/// What is counted of the cells of open days, as `o_…`.
fn opened(parts: &[Part], is_split: bool, is_parted: bool, listed: &str) -> Vec<String> {
    let mut figures = Vec::new();
    for part in parts {
        let (function, arguments) = part.aggregate(is_split);
        let name = part.name();
        match part {
            Part::Scroll => {
                figures.push(format!("toUInt64(ifNull(sum({arguments}), 0)) AS o_{name}"));
                figures.push(format!("toUInt64(count({arguments})) AS o_{name}_visits"));
            }
            Part::Vital(_) => {
                figures.push(format!("{PERCENTILE}State(0.75)({arguments}) AS o_{name}"));
                if is_parted {
                    figures.push(format!("groupArrayArray({arguments}) AS o_{name}_told"));
                }
            }
            _ => figures.push(format!("toUInt64({function}({arguments})) AS o_{name}")),
        }
    }
    let bits: Vec<String> = vitals(parts)
        .map(|vital| format!("{} * notEmpty(c_{})", 1u32 << bit(vital), vital.name()))
        .collect();
    if is_parted && !bits.is_empty() {
        figures.push(format!(
            "{listed}([(c_visitor, toUInt8({}))]) AS o_told",
            bits.join(" + ")
        ));
    }
    if is_parted {
        figures.push(format!(
            "{listed}([c_visitor]) AS o_who, toUInt64(0) AS o_final, toUInt8(0) AS o_cut"
        ));
    }
    figures
}

/// What is added up of the rows of closed days, as `o_…`.
fn closed(part: Part, is_parted: bool) -> Vec<String> {
    let name = part.name();
    match part {
        Part::Vital(vital) => {
            let column = vital.column();
            let all = format!("{PERCENTILE}State(0.75)({column}) AS o_{name}");
            let listed = format!("groupArrayArrayIf({column}, visitors < {MOST}) AS o_{name}_told");
            [all]
                .into_iter()
                .chain(is_parted.then_some(listed))
                .collect()
        }
        Part::VitalVisitors(vital) => {
            let nth = bit(vital) + 1;
            vec![format!("toUInt64(sum(vital_visitors[{nth}])) AS o_{name}")]
        }
        // Nothing else is asked for: `dimensioned`.
        _ => {
            let column = daily_column(part).unwrap_or("0");
            let sum = format!("sum({column}) AS o_{name}");
            let visits = "sum(scroll_visits) AS o_scroll_visits".to_owned();
            let is_deep = part == Part::Scroll;
            [sum].into_iter().chain(is_deep.then_some(visits)).collect()
        }
    }
}

impl Counting<'_> {
    /// Chooses how closed days can be answered.
    pub(in crate::stats) fn form(&self) -> Form {
        let query = self.query;
        if !adds_up(&query.site, self.range) || self.k > FEW {
            return Form::Events;
        }
        let parts = self.parts();
        if let Some(dimensioned) = self.dimensioned(&parts) {
            let is_by =
                |pair: &[Dimension]| matches!(&dimensioned, Dimensioned::By(of) if of == pair);
            let needs = Needs {
                vitals: parts.iter().any(|part| matches!(part, Part::Vital(_))),
                pairs: is_by(&NAMED_PROPS),
                hours: is_by(&WEEK),
            };
            return Form::Daily(dimensioned, needs);
        }
        match self.is_of_visits(&self.way(&parts), &parts) {
            true => Form::Visits,
            false => Form::Events,
        }
    }

    fn dimensioned(&self, parts: &[Part]) -> Option<Dimensioned> {
        let query = self.query;
        let others: Vec<Dimension> = query
            .dimensions
            .iter()
            .filter(|d| d.step().is_none())
            .cloned()
            .collect();
        let is_coarse = query
            .dimensions
            .iter()
            .filter_map(Dimension::step)
            .all(|step| step >= Step::Day);
        if !query.filter.is_empty() || !is_coarse {
            return None;
        }
        let is_vital = |part: &Part| matches!(part, Part::Vital(_) | Part::VitalVisitors(_));
        let is_kept = |part: &Part| daily_column(*part).is_some() || is_vital(part);
        if others.is_empty() {
            return parts.iter().all(is_kept).then_some(Dimensioned::Whole);
        }
        use EventField::{Currency, Goal, Hostname, Name, Page, Prop, Props};
        let is_of_event = others.iter().any(|d| matches!(d, Dimension::Event(_)));
        let is_there = |part: &Part| match part {
            // Whoever scrolled in several folded rows is not known.
            Part::Scroll | Part::ScrollVisitors => false,
            Part::Vital(_) | Part::VitalVisitors(_) => others == [Dimension::Event(Page)],
            // A visit may have several pages: those of folded rows cannot be added up.
            _ if is_of_event => matches!(part, Part::Visitors | Part::Pageviews | Part::Events),
            _ => daily_column(*part).is_some(),
        };
        // Visitors of all rows together are not the whole.
        let is_share = query.metrics.contains(&Metric::Percentage);
        let is_known = match &others[..] {
            [Dimension::Event(Page | Hostname)] => true,
            [Dimension::Event(Name | Goal)] => !is_share,
            [Dimension::Event(Currency | Prop(_) | Props)] => false,
            [Dimension::Visit(field)] => field.is_daily(),
            pair if pair == WEEK => true,
            pair if pair == NAMED_PROPS => !is_share,
            _ => false,
        };
        (is_known && parts.iter().all(is_there)).then_some(Dimensioned::By(others))
    }

    /// Visitors of the whole site.
    pub(in crate::stats) fn whole(&self, events: &Events<'_>) -> String {
        let plan = self.plan;
        let open = match plan.open.as_ref().is_some_and(|open| open.is_empty()) {
            true => "toUInt64(0)".to_owned(),
            false => format!(
                "assumeNotNull((SELECT uniqExact(visitor) FROM events WHERE {}))",
                events.selected()
            ),
        };
        let days = plan.counted.and(&plan.gone);
        if days.is_empty() {
            return open;
        }
        format!(
            "({open} + assumeNotNull((SELECT sum(visitors) FROM daily WHERE site = {} AND dimension = '' AND {})))",
            literal(self.query.site.id.as_str()),
            days.sql(),
        )
    }

    /// How visitors of open days are listed, who may be in a row by several events: all of them, where nothing of `daily`
    /// could be counted from `events` instead.
    fn listed(&self) -> String {
        match self.are_all_listed() {
            true => "groupUniqArrayArray".into(),
            false => format!("groupUniqArrayArray({MOST_LISTED})"),
        }
    }

    fn are_all_listed(&self) -> bool {
        self.plan.counted.is_empty()
    }

    /// Keys of a row.
    pub(super) fn n_keys(&self, dimensioned: &Dimensioned) -> usize {
        match dimensioned {
            Dimensioned::Each(_) => dimensioned.width() + 1,
            Dimensioned::Whole | Dimensioned::By(_) => self.query.dimensions.len(),
        }
    }

    /// The link `rows`, of counts, and the links before it.
    pub(in crate::stats) fn daily_rows(
        &self,
        dimensioned: &Dimensioned,
        parts: &[Part],
        events: &Events<'_>,
    ) -> Vec<String> {
        let plan = self.plan;
        let is_parted = *dimensioned != Dimensioned::Whole;
        let keys: Vec<String> = (0..self.n_keys(dimensioned))
            .map(|i| format!("k{i}"))
            .collect();
        let group = match keys.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", keys.join(", ")),
        };
        let mut links = Vec::new();
        let mut sources = vec![self.closed(dimensioned, parts, &group)];
        if plan.open.as_ref().is_none_or(|open| !open.is_empty()) {
            if let Dimensioned::Each(sets) = dimensioned {
                sources.extend(self.opened_each(sets, parts, events));
            } else {
                let way = self.way(parts);
                links.extend(self.cells(&way, events));
                let mut figures = keys.clone();
                figures.extend(opened(
                    parts,
                    way.is_split(self.query),
                    is_parted,
                    &self.listed(),
                ));
                sources.push(format!("SELECT {} FROM cells{group}", figures.join(", ")));
            }
        }
        let mut figures = keys;
        for part in parts {
            let name = part.name();
            match part {
                Part::Vital(_) => {
                    figures.push(format!(
                        "{PERCENTILE}MergeState(0.75)(o_{name}) AS s_{name}"
                    ));
                    if is_parted {
                        figures.push(format!("groupArrayArray(o_{name}_told) AS {name}_told"));
                    }
                }
                _ => figures.push(format!("sum(o_{name}) AS n_{name}")),
            }
            if *part == Part::Scroll {
                figures.push(format!("sum(o_{name}_visits) AS n_{name}_visits"));
            }
        }
        if is_parted && vitals(parts).next().is_some() {
            figures.push("groupArrayArray(o_told) AS s_told".into());
        }
        if is_parted {
            figures.push(format!(
                "groupArrayArray(o_who) AS s_visitors, sum(o_final) AS n_final, \
                 max(o_cut){} AS is_cut",
                match self.are_all_listed() {
                    true => String::new(),
                    false => format!(" OR sum(o_visitors) >= {MOST_LISTED}"),
                }
            ));
        }
        links.push(format!(
            "rows AS (SELECT {} FROM ({}){group})",
            figures.join(", "),
            sources.join(" UNION ALL ")
        ));
        links
    }

    /// The counts of open days: one reading for all breakdowns by what visits are, and one for all by what events are.
    fn opened_each(
        &self,
        sets: &[Vec<Dimension>],
        parts: &[Part],
        events: &Events<'_>,
    ) -> Vec<String> {
        let width = sets.iter().map(Vec::len).max().unwrap_or(1);
        let is_of_events = |set: &Vec<Dimension>| set.iter().any(Dimension::is_of_event);
        let (of_events, of_visits): (Vec<Placed<'_>>, Vec<Placed<'_>>) = sets
            .iter()
            .enumerate()
            .partition(|(_, set)| is_of_events(set));
        let kinds = [of_visits, of_events].into_iter();
        kinds
            .filter(|placed| !placed.is_empty())
            .map(|placed| {
                let (links, is_split) = self.parted(&placed, width, events);
                let figures = opened(parts, is_split, true, &self.listed()).join(", ");
                let apart = apart(&figures, width);
                format!("SELECT * FROM (WITH {} {apart})", links.join(", "))
            })
            .collect()
    }

    fn closed(&self, dimensioned: &Dimensioned, parts: &[Part], group: &str) -> String {
        let plan = self.plan;
        let query = self.query;
        let months = self.months();
        let mut figures: Vec<String> = Vec::new();
        if let Dimensioned::Each(sets) = dimensioned {
            let is_of = |set: &[Dimension]| match months.is_empty() {
                true => self.of_dimensions(set, ""),
                false => format!(
                    "({} OR {})",
                    self.of_dimensions(set, ""),
                    self.of_dimensions(set, MONTH)
                ),
            };
            let places: Vec<String> = (0..)
                .zip(sets)
                .map(|(i, set): (usize, _)| format!("{}, {i}", is_of(set)))
                .collect();
            figures.push(format!(
                "toUInt8(multiIf({}, 255)) AS k0",
                places.join(", ")
            ));
            let is_pair =
                format!("dimension IN ('{HOURS}', '{PROPS}', '{MONTH}{HOURS}', '{MONTH}{PROPS}')");
            let [first, second] = PAIR.map(named_or_not);
            figures.push(format!(
                "if({is_pair}, {first}, {}) AS k1",
                named_or_not("value")
            ));
            if dimensioned.width() > 1 {
                figures.push(format!("if({is_pair}, {second}, '') AS k2"));
            }
        } else {
            let mut values: Vec<String> = match dimensioned {
                Dimensioned::By(dimensions) if dimensions.len() > 1 => {
                    PAIR.map(named_or_not).to_vec()
                }
                _ => vec![named_or_not("value")],
            };
            for (i, dimension) in query.dimensions.iter().enumerate() {
                let key = match dimension.step() {
                    Some(step) => self.clock(step, "day", ""),
                    None => values.remove(0),
                };
                figures.push(format!("{key} AS k{i}"));
            }
        }
        let is_parted = *dimensioned != Dimensioned::Whole;
        figures.extend(parts.iter().flat_map(|part| closed(*part, is_parted)));
        // Rows of a month are about visitors of all its days, and number them so.
        let (mut told, mut who) = (numbered("bitShiftRight(told, 5)"), "few".to_owned());
        who = format!("arrayMap(who -> {}, {who})", numbered("who"));
        let mut is_listed = "0";
        if !months.is_empty() {
            told = format!("if(startsWith(dimension, '{MONTH}'), bitShiftRight(told, 5), {told})");
            who = format!("arrayConcat({who}, month_few)");
            is_listed = "notEmpty(month_few)";
        }
        if is_parted && vitals(parts).next().is_some() {
            figures.push(format!(
                "{LISTED}(arrayMap(told -> ({told}, toUInt8(bitAnd(told, 31))), vital_few)) AS o_told"
            ));
        }
        if is_parted {
            let gone = plan.gone.sql();
            figures.push(format!(
                "{LISTED}({who}) AS o_who, sumIf(visitors, {gone}) AS o_final, \
                 toUInt8(max(visitors >= {FEW} AND NOT {gone} AND NOT {is_listed})) AS o_cut"
            ));
        }
        let by_day = plan.counted.less(&months).and(&plan.gone);
        let mut rows = self.of_daily(dimensioned, &by_day, "");
        if !months.is_empty() {
            let firsts = months.firsts_of_months();
            rows = format!("({rows} OR {})", self.of_daily(dimensioned, &firsts, MONTH));
        }
        format!(
            "SELECT {} FROM daily WHERE site = {} AND {rows}{group}",
            figures.join(", "),
            literal(query.site.id.as_str()),
        )
    }

    /// The days that are read added up by month. By time, each day is read by itself.
    fn months(&self) -> Spans {
        let is_by_time = self.query.dimensions.iter().any(|d| d.step().is_some());
        match is_by_time {
            true => Spans::default(),
            false => self.plan.months.clone(),
        }
    }

    /// The condition for the rows of days that are asked for.
    fn of_daily(&self, dimensioned: &Dimensioned, days: &Spans, prefix: &str) -> String {
        let rows = match dimensioned {
            Dimensioned::Whole => "dimension = ''".into(),
            Dimensioned::By(dimensions) => self.of_dimensions(dimensions, prefix),
            Dimensioned::Each(sets) => {
                let each = sets.iter().map(|set| self.of_dimensions(set, prefix));
                let each: Vec<String> = each.collect();
                format!("({})", each.join(" OR "))
            }
        };
        format!("({} AND {rows})", days.sql())
    }

    /// The condition for the rows of one breakdown, by day or, with [`MONTH`], by month.
    fn of_dimensions(&self, dimensions: &[Dimension], prefix: &str) -> String {
        if *dimensions != [Dimension::Event(EventField::Goal)] {
            let names: Vec<String> = dimensions.iter().map(Dimension::to_string).collect();
            return format!(
                "dimension = {}",
                literal(&format!("{prefix}{}", names.join(" ")))
            );
        }
        let goals = &self.query.site.goals;
        if goals.is_empty() {
            return format!(
                "dimension = '{prefix}event:name' AND value NOT IN ('pageview', 'engagement', 'web_vitals')"
            );
        }
        let (pages, names): (Vec<&String>, Vec<&String>) =
            goals.iter().partition(|goal| goal.starts_with("Visit "));
        let mut either = vec!["0".to_owned()];
        if !pages.is_empty() {
            either.push(format!(
                "(dimension = '{prefix}event:goal' AND value IN {})",
                list(&pages)
            ));
        }
        if !names.is_empty() {
            either.push(format!(
                "(dimension = '{prefix}event:name' AND value IN {} AND value NOT IN ('pageview', 'engagement', 'web_vitals'))",
                list(&names)
            ));
        }
        format!("({})", either.join(" OR "))
    }

    /// The parts of rows that were folded together, or stand by themselves.
    pub(in crate::stats) fn daily_merges(dimensioned: &Dimensioned, parts: &[Part]) -> Vec<String> {
        let is_parted = *dimensioned != Dimensioned::Whole;
        let mut merges: Vec<String> = parts
            .iter()
            .map(|part| match (part, part.name()) {
                (Part::Visitors, name) if is_parted => format!(
                    "if(is_folded, uniqExactArrayIf(s_visitors, is_folded) + sum(n_final), sum(n_{name})) AS p_{name}"
                ),
                (Part::VitalVisitors(vital), name) if is_parted => format!(
                    "if(is_folded, uniqExactArrayIf({}, is_folded), sum(n_{name})) AS p_{name}",
                    who_told(*vital)
                ),
                (Part::Vital(_), name) => format!(
                    "{PERCENTILE}Merge{}(s_{name}) AS p_{name}",
                    part.parameters()
                ),
                (Part::Scroll, name) => format!(
                    "if(sum(n_{name}_visits) = 0, NULL, sum(n_{name}) / sum(n_{name}_visits)) AS p_{name}"
                ),
                (_, name) => format!("sum(n_{name}) AS p_{name}"),
            })
            .collect();
        merges.push(match is_parted {
            false => "toUInt8(0) AS is_inexact".into(),
            true => "toUInt8(max(is_folded AND is_cut)) AS is_inexact".into(),
        });
        merges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::protect::OTHER;

    #[test]
    fn what_stands_in_daily_is_named_as_its_dimensions_are() {
        let names = |pair: &[Dimension; 2]| format!("{} {}", pair[0], pair[1]);
        assert_eq!(names(&WEEK), HOURS);
        assert_eq!(names(&NAMED_PROPS), PROPS);
        assert!(
            PAIR.iter()
                .all(|value| value.contains(&format!("'{OTHER}'")))
        );
    }
}
