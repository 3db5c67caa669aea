//! A clock that knows its error.

pub mod clock;
pub mod interval;
pub mod scale;
pub mod source;
mod sync;
mod sys;
pub mod timestamp;

pub use clock::{
    BuildError, Clock, ClockBuilder, ClockError, Counter, CounterKind, Limits, Reason, Report,
    Sample, Status, TrueTime, Untrusted,
};
pub use interval::Interval;
pub use scale::{
    LeapTable, ParseIntervalError, ParseTimestampError, ParseUtcError, ScaleError, UnixTime, Utc,
};
pub use source::{Source, SourceError};
pub use timestamp::Timestamp;
