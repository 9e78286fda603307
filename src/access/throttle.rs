//! How often somebody may try a password: by address, by account, and by browser.
//!
//! Comes in: who tries. Goes out: go ahead, or how long to wait. A wrong password costs a try, a right one gives it
//! back. Tries from browsers that nobody has signed in with count for the address and for the account; a browser that
//! its owner has used before (it holds a cookie that says so) counts for itself alone. So whoever guesses, from one
//! address or from thousands, uses up the tries of strangers, and the owner still gets in (OWASP, "device cookies").
//! Names that nobody has are counted alike. Kept as keyed hashes, in memory, at most `MOST`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::secret::Secret;

/// Buckets kept at once; beyond it new ones share one.
const MOST: usize = 100_000;

/// How often a full table is swept, at most.
const SWEEP_MS: i64 = 5_000;

/// Tries at once, and how long until one comes back.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: i64,
    refill_ms: i64,
}

/// What tries are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A user's name, from browsers that nobody has signed in with: 10 tries, then one a minute.
    Account,
    /// A client's address (IPv6: its /64): 20 tries, then one every five seconds.
    Address,
    /// A browser that the user has signed in with: 10 tries, then one every 30 seconds.
    Browser,
}

impl By {
    fn rate(self) -> Rate {
        let (burst, refill_ms) = match self {
            By::Account => (10, 60_000),
            By::Address => (20, 5_000),
            By::Browser => (10, 30_000),
        };
        Rate { burst, refill_ms }
    }
}

struct Bucket {
    rate: Rate,
    /// Tries used, in milliseconds of refill.
    debt_ms: i64,
    at_ms: i64,
}

impl Bucket {
    fn settle(&mut self, now_ms: i64) {
        // A clock that was set back forgives nothing, and locks nobody out.
        let passed = (now_ms - self.at_ms).max(0);
        self.debt_ms = (self.debt_ms - passed).max(0);
        self.at_ms = now_ms;
    }
}

/// All tries.
pub struct Throttle {
    key: Secret,
    most: usize,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    all: HashMap<u64, Bucket>,
    swept_ms: Option<i64>,
}

impl Buckets {
    /// Forgets those that have all their tries again; not for every try of a flood.
    fn sweep(&mut self, now_ms: i64) {
        let is_early = self
            .swept_ms
            .is_some_and(|swept_ms| (now_ms - swept_ms).abs() < SWEEP_MS);
        if !is_early {
            self.swept_ms = Some(now_ms);
            self.all.retain(|_, bucket| {
                bucket.settle(now_ms);
                bucket.debt_ms > 0
            });
        }
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Throttle")
    }
}

impl Throttle {
    /// Makes one; the key that hashes names and addresses lives as long as it does.
    pub fn new() -> Throttle {
        Throttle::keeping(MOST)
    }

    fn keeping(most: usize) -> Throttle {
        Throttle {
            key: Secret::random(),
            most,
            buckets: Mutex::default(),
        }
    }

    /// Takes a try from each of `counted`, or from none of them.
    ///
    /// # Errors
    /// How long until all have one again.
    pub fn take(&self, counted: &[(By, &[u8])], now_ms: i64) -> Result<(), Duration> {
        let keys: Vec<(By, u64)> = counted
            .iter()
            .map(|(by, what)| (*by, self.hash(*by, what)))
            .collect();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.all.len() + keys.len() > self.most {
            buckets.sweep(now_ms);
        }
        let is_full = buckets.all.len() + keys.len() > self.most;
        let buckets = &mut buckets.all;
        let mut wait_ms = 0;
        let mut places = Vec::new();
        for (by, key) in keys {
            // The crowd that finds no room shares one bucket of each kind.
            let key = match is_full && !buckets.contains_key(&key) {
                true => by as u64,
                false => key,
            };
            let rate = by.rate();
            let bucket = buckets.entry(key).or_insert(Bucket {
                rate,
                debt_ms: 0,
                at_ms: now_ms,
            });
            bucket.settle(now_ms);
            let most_ms = rate.burst * rate.refill_ms;
            wait_ms = wait_ms.max(bucket.debt_ms + rate.refill_ms - most_ms);
            places.push(key);
        }
        if wait_ms > 0 {
            return Err(Duration::from_millis(wait_ms.unsigned_abs()));
        }
        for key in places {
            if let Some(bucket) = buckets.get_mut(&key) {
                bucket.debt_ms += bucket.rate.refill_ms;
            }
        }
        Ok(())
    }

