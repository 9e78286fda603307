//! Visits of senders that do not name theirs (`s` is brine's own key; Plausible's trackers know none).
//!
//! Comes in: a visitor's pseudonym and the time. Goes out: the visit it is in, new after 30 minutes'
//! silence. Held in memory alone: a restart, or a second collector, begins new visits for such senders.
//! Bounded: beyond the cap the shard's longest silent visits are let go, and their visitors begin a new
//! one when they come back.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

/// A visit ends after this silence, as in every web measurement since the 1990s.
pub const IDLE_MS: i64 = 30 * 60 * 1_000;

const SHARDS: usize = 16;

/// One visit under way.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct OpenVisit {
    pub visit: u64,
    /// Local date on which it began (day number).
    pub day: u16,
    last_ms: i64,
}

/// The visits under way, by visitor.
#[derive(Debug)]
pub struct OpenVisits {
    shards: [Mutex<FxHashMap<u64, OpenVisit>>; SHARDS],
    per_shard: usize,
}

impl OpenVisits {
    /// Holds at most `capacity` visits (about 40 bytes each).
    pub fn new(capacity: usize) -> OpenVisits {
        OpenVisits {
            shards: std::array::from_fn(|_| Mutex::default()),
            per_shard: (capacity / SHARDS).max(2),
        }
    }

    /// Returns the visit that `visitor` is in at `now_ms`, if it has one, and keeps it alive.
    pub fn touch(&self, visitor: u64, now_ms: i64) -> Option<OpenVisit> {
        let mut shard = self
            .shard(visitor)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let open = shard.get_mut(&visitor)?;
        if now_ms - open.last_ms >= IDLE_MS {
            shard.remove(&visitor);
            return None;
        }
        open.last_ms = open.last_ms.max(now_ms);
        Some(*open)
    }

    /// The same, but begins a visit that `begin` names when there is none. Two beacons of one visitor at
    /// the same moment get the same visit.
    pub fn touch_or_begin(
        &self,
        visitor: u64,
        now_ms: i64,
        begin: impl FnOnce() -> (u64, u16),
    ) -> OpenVisit {
        let mut shard = self
            .shard(visitor)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = shard.get_mut(&visitor)
            && now_ms - open.last_ms < IDLE_MS
        {
            open.last_ms = open.last_ms.max(now_ms);
            return *open;
        }
        if shard.len() >= self.per_shard {
            make_room(&mut shard, now_ms, self.per_shard);
        }
        let (visit, day) = begin();
        let open = OpenVisit {
            visit,
            day,
            last_ms: now_ms,
        };
        shard.insert(visitor, open);
        open
    }

    /// Drops the visit of a visitor, whose events are erased.
    pub fn forget(&self, visitor: u64) {
        self.shard(visitor)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&visitor);
    }

    /// Drops the visits that are over.
    pub fn sweep(&self, now_ms: i64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, open| now_ms - open.last_ms < IDLE_MS);
            if shard.capacity() > 4 * shard.len().max(64) {
                shard.shrink_to_fit();
            }
        }
    }

    /// Returns how many visits are held.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Tells whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, visitor: u64) -> &Mutex<FxHashMap<u64, OpenVisit>> {
        // Pseudonyms are hashes: any bits will do.
        &self.shards[(visitor >> 60) as usize % SHARDS]
    }
}

/// Drops what is over; if that is less than half, the half that was silent longest goes too.
fn make_room(shard: &mut FxHashMap<u64, OpenVisit>, now_ms: i64, cap: usize) {
    shard.retain(|_, open| now_ms - open.last_ms < IDLE_MS);
    if shard.len() > cap / 2 {
        let mut last: Vec<i64> = shard.values().map(|open| open.last_ms).collect();
        let middle = last.len() / 2;
        let (_, &mut median, _) = last.select_nth_unstable(middle);
        shard.retain(|_, open| open.last_ms > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_lasts_until_thirty_minutes_silence() {
        let visits = OpenVisits::new(1_000);
        let first = visits.touch_or_begin(1, 0, || (10, 5));
        assert_eq!(first.visit, 10);
        assert_eq!(visits.touch_or_begin(1, IDLE_MS - 1, || (11, 5)).visit, 10);
        assert_eq!(
            visits.touch_or_begin(1, 2 * IDLE_MS - 2, || (12, 5)).visit,
            10
        );
        assert_eq!(
            visits.touch_or_begin(1, 3 * IDLE_MS - 2, || (13, 5)).visit,
            13
        );
        visits.sweep(5 * IDLE_MS);
        assert!(visits.is_empty());
    }

    #[test]
    fn a_flood_of_visitors_cannot_grow_it() {
        let visits = OpenVisits::new(1_600);
        for visitor in 0..100_000u64 {
            visits.touch_or_begin(
                visitor.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                visitor as i64,
                || (visitor, 0),
            );
        }
        assert!(visits.len() <= 1_600);
        assert!(
            visits
                .touch(99_999u64.wrapping_mul(0x9e37_79b9_7f4a_7c15), 100_000)
                .is_some()
        );
    }
}
