//! Erasures, a few at a time, until each is verified.
//!
//! Comes in: a [`Pending`] from the log. Goes out: [`Gone`], once these are true: every segment that could hold
//! such a row has left the spool, the quarantine holds none, ClickHouse counts none in `events` and `restrictions`,
//! the parts that held them are gone from its disk, and `visits` and `daily` of these days are counted without them.
//!
//! # Why exactly once survives it
//!
//! A batch whose answer was unclear is verified by its number of rows. So no row may go while its batch is still to
//! be verified. An erasure therefore waits until the segments up to the one it was asked in are released, which is
//! when all their batches are known to be stored, and then deletes rows of those segments only: rows of the same
//! visitor in a later batch stay, they came after the request. A batch under way is thus first stored as a whole,
//! and then loses the row; it cannot come back, because the only copy outside ClickHouse was that segment.
//!
//! Killed at any point, the next start finds the erasure in the log and does all of it again: each step is safe to
//! repeat. What it costs is time: while ClickHouse is away, erasures wait, and are answered as under way.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use super::log::{ErasureLog, Pending};
use super::record;
use super::rows::{Rows, Settled};
use crate::collector::Collector;
use crate::event::{Record, decode, encode, kind};
use crate::jitter;
use crate::retention::derived;
use crate::shutdown;
use crate::spool::{
    self, AppendError, Erased, RecordKind, Removal, SegmentError, SegmentId, always,
};
use crate::store::StoreError;

/// Ends that are remembered, for those who ask later.
const REMEMBERED: usize = 1_000;

/// Erasures that are done with one change of the tables.
const AT_ONCE: usize = 16;

/// What an erasure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Rows of events.
    pub(super) rows: u64,
    /// Records in quarantine.
    pub(super) quarantined: u64,
    /// Damaged files in quarantine that held one of the pseudonyms.
    pub(super) damaged_files: u64,
    /// Damaged parts that ClickHouse has set aside; their rows cannot be read, by it or by us.
    pub(super) parts_aside: u64,
}

/// Why an erasure is not done yet; it is tried again.
#[derive(Debug, Error)]
enum Unfinished {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Quarantine(#[from] SegmentError),
    #[error("erasure log: {0}")]
    Log(#[from] io::Error),
    #[error("{0}")]
    Counted(String),
    #[error("the record of the erasure cannot be written: {0}")]
    Record(AppendError),
    #[error("task: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The erasures of one brine.
#[derive(Debug)]
pub(super) struct Erasures {
    pub(super) log: ErasureLog,
    ended: Mutex<VecDeque<(u64, Gone)>>,
    /// Rings whenever one was added or has ended; `false` once nobody works on them any more.
    changes: watch::Sender<bool>,
}

impl Erasures {
    pub(super) fn new(log: ErasureLog) -> Erasures {
        Erasures {
            log,
            ended: Mutex::new(VecDeque::new()),
            changes: watch::Sender::new(true),
        }
    }

    /// Changes the log, away from the runtime: it is a file. A client that leaves does not cut it short.
    pub(super) async fn change<T: Send + 'static>(
        self: Arc<Self>,
        change: impl FnOnce(&ErasureLog) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let changed = tokio::task::spawn_blocking(move || change(&self.log)).await;
        changed.map_err(io::Error::other)?
    }

    /// Tells the worker that the log has grown.
    pub(super) fn wake(&self) {
        self.changes.send_modify(|_| {});
    }

    /// Returns what an erasure did, if it ended lately.
    pub(super) fn gone(&self, request: u64) -> Option<Gone> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended
            .iter()
            .find(|(id, _)| *id == request)
            .map(|(_, gone)| *gone)
    }

    /// Waits for an erasure's end; none where it takes longer than `patience`, or brine is closing.
    pub(super) async fn wait(&self, request: u64, patience: Duration) -> Option<Gone> {
        let mut changes = self.changes.subscribe();
        let ended = async {
            loop {
                let is_worked_on = *changes.borrow_and_update();
                if let Some(gone) = self.gone(request) {
                    return Some(gone);
                }
                if !is_worked_on || changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(patience, ended).await.ok().flatten()
    }

    fn end(&self, request: u64, gone: Gone) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() == REMEMBERED {
            ended.pop_front();
        }
        ended.push_back((request, gone));
        drop(ended);
        self.wake();
    }
}

/// Works through the log until shutdown. What is left then is done after the next start.
pub(super) async fn work(
    erasures: &Arc<Erasures>,
    collector: &Arc<Collector>,
    rows: &Rows,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut changes = erasures.changes.subscribe();
    let config = &collector.config.batch;
    let mut backoff = config.retry_min;
    let mut is_settled = false;
    loop {
        if !is_settled {
            // A server may come later; nothing is changed there before this.
            is_settled = match rows.settle_crash().await {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%error, "rights: ClickHouse is not there yet");
                    tokio::select! {
                        () = tokio::time::sleep(backoff) => {}
                        () = shutdown::asked(&mut shutdown) => break,
                    }
                    backoff = (backoff * 2).min(config.retry_max);
                    continue;
                }
            };
        }
        changes.mark_unchanged();
        collector
            .metrics
            .erasures_pending
            .set(erasures.log.len() as i64);
        let group = erasures.log.oldest(AT_ONCE);
        if group.is_empty() {
            backoff = config.retry_min;
            tokio::select! {
                _ = changes.changed() => continue,
                () = shutdown::asked(&mut shutdown) => break,
            }
        }
        let result = tokio::select! {
            result = erase(&group, erasures, collector, rows) => result,
            () = shutdown::asked(&mut shutdown) => break,
        };
        match result {
            Ok(()) => backoff = config.retry_min,
            Err(error) => {
                tracing::warn!(%error, "an erasure is not done yet; trying again");
                tokio::select! {
                    () = tokio::time::sleep(jitter::up_to(backoff)) => {}
                    () = shutdown::asked(&mut shutdown) => break,
                }
                backoff = (backoff * 2).min(config.retry_max);
            }
        }
    }
    erasures.changes.send_replace(false);
}

