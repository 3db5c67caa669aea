//! [`Interval`]: two moments with the true time between them, which is what a clock knows.
//!
//! A clock that returns one number hides its error. An interval states the error, because
//! the true time is never outside of `[earliest, latest]`. Every operation here
//! keeps this statement true. `intersect` narrows, but only if both inputs are true.
//! Everything that rounds or saturates does so outward.
//!
//! Intervals have no `<`. If two overlap, nobody can know which came
//! first, and a type that pretends to know is the very bug that this crate
//! prevents:
//!
//! ```compile_fail
//! # use truechimer::{Interval, Timestamp};
//! # let a = Interval::from(Timestamp::MIN);
//! # let b = Interval::from(Timestamp::MAX);
//! let earlier = a < b; // no `PartialOrd`
//! ```
//!
//! ```
//! # use truechimer::{Interval, Timestamp};
//! # let a = Interval::from(Timestamp::MIN);
//! # let b = Interval::from(Timestamp::MAX);
//! let earlier = a.definitely_before(&b); // says exactly what is known
//! # assert!(earlier);
//! ```

use std::time::Duration;

use crate::timestamp::Timestamp;

/// Two moments, `earliest <= latest`. The true time is between them or at an end.
///
/// An end at [`Timestamp::MIN`] or [`Timestamp::MAX`] means "this moment or
/// any beyond it", because arithmetic that leaves the range stops there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Interval {
    earliest: Timestamp,
    latest: Timestamp,
}

impl Interval {
    /// Every moment that can be counted. It is the interval of a clock that knows nothing.
    pub const EVERYTHING: Interval = Interval { earliest: Timestamp::MIN, latest: Timestamp::MAX };

    /// `[earliest, latest]`, or `None` if `latest` is the earlier of the two.
    #[inline]
    pub const fn new(earliest: Timestamp, latest: Timestamp) -> Option<Interval> {
        if earliest.tai_nanos() > latest.tai_nanos() {
            return None;
        }
        Some(Interval { earliest, latest })
    }

    /// `[earliest, latest]`, where the caller guarantees the order of the ends.
    #[inline]
    pub(crate) const fn from_ordered(earliest: Timestamp, latest: Timestamp) -> Interval {
        debug_assert!(earliest.tai_nanos() <= latest.tai_nanos());
        Interval { earliest, latest }
    }

    /// The true time is not before this moment.
    #[inline]
    pub const fn earliest(&self) -> Timestamp {
        self.earliest
    }

    /// The true time is not after this moment.
    #[inline]
    pub const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// The moment in the middle, rounded down.
    ///
    /// Of all single moments it has the smallest worst-case error. It is still a guess, so do
    /// not order events by it.
    #[inline]
    pub const fn midpoint(&self) -> Timestamp {
        let (a, b) = (self.earliest.tai_nanos(), self.latest.tai_nanos());
        // Half of the width is at most i64::MAX, and the sum is at most `latest`.
        Timestamp::from_tai_nanos(a.wrapping_add_unsigned(b.abs_diff(a) / 2))
    }

    /// `latest - earliest`: the whole uncertainty, which is twice the "±" of other clocks.
    #[inline]
    pub const fn width(&self) -> Duration {
        Duration::from_nanos(self.latest.tai_nanos().abs_diff(self.earliest.tai_nanos()))
    }

    /// Whether `t` is between the ends or at one of them.
    #[inline]
    pub const fn contains(&self, t: Timestamp) -> bool {
        self.earliest.tai_nanos() <= t.tai_nanos() && t.tai_nanos() <= self.latest.tai_nanos()
    }

    /// Whether every moment of `self` is before every moment of `other`.
    ///
    /// This is a strict partial order. Two intervals that share a moment are not
    /// ordered either way.
    #[inline]
    pub const fn definitely_before(&self, other: &Interval) -> bool {
        self.latest.tai_nanos() < other.earliest.tai_nanos()
    }

    /// Whether every moment of `self` is after every moment of `other`.
    #[inline]
    pub const fn definitely_after(&self, other: &Interval) -> bool {
        other.definitely_before(self)
    }

    /// Whether the two share a moment, so that nobody can know which came first.
    #[inline]
    pub const fn overlaps(&self, other: &Interval) -> bool {
        !self.definitely_before(other) && !other.definitely_before(self)
    }

    /// The moments that are in both, or `None` if there are none.
    ///
    /// If the true time is in both intervals, it is in the intersection. So `None` proves
    /// that one of the two was wrong.
    #[inline]
    pub fn intersect(&self, other: &Interval) -> Option<Interval> {
        Interval::new(self.earliest.max(other.earliest), self.latest.min(other.latest))
    }

    /// The smallest interval around both. It contains the true time if either of them does.
    #[inline]
    pub fn hull(&self, other: &Interval) -> Interval {
        Interval {
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
        }
    }

    /// Moves each end outward by `by`, at most to [`Timestamp::MIN`] and [`Timestamp::MAX`].
    #[inline]
    pub const fn widen(&self, by: Duration) -> Interval {
        Interval {
            earliest: self.earliest.saturating_sub(by),
            latest: self.latest.saturating_add(by),
        }
    }
}

/// The interval that contains one moment.
impl From<Timestamp> for Interval {
    fn from(t: Timestamp) -> Interval {
        Interval { earliest: t, latest: t }
    }
}

