//! [`Clock::commit_wait`] and the other waits that are methods of the running clock.
//!
//! The wait works on any [`TrueTime`]. These methods are where most
//! programs find it first, and the only place where the toolkit names [`Clock`].

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::blocking;
use super::error::WaitError;
use super::sleep::sleeper;
use super::waited::Waited;
use super::waiter::Waiter;
use crate::clock::Clock;
use crate::clock::truetime::TrueTime;
use crate::fork::ProcessKey;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// How often a wait for synchronization reads the clock.
const POLL_EVERY: Duration = Duration::from_millis(5);

impl Clock {
    /// Blocks its thread until `t` has certainly passed: Spanner's commit-wait.
    ///
    /// Choose `t` at or above `now()?.latest()`, replicate, wait, and release the result
    /// only then. In a task use [`commit_wait_async`](Self::commit_wait_async). For deadlines,
    /// cancellation, or many waits at once, see [`Waiter`].
    ///
    /// ```
    /// use std::time::Duration;
    /// # let builder = truechimer::Clock::builder().assume_error(Duration::from_millis(2));
    /// # let clock = builder.build()?;
    /// let commit = clock.now()?.latest();
    /// clock.commit_wait(commit)?;
    /// assert!(clock.after(commit)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the clock returns errors, or has stopped, for longer than
    /// [`WaitSettings::patience`](super::WaitSettings::patience).
    pub fn commit_wait(&self, t: Timestamp) -> Result<Waited, WaitError> {
        blocking::commit_wait(self, t)
    }

    /// [`commit_wait`](Self::commit_wait) without blocking the thread. It runs on any executor.
    ///
    /// All such waits of a clock and its clones share one timer and its thread, as those of one
    /// [`Waiter`] do. What is said there of paused time and of a `fork`
    /// ([`Waiter::wait_async`]) is true here too. Dropping the future ends the wait.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # futures::executor::block_on(async {
    /// # let builder = truechimer::Clock::builder().assume_error(Duration::from_millis(2));
    /// # let clock = builder.build()?;
    /// let commit = clock.now()?.latest();
    /// clock.commit_wait_async(commit).await?;
    /// assert!(clock.after(commit)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`commit_wait`](Self::commit_wait), and [`WaitError::Thread`].
    pub fn commit_wait_async(
        &self,
        t: Timestamp,
    ) -> impl Future<Output = Result<Waited, WaitError>> + Send + use<> {
        // The waiter lives in the clock, so it has the clock only weakly. The future keeps it.
        let clock = self.clone();
        let wait = self.companion(|| Waiter::new(self.downgrade())).wait_async(t);
        async move {
            let waited = wait.await;
            drop(clock);
            waited
        }
    }

    /// Blocks its thread until a source, or the operator, states a bound, but no longer than
    /// `timeout`. Then it returns what [`now`](Self::now) does.
    ///
    /// In a task use [`wait_synchronized_async`](Self::wait_synchronized_async).
    ///
    /// # Errors
    ///
    /// The error of `now()` at the deadline, if there is no reading by then.
    pub fn wait_synchronized(&self, timeout: Duration) -> Result<Interval, ClockError> {
        let start = Instant::now();
        loop {
            let now = if self.has_thread() { self.now() } else { self.refresh() };
            let left = timeout.saturating_sub(start.elapsed());
            if now.is_ok() && self.status().is_current() || left.is_zero() {
                return now;
            }
            thread::sleep(left.min(POLL_EVERY));
        }
    }

    /// [`wait_synchronized`](Self::wait_synchronized) without blocking the thread. It runs on any
    /// executor.
    ///
    /// It reads the clock every 5 ms, and sleeps in between on a timer that all such waits of the
    /// process share. If the clock has no thread that samples (it was built with `manual()`, or
    /// this is the child of a `fork`), the wait samples on a thread of its own, because a source
    /// may block.
    ///
    /// `limit` is real time, also in a runtime whose time is paused. A future that was pending at
    /// a `fork` goes on in the child once it is polled there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # futures::executor::block_on(async {
    /// # let builder = truechimer::Clock::builder().assume_error(Duration::from_millis(2));
    /// # let clock = builder.build()?;
    /// let now = clock.wait_synchronized_async(Duration::from_secs(10)).await?;
    /// assert!(now.width() < Duration::from_secs(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `now()` at the deadline, if there is no reading by then; at once, if no thread
    /// can be started to wait by.
    pub fn wait_synchronized_async(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<Interval, ClockError>> + Send + use<> {
        synchronized(self.clone(), limit, sleeper())
    }
}

/// Reads `clock` until it is synchronized. `limit` and the time between readings are counted by
/// the clock of `sleeper`.
async fn synchronized<S: TrueTime + Send + Sync + 'static>(
    clock: Clock,
    limit: Duration,
    sleeper: Arc<Waiter<S>>,
) -> Result<Interval, ClockError> {
    let began = sleeper.clock().earliest()?;
    let deadline = began.saturating_add(limit);
    let mut refresher: Option<Refresher> = None;
    loop {
        let now = clock.now();
        if now.is_ok() && clock.status().is_current() {
            return now;
        }
        let at = sleeper.clock().earliest()?;
        if at >= deadline {
            return now;
        }
        // Anew each time, because it may be the first poll in a forked child.
        if !clock.has_thread() && !refresher.as_ref().is_some_and(Refresher::is_here) {
            refresher = Refresher::start(&clock);
            if refresher.is_none() {
                return now;
            }
        }
        if sleeper.wait_async(at.saturating_add(POLL_EVERY).min(deadline)).await.is_err() {
            return clock.now();
        }
    }
}

