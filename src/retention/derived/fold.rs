//! Days that are counted, unchanged, and whose events go now: their small rows are folded, many days in one statement.
//!
//! Comes in: sites' days with their rows in `daily`. Goes out: the same with no row about fewer than `k`, as counting
//! them anew would have it, and the days final. Only who is in the folded rows is asked of `events`, and only where a
//! dimension has small rows; every sum is there already. Counting anew takes about 1 s CPU a day of 125,000 events;
//! what that came to stands in [`crate::retention`].

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::month::{Month, counting, is_meant};
use super::sql::{AT, FIRST, HOURS, NAMED_PROPS, PROPS, SHORT, hours_sql};
use super::sums::{OF_A_DAY, Sums};
use super::{Note, Print, Work, note, time_zone, zones};
use crate::retention::rules::Rules;
use crate::rights::rows::all_restricted;
use crate::stats::funnel::NO_FUNNEL;
use crate::store::change::pressure;
use crate::store::{Store, StoreError, within};

/// Days and events that one statement is about: its memory is bounded, and a claim is renewed in between.
const DAYS: usize = 25;
const EVENTS: u64 = 4_000_000;

#[derive(Row, Deserialize)]
struct Whole {
    site: String,
    day: u16,
    events: u64,
}

/// What stands in `daily` for whole sites, by site and day.
type Wholes = BTreeMap<(String, u16), u64>;

/// Takes the days off `days` that need no more than folding, in groups.
pub(super) fn groups(days: &mut BTreeMap<u16, Work>) -> Vec<Vec<(u16, Work)>> {
    let foldable: Vec<u16> = days
        .iter()
        .filter(|(_, work)| work.prints.iter().all(|p| work.same.contains(&p.site)))
        .map(|(day, _)| *day)
        .collect();
    let mut groups: Vec<Vec<(u16, Work)>> = Vec::new();
    let mut n_events = EVENTS;
    for day in foldable {
        let Some(work) = days.remove(&day) else {
            continue;
        };
        let n: u64 = work.prints.iter().map(|p| p.n_events + p.n_beside).sum();
        n_events += n;
        match groups.last_mut() {
            Some(group) if group.len() < DAYS && n_events <= EVENTS => group.push((day, work)),
            _ => {
                groups.push(vec![(day, work)]);
                n_events = n;
            }
        }
    }
    groups
}

/// Folds the days of a group and makes them final. Returns false, with nothing changed, where `daily` does not have
/// what the events are: then they are to be counted anew.
///
/// # Errors
/// What ClickHouse said, or `Pressure` where the numbers differ; the days are then done once more.
pub(super) async fn fold(
    store: &Store,
    rules: &Rules,
    group: &[(u16, Work)],
) -> Result<bool, StoreError> {
    let fold = Fold {
        k: rules.k,
        prints: group.iter().flat_map(|(_, work)| &work.prints).collect(),
        rules,
    };
    let stored = fold.wholes(store, "daily", 0).await?;
    let is_counted = fold.prints.iter().all(|print| {
        // Purged from `daily` before its events: nothing is left to fold.
        let whole = stored.get(&(print.site.clone(), print.day));
        whole.is_none_or(|events| *events == print.n_events)
    });
    if !is_counted {
        return Ok(false);
    }
    let expected = fold.wholes(store, "daily", rules.k).await?;
    let counting = counting(store).await?;
    let month = Month::of(group.iter().map(|(day, _)| *day));
    month.clear(store).await?;
    let small = fold.small_dimensions(store).await?;
    let statement = store.client.query(&fold.sql(&small, counting));
    within(store.timeout * 10, statement.execute()).await?;
    let differs = || pressure("a day's counts changed while they were folded");
    if fold.wholes(store, "daily_next", 0).await? != expected {
        return Err(differs());
    }
    let sums = Sums {
        rules,
        final_sites: fold.prints.iter().map(|p| p.site.as_str()).collect(),
    };
    month.put_in_place(store, &fold.is_meant(), &sums).await?;
    if fold.wholes(store, "daily", 0).await? != expected {
        return Err(differs());
    }
    // Behind the table: killed in between, the days are folded once more, which changes nothing.
    let works = group.iter().flat_map(|(_, work)| {
        let prints = work.prints.iter();
        prints.map(move |print| (print, work))
    });
    let notes = works.map(|(print, work)| Note {
        print,
        k: rules.k,
        n_beside: print.n_beside,
        time_zone: time_zone(rules, &print.site),
        has_vitals: false,
        funnels: Vec::new(),
        rotation: work.rotation(rules, &print.site),
    });
    store.run(&note(counting, notes)).await?;
    Ok(true)
}

