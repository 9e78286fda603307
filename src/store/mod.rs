//! ClickHouse: rows that count once, migrations, errors by class.
//!
//! Comes in: records of the spool with their batch. Goes out: rows in `events`, `consents`, `denials` and
//! `salt_events`. The same statements go to the embedded engine and to a server. Exactly once is made in
//! [`crate::batch`]; this module gives it its three tools: insert a range of a batch in one statement,
//! count what a batch left behind, and make sure that an attempt is dead.

pub(crate) mod change;
pub(crate) mod claim;
pub mod classify;
pub mod migrations;
mod rows;

use std::time::Duration;

use clickhouse::Client;
use thiserror::Error;

use self::classify::Class;
pub use self::rows::{Table, Writer};
use crate::secret::random_bytes;

/// Why ClickHouse did not do as asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// ClickHouse, or the way to it, failed.
    #[error("ClickHouse ({class}){}: {message}", code.map(|c| format!(" code {c}")).unwrap_or_default())]
    ClickHouse {
        /// What is to be done.
        class: Class,
        /// ClickHouse's number, where it answered at all.
        code: Option<u32>,
        /// First line of its message, without any data.
        message: String,
    },
    /// Another collector is at it.
    #[error("another collector (process {by}) applies schema/ at this moment")]
    Migrating {
        /// The name that its claim bears.
        by: String,
    },
    /// A migration that was applied has another text now.
    #[error(
        "schema/{name}.sql was edited after it was applied; files there are added, never edited"
    )]
    Edited {
        /// The file.
        name: &'static str,
    },
}

impl StoreError {
    /// Sorts an error of the client.
    #[allow(clippy::needless_pass_by_value)] // Fits map_err.
    pub fn from_client(error: clickhouse::error::Error) -> StoreError {
        use clickhouse::error::Error as Client;
        let full = error.to_string();
        let code = match &error {
            Client::BadResponse(message) => classify::exception_code(message),
            _ => None,
        };
        let class = match (&error, code) {
            (Client::BadResponse(message), Some(code)) => classify::class_of(code, message),
            (Client::SchemaMismatch(_), _) => Class::Rights,
            _ => Class::Pressure,
        };
        StoreError::ClickHouse {
            class,
            code,
            message: without_data(&full),
        }
    }

    /// Returns what is to be done.
    pub fn class(&self) -> Class {
        match self {
            StoreError::ClickHouse { class, .. } => *class,
            StoreError::Migrating { .. } => Class::Pressure,
            StoreError::Edited { .. } => Class::Rights,
        }
    }

    /// Tells whether ClickHouse answered clearly that nothing was written.
    pub fn is_clear_refusal(&self) -> bool {
        matches!(
            self,
            StoreError::ClickHouse {
                class: Class::Data,
                code: Some(_),
                ..
            }
        )
    }
}

/// ClickHouse quotes the offending value in parse errors ("Cannot parse … 'value'"): logs get the part
/// before the first quote, of the first line, at most 300 bytes.
fn without_data(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let plain = line.split(['\'', '"', '`']).next().unwrap_or_default();
    plain[..plain.floor_char_boundary(300)]
        .trim_end()
        .to_owned()
}

/// How to reach ClickHouse, and how to end what was started there.
#[derive(Clone)]
pub struct Store {
    /// The client, with database and credentials.
    pub client: Client,
    /// The database's name.
    pub database: String,
    /// An insert that has no answer by then is uncertain.
    pub timeout: Duration,
    /// The embedded engine, where there is one.
    pub engine: Option<crate::engine::supervise::EngineHandle>,
}

