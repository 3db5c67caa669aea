//! The clock.

mod bound;
mod publish;
pub mod status;
pub mod truetime;

pub use status::{Reason, Status};
pub use truetime::{ClockError, TrueTime};
