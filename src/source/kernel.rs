//! The kernel's own bound: `CLOCK_REALTIME`, and `maxerror` of `adjtimex`.
//!
//! A time daemon may tell the kernel how far off its clock can be. The kernel keeps that
//! number, lets it grow by 500 µs a second, and shows it to any process. An honest daemon
//! (chronyd) writes root delay / 2 + root dispersion + the offset that it has not corrected
//! yet, and then `REALTIME ± maxerror` certainly contains UTC.
//!
//! Often the number is not a bound, or not at this moment. This module finds these cases
//! and refuses them ([rule 3](crate::_design#rule-3)):
//!
//! - *No program writes it*: the kernel reports UNSYNC, and maxerror stands at 16 s.
//! - *Zero is written* by daemons that have no bound ([`source::daemon`](super::daemon)), and
//!   16 µs by an ntpd that has not reached a server yet. Because the kernel only ever adds
//!   500 µs, `maxerror mod 500` shows what was written last. A bound with one of these marks
//!   is refused.
//! - *It is stale*: the 500 µs are added once a second, at the next timer tick.
//!   `CLOCK_REALTIME_COARSE` moves at the same ticks, so it shows up to which second that was
//!   done. The growth since then, or since a write that was seen (`source::write_moment`), is added.
//! - *A correction is under way*: with the kernel's PLL (STA_PLL), or `adjtime()`, the kernel
//!   is given an offset and corrects it step by step. The rest counts as error, and so does
//!   the part that is under way (`source::in_flight`). The error of a clock may also grow
//!   faster than its bound: if it is slewed by more than the 500 ppm of maxerror's growth,
//!   less what the oscillator itself may be off.
//! - *Two system calls are not one*: a step may fall between reading the bound and reading the
//!   clock. So the bound is read before and after, and both reads must agree.
//! - *A leap second*: REALTIME runs on past midnight for a few ms before it steps
//!   back. Around a leap, both offsets to TAI are covered.
//! - *The flag is not the bound*: a chronyd without `rtcsync` states its bound and leaves the
//!   kernel flagged. So chronyd's report is read too (`source::chrony`), and the larger of
//!   its bound and the kernel's counts.
//! - *The oscillator is off too far*: what the daemon corrects it by shows
//!   (`source::rate_correction`).
//! - *A step beside the daemon*: it may state for a while what held before the step
//!   (`source::unaccounted_step`).
//! - *It is an estimate*: chronyd's line through its polls may be off (`source::chrony::allowance`).
//! - *The daemon has died*: its bound holds and grows, and nothing updates it
//!   (`source::update_watch`).
//! - *Another time is shown*: `adjtimex` also returns the kernel's own wall clock. If the one that
//!   this process is shown differs (libfaketime, for example), the bound is not one of what it reads.
//! - *A suspend*: after a resume REALTIME comes from the RTC, and maxerror does not show it. The
//!   kernel's bound is refused until the daemon writes again.
//! - *The machine was moved* to another host, or restored from a snapshot: its clocks go on as if
//!   no time had passed, and so does the daemon (`source::after_move`).

use std::sync::Arc;
use std::time::Duration;

use crate::counter::{Counter, DEFAULT_MAX_DRIFT_PPM};
use crate::evidence::{Reason, Role, Sample, Source, SourceCondition, SourceError};
use crate::host::{
    GROWTH_PPM, Host, HostClock, HostError, KernelState, STA_PLL, SUSPEND_NOISE_NS, TIME_OOP,
    TIME_WAIT, suspended_ns,
};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::source::after_move::AfterMove;
use crate::source::chrony::Tracking;
use crate::source::chrony::allowance::Trust;
use crate::source::chrony::alone::ChronyAlone;
use crate::source::daemons::{HostDaemons, TimeDaemons};
use crate::source::in_flight::InFlight;
use crate::source::rate_correction::{Correction, RateCorrection};
use crate::source::realtime::{PendingLeap, READING_STEP_NS, Realtime};
use crate::source::unaccounted_step::UnaccountedStep;
use crate::source::update_watch::UpdateWatch;
use crate::source::wall_clock::WallClock;
use crate::source::write_moment::WriteMoment;
use crate::source::writer::WriterCheck;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// The kernel's clock and its bound, if it has an honest one.
pub struct Kernel {
    wall_clock: Arc<WallClock>,
    /// Which program wrote the bound, and whether it may be believed.
    writer: WriterCheck,
    /// How long the host had been suspended in all at the last sample.
    suspended_ns: Option<i64>,
    /// Whether the kernel had a bound at the last sample, and when that was.
    had_bound: (bool, i64),
    /// The writer's mark at the first sample after a suspend, until it changes.
    since_suspend: Option<i64>,
    /// The leap second that the kernel was told of.
    pending_leap: Option<PendingLeap>,
    in_flight: InFlight,
    rate_correction: RateCorrection,
    unaccounted_step: UnaccountedStep,
    updates: UpdateWatch,
    /// When the present bound was written.
    write_moment: WriteMoment,
    /// What the daemon may not have noticed yet, since the machine was moved.
    after_move: Option<AfterMove>,
    /// How many updates had been seen when chronyd was found to be gone.
    updates_at_loss: Option<u64>,
    condition: SourceCondition,
    /// What counts where the system denies `adjtimex`.
    chrony_alone: ChronyAlone,
    /// By how much the oscillator itself may be off (A2).
    max_drift_ppm: u32,
    role: Role,
}

