//! What the spool needs from us: clocks, and ears for its metrics.

use std::io;
use std::time::{Duration, Instant};

use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::spool::{SegmentId, SpoolClock, SpoolObserver};

/// The collector's clock as the spool wants it.
pub(super) struct SpoolTime(pub(super) SharedClock);

impl SpoolClock for SpoolTime {
    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> i64 {
        self.0.now().as_millisecond()
    }
}

/// Turns the spool's events into metrics.
pub(super) struct SpoolWatch(pub(super) Metrics);

impl SpoolObserver for SpoolWatch {
    fn group_committed(&self, n_records: u32, _bytes: u64, took: Duration) {
        self.0.spool_group_records.observe(f64::from(n_records));
        self.0.spool_fsync_seconds.observe(took.as_secs_f64());
    }

    fn segment_sealed(&self, _segment: SegmentId, _n_records: u32, _bytes: u64) {}

    fn write_failed(&self, n_records: u32, error: &io::Error) {
        self.0.spool_failures.inc();
        tracing::error!(%error, records = n_records, "the disk under the spool failed; these beacons were told");
    }
}