/// Erases for several at once: a change of stored rows touches every part of a table, and costs the same for one
/// visitor as for many.
async fn erase(
    group: &[Pending],
    erasures: &Arc<Erasures>,
    collector: &Arc<Collector>,
    rows: &Rows,
) -> Result<(), Unfinished> {
    let spool = &collector.spool;
    spool.seal_now().await;
    let last = group.iter().map(|pending| pending.segment).max();
    spool
        .drained_through(SegmentId::from_u64(last.unwrap_or(0)))
        .await;

    // From here on nothing of it is on its way to ClickHouse: what was refused there is in quarantine.
    let mut counted = Vec::new();
    for pending in group {
        let aside = erase_quarantined(pending, collector).await?;
        let before = count_before(pending, erasures, collector, rows).await?;
        counted.push((pending, aside, before));
    }
    let of = |has: fn(&Before) -> bool| -> Vec<(u64, Settled)> {
        let those = counted.iter().filter(|(_, _, before)| has(before));
        those
            .map(|(pending, ..)| (pending.request, settled(pending, collector)))
            .collect()
    };
    rows.erase("events", &of(|before| before.events > 0))
        .await?;
    rows.erase("restrictions", &of(|before| before.restrictions > 0))
        .await?;

    let mut left = None;
    let mut verified = Vec::new();
    for (pending, aside, before) in &counted {
        let n_keys = pending.keys.len() as u64;
        let settled = settled(pending, collector);
        let after = rows.count(pending.request, Some(settled)).await?;
        match (after.keys, after.events, after.restrictions) == (n_keys, 0, 0) {
            true => verified.push((*pending, *aside, before)),
            false => {
                left = Some(format!(
                    "{} events and {} restrictions are left by {} of {n_keys} keys",
                    after.events, after.restrictions, after.keys
                ));
            }
        }
    }
    // Visits and daily counts of these days are counted again, before anything is called erased.
    let days: BTreeSet<(String, u16)> = verified
        .iter()
        .filter(|(_, _, before)| before.is_touched)
        .flat_map(|(pending, ..)| pending.keys.iter())
        .map(|key| (key.site.clone(), key.day))
        .collect();
    if !days.is_empty() {
        derived::recount(collector, rows.store(), &days).await?;
    }
    let parts_aside = match verified.iter().any(|(_, _, before)| before.is_touched) {
        true => rows.wipe_old_parts().await?,
        false => 0,
    };
    for (pending, aside, before) in verified {
        let gone = Gone {
            rows: before.found,
            quarantined: aside.records,
            damaged_files: aside.files,
            parts_aside,
        };
        finish(pending, gone, erasures, collector, rows).await?;
    }
    left.map_or(Ok(()), |left| Err(Unfinished::Counted(left)))
}

