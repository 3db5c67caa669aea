//! [`Waited`] and [`WaitError`]: what became of a wait.

use std::io;
use std::time::Duration;

use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// A wait that came to its end: the moment has certainly passed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Waited {
    /// How long the wait took. Zero if the moment had passed already.
    pub total: Duration,
    /// How much of it was spent spinning.
    pub spun: Duration,
    /// For how long the moment had passed already when the wait returned, by
    /// the clock: what the wait took too long.
    pub overshoot: Duration,
    /// How many times it slept.
    pub sleeps: u32,
}

/// A wait that ended before the moment had certainly passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The moment cannot pass before the deadline, whatever evidence may come. Said at once.
    #[error(
        "{target} cannot pass before the deadline: that takes at least {soonest:?}, and {left:?} \
         are left; give more time, or give up"
    )]
    Impossible {
        /// The moment.
        target: Timestamp,
        /// The least time it takes.
        soonest: Duration,
        /// The time there was.
        left: Duration,
    },
    /// Nothing is after [`Timestamp::MAX`]. Said at once.
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
    /// The clock did not answer, for all the time there was.
    #[error("the clock does not answer (waited {waited:?}): {error}")]
    Clock {
        /// What it said last.
        error: ClockError,
        /// How long the wait took.
        waited: Duration,
    },
    /// The clock answers, and stands still.
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
    /// Whether the same wait, begun again, can succeed without anybody changing the program.
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
