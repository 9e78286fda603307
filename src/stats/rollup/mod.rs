//! Which days are answered from roll-ups.
//!
//! Comes in: a query's range, and what `derived_days`, `daily`, `visits` and `events` say of its days now. Goes out: a
//! `Plan`, which divides the range. Promises the answer that counting `events` gives: a closed day is read from `daily` or
//! `visits` only as long as `events` have as many events of it as were counted, less those of restricted visitors;
//! a day with late events, and one whose counting an erasure or a restriction has overtaken, is read from `events` until the
//! job has counted it anew. Days whose events are gone are answered from their final rows, and the answer says so.
//!
//! What `daily` can answer: the whole site, or one dimension, by days, weeks and months, without filters; web vitals of the
//! site and of its pages; and two breakdowns by two dimensions, the hours of the week and the properties of all events.
//! What `visits` can: several dimensions of the visit, and filters by them. Both under daily salts alone, where visitors of
//! several days are the sum of each day's. Everything else is counted from `events`.
//!
//! Rows of `daily` are folded here (`fold`): a statement that folds takes ClickHouse longer to analyse than to run.
//!
//! # When events have changed
//!
//! Their number by day is compared at each query (`parts`). An event that came and another that was erased between two
//! countings would make up for each other; an erasure therefore has its days counted anew before it is answered
//! (`rights::erasing`), and the nightly job compares a checksum of every event. What stands in `daily` and `visits` must be
//! of the counting that was noted last.

mod daily;
mod fold;
mod parts;
mod plan;
mod spans;
mod visits;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;

use super::metric::Part;
use super::period::Range;
use super::{Asker, QueryError};
use crate::config::Site;
use crate::config::settings::Rotation;
use crate::retention::derived::{CLOSED_AFTER, FORM, PAIRED};
use crate::rights::rows::restricted;
use crate::salts::period::date_of;
use crate::stats::literal::literal;

pub(super) use self::daily::Dimensioned;
pub(super) use self::fold::apart;
pub(super) use self::parts::Stored;
use self::parts::{Derived, Table, derived};
pub(super) use self::plan::Plan;
pub(super) use self::spans::Spans;

/// How a query can be answered for closed days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Daily(Dimensioned, Needs),
    /// From `daily` where it has the funnel of this number.
    Funnel(u64),
    Visits,
    Events,
}

/// What a day's rows in `daily` must have besides the usual for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Web vitals; final rows have none.
    pub(super) vitals: bool,
    /// Breakdowns by two dimensions, which rows of the first form have not.
    pub(super) pairs: bool,
    /// Hours by the site's clock as it is now.
    pub(super) hours: bool,
}

/// What an answer lacks because events are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// Nothing: every day has its events.
    #[default]
    Nothing,
    /// Days are counted from final rows: what was small stands under `(other)`.
    Details,
    /// Days are missing: their final rows cannot answer this.
    Days,
}

/// What is known of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Counted from the events that are there now.
    Counted {
        is_in_daily: bool,
        is_in_visits: bool,
        has: Needs,
    },
    /// Its events are gone.
    Gone { has: Needs },
}

impl Needs {
    /// Tells whether a day that has this has what is needed.
    fn are_met(self, has: Needs) -> bool {
        (has.vitals || !self.vitals) && (has.pairs || !self.pairs) && (has.hours || !self.hours)
    }
}

/// What is known of a site's days; those that are not in it are open.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    sources: BTreeMap<u16, Source>,
    /// Days that were counted for a funnel, by its number.
    funnels: BTreeMap<u64, BTreeSet<u16>>,
    /// Months that are added up, by their first day: the last, and which days' rows they are of.
    months: BTreeMap<u16, (u16, Vec<u16>)>,
}

