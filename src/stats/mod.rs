//! Counting: the query API, `POST /api/v1/query` and `brine query`.
//!
//! Comes in: a JSON body in the shape of Plausible's Stats API v2. Goes out: an [`Answer`], counted from
//! `events`. Promises: exact numbers (nothing is sampled or estimated), small rows hidden ([`protect`]), one
//! read-only statement per range under a limit of time and memory, ended when the asker leaves. Loses: what
//! has not left the spool yet; `meta.newest_event` says how new the numbers are.
//!
//! # What the numbers mean
//!
//! **Event.** A row of `events`. `pageviews` counts events named `pageview`; `events` counts all but
//! `engagement` and `web_vitals`, which browsers report of a page and are nothing that a visitor did.
//!
//! **Visit.** The events of one pseudonym `visit`: the client's own visit, or, where the client names none, a
//! visitor's events with less than 30 minutes' silence between them. Its source, campaign, place, browser, …
//! are those of its first event (by time, then arrival). Its entry page is the path of its first pageview, its
//! exit page that of its last; both are `(not set)` without pageviews.
//!
//! **Visitor.** A pseudonym `visitor`. It lives as long as the site's salt (a day by default). Over several
//! salts visitors are the sum of those of each: who comes on three days counts three times. The answer says so
//! in `meta.warnings`, and `meta.salts` says how many there were. Nobody can count otherwise: the salts are gone.
//! `devices` are counted alike. Returning visitors are told by `visit:days_since_last`, the coarse bucket that
//! the visitor's own device reports.
//!
//! **Which midnight.** The site's (`time_zone`). A visit belongs to the day on which it began (column `day`), with
//! all its events: one that began at 23:50 and went on until 00:20 is one visit and one visitor of the day
//! before. So that days and hours agree, what it did after midnight stands in the last hour (minute) of that
//! day. An hour that clocks skip has no label; one that they repeat is one label for two hours.
//!
//! **Range of days or of instants.** Keywords and dates select whole visits by `day`; `"7d"` is today and the six
//! days before. Two instants (and `"24h"`) select single events by `ts`, both ends included; a visit is counted
//! if one of its events is in the range, and described as a whole; nothing is moved over midnight.
//!
//! **Bounce.** A visit with exactly one pageview and no interactive custom event. `bounce_rate` is the percentage
//! among visits. **Duration** of a visit is its last event's time less its first's, engagement reports included;
//! `visit_duration` is the average in seconds, bounces included.
//!
//! **Engagement.** `engagement_time` is the time pages were in view, as their engagement reports say, in seconds
//! per visit of the row. `scroll_depth` is the deepest scroll of each visit in the row, averaged over the
//! visits that reported one, in percent (in `(other)`: over the visits of each folded row).
//!
//! **Filters** select events: `event:` leaves ask about the event, `visit:` leaves about its visit, `has_done`
//! about any event of its visit. Visitors and visits are those with at least one selected event; a selected
//! visit is described as a whole. Engagement reports carry no properties and the name `engagement`: a filter by
//! name or property leaves no engagement time.
//!
//! **What belongs to which row.**
//!
//! | metric | visit: dimension | event:page, event:hostname | other event: | time: |
//! |---|---|---|---|---|
//! | visitors, visits | of such visits | with an event there | with such an event | with an event then |
//! | pageviews, events, engagement, scroll, revenue, vitals | of such visits | there | of such events | then |
//! | `bounce_rate`, `visit_duration` | of such visits | of visits entered there | refused | of visits begun then |
//! | `views_per_visit` | row's pageviews ÷ row's visits | same | same | same |
//! | `percentage` | row's visitors ÷ visitors of all rows together | same | same | same |
//!
//! Thus visitors of rows need not add up to the total (one visitor sees many pages); pageviews do.
//!
//! **Goal.** A custom event by its name; in filters also `Visit /path`. `conversion_rate` is the row's visitors in
//! percent of the visitors of the same query without its goal filter and without dimensions.
//!
//! **Money** is added within one currency only; where a row has several, it has no amount. **Web vitals** are
//! the 75th percentile over the events that carry them (the value at rank ⌊0.75 n⌋, counted from 0), exact.
//! Vitals, depth and amounts that fewer than `k` of a row's visitors have are withheld like small rows.

pub mod answer;
pub mod dimension;
pub mod filter;
mod literal;
pub mod metric;
pub mod period;
pub mod protect;
pub mod request;
mod sql;

use std::time::Duration;

use clickhouse::{Client, Row, RowOwned, RowRead};
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

pub use self::answer::Answer;
use self::answer::{About, Counted, Material};
use self::period::{Asked, Range};
use self::request::{Comparison, MAX_ROWS, Query, Refusal, Unread};
use self::sql::Counting;
use crate::config::{Sites, settings};
use crate::salts::period::local_day;
use crate::store::StoreError;

/// ClickHouse looks at its clock between blocks; by then it has ended the query itself.
const LATE: Duration = Duration::from_secs(5);

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The client mends its query.
    #[error(transparent)]
    BadRequest(#[from] Refusal),
    /// No site has that id or domain.
    #[error("no such site")]
    UnknownSite,
    /// More time or memory than a query may take; a shorter range or fewer dimensions will do.
    #[error("the query needs more than query.{limit} allows")]
    TooExpensive {
        /// Which key of the configuration.
        limit: &'static str,
    },
    /// ClickHouse cannot be asked now; the same query may be answered later.
    #[error("ClickHouse is not available")]
    Unavailable {
        /// What it, or the way to it, said.
        source: StoreError,
    },
    /// ClickHouse refused a statement of ours.
    #[error("the query could not be counted")]
    Failed {
        /// What it said.
        source: StoreError,
    },
}

