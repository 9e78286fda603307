//! How long is waited before something is tried again: never in step with other collectors.
//!
//! Comes in: the longest that may be waited. Goes out: between half of it and all of it, evenly. Collectors that met
//! once (at ClickHouse coming back, at a claim both wanted at the same moment) would meet each time without it.

use std::time::Duration;

use crate::secret::random_bytes;

/// Returns a random time from half of `longest` to `longest`.
pub fn up_to(longest: Duration) -> Duration {
    let part = f64::from(u16::from_le_bytes(random_bytes())) / f64::from(u16::MAX);
    longest.mul_f64(0.5 + 0.5 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_waits_differ_and_stay_within_half_and_whole() {
        let longest = Duration::from_secs(15);
        let waits: std::collections::BTreeSet<_> = (0..64).map(|_| up_to(longest)).collect();
        assert!(waits.len() > 32, "{waits:?}");
        let (Some(first), Some(last)) = (waits.first(), waits.last()) else {
            panic!("no waits");
        };
        assert!(*first >= longest / 2 && *last <= longest, "{waits:?}");
    }
}
