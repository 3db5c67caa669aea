//! From and to the types of std, and with features those of chrono, jiff and serde.
//!
//! Each of these types mishandles leap seconds in its own way, and a careless conversion would
//! silently lose or invent a second. So:
//!
//! - `SystemTime` is a Unix count, so it becomes a [`UnixTime`]. A table then says
//!   which moments that may be.
//! - chrono's `DateTime` holds a leap second as second 59 with a second or more of
//!   nanoseconds. It accepts one in any minute, but only those that UTC had are converted.
//!   Its `timestamp_nanos` gives a leap second and the second after it the same
//!   number, so the conversion uses seconds and subseconds instead.
//! - jiff's `Timestamp` cannot hold a leap second, and reads :60 as :59. Converting a leap
//!   second to it is an error.

use std::time::{Duration, SystemTime};

use super::error::ScaleError;
use super::unix::UnixTime;

/// Refuses times that the system's type cannot hold. On Unix systems and on Windows there are
/// none, but on `wasm32-unknown-unknown` the type begins in 1970.
impl TryFrom<UnixTime> for SystemTime {
    type Error = ScaleError;

    fn try_from(unix: UnixTime) -> Result<SystemTime, ScaleError> {
        let distance = Duration::from_nanos(unix.nanos().unsigned_abs());
        let time = match unix.nanos() < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(distance),
            false => SystemTime::UNIX_EPOCH.checked_add(distance),
        };
        time.ok_or(ScaleError::OutOfRange)
    }
}

/// Refuses times before 1677 or after 2262.
impl TryFrom<SystemTime> for UnixTime {
    type Error = ScaleError;

    fn try_from(time: SystemTime) -> Result<UnixTime, ScaleError> {
        let nanos = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()),
            Err(before) => i128::try_from(before.duration().as_nanos()).map(|nanos| -nanos),
        };
        let nanos = nanos.ok().and_then(|nanos| i64::try_from(nanos).ok());
        nanos.map(UnixTime::from_nanos).ok_or(ScaleError::OutOfRange)
    }
}

#[cfg(feature = "chrono")]
mod chrono_types {
    use chrono::{DateTime, Datelike as _, Timelike as _, Utc as ChronoUtc};

    use crate::scale::builtin;
    use crate::scale::error::ScaleError;
    use crate::scale::parse_error::ParseTimeError;
    use crate::scale::second_60;
    use crate::scale::utc::Utc;
    use crate::timestamp::NANOS_PER_SECOND;
    use crate::timestamp::Timestamp;

    /// A second 60 becomes chrono's form of it, which is second 59 and more than 10⁹ nanoseconds.
    ///
    /// Refuses a second 60 that UTC never had, because chrono would pass it on as a real one.
    /// Only another table than the built-in one can contain such a second.
    impl TryFrom<Utc> for DateTime<ChronoUtc> {
        type Error = ScaleError;

        fn try_from(utc: Utc) -> Result<DateTime<ChronoUtc>, ScaleError> {
            let (seconds, is_leap) = utc.unix_seconds();
            if is_leap && !second_60::may_exist(utc) {
                return Err(ScaleError::NoSuchLeapSecond);
            }
            let below = utc.nanosecond() + if is_leap { NANOS_PER_SECOND as u32 } else { 0 };
            // chrono covers the years 0 to 9999, and accepts such nanoseconds at any second 59.
            DateTime::from_timestamp(seconds, below).ok_or(ScaleError::OutOfRange)
        }
    }

    /// Refuses a second 60 that UTC never had, and years before 0 or after 9999.
    impl TryFrom<DateTime<ChronoUtc>> for Utc {
        type Error = ScaleError;

        fn try_from(date: DateTime<ChronoUtc>) -> Result<Utc, ScaleError> {
            let year = u16::try_from(date.year()).map_err(|_| ScaleError::OutOfRange)?;
            let is_leap = date.nanosecond() >= NANOS_PER_SECOND as u32;
            if is_leap && (date.hour(), date.minute(), date.second()) != (23, 59, 59) {
                return Err(ScaleError::NoSuchLeapSecond);
            }
            let second = date.second() as u8 + u8::from(is_leap);
            let nanos = date.nanosecond() % NANOS_PER_SECOND as u32;
            let utc = Utc::new(
                (year, date.month() as u8, date.day() as u8),
                (date.hour() as u8, date.minute() as u8, second),
                nanos,
            );
            utc.map_err(|error| match error {
                ParseTimeError::NoSuchLeapSecond => ScaleError::NoSuchLeapSecond,
                _ => ScaleError::OutOfRange,
            })
        }
    }

    /// By the built-in table; refuses moments before 1972.
    impl TryFrom<Timestamp> for DateTime<ChronoUtc> {
        type Error = ScaleError;

