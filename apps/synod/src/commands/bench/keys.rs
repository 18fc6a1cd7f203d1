//! Which key each request is about.

use bytes::Bytes;
use synod_engine::Random;

use super::Distribution;

/// How often the key of rank n is drawn: in proportion to n^-0.99, as in the YCSB benchmarks.
const EXPONENT: f64 = 0.99;

/// All keys, and how often each is drawn.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    count: u64,
    /// The share of draws that fall on a key up to each; empty if all are drawn alike.
    shares: std::sync::Arc<[f64]>,
}

impl Keys {
    pub(super) fn new(count: u64, distribution: Distribution) -> Self {
        let shares = match distribution {
            Distribution::Uniform => Vec::new(),
            Distribution::Zipf => {
                let mut sum = 0.0;
                let sums = (1..=count).map(|rank| {
                    sum += (rank as f64).powf(-EXPONENT);
                    sum
                });
                let sums: Vec<f64> = sums.collect();
                sums.iter().map(|part| part / sum).collect()
            }
        };
        Self { count, shares: shares.into() }
    }

    /// Draws a key.
    pub(super) fn draw(&self, random: &mut Random) -> Bytes {
        if self.shares.is_empty() {
            return name(random.below(self.count));
        }
        let draw = share(random);
        let rank = self.shares.partition_point(|share| *share < draw) as u64;
        name(rank.min(self.count - 1))
    }
}

/// The name of a key: 12 bytes.
pub(super) fn name(key: u64) -> Bytes {
    format!("key-{key:08}").into()
}

/// A number from 0 to 1.
pub(super) fn share(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn count(distribution: Distribution) -> BTreeMap<Bytes, u32> {
        let (keys, mut random) = (Keys::new(100, distribution), Random::new(3));
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(keys.draw(&mut random)).or_default() += 1;
        }
        counts
    }

    #[test]
    fn uniform_draws_fall_on_all_keys_alike() {
        let counts = count(Distribution::Uniform);
        assert_eq!(counts.len(), 100);
        assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn zipf_draws_follow_the_law() {
        let counts = count(Distribution::Zipf);
        let (first, tenth) = (counts[&name(0)], counts[&name(9)]);
        let ratio = f64::from(first) / f64::from(tenth);
        let law = 10f64.powf(EXPONENT);
        assert!((ratio / law - 1.0).abs() < 0.15, "{ratio} instead of {law}");
    }
}
