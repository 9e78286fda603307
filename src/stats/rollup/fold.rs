//! Rows of `daily` → what may be shown, here and not in ClickHouse: analysing a statement that folds takes longer than
//! counting what it folds.
//!
//! Comes in: the counts of each row, and of small ones who is in them. Goes out: the rows of the answer, folded,
//! ordered and numbered as `stats::protect` and `stats::sql` would have it; a test holds the two together. Where a row
//! has to be folded of which it is not known who is in it, there is no answer: ClickHouse folds then.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;

use super::daily::{Dimensioned, vitals, who_told};
use crate::stats::answer::Counted;
use crate::stats::dimension::Dimension;
use crate::stats::metric::{Metric, Part, Vital};
use crate::stats::protect::OTHER;
use crate::stats::request::{Column, Query};
use crate::stats::sql::Counting;

/// Who is in a row, and what they told, is asked for up to so many visitors; larger ones are hardly ever folded.
pub(super) const MOST: u64 = 100;

/// Rows that are held in memory.
const MOST_ROWS: usize = 20_000;

/// A row as it is counted.
#[derive(Clone, Debug, Default, Row, Deserialize)]
pub(in crate::stats) struct Found {
    /// Values of the dimensions; of several breakdowns the first is the place of its own.
    keys: Vec<String>,
    /// The parts in their order; a depth is followed by the visits that it is of, and a vital is 0.
    counts: Vec<u64>,
    /// Of them nobody knows who they are.
    n_final: u64,
    is_cut: u8,
    /// Of a row with fewer than [`MOST`].
    who: Vec<u64>,
    /// The vitals in their order: the 75th percentile, and of a row with fewer than [`MOST`] visitors the values, and who told
    /// them.
    percentiles: Vec<f32>,
    values: Vec<Vec<f32>>,
    told: Vec<Vec<u64>>,
    /// Visitors of the whole site, where a share of them is asked for.
    everyone: u64,
}

/// Rows that are shown as one.
#[derive(Debug)]
struct Shown {
    keys: Vec<String>,
    metrics: Vec<Option<f64>>,
    is_folded: bool,
    /// Of a folded one.
    n_rows: u64,
    is_inexact: bool,
}

