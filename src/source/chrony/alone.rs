//! [`ChronyAlone`]: chronyd's report as the only evidence, where the system denies `adjtimex`.
//!
//! systemd's `ProtectClock=yes` and `SystemCallFilter=@system-service` deny every form of
//! `adjtimex`, reading included. The kernel's bound is then out of reach, and so is what a
//! clock learns from it besides: that the wall clock was stepped (the kernel sets its bound to
//! 16 s), and whether a slew is under way. chronyd's report still is a statement of the wall
//! clock's error at the moment of the answer. It holds if chronyd knows of every step.
//!
//! So the steps are observed here. REALTIME − MONOTONIC changes by nothing else. The
//! clock's thread wakes at a step (timerfd), and the difference is compared at each sample,
//! before the request and after the answer. What follows from it:
//!
//! - *A step before this clock's first look* cannot be seen. If it came after chronyd's last
//!   update, chronyd does not know of it. So nothing is believed until chronyd has made an
//!   update while this clock watched: its reference time has moved. (chronyd itself notices
//!   jumps of 10 s and more, and reports that it is not synchronised.)
//! - *A step that is seen* may be chronyd's own or another program's. A program's step shows in
//!   chronyd's next measurement, but chronyd may take many updates to follow it, because it
//!   fits a line to several measurements. So its size is added to chronyd's bound, until
//!   chronyd reports an offset of that size (it has measured the step, or made it), or has
//!   made [`UPDATES_AFTER_STEP`] updates.
//! - *A suspend*: after it the wall clock comes from the RTC. Nothing is believed until
//!   chronyd's next update.
//! - *A slew* between the request and the reading moves the wall clock by at most 12 % of that
//!   time, which is added.
//!
//! What remains unseen: a step shortly before chronyd's first update that this clock saw, which
//! that update did not take in fully. The same step is unseen with the kernel's bound, which
//! chronyd overwrites at that update.
//!
//! The report is an estimate, so an allowance is added for what it leaves out, and for the time since
//! its newest poll (`allowance`).
//!
//! The sample is kept for a second, so that a process with many clocks does not burden
//! chronyd. It stays true for its own moment, and the counter carries it from there.

use std::time::Duration;

use crate::counter::Counter;
use crate::evidence::{Reason, Sample, SourceError};
use crate::host::{
    HostClock, HostError, KernelState, STA_DEL, STA_INS, SUSPEND_NOISE_NS, TIME_DEL, TIME_INS,
    TIME_OK, suspended_ns,
};
use crate::scale::LeapTable;
use crate::source::chrony::allowance::{FitWatch, Trust};
use crate::source::chrony::check::reference_error_ns_of;
use crate::source::chrony::tracking::{Leap, Tracking};
use crate::source::daemons::TimeDaemons;
use crate::source::realtime::{PendingLeap, Realtime};
use crate::source::wall_clock::WallClock;
use crate::timestamp::NANOS_PER_SECOND;

/// How long a sample is kept, and for how long no request follows one without an answer.
const GOOD_FOR_NS: i64 = NANOS_PER_SECOND;

/// How often a report is requested again after chronyd was asked what it rests on.
const TRIES: u32 = 3;

/// How many updates chronyd has made before a step that it never reported as an offset no
/// longer counts. With 64 s between two of them it is half an hour.
const UPDATES_AFTER_STEP: u32 = 32;

/// How many steps are kept apart.
const MOST_STEPS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ChronyAlone {
    watch: Option<Watch>,
    /// The outcome of the last request, and until when it counts.
    kept: Option<(Result<Sample, SourceError>, i64)>,
    last: Option<Tracking>,
    pending_leap: Option<PendingLeap>,
    /// So many updates prove nothing yet, because the machine was moved before them.
    misled_updates: u32,
    /// What chronyd's estimate rests on.
    fit: FitWatch,
    trust: Trust,
}

/// What was seen of the wall clock and of chronyd so far.
#[derive(Debug)]
struct Watch {
    realtime: Realtime,
    suspended_ns: Option<i64>,
    reference_time: Option<Duration>,
    /// Updates of chronyd since the first look, or since the last suspend.
    updates: u32,
    steps: Vec<Step>,
    /// Something jumped since the last report, so a moved reference time proves no update.
    has_jumped: bool,
}

/// A step that chronyd may not know of.
#[derive(Clone, Copy, Debug)]
struct Step {
    by_ns: u64,
    /// chronyd's updates since.
    updates: u32,
}

impl ChronyAlone {
    /// chronyd's last report.
    pub(crate) fn tracking(&self) -> Option<&Tracking> {
        self.last.as_ref()
    }

