//! [`Margin`]: how late sleepers wake on this host, learned from how late they woke.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::timestamp::duration_nanos;

/// The first estimate, in nanoseconds: what a quiet virtual machine settles at.
const FIRST: u64 = 80_000;

/// A running estimate of a high quantile of the lateness.
///
/// It rises by a quarter of what was missing and falls by a 64th of what was too
/// much. So it settles where about one wake in seventeen is later. A mean would be
/// too low half of the time, and an estimate of the maximum would spin for
/// milliseconds after one bad sleep. Any thread may overwrite the word, because it
/// is only a guess; so the loom models leave it out.
#[derive(Debug)]
pub(super) struct Margin(AtomicU64);

impl Margin {
    pub(super) const fn new() -> Margin {
        Margin(AtomicU64::new(FIRST))
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// A sleep ended `late` after it should have. Lateness beyond `limit` counts as
    /// `limit`, because no wait spins for longer than that.
    pub(super) fn learn(&self, late: Duration, limit: Duration) {
        let (late, guess) = (duration_nanos(late.min(limit)), self.0.load(Ordering::Relaxed));
        let next = if late > guess {
            guess + (late - guess) / 4
        } else {
            guess - (guess - late).div_ceil(64)
        };
        self.0.store(next, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_settles_at_a_high_quantile_and_follows_the_host() {
        let margin = Margin::new();
        let us = Duration::from_micros;
        let learn = |latest: u64| {
            // Lateness is spread evenly up to `latest`, in an order without a trend.
            for i in 0..10_000u64 {
                margin.learn(us(i * 7_919 % latest), us(10_000));
            }
            margin.get()
        };
        let quiet = learn(50);
        assert!(quiet > us(30) && quiet < us(50), "{quiet:?}");
        let busy = learn(500);
        assert!(busy > us(300) && busy < us(500), "{busy:?}");
        let again = learn(50);
        assert!(again > us(30) && again < us(50), "{again:?}");
    }

    #[test]
    fn a_sleep_that_ended_hours_late_counts_as_the_limit() {
        let margin = Margin::new();
        margin.learn(Duration::MAX, Duration::from_micros(150));
        assert!(margin.get() <= Duration::from_micros(150));
    }
}