impl Counting<'_> {
    /// Returns the statement that counts the rows of a query that `daily` answers.
    pub(in crate::stats) fn found(&self, dimensioned: &Dimensioned) -> String {
        let parts = self.parts();
        let links = self.daily_rows(dimensioned, &parts, &self.events());
        let is_parted = *dimensioned != Dimensioned::Whole;
        let keys: Vec<String> = (0..self.n_keys(dimensioned))
            .map(|i| format!("toString(k{i})"))
            .collect();
        let counts: Vec<String> = parts
            .iter()
            .flat_map(|part| match part {
                Part::Vital(_) => vec!["toUInt64(0)".to_owned()],
                Part::Scroll => vec!["n_scroll".into(), "n_scroll_visits".into()],
                part => vec![format!("n_{}", part.name())],
            })
            .collect();
        let vitals: Vec<Vital> = vitals(&parts).collect();
        let each = |of: &dyn Fn(&str) -> String| -> String {
            let all: Vec<String> = vitals.iter().map(|vital| of(vital.name())).collect();
            all.join(", ")
        };
        let is_small = format!("n_visitors < {MOST}");
        let percentiles = each(&|name| format!("finalizeAggregation(s_{name})"));
        let values = each(&|name| format!("if({is_small}, {name}_told, [])"));
        let told: Vec<String> = vitals
            .iter()
            .map(|vital| format!("if({is_small}, {}, [])", who_told(*vital)))
            .collect();
        let told = told.join(", ");
        let (folding, values, told) = match is_parted {
            true => (
                format!(
                    "toUInt64(n_final) AS n_final, toUInt8(is_cut) AS is_cut, if({is_small}, s_visitors, []) AS who"
                ),
                values,
                told,
            ),
            false => (
                "toUInt64(0) AS n_final, toUInt8(0) AS is_cut, CAST([], 'Array(UInt64)') AS who"
                    .into(),
                String::new(),
                String::new(),
            ),
        };
        let everyone = match self.is_share() {
            true => self.whole(&self.events()),
            false => "toUInt64(0)".into(),
        };
        format!(
            "WITH {} SELECT CAST([{}], 'Array(String)') AS keys, CAST([{}], 'Array(UInt64)') AS counts, {folding}, \
             CAST([{percentiles}], 'Array(Float32)') AS percentiles, CAST([{values}], 'Array(Array(Float32))') AS values, \
             CAST([{told}], 'Array(Array(UInt64))') AS told, toUInt64({everyone}) AS everyone FROM rows LIMIT {}",
            links.join(", "),
            keys.join(", "),
            counts.join(", "),
            MOST_ROWS + 1,
        )
    }

    fn is_share(&self) -> bool {
        let of_all = [Metric::ConversionRate, Metric::Percentage];
        self.query
            .metrics
            .iter()
            .any(|metric| of_all.contains(metric))
    }

    /// Makes the rows of an answer of rows that have the counts of `parts`, ordered and numbered: the page that is asked for,
    /// and the first. None where they are more than are held here, or one has to be folded of which it is not known who is in it.
    pub(in crate::stats) fn shown(
        &self,
        found: Vec<Found>,
        parts: &[Part],
    ) -> Option<Vec<Counted>> {
        if found.len() > MOST_ROWS {
            return None;
        }
        let everyone = found.first().map_or(0, |row| row.everyone);
        let mut shown = self.folded(found, parts);
        shown.sort_by(|a, b| compare(self.query, a, b));
        let n_rows = shown.len() as u64;
        let n_suppressed = shown.iter().map(|row| row.n_rows).sum();
        if shown.iter().any(|row| row.is_inexact) {
            return None;
        }
        let page = self.offset + 1..=self.offset + self.limit;
        let counted = (1..)
            .zip(shown)
            .filter(|(position, _)| *position == 1 || page.contains(position))
            .map(|(position, row)| Counted {
                dimensions: row.keys,
                metrics: row.metrics,
                currency: String::new(),
                position,
                n_rows,
                n_suppressed,
                matched: everyone,
                everyone,
                is_inexact: 0,
            });
        Some(counted.collect())
    }

    fn folded(&self, found: Vec<Found>, parts: &[Part]) -> Vec<Shown> {
        let is_time: Vec<bool> = self
            .query
            .dimensions
            .iter()
            .map(|d| d.step().is_some())
            .collect();
        let is_parted = is_time.contains(&false);
        let mut points: BTreeMap<Vec<String>, Vec<Found>> = BTreeMap::new();
        for row in found {
            let time = row
                .keys
                .iter()
                .zip(&is_time)
                .filter(|(_, is_time)| **is_time);
            let time = time.map(|(key, _)| key.clone()).collect();
            points.entry(time).or_default().push(row);
        }
        let mut shown = Vec::new();
        for rows in points.into_values() {
            if !is_parted {
                shown.extend(rows.into_iter().map(|row| self.one(row, parts)));
                continue;
            }
            let (small, large) = self.divided(rows, parts, &is_time);
            shown.extend(large.into_iter().map(|row| self.one(row, parts)));
            if !small.is_empty() {
                shown.push(self.together_as_one(small, parts, &is_time));
            }
        }
        shown
    }

    /// Divides the rows of a point of time into those that are folded, and the others.
    fn divided(
        &self,
        rows: Vec<Found>,
        parts: &[Part],
        is_time: &[bool],
    ) -> (Vec<Found>, Vec<Found>) {
        let k = u64::from(self.k);
        let n_visitors = |row: &Found| count(row, parts, Part::Visitors);
        // A value that reads like the folded row's would be taken for it.
        let reads_so = |row: &Found| {
            let mut values = row.keys.iter().zip(is_time);
            values.any(|(key, is_time)| !is_time && key == OTHER)
        };
        let is_small = |row: &Found| n_visitors(row) < k || reads_so(row);
        let (mut small, mut large): (Vec<Found>, Vec<Found>) = rows.into_iter().partition(is_small);
        let takes_one = match small.len() {
            0 => false,
            1 => true,
            _ => people(&small) < k,
        };
        let least = large
            .iter()
            .enumerate()
            .min_by_key(|(_, row)| (n_visitors(row), &row.keys))
            .map(|(i, _)| i);
        if let (true, Some(i)) = (takes_one, least) {
            small.push(large.swap_remove(i));
        }
        (small, large)
    }

    fn one(&self, row: Found, parts: &[Part]) -> Shown {
        let counts = Counts {
            counts: row.counts,
            percentiles: row.percentiles,
            everyone: row.everyone,
        };
        Shown {
            metrics: self.figures_of(&counts, parts),
            keys: row.keys,
            is_folded: false,
            n_rows: 0,
            is_inexact: false,
        }
    }

    fn together_as_one(&self, rows: Vec<Found>, parts: &[Part], is_time: &[bool]) -> Shown {
        let n_visitors = |row: &Found| count(row, parts, Part::Visitors);
        let is_known = |row: &Found| {
            row.is_cut == 0 && (n_visitors(row) < MOST || n_visitors(row) == row.n_final)
        };
        let mut counts = Counts {
            counts: vec![0; rows[0].counts.len()],
            percentiles: Vec::new(),
            everyone: rows[0].everyone,
        };
        for row in &rows {
            for (sum, n) in counts.counts.iter_mut().zip(&row.counts) {
                *sum += n;
            }
        }
        counts.put(parts, Part::Visitors, people(&rows));
        for (i, vital) in vitals(parts).enumerate() {
            let mut values: Vec<f32> = rows.iter().flat_map(|row| row.values[i].clone()).collect();
            let told: HashSet<u64> = rows.iter().flat_map(|row| row.told[i].clone()).collect();
            counts.percentiles.push(percentile(&mut values));
            counts.put(parts, Part::VitalVisitors(vital), told.len() as u64);
        }
        let keys = rows[0].keys.iter().zip(is_time);
        Shown {
            metrics: self.figures_of(&counts, parts),
            keys: keys
                .map(|(key, is_time)| if *is_time { key.clone() } else { OTHER.into() })
                .collect(),
            is_folded: true,
            n_rows: rows.len() as u64,
            is_inexact: !rows.iter().all(is_known),
        }
    }

    /// The finished metrics: as [`Metric::sql`].
    fn figures_of(&self, counts: &Counts, parts: &[Part]) -> Vec<Option<f64>> {
        let of = |part: Part| counts.of(parts, part);
        let share = |part: f64, whole: f64| (whole != 0.0).then(|| part / whole);
        // Of the whole site a figure may be of few.
        let least = match self.query.dimensions.is_empty() {
            true => 1.0,
            false => f64::from(self.k),
        };
        let vital = |vital: Vital| {
            let i = vitals(parts).position(|known| known == vital)?;
            let value = counts.percentiles.get(i).copied().map(f64::from);
            value.filter(|_| of(Part::VitalVisitors(vital)) >= least)
        };
        let figure = |metric: &Metric| match metric {
            Metric::BounceRate => share(100.0 * of(Part::Bounces), of(Part::Began)),
            Metric::Cls => vital(Vital::Cls),
            Metric::ConversionRate | Metric::Percentage => {
                share(100.0 * of(Part::Visitors), counts.everyone as f64)
            }
            Metric::EngagementTime => share(0.001 * of(Part::Engaged), of(Part::Visits)),
            Metric::Events => Some(of(Part::Events)),
            Metric::Fcp => vital(Vital::Fcp),
            Metric::Inp => vital(Vital::Inp),
            Metric::Lcp => vital(Vital::Lcp),
            Metric::Pageviews => Some(of(Part::Pageviews)),
            Metric::ScrollDepth => {
                let depth = share(of(Part::Scroll), counts.visits_deep(parts));
                depth.filter(|_| of(Part::ScrollVisitors) >= least)
            }
            Metric::Ttfb => vital(Vital::Ttfb),
            Metric::ViewsPerVisit => share(of(Part::Pageviews), of(Part::Visits)),
            Metric::VisitDuration => share(0.001 * of(Part::Duration), of(Part::Began)),
            Metric::Visitors => Some(of(Part::Visitors)),
            Metric::Visits => Some(of(Part::Visits)),
            // Counted from choices: put in when the answer is made.
            Metric::ConsentRate => None,
            // Not in `daily`: `dimensioned`.
            Metric::AverageRevenue
            | Metric::Devices
            | Metric::GroupConversionRate
            | Metric::TotalRevenue => None,
        };
        self.query.metrics.iter().map(figure).collect()
    }
}

