//! A [`Query`] → one SQL statement.
//!
//! Comes in: a checked query, its range and `k`. Goes out: text for ClickHouse in which every word of a
//! client's is a literal (`literal.rs`). The statement is a chain; each link is a plain SELECT over the one before:
//!
//! ```text
//! events ─(by visit)→ visits                       what each visit was, as a whole
//! events ⋈ visits ─(by dimensions and visit)→ cells   what one visit did in one row
//! cells ─(by dimensions)→ rows                     aggregate states
//! rows → folded → merged → shown                   small rows folded, low points hidden (protect.rs)
//! shown → numbered                                 ordered, one page
//! ```
//!
//! Closed days come from roll-ups where these give the same answer (`rollup.rs`): from `visits` in the place of the first
//! link, or from `daily` in the place of everything up to rows.
//!
//! Two short cuts. Where no event of a visit can fare differently from the others (no `event:` dimension or
//! filter, whole days), visits are the cells, and events are read once. Where nothing is asked about what a
//! visit did as a whole, the events themselves are the cells.

pub(super) mod events;
mod spared;
pub(super) mod together;

use self::events::{Events, visits, visits_columns, zone};
use super::dimension::{Dimension, EventField, NOT_SET, VisitField};
use super::metric::{Metric, Part};
use super::period::{Range, Step};
use super::protect;
use super::request::{Column, Query};
use super::rollup::Plan;

/// One counting: a query over one range.
pub(super) struct Counting<'a> {
    pub(super) query: &'a Query,
    pub(super) range: Range,
    /// Which days are read from roll-ups.
    pub(super) plan: &'a Plan,
    /// Fewest visitors of a row that is shown.
    pub(super) k: u32,
    pub(super) limit: u64,
    pub(super) offset: u64,
}