impl Store {
    /// The same for work that nobody waits for: each statement has one thread, and leaves the others to beacons and readers.
    #[must_use]
    pub fn at_leisure(&self) -> Store {
        Store {
            client: self.client.clone().with_setting("max_threads", "1"),
            ..self.clone()
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// One batch: a fixed range of the spool for one table and one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId(pub u128);

impl BatchId {
    /// Composes the id: the spool's incarnation, the segment, the group within the segment.
    pub fn new(incarnation: u64, segment: u64, group: u16) -> BatchId {
        BatchId(u128::from(incarnation) << 64 | u128::from(segment) << 16 | u128::from(group))
    }
}

impl Store {
    /// Begins an insert of the range of `batch` that starts at the spool position `first`; `attempt` tells
    /// tries apart.
    ///
    /// # Errors
    /// What ClickHouse said when asked for the table's columns.
    pub async fn begin(
        &self,
        table: Table,
        batch: BatchId,
        first: u32,
        attempt: u32,
    ) -> Result<Writer, StoreError> {
        let settings = [
            // One statement, one partition, one block: the batch is one part, whole or not at all.
            ("async_insert", "0".to_owned()),
            ("max_partitions_per_insert_block", "1".to_owned()),
            ("max_insert_block_size", "1048449".to_owned()),
            // A token of its own for each statement: a table that keeps tokens would swallow the second half of a batch that
            // was halved, and what is sent again after its rows were deleted. Whether it is there is counted, not hoped.
            (
                "insert_deduplication_token",
                format!(
                    "{:032x}/{first}/{attempt}/{:016x}",
                    batch.0,
                    u64::from_le_bytes(random_bytes())
                ),
            ),
        ];
        let (timeout, id) = (self.timeout, query_id(batch, attempt));
        in_time(
            timeout,
            Writer::begin(&self.client, table, batch, &settings, &id, Some(timeout)),
        )
        .await
    }

    /// Counts the rows that `batch` has between the spool positions `first` and `last`.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn count(
        &self,
        table: Table,
        batch: BatchId,
        first: u32,
        last: u32,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT count() FROM {} WHERE {} AND seq BETWEEN {first} AND {last} \
             SETTINGS select_sequential_consistency = 1",
            table.name(),
            is_batch(batch),
        );
        within(self.timeout, self.client.query(&sql).fetch_one::<u64>()).await
    }

    /// Deletes what a batch left between two positions and waits until it is done.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn delete(
        &self,
        table: Table,
        batch: BatchId,
        first: u32,
        last: u32,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "ALTER TABLE {} DELETE WHERE {} AND seq BETWEEN {first} AND {last} \
             SETTINGS mutations_sync = 2",
            table.name(),
            is_batch(batch),
        );
        // Its id begins as those of the inserts: one without an answer is ended with them.
        let query = self.client.query(&sql);
        let query = query.with_setting("query_id", format!("brine-{:032x}-delete", batch.0));
        within(self.timeout, query.execute()).await
    }

    /// Returns when no attempt at `batch` that began before can still write.
    ///
    /// # Errors
    /// What ClickHouse said; the attempt may then still be alive, and the caller asks again.
    pub async fn ensure_attempts_dead(&self, batch: BatchId) -> Result<(), StoreError> {
        if let Some(engine) = &self.engine {
            return engine
                .ensure_attempts_dead()
                .await
                .map_err(|error| StoreError::ClickHouse {
                    class: Class::Pressure,
                    code: None,
                    message: error.to_string(),
                });
        }
        self.end_statements(&format!("brine-{:032x}-", batch.0))
            .await
    }

    /// Ends what runs under a query id that begins like this; returns when nothing does any more.
    ///
    /// # Errors
    /// What ClickHouse said; something may still run then.
    pub(crate) async fn end_statements(&self, begins: &str) -> Result<(), StoreError> {
        let kill = format!("KILL QUERY WHERE startsWith(query_id, '{begins}') SYNC");
        within(self.timeout, self.client.query(&kill).execute()).await?;
        let alive =
            format!("SELECT count() FROM system.processes WHERE startsWith(query_id, '{begins}')");
        loop {
            // The beginning is in this query's text, not in its id, so it does not count itself.
            if within(self.timeout, self.client.query(&alive).fetch_one::<u64>()).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// ClickHouse reads a bare number beyond 64 bits as a Float64, which equals no batch: as text it keeps its digits.
fn is_batch(batch: BatchId) -> String {
    format!("batch_id = toUInt128('{}')", batch.0)
}

fn query_id(batch: BatchId, attempt: u32) -> String {
    format!("brine-{:032x}-{attempt}", batch.0)
}

pub(crate) async fn within<T>(
    timeout: Duration,
    answer: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, StoreError> {
    in_time(timeout, async {
        answer.await.map_err(StoreError::from_client)
    })
    .await
}

/// The client waits without end for an answer that a dead peer cannot give.
pub(crate) async fn in_time<T>(
    timeout: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::from_client(clickhouse::error::Error::TimedOut)),
    }
}