        fn try_from(t: Timestamp) -> Result<DateTime<ChronoUtc>, ScaleError> {
            builtin::TABLE.tai_to_utc(t)?.try_into()
        }
    }

    /// By the built-in table; refuses what [`LeapTable::utc_to_tai`](crate::LeapTable::utc_to_tai) does.
    impl TryFrom<DateTime<ChronoUtc>> for Timestamp {
        type Error = ScaleError;

        fn try_from(date: DateTime<ChronoUtc>) -> Result<Timestamp, ScaleError> {
            builtin::TABLE.utc_to_tai(date.try_into()?)
        }
    }
}

#[cfg(feature = "jiff")]
mod jiff_types {
    use crate::scale::builtin;
    use crate::scale::error::ScaleError;
    use crate::scale::rfc3339::{Civil, Scale};
    use crate::scale::utc::Utc;
    use crate::timestamp::NANOS_PER_SECOND;
    use crate::timestamp::Timestamp;

    /// Refuses a second 60, which jiff cannot hold, and years at the end of jiff's range.
    impl TryFrom<Utc> for jiff::Timestamp {
        type Error = ScaleError;

        fn try_from(utc: Utc) -> Result<jiff::Timestamp, ScaleError> {
            let (seconds, is_leap) = utc.unix_seconds();
            if is_leap {
                return Err(ScaleError::LeapSecondNotRepresentable);
            }
            // jiff counts nanoseconds in 128 bits, so years before 1970 need no special case.
            let nanos =
                i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(utc.nanosecond());
            jiff::Timestamp::from_nanosecond(nanos).map_err(|_| ScaleError::OutOfRange)
        }
    }

    /// Refuses years before 0.
    impl TryFrom<jiff::Timestamp> for Utc {
        type Error = ScaleError;

        fn try_from(stamp: jiff::Timestamp) -> Result<Utc, ScaleError> {
            let nanos = stamp.as_nanosecond();
            let seconds = nanos.div_euclid(i128::from(NANOS_PER_SECOND)) as i64;
            let civil = Civil {
                days: seconds.div_euclid(86_400),
                second: seconds.rem_euclid(86_400) as u32,
                nanos: nanos.rem_euclid(i128::from(NANOS_PER_SECOND)) as u32,
                scale: Scale::Utc,
            };
            let (year, ..) = crate::scale::civil::date_from_days(civil.days);
            if !(0..=9999).contains(&year) {
                return Err(ScaleError::OutOfRange);
            }
            Ok(Utc::from_civil(civil))
        }
    }

    /// By the built-in table; refuses moments before 1972, and those in a leap second.
    impl TryFrom<Timestamp> for jiff::Timestamp {
        type Error = ScaleError;

        fn try_from(t: Timestamp) -> Result<jiff::Timestamp, ScaleError> {
            builtin::TABLE.tai_to_utc(t)?.try_into()
        }
    }

    /// By the built-in table; refuses what [`LeapTable::utc_to_tai`](crate::LeapTable::utc_to_tai) does.
    impl TryFrom<jiff::Timestamp> for Timestamp {
        type Error = ScaleError;

        fn try_from(stamp: jiff::Timestamp) -> Result<Timestamp, ScaleError> {
            builtin::TABLE.utc_to_tai(stamp.try_into()?)
        }
    }
}

/// Scales with a customary text are serialized as that text in every format.
#[cfg(feature = "serde")]
mod serde_types {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::scale::gps::GpsTime;
    use crate::scale::ntp::{NtpDate, NtpTime};
    use crate::scale::ptp::PtpTime;
    use crate::scale::scale_interval::ScaleInterval;
    use crate::scale::smear::Smeared;
    use crate::scale::unix::UnixTime;
    use crate::scale::utc::Utc;

    macro_rules! as_text {
        ($($type:ty),*) => {$(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                    out.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(input: D) -> Result<$type, D::Error> {
                    let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
                    text.parse().map_err(de::Error::custom)
                }
            }
        )*};
    }
    as_text!(Utc, UnixTime, GpsTime, NtpTime, NtpDate, PtpTime, Smeared);

    impl<T: Serialize + Copy + PartialOrd> Serialize for ScaleInterval<T> {
        fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
            (self.earliest(), self.latest()).serialize(out)
        }
    }

    impl<'de, T: Deserialize<'de> + Copy + PartialOrd> Deserialize<'de> for ScaleInterval<T> {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<ScaleInterval<T>, D::Error> {
            let (earliest, latest) = <(T, T)>::deserialize(input)?;
            ScaleInterval::new(earliest, latest).ok_or_else(|| {
                de::Error::custom("an interval must not end before it begins: swap its two ends")
            })
        }
    }
}
