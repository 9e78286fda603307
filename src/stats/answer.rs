//! Rows of ClickHouse → what the client reads.
//!
//! Comes in: counted rows, those of the comparison, and facts about the range. Goes out: an [`Answer`], as
//! JSON in the shape of Plausible's Stats API v2 or for a table. A number that is withheld is null; a
//! number that needs a remark has it in `meta.warnings`.

use std::collections::HashMap;

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::dimension::Dimension;
use super::metric::Metric;
use super::period::Range;
use super::protect::is_gated;
use super::request::Query;
use super::rollup::Lost;

/// Further changes of the salt are only counted: three years of daily ones.
const MAX_BOUNDARIES: usize = 1_100;

/// One row as ClickHouse counted it.
#[derive(Clone, Debug, Row, Deserialize)]
pub(super) struct Counted {
    pub(super) dimensions: Vec<String>,
    pub(super) metrics: Vec<Option<f64>>,
    /// Currencies of the row's amounts, with spaces between.
    pub(super) currency: String,
    /// From 1, over all pages.
    pub(super) position: u64,
    pub(super) n_rows: u64,
    pub(super) n_suppressed: u64,
    /// Visitors in all rows together.
    pub(super) matched: u64,
    /// Visitors of the site in the range.
    pub(super) everyone: u64,
    /// A folded row could not be counted from roll-ups.
    pub(super) is_inexact: u8,
}

/// Facts about site and range.
#[derive(Clone, Debug, Default, Row, Deserialize)]
pub(super) struct About {
    pub(super) grants: u64,
    pub(super) denials: u64,
    /// Arrival of the newest event (milliseconds since 1970 UTC); 0: none.
    pub(super) newest_ms: i64,
}

/// Everything an answer is made of.
pub(super) struct Material {
    pub(super) query: Query,
    pub(super) range: Range,
    pub(super) k: u32,
    pub(super) counted: Vec<Counted>,
    pub(super) compared: Option<(Range, Vec<Counted>)>,
    pub(super) about: About,
    /// Instants within the range at which one salt gave way to the next.
    pub(super) salt_boundaries: Vec<Timestamp>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) lost: Lost,
    /// What is to be said of days whose events are gone.
    pub(super) gone: Vec<String>,
}

/// An answered query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Names of the dimensions, in order.
    pub dimensions: Vec<String>,
    /// The metrics, in order.
    pub metrics: Vec<Metric>,
    /// The page asked for.
    pub rows: Vec<AnswerRow>,
    /// Rows and points that have no line or no value of their own, because they were small.
    pub n_suppressed: u64,
    /// Fewest visitors of a row that is shown.
    pub k: u32,
    /// What a reader must know about the numbers.
    pub warnings: Vec<String>,
    /// Facts about the range, as in the JSON answer.
    pub meta: Map<String, Value>,
    /// What it lacks because events are gone; `warnings` names the days.
    pub lost: Lost,
    /// Rows there are, on all pages; 0 where all are withheld.
    pub n_rows: u64,
    /// All points of time of the range, where `include.time_labels` asks for them.
    pub labels: Vec<String>,
    /// The rows of the range that this one is compared with, as they stand there; none where they are withheld.
    pub earlier: Vec<AnswerRow>,
    /// The points of time of that range, as `labels`.
    pub earlier_labels: Vec<String>,
    written: Map<String, Value>,
}

/// One row of an answer.
#[derive(Clone, Debug)]
pub struct AnswerRow {
    /// Values of the dimensions.
    pub dimensions: Vec<String>,
    /// Values of the metrics, rounded; none: withheld, or nothing to divide by.
    pub metrics: Vec<Option<f64>>,
    /// Currency of amounts (ISO 4217); empty: none, or several.
    pub currency: String,
    /// The same row in the range it is compared with.
    pub comparison: Option<Compared>,
}

/// What a row is compared with.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Values of the dimensions there: another point of time.
    pub dimensions: Vec<String>,
    /// Values of the metrics there.
    pub metrics: Vec<Option<f64>>,
    /// Percent more or less; percentage points for what is a percentage.
    pub change: Vec<Option<f64>>,
}

impl AnswerRow {
    /// A row without currency and comparison.
    pub fn new(dimensions: Vec<String>, metrics: Vec<Option<f64>>) -> AnswerRow {
        AnswerRow {
            dimensions,
            metrics,
            currency: String::new(),
            comparison: None,
        }
    }