impl Kernel {
    /// The kernel's bound, with `leaps` to go from UTC to TAI.
    pub fn new(leaps: LeapTable) -> Kernel {
        let wall_clock = Arc::new(WallClock::new(leaps, RealtimeScale::Utc));
        Kernel::of(wall_clock, Box::new(HostDaemons::default()))
    }

    /// The bound of a kernel whose clock is `wall_clock`, beside these daemons.
    pub(crate) fn of(wall_clock: Arc<WallClock>, daemons: Box<dyn TimeDaemons>) -> Kernel {
        Kernel {
            wall_clock,
            writer: WriterCheck::new(daemons),
            suspended_ns: None,
            had_bound: (false, 0),
            since_suspend: None,
            pending_leap: None,
            in_flight: InFlight::default(),
            rate_correction: RateCorrection::default(),
            unaccounted_step: UnaccountedStep::default(),
            updates: UpdateWatch::default(),
            write_moment: WriteMoment::default(),
            after_move: None,
            updates_at_loss: None,
            condition: SourceCondition::default(),
            chrony_alone: ChronyAlone::default(),
            max_drift_ppm: DEFAULT_MAX_DRIFT_PPM,
            role: Role::Evidence,
        }
    }

    /// Its bound is held against other evidence, and is none itself.
    pub(crate) fn cross_checking(self) -> Kernel {
        Kernel { role: Role::CrossCheck, ..self }
    }

    /// Like `self`, for a `CLOCK_REALTIME` that follows `scale` (for example a smear).
    pub(crate) fn showing(self, leaps: LeapTable, scale: RealtimeScale) -> Kernel {
        Kernel { wall_clock: Arc::new(WallClock::new(leaps, scale)), ..self }
    }

    /// Refuses a bound that chronyd does not confirm.
    pub(crate) fn confirmed_only(mut self) -> Kernel {
        self.writer.needs_chrony();
        self
    }

    /// By how much the oscillator may be off: a slew comes on top of it.
    pub(crate) fn max_drift_ppm(mut self, ppm: u32) -> Kernel {
        self.max_drift_ppm = ppm;
        self
    }

    /// chronyd's fit follows the oscillator within A3's wander, where that is set.
    pub(crate) fn max_wander_ppm(self, ppm: Option<u32>) -> Kernel {
        let trust = self.writer.trust().with_wander(ppm);
        self.trusting(trust)
    }

    /// Takes chronyd's estimate for a bound, as it states it, in place of the kernel's (see
    /// [`ClockBuilder::believe_chrony_estimate`](crate::ClockBuilder::believe_chrony_estimate)).
    #[must_use]
    pub fn believing_chrony_estimate(self) -> Kernel {
        self.trusting(Trust::AsStated)
    }

    fn trusting(mut self, trust: Trust) -> Kernel {
        self.writer.trusting(trust);
        self.chrony_alone.trusting(trust);
        self
    }

    /// Reads the report of this host's chronyd too, if there is one. It shows that chronyd
    /// wrote the bound, it can confirm one that the kernel leaves flagged, and the larger bound
    /// counts.
    #[must_use]
    pub fn with_chrony(mut self) -> Kernel {
        self.writer.asks_chrony();
        self
    }

    /// Takes `maxerror` for a bound, whichever program writes it.
    ///
    /// The operator's judgement replaces the one made here. If the kernel reports that it is
    /// not synchronised, its bound is still refused.
    #[must_use]
    pub fn believing_any_writer(mut self) -> Kernel {
        self.writer.believes_any_writer();
        self
    }

