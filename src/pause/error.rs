//! [`PauseError`]: why a monitor could not be started, or that a section was paused.

use std::io;
use std::time::Duration;

use super::pause::Pause;

/// The shortest interval of a monitor. Below it the monitor would be a load of its own.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The longest interval of a monitor. It keeps the arithmetic on instants within range.
pub(super) const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

/// Why a monitor could not be started, or a guarded section must not be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// The interval is out of range.
    #[error(
        "an interval of {interval:?} is outside {SHORTEST_INTERVAL:?} to {LONGEST_INTERVAL:?}: \
         choose a fraction of the shortest lease"
    )]
    Interval {
        /// The interval that was set.
        interval: Duration,
    },
    /// The thread could not be started.
    #[error(
        "the monitor's thread could not be started ({0}): raise the limit of threads (ulimit -u)"
    )]
    Spawn(#[source] io::Error),
    /// The process, or the guarded thread, was paused during the section.
    #[error(
        "this process was {0}: what it knew before may be out of date, so check leases again and \
         drop what was decided before the pause"
    )]
    Paused(
        /// The longest pause since the guard was made.
        Pause,
    ),
}

impl PauseError {
    /// Whether the same call can succeed later. A guard that has seen a pause keeps
    /// reporting it, so make another.
    pub fn is_transient(&self) -> bool {
        match self {
            PauseError::Spawn(_) => true,
            PauseError::Interval { .. } | PauseError::Paused(_) => false,
        }
    }
}
