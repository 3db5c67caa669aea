//! Time scales: from the core's TAI to what people and protocols use, and back.
//!
//! # The problem
//!
//! The core counts TAI, in which every second is there once. Everything outside
//! speaks something else: logs UTC, kernels Unix time, radios GPS, packets NTP or
//! PTP, and some servers a smeared time that is wrong on purpose. Between them
//! lie leap seconds, which most libraries lose or invent: they take `12:34:60Z`,
//! turn :60 into :59, give two moments one number, or are a second off before
//! every leap. A second is a thousand times the interval a good clock gives.
//!
//! # The types
//!
//! Each scale is a type, so that none can be taken for another:
//!
//! | type | what it is | text |
//! |---|---|---|
//! | [`Timestamp`](crate::Timestamp) | TAI | UTC, or civil TAI before 1972 |
//! | [`Utc`] | a civil date and time, 23:59:60 included | `2016-12-31T23:59:60.5Z` |
//! | [`UnixTime`] | POSIX's count, which repeats or skips at leaps | `1483228799.5` |
//! | [`GpsTime`] | week and time of week, no leap seconds | `1930 17.5` |
//! | [`NtpTime`], [`NtpDate`] | NTP's 64 and 128 bits | `dc12c4ff.80000000` |
//! | [`PtpTime`] | TAI in PTP's bits | `1483228836.5` |
//! | [`Smeared`] | Google's, AWS's, Meta's, chrony's, UTC-SLS | `2016-12-31T18:00:00 smear:google` |
//!
//! A [`LeapTable`] converts between those that leap seconds part: the built-in
//! one, the host's, or any other. Whole [`Interval`](crate::Interval)s become
//! [`Span`]s of a scale and come back; that takes the hull of what may be meant,
//! and never makes an interval narrower.
//!
//! ```
//! use truechimer::scale::UnixToTai;
//! use truechimer::{LeapTable, Timestamp, UnixTime};
//!
//! let table = LeapTable::builtin();
//! let t: Timestamp = "2016-12-31T23:59:60.5Z".parse()?;
//! let reading = table.tai_to_unix(t)?;
//! assert!(reading.in_leap_second); // the count is shown a second time
//! let UnixToTai::Ambiguous(first, second) = table.unix_to_tai(reading.time)? else {
//!     unreachable!("a leap second was inserted there");
//! };
//! assert_eq!(second, t);
//! assert_eq!(first.to_string(), "2016-12-31T23:59:59.500000000Z");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is refused, and why
//!
//! - **UTC before 1972.** It ran at another rate than TAI and was stepped by
//!   fractions of a second. A conversion would need another table, and would
//!   give labels that no clock showed. [`ScaleError::BeforeUtc`].
//! - **Second 60 where UTC had none**: in any minute but 23:59 UTC, on any day of
//!   the past that is not in the table. Text and numbers from outside are checked at once;
//!   after the built-in table's expiry the ends of months are let through, and the
//!   table decides. [`ParseUtcError::NotALeapSecond`], [`ScaleError::NoSuchLeapSecond`].
//! - **A second that a negative leap second skipped.** It has no moment.
//!   [`ScaleError::Skipped`], or [`UnixToTai::Skipped`].
//! - **A tenth digit of a fraction**, `24:00:00`, February 30th, a date without an
//!   offset: what would be cut, carried or guessed.
//! - **An open end.** An interval that reaches to `Timestamp::MAX` says "or
//!   anything beyond", and no other scale can say so. [`ScaleError::OpenEnd`].
//! - **Damaged tables**: see [`LeapTableError`]. An old table is not refused unless
//!   [`Expiry`] says so; it reports that it has expired.
//!
//! # What cannot be known here
//!
//! Whether a host smears, and how, is in no protocol: the operator has to say.
//! Until then a day around each leap second is doubtful by a second
//! ([`LeapTable::unknown_smear_to_interval`]). And a leap second announced after the
//! table was made is not in it.
//!
//! Read: ITU-R TF.460-6 (UTC); RFC 3339 (text); RFC 5905 (NTP); IS-GPS-200 (GPS);
//! IEEE 1588 (PTP); RFC 9636 (TZif).

mod builtin;
mod civil;
mod decimal;
mod describe;
mod error;
mod gps;
mod interop;
pub mod leap;
mod list;
mod ntp;
mod ptp;
mod rfc3339;
mod sha1;
mod smear;
mod span;
mod step;
mod system;
mod table_error;
mod text;
mod tzif;
mod unix;
mod utc;

pub use decimal::ParseScaleError;
pub use describe::Names;
pub use error::ScaleError;
pub use gps::GpsTime;
pub use leap::{Entry, Expiry, HashState, Leap, LeapTable, TableSource};
pub use ntp::{NtpDate, NtpTime};
pub use ptp::PtpTime;
pub use rfc3339::ParseUtcError;
pub use smear::{ParseSmearedError, Smear, Smeared};
pub use span::Span;
pub use table_error::LeapTableError;
pub use text::{ParseIntervalError, ParseTimestampError};
pub use unix::{UnixReading, UnixTime, UnixToTai};
pub use utc::Utc;
