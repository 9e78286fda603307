//! A spool on a temporary directory, and what tests ask of it.

use std::time::Instant;

use tempfile::TempDir;

use super::super::*;

/// The system's clocks.
pub(super) struct TestClock;

impl SpoolClock for TestClock {
    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> i64 {
        1_790_000_000_000
    }
}

/// Distinct, of varying length.
pub(super) fn payload(n: u32) -> Vec<u8> {
    let mut payload = n.to_le_bytes().to_vec();
    payload.resize(4 + (n as usize * 37) % 300, n as u8);
    payload
}

/// A directory and the settings to open it with.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    pub(super) fs: Arc<dyn Filesystem>,
    pub(super) settings: SpoolSettings,
}

impl Bench {
    pub(super) fn on_disk() -> Self {
        let settings = SpoolSettings {
            group_delay: Duration::ZERO,
            segment_age: Duration::from_secs(3600),
            reserve_bytes: 0,
            ..SpoolSettings::default()
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            fs: Arc::new(Disk),
            settings,
        }
    }

    pub(super) fn try_open(&self) -> Result<(Spool, Recovery), OpenError> {
        Spool::open(
            self.dir.path(),
            Arc::clone(&self.fs),
            Arc::new(TestClock),
            Arc::new(()),
            self.settings.clone(),
        )
    }

    /// Opens what is expected to be in order.
    pub(super) fn open(&self) -> Spool {
        self.reopen().0
    }

    /// Opens, waiting for a spool dropped before to let go of the lock.
    pub(super) fn reopen(&self) -> (Spool, Recovery) {
        loop {
            match self.try_open() {
                Err(OpenError::Locked { .. }) => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
    }

    /// Seals, reads and releases everything.
    pub(super) async fn drain(&self, spool: &Spool) -> Vec<Vec<u8>> {
        spool.seal_now().await;
        let mut payloads = Vec::new();
        for id in self.sealed(spool) {
            payloads.extend(
                spool
                    .read(id)
                    .unwrap()
                    .map(|record| record.unwrap().payload),
            );
            spool.release(id).unwrap();
        }
        payloads
    }

    /// The sealed segments in order.
    pub(super) fn sealed(&self, spool: &Spool) -> Vec<SegmentId> {
        spool.shared.lock().sealed.keys().copied().collect()
    }
}
