//! One change of `visits` and `daily` at a time.
//!
//! Comes in: a change: days to be counted, or rows to be purged. Goes out: what came of it, while nobody else was at it. Two
//! countings would write into the same partition of what comes next, and a purge between the copying of a month and its
//! replacement would be undone. In this process a mutex sees to it, among collectors a claim.

use std::time::{Duration, Instant};

use crate::jitter;
use crate::secret::random_bytes;
use crate::store::change::pressure;
use crate::store::claim::{Claim, PROCESS};
use crate::store::{Store, StoreError};

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Where the right to change these tables lies (`schema/0014_claims.sql`).
const CLAIMS: &str = "derived_claims";

/// How long another collector's counting is waited for, and how often, at most, it is looked after. Whoever gives up comes
/// again: an erasure, or the next attempt of the job.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(2);

/// Changes these tables while nobody else does.
///
/// # Errors
/// Those of `change`; what ClickHouse said; `Pressure` where another collector is at it for long.
pub(in crate::retention) async fn in_turn<T, E: From<StoreError>>(
    store: &Store,
    change: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let _turn = TURN.lock().await;
    let run = u64::from_le_bytes(random_bytes());
    let begun = Instant::now();
    let claim = loop {
        match Claim::take(store, CLAIMS, &PROCESS, run).await? {
            Ok(claim) => break claim,
            Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(jitter::up_to(LOOK)).await,
            Err(_) => return Err(pressure("another collector counts days").into()),
        }
    };
    claim.keep_while(change).await?
}
