//! Counting: the query API, `POST /api/v1/query` and `brine query`.
//!
//! Comes in: a JSON body in the shape of Plausible's Stats API v2. Goes out: an [`Answer`], counted from
//! `events`, or from the roll-ups of closed days where that is the same ([`rollup`]). Promises: exact numbers (nothing is
//! sampled or estimated), small rows hidden ([`protect`]), one
//! read-only statement per range under a limit of time and memory, ended when the asker leaves. Loses: what
//! has not left the spool yet; `meta.newest_event` says how new the numbers are.
//!
#![doc = include_str!("../../dashboards/MEANING.md")]

pub mod answer;
mod asker;
pub mod csv;
pub mod dimension;
pub mod export;
pub mod filter;
pub mod funnel;
pub(crate) mod literal;
pub mod metric;
pub mod period;
pub mod protect;
pub mod request;
pub mod rollup;
pub mod schema;
mod sql;
pub mod together;

use clickhouse::{Client, Row, RowOwned, RowRead};
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

pub use self::answer::Answer;
use self::answer::{About, Counted, Material};
use self::asker::Asker;
use self::dimension::Dimension;
pub(crate) use self::literal::literal;
use self::metric::Metric;
use self::period::{Asked, Made, Range};
use self::request::{Comparison, MAX_ROWS, Query, Refusal, Unread};
use self::rollup::{Form, Lost, Memo, Plan, Stored};
use self::sql::Counting;
use crate::config::{Site, Sites, settings};
use crate::salts::period::local_day;
use crate::store::StoreError;

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
    let memo = Memo::default();
    answer_with(client, sites, limits, body, now, Beside::About, &memo).await
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
    memo: &Memo,
) -> Result<Answer, QueryError> {
    let prepared = prepare(client, sites, limits, body, now, memo).await?;
    prepared.answer(beside).await
}

impl Prepared<'_> {
    async fn answer(self, beside: Beside) -> Result<Answer, QueryError> {
        let (query, plans) = (&self.query, &self.plans);
        if query.limit > MAX_ROWS {
            let reason = format!("at most {MAX_ROWS} rows are answered at once");
            return Err(Refusal::new("pagination.limit", query.limit, reason).into());
        }
        let earlier = self.earlier.zip(plans.earlier.as_ref());
        let (mut counted, around) = tokio::try_join!(
            self.asker
                .counted(query, self.range, &plans.range, query.limit, query.offset),
            self.asker
                .around(query, self.range, &plans.range, earlier, beside),
        )?;
        if let Some(i) = query.place_of(Metric::ConsentRate) {
            put_choices(&mut counted, i, &around.chosen);
        }
        Ok(self.finished(counted, around))
    }

    /// The answer that is made of counted rows.
    fn finished(self, counted: Vec<Counted>, around: Around) -> Answer {
        let k = self.asker.limits.k;
        Material {
            query: self.query,
            range: self.range,
            k,
            counted,
            compared: around.compared,
            about: around.about,
            salt_boundaries: around.salt_boundaries,
            labels: self.labels,
            lost: self.plans.lost(),
            gone: self.plans.warnings(k),
        }
        .answer()
    }
}

/// What is asked beside the rows of a query.
struct Around {
    /// The range that it is compared with, and its rows, whole.
    compared: Option<(Range, Vec<Counted>)>,
    about: About,
    salt_boundaries: Vec<Timestamp>,
    /// Consent choices, where its metrics ask for them.
    chosen: Vec<Choices>,
}

/// A query that was read, with its ranges in days or instants.
struct Prepared<'a> {
    asker: Asker<'a>,
    query: Query,
    range: Range,
    /// What it is compared with.
    earlier: Option<Range>,
    labels: Option<Vec<String>>,
    plans: Plans,
}

/// Where the days of the range, and of the one it is compared with, are read.
struct Plans {
    range: Plan,
    earlier: Option<Plan>,
}

impl Plans {
    fn lost(&self) -> Lost {
        self.range.what_is_lost()
    }

    /// What a reader must know of days whose events are gone.
    fn warnings(&self, k: u32) -> Vec<String> {
        [Some(&self.range), self.earlier.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|plan| plan.warnings(k))
            .collect()
    }
}

