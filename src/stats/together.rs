//! The questions of a page: those that read the same are asked in one statement.
//!
//! Comes in: bodies of the query API. Goes out: the answer of each, as it would be by itself. Breakdowns of the same site,
//! range and filters are counted together where all are of visits, or all stand in `daily`: events and roll-ups are then
//! read once for all of them (`sql::together`). Where they cannot be counted together (memory, a folded row that only `events`
//! can tell), each is asked alone.

use clickhouse::Client;
use jiff::Timestamp;

use super::answer::Counted;
use super::dimension::{Dimension, EventField};
use super::metric::Metric;
use super::request::{Column, MAX_ROWS, Order, Query};
use super::rollup::{Dimensioned, Form, Memo, Needs, Plan, apart};
use super::sql::{Cell, Counting};
use super::{Answer, Beside, Prepared, QueryError, prepare};
use crate::config::{Sites, settings};

/// What can be counted beside another breakdown's metrics; each is a sum, or the number of somebody.
const METRICS: [Metric; 5] = [
    Metric::ConversionRate,
    Metric::Events,
    Metric::Pageviews,
    Metric::Visitors,
    Metric::Visits,
];

/// The order that breakdowns have together: most visitors first.
const LARGEST_FIRST: [Order; 1] = [Order {
    column: Column::Metric(0),
    is_descending: true,
}];

/// Questions that are asked in one statement.
#[allow(missing_debug_implementations)] // Holds a client.
pub struct Bundle<'a>(Vec<Asked<'a>>);

/// A question, and its place among all.
struct Asked<'a> {
    place: usize,
    prepared: Result<Prepared<'a>, QueryError>,
}

/// An answer, by the place of its question.
pub type Answered = (usize, Result<Answer, QueryError>);

/// Reads questions and puts those together that read the same; nothing is counted yet.
pub async fn bundles<'a>(
    client: &'a Client,
    sites: &Sites,
    limits: &'a settings::Query,
    bodies: &[String],
    now: Timestamp,
    memo: &'a Memo,
) -> Vec<Bundle<'a>> {
    let mut bundles: Vec<Bundle<'a>> = Vec::new();
    for (place, body) in bodies.iter().enumerate() {
        let prepared = prepare(client, sites, limits, body.as_bytes(), now, memo).await;
        let found = match &prepared {
            Ok(prepared) => bundles.iter_mut().find(|bundle| bundle.takes(prepared)),
            Err(_) => None,
        };
        let asked = Asked { place, prepared };
        match found {
            Some(bundle) => bundle.0.push(asked),
            None => bundles.push(Bundle(vec![asked])),
        }
    }
    bundles
}

impl Bundle<'_> {
    fn takes(&self, other: &Prepared<'_>) -> bool {
        self.0.iter().all(|asked| match &asked.prepared {
            Ok(known) => known.fits(other),
            Err(_) => false,
        })
    }

    /// How many questions it asks.
    pub fn n_questions(&self) -> usize {
        self.0.len()
    }

    /// Answers the questions of the bundle.
    ///
    /// # Cancel safety
    /// As [`super::answer()`].
    pub async fn answer(self) -> Vec<Answered> {
        let prepared: Vec<&Prepared<'_>> = self
            .0
            .iter()
            .filter_map(|asked| asked.prepared.as_ref().ok())
            .collect();
        let counted = match prepared.len() {
            0 | 1 => None,
            _ => count(&prepared).await,
        };
        let mut counted = counted.into_iter().flatten();
        let mut answers = Vec::with_capacity(self.0.len());
        for asked in self.0 {
            let counted = counted.next();
            let answer = match asked.prepared {
                Ok(prepared) => finish(prepared, counted).await,
                Err(error) => Err(error),
            };
            answers.push((asked.place, answer));
        }
        answers
    }
}

/// Makes an answer of what was counted together. What could not be folded here is folded in ClickHouse; what was not counted
/// at all is asked by itself.
async fn finish(
    prepared: Prepared<'_>,
    counted: Option<Option<Vec<Counted>>>,
) -> Result<Answer, QueryError> {
    let asker = &prepared.asker;
    let counted = match counted {
        None => return prepared.answer(Beside::Nothing).await,
        Some(Some(counted)) => counted,
        Some(None) => asker.counted_there(&prepared.counting()).await?,
    };
    let (query, range, plan) = (&prepared.query, prepared.range, &prepared.plans.range);
    let around = asker.around(query, range, plan, None, Beside::Nothing);
    let around = around.await?;
    Ok(prepared.finished(counted, around))
}

