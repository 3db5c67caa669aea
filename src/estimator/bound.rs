//! [`Bound`]: the pair of lines that everything else is made of.
//!
//! A sample says: while the counter went from `before` to `after`, true time was
//! somewhere in an interval. From there true time advances by at least `min` and at
//! most `max` nanoseconds per tick, so at every later tick it lies between two straight
//! lines. A [`Bound`] is where those lines start; [`RateBounds`] say how steep they are.
//!
//! ```text
//!   true time                              ___/  latest: + max per tick
//!        |                         ____----
//!        |            ____----
//!        |   [sample]              ______--/  earliest: + min per tick
//!        |           ______-----
//!        +---before-after---------------------> counter
//! ```
//!
//! The lines diverge, so a bound ages by itself. Two bounds carried to the same tick
//! can be intersected, and the result is at least as narrow as either. If they do not
//! intersect, at least one source was wrong.
//!
//! Everything is in integers, and every rounding is outward.

use crate::counter::RateBounds;
use crate::evidence::Sample;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

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
    pub(crate) fn from_sample(
        sample: &Sample,
        rates: &RateBounds,
        granularity_ns: u64,
    ) -> Option<Bound> {
        let elapsed = sample.after.checked_sub(sample.before)?;
        let slack = granularity_ns;
        let earliest = retreat(sample.time.earliest(), slack);
        let latest =
            advance_latest(sample.time.latest(), rates.most_nanos(elapsed).saturating_add(slack));
        Some(Bound { origin: sample.after, time: Interval::new(earliest, latest)? })
    }

    /// The same knowledge at a later tick. At an earlier one: `None`.
    pub(crate) fn carried_to(&self, tick: u64, rates: &RateBounds) -> Option<Bound> {
        let ticks = tick.checked_sub(self.origin)?;
        let earliest = advance_earliest(self.time.earliest(), rates.least_nanos(ticks));
        let latest = advance_latest(self.time.latest(), rates.most_nanos(ticks));
        Some(Bound { origin: tick, time: Interval::new(earliest, latest)? })
    }

    /// Whether both ends are known: an end at the end of time says "or anything beyond".
    pub(crate) fn is_finite(&self) -> bool {
        self.time.earliest() != Timestamp::MIN && self.time.latest() != Timestamp::MAX
    }

    /// Both bounds at the later of their two origins.
    pub(crate) fn aligned(a: &Bound, b: &Bound, rates: &RateBounds) -> Option<(Bound, Bound)> {
        let tick = a.origin.max(b.origin);
        Some((a.carried_to(tick, rates)?, b.carried_to(tick, rates)?))
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

    proptest! {
        /// Truth runs anywhere within the rates, the sample is taken anywhere between its ticks.
        #[test]
        fn truth_stays_between_the_lines(
            start in -1i64 << 60..1 << 60,
            (before, held, later) in (0u64..1 << 40, 0u64..1 << 20, 0u64..1 << 40),
            sampled_at in 0u64..=1_000,
            (below, above) in (0u64..1 << 30, 0u64..1 << 30),
            ppm in 0i64..=200,
            sign in prop_oneof![Just(-1i64), Just(1)],
        ) {
            let rates = RateBounds::NANOSECONDS.with_drift(200);
            let truth_at = |tick: u64| {
                let tick = i128::from(tick);
                i128::from(start) + tick + tick * i128::from(sign * ppm) / 1_000_000
            };
            let moment = before + held * sampled_at / 1_000;
            let said = span(
                (truth_at(moment) - i128::from(below)) as i64,
                (truth_at(moment) + i128::from(above)) as i64,
            );
            let sample = Sample::new(before, before + held, said);
            let bound = Bound::from_sample(&sample, &rates, 1).expect("in order");
            let tick = before + held + later;
            let time = bound.carried_to(tick, &rates).expect("later").time;
            prop_assert!(i128::from(time.earliest().tai_nanos()) <= truth_at(tick));
            prop_assert!(i128::from(time.latest().tai_nanos()) >= truth_at(tick));
        }
    }

    #[test]
    fn the_ends_of_time_are_not_knowledge_and_do_not_wrap() {
        let rates = RateBounds::NANOSECONDS;
        let whole = Bound { origin: 0, time: Interval::EVERYTHING };
        assert_eq!(whole.carried_to(u64::MAX, &rates).expect("later").time, Interval::EVERYTHING);
        let late = Bound { origin: 0, time: span(i64::MAX - 5, i64::MAX - 5) };
        assert_eq!(late.carried_to(9, &rates).expect("later").time, span(i64::MAX, i64::MAX));
        let early = Sample::new(0, 0, span(i64::MIN, i64::MIN + 1));
        let bound = Bound::from_sample(&early, &rates, 10).expect("in order");
        assert_eq!(bound.time.earliest(), Timestamp::MIN);
    }

    #[test]
    fn a_bound_with_an_open_end_is_not_finite() {
        let is_finite = |a, b| Bound { origin: 0, time: span(a, b) }.is_finite();
        assert!(is_finite(i64::MIN + 1, i64::MAX - 1));
        assert!(!is_finite(i64::MIN, 0) && !is_finite(0, i64::MAX));
    }

    #[test]
    fn both_ends_give_way_by_the_step_of_the_counter() {
        // Shown: 1000 before and after. The counter may have stood just before its next
        // step when the sample was taken, and stand at its beginning when it is read.
        let sample = Sample::new(1_000, 1_000, span(500, 500));
        let bound = Bound::from_sample(&sample, &RateBounds::NANOSECONDS, 10).expect("in order");
        assert_eq!(bound.time, span(490, 510));
        // And what passed between the two readings may have passed after the evidence.
        let slow = Sample::new(1_000, 1_300, span(500, 500));
        let bound = Bound::from_sample(&slow, &RateBounds::NANOSECONDS, 10).expect("in order");
        assert_eq!((bound.origin, bound.time), (1_300, span(490, 810)));
    }

    #[test]
    fn a_bound_is_not_carried_back() {
        let bound = Bound { origin: 10, time: span(0, 1) };
        assert_eq!(bound.carried_to(9, &RateBounds::NANOSECONDS), None);
        assert_eq!(
            Bound::from_sample(&Sample::new(1, 0, span(0, 1)), &RateBounds::NANOSECONDS, 0),
            None
        );
    }
}
