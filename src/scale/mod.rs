//! Time scales: from the core's TAI to what people and protocols use, and back.
//!
//! # The problem
//!
//! The core counts TAI, in which every second exists exactly once. Everything outside uses
//! another scale: logs use UTC, kernels Unix time, satellite receivers GPS, packets NTP or
//! PTP, and some servers a smeared time that is wrong on purpose. Leap seconds lie between
//! them, and most libraries lose or invent some. They accept `12:34:60Z`,
//! turn :60 into :59, give two moments one number, or are a second off before
//! every leap second. One second is a thousand times the interval of a good clock.
//!
//! # The types
//!
//! Each scale is a type of its own, so that none can be mistaken for another:
//!
//! | type | what it is | text |
//! |---|---|---|
//! | [`Timestamp`](crate::Timestamp) | TAI | UTC, or civil TAI before 1972 |
//! | [`Utc`] | a civil date and time, including 23:59:60 | `2016-12-31T23:59:60.5Z` |
//! | [`UnixTime`] | the POSIX count, which repeats or skips at leap seconds | `1483228799.5` |
//! | [`GpsTime`] | week and time of week, without leap seconds | `1930 17.5` |
//! | [`NtpTime`], [`NtpDate`] | NTP's 64 and 128 bits | `dc12c4ff.80000000` |
//! | [`PtpTime`] | TAI in PTP's bits | `1483228836.5` |
//! | [`Smeared`] | Google's, AWS's, Meta's, chrony's, UTC-SLS | `2016-12-31T18:00:00 smear:google` |
//!
//! A [`LeapTable`] converts between the scales that differ by leap seconds. It can be the
//! built-in one, the host's, or any other. An [`Interval`](crate::Interval) becomes a
//! [`ScaleInterval`] of a scale and comes back. Such a conversion takes the hull of
//! everything that may be meant, so it never narrows an interval.
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
//!   produce labels that no clock showed. [`ScaleError::BeforeUtc`].
//! - **A second 60 that UTC never had**: in any minute but 23:59 UTC, and on any past day
//!   that is not in the table. Text and numbers from outside are checked at once. After
//!   the built-in table's expiry the ends of months are accepted, and the conversion's
//!   table decides. [`ParseTimeError::NoSuchLeapSecond`], [`ScaleError::NoSuchLeapSecond`].
//! - **A second that a negative leap second removed**, because it has no moment.
//!   [`ScaleError::Skipped`], or [`UnixToTai::Skipped`].
//! - **A tenth digit of a fraction**, `24:00:00`, February 30th, or a date without an
//!   offset, because each would have to be cut, carried or guessed.
//! - **An open end.** An interval that reaches to `Timestamp::MAX` means "or
//!   anything beyond", which no other scale can express. [`ScaleError::OpenEnd`].
//! - **Damaged tables, and files that are none.** [`LeapTableError`] says what is wrong: a web
//!   page in the list's place, a compressed copy, a file that `zic -r` cut. An old table is refused only if
//!   its [`Expiry`] demands it, but it always reports that it has expired.
//!
//! # What cannot be known here
//!
//! No protocol states whether a host smears, and how, so the operator has to state it.
//! Until then each day around a leap second is uncertain by one second
//! ([`LeapTable::unknown_smear_to_interval`]). A leap second that was announced after a
//! table was made is not in that table.
//!
//! Read: ITU-R TF.460-6 (UTC); RFC 3339 (text); RFC 5905 (NTP); IS-GPS-200 (GPS);
//! IEEE 1588 (PTP); RFC 9636 (TZif).

mod after_expiry;
mod builtin;
mod civil;
mod decimal;
mod error;
mod expiry;
mod file_kind;
mod gps;
mod interop;
mod interval_conversion;
pub mod leap_table;
mod leapseconds;
mod list;
mod ntp;
mod parse_error;
mod ptp;
mod rfc3339;
mod scale_interval;
mod second_60;
mod sha1;
mod smear;
mod smear_conversion;
mod smear_window;
mod step;
mod system;
mod table_error;
mod table_source;
mod text;
mod tzif;
mod unix;
mod unix_conversion;
mod utc;
mod utc_conversion;

pub use error::ScaleError;
pub use expiry::Expiry;
pub use gps::GpsTime;
pub use leap_table::{LeapEntry, LeapSecond, LeapTable};
pub use ntp::{NtpDate, NtpTime};
pub use parse_error::ParseTimeError;
pub use ptp::PtpTime;
pub use scale_interval::ScaleInterval;
pub use smear::{Smear, Smeared};
pub use table_error::LeapTableError;
pub use table_source::{HashState, TableSource};
pub use unix::{UnixReading, UnixTime, UnixToTai};
pub use utc::Utc;