/// Counts breakdowns in one statement, and has none for those that could not be folded here. None at all where that did not do,
/// for whatever reason: asked alone, each says it.
async fn count(prepared: &[&Prepared<'_>]) -> Option<Vec<Option<Vec<Counted>>>> {
    let first = prepared.first()?;
    let mut metrics = vec![Metric::Visitors];
    for metric in prepared.iter().flat_map(|each| &each.query.metrics) {
        if !metrics.contains(metric) {
            metrics.push(*metric);
        }
    }
    let sets: Vec<Vec<Dimension>> = prepared
        .iter()
        .map(|each| each.query.dimensions.clone())
        .collect();
    let query = Query {
        metrics,
        dimensions: sets.concat(),
        ..first.query.clone()
    };
    let plan = match first.plans.range.dimensioned() {
        Some(_) => Plan {
            form: Form::Daily(Dimensioned::Each(sets.clone()), Needs::default()),
            ..first.plans.range.clone()
        },
        None => first.plans.range.clone(),
    };
    let limit = prepared.iter().map(|each| each.query.limit).max()?;
    let counting = first.asker.statement(&query, first.range, &plan, limit, 0);
    if let Some(dimensioned) = plan.dimensioned() {
        let found = said(first.asker.ask(counting.found(dimensioned)).await)?;
        let parts = counting.parts();
        let Some(apart) = apart(found, &sets) else {
            return Some(vec![None; prepared.len()]);
        };
        let each = apart.into_iter().zip(prepared);
        let shown = each.map(|(rows, each)| each.counting().shown(rows, &parts));
        return Some(shown.collect());
    }
    let rows: Vec<Counted> = said(first.asker.ask(counting.together(&sets)).await)?;
    let mut counted = vec![Vec::new(); prepared.len()];
    for row in rows {
        let place: usize = row.dimensions.first()?.parse().ok()?;
        let own = &prepared.get(place)?.query;
        let values = |metric: &Metric| {
            let at = query.place_of(*metric)?;
            row.metrics.get(at).copied()
        };
        let metrics: Option<Vec<Option<f64>>> = own.metrics.iter().map(values).collect();
        let dimensions = row.dimensions.get(1..=own.dimensions.len())?.to_vec();
        counted[place].push(Counted {
            dimensions,
            metrics: metrics?,
            ..row
        });
    }
    Some(counted.into_iter().map(Some).collect())
}

fn said<T>(rows: Result<T, QueryError>) -> Option<T> {
    rows.inspect_err(
        |error| tracing::debug!(error = %error, "breakdowns were not counted together"),
    )
    .ok()
}

impl Prepared<'_> {
    fn counting(&self) -> Counting<'_> {
        let (query, plan) = (&self.query, &self.plans.range);
        self.asker
            .statement(query, self.range, plan, query.limit, query.offset)
    }

    /// Tells whether it can be counted beside others.
    fn is_plain(&self) -> bool {
        let query = &self.query;
        let is_breakdown =
            !query.dimensions.is_empty() && query.dimensions.iter().all(|d| d.step().is_none());
        // All of visits that are read whole, or all of events by themselves.
        let is_of_one_kind = || {
            let counting = self.counting();
            let cell = counting.way(&counting.parts()).cell;
            let are = |of_event| query.dimensions.iter().all(|d| d.is_of_event() == of_event);
            (cell == Cell::Visit && are(false)) || (cell == Cell::Event && are(true))
        };
        is_breakdown
            && self.earlier.is_none()
            && query.offset == 0
            && query.limit <= MAX_ROWS
            && query.metrics.iter().all(|metric| METRICS.contains(metric))
            && query.order == LARGEST_FIRST
            && query.metrics.first() == Some(&Metric::Visitors)
            && (self.plans.range.dimensioned().is_some() || is_of_one_kind())
    }

    /// Tells whether two questions can be counted together.
    fn fits(&self, other: &Prepared<'_>) -> bool {
        let spans = |each: &Prepared<'_>| {
            let plan = &each.plans.range;
            let is_of_event = each.query.dimensions.iter().any(Dimension::is_of_event);
            let is_daily = plan.dimensioned().is_some();
            (plan.is_used(), is_daily, is_of_event && !is_daily)
        };
        let is_same_plan = || {
            let (own, others) = (&self.plans.range, &other.plans.range);
            !own.is_used() || own.is_same(others)
        };
        // A row of `daily` is of one of them alone.
        let is_of_names = |each: &Prepared<'_>| {
            use EventField::{Goal, Name};
            matches!(each.query.dimensions[..], [Dimension::Event(Goal | Name)])
        };
        self.query.site.id == other.query.site.id
            && self.range == other.range
            && self.query.filter == other.query.filter
            && self.is_plain()
            && other.is_plain()
            && self.query.dimensions != other.query.dimensions
            && !(is_of_names(self) && is_of_names(other))
            && spans(self) == spans(other)
            && is_same_plan()
    }
}
