//! Funnels: how many visitors reached each of several goals, one after the other.
//!
//! Comes in: the body of a query (site, range, filters) and 2 to 8 goals. Goes out: visitors by step. An event moves a
//! visitor on by at most one step, in the order of time and arrival; between two steps anything may happen. A visitor
//! lives as long as the site's salt: who takes the next step under another salt is not known to be the same.
//!
//! Under daily salts the visitors of days add up: of closed days, `daily` has how far they came in each funnel of the
//! configuration (`dimension`). Filtered funnels, and those of a reader's own, are counted from events.
//!
//! Promises that small numbers stay hidden, and with them the differences that would tell them: a step that fewer than
//! `k` visitors reached, or that fewer than `k` of those shown before it missed, has no number.

use clickhouse::{Client, Row};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::dimension::{AT, goals_sql};
use super::literal::literal;
use super::period::Range;
use super::protect::is_gated;
use super::request::{self, Query, Refusal, Unread};
use super::rollup::{self, Form, Memo, Plan, Spans};
use super::sql::Counting;
use super::sql::events::{Events, join, visits};
use super::{Asker, QueryError};
use crate::config::{Sites, settings};

/// Fewest and most steps.
pub const STEPS: std::ops::RangeInclusive<usize> = 2..=8;

/// Visitors in a funnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funnel {
    /// Everybody who fits the filters; none: withheld, and all steps with it.
    pub everyone: Option<u64>,
    /// Those who reached each step.
    pub steps: Vec<Option<u64>>,
    /// Fewest visitors of a number that is shown.
    pub k: u32,
}

#[derive(Debug, Row, Deserialize)]
struct Counted {
    reached: Vec<u64>,
    matched: u64,
    everyone: u64,
}

/// Returns the number that `daily` keeps a funnel under: a hash of its steps.
pub(crate) fn number(steps: &[String]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for step in steps {
        hasher.update(&(step.len() as u64).to_le_bytes());
        hasher.update(step.as_bytes());
    }
    let mut number = [0; 8];
    hasher.finalize_xof().fill(&mut number);
    u64::from_le_bytes(number)
}

/// Returns the dimension in `daily` of a funnel: one of its own, whose values are the steps, 1 to 8.
pub(crate) fn dimension(number: u64) -> String {
    format!("funnel {number:016x}")
}

/// SQL: a row of `daily` that is not about a funnel.
pub(crate) const NO_FUNNEL: &str = "NOT startsWith(dimension, 'funnel ')";

/// SQL: an event that is one of the steps.
pub(crate) fn is_step(steps: &[String]) -> String {
    goals_sql(steps.iter().map(String::as_str))
}

/// SQL: how far each visitor came, as `level`, of the events in `from`.
pub(crate) fn levels(steps: &[String], from: &str) -> String {
    let mask: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let is_this = goals_sql([step.as_str()].into_iter());
            format!("bitShiftLeft(toUInt16({is_this}), {i})")
        })
        .collect();
    format!(
        "SELECT visitor, arrayFold((level, mask) -> toUInt8(level + bitTest(mask, level)), \
         arrayMap(pair -> pair.2, arraySort(groupArrayIf((at, mask), mask != 0))), toUInt8(0)) AS level FROM (\
         SELECT visitor, {AT} AS at, {} AS mask FROM {from}) GROUP BY visitor",
        mask.join(" + "),
    )
}

/// SQL: how many of the visitors of [`levels`] reached each of so many steps, as an array.
pub(crate) fn reached(n_steps: usize) -> String {
    let reached: Vec<String> = (1..=n_steps)
        .map(|n| format!("countIf(level >= {n})"))
        .collect();
    format!("[{}]", reached.join(", "))
}

/// Counts a funnel over the site, range and filters of a query's body.
///
/// # Errors
/// As [`super::answer()`]; a wrong number of steps is refused as `steps`.
pub async fn funnel(
    client: &Client,
    sites: &Sites,
    limits: &settings::Query,
    body: &Value,
    steps: &[String],
    now: Timestamp,
    memo: &Memo,
) -> Result<Funnel, QueryError> {
    if !STEPS.contains(&steps.len()) {
        return Err(Refusal::new("steps", steps.len(), "a funnel has 2 to 8 steps").into());
    }
    let body = json!({
        "site_id": body["site_id"], "metrics": ["visitors"], "date_range": body["date_range"],
        "filters": body["filters"],
    });
    let query =
        request::parse(body.to_string().as_bytes(), sites, now).map_err(|unread| match unread {
            Unread::Refused(refusal) => QueryError::BadRequest(refusal),
            Unread::UnknownSite => QueryError::UnknownSite,
        })?;
    let asker = Asker {
        client,
        limits,
        memo,
    };
    let range = asker.range(&query, now).await?;
    let mut plan = asker.plans(&query, range, None, now).await?.range;
    // Nobody knows how far those came whose events are gone.
    plan.gone = Spans::default();
    let of_steps = plan_of_steps(&asker, &query, range, &plan, steps).await?;
    let sql = sql(
        &asker.statement(&query, range, &plan, 1, 0),
        &of_steps,
        steps,
    );
    let counted: Vec<Counted> = asker.ask(sql).await?;
    let Some(counted) = counted.into_iter().next() else {
        return Ok(protected(&vec![0; steps.len()], 0, 0, &query, limits.k));
    };
    Ok(protected(
        &counted.reached,
        counted.matched,
        counted.everyone,
        &query,
        limits.k,
    ))
}

