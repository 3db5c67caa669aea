//! [`UnixTime`]: the count that Unix clocks show, which has no leap seconds and so lies at each.

use super::civil::SECOND;
use crate::timestamp::Timestamp;

/// POSIX time: nanoseconds since 1970-01-01T00:00:00Z, not counting leap seconds.
///
/// It is not a count of elapsed time. In an inserted leap second it repeats the
/// second before, so one value names two moments; a skipped one leaves a hole.
/// [`LeapTable::unix_to_tai`](super::LeapTable::unix_to_tai) says which it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct UnixTime(i64);

impl UnixTime {
    /// From nanoseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> UnixTime {
        UnixTime(nanos)
    }

    /// From whole seconds and the nanoseconds that follow them; `None` beyond 64 bits of
    /// nanoseconds, or where `subsec_nanos` is a second or more.
    pub const fn new(seconds: i64, subsec_nanos: u32) -> Option<UnixTime> {
        if subsec_nanos as i64 >= SECOND {
            return None;
        }
        // Wider than i64, as the lowest second begins below the range.
        let nanos = seconds as i128 * SECOND as i128 + subsec_nanos as i128;
        if nanos < i64::MIN as i128 || nanos > i64::MAX as i128 {
            return None;
        }
        Some(UnixTime(nanos as i64))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// The nanoseconds after [`seconds`](Self::seconds), 0 to 999 999 999.
    pub const fn subsec_nanos(self) -> u32 {
        self.0.rem_euclid(SECOND) as u32
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
