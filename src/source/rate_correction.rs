//! [`RateCorrection`]: what the kernel's rate correction says of the oscillator.
//!
//! `adjtimex` shows by how much the wall clock is made to run faster than its oscillator. A
//! daemon uses this one number for two purposes. It *slews* the clock for a while, to correct
//! an offset. And it makes up for the *oscillator*, which is off nominal, for as long as it runs.
//!
//! The difference matters. In a slew the clock leaves true time at the rate of the slew, and
//! `maxerror` must grow at least as fast. A correction of the oscillator keeps the clock right,
//! but the counter runs on the same oscillator, so the clock's own bounds leave true time if
//! the oscillator is further off than assumption A2 allows. Measured: with 250 ppm and a
//! `max_drift_ppm` of 200, 847 of 990 readings missed true time within 20 s.
//!
//! Two things tell them apart. chronyd's report states the oscillator's frequency, without the
//! slew. And a slew ends: a correction that stays within 10 ppm for longer than a minute is
//! the daemon's statement about the oscillator. Until one of the two is known, the correction
//! counts as both, which is the careful side.

use crate::host::GROWTH_PPM;
use crate::timestamp::NANOS_PER_SECOND;

/// Corrections within so much of each other are one statement, in ppb.
const STEADY_WITHIN_PPB: i64 = 10_000;

/// A correction that is held for longer is not a slew, in ns.
const LONGER_THAN_A_SLEW_NS: i64 = 64 * NANOS_PER_SECOND;

/// How far a daemon's statement of the oscillator's rate may be off, in ppm: its estimate has
/// an error, and the oscillator wanders with the temperature.
const STATEMENT_ERROR_PPM: u32 = 15;

/// Follows the kernel's rate correction.
#[derive(Debug, Default)]
pub(crate) struct RateCorrection {
    held: Option<Held>,
    widest: Option<Widest>,
}

/// A correction that has stayed within a narrow range since some time.
#[derive(Clone, Copy, Debug)]
struct Held {
    least_ppb: i64,
    most_ppb: i64,
    since_ns: i64,
}

/// The largest drift that was seen lately.
#[derive(Clone, Copy, Debug)]
struct Widest {
    drift_ppm: u32,
    until_ns: i64,
}

/// What a correction means for the bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Correction {
    /// The bound's growth covers it.
    Covered,
    /// It is, or may be, a slew that is faster than the bound's growth covers.
    Slew {
        /// The most that is covered, in ppm.
        limit_ppm: u32,
    },
    /// It corrects an oscillator that is off by so many ppm: too far for the bound.
    BeyondDrift {
        /// By how much the oscillator is off.
        off_ppm: u32,
    },
}

impl RateCorrection {
    /// What a correction of `rate_ppb` means for the bound when the monotonic clock shows
    /// `now_ns`; and by how many ppm the oscillator may be off, if that is more than A2 allows.
    ///
    /// `stated` is the daemon's own statement of what it corrects the oscillator by, in ppb,
    /// and how far that may be off in ppm, if it makes one.
    pub(crate) fn note(
        &mut self,
        rate_ppb: i64,
        stated: Option<(i64, u32)>,
        max_drift_ppm: u32,
        now_ns: i64,
    ) -> (Correction, Option<u32>) {
        let held_ppb = self.hold(rate_ppb, now_ns);
        let statement = stated.or(held_ppb.map(|ppb| (ppb, STATEMENT_ERROR_PPM)));
        // Without a statement all of the correction may be the oscillator's.
        let (oscillator_ppb, error_ppm) = statement.unwrap_or((rate_ppb, STATEMENT_ERROR_PPM));
        let off_ppm = to_ppm(oscillator_ppb);
        let error_ppm = error_ppm.max(STATEMENT_ERROR_PPM).max(off_ppm / 10);
        let is_refuted = off_ppm > max_drift_ppm;

        // The wall clock leaves true time at the rate of the correction and the oscillator
        // together. The bound grows as fast if the oscillator is within so many ppm of what the
        // rest of the correction makes up for.
        let growth_ppm = GROWTH_PPM.unsigned_abs() as u32;
        let covers = |slew_ppb: i64, oscillator_ppm: u32| {
            to_ppm(slew_ppb) <= growth_ppm.saturating_sub(oscillator_ppm)
        };
        // Either A2 holds, or the statement. Without one, a correction beyond A2 may be a slew,
        // which the bound covers, or the oscillator's, which the wider drift covers.
        let by_assumption = covers(rate_ppb, max_drift_ppm) && (!is_refuted || statement.is_none());
        let by_statement = statement
            .is_some_and(|(stated_ppb, _)| covers(rate_ppb.saturating_sub(stated_ppb), error_ppm));
        let is_known = statement.is_some() || by_assumption;
        let beyond_a2 = (is_refuted && is_known).then(|| off_ppm.saturating_add(error_ppm));
        let excludes = statement.is_some() && off_ppm.saturating_add(error_ppm) <= max_drift_ppm;
        let drift_ppm = self.widest(beyond_a2, excludes, now_ns);

        let correction = if is_refuted && off_ppm > growth_ppm && statement.is_some() {
            Correction::BeyondDrift { off_ppm }
        } else if by_assumption || by_statement {
            Correction::Covered
        } else {
            Correction::Slew { limit_ppm: growth_ppm.saturating_sub(max_drift_ppm) }
        };
        (correction, drift_ppm)
    }

