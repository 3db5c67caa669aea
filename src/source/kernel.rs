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
//!   the kernel is told an offset and works it off; until then it counts as error.
//!   A clock that is slewed faster than the 500 ppm by which maxerror grows
//!   outruns its bound.
//! - *Two system calls are not one*: a step may fall between reading the bound
//!   and reading the clock. So the bound is read on both sides, and both must agree.
//! - *A leap second*: REALTIME runs on past midnight for a few ms before it steps
//!   back. Around a leap, both offsets to TAI are covered.
//! - *A suspend*: afterwards REALTIME rests on the RTC, and maxerror does not show it.
//!   Nothing is vouched for until the daemon writes again.

use std::fmt;

use nix::errno::Errno;
use nix::time::ClockId;

use crate::clock::bound::Sample;
use crate::clock::counter::Counter;
use crate::clock::status::Reason;
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::{Source, SourceError};
use crate::sys;
use crate::timestamp::Timestamp;

/// What `adjtimex` says, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KernelState {
    /// The clock state that the call returned: 0 `TIME_OK` to 5 `TIME_ERROR`.
    pub state: i32,
    /// The bits of `STA_*`.
    pub status: i32,
    /// The maximum error, in microseconds: what was written last, and 500 a second since.
    pub maxerror_us: i64,
    /// The estimated error, in microseconds. Not a bound.
    pub esterror_us: i64,
    /// What the kernel's PLL has still to correct, in nanoseconds.
    pub offset_ns: i64,
    /// What is left of an `adjtime()` correction, in nanoseconds.
    pub adjtime_ns: i64,
    /// By how much the clock is made to run faster than its oscillator, in parts per billion:
    /// `freq` and `tick` together.
    pub rate_ppb: i64,
    /// TAI − UTC in seconds as the kernel was told, or 0 if it was not.
    pub tai: i32,
}

/// How fast `maxerror` grows, in parts per million: the kernel's MAXFREQ.
const GROWTH_PPM: i64 = 500;

impl KernelState {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// `EPERM` or `ENOSYS` where a seccomp filter denies the call.
    pub fn read() -> Result<KernelState, Errno> {
        let answer = sys::adjtimex()?;
        // Not every filter that lets the one form through lets the other; where
        // it does not, nobody under the same filter has used `adjtime()` either.
        let pending_us = sys::adjtime_pending_us().unwrap_or(0);
        Ok(KernelState::decode(answer.state, &answer.timex, pending_us))
    }

    pub(crate) fn decode(state: i32, timex: &libc::timex, adjtime_us: i64) -> KernelState {
        // STA_NANO changes the unit of `offset` and of nothing else used here.
        let offset_unit = if timex.status & libc::STA_NANO != 0 { 1 } else { 1000 };
        // `freq` is in ppm with 16 fractional bits; one `tick` is 1 µs of 10 ms.
        let freq_ppb = timex.freq.saturating_mul(1000) >> 16;
        let tick_ppb = (timex.tick - NOMINAL_TICK_US).saturating_mul(100_000);
        KernelState {
            state,
            status: timex.status,
            maxerror_us: timex.maxerror,
            esterror_us: timex.esterror,
            offset_ns: timex.offset.saturating_mul(offset_unit),
            adjtime_ns: adjtime_us.saturating_mul(1000),
            rate_ppb: freq_ppb.saturating_add(tick_ppb),
            tai: timex.tai,
        }
    }

    /// Whether the kernel says that something disciplines its clock.
    pub fn is_synchronized(&self) -> bool {
        self.status & libc::STA_UNSYNC == 0 && self.state != libc::TIME_ERROR
    }

    /// `maxerror mod 500`: what the writer last wrote, modulo 500 µs.
    pub fn residue_us(&self) -> i64 {
        self.maxerror_us.rem_euclid(GROWTH_PPM)
    }

    /// Whether the last write bears the mark of a writer that states no bound.
    pub fn states_no_bound(&self) -> bool {
        let residue = self.residue_us();
        let ntpd_startup = residue == NTPD_STARTUP_US && self.status & libc::STA_PLL != 0;
        self.maxerror_us < 0 || residue == 0 || ntpd_startup
    }

