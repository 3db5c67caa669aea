//! [`Planner`]: what to do now, so as to be there when a moment has passed.
//!
//! Pure: the present interval goes in and a step comes out. The blocking wait,
//! the timer of the asynchronous ones and a simulator decide by it alike.

use std::time::Duration;

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// Parts in a million.
const MILLION: u64 = 1_000_000;

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The moment has certainly passed: nothing is left to wait for.
    Passed,
    /// It passes so soon that to sleep would overshoot it. About so much is left.
    Spin(Duration),
    /// Sleep so long on a monotonic clock, then read the clock and plan again.
    Sleep(Duration),
    /// It cannot pass in the time that is left, whatever evidence may come.
    /// `soonest` is the least time that it takes; `None`: it never passes.
    Impossible {
        /// The least time on a monotonic clock until it can have passed.
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
/// let planner = Planner { drift_ppm: 0, ..Planner::default() };
///
/// // `after(1000 µs)` holds in 1000.001 µs: sleep up to the margin, then spin.
/// let margin = planner.margin;
/// let sleep = Duration::from_nanos(1_000_001) - margin;
/// assert_eq!(planner.step(now, micros(1_000), None), Step::Sleep(sleep));
/// assert_eq!(planner.step(now, micros(-1), None), Step::Passed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planner {
    /// How far the monotonic clock's rate may be from that of true time.
    pub drift_ppm: u32,
    /// For how long may be spun yet. With 0 every step is a sleep.
    pub spin: Duration,
    /// How much before the moment a sleep is to end; at most `spin` is used.
    pub margin: Duration,
    /// The longest sleep: evidence that comes meanwhile may let the moment pass sooner.
    pub relook: Duration,
}

impl Default for Planner {
    /// 200 ppm, 150 µs, 100 µs, 5 ms.
    fn default() -> Planner {
        Planner {
            drift_ppm: 200,
            spin: Duration::from_micros(150),
            margin: Duration::from_micros(100),
            relook: Duration::from_millis(5),
        }
    }
}

impl Planner {
    /// What to do at `now` about `target`, with `left` to the deadline if there is one.
    ///
    /// `after(target)` holds once `earliest > target`. With the bound as it is,
    /// `earliest` gets there when true time has gone on by `target - earliest`
    /// and a nanosecond. The sleep is that, less the drift, less the margin: it
    /// ends too early rather than too late, and then the rest is planned anew.
    ///
    /// Better evidence can raise `earliest` at any time, but never above true
    /// time, and that is no later than `latest` now. So the moment cannot pass
    /// before true time has gone on by `target - latest` and a nanosecond. Only
    /// if that is more than `left` is the wait impossible.
    pub fn step(&self, now: Interval, target: Timestamp, left: Option<Duration>) -> Step {
        if now.earliest() > target {
            return Step::Passed;
        }
        if target == Timestamp::MAX {
            return Step::Impossible { soonest: None }; // nothing is after it
        }
        let soonest = self.at_least(until_after(target, now.latest()));
        if left.is_some_and(|left| soonest > left) {
            return Step::Impossible { soonest: Some(soonest) };
        }
        let expected = until_after(target, now.earliest());
        if expected <= self.spin {
            return Step::Spin(expected);
        }
        let sleep = self.at_least(expected).saturating_sub(self.margin.min(self.spin));
        if sleep.is_zero() && !self.spin.is_zero() {
            return Step::Spin(expected);
        }
        // Never nothing: a caller that may not spin must not spin through sleeps of no length.
        let sleep = sleep.min(self.relook).max(Duration::from_nanos(1));
        Step::Sleep(left.map_or(sleep, |left| sleep.min(left)))
    }

    /// The least that a monotonic clock shows while true time goes on by `true_time`.
    fn at_least(&self, true_time: Duration) -> Duration {
        let slowest = MILLION.saturating_sub(u64::from(self.drift_ppm));
        let nanos = true_time.as_nanos() * u128::from(slowest) / u128::from(MILLION);
        // The factor is at most 1 and a span of timestamps fits 64 bits.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The true time from `from` until `target` has passed: zero if it has.
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
    fn what_is_planned() {
        let us = Duration::from_micros;
        let ns = Duration::from_nanos;
        let plain = Planner { drift_ppm: 0, ..Planner::default() };
        let no_spin = Planner { spin: Duration::ZERO, ..plain };
        let drifting = Planner { drift_ppm: 100_000, ..plain };
        let broken = Planner { drift_ppm: u32::MAX, ..plain };
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
            (plain, i64::MAX - 1, None, Step::Sleep(plain.relook)),
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
            a: i64, b: i64, target: i64, drift_ppm in 0u32..2_000_000, spin in 0u64..1_000_000,
            relook in 1u64..u64::MAX,
        ) {
            let now = span(a.min(b), a.max(b));
            let planner = Planner {
                drift_ppm,
                spin: Duration::from_nanos(spin),
                relook: Duration::from_nanos(relook),
                ..Planner::default()
            };
            match planner.step(now, Timestamp::from_tai_nanos(target), None) {
                Step::Passed => prop_assert!(now.earliest().tai_nanos() > target),
                Step::Sleep(sleep) => {
                    // The monotonic clock is as slow as it may be: true time goes on the most.
                    let rate = u128::from(1_000_000u32.saturating_sub(drift_ppm));
                    let missing = i128::from(target) - i128::from(now.earliest().tai_nanos()) + 1;
                    let slept = sleep.as_nanos();
                    prop_assert!(slept * 1_000_000 <= missing as u128 * rate || slept == 1);
                    prop_assert!(slept >= 1 && slept <= u128::from(relook));
                }
                Step::Spin(_) => prop_assert!(spin > 0),
                Step::Impossible { soonest } => prop_assert!(soonest.is_none() && target == i64::MAX),
            }
        }
    }
}