async fn erase_quarantined(
    pending: &Pending,
    collector: &Arc<Collector>,
) -> Result<Erased, Unfinished> {
    let visitors: BTreeSet<u64> = pending.keys.iter().map(|key| key.visitor).collect();
    for visitor in &visitors {
        collector.open_visits.forget(*visitor);
    }
    let (spool, keys) = (collector.spool.clone(), pending.keys.clone());
    let erased = tokio::task::spawn_blocking(move || {
        let is_erased = |record: &spool::Record| match decode(record.kind.0, &record.payload) {
            Ok(Record::Event(event)) => keys.iter().any(|key| {
                (key.visitor, key.day, key.site.as_str()) == (event.visitor, event.day, event.site)
            }),
            Ok(Record::Restriction(one)) => keys
                .iter()
                .any(|key| key.visitor == one.visitor && key.site == one.site),
            _ => false,
        };
        let marks: Vec<Vec<u8>> = visitors.iter().map(|visitor| mark(*visitor)).collect();
        spool.erase_quarantined(Removal::Request, &is_erased, &marks)
    });
    let erased = erased.await??;
    let removed = &collector.metrics.quarantine_removed;
    removed
        .with_label_values(&[Removal::Request.word()])
        .inc_by(erased.records);
    Ok(erased)
}

/// What an erasure finds before it changes anything.
struct Before {
    events: u64,
    restrictions: u64,
    /// Events that its first attempt found.
    found: u64,
    /// Rows are changed now, or were by a former attempt: old parts may hold them.
    is_touched: bool,
}

async fn count_before(
    pending: &Pending,
    erasures: &Arc<Erasures>,
    collector: &Arc<Collector>,
    rows: &Rows,
) -> Result<Before, Unfinished> {
    let request = pending.request;
    rows.put_keys(request, &pending.keys).await?;
    let settled = settled(pending, collector);
    let before = rows.count(request, Some(settled)).await?;
    if before.keys != pending.keys.len() as u64 {
        let reason = "the engine has forgotten what to erase";
        return Err(Unfinished::Counted(reason.into()));
    }
    if pending.found.is_none() {
        let events = before.events;
        let noted = erasures
            .clone()
            .change(move |log| log.found(request, events));
        noted.await?;
    }
    Ok(Before {
        events: before.events,
        restrictions: before.restrictions,
        found: pending.found.unwrap_or(before.events),
        is_touched: pending.found.is_some() || before.events + before.restrictions > 0,
    })
}

/// Records a verified erasure, and lets go of it.
async fn finish(
    pending: &Pending,
    gone: Gone,
    erasures: &Arc<Erasures>,
    collector: &Arc<Collector>,
    rows: &Rows,
) -> Result<(), Unfinished> {
    let request = pending.request;
    rows.drop_keys(request).await?;
    let (now, config) = (collector.clock.now(), &collector.config.consent);
    let record = encode(&record::done(pending, gone, now, config));
    let appended = collector
        .spool
        .append(RecordKind(kind::REQUEST), &record, always);
    appended.await.map_err(Unfinished::Record)?;
    erasures
        .clone()
        .change(move |log| log.remove(request))
        .await?;
    tracing::info!(
        rows = gone.rows,
        quarantined = gone.quarantined,
        "events erased on request"
    );
    erasures.end(request, gone);
    Ok(())
}

fn settled(pending: &Pending, collector: &Collector) -> Settled {
    Settled {
        incarnation: collector.spool.incarnation(),
        segment: pending.segment,
    }
}

/// The bytes of a pseudonym in a record's payload (postcard: seven bits a byte, lowest first).
fn mark(visitor: u64) -> Vec<u8> {
    encode(&visitor)
}
