//! [`WaitError`]: why a wait ended before its moment had passed.

use std::io;
use std::time::Duration;

use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// A wait that ended before its moment had certainly passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The moment cannot pass before the deadline, even with the best possible
    /// evidence. Returned at once.
    #[error(
        "{target} cannot pass before the deadline: that takes at least {soonest:?}, and {left:?} \
         are left; give more time, or give up"
    )]
    Impossible {
        /// The moment.
        target: Timestamp,
        /// The least time until it can have passed.
        soonest: Duration,
        /// The time that was left.
        left: Duration,
    },
    /// No time is after [`Timestamp::MAX`]. Returned at once.
    #[error("the last of all timestamps never passes: wait for an earlier one")]
    Never,
    /// The deadline came first.
    #[error(
        "the deadline came after {waited:?}, {missing:?} before {target} would have passed by the \
         clock's present bound: wait again for at least that long, or give up; it has not passed"
    )]
    Deadline {
        /// The moment.
        target: Timestamp,
        /// How much was missing, by the clock.
        missing: Duration,
        /// How long the wait took.
        waited: Duration,
    },
    /// The clock returned errors until the deadline, or for the whole `patience` of
    /// the settings.
    #[error("the clock does not answer (waited {waited:?}): {error}")]
    Clock {
        /// Its last error.
        error: ClockError,
        /// How long the wait took.
        waited: Duration,
    },
    /// The clock returns readings, and they have stopped advancing.
    #[error("the clock has stood still for {stood:?}: look at its counter, or raise `patience`")]
    Stalled {
        /// For how long.
        stood: Duration,
    },
    /// [`Cancel::cancel`](super::Cancel::cancel) was called.
    #[error("the wait was cancelled")]
    Cancelled,
    /// The timer's thread could not be started.
    #[error(
        "the thread that times asynchronous waits could not be started: {0}; raise this process's \
         limit of threads (`ulimit -u`, the pids limit of its group), or use the blocking `wait`, \
         which needs none"
    )]
    Thread(io::ErrorKind),
}

impl WaitError {
    /// Whether the same wait, begun again, can succeed without a change to the program.
    pub fn is_transient(&self) -> bool {
        match self {
            WaitError::Clock { error, .. } => error.is_transient(),
            WaitError::Impossible { .. } | WaitError::Deadline { .. } | WaitError::Thread(_) => {
                true
            }
            WaitError::Never | WaitError::Stalled { .. } | WaitError::Cancelled => false,
        }
    }
}