    /// The operator states how far a reference clock of the daemon may be off (see
    /// [`ClockBuilder::reference_error`](crate::ClockBuilder::reference_error)).
    #[must_use]
    pub fn reference_error(mut self, error: Duration) -> Kernel {
        self.writer.reference_error(error);
        self
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl Source for Kernel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        match self.sample_kernel(counter) {
            Err(SourceError::Host(denied)) if denied.is_adjtimex() && self.writer.has_chrony() => {
                let Kernel { writer, wall_clock, .. } = self;
                let reference_ns = writer.reference_error_ns();
                let daemons = writer.daemons();
                let sample =
                    self.chrony_alone.sample(counter, daemons, wall_clock, denied, reference_ns);
                self.note_chrony_alone(counter.host())?;
                sample
            }
            outcome => outcome,
        }
    }

    /// All that follows the kernel from sample to sample begins anew: the oscillator is another
    /// one, and the daemon does not know how far the clock is off.
    fn disrupted(&mut self) {
        self.writer.disrupted();
        self.suspended_ns = None;
        self.had_bound = (false, 0);
        self.since_suspend = None;
        self.in_flight = InFlight::default();
        self.rate_correction = RateCorrection::default();
        self.unaccounted_step = UnaccountedStep::default();
        self.updates = UpdateWatch::default();
        self.write_moment = WriteMoment::default();
        self.after_move = Some(AfterMove::default());
        self.updates_at_loss = None;
        self.condition = SourceCondition::default();
        self.chrony_alone.disrupted();
    }

    fn role(&self) -> Role {
        self.role
    }

    fn details(&self) -> Option<String> {
        let alone = || self.chrony_alone.tracking().map(ToString::to_string);
        self.writer.details().or_else(alone)
    }

    fn condition(&self) -> SourceCondition {
        self.condition.clone()
    }
}

impl Kernel {
    /// The sample by the kernel's bound.
    fn sample_kernel(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before_daemons = Realtime::read(counter)?;
        self.writer.ask(counter.host())?;
        let evidence = gather(counter)?;
        if evidence.realtime.was_stepped_since(&before_daemons) {
            self.writer.note_step();
        }
        self.judge(&evidence)
    }

    /// The sample that follows from what was read. This part reads nothing itself.
    fn judge(&mut self, evidence: &Evidence) -> Result<Sample, SourceError> {
        // Everything that follows the kernel from sample to sample takes note of this one
        // first, because a refusal below must not hide a change from the next sample.
        self.notice_suspend(evidence);
        let under_way = self.note_in_flight(evidence);
        let kernel = &evidence.kernel.1;
        let read = &evidence.realtime;
        let leaps = self.wall_clock.leaps();
        self.pending_leap = PendingLeap::update(self.pending_leap, &leaps, read, kernel);
        self.note_updates(evidence);
        self.write_moment.note(kernel, read.unix_ns.saturating_sub(read.offset.1));
        self.note_move(evidence);
        let ahead_ns = self.note_steps(evidence);
        let (correction, drift_ppm) = self.note_rate_correction(evidence);
        self.condition.drift_ppm = drift_ppm;

        let excess_ns = self.writer.excess_ns(&evidence.kernel)?;
        if let Some(after_move) = &self.after_move {
            return Err(SourceError::no_bound(Reason::Disrupted, after_move));
        }
        let written = self.write_moment.not_before_ns(&evidence.kernel);
        let written = written.filter(|_| self.writer.has_allowance());
        let stated_ns = stated_error_ns(evidence, self.since_suspend, excess_ns, written)?;
        let estimate_ns = self.writer.estimate_ns(&evidence.kernel, evidence.monotonic_ns);
        let error_ns = estimate_ns.unwrap_or(stated_ns);
        check_covered(correction, evidence)?;
        let error = Duration::from_nanos(error_ns.saturating_add(under_way));
        let time = self.wall_clock.tai(read, error, Some(kernel), self.pending_leap)?;
        let time = with_unaccounted_steps(time, ahead_ns);
        self.condition.unaccounted_ns = ahead_ns;
        Ok(Sample::new(read.before, read.after, time))
    }

    /// After a move of the machine, waits until the daemon has measured how far the clock is off.
    fn note_move(&mut self, evidence: &Evidence) {
        let Some(after_move) = &mut self.after_move else { return };
        let has_bound = evidence.kernel.1.has_bound();
        if after_move.is_over(&evidence.realtime, has_bound, self.updates.updates()) {
            self.after_move = None;
        }
    }

