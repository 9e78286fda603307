//! Events that were accepted before: an event that comes twice counts once.
//!
//! Comes in: the id that a sender gave its event. Goes out: whether it is new. A lost reply, a crash of either
//! side, or a client that is in doubt may bring the same event again; with its id it is answered as accepted and
//! not stored a second time. Ids of a batch are remembered for 72 hours, as long as its events may be old; those of single
//! events, whose trackers try again after seconds, for ten to twenty minutes.
//!
//! **Remembered if and only if durable.** An id has no file of its own to be in step with: it stands in the spool, in
//! the very record of its event. Before the batch step lets go of a segment it appends the segment's ids to the
//! log; at start the memory is that log plus what the spool still holds. While a record is on its way to the disk
//! its id is neither new nor known: whoever brings it again waits for the same commit.
//!
//! **What is kept** is 64 bits of a keyed BLAKE3 over site, sender and id, and the ten minutes (a slot) after which it is forgotten. Two senders may
//! both number their events from 1. No row of ClickHouse has it, and the log is sorted within a segment, so that
//! its order tells nothing. Two of ten million events are taken for one with a chance of one in a million.
//!
//! **Bounded.** Beyond `limits.event_ids` those that would be forgotten soonest are forgotten at once, and counted
//! (`brine_event_ids_forgotten_total`): ids of single events before those of batches.
//!
//! **Files.** One a slot of forgetting, `ids/<slot>.ids`; when it comes, the file is unlinked. **On disk, never edited: 8 bytes
//! hash, 4 bytes CRC32C of slot and hash, little endian; a torn tail is cut.**

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::event::EventId;
use crate::secret::Secret;
use crate::spool::Ticket;

/// Seconds of a slot.
const SLOT_S: i64 = 600;

/// How long the ids of a batch are remembered at least, in slots: 72 hours, its events may be as old.
pub const BATCH_SLOTS: u32 = 72 * 6;
/// The same for single events.
pub const SINGLE_SLOTS: u32 = 1;

const SHARDS: usize = 16;
const ENTRY_BYTES: usize = 12;

/// The ids that are remembered.
#[derive(Debug)]
pub struct EventIds {
    key: Secret,
    shards: [Mutex<FxHashMap<u64, State>>; SHARDS],
    most: usize,
    log: Mutex<Log>,
}

/// Where an id's event is.
#[derive(Clone, Debug)]
enum State {
    /// On the way into the spool's buffer, within one call.
    Claimed,
    /// On the way to the disk.
    Submitted { until_slot: u32, ticket: Ticket },
    /// On the disk.
    Known { until_slot: u32 },
}

/// What an id's event is to whoever brings it.
#[derive(Debug)]
pub enum Claim {
    /// New, and now the caller's: it must be [submitted](EventIds::submitted) or [released](EventIds::release).
    New,
    /// Accepted before.
    Repeated,
    /// Brought by another request; wait for it and claim again.
    Submitted(Ticket),
    /// Just being brought by another; claim again.
    Claimed,
}

#[derive(Debug)]
struct Log {
    directory: PathBuf,
    /// Entries in each slot's file.
    lengths: BTreeMap<u32, usize>,
}

