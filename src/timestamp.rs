//! [`Timestamp`]: one moment, counted in TAI.
//!
//! UTC repeats or skips a second when a leap second comes, so neither the
//! order nor the difference of two UTC readings is always right. TAI has no
//! leap seconds: later is larger, and a difference is a duration. So the core
//! counts TAI, and UTC is a way to *print* a moment (module `scale`).

use std::time::Duration;

/// A moment: nanoseconds of TAI since 1970-01-01T00:00:00 TAI, as `CLOCK_TAI` counts them.
///
/// Signed 64 bits reach from 1677-09-21 to 2262-04-11. Arithmetic is checked or
/// saturating, never wrapping. Where a `Timestamp` is the end of an
/// [`Interval`](crate::Interval), [`MIN`](Self::MIN) and [`MAX`](Self::MAX)
/// stand for "this or anything beyond".
///
/// `Display` prints UTC, and `FromStr` reads it back to the same nanosecond:
///
/// ```
/// use truechimer::Timestamp;
///
/// let t: Timestamp = "2016-12-31T23:59:60.5Z".parse()?; // inside a leap second
/// assert_eq!(t.tai_nanos(), 1_483_228_836_500_000_000);
/// assert_eq!(t.to_string(), "2016-12-31T23:59:60.500000000Z");
/// # Ok::<(), truechimer::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first moment that can be counted: 1677-09-21T00:12:43.145224192 TAI.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The last moment that can be counted: 2262-04-11T23:47:16.854775807 TAI.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The moment `nanos` nanoseconds after 1970-01-01T00:00:00 TAI.
    #[inline]
    pub const fn from_tai_nanos(nanos: i64) -> Timestamp {
        Timestamp(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00 TAI.
    #[inline]
    pub const fn tai_nanos(self) -> i64 {
        self.0
    }

    /// `self + duration`, or `None` beyond [`Timestamp::MAX`].
    #[inline]
    pub const fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        let Some(nanos) = whole_nanos(duration) else { return None };
        match self.0.checked_add_unsigned(nanos) {
            Some(sum) => Some(Timestamp(sum)),
            None => None,
        }
    }

    /// `self - duration`, or `None` before [`Timestamp::MIN`].
    #[inline]
    pub const fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        let Some(nanos) = whole_nanos(duration) else { return None };
        match self.0.checked_sub_unsigned(nanos) {
            Some(difference) => Some(Timestamp(difference)),
            None => None,
        }
    }

    /// `self + duration`, at most [`Timestamp::MAX`].
    #[inline]
    pub const fn saturating_add(self, duration: Duration) -> Timestamp {
        match self.checked_add(duration) {
            Some(sum) => sum,
            None => Timestamp::MAX,
        }
    }

    /// `self - duration`, at least [`Timestamp::MIN`].
    #[inline]
    pub const fn saturating_sub(self, duration: Duration) -> Timestamp {
        match self.checked_sub(duration) {
            Some(difference) => difference,
            None => Timestamp::MIN,
        }
    }

    /// The time from `earlier` to `self`, or `None` if `earlier` is the later of the two.
    ///
    /// Every difference of two timestamps fits a `Duration`, so `None` says
    /// one thing only.
    #[inline]
    pub const fn duration_since(self, earlier: Timestamp) -> Option<Duration> {
        if self.0 < earlier.0 {
            return None;
        }
        Some(Duration::from_nanos(self.0.abs_diff(earlier.0)))
    }
}

/// `duration` in nanoseconds, or `None` where it is longer than all of `Timestamp`'s range.
const fn whole_nanos(duration: Duration) -> Option<u64> {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { None } else { Some(nanos as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arithmetic_at_the_ends() {
        let ns = Duration::from_nanos;
        let whole = ns(u64::MAX);
        let cases: &[(Timestamp, Duration, Option<Timestamp>, Option<Timestamp>)] = &[
            // start, duration, start + duration, start - duration
            (Timestamp(0), ns(0), Some(Timestamp(0)), Some(Timestamp(0))),
            (Timestamp(0), ns(1), Some(Timestamp(1)), Some(Timestamp(-1))),
            (Timestamp::MAX, ns(1), None, Some(Timestamp(i64::MAX - 1))),
            (Timestamp::MIN, ns(1), Some(Timestamp(i64::MIN + 1)), None),
            (Timestamp::MIN, whole, Some(Timestamp::MAX), None),
            (Timestamp::MAX, whole, None, Some(Timestamp::MIN)),
            (Timestamp(0), Duration::MAX, None, None),
            (Timestamp::MIN, Duration::MAX, None, None),
            (Timestamp::MAX, Duration::MAX, None, None),
        ];
        for &(start, duration, sum, difference) in cases {
            assert_eq!(start.checked_add(duration), sum, "{start:?} + {duration:?}");
            assert_eq!(start.checked_sub(duration), difference, "{start:?} - {duration:?}");
            assert_eq!(start.saturating_add(duration), sum.unwrap_or(Timestamp::MAX));
            assert_eq!(start.saturating_sub(duration), difference.unwrap_or(Timestamp::MIN));
        }
    }

    proptest! {
        #[test]
        fn a_difference_added_back_is_the_later_moment(a: i64, b: i64) {
            let (earlier, later) = (Timestamp(a.min(b)), Timestamp(a.max(b)));
            let gap = later.duration_since(earlier).expect("later is not before earlier");
            prop_assert_eq!(earlier.checked_add(gap), Some(later));
            prop_assert_eq!(later.checked_sub(gap), Some(earlier));
            prop_assert_eq!(earlier.duration_since(later).is_some(), a == b);
        }

        #[test]
        fn saturating_agrees_with_checked_wherever_that_has_an_answer(a: i64, nanos: u64) {
            let (t, d) = (Timestamp(a), Duration::from_nanos(nanos));
            prop_assert_eq!(t.saturating_add(d), t.checked_add(d).unwrap_or(Timestamp::MAX));
            prop_assert_eq!(t.saturating_sub(d), t.checked_sub(d).unwrap_or(Timestamp::MIN));
        }
    }
}
