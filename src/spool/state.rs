//! What handlers, readers and the writer thread share.
//!
//! One mutex, held for copies and look-ups, never for I/O and never across an await.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::error::{AppendError, FullCause, SegmentError};
use super::fs::Filesystem;
use super::group::{Committed, Pending};
use super::quarantine::Replayed;
use super::record::{FRAME_HEADER_BYTES, SegmentId};
use super::segment::Header;
use super::stats::{SpoolClock, SpoolObserver, SpoolSettings};

/// Everything one open spool is made of.
pub(super) struct Shared {
    pub(super) fs: Arc<dyn Filesystem>,
    pub(super) dir: PathBuf,
    pub(super) settings: SpoolSettings,
    pub(super) clock: Arc<dyn SpoolClock>,
    pub(super) observer: Arc<dyn SpoolObserver>,
    pub(super) incarnation: u64,
    pub(super) seed: u32,
    /// Rings for the writer thread; see `writer_parked`.
    pub(super) wake_writer: Condvar,
    /// Counts changes of the sealed segments and the end of the writer.
    pub(super) changes: watch::Sender<u64>,
    /// Held while files are moved between the spool and its quarantine.
    pub(super) moves: Mutex<()>,
    pub(super) state: Mutex<State>,
    /// The single-writer lock, let go with the last handle.
    pub(super) _lock: Box<dyn Send + Sync>,
}

/// A sealed segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) header: Header,
    /// Bytes that belong to it; the file may be longer if its tail was abandoned.
    pub(super) length: u64,
    pub(super) n_records: u32,
}

/// Part of the state behind the mutex.
pub(super) struct State {
    pub(super) pending: Pending,
    pub(super) flow: Flow,
    pub(super) commands: VecDeque<Command>,
    /// The open segment is sealed by then, however young it is.
    pub(super) seal_by: Option<Instant>,
    /// Set while the writer waits on the condition variable: ringing costs a system call, so it is
    /// done only for someone who listens.
    pub(super) writer_parked: bool,
    /// Size of the group at which a parked writer wants to be woken, besides the first record.
    pub(super) wake_at_records: u32,
    pub(super) sealed: BTreeMap<SegmentId, Entry>,
    /// Those of the sealed whose name is gone, but perhaps not durably.
    pub(super) released: BTreeSet<SegmentId>,
    /// Those of the released that were delivered; the next release that succeeds makes their end durable, too.
    pub(super) unlinked: BTreeSet<SegmentId>,
    /// The segment that is written, as far as it is durable.
    pub(super) open: Option<Entry>,
    /// No segment of a higher id has ever had a record.
    pub(super) newest: SegmentId,
    /// Bytes of all segments on disk.
    pub(super) bytes: u64,
    pub(super) quarantine_bytes: u64,
    /// A replay was cut short by the disk, and its records are where nobody looks until the next start.
    pub(super) half_replayed: bool,
    /// Set while the disk fails; answered to every append.
    pub(super) failing: Option<AppendError>,
    pub(super) below_reserve: bool,
    pub(super) groups: u64,
    pub(super) failures: u64,
}

/// Life of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    Closing,
    Closed,
}

/// What others ask of the writer thread.
pub(super) enum Command {
    Seal(oneshot::Sender<()>),
    Replay(oneshot::Sender<Result<Replayed, SegmentError>>),
    Close(Option<oneshot::Sender<()>>),
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The one foreign code that runs under this lock is an append's `admit`, before anything is
        // changed: a panic in it leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock under which segment files are moved.
    pub(super) fn lock_moves(&self) -> MutexGuard<'_, ()> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts records into the group being gathered. `copy` appends exactly `n_bytes`.
    pub(super) fn submit(
        &self,
        n_records: u32,
        n_bytes: usize,
        admit: impl FnOnce() -> bool,
        copy: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Committed, u32), AppendError> {
        let limit_bytes = self.group_limit_bytes();
        if n_bytes > limit_bytes {
            return Err(AppendError::TooLarge {
                bytes: n_bytes,
                limit_bytes,
            });
        }
        let mut state = self.lock();
        if state.flow != Flow::Open {
            return Err(AppendError::Closed);
        }
        if let Some(error) = &state.failing {
            return Err(error.clone());
        }
        if let Some(cause) = state.full_cause(&self.settings, n_bytes) {
            return Err(AppendError::Full(cause));
        }
        if !admit() {
            return Err(AppendError::Refused);
        }
        copy(&mut state.pending.bytes);
        let before = state.pending.n_records;
        let after = before + n_records;
        state.pending.n_records = after;
        let committed = Committed::new(Arc::clone(&state.pending.group));
        let crossed = |threshold| before < threshold && threshold <= after;
        let ring = state.writer_parked
            && (before == 0
                || crossed(state.wake_at_records)
                || state.pending.bytes.len() >= limit_bytes / 2);
        if ring {
            state.writer_parked = false;
        }
        drop(state);
        if ring {
            self.wake_writer.notify_one();
        }
        Ok((committed, before))
    }

    /// Largest group: half the buffer gathers while the other half is written.
    pub(super) fn group_limit_bytes(&self) -> usize {
        self.settings.buffer_bytes / 2
    }

    /// Gives the writer something to do. False if the spool is closing: nobody would answer.
    pub(super) fn send(&self, command: Command) -> bool {
        let mut state = self.lock();
        let open = state.flow == Flow::Open;
        if open {
            state.commands.push_back(command);
            drop(state);
            self.wake_writer.notify_one();
        }
        open
    }

    /// Wants the open segment sealed by `at`. The writer is woken for the first of many who ask.
    pub(super) fn seal_by(&self, at: Instant) {
        let mut state = self.lock();
        if state.seal_by.is_some_and(|before| before <= at) {
            return;
        }
        state.seal_by = Some(at);
        let ring = std::mem::take(&mut state.writer_parked);
        drop(state);
        if ring {
            self.wake_writer.notify_one();
        }
    }

    /// Lets no append in any more and asks the writer to end. False if that was done before.
    pub(super) fn begin_close(&self, reply: Option<oneshot::Sender<()>>) -> bool {
        let mut state = self.lock();
        let first = state.flow == Flow::Open;
        if first {
            state.flow = Flow::Closing;
            state.commands.push_back(Command::Close(reply));
            drop(state);
            self.wake_writer.notify_one();
        }
        first
    }

    pub(super) fn announce_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl State {
    /// Returns the segments that can be read, oldest first.
    pub(super) fn readable(&self) -> impl Iterator<Item = SegmentId> {
        self.sealed
            .keys()
            .copied()
            .filter(|id| !self.released.contains(id))
    }

    /// Returns the bound that `n_bytes` more would break.
    pub(super) fn full_cause(&self, settings: &SpoolSettings, n_bytes: usize) -> Option<FullCause> {
        let waiting = self.pending.bytes.len() + n_bytes;
        // What the open segment may still need besides groups: a seal.
        let frames = 2 * FRAME_HEADER_BYTES as u64;
        if self.below_reserve {
            Some(FullCause::Reserve)
        } else if self.bytes + self.quarantine_bytes + waiting as u64 + frames > settings.max_bytes
        {
            Some(FullCause::Limit)
        } else if waiting > settings.buffer_bytes / 2 {
            Some(FullCause::Buffer)
        } else {
            None
        }
    }
}
