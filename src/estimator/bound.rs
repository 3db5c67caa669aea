//! [`Bound`]: the pair of lines that everything else is made of.
//!
//! A sample says: while the counter went from `before` to `after`, true time
//! was somewhere in an interval. From there true time advances by at least
//! `slowest` and at most `fastest` nanoseconds a tick, so at every later tick
//! it lies between two straight lines. A [`Bound`] is where those lines start;
//! a [`Pace`] is how steep they are.
//!
//! ```text
//!   true time                              ___/  latest: + fastest a tick
//!        |                         ____----
//!        |            ____----
//!        |   [sample]              ______--/  earliest: + slowest a tick
//!        |           ______-----
//!        +---before-after---------------------> counter
//! ```
//!
//! The lines diverge, which is ageing. Two bounds carried to the same tick
//! intersect, which is fusing. If they do not intersect, something lied.
//!
//! Everything is in integers, and every rounding is outward.

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// What a source says: while the counter went from `before` to `after`, there
/// was a moment at which true time was within `time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// A counter reading taken before the evidence, in ticks.
    pub before: u64,
    /// A counter reading taken after the evidence, in ticks.
    pub after: u64,
    /// Where true time was in between.
    pub time: Interval,
}

impl Sample {
    /// Puts the three together.
    pub fn new(before: u64, after: u64, time: Interval) -> Sample {
        Sample { before, after, time }
    }
}

/// How fast time passes on a counter: between `slowest` and `fastest` nanoseconds a tick.
///
/// Fixed point: `ticks << shift`, times the rate, is nanoseconds × 2⁶⁴. The
/// shift comes first so that a rate is always below one, and a reading needs
/// only the upper half of a 64 × 64 bit product. A counter faster than 1 GHz
/// needs no shift; `CLOCK_MONOTONIC_RAW`, at 1 GHz less the drift, needs 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    pub(crate) shift: u32,
    pub(crate) slowest: u64,
    pub(crate) fastest: u64,
}

/// A counter slower than this is no clock: 2²⁰ ns a tick, with its room for drift, is 1.2 kHz.
const MAX_SHIFT: u32 = 20;

impl Pace {
    /// One tick is one nanosecond, as on the kernel's own clocks.
    pub(crate) const NANOSECONDS: Pace = Pace { shift: 1, slowest: 1 << 63, fastest: 1 << 63 };

    /// The shift for a counter of which at least `ticks` pass in at most `nanos`.
    ///
    /// `None` if it stood still or is slower than 1.2 kHz.
    pub(crate) fn shift_for(ticks: u64, nanos: u64) -> Option<u32> {
        // Room for a drift of 25 %, so that adding the allowed 10 % stays below one.
        let ceiling = u128::from(nanos) + u128::from(nanos) / 4 + 1;
        (0..=MAX_SHIFT).find(|shift| u128::from(ticks) << shift > ceiling)
    }

    /// The pace of a counter that went at least `ticks.0` and at most `ticks.1`
    /// ticks while at least `nanos.0` and at most `nanos.1` nanoseconds passed.
    ///
    /// `None` if that cannot be, or is too slow for `shift`.
    pub(crate) fn measured(shift: u32, ticks: (u64, u64), nanos: (u64, u64)) -> Option<Pace> {
        if ticks.0 == 0 || ticks.0 > ticks.1 || nanos.0 > nanos.1 || shift > MAX_SHIFT {
            return None;
        }
        let scaled = |nanos: u64| u128::from(nanos) << (64 - shift);
        let slowest = scaled(nanos.0) / u128::from(ticks.1);
        let fastest = scaled(nanos.1).div_ceil(u128::from(ticks.0));
        Some(Pace {
            shift,
            slowest: u64::try_from(slowest).ok()?,
            // After a moment too short to exclude a rate of one or more, this
            // end is open; the format's last value stands for that.
            fastest: u64::try_from(fastest).unwrap_or(u64::MAX),
        })
    }

