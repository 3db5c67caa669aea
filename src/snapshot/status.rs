//! [`Status`]: how far a clock can be trusted.

use std::fmt;

use crate::evidence::Reason;

/// How far the clock can be trusted at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Status {
    /// Readings rest on evidence that a source stated at the last poll.
    Synchronized,
    /// No source states a bound any longer. Readings rest on earlier evidence and widen.
    Holdover,
    /// Readings rest on the operator's statement (`assume_error`), not on evidence alone.
    Assumed,
    /// There are no readings, for this reason.
    Unsynchronized(Reason),
    /// Sources contradicted each other lately. Readings cover both sides, or are refused.
    Contradicted,
}

impl Status {
    /// Whether a source, or the operator, stated the bound at the last poll.
    ///
    /// This says nothing of width, and it is false in [`Holdover`](Status::Holdover) and
    /// [`Contradicted`](Status::Contradicted), where readings are right all the same. To
    /// decide whether to serve, use the width: `clock.now()?.width() < limit`.
    pub fn is_current(&self) -> bool {
        matches!(self, Status::Synchronized | Status::Assumed)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Synchronized => f.write_str("synchronized"),
            Status::Holdover => f.write_str("holdover"),
            Status::Assumed => f.write_str("assumed"),
            Status::Unsynchronized(reason) => write!(f, "unsynchronized: {reason}"),
            Status::Contradicted => f.write_str("contradicted"),
        }
    }
}