async fn prepare<'a>(
    client: &'a Client,
    sites: &Sites,
    limits: &'a settings::Query,
    body: &[u8],
    now: Timestamp,
    memo: &'a Memo,
) -> Result<Prepared<'a>, QueryError> {
    let query = request::parse(body, sites, now).map_err(|unread| match unread {
        Unread::Refused(refusal) => QueryError::BadRequest(refusal),
        Unread::UnknownSite => QueryError::UnknownSite,
    })?;
    let asker = Asker {
        client,
        limits,
        memo,
    };
    let range = asker.range(&query, now).await?;
    let labels = match query.dimensions.iter().find_map(Dimension::step) {
        Some(step) if query.is_labelled => {
            let labels = range.labels(step, &query.site.time_zone);
            Some(labels.map_err(|reason| Refusal::new("include.time_labels", true, reason))?)
        }
        _ => None,
    };
    let earlier = query.comparison.map(|comparison| match comparison {
        Comparison::Custom(range) => range,
        Comparison::Previous { match_weekday } => range.previous(match_weekday),
        Comparison::YearBefore { match_weekday } => {
            range.year_before(match_weekday, &query.site.time_zone)
        }
    });
    let plans = asker.plans(&query, range, earlier, now).await?;
    Ok(Prepared {
        asker,
        query,
        range,
        earlier,
        labels,
        plans,
    })
}

/// Returns the first local date of which a site has events (days since 1970-01-01).
///
/// # Errors
/// As [`answer()`].
pub async fn oldest_day(
    client: &Client,
    limits: &settings::Query,
    site: &Site,
    now: Timestamp,
    memo: &Memo,
) -> Result<Option<u16>, QueryError> {
    let asker = Asker {
        client,
        limits,
        memo,
    };
    asker.oldest_day(site, now).await
}

/// Consent choices of one point of time.
#[derive(Debug, Row, Deserialize)]
struct Choices {
    /// As in the answer; empty without a time dimension.
    label: String,
    grants: u64,
    denials: u64,
}

/// That a salt was made.
#[derive(Debug, Row, Deserialize)]
struct MadeRow {
    of_day: u16,
    at_ms: i64,
    is_first: u8,
}

impl MadeRow {
    fn read(self) -> Made {
        Made {
            period: self.of_day,
            at_ms: self.at_ms,
            is_first: self.is_first != 0,
        }
    }
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
    let memo = &Memo::default();
    let asker = Asker {
        client,
        limits,
        memo,
    };
    asker.ask(sql.to_owned()).await
}