impl Counting<'_> {
    /// Returns the statement.
    pub(super) fn sql(&self) -> String {
        let query = self.query;
        let dimensions = &query.dimensions;
        let parts = self.parts();
        let way = self.way(&parts);
        let is_split = way.is_split(query);
        let keys: Vec<String> = (0..dimensions.len()).map(|i| format!("k{i}")).collect();
        let mut links = Vec::new();

        let events = self.events();
        let dimensioned = self.plan.dimensioned();
        if let Some(base) = self.base() {
            links.push(format!("({base}) AS base"));
        }
        if let Some(dimensioned) = dimensioned {
            links.extend(self.daily_rows(dimensioned, &parts, &events));
        } else {
            links.extend(self.cells(&way, &events));
        }
        let counted = rows(&keys, &parts, is_split);
        match self.bases(&keys) {
            _ if dimensioned.is_some() => {}
            None => links.push(format!("rows AS ({counted})")),
            Some(bases) => {
                links.push(format!("counted AS ({counted})"));
                links.push(format!("bases AS ({bases})"));
                let join = match keys.is_empty() {
                    true => "CROSS JOIN bases".to_owned(),
                    false => format!("LEFT JOIN bases USING ({})", keys.join(", ")),
                };
                links.push(format!(
                    "rows AS (SELECT counted.*, bases.s_base FROM counted {join})"
                ));
            }
        }
        let is_time: Vec<bool> = dimensions.iter().map(|d| d.step().is_some()).collect();
        let shape = protect::Shape {
            keys: &is_time,
            k: self.k,
            is_protected: self.is_protected(),
            matched: match (self.is_matched(), dimensioned) {
                (false, _) => "toUInt64(0)".into(),
                (true, None) => "uniqExactMerge(s_visitors) OVER ()".into(),
                (true, Some(_)) => self.whole(&events),
            },
            is_counted: dimensioned.is_some(),
            is_together: false,
            spared: self.spared(&events),
            has_amounts: query.metrics.iter().any(|metric| metric.is_money())
                && !dimensions.is_empty(),
        };
        let mut merges = merges(&parts, is_split);
        if query.metrics.contains(&Metric::GroupConversionRate) {
            merges.push("uniqExactMerge(s_base) AS p_base".into());
        }
        if let Some(dimensioned) = dimensioned {
            merges = Counting::daily_merges(dimensioned, &parts);
        } else {
            merges.push("toUInt8(0) AS is_inexact".into());
        }
        links.extend(shape.links(&merges));
        links.push(format!("numbered AS ({})", self.numbered()));
        self.page(&links, &events)
    }

    /// The statement: the page that is asked for, of the last of these links.
    fn page(&self, links: &[String], events: &Events<'_>) -> String {
        let everyone = match self.query.filter.is_empty() {
            true => "toUInt64(matched)".into(),
            false => self.whole(events),
        };
        // A breakdown may be about some events alone: whoever has none of them is not spared by the filter.
        let matched = match !self.query.filter.is_empty() && self.is_of_some() {
            true => format!(
                "assumeNotNull(({}))",
                self.matching(&self.query.filter, None, events)
            ),
            false => "matched".into(),
        };
        let page = format!(
            "position > {} AND position <= {}",
            self.offset,
            self.offset + self.limit
        );
        format!(
            "WITH\n{}\nSELECT dimensions, metrics, currency, position, n_rows, n_suppressed, \
             toUInt64({matched}) AS matched, {everyone} AS everyone, is_inexact\nFROM numbered WHERE position = 1 OR ({page}) ORDER BY position",
            links.join(",\n")
        )
    }

    /// Whole-site numbers by day, week or month may be shown however small; everything narrower not.
    fn is_protected(&self) -> bool {
        let step = self.query.dimensions.iter().find_map(Dimension::step);
        !self.query.filter.is_empty()
            || step.is_some_and(|step| step < Step::Day)
            || matches!(self.range, Range::Instants { .. })
    }

    /// The events of its range; of a divided one those of open days.
    pub(super) fn events(&self) -> Events<'_> {
        let only = match self.plan.is_used() {
            true => self.plan.open.as_ref(),
            false => None,
        };
        Events {
            site: &self.query.site,
            range: self.range,
            only,
            stored: self.plan.stored.as_deref(),
        }
    }

    pub(super) fn parts(&self) -> Vec<Part> {
        let metrics = &self.query.metrics;
        let mut parts: Vec<Part> = metrics.iter().flat_map(|m| m.parts()).copied().collect();
        parts.push(Part::Visitors);
        parts.sort();
        parts.dedup();
        parts
    }

    /// Visitors that a conversion rate is of: the same query without its goal.
    fn base(&self) -> Option<String> {
        let query = self.query;
        if !query.metrics.contains(&Metric::ConversionRate) {
            return None;
        }
        let filter = query.filter.without_goals()?;
        let events = self.events();
        if self.plan.is_used() {
            // Without a filter: the whole site.
            return Some(self.whole(&events));
        }
        Some(self.matching(&filter, None, &events))
    }

    /// Visitors of each row that a group's conversion rate is of: the same rows without the goal.
    fn bases(&self, keys: &[String]) -> Option<String> {
        let metrics = &self.query.metrics;
        let is_asked = metrics.contains(&Metric::GroupConversionRate);
        let filter = self.query.filter.without_goals().filter(|_| is_asked)?;
        let query = Query {
            filter,
            metrics: vec![Metric::Visitors],
            ..self.query.clone()
        };
        let counting = Counting {
            query: &query,
            ..*self
        };
        let events = self.events();
        let cells = counting.cells(&counting.way(&[Part::Visitors]), &events);
        let select: String = keys.iter().map(|key| format!("{key}, ")).collect();
        let group = match keys.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", keys.join(", ")),
        };
        Some(format!(
            "WITH {} SELECT {select}uniqExactState(c_visitor) AS s_base FROM cells{group}",
            cells.join(", ")
        ))
    }

    /// Visitors of all rows together are worth their counting only where something is made of them.
    fn is_matched(&self) -> bool {
        !self.query.filter.is_empty() || self.query.metrics.contains(&Metric::Percentage)
    }

    /// Chooses what a cell is.
    pub(super) fn way(&self, parts: &[Part]) -> Way {
        let query = self.query;
        let mut fields = Vec::new();
        query.filter.visit_fields(&mut fields);
        for dimension in &query.dimensions {
            if let Dimension::Visit(field) = dimension {
                fields.push(*field);
            }
        }
        let is_described = parts.iter().any(|part| part.is_of_visit());
        let of_events: Option<Vec<_>> = parts.iter().map(|part| part.event()).collect();
        let events = self.events();
        let is_whole = events.range_is_of_whole_visits()
            && !query.filter.is_of_event()
            && !query.dimensions.iter().any(Dimension::is_of_event);
        let of_groups = || parts.iter().map(|part| part.cell()).collect::<Vec<_>>();
        let (cell, columns) = match of_events {
            Some(columns) if !is_whole || (fields.is_empty() && !is_described) => {
                (Cell::Event, columns)
            }
            _ if is_whole => (Cell::Visit, of_groups()),
            _ => (Cell::VisitInRow, of_groups()),
        };
        let columns = columns.into_iter().flatten();
        let mut columns: Vec<String> = columns
            .map(|(name, sql)| format!("{sql} AS {name}"))
            .collect();
        columns.sort();
        columns.dedup();
        Way {
            cell,
            columns,
            fields,
            is_described,
        }
    }

    pub(super) fn cells(&self, way: &Way, events: &Events<'_>) -> Vec<String> {
        let query = self.query;
        let filter = query.filter.sql(&events.whole());
        let mut columns = way.columns.clone();
        if way.cell == Cell::Visit {
            let keys = self.keys("v_day", "v_began");
            let mut select = visits_columns(&query.site, &way.fields, true);
            select.append(&mut columns);
            if way.is_described {
                let described = [
                    "v_bounce AS c_bounce",
                    "v_duration AS c_duration",
                    "1 AS c_began",
                ];
                select.extend(described.map(str::to_owned));
            }
            let closed = self.closed_visits(&select);
            let mut sources = Vec::new();
            if !events.are_none() {
                // Who has done what is asked of events alone.
                let visit = if closed.is_none() { "visit, " } else { "" };
                sources.push(format!(
                    "SELECT {visit}{} FROM events WHERE {} GROUP BY visit",
                    select.join(", "),
                    events.whole()
                ));
            }
            sources.extend(closed);
            let visits = format!("visits AS ({})", sources.join(" UNION ALL "));
            return vec![
                visits,
                format!("cells AS (SELECT {keys}* FROM visits WHERE {filter})"),
            ];
        }
        let keys = self.keys("day", "ts");
        let mut links = Vec::new();
        let mut from = "events".to_owned();
        if way.is_described || !way.fields.is_empty() {
            links.push(format!(
                "visits AS ({})",
                visits(events, &way.fields, way.is_described)
            ));
            from.push_str(" INNER JOIN visits USING (visit)");
        }
        if way.is_described && way.cell == Cell::Event {
            columns.push(format!("v_bounce AS c_bounce, {} AS c_began", self.began()));
        } else if way.is_described {
            columns.push("any(v_bounce) AS c_bounce, any(v_duration) AS c_duration".into());
            columns.push(format!("max({}) AS c_began", self.began()));
        }
        let only: Vec<String> = query
            .dimensions
            .iter()
            .filter_map(|dimension| match dimension {
                Dimension::Event(field) => field
                    .only(&query.site.goals)
                    .map(|only| format!(" AND {only}")),
                Dimension::Visit(_) | Dimension::Time(_) => None,
            })
            .collect();
        let group = match way.cell {
            Cell::Event => String::new(),
            Cell::Visit | Cell::VisitInRow => {
                let keys: String = (0..query.dimensions.len())
                    .map(|i| format!("k{i}, "))
                    .collect();
                format!(" GROUP BY {keys}visit")
            }
        };
        links.push(format!(
            "cells AS (SELECT {keys}visit, {} FROM {from} WHERE {} AND {filter}{}{group})",
            columns.join(", "),
            events.selected(),
            only.concat(),
        ));
        links
    }

    /// The dimensions as `k0, k1, …`, each with a comma behind it.
    fn keys(&self, day: &str, ts: &str) -> String {
        let dimensions = self.query.dimensions.iter().enumerate();
        let key = |(i, dimension): (usize, &Dimension)| {
            let value = match dimension {
                Dimension::Event(field) => field.sql(),
                Dimension::Visit(field) => field.alias(),
                Dimension::Time(step) => {
                    return format!("{} AS k{i}, ", self.clock(*step, day, ts));
                }
            };
            format!("{} AS k{i}, ", named_or_not(&value))
        };
        dimensions.map(key).collect()
    }

    /// Whether an event lies where its visit began, by the dimensions that can tell.
    fn began(&self) -> String {
        let conditions: Vec<String> = self
            .query
            .dimensions
            .iter()
            .filter_map(|dimension| match dimension {
                Dimension::Event(EventField::Page) => {
                    Some("(v_pageviews > 0 AND path = v_entry_page)".into())
                }
                Dimension::Event(EventField::Hostname) => {
                    Some("(v_pageviews > 0 AND hostname = v_entry_hostname)".into())
                }
                Dimension::Time(step) => Some(format!(
                    "({} = {})",
                    self.clock(*step, "day", "ts"),
                    self.clock(*step, "v_day", "v_began")
                )),
                Dimension::Event(_) | Dimension::Visit(_) => None,
            })
            .collect();
        if conditions.is_empty() {
            "1".into()
        } else {
            conditions.join(" AND ")
        }
    }

    /// A point of time: a date, or the clock's digits as one number (2026110923, 202611092359), which is
    /// quicker to group by than its label. Over whole days an event lies in the day its visit began on: what
    /// came after midnight stands in that day's last hour, so that hours and days agree. Over instants the
    /// clock on the wall decides.
    pub(super) fn clock(&self, step: Step, day: &str, ts: &str) -> String {
        let zone = zone(&self.query.site);
        let is_instants = matches!(self.range, Range::Instants { .. });
        let local = format!("toDate({ts}, {zone})");
        let date = if is_instants { local.as_str() } else { day };
        let (seconds, last, scale) = match step {
            Step::Day => return date.to_owned(),
            Step::Week => return format!("toMonday({date})"),
            Step::Month => return format!("toStartOfMonth({date})"),
            Step::Hour => (10_000, 23, 100),
            Step::Minute => (100, 2_359, 10_000),
        };
        let clock = format!("intDiv(toYYYYMMDDhhmmss({ts}, {zone}), {seconds})");
        if is_instants {
            return clock;
        }
        let day_number = format!("toUInt64(toYYYYMMDD({day})) * {scale}");
        format!(
            "multiIf({local} = {day}, {clock}, {local} > {day}, {day_number} + {last}, {day_number})"
        )
    }

    /// The label of a finished row's key.
    fn label(&self, i: usize) -> String {
        let digits = |from: u8, n: u8| format!("substring(toString(d{i}), {from}, {n})");
        let date = format!(
            "{}, '-', {}, '-', {}",
            digits(1, 4),
            digits(5, 2),
            digits(7, 2)
        );
        match self.query.dimensions[i].step() {
            Some(Step::Hour) => format!("concat({date}, ' ', {}, ':00:00')", digits(9, 2)),
            Some(Step::Minute) => {
                format!(
                    "concat({date}, ' ', {}, ':', {}, ':00')",
                    digits(9, 2),
                    digits(11, 2)
                )
            }
            Some(Step::Day | Step::Week | Step::Month) | None => format!("toString(d{i})"),
        }
    }

    /// The finished metrics, as `m0, m1, …`.
    fn figures(&self) -> String {
        let query = self.query;
        // A figure that few of a row's visitors have is held to the same bound as the row.
        let least = if self.is_protected() || !query.dimensions.is_empty() {
            self.k
        } else {
            1
        };
        let figures: Vec<String> = query
            .metrics
            .iter()
            .enumerate()
            .map(|(i, metric)| {
                let total = match metric {
                    Metric::ConversionRate => "base",
                    _ => "matched",
                };
                let sql = metric.sql(least, total);
                format!("CAST(if(is_hidden, NULL, {sql}), 'Nullable(Float64)') AS m{i}")
            })
            .collect();
        figures.join(", ")
    }

    fn numbered(&self) -> String {
        let query = self.query;
        let currency = match query.metrics.iter().any(|metric| metric.is_money()) {
            true => "arrayStringConcat(arraySort(p_currencies), ' ')",
            false => "''",
        };
        let dimensions: Vec<String> = (0..query.dimensions.len()).map(|i| self.label(i)).collect();
        let metrics: Vec<String> = (0..query.metrics.len()).map(|i| format!("m{i}")).collect();
        format!(
            "SELECT CAST([{}], 'Array(String)') AS dimensions, [{}] AS metrics, {currency} AS currency, \
             row_number() OVER (ORDER BY {}) AS position, count() OVER () AS n_rows, \
             toUInt64(sum(n_folded + is_hidden) OVER ()) AS n_suppressed, matched, \
             toUInt8(max(is_inexact) OVER ()) AS is_inexact FROM (SELECT *, {} FROM priced)",
            dimensions.join(", "),
            metrics.join(", "),
            self.order(),
            self.figures(),
        )
    }

    /// The folded row stands last, but within its own point of time.
    fn order(&self) -> String {
        let mut terms: Vec<String> = Vec::new();
        for order in &self.query.order {
            let (column, is_time) = match order.column {
                Column::Dimension(i) => {
                    (format!("d{i}"), self.query.dimensions[i].step().is_some())
                }
                Column::Metric(i) => (format!("m{i}"), false),
            };
            if !is_time && !terms.iter().any(|term| term == "is_folded") {
                terms.push("is_folded".into());
            }
            let direction = if order.is_descending { " DESC" } else { "" };
            terms.push(format!("{column}{direction} NULLS LAST"));
        }
        terms.push("is_folded".into());
        terms.extend((0..self.query.dimensions.len()).map(|i| format!("d{i}")));
        terms.join(", ")
    }
}

