//! [`Timestamp`]: one moment, counted in TAI.
//!
//! UTC repeats or skips a second at each leap second, so two UTC readings may
//! compare or subtract wrongly. TAI has no leap seconds, so a later moment is
//! always the larger number and a difference is always a duration. The core
//! therefore counts TAI, and UTC is a way to *print* a moment (module `scale`).
//!
//! This module also holds the crate's conversions between durations, seconds
//! and nanoseconds, so that each is written once and saturates in one way.

use std::time::Duration;

/// How many nanoseconds one second has.
pub(crate) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A moment: nanoseconds of TAI since 1970-01-01T00:00:00 TAI, as `CLOCK_TAI` counts them.
///
/// Signed 64 bits reach from 1677-09-21 to 2262-04-11. Arithmetic is checked or
/// saturating and never wraps. Where a `Timestamp` is the end of an
/// [`Interval`](crate::Interval), [`MIN`](Self::MIN) and [`MAX`](Self::MAX)
/// mean "this moment or any beyond it".
///
/// `Display` prints UTC, and `FromStr` reads it back to the same nanosecond:
///
/// ```
/// use truechimer::Timestamp;
///
/// let t: Timestamp = "2016-12-31T23:59:60.5Z".parse()?; // inside a leap second
/// assert_eq!(t.tai_nanos(), 1_483_228_836_500_000_000);
/// assert_eq!(t.to_string(), "2016-12-31T23:59:60.500000000Z");
/// # Ok::<(), truechimer::ParseTimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Timestamp(#[cfg_attr(feature = "serde", serde(with = "crate::decimal"))] i64);

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
        let Some(nanos) = checked_duration_nanos(duration) else { return None };
        match self.0.checked_add_unsigned(nanos) {
            Some(sum) => Some(Timestamp(sum)),
            None => None,
        }
    }

    /// `self - duration`, or `None` before [`Timestamp::MIN`].
    #[inline]
    pub const fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        let Some(nanos) = checked_duration_nanos(duration) else { return None };
        match self.0.checked_sub_unsigned(nanos) {
            Some(difference) => Some(Timestamp(difference)),
            None => None,
        }
    }

    /// `self + duration`, at most [`Timestamp::MAX`].
    #[inline]
    pub const fn saturating_add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add_unsigned(duration_nanos(duration)))
    }

    /// `self - duration`, at least [`Timestamp::MIN`].
    #[inline]
    pub const fn saturating_sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub_unsigned(duration_nanos(duration)))
    }

    /// The time from `earlier` to `self`, or `None` if `earlier` is the later of the two.
    ///
    /// Every difference of two timestamps fits a `Duration`, so `None` has no
    /// other cause.
    #[inline]
    pub const fn duration_since(self, earlier: Timestamp) -> Option<Duration> {
        if self.0 < earlier.0 {
            return None;
        }
        Some(Duration::from_nanos(self.0.abs_diff(earlier.0)))
    }
}

/// `duration` in nanoseconds, or `None` above `u64::MAX` (584 years).
#[inline]
pub(crate) const fn checked_duration_nanos(duration: Duration) -> Option<u64> {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { None } else { Some(nanos as u64) }
}

/// `duration` in nanoseconds, at most `u64::MAX` (584 years, the whole range of [`Timestamp`]).
#[inline]
pub(crate) const fn duration_nanos(duration: Duration) -> u64 {
    match checked_duration_nanos(duration) {
        Some(nanos) => nanos,
        None => u64::MAX,
    }
}

/// `duration` in nanoseconds, at most `i64::MAX` (292 years), for sums with signed counts.
#[inline]
pub(crate) const fn duration_nanos_i64(duration: Duration) -> i64 {
    let nanos = duration_nanos(duration);
    if nanos > i64::MAX as u64 { i64::MAX } else { nanos as i64 }
}

/// `nanos` as a duration, at most [`Duration::MAX`].
pub(crate) fn duration_from_nanos(nanos: u128) -> Duration {
    let second = NANOS_PER_SECOND as u128;
    match u64::try_from(nanos / second) {
        Ok(seconds) => Duration::new(seconds, (nanos % second) as u32),
        Err(_) => Duration::MAX,
    }
}

/// Whole seconds in nanoseconds, limited to the range of `i64`.
#[inline]
pub(crate) const fn seconds_to_nanos(seconds: i64) -> i64 {
    seconds.saturating_mul(NANOS_PER_SECOND)
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

    #[test]
    fn conversions_saturate_at_the_ends_of_their_type() {
        let cases = [
            // duration, checked u64, saturating u64, saturating i64
            (Duration::ZERO, Some(0), 0, 0),
            (Duration::new(1, 1), Some(1_000_000_001), 1_000_000_001, 1_000_000_001),
            (Duration::from_nanos(1 << 63), Some(1 << 63), 1 << 63, i64::MAX),
            (Duration::from_nanos(u64::MAX), Some(u64::MAX), u64::MAX, i64::MAX),
            (Duration::from_nanos(u64::MAX) + Duration::from_nanos(1), None, u64::MAX, i64::MAX),
            (Duration::MAX, None, u64::MAX, i64::MAX),
        ];
        for (duration, checked, unsigned, signed) in cases {
            assert_eq!(checked_duration_nanos(duration), checked, "{duration:?}");
            assert_eq!(duration_nanos(duration), unsigned, "{duration:?}");
            assert_eq!(duration_nanos_i64(duration), signed, "{duration:?}");
        }
        let seconds = [(-2, -2_000_000_000), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)];
        for (seconds, nanos) in seconds {
            assert_eq!(seconds_to_nanos(seconds), nanos, "{seconds} s");
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
