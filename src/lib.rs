//! A clock that knows its error.

pub mod clock;
mod durable;
pub mod hlc;
pub mod interval;
pub mod scale;
mod sync;
pub mod timestamp;
pub mod wait;

pub use clock::{ClockError, Reason, Status, TrueTime};
pub use durable::RecordError;
pub use hlc::{
    Hlc, HlcError, NodeId, NodeStamp, PendingCommit, ReadUncertainty, ReleaseError, Stamp,
    Visibility,
};
pub use interval::Interval;
pub use scale::LeapTable;
pub use timestamp::Timestamp;
pub use wait::{WaitError, Waited, Waiter};
