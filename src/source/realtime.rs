//! [`Realtime`]: a look at `CLOCK_REALTIME`, and what moment of TAI it shows.
//!
//! The kernel's clock shows UTC, on a scale that repeats a second at a leap.
//! A look takes the counter on both sides, so that it can become a sample, and
//! `CLOCK_MONOTONIC` too: the difference of the two changes only when somebody
//! steps the clock, so a step between two looks shows.
//!
//! From UTC to TAI the leap table is asked, never the kernel's own `tai` added
//! to a reading: at an inserted second `CLOCK_REALTIME` runs on past midnight
//! until the next timer tick, and the sum would be off by a second. Around a
//! leap both offsets are covered instead.

use nix::time::ClockId;

use crate::clock::counter::Counter;
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::SourceError;
use crate::source::adjtimex::KernelState;
use crate::sys;
use crate::timestamp::Timestamp;

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
    pub(crate) offset: (i64, i64),
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
pub(crate) const READING_STEP_NS: i64 = 11;

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
        if kernel.tai.abs_diff(in_table) == 1 {
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
pub(crate) fn unlisted_leap(
    leaps: &LeapTable,
    look: &Realtime,
    kernel: &KernelState,
) -> Option<i32> {
    let has_passed = matches!(kernel.state, libc::TIME_OOP | libc::TIME_WAIT);
    announced_leap(kernel).filter(|_| has_passed && !leap_is_listed(leaps, look.unix_seconds()))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    /// 2016-12-31T23:59:60Z was inserted before this midnight.
    const LEAP: i64 = 1_483_228_800;

    #[test]
    fn around_a_leap_second_both_offsets_are_covered() {
        let leaps = LeapTable::builtin();
        let quiet = KernelState {
            state: libc::TIME_OK,
            status: 0,
            maxerror_us: 1,
            esterror_us: 1,
            offset_ns: 0,
            adjtime_ns: 0,
            rate_ppb: 0,
            tai: 0,
        };
        let ins = KernelState { status: libc::STA_INS, state: libc::TIME_INS, ..quiet };
        let del = KernelState { status: libc::STA_DEL, state: libc::TIME_DEL, ..quiet };
        let wait = KernelState { state: libc::TIME_WAIT, ..ins };
        let midnight = 1_700_006_400; // of a day without a leap second
        let cases = [
            ("long before", LEAP - 3, quiet, (36, 36)),
            ("before", LEAP - 2, quiet, (36, 37)),
            ("the kernel runs past midnight", LEAP, quiet, (36, 37)),
            ("after, perhaps", LEAP + 1, quiet, (36, 37)),
            ("after", LEAP + 2, quiet, (37, 37)),
            ("a listed leap, told to the kernel too", LEAP - 1, ins, (36, 37)),
            ("told, and far from midnight", midnight - 3, ins, (37, 37)),
            ("told of a leap that is not listed", midnight - 1, ins, (37, 38)),
            ("told to delete one", midnight - 1, del, (36, 37)),
            ("the kernel knows one more", midnight + 9, KernelState { tai: 38, ..quiet }, (37, 38)),
            ("the kernel was never told", midnight + 9, KernelState { tai: 1, ..quiet }, (37, 37)),
        ];
        for (when, unix, kernel, expected) in cases {
            assert_eq!(offsets(&leaps, unix, Some(&kernel), None), Some(expected), "{when}");
        }
        assert_eq!(offsets(&leaps, 0, None, None), None, "before 1972");
        // Once the kernel has made a leap that is not listed, both stay covered.
        let look =
            Realtime { before: 0, unix_ns: (midnight + 5) * SECOND, after: 0, offset: (0, 0) };
        assert_eq!(unlisted_leap(&leaps, &look, &wait), Some(1));
        assert_eq!(unlisted_leap(&leaps, &look, &ins), None, "not made yet");
        assert_eq!(offsets(&leaps, midnight + 99_999, None, Some(1)), Some((37, 38)));
    }

    #[test]
    fn a_step_shows_and_a_listed_leap_second_is_none() {
        let leaps = LeapTable::builtin();
        let look = |unix_ns: i64, mono: i64| Realtime {
            before: 0,
            unix_ns,
            after: 0,
            offset: (unix_ns - mono - 60, unix_ns - mono),
        };
        let then = look((LEAP - 100) * SECOND, 0);
        // 300 s later the kernel's clock has repeated a second: it shows 299 s more.
        let leapt = look((LEAP + 199) * SECOND, 300 * SECOND);
        assert!(leapt.was_stepped_since(&then));
        assert!(!leapt.was_stepped_on_tai_since(&then, &leaps));
        let not_leapt = look((LEAP + 200) * SECOND, 300 * SECOND);
        assert!(!not_leapt.was_stepped_since(&then));
        assert!(not_leapt.was_stepped_on_tai_since(&then, &leaps));
        for step in [-3_600 * SECOND, -1_000, 1_000, SECOND] {
            let stepped = look((LEAP + 199) * SECOND + step, 300 * SECOND);
            assert!(stepped.was_stepped_on_tai_since(&then, &leaps), "by {step} ns");
        }
    }
}
