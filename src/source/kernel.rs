//! The kernel's own word: `CLOCK_REALTIME`, and `maxerror` of `adjtimex`.
//!
//! Whoever disciplines the kernel's clock may tell the kernel how far off it can
//! be; the kernel keeps that number, lets it grow by 500 µs a second, and hands
//! it to any process. An honest daemon (chronyd) writes root delay / 2 + root
//! dispersion + what it has not corrected yet, and then
//! `REALTIME ± maxerror` certainly holds UTC.
//!
//! Much of it is not honest, or not at this moment, and this module is about that:
//!
//! - *Nobody writes it*: the kernel says UNSYNC, and maxerror stands at 16 s.
//! - *Zero is written* by daemons that have no bound (systemd-timesyncd,
//!   phc2sys, ptp4l), and 16 µs by an ntpd that has heard from nobody yet.
//!   Since the kernel only ever adds 500 µs, `maxerror mod 500` shows what was
//!   written last. Both marks are refused while they stand.
//! - *It is stale*: the 500 µs are added once a second, at the first timer tick
//!   after it. `CLOCK_REALTIME_COARSE` moves at the same ticks and so shows up to
//!   where that has been done; the growth since then is added here.
//! - *The clock is under way*: with the kernel's PLL (STA_PLL), or `adjtime()`,
//!   the kernel is told an offset and works it off; until then it counts as error,
//!   and so does the part that is under way (`source::in_flight`).
//!   A clock that is slewed faster than the 500 ppm by which maxerror grows, less what
//!   the oscillator itself may be off,
//!   outruns its bound.
//! - *Two system calls are not one*: a step may fall between reading the bound
//!   and reading the clock. So the bound is read on both sides, and both must agree.
//! - *A leap second*: REALTIME runs on past midnight for a few ms before it steps
//!   back. Around a leap, both offsets to TAI are covered.
//! - *The flag is not the bound*: a chronyd without `rtcsync` states its bound and
//!   leaves the kernel flagged. So chronyd is asked as well (`source::chrony`), and
//!   of its bound and the kernel's the larger one counts.
//! - *A suspend*: afterwards REALTIME rests on the RTC, and maxerror does not show it.
//!   Nothing is vouched for until the daemon writes again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::bound::Sample;
use crate::clock::counter::Counter;
use crate::clock::status::Reason;
use crate::scale::LeapTable;
use crate::source::adjtimex::{GROWTH_PPM, KernelState};
use crate::source::chrony::confirm::{Confirmer, Word};
use crate::source::daemon::{self, Daemon};
use crate::source::in_flight::InFlight;
use crate::source::realtime::{Announced, Realtime, SUSPEND_NOISE_NS, suspended_ns};
use crate::source::{Calendar, Source, SourceError, WallScale};
use crate::sys;

/// The kernel's clock and its bound, if it has an honest one.
#[derive(Debug)]
pub struct Kernel {
    calendar: Arc<Calendar>,
    /// BOOTTIME − MONOTONIC when last seen: how long the host has been suspended in all.
    suspended_ns: Option<i64>,
    /// The writer's mark at the first look after a suspend, until it changes.
    since_suspend: Option<i64>,
    /// The leap second that the kernel was told of.
    announced: Option<Announced>,
    in_flight: InFlight,
    chrony: Option<Confirmer>,
    others: Others,
}

/// What is known of the clock beside the kernel's word on it.
#[derive(Debug)]
struct Others {
    word: Word,
    /// Who runs that could have written the kernel's bound.
    running: fn() -> Vec<Daemon>,
    /// The operator says that whoever writes the bound writes an honest one.
    believes_any_writer: bool,
    /// The kernel's word alone counts for nothing.
    needs_chrony: bool,
}

impl Kernel {
    /// The kernel's word, with `leaps` to go from UTC to TAI.
    pub fn new(leaps: LeapTable) -> Kernel {
        Kernel::by(Arc::new(Calendar::new(leaps, WallScale::Utc)))
    }

    /// The kernel's word on a clock that shows what `calendar` says.
    pub(crate) fn by(calendar: Arc<Calendar>) -> Kernel {
        Kernel {
            calendar,
            suspended_ns: None,
            since_suspend: None,
            announced: None,
            in_flight: InFlight::default(),
            chrony: None,
            others: Others {
                word: Word::Nothing("chronyd is not asked".to_owned()),
                running: daemon::running,
                believes_any_writer: false,
                needs_chrony: false,
            },
        }
    }

    /// The same of a clock that shows this scale.
    pub(crate) fn showing(self, leaps: LeapTable, scale: WallScale) -> Kernel {
        Kernel { calendar: Arc::new(Calendar::new(leaps, scale)), ..self }
    }

    /// Asks this chronyd, and believes nothing that it does not confirm.
    pub(crate) fn confirmed_only_by(mut self, chrony: Confirmer) -> Kernel {
        self.others.needs_chrony = true;
        Kernel { chrony: Some(chrony), ..self }
    }

