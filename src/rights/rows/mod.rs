//! The rows a request is about, in ClickHouse: shown, counted, corrected, erased.
//!
//! Comes in: keys. Goes out: rows, numbers. No statement names a pseudonym: keys go to `subject_keys`, a table in
//! memory, as data, and statements name the request's number. So no query log, no error and no mutation's text
//! (which ClickHouse keeps in a file beside the table) holds one. The engine forgets such a table when it
//! dies; therefore everything that relies on it counts the keys in the same statement.
//!
//! Only *settled* rows are changed: those of batches that have left the spool, which are never counted again. A
//! batch under way may be verified by its number of rows, and that must not change under it.

pub(crate) mod calls;
mod change;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::PendingKey;
use super::settling::Settled;
use crate::store::change::pressure;
use crate::store::{Store, StoreError, in_time, within};

/// Events shown in one answer, newest first; their number by day is always complete.
pub const MAX_SHOWN: usize = 5_000;

/// What is there of a request's rows.
#[derive(Clone, Copy, Debug, Row, Deserialize, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counted {
    pub keys: u64,
    pub events: u64,
    pub restrictions: u64,
}

/// One site's day of a visitor.
#[derive(Clone, Debug, Row, Deserialize, Serialize, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DayCount {
    pub site: String,
    /// Local date, `YYYY-MM-DD`.
    pub day: String,
    pub events: u64,
    pub restricted: bool,
}

/// A step in the history of a consent.
#[derive(Clone, Debug, Row, Deserialize, Serialize, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ConsentStep {
    /// RFC 3339, UTC.
    pub at: String,
    pub site: String,
    pub choice: String,
    pub policy: u16,
    pub purposes: Vec<String>,
    pub source: String,
    /// Last day on which the token is valid.
    pub last_day: String,
}

#[derive(Row, Serialize)]
struct KeyRow<'a> {
    request: u64,
    site: &'a str,
    day: u16,
    visitor: u64,
}

/// ClickHouse, for requests.
#[derive(Clone, Debug)]
pub struct Rows {
    store: Store,
}

impl Rows {
    /// Reads and changes through `store`.
    pub fn new(store: Store) -> Rows {
        Rows { store }
    }

