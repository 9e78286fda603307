//! The writer thread: groups to disk, segments in and out of use, the disk's failures.
//!
//! In: the group that handlers fill. Out: one fdatasync a group, then its outcome to every waiter.
//! It is the only one that writes segments, so what it knows of the open one needs no lock.
//!
//! A failure of write or fdatasync is final for that file. The records of the group are answered as
//! failed, the file is cut back to its last durable group, and the length is written into the
//! identity file *before* anything else relies on it: before the waiters are answered, before the
//! segment may be read, before a next one is begun. So a record answered as failed does not come
//! back. Where the disk refuses even that, nothing more is accepted until it takes it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{AppendError, SegmentError};
use super::fs::remove_if_present;
use super::group::{Group, GroupRule, Pending};
use super::identity::{Cut, Identity};
use super::quarantine;
use super::record::SegmentId;
use super::segment::{self, HEADER_BYTES, Header, OpenSegment};
use super::state::{Command, Entry, Flow, Shared};

/// How long appends are refused after the disk failed twice in a row, and how often free space is
/// looked at: often enough for an operator who made room, rare enough to cost nothing.
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// Owned by the thread that [`run`](Writer::run)s it.
pub(super) struct Writer {
    shared: Arc<Shared>,
    identity: Identity,
    rule: GroupRule,
    open: Option<OpenSegment>,
    seal_at: Option<Instant>,
    probe_at: Option<Instant>,
    space_seen_at: Option<Instant>,
    /// Abandoned segments whose cut is not in the identity file yet.
    abandoned: Vec<Entry>,
    failures_in_a_row: u32,
    /// The other one of two buffers.
    spare: Vec<u8>,
}

