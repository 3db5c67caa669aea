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
}
