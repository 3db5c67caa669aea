//! [`Parker`]: the sleep of a blocking wait, which other threads can end.
//!
//! The sleep is timed by the monotonic clock, so a step of the wall clock neither
//! ends nor prolongs it. `clock_nanosleep` would do, but only a signal can end it
//! early. A futex (here a condition variable) uses the same kernel timer and any
//! thread can wake it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;
use std::time::{Duration, Instant};

use crate::fork::{Condvar, Mutex, Owned, PerProcess, ProcessKey};

/// Puts blocking waits to sleep. Several waits may share one.
#[derive(Default, Debug)]
pub(super) struct Parker {
    cancelled: AtomicBool,
    unparks: AtomicU64,
    bed: PerProcess<Bed>,
}

/// Where the threads of one process sleep.
#[derive(Default, Debug)]
struct Bed {
    lock: Mutex<()>,
    wake: Condvar,
}

/// Why a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awake {
    /// Its time was over.
    TimedOut,
    /// Another thread ended it, because the clock moved or the wait was cancelled.
    Unparked,
}

impl Parker {
    /// Ends all sleeps, now and later.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.notify();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Ends the sleeps that go on now.
    fn unpark(&self) {
        // Release: pairs with the Acquire load in `unparks`. A wait that sees the new
        // count also sees what the caller did before, such as moving its clock.
        self.unparks.fetch_add(1, Ordering::Release);
        self.notify();
    }

    fn notify(&self) {
        // A sleeper checks its conditions under the lock. So at this point it has
        // either seen the change or sleeps already and receives the notification.
        let bed = self.bed();
        drop(bed.lock.lock());
        bed.wake.notify_all();
    }

    fn bed(&self) -> Arc<Owned<Bed>> {
        self.bed.get(ProcessKey::current(), |_| Bed::default())
    }

    /// How often sleeps were ended by `unpark`. Read it before deciding to sleep.
    pub(super) fn unparks(&self) -> u64 {
        self.unparks.load(Ordering::Acquire)
    }

    /// Sleeps until `then`, or until it is unparked or cancelled.
    ///
    /// `seen` is what [`unparks`](Self::unparks) returned before the caller decided to
    /// sleep. If it has changed since, the decision is outdated and the sleep ends at once.
    pub(super) fn sleep_until(&self, then: Instant, seen: u64) -> Awake {
        let bed = self.bed();
        let mut guard = bed.lock.lock();
        while !self.is_cancelled() && self.unparks() == seen {
            // Spurious wake-ups happen, so only the time ends the sleep.
            if Instant::now() >= then {
                return Awake::TimedOut;
            }
            guard = bed.wake.wait_until(guard, then);
        }
        Awake::Unparked
    }
}

/// A clock that is moved by hand wakes its waits through a `Waker`.
impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

/// `at + span`, or a year after `at` where the sum is beyond what an `Instant` can hold.
pub(super) fn saturating_add(at: Instant, span: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    at.checked_add(span).unwrap_or(at + YEAR)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_sleeper_wakes_when_cancelled_and_a_later_one_does_not_sleep() {
        let parker = Arc::new(Parker::default());
        let never = Instant::now() + Duration::from_secs(3600);
        let other = parker.clone();
        let sleeper = thread::spawn(move || other.sleep_until(never, 0));
        parker.cancel();
        assert_eq!(sleeper.join().expect("no panic"), Awake::Unparked);
        assert_eq!(parker.sleep_until(never, 0), Awake::Unparked);
    }

    #[test]
    fn an_unpark_ends_every_sleep_that_was_decided_before_it_and_no_other() {
        let parker = Arc::new(Parker::default());
        let never = Instant::now() + Duration::from_secs(3600);
        let seen = parker.unparks();
        let sleepers = [(); 2].map(|()| {
            let parker = parker.clone();
            thread::spawn(move || parker.sleep_until(never, seen))
        });
        parker.clone().wake();
        for sleeper in sleepers {
            assert_eq!(sleeper.join().expect("no panic"), Awake::Unparked);
        }
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(parker.sleep_until(soon, parker.unparks()), Awake::TimedOut);
    }

    #[test]
    fn a_sleep_does_not_end_early() {
        let then = Instant::now() + Duration::from_millis(2);
        assert_eq!(Parker::default().sleep_until(then, 0), Awake::TimedOut);
        assert!(Instant::now() >= then);
    }
}