impl Days {
    /// Divides a range.
    pub(super) fn plan(
        &self,
        form: Form,
        first: u16,
        last: u16,
        stored: Option<Arc<Stored>>,
    ) -> Plan {
        let of = |is_in: &dyn Fn(u16, Source) -> bool| {
            let days = self
                .sources
                .range(first..=last)
                .filter(|(day, source)| is_in(**day, **source));
            Spans::of(days.map(|(day, _)| *day))
        };
        let is_counted = |day: u16, source: Source| match (source, &form) {
            (
                Source::Counted {
                    is_in_daily, has, ..
                },
                Form::Daily(_, needs),
            ) => is_in_daily && needs.are_met(has),
            (Source::Counted { is_in_daily, .. }, Form::Funnel(number)) => {
                let days = self.funnels.get(number);
                is_in_daily && days.is_some_and(|days| days.contains(&day))
            }
            // Whoever a filter spares is the rest of the whole, and that stands in `daily`.
            (
                Source::Counted {
                    is_in_daily,
                    is_in_visits,
                    ..
                },
                Form::Visits,
            ) => is_in_daily && is_in_visits,
            _ => false,
        };
        let counted = of(&is_counted);
        let is_whole = |days: &[u16]| {
            let source = |day: &u16| self.sources.get(day).copied();
            let is = |day: &u16| source(day).is_some_and(|source| is_counted(*day, source));
            days.iter().all(is)
        };
        let months = match form {
            Form::Daily(Dimensioned::By(_) | Dimensioned::Each(_), _) => {
                let months = self.months.range(first..=last);
                let whole = months.filter(|(_, (end, days))| *end <= last && is_whole(days));
                Spans::of(whole.flat_map(|(_, (_, days))| days.iter().copied()))
            }
            Form::Daily(Dimensioned::Whole, _) | Form::Funnel(_) | Form::Visits | Form::Events => {
                Spans::default()
            }
        };
        let is_told = |source: Source| match (source, &form) {
            (Source::Gone { has }, Form::Daily(_, needs)) => needs.are_met(has),
            _ => false,
        };
        let is_gone = |source: Source| matches!(source, Source::Gone { .. });
        let gone = of(&|_, source| is_told(source));
        let lost = of(&|_, source| is_gone(source) && !is_told(source));
        let is_open = |day: &u16| {
            let source = self.sources.get(day).copied();
            !source.is_some_and(|source| is_counted(*day, source) || is_gone(source))
        };
        let open = Spans::of((first..=last).filter(is_open));
        Plan {
            form,
            counted,
            months,
            gone,
            lost,
            open: Some(open),
            stored,
        }
    }
}

/// A row of `derived_days`.
#[derive(Debug, Row, Deserialize)]
struct Noted {
    on_day: u16,
    n_events: u64,
    n_beside: u64,
    k: u32,
    form: u8,
    counting: u64,
    time_zone: String,
    has_vitals: u8,
    funnels: Vec<u64>,
    rotation: String,
}

/// What `derived_days` says of a day, and which countings the tables hold.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    n_events: u64,
    n_beside: u64,
    k: u32,
    form: u8,
    counting: u64,
    has: Needs,
    daily: Option<u64>,
    visits: Option<u64>,
}

/// What was found out about days, for the questions of one page.
#[derive(Debug, Default)]
pub struct Memo {
    days: tokio::sync::Mutex<Vec<Asked>>,
    stored: tokio::sync::Mutex<Vec<(String, Option<Arc<Stored>>)>>,
}

/// A site, first and last day, whether `visits` were looked at, and what is known of the days between.
type Asked = (String, u16, u16, bool, Arc<Days>);

/// Returns which events a site has, by day; none where parts come and go too quickly to tell.
///
/// # Errors
/// As the query API.
pub(super) async fn stored(
    asker: &Asker<'_>,
    site: &Site,
) -> Result<Option<Arc<Stored>>, QueryError> {
    // The first of a page's questions asks, the others wait for it.
    let mut known = asker.memo.stored.lock().await;
    if let Some((_, stored)) = known.iter().find(|(of, _)| of == site.id.as_str()) {
        return Ok(stored.clone());
    }
    let stored = parts::stored(asker, site.id.as_str()).await?.map(Arc::new);
    known.push((site.id.to_string(), stored.clone()));
    Ok(stored)
}

/// Finds out about the days of a range. `visits` is a part a day, and looked at only where it is needed.
///
/// # Errors
/// As the query API.
pub(super) async fn days(
    asker: &Asker<'_>,
    site: &Site,
    (first, last): (u16, u16),
    with_visits: bool,
) -> Result<Arc<Days>, QueryError> {
    // As above.
    let mut known = asker.memo.days.lock().await;
    let found = known.iter().find(|(of, from, to, visits, _)| {
        of == site.id.as_str() && *from <= first && last <= *to && (*visits || !with_visits)
    });
    if let Some((.., days)) = found {
        return Ok(days.clone());
    }
    let days = Arc::new(ask(asker, site, first, last, with_visits).await?);
    known.push((site.id.to_string(), first, last, with_visits, days.clone()));
    Ok(days)
}

/// The last day that may be closed, seen from today.
pub(super) fn last_closed(today: u16) -> u16 {
    today.saturating_sub(CLOSED_AFTER)
}

/// Tells whether a day's visitors can be added to another's.
pub(super) fn adds_up(site: &Site, range: Range) -> bool {
    site.rotation == Rotation::Day && matches!(range, Range::Days { .. })
}