    /// Takes note of the daemon's updates, and of whether it still makes any.
    fn note_updates(&mut self, evidence: &Evidence) {
        let now_ns = evidence.monotonic_ns;
        self.updates.note(&evidence.kernel.1, self.writer.tracking(), now_ns);
        let updates = self.updates.updates();
        let gone = self.writer.chronyd_gone();
        // Another daemon may have taken over since.
        let gone = match (gone, self.updates_at_loss) {
            (None, _) => {
                self.updates_at_loss = None;
                None
            }
            (Some(_), Some(then)) if updates > then => None,
            (Some(why), _) => {
                self.updates_at_loss.get_or_insert(updates);
                Some(why)
            }
        };
        let overdue = self.updates.overdue(now_ns).map(|age| {
            format!("the last update of the kernel's bound was {} s ago", age.as_secs())
        });
        self.condition.holdover = gone.or(overdue);
        self.condition.update_interval = self.updates.interval();
    }

    /// By how much the clock may be ahead of what its daemon takes it for, in ns.
    fn note_steps(&mut self, evidence: &Evidence) -> (i64, i64) {
        // Where no look was taken for a while, a daemon may have stated a bound in between.
        const GAP_NS: i64 = 2 * NANOS_PER_SECOND;
        let kernel = &evidence.kernel.1;
        // An ntpd that starts has measured nothing that its first step could make wrong.
        let has_bound = kernel.has_bound() && !kernel.is_ntpd_startup();
        let now = (has_bound, evidence.monotonic_ns);
        let (had_bound, at_ns) = std::mem::replace(&mut self.had_bound, now);
        let is_disciplined = had_bound || evidence.monotonic_ns.saturating_sub(at_ns) > GAP_NS;
        if self.since_suspend.is_some() {
            self.unaccounted_step.forget();
        }
        let leap = self.pending_leap;
        self.unaccounted_step.note(
            &evidence.realtime,
            &self.wall_clock,
            |step| leap.is_some_and(|leap| leap.explains(&evidence.realtime, step)),
            self.updates.updates(),
            is_disciplined,
        )
    }

    /// What chronyd's report alone says of the oscillator, and how often it is updated.
    fn note_chrony_alone(&mut self, host: &dyn Host) -> Result<(), HostError> {
        let now_ns = host.nanos(HostClock::Monotonic)?;
        let tracking = self.chrony_alone.tracking();
        let interval = tracking.and_then(Tracking::interval);
        // A drift that was shown before holds while chronyd does not answer.
        let drift_ppm = self.condition.drift_ppm;
        self.condition =
            SourceCondition { update_interval: interval, drift_ppm, ..SourceCondition::default() };
        // The kernel's own correction is denied, so the statement takes its place.
        if let Some(stated) = tracking.and_then(correction_of) {
            let max_drift_ppm = self.max_drift_ppm;
            let (_, drift_ppm) =
                self.rate_correction.note(stated.0, Some(stated), max_drift_ppm, now_ns);
            self.condition.drift_ppm = drift_ppm;
        } else {
            self.rate_correction.freeze(now_ns);
        }
        Ok(())
    }

    /// What the kernel's correction of the clock's rate says of the oscillator.
    fn note_rate_correction(&mut self, evidence: &Evidence) -> (Correction, Option<u32>) {
        let (before, after) = &evidence.kernel;
        let faster = before.rate_ppb.unsigned_abs() > after.rate_ppb.unsigned_abs();
        let rate_ppb = if faster { before.rate_ppb } else { after.rate_ppb };
        let stated = self.writer.tracking().and_then(correction_of);
        let (max_drift_ppm, now_ns) = (self.max_drift_ppm, evidence.monotonic_ns);
        if self.condition.holdover.is_some() {
            self.rate_correction.freeze(now_ns);
        }
        self.rate_correction.note(rate_ppb, stated, max_drift_ppm, now_ns)
    }

    /// How much of a correction may be under way, in ns (see `in_flight`).
    fn note_in_flight(&mut self, evidence: &Evidence) -> u64 {
        let at_ns = evidence.monotonic_ns;
        let (before, after) = &evidence.kernel;
        self.in_flight.note(before, at_ns).max(self.in_flight.note(after, at_ns))
    }

