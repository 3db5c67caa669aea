//! [`Planner`]: what a wait does next, so that it ends when its moment has passed.
//!
//! It is a pure function: the present interval goes in and a step comes out. The
//! blocking wait and the timer of the asynchronous waits both decide by it, and a
//! simulator can too.

use std::time::Duration;

use crate::counter::DEFAULT_MAX_DRIFT_PPM;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// Parts in a million.
const MILLION: u64 = 1_000_000;

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The moment has certainly passed, so the wait is over.
    Passed,
    /// The moment passes so soon that a sleep would overshoot it. This is about the
    /// time that is left.
    Spin(Duration),
    /// Sleep this long on a monotonic clock, then read the clock and plan again.
    Sleep(Duration),
    /// The moment cannot pass in the time that is left, even with the best possible
    /// evidence.
    Impossible {
        /// The least time on a monotonic clock until it can have passed. `None` means
        /// that it never passes.
        soonest: Option<Duration>,
    },
}

/// How a wait is planned.
///
/// ```
/// use std::time::Duration;
/// use truechimer::wait::{Planner, Step};
/// use truechimer::{Interval, Timestamp};
///
/// let micros = |us: i64| Timestamp::from_tai_nanos(us * 1_000);
/// let now = Interval::new(micros(0), micros(1_000)).unwrap();
/// let planner = Planner { max_drift_ppm: 0, ..Planner::default() };
///
/// // `after(1000 µs)` holds in 1000.001 µs: sleep up to the margin, then spin.
/// let margin = planner.margin;
/// let sleep = Duration::from_nanos(1_000_001) - margin;
/// assert_eq!(planner.step(now, micros(1_000), None), Step::Sleep(sleep));
/// assert_eq!(planner.step(now, micros(-1), None), Step::Passed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planner {
    /// How far the monotonic clock's rate may be from that of true time, in parts
    /// per million.
    pub max_drift_ppm: u32,
    /// How long the wait may still spin. With 0 every step is a sleep.
    pub spin: Duration,
    /// How long before the moment a sleep should end. At most `spin` of it is used.
    pub margin: Duration,
    /// The longest sleep. New evidence may let the moment pass sooner, so the clock
    /// must be read again now and then.
    pub max_sleep: Duration,
}

impl Default for Planner {
    /// 200 ppm, 150 µs, 100 µs, 5 ms.
    fn default() -> Planner {
        Planner {
            max_drift_ppm: DEFAULT_MAX_DRIFT_PPM,
            spin: Duration::from_micros(150),
            margin: Duration::from_micros(100),
            max_sleep: Duration::from_millis(5),
        }
    }
}

impl Planner {
    /// What to do at `now` about `target`, with `left` until the deadline if there is one.
    ///
    /// `after(target)` holds once `earliest > target`. If the bound stays as it is,
    /// that is when true time has advanced by `target - earliest` and a nanosecond.
    /// The sleep is that time, less the drift and less the margin. So it ends too
    /// early rather than too late, and the rest is planned again.
    ///
    /// Better evidence can raise `earliest` at any time, but never above true time,
    /// which is at most `latest` now. So the moment cannot pass before true time has
    /// advanced by `target - latest` and a nanosecond. The wait is impossible only if
    /// that is more than `left`.
    pub fn step(&self, now: Interval, target: Timestamp, left: Option<Duration>) -> Step {
        if now.earliest() > target {
            return Step::Passed;
        }
        if target == Timestamp::MAX {
            return Step::Impossible { soonest: None }; // no timestamp is after it
        }
        let soonest = self.least_monotonic(until_after(target, now.latest()));
        if left.is_some_and(|left| soonest > left) {
            return Step::Impossible { soonest: Some(soonest) };
        }
        let expected = until_after(target, now.earliest());
        if expected <= self.spin {
            return Step::Spin(expected);
        }
        let sleep = self.least_monotonic(expected).saturating_sub(self.margin.min(self.spin));
        if sleep.is_zero() && !self.spin.is_zero() {
            return Step::Spin(expected);
        }
        // At least a nanosecond, or a wait that may not spin would spin through empty sleeps.
        let sleep = sleep.min(self.max_sleep).max(Duration::from_nanos(1));
        Step::Sleep(left.map_or(sleep, |left| sleep.min(left)))
    }

