//! `daily` lies by month: how days of it are put in place.
//!
//! Comes in: counted days in `daily_next`. Goes out: their months' partitions in `daily`, the other days as they were.
//! Promises that a month is replaced as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::Work;
use super::sums::{OF_A_DAY, Sums};
use crate::retention::rules::literal;
use crate::salts::period::date_of;
use crate::store::change::pressure;
use crate::store::{Store, StoreError, within};

/// Months whose partitions are replaced together.
#[derive(Debug)]
pub(super) struct Month(BTreeSet<String>);

/// Divides days into groups of one month each, of at most so many.
pub(super) fn groups(days: &BTreeMap<u16, Work>, at_once: usize) -> Vec<Vec<(u16, &Work)>> {
    let mut groups: Vec<Vec<(u16, &Work)>> = Vec::new();
    for (day, work) in days {
        match groups.last_mut() {
            Some(group)
                if group.len() < at_once
                    && group.last().is_some_and(|(last, _)| id(*last) == id(*day)) =>
            {
                group.push((*day, work));
            }
            _ => groups.push(vec![(*day, work)]),
        }
    }
    groups
}

/// Returns a number for a counting, by ClickHouse's clock: each is above those before it, also where that was set back.
pub(super) async fn counting(store: &Store) -> Result<u64, StoreError> {
    let sql = "SELECT greatest(toUInt64(toUnixTimestamp64Nano(now64(9))), assumeNotNull((SELECT max(counting) + 1 FROM derived_days)))";
    within(store.timeout, store.client.query(sql).fetch_one()).await
}

fn id(day: u16) -> String {
    date_of(day).strftime("%Y%m").to_string()
}

impl Month {
    /// The months of the days.
    pub(super) fn of(days: impl Iterator<Item = u16>) -> Month {
        Month(days.map(id).collect())
    }

    fn each(&self, change: impl Fn(&str) -> String) -> String {
        let changes: Vec<String> = self.0.iter().map(|id| change(id)).collect();
        changes.join(", ")
    }

    /// Empties what comes next.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(super) async fn clear(&self, store: &Store) -> Result<(), StoreError> {
        let drops = self.each(|id| format!("DROP PARTITION ID '{id}'"));
        store.run(&format!("ALTER TABLE daily_next {drops}")).await
    }

    /// Puts the months in place: of the sites' days that are meant (SQL, [`is_meant`]) what stands in `daily_next`, of all
    /// others what is there, and what they come to.
    ///
    /// # Errors
    /// What ClickHouse said; `daily` is then as it was.
    pub(super) async fn put_in_place(
        &self,
        store: &Store,
        meant: &str,
        sums: &Sums<'_>,
    ) -> Result<(), StoreError> {
        let ids = self.each(|id| format!("'{id}'"));
        let kept = format!(
            "INSERT INTO daily_next SELECT * FROM daily WHERE _partition_id IN ({ids}) AND {OF_A_DAY} AND NOT ({meant})"
        );
        let rows = |table: &str, which: &str| {
            let sql = format!(
                "SELECT count() FROM {table} WHERE _partition_id IN ({ids}) AND {OF_A_DAY} AND {which}"
            );
            let query = store.client.query(&sql);
            async move { within::<u64>(store.timeout, query.fetch_one()).await }
        };
        let n_meant = rows("daily_next", &format!("({meant})")).await?;
        for statement in [kept, sums.sql(&ids)] {
            let statement = store.client.query(&statement);
            within(store.timeout * 10, statement.execute()).await?;
        }
        // A month is read by every question about it: as one part, and not as one of each day that was counted.
        for id in &self.0 {
            let merge = format!("OPTIMIZE TABLE daily_next PARTITION ID '{id}' FINAL");
            let merge = store.client.query(&merge);
            // Quicker to read, and nothing more: an operator may have stopped merges.
            if let Err(error) = within(store.timeout * 10, merge.execute()).await {
                tracing::debug!(error = %error, month = id, "a month of daily was not merged");
            }
        }
        // Nobody else writes there, and a purge waits: were it otherwise, what is missing would be gone for good.
        let n_kept = rows("daily", &format!("NOT ({meant})")).await?;
        if rows("daily_next", "1").await? != n_meant + n_kept {
            return Err(pressure(
                "a month of daily changed while it was put in place",
            ));
        }
        let there =
            format!("SELECT DISTINCT _partition_id FROM daily_next WHERE _partition_id IN ({ids})");
        let there: Vec<String> =
            within(store.timeout, store.client.query(&there).fetch_all()).await?;
        // ClickHouse refuses to replace a partition by nothing.
        let replaced = self.each(|id| match there.iter().any(|there| there == id) {
            true => format!("REPLACE PARTITION ID '{id}' FROM daily_next"),
            false => format!("DROP PARTITION ID '{id}'"),
        });
        store.run(&format!("ALTER TABLE daily {replaced}")).await?;
        self.clear(store).await
    }
}

/// SQL: the sites' days that are meant.
pub(super) fn is_meant<'a>(days: impl Iterator<Item = (&'a str, u16)>) -> String {
    let pairs: Vec<String> = days
        .map(|(site, day)| format!("({}, toDate({day}))", literal(site)))
        .collect();
    match pairs.is_empty() {
        true => "0".into(),
        false => format!("(site, day) IN ({})", pairs.join(", ")),
    }
}