    pub(super) fn to_json(&self, metrics: &[Metric]) -> Value {
        let values = |values: &[Option<f64>]| -> Vec<Value> {
            metrics
                .iter()
                .zip(values)
                .map(|(metric, value)| match value {
                    None => Value::Null,
                    Some(value) if metric.is_money() => {
                        json!({ "value": number(*value, 2), "currency": self.currency })
                    }
                    Some(value) => number(*value, metric.decimals()),
                })
                .collect()
        };
        let mut object = json!({ "dimensions": self.dimensions, "metrics": values(&self.metrics) });
        if let Some(compared) = &self.comparison {
            let change = compared
                .change
                .iter()
                .map(|c| c.map_or(Value::Null, |c| number(c, 1)));
            object["comparison"] = json!({
                "dimensions": compared.dimensions,
                "metrics": values(&compared.metrics),
                "change": change.collect::<Vec<_>>(),
            });
        }
        object
    }
}

impl Answer {
    /// An answer about which nothing more is known.
    pub fn new(dimensions: Vec<String>, metrics: Vec<Metric>, rows: Vec<AnswerRow>) -> Answer {
        let (k, n_suppressed, warnings) = (1, 0, Vec::new());
        let (meta, written) = (Map::new(), Map::new());
        Answer {
            dimensions,
            metrics,
            rows,
            n_suppressed,
            k,
            warnings,
            meta,
            lost: Lost::Nothing,
            n_rows: 0,
            labels: Vec::new(),
            earlier: Vec::new(),
            earlier_labels: Vec::new(),
            written,
        }
    }

    /// Returns the answer of one of its metrics, by its position; none where there is none.
    pub fn only(&self, i: usize) -> Option<Answer> {
        let rows = |rows: &[AnswerRow]| -> Option<Vec<AnswerRow>> {
            let one = |row: &AnswerRow| {
                let comparison = row.comparison.as_ref().map(|compared| Compared {
                    dimensions: compared.dimensions.clone(),
                    metrics: compared.metrics.get(i).copied().into_iter().collect(),
                    change: compared.change.get(i).copied().into_iter().collect(),
                });
                Some(AnswerRow {
                    metrics: vec![*row.metrics.get(i)?],
                    comparison,
                    ..row.clone()
                })
            };
            rows.iter().map(one).collect()
        };
        Some(Answer {
            metrics: vec![*self.metrics.get(i)?],
            rows: rows(&self.rows)?,
            earlier: rows(&self.earlier)?,
            ..self.clone()
        })
    }

    /// Returns the date range that was understood, or that it is compared with: first and last instant (RFC 3339).
    pub fn range(&self, key: &str) -> Option<(&str, &str)> {
        let ends = self.written.get(key)?;
        Some((ends.get(0)?.as_str()?, ends.get(1)?.as_str()?))
    }

    /// Returns the answer in the shape of Plausible's Stats API v2.
    pub fn to_json(&self) -> Value {
        let results: Vec<Value> = self
            .rows
            .iter()
            .map(|row| row.to_json(&self.metrics))
            .collect();
        json!({ "results": results, "meta": self.meta, "query": self.written })
    }
}