    /// Gives back what [`take`](Throttle::take) took: the password was right.
    pub fn give_back(&self, counted: &[(By, &[u8])]) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for (by, what) in counted {
            if let Some(bucket) = buckets.all.get_mut(&self.hash(*by, what)) {
                bucket.debt_ms = (bucket.debt_ms - bucket.rate.refill_ms).max(0);
            }
        }
    }

    fn hash(&self, by: By, what: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(self.key.expose());
        hasher.update(&[by as u8]).update(what);
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(throttle: &Throttle, counted: &[(By, &[u8])], now_ms: i64) -> usize {
        (0..1_000)
            .take_while(|_| throttle.take(counted, now_ms).is_ok())
            .count()
    }

    #[test]
    fn who_guesses_waits_and_the_owner_gets_in() {
        let throttle = Throttle::new();
        // From a thousand addresses: the account's tries are used up all the same.
        let guessed: usize = (0..1_000_u32)
            .map(|n| {
                let counted: [(By, &[u8]); 2] =
                    [(By::Address, &n.to_le_bytes()), (By::Account, b"anna")];
                usize::from(throttle.take(&counted, 0).is_ok())
            })
            .sum();
        assert_eq!(guessed, 10);
        assert_eq!(fail(&throttle, &[(By::Account, b"anna")], 59_999), 0);
        assert_eq!(fail(&throttle, &[(By::Account, b"anna")], 60_000), 1);
        // The owner's browser counts for itself.
        assert_eq!(fail(&throttle, &[(By::Browser, b"hers")], 0), 10);
        // A refusal uses nothing up: others at that address go on.
        let stranger: [(By, &[u8]); 2] = [(By::Address, b"x"), (By::Account, b"anna")];
        assert_eq!(fail(&throttle, &stranger, 60_000), 0);
        let other: [(By, &[u8]); 2] = [(By::Address, b"x"), (By::Account, b"bo")];
        assert_eq!(fail(&throttle, &other, 60_000), 10);
    }

    #[test]
    fn a_right_password_costs_nothing_and_a_wait_is_told() {
        let throttle = Throttle::new();
        let counted: [(By, &[u8]); 1] = [(By::Account, b"anna")];
        for _ in 0..100 {
            throttle.take(&counted, 0).unwrap();
            throttle.give_back(&counted);
        }
        assert_eq!(fail(&throttle, &counted, 0), 10);
        assert_eq!(
            throttle.take(&counted, 15_000),
            Err(Duration::from_secs(45))
        );
        // A clock set back by a year locks nobody out for a year.
        assert_eq!(fail(&throttle, &counted, -31_536_000_000), 0);
        assert_eq!(fail(&throttle, &counted, -31_536_000_000 + 600_000), 10);
    }

    #[test]
    fn a_flood_keeps_memory_flat() {
        let most = 1_000;
        let throttle = Throttle::keeping(most);
        let mut let_in = 0;
        for n in 0..20 * most as u64 {
            let counted: [(By, &[u8]); 1] = [(By::Address, &n.to_le_bytes())];
            let_in += usize::from(throttle.take(&counted, 0).is_ok());
        }
        assert!(throttle.buckets.lock().unwrap().all.len() <= most + 3);
        assert!(let_in <= most + 20, "{let_in}");
        // Once their tries are back, they are forgotten, and there is room for others.
        let late: [(By, &[u8]); 1] = [(By::Address, b"late")];
        assert_eq!(fail(&throttle, &late, 50_000), 20);
        assert_eq!(
            throttle.buckets.lock().unwrap().all.len(),
            2,
            "late, and the crowd"
        );
    }
}
