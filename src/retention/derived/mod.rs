//! `visits` and `daily`: counted from `events` for every closed day.
//!
//! Comes in: the events of a day, less those of restricted visitors. Goes out: the day's rows of both tables, put in
//! place by REPLACE PARTITION once their numbers are those of the events. `visits` lies by day; `daily` by month, so that
//! a year is thirteen parts and not 365: its other days are copied beside the new ones. Promises that doing it again changes
//! nothing; that a day whose events have changed since (late ones, an erasure, a restriction) is counted anew; that a
//! day is counted before any of its events go; and that from then on, when nobody could count it again, its roll-ups
//! have no row about fewer than `k` visitors. A correction changes values of properties alone, which are in neither table.
//!
//! # What to ask them
//!
//! `daily` has a row for each value of each dimension of the query API, named as there, and one for the whole site
//! (`dimension = ''`); the hours of the week and the properties of events are two dimensions in one, with both values in
//! `value`. Every count adds up over days (visitors under daily salts). Averages are made of sums:
//! `duration_ms / visits`, `bounces / visits`, `pageviews / visits`. `visits` has a row a visit for what needs several
//! dimensions at once. A day is there when `derived_days` has it; the present and the day before are open. The query API
//! reads both where they give what `events` would (`stats::rollup`); a row about few visitors says which they are, by
//! their numbers within site and day, so that small rows of many days can be folded together and counted.
//!
//! Rows whose dimension begins with `month ` are the days of a month added up, on its first day (`sums`): whoever adds up days
//! leaves them out by naming a dimension.
//!
//! # Several collectors
//!
//! The job runs on one of them at a time; an erasure, and a restriction, have days counted on their own. All of them write
//! into the same tables of what comes next, so that only one counts at a time, or purges what is counted (`in_turn`).
//! Should a claim lapse unnoticed: each counting has a number, which is on its rows and in `derived_days`. Where a month
//! was put in place with a day as it was before, the two differ, nobody answers from that day, and the next run counts it
//! anew. Of a day that was final by then nobody can: what would be about few is taken off at once (`outdated`).
//!
//! # Rebuilding after a kind of event was purged
//!
//! Engagement events may go before the others. A day counted anew after that keeps, in `daily`, the engagement it had;
//! in `visits`, whose rows have no identity, it is 0.
//!
//! # Web vitals
//!
//! A percentile does not add up: `daily` has the values themselves, of the whole site and of its pages, without a word of
//! who told them but in small rows (`vital_few`, numbers as in `few`). They are kept as long as all events that told them: when
//! the first of a day go, the day is counted again without.
//!
//! # Funnels
//!
//! `daily` has how far the visitors of a day came in each funnel of the configuration (`stats::funnel`): under daily salts
//! that adds up. A funnel that is new, or that has other steps now, has the closed days of its site counted anew. Its rows are
//! not folded, because no step stands for another: they go when a day becomes final.
//!
//! May be lost: days so small that their whole is about fewer than `k` visitors leave nothing in `daily`.

mod fold;
mod month;
mod note;
mod outdated;
pub(crate) mod sql;
mod stale;
pub(crate) mod sums;
mod turn;

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use self::note::{Note, note};
use self::sql::Day;
use self::stale::stale;
use self::sums::Sums;
pub(super) use self::turn::in_turn;
use super::job::Job;
use super::rules::Rules;
use crate::collector::Collector;
use crate::config::settings::Rotation;
use crate::consent::token_day;
use crate::store::change::pressure;
use crate::store::{Store, StoreError, within};

/// Days after a day began until no zone's salt of it lives any more.
pub const CLOSED_AFTER: u16 = 2;

/// The tables that are counted, with the id of a partition that none has.
const TABLES: [(&str, &str); 4] = [
    ("visits", "19700101"),
    ("daily", "197001"),
    ("visits_next", "19700101"),
    ("daily_next", "197001"),
];

/// A site's day, as it is in `events` now.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
struct Print {
    site: String,
    day: u16,
    n_events: u64,
    checksum: u64,
    n_beside: u64,
    /// Events other than engagement and web vitals that are due.
    n_going: u64,
    /// Events of any name that are due: their day is counted although it may be open.
    n_due: u64,
    /// Events that told web vitals, and those of them that are due.
    n_vitals: u64,
    n_vitals_going: u64,
}

#[derive(Row, Deserialize)]
struct Sum {
    site: String,
    n: u64,
}

