//! The spool: a beacon is accepted when its record is durable here.
//!
//! In: records (kind and payload, already pseudonymised), from any thread or runtime. Out: sealed
//! segments, in order, for the store to take.
//!
//! # What it promises
//!
//! - An append that returns `Ok` is on disk: written, and covered by an fdatasync that succeeded, in
//!   a file whose name was made durable before. It comes back from [`Spool::read`] after any crash,
//!   exactly once and in order, until its segment is [released](Spool::release).
//! - Appends that went into one call of [`Spool::append_many`] come back together or not at all.
//! - A sealed segment never changes: the same index is the same record at every reading.
//! - A segment id is never used twice, and a directory that was wiped gets another incarnation, so
//!   that batch ids made of both never repeat.
//! - It is bounded: in bytes on disk, in free space left, in memory. Beyond the bounds it refuses.
//! - Damage is never silent: it is reported with the records it hit, those around it are delivered.
//!
//! # What it may lose
//!
//! - A record whose append has not returned: it may be there after a crash, or not.
//! - A record answered [`AppendError::Failed`] is cut off again; if the disk refuses the cut too and
//!   the process dies before it succeeds, the record may be found at the next start.
//! - After a crash, an *acknowledged* last group that rotted on the disk before the next start looks
//!   like a torn one: it is cut, counted in [`Recovery`], and its bytes are kept in quarantine.
//! - What the disk lies about: a drive that acknowledges a flush and forgets it.
//!
//! # How
//!
//! Handlers copy records into a buffer. One thread takes it when enough have gathered, writes it as
//! one group, syncs, and wakes all who wait: many beacons, one fdatasync. When a segment is large or
//! old enough it is sealed and shown to the reader. After a restart every old segment is sealed and
//! a new one is begun: nothing is ever appended to a file that a crash has touched.
//!
//! Files are written by appending. A preallocated, already written file would sync faster, but costs
//! every byte twice, and reusing released ones would keep erased records on disk.
//!
//! # Files
//!
//! ```text
//! lock                   flock; process id of the holder
//! identity               incarnation, id reservation, cuts of abandoned segments (identity.rs)
//! <segment id>.seg       12 hexadecimal digits
//! quarantine/            see quarantine.rs
//! ```
//!
//! # Byte layout of a segment, version 1
//!
//! **Never edited: a change is a new version, and all versions stay readable.** Little endian.
//!
//! ```text
//! header     0  8  "brineseg"             group     0  4  "brGR"
//!            8  2  version = 1                      4  1  1 = records, 2 = seal
//!           10  2  0                                5  3  0
//!           12  4  key id, 0 = not encrypted        8  4  bytes of the records
//!           16  8  incarnation                     12  4  index of the first record
//!           24  8  segment id                      16  4  number of records
//!           32  8  created, unix ms                20  4  CRC32C of the 20 bytes, seeded
//!           40  4  0                        record    0  4  bytes of the payload
//!           44  4  CRC32C of the 44 bytes           4  4  CRC32C of kind, length, payload, seeded
//!                                                   8  1  kind
//!                                                   9  …  payload
//! ```
//!
//! The seed is the CRC32C of the incarnation. A seal is a group without records whose first index is
//! the number of records in the segment; it ends the file.

mod drain;
mod error;
mod fs;
mod group;
mod identity;
mod quarantine;
mod reader;
mod record;
mod recovery;
mod segment;
mod state;
mod stats;
mod writer;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use self::error::{AppendError, FullCause, OpenError, SegmentError};
pub use self::fs::{DirEntry, Disk, Filesystem, Lock, SpoolFile};
pub use self::group::Ticket;
pub use self::quarantine::{Erased, QuarantinedFile, Removal, Replayed, SetAside};
pub use self::reader::{Damage, DamageReason, ReadError, SegmentReader};
pub use self::record::{MAX_PAYLOAD_BYTES, Record, RecordKind, SegmentId};
pub use self::stats::{Recovery, SpoolClock, SpoolObserver, SpoolSettings, SpoolStats};

use self::group::Pending;
use self::record::RECORD_HEADER_BYTES;
use self::recovery::io_error;
use self::state::{Command, Flow, Shared, State};
use self::writer::Writer;

/// Handle of an open spool; clones share it. When the last one is dropped without
/// [`close`](Spool::close), the writer still commits and seals what was accepted, in the background.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    writer: Arc<WriterHandle>,
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment.
    pub segment: SegmentId,
    /// Place in it, from 0.
    pub index: u32,
}

/// Where the records of one `append_many` went: `count` indexes from `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionRange {
    /// Position of the first record.
    pub first: Position,
    /// Number of records.
    pub count: u32,
}

/// Record that must still fit for the spool not to be called full: one below which most beacons stay. (With room for
/// a record of no bytes it was called ready while it refused every beacon.)
const ORDINARY_RECORD_BYTES: usize = 4 << 10;

