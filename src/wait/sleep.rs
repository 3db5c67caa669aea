//! [`Cancel`] and the sleep that it ends.
//!
//! The sleep is on the monotonic clock: a step of the wall clock neither ends
//! nor prolongs it. `clock_nanosleep` would do, but only a signal can wake it.
//! A futex (here a condition variable) is timed by the same kernel timer and is
//! woken by anybody, so it serves for both.
//!
//! The kernel lets a sleeper sleep 50 µs longer, so as to serve several with one
//! interrupt. That *timer slack* is a thread's own setting. It is turned down
//! for the wait, and given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::prctl;
use parking_lot::{Condvar, Mutex};

/// Ends waits from another thread: a sleeping one at once.
///
/// Clones cancel the same waits. Once cancelled it stays so: a wait that begins
/// later ends at once.
#[derive(Clone, Default, Debug)]
pub struct Cancel {
    pub(super) bed: Arc<Bed>,
}

impl Cancel {
    /// One that nobody has cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends every wait that was given this, now and later.
    pub fn cancel(&self) {
        self.bed.cancelled.store(true, Ordering::Release);
        // A sleeper looks at the flag under the lock: after this it has either
        // seen the flag or is asleep and hears the call.
        drop(self.bed.lock.lock());
        self.bed.wake.notify_all();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.bed.is_cancelled()
    }
}

/// Where waits sleep.
#[derive(Default, Debug)]
pub(super) struct Bed {
    cancelled: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Bed {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Sleeps until then, or until cancelled. `false`: cancelled.
    pub(super) fn sleep_until(&self, then: Instant) -> bool {
        let mut guard = self.lock.lock();
        while !self.is_cancelled() {
            // It may wake for no reason, so only the clock says that it is over.
            if self.wake.wait_until(&mut guard, then).timed_out() {
                return !self.is_cancelled();
            }
        }
        false
    }
}

/// While this lives, the thread's timers have a slack of a nanosecond.
pub(super) struct FineTimer {
    before: Option<i32>,
}

impl FineTimer {
    pub(super) fn new() -> FineTimer {
        // Where it may not be set, sleeps end later and the margin learns it.
        let before = prctl::get_timerslack().ok().filter(|_| prctl::set_timerslack(1).is_ok());
        FineTimer { before }
    }
}

impl Drop for FineTimer {
    fn drop(&mut self) {
        if let Some(before) = self.before.and_then(|slack| u64::try_from(slack).ok()) {
            let _ = prctl::set_timerslack(before as nix::libc::c_ulong);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_sleeper_wakes_when_cancelled_and_a_later_one_does_not_sleep() {
        let cancel = Cancel::new();
        let never = Instant::now() + Duration::from_secs(3600);
        let other = cancel.clone();
        let sleeper = thread::spawn(move || other.bed.sleep_until(never));
        thread::sleep(Duration::from_millis(5));
        cancel.cancel();
        assert!(!sleeper.join().expect("no panic"));
        assert!(!cancel.bed.sleep_until(never));
    }

    #[test]
    fn a_sleep_does_not_end_early() {
        let then = Instant::now() + Duration::from_millis(2);
        assert!(Bed::default().sleep_until(then));
        assert!(Instant::now() >= then);
    }

    #[test]
    fn the_threads_timer_slack_is_given_back() {
        let before = prctl::get_timerslack().expect("allowed");
        let fine = FineTimer::new();
        assert_eq!(prctl::get_timerslack().expect("allowed"), 1);
        drop(fine);
        assert_eq!(prctl::get_timerslack().expect("allowed"), before);
    }
}