    /// The correction in ppb, if it has been held for longer than a slew lasts.
    fn hold(&mut self, rate_ppb: i64, now_ns: i64) -> Option<i64> {
        let anew = Held { least_ppb: rate_ppb, most_ppb: rate_ppb, since_ns: now_ns };
        let held = self.held.get_or_insert(anew);
        held.least_ppb = held.least_ppb.min(rate_ppb);
        held.most_ppb = held.most_ppb.max(rate_ppb);
        if held.most_ppb.saturating_sub(held.least_ppb) > STEADY_WITHIN_PPB {
            *held = anew;
        }
        let age_ns = now_ns.saturating_sub(held.since_ns);
        (age_ns >= LONGER_THAN_A_SLEW_NS).then_some(rate_ppb)
    }

    /// The largest drift that was seen, until a statement has excluded it for a minute.
    fn widest(&mut self, drift_ppm: Option<u32>, excludes: bool, now_ns: i64) -> Option<u32> {
        let before = self.widest.filter(|widest| now_ns < widest.until_ns);
        let widest_ppm = drift_ppm.max(before.map(|widest| widest.drift_ppm))?;
        // Bounds are not carried by one rate and another in turn.
        let until_ns = match before {
            Some(before) if excludes => before.until_ns,
            _ => now_ns.saturating_add(LONGER_THAN_A_SLEW_NS),
        };
        self.widest = Some(Widest { drift_ppm: widest_ppm, until_ns });
        Some(widest_ppm)
    }

    /// Nothing updates the correction any more. What it is now may be a slew that will not end,
    /// so it is no statement, and what was known before stays.
    pub(crate) fn freeze(&mut self, now_ns: i64) {
        self.held = None;
        if let Some(widest) = &mut self.widest {
            widest.until_ns = widest.until_ns.max(now_ns.saturating_add(LONGER_THAN_A_SLEW_NS));
        }
    }
}

