//! Purges under way, on disk until each is verified and recorded.
//!
//! Comes in: what a run is about to purge. Goes out: after a kill -9, the same, so that it is finished and recorded as it
//! was begun: with all its rows, once. Nothing personal is in it: sites, tables, dates, numbers.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::journal::Entry;

/// The purges under way.
pub type Journal = crate::journal::Journal<Purge>;

/// One purge under way. **On disk, never edit.**
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
    /// When it was counted, milliseconds since 1970: what another collector has recorded since is not ours to record.
    pub began_ms: i64,
}

impl Entry for Purge {
    const VERSION: u8 = 2;

    fn read_former(version: u8, entries: &[u8]) -> Option<Vec<Purge>> {
        (version == 1).then_some(())?;
        let entries: Vec<PurgeV1> = postcard::from_bytes(entries).ok()?;
        Some(entries.into_iter().map(Purge::from).collect())
    }
}

/// As version 1 had it.
#[derive(Serialize, Deserialize)]
struct PurgeV1 {
    purge: u64,
    run: u64,
    table: String,
    site: String,
    rule: String,
    first_day: u16,
    last_day: u16,
    rows: u64,
    bytes: u64,
    condition: String,
    is_recorded: bool,
}

impl From<PurgeV1> for Purge {
    fn from(old: PurgeV1) -> Purge {
        Purge {
            purge: old.purge,
            run: old.run,
            table: old.table,
            site: old.site,
            rule: old.rule,
            first_day: old.first_day,
            last_day: old.last_day,
            rows: old.rows,
            bytes: old.bytes,
            condition: old.condition,
            is_recorded: old.is_recorded,
            // It was not said: nothing that another has recorded is taken off.
            began_ms: i64::MAX,
        }
    }
}

/// Reads the journal at `path`. Blocking.
///
/// # Errors
/// I/O errors; `InvalidData` where the file is damaged: a purge would go without a record.
pub fn open(path: &Path) -> io::Result<Journal> {
    Journal::open(
        path,
        "purges that are not recorded yet may be in it; remove it to go on without them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1 wrote it.
    const WRITTEN: &[u8] = b"\x01\x01\x01\x02\x06events\x06portal\x07expired\xa0\x9c\x01\xa1\x9c\x01\x03\x04\x0fsite = 'portal'\x00A\xcf\xe4\x1b";

    fn entry(began_ms: i64) -> Purge {
        Purge {
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
            began_ms,
        }
    }

    #[test]
    fn a_journal_of_the_first_version_is_read_and_goes_on_as_the_second() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("retention.journal");
        std::fs::write(&path, WRITTEN).unwrap();
        let journal = open(&path).unwrap();
        assert_eq!(journal.entries(), [entry(i64::MAX)]);
        journal.replace(vec![entry(5)]).unwrap();
        assert_eq!(open(&path).unwrap().entries(), [entry(5)]);
        let mut unknown = WRITTEN.to_vec();
        unknown[0] = 3;
        std::fs::write(&path, unknown).unwrap();
        assert!(open(&path).is_err());
    }
}
