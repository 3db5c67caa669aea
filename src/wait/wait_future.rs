//! [`WaitFuture`]: a wait that any executor can poll.
//!
//! A wake-up is only a hint. Each poll reads the clock, and only that reading ends
//! the wait. So it does not matter which task polls, how often, or why.

use std::future::Future;
use std::hint;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::error::WaitError;
use super::planner::Step;
use super::queue::Key;
use super::stall_detector::StallDetector;
use super::timer::Timer;
use super::waited::Waited;
use super::waiter::Waiter;
use crate::clock::truetime::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// For how long a poll may spin without yielding. It is less than the time until the
/// task would be polled again.
const LAST_STRETCH: Duration = Duration::from_micros(3);

impl<C: TrueTime + Send + Sync + 'static> Waiter<C> {
    /// A future that is ready once `t` has certainly passed. It runs on any executor.
    ///
    /// To be on time it is woken a little early, and then yields to its executor again
    /// and again until the moment. Only the first of all pending waits does so, and
    /// only for the `spin` of the settings. Dropping the future removes the wait.
    ///
    /// # Paused time
    ///
    /// A test runtime can pause its time and leap to the next timer whenever all tasks
    /// are idle (`tokio::time::pause`). A wait on a running clock does not fit in there:
    /// its clock and its timer follow real time, of which the runtime knows nothing. So
    /// while a wait of 4 ms is pending, the runtime leaps to its next timer at once, be
    /// it an hour away. A clock that reads the paused time does not work either, because
    /// the timer has a thread of its own, outside of the runtime, and real time goes on
    /// there. Such a wait is woken again and again, sees that its clock has stopped, and
    /// ends as [`WaitError::Stalled`].
    ///
    /// Use a [`ManualClock`](crate::ManualClock) in such tests. Moving it wakes the
    /// future at once, so the test decides when the wait ends. `patience` and deadlines
    /// still count real time.
    ///
    /// # Fork
    ///
    /// The child of a `fork` can wait too: its first wait starts a thread of its own. A
    /// future that was pending at the fork is woken in the parent. In the child it goes on
    /// once it is polled there.
    ///
    /// # Errors
    ///
    /// The future's output has those of [`Waiter::wait`], and
    /// [`WaitError::Thread`].
    pub fn wait_async(&self, t: Timestamp) -> WaitFuture<C> {
        WaitFuture::new(self.timer.clone(), t, None)
    }

    /// [`wait_async`](Self::wait_async) with a deadline.
    ///
    /// # Errors
    ///
    /// The future's output has those of [`Waiter::wait_until`], and
    /// [`WaitError::Thread`].
    pub fn wait_async_until(&self, t: Timestamp, deadline: Instant) -> WaitFuture<C> {
        WaitFuture::new(self.timer.clone(), t, Some(deadline))
    }

    /// How many asynchronous waits are pending.
    pub fn pending(&self) -> usize {
        self.timer.pending()
    }
}

/// A pending wait, made by [`Waiter::wait_async`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct WaitFuture<C: TrueTime> {
    timer: Arc<Timer<C>>,
    target: Timestamp,
    deadline: Option<Instant>,
    started: Option<Instant>,
    /// Its place in the timer's queue, and the waker that is stored there.
    key: Option<Key>,
    waker: Option<Waker>,
    /// When it was first polled as the leader.
    leads_since: Option<Instant>,
    /// The readings since it was first woken before its moment had passed.
    early_wakes: Option<StallDetector>,
    spun: Duration,
    sleeps: u32,
}

impl<C: TrueTime> WaitFuture<C> {
    fn new(timer: Arc<Timer<C>>, target: Timestamp, deadline: Option<Instant>) -> WaitFuture<C> {
        WaitFuture {
            timer,
            target,
            deadline,
            started: None,
            key: None,
            waker: None,
            leads_since: None,
            early_wakes: None,
            spun: Duration::ZERO,
            sleeps: 0,
        }
    }

    /// Leaves the queue. A leader that succeeded also wakes what is due behind it.
    fn finish(&mut self, past: Option<Timestamp>, at: Instant) -> Waited {
        let led = self.leads_since.is_some() && past.is_some();
        self.deregister(led);
        let total = self.started.map_or(Duration::ZERO, |started| at - started);
        self.end_leadership(at);
        let overshoot = match past {
            Some(earliest) => {
                // A follower was woken by the thread, which goes on by itself. If it
                // woke others too, two would wake in turns, and an executor with a
                // queue for each of them would not keep the order.
                if led {
                    self.timer.wake_due(earliest);
                }
                earliest.duration_since(self.target).unwrap_or_default().min(total)
            }
            None => Duration::ZERO,
        };
        Waited { total, spun: self.spun, overshoot, sleeps: self.sleeps }
    }

    fn deregister(&mut self, succeeded: bool) {
        if let Some(key) = self.key.take() {
            self.timer.deregister(key, self.deadline, succeeded);
        }
    }

    fn end_leadership(&mut self, at: Instant) {
        self.spun += self.leads_since.take().map_or(Duration::ZERO, |since| at - since);
    }

    /// How long the clock has not advanced, counted from the start of this wait at the
    /// earliest.
    fn stalled_for(&self, at: Instant, waited: Duration) -> Duration {
        // The thread and this task usually see the same readings. If they do not, the
        // thread wakes the task again and again, and only the task sees the stall.
        let here = self.early_wakes.as_ref().map_or(Duration::ZERO, |stall| stall.stalled_for(at));
        self.timer.stalled_for(at).max(here).min(waited)
    }

