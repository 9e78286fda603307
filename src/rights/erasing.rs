//! Erasures, a few at a time, until each is verified.
//!
//! Comes in: a [`Pending`] from the log. Goes out: [`Gone`], once these are true: every segment that could hold
//! such a row has left the spool of every collector that stores here, no quarantine holds one, ClickHouse counts none in
//! `events` and `restrictions`, the parts that held them are gone from its disk, and `visits` and `daily` of these days are
//! counted without them.
//!
//! # Why exactly once survives it
//!
//! A batch whose answer was unclear is verified by its number of rows. So no row may go while its batch is still to
//! be verified. An erasure therefore waits until the segments up to the one it was asked in are released, which is
//! when all their batches are known to be stored, and then deletes rows of those segments only: rows of the same
//! visitor in a later batch stay, they came after the request. A batch under way is thus first stored as a whole,
//! and then loses the row; it cannot come back, because the only copy outside ClickHouse was that segment.
//!
//! For other collectors the same holds by their own word (`settling`): rows that are settled go at once, rows of one that
//! has not answered stay from where it was settled last, and the erasure is under way until all have answered, also for
//! days.
//!
//! Killed at any point, the next start finds the erasure in the log and does all of it again: each step is safe to
//! repeat. What it costs is time: while ClickHouse is away, erasures wait, and are answered as under way.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aho_corasick::AhoCorasick;
use thiserror::Error;
use tokio::sync::{RwLock, watch};

use super::log::{ErasureLog, Pending, PendingKey};
use super::record;
use super::rows::Rows;
use super::settling::{self, Around, Settled};
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

/// How long an attempt waits for other collectors. Then it erases what is settled, and another attempt the rest.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Why an erasure is not done yet; it is tried again.
#[derive(Debug, Error)]
pub(super) enum Unfinished {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Quarantine(#[from] SegmentError),
    #[error("erasure log: {0}")]
    Log(#[from] io::Error),
    #[error("{0}")]
    Counted(String),
    #[error(
        "no answer yet from collector {0}: its spool may hold events that are to be erased; it is waited for, \
         however long. If its disk is gone for good: brine collectors forget"
    )]
    Silent(String),
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
    /// Held for writing while the quarantine is replayed: its records get places behind what is settled, and behind the
    /// place that an erasure goes up to. Held for reading where such a place is taken and the quarantine looked through.
    pub(super) replaying: RwLock<()>,
}

