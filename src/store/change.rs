//! What changes stored rows, whoever asks: a mutation that is waited for, and old parts that are really gone.

use std::time::Duration;

use super::classify::Class;
use super::{Store, StoreError, within};

/// How long old parts may take to go: as long as somebody reads them, and some seconds.
const WIPE_ROUNDS: u32 = 300;
const WIPE_PAUSE: Duration = Duration::from_millis(200);

/// How often a change under way is asked after.
const MUTATION_PAUSE: Duration = Duration::from_millis(25);

impl Store {
    /// Runs a statement that answers nothing.
    ///
    /// # Errors
    /// What ClickHouse said, or that it did not answer in time.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), StoreError> {
        within(self.timeout, self.client.query(sql).execute()).await
    }

    /// Has a table changed and waits until that is done, however long it takes: on a large table longer than a
    /// statement may. `marker` is in the statement and in no other: a former attempt that is still at it is waited
    /// for, not doubled.
    ///
    /// # Errors
    /// What ClickHouse said; doing it again is safe. A change that fails is taken back.
    pub(crate) async fn mutate(
        &self,
        table: &str,
        marker: &str,
        change: &str,
    ) -> Result<(), StoreError> {
        let ours = format!(
            "database = currentDatabase() AND table = '{table}' AND NOT is_done \
             AND position(command, '{marker}') > 0"
        );
        let state = format!(
            "SELECT count(), max(latest_fail_reason != '') FROM system.mutations WHERE {ours}"
        );
        let under_way = async || {
            let query = self.client.query(&state);
            within(self.timeout, query.fetch_one::<(u64, u8)>()).await
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

    /// Removes from the disk what a change has left behind: parts that are not in use any more keep the rows as
    /// they were, for `old_parts_lifetime` (480 s), and longer on a quiet table. Dropping a partition that does not
    /// exist makes ClickHouse look for old parts at once. `tables` come with the id of such a partition. Returns how
    /// many damaged parts lie aside.
    ///
    /// # Errors
    /// What ClickHouse said; `Pressure` where somebody keeps reading an old part.
    pub(crate) async fn wipe_old_parts(&self, tables: &[(&str, &str)]) -> Result<u64, StoreError> {
        let old = self.old_parts(tables).await?;
        let wiped = self.wipe(tables, &old).await;
        for (table, _) in tables {
            self.run(&format!(
                "ALTER TABLE {table} RESET SETTING old_parts_lifetime"
            ))
            .await?;
        }
        wiped?;
        let aside = format!(
            "SELECT count() FROM system.detached_parts WHERE database = currentDatabase() AND table IN ({})",
            names(tables)
        );
        within(self.timeout, self.client.query(&aside).fetch_one()).await
    }

    async fn wipe(&self, tables: &[(&str, &str)], old: &[String]) -> Result<(), StoreError> {
        for _ in 0..WIPE_ROUNDS {
            for (table, no_partition) in tables {
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
            let left = self.old_parts(tables).await?;
            if !left.iter().any(|part| old.contains(part)) {
                return Ok(());
            }
            tokio::time::sleep(WIPE_PAUSE).await;
        }
        Err(pressure("old parts are still being read"))
    }

    async fn old_parts(&self, tables: &[(&str, &str)]) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT concat(table, '/', name) FROM system.parts WHERE database = currentDatabase() \
             AND table IN ({}) AND NOT active",
            names(tables)
        );
        within(self.timeout, self.client.query(&sql).fetch_all()).await
    }
}

fn names(tables: &[(&str, &str)]) -> String {
    let names: Vec<String> = tables.iter().map(|(name, _)| format!("'{name}'")).collect();
    names.join(", ")
}

/// An error that asks to try again.
pub(crate) fn pressure(message: &str) -> StoreError {
    StoreError::ClickHouse {
        class: Class::Pressure,
        code: None,
        message: message.into(),
    }
}