impl Spool {
    /// Opens the spool in `dir`, making it if it is not there, and recovers what an earlier run left.
    /// Blocks: reads the last segment as a whole and the ends of the others.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] if another process has it, [`OpenError::Version`] if a newer brine wrote
    /// it, [`OpenError::Settings`] if a setting makes no sense, [`OpenError::Io`] otherwise. None
    /// of them loses anything; the operator should act and start again.
    pub fn open(
        dir: &Path,
        fs: Arc<dyn Filesystem>,
        clock: Arc<dyn SpoolClock>,
        observer: Arc<dyn SpoolObserver>,
        settings: SpoolSettings,
    ) -> Result<(Self, Recovery), OpenError> {
        settings.check()?;
        fs.create_dir(dir)
            .map_err(|source| io_error("create", dir, source))?;
        let lock_path = dir.join("lock");
        let lock = match fs.lock(&lock_path) {
            Ok(Lock::Acquired(lock)) => lock,
            Ok(Lock::Held(pid)) => {
                return Err(OpenError::Locked {
                    dir: dir.to_owned(),
                    pid,
                });
            }
            Err(source) => return Err(io_error("lock", &lock_path, source)),
        };
        let recovered = recovery::recover(fs.as_ref(), dir)?;
        let quarantine_bytes = quarantine::total_bytes(fs.as_ref(), dir)
            .map_err(|source| io_error("list the quarantine of", dir, source))?;

        let incarnation = recovered.identity.incarnation;
        let shared = Arc::new(Shared {
            fs,
            dir: dir.to_owned(),
            settings,
            clock,
            observer,
            incarnation,
            seed: record::seed(incarnation),
            wake_writer: Condvar::new(),
            changes: watch::Sender::new(0),
            moves: Mutex::new(()),
            state: Mutex::new(State {
                pending: Pending::new(Vec::new()),
                flow: Flow::Open,
                commands: VecDeque::new(),
                seal_by: None,
                writer_parked: false,
                wake_at_records: 0,
                bytes: recovered.sealed.values().map(|entry| entry.length).sum(),
                sealed: recovered.sealed,
                released: BTreeSet::new(),
                unlinked: BTreeSet::new(),
                open: None,
                newest: recovered.identity.newest(),
                quarantine_bytes,
                half_replayed: false,
                failing: None,
                below_reserve: false,
                groups: 0,
                failures: 0,
            }),
            _lock: lock,
        });
        let writer = Writer::new(Arc::clone(&shared), recovered.identity);
        let thread = thread::Builder::new()
            .name("brine-spool".to_owned())
            .spawn(|| writer.run())
            .map_err(|source| io_error("start the writer of", dir, source))?;
        let writer = Arc::new(WriterHandle {
            shared: Arc::clone(&shared),
            thread: Mutex::new(Some(thread)),
        });
        Ok((Self { shared, writer }, recovered.report))
    }

    /// Appends one record; resolves when it is durable.
    ///
    /// `admit` runs right before the record enters the buffer, under the lock that orders all
    /// appends: what it sees holds for this record's place in the order. It must be short and must
    /// not call the spool.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; in each case the record is not in the spool.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before the first poll. Dropped later, the record stays accepted and becomes
    /// durable (or fails) without anyone being told; no other append is affected.
    pub async fn append(
        &self,
        kind: RecordKind,
        payload: &[u8],
        admit: impl FnOnce() -> bool,
    ) -> Result<Position, AppendError> {
        check_payload(payload)?;
        let header = record::record_header(self.shared.seed, kind, payload);
        let n_bytes = RECORD_HEADER_BYTES + payload.len();
        let (committed, ordinal) = self.shared.submit(1, n_bytes, admit, |buffer| {
            buffer.extend_from_slice(&header);
            buffer.extend_from_slice(payload);
        })?;
        let (segment, first_index) = committed.await?;
        Ok(Position {
            segment,
            index: first_index + ordinal,
        })
    }

    /// Appends several records side by side, all or none, also through a crash; resolves when they
    /// are durable. `admit` as in [`append`](Spool::append).
    ///
    /// # Errors
    ///
    /// As `append`; [`AppendError::TooLarge`] also if there is no record, or if all together do not
    /// fit half of `buffer_bytes`: the caller should split them.
    ///
    /// # Cancel safety
    ///
    /// As `append`.
    pub async fn append_many(
        &self,
        records: &[(RecordKind, &[u8])],
        admit: impl FnOnce() -> bool,
    ) -> Result<PositionRange, AppendError> {
        let (count, encoded) = self.encode_many(records)?;
        let (committed, ordinal) = self.shared.submit(count, encoded.len(), admit, |buffer| {
            buffer.extend_from_slice(&encoded);
        })?;
        let (segment, first_index) = committed.await?;
        Ok(PositionRange {
            first: Position {
                segment,
                index: first_index + ordinal,
            },
            count,
        })
    }