impl Erasures {
    pub(super) fn new(log: ErasureLog) -> Erasures {
        Erasures {
            log,
            ended: Mutex::new(VecDeque::new()),
            changes: watch::Sender::new(true),
            replaying: RwLock::new(()),
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
    // Those that wait for another collector do not stand before those that need not.
    let mut tries: HashMap<u64, u32> = HashMap::new();
    let mut told = String::new();
    loop {
        if !is_settled {
            // A server may come later; nothing is changed there before this.
            is_settled = match settle(erasures, collector, rows).await {
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
        tries.retain(|request, _| erasures.log.contains(*request));
        let group = erasures
            .log
            .next(AT_ONCE, |request| tries.get(&request).copied().unwrap_or(0));
        if group.is_empty() {
            backoff = config.retry_min;
            tokio::select! {
                _ = changes.changed() => continue,
                () = shutdown::asked(&mut shutdown) => break,
            }
        }
        for pending in &group {
            *tries.entry(pending.request).or_default() += 1;
        }
        let result = tokio::select! {
            result = erase(&group, erasures, collector, rows) => result,
            () = shutdown::asked(&mut shutdown) => break,
        };
        let Err(error) = result else {
            backoff = config.retry_min;
            continue;
        };
        let is_waiting = matches!(error, Unfinished::Silent(_));
        let text = error.to_string();
        match is_waiting && text == told {
            true => tracing::debug!(%error, "an erasure is still not done"),
            false => tracing::warn!(%error, "an erasure is not done yet; trying again"),
        }
        told = text;
        tokio::select! {
            () = tokio::time::sleep(jitter::up_to(backoff)) => {}
            _ = changes.changed(), if is_waiting => {}
            () = shutdown::asked(&mut shutdown) => break,
        }
        backoff = (backoff * 2).min(config.retry_max);
    }
    erasures.changes.send_replace(false);
}

/// Puts right what an earlier run may have left in ClickHouse.
async fn settle(erasures: &Erasures, collector: &Collector, rows: &Rows) -> Result<(), StoreError> {
    let me = collector.spool.incarnation();
    rows.settle_calls(me, &erasures.log.requests()).await?;
    rows.settle_crash().await
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
    let mut called = Vec::new();
    for pending in group {
        rows.put_keys(pending.request, &pending.keys).await?;
        called.push((pending.request, pending.keys.len() as u32));
    }
    let mut around = settling::ask(collector, rows, &called, ANSWER_PATIENCE).await?;

    // From here on nothing of it is on its way to ClickHouse, from where an answer has come: what was refused there is in
    // quarantine.
    let mut works = Vec::new();
    for pending in group {
        let around = around.remove(&pending.request).unwrap_or_default();
        works.push(Work::begin(pending, around, erasures, collector, rows).await?);
    }
    let of = |has: fn(&Work) -> bool| -> Vec<(u64, &Settled)> {
        let those = works.iter().filter(|work| has(work));
        those
            .map(|work| (work.pending.request, &work.settled))
            .collect()
    };
    rows.erase("events", &of(|work| work.events > 0)).await?;
    rows.erase("restrictions", &of(|work| work.restrictions > 0))
        .await?;

    let mut left = None;
    let mut verified = Vec::new();
    for work in &works {
        let n_keys = work.pending.keys.len() as u64;
        let request = work.pending.request;
        let after = rows.count(request, Some(&work.settled)).await?;
        match (after.keys, after.events, after.restrictions) == (n_keys, 0, 0) {
            true => verified.push(work),
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
        .filter(|work| work.is_touched())
        .flat_map(|work| work.pending.keys.iter())
        .map(|key| (key.site.clone(), key.day))
        .collect();
    if !days.is_empty() {
        derived::recount(collector, rows.store(), &days).await?;
    }
    let parts_aside = match verified.iter().any(|work| work.is_touched()) {
        true => rows.wipe_old_parts().await?,
        false => 0,
    };
    let mut silent = BTreeSet::new();
    for work in verified {
        silent.extend(work.around.silent().iter().map(ToString::to_string));
        work.end(parts_aside, erasures, collector, rows).await?;
    }
    if let Some(left) = left {
        return Err(Unfinished::Counted(left));
    }
    match silent.is_empty() {
        true => Ok(()),
        false => Err(Unfinished::Silent(
            silent.into_iter().collect::<Vec<_>>().join(", "),
        )),
    }
}

/// Takes the records of these keys out of this collector's quarantine, and ends their visits here.
pub(super) async fn erase_quarantined(
    keys: &[PendingKey],
    collector: &Arc<Collector>,
) -> Result<Erased, Unfinished> {
    if keys.is_empty() {
        return Ok(Erased::default());
    }
    let visitors: BTreeSet<u64> = keys.iter().map(|key| key.visitor).collect();
    for visitor in &visitors {
        collector.open_visits.forget(*visitor);
    }
    let (spool, keys) = (collector.spool.clone(), keys.to_vec());
    let erased = tokio::task::spawn_blocking(move || {
        let marks: Vec<Vec<u8>> = visitors.iter().map(|visitor| mark(*visitor)).collect();
        let search = AhoCorasick::new(&marks).map_err(io::Error::other);
        let search = search.map_err(SegmentError::Quarantine)?;
        let is_erased = |record: &spool::Record| match decode(record.kind.0, &record.payload) {
            Ok(Record::Event(event)) => keys.iter().any(|key| {
                (key.visitor, key.day, key.site.as_str()) == (event.visitor, event.day, event.site)
            }),
            Ok(Record::Restriction(one)) => keys
                .iter()
                .any(|key| key.visitor == one.visitor && key.site == one.site),
            Ok(_) => false,
            // Of another version: nobody can tell whose it is, as of damaged bytes.
            Err(_) => search.is_match(&record.payload),
        };
        spool.erase_quarantined(Removal::Request, &is_erased, &marks)
    });
    let erased = erased.await??;
    let removed = &collector.metrics.quarantine_removed;
    removed
        .with_label_values(&[Removal::Request.word()])
        .inc_by(erased.records);
    Ok(erased)
}

/// One erasure of a group, and what it found before it changed anything.
struct Work<'a> {
    pending: &'a Pending,
    around: Around,
    settled: Settled,
    aside: Erased,
    events: u64,
    restrictions: u64,
    /// Events found by this attempt and by those before.
    found: u64,
    /// Other collectors may change the same rows.
    is_shared: bool,
}

impl Work<'_> {
    async fn begin<'a>(
        pending: &'a Pending,
        around: Around,
        erasures: &Arc<Erasures>,
        collector: &Arc<Collector>,
        rows: &Rows,
    ) -> Result<Work<'a>, Unfinished> {
        let request = pending.request;
        let mut aside = erase_quarantined(&pending.keys, collector).await?;
        if aside != Erased::default() {
            let taken = erasures
                .clone()
                .change(move |log| log.quarantined(request, aside));
            taken.await?;
        }
        aside.records += pending.quarantined;
        aside.files += pending.damaged_files;
        let here = Settled::here(collector, SegmentId::from_u64(pending.segment));
        let settled = around.settled(here);
        let before = rows.count(request, Some(&settled)).await?;
        if before.keys != pending.keys.len() as u64 {
            let reason = "the engine has forgotten what to erase";
            return Err(Unfinished::Counted(reason.into()));
        }
        // What an attempt that was cut off had found is still there, or gone; what it had verified is gone.
        let found = pending.found.unwrap_or(0);
        let found = found.max(pending.gone + before.events);
        if pending.found != Some(found) {
            let noted = erasures
                .clone()
                .change(move |log| log.found(request, found));
            noted.await?;
        }
        Ok(Work {
            pending,
            around,
            settled,
            aside,
            events: before.events,
            restrictions: before.restrictions,
            found,
            is_shared: collector.config.store.is_shared(),
        })
    }

    /// Whether rows are changed now, or, if it is the last attempt, may have been by a former one, or by another collector
    /// that erases for the same visitor: days are stale, and old parts may hold the rows.
    fn is_touched(&self) -> bool {
        let is_last = self.around.silent().is_empty();
        let may_be = self.pending.found.is_some() || self.is_shared;
        self.events + self.restrictions > 0 || (is_last && may_be)
    }

    /// Lets go of a verified erasure, or notes how far it is.
    async fn end(
        &self,
        parts_aside: u64,
        erasures: &Arc<Erasures>,
        collector: &Arc<Collector>,
        rows: &Rows,
    ) -> Result<(), Unfinished> {
        if !self.around.silent().is_empty() {
            let (request, found) = (self.pending.request, self.found);
            if self.pending.gone != found {
                let noted = erasures.clone().change(move |log| log.gone(request, found));
                noted.await?;
            }
            return Ok(());
        }
        let (records, files) = self.around.quarantined();
        let gone = Gone {
            rows: self.found,
            quarantined: self.aside.records + records,
            damaged_files: self.aside.files + files,
            parts_aside,
        };
        finish(self.pending, gone, erasures, collector, rows).await
    }
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
    if collector.config.store.is_shared()
        && let Err(error) = rows.hang_up(request).await
    {
        tracing::debug!(%error, "the call of an erasure that is done lapses by itself");
    }
    tracing::info!(
        rows = gone.rows,
        quarantined = gone.quarantined,
        "events erased on request"
    );
    erasures.end(request, gone);
    Ok(())
}

/// The bytes of a pseudonym in a record's payload (postcard: seven bits a byte, lowest first).
fn mark(visitor: u64) -> Vec<u8> {
    encode(&visitor)
}
