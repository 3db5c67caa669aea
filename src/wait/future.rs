//! [`WaitFuture`]: a wait that any executor can poll.
//!
//! A wake is a hint and nothing more. Each poll asks the clock, and only its
//! answer ends the wait; so it does not matter who polls, how often, or why.

use std::future::Future;
use std::hint;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::outcome::{WaitError, Waited};
use super::plan::Step;
use super::timer::Place;
use super::waiter::{Core, Waiter};
use crate::clock::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// For how long a poll may spin without yielding: less than it takes to be polled again.
const LAST_STRETCH: Duration = Duration::from_micros(3);

impl<C: TrueTime + Send + Sync + 'static> Waiter<C> {
    /// A future that is ready once `t` has certainly passed.
    ///
    /// Any executor will do. To be on time it is woken a little early, and then
    /// yields to its executor again and again until the moment: only the first
    /// of all pending waits does so, and only for the `spin` of the settings.
    /// Dropping it frees its place.
    ///
    /// # Errors
    ///
    /// The future's output has those of [`Waiter::wait`], and
    /// [`WaitError::Thread`].
    pub fn wait_async(&self, t: Timestamp) -> WaitFuture<C> {
        WaitFuture::new(self.core.clone(), t, None)
    }

    /// [`wait_async`](Self::wait_async) with a deadline.
    ///
    /// # Errors
    ///
    /// The future's output has those of [`Waiter::wait_until`], and
    /// [`WaitError::Thread`].
    pub fn wait_async_until(&self, t: Timestamp, deadline: Instant) -> WaitFuture<C> {
        WaitFuture::new(self.core.clone(), t, Some(deadline))
    }

    /// How many asynchronous waits are pending.
    pub fn pending(&self) -> usize {
        self.core.pending()
    }
}

/// A pending wait, made by [`Waiter::wait_async`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct WaitFuture<C: TrueTime> {
    core: Arc<Core<C>>,
    target: Timestamp,
    deadline: Option<Instant>,
    started: Option<Instant>,
    place: Option<Place>,
    /// Whom the place would wake.
    waker: Option<Waker>,
    /// When it was first polled as the herald.
    herald: Option<Instant>,
    spun: Duration,
    sleeps: u32,
}

impl<C: TrueTime> WaitFuture<C> {
    fn new(core: Arc<Core<C>>, target: Timestamp, deadline: Option<Instant>) -> WaitFuture<C> {
        WaitFuture {
            core,
            target,
            deadline,
            started: None,
            place: None,
            waker: None,
            herald: None,
            spun: Duration::ZERO,
            sleeps: 0,
        }
    }

    /// Leaves the order, and sees to those who come next in it.
    fn finish(&mut self, past: Option<Timestamp>, at: Instant) -> Waited {
        let heralded = self.herald.is_some() && past.is_some();
        self.leave(heralded);
        let total = self.started.map_or(Duration::ZERO, |started| at - started);
        self.spun += self.herald.map_or(Duration::ZERO, |began| at - began);
        let overshoot = match past {
            Some(earliest) => {
                // The others were woken by the thread, which goes on by itself. If
                // they did this too, two would wake by turns, and an executor with
                // one queue for each would not keep the order.
                if heralded {
                    self.core.wake_due(earliest);
                }
                earliest.duration_since(self.target).unwrap_or_default().min(total)
            }
            None => Duration::ZERO,
        };
        Waited { total, spun: self.spun, overshoot, sleeps: self.sleeps }
    }

    fn leave(&mut self, succeeded: bool) {
        if let Some(place) = self.place.take() {
            self.core.leave(place, self.deadline, succeeded);
        }
    }

    /// What ends the wait without success, if anything does.
    fn failure(
        &self,
        step: Step,
        answer: Result<Interval, ClockError>,
        started: Instant,
        at: Instant,
    ) -> Option<WaitError> {
        let (target, waited) = (self.target, at - started);
        if let Step::Impossible { soonest } = step {
            let left = self.deadline.map_or(Duration::ZERO, |d| d.saturating_duration_since(at));
            let late = |soonest| WaitError::Impossible { target, soonest, left };
            return Some(soonest.map_or(WaitError::Never, late));
        }
        let out_of_time = match self.deadline {
            Some(deadline) => at >= deadline,
            // The clock's silence counts from when this wait began, at the earliest.
            None => self.core.silent(at).min(waited) >= self.core.settings.patience,
        };
        match answer {
            Err(error) if out_of_time || !error.is_transient() => {
                Some(WaitError::Clock { error, waited })
            }
            Ok(_) if out_of_time && self.deadline.is_none() => {
                Some(WaitError::Stalled { stood: self.core.silent(at) })
            }
            Ok(now) if out_of_time => {
                let missing = target.duration_since(now.earliest()).unwrap_or_default();
                Some(WaitError::Deadline { target, missing, waited })
            }
            _ => None,
        }
    }
}

