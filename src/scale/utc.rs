//! [`Utc`]: a civil date and time that can hold 23:59:60.
//!
//! Most date types cannot: they refuse second 60, clamp it to 59, or take it as
//! 00 of the next minute, and each of these loses or doubles a second. Here it is
//! the day's 86 401st second, counted like the others, so order and text are right.
//!
//! A label alone does not say whether its second exists: that is for a
//! [`LeapTable`] to know. What comes from outside, as numbers or as text, is
//! checked at once: [`Utc::new`] and `FromStr` take a second 60 only where the
//! built-in table has one, or, after that table's expiry, where UTC may still get
//! one (the end of a month). [`LeapTable::utc_to_tai`] then refuses those that are
//! not in its table. For another table's leap seconds there is
//! [`LeapTable::parse_utc`].

use std::fmt;
use std::str::FromStr;

use super::builtin;
use super::civil::{DAY, date_from_days, days_from_date, days_in_month};
use super::error::ScaleError;
use super::leap::LeapTable;
use super::rfc3339::{self, Civil, Line, ParseUtcError, Scale};
use super::unix::{UnixTime, UnixToTai, moment};
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

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
    /// The date and time, or which of its numbers the calendar does not have.
    ///
    /// # Errors
    ///
    /// [`ParseUtcError::OutOfRange`] names the number; [`ParseUtcError::NotALeapSecond`]
    /// is a second 60 that never was and never can be, by the rule that `FromStr` has too.
    pub fn new(
        (year, month, day): (u16, u8, u8),
        (hour, minute, second): (u8, u8, u8),
        nanosecond: u32,
    ) -> Result<Utc, ParseUtcError> {
        let check = |field, value: u32, least, most| match value {
            value if (least..=most).contains(&value) => Ok(()),
            value => Err(ParseUtcError::OutOfRange { field, value, least, most }),
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
            return Err(ParseUtcError::NotALeapSecond);
        }
        let utc = Utc {
            days: days_from_date(year.into(), month, day) as i32,
            second: (u32::from(hour) * 60 + u32::from(minute)) * 60 + u32::from(second),
            nanos: nanosecond,
        };
        utc.checked()
    }

    /// The label, unless it is a second 60 that never was and never can be.
    fn checked(self) -> Result<Utc, ParseUtcError> {
        if self.is_leap_second() && !builtin::may_have_leap_second(self) {
            return Err(ParseUtcError::NotALeapSecond);
        }
        Ok(self)
    }

    /// The label of a reading of a Unix clock.
    #[inline]
    pub(super) fn from_unix(time: UnixTime, in_leap_second: bool) -> Utc {
        let mut civil = rfc3339::civil_from_nanos(time.nanos(), Scale::Utc);
        civil.second += u32::from(in_leap_second);
        Utc::from_civil(civil)
    }

    /// The Unix count; that of second 59 for a second 60.
    #[inline]
    pub(super) fn unix(self) -> Result<UnixTime, ScaleError> {
        let (seconds, _) = self.unix_seconds();
        let before = if seconds < 0 { ScaleError::BeforeUtc } else { ScaleError::OutOfRange };
        UnixTime::new(seconds, self.nanos).ok_or(before)
    }

    /// Unix seconds, and whether the label is the second 60, which repeats those of 59.
    #[inline]
    pub(super) fn unix_seconds(self) -> (i64, bool) {
        let is_leap = self.is_leap_second();
        (i64::from(self.days) * DAY + i64::from(self.second) - i64::from(is_leap), is_leap)
    }

    /// What a text names, second 60 unchecked but for the time of day.
    pub(super) fn read(text: &str) -> Result<Utc, ParseUtcError> {
        let civil = rfc3339::read(text)?;
        match civil.scale {
            Scale::Utc => Ok(Utc::from_civil(civil)),
            Scale::Tai | Scale::Unnamed => Err(ParseUtcError::Tai),
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

/// The label of a Unix count, read as POSIX defines it; never a second 60, which shares its count.
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

/// RFC 3339, with `Z` or an offset, and 0 to 9 digits of fraction.
impl FromStr for Utc {
    type Err = ParseUtcError;

    fn from_str(text: &str) -> Result<Utc, ParseUtcError> {
        Utc::read(text)?.checked()
    }
}

impl LeapTable {
    /// The civil date and time of `t`, with second 60 within a leap second.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972.
    #[inline]
    pub fn tai_to_utc(&self, t: Timestamp) -> Result<Utc, ScaleError> {
        let (offset, in_leap_second) = self.at_tai(t.tai_nanos())?;
        // Not before 1972, so the difference cannot pass the lower end.
        Ok(Utc::from_unix(UnixTime::from_nanos(t.tai_nanos() - offset), in_leap_second))
    }

    /// The moment that a civil date and time names.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972; [`ScaleError::NoSuchLeapSecond`]
    /// for a second 60 that the table does not have; [`ScaleError::Skipped`] for
    /// a second 59 that it takes away; [`ScaleError::OutOfRange`] after 2262-04-11.
    #[inline]
    pub fn utc_to_tai(&self, utc: Utc) -> Result<Timestamp, ScaleError> {
        let unix = utc.unix()?;
        match self.settled_at_unix(unix.nanos()) {
            Some(offset) if !utc.is_leap_second() => moment(unix, offset),
            _ if self.stops_before(unix.nanos()) => Err(self.expired()),
            _ => self.utc_to_tai_unlimited(utc),
        }
    }

    /// As `utc_to_tai`, whatever the expiry.
    pub(super) fn utc_to_tai_unlimited(&self, utc: Utc) -> Result<Timestamp, ScaleError> {
        match (self.unix_to_tai_unlimited(utc.unix()?)?, utc.is_leap_second()) {
            (UnixToTai::Ambiguous(_, second), true) => Ok(second),
            (_, true) => Err(ScaleError::NoSuchLeapSecond),
            (UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _), false) => Ok(t),
            (UnixToTai::Skipped, false) => Err(ScaleError::Skipped),
        }
    }

    /// Reads RFC 3339 as `Utc::from_str` does, with this table's leap seconds and no others.
    ///
    /// # Errors
    ///
    /// As `Utc::from_str`.
    pub fn parse_utc(&self, text: &str) -> Result<Utc, ParseUtcError> {
        let utc = Utc::read(text)?;
        if utc.is_leap_second() && self.utc_to_tai_unlimited(utc).is_err() {
            return Err(ParseUtcError::NotALeapSecond);
        }
        Ok(utc)
    }
}
