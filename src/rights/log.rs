//! Erasures under way, on disk until each is verified.
//!
//! Comes in: an erasure that was asked for. Goes out: after a restart, the same. Promises that an erasure which
//! was answered (done or under way) is finished, whatever is killed meanwhile; and that the pseudonyms in it
//! leave the disk with the events: the file is replaced as a whole, the old one unlinked.
//!
//! Bounded: [`MAX_PENDING`] erasures; more are refused until ClickHouse has caught up.
//!
//! **On disk, never edit: version byte 1, postcard of the entries, CRC32C of both, little endian.**

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::secret;

const VERSION: u8 = 1;

/// Erasures that may wait at once; with 800 receipts each that is 6 MB.
pub const MAX_PENDING: usize = 256;

/// One erasure under way.
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
pub struct ErasureLog {
    path: PathBuf,
    entries: Mutex<Vec<Pending>>,
}

impl ErasureLog {
    /// Reads the log at `path`; none is an empty one. Blocking.
    ///
    /// # Errors
    /// I/O errors; `InvalidData` where the file is damaged: brine must not start as if nothing had been asked.
    pub fn open(path: &Path) -> io::Result<ErasureLog> {
        let entries = match fs::read(path) {
            Ok(bytes) => decode(&bytes).ok_or_else(|| {
                let reason = format!(
                    "{} is damaged: erasures that were promised may be in it",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        Ok(ErasureLog {
            path: path.to_owned(),
            entries: Mutex::new(entries),
        })
    }

    /// Returns the erasures to work on next: at most `n`, those asked first.
    pub fn oldest(&self, n: usize) -> Vec<Pending> {
        self.lock().iter().take(n).cloned().collect()
    }

    /// Returns how many are under way.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Tells whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether this request is under way.
    pub fn contains(&self, request: u64) -> bool {
        self.lock().iter().any(|entry| entry.request == request)
    }

    /// Adds an erasure, durably. Blocking. Returns false where there are too many already.
    ///
    /// # Errors
    /// I/O errors; nothing was promised then.
    pub fn add(&self, pending: Pending) -> io::Result<bool> {
        self.change(|entries| {
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
        self.change(|entries| {
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
        self.change(|entries| entries.retain(|entry| entry.request != request))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Pending>) -> T) -> io::Result<T> {
        let mut entries = self.lock();
        let mut changed = entries.clone();
        let result = change(&mut changed);
        secret::write_private(&self.path, &encode(&changed))?;
        *entries = changed;
        Ok(result)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Pending>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(entries: &[Pending]) -> Vec<u8> {
    // Serializing plain fields into a growing vector has no way to fail.
    let mut bytes = postcard::to_extend(entries, vec![VERSION]).expect("entries are plain data");
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<Pending>> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body).to_le_bytes() != *checksum {
        return None;
    }
    let (version, entries) = body.split_first()?;
    (*version == VERSION).then_some(())?;
    postcard::from_bytes(entries).ok()
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
        assert_eq!(fs::read(&path).unwrap().len(), 6);
    }

    #[test]
    fn a_damaged_log_is_not_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures.log");
        ErasureLog::open(&path).unwrap().add(pending(1)).unwrap();
        let sound = fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let error = ErasureLog::open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit}");
        }
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
