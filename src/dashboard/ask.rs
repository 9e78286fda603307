//! What a page asks: JSON bodies of the query API, several at a time.
//!
//! Comes in: a [`View`] and a panel. Goes out: the query API's own answers, so that page and API
//! agree by construction. Bounded: at most `PARALLEL` statements of all pages together run at once; further ones wait
//! their turn, and are dropped with their page when the reader leaves.

use std::future::poll_fn;
use std::task::Poll;

use clickhouse::{Client, RowOwned, RowRead};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::panels::Tab;
use super::view::View;
use crate::config::{Site, Sites, settings};
use crate::stats::export::{Export, Format, export};
use crate::stats::funnel::{self, Funnel};
use crate::stats::request::MAX_EXPORT;
use crate::stats::rollup::Memo;
use crate::stats::together::{Answered, bundles};
use crate::stats::{self, Answer, Beside, QueryError};

/// Statements that run at once. Each may use every core; more of them than this only wait for each other.
pub(super) const PARALLEL: usize = 4;

/// Rows of a panel on the site's page.
pub(super) const FEW: u64 = 9;

/// Rows of a panel's own page.
pub(super) const MANY: u64 = 100;

/// The figures on top, in order.
pub(super) const TOP: [&str; 8] = [
    "visitors",
    "visits",
    "pageviews",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
    "engagement_time",
    "scroll_depth",
];

/// Asks for one page.
pub(super) struct Asker<'a> {
    pub(super) client: &'a Client,
    pub(super) sites: &'a Sites,
    pub(super) limits: &'a settings::Query,
    pub(super) turns: &'a Semaphore,
    pub(super) now: Timestamp,
    /// Of this page alone: the next one looks anew.
    pub(super) memo: Memo,
}

impl Asker<'_> {
    /// Asks what the query API would be asked.
    ///
    /// # Errors
    /// As the query API.
    pub(super) async fn ask(&self, query: Value, beside: Beside) -> Result<Answer, QueryError> {
        // The semaphore is never closed; without a turn the question is asked all the same.
        let _turn = self.turns.acquire().await.ok();
        let body = query.to_string();
        let body = body.as_bytes();
        let (sites, limits, memo) = (self.sites, self.limits, &self.memo);
        stats::answer_with(self.client, sites, limits, body, self.now, beside, memo).await
    }

    /// Asks several things about the same range: those that read the same in one statement.
    pub(super) async fn ask_all(&self, queries: &[Value]) -> Vec<Result<Answer, QueryError>> {
        let bodies: Vec<String> = queries.iter().map(Value::to_string).collect();
        let bundles = {
            let _turn = self.turns.acquire().await.ok();
            let (sites, limits) = (self.sites, self.limits);
            bundles(self.client, sites, limits, &bodies, self.now, &self.memo).await
        };
        let answers = bundles.into_iter().map(|bundle| async {
            let _turn = self.turns.acquire().await.ok();
            bundle.answer().await
        });
        let mut answers: Vec<Answered> =
            all(answers.collect()).await.into_iter().flatten().collect();
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Asks for CSV of any length.
    ///
    /// # Errors
    /// As the query API.
    pub(super) async fn export(&self, mut query: Value) -> Result<Export, QueryError> {
        // Until it has counted; it is written as slowly as its reader takes it.
        let _turn = self.turns.acquire().await.ok();
        query["pagination"] = json!({ "limit": MAX_EXPORT });
        let body = query.to_string();
        let body = body.as_bytes();
        export(
            self.client,
            self.sites,
            self.limits,
            body,
            self.now,
            Format::Csv,
        )
        .await
    }

    /// Counts a funnel; none where no steps are asked for.
    pub(super) async fn funnel(
        &self,
        site: &Site,
        view: &View,
        steps: &[String],
    ) -> Option<Result<Funnel, QueryError>> {
        if steps.is_empty() {
            return None;
        }
        let _turn = self.turns.acquire().await.ok();
        let body = question(site, view, &[], &["visitors"], |_| ());
        let (sites, limits) = (self.sites, self.limits);
        let memo = &self.memo;
        Some(funnel::funnel(self.client, sites, limits, &body, steps, self.now, memo).await)
    }

    /// The first local date of which the site has events.
    ///
    /// # Errors
    /// As the query API.
    pub(super) async fn oldest_day(&self, site: &Site) -> Result<Option<u16>, QueryError> {
        let _turn = self.turns.acquire().await.ok();
        stats::oldest_day(self.client, self.limits, site, self.now, &self.memo).await
    }

    /// Asks what the query API has no words for.
    ///
    /// # Errors
    /// As the query API.
    pub(super) async fn rows<T>(&self, sql: &str) -> Result<Vec<T>, QueryError>
    where
        T: RowOwned + RowRead,
    {
        let _turn = self.turns.acquire().await.ok();
        stats::read(self.client, self.limits, sql).await
    }
}

