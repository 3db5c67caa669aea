//! A clock that knows its error.

pub mod clock;
mod durable;
pub mod interval;
pub mod scale;
mod sync;
pub mod timestamp;

pub use clock::{ClockError, Reason, Status, TrueTime};
pub use durable::RecordError;
pub use interval::Interval;
pub use scale::LeapTable;
pub use timestamp::Timestamp;
