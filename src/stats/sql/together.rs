//! Several breakdowns of one counting in one statement: what a page asks about the same events is read once.
//!
//! Comes in: a counting whose query has the metrics of all breakdowns, and their dimensions. Goes out: one statement, whose
//! rows begin with the place of their breakdown among them. Promises each breakdown what it would be by itself: small rows
//! are folded, low points hidden and rows ordered within one breakdown.

use super::events::{Events, visits};
use super::{Counting, Metric, Part, merges, states};
use crate::stats::dimension::{Dimension, EventField, NOT_SET};
use crate::stats::protect;
use crate::stats::request::{Column, Order};

/// A value as it is shown.
pub(in crate::stats) fn named_or_not(value: &str) -> String {
    format!("if({value} = '', '{NOT_SET}', {value})")
}

/// What the first key of a row is, with the dimensions behind it.
fn keys(width: usize) -> Vec<String> {
    (0..=width).map(|i| format!("k{i}")).collect()
}

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
        let is_of_events = sets.iter().flatten().any(Dimension::is_of_event);
        links.extend(match is_of_events {
            true => self.rows_of_events(sets, width, &parts, &events),
            false => self.rows_of_visits(sets, width, &parts, &events),
        });
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
        };
        links.extend(shape.links(&merges));
        links.push(format!("numbered AS ({})", self.numbered_apart(width)));
        self.page(&links, &events)
    }

    fn rows_of_visits(
        &self,
        sets: &[Vec<Dimension>],
        width: usize,
        parts: &[Part],
        events: &Events<'_>,
    ) -> Vec<String> {
        let keys = keys(width).join(", ");
        let lengths: Vec<(usize, usize)> = sets.iter().map(Vec::len).enumerate().collect();
        let mut links = self.cells(&self.way(parts), events);
        links.push(format!(
            "rows AS (SELECT {}, {} FROM ({}) ARRAY JOIN breakdowns AS breakdown GROUP BY {keys})",
            named("breakdown", width),
            states(parts, false),
            parted(self.query.dimensions.len(), &lengths, width),
        ));
        links
    }

    /// In which rows of breakdowns by what events are an event is: an array of the breakdown's place and the values.
    pub(in crate::stats) fn breakdowns_of_events(
        &self,
        sets: &[(usize, &Vec<Dimension>)],
        width: usize,
    ) -> String {
        let each: Vec<String> = sets
            .iter()
            .map(|(place, set)| self.breakdowns_of_event(*place, set, width))
            .collect();
        format!("arrayConcat({})", each.join(", "))
    }

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

    fn rows_of_events(
        &self,
        sets: &[Vec<Dimension>],
        width: usize,
        parts: &[Part],
        events: &Events<'_>,
    ) -> Vec<String> {
        let way = self.way(parts);
        let mut links = Vec::new();
        let mut from = "events".to_owned();
        if !way.fields.is_empty() {
            let visits = visits(events, &way.fields, false);
            links.push(format!("visits AS ({visits})"));
            from.push_str(" INNER JOIN visits USING (visit)");
        }
        let placed: Vec<(usize, &Vec<Dimension>)> = sets.iter().enumerate().collect();
        links.push(format!(
            "cells AS (SELECT visit, {}, {} AS breakdowns FROM {from} WHERE {} AND {})",
            way.columns.join(", "),
            self.breakdowns_of_events(&placed, width),
            events.selected(),
            self.query.filter.sql(&events.whole()),
        ));
        links.push(format!(
            "rows AS (SELECT {}, {} FROM cells ARRAY JOIN breakdowns AS breakdown GROUP BY {})",
            named("breakdown", width),
            states(parts, true),
            keys(width).join(", "),
        ));
        links
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
             toUInt8(max(is_inexact) OVER (PARTITION BY d0)) AS is_inexact FROM (SELECT *, {} FROM shown)",
            dimensions.join(", "),
            metrics.join(", "),
            values.join(", "),
            self.figures(),
        )
    }
}

/// The cells with `breakdowns`: for each of them its place and the values of its dimensions. Of these the cells have `n` in
/// all as `k0, k1, …`, one breakdown's after the other's.
pub(in crate::stats) fn parted(n: usize, sets: &[(usize, usize)], width: usize) -> String {
    let mut next = 0;
    let mut breakdowns = Vec::new();
    for (place, n_dimensions) in sets {
        let own = next..next + n_dimensions;
        let mut values: Vec<String> = own.map(|i| format!("toString(k{i})")).collect();
        values.resize(width, "''".into());
        breakdowns.push(format!("(toUInt8({place}), {})", values.join(", ")));
        next += n_dimensions;
    }
    let keys: Vec<String> = (0..n).map(|i| format!("k{i}")).collect();
    format!(
        "SELECT * EXCEPT ({}), [{}] AS breakdowns FROM cells",
        keys.join(", "),
        breakdowns.join(", ")
    )
}

/// The parts of such a tuple as keys.
pub(in crate::stats) fn named(tuple: &str, width: usize) -> String {
    let keys: Vec<String> = (0..=width)
        .map(|i| format!("{tuple}.{} AS k{i}", i + 1))
        .collect();
    keys.join(", ")
}

/// Tells whether an order is the one that breakdowns have together: the largest first metric on top.
pub(in crate::stats) fn is_natural(order: &[Order], metrics: &[Metric]) -> bool {
    let first = Order {
        column: Column::Metric(0),
        is_descending: true,
    };
    order == [first] && metrics.first() == Some(&Metric::Visitors)
}