enum Task {
    Commit(Pending),
    Do(Command),
    SealByAge,
    Probe,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, identity: Identity) -> Self {
        let rule = GroupRule::new(
            shared.settings.group_records,
            shared.settings.group_delay,
            shared.group_limit_bytes() / 2,
        );
        Self {
            shared,
            identity,
            rule,
            open: None,
            seal_at: None,
            probe_at: None,
            space_seen_at: None,
            abandoned: Vec::new(),
            failures_in_a_row: 0,
            spare: Vec::new(),
        }
    }

    /// Serves until the spool is closed.
    pub(super) fn run(mut self) {
        let end = EndOfWriter(Arc::clone(&self.shared));
        loop {
            match self.next_task() {
                Task::Commit(pending) => self.commit(pending),
                Task::SealByAge => self.seal(),
                Task::Probe => self.probe(),
                Task::Do(Command::Seal(reply)) => {
                    self.seal();
                    // The asker may have gone; the seal stands.
                    reply.send(()).ok();
                }
                Task::Do(Command::Replay(reply)) => {
                    self.seal();
                    // Segments must appear in the order of their ids.
                    let replayed = match self.open.is_none() && self.abandoned.is_empty() {
                        true => quarantine::replay(&self.shared, &mut self.identity),
                        false => Err(SegmentError::Quarantine(io::Error::other(
                            "the disk fails; nothing is replayed before it is mended",
                        ))),
                    };
                    reply.send(replayed).ok();
                }
                Task::Do(Command::Close(reply)) => {
                    self.seal();
                    drop(end);
                    if let Some(reply) = reply {
                        reply.send(()).ok();
                    }
                    return;
                }
            }
        }
    }

    /// Waits until there is something to do. A command waits for the records that came before it.
    fn next_task(&mut self) -> Task {
        let shared = Arc::clone(&self.shared);
        let mut gathering_since = None;
        let mut state = shared.lock();
        loop {
            let now = shared.clock.monotonic();
            if self.open.is_none() {
                // Whoever asked had a record in the segment that has been sealed meanwhile.
                state.seal_by = None;
            }
            let seal_at = earliest(self.seal_at, state.seal_by);
            let mut alarm = earliest(seal_at, self.probe_at);
            state.wake_at_records = self.rule.group_records;
            if state.pending.n_records > 0 {
                let since = *gathering_since.get_or_insert(now);
                let waited = now.saturating_duration_since(since);
                let (n_records, bytes) = (state.pending.n_records, state.pending.bytes.len());
                if !state.commands.is_empty() || self.rule.is_due(n_records, bytes, waited) {
                    let empty = Pending::new(std::mem::take(&mut self.spare));
                    return Task::Commit(std::mem::replace(&mut state.pending, empty));
                }
                alarm = earliest(alarm, Some(since + self.rule.group_delay));
                state.wake_at_records = self.rule.wake_at_records(waited);
            } else if let Some(command) = state.commands.pop_front() {
                return Task::Do(command);
            }
            if seal_at.is_some_and(|at| at <= now) {
                return Task::SealByAge;
            }
            if self.probe_at.is_some_and(|at| at <= now) {
                return Task::Probe;
            }
            state.writer_parked = true;
            state = match alarm {
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    match shared.wake_writer.wait_timeout(state, wait) {
                        Ok((state, _)) => state,
                        Err(poisoned) => poisoned.into_inner().0,
                    }
                }
                None => match shared.wake_writer.wait(state) {
                    Ok(state) => state,
                    Err(poisoned) => poisoned.into_inner(),
                },
            };
            state.writer_parked = false;
        }
    }

    fn commit(&mut self, mut pending: Pending) {
        let unfinished = Unfinished(Arc::clone(&pending.group));
        self.rule.saw_group(pending.n_records);
        self.look_at_space();
        let n_records = pending.n_records;
        let started = self.shared.clock.monotonic();
        let written = self.write(&mut pending);
        self.spare = std::mem::take(&mut pending.bytes);
        match written {
            Ok((segment, first_index)) => {
                let took = self
                    .shared
                    .clock
                    .monotonic()
                    .saturating_duration_since(started);
                unfinished.0.complete(Ok((segment, first_index)));
                self.failures_in_a_row = 0;
                let bytes = self.spare.len() as u64;
                self.shared.observer.group_committed(n_records, bytes, took);
                self.seal_if_big();
            }
            Err(error) => {
                self.fail(n_records, &error);
                unfinished.0.complete(Err(AppendError::from_io(error)));
            }
        }
    }

    fn write(&mut self, pending: &mut Pending) -> io::Result<(SegmentId, u32)> {
        if self.open.is_none() {
            self.open = Some(self.begin_segment()?);
        }
        // Just made sure of.
        let Some(open) = self.open.as_mut() else {
            return Err(io::Error::other("no open segment"));
        };
        let first_index = open.commit(&mut pending.bytes, pending.n_records)?;
        let entry = entry_of(open);
        let mut state = self.shared.lock();
        state.open = Some(entry);
        state.newest = entry.header.id;
        state.bytes += pending.bytes.len() as u64;
        state.groups += 1;
        Ok((entry.header.id, first_index))
    }

    fn begin_segment(&mut self) -> io::Result<OpenSegment> {
        self.settle()?;
        let (fs, dir) = (self.shared.fs.as_ref(), &self.shared.dir);
        let id = self.identity.take_id(fs)?;
        let header = Header {
            key_id: 0,
            incarnation: self.shared.incarnation,
            id,
            created_unix_ms: self.shared.clock.unix_ms(),
        };
        let path = segment::path(dir, id);
        let created =
            OpenSegment::create(fs, &path, header).and_then(|open| fs.sync_dir(dir).map(|()| open));
        match created {
            Ok(open) => {
                self.shared.lock().bytes += HEADER_BYTES as u64;
                self.seal_at =
                    Some(self.shared.clock.monotonic() + self.shared.settings.segment_age);
                Ok(open)
            }
            Err(error) => {
                // An empty file left behind holds no record and is removed at the next start.
                if let Err(error) = remove_if_present(fs, &path) {
                    tracing::debug!(segment = %id, %error, "cannot remove unfinished segment");
                }
                Err(error)
            }
        }
    }

    fn seal_if_big(&mut self) {
        let settings = &self.shared.settings;
        let big = self.open.as_ref().is_some_and(|open| {
            open.length >= settings.segment_bytes || open.n_records >= settings.segment_records
        });
        if big {
            self.seal();
        }
    }

    /// Seals the open segment, if there is one, and hands it to the readers.
    fn seal(&mut self) {
        self.seal_at = None;
        self.shared.lock().seal_by = None;
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let durable = entry_of(open);
        match open.seal() {
            Ok(()) => {
                let sealed = entry_of(open);
                self.open = None;
                self.shared.lock().bytes += sealed.length - durable.length;
                self.publish(sealed);
            }
            Err(error) => self.fail(0, &error),
        }
    }

    fn publish(&mut self, sealed: Entry) {
        let id = sealed.header.id;
        let mut state = self.shared.lock();
        state.sealed.insert(id, sealed);
        if state.open.is_some_and(|open| open.header.id == id) {
            state.open = None;
        }
        drop(state);
        self.shared.announce_change();
        self.shared
            .observer
            .segment_sealed(id, sealed.n_records, sealed.length);
    }

    /// Gives up the open segment; refuses appends for a while if this is not the first failure.
    fn fail(&mut self, n_records: u32, error: &io::Error) {
        self.failures_in_a_row += 1;
        self.shared.observer.write_failed(n_records, error);
        self.seal_at = None;
        if let Some(open) = self.open.take() {
            // Frees what space it can; the cut in the identity file is what counts.
            if let Err(error) = open.cut_tail() {
                tracing::debug!(segment = %open.header.id, %error, "cannot cut abandoned segment");
            }
            self.abandoned.push(entry_of(&open));
        }
        let settled = self.settle();
        if self.failures_in_a_row > 1 || settled.is_err() {
            // `io::Error` cannot be cloned; kind and text say the same.
            let copy = io::Error::new(error.kind(), error.to_string());
            self.shared.lock().failing = Some(AppendError::from_io(copy));
            self.probe_at = Some(self.shared.clock.monotonic() + PROBE_PERIOD);
        }
        self.shared.lock().failures += 1;
    }

    /// Writes down where abandoned segments end, then hands them to the readers.
    fn settle(&mut self) -> io::Result<()> {
        if self.abandoned.is_empty() {
            return Ok(());
        }
        let state = self.shared.lock();
        self.identity
            .cuts
            .retain(|id, _| state.sealed.contains_key(id));
        drop(state);
        for entry in &self.abandoned {
            let cut = Cut {
                length: entry.length,
                n_records: entry.n_records,
            };
            self.identity.cuts.insert(entry.header.id, cut);
        }
        self.identity.store(self.shared.fs.as_ref())?;
        for entry in std::mem::take(&mut self.abandoned) {
            if entry.n_records > 0 {
                self.publish(entry);
                continue;
            }
            // Its cut stays in the identity file until the next change: should the name survive a
            // crash, nothing comes back with it.
            let path = segment::path(&self.shared.dir, entry.header.id);
            if let Err(error) = remove_if_present(self.shared.fs.as_ref(), &path) {
                tracing::debug!(segment = %entry.header.id, %error, "cannot remove empty segment");
            }
            self.shared.lock().bytes -= entry.length;
        }
        Ok(())
    }

    /// Looks whether the disk works again.
    fn probe(&mut self) {
        self.probe_at = None;
        self.space_seen_at = None;
        self.look_at_space();
        if self.settle().is_ok() {
            // The next group tries; its failure refuses again at once.
            self.shared.lock().failing = None;
        } else {
            self.probe_at = Some(self.shared.clock.monotonic() + PROBE_PERIOD);
        }
    }

    /// Compares the free space with the reserve, at most once a period.
    fn look_at_space(&mut self) {
        let now = self.shared.clock.monotonic();
        let fresh = self
            .space_seen_at
            .is_some_and(|at| now.saturating_duration_since(at) < PROBE_PERIOD);
        if fresh {
            return;
        }
        self.space_seen_at = Some(now);
        // A disk that cannot even be asked will show itself at the write.
        let free = self
            .shared
            .fs
            .free_bytes(&self.shared.dir)
            .unwrap_or(u64::MAX);
        let below = free < self.shared.settings.reserve_bytes;
        self.shared.lock().below_reserve = below;
        if below {
            self.probe_at = Some(now + PROBE_PERIOD);
        }
    }
}

fn entry_of(open: &OpenSegment) -> Entry {
    Entry {
        header: open.header,
        length: open.length,
        n_records: open.n_records,
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Answers the waiters of a group even if the writer panics.
struct Unfinished(Arc<Group>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Without effect on a group that has its outcome.
        self.0.complete(Err(AppendError::Closed));
    }
}

/// However the writer ends, no one waits for it any more.
struct EndOfWriter(Arc<Shared>);

impl Drop for EndOfWriter {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.flow = Flow::Closed;
        state.commands.clear();
        let rest = std::mem::replace(&mut state.pending, Pending::new(Vec::new()));
        drop(state);
        rest.group.complete(Err(AppendError::Closed));
        self.0.announce_change();
    }
}
