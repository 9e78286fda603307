//! Which days are to be counted.
//!
//! Comes in: what `events` hold of each site's day now, and what it was when it was counted. Goes out: the days of which the
//! two differ, or of which something is lacking or has to go, with what is to be done for each site.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::{CLOSED_AFTER, FORM, Print, Work, sql};
use crate::retention::rules::{Kept, Rules, literal};
use crate::rights::rows::all_restricted;
use crate::stats::funnel;
use crate::store::{Store, StoreError, within};

/// A site's day, as it was when it was counted.
#[derive(Clone, Debug, Row, Deserialize)]
struct Counted {
    site: String,
    day: u16,
    n_events: u64,
    checksum: u64,
    n_beside: u64,
    k: u32,
    counting: u64,
    form: u8,
    time_zone: String,
    has_vitals: u8,
    n_vitals: u64,
    funnels: Vec<u64>,
    rotation: String,
}

/// Which counting a site's day is of, in a table.
#[derive(Clone, Debug, Row, Deserialize)]
struct Stored {
    site: String,
    day: u16,
    counting: u64,
}

/// Finds the days that are to be counted, in their order.
///
/// # Errors
/// What ClickHouse said.
pub(super) async fn stale(
    store: &Store,
    rules: &Rules,
    only: Option<&BTreeSet<(String, u16)>>,
) -> Result<BTreeMap<u16, Work>, StoreError> {
    let within_days = only.map_or_else(String::new, |days| {
        let pairs: Vec<String> = days
            .iter()
            .map(|(site, day)| format!("({}, toDate({day}))", literal(site)))
            .collect();
        format!(" AND (site, day) IN ({})", pairs.join(", "))
    });
    let last = rules.today.saturating_sub(CLOSED_AFTER);
    let due = rules.due_sql(Kept::Events);
    let sql = format!(
        "SELECT toString(site) AS site, toUInt16(day) AS day, countIf({MAIN}) AS n_events, \
         sumIf(cityHash64(visit, ts), {MAIN}) AS checksum, countIf(NOT {MAIN}) AS n_beside, \
         countIf({MAIN} AND {due} <= {today}) AS n_going, countIf({due} <= {today}) AS n_due, \
         countIf({some}) AS n_vitals, countIf(({some}) AND {due} <= {today}) AS n_vitals_going FROM events \
         WHERE (site, visitor) NOT IN ({}){within_days} GROUP BY site, day \
         HAVING toUInt16(day) <= {last} OR n_due > 0 ORDER BY day, site \
         SETTINGS prefer_column_name_to_alias = 1",
        all_restricted(),
        today = rules.today,
        some = sql::some_vital(),
    );
    // Reads some columns of every event: longer than a statement may usually take.
    let prints: Vec<Print> =
        within(store.timeout * 10, store.client.query(&sql).fetch_all()).await?;
    let sql = "SELECT toString(site) AS site, toUInt16(day) AS day, n_events, checksum, n_beside, k, counting, form, \
               toString(time_zone) AS time_zone, has_vitals, n_vitals, funnels, toString(rotation) AS rotation \
               FROM derived_days FINAL SETTINGS prefer_column_name_to_alias = 1";
    let counted: Vec<Counted> = within(store.timeout, store.client.query(sql).fetch_all()).await?;
    let mut counted: BTreeMap<(u16, String), Counted> = counted
        .into_iter()
        .map(|day| ((day.day, day.site.clone()), day))
        .collect();
    let in_place = in_place(store).await?;
    let mut days: BTreeMap<u16, Work> = BTreeMap::new();
    for print in prints {
        let before = counted.remove(&(print.day, print.site.clone()));
        // Its events are going or gone: nobody can count it again.
        if before.as_ref().is_some_and(|before| before.k > 0) {
            continue;
        }
        let is_going = print.n_going > 0;
        // An erasure has its days counted whatever their numbers say.
        let is_counted = only.is_none();
        let is_same = before
            .as_ref()
            .filter(|_| is_counted)
            .is_some_and(|before| {
                (before.n_events, before.checksum) == (print.n_events, print.checksum)
                    && before.n_beside >= print.n_beside
                    && before.form >= FORM
                    && rules
                        .time_zone(&print.site)
                        .is_none_or(|zone| zone == before.time_zone)
                    && is_in_place(&in_place, before)
            });
        // A final day has none, and is folded.
        let vitals_go = before
            .as_ref()
            .is_some_and(|before| before.has_vitals > 0 && !has_all_vitals(before, &print));
        // A new one, or other steps of one.
        let lacks_funnels = before.as_ref().is_some_and(|before| {
            let mut funnels = rules.funnels(&print.site).iter();
            funnels.any(|steps| !before.funnels.contains(&funnel::number(steps)))
        });
        if is_same && !is_going && !vitals_go && !lacks_funnels {
            continue;
        }
        let work = days.entry(print.day).or_default();
        let engagement = rules.keep(&print.site).map(|keep| keep.engagement);
        let is_over = engagement.is_some_and(|days| print.day.saturating_add(days) <= rules.today);
        if is_same && is_going {
            work.same.insert(print.site.clone());
        } else if is_same {
            work.same_visits.insert(print.site.clone());
        }
        if let Some(before) = before {
            work.rotations.insert(print.site.clone(), before.rotation);
            // Where nothing was counted (all of it restricted, then), that there are no rows says nothing.
            if before.n_events + before.n_beside > 0 {
                work.known.insert(print.site.clone());
            }
            // Purged, by a retention that may be longer by now; an erasure has its days counted from what is left.
            if (is_over || is_same) && print.n_beside < before.n_beside {
                work.carried.insert(print.site.clone(), before.n_beside);
            }
        }
        if is_going {
            work.final_sites.insert(print.site.clone());
        }
        work.prints.push(print);
    }
    if let Some(only) = only {
        counted.retain(|(day, site), _| only.contains(&(site.clone(), *day)));
    }
    // Days that have lost all their events, to an erasure or a restriction: nothing is left to count. Those whose
    // events were purged are final and stay.
    for ((day, site), before) in counted {
        if before.k == 0 && day <= last && before.n_events + before.n_beside > 0 {
            let work = days.entry(day).or_default();
            work.known.insert(site.clone());
            work.rotations.insert(site.clone(), before.rotation);
            work.prints.push(Print {
                site,
                day,
                n_events: 0,
                checksum: 0,
                n_beside: 0,
                n_going: 0,
                n_due: 0,
                n_vitals: 0,
                n_vitals_going: 0,
            });
        }
    }
    Ok(days)
}

