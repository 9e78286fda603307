//! Erasures under way, on disk until each is verified.
//!
//! Comes in: an erasure that was asked for. Goes out: after a restart, the same. Promises that an erasure which
//! was answered (done or under way) is finished, whatever is killed meanwhile; and that the pseudonyms in it
//! leave the disk with the events ([`crate::journal`]).
//!
//! Bounded: [`MAX_PENDING`] erasures; more are refused until ClickHouse has caught up.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::journal::{Entry, Journal};
use crate::spool::Erased;

/// Erasures that may wait at once; with 800 receipts each that is 6 MB.
pub const MAX_PENDING: usize = 256;

/// One erasure under way. **On disk, never edit.**
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Pending {
    pub request: u64,
    /// Site or group, for `requests`.
    pub scope: String,
    pub channel: String,
    /// How many pairs of site and period, for `requests`.
    pub periods: u32,
    /// The spool segment it was asked in: events up to its end are meant.
    pub segment: u64,
    /// Rows of events that were found when everything had left the spool, by all attempts so far.
    pub found: Option<u64>,
    pub keys: Vec<PendingKey>,
    /// Those of them that are verified to be gone, while other collectors have not answered yet.
    pub gone: u64,
    /// Records, and damaged files, that left this collector's quarantine by attempts so far.
    pub quarantined: u64,
    pub damaged_files: u64,
}

impl Entry for Pending {
    const VERSION: u8 = 2;

    fn read_former(version: u8, entries: &[u8]) -> Option<Vec<Pending>> {
        (version == 1).then_some(())?;
        let entries: Vec<PendingV1> = postcard::from_bytes(entries).ok()?;
        Some(entries.into_iter().map(Pending::from).collect())
    }
}

/// As version 1 had it.
#[derive(Deserialize)]
struct PendingV1 {
    request: u64,
    scope: String,
    channel: String,
    periods: u32,
    segment: u64,
    found: Option<u64>,
    keys: Vec<PendingKey>,
}

impl From<PendingV1> for Pending {
    fn from(old: PendingV1) -> Pending {
        Pending {
            request: old.request,
            scope: old.scope,
            channel: old.channel,
            periods: old.periods,
            segment: old.segment,
            found: old.found,
            keys: old.keys,
            gone: 0,
            quarantined: 0,
            damaged_files: 0,
        }
    }
}

/// The events of one pseudonym, on one local date.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PendingKey {
    pub site: String,
    pub day: u16,
    pub visitor: u64,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({:016x})", self.request)
    }
}

impl std::fmt::Debug for PendingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PendingKey(hidden)")
    }
}

/// The log and what it holds.
#[derive(Debug)]
pub struct ErasureLog(Journal<Pending>);

impl ErasureLog {
    /// Reads the log at `path`; none is an empty one. Blocking.
    ///
    /// # Errors
    /// I/O errors; `InvalidData` where the file is damaged: brine must not start as if nothing had been asked.
    pub fn open(path: &Path) -> io::Result<ErasureLog> {
        let loss = "erasures that were promised may be in it";
        Journal::open(path, loss).map(ErasureLog)
    }

    /// Returns the erasures to work on next: at most `n`, those tried least, of these the ones asked first.
    pub fn next(&self, n: usize, tries: impl Fn(u64) -> u32) -> Vec<Pending> {
        let mut entries = self.0.entries();
        entries.sort_by_key(|entry| tries(entry.request));
        entries.truncate(n);
        entries
    }

    /// Returns the numbers of all that are under way.
    pub fn requests(&self) -> Vec<u64> {
        self.0.lock().iter().map(|entry| entry.request).collect()
    }

    /// Returns how many are under way.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Tells whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether this request is under way.
    pub fn contains(&self, request: u64) -> bool {
        self.0.lock().iter().any(|entry| entry.request == request)
    }

    /// Adds an erasure, durably. Blocking. Returns false where there are too many already.
    ///
    /// # Errors
    /// I/O errors; nothing was promised then.
    pub fn add(&self, pending: Pending) -> io::Result<bool> {
        self.0.change(|entries| {
            let has_room = entries.len() < MAX_PENDING;
            if has_room {
                entries.push(pending);
            }
            has_room
        })
    }