/// The column of `daily` that holds a part; `visits` has the same parts.
fn daily_column(part: Part) -> Option<&'static str> {
    Some(match part {
        // Visits of a row by what they are have all begun in it.
        Part::Visitors | Part::BeganVisitors => "visitors",
        Part::Visits | Part::Began => "visits",
        Part::Pageviews => "pageviews",
        Part::Events => "events",
        Part::Engaged => "engagement_ms",
        Part::Bounces => "bounces",
        Part::Duration => "duration_ms",
        Part::Scroll => "scroll",
        Part::ScrollVisitors => "scroll_visitors",
        Part::Devices
        | Part::Revenue
        | Part::Sales
        | Part::Currencies
        | Part::Buyers
        | Part::Vital(_)
        | Part::VitalVisitors(_) => return None,
    })
}

async fn ask(
    asker: &Asker<'_>,
    site: &Site,
    first: u16,
    last: u16,
    with_visits: bool,
) -> Result<Days, QueryError> {
    let id = literal(site.id.as_str());
    let within = format!(
        "site = {id} AND day BETWEEN '{}' AND '{}'",
        date_of(first),
        date_of(last)
    );
    let sql = format!(
        "SELECT toUInt16(day) AS on_day, n_events, n_beside, k, form, counting, \
         toString(time_zone) AS time_zone, has_vitals, funnels, toString(rotation) AS rotation \
         FROM derived_days FINAL WHERE {within}"
    );
    let (noted, stored, in_daily, in_visits) = tokio::try_join!(
        asker.ask::<Noted>(sql),
        stored(asker, site),
        in_place(asker, site, Table::Daily, &within),
        async {
            match with_visits {
                true => in_place(asker, site, Table::Visits, &within).await,
                false => Ok(Derived::default()),
            }
        },
    )?;
    let zone = site.time_zone.iana_name().or(Some("UTC"));
    let is_restricted = stored.as_ref().is_none_or(|stored| stored.has_restrictions);
    let mut facts: BTreeMap<u16, Facts> = BTreeMap::new();
    // Visitors of days under longer-lived salts do not add up: those of before a change are counted together.
    let adds_up =
        |noted: &Noted| noted.k > 0 || ["", Rotation::Day.name()].contains(&&*noted.rotation);
    let is_noted = |noted: &&Noted| noted.counting > 0 && adds_up(noted);
    for noted in noted.iter().filter(is_noted) {
        let day = Facts {
            n_events: noted.n_events,
            n_beside: noted.n_beside,
            k: noted.k,
            form: noted.form,
            counting: noted.counting,
            has: Needs {
                vitals: noted.has_vitals > 0,
                pairs: noted.form >= PAIRED,
                hours: noted.form >= PAIRED && Some(noted.time_zone.as_str()) == zone,
            },
            daily: in_daily.countings.get(&noted.on_day).copied(),
            visits: in_visits.countings.get(&noted.on_day).copied(),
        };
        facts.insert(noted.on_day, day);
    }
    if facts.is_empty() {
        return Ok(Days::default());
    }
    let n_stored = match stored {
        Some(stored) => facts
            .keys()
            .map(|day| (*day, stored.n_events(*day)))
            .collect(),
        None => counts(asker, &within).await?,
    };
    let n_restricted = match is_restricted {
        true => {
            counts(
                asker,
                &format!("{within} AND visitor IN ({})", restricted(&id)),
            )
            .await?
        }
        false => BTreeMap::new(),
    };
    let mut days = Days {
        months: months(&in_daily),
        ..Days::default()
    };
    for noted in &noted {
        for number in &noted.funnels {
            let of_funnel = days.funnels.entry(*number).or_default();
            of_funnel.insert(noted.on_day);
        }
    }
    let mut doubtful = Vec::new();
    for (day, facts) in &facts {
        let of = |counts: &BTreeMap<u16, u64>| counts.get(day).copied().unwrap_or(0);
        let n_now = of(&n_stored).saturating_sub(of(&n_restricted));
        // Of a final day some events may be left: late ones, where the retention has become longer since.
        let is_whole = of(&n_stored) >= facts.n_events;
        if facts.k > 0 && !is_whole && facts.n_events > 0 {
            let has = facts.has;
            days.sources.insert(*day, Source::Gone { has });
        } else if facts.k == 0 && facts.form >= FORM {
            match n_now.cmp(&(facts.n_events + facts.n_beside)) {
                Ordering::Equal => days.put(*day, facts, facts.has),
                Ordering::Less => doubtful.push(*day),
                Ordering::Greater => {}
            }
        }
    }
    if doubtful.is_empty() {
        return Ok(days);
    }
    // Engagement and web vitals may go before the others; what was counted of them stays.
    let main = format!(
        "site = {id} AND {} AND visitor NOT IN ({}) AND name NOT IN ('engagement', 'web_vitals')",
        Spans::of(doubtful.iter().copied()).sql(),
        restricted(&id),
    );
    let main = counts(asker, &main).await?;
    for day in doubtful {
        if let Some(facts) = facts.get(&day)
            && main.get(&day).copied().unwrap_or(0) == facts.n_events
        {
            // And so may the vitals that stand in it.
            let has = Needs {
                vitals: false,
                ..facts.has
            };
            days.put(day, facts, has);
        }
    }
    Ok(days)
}

