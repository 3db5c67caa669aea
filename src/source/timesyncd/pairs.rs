//! [`Pairs`]: looks at the wall clock beside the counter, as long as nothing broke between them.
//!
//! timesyncd stamps its exchanges by a wall clock that it slews by up to 12.5 % and steps. So a
//! stamp is worth nothing without the knowledge of how that clock ran then. Each look takes the
//! wall clock between two readings of the counter and of the raw clock, with the kernel's state.
//! Two looks enclose a stamp, and the kernel's state bounds the rate of the wall clock between
//! them.
//!
//! After a backward step the wall clock shows the same times again, and a stamp that was looked up
//! in older looks gave an interval that was 1.45 s wrong. So only one *unbroken segment* of looks
//! is kept: without a step, a suspend, or a time in which nobody looked. A process that is shown
//! another wall clock than the kernel's has none.

use std::collections::VecDeque;

use crate::counter::{Counter, CounterId, raw_ticks};
use crate::host::{HostError, KernelState, SUSPEND_NOISE_NS, TIME_ERROR, narrowest, suspended_ns};
use crate::source::kernel::off_kernel_time_ns;
use crate::source::realtime::Realtime;
use crate::timestamp::NANOS_PER_SECOND;

use super::message::STAMP_NS;

/// How long looks are kept, in ns: an exchange and the time until its message is heard.
const KEPT_NS: i64 = 10 * NANOS_PER_SECOND;

/// Looks closer together than this are not kept both, in ns.
const CLOSEST_NS: i64 = 40_000_000;

/// In a longer time in which nobody looked, anything may have happened, in ns.
const LONGEST_GAP_NS: i64 = 1_250_000_000;

/// For so long before a look a correction that is not shown any more may run on, in ns: to the
/// end of a second of the wall clock.
const CORRECTION_RUNS_NS: i64 = 1_250_000_000;

/// The kernel corrects at most half a second, and a quarter of that in one second.
const FASTEST_SLEW_PPB: i64 = 125_000_000;
/// What `adjtime()` adds.
const ADJTIME_PPB: i64 = 500_000;
/// What the kernel's own rounding of the rate adds.
const ROUNDING_PPB: i64 = 20_000;

/// By how much a clock may be ahead of what it shows, in ns, with a counter of 5 MHz or more.
const STEP_NS: i64 = 200;

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) counter: CounterId,
    pub(super) read: Realtime,
    /// The raw clock before and after.
    pub(super) raw: (i64, i64),
    pub(super) kernel: KernelState,
    pub(super) suspended_ns: Option<i64>,
    /// The wall clock that this process is shown is not the kernel's (libfaketime, for example), or
    /// it was stepped during the look.
    pub(super) shows_other_time: bool,
}

impl Pair {
    /// Looks once, and takes the narrowest of a few readings of the clocks.
    ///
    /// # Errors
    ///
    /// If a clock or the kernel's state may not be read.
    pub(super) fn read(counter: &Counter) -> Result<Pair, HostError> {
        let host = counter.host();
        let kernel = host.kernel_state()?;
        let once = || -> Result<((i64, i64), Realtime), HostError> {
            let before = raw_ticks(host)? as i64;
            let read = Realtime::read(counter)?;
            Ok(((before, raw_ticks(host)? as i64), read))
        };
        let (raw, read) = narrowest(3, once, |((before, after), _)| after.saturating_sub(*before))?;
        let shows_other_time = off_kernel_time_ns(&kernel, &read, &host.kernel_state()?).is_some();
        let suspended_ns = suspended_ns(host)?;
        Ok(Pair { counter: counter.id(), read, raw, kernel, suspended_ns, shows_other_time })
    }

    /// Whether the host was suspended between two totals.
    pub(super) fn was_suspended(then: Option<i64>, now: Option<i64>) -> bool {
        match (then, now) {
            (Some(then), Some(now)) => now.saturating_sub(then) > SUSPEND_NOISE_NS,
            (then, now) => then != now,
        }
    }