/// The counts of what is shown as one row.
struct Counts {
    counts: Vec<u64>,
    percentiles: Vec<f32>,
    everyone: u64,
}

/// Where the count of a part stands: a depth takes two places.
fn place(parts: &[Part], part: Part) -> Option<usize> {
    let at = parts.iter().position(|known| *known == part)?;
    let depth = parts[..at].iter().filter(|known| **known == Part::Scroll);
    Some(at + depth.count())
}

fn count(row: &Found, parts: &[Part], part: Part) -> u64 {
    place(parts, part).map_or(0, |at| row.counts[at])
}

impl Counts {
    fn of(&self, parts: &[Part], part: Part) -> f64 {
        place(parts, part).map_or(0.0, |at| self.counts[at] as f64)
    }

    /// Visits that a depth is of.
    fn visits_deep(&self, parts: &[Part]) -> f64 {
        place(parts, Part::Scroll).map_or(0.0, |at| self.counts[at + 1] as f64)
    }

    fn put(&mut self, parts: &[Part], part: Part, n: u64) {
        if let Some(at) = place(parts, part) {
            self.counts[at] = n;
        }
    }
}

/// How many people are in rows; those of final rows are added up.
fn people(rows: &[Found]) -> u64 {
    let who: HashSet<u64> = rows
        .iter()
        .flat_map(|row| row.who.iter().copied())
        .collect();
    who.len() as u64 + rows.iter().map(|row| row.n_final).sum::<u64>()
}