    /// What ends the wait without success, if anything does.
    fn failure(
        &self,
        step: Step,
        reading: Result<Interval, ClockError>,
        started: Instant,
        at: Instant,
    ) -> Option<WaitError> {
        let (target, waited) = (self.target, at - started);
        if let Step::Impossible { soonest } = step {
            let left = self.deadline.map_or(Duration::ZERO, |d| d.saturating_duration_since(at));
            let late = |soonest| WaitError::Impossible { target, soonest, left };
            return Some(soonest.map_or(WaitError::Never, late));
        }
        let stood = self.stalled_for(at, waited);
        let out_of_time = match self.deadline {
            Some(deadline) => at >= deadline,
            None => stood >= self.timer.settings.patience,
        };
        match reading {
            Err(error) if out_of_time || !error.is_transient() => {
                Some(WaitError::Clock { error, waited })
            }
            Ok(_) if out_of_time && self.deadline.is_none() => Some(WaitError::Stalled { stood }),
            Ok(now) if out_of_time => {
                let missing = target.duration_since(now.earliest()).unwrap_or_default();
                Some(WaitError::Deadline { target, missing, waited })
            }
            _ => None,
        }
    }
}

impl<C: TrueTime + Send + Sync + 'static> WaitFuture<C> {
    /// Registers with the timer, or makes sure that its entry there wakes the right task.
    fn register(
        &mut self,
        waker: &Waker,
        reading: Result<Interval, ClockError>,
        at: Instant,
    ) -> Result<(), WaitError> {
        if let Some(key) = self.key {
            let known = self.waker.as_ref().is_some_and(|known| known.will_wake(waker));
            // A leader that spins is polled again anyway, so it takes no lock.
            if known && self.may_spin(at) {
                return Ok(());
            }
            if self.timer.replace_waker(key, waker) {
                self.waker = Some(waker.clone());
                return Timer::start(&self.timer); // it runs already, unless it panicked
            }
            // It was woken because its moment had passed, and by this reading it has
            // not: the clock went back, or it differs between the thread and this task.
            self.deregister(false);
            self.end_leadership(at);
            self.early_wakes.get_or_insert_with(|| {
                let mut stall = StallDetector::new(at);
                stall.observe(reading.map(|now| now.earliest()), at);
                stall
            });
        }
        self.sleeps += 1;
        let (key, leads) = self.timer.register(self.target, self.deadline, waker, reading.ok());
        self.key = Some(key);
        self.leads_since = leads.then_some(at);
        self.waker = Some(waker.clone());
        Timer::start(&self.timer)
    }

    /// A leader that is polled for the first time after its moment was woken too late.
    fn learn_if_late(&self, now: Interval) {
        let late = self.leads_since.is_none() && self.key.is_some_and(|k| self.timer.is_leader(k));
        if let (true, Some(over)) = (late, now.earliest().duration_since(self.target)) {
            self.timer.learn(Duration::ZERO, over);
        }
    }

    /// Spins for the last microseconds of the leader. Returns whether the moment has passed.
    fn last_stretch(&self) -> bool {
        let began = Instant::now();
        while began.elapsed() < LAST_STRETCH {
            if self.timer.clock.after(self.target) == Ok(true) {
                return true;
            }
            hint::spin_loop();
        }
        false
    }

    /// Whether this wait is the leader and may ask to be polled again at once.
    fn leads(&mut self, left: Duration, at: Instant) -> bool {
        let Some(key) = self.key else { return false };
        if self.leads_since.is_none() && self.timer.is_leader(key) {
            self.leads_since = Some(at);
            self.timer.learn(left, Duration::ZERO);
        }
        self.may_spin(at)
    }

    /// Whether it is the leader and has some of its budget left.
    fn may_spin(&self, at: Instant) -> bool {
        self.leads_since.is_some_and(|since| self.spun + (at - since) < self.timer.settings.spin)
    }
}

impl<C: TrueTime + Send + Sync + 'static> Future for WaitFuture<C> {
    type Output = Result<Waited, WaitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();

        // Read the clock and plan.
        let at = Instant::now();
        let first = this.started.is_none();
        let started = *this.started.get_or_insert(at);
        // Each time, because it may be the first poll in a forked child.
        Timer::subscribe(&this.timer);
        let reading = this.timer.clock.now();
        if let Some(stall) = &mut this.early_wakes {
            stall.observe(reading.map(|now| now.earliest()), at);
        }
        let left = this.deadline.map(|deadline| deadline.saturating_duration_since(at));
        let settings = &this.timer.settings;
        let step = match reading {
            Ok(now) => {
                settings.planner(Duration::ZERO, Duration::ZERO).step(now, this.target, left)
            }
            Err(_) => Step::Sleep(settings.max_sleep),
        };

        // Is it over?
        if let (Step::Passed, Ok(now)) = (step, reading) {
            this.learn_if_late(now);
            let waited = this.finish(Some(now.earliest()), at);
            return Poll::Ready(Ok(if first { Waited::default() } else { waited }));
        }
        if let Some(error) = this.failure(step, reading, started, at) {
            this.finish(None, at);
            return Poll::Ready(Err(error));
        }

        // It is not, so the timer has to wake this task.
        if let Err(error) = this.register(context.waker(), reading, at) {
            this.finish(None, at);
            return Poll::Ready(Err(error));
        }

        // The leader asks to be polled again at once, and spins for the last microseconds.
        let missing = reading.ok().and_then(|now| this.target.duration_since(now.earliest()));
        let Some(missing) = missing else { return Poll::Pending };
        if this.leads(missing, at) {
            if missing <= LAST_STRETCH && this.last_stretch() {
                let past = this.timer.clock.earliest().ok();
                return Poll::Ready(Ok(this.finish(past, Instant::now())));
            }
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<C: TrueTime> Drop for WaitFuture<C> {
    fn drop(&mut self) {
        self.deregister(false);
    }
}
