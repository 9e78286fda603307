//! Final days whose rows in `daily` are of an earlier counting: what is about few in them goes.
//!
//! Comes in: two collectors that put the same month in place side by side, one of which had folded a day, while the other
//! copied it as it was before. Goes out: of that day the whole, where it is about `k` visitors or more, and nothing else.
//! Its events are going or gone, and which visitors its small rows have in common is not known any more: neither a row
//! nor what is missing from the whole may be about few. Promises that rows of the noted counting are never touched.

use clickhouse::Row;
use serde::Deserialize;

use super::sql::VITALS;
use super::sums::{FINAL, OF_A_DAY};
use crate::retention::rules::literal;
use crate::secret::random_bytes;
use crate::store::{Store, StoreError, within};

/// A day that is not what was noted; rows from before countings had numbers (0) were folded when they were made.
const OUTDATED: &str = "SELECT toString(site) AS on_site, toUInt16(day) AS on_day, stored.counting AS of_counting, noted.k AS k \
    FROM (SELECT DISTINCT site, day, counting FROM daily WHERE counting != 0) AS stored \
    INNER JOIN (SELECT site, day, counting, k FROM derived_days FINAL WHERE k > 0) AS noted USING (site, day) \
    WHERE stored.counting != noted.counting";

#[derive(Debug, Row, Deserialize)]
struct Outdated {
    on_site: String,
    on_day: u16,
    of_counting: u64,
    k: u32,
}

/// Takes off what is about few. Returns whether there was something.
///
/// # Errors
/// What ClickHouse said; done again, it goes on.
pub(super) async fn reduce(store: &Store) -> Result<bool, StoreError> {
    let found = store.client.query(OUTDATED).fetch_all::<Outdated>();
    let found = within(store.timeout * 10, found).await?;
    let has_sums = sums(store).await?;
    for day in &found {
        // By the number of their counting: what is put in place meanwhile is another one.
        let rows = format!(
            "site = {} AND day = toDate({}) AND counting = {}",
            literal(&day.on_site),
            day.on_day,
            day.of_counting
        );
        let marker = format!("{0} = {0}", u64::from_le_bytes(random_bytes()));
        let k = day.k;
        let vitals = VITALS.map(|name| format!("{name} = []")).join(", ");
        tracing::warn!(
            site = day.on_site,
            day = day.on_day,
            "a final day was put in place as it was before: its small rows go, and its dimensions with them"
        );
        let changes = format!(
            "DELETE WHERE ({marker}) AND {rows} AND (dimension != '' OR visitors < {k}), \
             UPDATE few = [], {vitals}, vital_visitors = [], vital_few = [], scroll = if(scroll_visitors < {k}, 0, scroll), \
             scroll_visits = if(scroll_visitors < {k}, 0, scroll_visits), \
             scroll_visitors = if(scroll_visitors < {k}, 0, scroll_visitors), counting = 0 WHERE {rows}"
        );
        store.mutate("daily", &marker, &changes).await?;
    }
    Ok(has_sums || !found.is_empty())
}

/// Takes off the sums of months with a final day. Returns whether there were some.
async fn sums(store: &Store) -> Result<bool, StoreError> {
    let rows = format!("NOT ({OF_A_DAY}) AND (site, toYYYYMM(day)) IN ({FINAL})");
    let sql = format!("SELECT count() FROM daily WHERE {rows}");
    let n_rows: u64 = within(store.timeout, store.client.query(&sql).fetch_one()).await?;
    if n_rows > 0 {
        let marker = format!("{0} = {0}", u64::from_le_bytes(random_bytes()));
        let change = format!("DELETE WHERE ({marker}) AND {rows}");
        store.mutate("daily", &marker, &change).await?;
    }
    Ok(n_rows > 0)
}
