//! [`UnixTime`]: the count that Unix clocks show, which has no leap seconds and so lies at each.

use std::fmt;
use std::str::FromStr;

use super::decimal::{ParseScaleError, read_seconds, write_seconds};
use super::error::ScaleError;
use super::leap::LeapTable;
use super::rfc3339::{Line, pad};
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// POSIX time: nanoseconds since 1970-01-01T00:00:00Z, not counting leap seconds.
///
/// It is not a count of elapsed time. In an inserted leap second it repeats the
/// second before, so one value names two moments; a skipped one leaves a hole.
/// [`LeapTable::unix_to_tai`](super::LeapTable::unix_to_tai) says which it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnixTime(i64);

impl UnixTime {
    /// From nanoseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> UnixTime {
        UnixTime(nanos)
    }

    /// From whole seconds and the nanoseconds that follow them; `None` beyond 64 bits of
    /// nanoseconds, or where `subsec_nanos` is a second or more.
    #[inline]
    pub const fn new(seconds: i64, subsec_nanos: u32) -> Option<UnixTime> {
        if subsec_nanos as i64 >= NANOS_PER_SECOND {
            return None;
        }
        // The lowest second begins below the range, so negative ones count back from their end.
        let (whole, below) = match seconds < 0 {
            true => (seconds + 1, subsec_nanos as i64 - NANOS_PER_SECOND),
            false => (seconds, subsec_nanos as i64),
        };
        let Some(nanos) = whole.checked_mul(NANOS_PER_SECOND) else { return None };
        match nanos.checked_add(below) {
            Some(nanos) => Some(UnixTime(nanos)),
            None => None,
        }
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// The nanoseconds after [`seconds`](Self::seconds), 0 to 999 999 999.
    pub const fn subsec_nanos(self) -> u32 {
        self.0.rem_euclid(NANOS_PER_SECOND) as u32
    }
}

/// Seconds with nine digits of fraction, as `date +%s.%N` prints it.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<24>::new();
        write_seconds(&mut line, self.0.into())?;
        pad(f, line.as_str())
    }
}

/// Seconds with 0 to 9 digits of fraction.
impl FromStr for UnixTime {
    type Err = ParseScaleError;

    fn from_str(text: &str) -> Result<UnixTime, ParseScaleError> {
        let nanos = read_seconds(text, "seconds of Unix time, as in 1483228799.5")?;
        let limit = "1677-09-21 to 2262-04-11 (64 bits of nanoseconds)";
        let nanos = i64::try_from(nanos).map_err(|_| ParseScaleError::OutOfRange { limit })?;
        Ok(UnixTime(nanos))
    }
}

/// What a Unix clock shows at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnixReading {
    /// The count.
    pub time: UnixTime,
    /// Whether the moment is within an inserted leap second, where `time` is shown a second time.
    pub in_leap_second: bool,
}

/// The moments at which a Unix clock shows one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UnixToTai {
    /// One moment.
    Unique(Timestamp),
    /// Two, a second apart: 23:59:59, and the inserted 23:59:60 after it.
    Ambiguous(Timestamp, Timestamp),
    /// None: a negative leap second took the value away.
    Skipped,
}

impl LeapTable {
    /// What a Unix clock that follows the table shows at `t`, and whether it is repeating a second.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972, [`ScaleError::Expired`] as the table's
    /// [`Expiry`](super::Expiry) says.
    #[inline]
    pub fn tai_to_unix(&self, t: Timestamp) -> Result<UnixReading, ScaleError> {
        let (offset, in_leap_second) = self.at_tai(t.tai_nanos())?;
        let nanos = t.tai_nanos().checked_sub(offset).ok_or(ScaleError::OutOfRange)?;
        Ok(UnixReading { time: UnixTime(nanos), in_leap_second })
    }

    /// The moment, or the moments, at which a Unix clock that follows the table shows `unix`.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972, [`ScaleError::OutOfRange`] within
    /// the last minute before [`Timestamp::MAX`], [`ScaleError::Expired`] as the
    /// table's [`Expiry`](super::Expiry) says.
    #[inline]
    pub fn unix_to_tai(&self, unix: UnixTime) -> Result<UnixToTai, ScaleError> {
        match self.settled_at_unix(unix.0) {
            Some(offset) => Ok(UnixToTai::Unique(moment(unix, offset)?)),
            None if self.stops_before(unix.0) => Err(self.expired()),
            None => self.unix_to_tai_unlimited(unix),
        }
    }

    /// As `unix_to_tai`, whatever the expiry.
    #[inline]
    pub(super) fn unix_to_tai_unlimited(&self, unix: UnixTime) -> Result<UnixToTai, ScaleError> {
        let at = self.position_unix(unix.0).ok_or(ScaleError::BeforeUtc)?;
        let here = moment(unix, self.steps[at].offset)?;
        Ok(match self.steps.get(at + 1) {
            Some(next) if unix.0 >= next.unix - NANOS_PER_SECOND => {
                if next.skips() {
                    UnixToTai::Skipped
                } else {
                    UnixToTai::Ambiguous(here, moment(unix, next.offset)?)
                }
            }
            _ => UnixToTai::Unique(here),
        })
    }
}

#[inline]
pub(super) fn moment(unix: UnixTime, offset: i64) -> Result<Timestamp, ScaleError> {
    match unix.0.checked_add(offset) {
        Some(tai) => Ok(Timestamp::from_tai_nanos(tai)),
        None => Err(ScaleError::OutOfRange),
    }
}
