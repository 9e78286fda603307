//! What changes stored rows: erasing, correcting, and removing what a change leaves behind.

use clickhouse::Row;
use serde::Serialize;

use super::Rows;
use crate::rights::settling::Settled;
use crate::rights::subject::Correction;
use crate::store::{StoreError, in_time, within};

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
    pub(crate) async fn erase(
        &self,
        table: &str,
        requests: &[(u64, &Settled)],
    ) -> Result<(), StoreError> {
        let Some((first, _)) = requests.first() else {
            return Ok(());
        };
        let conditions: Vec<String> = requests
            .iter()
            .map(|(request, settled)| format!("({})", self.mine(*request, Some(settled))))
            .collect();
        let change = format!("DELETE WHERE {}", conditions.join(" OR "));
        self.mutate(table, *first, &change).await
    }

    /// Counts the settled events whose property has the wrong value.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn wrong(
        &self,
        request: u64,
        settled: &Settled,
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
    pub(crate) async fn correct(
        &self,
        request: u64,
        settled: &Settled,
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

    /// Removes from the disk what a change has left behind (see `Store::wipe_old_parts`). Returns how many damaged
    /// parts lie aside.
    ///
    /// # Errors
    /// What ClickHouse said; `Pressure` where somebody keeps reading an old part.
    pub async fn wipe_old_parts(&self) -> Result<u64, StoreError> {
        let tables = [("events", "19700101"), ("restrictions", "197001")];
        self.store.wipe_old_parts(&tables).await
    }

    async fn mutate(&self, table: &str, request: u64, change: &str) -> Result<(), StoreError> {
        let marker = format!("request = {request})");
        self.store.mutate(table, &marker, change).await
    }

    fn wrong_sql(&self, request: u64, settled: &Settled, correction: &Correction) -> String {
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