    fn encode_many(&self, records: &[(RecordKind, &[u8])]) -> Result<(u32, Vec<u8>), AppendError> {
        let n_bytes = records
            .iter()
            .map(|(_, payload)| RECORD_HEADER_BYTES + payload.len());
        let mut encoded = Vec::with_capacity(n_bytes.sum());
        for (kind, payload) in records {
            check_payload(payload)?;
            encoded.extend_from_slice(&record::record_header(self.shared.seed, *kind, payload));
            encoded.extend_from_slice(payload);
        }
        // Every record has a header: their number fits as well when their bytes do.
        match u32::try_from(records.len()) {
            Ok(count) if count > 0 => Ok((count, encoded)),
            _ => Err(AppendError::TooLarge {
                bytes: encoded.len(),
                limit_bytes: 0,
            }),
        }
    }

    /// Hands in several records side by side, all or none, as [`append_many`](Spool::append_many) does, without
    /// waiting: the ticket says when they are durable, to as many askers as there are. `admit` as in
    /// [`append`](Spool::append).
    ///
    /// # Errors
    ///
    /// As `append_many`, as far as it shows at once; what the disk does is told by the ticket.
    pub fn submit_many(
        &self,
        records: &[(RecordKind, &[u8])],
        admit: impl FnOnce() -> bool,
    ) -> Result<Ticket, AppendError> {
        let (count, encoded) = self.encode_many(records)?;
        let (committed, _) = self.shared.submit(count, encoded.len(), admit, |buffer| {
            buffer.extend_from_slice(&encoded);
        })?;
        Ok(committed.ticket())
    }

    /// Commits and seals what was appended before this call; on return every record acknowledged so
    /// far is in a sealed segment, unless the disk fails, which the appends were told.
    pub async fn seal_now(&self) {
        let (reply, sealed) = oneshot::channel();
        if self.shared.send(Command::Seal(reply)) {
            // An error means that the writer ended, which seals as well.
            drop(sealed.await);
        }
    }

    /// Lets no record that was acknowledged before this call stay in the open segment for longer than `wait`. However many
    /// ask, segments that are sealed early are `wait` apart; nobody's group is committed any sooner.
    pub fn seal_within(&self, wait: Duration) {
        self.shared.seal_by(self.shared.clock.monotonic() + wait);
    }

    /// Returns how things stand.
    pub fn stats(&self) -> SpoolStats {
        let now = self.shared.clock.unix_ms();
        let state = self.shared.lock();
        let segments = || state.sealed.values().chain(&state.open);
        let oldest = segments().map(|entry| entry.header.created_unix_ms).min();
        SpoolStats {
            segments: segments().count(),
            bytes: state.bytes,
            records: segments().map(|entry| u64::from(entry.n_records)).sum(),
            waiting_records: state.pending.n_records,
            oldest: oldest.map(|at| Duration::from_millis(now.saturating_sub(at).max(0) as u64)),
            quarantine_bytes: state.quarantine_bytes,
            groups: state.groups,
            failures: state.failures,
            full: match &state.failing {
                Some(AppendError::Full(cause)) => Some(*cause),
                _ => state.full_cause(&self.shared.settings, ORDINARY_RECORD_BYTES),
            },
            failing: matches!(state.failing, Some(AppendError::Failed(_))),
        }
    }

    /// Returns the random number that was drawn when the directory was first used.
    pub fn incarnation(&self) -> u64 {
        self.shared.incarnation
    }

    /// Returns the directory.
    pub fn dir(&self) -> &PathBuf {
        &self.shared.dir
    }

    /// Refuses further appends, commits and seals what was accepted, ends the writer. Reading,
    /// releasing and quarantine go on working; the directory is free for another process when all
    /// handles are dropped.
    ///
    /// # Cancel safety
    ///
    /// The spool closes also if this is dropped; calling it again waits for nothing.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.shared.begin_close(Some(reply)) {
            // An error means that the writer had ended already.
            drop(closed.await);
        }
        let thread = self
            .writer
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It has answered and only has to return. A panic in it was reported by its thread.
            drop(thread.join());
        }
    }
}

/// Admits a record whatever has happened meanwhile: for those that nobody can take back while they are on their way.
pub fn always() -> bool {
    true
}

fn check_payload(payload: &[u8]) -> Result<(), AppendError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        let bytes = payload.len();
        return Err(AppendError::TooLarge {
            bytes,
            limit_bytes: MAX_PAYLOAD_BYTES,
        });
    }
    Ok(())
}

/// Ends the writer with the last handle.
struct WriterHandle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.shared.begin_close(None);
    }
}

#[cfg(test)]
mod tests;