struct Fold<'a> {
    k: u32,
    prints: Vec<&'a Print>,
    rules: &'a Rules,
}

impl Fold<'_> {
    /// SQL: the sites' days that are folded.
    fn is_meant(&self) -> String {
        is_meant(self.prints.iter().map(|p| (p.site.as_str(), p.day)))
    }

    fn zones(&self) -> Vec<(String, String)> {
        zones(
            self.rules,
            self.prints.iter().map(|print| print.site.as_str()),
        )
    }

    /// Events of whole sites; without those that fall away under `k`.
    async fn wholes(&self, store: &Store, table: &str, k: u32) -> Result<Wholes, StoreError> {
        let sql = format!(
            "SELECT toString(site) AS site, toUInt16(day) AS day, sum(events) AS events FROM {table} \
             WHERE {} AND dimension = '' AND visitors >= {k} GROUP BY site, day \
             SETTINGS prefer_column_name_to_alias = 1",
            self.is_meant()
        );
        let rows: Vec<Whole> = within(store.timeout, store.client.query(&sql).fetch_all()).await?;
        Ok(rows
            .into_iter()
            .map(|row| ((row.site, row.day), row.events))
            .collect())
    }

    fn is_small(&self) -> String {
        format!("(visitors < {} OR value = '(other)')", self.k)
    }

    async fn small_dimensions(&self, store: &Store) -> Result<BTreeSet<String>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT toString(dimension) FROM daily WHERE {} AND dimension != '' AND {NO_FUNNEL} AND {OF_A_DAY} AND {}",
            self.is_meant(),
            self.is_small()
        );
        let small: Vec<String> =
            within(store.timeout, store.client.query(&sql).fetch_all()).await?;
        Ok(small.into_iter().collect())
    }

    /// SQL: who was where, in the dimensions that have small rows. As in [`super::sql`].
    fn pairs_sql(&self, small: &BTreeSet<String>) -> String {
        let meant = format!(
            "{} AND (site, visitor) NOT IN ({})",
            self.is_meant(),
            all_restricted()
        );
        let (mut columns, mut of_visits, mut of_events) = (Vec::new(), Vec::new(), Vec::new());
        let mut has_props = false;
        for dimension in small {
            let of_event = |value: &str| format!("('{dimension}', {value})");
            match dimension.as_str() {
                "event:page" => of_events.push(of_event("path")),
                "event:hostname" => of_events.push(of_event("toString(hostname)")),
                "event:name" => of_events.push(of_event("toString(name)")),
                "event:goal" => of_events.push(of_event("concat('Visit ', path)")),
                "event:currency" => of_events.push(of_event("toString(currency)")),
                PROPS => has_props = true,
                HOURS => {
                    columns.push(format!(
                        "{} AS v_hours",
                        hours_sql(&self.zones(), "min(ts)")
                    ));
                    of_visits.push(of_event("v_hours"));
                }
                _ => {
                    let name = dimension.trim_start_matches("visit:");
                    let value = match name {
                        "entry_page" => format!("argMinIf(path, {AT}, name = 'pageview')"),
                        "exit_page" => format!("argMaxIf(path, {AT}, name = 'pageview')"),
                        "entry_page_hostname" => {
                            format!("argMinIf(hostname, {AT}, name = 'pageview')")
                        }
                        "exit_page_hostname" => {
                            format!("argMaxIf(hostname, {AT}, name = 'pageview')")
                        }
                        // A dimension of an earlier version: nobody can be told in it, and its small rows fall away.
                        _ if !FIRST.contains(&name) => continue,
                        _ => format!("argMin({name}, {AT})"),
                    };
                    columns.push(format!("{value} AS v_{name}"));
                    of_visits.push(format!("('{dimension}', toString(v_{name}))"));
                }
            }
        }
        let mut parts = Vec::new();
        if !of_visits.is_empty() {
            parts.push(format!(
                "SELECT site, day, visitor, visit, pair.1 AS dimension, pair.2 AS value FROM \
                 (SELECT toString(site) AS site, day, visit, any(visitor) AS visitor, {} FROM events WHERE {meant} \
                 GROUP BY site, day, visit SETTINGS prefer_column_name_to_alias = 1) ARRAY JOIN [{}] AS pair",
                columns.join(", "),
                of_visits.join(", ")
            ));
        }
        if !of_events.is_empty() || has_props {
            let props = match has_props {
                true => format!("arrayMap(named -> ('{PROPS}', named), {NAMED_PROPS})"),
                false => "[]".into(),
            };
            parts.push(format!(
                "SELECT toString(site) AS site, day, visitor, visit, pair.1 AS dimension, pair.2 AS value \
                 FROM events ARRAY JOIN arrayConcat([{}], {props}) AS pair WHERE {meant} \
                 AND (pair.1 NOT IN ('event:name', 'event:currency', '{PROPS}') OR name NOT IN {SHORT}) \
                 AND (pair.1 != 'event:goal' OR name = 'pageview') \
                 SETTINGS prefer_column_name_to_alias = 1",
                of_events.join(", ")
            ));
        }
        if parts.is_empty() {
            return "SELECT '' AS site, toDate(0) AS day, toUInt64(0) AS visitor, toUInt64(0) AS visit, \
                    '' AS dimension, '' AS value WHERE 0"
                .into();
        }
        parts.join(" UNION ALL ")
    }

    /// Small rows of a dimension become one, `(other)`. Where that one would still be about fewer than `k`, or of one
    /// small row alone, the smallest of the others joins it, as `stats::protect` does.
    fn sql(&self, small: &BTreeSet<String>, counting: u64) -> String {
        let (k, is_small) = (self.k, self.is_small());
        format!(
            "INSERT INTO daily_next WITH \
             stored AS (SELECT toString(site) AS site, day, toString(dimension) AS dimension, value, visitors, visits, pageviews, \
             events, bounces, duration_ms, engagement_ms, revenue, scroll_visitors >= {k} AS is_told, is_told * scroll AS depths, \
             is_told * scroll_visits AS visits_deep, is_told * scroll_visitors AS visitors_deep, {is_small} AS is_small FROM daily WHERE {meant} AND {NO_FUNNEL} AND {OF_A_DAY} \
             SETTINGS prefer_column_name_to_alias = 1), \
             plan AS (SELECT site, day, dimension, countIf(is_small) AS n_small, countIf(NOT is_small) AS n_large, \
             argMinIf(value, (visitors, value), NOT is_small) AS least FROM stored WHERE dimension != '' \
             GROUP BY site, day, dimension HAVING n_small > 0), \
             members AS (SELECT site, day, dimension, value, is_small FROM stored INNER JOIN plan USING (site, day, dimension) \
             WHERE is_small OR (n_large > 0 AND value = least)), \
             together AS (SELECT site, day, dimension, uniqExactIf(visitor, is_small) AS small_visitors, \
             uniqExactIf(visit, is_small) AS small_visits, uniqExact(visitor) AS all_visitors, uniqExact(visit) AS all_visits \
             FROM ({pairs}) AS pairs INNER JOIN members USING (site, day, dimension, value) GROUP BY site, day, dimension), \
             decided AS (SELECT site, day, dimension, least, n_large > 0 AND (n_small = 1 OR small_visitors < {k}) AS takes_least, \
             if(takes_least, all_visitors, small_visitors) AS n_visitors, if(takes_least, all_visits, small_visits) AS n_visits \
             FROM plan LEFT JOIN together USING (site, day, dimension)) \
             SELECT site, day, dimension, shown, any(if(is_folded, n_visitors, visitors)) AS n, \
             any(if(is_folded, n_visits, visits)), sum(pageviews), sum(events), sum(bounces), sum(duration_ms), \
             sum(engagement_ms), sum(revenue), sum(depths), sum(visits_deep), sum(visitors_deep), [], {counting}, [], [], [], [], [], [], [], [] FROM \
             (SELECT *, dimension != '' AND (is_small OR (takes_least AND value = least)) AS is_folded, \
             if(is_folded, '(other)', value) AS shown FROM stored LEFT JOIN decided USING (site, day, dimension)) \
             GROUP BY site, day, dimension, shown HAVING n >= {k}",
            meant = self.is_meant(),
            pairs = self.pairs_sql(small),
        )
    }
}
