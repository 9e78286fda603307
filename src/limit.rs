//! Rate limits per client address and per site.
//!
//! Comes in: a client's address, a site. Goes out: go ahead, or how long to wait. Promises that memory
//! stays flat whatever is sent: addresses are kept as a keyed hash (IPv6 cut to its /64 before), swept
//! when idle, and beyond a cap new addresses share one bucket. governor itself never evicts.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::{Limits, Sites};
use crate::secret::Secret;

/// All limiters. Their clock is monotonic, not the wall clock: a limit is about seconds, not dates.
#[derive(Debug)]
pub struct Limiter {
    key: Secret,
    beacons: Addresses,
    consents: Addresses,
    rights: Addresses,
    sites: Vec<DefaultDirectRateLimiter>,
    site_burst: u32,
}

/// One limit per address.
struct Addresses {
    buckets: DefaultKeyedRateLimiter<u64>,
    /// Where addresses go that find no room of their own.
    shared: DefaultDirectRateLimiter,
    is_full: AtomicBool,
    most: usize,
    burst: u32,
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Addresses({})", self.buckets.len())
    }
}

impl Limiter {
    /// Makes limiters for `sites`; the key that hashes addresses lives as long as they do.
    pub fn new(limits: &Limits, sites: &Sites) -> Limiter {
        let site_quota = Quota::per_second(at_least_one(limits.site_per_second))
            .allow_burst(at_least_one(limits.site_burst));
        let beacons = Quota::per_minute(at_least_one(limits.address_per_minute))
            .allow_burst(at_least_one(limits.address_burst));
        let consents = Quota::per_minute(at_least_one(limits.consent_per_minute));
        let rights = Quota::per_minute(at_least_one(limits.rights_per_minute));
        Limiter {
            key: Secret::random(),
            beacons: Addresses::new(beacons, limits.max_addresses),
            consents: Addresses::new(consents, limits.max_addresses),
            rights: Addresses::new(rights, limits.max_addresses),
            site_burst: limits.site_burst,
            sites: sites
                .iter()
                .map(|_| RateLimiter::direct(site_quota))
                .collect(),
        }
    }

    /// Takes one beacon of `address` (already cut, [`crate::client::cut`]).
    ///
    /// # Errors
    /// How long the sender should wait.
    pub fn beacon(&self, address: IpAddr) -> Result<(), Duration> {
        self.beacons.take(self.hash(address))
    }

    /// Takes `n` beacons of `address` at once: more than its burst as the whole of its burst, since none would ever pass
    /// otherwise.
    ///
    /// # Errors
    /// As [`Limiter::beacon`].
    pub fn beacons(&self, address: IpAddr, n: u32) -> Result<(), Duration> {
        self.beacons.take_many(self.hash(address), n)
    }

    /// Takes `n` beacons for the site at `index`, likewise.
    ///
    /// # Errors
    /// As [`Limiter::beacon`].
    pub fn site_many(&self, index: usize, n: u32) -> Result<(), Duration> {
        match self.sites.get(index) {
            Some(bucket) => direct_many(bucket, at_least_one(n.min(self.site_burst))),
            None => Ok(()),
        }
    }

    /// Takes one consent choice of `address`.
    ///
    /// # Errors
    /// As [`Limiter::beacon`].
    pub fn consent(&self, address: IpAddr) -> Result<(), Duration> {
        self.consents.take(self.hash(address))
    }

    /// Takes one request about rights of `address`.
    ///
    /// # Errors
    /// As [`Limiter::beacon`].
    pub fn rights(&self, address: IpAddr) -> Result<(), Duration> {
        self.rights.take(self.hash(address))
    }

    /// Takes one beacon for the site at `index`.
    ///
    /// # Errors
    /// As [`Limiter::beacon`].
    pub fn site(&self, index: usize) -> Result<(), Duration> {
        match self.sites.get(index) {
            Some(bucket) => direct(bucket),
            None => Ok(()),
        }
    }

    /// Forgets addresses that have been quiet long enough to have their full allowance again.
    pub fn sweep(&self) {
        self.beacons.sweep();
        self.consents.sweep();
        self.rights.sweep();
    }