    /// The least that a monotonic clock advances while true time advances by `true_time`.
    fn least_monotonic(&self, true_time: Duration) -> Duration {
        let slowest = MILLION.saturating_sub(u64::from(self.max_drift_ppm));
        let nanos = true_time.as_nanos() * u128::from(slowest) / u128::from(MILLION);
        // The factor is at most 1, and a difference of timestamps fits 64 bits.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The true time from `from` until `target` has passed. Zero if it has passed already.
fn until_after(target: Timestamp, from: Timestamp) -> Duration {
    match target.duration_since(from) {
        Some(gap) => gap.saturating_add(Duration::from_nanos(1)),
        None => Duration::ZERO,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(earliest: i64, latest: i64) -> Interval {
        let [a, b] = [earliest, latest].map(Timestamp::from_tai_nanos);
        Interval::new(a, b).expect("in order")
    }

    #[test]
    fn each_case_has_its_step() {
        let us = Duration::from_micros;
        let ns = Duration::from_nanos;
        let plain = Planner { max_drift_ppm: 0, ..Planner::default() };
        let no_spin = Planner { spin: Duration::ZERO, ..plain };
        let drifting = Planner { max_drift_ppm: 100_000, ..plain };
        let broken = Planner { max_drift_ppm: u32::MAX, ..plain };
        let at = span(0, 50_000);
        let cases = [
            // planner, target, left, expected
            (plain, -1, None, Step::Passed),
            (plain, 0, None, Step::Spin(ns(1))),
            (plain, 149_999, None, Step::Spin(us(150))),
            (plain, 150_000, None, Step::Sleep(ns(50_001))),
            (plain, 999_999, None, Step::Sleep(us(900))),
            (plain, 999_999, Some(us(960)), Step::Sleep(us(900))),
            (plain, 50_000, Some(ns(1)), Step::Spin(ns(50_001))),
            (plain, 60_000, Some(us(10)), Step::Impossible { soonest: Some(ns(10_001)) }),
            (plain, 999_999, Some(us(949)), Step::Impossible { soonest: Some(us(950)) }),
            (plain, 49_999, Some(us(0)), Step::Spin(us(50))),
            (plain, i64::MAX, None, Step::Impossible { soonest: None }),
            (plain, i64::MAX - 1, None, Step::Sleep(plain.max_sleep)),
            (no_spin, 0, None, Step::Sleep(ns(1))),
            (no_spin, 999, None, Step::Sleep(us(1))),
            (drifting, 999_999, None, Step::Sleep(us(800))),
            (drifting, 999_999, Some(us(855)), Step::Sleep(us(800))),
            (drifting, 999_999, Some(us(854)), Step::Impossible { soonest: Some(us(855)) }),
            (broken, 999_999, None, Step::Spin(us(1_000))),
        ];
        for (planner, target, left, expected) in cases {
            let step = planner.step(at, Timestamp::from_tai_nanos(target), left);
            assert_eq!(step, expected, "{target} with {left:?} by {planner:?}");
        }
    }

    proptest! {
        #[test]
        fn a_sleep_ends_before_the_moment_passes_however_the_clocks_drift(
            a: i64, b: i64, target: i64, max_drift_ppm in 0u32..2_000_000, spin in 0u64..1_000_000,
            max_sleep in 1u64..u64::MAX,
        ) {
            let now = span(a.min(b), a.max(b));
            let planner = Planner {
                max_drift_ppm,
                spin: Duration::from_nanos(spin),
                max_sleep: Duration::from_nanos(max_sleep),
                ..Planner::default()
            };
            match planner.step(now, Timestamp::from_tai_nanos(target), None) {
                Step::Passed => prop_assert!(now.earliest().tai_nanos() > target),
                Step::Sleep(sleep) => {
                    // With the slowest monotonic clock, true time advances the most during the sleep.
                    let rate = u128::from(1_000_000u32.saturating_sub(max_drift_ppm));
                    let missing = i128::from(target) - i128::from(now.earliest().tai_nanos()) + 1;
                    let slept = sleep.as_nanos();
                    prop_assert!(slept * 1_000_000 <= missing as u128 * rate || slept == 1);
                    prop_assert!(slept >= 1 && slept <= u128::from(max_sleep));
                }
                Step::Spin(_) => prop_assert!(spin > 0),
                Step::Impossible { soonest } => prop_assert!(soonest.is_none() && target == i64::MAX),
            }
        }
    }
}
