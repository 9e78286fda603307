//! Live figures: how many are open, whose they are, and of whom a row was written.
//!
//! A live figure is one connection for as long as its page is looked at. A viewer has a few of them at most, so that their
//! browser keeps connections for everything else (six to a host under HTTP/1.1), and all viewers together so many that
//! the listener keeps slots. Whoever gets none asks again every few seconds, as before there were any.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hash;

/// Open at once by one session, or by everybody who has come in by the same key or link.
const MOST_OF_SESSION: usize = 4;
const MOST_OF_OTHERS: usize = 32;

/// Open at once by all; a quarter of the listener's least usual number of connections.
const MOST: usize = 64;

/// Rows remembered as written; beyond them some are written twice.
const MOST_TOLD: usize = 10_000;

/// All live figures of a listener.
#[derive(Debug, Default)]
pub(super) struct Live {
    open: Mutex<HashMap<Hash, usize>>,
    told: Mutex<HashSet<(Hash, String, u16)>>,
    /// Held while one is being written.
    pub(super) telling: tokio::sync::Mutex<()>,
}

/// One that is open; it is over when this is dropped.
#[derive(Debug)]
pub struct Slot {
    live: Arc<Live>,
    who: Hash,
}

impl Live {
    /// Takes one for `who`; none: they have enough.
    pub(super) fn open(self: &Arc<Live>, who: Hash, is_session: bool) -> Option<Slot> {
        let most = match is_session {
            true => MOST_OF_SESSION,
            false => MOST_OF_OTHERS,
        };
        let mut open = lock(&self.open);
        let n_theirs = open.get(&who).copied().unwrap_or(0);
        if n_theirs >= most || open.values().sum::<usize>() >= MOST {
            return None;
        }
        open.insert(who, n_theirs + 1);
        Some(Slot {
            live: self.clone(),
            who,
        })
    }

    /// Tells whether it is recorded that `who` looked at `site` on `day`.
    pub(super) fn is_told(&self, who: Hash, site: &str, day: u16) -> bool {
        lock(&self.told).contains(&(who, site.to_owned(), day))
    }

    /// Remembers that it is.
    pub(super) fn tell(&self, who: Hash, site: &str, day: u16) {
        let mut told = lock(&self.told);
        told.retain(|(_, _, known)| *known == day);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert((who, site.to_owned(), day));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = lock(&self.live.open);
        if let Some(n) = open.get_mut(&self.who) {
            *n -= 1;
            if *n == 0 {
                open.remove(&self.who);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_few_and_gives_them_back() {
        let live = Arc::new(Live::default());
        let slots: Vec<_> = (0..10)
            .map(|_| live.open(blake3::hash(b"anna"), true))
            .collect();
        assert_eq!(slots.iter().flatten().count(), MOST_OF_SESSION);
        assert!(live.open(blake3::hash(b"bo"), true).is_some());
        drop(slots);
        assert!(live.open(blake3::hash(b"anna"), true).is_some());
        let all: Vec<_> = (0..2 * MOST)
            .map(|i| live.open(blake3::hash(&[i as u8]), true))
            .collect();
        assert_eq!(all.iter().flatten().count(), MOST);
        drop(all);
        assert!(lock(&live.open).is_empty());
    }

    #[test]
    fn a_look_is_told_once_a_session_site_and_day() {
        let live = Live::default();
        let anna = blake3::hash(b"anna");
        assert!(!live.is_told(anna, "portal", 7));
        live.tell(anna, "portal", 7);
        assert!(live.is_told(anna, "portal", 7));
        assert!(!live.is_told(anna, "ios", 7));
        assert!(!live.is_told(blake3::hash(b"bo"), "portal", 7));
        assert!(!live.is_told(anna, "portal", 8));
    }
}
