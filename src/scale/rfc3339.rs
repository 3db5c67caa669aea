//! The text of dates and times: RFC 3339, read and written without allocating.
//!
//! Reading is strict wherever leniency loses seconds. Common parsers read
//! `12:34:60Z` as the next minute, accept `24:00:00`, or silently cut the tenth
//! digit of a fraction. Here a second 60 is read only at 23:59 UTC (at any
//! offset), where UTC can have one. Everything that could not be kept is an error
//! that names it.
//!
//! Read: RFC 3339, section 5.6 for the grammar, 5.7 for second 60.

use std::fmt::{self, Write as _};

use super::civil::{DAY, date_from_days, days_from_date, days_in_month};
use super::parse_error::ParseTimeError;
use crate::timestamp::NANOS_PER_SECOND;

/// A date and time of day on some scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Civil {
    /// Since 1970-01-01.
    pub days: i64,
    /// Of the day; 86 400 is the second 60 of 23:59.
    pub second: u32,
    /// Of the second.
    pub nanos: u32,
    pub scale: Scale,
}

/// Which scale a text says it is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scale {
    Utc,
    Tai,
    /// The context of the text determines the scale.
    Unnamed,
}

/// Reads a whole text as a date and time, followed by `Z`, an offset or ` TAI`.
pub(super) fn read(text: &str) -> Result<Civil, ParseTimeError> {
    read_with(text, |at| at.zone())
}

/// Reads a whole text as a date and time that nothing follows.
pub(super) fn read_unzoned(text: &str) -> Result<Civil, ParseTimeError> {
    read_with(text, |_| Ok((Scale::Unnamed, 0)))
}

