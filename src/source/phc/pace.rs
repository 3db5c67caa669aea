//! [`Pace`]: whether a clock advances as the oscillator does.
//!
//! A clock that is always within its stated error of true time advances, between any two readings,
//! by what true time does, give or take twice that error. The raw clock advances by what true time
//! does too, give or take its drift. So a clock that does not fit the raw clock was set, or runs
//! wrong. Two readings right after each other show which of them: they must fit as if the clock had
//! no error at all.
//!
//! This is coarse on purpose. What is wrong by less is for the clock's other evidence to find, as a
//! contradiction.

use std::fmt;

use crate::interval::Interval;
use crate::timestamp::NANOS_PER_SECOND;

/// By how much the pace may be off, in ppm: more than any oscillator is, and than a time daemon
/// steers in the long run.
const TOLERANCE_PPM: i64 = 1_000;
/// How old a reading may be that others are compared with.
const RENEWED_NS: i64 = 16 * NANOS_PER_SECOND;

/// A reading: the moment of TAI that the clock showed, while the raw clock was between these two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) shown: Interval,
    pub(super) raw: (i64, i64),
}

/// What two readings right after each other show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The clock keeps the oscillator's pace.
    Steady,
    /// It advanced so many thousandths of what the oscillator did.
    Runs { thousandths: u64 },
}

/// Compares a clock's readings with the raw clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Mark>,
    /// How often the clock was set since the first reading.
    jumps: u64,
}

impl Pace {
    /// Whether this reading fits an earlier one, if the clock may be off by `error_ns`.
    pub(super) fn agrees(&mut self, now: &Mark, error_ns: u64) -> bool {
        let Some(last) = self.last else { return false };
        let slack_ns = i64::try_from(error_ns.saturating_mul(2)).unwrap_or(i64::MAX);
        if !fits(&last, now, slack_ns) {
            return false;
        }
        if now.raw.0.saturating_sub(last.raw.0) > RENEWED_NS {
            self.last = Some(*now);
        }
        true
    }

    /// Begins with two readings right after each other, if the clock keeps its pace between them.
    pub(super) fn begin(&mut self, first: &Mark, second: &Mark) -> Verdict {
        let had_one = self.last.take().is_some();
        if !fits(first, second, 0) {
            let shown = i128::from(second.shown.latest().tai_nanos())
                - i128::from(first.shown.latest().tai_nanos());
            let raw = i128::from(second.raw.1) - i128::from(first.raw.1);
            let thousandths = (shown * 1000 + raw / 2).checked_div(raw).unwrap_or(0).max(0);
            return Verdict::Runs { thousandths: u64::try_from(thousandths).unwrap_or(u64::MAX) };
        }
        self.jumps += u64::from(had_one);
        self.last = Some(*second);
        Verdict::Steady
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.jumps {
            0 => Ok(()),
            times => write!(f, "; it was set, or the host was suspended, {times} times"),
        }
    }
}

/// Whether the clock and the raw clock may have advanced by the same between two readings, if
/// the former may be `slack_ns` further on or back.
fn fits(earlier: &Mark, later: &Mark, slack_ns: i64) -> bool {
    let since = |later: i64, earlier: i64| later.saturating_sub(earlier);
    let shown = (
        since(later.shown.earliest().tai_nanos(), earlier.shown.latest().tai_nanos()),
        since(later.shown.latest().tai_nanos(), earlier.shown.earliest().tai_nanos()),
    );
    let raw = (since(later.raw.0, earlier.raw.1), since(later.raw.1, earlier.raw.0));
    let tolerance_ns = raw.1.saturating_abs() / 1_000_000 * TOLERANCE_PPM
        + raw.1.saturating_abs() % 1_000_000 * TOLERANCE_PPM / 1_000_000
        + 1;
    let slack_ns = slack_ns.saturating_add(tolerance_ns);
    shown.1.saturating_add(slack_ns) >= raw.0 && shown.0.saturating_sub(slack_ns) <= raw.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    /// A reading at `raw_ns` of a clock that showed `shown_ns`, in a bracket of 1 µs.
    fn mark(raw_ns: i64, shown_ns: i64) -> Mark {
        let shown = Interval::from(Timestamp::from_tai_nanos(1_700_000_000_000_000_000 + shown_ns));
        Mark { shown, raw: (raw_ns, raw_ns + 1_000) }
    }

    #[test]
    fn a_pace_is_steady_within_a_thousandth() {
        let ms = 1_000_000;
        let cases = [
            (2 * ms, Verdict::Steady),
            (2 * ms + 2_900, Verdict::Steady),
            (2 * ms - 2_900, Verdict::Steady),
            (2 * ms + 5_000, Verdict::Runs { thousandths: 1_003 }),
            (5_200_000, Verdict::Runs { thousandths: 2_600 }),
            (0, Verdict::Runs { thousandths: 0 }),
            (-37_000 * ms, Verdict::Runs { thousandths: 0 }),
        ];
        for (shown, expected) in cases {
            let mut pace = Pace::default();
            assert!(!pace.agrees(&mark(0, 0), 1_000), "the first has nothing to be compared with");
            assert_eq!(pace.begin(&mark(0, 0), &mark(2 * ms, shown)), expected, "{shown}");
            assert_eq!(pace.agrees(&mark(3 * ms, shown + ms), 1_000), expected == Verdict::Steady);
        }
    }

    #[test]
    fn a_reading_may_be_off_by_twice_the_error_and_what_the_oscillator_drifts() {
        let second = NANOS_PER_SECOND;
        for (shown, error_ns, agrees) in [
            (second, 0, true),
            (second + 1_000_000, 0, true), // 1000 ppm
            (second + 1_004_000, 0, false),
            (second + 1_004_000, 2_000, true),
            (second - 1_004_000, 0, false),
            (second - 1_004_000, 2_000, true),
            (0, 1_000, false),
            (0, 600_000_000, true),
            (i64::MIN / 4, 1_000, false),
            (i64::MIN / 4, u64::MAX, true),
        ] {
            let mut pace = Pace::default();
            assert_eq!(pace.begin(&mark(-2_000_000, -2_000_000), &mark(0, 0)), Verdict::Steady);
            assert_eq!(pace.agrees(&mark(second, shown), error_ns), agrees, "{shown} {error_ns}");
        }
    }

    #[test]
    fn a_clock_that_was_set_is_counted_and_goes_on() {
        let mut pace = Pace::default();
        assert_eq!(pace.begin(&mark(0, 0), &mark(2_000_000, 2_000_000)), Verdict::Steady);
        assert_eq!(pace.to_string(), "");
        assert!(!pace.agrees(&mark(9_000_000, 99_000_000), 1_000));
        let (first, second) = (mark(9_000_000, 99_000_000), mark(11_000_000, 101_000_000));
        assert_eq!(pace.begin(&first, &second), Verdict::Steady);
        assert!(pace.to_string().contains("1 times"), "{pace}");
        assert!(pace.agrees(&mark(12_000_000, 102_000_000), 1_000));
    }
}