/// A day to count, and the sites it is counted for.
#[derive(Clone, Debug, Default)]
struct Work {
    prints: Vec<Print>,
    /// Sites whose events of the day are going.
    final_sites: BTreeSet<String>,
    /// Sites whose engagement events of the day are gone, with how many events beside there were before.
    carried: BTreeMap<String, u64>,
    /// Sites that were counted before.
    known: BTreeSet<String>,
    /// Those of them whose events are still what was counted.
    same: BTreeSet<String>,
    /// The same but for web vitals, which go, or funnels, which are new.
    same_visits: BTreeSet<String>,
    /// How long the salts of sites lived when their day was first counted.
    rotations: BTreeMap<String, String>,
}

impl Work {
    fn rotation<'a>(&'a self, rules: &Rules, site: &str) -> &'a str {
        let noted = self.rotations.get(site).filter(|noted| !noted.is_empty());
        noted.map_or_else(
            || rules.rotation(site).map_or("", Rotation::name),
            String::as_str,
        )
    }
}

/// What a counting holds (`derived_days.form`); days of an older form are counted anew. Grows with the tables' columns.
pub(crate) const FORM: u8 = 2;

/// From this form on `daily` has breakdowns by two dimensions.
pub(crate) const PAIRED: u8 = 2;

/// Days of a month that are put in place at once. Each time, the rest of the month is copied; what was counted and is not in
/// place is lost where one of them fails.
const AT_ONCE: usize = 10;

/// Counts site's days anew whose events an erasure has changed, so that nothing of them is in a visit or a count. Days
/// that are open have none; of days whose events are going no count is about fewer than `k`.
///
/// # Errors
/// What ClickHouse said; the next attempt, or the next run of the job, does it.
pub(crate) async fn recount(
    collector: &Collector,
    store: &Store,
    days: &BTreeSet<(String, u16)>,
) -> Result<(), StoreError> {
    let live = collector.live.load_full();
    let (today, k) = (token_day(collector.clock.now()), collector.config.query.k);
    let rules = Rules::new(today, k, &live.retention, &live.sites);
    build_all(store, &rules, Some(days), None).await.map(drop)
}

/// Counts every closed day that is not counted yet, or not from the events that are there now, as the job does. Returns how
/// many days that were.
///
/// # Errors
/// What ClickHouse said; done again, it goes on.
pub async fn count(store: &Store, rules: &Rules) -> Result<u32, StoreError> {
    build_all(store, rules, None, None).await
}

/// Counts what is stale, one day after the other; `job` hears how far it is. Returns how many days that were.
pub(super) async fn build_all(
    store: &Store,
    rules: &Rules,
    only: Option<&BTreeSet<(String, u16)>>,
    job: Option<&Job>,
) -> Result<u32, StoreError> {
    in_turn(store, build_stale(store, rules, only, job)).await
}

/// A site whose hold began meanwhile is not made final: its events stay, and an erasure has to reach what is counted of them.
fn expect_no_new_hold(rules: &Rules, job: Option<&Job>) -> Result<(), StoreError> {
    let held = job.map(Job::held).unwrap_or_default();
    match held
        .iter()
        .any(|site| rules.knows(site) && !rules.is_held(site))
    {
        true => Err(pressure("a legal hold has begun: the next run goes by it")),
        false => Ok(()),
    }
}

async fn build_stale(
    store: &Store,
    rules: &Rules,
    only: Option<&BTreeSet<(String, u16)>>,
    job: Option<&Job>,
) -> Result<u32, StoreError> {
    // What a counting that was killed has left there is of no use, and may be about somebody who is erased since.
    for next in ["visits_next", "daily_next"] {
        store.run(&format!("TRUNCATE TABLE {next}")).await?;
    }
    let mut days = stale(store, rules, only).await?;
    let n_days = days.len();
    let mut is_changed = n_days > 0 || outdated::reduce(store).await?;
    if let Some(job) = job {
        job.expect_steps(n_days);
    }
    for group in fold::groups(&mut days) {
        expect_no_new_hold(rules, job)?;
        if !fold::fold(store, rules, &group).await? {
            days.extend(group);
            continue;
        }
        tracing::debug!(days = group.len(), "days folded");
        if let Some(job) = job {
            for _ in &group {
                job.step("days folded");
            }
        }
    }
    for days in month::groups(&days, AT_ONCE) {
        expect_no_new_hold(rules, job)?;
        build(store, rules, &days, job).await?;
    }
    // Another collector may have folded days of these months meanwhile, which were put in place as they were before.
    if n_days > 0 {
        is_changed |= outdated::reduce(store).await?;
    }
    // Months of a former version, and those whose last day has no events.
    if only.is_none() {
        let sums = Sums {
            rules,
            final_sites: BTreeSet::new(),
        };
        for first in sums.lacking(store).await? {
            let month = month::Month::of([first].into_iter());
            month.clear(store).await?;
            month.put_in_place(store, "0", &sums).await?;
            is_changed = true;
        }
    }
    // What was there before must not stay beside: an erasure, for one, has to reach it.
    if is_changed {
        store.wipe_old_parts(&TABLES).await?;
    }
    Ok(n_days as u32)
}

