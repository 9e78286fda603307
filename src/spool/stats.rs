//! Settings that go in, and numbers that come out.

use std::io;
use std::time::{Duration, Instant};

use super::error::{FullCause, OpenError};
use super::record::{FRAME_HEADER_BYTES, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, SegmentId};

/// How the spool groups, rotates and bounds what it holds.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// A segment is sealed when it has reached this size. It may be longer by one group.
    pub segment_bytes: u64,
    /// A segment is sealed when it holds this many records. It may hold one group more.
    pub segment_records: u32,
    /// A segment is sealed this long after its first record, so that events reach the store
    /// although few arrive.
    pub segment_age: Duration,
    /// A group is committed at once when this many records wait.
    pub group_records: u32,
    /// Otherwise this long after its first record. Zero commits as fast as the disk allows.
    pub group_delay: Duration,
    /// Records that may wait in memory, in bytes, 2 MiB to 1 GiB; beyond that, appends are refused.
    pub buffer_bytes: usize,
    /// Bound of all segments and the quarantine together.
    pub max_bytes: u64,
    /// Space that must stay free on the file system, so that the store beside us can work.
    pub reserve_bytes: u64,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            // Some 40,000 events: above the 10,000 rows from which inserts are cheap, and read in
            // a fraction of a second after a crash.
            segment_bytes: 8 << 20,
            segment_records: 50_000,
            // What the dashboard is behind at most, besides the insert itself.
            segment_age: Duration::from_secs(5),
            // Half of 64 keep-alive connections: while one half is synced, the other gathers.
            group_records: 32,
            // At 2,000 records a second one fdatasync then serves 16 of them.
            group_delay: Duration::from_millis(8),
            // A quarter of a second of the fastest intake measured.
            buffer_bytes: 8 << 20,
            // Twenty million events: a day's store outage at 230 events a second.
            max_bytes: 4 << 30,
            reserve_bytes: 256 << 20,
        }
    }
}

impl SpoolSettings {
    /// Checks what types cannot.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let refuse = |key, value, reason| Err(OpenError::Settings { key, value, reason });
        // Every single record must fit, and two of them, so that one can be gathered while the
        // other is written.
        let least = 2 * (FRAME_HEADER_BYTES + RECORD_HEADER_BYTES + MAX_PAYLOAD_BYTES) as u64;
        let buffer_bytes = self.buffer_bytes as u64;
        if self.segment_bytes == 0 {
            return refuse("segment_bytes", 0, "must be at least 1");
        }
        if self.segment_records == 0 {
            return refuse("segment_records", 0, "must be at least 1");
        }
        if self.group_records == 0 {
            return refuse("group_records", 0, "must be at least 1");
        }
        if buffer_bytes < least {
            return refuse(
                "buffer_bytes",
                buffer_bytes,
                "must hold two of the largest records",
            );
        }
        if buffer_bytes > 1 << 30 {
            return refuse("buffer_bytes", buffer_bytes, "must be at most 1 GiB");
        }
        Ok(())
    }
}

/// The two clocks the spool needs, given by the caller.
pub trait SpoolClock: Send + Sync + 'static {
    /// Never goes back; for group and segment ages.
    fn monotonic(&self) -> Instant;
    /// Milliseconds since 1970 UTC; stamped into segments.
    fn unix_ms(&self) -> i64;
}

/// Hears of each event that metrics count. Called on the writer's thread: must return promptly.
pub trait SpoolObserver: Send + Sync + 'static {
    /// A group became durable: its records, its bytes, the time from write to end of fdatasync.
    fn group_committed(&self, n_records: u32, bytes: u64, took: Duration);
    /// A segment was sealed and waits to be read.
    fn segment_sealed(&self, segment: SegmentId, n_records: u32, bytes: u64);
    /// The disk failed; the records of the group, if any, were answered with an error.
    fn write_failed(&self, n_records: u32, error: &io::Error);
}

/// Hears and does nothing.
impl SpoolObserver for () {
    fn group_committed(&self, _: u32, _: u64, _: Duration) {}
    fn segment_sealed(&self, _: SegmentId, _: u32, _: u64) {}
    fn write_failed(&self, _: u32, _: &io::Error) {}
}

/// What recovery met at the start. All zero after an orderly close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments left from earlier runs, now sealed. Any of them may have reached the store before
    /// the stop: the sink must ask the store by batch id before it sends one.
    pub segments: usize,
    /// Records in them, those in damaged stretches included.
    pub records: u64,
    /// The newest of them.
    pub last: Option<SegmentId>,
    /// Tails cut off: groups whose write a crash interrupted, never acknowledged.
    pub torn_tails: usize,
    /// Bytes of those tails. Unless all zero they are kept in quarantine as evidence.
    pub torn_bytes: u64,
    /// Bytes of groups cut off because they had been answered as failed.
    pub failed_bytes: u64,
    /// Files moved to quarantine because nothing in them could be read.
    pub quarantined: usize,
    /// The identity file was damaged and a new incarnation was drawn.
    pub new_incarnation: bool,
}

/// State of the spool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolStats {
    /// Segments on disk, the open one included.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Records in them, not yet released.
    pub records: u64,
    /// Records that wait in memory for their commit.
    pub waiting_records: u32,
    /// Age of the oldest unreleased segment, of which its first record is at most `group_delay`
    /// younger. `None` if nothing is unreleased.
    pub oldest: Option<Duration>,
    /// Bytes in quarantine.
    pub quarantine_bytes: u64,
    /// Groups that became durable since the start.
    pub groups: u64,
    /// Write or sync errors since the start.
    pub failures: u64,
    /// Why appends are refused at this moment, if they are for want of space.
    pub full: Option<FullCause>,
    /// True while appends are refused because the disk fails.
    pub failing: bool,
}