    /// The names of the bits that are set in `status`, as in `<sys/timex.h>`.
    pub fn status_names(&self) -> Vec<&'static str> {
        const NAMES: [(i32, &str); 16] = [
            (libc::STA_PLL, "PLL"),
            (libc::STA_PPSFREQ, "PPSFREQ"),
            (libc::STA_PPSTIME, "PPSTIME"),
            (libc::STA_FLL, "FLL"),
            (libc::STA_INS, "INS"),
            (libc::STA_DEL, "DEL"),
            (libc::STA_UNSYNC, "UNSYNC"),
            (libc::STA_FREQHOLD, "FREQHOLD"),
            (libc::STA_PPSSIGNAL, "PPSSIGNAL"),
            (libc::STA_PPSJITTER, "PPSJITTER"),
            (libc::STA_PPSWANDER, "PPSWANDER"),
            (libc::STA_PPSERROR, "PPSERROR"),
            (libc::STA_CLOCKERR, "CLOCKERR"),
            (libc::STA_NANO, "NANO"),
            (libc::STA_MODE, "MODE"),
            (libc::STA_CLK, "CLK"),
        ];
        NAMES.iter().filter(|(bit, _)| self.status & bit != 0).map(|&(_, name)| name).collect()
    }

    /// The clock state in words.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            libc::TIME_OK => "OK",
            libc::TIME_INS => "INS (a leap second will be inserted at the end of the UTC day)",
            libc::TIME_DEL => "DEL (a leap second will be deleted at the end of the UTC day)",
            libc::TIME_OOP => "OOP (a leap second is in progress)",
            libc::TIME_WAIT => "WAIT (a leap second has passed)",
            libc::TIME_ERROR => "ERROR (not synchronized)",
            _ => "unknown",
        }
    }
}

impl fmt::Display for KernelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, maxerror {} µs, {}",
            self.state_name(),
            self.maxerror_us,
            self.status_names().join("|")
        )
    }
}

/// A tick of USER_HZ, 10 ms.
const NOMINAL_TICK_US: i64 = 10_000;

/// What ntpsec writes before it has heard from any server, in µs, with STA_PLL.
const NTPD_STARTUP_US: i64 = 16;

/// The kernel's clock and its bound, if it has an honest one.
#[derive(Debug)]
pub struct Kernel {
    leaps: LeapTable,
    /// BOOTTIME − MONOTONIC when last seen: how long the host has been suspended in all.
    suspended_ns: Option<i64>,
    /// The writer's mark at the first look after a suspend, until it changes.
    since_suspend: Option<i64>,
    /// A leap that the kernel has made and the table does not know, in seconds.
    unlisted_leap: Option<i32>,
}

impl Kernel {
    /// The kernel's word, with `leaps` to go from UTC to TAI.
    pub fn new(leaps: LeapTable) -> Kernel {
        Kernel { leaps, suspended_ns: None, since_suspend: None, unlisted_leap: None }
    }
}

impl Source for Kernel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let evidence = gather(counter)?;
        self.notice_suspend(&evidence);
        let error_ns = vouched_error_ns(&evidence, self.since_suspend)?;
        let kernel = &evidence.kernel.1;
        self.unlisted_leap =
            self.unlisted_leap.or_else(|| unlisted_leap(&self.leaps, &evidence.realtime, kernel));
        let tai = evidence.realtime.tai(&self.leaps, Some(kernel), self.unlisted_leap)?;
        let time = tai.widen(std::time::Duration::from_nanos(error_ns));
        Ok(Sample::new(evidence.realtime.before, evidence.realtime.after, time))
    }
}

impl Kernel {
    /// After a suspend, remembers by which mark a later write of the daemon will be known.
    fn notice_suspend(&mut self, evidence: &Evidence) {
        let residue = evidence.kernel.1.residue_us();
        let slept = self.suspended_ns.replace(evidence.suspended_ns);
        if slept.is_some_and(|before| evidence.suspended_ns - before > SUSPEND_NOISE_NS) {
            self.since_suspend = Some(residue);
        } else if self.since_suspend.is_some_and(|mark| mark != residue) {
            self.since_suspend = None;
        }
    }
}

/// Two clocks are not read at one moment: a shorter suspend than this is not one.
pub(crate) const SUSPEND_NOISE_NS: i64 = 1_000_000;

