//! What other collectors' requests ask of this one: to bring what it holds, and to let go of what is set aside.
//!
//! Comes in: calls that this collector has not answered (`settling`). Goes out: an answer to each, once everything that it
//! had accepted when it first saw the call has left its spool and the request's records have left its quarantine. While
//! ClickHouse is away, or a batch cannot be settled, no answer is given, and whoever asks waits. The cost, where
//! `store.url` names a server: a statement a second about two tables in memory, which are empty nearly always, and a row an
//! hour in `collectors`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::erasing::{Erasures, Unfinished, erase_quarantined};
use super::log::PendingKey;
use super::rows::Rows;
use super::rows::calls::{Call, Said};
use super::settling;
use crate::collector::Collector;
use crate::spool::SegmentId;
use crate::{jitter, shutdown};

/// Longest time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// How long one look waits for the spool; the next one goes on with it.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is made sure that this collector is still known, should an operator have forgotten it by mistake, and how
/// often it says how far it has settled.
const KNOWN: Duration = Duration::from_secs(20);
const SETTLED: Duration = Duration::from_secs(3_600);

/// Answers until shutdown.
pub(super) async fn answer(
    erasures: &Erasures,
    collector: &Arc<Collector>,
    rows: &Rows,
    mut shutdown: watch::Receiver<bool>,
) {
    if !collector.config.store.is_shared() {
        return;
    }
    let mut desk = Desk {
        erasures,
        collector,
        rows,
        targets: BTreeMap::new(),
        known: Instant::now(),
        settled: Instant::now(),
    };
    let config = &collector.config.batch;
    let mut backoff = config.retry_min;
    loop {
        let looked = tokio::select! {
            looked = desk.look() => looked,
            () = shutdown::asked(&mut shutdown) => return,
        };
        let wait = match looked {
            Ok(()) => {
                backoff = config.retry_min;
                EVERY
            }
            Err(error) => {
                match &error {
                    // That ClickHouse is away the batch step says.
                    Unfinished::Store(error) => {
                        tracing::debug!(%error, "cannot answer other collectors; trying again");
                    }
                    error => {
                        tracing::warn!(%error, "cannot answer another collector's request; trying again");
                    }
                }
                let wait = backoff;
                backoff = (backoff * 2).min(config.retry_max);
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(jitter::up_to(wait)) => {}
            () = shutdown::asked(&mut shutdown) => return,
        }
    }
}

struct Desk<'a> {
    erasures: &'a Erasures,
    collector: &'a Arc<Collector>,
    rows: &'a Rows,
    /// The segment that had everything when a call was first seen.
    targets: BTreeMap<u64, SegmentId>,
    known: Instant,
    settled: Instant,
}

impl Desk<'_> {
    async fn look(&mut self) -> Result<(), Unfinished> {
        self.keep_known().await?;
        let (collector, rows) = (self.collector, self.rows);
        let spool = &collector.spool;
        let calls = rows.calls(spool.incarnation()).await?;
        self.targets
            .retain(|request, _| calls.iter().any(|call| call.request == *request));
        let mut asked = Vec::new();
        for call in calls {
            // Without its keys it is over, or ClickHouse was restarted: then they are laid down again.
            if let Some(keys) = self.keys(call).await? {
                asked.push((call.request, keys));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let _no_replay = self.erasures.replaying.read().await;
        if asked
            .iter()
            .any(|(request, _)| !self.targets.contains_key(request))
        {
            spool.seal_now().await;
            let newest = spool.newest();
            for (request, _) in &asked {
                self.targets.entry(*request).or_insert(newest);
            }
        }
        let first = asked
            .iter()
            .filter_map(|(request, _)| self.targets.get(request))
            .min();
        let drained = spool.drained_through(first.copied().unwrap_or(spool.newest()));
        if tokio::time::timeout(DRAIN_PATIENCE, drained).await.is_err() {
            tracing::info!(
                requests = asked.len(),
                "requests made to other collectors wait until this one's spool is in ClickHouse"
            );
            return Ok(());
        }
        // One that fails does not keep the others waiting.
        let (settled, mut failed) = (spool.settled(), None);
        for (request, keys) in asked {
            let target = self.targets.get(&request).copied();
            let Some(target) = target.filter(|target| *target <= settled) else {
                continue;
            };
            if let Err(error) = self.answer(request, &keys, target).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn keys(&self, call: Call) -> Result<Option<Vec<PendingKey>>, Unfinished> {
        let keys = match call.n_keys {
            0 => Vec::new(),
            _ => self.rows.keys(call.request).await?,
        };
        Ok((keys.len() as u64 == u64::from(call.n_keys)).then_some(keys))
    }

    async fn answer(
        &self,
        request: u64,
        keys: &[PendingKey],
        target: SegmentId,
    ) -> Result<(), Unfinished> {
        let erased = erase_quarantined(keys, self.collector).await?;
        let said = Said {
            request,
            incarnation: self.collector.spool.incarnation(),
            segment: target.as_u64(),
            quarantined: erased.records,
            damaged_files: erased.files,
        };
        Ok(self.rows.say(said).await?)
    }

    async fn keep_known(&mut self) -> Result<(), Unfinished> {
        let is_due = self.settled.elapsed() > SETTLED;
        if !is_due && self.known.elapsed() < KNOWN {
            return Ok(());
        }
        if is_due
            || !self
                .rows
                .is_known(self.collector.spool.incarnation())
                .await?
        {
            settling::enter(self.collector, self.rows, false).await?;
            self.settled = Instant::now();
        }
        self.known = Instant::now();
        Ok(())
    }
}