/// Chooses where it is read how far visitors came, where everybody is read as `plan` says.
async fn plan_of_steps(
    asker: &Asker<'_>,
    query: &Query,
    range: Range,
    plan: &Plan,
    steps: &[String],
) -> Result<Plan, QueryError> {
    let Range::Days { first, last } = range else {
        return Ok(Plan::events(plan.stored.clone()));
    };
    if !plan.is_used() || !query.filter.is_empty() {
        return Ok(Plan::events(plan.stored.clone()));
    }
    let days = rollup::days(asker, &query.site, (first, last), false).await?;
    let form = Form::Funnel(number(steps));
    Ok(days.plan(form, first, last, plan.stored.clone()))
}

/// The counting is of visitors, by nothing; `of_steps` says where it is read how far they came.
fn sql(counting: &Counting<'_>, of_steps: &Plan, steps: &[String]) -> String {
    let query = counting.query;
    let everyone = counting.whole(&counting.events());
    if query.filter.is_empty() {
        let closed = closed(query, of_steps, steps);
        let mut counted = Vec::from_iter(closed);
        let open = Counting {
            plan: of_steps,
            ..*counting
        };
        let open = open.events();
        if !open.are_none() || counted.is_empty() {
            counted.push(opened(&open, steps));
        }
        // Everybody fits.
        return format!(
            "SELECT sumForEach(n) AS reached, {everyone} AS matched, matched AS everyone FROM ({})",
            counted.join(" UNION ALL ")
        );
    }
    let events = Events {
        only: None,
        ..counting.events()
    };
    let mut fields = Vec::new();
    query.filter.visit_fields(&mut fields);
    let join = join(&fields, |fields| {
        format!("({})", visits(&events, fields, false))
    });
    let (selected, fits) = (events.selected(), query.filter.sql(&events.whole()));
    let levels = levels(steps, &format!("events{join} WHERE {selected} AND {fits}"));
    format!(
        "SELECT {} AS reached, count() AS matched, {everyone} AS everyone FROM ({levels})",
        reached(steps.len())
    )
}

/// Of open days: only events that are a step need be read.
fn opened(events: &Events<'_>, steps: &[String]) -> String {
    let (selected, step) = (events.selected(), is_step(steps));
    let levels = levels(steps, &format!("events WHERE {selected} AND {step}"));
    format!("SELECT {} AS n FROM ({levels})", reached(steps.len()))
}

/// Of closed days, added up: a visitor of one day is none of another. None where there are no such days.
fn closed(query: &Query, plan: &Plan, steps: &[String]) -> Option<String> {
    if plan.counted.is_empty() {
        return None;
    }
    let sums: Vec<String> = (1..=steps.len())
        .map(|step| format!("sumIf(visitors, value = '{step}')"))
        .collect();
    Some(format!(
        "SELECT [{}] AS n FROM daily WHERE site = {} AND dimension = '{}' AND {}",
        sums.join(", "),
        literal(query.site.id.as_str()),
        dimension(number(steps)),
        plan.counted.sql(),
    ))
}

fn protected(reached: &[u64], matched: u64, everyone: u64, query: &Query, k: u32) -> Funnel {
    let is_few = |n: u64| n > 0 && n < u64::from(k);
    if (!query.filter.is_empty() && is_gated(matched, everyone, k)) || is_few(matched) {
        return Funnel {
            everyone: None,
            steps: vec![None; reached.len()],
            k,
        };
    }
    let mut last = matched;
    let steps = reached.iter().map(|n| {
        // Everybody is counted by a statement of its own where nothing is filtered: somebody may have come since.
        let n = (*n).min(last);
        if is_few(n) || is_few(last - n) {
            return None;
        }
        last = n;
        Some(n)
    });
    Funnel {
        steps: steps.collect(),
        everyone: Some(matched),
        k,
    }
}
