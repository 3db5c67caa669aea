//! A clock that knows its error.

pub mod clock;
pub mod interval;
pub mod scale;
mod sync;
pub mod timestamp;

pub use clock::{ClockError, Reason, Status, TrueTime};
pub use interval::Interval;
pub use scale::{
    GpsTime, LeapTable, LeapTableError, NtpDate, NtpTime, ParseIntervalError, ParseTimestampError,
    ParseUtcError, PtpTime, ScaleError, Smear, Smeared, Span, UnixTime, Utc,
};
pub use timestamp::Timestamp;