    /// After a suspend, remembers the writer's mark. A different mark later shows that the
    /// daemon has written again.
    fn notice_suspend(&mut self, evidence: &Evidence) {
        let residue = evidence.kernel.1.residue_us();
        // On a system without a clock that shows suspends, none is noticed here.
        let Some(suspended_ns) = evidence.suspended_ns else { return };
        // At the first sample, any suspend since the boot may be one that the daemon has
        // not noticed yet, because a program may start right after a resume.
        let before = self.suspended_ns.replace(suspended_ns).unwrap_or(0);
        if suspended_ns.saturating_sub(before) > SUSPEND_NOISE_NS {
            self.since_suspend = Some(residue);
        } else if self.since_suspend.is_some_and(|mark| mark != residue) {
            self.since_suspend = None;
        }
    }
}

/// Everything that is read for one sample.
struct Evidence {
    /// Before and after the clock was read.
    kernel: (KernelState, KernelState),
    realtime: Realtime,
    /// The second of REALTIME up to which `maxerror` has been increased.
    counted_until_ns: i64,
    /// `None` on a system without a clock that shows it.
    suspended_ns: Option<i64>,
    monotonic_ns: i64,
}

/// Reads the clock between two reads of its error, without a step in between.
fn gather(counter: &Counter) -> Result<Evidence, SourceError> {
    const TRIES: u32 = 4;
    let host = counter.host();
    let mut shown_other_time = None;
    for _ in 0..TRIES {
        let first = Realtime::read(counter)?;
        // The kernel moves this clock and increases maxerror together, at a timer
        // tick: what it shows here has been counted into all that follows.
        let coarse = host.nanos(HostClock::RealtimeCoarse)?;
        let before = host.kernel_state()?;
        let realtime = Realtime::read_narrowest(counter)?;
        let after = host.kernel_state()?;
        let last = Realtime::read(counter)?;
        let stepped = realtime.was_stepped_since(&first) || last.was_stepped_since(&realtime);
        shown_other_time = off_kernel_time_ns(&before, &realtime, &after);
        if stepped || shown_other_time.is_some() {
            continue;
        }
        if before.status == after.status && before.state == after.state {
            return Ok(Evidence {
                kernel: (before, after),
                realtime,
                counted_until_ns: coarse - coarse.rem_euclid(NANOS_PER_SECOND),
                suspended_ns: suspended_ns(host)?,
                monotonic_ns: host.nanos(HostClock::Monotonic)?,
            });
        }
    }
    if let Some(off_ns) = shown_other_time {
        return Err(SourceError::no_bound(
            Reason::ShownOtherTime,
            format_args!(
                "clock_gettime shows a wall clock that is {:.3} s {} the one that adjtimex returns",
                off_ns.unsigned_abs() as f64 / NANOS_PER_SECOND as f64,
                if off_ns < 0 { "behind" } else { "ahead of" },
            ),
        ));
    }
    Err(SourceError::no_bound(
        Reason::KernelUnsynchronized,
        format_args!("the kernel's time state changed during each of {TRIES} attempts to read it"),
    ))
}

/// With a larger error of its estimate chronyd states nothing about the oscillator yet, in ppm.
const LARGEST_SKEW_PPM: f64 = 100.0;

/// By how much chronyd corrects the oscillator by its own report, in ppb, and how far that may be
/// off in ppm, once it knows.
fn correction_of(tracking: &Tracking) -> Option<(i64, u32)> {
    // After its start its estimate may be off by any amount, and it says so.
    let skew_ppm = tracking.skew_ppm.abs();
    // Its frequency is positive where the oscillator is fast, and the correction is the
    // opposite. `as` saturates, and takes what is not a number for 0.
    let correction_ppb = (-tracking.frequency_ppm * 1000.0) as i64;
    (skew_ppm <= LARGEST_SKEW_PPM).then_some((correction_ppb, skew_ppm.ceil() as u32))
}

const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;