    /// Notes how many rows an erasure found. Blocking.
    ///
    /// # Errors
    /// I/O errors.
    pub fn found(&self, request: u64, rows: u64) -> io::Result<()> {
        self.0.change(|entries| {
            for entry in entries.iter_mut().filter(|e| e.request == request) {
                entry.found = Some(rows);
            }
        })
    }

    /// Notes how many of the rows that were found are verified to be gone. Blocking.
    ///
    /// # Errors
    /// I/O errors.
    pub fn gone(&self, request: u64, rows: u64) -> io::Result<()> {
        self.0.change(|entries| {
            for entry in entries.iter_mut().filter(|e| e.request == request) {
                entry.gone = rows;
            }
        })
    }

    /// Notes what has left the quarantine. Blocking.
    ///
    /// # Errors
    /// I/O errors.
    pub fn quarantined(&self, request: u64, erased: Erased) -> io::Result<()> {
        self.0.change(|entries| {
            for entry in entries.iter_mut().filter(|e| e.request == request) {
                entry.quarantined += erased.records;
                entry.damaged_files += erased.files;
            }
        })
    }

    /// Drops a verified erasure. Blocking.
    ///
    /// # Errors
    /// I/O errors; it is then done once more, which changes nothing.
    pub fn remove(&self, request: u64) -> io::Result<()> {
        self.0
            .change(|entries| entries.retain(|entry| entry.request != request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(request: u64) -> Pending {
        Pending {
            request,
            scope: "portal".into(),
            channel: "visitor".into(),
            periods: 1,
            segment: 7,
            found: None,
            keys: vec![PendingKey {
                site: "portal".into(),
                day: 20_000,
                visitor: 0x0123_4567_89ab_cdef,
            }],
            gone: 0,
            quarantined: 0,
            damaged_files: 0,
        }
    }

    #[test]
    fn an_erasure_survives_a_restart_and_leaves_when_it_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures.log");
        let log = ErasureLog::open(&path).unwrap();
        assert!(log.add(pending(1)).unwrap() && log.add(pending(2)).unwrap());
        log.found(1, 5).unwrap();
        let log = ErasureLog::open(&path).unwrap();
        assert_eq!((log.len(), log.next(1, |_| 0)[0].found), (2, Some(5)));
        log.remove(1).unwrap();
        log.remove(2).unwrap();
        assert!(ErasureLog::open(&path).unwrap().is_empty());
        // Nothing of a pseudonym is left.
        assert_eq!(std::fs::read(&path).unwrap().len(), 6);
    }

    /// As the first version wrote it.
    const WRITTEN: &[u8] = b"\x01\x01\x09\x06portal\x07visitor\x01\x07\x01\x05\x01\x06portal\xa0\x9c\x01\xef\x9b\xaf\xcd\xf8\xac\xd1\x91\x01\x02\x04\x05\x17";

    #[test]
    fn a_log_of_the_first_version_is_read_and_goes_on_as_the_second() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures.log");
        std::fs::write(&path, WRITTEN).unwrap();
        let log = ErasureLog::open(&path).unwrap();
        let mut expected = Pending {
            found: Some(5),
            ..pending(9)
        };
        assert_eq!(log.next(2, |_| 0), [expected.clone()]);
        log.gone(9, 3).unwrap();
        expected.gone = 3;
        assert_eq!(ErasureLog::open(&path).unwrap().next(2, |_| 0), [expected]);
        let mut unknown = WRITTEN.to_vec();
        unknown[0] = 3;
        std::fs::write(&path, unknown).unwrap();
        assert!(ErasureLog::open(&path).is_err());
    }

    #[test]
    fn those_tried_least_come_first() {
        let directory = tempfile::tempdir().unwrap();
        let log = ErasureLog::open(&directory.path().join("erasures.log")).unwrap();
        for request in 1..=4 {
            assert!(log.add(pending(request)).unwrap());
        }
        let next = log.next(3, |request| u32::from(request == 1 || request == 3));
        let requests: Vec<u64> = next.iter().map(|entry| entry.request).collect();
        assert_eq!(requests, [2, 4, 1]);
    }

    #[test]
    fn more_than_can_wait_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let log = ErasureLog::open(&directory.path().join("erasures.log")).unwrap();
        for request in 0..MAX_PENDING as u64 {
            assert!(log.add(pending(request)).unwrap());
        }
        assert!(!log.add(pending(9_999)).unwrap());
        assert_eq!(log.len(), MAX_PENDING);
    }
}