    /// The machine was moved or restored: how far its clock is off is not known to chronyd until
    /// it has measured it several times.
    pub(crate) fn disrupted(&mut self) {
        *self = ChronyAlone {
            misled_updates: UPDATES_AFTER_STEP.saturating_sub(1),
            trust: self.trust,
            ..Self::default()
        };
    }

    /// How chronyd's report is taken.
    pub(crate) fn trusting(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// A sample by chronyd's report. `denied` says why the kernel is not read.
    pub(crate) fn sample(
        &mut self,
        counter: &Counter,
        daemons: &mut dyn TimeDaemons,
        wall_clock: &WallClock,
        denied: HostError,
        reference_error_ns: Option<u64>,
    ) -> Result<Sample, SourceError> {
        let host = counter.host();
        let has_jumped = self.look(counter, wall_clock)?;
        let before_ns = host.nanos(HostClock::Monotonic)?;
        if let Some((outcome, until_ns)) = &self.kept {
            if !has_jumped && before_ns < *until_ns {
                return outcome.clone();
            }
        }
        let outcome =
            self.request(counter, daemons, wall_clock, denied, before_ns, reference_error_ns);
        let until_ns = host.nanos(HostClock::Monotonic)?.saturating_add(GOOD_FOR_NS);
        self.kept = Some((outcome.clone(), until_ns));
        outcome
    }

    fn request(
        &mut self,
        counter: &Counter,
        daemons: &mut dyn TimeDaemons,
        wall_clock: &WallClock,
        denied: HostError,
        before_ns: i64,
        reference_error_ns: Option<u64>,
    ) -> Result<Sample, SourceError> {
        let refuse = |detail: String| {
            SourceError::no_bound(Reason::Denied, format_args!("{denied}; chronyd: {detail}"))
        };
        let (mut before_ns, mut report) = (before_ns, daemons.chrony_tracking());
        for _ in 0..TRIES {
            let Ok(tracking) = &report else { break };
            let shown = Realtime::read(counter)?;
            if !self.fit.follow(tracking, daemons, (shown.unix_ns, before_ns)) {
                break;
            }
            // That took time, in which the clock may have been slewed.
            before_ns = counter.host().nanos(HostClock::Monotonic)?;
            report = daemons.chrony_tracking();
        }
        self.last = report.as_ref().ok().copied();
        let tracking = report.map_err(|error| refuse(error.to_string()))?;
        let bound_ns = bound_ns(&tracking).map_err(&refuse)?;
        let of_reference_ns = reference_error_ns_of(&tracking, daemons, reference_error_ns);
        let bound_ns = bound_ns.saturating_add(of_reference_ns.map_err(|why| {
            SourceError::no_bound(Reason::ReferenceStatesNoBound, format_args!("{denied}; {why}"))
        })?);
        // Before the next look: a step that is seen there came after this report.
        if let Some(watch) = &mut self.watch {
            watch.note_report(&tracking, bound_ns);
        }
        self.look(counter, wall_clock)?;
        let read = Realtime::read_narrowest(counter)?;
        self.look(counter, wall_clock)?;
        let took_ns = counter.host().nanos(HostClock::Monotonic)?.saturating_sub(before_ns);
        let Some(watch) = self.watch.as_ref().filter(|watch| watch.updates > self.misled_updates)
        else {
            return Err(refuse(format!(
                "its report counts once it has made {} while this clock watches, because a step \
                 before is not seen (it makes one every {:.0} s)",
                match self.misled_updates {
                    0 => "an update".to_owned(),
                    misled => format!("{} updates", misled.saturating_add(1)),
                },
                tracking.update_interval
            )));
        };
        let allowance_ns = match self.trust {
            Trust::Within(ppm) => self.fit.live_allowance_ns(&tracking, read.unix_ns, ppm),
            Trust::AsStated => 0,
        };
        let error_ns = bound_ns
            .saturating_add(allowance_ns)
            .saturating_add(watch.unknown_ns())
            .saturating_add(took_ns.max(0).unsigned_abs() / 8);
        let leap = as_kernel(tracking.leap);
        let leaps = wall_clock.leaps();
        self.pending_leap = PendingLeap::update(self.pending_leap, &leaps, &read, &leap);
        let error = Duration::from_nanos(error_ns);
        let time = wall_clock.tai(&read, error, None, self.pending_leap)?;
        Ok(Sample::new(read.before, read.after, time))
    }

    /// Looks at the clocks. `true` if there was a step or a suspend since the last look.
    fn look(&mut self, counter: &Counter, wall_clock: &WallClock) -> Result<bool, SourceError> {
        let realtime = Realtime::read_narrowest(counter)?;
        let suspended_ns = suspended_ns(counter.host())?;
        let Some(watch) = &mut self.watch else {
            self.watch = Some(Watch {
                realtime,
                suspended_ns,
                reference_time: None,
                updates: 0,
                steps: Vec::new(),
                has_jumped: false,
            });
            return Ok(false);
        };
        Ok(watch.note_look(realtime, suspended_ns, wall_clock))
    }
}

impl Watch {
    fn note_look(
        &mut self,
        now: Realtime,
        suspended_ns: Option<i64>,
        wall_clock: &WallClock,
    ) -> bool {
        let before = std::mem::replace(&mut self.realtime, now);
        let slept = suspended_ns.zip(self.suspended_ns).map_or(0, |(now, then)| now - then);
        self.suspended_ns = suspended_ns;
        let was_suspended = slept > SUSPEND_NOISE_NS;
        if was_suspended {
            self.updates = 0;
        } else if !wall_clock.was_stepped(&before, &now) {
            return false;
        }
        self.has_jumped = true;
        // In a suspend MONOTONIC stands still, so REALTIME gains on it by just as much.
        let gained = |earlier: i64, later: i64| {
            later.saturating_sub(earlier).saturating_sub(if was_suspended { slept } else { 0 })
        };
        let furthest = gained(before.offset.1, now.offset.0)
            .unsigned_abs()
            .max(gained(before.offset.0, now.offset.1).unsigned_abs());
        if was_suspended && furthest <= SUSPEND_NOISE_NS.unsigned_abs() {
            return true;
        }
        let by_ns = furthest.saturating_add(leap_between(&wall_clock.leaps(), &before, &now));
        if self.steps.len() == MOST_STEPS {
            if let Some(last) = self.steps.pop() {
                self.steps.push(Step { by_ns: last.by_ns.saturating_add(by_ns), updates: 0 });
            }
        } else {
            self.steps.push(Step { by_ns, updates: 0 });
        }
        true
    }

