//! What is under way and must be finished, on disk until it is: the form of erasures and of purges.
//!
//! Comes in: entries. Goes out: after a kill -9 anywhere, the same. The file is replaced as a whole and durably at each
//! change, so that it is the old one or the new one, and what was taken out of it leaves the disk; a damaged one is never
//! taken for an empty one.
//!
//! **On disk, never edit: version byte, postcard of the entries, CRC32C of both, little endian.** What an entry is says who
//! keeps them; its fields are part of these bytes: other fields are another version, and the former is still read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::secret;

/// What a journal is about.
pub trait Entry: Clone + Serialize + DeserializeOwned {
    /// The version byte of its fields.
    const VERSION: u8 = 1;

    /// Reads entries that were written with the fields of an earlier version; none where it knows none.
    fn read_former(_version: u8, _entries: &[u8]) -> Option<Vec<Self>> {
        None
    }
}

/// The file and what it holds.
#[derive(Debug)]
pub struct Journal<T> {
    path: PathBuf,
    entries: Mutex<Vec<T>>,
}

impl<T: Entry> Journal<T> {
    /// Reads the journal at `path`; none is an empty one. `loss` says what may be in a damaged one. Blocking.
    ///
    /// # Errors
    /// I/O errors; `InvalidData` where the file is damaged: brine must not start as if nothing were under way.
    pub fn open(path: &Path, loss: &str) -> io::Result<Journal<T>> {
        let entries = match fs::read(path) {
            Ok(bytes) => decode(&bytes).ok_or_else(|| {
                let reason = format!("{} is damaged: {loss}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        Ok(Journal {
            path: path.to_owned(),
            entries: Mutex::new(entries),
        })
    }

    /// Returns what is under way.
    pub fn entries(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// Replaces what is under way, durably. Blocking.
    ///
    /// # Errors
    /// I/O errors; what was there before is then still there.
    pub fn replace(&self, entries: Vec<T>) -> io::Result<()> {
        self.change(|held| *held = entries)
    }

    /// Changes what is under way, durably. Blocking.
    ///
    /// # Errors
    /// As [`replace`](Journal::replace).
    pub fn change<R>(&self, change: impl FnOnce(&mut Vec<T>) -> R) -> io::Result<R> {
        let mut held = self.lock();
        let mut changed = held.clone();
        let result = change(&mut changed);
        secret::write_private(&self.path, &encode(&changed))?;
        *held = changed;
        Ok(result)
    }

    /// Looks at what is under way, without a copy.
    pub fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode<T: Entry>(entries: &[T]) -> Vec<u8> {
    // Serializing plain fields into a growing vector has no way to fail.
    let mut bytes = postcard::to_extend(entries, vec![T::VERSION]).expect("entries are plain data");
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode<T: Entry>(bytes: &[u8]) -> Option<Vec<T>> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body).to_le_bytes() != *checksum {
        return None;
    }
    let (version, entries) = body.split_first()?;
    if *version != T::VERSION {
        return T::read_former(*version, entries);
    }
    postcard::from_bytes(entries).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for String {}

    #[test]
    fn entries_survive_a_restart_and_leave_the_disk_when_they_are_taken_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some.journal");
        let journal = Journal::<String>::open(&path, "").unwrap();
        assert_eq!(journal.entries(), Vec::<String>::new());
        journal.replace(vec!["one".into(), "two".into()]).unwrap();
        let n = journal.change(|entries| {
            entries.remove(0);
            entries.len()
        });
        assert_eq!(n.unwrap(), 1);
        let journal = Journal::<String>::open(&path, "").unwrap();
        assert_eq!(journal.entries(), ["two"]);
        journal.replace(Vec::new()).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), 6, "nothing but the frame");
    }

    #[test]
    fn a_damaged_journal_is_not_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some.journal");
        let journal = Journal::<String>::open(&path, "").unwrap();
        journal.replace(vec!["one".into()]).unwrap();
        let sound = fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let error = Journal::<String>::open(&path, "all is lost").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit}");
            assert!(error.to_string().ends_with("is damaged: all is lost"));
        }
    }
}
