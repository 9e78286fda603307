//! Chance that can be repeated: the same seed and purpose give the same numbers on every machine.

/// A small generator (splitmix64). Good enough to make traffic up; nothing secret comes from it.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// Begins for one purpose, named by numbers: a day's traffic does not depend on how many days came before.
    pub(super) fn of(seed: u64, purpose: &[u64]) -> Chance {
        let mut chance = Chance(seed);
        for part in purpose {
            chance.0 = chance.number() ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd);
        }
        chance
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, not including, `bound`, which must be above 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((self.unit() * bound as f64) as usize).min(bound - 1)
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// True in this share of cases.
    pub(super) fn is(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Log-normal, as times that people take are: half of them below `median`; `spread` is the logarithm's
    /// standard deviation.
    pub(super) fn around(&mut self, median: f64, spread: f64) -> f64 {
        let (a, b) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        median * (spread * normal).exp()
    }

    /// A whole number whose mean is `mean`: its whole part, and one more as often as the rest says.
    pub(super) fn about(&mut self, mean: f64) -> usize {
        mean.floor() as usize + usize::from(self.is(mean.fract()))
    }

    /// One of a list of values with weights, of which one is above 0.
    pub(super) fn pick<'a, T>(&mut self, weighted: &'a [(T, u32)]) -> &'a T {
        let total: u32 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.below(total.max(1) as usize) as u32;
        for (value, weight) in weighted {
            if rest < *weight {
                return value;
            }
            rest -= weight;
        }
        &weighted[weighted.len() - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_repeats_itself_and_keeps_to_its_shares() {
        let draw = |seed, purpose: &[u64]| {
            let mut chance = Chance::of(seed, purpose);
            (chance.number(), chance.number())
        };
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        assert_ne!(draw(1, &[2, 3]), draw(1, &[3, 2]));
        assert_ne!(draw(1, &[2, 3]), draw(2, &[2, 3]));

        let mut chance = Chance::of(7, &[]);
        let n = 20_000;
        let share = (0..n).filter(|_| chance.is(0.3)).count() as f64 / f64::from(n);
        assert!((0.28..0.32).contains(&share), "{share}");
        let low = (0..n).filter(|_| chance.around(40.0, 0.8) < 40.0).count() as f64 / f64::from(n);
        assert!((0.48..0.52).contains(&low), "{low}");
        let sum: usize = (0..n).map(|_| chance.about(2.25)).sum();
        assert!((2.2..2.3).contains(&(sum as f64 / f64::from(n))), "{sum}");
        let weighted = [("a", 0), ("b", 1), ("c", 3)];
        let picks: Vec<&str> = (0..n).map(|_| *chance.pick(&weighted)).collect();
        assert!(!picks.contains(&"a"));
        let c = picks.iter().filter(|pick| **pick == "c").count() as f64 / f64::from(n);
        assert!((0.73..0.77).contains(&c), "{c}");
    }
}