/// The 75th percentile as `quantileExact(0.75)` has it; of nothing, not a number.
fn percentile(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return f32::NAN;
    }
    let at = (values.len() as f64 * 0.75) as usize;
    let (_, value, _) = values.select_nth_unstable_by(at.min(values.len() - 1), f32::total_cmp);
    *value
}

/// The folded row stands last, but within its own point of time.
fn compare(query: &Query, a: &Shown, b: &Shown) -> Ordering {
    let mut ordering = Ordering::Equal;
    let mut is_folded_asked = false;
    for order in &query.order {
        let is_time = match order.column {
            Column::Dimension(i) => query.dimensions.get(i).is_some_and(|d| d.step().is_some()),
            Column::Metric(_) => false,
        };
        if !is_time && !is_folded_asked {
            is_folded_asked = true;
            ordering = ordering.then(a.is_folded.cmp(&b.is_folded));
        }
        ordering = ordering.then_with(|| match order.column {
            Column::Dimension(i) => directed(a.keys[i].cmp(&b.keys[i]), order.is_descending),
            Column::Metric(i) => match (a.metrics[i], b.metrics[i]) {
                (Some(a), Some(b)) => directed(a.total_cmp(&b), order.is_descending),
                // What has no value stands behind.
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        });
    }
    ordering
        .then(a.is_folded.cmp(&b.is_folded))
        .then_with(|| a.keys.cmp(&b.keys))
}

fn directed(ordering: Ordering, is_descending: bool) -> Ordering {
    match is_descending {
        true => ordering.reverse(),
        false => ordering,
    }
}

/// Takes the rows of each breakdown out of those of several; none where they are more than are held here.
pub(in crate::stats) fn apart(
    found: Vec<Found>,
    sets: &[Vec<Dimension>],
) -> Option<Vec<Vec<Found>>> {
    if found.len() > MOST_ROWS {
        return None;
    }
    let mut apart = vec![Vec::new(); sets.len()];
    for mut row in found {
        let place = row
            .keys
            .first()
            .and_then(|place| place.parse::<usize>().ok());
        if let Some(place) = place.filter(|place| *place < sets.len()) {
            row.keys.remove(0);
            row.keys.truncate(sets[place].len());
            apart[place].push(row);
        }
    }
    Some(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at rank 0.75 n, rounded down and counted from 0: dashboards/MEANING.md.
    #[test]
    fn a_percentile_is_a_value_that_was_told() {
        assert!(percentile(&mut []).is_nan());
        assert_eq!(percentile(&mut [5.0]), 5.0);
        assert_eq!(percentile(&mut [4.0, 1.0, 3.0, 2.0]), 4.0);
        assert_eq!(percentile(&mut [5.0, 4.0, 1.0, 3.0, 2.0]), 4.0);
    }

    #[test]
    fn a_depth_takes_two_places_among_the_counts() {
        let parts = [Part::Visitors, Part::Scroll, Part::ScrollVisitors];
        let places: Vec<Option<usize>> = parts.iter().map(|part| place(&parts, *part)).collect();
        assert_eq!(places, [Some(0), Some(1), Some(3)]);
        assert_eq!(place(&parts, Part::Visits), None);
    }
}