    /// Returns how many addresses are kept.
    pub fn keys(&self) -> usize {
        self.beacons.buckets.len() + self.consents.buckets.len() + self.rights.buckets.len()
    }

    /// Returns how many addresses of one kind of request are kept at most.
    pub fn most_keys(&self) -> usize {
        self.beacons.most
    }

    fn hash(&self, address: IpAddr) -> u64 {
        let hash = match address {
            IpAddr::V4(v4) => blake3::keyed_hash(self.key.expose(), &v4.octets()),
            IpAddr::V6(v6) => blake3::keyed_hash(self.key.expose(), &v6.octets()),
        };
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

impl Addresses {
    fn new(quota: Quota, most: usize) -> Addresses {
        Addresses {
            buckets: RateLimiter::keyed(quota),
            // One crowd: ten times what a single address may do.
            shared: RateLimiter::direct(
                Quota::per_minute(quota.burst_size().saturating_mul(TEN))
                    .allow_burst(quota.burst_size()),
            ),
            is_full: AtomicBool::new(false),
            most,
            burst: quota.burst_size().get(),
        }
    }

    fn take(&self, key: u64) -> Result<(), Duration> {
        self.take_many(key, 1)
    }

    fn take_many(&self, key: u64, n: u32) -> Result<(), Duration> {
        let n = at_least_one(n.min(self.burst));
        // When full, only the sweep opens it again. Addresses known by then keep using the shared bucket
        // as well: telling them apart would need the look-up that inserts.
        if self.is_full.load(Ordering::Relaxed) {
            return direct_many(&self.shared, n);
        }
        let taken = self
            .buckets
            .check_key_n(&key, n)
            // More than the bucket holds is never asked for.
            .unwrap_or(Ok(()))
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()));
        // Counting locks every shard in turn, so only one request in 64 does it; the cap may be passed
        // by that much.
        if key.is_multiple_of(64) && self.buckets.len() >= self.most {
            self.is_full.store(true, Ordering::Relaxed);
        }
        taken
    }

    fn sweep(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
        self.is_full
            .store(self.buckets.len() >= self.most, Ordering::Relaxed);
    }
}

const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();

fn direct(bucket: &DefaultDirectRateLimiter) -> Result<(), Duration> {
    bucket
        .check()
        .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
}

fn direct_many(bucket: &DefaultDirectRateLimiter, n: NonZeroU32) -> Result<(), Duration> {
    bucket
        .check_n(n)
        // As above.
        .unwrap_or(Ok(()))
        .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(max_addresses: usize) -> Limiter {
        let limits = Limits {
            address_per_minute: 60,
            address_burst: 3,
            site_per_second: 1,
            site_burst: 5,
            consent_per_minute: 2,
            rights_per_minute: 2,
            max_addresses,
            event_ids: 1_000,
        };
        let text = "[[site]]\nid = \"a\"\ndomains = [\"a.test\"]\n";
        let sites = crate::config::load::from_text(text, "test", &Default::default())
            .unwrap()
            .1
            .sites;
        Limiter::new(&limits, &sites)
    }

    #[test]
    fn an_address_gets_its_burst_and_then_waits() {
        let limiter = limiter(1_000);
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            limiter.beacon(address).unwrap();
        }
        let wait = limiter.beacon(address).unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        limiter.beacon("192.0.2.2".parse().unwrap()).unwrap();
        assert!((0..9).filter(|_| limiter.site(0).is_ok()).count() >= 5);
        assert!(limiter.site(0).is_err());
    }

    #[test]
    fn a_flood_of_addresses_cannot_grow_memory() {
        let limiter = limiter(1_000);
        let mut refused = 0;
        for n in 0..200_000u32 {
            if limiter.beacon(IpAddr::V4(n.into())).is_err() {
                refused += 1;
            }
        }
        assert!(limiter.keys() < 2_000, "{}", limiter.keys());
        assert!(refused > 100_000, "the crowd shares one bucket: {refused}");
    }
}