/// One look at `CLOCK_REALTIME`, with the counter on both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Realtime {
    pub(crate) before: u64,
    /// Nanoseconds on the POSIX scale.
    pub(crate) unix_ns: i64,
    pub(crate) after: u64,
    /// REALTIME − MONOTONIC is within these two.
    offset: (i64, i64),
}

impl Realtime {
    pub(crate) fn look(counter: &Counter) -> Realtime {
        let mono_before = sys::nanos(ClockId::CLOCK_MONOTONIC);
        let before = counter.read();
        let unix_ns = sys::nanos(ClockId::CLOCK_REALTIME);
        let after = counter.read();
        let mono_after = sys::nanos(ClockId::CLOCK_MONOTONIC);
        let offset = (unix_ns.saturating_sub(mono_after), unix_ns.saturating_sub(mono_before));
        Realtime { before, unix_ns, after, offset }
    }

    /// Whether the clock was stepped between two looks: REALTIME − MONOTONIC
    /// changes by nothing else, except a resume and a leap second.
    pub(crate) fn was_stepped_since(&self, earlier: &Realtime) -> bool {
        self.offset.0 > earlier.offset.1 || self.offset.1 < earlier.offset.0
    }

    /// The same on the scale of TAI, where a leap second of the table is no step.
    pub(crate) fn was_stepped_on_tai_since(&self, earlier: &Realtime, leaps: &LeapTable) -> bool {
        let on_tai = |look: &Realtime| {
            let (least, most) = offsets(leaps, look.unix_seconds(), None, None)?;
            let shift = |ns: i64, offset: i32| ns.saturating_add(i64::from(offset) * 1_000_000_000);
            Some((shift(look.offset.0, least), shift(look.offset.1, most)))
        };
        match (on_tai(self), on_tai(earlier)) {
            (Some(now), Some(then)) => now.0 > then.1 || now.1 < then.0,
            _ => self.was_stepped_since(earlier),
        }
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        self.unix_ns.div_euclid(1_000_000_000)
    }

    /// What the clock showed, in TAI, by every offset that may be in force.
    pub(crate) fn tai(
        &self,
        leaps: &LeapTable,
        kernel: Option<&KernelState>,
        unlisted_leap: Option<i32>,
    ) -> Result<Interval, SourceError> {
        let seconds = self.unix_seconds();
        let (least, most) = offsets(leaps, seconds, kernel, unlisted_leap).ok_or_else(|| {
            SourceError::failed(format_args!(
                "the wall clock shows a time before 1972 (Unix time {seconds}), for which UTC has \
                 no leap table: set the clock"
            ))
        })?;
        let at = |offset: i32, step: i64| {
            let tai = self.unix_ns.saturating_add(i64::from(offset) * 1_000_000_000);
            Timestamp::from_tai_nanos(tai.saturating_add(step))
        };
        // The clock shows its last step, and may stand just before the next.
        Ok(Interval::from_ordered(at(least, 0), at(most, READING_STEP_NS)))
    }
}

/// The kernel's clocks advance in steps of the counter's 10 ns, and show whole nanoseconds.
const READING_STEP_NS: i64 = 11;

/// From how long before a leap to how long after it both offsets are covered, in seconds.
///
/// REALTIME runs past midnight for up to two ticks, and repeats one second; a
/// bound of up to 16 s does not matter here, since it is added on top.
const LEAP_SLACK_S: i64 = 2;

/// The least and the greatest TAI − UTC that may be in force when the kernel shows `unix`.
fn offsets(
    leaps: &LeapTable,
    unix: i64,
    kernel: Option<&KernelState>,
    unlisted_leap: Option<i32>,
) -> Option<(i32, i32)> {
    let (mut least, mut most) = leaps.offsets_near(unix, LEAP_SLACK_S)?;
    let (_, in_table) = leaps.offsets_near(unix, 0)?;
    let mut cover = |offset: i32| {
        least = least.min(offset);
        most = most.max(offset);
    };
    if let Some(leap) = unlisted_leap {
        cover(in_table + leap);
    }
    if let Some(kernel) = kernel {
        let day = unix.rem_euclid(86_400);
        if !(LEAP_SLACK_S..86_400 - LEAP_SLACK_S).contains(&day) {
            if let Some(leap) = announced_leap(kernel).filter(|_| !leap_is_listed(leaps, unix)) {
                cover(in_table + leap);
            }
        }
        // A kernel that was told TAI − UTC and says something else may know of a leap
        // that the table does not, or be wrong. Where nobody told it, it says 0, or
        // counts leaps from there.
        if (kernel.tai - in_table).abs() == 1 {
            cover(kernel.tai);
        }
    }
    Some((least, most))
}

