//! Time scales: from the core's TAI to what people and protocols use, and back.

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