    /// Why the two looks do not belong to one segment, if they do not.
    fn break_since(&self, earlier: &Pair) -> Option<Break> {
        let gap = self.raw.0.saturating_sub(earlier.raw.1);
        if self.shows_other_time || earlier.shows_other_time {
            Some(Break::OtherTime)
        } else if self.counter != earlier.counter || gap < 0 {
            Some(Break::Counter)
        } else if Pair::was_suspended(earlier.suspended_ns, self.suspended_ns) {
            Some(Break::Suspended)
        } else if self.read.was_stepped_since(&earlier.read) {
            Some(Break::Stepped)
        } else if gap > LONGEST_GAP_NS {
            Some(Break::Unwatched)
        } else {
            None
        }
    }

    /// How fast the part of a correction is that may run at this look, in ppb. The kernel shows
    /// what is left without that part, which is 1 / 2^(2 + constant) of what was left before it.
    fn slew_ppb(&self) -> i64 {
        let parts = (4_i64 << self.kernel.constant.clamp(0, 20)) - 1;
        let slew = self.kernel.offset_ns.saturating_abs() / parts + 1;
        slew.min(FASTEST_SLEW_PPB)
    }
}

/// Why looks before a moment say nothing about the time after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Break {
    Stepped,
    Suspended,
    Unwatched,
    Counter,
    /// timesyncd's stamps are of another wall clock than the looks.
    OtherTime,
}

/// Where a stamp of the wall clock was taken: the raw clock and the counter, at least and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    pub(super) raw: (i64, i64),
    pub(super) ticks: (u64, u64),
}

/// Why a stamp is in no bracket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotFound {
    /// It is later than the last look.
    Later,
    /// It is from before the segment.
    Earlier,
    /// The looks around it do not fit what the kernel states.
    Inconsistent,
}

/// The looks of the present segment, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs {
    kept: VecDeque<Pair>,
    /// The raw clock at the first look of the segment, which may not be kept any more.
    since_raw: i64,
    last_break: Option<Break>,
}

impl Pairs {
    /// Adds a look. One that does not continue the segment begins another.
    pub(super) fn push(&mut self, pair: Pair) {
        let broken = match self.kept.back() {
            Some(last) => pair.break_since(last),
            None => None,
        };
        if broken.is_some() {
            self.kept.clear();
            self.last_break = broken;
        }
        if self.kept.is_empty() {
            self.since_raw = pair.raw.1;
        }
        while self.kept.front().is_some_and(|first| pair.raw.0 - first.raw.0 > KEPT_NS) {
            self.kept.pop_front();
        }
        // A look in between adds nothing if the kernel's state stayed the same.
        if let [.., earlier, last] = self.kept.make_contiguous() {
            let steering = |pair: &Pair| {
                let kernel = &pair.kernel;
                (kernel.rate_ppb, kernel.offset_ns, kernel.constant, kernel.adjtime_ns)
            };
            let is_near = pair.raw.0 - earlier.raw.0 < CLOSEST_NS;
            if is_near && steering(last) == steering(earlier) {
                self.kept.pop_back();
            }
        }
        self.kept.push_back(pair);
    }

    /// The last look.
    pub(super) fn last(&self) -> Option<&Pair> {
        self.kept.back()
    }

    /// The segment is unbroken since the raw clock showed this.
    pub(super) fn since_raw(&self) -> i64 {
        self.since_raw
    }

    /// What ended the last segment.
    pub(super) fn last_break(&self) -> Option<Break> {
        self.last_break
    }

    /// Where the wall clock showed `stamp_ns`, which is rounded down by up to [`STAMP_NS`].
    pub(super) fn find(&self, stamp_ns: i64) -> Result<Moment, NotFound> {
        let (least, most) = (stamp_ns, stamp_ns.saturating_add(STAMP_NS));
        let after = self.kept.iter().position(|pair| pair.read.unix_ns >= most);
        let after = after.ok_or(NotFound::Later)?;
        let before = self.kept.iter().rposition(|pair| pair.read.unix_ns <= least);
        let before = before.filter(|&before| before < after).ok_or(NotFound::Earlier)?;
        let rates = self.rates(before, after);
        let (a, b) = (&self.kept[before], &self.kept[after]);
        // From both ends, each with the rates that the wall clock may have had.
        let from_a = (
            a.raw.0 + raw_of(least - a.read.unix_ns, rates.1).0,
            a.raw.1 + raw_of(most - a.read.unix_ns, rates.0).1,
        );
        let from_b = (
            b.raw.0 - raw_of(b.read.unix_ns - least, rates.0).1,
            b.raw.1 - raw_of(b.read.unix_ns - most, rates.1).0,
        );
        let raw = (from_a.0.max(from_b.0) - STEP_NS, from_a.1.min(from_b.1) + STEP_NS);
        let ticks = self.ticks(before, after, raw).filter(|_| raw.0 <= raw.1);
        ticks.map(|ticks| Moment { raw, ticks }).ok_or(NotFound::Inconsistent)
    }