impl<C: TrueTime + Send + Sync + 'static> WaitFuture<C> {
    /// Takes a place in the order, or sees that the one it has wakes the right task.
    fn take_place(
        &mut self,
        waker: &Waker,
        now: Option<Interval>,
        at: Instant,
    ) -> Result<(), WaitError> {
        if let Some(place) = self.place {
            let known = self.waker.as_ref().is_some_and(|known| known.will_wake(waker));
            // A herald that spins will look again, so it takes no lock.
            if known && self.may_spin(at) {
                return Ok(());
            }
            if self.core.renew(place, waker) {
                self.waker = Some(waker.clone());
                return Core::start(&self.core); // there is one, unless it panicked
            }
            // It was woken because it had passed, and now it has not: the clock went back.
            self.leave(false);
            self.spun += self.herald.take().map_or(Duration::ZERO, |began| at - began);
        }
        self.sleeps += 1;
        let (place, is_herald) = self.core.enter(self.target, self.deadline, waker, now);
        self.place = Some(place);
        self.herald = is_herald.then_some(at);
        self.waker = Some(waker.clone());
        Core::start(&self.core)
    }

    /// A herald that is polled for the first time when its moment has passed was woken too late.
    fn learn_if_late(&self, now: Interval) {
        let late = self.herald.is_none() && self.place.is_some_and(|p| self.core.is_herald(p));
        if let (true, Some(over)) = (late, now.earliest().duration_since(self.target)) {
            self.core.learn(Duration::ZERO, over);
        }
    }

    /// The last stretch of the herald. `true`: the moment has passed.
    fn last_stretch(&self) -> bool {
        let began = Instant::now();
        while began.elapsed() < LAST_STRETCH {
            if self.core.clock.after(self.target) == Ok(true) {
                return true;
            }
            hint::spin_loop();
        }
        false
    }

    /// Whether this poll is the herald's, and may ask to be polled again at once.
    fn heralds(&mut self, left: Duration, at: Instant) -> bool {
        let Some(place) = self.place else { return false };
        if self.herald.is_none() && self.core.is_herald(place) {
            self.herald = Some(at);
            self.core.learn(left, Duration::ZERO);
        }
        self.may_spin(at)
    }

    /// Whether it is the herald and has some of its budget left.
    fn may_spin(&self, at: Instant) -> bool {
        self.herald.is_some_and(|began| self.spun + (at - began) < self.core.settings.spin)
    }
}

impl<C: TrueTime + Send + Sync + 'static> Future for WaitFuture<C> {
    type Output = Result<Waited, WaitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let at = Instant::now();
        let first = this.started.is_none();
        let started = *this.started.get_or_insert(at);
        let answer = this.core.clock.now();
        let left = this.deadline.map(|deadline| deadline.saturating_duration_since(at));
        let step = match answer {
            Ok(now) => this.core.settings.planner(Duration::ZERO, Duration::ZERO).step(
                now,
                this.target,
                left,
            ),
            Err(_) => Step::Sleep(this.core.settings.relook),
        };
        if let (Step::Passed, Ok(now)) = (step, answer) {
            this.learn_if_late(now);
            let waited = this.finish(Some(now.earliest()), at);
            return Poll::Ready(Ok(if first { Waited::default() } else { waited }));
        }
        if let Some(error) = this.failure(step, answer, started, at) {
            this.finish(None, at);
            return Poll::Ready(Err(error));
        }
        if let Err(error) = this.take_place(context.waker(), answer.ok(), at) {
            this.finish(None, at);
            return Poll::Ready(Err(error));
        }
        let missing = answer.ok().and_then(|now| this.target.duration_since(now.earliest()));
        let Some(missing) = missing else { return Poll::Pending };
        if this.heralds(missing, at) {
            if missing <= LAST_STRETCH && this.last_stretch() {
                let past = this.core.clock.earliest().ok();
                return Poll::Ready(Ok(this.finish(past, Instant::now())));
            }
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<C: TrueTime> Drop for WaitFuture<C> {
    fn drop(&mut self) {
        self.leave(false);
    }
}