/// What counts in a day's checksum; the other kinds may go before.
const MAIN: &str = "(name NOT IN ('engagement', 'web_vitals'))";

/// Asks which counting each site's day is of in both tables.
async fn in_place(store: &Store) -> Result<[BTreeMap<(u16, String), u64>; 2], StoreError> {
    let fetch = async |sql: &str| -> Result<BTreeMap<(u16, String), u64>, StoreError> {
        let rows: Vec<Stored> =
            within(store.timeout * 10, store.client.query(sql).fetch_all()).await?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| ((row.day, row.site), row.counting))
            .collect())
    };
    Ok([
        fetch(
            "SELECT toString(site) AS site, toUInt16(day) AS day, min(counting) AS counting FROM daily \
             WHERE dimension = '' GROUP BY site, day SETTINGS prefer_column_name_to_alias = 1",
        )
        .await?,
        fetch(
            "SELECT toString(site) AS site, toUInt16(day) AS day, min(counting) AS counting FROM visits \
             GROUP BY site, day SETTINGS prefer_column_name_to_alias = 1",
        )
        .await?,
    ])
}

/// Tells whether what is in place is what was noted. Rows that are not there were purged, and do not come back.
fn is_in_place(in_place: &[BTreeMap<(u16, String), u64>; 2], noted: &Counted) -> bool {
    let key = (noted.day, noted.site.clone());
    in_place
        .iter()
        .all(|table| table.get(&key).is_none_or(|n| *n == noted.counting))
}

/// Tells whether all events are there, and stay, that told a day's web vitals: where some go, `daily` keeps none.
fn has_all_vitals(before: &Counted, print: &Print) -> bool {
    print.n_vitals_going == 0 && print.n_vitals >= before.n_vitals
}
