//! [`UnixTime`]: the count that Unix clocks show, in which leap seconds are missing.

use std::fmt;
use std::str::FromStr;

use super::decimal::{read_seconds, write_seconds};
use super::error::ScaleError;
use super::parse_error::ParseTimeError;
use super::rfc3339::{Line, pad};
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// POSIX time: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// It does not count elapsed time. During an inserted leap second it repeats the
/// second before, so that one value names two moments. A skipped second leaves a gap.
/// [`LeapTable::unix_to_tai`](super::LeapTable::unix_to_tai) tells these cases apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnixTime(i64);

impl UnixTime {
    /// From nanoseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> UnixTime {
        UnixTime(nanos)
    }

    /// From whole seconds and the nanoseconds that follow them. `None` if the sum does not
    /// fit into 64 bits of nanoseconds, or if `subsec_nanos` is a second or more.
    #[inline]
    pub const fn new(seconds: i64, subsec_nanos: u32) -> Option<UnixTime> {
        if subsec_nanos as i64 >= NANOS_PER_SECOND {
            return None;
        }
        // The lowest second begins below the range, so negative seconds count back from their end.
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

    /// The moment at which a clock shows this, where TAI is `offset` nanoseconds ahead of it.
    #[inline]
    pub(super) fn to_tai(self, offset: i64) -> Result<Timestamp, ScaleError> {
        match self.0.checked_add(offset) {
            Some(tai) => Ok(Timestamp::from_tai_nanos(tai)),
            None => Err(ScaleError::OutOfRange),
        }
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
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<UnixTime, ParseTimeError> {
        let nanos = read_seconds(text, "seconds of Unix time, as in 1483228799.5")?;
        let limit = "1677-09-21 to 2262-04-11 (64 bits of nanoseconds)";
        let nanos = i64::try_from(nanos).map_err(|_| ParseTimeError::OutOfRange { limit })?;
        Ok(UnixTime(nanos))
    }
}

/// What a Unix clock shows at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnixReading {
    /// The count.
    pub time: UnixTime,
    /// Whether the moment is in an inserted leap second, during which `time` is shown a second time.
    pub in_leap_second: bool,
}

/// The moments at which a Unix clock shows one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UnixToTai {
    /// The value is shown once.
    Unique(Timestamp),
    /// The value is shown twice, a second apart: in 23:59:59 and in the inserted 23:59:60 after it.
    Ambiguous(Timestamp, Timestamp),
    /// The value is never shown, because a negative leap second removed it.
    Skipped,
}