impl EventIds {
    /// Reads what is remembered at `now` from `directory` (made if missing), at most `most` ids. Blocking.
    ///
    /// # Errors
    /// I/O errors; brine must not count twice what it promised to count once.
    pub fn open(
        directory: &Path,
        key: &Secret,
        most: usize,
        now: Timestamp,
    ) -> io::Result<EventIds> {
        if !directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let ids = EventIds {
            key: key.derive("brine 2026-11-24 event ids v1"),
            shards: std::array::from_fn(|_| Mutex::default()),
            most,
            log: Mutex::new(Log {
                directory: directory.to_owned(),
                lengths: BTreeMap::new(),
            }),
        };
        let mut log = ids.log();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(slot) = slot_of(&path) else { continue };
            if slot <= slot_at(now) {
                fs::remove_file(&path)?;
                continue;
            }
            let bytes = fs::read(&path)?;
            let mut damaged = bytes.len() % ENTRY_BYTES;
            for entry in bytes.chunks_exact(ENTRY_BYTES) {
                match decode(entry, slot) {
                    Some(id) => ids.remember(id),
                    None => damaged += ENTRY_BYTES,
                }
            }
            if damaged > 0 {
                tracing::warn!(
                    damaged,
                    "the log of event ids has damaged entries; a torn tail is usual after a crash"
                );
            }
            log.lengths.insert(slot, bytes.len() / ENTRY_BYTES);
        }
        drop(log);
        Ok(ids)
    }

    /// Names an event by what its sender calls it; `sender` is what it is hashed as in pseudonyms.
    pub fn name(&self, site: &str, sender: &[u8], id: &str, now: Timestamp, slots: u32) -> EventId {
        let hash = keyed(&self.key, [site.as_bytes(), sender, id.as_bytes()]);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        EventId {
            until_slot: slot_at(now).saturating_add(slots + 1),
            hash: u64::from_le_bytes(first),
        }
    }

    /// Takes an id for its event, unless it is known.
    pub fn claim(&self, id: EventId) -> Claim {
        let mut shard = self.shard(id.hash);
        let state = match shard.entry(id.hash) {
            Entry::Vacant(place) => {
                place.insert(State::Claimed);
                return Claim::New;
            }
            Entry::Occupied(place) => place.into_mut(),
        };
        match state {
            State::Known { .. } => Claim::Repeated,
            State::Claimed => Claim::Claimed,
            State::Submitted { until_slot, ticket } => match ticket.is_durable() {
                None => Claim::Submitted(ticket.clone()),
                Some(true) => {
                    *state = State::Known {
                        until_slot: *until_slot,
                    };
                    Claim::Repeated
                }
                Some(false) => {
                    *state = State::Claimed;
                    Claim::New
                }
            },
        }
    }

    /// Ties claimed ids to the commit that decides about them.
    pub fn submitted(&self, ids: impl IntoIterator<Item = EventId>, ticket: &Ticket) {
        for EventId { until_slot, hash } in ids {
            let ticket = ticket.clone();
            self.shard(hash)
                .insert(hash, State::Submitted { until_slot, ticket });
        }
    }

    /// Gives claimed ids back: their events were not taken.
    pub fn release(&self, ids: impl IntoIterator<Item = EventId>) {
        for id in ids {
            let mut shard = self.shard(id.hash);
            if matches!(shard.get(&id.hash), Some(State::Claimed)) {
                shard.remove(&id.hash);
            }
        }
    }

    /// Knows an id whose event is durable.
    pub fn remember(&self, EventId { until_slot, hash }: EventId) {
        self.shard(hash).insert(hash, State::Known { until_slot });
    }

    /// Makes ids durable in the log, before the spool lets go of their events. Blocking: one write and one fsync for
    /// each slot of forgetting, of which a segment has a few.
    ///
    /// # Errors
    /// I/O errors; the caller keeps the segment.
    pub fn persist(&self, mut ids: Vec<EventId>) -> io::Result<()> {
        ids.sort_unstable();
        let mut log = self.log();
        let mut is_new = false;
        for same in ids.chunk_by(|a, b| a.until_slot == b.until_slot) {
            let slot = same[0].until_slot;
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(log.path(slot))?;
            // What an earlier write left when the disk was full would shift every entry behind it.
            let length = file.metadata()?.len();
            let torn = length % ENTRY_BYTES as u64;
            if torn > 0 {
                file.set_len(length - torn)?;
            }
            let bytes: Vec<u8> = same.iter().flat_map(|id| encode(*id)).collect();
            file.write_all(&bytes)?;
            file.sync_data()?;
            // Or its first write failed half-way, before its name was durable.
            is_new |= !log.lengths.contains_key(&slot);
            *log.lengths.entry(slot).or_default() += same.len();
        }
        while log.lengths.values().sum::<usize>() > self.most
            && log.lengths.len() > 1
            && let Some((&slot, _)) = log.lengths.first_key_value()
        {
            log.forget(slot)?;
        }
        if is_new {
            File::open(&log.directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Forgets what is over at `now`, and what is too much; returns how many were forgotten before their time. Blocking.
    ///
    /// # Errors
    /// I/O errors; files then stay longer than they need.
    pub fn sweep(&self, now: Timestamp) -> io::Result<usize> {
        let slot = slot_at(now);
        let mut early = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, state| {
                match state {
                    State::Submitted { until_slot, ticket } => match ticket.is_durable() {
                        None => {}
                        Some(true) => {
                            *state = State::Known {
                                until_slot: *until_slot,
                            }
                        }
                        Some(false) => return false,
                    },
                    State::Claimed | State::Known { .. } => {}
                }
                !matches!(state, State::Known { until_slot } if *until_slot <= slot)
            });
            early += make_room(&mut shard, self.most / SHARDS);
            if shard.capacity() > 4 * shard.len().max(64) {
                shard.shrink_to_fit();
            }
        }
        let mut log = self.log();
        while let Some((&oldest, _)) = log.lengths.first_key_value()
            && oldest <= slot
        {
            log.forget(oldest)?;
        }
        Ok(early)
    }

    /// Returns how many are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Tells whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, FxHashMap<u64, State>> {
        // Hashes: any bits will do.
        lock(&self.shards[(hash >> 60) as usize % SHARDS])
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes fields, each behind its length. What fits is put together on the stack and hashed in one call, which is
/// half the work.
fn keyed(key: &Secret, fields: [&[u8]; 3]) -> blake3::Hash {
    const SHORT: usize = 384;
    let mut short = [0; SHORT];
    let n_bytes = fields.iter().map(|field| 8 + field.len()).sum::<usize>();
    if n_bytes > SHORT {
        let mut hasher = blake3::Hasher::new_keyed(key.expose());
        for field in fields {
            hasher
                .update(&(field.len() as u64).to_le_bytes())
                .update(field);
        }
        return hasher.finalize();
    }
    let mut at = 0;
    for field in fields {
        for part in [&(field.len() as u64).to_le_bytes()[..], field] {
            short[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }
    blake3::keyed_hash(key.expose(), &short[..at])
}

/// Forgets those whose time would be over soonest, until an eighth is free; returns how many. Ids are forgotten every
/// ten seconds, not at each claim: in between a flood adds what passes the rate limits.
fn make_room(shard: &mut FxHashMap<u64, State>, most: usize) -> usize {
    if shard.len() <= most {
        return 0;
    }
    let until = |state: &State| match state {
        State::Known { until_slot } => Some(*until_slot),
        State::Claimed | State::Submitted { .. } => None,
    };
    let mut soonest: Vec<u32> = shard.values().filter_map(until).collect();
    let n_over = (shard.len() - most / 8 * 7).min(soonest.len());
    if n_over == 0 {
        return 0;
    }
    let (_, &mut last, _) = soonest.select_nth_unstable(n_over - 1);
    let mut left = n_over;
    shard.retain(|_, state| {
        let goes = left > 0 && until(state).is_some_and(|slot| slot <= last);
        left -= usize::from(goes);
        !goes
    });
    n_over - left
}

fn lock(shard: &Mutex<FxHashMap<u64, State>>) -> MutexGuard<'_, FxHashMap<u64, State>> {
    // Each change is one insertion or removal; a panic leaves the map whole.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    fn path(&self, slot: u32) -> PathBuf {
        self.directory.join(format!("{slot:010}.ids"))
    }

    fn forget(&mut self, slot: u32) -> io::Result<()> {
        match fs::remove_file(self.path(slot)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.lengths.remove(&slot);
        Ok(())
    }
}

/// Returns the slot, counted since 1970 UTC.
fn slot_at(now: Timestamp) -> u32 {
    u32::try_from(now.as_second().div_euclid(SLOT_S)).unwrap_or(0)
}

fn slot_of(path: &Path) -> Option<u32> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".ids")?
        .parse()
        .ok()
}

fn checksum(hash: [u8; 8], slot: u32) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&slot.to_le_bytes()), &hash).to_le_bytes()
}

fn encode(id: EventId) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&id.hash.to_le_bytes());
    entry[8..].copy_from_slice(&checksum(id.hash.to_le_bytes(), id.until_slot));
    entry
}

fn decode(entry: &[u8], slot: u32) -> Option<EventId> {
    let (hash, sum) = entry.split_first_chunk()?;
    (checksum(*hash, slot) == sum).then(|| EventId {
        until_slot: slot,
        hash: u64::from_le_bytes(*hash),
    })
}

#[cfg(test)]
mod tests;
