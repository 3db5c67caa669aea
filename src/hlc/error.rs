//! [`HlcError`]: why a clock issues no stamp, or accepts none.
//!
//! The messages give a stamp twice: as the moment that it counts, to be compared with the
//! clock's readings, and as its 16 digits, to be searched for elsewhere.

use std::time::Duration;

use super::stamp::Stamp;
use crate::durable::RecordError;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// Why a hybrid logical clock issues no stamp, or accepts none.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HlcError {
    /// The clock returned an error. Meanwhile `stamp_logical` still keeps causality.
    #[error("no stamp, because the clock gives no reading: {0}")]
    Clock(#[from] ClockError),
    /// A peer's stamp is ahead of true time. It was not noted.
    #[error(
        "the stamp {} ({remote}) is {by:?} beyond the latest that true time can be here ({latest}, \
         tolerance {tolerance:?}), so its sender's clock is broken or this one is: refuse the \
         message, and check the sender (if it is from this node's own log, give it to \
         `HlcBuilder::not_below` instead)",
        remote.timestamp()
    )]
    RemoteAhead {
        /// The peer's stamp.
        remote: Stamp,
        /// This node's `latest` when the stamp came.
        latest: Timestamp,
        /// The tolerance that was set.
        tolerance: Duration,
        /// How far the stamp is beyond `latest` plus the tolerance.
        by: Duration,
    },
    /// This node's own register is ahead of true time, because its clock was wrong earlier.
    #[error(
        "this node's register is poisoned: it has reached {} ({register}), {by:?} beyond the \
         latest that true time can be ({latest}). Wait that long, or call `reset()` and give up \
         the order with the stamps issued before; `stamp_logical` still keeps causality",
        register.timestamp()
    )]
    Poisoned {
        /// The value of the register.
        register: Stamp,
        /// This node's `latest`.
        latest: Timestamp,
        /// How far the register is beyond `latest`.
        by: Duration,
    },
    /// This node has promised to issue nothing below a stamp that true time may not have reached.
    ///
    /// A mark from before a crash is such a promise, for up to its window. So are the stamp of
    /// [`HlcBuilder::not_below`](super::HlcBuilder::not_below), a stamp from `stamp_logical`, and
    /// for commits one that was resumed. What was issued under a wrong clock can be hours ahead.
    #[error(
        "no stamp below {} ({register}) may be issued again, and true time has certainly reached \
         only {earliest}: wait {by:?}, or call `reset()` and give up the order with the stamps \
         issued before; `stamp_logical` still keeps causality",
        register.timestamp()
    )]
    Ahead {
        /// The promised stamp.
        register: Stamp,
        /// This node's `earliest`.
        earliest: Timestamp,
        /// How long until `earliest` has passed it.
        by: Duration,
    },
    /// A commit stamp was released before it had certainly passed.
    #[error(
        "the commit stamp {} ({stamp}) has not passed: true time has certainly reached only \
         {earliest}, and {} ns are missing; wait for `timestamp()` first",
        stamp.timestamp(),
        i128::from(stamp.timestamp().tai_nanos()) - i128::from(earliest.tai_nanos()) + 1
    )]
    NotPassed {
        /// The commit stamp.
        stamp: Stamp,
        /// This node's `earliest`.
        earliest: Timestamp,
    },
    /// The window below the high-water mark is used up, and this call does not wait for a higher
    /// one.
    ///
    /// A higher mark was asked for, except without a thread. Then
    /// [`Hlc::renew_mark`](super::Hlc::renew_mark) writes it.
    #[error(
        "no stamp above {} ({limit}) may be issued before a higher mark is stored, and this one \
         would be {} ({asked}): try again, or wait with `stamp_async` or `renew_mark`",
        limit.timestamp(),
        asked.timestamp()
    )]
    MarkUsedUp {
        /// The stamp that would have been issued.
        asked: Stamp,
        /// The highest stamp that may be issued.
        limit: Stamp,
    },
    /// There is no stamp after the last one.
    #[error(
        "the last of all stamps has been reached: call `reset()`, and find out which node sent it"
    )]
    Exhausted,
    /// The high-water mark could not be raised, so no stamp above it may be issued.
    #[error("the high-water mark could not be raised: {0}")]
    Record(#[from] RecordError),
    /// The text is not a stamp, a node, or a pair of them.
    #[error("the text is not {expected}: write the text that `to_string` printed")]
    Parse {
        /// The form that was expected.
        expected: &'static str,
    },
}

impl HlcError {
    /// Whether the same call can succeed later, without any change to the program.
    ///
    /// [`Ahead`](Self::Ahead) ends by itself, and `by` says when.
    /// [`Poisoned`](Self::Poisoned) does too, but it is reported as not transient, because
    /// a clock was wrong and an operator should know.
    pub fn is_transient(&self) -> bool {
        match self {
            HlcError::Clock(error) => error.is_transient(),
            HlcError::Record(error) => error.is_transient(),
            HlcError::Ahead { .. } | HlcError::NotPassed { .. } | HlcError::MarkUsedUp { .. } => {
                true
            }
            HlcError::RemoteAhead { .. }
            | HlcError::Poisoned { .. }
            | HlcError::Exhausted
            | HlcError::Parse { .. } => false,
        }
    }
}