fn read_with(
    text: &str,
    zone: impl FnOnce(&mut Cursor<'_>) -> Result<(Scale, i64), ParseTimeError>,
) -> Result<Civil, ParseTimeError> {
    let mut at = Cursor { text: text.as_bytes(), at: 0 };
    let days = at.date()?;
    at.one_of(b"Tt ", "`T` between date and time")?;
    let hour = at.number("hour", 2, 0, 23)?;
    at.one_of(b":", "`:`")?;
    let minute = at.number("minute", 2, 0, 59)?;
    at.one_of(b":", "`:`")?;
    let second = at.number("second", 2, 0, 60)?;
    let nanos = at.fraction()?;
    let (scale, offset) = zone(&mut at)?;
    if at.at != text.len() {
        return Err(at.expected("the end of the text"));
    }

    // The offset moves the minute and the date. The second stays as it is, also a second 60.
    let minutes = days * (DAY / 60) + i64::from(hour * 60 + minute) - offset;
    let (days, minute) = (minutes.div_euclid(DAY / 60), minutes.rem_euclid(DAY / 60));
    let (year, ..) = date_from_days(days);
    if !(0..=9999).contains(&year) {
        let value = if year < 0 { 0 } else { 10_000 };
        return Err(ParseTimeError::FieldOutOfRange {
            field: "year in UTC",
            value,
            least: 0,
            most: 9999,
        });
    }
    if second == 60 && (scale != Scale::Utc || minute != DAY / 60 - 1) {
        return Err(ParseTimeError::NoSuchLeapSecond);
    }
    Ok(Civil { days, second: minute as u32 * 60 + second, nanos, scale })
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn expected(&self, expected: &'static str) -> ParseTimeError {
        ParseTimeError::NotRfc3339 { expected, at: self.at }
    }

    fn one_of(&mut self, bytes: &[u8], name: &'static str) -> Result<u8, ParseTimeError> {
        match self.text.get(self.at) {
            Some(byte) if bytes.contains(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            _ => Err(self.expected(name)),
        }
    }

    /// How many digits come next.
    fn digits(&self) -> usize {
        self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn number(
        &mut self,
        field: &'static str,
        digits: usize,
        least: u32,
        most: u32,
    ) -> Result<u32, ParseTimeError> {
        if self.digits() < digits {
            return Err(self.expected(match digits {
                4 => "a year of four digits",
                _ => "two digits",
            }));
        }
        let figures = &self.text[self.at..self.at + digits];
        let value = figures.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if !(least..=most).contains(&value) {
            return Err(ParseTimeError::FieldOutOfRange { field, value, least, most });
        }
        self.at += digits;
        Ok(value)
    }

    fn date(&mut self) -> Result<i64, ParseTimeError> {
        let year = i64::from(self.number("year", 4, 0, 9999)?);
        self.one_of(b"-", "`-`")?;
        let month = self.number("month", 2, 1, 12)? as u8;
        self.one_of(b"-", "`-`")?;
        let last = u32::from(days_in_month(year, month));
        let day = self.number("day of that month", 2, 1, last)? as u8;
        Ok(days_from_date(year, month, day))
    }

    /// Nanoseconds.
    fn fraction(&mut self) -> Result<u32, ParseTimeError> {
        if self.text.get(self.at) != Some(&b'.') {
            return Ok(0);
        }
        self.at += 1;
        match self.digits() {
            0 => Err(self.expected("a digit of the fraction")),
            digits @ 1..=9 => {
                let value = self.number("fraction", digits, 0, u32::MAX)?;
                Ok(value * 10u32.pow(9 - digits as u32))
            }
            digits => Err(ParseTimeError::TooPrecise { digits }),
        }
    }

    /// The scale, and by how many minutes the text is ahead of UTC.
    fn zone(&mut self) -> Result<(Scale, i64), ParseTimeError> {
        if self.text[self.at..].starts_with(b" TAI") {
            self.at += 4;
            return Ok((Scale::Tai, 0));
        }
        let sign = match self.one_of(b"Zz+-", "`Z`, an offset such as +01:00, or ` TAI`")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok((Scale::Utc, 0)),
        };
        let hours = self.number("hour of the offset", 2, 0, 23)?;
        self.one_of(b":", "`:` in the offset")?;
        let minutes = self.number("minute of the offset", 2, 0, 59)?;
        Ok((Scale::Utc, sign * i64::from(hours * 60 + minutes)))
    }
}

/// A text of at most `N` bytes, on the stack.
pub(super) struct Line<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    pub fn new() -> Line<N> {
        Line { bytes: [0; N], len: 0 }
    }

    pub fn as_str(&self) -> &str {
        // Only whole `str`s are ever written.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// Writes the civil time with `digits` digits of fraction (0 to 9) and cuts the rest.
    pub fn civil(&mut self, civil: Civil, digits: usize) -> fmt::Result {
        let (year, month, day) = date_from_days(civil.days);
        let leap = civil.second == DAY as u32;
        let minutes = if leap { DAY as u32 / 60 - 1 } else { civil.second / 60 };
        let second = civil.second - minutes * 60;
        let (hour, minute) = (minutes / 60, minutes % 60);
        write!(self, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if digits > 0 {
            let kept = civil.nanos / 10u32.pow(9 - digits as u32);
            write!(self, ".{kept:0digits$}")?;
        }
        self.write_str(match civil.scale {
            Scale::Utc => "Z",
            Scale::Tai => " TAI",
            Scale::Unnamed => "",
        })
    }
}

impl<const N: usize> fmt::Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// How many digits of fraction the format asks for: nine, or its precision as in `{:.3}`.
pub(super) fn fraction_digits(f: &fmt::Formatter<'_>) -> usize {
    f.precision().unwrap_or(9).min(9)
}

/// Like `Formatter::pad`, except that a precision does not cut the text.
pub(super) fn pad(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let missing = f.width().unwrap_or(0).saturating_sub(text.len());
    let before = match f.align() {
        Some(fmt::Alignment::Right) => missing,
        Some(fmt::Alignment::Center) => missing / 2,
        Some(fmt::Alignment::Left) | None => 0,
    };
    let fill = f.fill();
    (0..before).try_for_each(|_| f.write_char(fill))?;
    f.write_str(text)?;
    (before..missing).try_for_each(|_| f.write_char(fill))
}

/// Civil time of a count of nanoseconds since 1970-01-01T00:00:00 on the scale.
#[inline]
pub(super) fn civil_from_nanos(nanos: i64, scale: Scale) -> Civil {
    if let Ok(nanos) = u64::try_from(nanos) {
        // Nearly all times are here. Each unsigned division compiles to a multiplication.
        let (seconds, below) = (nanos / NANOS_PER_SECOND as u64, nanos % NANOS_PER_SECOND as u64);
        // A day is 675 × 2^7 s, and 2^63 ns are below 2^34 s: the quotient fits 32 bits.
        let days = (seconds >> 7) as u32 / 675;
        let second = seconds - u64::from(days) * DAY as u64;
        return Civil { days: days.into(), second: second as u32, nanos: below as u32, scale };
    }
    let seconds = nanos.div_euclid(NANOS_PER_SECOND);
    Civil {
        days: seconds.div_euclid(DAY),
        second: seconds.rem_euclid(DAY) as u32,
        nanos: nanos.rem_euclid(NANOS_PER_SECOND) as u32,
        scale,
    }
}
