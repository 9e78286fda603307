//! Counting: the query API, `POST /api/v1/query` and `brine query`.
//!
//! Comes in: a JSON body in the shape of Plausible's Stats API v2. Goes out: an [`Answer`], counted from
//! `events`, or from the roll-ups of closed days where that is the same ([`rollup`]). Promises: exact numbers (nothing is sampled or estimated), small rows hidden ([`protect`]), one
//! read-only statement per range under a limit of time and memory, ended when the asker leaves. Loses: what
//! has not left the spool yet; `meta.newest_event` says how new the numbers are.
//!
#![doc = include_str!("../../dashboards/MEANING.md")]

pub mod answer;
pub mod csv;
pub mod dimension;
pub mod filter;
pub mod funnel;
mod literal;
pub mod metric;
pub mod period;
pub mod protect;
pub mod request;
pub mod rollup;
pub mod schema;
mod sql;

use std::time::Duration;

use clickhouse::{Client, Row, RowOwned, RowRead};
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

pub use self::answer::Answer;
use self::answer::{About, Counted, Material};
use self::dimension::Dimension;
pub(crate) use self::literal::literal;
use self::metric::Metric;
use self::period::{Asked, Range};
use self::request::{Comparison, MAX_ROWS, Query, Refusal, Unread};
use self::rollup::{Form, Memo, Plan};
use self::sql::Counting;
use crate::config::{Site, Sites, settings};
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
    answer_with(client, sites, limits, body, now, Beside::About, None).await
}

/// What is answered besides the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Consent coverage and the newest event, in `meta`: one more statement.
    About,
    /// Nothing: one of several questions about the same range.
    Nothing,
}

/// Answers like [`answer()`], by the same statements; what stands in `meta` is chosen, and what is found out about days is
/// shared by the questions of a page.
///
/// # Errors
/// As [`answer()`].
///
/// # Cancel safety
/// As [`answer()`].
pub async fn answer_with(
    client: &Client,
    sites: &Sites,
    limits: &settings::Query,
    body: &[u8],
    now: Timestamp,
    beside: Beside,
    memo: Option<&Memo>,
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
    let plans = asker.plans(&query, range, earlier, now, memo).await?;
    let count = async |range: Range, plan: &Plan, limit, offset| {
        let counting = |plan| Counting {
            query: &query,
            range,
            plan,
            k: limits.k,
            limit,
            offset,
        };
        let is_of_daily = matches!(plan.form, Form::Daily(_)) && plan.is_used();
        let counted: Vec<Counted> = asker.ask_with(counting(plan).sql(), !is_of_daily).await?;
        if counted.first().is_none_or(|row| row.is_inexact == 0) {
            return Ok(counted);
        }
        asker.ask(counting(&plan.recounted()).sql()).await
    };
    let is_of_choices = query.metrics.contains(&Metric::ConsentRate);
    let step = query.dimensions.iter().find_map(Dimension::step);
    let choices = async |range: Range| match is_of_choices {
        false => Ok(Vec::new()),
        true => {
            let sql = sql::events::choices(&query.site, range, step);
            asker.ask::<Choices>(sql).await
        }
    };
    let (mut counted, mut compared, about, chosen, chosen_before) = tokio::try_join!(
        count(range, &plans.0, query.limit, query.offset),
        async {
            match earlier {
                None => Ok(None),
                Some(range) => {
                    let counted = count(range, &plans.1, MAX_ROWS, 0).await?;
                    Ok(Some((range, counted)))
                }
            }
        },
        async {
            match beside {
                Beside::About => asker.ask(sql::events::about(&query.site, range)).await,
                Beside::Nothing => Ok(Vec::<About>::new()),
            }
        },
        choices(range),
        async {
            match earlier {
                Some(range) => choices(range).await,
                None => Ok(Vec::new()),
            }
        },
    )?;
    if let Some(i) = query
        .metrics
        .iter()
        .position(|metric| *metric == Metric::ConsentRate)
    {
        put_choices(&mut counted, i, &chosen);
        if let Some((_, compared)) = &mut compared {
            put_choices(compared, i, &chosen_before);
        }
    }
    let about = about.into_iter().next().unwrap_or_default();
    Ok(Material {
        query: &query,
        range,
        k: limits.k,
        counted,
        compared,
        about,
        labels,
        gone: [&plans.0, &plans.1]
            .into_iter()
            .filter_map(|plan| plan.warning(limits.k))
            .collect(),
    }
    .answer())
}

/// Returns the first local date of which a site has events (days since 1970-01-01).
///
/// # Errors
/// As [`answer()`].
pub async fn oldest_day(
    client: &Client,
    limits: &settings::Query,
    site: &Site,
) -> Result<Option<u16>, QueryError> {
    Asker { client, limits }.first_day(site).await
}

