//! [`sleeper`]: sleeps of tasks, on the timer that their waits are on.
//!
//! A future that looks again after a while needs a timer, and the crate depends on no runtime.
//! The timer of the waits is one, if its clock is the monotonic clock: any executor can poll it,
//! it has one thread for all sleeps, and it works in a forked child.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::parker::saturating_add;
use super::settings::WaitSettings;
use super::wait_future::WaitFuture;
use super::waiter::Waiter;
use crate::clock::truetime::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// The process's monotonic clock, counted from when it was first asked for.
#[derive(Debug)]
pub(crate) struct Monotonic {
    began: Instant,
}

impl TrueTime for Monotonic {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(self.at(Instant::now()).into())
    }
}

impl Monotonic {
    fn at(&self, moment: Instant) -> Timestamp {
        Timestamp::from_tai_nanos(0).saturating_add(moment.saturating_duration_since(self.began))
    }
}

/// The waiter of all sleeps. It is exchanged without a lock, so that a forked child finds it.
static SLEEPER: ArcSwapOption<Waiter<Monotonic>> = ArcSwapOption::const_empty();

pub(crate) fn sleeper() -> Arc<Waiter<Monotonic>> {
    // Who sleeps looks again anyway, so to be late by the time of a wake-up does no harm.
    let settings = WaitSettings::default()
        .spin(Duration::ZERO)
        .max_drift_ppm(0)
        .max_sleep(Duration::from_secs(3600))
        .patience(Duration::MAX);
    loop {
        if let Some(sleeper) = SLEEPER.load_full() {
            return sleeper;
        }
        let made = Waiter::with_settings(Monotonic { began: Instant::now() }, settings);
        SLEEPER.compare_and_swap(&None::<Arc<Waiter<Monotonic>>>, Some(Arc::new(made)));
    }
}

/// A future that is ready after `moment`. Its error means that no thread can be started.
pub(crate) fn sleep_until(moment: Instant) -> WaitFuture<Monotonic> {
    let sleeper = sleeper();
    sleeper.wait_async(sleeper.clock().at(moment))
}

/// A future that is ready after `time`.
#[cfg(all(test, not(loom)))]
pub(crate) fn sleep(time: Duration) -> WaitFuture<Monotonic> {
    sleep_until(saturating_add(Instant::now(), time))
}

/// The moment after `patience`, for [`sleep_until`].
pub(crate) fn deadline_after(patience: Duration) -> Instant {
    saturating_add(Instant::now(), patience)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::future::join;

    #[test]
    fn sleeps_end_in_order_and_none_ends_early() {
        let began = Instant::now();
        let (two, one) = (Duration::from_millis(2), Duration::from_millis(1));
        let (longer, shorter) =
            block_on(join(async { sleep(two).await.map(|_| began.elapsed()) }, async {
                sleep(one).await.map(|_| began.elapsed())
            }));
        let (longer, shorter) = (longer.expect("a thread"), shorter.expect("a thread"));
        assert!(longer >= two && shorter >= one, "{longer:?}, {shorter:?}");
        block_on(sleep_until(began)).expect("it has passed");
    }
}
