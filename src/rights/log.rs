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
    /// Rows of events that were found when everything had left the spool.
    pub found: Option<u64>,
    pub keys: Vec<PendingKey>,
}

impl Entry for Pending {}

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

    /// Returns the erasures to work on next: at most `n`, those asked first.
    pub fn oldest(&self, n: usize) -> Vec<Pending> {
        self.0.lock().iter().take(n).cloned().collect()
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
        assert_eq!((log.len(), log.oldest(1)[0].found), (2, Some(5)));
        log.remove(1).unwrap();
        log.remove(2).unwrap();
        assert!(ErasureLog::open(&path).unwrap().is_empty());
        // Nothing of a pseudonym is left.
        assert_eq!(std::fs::read(&path).unwrap().len(), 6);
    }

    /// As the first version wrote it.
    const WRITTEN: &[u8] = b"\x01\x01\x09\x06portal\x07visitor\x01\x07\x01\x05\x01\x06portal\xa0\x9c\x01\xef\x9b\xaf\xcd\xf8\xac\xd1\x91\x01\x02\x04\x05\x17";

    #[test]
    fn a_log_that_an_earlier_version_wrote_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures.log");
        std::fs::write(&path, WRITTEN).unwrap();
        let log = ErasureLog::open(&path).unwrap();
        let expected = Pending {
            found: Some(5),
            ..pending(9)
        };
        assert_eq!(log.oldest(2), [expected]);
        log.found(9, 5).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), WRITTEN);
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
