//! [`Realtime`]: a reading of `CLOCK_REALTIME`, and what moment of TAI it shows.
//!
//! The kernel's clock shows UTC, on a scale that repeats a second at a leap. A reading
//! takes the counter on both sides, so that it can become a sample, and
//! `CLOCK_MONOTONIC` too: the difference of the two changes only when the clock is
//! stepped, so a step between two readings shows.
//!
//! From UTC to TAI the leap table is used, and the kernel's own `tai` is never added to
//! a reading: at an inserted second `CLOCK_REALTIME` runs on past midnight until the
//! next timer tick, and the sum would be off by a second. Around a leap both offsets
//! are covered instead.

use std::time::Duration;

use crate::counter::Counter;
use crate::evidence::SourceError;
use crate::host::{
    HostClock, HostError, KernelState, STA_DEL, STA_INS, TIME_DEL, TIME_ERROR, TIME_INS, TIME_WAIT,
    narrowest,
};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

/// One reading of `CLOCK_REALTIME`, with the counter on both sides.
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
    /// Reads the clock once.
    ///
    /// # Errors
    ///
    /// If a clock may not be read.
    pub(crate) fn read(counter: &Counter) -> Result<Realtime, HostError> {
        let host = counter.host();
        let mono_before = host.nanos(HostClock::Monotonic)?;
        let before = counter.try_read()?;
        let unix_ns = host.nanos(HostClock::Realtime)?;
        let after = counter.try_read()?;
        let mono_after = host.nanos(HostClock::Monotonic)?;
        let offset = (unix_ns.saturating_sub(mono_after), unix_ns.saturating_sub(mono_before));
        Ok(Realtime { before, unix_ns, after, offset })
    }

    /// The best of a few readings, because any of them may have been interrupted.
    ///
    /// # Errors
    ///
    /// If a clock may not be read.
    pub(crate) fn read_narrowest(counter: &Counter) -> Result<Realtime, HostError> {
        narrowest(4, || Realtime::read(counter), |read| read.after.wrapping_sub(read.before))
    }

    /// Whether the clock was stepped between two readings: REALTIME − MONOTONIC
    /// changes by nothing else, except a resume and a leap second.
    pub(crate) fn was_stepped_since(&self, earlier: &Realtime) -> bool {
        is_step(self.step_since(earlier))
    }

    /// By how much the clock was stepped between two readings: at least and at most, in ns.
    pub(crate) fn step_since(&self, earlier: &Realtime) -> (i64, i64) {
        difference(self.offset, earlier.offset)
    }

    /// The same on the scale of TAI, where a leap second of the table is no step.
    pub(crate) fn step_on_tai_since(&self, earlier: &Realtime, leaps: &LeapTable) -> (i64, i64) {
        let on_tai = |read: &Realtime| {
            let (least, most) = offsets(leaps, read.unix_seconds(), LEAP_SLACK_S, None, None)?;
            let shift = |ns: i64, offset: i32| ns.saturating_add(seconds_to_nanos(offset.into()));
            Some((shift(read.offset.0, least), shift(read.offset.1, most)))
        };
        match (on_tai(self), on_tai(earlier)) {
            (Some(now), Some(then)) => difference(now, then),
            _ => self.step_since(earlier),
        }
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        self.unix_ns.div_euclid(NANOS_PER_SECOND)
    }

    /// The moment of TAI that the clock showed, if it may have been off by `error`. It covers
    /// every offset that may be in force so near to a leap second.
    pub(crate) fn tai(
        &self,
        leaps: &LeapTable,
        error: Duration,
        kernel: Option<&KernelState>,
        pending: Option<PendingLeap>,
    ) -> Result<Interval, SourceError> {
        let seconds = self.unix_seconds();
        let slack = LEAP_SLACK_S.saturating_add_unsigned(error.as_secs() + 1);
        let (least, most) = offsets(leaps, seconds, slack, kernel, pending).ok_or_else(|| {
            SourceError::failed(format_args!(
                "the wall clock shows a time before 1972 (Unix time {seconds}), for which UTC has \
                 no leap table: set the clock"
            ))
        })?;
        let at = |offset: i32, step: i64| {
            let tai = self.unix_ns.saturating_add(seconds_to_nanos(offset.into()));
            Timestamp::from_tai_nanos(tai.saturating_add(step))
        };
        // The clock shows its last step, and may stand just before the next.
        Ok(Interval::from_ordered(at(least, 0), at(most, READING_STEP_NS)).widen(error))
    }
}

