//! Asks ClickHouse for the query API: reading only, within limits of time and memory, ended when the asker leaves.

use std::time::Duration;

use clickhouse::query::RowCursor;
use clickhouse::{Client, RowOwned, RowRead};

use super::rollup::Memo;
use super::{QueryError, request};
use crate::config::settings;

/// ClickHouse looks at its clock between blocks; by then it has ended the query itself.
const LATE: Duration = Duration::from_secs(5);

/// Asks on behalf of one query.
pub(super) struct Asker<'a> {
    pub(super) client: &'a Client,
    pub(super) limits: &'a settings::Query,
    /// What was found out about days, for the questions of one page.
    pub(super) memo: &'a Memo,
}

impl Asker<'_> {
    pub(super) async fn ask<T>(&self, sql: String) -> Result<Vec<T>, QueryError>
    where
        T: RowOwned + RowRead,
    {
        let query = self.query(&sql);
        match tokio::time::timeout(self.patience(), query.fetch_all::<T>()).await {
            Ok(rows) => rows.map_err(QueryError::from_client),
            Err(_) => Err(QueryError::TooExpensive {
                limit: "max_seconds",
            }),
        }
    }

    /// Asks for rows one by one.
    pub(super) fn open<T: RowOwned + RowRead>(
        &self,
        sql: &str,
    ) -> Result<RowCursor<T>, QueryError> {
        self.query(sql)
            .fetch::<T>()
            .map_err(QueryError::from_client)
    }

    /// Waits for the first row; the statement has counted by then.
    pub(super) async fn first<T: RowOwned + RowRead>(
        &self,
        cursor: &mut RowCursor<T>,
    ) -> Result<Option<T>, QueryError> {
        match tokio::time::timeout(self.patience(), cursor.next()).await {
            Ok(row) => row.map_err(QueryError::from_client),
            Err(_) => Err(QueryError::TooExpensive {
                limit: "max_seconds",
            }),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.limits.max_seconds.into()) + LATE
    }

    fn query(&self, sql: &str) -> clickhouse::query::Query {
        let seconds = self.limits.max_seconds;
        let memory_bytes = self.limits.max_memory_mib << 20;
        self.client
            .query_raw(sql)
            .with_setting("readonly", "1")
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_memory_usage", memory_bytes.to_string())
            // What one visit did on each page may be more than that: groups beyond go to disk.
            .with_setting(
                "max_bytes_before_external_group_by",
                (memory_bytes / 2).to_string(),
            )
            // A body of MAX_BODY bytes may grow fourfold where its texts are written as numbers.
            .with_setting("max_query_size", (8 * request::MAX_BODY).to_string())
            .with_setting("cancel_http_readonly_queries_on_client_close", "1")
    }
}
