//! Which seconds 60 are accepted from outside, as numbers or as text.
//!
//! A second 60 that never existed is refused at once, because whoever wrote it did not mean a
//! leap second. The built-in table knows all of the past ones. After its expiry UTC may
//! still get one at the end of any month, so those are accepted here.
//! [`LeapTable::utc_to_tai`](super::LeapTable::utc_to_tai) then refuses the ones that its table
//! does not have. [`LeapTable::parse_utc`](super::LeapTable::parse_utc) reads the leap seconds of
//! another table.

use std::str::FromStr;

use super::builtin;
use super::parse_error::ParseTimeError;
use super::utc::Utc;

/// Whether UTC had a second 60 there, or may still get it.
pub(super) fn may_exist(utc: Utc) -> bool {
    let (seconds, _) = utc.unix_seconds();
    if seconds >= builtin::EXPIRES {
        return utc.is_last_of_month();
    }
    builtin::TABLE.utc_to_tai(utc).is_ok()
}

fn checked(utc: Utc) -> Result<Utc, ParseTimeError> {
    if utc.is_leap_second() && !may_exist(utc) {
        return Err(ParseTimeError::NoSuchLeapSecond);
    }
    Ok(utc)
}

impl Utc {
    /// The label of a date, a time of day and a nanosecond of the second.
    ///
    /// # Errors
    ///
    /// [`ParseTimeError::FieldOutOfRange`] names the number that the calendar does not have.
    /// [`ParseTimeError::NoSuchLeapSecond`] is for a second 60 that never existed and cannot
    /// come, by the rule that `FromStr` has too.
    pub fn new(
        date: (u16, u8, u8),
        time: (u8, u8, u8),
        nanosecond: u32,
    ) -> Result<Utc, ParseTimeError> {
        checked(Utc::from_numbers(date, time, nanosecond)?)
    }
}

/// RFC 3339, with `Z` or an offset, and 0 to 9 digits of fraction.
impl FromStr for Utc {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Utc, ParseTimeError> {
        checked(Utc::read(text)?)
    }
}