/// Counts days of one month anew, verifies the numbers, and puts them in place of what was there.
///
/// # Errors
/// What ClickHouse said, or `Pressure` where the numbers differ: events of a day came or went meanwhile. The old rows of
/// `daily` are then still there.
async fn build(
    store: &Store,
    rules: &Rules,
    days: &[(u16, &Work)],
    job: Option<&Job>,
) -> Result<(), StoreError> {
    let counting = month::counting(store).await?;
    let month = month::Month::of(days.iter().map(|(day, _)| *day));
    month.clear(store).await?;
    let mut plans = Vec::new();
    for (day, work) in days {
        let plan = plan(store, rules, *day, work, counting).await?;
        store
            .run(&change_of_visits("visits_next", *day, "DROP"))
            .await?;
        let statements = [plan.visits_sql(), plan.daily_sql()];
        for statement in statements.into_iter().chain(plan.funnels_sql()) {
            let statement = store.client.query(&statement);
            within(store.timeout * 10, statement.execute()).await?;
        }
        verify(store, &plan, work, "_next").await?;
        store.run(&plan.kept_visits_sql()).await?;
        let sql = format!("SELECT count() FROM visits_next WHERE day = toDate({day})");
        let rows: u64 = within(store.timeout, store.client.query(&sql).fetch_one()).await?;
        // ClickHouse refuses to replace a partition by nothing.
        let change = if rows == 0 { "DROP" } else { "REPLACE" };
        store.run(&change_of_visits("visits", *day, change)).await?;
        store
            .run(&change_of_visits("visits_next", *day, "DROP"))
            .await?;
        plans.push((plan, *work));
        if let Some(job) = job {
            job.step("days counted");
        }
    }
    let prints = plans.iter().flat_map(|(_, work)| &work.prints);
    let meant = month::is_meant(prints.map(|print| (print.site.as_str(), print.day)));
    let sums = Sums {
        rules,
        final_sites: plans
            .iter()
            .flat_map(|(plan, _)| plan.final_sites.iter().map(String::as_str))
            .collect(),
    };
    month.put_in_place(store, &meant, &sums).await?;
    // Another collector may have counted the same days at the same moment.
    for (plan, work) in &plans {
        verify(store, plan, work, "").await?;
    }
    // Behind the tables: killed in between, the days are counted once more.
    let notes = plans.iter().flat_map(|(plan, work)| {
        work.prints.iter().map(|print| {
            let is_final = plan.final_sites.contains(&print.site);
            Note {
                print,
                k: if is_final { rules.k } else { 0 },
                // So that the next counting carries it, too.
                n_beside: *work.carried.get(&print.site).unwrap_or(&print.n_beside),
                time_zone: time_zone(rules, &print.site),
                has_vitals: plan.vitals.contains(&print.site),
                funnels: plan.funnels_of(&print.site),
                rotation: work.rotation(rules, &print.site),
            }
        })
    });
    let note = note(counting, notes);
    store.run(&note).await
}

/// What is done with a day's partition of a table of visits.
fn change_of_visits(table: &str, day: u16, change: &str) -> String {
    let partition = crate::salts::period::date_of(day).strftime("%Y%m%d");
    let from = match change {
        "REPLACE" => " FROM visits_next",
        _ => "",
    };
    format!("ALTER TABLE {table} {change} PARTITION ID '{partition}'{from}")
}

