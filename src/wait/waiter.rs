//! [`Waiter`], and the wait that blocks its thread.

use std::hint;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::margin::Margin;
use super::outcome::{WaitError, Waited};
use super::plan::{Planner, Step};
use super::sleep::{Bed, Cancel, FineTimer};
use super::timer::Timer;
use super::watch::Watch;
use crate::clock::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// How late this host wakes its sleepers. That is the kernel's doing and no
/// clock's, so all blocking waits of the process learn it together.
static MARGIN: Margin = Margin::new();

/// How often a spinning wait looks at anything but the clock: every 16 turns.
const GLANCE: u32 = 16;

/// How waits are done. The defaults suit a database on an ordinary host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitSettings {
    pub(super) drift_ppm: u32,
    pub(super) spin: Duration,
    pub(super) relook: Duration,
    pub(super) patience: Duration,
}

impl Default for WaitSettings {
    fn default() -> WaitSettings {
        let Planner { drift_ppm, spin, relook, .. } = Planner::default();
        WaitSettings { drift_ppm, spin, relook, patience: Duration::from_secs(1) }
    }
}

impl WaitSettings {
    /// How far the monotonic clock's rate may be from true time; 200 ppm unless set.
    ///
    /// Sleeps are that much shorter. A kernel clock that is being slewed hard
    /// may be further off; then a sleep ends late, never wrong.
    pub fn drift_ppm(self, drift_ppm: u32) -> Self {
        WaitSettings { drift_ppm, ..self }
    }

    /// For how long one wait may spin, in all; 150 µs unless set.
    ///
    /// It buys precision with a processor. With 0 a wait only sleeps, and ends
    /// as late as the kernel wakes it: 30 to 200 µs.
    pub fn spin(self, spin: Duration) -> Self {
        WaitSettings { spin, ..self }
    }

    /// The longest single sleep; 5 ms unless set.
    ///
    /// After each the clock is read anew, so a bound that has narrowed ends the
    /// wait sooner by all but this.
    pub fn relook(self, relook: Duration) -> Self {
        WaitSettings { relook, ..self }
    }

    /// For how long a wait without a deadline bears a clock that does not
    /// answer, or stands still; 1 s unless set.
    pub fn patience(self, patience: Duration) -> Self {
        WaitSettings { patience, ..self }
    }

    /// The plan of a wait that has spun for `spun` already.
    pub(super) fn planner(&self, spun: Duration, margin: Duration) -> Planner {
        let spin = self.spin.saturating_sub(spun);
        Planner { drift_ppm: self.drift_ppm, spin, margin, relook: self.relook }
    }
}

/// Waits until moments have certainly passed.
///
/// A clone shares the clock and the timer of the asynchronous waits.
#[derive(Debug)]
pub struct Waiter<C> {
    pub(super) core: Arc<Core<C>>,
}

/// What the clones of a waiter, its futures and its timer share.
#[derive(Debug)]
pub(super) struct Core<C> {
    pub(super) clock: C,
    pub(super) settings: WaitSettings,
    pub(super) timer: Timer,
}

impl<C> Clone for Waiter<C> {
    fn clone(&self) -> Waiter<C> {
        Waiter { core: self.core.clone() }
    }
}

impl<C: TrueTime> Waiter<C> {
    /// A waiter with the default settings.
    pub fn new(clock: C) -> Waiter<C> {
        Waiter::with(clock, WaitSettings::default())
    }

    /// A waiter with these settings.
    pub fn with(clock: C, settings: WaitSettings) -> Waiter<C> {
        Waiter { core: Arc::new(Core { clock, settings, timer: Timer::default() }) }
    }

    /// The clock below.
    pub fn clock(&self) -> &C {
        &self.core.clock
    }

    /// Blocks until `t` has certainly passed.
    ///
    /// # Errors
    ///
    /// When the clock has not answered, or has stood still, for the `patience`
    /// of the settings; at once if `t` is [`Timestamp::MAX`].
    pub fn wait(&self, t: Timestamp) -> Result<Waited, WaitError> {
        self.block(t, None, &Bed::default())
    }

    /// Blocks until `t` has certainly passed, or the deadline comes.
    ///
    /// A clock that does not answer is borne with until the deadline.
    ///
    /// # Errors
    ///
    /// At once when `t` cannot pass before the deadline, whatever evidence may
    /// come; at the deadline when it has not passed. If the bound never
    /// narrowed, that is known before: to learn it, compare `t` with
    /// `earliest()` yourself.
    pub fn wait_until(&self, t: Timestamp, deadline: Instant) -> Result<Waited, WaitError> {
        self.block(t, Some(deadline), &Bed::default())
    }

    /// As [`wait`](Self::wait), or with a deadline as
    /// [`wait_until`](Self::wait_until), until another thread cancels it.
    ///
    /// # Errors
    ///
    /// As those, and [`WaitError::Cancelled`], unless `t` has passed already.
    pub fn wait_cancellable(
        &self,
        t: Timestamp,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Waited, WaitError> {
        self.block(t, deadline, &cancel.bed)
    }

    /// One wait for a batch: when it returns, each of the moments has passed.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_all<T: Into<Timestamp>>(
        &self,
        batch: impl IntoIterator<Item = T>,
    ) -> Result<Waited, WaitError> {
        batch.into_iter().map(Into::into).max().map_or(Ok(Waited::default()), |t| self.wait(t))
    }