/// The leap second that the kernel has been told to make, or has made just now.
fn announced_leap(kernel: &KernelState) -> Option<i32> {
    match kernel.status & (libc::STA_INS | libc::STA_DEL) {
        libc::STA_INS => Some(1),
        libc::STA_DEL => Some(-1),
        _ => None,
    }
}

/// Whether the table has a leap second within a day.
fn leap_is_listed(leaps: &LeapTable, unix: i64) -> bool {
    leaps.offsets_near(unix, 86_400).is_some_and(|(least, most)| least != most)
}

/// A leap second that the kernel has made and the table does not have.
fn unlisted_leap(leaps: &LeapTable, look: &Realtime, kernel: &KernelState) -> Option<i32> {
    let has_passed = matches!(kernel.state, libc::TIME_OOP | libc::TIME_WAIT);
    announced_leap(kernel).filter(|_| has_passed && !leap_is_listed(leaps, look.unix_seconds()))
}

/// All that is read for one sample.
struct Evidence {
    /// Before and after the clock was read.
    kernel: (KernelState, KernelState),
    realtime: Realtime,
    /// The second of REALTIME up to which `maxerror` has been increased.
    counted_until_ns: i64,
    suspended_ns: i64,
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

/// How long this host has been suspended since it booted, in ns, to within [`SUSPEND_NOISE_NS`].
pub(crate) fn suspended_ns() -> i64 {
    let once = || {
        let before = sys::nanos(ClockId::CLOCK_MONOTONIC);
        let boot = sys::nanos(ClockId::CLOCK_BOOTTIME);
        let after = sys::nanos(ClockId::CLOCK_MONOTONIC);
        (after.saturating_sub(before), boot.saturating_sub(after))
    };
    // An interruption between the reads looks like a suspend: take the quickest.
    (0..4).map(|_| once()).min().map_or(0, |(_, suspended)| suspended)
}

/// How far from UTC the clock may have been, in nanoseconds, if anybody vouches for it.
fn vouched_error_ns(evidence: &Evidence, since_suspend: Option<i64>) -> Result<u64, SourceError> {
    let (before, after) = &evidence.kernel;
    let worse = if before.maxerror_us > after.maxerror_us { before } else { after };
    let cannot = |reason, detail: String| Err(SourceError::cannot_vouch(reason, detail));
    if !before.is_synchronized() || !after.is_synchronized() {
        return cannot(Reason::KernelUnsynchronized, worse.to_string());
    }
    if before.states_no_bound() || after.states_no_bound() {
        return cannot(
            Reason::NoBoundStated,
            format!(
                "maxerror is {} µs, a bare {} µs and its growth",
                worse.maxerror_us,
                worse.residue_us()
            ),
        );
    }
    if since_suspend.is_some() {
        return cannot(Reason::Suspended, worse.to_string());
    }
    let rate_ppm = before.rate_ppb.unsigned_abs().max(after.rate_ppb.unsigned_abs()) / 1000;
    if rate_ppm > GROWTH_PPM as u64 {
        return cannot(
            Reason::Slewing,
            format!("it is slewed by {rate_ppm} ppm, its error grows by {GROWTH_PPM} ppm"),
        );
    }
    let under_way = |k: &KernelState| {
        let pll = if k.status & libc::STA_PLL != 0 { k.offset_ns.unsigned_abs() } else { 0 };
        pll.saturating_add(k.adjtime_ns.unsigned_abs())
    };
    // The kernel and the daemon count whole microseconds, and daemons round as they like.
    let stated = (worse.maxerror_us.unsigned_abs() + 1).saturating_mul(1000);
    Ok(stated
        .saturating_add(stale_ns(evidence.counted_until_ns, evidence.realtime.unix_ns))
        .saturating_add(under_way(before).max(under_way(after))))
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