    /// Returns the ClickHouse that it works on.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Ends what a crash may have left: keys of requests that nobody calls out (on a server of its own they outlive us),
    /// and a short life of old parts. What another collector is showing or correcting at this moment loses its keys, too; it
    /// counts them, and lays them down again.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn settle_crash(&self) -> Result<(), StoreError> {
        self.forget_keys().await?;
        for table in ["events", "restrictions"] {
            self.run(&format!(
                "ALTER TABLE {table} RESET SETTING old_parts_lifetime"
            ))
            .await?;
        }
        Ok(())
    }

    /// Forgets the keys of requests that nobody calls out.
    async fn forget_keys(&self) -> Result<(), StoreError> {
        for table in ["subject_keys", "subject_values"] {
            self.run(&format!(
                "ALTER TABLE {table} DELETE WHERE request NOT IN (SELECT request FROM {}.settle_calls) \
                 SETTINGS mutations_sync = 1",
                self.store.database
            ))
            .await?;
        }
        Ok(())
    }

    /// Lays down which rows a request is about. Done again, it replaces them.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn put_keys(&self, request: u64, keys: &[PendingKey]) -> Result<(), StoreError> {
        self.drop_keys(request).await?;
        in_time(self.store.timeout, async {
            let client = &self.store.client;
            let error = StoreError::from_client;
            let mut insert = client
                .insert::<KeyRow<'_>>("subject_keys")
                .await
                .map_err(error)?;
            for key in keys {
                let row = KeyRow {
                    request,
                    site: &key.site,
                    day: key.day,
                    visitor: key.visitor,
                };
                insert.write(&row).await.map_err(error)?;
            }
            insert.end().await.map_err(error)
        })
        .await
    }

    /// Forgets which rows a request was about.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn drop_keys(&self, request: u64) -> Result<(), StoreError> {
        for table in ["subject_keys", "subject_values"] {
            self.run(&format!(
                "ALTER TABLE {table} DELETE WHERE request = {request} SETTINGS mutations_sync = 1"
            ))
            .await?;
        }
        Ok(())
    }

    /// Counts the keys and, in the same statement, the rows they open.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn count(
        &self,
        request: u64,
        settled: Option<&Settled>,
    ) -> Result<Counted, StoreError> {
        let mine = self.mine(request, settled);
        let sql = format!(
            "SELECT assumeNotNull((SELECT count() FROM subject_keys WHERE request = {request})) AS keys, \
             assumeNotNull((SELECT count() FROM events WHERE {mine})) AS events, \
             assumeNotNull((SELECT count() FROM restrictions WHERE {mine})) AS restrictions"
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_one(),
        )
        .await
    }

    /// Counts events that countings would count (see [`restricted`]).
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn counted(&self, request: u64) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT count() FROM events WHERE {} AND (site, visitor) NOT IN ({})",
            self.mine(request, None),
            all_restricted(),
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_one(),
        )
        .await
    }

    /// Returns how many events each day has.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn days(&self, request: u64) -> Result<Vec<DayCount>, StoreError> {
        let sql = format!(
            "SELECT toString(site) AS site, toString(day) AS day, count() AS events, \
             max((site, visitor) IN ({})) = 1 AS restricted \
             FROM events WHERE {} GROUP BY site, day ORDER BY day DESC, site \
             SETTINGS prefer_column_name_to_alias = 1",
            all_restricted(),
            self.mine(request, None),
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_all(),
        )
        .await
    }

    /// Returns the events, newest first, with every column; `day` (days since 1970-01-01) alone, if given.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn events(&self, request: u64, day: Option<u16>) -> Result<Vec<Value>, StoreError> {
        let on_day = day.map_or_else(String::new, |day| format!(" AND day = toDate({day})"));
        let sql = format!(
            "SELECT * EXCEPT (batch_id, seq), concat(lower(hex(batch_id)), '-', toString(seq)) AS event \
             FROM events WHERE {}{on_day} ORDER BY ts DESC, batch_id DESC, seq DESC LIMIT {MAX_SHOWN}",
            self.mine(request, None),
        );
        in_time(self.store.timeout, async {
            let query = self
                .store
                .client
                .query(&sql)
                .with_setting("output_format_json_quote_64bit_integers", "1")
                .with_setting("date_time_output_format", "iso");
            let mut lines = query
                .fetch_bytes("JSONEachRow")
                .map_err(StoreError::from_client)?;
            let text = lines.collect().await.map_err(StoreError::from_client)?;
            text.split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| {
                    serde_json::from_slice(line).map_err(|_| pressure("an answer that is no JSON"))
                })
                .collect()
        })
        .await
    }

    /// Returns what each column of `events` holds, in the words of `schema/`.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn meanings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT name, comment FROM system.columns WHERE database = currentDatabase() \
                   AND table = 'events' AND name NOT IN ('batch_id', 'seq') ORDER BY position";
        within(self.store.timeout, self.store.client.query(sql).fetch_all()).await
    }

    /// Returns the history of one consent.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn consent(&self, ledger: u128, scope: &str) -> Result<Vec<ConsentStep>, StoreError> {
        // The ledger's key is a hash that nothing else carries; scopes are words of the configuration.
        let sql = format!(
            "SELECT formatDateTime(ts, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS at, toString(site) AS site, \
             toString(choice) AS choice, policy_version AS policy, \
             arrayMap(purpose -> toString(purpose), purposes) AS purposes, toString(source) AS source, \
             toString(last_day) AS last_day FROM consents \
             WHERE ledger = toUInt128('{ledger}') AND scope = '{scope}' ORDER BY ts, batch_id, seq \
             SETTINGS prefer_column_name_to_alias = 1",
        );
        within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_all(),
        )
        .await
    }

    fn mine(&self, request: u64, settled: Option<&Settled>) -> String {
        let settled = settled.map_or_else(String::new, |settled| format!(" AND {}", settled.sql()));
        // Named with its database: a mutation runs without the session it came from.
        format!(
            "(site, day, visitor) IN (SELECT site, day, visitor FROM {}.subject_keys WHERE request = {request}){settled}",
            self.store.database
        )
    }

    async fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.store.run(sql).await
    }
}

/// Returns the statement for the visitors of a site whose events are not to be counted; `site` is a literal. The
/// newest row decides. Without restrictions the set is empty and costs nothing.
pub fn restricted(site: &str) -> String {
    format!(
        "SELECT visitor FROM restrictions WHERE site = {site} GROUP BY restrictions.visitor \
         HAVING argMax(is_restricted, (ts, batch_id, seq))"
    )
}

/// The same for the visitors of all sites: pairs of site and visitor.
pub(crate) fn all_restricted() -> &'static str {
    "SELECT site, visitor FROM restrictions GROUP BY site, visitor \
     HAVING argMax(is_restricted, (ts, batch_id, seq))"
}