/// A thread that samples for a clock without one, as long as this lives.
struct Refresher {
    process: ProcessKey,
    is_stopping: Arc<AtomicBool>,
    thread: Thread,
}

impl Refresher {
    fn start(clock: &Clock) -> Option<Refresher> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (clock, stop) = (clock.clone(), is_stopping.clone());
        let handle = thread::Builder::new().name("truechimer-sync".to_owned()).spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let _ = clock.refresh();
                thread::park_timeout(POLL_EVERY);
            }
        });
        let thread = handle.ok()?.thread().clone();
        Some(Refresher { process: ProcessKey::current(), is_stopping, thread })
    }

    /// Whether the thread is one of this process.
    fn is_here(&self) -> bool {
        self.process == ProcessKey::current()
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
        if self.is_here() {
            self.thread.unpark();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::{ClockBuilder, ManualClock, WeakClock};
    use crate::counter::Counter;
    use crate::evidence::{Sample, Source, SourceError};
    use crate::wait::WaitSettings;
    use std::pin::pin;
    use std::sync::atomic::AtomicU32;
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A source that states a bound once it may.
    struct Late(Arc<AtomicBool>, Instant);

    impl Source for Late {
        fn name(&self) -> &str {
            "late"
        }

        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            if !self.0.load(Ordering::SeqCst) {
                return Err(SourceError::failed("not yet"));
            }
            let before = counter.read();
            let now = Timestamp::from_tai_nanos(0).saturating_add(self.1.elapsed());
            Ok(Sample::new(before, counter.read(), Interval::from(now).widen(POLL_EVERY)))
        }
    }

    fn late(may: &Arc<AtomicBool>) -> ClockBuilder {
        let builder = Clock::builder().without_kernel().source(Late(may.clone(), Instant::now()));
        builder.poll_interval(Duration::from_millis(1))
    }

    fn late_clock(may: &Arc<AtomicBool>) -> Clock {
        late(may).build().expect("a clock")
    }

    /// Sleeps that a test ends by hand.
    fn manual_sleeper() -> (ManualClock, Arc<Waiter<ManualClock>>) {
        let time = ManualClock::new(Timestamp::from_tai_nanos(0).into());
        let settings = WaitSettings::default().patience(Duration::MAX);
        (time.clone(), Arc::new(Waiter::with_settings(time, settings)))
    }

    #[test]
    fn a_task_that_waits_for_synchronization_reads_every_5_ms_and_not_more_often() {
        let may = Arc::<AtomicBool>::default();
        let clock = late_clock(&may);
        let (time, sleeper) = manual_sleeper();
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        let mut wait = pin!(synchronized(clock.clone(), Duration::from_secs(60), sleeper));
        let ns = Duration::from_nanos(1);
        for polls in 0..5 {
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert_eq!(wakes.0.load(Ordering::SeqCst), polls, "woken without a reason");
            time.advance(POLL_EVERY);
            assert_eq!(wakes.0.load(Ordering::SeqCst), polls, "woken too early");
            time.advance(ns);
            assert_eq!(wakes.0.load(Ordering::SeqCst), polls + 1, "not woken in time");
        }
        may.store(true, Ordering::SeqCst);
        while !clock.status().is_current() {
            thread::yield_now();
        }
        assert!(matches!(wait.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    }

    #[test]
    fn a_task_waits_for_synchronization_no_longer_than_its_limit() {
        let clock = late_clock(&Arc::default());
        let (time, sleeper) = manual_sleeper();
        let mut context = Context::from_waker(Waker::noop());
        let limit = Duration::from_millis(7);
        let mut wait = pin!(synchronized(clock.clone(), limit, sleeper.clone()));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        time.advance(Duration::from_millis(6));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        time.advance(Duration::from_millis(1));
        time.advance(Duration::from_nanos(1));
        assert!(matches!(wait.as_mut().poll(&mut context), Poll::Ready(Err(_))));
        let mut none = pin!(synchronized(clock, Duration::ZERO, sleeper));
        assert!(matches!(none.as_mut().poll(&mut context), Poll::Ready(Err(_))));
    }

    #[test]
    fn the_timer_of_a_clock_does_not_keep_it_and_its_clones_share_it() {
        let clock = late(&Arc::new(AtomicBool::new(true))).manual().build().expect("a clock");
        let weak = clock.downgrade();
        let pending = clock.commit_wait_async(Timestamp::from_tai_nanos(i64::MAX / 2));
        let mut pending = Box::pin(pending);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pending.as_mut().poll(&mut context).is_pending());
        let shared = || -> Waiter<WeakClock> { unreachable!("the first wait made it") };
        assert_eq!(clock.clone().companion(shared).pending(), 1);
        drop(clock);
        assert!(weak.now().is_ok(), "a pending wait keeps the clock");
        drop(pending);
        assert!(weak.now().is_err(), "the timer keeps the clock");
    }
}
