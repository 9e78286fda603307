//! Funnels: how many visitors reached each of several goals, one after the other.
//!
//! Comes in: the body of a query (site, range, filters) and 2 to 8 goals. Goes out: visitors by step. An event moves a
//! visitor on by at most one step, in the order of time and arrival; between two steps anything may happen. A visitor
//! lives as long as the site's salt: who takes the next step under another salt is not known to be the same.
//!
//! Promises that small numbers stay hidden, and with them the differences that would tell them: a step that fewer than
//! `k` visitors reached, or that fewer than `k` of those shown before it missed, has no number.

use clickhouse::{Client, Row};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::dimension::{AT, goals_sql};
use super::protect::is_gated;
use super::request::{self, Query, Refusal, Unread};
use super::rollup::{Memo, Spans};
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
    let sql = sql(&asker.statement(&query, range, &plan, 1, 0), steps);
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

/// The counting is of visitors, by nothing.
fn sql(counting: &Counting<'_>, steps: &[String]) -> String {
    let query = counting.query;
    let events = Events {
        only: None,
        ..counting.events()
    };
    let mut fields = Vec::new();
    query.filter.visit_fields(&mut fields);
    let join = join(&fields, |fields| {
        format!("({})", visits(&events, fields, false))
    });
    let mask: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            format!(
                "bitShiftLeft(toUInt16({}), {i})",
                goals_sql([step.as_str()].into_iter())
            )
        })
        .collect();
    let reached: Vec<String> = (1..=steps.len())
        .map(|n| format!("countIf(level >= {n})"))
        .collect();
    let everyone = counting.whole(&counting.events());
    // Without a filter everybody fits, and only events that are a step need be read.
    let (matched, steps) = match query.filter.is_empty() {
        true => (
            everyone.as_str(),
            goals_sql(steps.iter().map(String::as_str)),
        ),
        false => ("count()", query.filter.sql(&events.whole())),
    };
    format!(
        "SELECT [{reached}] AS reached, {matched} AS matched, {everyone} AS everyone FROM (\
         SELECT visitor, arrayFold((level, mask) -> toUInt8(level + bitTest(mask, level)), \
         arrayMap(pair -> pair.2, arraySort(groupArrayIf((at, mask), mask != 0))), toUInt8(0)) AS level FROM (\
         SELECT visitor, {AT} AS at, {mask} AS mask FROM events{join} WHERE {selected} AND {steps}) \
         GROUP BY visitor)",
        reached = reached.join(", "),
        mask = mask.join(" + "),
        selected = events.selected(),
    )
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