/// How far one range is beyond another, at least and at most.
fn difference(now: (i64, i64), then: (i64, i64)) -> (i64, i64) {
    (now.0.saturating_sub(then.1), now.1.saturating_sub(then.0))
}

/// Whether a difference of two readings is more than the time that the readings took.
pub(crate) fn is_step((least, most): (i64, i64)) -> bool {
    least > 0 || most < 0
}

/// The kernel's clocks advance in steps of the counter's 10 ns, and show whole nanoseconds.
pub(crate) const READING_STEP_NS: i64 = 11;

/// From how long before a leap to how long after it both offsets are covered, in
/// seconds, on a clock without error: REALTIME runs past midnight for up to two
/// ticks, and repeats one second. A clock's error comes on top.
const LEAP_SLACK_S: i64 = 2;

const DAY: i64 = 86_400;

/// The least and the greatest TAI − UTC that may be in force within `slack` of
/// when the kernel shows `unix`.
fn offsets(
    leaps: &LeapTable,
    unix: i64,
    slack: i64,
    kernel: Option<&KernelState>,
    pending: Option<PendingLeap>,
) -> Option<(i32, i32)> {
    let (mut least, mut most) = leaps.offsets_near(unix, slack)?;
    let (_, in_table) = leaps.offsets_near(unix, 0)?;
    let mut cover = |offset: i32| {
        least = least.min(offset);
        most = most.max(offset);
    };
    if let Some(leap) = pending.filter(|leap| unix >= leap.midnight.saturating_sub(slack)) {
        cover(leap.offset);
    }
    // A kernel that was told TAI − UTC and states something else may know of a leap
    // that the table does not, or be wrong. One that was never told states 0, or
    // counts leaps from there.
    if let Some(kernel) = kernel.filter(|kernel| kernel.tai.abs_diff(in_table) == 1) {
        cover(kernel.tai);
    }
    Some((least, most))
}

/// A leap second that the kernel was told to make, or has made.
///
/// The table may not list it, and the kernel forgets it in the end. So it is remembered here.
/// From that midnight on both offsets are covered. If the leap second was true, the old offset
/// is wrong for ever, and if it was not (servers have announced false ones, as on 2012-07-31), the
/// kernel's clock is a second off until its daemon has corrected it.
///
/// Three things end this:
///
/// - A leap table that lists the leap second. The table is enough from then on.
/// - A leap table that does not list it, and expires after its midnight. The leap second was
///   false, because leap seconds are announced half a year ahead.
/// - The kernel states the old TAI − UTC again, after it had stated that before the leap second.
///   The kernel itself counts each leap second that it makes. So the daemon has set
///   the old number since, from a table of its own.
///
/// After a false leap second the last two count only once a day has passed. A
/// bound that is older than that has reached the kernel's limit of 16 s, so every bound in use
/// was written after the leap second, and the daemon has had many updates to measure the
/// second that the kernel's clock was off.
///
/// [`Clock::set_leap_table`](crate::Clock::set_leap_table) is thus the operator's way to end it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PendingLeap {
    /// The Unix time at which it takes effect, at the earliest and at the latest. They differ by
    /// a day if the kernel's state TIME_ERROR hid whether it was over.
    midnight: i64,
    latest_midnight: i64,
    /// TAI − UTC before it and from then on, in seconds.
    offset_before: i32,
    offset: i32,
    /// Whether the kernel stated `offset_before` while the leap second was still to come.
    was_in_kernel: bool,
}