    /// Counts an update, and forgets the steps that chronyd has taken in.
    fn note_report(&mut self, tracking: &Tracking, bound_ns: u64) {
        let before = self.reference_time.replace(tracking.reference_time);
        // chronyd moves its reference time with a step of its own.
        let has_jumped = std::mem::take(&mut self.has_jumped);
        if !has_jumped && before.is_some_and(|before| tracking.is_after_update(before)) {
            self.updates = self.updates.saturating_add(1);
            for step in &mut self.steps {
                step.updates = step.updates.saturating_add(1);
            }
        }
        let measured_ns = (tracking.last_offset.abs() * 1e9).round() as u64;
        self.steps.retain(|step| {
            // An offset of this size is noise if the bound is as large.
            let is_measured = step.by_ns > bound_ns.saturating_mul(2)
                && step.by_ns.abs_diff(measured_ns) <= step.by_ns / 10;
            !is_measured && step.updates < UPDATES_AFTER_STEP
        });
    }

    /// How far chronyd's report may be off by steps that it does not know of.
    fn unknown_ns(&self) -> u64 {
        self.steps.iter().fold(0, |sum, step| sum.saturating_add(step.by_ns))
    }
}

/// chronyd's bound, if it has one that is its own measurement.
fn bound_ns(tracking: &Tracking) -> Result<u64, String> {
    let bound_ns = tracking.bound_ns().ok_or_else(|| match tracking.leap {
        Leap::Unsynchronized => "it is not synchronised to anything (yet)".to_owned(),
        _ => "it follows its own clock only (`local`)".to_owned(),
    })?;
    Ok(bound_ns)
}

/// The leap seconds of the table between two readings, in nanoseconds either way.
fn leap_between(leaps: &LeapTable, before: &Realtime, now: &Realtime) -> u64 {
    let offset = |read: &Realtime| leaps.offsets_near(read.unix_seconds(), 0);
    match (offset(before), offset(now)) {
        (Some((then, _)), Some((now, _))) => {
            u64::from(now.abs_diff(then)).saturating_mul(NANOS_PER_SECOND.unsigned_abs())
        }
        _ => NANOS_PER_SECOND.unsigned_abs(),
    }
}

/// The leap second that chronyd announces, as it would tell the kernel.
fn as_kernel(leap: Leap) -> KernelState {
    let (state, status) = match leap {
        Leap::Insert => (TIME_INS, STA_INS),
        Leap::Delete => (TIME_DEL, STA_DEL),
        Leap::Normal | Leap::Unsynchronized => (TIME_OK, 0),
    };
    KernelState { state, status, ..KernelState::BLANK }
}

#[cfg(test)]
mod tests;
