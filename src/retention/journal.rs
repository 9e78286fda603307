//! Purges under way, on disk until each is verified and recorded.
//!
//! Comes in: what a run is about to purge. Goes out: after a kill -9, the same, so that it is finished and recorded as it
//! was begun: with all its rows, once. Nothing personal is in it: sites, tables, dates, numbers.
//!
//! **On disk, never edit: version byte 1, postcard of the entries, CRC32C of both, little endian.**

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::secret;

const VERSION: u8 = 1;

/// One purge under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `purges` in schema/.
pub struct Purge {
    pub purge: u64,
    pub run: u64,
    pub table: String,
    pub site: String,
    pub rule: String,
    pub first_day: u16,
    pub last_day: u16,
    pub rows: u64,
    pub bytes: u64,
    /// SQL: the rows meant.
    pub condition: String,
    /// Recorded, or about to be: after a crash the record is looked for before it is written.
    pub is_recorded: bool,
}

/// The journal and what it holds.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    entries: Mutex<Vec<Purge>>,
}

impl Journal {
    /// Reads the journal at `path`; none is an empty one. Blocking.
    ///
    /// # Errors
    /// I/O errors; `InvalidData` where the file is damaged: a purge would go without a record.
    pub fn open(path: &Path) -> io::Result<Journal> {
        let entries = match fs::read(path) {
            Ok(bytes) => decode(&bytes).ok_or_else(|| {
                let reason = format!(
                    "{} is damaged: purges that are not recorded yet may be in it; remove it to go on without them",
                    path.display()
                );
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
    pub fn entries(&self) -> Vec<Purge> {
        self.lock().clone()
    }

    /// Replaces what is under way, durably. Blocking.
    ///
    /// # Errors
    /// I/O errors; what was there before is then still there.
    pub fn replace(&self, entries: Vec<Purge>) -> io::Result<()> {
        let mut held = self.lock();
        secret::write_private(&self.path, &encode(&entries))?;
        *held = entries;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Purge>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(entries: &[Purge]) -> Vec<u8> {
    // Serializing plain fields into a growing vector has no way to fail.
    let mut bytes = postcard::to_extend(entries, vec![VERSION]).expect("entries are plain data");
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<Purge>> {
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

    #[test]
    fn a_purge_survives_a_restart_and_a_damaged_journal_is_not_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("retention.journal");
        let journal = Journal::open(&path).unwrap();
        assert!(journal.entries().is_empty());
        let entry = Purge {
            purge: 1,
            run: 2,
            table: "events".into(),
            site: "portal".into(),
            rule: "expired".into(),
            first_day: 20_000,
            last_day: 20_001,
            rows: 3,
            bytes: 4,
            condition: "site = 'portal'".into(),
            is_recorded: false,
        };
        journal.replace(vec![entry.clone()]).unwrap();
        assert_eq!(Journal::open(&path).unwrap().entries(), [entry]);
        let sound = fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let error = Journal::open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit}");
        }
    }
}