    /// Between which rates the wall clock ran from one look to another, against the raw clock and
    /// less 1, in ppb.
    fn rates(&self, before: usize, after: usize) -> (i64, i64) {
        let limit = self.kept[before].raw.0.saturating_sub(CORRECTION_RUNS_NS);
        let first = self.kept.iter().rposition(|pair| pair.raw.1 <= limit);
        let looks = self.kept.range(first.unwrap_or(0)..=after);
        let slowest = looks.clone().map(|pair| pair.kernel.rate_ppb).min().unwrap_or(0);
        let fastest = looks.clone().map(|pair| pair.kernel.rate_ppb).max().unwrap_or(0);
        let mut slew = looks.clone().map(Pair::slew_ppb).max().unwrap_or(0);
        // Where the looks do not go back far enough, an unseen correction may run.
        if first.is_none() {
            slew = FASTEST_SLEW_PPB;
        }
        let mut looks = looks;
        if looks.any(|pair| pair.kernel.adjtime_ns != 0) {
            slew += ADJTIME_PPB;
        }
        let slack = slew + ROUNDING_PPB;
        // No clock of Linux is made to run slower than by a fifth or faster than by that.
        let rate = |ppb: i64| ppb.clamp(-NANOS_PER_SECOND / 2, NANOS_PER_SECOND / 2);
        (rate(slowest.saturating_sub(slack)), rate(fastest.saturating_add(slack)))
    }

    /// What the counter showed when the raw clock was between these two, at least and at most.
    fn ticks(&self, before: usize, after: usize, raw: (i64, i64)) -> Option<(u64, u64)> {
        let (first, a, b) = (self.kept.front()?, &self.kept[before], &self.kept[after]);
        // From the longest stretch that there is, because that measures the ratio best.
        let from = if b.raw.0 - first.raw.1 > b.raw.0 - a.raw.1 { first } else { a };
        let ticks = i128::from(b.read.before.checked_sub(from.read.before)?);
        let least_raw = i128::from(b.raw.0 - from.raw.1 - STEP_NS);
        let most_raw = i128::from(b.raw.1 - from.raw.0 + STEP_NS);
        if least_raw <= 0 {
            return Some((a.read.before, b.read.after));
        }
        let start = i128::from(a.read.before);
        let least = i128::from((raw.0 - a.raw.1).max(0)) * ticks / most_raw;
        let most = i128::from((raw.1 - a.raw.0).max(0)) * (ticks + 1) / least_raw + 1;
        let clamp = |tick: i128| {
            u64::try_from(tick).ok().map(|tick| tick.clamp(a.read.before, b.read.after))
        };
        Some((clamp(start + least)?, clamp(start + most)?))
    }
}

/// How long the raw clock takes for so much of the wall clock at this rate, rounded down and up.
pub(super) fn raw_of(wall_ns: i64, rate_ppb: i64) -> (i64, i64) {
    let scaled = i128::from(wall_ns) * i128::from(NANOS_PER_SECOND);
    let rate = i128::from(NANOS_PER_SECOND + rate_ppb);
    let down = scaled.div_euclid(rate);
    let narrow = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
    (narrow(down), narrow(down + 1))
}

/// Whether the kernel states that its clock is not synchronised.
pub(super) fn is_unsynchronized(kernel: &KernelState) -> bool {
    kernel.state == TIME_ERROR || !kernel.is_synchronized()
}