    /// Asks the chronyd of this host as well, if there is one: it can confirm
    /// what the kernel does not vouch for, and the larger bound counts.
    pub fn with_chrony(self) -> Kernel {
        Kernel { chrony: Some(Confirmer::usual()), ..self }
    }

    /// Takes `maxerror` for a bound, whoever writes it and whatever it is.
    ///
    /// The operator's word against the judgement made here. A kernel that says
    /// it is not synchronised is not believed all the same.
    pub fn believing_any_writer(mut self) -> Kernel {
        self.others.believes_any_writer = true;
        self
    }
}

impl Source for Kernel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let first_look = Realtime::look(counter);
        self.hear_chrony();
        let evidence = gather(counter)?;
        if evidence.realtime.was_stepped_since(&first_look) {
            self.others.word = Word::Nothing("the clock was stepped since it was asked".to_owned());
        }
        self.judge(&evidence, Instant::now())
    }

    fn details(&self) -> Option<String> {
        Some(self.chrony.as_ref()?.tracking()?.to_string())
    }
}

impl Kernel {
    /// What may be believed of what was read at `at`: the part that reads nothing itself.
    pub(crate) fn judge(
        &mut self,
        evidence: &Evidence,
        at: Instant,
    ) -> Result<Sample, SourceError> {
        self.notice_suspend(evidence);
        let under_way = self.note_in_flight(evidence, at);
        let error_ns = vouched_error_ns(evidence, self.since_suspend, &self.others)?;
        let error_ns = error_ns.saturating_add(under_way);
        let kernel = &evidence.kernel.1;
        let look = &evidence.realtime;
        let leaps = self.calendar.leaps();
        self.announced = Announced::heard(self.announced, &leaps, look, kernel);
        let error = Duration::from_nanos(error_ns);
        let time = self.calendar.tai(look, error, Some(kernel), self.announced)?;
        Ok(Sample::new(evidence.realtime.before, evidence.realtime.after, time))
    }

    /// Looks for no daemon among this host's processes: for a kernel that is simulated.
    #[cfg(feature = "sim")]
    pub(crate) fn of_another_world(mut self) -> Kernel {
        self.others.running = Vec::new;
        self
    }

    /// Asks chronyd, if it may have something to confirm.
    fn hear_chrony(&mut self) {
        let Some(chrony) = &mut self.chrony else { return };
        self.others.word = match KernelState::read() {
            Ok(kernel) if kernel.has_bound() => {
                chrony.word(kernel.maxerror_us, kernel.residue_us())
            }
            _ => Word::Nothing("nobody has told the kernel a bound".to_owned()),
        };
    }

    /// How much of a correction may be under way, in ns.
    fn note_in_flight(&mut self, evidence: &Evidence, at: Instant) -> u64 {
        self.in_flight.note(&evidence.kernel.0, at).max(self.in_flight.note(&evidence.kernel.1, at))
    }

    /// After a suspend, remembers by which mark a later write of the daemon will be known.
    fn notice_suspend(&mut self, evidence: &Evidence) {
        let residue = evidence.kernel.1.residue_us();
        // At the first look, any suspend since the boot may be one that the daemon has
        // not noticed yet: a program may start right after a resume.
        let before = self.suspended_ns.replace(evidence.suspended_ns).unwrap_or(0);
        if evidence.suspended_ns.saturating_sub(before) > SUSPEND_NOISE_NS {
            self.since_suspend = Some(residue);
        } else if self.since_suspend.is_some_and(|mark| mark != residue) {
            self.since_suspend = None;
        }
    }
}

/// All that is read for one sample.
pub(crate) struct Evidence {
    /// Before and after the clock was read.
    pub(crate) kernel: (KernelState, KernelState),
    pub(crate) realtime: Realtime,
    /// The second of REALTIME up to which `maxerror` has been increased.
    pub(crate) counted_until_ns: i64,
    pub(crate) suspended_ns: i64,
}

/// Reads the clock between two looks at its error, all in one stretch without a step.
fn gather(counter: &Counter) -> Result<Evidence, SourceError> {
    const TRIES: u32 = 4;
    let state = || {
        KernelState::read().map_err(|errno| {
            SourceError::cannot_vouch(Reason::Denied, format_args!("adjtimex gave {errno}"))
        })
    };
    for _ in 0..TRIES {
        let first_look = Realtime::look(counter);
        // The kernel moves this clock and increases maxerror in one go, at a
        // timer tick: read first, its second has been counted into all that follows.
        let coarse = sys::nanos(ClockId::CLOCK_REALTIME_COARSE);
        let before = state()?;
        // The best of a few: one look alone may have been interrupted.
        let look = |_| Realtime::look(counter);
        let realtime = (0..4).map(look).min_by_key(|r| r.after.wrapping_sub(r.before));
        let realtime = realtime.unwrap_or(first_look);
        let after = state()?;
        let last_look = Realtime::look(counter);
        let stepped =
            realtime.was_stepped_since(&first_look) || last_look.was_stepped_since(&realtime);
        if !stepped && before.status == after.status && before.state == after.state {
            return Ok(Evidence {
                kernel: (before, after),
                realtime,
                counted_until_ns: coarse - coarse.rem_euclid(1_000_000_000),
                suspended_ns: suspended_ns(),
            });
        }
    }
    Err(SourceError::cannot_vouch(
        Reason::KernelUnsynchronized,
        format_args!("the kernel's time state changed during each of {TRIES} attempts to read it"),
    ))
}

