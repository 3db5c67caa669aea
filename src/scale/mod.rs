//! Time scales: from the core's TAI to what people and protocols use, and back.

mod civil;
mod error;
pub mod leap;
mod rfc3339;
mod text;
mod unix;
mod utc;

pub use error::ScaleError;
pub use leap::LeapTable;
pub use rfc3339::ParseUtcError;
pub use text::{ParseIntervalError, ParseTimestampError};
pub use unix::{UnixReading, UnixTime, UnixToTai};
pub use utc::Utc;
