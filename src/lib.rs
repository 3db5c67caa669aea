//! A clock that knows its error.

pub mod agreement;
pub mod clock;
mod durable;
pub mod fence;
pub mod interval;
pub mod lease;
pub mod pause;
pub mod peers;
pub mod quorum;
pub mod scale;
pub mod source;
mod sync;
mod sys;
pub mod timeout;
pub mod timestamp;

pub use clock::{
    BuildError, Clock, ClockBuilder, ClockError, Counter, CounterKind, Limits, Reason, Report,
    Sample, Status, TrueTime, Untrusted,
};
pub use durable::RecordError;
pub use fence::{Fence, FencingToken};
pub use interval::Interval;
pub use lease::{Grantor, Lease};
pub use pause::PauseMonitor;
pub use peers::PeerClocks;
pub use scale::{
    GpsTime, LeapTable, LeapTableError, NtpDate, NtpTime, ParseIntervalError, ParseTimestampError,
    ParseUtcError, PtpTime, ScaleError, Smear, Smeared, Span, UnixTime, Utc,
};
pub use source::{Source, SourceError};
pub use timeout::Deadline;
pub use timestamp::Timestamp;
