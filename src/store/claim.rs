//! One at a time across collectors: a claim in ClickHouse's memory, for the retention job, for counting days, and for
//! changes of the schema.
//!
//! Comes in: a collector that wants to do what only one may. Goes out: a [`Claim`], or who has it. ClickHouse has no
//! compare and swap: a collector inserts a claim that asks, looks whether it is alone, and prolongs it into one that
//! holds. Of several that come at the same moment the one whose name is first in order waits for the others to step
//! back, so that one of them gets it however slow the machine is. A claim lapses after [`HOLDS_S`] seconds by ClickHouse's
//! clock unless it is renewed, so that a killed collector is in nobody's way for long.
//!
//! What this does not promise: a holder that stood still for longer than that (a stopped process) notices it at its next
//! renewal and not before; a ClickHouse that was restarted meanwhile, or several ClickHouse servers under one name, may
//! let two at it at once. A step of a purge is safe to do twice, also by two; what may double then is its record, never a
//! row's end. Where one takes over from another, the first one records, once it is back, what the other has not (`purge`).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;

use super::change::pressure;
use super::{Store, StoreError, within};
use crate::secret::random_bytes;

/// Seconds without renewal after which a claim counts no more.
const HOLDS_S: u32 = 120;

/// The same while it only asks. A claim that lapses later than this is one that holds.
const ASKS_S: u32 = 60;

/// How long the first in order waits for others that ask to step back, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);

/// How old a claim may get before it is renewed: three statements.
const RENEW: Duration = Duration::from_secs(20);

/// Another collector's claim.
#[derive(Row, Deserialize)]
struct Other {
    collector: String,
    holds: bool,
}

/// The name of this process, where nothing that outlives it is a better one.
pub(crate) static PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", u64::from_le_bytes(random_bytes())));

/// The right to do what only one may.
#[derive(Debug)]
pub(crate) struct Claim {
    store: Store,
    table: &'static str,
    collector: String,
    run: u64,
}

impl Claim {
    /// Takes the claim that lies in `table`, or returns which collector has it.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(crate) async fn take(
        store: &Store,
        table: &'static str,
        collector: &str,
        run: u64,
    ) -> Result<Result<Claim, String>, StoreError> {
        let claim = Claim {
            store: store.clone(),
            table,
            collector: collector.to_owned(),
            run,
        };
        // Whatever was claimed under this name before is over: nobody else has it.
        claim.ask().await?;
        let begun = Instant::now();
        loop {
            let Some(other) = claim.another().await? else {
                claim.renew().await?;
                return Ok(Ok(claim));
            };
            if other.holds || *other.collector < *collector || begun.elapsed() > PATIENCE {
                claim.give_up().await?;
                return Ok(Err(other.collector));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Returns the claim of another that is most in the way: one that holds, or the first in order.
    async fn another(&self) -> Result<Option<Other>, StoreError> {
        let sql = format!(
            "SELECT collector, toBool(max(until) > now() + {ASKS_S}) AS holds FROM {} \
             WHERE collector != '{}' AND until > now() GROUP BY collector ORDER BY holds DESC, collector LIMIT 1",
            self.table, self.collector
        );
        let others = self.store.client.query(&sql).fetch_optional();
        within(self.store.timeout, others).await
    }

    async fn ask(&self) -> Result<(), StoreError> {
        let ask = format!(
            "INSERT INTO {} SELECT '{}', {}, now() + {ASKS_S}",
            self.table, self.collector, self.run
        );
        self.store.run(&ask).await?;
        self.tidy().await
    }

    /// Prolongs it, if it has not lapsed: ClickHouse's clock alone decides, in the statement that prolongs.
    ///
    /// # Errors
    /// What ClickHouse said, or `Pressure` where it has lapsed: another may have it.
    async fn renew(&self) -> Result<(), StoreError> {
        let ours = format!("collector = '{}' AND run = {}", self.collector, self.run);
        let table = self.table;
        // The new one before the old one goes: at no moment is there none.
        let longer = format!(
            "INSERT INTO {table} SELECT collector, run, now() + {HOLDS_S} FROM {table} \
             WHERE {ours} AND until > now() LIMIT 1"
        );
        self.store.run(&longer).await?;
        let held = format!("SELECT count() FROM {table} WHERE {ours} AND until > now() + {ASKS_S}");
        let held = self.store.client.query(&held);
        if within::<u64>(self.store.timeout, held.fetch_one()).await? == 0 {
            return Err(pressure("the claim has lapsed"));
        }
        self.tidy().await
    }

    /// Removes claims that have lapsed, and those that this name had before.
    async fn tidy(&self) -> Result<(), StoreError> {
        let old = format!(
            "ALTER TABLE {} DELETE WHERE until <= now() OR (collector = '{}' AND run != {}) SETTINGS mutations_sync = 1",
            self.table, self.collector, self.run
        );
        self.store.run(&old).await
    }

    /// Keeps it while `work` is done, which may take long, and gives it up.
    ///
    /// # Errors
    /// What ClickHouse said to a renewal; the work is dropped then.
    pub(crate) async fn keep_while<T>(
        self,
        work: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        // A counting is deep: on the heap, so that no stack overflows.
        let mut work = Box::pin(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break Ok(done),
                () = tokio::time::sleep(RENEW) => if let Err(error) = self.renew().await {
                    break Err(error);
                },
            }
        };
        if let Err(error) = self.give_up().await {
            tracing::debug!(%error, table = self.table, "the claim lapses by itself");
        }
        done
    }

    /// Lets others have it.
    ///
    /// # Errors
    /// What ClickHouse said; it lapses by itself then.
    async fn give_up(&self) -> Result<(), StoreError> {
        let sql = format!(
            "ALTER TABLE {} DELETE WHERE collector = '{}' SETTINGS mutations_sync = 1",
            self.table, self.collector
        );
        self.store.run(&sql).await
    }
}
