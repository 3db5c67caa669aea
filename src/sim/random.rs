//! [`Random`]: draws that are the same on every machine, in every version.
//!
//! A failing seed is worth keeping only if it fails tomorrow too. So the stream is that of
//! ChaCha, which is a published function (RFC 8439). Everything made of it uses integers, or
//! operations that IEEE 754 defines to the last bit. It uses no `ln` and no `sin`, because
//! their last digits differ between libraries.
//!
//! Each part of a world draws from a stream of its own, numbered under the same seed. If a fault
//! or a node is taken away, the others still draw the same numbers. So a failing scenario can
//! be reduced.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub(super) use crate::timestamp::duration_nanos_i64 as nanos;

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// Stream number `stream` under `seed`.
    pub fn new(seed: u64, stream: u64) -> Random {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Random(rng)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`; 0 if that is 0.
    ///
    /// The upper half of a product: for limits below 2³² no number is
    /// preferred by more than one in 2³².
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `least` to `most`, both included. `least` if `most` is smaller.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let span = most.max(least).abs_diff(least);
        let drawn = if span == u64::MAX { self.bits() } else { self.below(span + 1) };
        least.wrapping_add_unsigned(drawn)
    }

    /// A duration from `least` to `most`, in nanoseconds.
    pub fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (nanos(least), nanos(most));
        Duration::from_nanos(self.between(least, most).unsigned_abs())
    }

    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// From 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From −1 to 1.
    pub fn signed_unit(&mut self) -> f64 {
        self.unit() * 2.0 - 1.0
    }

    /// Exponentially distributed with this mean, by von Neumann's method of
    /// 1951, which compares uniform draws and needs no logarithm.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        // Beyond 40 means lies one draw in 10^17.
        for whole in 0..40u32 {
            let first = self.unit();
            let mut last = first;
            let mut falling = 1u32;
            loop {
                let next = self.unit();
                if next >= last {
                    break;
                }
                last = next;
                falling += 1;
            }
            if falling % 2 == 1 {
                return scaled(mean, f64::from(whole) + first);
            }
        }
        mean * 40
    }

    /// At least `scale`, and beyond `x` times that in one draw of `x²`: a Pareto
    /// tail with no variance, which is what delays in shared networks look like.
    pub fn heavy_tail(&mut self, scale: Duration) -> Duration {
        scaled(scale, 1.0 / (1.0 - self.unit()).sqrt())
    }

    /// One of `choices`; `None` if there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len() as u64) as usize)
    }
}

/// `duration * factor`, cut to whole nanoseconds: how `Duration::mul_f64` rounds has changed before.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::from_nanos((nanos(duration) as f64 * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        // From the keystream of ChaCha8 itself; a new version that changes these
        // numbers makes every kept seed worthless.
        let mut random = Random::new(7, 3);
        let drawn: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(drawn, [12228748295295190366, 9306390978737893962, 13577759650421556749]);
    }

    #[test]
    fn streams_of_one_seed_and_seeds_of_one_stream_differ() {
        let first = |seed, stream| Random::new(seed, stream).bits();
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }

    #[test]
    fn draws_stay_within_their_limits() {
        let mut random = Random::new(1, 1);
        for _ in 0..10_000 {
            assert!(random.below(7) < 7);
            assert!((-3..=3).contains(&random.between(-3, 3)));
            assert!(random.heavy_tail(Duration::from_millis(1)) >= Duration::from_millis(1));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.between(5, 5), 5);
        random.between(i64::MIN, i64::MAX);
    }

    #[test]
    fn exponential_draws_have_the_mean_and_the_spread_of_their_law() {
        let mut random = Random::new(2, 1);
        let mean = Duration::from_micros(100);
        let drawn: Vec<f64> =
            (0..100_000).map(|_| random.exponential(mean).as_secs_f64() * 1e4).collect();
        let average = drawn.iter().sum::<f64>() / 1e5;
        assert!((average - 1.0).abs() < 0.02, "{average}");
        let beyond_two = drawn.iter().filter(|&&x| x > 2.0).count() as f64 / 1e5;
        assert!((beyond_two - 0.1353).abs() < 0.005, "{beyond_two}");
    }
}
