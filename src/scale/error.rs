//! [`ScaleError`]: why a moment has no name on another scale, or a name no moment.

/// Why a conversion between scales has no answer.
///
/// None of these passes by waiting: the input, or the table, has to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleError {
    /// Before 1972-01-01T00:00:00Z UTC had steps of fractions of a second and a rate of its own.
    #[error(
        "before 1972-01-01T00:00:00Z (TAI 1972-01-01T00:00:10) UTC had no whole seconds, \
         so nothing is converted: keep the moment in TAI"
    )]
    BeforeUtc,
    /// Nanoseconds of TAI in 64 bits end on 2262-04-11.
    #[error(
        "the result is outside of what 64 bits of nanoseconds hold: \
         1677-09-21T00:12:43.145224192 TAI to 2262-04-11T23:47:16.854775807 TAI"
    )]
    OutOfRange,
    /// A second 60 where the table has no leap second.
    #[error(
        "there is no second 60 at the end of that day in this leap table: \
         write 00:00:00 of the next day, or take a newer table"
    )]
    NoSuchLeapSecond,
    /// A second 59 that a negative leap second took away, or a Unix count within it.
    #[error(
        "that second was skipped by a negative leap second: \
         after 23:59:58 came 00:00:00 of the next day"
    )]
    Skipped,
    /// The moment is after the table's expiry, and the table was told not to go on.
    #[error(
        "the leap table expired at Unix time {expired} and was told (`Expiry::Error`, or \
         `Expiry::Widen` for a single moment) not to guess: take a newer table, or convert an interval"
    )]
    Expired {
        /// The table's expiry, in seconds of Unix time.
        expired: i64,
    },
    /// An interval that reaches to the end of what can be counted.
    #[error(
        "the interval reaches to the end of what can be counted, which stands for \"or anything \
         beyond\", and other scales have no such end: give it finite ends"
    )]
    OpenEnd,
    /// GPS begins on 1980-01-06.
    #[error("GPS time begins at 1980-01-06T00:00:00Z, and the moment is before that")]
    BeforeGps,
    /// A week of the navigation message that has too many bits, or a time that no week has.
    #[error("week {week} has more than {bits} bits, or its nanoseconds are more than a week has")]
    BadGpsWeek {
        /// The week as given.
        week: u16,
        /// How many bits it should have.
        bits: u32,
    },
    /// PTP time begins with 1970.
    #[error("PTP time begins at 1970-01-01T00:00:00 TAI, and the moment is before that")]
    BeforePtp,
    /// An NTP stamp of zero.
    #[error("an NTP timestamp of zero says that the time is not known, so it is no time")]
    UnsetNtp,
    /// Ends that are the wrong way round.
    #[error("the second end is before the first: swap the two")]
    Reversed,
    /// A leap second for a type that cannot hold it.
    #[error(
        "the moment is in a leap second (23:59:60), which the other type cannot hold: \
         keep it as `Utc` or `Timestamp`"
    )]
    LeapSecondNotHeld,
}