/// Reads what `Serialize` writes, and refuses an interval whose ends are in the wrong order.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Interval {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Interval, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ends {
            earliest: Timestamp,
            latest: Timestamp,
        }
        let Ends { earliest, latest } = Ends::deserialize(input)?;
        Interval::new(earliest, latest).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "the interval ends before it begins (earliest {}, latest {} ns of TAI): swap its ends",
                earliest.tai_nanos(),
                latest.tai_nanos(),
            ))
        })
    }
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

    /// Intervals near each other and near the ends of the range, so that every relation occurs.
    fn any_interval() -> impl Strategy<Value = Interval> {
        let end = prop_oneof![
            4 => -20i64..20,
            1 => any::<i64>(),
            1 => (0i64..20).prop_map(|d| i64::MIN + d),
            1 => (0i64..20).prop_map(|d| i64::MAX - d),
        ];
        (end.clone(), end).prop_map(|(a, b)| span(a.min(b), a.max(b)))
    }

    #[test]
    fn relations_of_two_intervals() {
        let cases = [
            // a, b, a before b, a after b, intersection, hull
            (span(0, 1), span(2, 3), true, false, None, span(0, 3)),
            (span(0, 2), span(2, 3), false, false, Some(span(2, 2)), span(0, 3)),
            (span(0, 5), span(2, 3), false, false, Some(span(2, 3)), span(0, 5)),
            (span(4, 5), span(2, 3), false, true, None, span(2, 5)),
            (span(7, 7), span(7, 7), false, false, Some(span(7, 7)), span(7, 7)),
            (
                Interval::EVERYTHING,
                span(1, 2),
                false,
                false,
                Some(span(1, 2)),
                Interval::EVERYTHING,
            ),
        ];
        for (a, b, before, after, both, around) in cases {
            assert_eq!(a.definitely_before(&b), before, "{a:?} before {b:?}");
            assert_eq!(a.definitely_after(&b), after, "{a:?} after {b:?}");
            assert_eq!(a.overlaps(&b), both.is_some(), "{a:?} overlaps {b:?}");
            assert_eq!(a.intersect(&b), both, "{a:?} and {b:?}");
            assert_eq!(a.hull(&b), around, "around {a:?} and {b:?}");
        }
    }

    #[test]
    fn an_interval_cannot_end_before_it_begins() {
        assert_eq!(Interval::new(at(1), at(0)), None);
        assert_eq!(Interval::new(Timestamp::MAX, Timestamp::MIN), None);
    }

    #[test]
    fn the_midpoint_rounds_down_and_does_not_overflow() {
        let cases = [
            (span(0, 3), 1),
            (span(-3, 0), -2),
            (span(i64::MAX - 1, i64::MAX), i64::MAX - 1),
            (span(i64::MIN, i64::MIN + 1), i64::MIN),
            (Interval::EVERYTHING, -1),
        ];
        for (interval, middle) in cases {
            assert_eq!(interval.midpoint(), at(middle), "{interval:?}");
        }
    }

    proptest! {
        #[test]
        fn an_intersection_is_inside_both_and_keeps_every_shared_moment(
            a in any_interval(), b in any_interval(), t: i64,
        ) {
            let in_both = a.contains(at(t)) && b.contains(at(t));
            match a.intersect(&b) {
                Some(both) => {
                    prop_assert_eq!(both.contains(at(t)), in_both);
                    prop_assert_eq!(both.hull(&a), a);
                    prop_assert_eq!(both.hull(&b), b);
                }
                None => prop_assert!(!in_both),
            }
            prop_assert_eq!(a.intersect(&b), b.intersect(&a));
            prop_assert_eq!(a.intersect(&b).is_some(), a.overlaps(&b));
        }

        #[test]
        fn a_hull_is_the_smallest_interval_around_both(
            a in any_interval(), b in any_interval(), c in any_interval(),
        ) {
            let around = a.hull(&b);
            prop_assert_eq!(around.intersect(&a), Some(a));
            prop_assert_eq!(around.intersect(&b), Some(b));
            prop_assert_eq!(around, b.hull(&a));
            prop_assert_eq!(a.hull(&b).hull(&c), a.hull(&b.hull(&c)));
            if c.hull(&a) == c && c.hull(&b) == c {
                prop_assert_eq!(c.intersect(&around), Some(around));
            }
        }

        #[test]
        fn definitely_before_is_a_strict_partial_order(
            a in any_interval(), b in any_interval(), c in any_interval(),
        ) {
            prop_assert!(!a.definitely_before(&a));
            prop_assert!(!(a.definitely_before(&b) && b.definitely_before(&a)));
            if a.definitely_before(&b) && b.definitely_before(&c) {
                prop_assert!(a.definitely_before(&c));
            }
            prop_assert_eq!(a.definitely_before(&b), b.definitely_after(&a));
            // Exactly one of the three holds.
            let relations = [a.definitely_before(&b), a.definitely_after(&b), a.overlaps(&b)];
            prop_assert_eq!(relations.iter().filter(|&&holds| holds).count(), 1);
        }

        #[test]
        fn widening_never_narrows_and_never_orders_unordered_intervals(
            a in any_interval(), b in any_interval(), by: u64,
        ) {
            let wide = a.widen(Duration::from_nanos(by));
            prop_assert_eq!(wide.intersect(&a), Some(a));
            prop_assert!(wide.width() >= a.width());
            if a.overlaps(&b) {
                prop_assert!(wide.overlaps(&b));
            }
            prop_assert_eq!(a.widen(Duration::MAX), Interval::EVERYTHING);
        }

        #[test]
        fn the_midpoint_is_within_and_in_the_middle(a in any_interval()) {
            let middle = a.midpoint();
            prop_assert!(a.contains(middle));
            let below = middle.duration_since(a.earliest()).expect("contained");
            let above = a.latest().duration_since(middle).expect("contained");
            prop_assert!(above == below || above == below + Duration::from_nanos(1));
        }
    }
}