/// The months that are added up in `daily`, with the days that they are of.
fn months(daily: &Derived) -> BTreeMap<u16, (u16, Vec<u16>)> {
    let month = |first: &u16| {
        let last = first + date_of(*first).days_in_month() as u16 - 1;
        let days = daily.countings.range(first..=&last);
        (*first, (last, days.map(|(day, _)| *day).collect()))
    };
    daily.months.iter().map(month).collect()
}

/// What a derived table has of a site.
async fn in_place(
    asker: &Asker<'_>,
    site: &Site,
    table: Table,
    within: &str,
) -> Result<Derived, QueryError> {
    if let Some(derived) = derived(asker, table, site.id.as_str()).await? {
        return Ok(derived);
    }
    let (name, whole) = match table {
        Table::Daily => ("daily", " AND dimension = ''"),
        Table::Visits | Table::Events => ("visits", ""),
    };
    let sql = format!(
        "SELECT toUInt16(day) AS on_day, min(counting) AS n FROM {name} WHERE {within}{whole} GROUP BY day"
    );
    Ok(Derived {
        countings: asker.ask::<(u16, u64)>(sql).await?.into_iter().collect(),
        // Quicker, and not needed.
        months: BTreeSet::new(),
    })
}

/// Counts events by day.
async fn counts(asker: &Asker<'_>, condition: &str) -> Result<BTreeMap<u16, u64>, QueryError> {
    let sql = format!(
        "SELECT toUInt16(day) AS on_day, count() AS n FROM events WHERE {condition} GROUP BY day"
    );
    Ok(asker.ask::<(u16, u64)>(sql).await?.into_iter().collect())
}

impl Days {
    /// Each table by itself must hold what was noted: they have retentions of their own.
    fn put(&mut self, day: u16, facts: &Facts, has: Needs) {
        let is_in_daily = facts.daily == Some(facts.counting);
        let is_in_visits = facts.visits == Some(facts.counting);
        if is_in_daily || is_in_visits {
            let counted = Source::Counted {
                is_in_daily,
                is_in_visits,
                has,
            };
            self.sources.insert(day, counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_divided_without_gap_or_overlap() {
        let has = Needs::default();
        let counted = Source::Counted {
            is_in_daily: true,
            is_in_visits: false,
            has,
        };
        let with_vitals = Source::Counted {
            is_in_daily: true,
            is_in_visits: false,
            has: Needs {
                vitals: true,
                ..has
            },
        };
        let sources = [
            (10, Source::Gone { has }),
            (11, with_vitals),
            (12, counted),
            (14, counted),
        ]
        .into();
        let days = Days {
            sources,
            funnels: [(7, [11, 14].into())].into(),
            months: BTreeMap::new(),
        };
        let plan = days.plan(Form::Daily(Dimensioned::Whole, has), 9, 15, None);
        assert_eq!(plan.gone, Spans(vec![(10, 10)]));
        assert_eq!(plan.counted, Spans(vec![(11, 12), (14, 14)]));
        assert_eq!(plan.open, Some(Spans(vec![(9, 9), (13, 13), (15, 15)])));
        assert_eq!(plan.recounted().open, Some(Spans(vec![(9, 9), (11, 15)])));
        let plan = days.plan(Form::Visits, 9, 15, None);
        assert_eq!(plan.open, Some(Spans(vec![(9, 9), (11, 15)])));
        assert_eq!(plan.lost, Spans(vec![(10, 10)]));
        let needs = Needs {
            vitals: true,
            ..has
        };
        let plan = days.plan(Form::Daily(Dimensioned::Whole, needs), 9, 15, None);
        assert_eq!(plan.counted, Spans(vec![(11, 11)]));
        assert_eq!(
            (plan.gone, plan.lost),
            (Spans::default(), Spans(vec![(10, 10)]))
        );
        assert_eq!(plan.open, Some(Spans(vec![(9, 9), (12, 15)])));
        let plan = days.plan(Form::Funnel(7), 9, 15, None);
        assert_eq!(plan.counted, Spans(vec![(11, 11), (14, 14)]));
        assert_eq!(plan.lost, Spans(vec![(10, 10)]));
        assert_eq!(plan.open, Some(Spans(vec![(9, 9), (12, 13), (15, 15)])));
        let plan = days.plan(Form::Funnel(8), 9, 15, None);
        assert!(plan.counted.is_empty());
    }
}
