//! [`Margin`]: how late a sleeper of this host wakes, learnt from how late it woke.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where learning begins: what a quiet virtual machine comes to.
const FIRST: u64 = 80_000;

/// A running estimate of a high quantile of the lateness.
///
/// Up by a quarter of what was missing, down by a 64th of what was too much: it
/// settles where one wake in seventeen or so is later. A mean would be too low half
/// of the time, and an estimate of the worst would spin for milliseconds after
/// one bad day. The word is a guess that any thread may overwrite, so it is no
/// part of what loom explores.
#[derive(Debug)]
pub(super) struct Margin(AtomicU64);

impl Margin {
    pub(super) const fn new() -> Margin {
        Margin(AtomicU64::new(FIRST))
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// A sleep ended `late` after it should have. What is beyond `limit` could
    /// not have been spun away, and teaches no more than `limit` does.
    pub(super) fn learn(&self, late: Duration, limit: Duration) {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let (late, guess) = (nanos(late.min(limit)), self.0.load(Ordering::Relaxed));
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
            // A lateness spread evenly up to `latest`, in an order that has no trend.
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
    fn one_sleep_that_ended_hours_late_teaches_no_more_than_the_limit() {
        let margin = Margin::new();
        margin.learn(Duration::MAX, Duration::from_micros(150));
        assert!(margin.get() <= Duration::from_micros(150));
    }
}