impl Asker<'_> {
    async fn range(&self, query: &Query, now: Timestamp) -> Result<Range, QueryError> {
        match query.asked {
            Asked::Known(range) => Ok(range),
            Asked::All => {
                let today = local_day(now, &query.site.time_zone);
                let (events, finals) = tokio::try_join!(
                    self.oldest_day(&query.site, now),
                    self.day(sql::events::first_final_day(&query.site)),
                )?;
                let first = events.into_iter().chain(finals).min();
                Ok(Range::Days {
                    first: first.unwrap_or(today).min(today),
                    last: today,
                })
            }
        }
    }

    /// Chooses where the days of the range, and of the one it is compared with, are read.
    async fn plans(
        &self,
        query: &Query,
        range: Range,
        earlier: Option<Range>,
        now: Timestamp,
    ) -> Result<Plans, QueryError> {
        let site = &query.site;
        let nothing = Plan::events(rollup::stored(self, site).await?);
        let closed = rollup::last_closed(local_day(now, &site.time_zone));
        let spans: Vec<(u16, u16)> = [Some(range), earlier]
            .into_iter()
            .flatten()
            .filter(|range| matches!(range, Range::Days { .. }))
            .map(|range| range.days(&site.time_zone))
            .collect();
        let first = spans.iter().map(|(first, _)| *first).min();
        let last = spans.iter().map(|(_, last)| *last).max();
        let (Some(first), Some(last)) = (first.filter(|first| *first <= closed), last) else {
            return Ok(Plans {
                range: nothing.clone(),
                earlier: earlier.map(|_| nothing),
            });
        };
        let form = |range| self.statement(query, range, &nothing, 0, 0).form();
        let ranges = [Some(range), earlier].into_iter().flatten();
        let with_visits = ranges.map(form).any(|form| form == Form::Visits);
        let days = rollup::days(self, site, (first, last), with_visits).await?;
        let plan = |range: Range| match range {
            Range::Days { first, last } => {
                days.plan(form(range), first, last, nothing.stored.clone())
            }
            Range::Instants { .. } => nothing.clone(),
        };
        Ok(Plans {
            range: plan(range),
            earlier: earlier.map(plan),
        })
    }

    /// Returns the counting of a query over one range.
    fn statement<'q>(
        &self,
        query: &'q Query,
        range: Range,
        plan: &'q Plan,
        limit: u64,
        offset: u64,
    ) -> Counting<'q> {
        Counting {
            query,
            range,
            plan,
            k: self.limits.k,
            limit,
            offset,
        }
    }

    /// Counts a query over one range.
    async fn counted(
        &self,
        query: &Query,
        range: Range,
        plan: &Plan,
        limit: u64,
        offset: u64,
    ) -> Result<Vec<Counted>, QueryError> {
        let counting = self.statement(query, range, plan, limit, offset);
        if let Some(dimensioned) = plan.dimensioned() {
            let found = self.ask(counting.found(dimensioned)).await?;
            let counted = counting.shown(found, &counting.parts());
            if let Some(counted) = counted {
                return Ok(counted);
            }
        }
        self.counted_there(&counting).await
    }

    /// Counts and folds in ClickHouse.
    async fn counted_there(&self, counting: &Counting<'_>) -> Result<Vec<Counted>, QueryError> {
        let counted: Vec<Counted> = self.ask(counting.sql()).await?;
        if counted.first().is_none_or(|row| row.is_inexact == 0) {
            return Ok(counted);
        }
        let plan = &counting.plan.recounted();
        self.ask(Counting { plan, ..*counting }.sql()).await
    }

    async fn compared(
        &self,
        query: &Query,
        earlier: Option<(Range, &Plan)>,
    ) -> Result<Option<(Range, Vec<Counted>)>, QueryError> {
        let Some((range, plan)) = earlier else {
            return Ok(None);
        };
        let counted = self.counted(query, range, plan, MAX_ROWS, 0).await?;
        Ok(Some((range, counted)))
    }

    /// Asks for what stands beside the rows.
    async fn around(
        &self,
        query: &Query,
        range: Range,
        plan: &Plan,
        earlier: Option<(Range, &Plan)>,
        beside: Beside,
    ) -> Result<Around, QueryError> {
        let (mut compared, (about, salt_boundaries), chosen, chosen_before) = tokio::try_join!(
            self.compared(query, earlier),
            self.about(query, range, plan.stored.as_deref(), beside),
            self.choices(query, Some(range)),
            self.choices(query, earlier.map(|(range, _)| range)),
        )?;
        if let (Some(i), Some((_, rows))) = (query.place_of(Metric::ConsentRate), &mut compared) {
            put_choices(rows, i, &chosen_before);
        }
        Ok(Around {
            compared,
            about,
            salt_boundaries,
            chosen,
        })
    }

    /// Known by the parts, unless visitors are restricted. Otherwise it looks first where the oldest day of a site lies that
    /// has been measured for as long as its events are kept.
    async fn oldest_day(&self, site: &Site, now: Timestamp) -> Result<Option<u16>, QueryError> {
        let stored = rollup::stored(self, site).await?;
        if let Some(stored) = stored.filter(|stored| !stored.has_restrictions) {
            return Ok(stored.ends().map(|(first, _)| first));
        }
        let soon_over = local_day(now, &site.time_zone)
            .saturating_sub(site.retention_days)
            .saturating_add(7);
        for until in [soon_over, u16::MAX] {
            if let Some(day) = self.day(sql::events::first_day(site, until)).await? {
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    /// The one date that is asked for; days since 1970-01-01 are never 0 here.
    async fn day(&self, sql: String) -> Result<Option<u16>, QueryError> {
        let found: Vec<u16> = self.ask(sql).await?;
        Ok(found.first().copied().filter(|day| *day != 0))
    }

    /// Looks first at the last day that has events.
    async fn newest(
        &self,
        site: &Site,
        range: Range,
        stored: Option<&Stored>,
    ) -> Result<Vec<About>, QueryError> {
        if let Some(stored) = stored {
            let about: Vec<About> = self
                .ask(sql::events::about(site, range, Some(stored)))
                .await?;
            let is_found = |about: &About| about.newest_ms != 0;
            if stored.ends().is_none() || about.first().is_some_and(is_found) {
                return Ok(about);
            }
        }
        // The visitors of that day are all restricted.
        self.ask(sql::events::about(site, range, None)).await
    }

    /// Facts about site and range, and the instants at which its salt changed.
    async fn about(
        &self,
        query: &Query,
        range: Range,
        stored: Option<&Stored>,
        beside: Beside,
    ) -> Result<(About, Vec<Timestamp>), QueryError> {
        let site = &query.site;
        let (about, made) = match beside {
            Beside::Nothing => (Vec::new(), Vec::new()),
            Beside::About => tokio::try_join!(
                self.newest(site, range, stored),
                self.ask::<MadeRow>(sql::events::salts(site, range)),
            )?,
        };
        let made: Vec<Made> = made.into_iter().map(MadeRow::read).collect();
        let boundaries = range.salt_boundaries(&site.time_zone, site.rotation, &made);
        Ok((about.into_iter().next().unwrap_or_default(), boundaries))
    }

    /// Consent choices by the query's time, where its metrics ask for them.
    async fn choices(
        &self,
        query: &Query,
        range: Option<Range>,
    ) -> Result<Vec<Choices>, QueryError> {
        let step = query.dimensions.iter().find_map(Dimension::step);
        match (range, query.place_of(Metric::ConsentRate)) {
            (Some(range), Some(_)) => {
                self.ask(sql::events::choices(&query.site, range, step))
                    .await
            }
            _ => Ok(Vec::new()),
        }
    }
}
