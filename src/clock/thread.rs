//! The thread that samples for a clock, and what wakes it early.
//!
//! There is one thread per clock. It makes a round every poll interval, and at once when
//! the wall clock is stepped. On Linux a timer on `CLOCK_REALTIME` that is set to be
//! cancelled by a step becomes readable at that moment, without privilege. The same
//! timer, set to the past, tells the thread to stop, or that a reader needs a round at once
//! (the machine was moved), so a clock costs one file
//! descriptor. Where no timer can be had (a seccomp filter, too many open files, another
//! system) the thread parks, and notices steps at its next poll.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::clock::core::ClockCore;
use crate::fork::ProcessKey;
use crate::host::System;

type Shared = ClockCore<System>;

/// Stops the thread when the last clock that has it is dropped.
pub(crate) struct ThreadHandle {
    process: ProcessKey,
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Thread,
}

impl ThreadHandle {
    /// Starts the thread, and waits for its first round for up to `patience`.
    pub(crate) fn start(shared: Arc<Shared>, patience: Duration) -> std::io::Result<ThreadHandle> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (waker, step_timer) = Waker::new();
        let waker = Arc::new(waker);
        {
            let process = shared.process();
            let mut record = process.record.lock();
            record.running = true;
            record.step_timer = step_timer;
        }
        let (first_round, rounds) = mpsc::sync_channel(1);
        let (stop, woken_by) = (stopping.clone(), waker.clone());
        let is_asked = Arc::new(AtomicBool::new(false));
        let asked = is_asked.clone();
        let of_thread = shared.clone();
        let handle = thread::Builder::new().name("truechimer".to_owned()).spawn(move || {
            let shared = of_thread;
            let _running = RunningGuard(&shared);
            block_signals();
            while !stop.load(Ordering::SeqCst) {
                shared.round();
                let _ = first_round.try_send(());
                let stepped = woken_by.wait(shared.limits().poll_interval, &stop);
                // Taken before the sources are sampled: who asks during that asks again.
                if !asked.swap(false, Ordering::SeqCst) && stepped {
                    shared.process().record.lock().steps += 1;
                }
            }
        })?;
        let _ = rounds.recv_timeout(patience);
        let thread = handle.thread().clone();
        let process = ProcessKey::current();
        let (wakes, woken) = (waker.clone(), thread.clone());
        shared.set_wake_sampler(Box::new(move || {
            // One reader is enough. A forked child has no thread, and shares the timer.
            if !is_asked.swap(true, Ordering::SeqCst) && process == ProcessKey::current() {
                wakes.wake(&woken);
            }
        }));
        Ok(ThreadHandle { process: ProcessKey::current(), stopping, waker, thread })
    }
}

impl Drop for ThreadHandle {
    fn drop(&mut self) {
        // A forked child shares the timer with its parent, and has no thread to stop.
        if self.process == ProcessKey::current() {
            self.stopping.store(true, Ordering::SeqCst);
            self.waker.wake(&self.thread);
        }
    }
}

/// Records that the thread has ended, whatever ended it.
struct RunningGuard<'a>(&'a Shared);

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.0.process().record.lock().running = false;
    }
}

/// Signals are for the program's own threads.
fn block_signals() {
    #[cfg(unix)]
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use step_timer::Waker;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod step_timer {
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, Thread};
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, ppoll};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    /// Wakes the thread before its poll interval is over.
    pub(super) enum Waker {
        /// Readable when the wall clock was stepped, or when set to the past.
        Timer(TimerFd),
        /// No timer can be had: only [`Waker::wake`] wakes.
        Park,
    }

    impl Waker {
        /// A waker, and why it does not wake at a step, if it does not.
        pub(super) fn new() -> (Waker, Option<String>) {
            let timer = TimerFd::new(
                ClockId::CLOCK_REALTIME,
                TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
            );
            match timer.and_then(|timer| Waker::arm(&timer).map(|()| timer)) {
                Ok(timer) => (Waker::Timer(timer), None),
                Err(errno) => (Waker::Park, Some(format!("no timerfd can be had: {errno}"))),
            }
        }

        /// Sets the timer to a time that is never reached; a step cancels it.
        fn arm(timer: &TimerFd) -> Result<(), Errno> {
            let never = TimeSpec::from_duration(NEVER);
            let flags =
                TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            timer.set(Expiration::OneShot(never), flags)
        }

        /// Sleeps for `interval`, or until woken. `true` if the wall clock was stepped.
        pub(super) fn wait(&self, interval: Duration, stopping: &AtomicBool) -> bool {
            let Waker::Timer(timer) = self else {
                thread::park_timeout(interval);
                return false;
            };
            if stopping.load(Ordering::SeqCst) {
                return false;
            }
            let mut fds = [PollFd::new(timer.as_fd(), PollFlags::POLLIN)];
            let woken = ppoll(&mut fds, Some(TimeSpec::from_duration(interval)), None);
            if woken == Ok(0) {
                return false;
            }
            if woken.is_err() || timer.wait().is_err() {
                // The descriptor was closed by other code (a daemonizing `closefrom`).
                thread::park_timeout(interval);
                return false;
            }
            let stepped = !stopping.load(Ordering::SeqCst);
            // Armed again before the sources are sampled, so that a step while they are is
            // not missed; and before `stopping` is read again, because a wake-up in
            // between is lost and the flag is not.
            let _ = Waker::arm(timer);
            stepped
        }

        pub(super) fn wake(&self, thread: &Thread) {
            let past = TimeSpec::from_duration(Duration::from_nanos(1));
            if let Waker::Timer(timer) = self {
                let _ = timer.set(Expiration::OneShot(past), TimerSetTimeFlags::TFD_TIMER_ABSTIME);
            }
            thread.unpark();
        }
    }

    /// The last second that a `time_t` of 32 bits counts where a `timespec` has one, and 272
    /// years after 1970 elsewhere.
    const NEVER: Duration = Duration::from_secs(if size_of::<libc::timespec>() == 8 {
        i32::MAX as u64
    } else {
        i32::MAX as u64 * 4
    });
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use park::Waker;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod park {
    use std::sync::atomic::AtomicBool;
    use std::thread::{self, Thread};
    use std::time::Duration;

    /// Wakes the thread before its poll interval is over, to end it.
    pub(super) struct Waker;

    impl Waker {
        pub(super) fn new() -> (Waker, Option<String>) {
            (
                Waker,
                Some("this operating system does not report steps of the wall clock".to_owned()),
            )
        }

        pub(super) fn wait(&self, interval: Duration, _: &AtomicBool) -> bool {
            thread::park_timeout(interval);
            false
        }

        pub(super) fn wake(&self, thread: &Thread) {
            thread.unpark();
        }
    }
}
