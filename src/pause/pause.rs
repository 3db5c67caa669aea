//! [`Pause`]: a time in which this process did not run, and [`PauseKind`]: what caused it.

use std::fmt;
use std::time::{Duration, Instant};

/// What kept the process from running.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PauseKind {
    /// It was ready to run, and the scheduler ran other threads.
    NotScheduled,
    /// The kernel took it off the processor: SIGSTOP, a debugger, the freezer, or a page
    /// that had to be read first.
    Stopped,
    /// The processor or its timer stood still while the clocks ran on: the hypervisor ran
    /// another machine, or firmware held this one.
    Machine,
    /// The machine was suspended.
    Suspended,
    /// The virtual machine was stopped with all of its clocks, or moved.
    MachineStopped,
    /// The host offers no probe that shows the reason, or the pause has only just ended
    /// and is not classified yet.
    Unknown,
}

impl PauseKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [PauseKind; 6] = [
        PauseKind::NotScheduled,
        PauseKind::Stopped,
        PauseKind::Machine,
        PauseKind::Suspended,
        PauseKind::MachineStopped,
        PauseKind::Unknown,
    ];

    /// Whether the monotonic clock, and so an [`Instant`], counted the pause.
    pub fn is_counted_by_instant(&self) -> bool {
        !matches!(self, PauseKind::Suspended | PauseKind::MachineStopped)
    }
}

impl fmt::Display for PauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PauseKind::NotScheduled => "not scheduled",
            PauseKind::Stopped => "stopped",
            PauseKind::Machine => "held up by the machine",
            PauseKind::Suspended => "suspended",
            PauseKind::MachineStopped => "stopped with its machine",
            PauseKind::Unknown => "paused",
        })
    }
}

/// A time in which this process did not run.
///
/// `Display` completes "this process was ...": "stopped for 2.95s to 3.01s".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// What kept it from running.
    pub kind: PauseKind,
    /// The least time for which it did not run.
    pub at_least: Duration,
    /// The greatest time for which it did not run.
    pub at_most: Duration,
    /// When the monitor's thread ran again.
    pub noticed: Instant,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pause { kind, at_least, at_most, .. } = self;
        write!(f, "{kind} for {at_least:.2?} to {at_most:.2?}")
    }
}
