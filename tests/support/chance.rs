//! Chance that can be repeated: the seed is printed, and `BRINE_TEST_SEED` sets it.

use std::time::Duration;

/// A small generator (splitmix64); good enough to choose moments.
pub struct Chance(u64);

impl Chance {
    /// Begins with the seed of the environment, or a fresh one, and prints it.
    pub fn new(test: &str) -> Chance {
        let given = std::env::var("BRINE_TEST_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().expect("BRINE_TEST_SEED is a number"),
            None => u64::from_le_bytes(brine::secret::random_bytes()),
        };
        eprintln!("{test}: BRINE_TEST_SEED={seed}");
        Chance(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A moment between `low` and `high` milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.below(high - low))
    }
}