/// Consent choices of one point of time.
#[derive(Debug, Row, Deserialize)]
struct Choices {
    /// As in the answer; empty without a time dimension.
    label: String,
    grants: u64,
    denials: u64,
}

/// Puts percentages of yes where the counted rows have a place for them.
fn put_choices(counted: &mut [Counted], i: usize, choices: &[Choices]) {
    for row in counted {
        let label = row.dimensions.first().map_or("", String::as_str);
        let found = choices.iter().find(|choice| choice.label == label);
        row.metrics[i] = found
            .map(|choice| (choice.grants, choice.grants + choice.denials))
            .filter(|(_, all)| *all > 0)
            .map(|(grants, all)| 100.0 * grants as f64 / all as f64);
    }
}

/// Asks a question of our own beside a query's, read-only and within its limits. Every word of another's must be a
/// literal in it.
///
/// # Errors
/// As [`answer()`].
pub(crate) async fn read<T>(
    client: &Client,
    limits: &settings::Query,
    sql: &str,
) -> Result<Vec<T>, QueryError>
where
    T: RowOwned + RowRead,
{
    Asker { client, limits }.ask(sql.to_owned()).await
}

/// Asks ClickHouse, reading only and within limits.
struct Asker<'a> {
    client: &'a Client,
    limits: &'a settings::Query,
}

impl Asker<'_> {
    /// Chooses where the days of the range, and of the one it is compared with, are read.
    async fn plans(
        &self,
        query: &Query,
        range: Range,
        earlier: Option<Range>,
        now: Timestamp,
        memo: Option<&Memo>,
    ) -> Result<(Plan, Plan), QueryError> {
        let site = &query.site;
        let nothing = Plan::events();
        let counting = Counting {
            query,
            range,
            plan: &nothing,
            k: self.limits.k,
            limit: 0,
            offset: 0,
        };
        let form = counting.form();
        let closed = rollup::last_closed(local_day(now, &site.time_zone));
        let spans: Vec<(u16, u16)> = [Some(range), earlier]
            .into_iter()
            .flatten()
            .filter(|range| matches!(range, Range::Days { .. }))
            .map(|range| range.days(&site.time_zone))
            .collect();
        let first = spans.iter().map(|(first, _)| *first).min();
        let last = spans.iter().map(|(_, last)| *last).max();
        let (Some(first), Some(last)) = (first, last) else {
            return Ok((nothing.clone(), nothing));
        };
        if first > closed {
            return Ok((nothing.clone(), nothing));
        }
        let days = match form {
            Form::Events => rollup::gone(self, site, first, last).await?,
            Form::Daily(_) | Form::Visits => rollup::days(self, memo, site, first, last).await?,
        };
        let plan = |range: Option<Range>| match range {
            Some(range @ Range::Days { .. }) => {
                let (first, last) = range.days(&site.time_zone);
                days.plan(form.clone(), first, last)
            }
            Some(Range::Instants { .. }) | None => nothing.clone(),
        };
        Ok((plan(Some(range)), plan(earlier)))
    }

    async fn range(&self, query: &Query, now: Timestamp) -> Result<Range, QueryError> {
        match query.asked {
            Asked::Known(range) => Ok(range),
            Asked::All => {
                let today = local_day(now, &query.site.time_zone);
                let (events, final_rows) = tokio::try_join!(
                    self.first_day(&query.site),
                    self.day(sql::events::first_final_day(&query.site))
                )?;
                let first = events.into_iter().chain(final_rows).min();
                Ok(Range::Days {
                    first: first.unwrap_or(today).min(today),
                    last: today,
                })
            }
        }
    }

    /// The first date that has an event.
    async fn first_day(&self, site: &Site) -> Result<Option<u16>, QueryError> {
        match self.day(sql::events::first_day(site, true)).await? {
            Some(day) => Ok(Some(day)),
            None => self.day(sql::events::first_day(site, false)).await,
        }
    }

    /// The one date that is asked for; days since 1970-01-01 are never 0 here.
    async fn day(&self, sql: String) -> Result<Option<u16>, QueryError> {
        #[derive(Row, Deserialize)]
        struct Found {
            day: u16,
        }
        let found: Vec<Found> = self.ask(sql).await?;
        Ok(found.first().map(|found| found.day).filter(|day| *day != 0))
    }

    async fn ask<T>(&self, sql: String) -> Result<Vec<T>, QueryError>
    where
        T: RowOwned + RowRead,
    {
        self.ask_with(sql, true).await
    }

    /// Asks with or without the engine's own choice of what to read first. Of roll-ups, which are many small parts, to read
    /// twice costs more than it saves (142 instead of 202 ms of CPU for a year's whole days).
    async fn ask_with<T>(&self, sql: String, is_read_in_two: bool) -> Result<Vec<T>, QueryError>
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
            .with_setting(
                "optimize_move_to_prewhere",
                if is_read_in_two { "1" } else { "0" },
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