impl QueryError {
    /// Tells whether the same query may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, QueryError::Unavailable { .. })
    }

    /// Tells whether the fault is brine's and not the asker's.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            QueryError::Unavailable { .. } | QueryError::Failed { .. }
        )
    }

    fn from_client(error: clickhouse::error::Error) -> QueryError {
        let source = StoreError::from_client(error);
        let StoreError::ClickHouse { code, .. } = &source else {
            return QueryError::Failed { source };
        };
        match code {
            // TIMEOUT_EXCEEDED, TOO_SLOW.
            Some(159 | 160) => QueryError::TooExpensive {
                limit: "max_seconds",
            },
            // MEMORY_LIMIT_EXCEEDED.
            Some(241) => QueryError::TooExpensive {
                limit: "max_memory_mib",
            },
            // CANNOT_COMPILE_REGEXP: RE2 lacks what our check let through.
            Some(427) => Refusal::new(
                "filters",
                "…",
                "holds a regular expression that RE2 does not take",
            )
            .into(),
            // No number: it was not ClickHouse that spoke. TOO_MANY_SIMULTANEOUS_QUERIES,
            // QUERY_WAS_CANCELLED, ABORTED, UNKNOWN_TABLE and UNKNOWN_DATABASE (before the first start is done).
            None | Some(202 | 394 | 236 | 60 | 81) => QueryError::Unavailable { source },
            Some(_) => QueryError::Failed { source },
        }
    }
}

/// Answers the query in `body` (at most [`request::MAX_BODY`] bytes) at the instant `now`.
///
/// # Errors
/// [`QueryError`], which says whether to mend the query, to shorten it or to ask again.
///
/// # Cancel safety
/// Dropping the future closes the connections, which ends the statements in ClickHouse.
pub async fn answer(
    client: &Client,
    sites: &Sites,
    limits: &settings::Query,
    body: &[u8],
    now: Timestamp,
) -> Result<Answer, QueryError> {
    let query = request::parse(body, sites, now).map_err(|unread| match unread {
        Unread::Refused(refusal) => QueryError::BadRequest(refusal),
        Unread::UnknownSite => QueryError::UnknownSite,
    })?;
    let asker = Asker { client, limits };
    let range = asker.range(&query, now).await?;
    let labels = match query
        .dimensions
        .iter()
        .find_map(|dimension| dimension.step())
    {
        Some(step) if query.is_labelled => {
            let labels = range.labels(step, &query.site.time_zone);
            Some(labels.map_err(|reason| Refusal::new("include.time_labels", true, reason))?)
        }
        _ => None,
    };
    let earlier = query.comparison.map(|comparison| match comparison {
        Comparison::Custom(range) => range,
        Comparison::Previous { match_weekday } => range.previous(match_weekday),
        Comparison::YearBefore { match_weekday } => range.year_before(match_weekday),
    });
    let counting = |range, limit, offset| Counting {
        query: &query,
        range,
        k: limits.k,
        limit,
        offset,
    };
    let (counted, compared, about) = tokio::try_join!(
        asker.ask::<Counted>(counting(range, query.limit, query.offset).sql()),
        async {
            match earlier {
                None => Ok(None),
                Some(range) => {
                    let counted = asker.ask(counting(range, MAX_ROWS, 0).sql()).await?;
                    Ok(Some((range, counted)))
                }
            }
        },
        asker.ask::<About>(sql::events::about(&query.site, range)),
    )?;
    let about = about.into_iter().next().unwrap_or_default();
    Ok(Material {
        query: &query,
        range,
        k: limits.k,
        counted,
        compared,
        about,
        labels,
    }
    .answer())
}

/// Asks ClickHouse, reading only and within limits.
struct Asker<'a> {
    client: &'a Client,
    limits: &'a settings::Query,
}

impl Asker<'_> {
    async fn range(&self, query: &Query, now: Timestamp) -> Result<Range, QueryError> {
        #[derive(Row, Deserialize)]
        struct First {
            day: u16,
        }
        match query.asked {
            Asked::Known(range) => Ok(range),
            Asked::All => {
                let today = local_day(now, &query.site.time_zone);
                let first: Vec<First> = self.ask(sql::events::first_day(&query.site)).await?;
                let first = first.first().map(|first| first.day).filter(|day| *day != 0);
                Ok(Range::Days {
                    first: first.unwrap_or(today).min(today),
                    last: today,
                })
            }
        }
    }

    async fn ask<T>(&self, sql: String) -> Result<Vec<T>, QueryError>
    where
        T: RowOwned + RowRead,
    {
        let seconds = self.limits.max_seconds;
        let memory_bytes = self.limits.max_memory_mib << 20;
        let query = self
            .client
            .query_raw(&sql)
            .with_setting("readonly", "1")
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_memory_usage", memory_bytes.to_string())
            // What one visit did on each page may be more than that: groups beyond go to disk.
            .with_setting(
                "max_bytes_before_external_group_by",
                (memory_bytes / 2).to_string(),
            )
            // A body of MAX_BODY bytes may grow fourfold where its texts are written as numbers.
            .with_setting("max_query_size", (8 * request::MAX_BODY).to_string())
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        let limit = Duration::from_secs(seconds.into()) + LATE;
        match tokio::time::timeout(limit, query.fetch_all::<T>()).await {
            Ok(rows) => rows.map_err(QueryError::from_client),
            Err(_) => Err(QueryError::TooExpensive {
                limit: "max_seconds",
            }),
        }
    }
}
