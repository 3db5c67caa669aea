//! Single moments between TAI and civil UTC, by a [`LeapTable`].

use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::parse_error::ParseTimeError;
use super::unix::{UnixTime, UnixToTai};
use super::utc::Utc;
use crate::timestamp::Timestamp;

impl LeapTable {
    /// The civil date and time of `t`, with second 60 within a leap second.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972. [`ScaleError::Expired`] as the table's
    /// [`Expiry`](super::Expiry) demands.
    #[inline]
    pub fn tai_to_utc(&self, t: Timestamp) -> Result<Utc, ScaleError> {
        let (offset, in_leap_second) = self.at_tai(t.tai_nanos())?;
        // The moment is not before 1972, so the difference cannot overflow.
        Ok(Utc::from_unix(UnixTime::from_nanos(t.tai_nanos() - offset), in_leap_second))
    }

    /// The moment that a civil date and time names.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972, and [`ScaleError::OutOfRange`] after 2262-04-11.
    /// [`ScaleError::NoSuchLeapSecond`] for a second 60 that the table does not have, and
    /// [`ScaleError::Skipped`] for a second 59 that it removes. [`ScaleError::Expired`] as the
    /// table's [`Expiry`](super::Expiry) demands.
    #[inline]
    pub fn utc_to_tai(&self, utc: Utc) -> Result<Timestamp, ScaleError> {
        let unix = utc.unix()?;
        match self.settled_at_unix(unix.nanos()) {
            Some(offset) if !utc.is_leap_second() => unix.to_tai(offset),
            _ if self.stops_before(unix.nanos()) => Err(self.expired()),
            _ => self.utc_to_tai_unlimited(utc),
        }
    }

    /// Like `utc_to_tai`, but ignores the expiry.
    pub(super) fn utc_to_tai_unlimited(&self, utc: Utc) -> Result<Timestamp, ScaleError> {
        match (self.unix_to_tai_unlimited(utc.unix()?)?, utc.is_leap_second()) {
            (UnixToTai::Ambiguous(_, second), true) => Ok(second),
            (_, true) => Err(ScaleError::NoSuchLeapSecond),
            (UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _), false) => Ok(t),
            (UnixToTai::Skipped, false) => Err(ScaleError::Skipped),
        }
    }

    /// Reads RFC 3339 like `Utc::from_str`, but accepts exactly this table's leap seconds.
    ///
    /// # Errors
    ///
    /// See [`ParseTimeError`].
    pub fn parse_utc(&self, text: &str) -> Result<Utc, ParseTimeError> {
        let utc = Utc::read(text)?;
        if utc.is_leap_second() && self.utc_to_tai_unlimited(utc).is_err() {
            return Err(ParseTimeError::NoSuchLeapSecond);
        }
        Ok(utc)
    }
}
