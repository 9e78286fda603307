//! Several breakdowns of one counting in one statement: what a page asks about the same events is read once.
//!
//! Comes in: a counting whose query has the metrics of all breakdowns, and their dimensions. Goes out: one statement, whose
//! rows begin with the place of their breakdown among them. Promises each breakdown what it would be by itself: small rows
//! are folded, low points hidden and rows ordered within one breakdown.

use super::events::{Events, visits};
use super::{Counting, merges, named_or_not, states};
use crate::stats::dimension::{Dimension, EventField};
use crate::stats::protect;
use crate::stats::request::Query;

/// A breakdown with its place among all.
pub(in crate::stats) type Placed<'a> = (usize, &'a Vec<Dimension>);

impl Counting<'_> {
    /// Returns the statement. The query's dimensions are those of all breakdowns, one after the other; either all are of
    /// visits, or all of events.
    pub(in crate::stats) fn together(&self, sets: &[Vec<Dimension>]) -> String {
        let parts = self.parts();
        let events = self.events();
        let width = sets.iter().map(Vec::len).max().unwrap_or(1);
        let mut links = Vec::new();
        if let Some(base) = self.base() {
            links.push(format!("({base}) AS base"));
        }
        let placed: Vec<Placed<'_>> = sets.iter().enumerate().collect();
        let (parted, is_of_events) = self.parted(&placed, width, &events);
        links.extend(parted);
        let states = states(&parts, is_of_events);
        links.push(format!("rows AS ({})", apart(&states, width)));
        let mut merges = merges(&parts, is_of_events);
        merges.push("toUInt8(0) AS is_inexact".into());
        // The breakdown is as a point of time: within it, rows are folded.
        let is_apart: Vec<bool> = (0..=width).map(|i| i == 0).collect();
        let shape = protect::Shape {
            keys: &is_apart,
            k: self.k,
            is_protected: self.is_protected(),
            matched: match self.query.filter.is_empty() {
                true => "toUInt64(0)".into(),
                false if is_of_events => "uniqExactMerge(s_visitors) OVER (PARTITION BY k0)".into(),
                // Every visit is in each of them.
                false => "uniqExactMergeIf(s_visitors, k0 = 0) OVER ()".into(),
            },
            is_counted: false,
            is_together: true,
            spared: None,
            has_amounts: false,
        };
        links.extend(shape.links(&merges));
        links.push(format!("numbered AS ({})", self.numbered_apart(width)));
        self.page(&links, &events)
    }

    /// The links up to `parted`: cells with `breakdowns`, of each its place and values. Tells whether a visit may have several
    /// of these cells in one row. The breakdowns are all of visits, or all of events.
    pub(in crate::stats) fn parted(
        &self,
        sets: &[Placed<'_>],
        width: usize,
        events: &Events<'_>,
    ) -> (Vec<String>, bool) {
        let dimensions = sets.iter().flat_map(|(_, set)| (*set).clone());
        let query = Query {
            dimensions: dimensions.collect(),
            ..self.query.clone()
        };
        let counting = Counting {
            query: &query,
            ..*self
        };
        let parts = self.parts();
        let way = counting.way(&parts);
        let is_split = way.is_split(&query);
        if !is_split {
            let mut links = counting.cells(&way, events);
            links.push(parted_visits(query.dimensions.len(), sets, width));
            return (links, false);
        }
        let mut links = Vec::new();
        let mut from = "events".to_owned();
        if !way.fields.is_empty() {
            let visits = visits(events, &way.fields, false);
            links.push(format!("visits AS ({visits})"));
            from.push_str(" INNER JOIN visits USING (visit)");
        }
        let each: Vec<String> = sets
            .iter()
            .map(|(place, set)| self.breakdowns_of_event(*place, set, width))
            .collect();
        links.push(format!(
            "parted AS (SELECT visit, {}, arrayConcat({}) AS breakdowns FROM {from} WHERE {} AND {})",
            way.columns.join(", "),
            each.join(", "),
            events.selected(),
            self.query.filter.sql(&events.whole()),
        ));
        (links, true)
    }

    /// In which rows of a breakdown an event is.
    fn breakdowns_of_event(&self, place: usize, set: &[Dimension], width: usize) -> String {
        let mut names: Option<&str> = None;
        let mut values = Vec::new();
        let mut only = Vec::new();
        for dimension in set {
            let Dimension::Event(field) = dimension else {
                continue;
            };
            only.extend(field.only(&self.query.site.goals));
            let value = match field {
                EventField::Props => {
                    names = Some("mapKeys(props)");
                    "property".to_owned()
                }
                field => field.sql(),
            };
            values.push(format!("toString({})", named_or_not(&value)));
        }
        values.resize(width, "''".into());
        let row = format!("(toUInt8({place}), {})", values.join(", "));
        let rows = match names {
            Some(names) => format!("arrayMap(property -> {row}, {names})"),
            None => format!("[{row}]"),
        };
        match only.is_empty() {
            true => rows,
            false => format!("if({}, {rows}, [])", only.join(" AND ")),
        }
    }

    fn numbered_apart(&self, width: usize) -> String {
        let dimensions: Vec<String> = (0..=width).map(|i| format!("toString(d{i})")).collect();
        let metrics: Vec<String> = (0..self.query.metrics.len())
            .map(|i| format!("m{i}"))
            .collect();
        let values: Vec<String> = (1..=width).map(|i| format!("d{i}")).collect();
        format!(
            "SELECT CAST([{}], 'Array(String)') AS dimensions, [{}] AS metrics, '' AS currency, \
             row_number() OVER (PARTITION BY d0 ORDER BY is_folded, m0 DESC NULLS LAST, {}) AS position, \
             count() OVER (PARTITION BY d0) AS n_rows, \
             toUInt64(sum(n_folded + is_hidden) OVER (PARTITION BY d0)) AS n_suppressed, matched, \
             toUInt8(max(is_inexact) OVER (PARTITION BY d0)) AS is_inexact FROM (SELECT *, {} FROM priced)",
            dimensions.join(", "),
            metrics.join(", "),
            values.join(", "),
            self.figures(),
        )
    }
}

/// Visits with the values of all breakdowns as `k0, k1, …`, `n` in all, one breakdown's after the other's.
fn parted_visits(n: usize, sets: &[Placed<'_>], width: usize) -> String {
    let mut next = 0;
    let mut breakdowns = Vec::new();
    for (place, set) in sets {
        let own = next..next + set.len();
        let mut values: Vec<String> = own.map(|i| format!("toString(k{i})")).collect();
        values.resize(width, "''".into());
        breakdowns.push(format!("(toUInt8({place}), {})", values.join(", ")));
        next += set.len();
    }
    let keys: Vec<String> = (0..n).map(|i| format!("k{i}")).collect();
    format!(
        "parted AS (SELECT * EXCEPT ({}), [{}] AS breakdowns FROM cells)",
        keys.join(", "),
        breakdowns.join(", ")
    )
}

/// What is read of `parted`: rows of one breakdown each, by `width` dimensions at most.
pub(in crate::stats) fn apart(figures: &str, width: usize) -> String {
    let named: Vec<String> = (0..=width)
        .map(|i| format!("breakdown.{} AS k{i}", i + 1))
        .collect();
    let keys: Vec<String> = (0..=width).map(|i| format!("k{i}")).collect();
    format!(
        "SELECT {}, {figures} FROM parted ARRAY JOIN breakdowns AS breakdown GROUP BY {}",
        named.join(", "),
        keys.join(", ")
    )
}