/// By how much the wall clock that this process is shown differs from the kernel's own, which
/// was read before and after it. `None` if it does not.
pub(super) fn off_kernel_time_ns(
    before: &KernelState,
    realtime: &Realtime,
    after: &KernelState,
) -> Option<i64> {
    // Without STA_NANO the kernel returns whole microseconds.
    const RESOLUTION_NS: i64 = 1_000 + READING_STEP_NS;
    let shown = realtime.unix_ns;
    let least = before.unix_ns.saturating_sub(RESOLUTION_NS);
    let most = after.unix_ns.saturating_add(RESOLUTION_NS);
    let is_within = |shown: i64| (least..=most).contains(&shown);
    // At a leap second adjtimex is right at once, and the clock itself from the next tick on.
    // The second state stays for long after.
    let is_near_midnight =
        shown.saturating_add(2 * NANOS_PER_SECOND).rem_euclid(DAY_NS) < 4 * NANOS_PER_SECOND;
    let is_leap = is_near_midnight && [TIME_OOP, TIME_WAIT].contains(&after.state);
    let in_leap = [-NANOS_PER_SECOND, NANOS_PER_SECOND].map(|second| shown.saturating_add(second));
    if is_within(shown) || is_leap && in_leap.into_iter().any(is_within) {
        return None;
    }
    Some(shown.saturating_sub(after.unix_ns))
}

/// Checks that the bound's growth covers the correction of the clock's rate.
fn check_covered(correction: Correction, evidence: &Evidence) -> Result<(), SourceError> {
    let rate_ppb = evidence.kernel.1.rate_ppb;
    match correction {
        Correction::Covered => Ok(()),
        Correction::Slew { limit_ppm } => Err(SourceError::no_bound(
            Reason::Slewing,
            format_args!(
                "it is slewed by {rate_ppb} ppb; with an oscillator that may be off too, its error \
                 of {GROWTH_PPM} ppm covers {limit_ppm} ppm"
            ),
        )),
        Correction::BeyondDrift { off_ppm } => Err(SourceError::no_bound(
            Reason::OscillatorBeyondDrift,
            format_args!(
                "the daemon corrects the oscillator by {off_ppm} ppm, and its error grows by \
                 {GROWTH_PPM} ppm"
            ),
        )),
    }
}

/// `time`, if the clock may be ahead of what its daemon takes it for.
fn with_unaccounted_steps(time: Interval, (least, most): (i64, i64)) -> Interval {
    let earlier =
        |t: Timestamp, ns: i64| Timestamp::from_tai_nanos(t.tai_nanos().saturating_sub(ns));
    Interval::from_ordered(earlier(time.earliest(), most), earlier(time.latest(), least))
}

/// How far from UTC the clock may have been, in nanoseconds, by a writer that may be believed
/// and that states `excess_ns` more than the kernel shows. It was not written before
/// `not_before_ns` of the monotonic clock, if that is known.
///
/// # Errors
///
/// If the bound does not hold at this moment.
fn stated_error_ns(
    evidence: &Evidence,
    since_suspend: Option<i64>,
    excess_ns: u64,
    not_before_ns: Option<i64>,
) -> Result<u64, SourceError> {
    let (before, after) = &evidence.kernel;
    let worse = if before.maxerror_us > after.maxerror_us { before } else { after };
    let refuse = |reason, detail: String| Err(SourceError::no_bound(reason, detail));
    // Refuse a bound from before a suspend.
    if since_suspend.is_some() {
        return refuse(Reason::Suspended, worse.to_string());
    }
    let under_way = |k: &KernelState| {
        let pll = if k.status & STA_PLL != 0 { k.offset_ns.unsigned_abs() } else { 0 };
        pll.saturating_add(k.adjtime_ns.unsigned_abs())
    };
    // The kernel and the daemon count whole microseconds, and daemons round as they like.
    let stated = worse.maxerror_us.unsigned_abs().saturating_add(1).saturating_mul(1000);
    let read = &evidence.realtime;
    let uncounted_ns = read.unix_ns.saturating_sub(evidence.counted_until_ns);
    let read_ns = read.unix_ns.saturating_sub(read.offset.0);
    let since_ns = not_before_ns.map_or(i64::MAX, |written| read_ns.saturating_sub(written));
    Ok(stated
        .saturating_add(excess_ns)
        .saturating_add(stale_ns(uncounted_ns.min(since_ns)))
        .saturating_add(under_way(before).max(under_way(after))))
}

/// How much `maxerror` has still to grow for the time since it was last true.
///
/// It was true when the daemon wrote it, or when the kernel last added a second's growth,
/// whichever is later. So it is no older than the second that was counted last, and no older than
/// the last look before it was written (`source::write_moment`).
fn stale_ns(since_ns: i64) -> u64 {
    let since = since_ns.max(0);
    // A slew of 12 % either way makes these seconds longer by as much.
    let since = since.saturating_add(since / 8);
    (i128::from(since) * i128::from(GROWTH_PPM) / 1_000_000 + 1) as u64
}

#[cfg(test)]
mod tests;
