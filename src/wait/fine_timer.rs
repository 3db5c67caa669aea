//! [`FineTimer`]: a thread's timer slack, reduced while it waits.
//!
//! Linux lets a sleeper sleep 50 µs longer, because it can then serve several timers with
//! one interrupt. This *timer slack* is a setting of each thread. A wait reduces it and
//! restores it afterwards. Other systems have no such setting for a thread, or libc does
//! not show it (Android). There nothing is changed, and the wait's margin adapts to how late their sleeps end.

/// While this lives, the thread's timer slack is one nanosecond where it can be set.
pub(super) struct FineTimer {
    /// Of no size where there is nothing to restore.
    _slack: slack::Reduced,
}

impl FineTimer {
    pub(super) fn new() -> FineTimer {
        FineTimer { _slack: slack::Reduced::new() }
    }
}

#[cfg(target_os = "linux")]
mod slack {
    use nix::libc::c_ulong;
    use nix::sys::prctl;

    /// The slack to be restored.
    pub(super) struct Reduced(Option<i32>);

    impl Reduced {
        pub(super) fn new() -> Reduced {
            // Where it may not be set, sleeps end later and the margin adapts to that.
            Reduced(prctl::get_timerslack().ok().filter(|_| prctl::set_timerslack(1).is_ok()))
        }
    }

    impl Drop for Reduced {
        fn drop(&mut self) {
            if let Some(before) = self.0.and_then(|slack| c_ulong::try_from(slack).ok()) {
                let _ = prctl::set_timerslack(before);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod slack {
    pub(super) struct Reduced;

    impl Reduced {
        pub(super) fn new() -> Reduced {
            Reduced
        }
    }
}

#[cfg(all(test, not(loom), target_os = "linux"))]
mod tests {
    use super::*;
    use nix::sys::prctl;

    #[test]
    fn the_threads_timer_slack_is_restored() {
        let before = prctl::get_timerslack().expect("allowed");
        let fine = FineTimer::new();
        assert_eq!(prctl::get_timerslack().expect("allowed"), 1);
        drop(fine);
        assert_eq!(prctl::get_timerslack().expect("allowed"), before);
    }
}