/// Decides for which sites a day is counted, and how.
async fn plan(
    store: &Store,
    rules: &Rules,
    day: u16,
    work: &Work,
    counting: u64,
) -> Result<Day, StoreError> {
    let sites = |is_in: &dyn Fn(&Print) -> bool| -> Vec<String> {
        let those = work.prints.iter().filter(|print| is_in(print));
        those.map(|print| print.site.clone()).collect()
    };
    let age = |of: fn(&crate::config::retention::Keep) -> u16| {
        move |site: &str| {
            let keep = rules.keep(site);
            keep.is_none_or(|keep| day.saturating_add(of(&keep)) > rules.today)
        }
    };
    let (visits_kept, daily_kept) = (age(|keep| keep.visits), age(|keep| keep.daily));
    // What was purged from a table does not come back because its events are still there.
    let purged_visits = purged(store, "visits", day, &work.known).await?;
    let purged_daily = purged(store, "daily", day, &work.known).await?;
    Ok(Day {
        day,
        counting,
        k: rules.k,
        all: sites(&|_| true),
        visits: sites(&|p| {
            visits_kept(&p.site)
                && !purged_visits.contains(&p.site)
                && !work.same_visits.contains(&p.site)
        }),
        same_visits: work.same_visits.iter().cloned().collect(),
        daily: sites(&|p| daily_kept(&p.site) && !purged_daily.contains(&p.site)),
        final_sites: work.final_sites.iter().cloned().collect(),
        carried: work.carried.keys().cloned().collect(),
        vitals: sites(&|p| !work.final_sites.contains(&p.site) && p.n_vitals_going == 0),
        zones: zones(rules, work.prints.iter().map(|print| print.site.as_str())),
        funnels: work
            .prints
            .iter()
            .filter(|print| !work.final_sites.contains(&print.site))
            .map(|print| (print.site.clone(), rules.funnels(&print.site).to_vec()))
            .collect(),
    })
}

/// The time zone that a site's hours are counted by.
fn time_zone<'a>(rules: &'a Rules, site: &str) -> &'a str {
    rules.time_zone(site).unwrap_or("UTC")
}

/// Sites with their time zones.
fn zones<'a>(rules: &Rules, sites: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let sites: BTreeSet<&str> = sites.collect();
    let zone = |site: &str| (site.to_owned(), time_zone(rules, site).to_owned());
    sites.into_iter().map(zone).collect()
}

/// Sites that were counted, and have no rows in the table any more.
async fn purged(
    store: &Store,
    table: &str,
    day: u16,
    known: &BTreeSet<String>,
) -> Result<BTreeSet<String>, StoreError> {
    if known.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = format!("SELECT DISTINCT toString(site) FROM {table} WHERE day = toDate({day})");
    let there: Vec<String> = within(store.timeout, store.client.query(&sql).fetch_all()).await?;
    Ok(known
        .iter()
        .filter(|site| !there.contains(site))
        .cloned()
        .collect())
}

/// The numbers of what was counted are those of the events.
async fn verify(store: &Store, plan: &Day, work: &Work, next: &str) -> Result<(), StoreError> {
    let day = plan.day;
    let fetch = async |sql: String| -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<Sum> = within(store.timeout, store.client.query(&sql).fetch_all()).await?;
        Ok(rows.into_iter().map(|sum| (sum.site, sum.n)).collect())
    };
    let visits = fetch(format!(
        "SELECT toString(site) AS site, sum(all_events) AS n FROM visits{next} WHERE day = toDate({day}) \
         GROUP BY site SETTINGS prefer_column_name_to_alias = 1"
    ))
    .await?;
    let daily = fetch(format!(
        "SELECT toString(site) AS site, sum(events) AS n FROM daily{next} WHERE day = toDate({day}) AND dimension = '' \
         GROUP BY site SETTINGS prefer_column_name_to_alias = 1"
    ))
    .await?;
    for print in &work.prints {
        let site = &print.site;
        let of = |counts: &BTreeMap<String, u64>| counts.get(site).copied().unwrap_or(0);
        let all = print.n_events + print.n_beside;
        let is_final = plan.final_sites.contains(site);
        let visits_fit = !plan.visits.contains(site) || of(&visits) == all;
        // A whole day about fewer than k visitors has no row once it is final.
        let daily_fits = !plan.daily.contains(site)
            || of(&daily) == print.n_events
            || (is_final && !daily.contains_key(site));
        if !visits_fit || !daily_fits {
            return Err(pressure("events of a day changed while it was counted"));
        }
    }
    Ok(())
}
