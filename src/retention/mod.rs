//! Old data is gone, and there is proof (promise 7; GDPR Art. 5(1)(e) and 5(2)).
//!
//! Comes in: the configuration's days by site and table, legal holds, and what is stored. Goes out: what is due is off the
//! disk, and a record of each purge in `purges`, of each run and its check in `retention_runs`. Promises that a shortened
//! retention holds for what is stored, that a longer one brings nothing back, that nothing of a held site goes, that a
//! purge cut short is finished and recorded once, and that a check which finds something says so: in the log, in
//! metrics, in `brine retention verify`.
//!
//! # Why ClickHouse's TTL does none of it
//!
//! TTL drops rows when it merges, not when they expire; it leaves no record, and knows of no hold. So it is taken off the
//! tables ([`prepare`]), and one job does it all. What that costs: with no brine running, nothing goes. The alert
//! for that is a job that is late.
//!
//! # Layout
//!
//! `events` is partitioned by the day of `expires`: an ordinary purge is one DROP PARTITION a day, without a merge, for
//! all sites at once. Only a shortened retention, a removed site, or a held one in the same partition costs a
//! mutation, and that of the partitions concerned alone. Measured against a partition a month of `day`, with 50 million
//! events of 400 days and six sites with retentions from 30 to 395 days (`cargo bench --bench retention`; two cores with
//! a load of 5 beside, so read the ratios; 34 million are left, the others were over by then):
//!
//! | partition | parts | MiB | 30 days' visitors | 365 days' visitors | pages of a day | one day's purge |
//! |---|---|---|---|---|---|---|
//! | `expires` | 1,034 | 574 | 90 ms | 758 ms | 35 ms | 0.05 s |
//! | `toYYYYMM(day)` | 74 | 510 | 124 ms | 475 ms | 15 ms | 11.14 s |
//!
//! The price is parts: an eighth more bytes, a year takes half as long again, a day's pages twice; a year is what `daily`
//! is for. The purge by month rewrites every part that has a row to go, and grows with what stays.
//!
//! # Cost of a purge
//!
//! 100 of 394 days of one site, 12.7 of 50 million events, while 500 beacons come in a second (`cargo bench --bench
//! retention -- --purge`; two cores, with a load of 12 beside):
//!
//! | | days folded or counted | purged, checked, recorded | 99th percentile of a beacon, against without |
//! |---|---|---|---|
//! | as it is | 47.7 s | 18.8 s | 105 ms, 1.19 × |
//! | two threads a statement (94 days) | 52.6 s | 20.7 s | 79 ms, 2.96 × |
//! | each day counted anew, two threads (of 378) | 183 s | | |
//!
//! So a statement of the job has one thread ([`Store::at_leisure`]), and a day that was counted when it was over is not
//! counted again when its events go (`derived::fold`). Days that nobody has counted yet, of a history that is there
//! before the first run, take 2 to 3.5 s each on that machine, once.
//!
//! # Steps of a run
//!
//! claim → what the journal holds → closed days counted ([`derived`]) → what is due, into the journal → partitions
//! dropped, rows deleted → old parts wiped → counted → recorded → everything checked ([`verify`]) → the run recorded
//!
//! May be lost: nothing. While ClickHouse is away nothing is purged, and events that outlive their time in the spool are
//! dropped when it is back (`batch`), but for those of a site under legal hold.

pub mod certificate;
pub mod derived;
mod disk;
pub mod http;
mod in_force;
pub mod job;
pub mod journal;
pub mod numbers;
pub mod plan;
mod purge;
mod quarantine;
pub mod rules;
mod schedule;
pub mod verify;

use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use self::certificate::Seal;
use self::in_force::LastRules;
use self::job::Job;
use self::numbers::Numbers;
use crate::collector::Collector;
use crate::secret::SecretError;
use crate::spool::{AppendError, SegmentError};
use crate::store::{Store, StoreError, within};

pub use self::schedule::work;

/// Why a run did not come to its end; what was begun is gone on with.
#[derive(Debug, Error)]
pub enum RunError {
    /// Another run is under way: wait for it.
    #[error("a run is under way: {0}")]
    Elsewhere(String),
    /// ClickHouse failed, or the way to it.
    #[error(transparent)]
    Store(StoreError),
    /// The spool is not drained: rows of batches under way cannot be deleted.
    #[error("ClickHouse has not taken everything from the spool yet")]
    Spool,
    /// Rows are there after they were deleted.
    #[error("{rows} rows of {table} are still there")]
    Left {
        /// The table.
        table: &'static str,
        /// How many.
        rows: u64,
    },
    /// Nothing is purged by a clock that another contradicts.
    #[error(
        "this machine's clock is {0} minutes ahead of ClickHouse's: nothing is purged until they agree"
    )]
    Apart(i64),
    /// The record of a purge cannot be written.
    #[error("the record of a purge cannot be written: {0}")]
    Record(AppendError),
    /// The journal cannot be written: nothing is purged then.
    #[error("journal: {0}")]
    Journal(io::Error),
    /// The spool's quarantine failed.
    #[error(transparent)]
    Quarantine(#[from] SegmentError),
    /// A task of the runtime.
    #[error("task: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl RunError {
    /// Tells whether trying again later may help without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, RunError::Journal(_))
    }
}

/// Why retention cannot be taken care of.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The journal of purges under way.
    #[error(transparent)]
    Journal(#[from] io::Error),
    /// The key that signs certificates.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The key's bytes make no key.
    #[error("retention.key is not usable")]
    Seal,
}

/// What the admin listener and the schedule work with.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Retention {
    pub job: Job,
    pub seal: Seal,
}

impl Retention {
    /// Opens the journal and the key in `directory`; makes what is missing. Blocking.
    ///
    /// # Errors
    /// [`OpenError`]: brine does not start then.
    pub fn open(
        collector: Arc<Collector>,
        store: Store,
        directory: &Path,
    ) -> Result<Retention, OpenError> {
        let journal = journal::open(&directory.join("retention.journal"))?;
        let seal = Seal::open(&directory.join("retention.key"))?;
        let last_rules = LastRules::at(&directory.join("retention.rules"));
        let numbers = Numbers::new(&collector.metrics);
        Ok(Retention {
            job: Job::new(collector, store.at_leisure(), journal, last_rules, numbers),
            seal,
        })
    }
}

/// Takes ClickHouse's TTL off the tables that the job purges.
///
/// # Errors
/// What ClickHouse said.
pub async fn prepare(store: &Store) -> Result<(), StoreError> {
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND position(engine_full, ' TTL ') > 0 \
               AND name IN ('events', 'consents', 'denials', 'requests', 'restrictions', 'access_log')";
    let tables: Vec<String> = within(store.timeout, store.client.query(sql).fetch_all()).await?;
    for table in tables {
        store
            .run(&format!("ALTER TABLE {table} REMOVE TTL"))
            .await?;
    }
    Ok(())
}
