//! A clock that knows its error.

pub mod clock;
mod durable;
pub mod fence;
pub mod interval;
pub mod lease;
pub mod pause;
pub mod scale;
mod sync;
pub mod timestamp;

pub use clock::{ClockError, Reason, Status, TrueTime};
pub use durable::RecordError;
pub use fence::{Fence, FencingToken};
pub use interval::Interval;
pub use lease::{Grantor, Lease};
pub use pause::PauseMonitor;
pub use scale::LeapTable;
pub use timestamp::Timestamp;