fn number(value: f64, decimals: i32) -> Value {
    // Counts stay far below 2^53, where f64 still holds every whole number.
    if decimals == 0 {
        Value::from(value as i64)
    } else {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

impl Material {
    /// Puts the answer together.
    pub(super) fn answer(self) -> Answer {
        let query = &self.query;
        let gated = self.is_withheld(&self.counted);
        let first = self.counted.first();
        let n_suppressed = first.map_or(0, |row| row.n_suppressed);
        let n_rows = first.map_or(0, |row| row.n_rows);
        let page = query.offset + 1..=query.offset + query.limit;
        let mut rows: Vec<AnswerRow> = self
            .counted
            .iter()
            .filter(|row| page.contains(&row.position))
            .map(|row| self.row(row))
            .collect();
        let is_mixed = self.counted.iter().any(|row| row.currency.contains(' '));
        let money = query.metrics.iter().position(|metric| metric.is_money());
        let has_gaps = money.is_some_and(|i| rows.iter().any(|row| row.metrics[i].is_none()));
        if gated {
            // One total without a value, or no rows at all: their number would tell something, too.
            rows.truncate(usize::from(query.dimensions.is_empty()));
            rows.iter_mut().for_each(|row| row.metrics.fill(None));
        }
        // Behind that: by how much a number has changed tells it as well.
        if let Some(comparing) = self.comparing() {
            rows.iter_mut()
                .for_each(|row| comparing.put(&self.query, row));
        }
        let n_suppressed = if gated { n_rows } else { n_suppressed };
        let warnings = self.warnings(gated, is_mixed && has_gaps);
        let meta = self.meta(n_rows, n_suppressed, &warnings);
        let (earlier, earlier_labels) = self.earlier();
        Answer {
            n_rows: if gated { 0 } else { n_rows },
            labels: self.labels.clone().unwrap_or_default(),
            earlier,
            earlier_labels,
            dimensions: dimensions(query),
            metrics: query.metrics.clone(),
            rows,
            n_suppressed,
            k: self.k,
            warnings,
            lost: self.lost,
            meta,
            written: self.written(),
        }
    }

    pub(super) fn row(&self, row: &Counted) -> AnswerRow {
        let metrics = self.query.metrics.iter().zip(&row.metrics);
        AnswerRow {
            dimensions: row.dimensions.clone(),
            metrics: metrics
                .map(|(m, value)| value.map(|v| round(v, m.decimals())))
                .collect(),
            currency: if row.currency.contains(' ') {
                String::new()
            } else {
                row.currency.clone()
            },
            comparison: None,
        }
    }

    fn earlier(&self) -> (Vec<AnswerRow>, Vec<String>) {
        let Some((range, counted)) = &self.compared else {
            return (Vec::new(), Vec::new());
        };
        let step = self.query.dimensions.iter().find_map(Dimension::step);
        let labels = step
            .filter(|_| self.labels.is_some())
            .and_then(|step| range.labels(step, &self.query.site.time_zone).ok())
            .unwrap_or_default();
        if self.is_withheld(counted) {
            return (Vec::new(), labels);
        }
        (counted.iter().map(|row| self.row(row)).collect(), labels)
    }

    pub(super) fn is_withheld(&self, counted: &[Counted]) -> bool {
        !self.query.filter.is_empty()
            && counted
                .first()
                .is_some_and(|row| is_gated(row.matched, row.everyone, self.k))
    }

    /// What rows are compared with; none: nothing.
    pub(super) fn comparing(&self) -> Option<Comparing> {
        let (range, counted) = self.compared.as_ref()?;
        let zone = &self.query.site.time_zone;
        let step = self.query.dimensions.iter().find_map(Dimension::step);
        let labels = |range: Range| {
            step.and_then(|step| range.labels(step, zone).ok())
                .unwrap_or_default()
        };
        let rows = match self.is_withheld(counted) {
            true => HashMap::new(),
            false => counted
                .iter()
                .map(|row| (row.dimensions.clone(), self.row(row).metrics))
                .collect(),
        };
        Some(Comparing {
            moved: labels(self.range).into_iter().zip(labels(*range)).collect(),
            rows,
        })
    }

    fn warnings(&self, gated: bool, lacks_amounts: bool) -> Vec<String> {
        let query = &self.query;
        let mut warnings = self.gone.clone();
        let n_salts = self.n_salts();
        let counts_people = |metric: &Metric| matches!(metric, Metric::Visitors | Metric::Devices);
        if n_salts > 1 && query.metrics.iter().any(counts_people) {
            warnings.push(format!(
                "the range spans {n_salts} salts: who came under several is counted under each"
            ));
        }
        if lacks_amounts {
            warnings.push(
                "amounts in several currencies are not added; divide by event:currency".into(),
            );
        }
        if gated {
            warnings.push(format!(
                "the filter matches, or spares, fewer than {} visitors: nothing is shown",
                self.k
            ));
        }
        warnings
    }

    /// `meta` and `query` of an answer whose rows are written already.
    pub(super) fn around(
        &self,
        gated: bool,
        lacks_amounts: bool,
    ) -> (Map<String, Value>, Map<String, Value>) {
        let first = self.counted.first();
        let n_rows = first.map_or(0, |row| row.n_rows);
        let n_suppressed = match gated {
            true => n_rows,
            false => first.map_or(0, |row| row.n_suppressed),
        };
        let warnings = self.warnings(gated, lacks_amounts);
        (self.meta(n_rows, n_suppressed, &warnings), self.written())
    }

    fn meta(&self, n_rows: u64, n_suppressed: u64, warnings: &[String]) -> Map<String, Value> {
        let zone = &self.query.site.time_zone;
        let About {
            grants,
            denials,
            newest_ms,
        } = self.about;
        let choices = grants + denials;
        let coverage = (choices > 0).then(|| round(grants as f64 / choices as f64, 4));
        let newest = Timestamp::from_millisecond(newest_ms)
            .ok()
            .filter(|_| newest_ms != 0);
        let mut meta = Map::new();
        meta.insert("k".into(), self.k.into());
        meta.insert("suppressed_rows".into(), n_suppressed.into());
        meta.insert("salts".into(), self.n_salts().into());
        let boundaries = self.salt_boundaries.iter();
        let boundaries: Vec<String> = boundaries.map(|at| self.text(*at)).collect();
        meta.insert(
            "salt_boundaries".into(),
            match boundaries.len() <= MAX_BOUNDARIES {
                true => boundaries.into(),
                false => Value::Null,
            },
        );
        meta.insert("time_zone".into(), zone.iana_name().into());
        meta.insert(
            "consent".into(),
            json!({ "grants": grants, "denials": denials, "coverage": coverage }),
        );
        meta.insert(
            "newest_event".into(),
            newest.map(|at| at.to_string()).into(),
        );
        // Every event is counted; the key is there because readers of other collectors look for it.
        meta.insert("sampling".into(), 1.into());
        meta.insert("warnings".into(), warnings.into());
        if self.query.is_totalled {
            meta.insert("total_rows".into(), n_rows.into());
        }
        if let Some(labels) = &self.labels {
            meta.insert("time_labels".into(), labels.as_slice().into());
        }
        meta
    }

    /// The query as it was understood: ranges as instants, names as they are.
    fn written(&self) -> Map<String, Value> {
        let mut written = self.query.written.clone();
        written.insert("site_id".into(), self.query.site.id.as_str().into());
        written.insert("date_range".into(), self.ends(self.range));
        let dimensions: Vec<String> = self
            .query
            .dimensions
            .iter()
            .map(ToString::to_string)
            .collect();
        written.insert("dimensions".into(), dimensions.into());
        written.insert(
            "pagination".into(),
            json!({ "limit": self.query.limit, "offset": self.query.offset }),
        );
        if let Some((range, _)) = &self.compared {
            written.insert("comparison_date_range".into(), self.ends(*range));
        }
        written
    }

    fn ends(&self, range: Range) -> Value {
        json!(self.ends_text(range))
    }

    /// First and last instant (RFC 3339).
    pub(super) fn ends_text(&self, range: Range) -> (String, String) {
        let zone = &self.query.site.time_zone;
        let (from, until) = range.instants(zone);
        let last = until
            .checked_sub(jiff::Span::new().seconds(1))
            .unwrap_or(until);
        (self.text(from), self.text(last))
    }

    /// RFC 3339, with the offset that holds in the site's zone at that instant.
    fn text(&self, at: Timestamp) -> String {
        let zone = &self.query.site.time_zone;
        at.display_with_offset(zone.to_offset(at)).to_string()
    }

    fn n_salts(&self) -> usize {
        self.salt_boundaries.len() + 1
    }
}

/// The rows of the range that another is compared with.
pub(super) struct Comparing {
    /// Points of time, and those that stand as far from the other range's beginning.
    moved: HashMap<String, String>,
    rows: HashMap<Vec<String>, Vec<Option<f64>>>,
}

impl Comparing {
    /// Puts beside a row the one of the same values, and of the point of time that lies as far in.
    pub(super) fn put(&self, query: &Query, row: &mut AnswerRow) {
        let time = query.dimensions.iter().position(|d| d.step().is_some());
        let mut dimensions = row.dimensions.clone();
        if let Some(label) = time.map(|i| &mut dimensions[i]) {
            *label = self.moved.get(label.as_str()).cloned().unwrap_or_default();
        }
        let found = self.rows.get(&dimensions).cloned();
        let metrics = found.unwrap_or_else(|| vec![None; query.metrics.len()]);
        let pairs = row.metrics.iter().zip(&metrics).zip(&query.metrics);
        let change = pairs.map(|((now, then), metric)| change(*metric, (*now)?, (*then)?));
        let change = change.collect();
        row.comparison = Some(Compared {
            dimensions,
            metrics,
            change,
        });
    }
}

/// The names of a query's dimensions.
pub(super) fn dimensions(query: &Query) -> Vec<String> {
    query.dimensions.iter().map(ToString::to_string).collect()
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// Shares and depths, which are percentages themselves, change by points, all else by percent of what it was.
fn change(metric: Metric, now: f64, then: f64) -> Option<f64> {
    match metric {
        Metric::BounceRate
        | Metric::ConsentRate
        | Metric::ConversionRate
        | Metric::GroupConversionRate
        | Metric::Percentage
        | Metric::ScrollDepth => Some(round(now - then, 1)),
        _ if then == 0.0 => (now == 0.0).then_some(0.0),
        _ => Some(round((now - then) / then * 100.0, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_points_for_shares_and_percent_for_the_rest() {
        assert_eq!(change(Metric::Visitors, 12.0, 10.0), Some(20.0));
        assert_eq!(change(Metric::Visitors, 5.0, 0.0), None);
        assert_eq!(change(Metric::Visitors, 0.0, 0.0), Some(0.0));
        assert_eq!(change(Metric::BounceRate, 40.0, 50.5), Some(-10.5));
        assert_eq!(change(Metric::ScrollDepth, 60.0, 40.0), Some(20.0));
    }

    #[test]
    fn whole_numbers_are_written_without_a_point() {
        assert_eq!(number(7.0, 0).to_string(), "7");
        assert_eq!(number(7.25, 2).to_string(), "7.25");
        assert_eq!(number(f64::NAN, 2), Value::Null);
    }
}