/// The size of a rate in whole ppm, rounded up.
fn to_ppm(ppb: i64) -> u32 {
    u32::try_from(ppb.unsigned_abs().div_ceil(1_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Correction::*;
    use super::*;

    const PPM: i64 = 1_000;
    const SECOND: i64 = NANOS_PER_SECOND;

    #[test]
    fn at_first_sight_a_correction_is_a_slew_and_the_oscillators() {
        let cases = [
            // ppm, max_drift_ppm, meaning
            (0, 200, (Covered, None)),
            (200, 200, (Covered, None)),
            (-201, 200, (Covered, Some(221))),
            (300, 200, (Covered, Some(330))),
            (301, 200, (Slew { limit_ppm: 300 }, None)),
            (100_000, 200, (Slew { limit_ppm: 300 }, None)),
            (100, 20, (Covered, Some(115))),
            (380, 20, (Covered, Some(418))),
            (100, 400, (Covered, None)),
            (101, 400, (Slew { limit_ppm: 100 }, None)),
            (1, 2_000, (Slew { limit_ppm: 0 }, None)),
        ];
        for (ppm, max_drift_ppm, meaning) in cases {
            let got = RateCorrection::default().note(ppm * PPM, None, max_drift_ppm, 0);
            assert_eq!(got, meaning, "{ppm} ppm with max_drift_ppm {max_drift_ppm}");
        }
    }

    #[test]
    fn a_correction_that_is_held_is_the_oscillators() {
        let cases = [
            (250, 200, (Covered, Some(275))),
            (400, 200, (Covered, Some(440))),
            (-499, 200, (Covered, Some(548))),
            (501, 200, (BeyondDrift { off_ppm: 501 }, Some(551))),
            (2_000, 200, (BeyondDrift { off_ppm: 2_000 }, Some(2_200))),
            (2_000, 2_500, (Covered, None)), // the operator has stated it
            (250, 400, (Covered, None)),
        ];
        for (ppm, max_drift_ppm, meaning) in cases {
            let mut correction = RateCorrection::default();
            for second in 0..63 {
                // The estimate moves a little, as daemons' do.
                let less = i64::signum(ppm) * (second % 3);
                correction.note((ppm - less) * PPM, None, max_drift_ppm, second * SECOND);
            }
            let held = correction.note(ppm * PPM, None, max_drift_ppm, 64 * SECOND);
            assert_eq!(held, meaning, "{ppm} ppm with max_drift_ppm {max_drift_ppm}");
        }
    }

    #[test]
    fn chronyd_tells_the_slew_from_the_oscillator_at_once() {
        let cases = [
            // correction, the oscillator's part, its error, in ppm; meaning
            (400, 400, 1, (Covered, Some(440))),
            (400, 10, 1, (Covered, None)),
            (700, 10, 1, (Slew { limit_ppm: 300 }, None)),
            (700, 300, 1, (Covered, Some(330))),
            (100_000, 10, 1, (Slew { limit_ppm: 300 }, None)),
            (-200, 250, 1, (Covered, Some(275))),
            (-220, 250, 100, (Slew { limit_ppm: 300 }, Some(350))),
            (2_000, 2_000, 1, (BeyondDrift { off_ppm: 2_000 }, Some(2_200))),
        ];
        for (ppm, stated, error_ppm, meaning) in cases {
            let stated = Some((stated * PPM, error_ppm));
            let got = RateCorrection::default().note(ppm * PPM, stated, 200, 0);
            assert_eq!(got, meaning, "{ppm} ppm, of which {stated:?}");
        }
    }

    #[test]
    fn a_drift_counts_until_a_statement_has_excluded_it_for_a_minute() {
        let mut correction = RateCorrection::default();
        assert_eq!(correction.note(250 * PPM, None, 200, 0), (Covered, Some(275)));
        // Without a statement the last correction need not be the oscillator's.
        for second in [1, 60, 64] {
            let meaning = correction.note(10 * PPM, None, 200, second * SECOND);
            assert_eq!(meaning, (Covered, Some(275)), "at {second} s");
        }
        // From here on it is held, and excludes the larger one.
        let at = |second: i64| (second + 1) * SECOND;
        assert_eq!(correction.note(10 * PPM, None, 200, at(64)), (Covered, Some(275)));
        assert_eq!(correction.note(10 * PPM, None, 200, at(126)), (Covered, Some(275)));
        assert_eq!(correction.note(10 * PPM, None, 200, at(128)), (Covered, None));
        assert!(matches!(correction.note(i64::MIN, None, 200, i64::MAX), (Slew { .. }, _)));
    }
    #[test]
    fn a_statement_that_is_uncertain_does_not_exclude_a_drift() {
        let mut correction = RateCorrection::default();
        let stated = |ppm: i64, error_ppm| Some((ppm * PPM, error_ppm));
        assert_eq!(correction.note(250 * PPM, stated(250, 1), 200, 0), (Covered, Some(275)));
        let meaning = correction.note(50 * PPM, stated(50, 160), 200, 999 * SECOND);
        assert_eq!(meaning, (Covered, None), "it was not seen for long");
        correction.note(250 * PPM, stated(250, 1), 200, 1_000 * SECOND);
        for second in (1_000..2_000).step_by(50) {
            let meaning = correction.note(50 * PPM, stated(50, 160), 200, second * SECOND);
            assert_eq!(meaning, (Covered, Some(275)));
        }
    }

    #[test]
    fn what_a_dead_daemon_has_left_is_no_statement() {
        let mut correction = RateCorrection::default();
        correction.note(250 * PPM, None, 200, 0);
        for second in (0..1_000).step_by(50) {
            correction.freeze(second * SECOND);
            let meaning = correction.note(0, None, 200, second * SECOND);
            assert_eq!(meaning, (Covered, Some(275)), "at {second} s");
        }
    }
}