impl PendingLeap {
    /// Whether a step of `step_ns` (at least and at most) at this reading is the leap second
    /// itself. It is stepped back for an inserted second, at its midnight.
    pub(crate) fn explains(&self, read: &Realtime, (least, most): (i64, i64)) -> bool {
        const TOLERANCE_NS: i64 = 1_000_000;
        let is_second =
            |ns: i64| ns.saturating_abs().abs_diff(NANOS_PER_SECOND) as i64 <= TOLERANCE_NS;
        let is_near = read.unix_seconds().abs_diff(self.midnight) <= LEAP_SLACK_S as u64 + 2;
        is_near && is_second(least) && is_second(most)
    }

    /// The leap second that is known after this state of the kernel, if `before` was known.
    pub(crate) fn update(
        before: Option<PendingLeap>,
        leaps: &LeapTable,
        read: &Realtime,
        kernel: &KernelState,
    ) -> Option<PendingLeap> {
        let now = read.unix_seconds();
        let leap = match kernel.status & (STA_INS | STA_DEL) {
            STA_INS => 1,
            STA_DEL => -1,
            // The leap second was withdrawn, unless its midnight is near or past.
            _ => {
                return before.filter(|leap| {
                    now >= leap.midnight - LEAP_SLACK_S && !leap.is_settled(leaps, now, kernel)
                });
            }
        };
        // The flag stays set for a while after the leap second, and means the same one.
        if let Some(known) = before.filter(|leap| now < leap.midnight + 2 * DAY) {
            return Some(known.once_shown(leaps, now, kernel));
        }
        let last_midnight = now - now.rem_euclid(DAY);
        let (midnight, latest_midnight) = match kernel.state {
            TIME_WAIT => (last_midnight, last_midnight),
            TIME_ERROR => (last_midnight, last_midnight + DAY),
            _ => (last_midnight + DAY, last_midnight + DAY),
        };
        let (in_table, _) = leaps.offsets_near(midnight - 1, 0)?;
        let offset_before = before.map_or(in_table, |leap| leap.offset);
        let offset = offset_before + leap;
        let was_in_kernel = now < midnight && kernel.tai == offset_before;
        Some(PendingLeap { midnight, latest_midnight, offset_before, offset, was_in_kernel })
    }

    /// What is known of it after this state of the kernel, while the flag is still set. Once
    /// TIME_ERROR is over, the kernel shows whether the leap second is still to come. Its state is
    /// believed here as it is at a first look: a kernel that has made one shows TIME_WAIT until the
    /// flag is cleared.
    fn once_shown(self, leaps: &LeapTable, now: i64, kernel: &KernelState) -> PendingLeap {
        let PendingLeap { midnight, latest_midnight, .. } = self;
        let is_to_come = matches!(kernel.state, TIME_INS | TIME_DEL) && now < latest_midnight;
        if midnight == latest_midnight || !is_to_come {
            return self;
        }
        // The table may list another leap second between the two midnights.
        let in_table = |unix| leaps.offsets_near(unix, 0).map_or(0, |(offset, _)| offset);
        let between = in_table(latest_midnight - 1) - in_table(midnight - 1);
        let offset_before = self.offset_before + between;
        PendingLeap {
            midnight: latest_midnight,
            latest_midnight,
            offset_before,
            offset: self.offset + between,
            was_in_kernel: kernel.tai == offset_before,
        }
    }

