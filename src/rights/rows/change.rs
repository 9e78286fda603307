//! What changes stored rows: erasing, correcting, and removing what a change leaves behind.

use std::time::Duration;

use clickhouse::Row;
use serde::Serialize;

use super::{Rows, Settled, pressure};
use crate::rights::subject::Correction;
use crate::store::{StoreError, in_time, within};

/// How long old parts may take to go: as long as somebody reads them, and some seconds.
const WIPE_ROUNDS: u32 = 300;
const WIPE_PAUSE: Duration = Duration::from_millis(200);

/// How often a change under way is asked after.
const MUTATION_PAUSE: Duration = Duration::from_millis(25);

#[derive(Row, Serialize)]
struct ValueRow<'a> {
    request: u64,
    property: &'a str,
    old_value: &'a str,
    new_value: &'a str,
}

impl Rows {
    /// Deletes the settled rows of each request from a table, and waits until that is done.
    ///
    /// # Errors
    /// What ClickHouse said; doing it again is safe.
    pub async fn erase(&self, table: &str, requests: &[(u64, Settled)]) -> Result<(), StoreError> {
        let Some((first, _)) = requests.first() else {
            return Ok(());
        };
        let conditions: Vec<String> = requests
            .iter()
            .map(|(request, settled)| format!("({})", self.mine(*request, Some(*settled))))
            .collect();
        let change = format!("DELETE WHERE {}", conditions.join(" OR "));
        self.mutate(table, *first, &change).await
    }

    /// Counts the settled events whose property has the wrong value.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn wrong(
        &self,
        request: u64,
        settled: Settled,
        correction: &Correction,
    ) -> Result<(u64, u64), StoreError> {
        let sql = format!(
            "SELECT assumeNotNull((SELECT count() FROM subject_keys WHERE request = {request})), \
             assumeNotNull((SELECT count() FROM events WHERE {}))",
            self.wrong_sql(request, settled, correction)
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_one(),
        )
        .await
    }

    /// Lays down a correction's values, beside the keys.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn put_values(
        &self,
        request: u64,
        correction: &Correction,
    ) -> Result<(), StoreError> {
        in_time(self.store.timeout, async {
            let client = &self.store.client;
            let error = StoreError::from_client;
            let mut insert = client
                .insert::<ValueRow<'_>>("subject_values")
                .await
                .map_err(error)?;
            let row = ValueRow {
                request,
                property: &correction.property,
                old_value: &correction.from,
                new_value: &correction.to,
            };
            insert.write(&row).await.map_err(error)?;
            insert.end().await.map_err(error)
        })
        .await
    }

    /// Puts the right value in the place of the wrong one, and waits until it is done.
    ///
    /// # Errors
    /// What ClickHouse said; doing it again is safe.
    pub async fn correct(
        &self,
        request: u64,
        settled: Settled,
        correction: &Correction,
    ) -> Result<(), StoreError> {
        let value = |column| self.value(request, column);
        let change = format!(
            "UPDATE props = mapUpdate(props, CAST(map({}, {}), 'Map(LowCardinality(String), String)')) WHERE {}",
            value("property"),
            value("new_value"),
            self.wrong_sql(request, settled, correction),
        );
        self.mutate("events", request, &change).await
    }

    /// Removes from the disk what a change has left behind: parts that are not in use any more keep the rows as
    /// they were, for `old_parts_lifetime` (480 s), and longer on a quiet table. Dropping a partition that does not
    /// exist makes ClickHouse look for old parts at once. Returns how many damaged parts lie aside.
    ///
    /// # Errors
    /// What ClickHouse said; `Pressure` where somebody keeps reading an old part.
    pub async fn wipe_old_parts(&self) -> Result<u64, StoreError> {
        let old = self.old_parts().await?;
        let wiped = self.wipe(&old).await;
        for table in ["events", "restrictions"] {
            self.run(&format!(
                "ALTER TABLE {table} RESET SETTING old_parts_lifetime"
            ))
            .await?;
        }
        wiped?;
        let aside = "SELECT count() FROM system.detached_parts WHERE database = currentDatabase() \
                     AND table IN ('events', 'restrictions')";
        within(
            self.store.timeout,
            self.store.client.query(aside).fetch_one(),
        )
        .await
    }

    /// Has a table changed and waits until that is done, however long it takes: on a large table longer than a
    /// statement may. A former attempt that is still at it is waited for, not doubled.
    async fn mutate(&self, table: &str, request: u64, change: &str) -> Result<(), StoreError> {
        let ours = format!(
            "database = currentDatabase() AND table = '{table}' AND NOT is_done \
             AND position(command, 'request = {request})') > 0"
        );
        let state = format!(
            "SELECT count(), max(latest_fail_reason != '') FROM system.mutations WHERE {ours}"
        );
        let under_way = async || {
            let query = self.store.client.query(&state);
            within(self.store.timeout, query.fetch_one::<(u64, u8)>()).await
        };
        if under_way().await?.0 == 0 {
            self.run(&format!(
                "ALTER TABLE {table} {change} SETTINGS mutations_sync = 0"
            ))
            .await?;
        }
        loop {
            let (n, is_failing) = under_way().await?;
            if n == 0 {
                return Ok(());
            }
            if is_failing > 0 {
                // One that cannot be done must not stand before all that come after it.
                self.run(&format!("KILL MUTATION WHERE {ours}")).await?;
                return Err(pressure("a change of stored rows fails"));
            }
            tokio::time::sleep(MUTATION_PAUSE).await;
        }
    }

    async fn wipe(&self, old: &[String]) -> Result<(), StoreError> {
        for _ in 0..WIPE_ROUNDS {
            for (table, no_partition) in [("events", "19700101"), ("restrictions", "197001")] {
                // Set anew each time: another request that ends meanwhile takes it back.
                self.run(&format!(
                    "ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 0"
                ))
                .await?;
                self.run(&format!(
                    "ALTER TABLE {table} DROP PARTITION ID '{no_partition}'"
                ))
                .await?;
            }
            let left = self.old_parts().await?;
            if !left.iter().any(|part| old.contains(part)) {
                return Ok(());
            }
            tokio::time::sleep(WIPE_PAUSE).await;
        }
        Err(pressure("old parts are still being read"))
    }

    async fn old_parts(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT concat(table, '/', name) FROM system.parts WHERE database = currentDatabase() \
                   AND table IN ('events', 'restrictions') AND NOT active";
        within(self.store.timeout, self.store.client.query(sql).fetch_all()).await
    }

    fn wrong_sql(&self, request: u64, settled: Settled, correction: &Correction) -> String {
        let event = correction.event.map_or_else(String::new, |(batch, seq)| {
            format!(" AND batch_id = toUInt128('{batch}') AND seq = {seq}")
        });
        format!(
            "{} AND mapContains(props, {property}) AND props[{property}] = {}{event}",
            self.mine(request, Some(settled)),
            self.value(request, "old_value"),
            property = self.value(request, "property"),
        )
    }

    /// A value of the correction. An engine that has forgotten it gives an empty text, and no key either: nothing
    /// is changed then, and no mutation is stuck.
    fn value(&self, request: u64, column: &str) -> String {
        format!(
            "ifNull((SELECT max({column}) FROM {}.subject_values WHERE request = {request}), '')",
            self.store.database
        )
    }
}