/// How far off the oscillator itself may be, which comes on top of what the clock is
/// told to make up for: a daemon that dies in the middle of a slew leaves both.
const OSCILLATOR_PPM: u64 = 200;

/// A clock that is slewed faster may outrun its maxerror.
const SLEW_LIMIT_PPM: u64 = GROWTH_PPM as u64 - OSCILLATOR_PPM;

/// How far from UTC the clock may have been, in nanoseconds, if anybody vouches for it.
fn vouched_error_ns(
    evidence: &Evidence,
    since_suspend: Option<i64>,
    others: &Others,
) -> Result<u64, SourceError> {
    let (before, after) = &evidence.kernel;
    let worse = if before.maxerror_us > after.maxerror_us { before } else { after };
    let cannot = |reason, detail: String| Err(SourceError::cannot_vouch(reason, detail));
    let excess_ns = confirmed_excess_ns((before, after), others)?;
    if (before.states_no_bound() || after.states_no_bound()) && !others.believes_any_writer {
        let named = (others.running)().into_iter().map(runs).collect::<String>();
        return cannot(
            Reason::NoBoundStated,
            format!(
                "maxerror is {} µs, a bare {} µs and its growth{named}",
                worse.maxerror_us,
                worse.residue_us()
            ),
        );
    }
    if since_suspend.is_some() {
        return cannot(Reason::Suspended, worse.to_string());
    }
    let rate_ppb = before.rate_ppb.unsigned_abs().max(after.rate_ppb.unsigned_abs());
    if rate_ppb > SLEW_LIMIT_PPM * 1000 {
        return cannot(
            Reason::Slewing,
            format!(
                "it is slewed by {rate_ppb} ppb; with an oscillator that may be off by \
                 {OSCILLATOR_PPM} ppm too, its error of {GROWTH_PPM} ppm covers {SLEW_LIMIT_PPM}"
            ),
        );
    }
    let under_way = |k: &KernelState| {
        let pll = if k.status & libc::STA_PLL != 0 { k.offset_ns.unsigned_abs() } else { 0 };
        pll.saturating_add(k.adjtime_ns.unsigned_abs())
    };
    // The kernel and the daemon count whole microseconds, and daemons round as they like.
    let stated = (worse.maxerror_us.unsigned_abs() + 1).saturating_mul(1000);
    Ok(stated
        .saturating_add(excess_ns)
        .saturating_add(stale_ns(evidence.counted_until_ns, evidence.realtime.unix_ns))
        .saturating_add(under_way(before).max(under_way(after))))
}

/// Who says that something disciplines the clock, and by how much its error
/// exceeds the kernel's bound by that word.
fn confirmed_excess_ns(
    (before, after): (&KernelState, &KernelState),
    others: &Others,
) -> Result<u64, SourceError> {
    let cannot = |reason, detail: String| Err(SourceError::cannot_vouch(reason, detail));
    let is_synchronized = before.is_synchronized() && after.is_synchronized();
    match &others.word {
        // A step that chronyd has not noticed puts the bound where it is none.
        Word::Vouches { excess_ns } if before.has_bound() && after.has_bound() => Ok(*excess_ns),
        Word::Nothing(why) if !is_synchronized || others.needs_chrony => {
            cannot(Reason::KernelUnsynchronized, format!("{after}; chronyd: {why}"))
        }
        _ if !is_synchronized => cannot(Reason::KernelUnsynchronized, after.to_string()),
        _ if others.believes_any_writer => Ok(0),
        _ => match daemon::only_unbelievable(&(others.running)()) {
            Some(daemon) => cannot(Reason::NoBoundStated, format!("{after}{}", runs(daemon))),
            None => Ok(0),
        },
    }
}

/// The end of a sentence that says who runs, and what that is worth.
fn runs(daemon: Daemon) -> String {
    format!("; {daemon} runs, which {}", daemon.explanation())
}

/// How much `maxerror` may have to grow still for the time since it was last true.
///
/// It was when it was written, or when the kernel last counted a second into
/// it, whichever is later: so no longer ago than the second that was counted last.
fn stale_ns(counted_until_ns: i64, unix_ns: i64) -> u64 {
    let since = unix_ns.saturating_sub(counted_until_ns).max(0);
    // A slew of 12 % either way makes these seconds longer by as much.
    let since = since.saturating_add(since / 8);
    (i128::from(since) * i128::from(GROWTH_PPM) / 1_000_000 + 1) as u64
}

#[cfg(test)]
mod tests;