    /// Whether it need not be remembered when the kernel shows `now`.
    fn is_settled(&self, leaps: &LeapTable, now: i64, kernel: &KernelState) -> bool {
        let in_table = |unix| leaps.offsets_near(unix, 0).map(|(offset, _)| offset);
        if in_table(self.midnight - 1) == Some(self.offset_before)
            && in_table(self.latest_midnight) == Some(self.offset)
        {
            return true;
        }
        let latest = self.latest_midnight;
        let is_denied = leaps.expires().is_some_and(|expires| expires.seconds() > latest);
        let is_reset = self.was_in_kernel && kernel.tai == self.offset_before;
        now >= latest + DAY && (is_denied || is_reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{STA_UNSYNC, TIME_OK};

    const SECOND: i64 = NANOS_PER_SECOND;
    /// 2016-12-31T23:59:60Z was inserted before this midnight.
    const LEAP: i64 = 1_483_228_800;

    #[test]
    fn around_a_leap_second_both_offsets_are_covered() {
        let leaps = LeapTable::builtin();
        let quiet = kernel(TIME_OK, 0);
        let ins = KernelState { status: STA_INS, state: TIME_INS, ..quiet };
        let del = KernelState { status: STA_DEL, state: TIME_DEL, ..quiet };
        let midnight = 1_700_006_400; // of a day without a leap second
        let cases = [
            ("long before", LEAP - 3, quiet, (36, 36)),
            ("before", LEAP - 2, quiet, (36, 37)),
            ("the kernel runs past midnight", LEAP, quiet, (36, 37)),
            ("after, perhaps", LEAP + 1, quiet, (36, 37)),
            ("after", LEAP + 2, quiet, (37, 37)),
            ("a listed leap, told to the kernel too", LEAP - 1, ins, (36, 37)),
            ("listed, told, and over", LEAP + 2, ins, (37, 37)),
            ("told, and far from midnight", midnight - 3, ins, (37, 37)),
            ("told of a leap that is not listed", midnight - 1, ins, (37, 38)),
            ("not listed, and over", midnight + 99_999, ins, (37, 38)),
            ("told to delete one", midnight - 1, del, (36, 37)),
            ("the kernel knows one more", midnight + 9, KernelState { tai: 38, ..quiet }, (37, 38)),
            ("the kernel was never told", midnight + 9, KernelState { tai: 1, ..quiet }, (37, 37)),
        ];
        for (when, unix, kernel, expected) in cases {
            // The kernel was told shortly before the midnight in question.
            let told = if unix < LEAP + DAY { LEAP } else { midnight } - 99;
            let leap = PendingLeap::update(None, &leaps, &stand(told * SECOND), &kernel);
            let near = offsets(&leaps, unix, LEAP_SLACK_S, Some(&kernel), leap);
            assert_eq!(near, Some(expected), "{when}");
        }
        assert_eq!(offsets(&leaps, 0, LEAP_SLACK_S, None, None), None, "before 1972");
    }

    /// A kernel with nothing else to report.
    fn kernel(state: i32, status: i32) -> KernelState {
        KernelState {
            state,
            status,
            maxerror_us: 1,
            esterror_us: 1,
            constant: 0,
            offset_ns: 0,
            adjtime_ns: 0,
            rate_ppb: 0,
            tai: 0,
            unix_ns: 0,
        }
    }

    fn stand(unix_ns: i64) -> Realtime {
        Realtime { before: 0, unix_ns, after: 0, offset: (0, 0) }
    }

    #[test]
    fn a_clock_that_is_seconds_off_is_covered_seconds_around_a_leap() {
        let leaps = LeapTable::builtin();
        let error = Duration::from_secs(4);
        // The clock is 4 s slow, or fast, around the leap; truth is counted in TAI.
        for off in [-4i64, 4] {
            for tenths in -100i64..100 {
                let truth = (LEAP + 36) * SECOND + tenths * SECOND / 10;
                let utc = if truth < (LEAP + 37) * SECOND { 36 } else { 37 };
                let shown = stand(truth - utc * SECOND + off * SECOND);
                let time = shown.tai(&leaps, error, None, None).expect("after 1972");
                assert!(time.contains(Timestamp::from_tai_nanos(truth)), "{tenths} {off}: {time}");
            }
        }
    }

    #[test]
    fn a_leap_that_is_not_listed_is_remembered_until_the_table_lists_it() {
        let leaps = LeapTable::builtin();
        let midnight = 1_700_006_400;
        let quiet = kernel(TIME_OK, 0);
        let at = |unix: i64| stand(unix * SECOND);
        let noon = at(midnight - DAY / 2);
        let told = kernel(TIME_INS, STA_INS);
        // chronyd without `rtcsync`: the error hides the states.
        let hidden = kernel(TIME_ERROR, STA_INS | STA_UNSYNC);
        for kernel in [told, hidden] {
            let known = PendingLeap::update(None, &leaps, &noon, &kernel);
            let withdrawn = PendingLeap::update(known, &leaps, &at(midnight - 3), &quiet);
            assert_eq!(withdrawn.is_some(), kernel == hidden, "or it had been over already");
            let made = PendingLeap::update(known, &leaps, &at(midnight + 5), &quiet);
            assert_eq!(made, known, "the kernel forgets it, and the clock does not");
            let later = offsets(&leaps, midnight + 9 * DAY, LEAP_SLACK_S, None, made);
            assert_eq!(later, Some((37, 38)));
        }
        let mut entries: Vec<(i64, i32)> =
            leaps.entries().map(|e| (e.since.nanos() / SECOND, e.tai_minus_utc)).collect();
        entries.push((midnight, 38));
        let newer = LeapTable::from_entries(&entries).expect("in order");
        let made = PendingLeap::update(None, &leaps, &noon, &told);
        let later = offsets(&newer, midnight + 9 * DAY, LEAP_SLACK_S, None, made);
        assert_eq!(later, Some((38, 38)));
    }

    /// The builtin table, and whether the leap second at `midnight` is in it. It expires then.
    fn table(listed: Option<i64>, expires: i64) -> LeapTable {
        let ntp = |unix: i64| unix + 2_208_988_800;
        let builtin = LeapTable::builtin();
        let entries = builtin.entries().map(|e| (e.since.seconds(), e.tai_minus_utc));
        let entries = entries.chain(listed.map(|midnight| (midnight, 38)));
        let lines: String = entries.map(|(at, tai)| format!("{} {tai}\n", ntp(at))).collect();
        let list = format!("#@ {}\n{lines}", ntp(expires));
        LeapTable::from_list(list.as_bytes()).expect("a list without a hash")
    }

    #[test]
    fn a_leap_that_the_kernel_made_is_forgotten_once_a_table_or_the_daemon_settles_it() {
        let midnight = 1_700_006_400;
        let (told, over) = (kernel(TIME_INS, STA_INS), kernel(TIME_OK, 0));
        let tai = |kernel: KernelState, tai: i32| KernelState { tai, ..kernel };
        let old = table(None, midnight - 99 * DAY);
        let denies = table(None, midnight + 99 * DAY);
        let lists = table(Some(midnight), midnight + 99 * DAY);
        // What the kernel showed before and after, by which table, and when it is forgotten.
        let hour = 3_600;
        let cases = [
            ("an old table says nothing", told, over, &old, None),
            ("a table lists it", told, over, &lists, Some(0)),
            ("a table denies it", told, over, &denies, Some(DAY)),
            (
                "an unexpired table says nothing of that day",
                told,
                over,
                &table(None, midnight),
                None,
            ),
            ("the kernel counts it", tai(told, 37), tai(over, 38), &old, None),
            ("the daemon sets the old count", tai(told, 37), tai(over, 37), &old, Some(DAY)),
            ("a count that was behind before", tai(told, 36), tai(over, 37), &old, None),
            ("a kernel without a count", told, tai(over, 1), &old, None),
            ("still announced", told, told, &denies, None),
        ];
        for (why, before, after, table, forgotten) in cases {
            let noon = stand((midnight - 12 * hour) * SECOND);
            let mut known = PendingLeap::update(None, table, &noon, &before);
            assert!(known.is_some(), "{why}: announced");
            let mut end = None;
            for later in (0..47).map(|hours| hours * hour) {
                let read = stand((midnight + later) * SECOND);
                known = PendingLeap::update(known, table, &read, &after);
                end = end.or((known.is_none()).then_some(later));
            }
            assert_eq!(end, forgotten, "{why}");
        }
    }

    #[test]
    fn a_leap_that_an_error_hides_may_be_a_day_later_and_its_count_says_nothing() {
        // The first reading is after midnight: the count may be of before or after.
        let midnight = 1_700_006_400;
        let hidden = KernelState { tai: 37, ..kernel(TIME_ERROR, STA_INS | STA_UNSYNC) };
        let old = table(None, midnight - 99 * DAY);
        let known = PendingLeap::update(None, &old, &stand((midnight + 9) * SECOND), &hidden);
        let quiet = KernelState { tai: 37, ..kernel(TIME_OK, 0) };
        let later = stand((midnight + 9 * DAY) * SECOND);
        assert_eq!(PendingLeap::update(known, &old, &later, &quiet), known);
        assert!(known.is_some());
        // It may be of the next midnight, and then the first day after it is not over here.
        let denies = table(None, midnight + 99 * DAY);
        for (days, is_known) in [(1, true), (2, false)] {
            let later = stand((midnight + days * DAY) * SECOND);
            let known = PendingLeap::update(known, &denies, &later, &quiet);
            assert_eq!(known.is_some(), is_known, "after {days} days");
        }
    }

    #[test]
    fn a_leap_that_an_error_hid_is_still_to_come_once_the_kernel_shows_it() {
        let unlisted = 1_700_006_400;
        let leaps = LeapTable::builtin();
        let outcome = |midnight: i64, state, tai| {
            let at = |s: i64| stand((midnight + s) * SECOND);
            let hidden = KernelState { tai, ..kernel(TIME_ERROR, STA_INS | STA_UNSYNC) };
            let known = PendingLeap::update(None, &leaps, &at(-99), &hidden);
            let shown = KernelState { tai, ..kernel(state, STA_INS) };
            let known = PendingLeap::update(known, &leaps, &at(-98), &shown).expect("announced");
            let offsets = |s: i64| offsets(&leaps, midnight + s, LEAP_SLACK_S, None, Some(known));
            (offsets(-97), offsets(97), known.was_in_kernel)
        };
        let both = Some((37, 38));
        let cases = [
            (unlisted, TIME_INS, 37, (Some((37, 37)), both, true)),
            (unlisted, TIME_INS, 0, (Some((37, 37)), both, false)),
            // It may be over, or the error may still hide it.
            (unlisted, TIME_WAIT, 37, (both, both, false)),
            (unlisted, TIME_ERROR, 37, (both, both, false)),
            // Listed, and of the day after a listed one.
            (LEAP, TIME_INS, 36, (Some((36, 36)), Some((37, 37)), true)),
            (LEAP + DAY, TIME_INS, 37, (Some((37, 37)), both, true)),
        ];
        for (midnight, state, tai, expected) in cases {
            assert_eq!(outcome(midnight, state, tai), expected, "{midnight} {state} {tai}");
        }
    }

    #[test]
    fn a_step_shows_and_a_listed_leap_second_is_none() {
        let leaps = LeapTable::builtin();
        let reading = |unix_ns: i64, mono: i64| Realtime {
            before: 0,
            unix_ns,
            after: 0,
            offset: (unix_ns - mono - 60, unix_ns - mono),
        };
        let then = reading((LEAP - 100) * SECOND, 0);
        // 300 s later the kernel's clock has repeated a second: it shows 299 s more.
        let leapt = reading((LEAP + 199) * SECOND, 300 * SECOND);
        assert!(leapt.was_stepped_since(&then));
        assert!(!is_step(leapt.step_on_tai_since(&then, &leaps)));
        let not_leapt = reading((LEAP + 200) * SECOND, 300 * SECOND);
        assert!(!not_leapt.was_stepped_since(&then));
        assert!(is_step(not_leapt.step_on_tai_since(&then, &leaps)));
        for step in [-3_600 * SECOND, -1_000, 1_000, SECOND] {
            let stepped = reading((LEAP + 199) * SECOND + step, 300 * SECOND);
            assert!(is_step(stepped.step_on_tai_since(&then, &leaps)), "by {step} ns");
        }
    }
}