fn rows(keys: &[String], parts: &[Part], is_split: bool) -> String {
    let select: String = keys.iter().map(|key| format!("{key}, ")).collect();
    let group = if keys.is_empty() {
        String::new()
    } else {
        format!(" GROUP BY {}", keys.join(", "))
    };
    let states = states(parts, is_split);
    format!("SELECT {select}{states} FROM cells{group}")
}

/// The aggregate states of a row.
fn states(parts: &[Part], is_split: bool) -> String {
    let states: Vec<String> = parts
        .iter()
        .map(|part| {
            let (function, arguments) = part.aggregate(is_split);
            format!(
                "{function}State{}({arguments}) AS s_{}",
                part.parameters(),
                part.name()
            )
        })
        .collect();
    states.join(", ")
}

/// A value as it is shown.
pub(super) fn named_or_not(value: &str) -> String {
    format!("if({value} = '', '{NOT_SET}', {value})")
}

/// What becomes of the states of rows that are shown as one.
fn merges(parts: &[Part], is_split: bool) -> Vec<String> {
    let merge = |part: &Part| {
        let (name, (function, _)) = (part.name(), part.aggregate(is_split));
        format!("{function}Merge{}(s_{name}) AS p_{name}", part.parameters())
    };
    parts.iter().map(merge).collect()
}

/// What a cell is, and what it is made of.
pub(super) struct Way {
    pub(super) cell: Cell,
    pub(super) columns: Vec<String>,
    /// What must be known of each visit.
    pub(super) fields: Vec<VisitField>,
    /// Its bounce, duration and beginning must be known, too.
    is_described: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Event,
    Visit,
    VisitInRow,
}

impl Way {
    /// Tells whether a visit may have several cells in one row, or in rows that are folded into one.
    pub(super) fn is_split(&self, query: &Query) -> bool {
        self.cell == Cell::Event
            || query
                .dimensions
                .iter()
                .any(|d| matches!(d, Dimension::Event(_)))
    }
}

#[cfg(test)]
mod tests;
