//! The wait that blocks its thread, as a loop: read the clock, plan, then sleep or spin.

use std::hint;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::error::WaitError;
use super::fine_timer::FineTimer;
use super::margin::Margin;
use super::parker::{Awake, Parker, saturating_add};
use super::planner::Step;
use super::settings::WaitSettings;
use super::stall_detector::StallDetector;
use super::waited::Waited;
use crate::clock::truetime::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// How late this host wakes sleepers. It depends on the kernel and not on the clock,
/// so all blocking waits of the process share one estimate.
static MARGIN: Margin = Margin::new();

/// After how many turns a spinning wait checks its budget, its deadline and whether
/// it was cancelled. In between it reads only the clock.
const POLL_EVERY: u32 = 16;

/// Blocks until `t` has certainly passed by `clock`, with the default settings.
///
/// # Errors
///
/// As [`Waiter::wait`](super::Waiter::wait).
pub fn commit_wait<C: TrueTime + ?Sized>(clock: &C, t: Timestamp) -> Result<Waited, WaitError> {
    block(clock, &WaitSettings::default(), t, None, None)
}

/// Blocks until `t` has certainly passed, the deadline comes, or `parker` is cancelled.
pub(super) fn block<C: TrueTime + ?Sized>(
    clock: &C,
    settings: &WaitSettings,
    target: Timestamp,
    deadline: Option<Instant>,
    parker: Option<&Arc<Parker>>,
) -> Result<Waited, WaitError> {
    if clock.after(target) == Ok(true) {
        return Ok(Waited::default());
    }
    let started = Instant::now();
    let parker = parker.cloned().unwrap_or_default();
    // A clock that is moved by hand ends the sleep. It is read after subscribing, so
    // no move is missed.
    let _subscription =
        clock.changes().map(|changes| changes.subscribe(Waker::from(parker.clone())));
    BlockingWait { clock, settings, target, deadline, parker: &parker, started }.run()
}

/// One blocking wait.
struct BlockingWait<'a, C: ?Sized> {
    clock: &'a C,
    settings: &'a WaitSettings,
    target: Timestamp,
    deadline: Option<Instant>,
    parker: &'a Parker,
    started: Instant,
}

impl<C: TrueTime + ?Sized> BlockingWait<'_, C> {
    fn run(&self) -> Result<Waited, WaitError> {
        let mut waited = Waited::default();
        let mut stall = StallDetector::new(self.started);
        loop {
            // Read the clock. A move of it after this line ends the sleep below.
            let unparks = self.parker.unparks();
            let at = Instant::now();
            let reading = self.clock.now();
            stall.observe(reading.map(|now| now.earliest()), at);

            // Plan the next step.
            let planner = self.settings.planner(waited.spun, MARGIN.get());
            let left = self.deadline.map(|end| end.saturating_duration_since(at));
            let step = match reading {
                Ok(now) => planner.step(now, self.target, left),
                Err(_) => {
                    Step::Sleep(left.map_or(planner.max_sleep, |left| left.min(planner.max_sleep)))
                }
            };
            if step == Step::Passed {
                return Ok(self.passed(waited));
            }
            self.may_continue(step, reading, &stall, at)?;

            // Do it.
            match step {
                // In stretches, because a clock that has stopped must be noticed.
                Step::Spin(_) => waited.spun += self.spin(planner.spin.min(planner.max_sleep)),
                Step::Sleep(sleep) => {
                    waited.sleeps += 1;
                    self.sleep(saturating_add(at, sleep), unparks, reading.is_ok());
                }
                Step::Passed | Step::Impossible { .. } => {}
            }
        }
    }

    /// Every reason to stop, the most important to the caller first.
    fn may_continue(
        &self,
        step: Step,
        reading: Result<Interval, ClockError>,
        stall: &StallDetector,
        at: Instant,
    ) -> Result<(), WaitError> {
        let (target, waited) = (self.target, at - self.started);
        if self.parker.is_cancelled() {
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
            None => stall.stalled_for(at) >= self.settings.patience,
        };
        match reading {
            Err(error) if out_of_time || !error.is_transient() => {
                Err(WaitError::Clock { error, waited })
            }
            Ok(_) if out_of_time && left.is_none() => {
                Err(WaitError::Stalled { stood: stall.stalled_for(at) })
            }
            Ok(now) if out_of_time => {
                let missing = target.duration_since(now.earliest()).unwrap_or_default();
                Err(WaitError::Deadline { target, missing, waited })
            }
            _ => Ok(()),
        }
    }

    /// Sleeps until `then` and, if `learn`, learns how late the host woke it.
    fn sleep(&self, then: Instant, unparks: u64, learn: bool) {
        // Only for the sleep, because restoring the slack would delay the end of the wait.
        let _fine = FineTimer::new();
        if self.parker.sleep_until(then, unparks) == Awake::TimedOut && learn {
            let late = Instant::now().saturating_duration_since(then);
            MARGIN.learn(late, self.settings.spin.max(MARGIN.get()));
        }
    }

    /// Spins until the moment has passed or there is a reason to plan again. Returns
    /// for how long.
    fn spin(&self, budget: Duration) -> Duration {
        let began = Instant::now();
        let mut turns = 0u32;
        // `after` is the cheapest question, and the only one that ends a wait.
        while self.clock.after(self.target) == Ok(false) {
            hint::spin_loop();
            turns = turns.wrapping_add(1);
            if turns % POLL_EVERY == 0 {
                let at = Instant::now();
                let over = at - began >= budget || self.deadline.is_some_and(|end| at >= end);
                if over || self.parker.is_cancelled() {
                    break;
                }
            }
        }
        began.elapsed()
    }

    /// The account of a wait whose last reading showed that the moment has passed.
    fn passed(&self, waited: Waited) -> Waited {
        let total = self.started.elapsed();
        let past = match self.clock.earliest() {
            Ok(earliest) => earliest.duration_since(self.target).unwrap_or_default(),
            Err(_) => Duration::ZERO,
        };
        // If the clock stepped forward, `past` is longer than the wait was. A wait
        // overshoots by its own length at most.
        Waited { total, overshoot: past.min(total), ..waited }
    }
}
