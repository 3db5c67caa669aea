//! [`CounterLimits`]: how far our own counter may be wrong, and how evidence ages by it.

use std::time::Duration;

use crate::counter::DEFAULT_MAX_DRIFT_PPM;
use crate::timestamp::{Timestamp, duration_from_nanos};

const MILLION: u128 = 1_000_000;

/// What is assumed of our own counter, which carries evidence from one moment to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "pass it to `PeerLimits::counter`"]
pub struct CounterLimits {
    max_drift_ppm: u32,
    step: Duration,
}

impl Default for CounterLimits {
    fn default() -> CounterLimits {
        CounterLimits { max_drift_ppm: DEFAULT_MAX_DRIFT_PPM, step: Duration::from_micros(1) }
    }
}

impl CounterLimits {
    /// How far the counter's rate may be from true, in parts per million. Default 200.
    pub fn max_drift_ppm(self, max_drift_ppm: u32) -> CounterLimits {
        CounterLimits { max_drift_ppm, ..self }
    }

    /// The step by which readings grow. A difference of two readings may be off by one step.
    ///
    /// Default 1 µs, more than the step of any Linux clock that is not "coarse".
    pub fn step(self, step: Duration) -> CounterLimits {
        CounterLimits { step, ..self }
    }

    /// A lower bound of true time when the counter shows `to`, if `t` is one when it shows
    /// `from`.
    pub(super) fn carry_earliest(&self, t: Timestamp, from: Duration, to: Duration) -> Timestamp {
        if t == Timestamp::MIN {
            return t; // it means "this or any moment before", which cannot be moved forward
        }
        match to.checked_sub(from) {
            Some(elapsed) => t.saturating_add(self.at_least(elapsed)),
            None => t.saturating_sub(self.at_most(from - to)),
        }
    }

    /// An upper bound of true time when the counter shows `to`, if `t` is one when it shows
    /// `from`.
    pub(super) fn carry_latest(&self, t: Timestamp, from: Duration, to: Duration) -> Timestamp {
        if t == Timestamp::MAX {
            return t; // it means "this or any moment after", which cannot be moved back
        }
        match to.checked_sub(from) {
            Some(elapsed) => t.saturating_add(self.at_most(elapsed)),
            None => t.saturating_sub(self.at_least(from - to)),
        }
    }

    /// The least true time in which the counter can advance by `elapsed`.
    ///
    /// A drift of ρ may mean ticks per second or seconds per tick, which differ by ρ². This
    /// function and `at_most` use the reading that allows for more.
    fn at_least(&self, elapsed: Duration) -> Duration {
        let nanos = elapsed.saturating_sub(self.step).as_nanos();
        duration_from_nanos(nanos.saturating_mul(self.min_rate()) / MILLION)
    }

    /// The most true time in which the counter can advance by `elapsed`.
    fn at_most(&self, elapsed: Duration) -> Duration {
        let nanos = elapsed.saturating_add(self.step).as_nanos();
        match self.min_rate() {
            0 => Duration::MAX, // a counter that may stand still bounds nothing
            rate => duration_from_nanos(nanos.saturating_mul(MILLION).div_ceil(rate)),
        }
    }

    /// The least rate that the counter may have, in millionths.
    fn min_rate(&self) -> u128 {
        MILLION.saturating_sub(u128::from(self.max_drift_ppm))
    }
}
