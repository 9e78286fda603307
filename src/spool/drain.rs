//! The way out: sealed segments are read, then released, or put aside.
//!
//! In: segment ids, from the task that feeds the store. Out: records; and files unlinked or moved,
//! durably. Everything here blocks on the disk, except where it is `async`.

use std::collections::BTreeSet;
use std::io;

use tokio::sync::{oneshot, watch};

use super::Spool;
use super::error::SegmentError;
use super::fs;
use super::quarantine::{self, Erased, QuarantinedFile, Removal, Replayed, SetAside};
use super::reader::SegmentReader;
use super::record::{Record, SegmentId};
use super::segment;
use super::state::{Command, Entry, Flow};

impl Spool {
    /// Waits for the first sealed segment after `after`, or the very first one. Segments come in
    /// the order of their ids, which is the order of their records. `None` when the spool is closed
    /// and there is no further one.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn next_sealed(&self, after: Option<SegmentId>) -> Option<SegmentId> {
        let mut changes: watch::Receiver<u64> = self.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            {
                let state = self.shared.lock();
                let mut later = state.readable().filter(|id| Some(*id) > after);
                if let Some(id) = later.next() {
                    return Some(id);
                }
                if state.flow == Flow::Closed {
                    return None;
                }
            }
            // The sender lives in `self.shared`: it cannot be gone.
            changes.changed().await.ok()?;
        }
    }

    /// Opens a sealed segment for reading. Blocks, as the reader does.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Unknown`] if it was released or quarantined, or is not sealed.
    pub fn read(&self, id: SegmentId) -> Result<SegmentReader, SegmentError> {
        let entry = self.entry(id)?;
        let path = segment::path(&self.shared.dir, id);
        self.shared
            .fs
            .open(&path)
            .and_then(|file| {
                SegmentReader::new(file, entry.header, entry.length, Some(entry.n_records))
            })
            .map_err(|source| SegmentError::Io {
                segment: id,
                source,
            })
    }

    /// Unlinks a segment, durably. To be called only when all its rows are known to be durable in
    /// the store, or set aside. Blocks.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Unknown`] if it is gone already. After [`SegmentError::Io`] it may come back
    /// at the next start; the caller should repeat the call.
    pub fn release(&self, id: SegmentId) -> Result<(), SegmentError> {
        let _moves = self.shared.lock_moves();
        if !self.shared.lock().sealed.contains_key(&id) {
            return Err(SegmentError::Unknown(id));
        }
        let failed = |source| SegmentError::Io {
            segment: id,
            source,
        };
        let path = segment::path(&self.shared.dir, id);
        fs::remove_if_present(self.shared.fs.as_ref(), &path).map_err(failed)?;
        {
            let mut state = self.shared.lock();
            state.released.insert(id);
            state.unlinked.insert(id);
        }
        self.shared.fs.sync_dir(&self.shared.dir).map_err(failed)?;
        let mut state = self.shared.lock();
        // Also those whose own call came no further: their names were gone before.
        for id in std::mem::take(&mut state.unlinked) {
            state.released.remove(&id);
            if let Some(entry) = state.sealed.remove(&id) {
                state.bytes -= entry.length;
            }
        }
        drop(state);
        self.shared.announce_change();
        Ok(())
    }

    /// Returns which records of a sealed segment are in quarantine already. They must not be delivered: a replay would
    /// double them. Blocks.
    ///
    /// # Errors
    ///
    /// As [`read`](Spool::read), and [`SegmentError::Quarantine`] if the disk failed.
    pub fn set_aside(&self, id: SegmentId) -> Result<BTreeSet<u32>, SegmentError> {
        let _moves = self.shared.lock_moves();
        let header = self.entry(id)?.header;
        quarantine::copied(&self.shared, header).map_err(SegmentError::Quarantine)
    }

    /// Waits until no segment up to `last` is there any more: each is released, durably, or moved to quarantine. A
    /// segment that is still being written is waited for as well; [`seal_now`](Spool::seal_now) hastens it.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn drained_through(&self, last: SegmentId) {
        let mut changes: watch::Receiver<u64> = self.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let is_there = {
                let state = self.shared.lock();
                let open = state.open.map(|open| open.header.id);
                let first = state.sealed.keys().next().copied();
                first.into_iter().chain(open).any(|id| id <= last)
            };
            // The sender lives in `self.shared`: it cannot be gone.
            if !is_there || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns the segment that the latest record is in, or was in before it was taken. With [`seal_now`](Spool::seal_now)
    /// before it: every record acknowledged so far is in this one or an earlier one.
    pub fn newest(&self) -> SegmentId {
        self.shared.lock().newest
    }

    /// Returns the segment up to which nothing is there any more: all of it was released, durably, or moved to quarantine.
    pub fn settled(&self) -> SegmentId {
        let state = self.shared.lock();
        let open = state.open.map(|open| open.header.id);
        let first = state.sealed.keys().next().copied();
        match first.into_iter().chain(open).min() {
            Some(first) => SegmentId(first.0.saturating_sub(1)),
            None => state.newest,
        }
    }

    /// Returns the segments that are sealed and still there, oldest first.
    pub fn sealed_segments(&self) -> Vec<SegmentId> {
        self.shared.lock().sealed.keys().copied().collect()
    }

    /// Counts the sound records in quarantine that `is_meant` names. Blocks.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Quarantine`] if the disk failed.
    pub fn count_quarantined(
        &self,
        is_meant: &dyn Fn(&Record) -> bool,
    ) -> Result<u64, SegmentError> {
        let _moves = self.shared.lock_moves();
        quarantine::erase::count(&self.shared, is_meant).map_err(SegmentError::Quarantine)
    }

    /// Takes records out of the quarantine for good: sound ones that `is_erased` names, and whole files of
    /// damaged bytes that hold one of `marks`, since nobody can tell whose they are. `why` stands beside the file. Blocks.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Quarantine`] if the disk failed; some files may be done, and the call can be repeated.
    pub fn erase_quarantined(
        &self,
        why: Removal,
        is_erased: &dyn Fn(&Record) -> bool,
        marks: &[Vec<u8>],
    ) -> Result<Erased, SegmentError> {
        let _moves = self.shared.lock_moves();
        let erased = quarantine::erase::erase(&self.shared, why, is_erased, marks)
            .map_err(SegmentError::Quarantine)?;
        self.measure_quarantine()?;
        Ok(erased)
    }

    /// Moves a whole segment to quarantine, with `reason` beside it. Blocks.
    ///
    /// # Errors
    ///
    /// As [`release`](Spool::release).
    pub fn quarantine(&self, id: SegmentId, reason: &str) -> Result<(), SegmentError> {
        let _moves = self.shared.lock_moves();
        let entry = self
            .shared
            .lock()
            .sealed
            .get(&id)
            .copied()
            .ok_or(SegmentError::Unknown(id))?;
        let (fs, dir) = (self.shared.fs.as_ref(), &self.shared.dir);
        let path = segment::path(dir, id);
        // What was answered as failed must not come back by way of a replay.
        let cut = || match fs.open(&path) {
            Ok(file) if file.size()? > entry.length => {
                file.truncate(entry.length)?;
                file.sync_data()
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let moved =
            cut().and_then(|()| quarantine::move_segment(fs, dir, &entry.header, "seg", reason));
        let mut state = self.shared.lock();
        if let Err(source) = moved {
            if fs.open(&path).is_err() {
                state.released.insert(id);
            }
            return Err(SegmentError::Io {
                segment: id,
                source,
            });
        }
        state.released.remove(&id);
        state.sealed.remove(&id);
        state.bytes -= entry.length;
        drop(state);
        self.shared.announce_change();
        self.measure_quarantine()
    }

    /// Copies single records of a segment to quarantine, with `reason` beside them: sound ones in a
    /// form that can be replayed, damaged ones as the bytes they are. The segment stays; the caller
    /// delivers the others and releases it. Repeating the call changes nothing, but what was put aside
    /// stays so: after a crash the caller must not deliver the same records after all, or a replay
    /// will double them. Blocks.
    ///
    /// # Errors
    ///
    /// As [`release`](Spool::release); the segment must not be released before this succeeded.
    pub fn quarantine_records(
        &self,
        id: SegmentId,
        indexes: &[u32],
        reason: &str,
    ) -> Result<SetAside, SegmentError> {
        let _moves = self.shared.lock_moves();
        let entry = self.entry(id)?;
        let set_aside =
            quarantine::copy_records(&self.shared, &entry, indexes, reason).map_err(|source| {
                SegmentError::Io {
                    segment: id,
                    source,
                }
            })?;
        self.measure_quarantine()?;
        Ok(set_aside)
    }

    /// Lists the quarantine. Blocks.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Quarantine`] if the directory cannot be read.
    pub fn quarantined(&self) -> Result<Vec<QuarantinedFile>, SegmentError> {
        let _moves = self.shared.lock_moves();
        quarantine::list(self.shared.fs.as_ref(), &self.shared.dir)
            .map_err(SegmentError::Quarantine)
    }

    /// Unlinks one file of the quarantine for good: retention, erasure, or an operator who has seen
    /// it. Blocks.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Quarantine`], with `NotFound` if [`quarantined`](Spool::quarantined) would
    /// not list it.
    pub fn drop_quarantined(&self, name: &str) -> Result<(), SegmentError> {
        let _moves = self.shared.lock_moves();
        quarantine::remove(self.shared.fs.as_ref(), &self.shared.dir, name)
            .map_err(SegmentError::Quarantine)?;
        self.measure_quarantine()
    }

    /// Puts all replayable records of the quarantine back, in new segments at the end, each exactly
    /// once also through a crash. Appends wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Quarantine`] if the disk failed: a file that was under way is back at the
    /// next start, as it was or as a segment. [`SegmentError::Closed`] on a closed spool.
    pub async fn replay_quarantine(&self) -> Result<Replayed, SegmentError> {
        let (reply, replayed) = oneshot::channel();
        if !self.shared.send(Command::Replay(reply)) {
            return Err(SegmentError::Closed);
        }
        replayed.await.unwrap_or(Err(SegmentError::Closed))
    }

    fn entry(&self, id: SegmentId) -> Result<Entry, SegmentError> {
        let state = self.shared.lock();
        let entry = state
            .sealed
            .get(&id)
            .filter(|_| !state.released.contains(&id));
        entry.copied().ok_or(SegmentError::Unknown(id))
    }

    fn measure_quarantine(&self) -> Result<(), SegmentError> {
        let bytes = quarantine::total_bytes(self.shared.fs.as_ref(), &self.shared.dir)
            .map_err(SegmentError::Quarantine)?;
        self.shared.lock().quarantine_bytes = bytes;
        Ok(())
    }
}
