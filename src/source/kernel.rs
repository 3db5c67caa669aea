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
//!   done. The growth since then is added here.
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
//! - *A suspend*: after a resume REALTIME comes from the RTC, and maxerror does not show it. The
//!   kernel's bound is refused until the daemon writes again.

use std::sync::Arc;
use std::time::Duration;

use crate::counter::{Counter, DEFAULT_MAX_DRIFT_PPM};
use crate::evidence::{Reason, Sample, Source, SourceError};
use crate::host::{GROWTH_PPM, HostClock, KernelState, STA_PLL, SUSPEND_NOISE_NS, suspended_ns};
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::source::daemons::{HostDaemons, TimeDaemons};
use crate::source::in_flight::InFlight;
use crate::source::realtime::{PendingLeap, Realtime};
use crate::source::wall_clock::WallClock;
use crate::source::writer::WriterCheck;
use crate::timestamp::NANOS_PER_SECOND;

/// The kernel's clock and its bound, if it has an honest one.
pub struct Kernel {
    wall_clock: Arc<WallClock>,
    /// Which program wrote the bound, and whether it may be believed.
    writer: WriterCheck,
    /// How long the host had been suspended in all at the last sample.
    suspended_ns: Option<i64>,
    /// The writer's mark at the first sample after a suspend, until it changes.
    since_suspend: Option<i64>,
    /// The leap second that the kernel was told of.
    pending_leap: Option<PendingLeap>,
    in_flight: InFlight,
    policy: Policy,
}

/// What is assumed of the clock besides its bound.
#[derive(Debug)]
struct Policy {
    /// By how much the oscillator itself may be off (A2).
    max_drift_ppm: u32,
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
            since_suspend: None,
            pending_leap: None,
            in_flight: InFlight::default(),
            policy: Policy { max_drift_ppm: DEFAULT_MAX_DRIFT_PPM },
        }
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
        self.policy.max_drift_ppm = ppm;
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
        f.debug_struct("Kernel").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Source for Kernel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before_daemons = Realtime::read(counter)?;
        self.writer.ask(counter.host())?;
        let evidence = gather(counter)?;
        if evidence.realtime.was_stepped_since(&before_daemons) {
            self.writer.note_step();
        }
        self.judge(&evidence)
    }

    fn details(&self) -> Option<String> {
        self.writer.details()
    }
}

impl Kernel {
    /// The sample that follows from what was read. This part reads nothing itself.
    fn judge(&mut self, evidence: &Evidence) -> Result<Sample, SourceError> {
        self.notice_suspend(evidence);
        let under_way = self.note_in_flight(evidence);
        let excess_ns = self.writer.excess_ns(&evidence.kernel)?;
        let error_ns = stated_error_ns(evidence, self.since_suspend, &self.policy, excess_ns)?;
        let error_ns = error_ns.saturating_add(under_way);
        let kernel = &evidence.kernel.1;
        let read = &evidence.realtime;
        let leaps = self.wall_clock.leaps();
        self.pending_leap = PendingLeap::update(self.pending_leap, &leaps, read, kernel);
        let error = Duration::from_nanos(error_ns);
        let time = self.wall_clock.tai(read, error, Some(kernel), self.pending_leap)?;
        Ok(Sample::new(read.before, read.after, time))
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
        if !stepped && before.status == after.status && before.state == after.state {
            return Ok(Evidence {
                kernel: (before, after),
                realtime,
                counted_until_ns: coarse - coarse.rem_euclid(NANOS_PER_SECOND),
                suspended_ns: suspended_ns(host)?,
                monotonic_ns: host.nanos(HostClock::Monotonic)?,
            });
        }
    }
    Err(SourceError::no_bound(
        Reason::KernelUnsynchronized,
        format_args!("the kernel's time state changed during each of {TRIES} attempts to read it"),
    ))
}

/// How far from UTC the clock may have been, in nanoseconds, by a writer that may be believed
/// and that states `excess_ns` more than the kernel shows.
///
/// # Errors
///
/// If the bound does not hold at this moment.
fn stated_error_ns(
    evidence: &Evidence,
    since_suspend: Option<i64>,
    policy: &Policy,
    excess_ns: u64,
) -> Result<u64, SourceError> {
    let (before, after) = &evidence.kernel;
    let worse = if before.maxerror_us > after.maxerror_us { before } else { after };
    let refuse = |reason, detail: String| Err(SourceError::no_bound(reason, detail));
    // Refuse a bound from before a suspend.
    if since_suspend.is_some() {
        return refuse(Reason::Suspended, worse.to_string());
    }
    // Refuse a slew that is faster than the growth of the bound.
    let rate_ppb = before.rate_ppb.unsigned_abs().max(after.rate_ppb.unsigned_abs());
    let oscillator_ppm = u64::from(policy.max_drift_ppm.min(DEFAULT_MAX_DRIFT_PPM));
    let limit_ppm = GROWTH_PPM.unsigned_abs() - oscillator_ppm;
    if rate_ppb > limit_ppm * 1000 {
        return refuse(
            Reason::Slewing,
            format!(
                "it is slewed by {rate_ppb} ppb; with an oscillator that may be off by \
                 {oscillator_ppm} ppm too, its error of {GROWTH_PPM} ppm covers {limit_ppm}"
            ),
        );
    }
    let under_way = |k: &KernelState| {
        let pll = if k.status & STA_PLL != 0 { k.offset_ns.unsigned_abs() } else { 0 };
        pll.saturating_add(k.adjtime_ns.unsigned_abs())
    };
    // The kernel and the daemon count whole microseconds, and daemons round as they like.
    let stated = worse.maxerror_us.unsigned_abs().saturating_add(1).saturating_mul(1000);
    Ok(stated
        .saturating_add(excess_ns)
        .saturating_add(stale_ns(evidence.counted_until_ns, evidence.realtime.unix_ns))
        .saturating_add(under_way(before).max(under_way(after))))
}

/// How much `maxerror` has still to grow for the time since it was last true.
///
/// It was true when the daemon wrote it, or when the kernel last added a second's growth,
/// whichever is later. So it is no older than the second that was counted last.
fn stale_ns(counted_until_ns: i64, unix_ns: i64) -> u64 {
    let since = unix_ns.saturating_sub(counted_until_ns).max(0);
    // A slew of 12 % either way makes these seconds longer by as much.
    let since = since.saturating_add(since / 8);
    (i128::from(since) * i128::from(GROWTH_PPM) / 1_000_000 + 1) as u64
}

#[cfg(test)]
mod tests;