    fn block(&self, t: Timestamp, end: Option<Instant>, bed: &Bed) -> Result<Waited, WaitError> {
        block(&self.core.clock, &self.core.settings, t, end, bed)
    }
}

/// Blocks until `t` has certainly passed by `clock`, with the default settings.
///
/// # Errors
///
/// As [`Waiter::wait`].
pub fn commit_wait<C: TrueTime + ?Sized>(clock: &C, t: Timestamp) -> Result<Waited, WaitError> {
    block(clock, &WaitSettings::default(), t, None, &Bed::default())
}

fn block<C: TrueTime + ?Sized>(
    clock: &C,
    settings: &WaitSettings,
    t: Timestamp,
    deadline: Option<Instant>,
    bed: &Bed,
) -> Result<Waited, WaitError> {
    if clock.after(t) == Ok(true) {
        return Ok(Waited::default());
    }
    let started = Instant::now();
    let wait = Blocking { clock, settings, target: t, deadline, bed, started };
    wait.run()
}

/// One blocking wait.
struct Blocking<'a, C: ?Sized> {
    clock: &'a C,
    settings: &'a WaitSettings,
    target: Timestamp,
    deadline: Option<Instant>,
    bed: &'a Bed,
    started: Instant,
}

impl<C: TrueTime + ?Sized> Blocking<'_, C> {
    fn run(&self) -> Result<Waited, WaitError> {
        let mut waited = Waited::default();
        let mut watch = Watch::new(self.started);
        loop {
            let at = Instant::now();
            let answer = self.clock.now();
            watch.saw(answer.map(|now| now.earliest()), at);
            let planner = self.settings.planner(waited.spun, MARGIN.get());
            let left = self.deadline.map(|end| end.saturating_duration_since(at));
            let step = match answer {
                Ok(now) => planner.step(now, self.target, left),
                Err(_) => Step::Sleep(left.map_or(planner.relook, |left| left.min(planner.relook))),
            };
            if step == Step::Passed {
                return Ok(self.passed(waited));
            }
            self.may_go_on(step, answer, &watch, at)?;
            match step {
                // A stretch at a time: a clock that stands still must be noticed.
                Step::Spin(_) => waited.spun += self.spin(planner.spin.min(planner.relook)),
                Step::Sleep(sleep) => {
                    waited.sleeps += 1;
                    self.sleep(at, sleep, answer.is_ok());
                }
                Step::Passed | Step::Impossible { .. } => {}
            }
        }
    }

    /// Every reason to stop, in the order in which they matter to the caller.
    fn may_go_on(
        &self,
        step: Step,
        answer: Result<Interval, ClockError>,
        watch: &Watch,
        at: Instant,
    ) -> Result<(), WaitError> {
        let (target, waited) = (self.target, at - self.started);
        if self.bed.is_cancelled() {
            return Err(WaitError::Cancelled);
        }
        let left = self.deadline.map(|end| end.saturating_duration_since(at));
        if let Step::Impossible { soonest } = step {
            let late =
                |soonest| WaitError::Impossible { target, soonest, left: left.unwrap_or_default() };
            return Err(soonest.map_or(WaitError::Never, late));
        }
        let out_of_time = match left {
            Some(left) => left.is_zero(),
            None => watch.silent(at) >= self.settings.patience,
        };
        match answer {
            Err(error) if out_of_time || !error.is_transient() => {
                Err(WaitError::Clock { error, waited })
            }
            Ok(_) if out_of_time && left.is_none() => {
                Err(WaitError::Stalled { stood: watch.silent(at) })
            }
            Ok(now) if out_of_time => {
                let missing = target.duration_since(now.earliest()).unwrap_or_default();
                Err(WaitError::Deadline { target, missing, waited })
            }
            _ => Ok(()),
        }
    }

    /// Sleeps, and learns how late the host woke it.
    fn sleep(&self, at: Instant, sleep: Duration, learn: bool) {
        // For the sleep alone: to give it back takes time that the end of a wait has not.
        let _fine = FineTimer::new();
        let then = later(at, sleep);
        if self.bed.sleep_until(then) && learn {
            let late = Instant::now().saturating_duration_since(then);
            MARGIN.learn(late, self.settings.spin.max(MARGIN.get()));
        }
    }

    /// Spins until the moment has passed or there is a reason to plan again.
    fn spin(&self, budget: Duration) -> Duration {
        let began = Instant::now();
        let mut turns = 0u32;
        // `after` is the cheapest question, and the only one that ends a wait.
        while self.clock.after(self.target) == Ok(false) {
            hint::spin_loop();
            turns = turns.wrapping_add(1);
            if turns % GLANCE == 0 {
                let at = Instant::now();
                let over = at - began >= budget || self.deadline.is_some_and(|end| at >= end);
                if over || self.bed.is_cancelled() {
                    break;
                }
            }
        }
        began.elapsed()
    }

    /// The account of a wait whose last look found the moment passed.
    fn passed(&self, waited: Waited) -> Waited {
        let total = self.started.elapsed();
        let past = match self.clock.earliest() {
            Ok(earliest) => earliest.duration_since(self.target).unwrap_or_default(),
            Err(_) => Duration::ZERO,
        };
        // A step forward is no fault of the wait: it overshot by its own length at most.
        Waited { total, overshoot: past.min(total), ..waited }
    }
}

/// `at + span`, or a year from then where that is beyond what can be counted.
pub(super) fn later(at: Instant, span: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    at.checked_add(span).unwrap_or(at + YEAR)
}
