//! One run at a time across collectors: a claim in ClickHouse's memory.
//!
//! Comes in: a collector that wants to run the job. Goes out: a [`Claim`], or who has it. ClickHouse has no compare and
//! swap: a collector inserts its claim and looks whether it is alone. Two that come at the same moment see each other,
//! and both step back, to come again at different moments (`schedule`). A claim lapses after [`LIFE_S`] seconds by
//! ClickHouse's clock unless it is renewed, so that a killed collector is in nobody's way for long.
//!
//! What this does not promise: a holder that stood still for longer than that (a stopped process), a ClickHouse
//! that was restarted meanwhile, or several ClickHouse servers under one name may let two run at once. Every step
//! of a run is safe to do twice, also by two; what may double then is the record of a purge, never a row's end. Where one
//! takes over from another, the first one records, once it is back, what the other has not (`purge`).

use std::time::Duration;

use clickhouse::Row;
use serde::Serialize;

use crate::store::{Store, StoreError, in_time, within};

/// Seconds without renewal after which a claim counts no more.
const LIFE_S: u32 = 120;

/// How old a claim may get before it is renewed: renewing costs two statements, and a step may take half of its life.
pub(super) const RENEW: Duration = Duration::from_secs(20);

#[derive(Row, Serialize)]
struct ClaimRow<'a> {
    collector: &'a str,
    run: u64,
    until: u32,
}

/// The right to run the job.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    store: Store,
    collector: String,
    run: u64,
}

impl Claim {
    /// Takes the claim, or returns which collector has it.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(super) async fn take(
        store: &Store,
        collector: &str,
        run: u64,
    ) -> Result<Result<Claim, String>, StoreError> {
        let claim = Claim {
            store: store.clone(),
            collector: collector.to_owned(),
            run,
        };
        // Whatever this data directory claimed before is over: it is locked, and we are the one in it.
        claim.renew().await?;
        let sql = format!(
            "SELECT collector FROM retention_claims WHERE collector != '{collector}' AND until > now() LIMIT 1"
        );
        let others: Vec<String> =
            within(store.timeout, store.client.query(&sql).fetch_all()).await?;
        match others.into_iter().next() {
            None => Ok(Ok(claim)),
            Some(other) => {
                claim.give_up().await?;
                Ok(Err(other))
            }
        }
    }

    /// Prolongs it.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(super) async fn renew(&self) -> Result<(), StoreError> {
        // The new one before the old one goes: at no moment is there none.
        let now = self.store.client.query("SELECT toUnixTimestamp(now())");
        let now: u32 = within(self.store.timeout, now.fetch_one()).await?;
        let row = ClaimRow {
            collector: &self.collector,
            run: self.run,
            until: now.saturating_add(LIFE_S),
        };
        in_time(self.store.timeout, async {
            let error = StoreError::from_client;
            let insert = self.store.client.insert::<ClaimRow<'_>>("retention_claims");
            let mut insert = insert.await.map_err(error)?;
            insert.write(&row).await.map_err(error)?;
            insert.end().await.map_err(error)
        })
        .await?;
        let old = format!(
            "ALTER TABLE retention_claims DELETE WHERE until <= now() OR (collector = '{}' \
             AND (run != {} OR until < toDateTime({}))) SETTINGS mutations_sync = 1",
            self.collector, self.run, row.until
        );
        self.store.run(&old).await
    }

    /// Lets others have it.
    ///
    /// # Errors
    /// What ClickHouse said; it lapses by itself then.
    pub(super) async fn give_up(&self) -> Result<(), StoreError> {
        let sql = format!(
            "ALTER TABLE retention_claims DELETE WHERE collector = '{}' SETTINGS mutations_sync = 1",
            self.collector
        );
        self.store.run(&sql).await
    }
}
