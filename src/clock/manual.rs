//! [`ManualClock`]: a clock that a test moves by hand.
//!
//! A test that reads real time depends on how busy its machine is. Here the test
//! itself says what time it is, how uncertain, and when the clock fails. Time
//! stands still in between, so each run of the test sees the same readings.
//!
//! # Injecting clock faults
//!
//! - *One component*: give it a [`ManualClock`], and make it fail, widen or stand still.
//! - *A cluster*: run it in the simulator (feature `sim`), where machines are stepped,
//!   suspended, migrated and restored, and each reading is compared with true time.
//! - *A whole process, from outside*, as Jepsen does it with libfaketime: the process is then shown
//!   another wall clock than the kernel keeps. [`Clock`](crate::Clock) compares the two and has no
//!   time ([`Reason::ShownOtherTime`](crate::Reason::ShownOtherTime)) from its next poll on. Such a
//!   test shows what the program does without time, and not what it does with a wrong time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::changes::Changes;
use super::truetime::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;

/// A clock that stands still until it is moved.
///
/// Clones share one time: give one to the code under test and keep another to
/// move it. Every move wakes the waits that sleep on the clock
/// ([`Waiter`](crate::Waiter), blocking and async), which then read it at once.
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Interval, ManualClock, Timestamp, TrueTime};
///
/// let at = Timestamp::from_tai_nanos;
/// let clock = ManualClock::new(Interval::new(at(100), at(200)).unwrap());
/// let shared = clock.clone(); // for the code under test
///
/// assert!(shared.after(at(99))?);
/// assert!(!shared.after(at(150))? && !shared.before(at(150))?); // not known
///
/// clock.advance(Duration::from_nanos(51));
/// assert!(shared.after(at(150))?);
/// # Ok::<(), truechimer::ClockError>(())
/// ```
#[derive(Clone)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

struct Shared {
    /// Exchanged without a lock, so that a forked child can read and move its copy.
    reading: ArcSwap<Result<Interval, ClockError>>,
    changes: Changes,
}

impl ManualClock {
    /// A clock that reads `now` until it is moved.
    #[must_use]
    pub fn new(now: Interval) -> ManualClock {
        let shared = Shared { reading: ArcSwap::from_pointee(Ok(now)), changes: Changes::new() };
        ManualClock { shared: Arc::new(shared) }
    }

    /// Reads `now` from now on. It may be earlier than before, or narrower or wider.
    ///
    /// This is also what ends a failure.
    pub fn set(&self, now: Interval) {
        self.update(|_| Ok(now));
    }

    /// Moves both ends of the interval forward by `by`. They stop at
    /// [`Timestamp::MAX`](crate::Timestamp::MAX).
    ///
    /// On a clock that has failed this does nothing: it has no time that could
    /// go on, and only [`set`](Self::set) gives it one.
    pub fn advance(&self, by: Duration) {
        self.update_interval(|now| {
            let [earliest, latest] =
                [now.earliest(), now.latest()].map(|end| end.saturating_add(by));
            // Both ends saturate at one value, so they stay in order.
            Interval::new(earliest, latest).unwrap_or(now)
        });
    }

    /// Moves both ends of the interval outward by `by`, so that its width grows by twice that.
    ///
    /// On a clock that has failed this does nothing, as with [`advance`](Self::advance).
    pub fn widen(&self, by: Duration) {
        self.update_interval(|now| now.widen(by));
    }

    /// Every reading is this error from now on, until [`set`](Self::set) gives a time.
    pub fn fail(&self, error: ClockError) {
        self.update(|_| Err(error));
    }

    fn update_interval(&self, change: impl Fn(Interval) -> Interval) {
        self.update(|reading| reading.map(&change));
    }

    fn update(
        &self,
        change: impl Fn(Result<Interval, ClockError>) -> Result<Interval, ClockError>,
    ) {
        self.shared.reading.rcu(|reading| change(**reading));
        self.shared.changes.notify();
    }
}

impl TrueTime for ManualClock {
    fn now(&self) -> Result<Interval, ClockError> {
        **self.shared.reading.load()
    }

    fn changes(&self) -> Option<&Changes> {
        Some(&self.shared.changes)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::evidence::Reason;
    use crate::timestamp::Timestamp;

    const ERROR: ClockError = ClockError::Unsynchronized(Reason::TooOld);

    fn span(earliest: i64, latest: i64) -> Interval {
        let [a, b] = [earliest, latest].map(Timestamp::from_tai_nanos);
        Interval::new(a, b).expect("in order")
    }

    #[test]
    fn clones_share_one_time_and_each_move_is_seen_at_once() {
        let clock = ManualClock::new(span(10, 20));
        let other = clock.clone();
        assert_eq!(other.now(), Ok(span(10, 20)));
        clock.advance(Duration::from_nanos(5));
        assert_eq!(other.now(), Ok(span(15, 25)));
        other.widen(Duration::from_nanos(2));
        assert_eq!(clock.now(), Ok(span(13, 27)));
        clock.set(span(-7, -7));
        assert_eq!(other.now(), Ok(span(-7, -7)));
    }

    #[test]
    fn a_failed_clock_stays_failed_until_it_is_set() {
        let clock = ManualClock::new(span(10, 20));
        clock.fail(ERROR);
        clock.advance(Duration::from_nanos(5));
        clock.widen(Duration::from_nanos(5));
        assert_eq!(clock.now(), Err(ERROR));
        assert_eq!(clock.after(Timestamp::MIN), Err(ERROR));
        clock.fail(ClockError::Contradicted);
        assert_eq!(clock.now(), Err(ClockError::Contradicted));
        clock.set(span(1, 2));
        assert_eq!(clock.now(), Ok(span(1, 2)));
    }

    #[test]
    fn at_the_ends_of_time_it_saturates() {
        let clock = ManualClock::new(span(i64::MAX - 1, i64::MAX));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Ok(span(i64::MAX, i64::MAX)));
        clock.widen(Duration::MAX);
        assert_eq!(clock.now(), Ok(span(i64::MIN, i64::MAX)));
    }

    #[test]
    fn pointers_to_it_can_be_waited_on_too() {
        fn has_changes(clock: impl TrueTime) -> bool {
            clock.changes().is_some()
        }
        let clock = ManualClock::new(span(0, 0));
        assert!(has_changes(&clock) && has_changes(Arc::new(clock.clone())));
        assert!(has_changes(Box::new(clock) as Box<dyn TrueTime>));
    }
}
