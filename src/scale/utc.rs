//! [`Utc`]: a civil date and time that can hold 23:59:60.
//!
//! Most date types cannot hold it. They refuse second 60, clamp it to 59, or read it as
//! 00 of the next minute, and each of these loses or doubles a second. Here it is
//! the day's 86 401st second, so that order and text are right.
//!
//! A label alone does not say whether its second exists, because only a leap table
//! knows. `second_60` says what is accepted from outside.

use std::fmt;

use super::civil::{DAY, date_from_days, days_from_date, days_in_month};
use super::error::ScaleError;
use super::parse_error::ParseTimeError;
use super::rfc3339::{self, Civil, Line, Scale};
use super::unix::UnixTime;
use crate::timestamp::NANOS_PER_SECOND;

/// A date and time of UTC, years 0000 to 9999, to the nanosecond.
///
/// Order is that of time. `Display` and `FromStr` are RFC 3339:
///
/// ```
/// use truechimer::{LeapTable, Utc};
///
/// let utc: Utc = "2017-01-01T00:59:60.25+01:00".parse()?;
/// assert_eq!(utc.to_string(), "2016-12-31T23:59:60.250000000Z");
/// assert_eq!((utc.hour(), utc.minute(), utc.second()), (23, 59, 60));
///
/// let table = LeapTable::builtin();
/// let t = table.utc_to_tai(utc)?;
/// assert_eq!(table.tai_to_utc(t)?, utc);
/// assert!("2015-12-31T23:59:60Z".parse::<Utc>().is_err()); // never was
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Utc {
    /// Since 1970-01-01.
    days: i32,
    /// Of the day, 0 to 86 400.
    second: u32,
    nanos: u32,
}

impl Utc {
    /// The label of these numbers, or which of them is not in the calendar. A second 60 is
    /// accepted at 23:59 of any day.
    pub(super) fn from_numbers(
        (year, month, day): (u16, u8, u8),
        (hour, minute, second): (u8, u8, u8),
        nanosecond: u32,
    ) -> Result<Utc, ParseTimeError> {
        let check = |field, value: u32, least, most| match value {
            value if (least..=most).contains(&value) => Ok(()),
            value => Err(ParseTimeError::FieldOutOfRange { field, value, least, most }),
        };
        check("year", year.into(), 0, 9999)?;
        check("month", month.into(), 1, 12)?;
        let last = days_in_month(year.into(), month);
        check("day of that month", day.into(), 1, last.into())?;
        check("hour", hour.into(), 0, 23)?;
        check("minute", minute.into(), 0, 59)?;
        check("second", second.into(), 0, 60)?;
        check("nanosecond", nanosecond, 0, NANOS_PER_SECOND as u32 - 1)?;
        if second == 60 && (hour, minute) != (23, 59) {
            return Err(ParseTimeError::NoSuchLeapSecond);
        }
        Ok(Utc {
            days: days_from_date(year.into(), month, day) as i32,
            second: (u32::from(hour) * 60 + u32::from(minute)) * 60 + u32::from(second),
            nanos: nanosecond,
        })
    }

    /// The label that a Unix clock's reading stands for.
    #[inline]
    pub(super) fn from_unix(time: UnixTime, in_leap_second: bool) -> Utc {
        let mut civil = rfc3339::civil_from_nanos(time.nanos(), Scale::Utc);
        civil.second += u32::from(in_leap_second);
        Utc::from_civil(civil)
    }

    /// The Unix count. For a second 60 it is that of second 59.
    #[inline]
    pub(super) fn unix(self) -> Result<UnixTime, ScaleError> {
        let (seconds, _) = self.unix_seconds();
        let before = if seconds < 0 { ScaleError::BeforeUtc } else { ScaleError::OutOfRange };
        UnixTime::new(seconds, self.nanos).ok_or(before)
    }

    /// Unix seconds, and whether the label is a second 60, which repeats those of second 59.
    #[inline]
    pub(super) fn unix_seconds(self) -> (i64, bool) {
        let is_leap = self.is_leap_second();
        (i64::from(self.days) * DAY + i64::from(self.second) - i64::from(is_leap), is_leap)
    }

    /// The label that a text names. A second 60 is accepted at 23:59 of any day.
    pub(super) fn read(text: &str) -> Result<Utc, ParseTimeError> {
        let civil = rfc3339::read(text)?;
        match civil.scale {
            Scale::Utc => Ok(Utc::from_civil(civil)),
            Scale::Tai | Scale::Unnamed => Err(ParseTimeError::TaiInsteadOfUtc),
        }
    }

    /// The label of a civil time of UTC.
    #[inline]
    pub(super) fn from_civil(civil: Civil) -> Utc {
        // Years 0 to 9999, so the days fit.
        Utc { days: civil.days as i32, second: civil.second, nanos: civil.nanos }
    }

    pub(super) fn civil(self) -> Civil {
        let Utc { days, second, nanos } = self;
        Civil { days: days.into(), second, nanos, scale: Scale::Utc }
    }

    /// Year, month and day at once: cheaper than one by one.
    #[inline]
    pub const fn date(self) -> (u16, u8, u8) {
        let (year, month, day) = date_from_days(self.days as i64);
        (year as u16, month, day)
    }

    /// Hour, minute and second at once.
    #[inline]
    pub const fn time(self) -> (u8, u8, u8) {
        let minutes = self.minute_of_day();
        ((minutes / 60) as u8, (minutes % 60) as u8, (self.second - minutes * 60) as u8)
    }

    /// The year, 0 to 9999.
    #[inline]
    pub const fn year(self) -> u16 {
        self.date().0
    }

    /// The month, 1 to 12.
    #[inline]
    pub const fn month(self) -> u8 {
        self.date().1
    }

    /// The day of the month, 1 to 31.
    #[inline]
    pub const fn day(self) -> u8 {
        self.date().2
    }

    /// The hour, 0 to 23.
    #[inline]
    pub const fn hour(self) -> u8 {
        self.time().0
    }

    /// The minute, 0 to 59.
    #[inline]
    pub const fn minute(self) -> u8 {
        self.time().1
    }

    /// The second, 0 to 60.
    #[inline]
    pub const fn second(self) -> u8 {
        self.time().2
    }

    #[inline]
    const fn minute_of_day(self) -> u32 {
        if self.is_leap_second() { DAY as u32 / 60 - 1 } else { self.second / 60 }
    }

    /// Whether this is a second 60.
    #[inline]
    pub const fn is_leap_second(self) -> bool {
        self.second == DAY as u32
    }

    /// Whether the date is the last of its month, where UTC may get a leap second.
    pub(super) const fn is_last_of_month(self) -> bool {
        let (year, month, day) = date_from_days(self.days as i64);
        day == days_in_month(year, month)
    }

    /// The part of the second, 0 to 999 999 999.
    #[inline]
    pub const fn nanosecond(self) -> u32 {
        self.nanos
    }
}

/// The label of a Unix count as POSIX defines it. It is never a second 60, because that shares
/// the count of the second 59.
impl From<UnixTime> for Utc {
    fn from(unix: UnixTime) -> Utc {
        Utc::from_unix(unix, false)
    }
}

/// RFC 3339 with nine digits of fraction and `Z`; `{:.3}` cuts the fraction to three.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<30>::new();
        line.civil(self.civil(), rfc3339::fraction_digits(f))?;
        rfc3339::pad(f, line.as_str())
    }
}
