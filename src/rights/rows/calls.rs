//! Asking other collectors, and being asked: `collectors`, `settle_calls`, `settle_answers`.

use clickhouse::Row;
use serde::Deserialize;

use super::Rows;
use crate::rights::log::PendingKey;
use crate::stats::literal::literal;
use crate::store::{StoreError, within};

/// Seconds after which a call counts no more.
const LAPSES_S: u32 = 3_600;

/// A collector that stores here.
#[derive(Clone, Debug, Row, Deserialize, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) incarnation: u64,
    /// Name of its machine.
    pub(crate) host: String,
    /// When it last started, `YYYY-MM-DD hh:mm:ss`, UTC.
    pub(crate) started: String,
    /// Everything up to this segment is settled, as it said last.
    pub(crate) settled: u64,
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Known {
            incarnation,
            host,
            started,
            ..
        } = self;
        write!(
            f,
            "{incarnation:016x} (host {host}, last started {started} UTC)"
        )
    }
}

/// A request that another collector calls out.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
pub(crate) struct Call {
    pub(crate) request: u64,
    pub(crate) n_keys: u32,
}

/// An answer: everything up to a segment has been stored, or set aside and looked through.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
pub(crate) struct Said {
    pub(crate) request: u64,
    pub(crate) incarnation: u64,
    pub(crate) segment: u64,
    pub(crate) quarantined: u64,
    pub(crate) damaged_files: u64,
}

#[derive(Row, Deserialize)]
struct Key {
    site: String,
    day: u16,
    visitor: u64,
}

impl Rows {
    /// Enters a collector, at its start or where it is not known any more, or says how far it has settled since.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn enter(
        &self,
        incarnation: u64,
        host: &str,
        settled: u64,
        is_start: bool,
    ) -> Result<(), StoreError> {
        let host = literal(host);
        self.run(&format!(
            "INSERT INTO collectors SELECT {incarnation}, {host}, \
             if({is_start} OR count() = 0, now(), max(started)) AS since, {settled}, now() \
             FROM collectors WHERE incarnation = {incarnation}"
        ))
        .await
    }

    /// Tells whether a collector is known.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn is_known(&self, incarnation: u64) -> Result<bool, StoreError> {
        let sql =
            format!("SELECT toBool(count() > 0) FROM collectors WHERE incarnation = {incarnation}");
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_one(),
        )
        .await
    }

    /// Returns who stores here.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn collectors(&self) -> Result<Vec<Known>, StoreError> {
        let sql = "SELECT incarnation, argMax(collectors.host, collectors.said) AS host, \
                   toString(max(collectors.started)) AS started, max(collectors.settled) AS settled \
                   FROM collectors GROUP BY incarnation ORDER BY incarnation \
                   SETTINGS prefer_column_name_to_alias = 1";
        within(self.store.timeout, self.store.client.query(sql).fetch_all()).await
    }

    /// Takes a collector out whose disk is gone, with what it has called out.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn forget(&self, incarnation: u64) -> Result<(), StoreError> {
        self.run(&format!(
            "ALTER TABLE collectors DELETE WHERE incarnation = {incarnation} SETTINGS mutations_sync = 2"
        ))
        .await?;
        self.settle_calls(incarnation, &[]).await?;
        self.forget_keys().await
    }

    /// Ends a collector's calls of an earlier run, but for those of requests that are still under way.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn settle_calls(&self, me: u64, open: &[u64]) -> Result<(), StoreError> {
        let open: Vec<String> = open.iter().map(u64::to_string).collect();
        let spared = match open.is_empty() {
            true => String::new(),
            false => format!(" AND request NOT IN ({})", open.join(", ")),
        };
        self.tidy(&format!("(asker = {me}{spared})")).await
    }

    /// Removes calls that are `over`, and those that have lapsed, with their answers.
    async fn tidy(&self, over: &str) -> Result<(), StoreError> {
        let calls = format!(
            "ALTER TABLE settle_calls DELETE WHERE until <= now() OR {over} SETTINGS mutations_sync = 1"
        );
        let answers = format!(
            "ALTER TABLE settle_answers DELETE WHERE request NOT IN (SELECT request FROM {}.settle_calls) \
             SETTINGS mutations_sync = 1",
            self.store.database
        );
        self.run(&calls).await?;
        self.run(&answers).await
    }

    /// Calls requests out, until they lapse: again, if half of their time is over.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn call(&self, me: u64, requests: &[(u64, u32)]) -> Result<(), StoreError> {
        for (request, n_keys) in requests {
            self.run(&format!(
                "INSERT INTO settle_calls SELECT {request}, {me}, {n_keys}, now() + {LAPSES_S} \
                 WHERE {request} NOT IN (SELECT request FROM settle_calls WHERE until > now() + {LAPSES_S} / 2)"
            ))
            .await?;
        }
        Ok(())
    }

    /// Takes a call back, and what was answered.
    ///
    /// # Errors
    /// What ClickHouse said; it lapses by itself then.
    pub(crate) async fn hang_up(&self, request: u64) -> Result<(), StoreError> {
        self.tidy(&format!("request = {request}")).await
    }

    /// Returns the calls of others that `me` has not answered.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn calls(&self, me: u64) -> Result<Vec<Call>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT request, n_keys FROM settle_calls WHERE asker != {me} AND until > now() \
             AND request NOT IN (SELECT request FROM settle_answers WHERE incarnation = {me}) ORDER BY request"
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_all(),
        )
        .await
    }

    /// Returns the keys of another one's request.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn keys(&self, request: u64) -> Result<Vec<PendingKey>, StoreError> {
        let sql = format!("SELECT site, day, visitor FROM subject_keys WHERE request = {request}");
        let query = self.store.client.query(&sql);
        let keys: Vec<Key> = within(self.store.timeout, query.fetch_all()).await?;
        let keys = keys
            .into_iter()
            .map(|Key { site, day, visitor }| PendingKey { site, day, visitor });
        Ok(keys.collect())
    }

    /// Answers a call, if it is still there.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn say(&self, said: Said) -> Result<(), StoreError> {
        let Said {
            request,
            incarnation,
            segment,
            quarantined,
            damaged_files,
        } = said;
        self.run(&format!(
            "INSERT INTO settle_answers SELECT {request}, {incarnation}, {segment}, {quarantined}, {damaged_files} \
             WHERE {request} IN (SELECT request FROM settle_calls)"
        ))
        .await
    }

    /// Returns what was answered.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn answers(&self, requests: &[u64]) -> Result<Vec<Said>, StoreError> {
        let requests: Vec<String> = requests.iter().map(u64::to_string).collect();
        let sql = format!(
            "SELECT request, incarnation, max(settle_answers.segment) AS segment, \
             max(settle_answers.quarantined) AS quarantined, max(settle_answers.damaged_files) AS damaged_files \
             FROM settle_answers WHERE request IN ({}) GROUP BY request, incarnation \
             SETTINGS prefer_column_name_to_alias = 1",
            requests.join(", ")
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_all(),
        )
        .await
    }

    /// Tells which steps of an erasure are on record: asked, and done.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn steps(&self, request: u64) -> Result<(bool, bool), StoreError> {
        let sql = format!(
            "SELECT countIf(step = 'asked') > 0, countIf(step = 'done') > 0 FROM requests \
             WHERE action = 'erase' AND request = {request}"
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_one(),
        )
        .await
    }
}
