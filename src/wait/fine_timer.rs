//! [`FineTimer`]: a thread's timer slack, reduced while it waits.
//!
//! The kernel lets a sleeper sleep 50 µs longer, because it can then serve several
//! timers with one interrupt. This *timer slack* is a setting of each thread. A wait
//! reduces it and restores it afterwards.

use nix::sys::prctl;

/// While this lives, the thread's timer slack is one nanosecond.
pub(super) struct FineTimer {
    before: Option<i32>,
}

impl FineTimer {
    pub(super) fn new() -> FineTimer {
        // Where it may not be set, sleeps end later and the margin adapts to that.
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

    #[test]
    fn the_threads_timer_slack_is_restored() {
        let before = prctl::get_timerslack().expect("allowed");
        let fine = FineTimer::new();
        assert_eq!(prctl::get_timerslack().expect("allowed"), 1);
        drop(fine);
        assert_eq!(prctl::get_timerslack().expect("allowed"), before);
    }
}
