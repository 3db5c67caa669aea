//! Reading `leapseconds`, the text from which tzdata's `zic` makes the `right/` files.
//!
//! Hosts without a leap-seconds.list often have this file, and Python's package `tzdata` has
//! no other. Each of its lines is a leap second:
//!
//! ```text
//! Leap  2016  Dec  31  23:59:60  +  S
//! ```
//!
//! The expiry is stated in up to three ways: a line `Expires`, the same line as a comment
//! (because old versions of `zic` refuse it), and `#expires` with a Unix time. If they differ,
//! the earliest counts.
//!
//! The text has no hash. But all published texts state their expiry after the last leap
//! second, in words at least. So one that was cut off is found by what is missing.
//!
//! Read: zic(8), on leap second lines and expiration lines.

use super::civil::{DAY, days_from_date, days_in_month};
use super::file_kind::{FileKind, lines, words};
use super::leap_table::LeapTable;
use super::table_error::{LeapTableError, START};

/// A line near the beginning of each text that tzdata publishes.
const HEADING: &[u8] = b"# This file is in the public domain";
const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

impl LeapTable {
    /// Reads tzdata's text `leapseconds`, such as `/usr/share/zoneinfo/leapseconds`.
    ///
    /// # Errors
    ///
    /// See [`LeapTableError`]. A published text without its expiry is
    /// [`LeapTableError::CutOff`].
    pub fn from_leapseconds(text: &[u8]) -> Result<LeapTable, LeapTableError> {
        FileKind::Leapseconds.require(text)?;
        let mut entries = vec![(0, START)];
        let (mut offset, mut expires) = (START.1, None);
        let (mut is_published, mut speaks_of_expiry) = (false, false);
        for (number, text) in lines(text) {
            is_published |= text.starts_with(HEADING);
            let line = Line::new(number, text);
            let [keyword, rest @ ..] = &*line.words else { continue };
            let stated = if keyword.eq_ignore_ascii_case(b"Leap") {
                let (midnight, change) = line.leap(rest)?;
                // A file of this size cannot have enough lines to reach the end of the range.
                offset = change.saturating_add(offset);
                entries.push((number, (midnight, offset)));
                speaks_of_expiry = false;
                None
            } else if keyword.eq_ignore_ascii_case(b"Expires") {
                Some(line.moment(rest)?)
            } else if keyword.eq_ignore_ascii_case(b"#expires") {
                Some(line.commented_expiry(rest)?)
            } else if keyword.starts_with(b"#") {
                // Texts before 2020 have no other statement than this line.
                speaks_of_expiry |= rest.starts_with(&[b"File", b"expires"]);
                None
            } else {
                return Err(line.expected("`Leap` or `Expires`, or a `#` comment"));
            };
            expires = expires.into_iter().chain(stated).min();
        }
        if is_published && expires.is_none() && !speaks_of_expiry {
            return Err(LeapTableError::CutOff);
        }
        LeapTable::from_lines(entries, expires)
    }
}

struct Line<'a> {
    number: usize,
    words: Vec<&'a [u8]>,
}

impl<'a> Line<'a> {
    /// The words of a line. A comment that follows data is left out.
    fn new(number: usize, text: &'a [u8]) -> Line<'a> {
        let end =
            text.iter().skip(1).position(|&byte| byte == b'#').map_or(text.len(), |at| at + 1);
        let is_comment = text.starts_with(b"#");
        let words = words(if is_comment { text } else { &text[..end] }).collect();
        Line { number, words }
    }

    fn expected(&self, expected: &'static str) -> LeapTableError {
        LeapTableError::Malformed { line: self.number, expected }
    }

    /// The midnight after a leap second, in Unix seconds, and how it changes TAI − UTC.
    fn leap(&self, words: &[&[u8]]) -> Result<(i64, i32), LeapTableError> {
        let [year, month, day, time, sign, kind] = *words else {
            return Err(self.expected("`Leap YEAR MONTH DAY 23:59:60 + S`"));
        };
        let day = self.day(year, month, day)?;
        // A rolling leap second would be at another moment in each time zone. UTC has none.
        if !kind.eq_ignore_ascii_case(b"S") && !kind.eq_ignore_ascii_case(b"Stationary") {
            return Err(self.expected("`S` at its end, because leap seconds are at a time of UTC"));
        }
        let change = match (time, sign) {
            (b"23:59:60", b"+") => 1,
            (b"23:59:59", b"-") => -1,
            _ => return Err(self.expected("`23:59:60 +` or `23:59:59 -`")),
        };
        Ok(((day + 1) * DAY, change))
    }

    /// A date and a time of day, in Unix seconds.
    fn moment(&self, words: &[&[u8]]) -> Result<i64, LeapTableError> {
        let [year, month, day, time] = *words else {
            return Err(self.expected("`Expires YEAR MONTH DAY HOUR:MINUTE:SECOND`"));
        };
        let day = self.day(year, month, day)?;
        let parts: Vec<&[u8]> = time.split(|&byte| byte == b':').collect();
        let [hour, minute, second] = *parts else {
            return Err(self.expected("a time of day, as in 00:00:00"));
        };
        let bad = || self.expected("a time of day, as in 00:00:00");
        let part = |text, most| number(text, 2).filter(|&part| part <= most).ok_or_else(bad);
        let (hour, minute, second) = (part(hour, 23)?, part(minute, 59)?, part(second, 60)?);
        Ok(day * DAY + (hour * 60 + minute) * 60 + second)
    }

    /// `#expires 1782604800 (2026-06-28 00:00:00 UTC)`, or a date like that of `Expires`.
    fn commented_expiry(&self, words: &[&[u8]]) -> Result<i64, LeapTableError> {
        match *words {
            [_, month, ..] if month.first().is_some_and(u8::is_ascii_alphabetic) => {
                self.moment(words)
            }
            [seconds, ..] => {
                number(seconds, 12).ok_or_else(|| self.expected("the Unix time of the expiry"))
            }
            [] => Err(self.expected("the expiry after `#expires`")),
        }
    }

    /// Days from 1970-01-01 to a date, whose month is a name of three letters or more.
    fn day(&self, year: &[u8], month: &[u8], day: &[u8]) -> Result<i64, LeapTableError> {
        let year = number(year, 4).ok_or_else(|| self.expected("a year of at most four digits"))?;
        let is_named = |name: &&[u8]| {
            month.len() >= 3
                && name.get(..month.len()).is_some_and(|name| month.eq_ignore_ascii_case(name))
        };
        let at = MONTHS.iter().position(is_named);
        let month = at.ok_or_else(|| self.expected("a month, as in Jun"))? as u8 + 1;
        let last = i64::from(days_in_month(year, month));
        let day = number(day, 2).filter(|day| (1..=last).contains(day));
        let day = day.ok_or_else(|| self.expected("a day of that month"))?;
        Ok(days_from_date(year, month, day as u8))
    }
}

/// A number of at most so many digits, and nothing else.
fn number(text: &[u8], most_digits: usize) -> Option<i64> {
    let fits = (1..=most_digits).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    fits.then(|| text.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}
