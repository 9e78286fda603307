//! A spool on a temporary or a simulated disk, and what tests ask of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::*;
use super::disk::SimDisk;

/// The system's monotonic clock, and a civil time that stands still.
pub(super) struct TestClock;

pub(super) const NOW_UNIX_MS: i64 = 1_790_000_000_000;

impl SpoolClock for TestClock {
    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> i64 {
        NOW_UNIX_MS
    }
}

/// The `n`th payload: distinct, of varying length.
pub(super) fn payload(n: u32) -> Vec<u8> {
    let mut payload = n.to_le_bytes().to_vec();
    payload.resize(4 + (n as usize * 37) % 300, n as u8);
    payload
}

/// The number of a payload made by [`payload`]; panics on any other bytes.
pub(super) fn number(bytes: &[u8]) -> u32 {
    let n = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(bytes, payload(n), "altered payload");
    n
}

/// A directory and the settings it is opened with.
pub(super) struct Bench {
    pub(super) dir: PathBuf,
    pub(super) fs: Arc<dyn Filesystem>,
    pub(super) settings: SpoolSettings,
    _temporary: Option<TempDir>,
}

impl Bench {
    pub(super) fn on_disk() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("spool");
        Self {
            dir,
            fs: Arc::new(Disk),
            settings: settings(),
            _temporary: Some(temporary),
        }
    }

    pub(super) fn simulated(disk: &SimDisk) -> Self {
        let dir = PathBuf::from("/spool");
        Self {
            dir,
            fs: disk.mount(),
            settings: settings(),
            _temporary: None,
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut SpoolSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(super) fn try_open(&self) -> Result<(Spool, Recovery), OpenError> {
        self.open_observed(Arc::new(()))
    }

    pub(super) fn open_observed(
        &self,
        observer: Arc<dyn SpoolObserver>,
    ) -> Result<(Spool, Recovery), OpenError> {
        let fs = Arc::clone(&self.fs);
        Spool::open(
            &self.dir,
            fs,
            Arc::new(TestClock),
            observer,
            self.settings.clone(),
        )
    }

    /// Opens what is expected to be in order.
    pub(super) fn open(&self) -> Spool {
        let (spool, recovery) = self.reopen();
        assert_eq!(
            recovery.torn_tails + recovery.quarantined,
            0,
            "{recovery:?}"
        );
        spool
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
}

/// Commits one after the other: quick, and one group a call.
fn settings() -> SpoolSettings {
    SpoolSettings {
        group_delay: Duration::ZERO,
        segment_age: Duration::from_secs(3600),
        reserve_bytes: 0,
        ..SpoolSettings::default()
    }
}

impl Spool {
    /// Appends the `n`th payload.
    pub(super) async fn put(&self, n: u32) -> Result<Position, AppendError> {
        self.append(RecordKind(1), &payload(n), crate::spool::always)
            .await
    }

    /// Appends several; each must succeed.
    pub(super) async fn put_all(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.put(n).await.unwrap();
        }
    }

    /// The sealed segments in order.
    pub(super) fn sealed(&self) -> Vec<SegmentId> {
        self.shared.lock().readable().collect()
    }

    /// Seals, and reads all that is unreleased: numbers of sound records, and damage.
    pub(super) async fn contents(&self) -> (Vec<u32>, Vec<Damage>) {
        self.seal_now().await;
        let (mut numbers, mut damages) = (Vec::new(), Vec::new());
        for id in self.sealed() {
            for item in self.read(id).unwrap() {
                match item {
                    Ok(record) => numbers.push(number(&record.payload)),
                    Err(ReadError::Damage(damage)) => damages.push(damage),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        (numbers, damages)
    }

    /// As `contents`, of an undamaged spool.
    pub(super) async fn numbers(&self) -> Vec<u32> {
        let (numbers, damages) = self.contents().await;
        assert_eq!(damages, []);
        numbers
    }

    /// False while the end of an abandoned segment could not be written down.
    pub(super) fn is_settled(&self) -> bool {
        self.shared.lock().failing.is_none()
    }

    /// Where a segment lies.
    pub(super) fn path_of(&self, id: SegmentId) -> PathBuf {
        segment::path(&self.shared.dir, id)
    }

    pub(super) fn release_all(&self) {
        for id in self.sealed() {
            self.release(id).unwrap();
        }
    }
}

/// Flips one bit of a real file.
pub(super) fn flip(path: &Path, byte: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}