/// The figures on top, with what they are compared with.
pub(super) fn top(site: &Site, view: &View) -> Value {
    question(site, view, &[], &TOP, |query| {
        if let Some(comparisons) = view.comparisons() {
            query["include"] = json!({ "comparisons": comparisons });
        }
    })
}

/// The main graph.
pub(super) fn graph(site: &Site, view: &View, step: &str) -> Value {
    let time = format!("time:{step}");
    question(site, view, &[&time], &[view.metric.as_str()], |query| {
        query["include"] = json!({ "time_labels": true });
        if let Some(comparisons) = view.comparisons() {
            query["include"]["comparisons"] = comparisons;
        }
    })
}

/// The main graph with consent coverage beside it, where these are of the same points of time; filters do not apply to
/// those who said no.
pub(super) fn graph_with_consent(site: &Site, view: &View, step: &str) -> Option<Value> {
    let is_same = !matches!(step, "minute" | "hour") && view.filters.is_empty();
    is_same.then(|| {
        let mut query = graph(site, view, step);
        query["metrics"] = json!([view.metric.as_str(), "consent_rate"]);
        query
    })
}

/// One tab of a panel.
pub(super) fn breakdown(site: &Site, view: &View, tab: &Tab<'_>, is_whole: bool) -> Value {
    let metrics = if is_whole {
        tab.all_metrics
    } else {
        tab.metrics
    };
    let limit = match tab.is_filter {
        // Every hour of the week.
        false => 200,
        true if is_whole => MANY,
        true => FEW,
    };
    question(site, view, tab.dimensions, metrics, |query| {
        query["pagination"] = json!({ "limit": limit, "offset": view.offset });
    })
}

/// Consent coverage over time; filters do not apply to those who said no.
pub(super) fn consent(site: &Site, view: &View, step: &str) -> Value {
    json!({
        "site_id": site.id.as_str(),
        "metrics": ["consent_rate"],
        "dimensions": [format!("time:{step}")],
        "date_range": view.date_range(),
        "include": { "time_labels": true },
    })
}

/// The last half hour.
pub(super) fn now(site: &Site, now: Timestamp, dimensions: &[&str], metrics: &[&str]) -> Value {
    let from = now.as_second() - 30 * 60;
    let text = |second| Timestamp::from_second(second).unwrap_or(now).to_string();
    json!({
        "site_id": site.id.as_str(),
        "metrics": metrics,
        "dimensions": dimensions,
        "date_range": [text(from), text(now.as_second())],
        "pagination": { "limit": 40 },
    })
}

fn question(
    site: &Site,
    view: &View,
    dimensions: &[&str],
    metrics: &[&str],
    more: impl FnOnce(&mut Value),
) -> Value {
    let mut query = json!({
        "site_id": site.id.as_str(),
        "metrics": metrics,
        "dimensions": dimensions,
        "date_range": view.date_range(),
        "filters": view.filters,
    });
    more(&mut query);
    query
}

/// Waits for all of them, which go on side by side.
pub(super) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut under_way: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    poll_fn(|context| {
        for (future, output) in &mut under_way {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        match under_way.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    under_way
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