    /// This pace when the frequency of the oscillator behind it may be off by `ppm`
    /// either way: then a tick lasts from `1 / (1 + ppm)` to `1 / (1 - ppm)` times as long.
    pub(crate) fn with_drift(self, ppm: u32) -> Pace {
        let part = |rate: u64, of: u32| {
            let part = (u128::from(rate) * u128::from(ppm)).div_ceil(u128::from(of.max(1)));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        Pace {
            shift: self.shift,
            // A little less than 1 / (1 + ppm): outward.
            slowest: self.slowest.saturating_sub(part(self.slowest, 1_000_000)),
            fastest: self
                .fastest
                .saturating_add(part(self.fastest, 1_000_000u32.saturating_sub(ppm))),
        }
    }

    /// What both paces allow, or `None` if they exclude each other.
    pub(crate) fn intersect(self, other: Pace) -> Option<Pace> {
        let slowest = self.slowest.max(other.slowest);
        let fastest = self.fastest.min(other.fastest);
        (self.shift == other.shift && slowest <= fastest).then_some(Pace {
            shift: self.shift,
            slowest,
            fastest,
        })
    }

    /// The nanoseconds that pass at least in `ticks`, rounded down.
    pub(crate) fn least_nanos(&self, ticks: u64) -> u64 {
        let nanos =
            (u128::from(ticks) << self.shift).saturating_mul(u128::from(self.slowest)) >> 64;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The nanoseconds that pass at most in `ticks`, rounded up.
    pub(crate) fn most_nanos(&self, ticks: u64) -> u64 {
        let product = (u128::from(ticks) << self.shift).saturating_mul(u128::from(self.fastest));
        u64::try_from(product.div_ceil(1 << 64)).unwrap_or(u64::MAX)
    }

    /// The ticks that pass at most in `nanos`, rounded up.
    pub(crate) fn most_ticks(&self, nanos: u64) -> u64 {
        let per_shifted_tick = u128::from(self.slowest.max(1));
        let ticks = (u128::from(nanos) << 64).div_ceil(per_shifted_tick) >> self.shift;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The middle of the pace in ticks a second: the counter's frequency, for people.
    pub(crate) fn hertz(&self) -> f64 {
        let rate = (self.slowest as f64 + self.fastest as f64) / 2.0 * self.scale();
        1e9 / rate
    }

    /// Half of the pace's own width, in parts per billion: how well the rate is known.
    pub(crate) fn uncertainty_ppb(&self) -> f64 {
        (self.fastest as f64 - self.slowest as f64) / self.fastest as f64 / 2.0 * 1e9
    }

    fn scale(&self) -> f64 {
        2f64.powi(self.shift as i32 - 64)
    }
}

/// Where the two lines start: when the counter showed `origin`, true time was within `time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    pub(crate) origin: u64,
    pub(crate) time: Interval,
}

impl Bound {
    /// The bound that a sample gives from its `after` on; `None` if `after` is before `before`.
    ///
    /// A counter of granularity `g` shows its last step: when it shows `c`, it
    /// may stand anywhere from `c` to `c + g`. So true time may have advanced
    /// by `g` less since `after` than the ticks say, and by `g` more until any
    /// later reading: both ends give way by `g`.
    pub(crate) fn from_sample(sample: &Sample, pace: &Pace, granularity_ns: u64) -> Option<Bound> {
        let elapsed = sample.after.checked_sub(sample.before)?;
        let slack = granularity_ns;
        let earliest = retreat(sample.time.earliest(), slack);
        let latest =
            advance_latest(sample.time.latest(), pace.most_nanos(elapsed).saturating_add(slack));
        Some(Bound { origin: sample.after, time: Interval::new(earliest, latest)? })
    }

    /// The same knowledge at a later tick. At an earlier one: `None`.
    pub(crate) fn carried_to(&self, tick: u64, pace: &Pace) -> Option<Bound> {
        let ticks = tick.checked_sub(self.origin)?;
        let earliest = advance_earliest(self.time.earliest(), pace.least_nanos(ticks));
        let latest = advance_latest(self.time.latest(), pace.most_nanos(ticks));
        Some(Bound { origin: tick, time: Interval::new(earliest, latest)? })
    }

    /// Both bounds at the later of their two origins.
    pub(crate) fn aligned(a: &Bound, b: &Bound, pace: &Pace) -> Option<(Bound, Bound)> {
        let tick = a.origin.max(b.origin);
        Some((a.carried_to(tick, pace)?, b.carried_to(tick, pace)?))
    }
}

/// `t + nanos` as the later end of an interval: at the end of the range it stays there.
fn advance_latest(t: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_tai_nanos(t.tai_nanos().saturating_add_unsigned(nanos))
}

/// `t + nanos` as the earlier end. `MIN` says "or anything before", which no
/// amount of time turns into knowledge.
fn advance_earliest(t: Timestamp, nanos: u64) -> Timestamp {
    if t == Timestamp::MIN { t } else { advance_latest(t, nanos) }
}

/// `t - nanos` as the earlier end of an interval.
fn retreat(t: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_tai_nanos(t.tai_nanos().saturating_sub_unsigned(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_tai_nanos(nanos)
    }

    fn span(a: i64, b: i64) -> Interval {
        Interval::new(at(a), at(b)).expect("written in order")
    }

    /// A counter whose ticks last `numerator / 1000` picoseconds: 0.2 ns to 0.8 ms.
    fn any_rate_ps() -> impl Strategy<Value = u64> {
        prop_oneof![200u64..2_000, 1_000u64..100_000, 1_000_000u64..800_000_000]
    }

    /// `ticks` of `ps` picoseconds each, in nanoseconds, rounded down and up.
    fn nanos_of(ticks: u64, ps: u64) -> (u64, u64) {
        let product = u128::from(ticks) * u128::from(ps);
        ((product / 1000) as u64, product.div_ceil(1000) as u64)
    }

    /// The pace that is measured for such a counter over `ticks`, to the nanosecond.
    fn pace_of(ps: u64, ticks: u64) -> Pace {
        let nanos = nanos_of(ticks, ps);
        let shift = Pace::shift_for(ticks, nanos.1).expect("faster than 1 kHz");
        Pace::measured(shift, (ticks, ticks), nanos).expect("measurable")
    }

    proptest! {
        #[test]
        fn a_measured_pace_holds_the_true_rate(
            ps in any_rate_ps(), baseline in 1_000u64..1 << 40, ticks in 0u64..1 << 40, ppm in 0u32..100_000,
        ) {
            let pace = pace_of(ps, baseline);
            let truth = nanos_of(ticks, ps);
            prop_assert!(pace.least_nanos(ticks) <= truth.0);
            prop_assert!(pace.most_nanos(ticks) >= truth.1);
            // With drift it holds a counter whose frequency is off by that much, too.
            let drifting = pace.with_drift(ppm);
            let off = |nanos: u64, by: u32| u128::from(nanos) * 1_000_000 / u128::from(by);
            let (fast, slow) = (off(truth.0, 1_000_000 + ppm), off(truth.1, 1_000_000 - ppm));
            prop_assert!(u128::from(drifting.least_nanos(ticks)) <= fast);
            prop_assert!(u128::from(drifting.most_nanos(ticks)) >= slow);
        }

        #[test]
        fn a_longer_baseline_narrows_the_pace_and_never_excludes_it(ps in any_rate_ps()) {
            let (short, long) = (pace_of(ps, 100_000), pace_of(ps, 100_000_000));
            let both = short.intersect(long).expect("the same counter");
            prop_assert_eq!(both, long);
        }

        #[test]
        fn ticks_and_nanoseconds_convert_back_outward(ps in any_rate_ps(), nanos in 0u64..1 << 50) {
            let pace = pace_of(ps, 1_000_000);
            prop_assert!(pace.least_nanos(pace.most_ticks(nanos)) >= nanos);
        }

        /// Truth runs anywhere within the pace, the sample is taken anywhere between its ticks.
        #[test]
        fn truth_stays_between_the_lines(
            start in -1i64 << 60..1 << 60,
            (before, held, later) in (0u64..1 << 40, 0u64..1 << 20, 0u64..1 << 40),
            sampled_at in 0.0..=1.0f64,
            (below, above) in (0u64..1 << 30, 0u64..1 << 30),
            ppm in 0i64..=200,
            sign in prop_oneof![Just(-1i64), Just(1)],
        ) {
            let pace = Pace::NANOSECONDS.with_drift(200);
            let truth_at = |tick: u64| {
                let tick = i128::from(tick);
                i128::from(start) + tick + tick * i128::from(sign * ppm) / 1_000_000
            };
            let moment = before + (held as f64 * sampled_at) as u64;
            let said = span(
                (truth_at(moment) - i128::from(below)) as i64,
                (truth_at(moment) + i128::from(above)) as i64,
            );
            let sample = Sample::new(before, before + held, said);
            let bound = Bound::from_sample(&sample, &pace, 1).expect("in order");
            let tick = before + held + later;
            let time = bound.carried_to(tick, &pace).expect("later").time;
            prop_assert!(i128::from(time.earliest().tai_nanos()) <= truth_at(tick));
            prop_assert!(i128::from(time.latest().tai_nanos()) >= truth_at(tick));
        }
    }

    #[test]
    fn a_counter_that_is_no_clock_has_no_pace() {
        let cases = [
            // ticks, nanoseconds
            ((0, 10), (1, 1)),                  // stood still
            ((10, 9), (1, 1)),                  // the wrong way round
            ((10, 10), (2, 1)),                 // the wrong way round
            ((1, 1), (1 << 30, (1 << 30) + 1)), // a tick a second
        ];
        for (ticks, nanos) in cases {
            assert_eq!(Pace::measured(0, ticks, nanos), None, "{ticks:?} in {nanos:?}");
        }
        assert_eq!(Pace::shift_for(1, 1 << 30), None);
        assert_eq!(Pace::shift_for(0, 5), None);
    }

    #[test]
    fn a_moment_too_short_to_measure_excludes_no_rate() {
        let known = pace_of(400, 1_000_000);
        let glance = Pace::measured(known.shift, (1, 300), (0, 1_000)).expect("not a fault");
        assert_eq!(known.intersect(glance), Some(known));
    }

    #[test]
    fn the_ends_of_time_are_not_knowledge_and_do_not_wrap() {
        let pace = Pace::NANOSECONDS;
        let whole = Bound { origin: 0, time: Interval::EVERYTHING };
        assert_eq!(whole.carried_to(u64::MAX, &pace).expect("later").time, Interval::EVERYTHING);
        let late = Bound { origin: 0, time: span(i64::MAX - 5, i64::MAX - 5) };
        assert_eq!(late.carried_to(9, &pace).expect("later").time, span(i64::MAX, i64::MAX));
        let early = Sample::new(0, 0, span(i64::MIN, i64::MIN + 1));
        let bound = Bound::from_sample(&early, &pace, 10).expect("in order");
        assert_eq!(bound.time.earliest(), Timestamp::MIN);
    }

    #[test]
    fn both_ends_give_way_by_the_step_of_the_counter() {
        // Shown: 1000 before and after. The counter may have stood just before its next
        // step when the sample was taken, and stand at its beginning when it is read.
        let sample = Sample::new(1_000, 1_000, span(500, 500));
        let bound = Bound::from_sample(&sample, &Pace::NANOSECONDS, 10).expect("in order");
        assert_eq!(bound.time, span(490, 510));
        // And what passed between the two readings may have passed after the evidence.
        let slow = Sample::new(1_000, 1_300, span(500, 500));
        let bound = Bound::from_sample(&slow, &Pace::NANOSECONDS, 10).expect("in order");
        assert_eq!((bound.origin, bound.time), (1_300, span(490, 810)));
    }

    #[test]
    fn a_bound_is_not_carried_back() {
        let bound = Bound { origin: 10, time: span(0, 1) };
        assert_eq!(bound.carried_to(9, &Pace::NANOSECONDS), None);
        assert_eq!(Bound::from_sample(&Sample::new(1, 0, span(0, 1)), &Pace::NANOSECONDS, 0), None);
    }
}
