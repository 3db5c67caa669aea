//! [`Window`]: how far ahead of the stamps the mark is written.
//!
//! A higher mark is asked for when half of the window is left, and it takes the store some time
//! to write it. If that is longer than the half, every thread waits, in each window again. So
//! the window is at least four times as long as the store has taken: two of these are left
//! when the write begins, and one when it ends.
//!
//! A restarted node waits until the mark has passed. So the window has a maximum, and with a
//! store that is slower than a quarter of it, stamps do wait.

use std::time::Duration;

use crate::timestamp::duration_nanos;

/// How many latencies of the store a window has.
const LATENCIES: u32 = 4;

/// The longest window that a slow store makes.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// How far ahead of the stamps the mark is written.
#[derive(Debug)]
pub(super) struct Window {
    asked: Duration,
    /// The longest that a write took lately.
    latency: Duration,
}

impl Window {
    pub(super) fn new(asked: Duration) -> Window {
        Window { asked, latency: Duration::ZERO }
    }

    /// A write took this long.
    pub(super) fn took(&mut self, took: Duration) {
        // The greatest is what threads would wait for, so it is forgotten slowly.
        self.latency = took.max(self.latency - self.latency / 8);
    }

    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    /// How far ahead of the stamps the mark is written now.
    pub(super) fn length(&self) -> Duration {
        if self.asked.is_zero() {
            return Duration::ZERO; // every stamp is written, as was asked for
        }
        self.asked.max(self.latency.saturating_mul(LATENCIES).min(LONGEST))
    }

    pub(super) fn nanos(&self) -> u64 {
        duration_nanos(self.length())
    }

    /// The longest that a mark of an earlier run can be ahead, whatever its store took.
    pub(super) fn longest(&self) -> Duration {
        self.asked.max(LONGEST)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_stores_latency_up_to_a_maximum() {
        let ms = Duration::from_millis;
        // the window asked for, what the writes took, the window then: in milliseconds
        let cases: &[(u64, &[u64], u64)] = &[
            (1_000, &[], 1_000),
            (1_000, &[5, 250], 1_000),
            (1_000, &[1_200], 4_800),
            (1_000, &[1_200, 0], 4_200),
            (1_000, &[1_200, 1_300, 5], 4_550),
            (1_000, &[60_000], 10_000),
            (30_000, &[60_000], 30_000),
            (0, &[1_200], 0),
        ];
        for &(asked, writes, expected) in cases {
            let mut window = Window::new(ms(asked));
            writes.iter().for_each(|&took| window.took(ms(took)));
            assert_eq!(window.length(), ms(expected), "{asked} after {writes:?}");
            assert!(window.length() <= window.longest());
        }
    }

    #[test]
    fn a_latency_is_forgotten_in_the_end() {
        let mut window = Window::new(Duration::from_secs(1));
        window.took(Duration::from_secs(60));
        (0..100).for_each(|_| window.took(Duration::from_millis(1)));
        assert_eq!(window.length(), Duration::from_secs(1));
    }
}
