//! Time scales: from the core's TAI to what people and protocols use, and back.

mod builtin;
mod civil;
mod error;
pub mod leap;
mod list;
mod rfc3339;
mod sha1;
mod step;
mod system;
mod table_error;
mod text;
mod tzif;
mod unix;
mod utc;

pub use error::ScaleError;
pub use leap::{Entry, Expiry, HashState, Leap, LeapTable, TableSource};
pub use rfc3339::ParseUtcError;
pub use table_error::LeapTableError;
pub use text::{ParseIntervalError, ParseTimestampError};
pub use unix::{UnixReading, UnixTime, UnixToTai};
pub use utc::Utc;
