//! [`ParseTimeError`]: why a text, or the numbers of a date, do not name a time.

use super::error::ScaleError;
use crate::timestamp::Timestamp;

/// Why a text is not a time of its scale, or the numbers of a date are not in the calendar.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTimeError {
    /// The text does not follow the grammar of RFC 3339.
    #[error(
        "expected {expected} at byte {at}: write a date and time as in 2016-12-31T23:59:60.5Z \
         or 2017-01-01T00:59:60.5+01:00 (RFC 3339)"
    )]
    NotRfc3339 {
        /// What the grammar requires there.
        expected: &'static str,
        /// The position, in bytes from the start.
        at: usize,
    },
    /// The text does not have the form of its scale.
    #[error("expected {expected}")]
    Malformed {
        /// The required form, with an example.
        expected: &'static str,
    },
    /// A number of a date or a time is outside of the calendar.
    #[error("the {field} is {value}: it must be from {least} to {most}")]
    FieldOutOfRange {
        /// Which number.
        field: &'static str,
        /// The number as given.
        value: u32,
        /// The least number allowed.
        least: u32,
        /// The greatest number allowed.
        most: u32,
    },
    /// The fraction of the second has more digits than nanoseconds have.
    #[error(
        "the fraction of the second has {digits} digits, but only 9 (nanoseconds) can be kept: \
         cut or round it to 9"
    )]
    TooPrecise {
        /// How many digits the text has.
        digits: usize,
    },
    /// The text has a second 60 where UTC had no leap second and cannot get one.
    #[error(
        "UTC has no second 60 at that time: leap seconds are only inserted as 23:59:60 UTC at the \
         end of a month, and all past ones are known; write second 00 of the next minute"
    )]
    NoSuchLeapSecond,
    /// The text is TAI where UTC is required.
    #[error("the text is TAI, but UTC is required: parse it as a `Timestamp`, then convert that")]
    TaiInsteadOfUtc,
    /// The number is too large or too small for its scale.
    #[error("the number is too large or too small: the scale holds {limit}")]
    OutOfRange {
        /// What the scale holds.
        limit: &'static str,
    },
    /// The text names a time that a [`Timestamp`] cannot hold.
    #[error(transparent)]
    Scale(#[from] ScaleError),
    /// One end of an interval cannot be read.
    #[error("the {end} end: {error}")]
    End {
        /// `earliest` or `latest`.
        end: &'static str,
        /// What is wrong with it.
        #[source]
        error: Box<ParseTimeError>,
    },
    /// The ends of an interval are in the wrong order.
    #[error("the interval ends at {latest}, before it begins at {earliest}: swap the two ends")]
    Reversed {
        /// The first end.
        earliest: Timestamp,
        /// The second end.
        latest: Timestamp,
    },
}
