//! Withdrawn tokens, held in memory by every collector until they would have expired anyway.
//!
//! A withdrawal takes effect when it is in this set. It becomes durable with its ledger record in the
//! spool; before the batch step lets go of that segment it appends the withdrawals to `revocations.log`,
//! and at start the set is that log plus what the spool still holds. So a withdrawal that was answered
//! survives every crash without an fsync of its own. Those that were made at another collector come in by way of
//! [`super::elsewhere`], and go to the log at once.
//!
//! The log holds ledger ids and days: nothing that any event carries. **On disk, never edit: 16 bytes
//! ledger id, 2 bytes last day, 4 bytes CRC32C of those 18, big endian; a torn tail is cut.**

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use super::token::LedgerId;
use crate::secret;

const ENTRY_BYTES: usize = 22;

/// The set. Reads are one uncontended lock; the set is small beside the tokens in use.
#[derive(Debug)]
pub struct Revocations {
    set: RwLock<HashMap<LedgerId, u16>>,
    path: PathBuf,
    log: Mutex<File>,
}

impl Revocations {
    /// Reads the log at `path`, drops what has expired before `today` (days since 1970-01-01 UTC), and
    /// writes it back without that.
    ///
    /// # Errors
    /// I/O errors; brine must not serve without its revocations.
    pub fn open(path: &Path, today: u16) -> io::Result<Revocations> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let (set, damaged) = decode(&bytes);
        if damaged > 0 {
            tracing::warn!(
                bytes = damaged,
                "revocation log has damaged entries; a torn tail is usual after a crash"
            );
        }
        let set: HashMap<_, _> = set
            .into_iter()
            .filter(|(_, last_day)| *last_day >= today)
            .collect();
        let mut kept = Vec::with_capacity(set.len() * ENTRY_BYTES);
        for (id, last_day) in &set {
            kept.extend_from_slice(&encode(*id, *last_day));
        }
        secret::write_private(path, &kept)?;
        let log = OpenOptions::new().append(true).mode(0o600).open(path)?;
        Ok(Revocations {
            set: RwLock::new(set),
            path: path.to_owned(),
            log: Mutex::new(log),
        })
    }

    /// Tells whether the consent was withdrawn.
    pub fn contains(&self, id: LedgerId) -> bool {
        self.set
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&id)
    }

    /// Withdraws a consent, at once; durable only with its ledger record.
    pub fn insert(&self, id: LedgerId, last_day: u16) {
        self.set
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, last_day);
    }

    /// Returns how many are held.
    pub fn len(&self) -> usize {
        self.set
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Tells whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes withdrawals durable in the log. Blocking: one write, one fsync.
    ///
    /// # Errors
    /// I/O errors; the caller keeps the spool segment they came from.
    pub fn persist(&self, withdrawn: &[(LedgerId, u16)]) -> io::Result<()> {
        if withdrawn.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(withdrawn.len() * ENTRY_BYTES);
        for (id, last_day) in withdrawn {
            bytes.extend_from_slice(&encode(*id, *last_day));
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // What an earlier write left when the disk was full would shift every entry behind it.
        let length = log.metadata()?.len();
        let torn = length % ENTRY_BYTES as u64;
        if torn > 0 {
            log.set_len(length - torn)?;
        }
        log.write_all(&bytes)?;
        log.sync_data()
    }

    /// Forgets what expired before `today`, in memory and in the log. Blocking.
    ///
    /// # Errors
    /// I/O errors; the set then keeps more than it needs, never less.
    pub fn sweep(&self, today: u16) -> io::Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // Rewritten from the log itself: the set may hold withdrawals whose record is not durable yet.
        let (entries, _) = decode(&fs::read(&self.path)?);
        let kept: Vec<u8> = entries
            .into_iter()
            .filter(|(_, last_day)| *last_day >= today)
            .flat_map(|(id, last_day)| encode(id, last_day))
            .collect();
        let written = secret::write_private(&self.path, &kept);
        // Whatever failed behind it, the name may be of the new file: nothing more may be written into the old one.
        *log = OpenOptions::new().append(true).open(&self.path)?;
        written?;
        self.set
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, last_day| *last_day >= today);
        Ok(())
    }
}

fn encode(id: LedgerId, last_day: u16) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..16].copy_from_slice(&id.0.to_be_bytes());
    entry[16..18].copy_from_slice(&last_day.to_be_bytes());
    let crc = crc32c::crc32c(&entry[..18]);
    entry[18..].copy_from_slice(&crc.to_be_bytes());
    entry
}

/// Returns the sound entries and the number of bytes that are none.
fn decode(bytes: &[u8]) -> (HashMap<LedgerId, u16>, usize) {
    let mut set = HashMap::new();
    let mut damaged = bytes.len() % ENTRY_BYTES;
    for entry in bytes.chunks_exact(ENTRY_BYTES) {
        if crc32c::crc32c(&entry[..18]).to_be_bytes() != entry[18..] {
            damaged += ENTRY_BYTES;
            continue;
        }
        let mut id = [0; 16];
        id.copy_from_slice(&entry[..16]);
        set.insert(
            LedgerId(u128::from_be_bytes(id)),
            u16::from_be_bytes([entry[16], entry[17]]),
        );
    }
    (set, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withdrawals_survive_a_restart_and_leave_when_their_token_would_have_expired() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("revocations.log");
        let (old, fresh) = (LedgerId(1), LedgerId(2));
        let revocations = Revocations::open(&path, 100).unwrap();
        revocations.persist(&[(old, 110), (fresh, 200)]).unwrap();
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(b"torn");
        fs::write(&path, &torn).unwrap();

        let revocations = Revocations::open(&path, 110).unwrap();
        assert!(revocations.contains(old) && revocations.contains(fresh));
        revocations.sweep(111).unwrap();
        assert!(!revocations.contains(old) && revocations.contains(fresh));
        revocations.persist(&[(LedgerId(3), 300)]).unwrap();

        let revocations = Revocations::open(&path, 111).unwrap();
        assert!(revocations.contains(fresh) && revocations.contains(LedgerId(3)));
        assert_eq!(
            (revocations.len(), fs::metadata(&path).unwrap().len()),
            (2, 44)
        );
    }

    #[test]
    fn a_write_cut_short_by_a_full_disk_does_not_spoil_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("revocations.log");
        let revocations = Revocations::open(&path, 100).unwrap();
        revocations.persist(&[(LedgerId(1), 200)]).unwrap();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(&encode(LedgerId(2), 200)[..10])
            .unwrap();
        revocations
            .persist(&[(LedgerId(2), 200), (LedgerId(3), 200)])
            .unwrap();
        let revocations = Revocations::open(&path, 100).unwrap();
        assert_eq!(revocations.len(), 3);
    }
}
