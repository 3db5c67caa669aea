//! A clock that knows its error.

pub mod agreement;
pub mod clock;
pub mod interval;
pub mod peers;
pub mod quorum;
pub mod scale;
mod sync;
pub mod timeout;
pub mod timestamp;

pub use clock::{ClockError, Reason, Status, TrueTime};
pub use interval::Interval;
pub use peers::PeerClocks;
pub use scale::LeapTable;
pub use timeout::Deadline;
pub use timestamp::Timestamp;
