//! [`ScaleError`]: why a moment has no equivalent on another scale, or a reading no moment.

/// Why a conversion between scales is impossible.
///
/// Waiting does not help in any of these cases, because the input or the table has to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleError {
    /// Before 1972-01-01T00:00:00Z UTC was stepped by fractions of a second and ran at its own rate.
    #[error(
        "the time is before 1972-01-01T00:00:00Z (TAI 1972-01-01T00:00:10), when UTC did not \
         consist of whole seconds: keep the moment in TAI"
    )]
    BeforeUtc,
    /// The result does not fit into 64 bits of nanoseconds, which end on 2262-04-11.
    #[error(
        "the result does not fit into 64 bits of nanoseconds: use a time between \
         1677-09-21T00:12:43.145224192 TAI and 2262-04-11T23:47:16.854775807 TAI"
    )]
    OutOfRange,
    /// The label is a second 60, and the table has no leap second there.
    #[error(
        "this leap table has no second 60 at the end of that day: write 00:00:00 of the next day, \
         or use a newer table"
    )]
    NoSuchLeapSecond,
    /// The reading is in the second 59 that a negative leap second removed.
    #[error(
        "a negative leap second removed that second, so that 00:00:00 of the next day followed \
         23:59:58: use one of those"
    )]
    Skipped,
    /// The moment is after the table's expiry, and the table's [`Expiry`](super::Expiry) refuses it.
    #[error(
        "the leap table expired at Unix time {expired}, and its `Expiry` setting refuses later \
         moments: use a newer table, or convert an interval under `Expiry::Widen`"
    )]
    Expired {
        /// The table's expiry, in seconds of Unix time.
        expired: i64,
    },
    /// An end of the interval is at the limit of `Timestamp` and so means "or anything beyond".
    #[error(
        "an end of the interval is `Timestamp::MIN` or `MAX`, which means \"or anything beyond\" \
         and exists on no other scale: give the interval finite ends"
    )]
    OpenEnd,
    /// The moment is before 1980-01-06, where GPS time begins.
    #[error("GPS time begins at 1980-01-06T00:00:00Z: use a later moment, or another scale")]
    BeforeGps,
    /// The week does not fit its field of the navigation message, or the time does not fit a week.
    #[error(
        "week {week} does not fit into {bits} bits, or the nanosecond of the week is not below \
         604800000000000: check the fields of the navigation message"
    )]
    BadGpsWeek {
        /// The week as given.
        week: u16,
        /// How many bits the field has.
        bits: u32,
    },
    /// The moment is before 1970, where PTP time begins.
    #[error("PTP time begins at 1970-01-01T00:00:00 TAI: use a later moment, or another scale")]
    BeforePtp,
    /// The NTP timestamp is zero, which NTP uses for "unknown".
    #[error("the NTP timestamp is zero, which means that its sender does not know the time")]
    UnsetNtp,
    /// The second end of an interval is before the first.
    #[error("the second end is before the first: swap the two")]
    Reversed,
    /// The moment is in a leap second, and the other crate's type cannot represent one.
    #[error(
        "the moment is in a leap second (23:59:60), which the other type cannot represent: \
         keep it as `Utc` or `Timestamp`"
    )]
    LeapSecondNotRepresentable,
}
