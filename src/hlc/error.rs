//! [`HlcError`]: why there is no stamp.
//!
//! The messages give a stamp as the moment it counts, so that it can be compared
//! with what the clock says, and its 16 digits after it, to be looked for elsewhere.

use std::sync::Arc;
use std::time::Duration;

use super::stamp::Stamp;
use crate::durable::RecordError;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// Why a hybrid logical clock issues no stamp, or takes none.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HlcError {
    /// The clock does not answer. `stamp_logical` keeps causality meanwhile.
    #[error("no stamp without a clock: {0}")]
    Clock(#[from] ClockError),
    /// A peer's stamp is ahead of the true time. Nothing was changed.
    #[error(
        "the stamp {} ({remote}) is {by:?} beyond the latest that true time can be here ({latest}, \
         tolerance {tolerance:?}): its sender's clock is broken, or this one is. Refuse the \
         message, and look at the sender",
        remote.timestamp()
    )]
    RemoteAhead {
        /// The stamp that came.
        remote: Stamp,
        /// This node's `latest` when it came.
        latest: Timestamp,
        /// The tolerance that was set.
        tolerance: Duration,
        /// By how much the stamp is beyond both.
        by: Duration,
    },
    /// This node's own register is ahead of the true time: an earlier epoch of its clock was wrong.
    #[error(
        "this node was poisoned: it has reached {} ({register}), {by:?} beyond the latest that \
         true time can be ({latest}). Wait that long, or call `reset()` and give up the order with \
         what it issued; `stamp_logical` keeps causality alone",
        register.timestamp()
    )]
    Poisoned {
        /// How far the register has come.
        register: Stamp,
        /// This node's `latest`.
        latest: Timestamp,
        /// By how much the register is beyond it.
        by: Duration,
    },
    /// This node has promised not to go below a stamp that true time may not have reached.
    ///
    /// A mark left by a crash is, for up to its window. So is what
    /// `stamp_logical` issued. A mark written under a wrong clock may be for hours.
    #[error(
        "nothing below {} ({register}) may be issued again, and true time has certainly reached \
         only {earliest}: wait {by:?}, or call `reset()` and give up the order with what was \
         issued; `stamp_logical` keeps causality alone",
        register.timestamp()
    )]
    Ahead {
        /// What has been promised.
        register: Stamp,
        /// This node's `earliest`.
        earliest: Timestamp,
        /// How long until `earliest` has passed it.
        by: Duration,
    },
    /// There is no stamp after the last one.
    #[error("the last of all stamps has been reached: call `reset()`, and look at who sent it")]
    Exhausted,
    /// The high-water mark could not be raised, so no stamp beyond it may be issued.
    #[error("the high-water mark could not be raised: {0}")]
    Mark(#[source] Arc<RecordError>),
}

impl HlcError {
    /// Whether asking again can succeed without anybody doing anything.
    ///
    /// [`Ahead`](Self::Ahead) ends by itself: look at `by` to see when.
    /// [`Poisoned`](Self::Poisoned) does too, but it says that a clock was
    /// wrong, and somebody should know.
    pub fn is_transient(&self) -> bool {
        match self {
            HlcError::Clock(error) => error.is_transient(),
            HlcError::Mark(error) => error.is_transient(),
            HlcError::Ahead { .. } => true,
            HlcError::RemoteAhead { .. } | HlcError::Poisoned { .. } | HlcError::Exhausted => false,
        }
    }
}
