//! Pauses: when this process was not running, how long, and why.
//!
//! # The problem
//!
//! A process does not notice that it was stopped. Between two of its
//! instructions lie nanoseconds or minutes, and nothing in between tells it
//! which. What it believed before (I hold the lease; that node has not
//! answered) it believes afterwards, and the second belief is the
//! worse: a process that slept for ten seconds finds all of its peers silent
//! for ten seconds, and convicts them.
//!
//! # The insight
//!
//! A thread that plans to wake every few milliseconds knows when it *should*
//! have woken. If it woke late, it did not run; and since the other
//! threads of the process are stopped by the same causes, neither did they. The
//! causes leave different marks, so the witnesses together tell them apart:
//!
//! | kind | lateness on the monotonic clock | other mark |
//! |---|---|---|
//! | [`NotScheduled`](PauseKind::NotScheduled) | yes | the run queue's clock of the thread (`/proc/thread-self/schedstat`) counted most of it |
//! | [`Stopped`](PauseKind::Stopped): SIGSTOP, a debugger, the freezer, a page read from a slow disk | yes | the thread went to sleep once more than it asked to (`getrusage`) |
//! | [`Machine`](PauseKind::Machine): the hypervisor ran somebody else, firmware, interrupts off | yes | neither: not even the timer came in time |
//! | [`Suspended`](PauseKind::Suspended) | no: it stands still | `CLOCK_BOOTTIME` ran on |
//! | [`MachineStopped`](PauseKind::MachineStopped): a virtual machine stopped and continued, or moved | no: nothing in the guest ran | the real-time clock chip ran on (`/sys/class/rtc/rtc0`) |
//!
//! # What cannot be seen
//!
//! - **A virtual machine that was stopped, and has no readable real-time clock**
//!   (most containers, small cloud guests): every clock of the guest is
//!   continuous, so nothing in it can tell. With such a chip, which counts whole
//!   seconds, a stop is seen from two and a half seconds on.
//!   [`PauseMonitor::witnesses`] says what this host offers. An operator who
//!   needs more gives the guest a VMClock device, or does not stop guests.
//! - **A pause shorter than an interval** can end before the thread was to wake.
//!   So a length is given as two figures: it lasted at least the lateness, and
//!   at most since the thread was last seen running.
//! - **One thread's stall.** The monitor sees its own thread and what stops them
//!   all. A [`Guard`] asks the run queue for its thread as well.
//! - **Throttling by a CPU quota** shows as `NotScheduled` or as `Stopped`,
//!   depending on how the kernel's version takes the thread off the queue.
//!
//! A pause that ends *after* the last look is seen by nobody: a
//! [fence](crate::fence) is what makes pauses harmless. This module tells why
//! a lease was lost, keeps a failure detector fair, and writes the line in the
//! log that says so.
//!
//! ```
//! use std::time::Duration;
//! use truechimer::pause::PauseMonitor;
//!
//! let monitor = PauseMonitor::builder()
//!     .interval(Duration::from_millis(20))
//!     .on_pause(|pause| eprintln!("this process was {pause}"))
//!     .start()?;
//!
//! let guard = monitor.guard();
//! // ... a critical section ...
//! if let Err(paused) = guard.check() {
//!     eprintln!("do not trust that: {paused}");
//! }
//! # Ok::<(), truechimer::pause::PauseError>(())
//! ```

mod guard;
mod judge;
mod monitor;
mod record;
mod witness;

pub use guard::{Guard, Paused};
pub use monitor::{PauseError, PauseMonitor, PauseMonitorBuilder};
pub use witness::Witnesses;

use std::fmt;
use std::time::{Duration, Instant};

/// What kept the process from running.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PauseKind {
    /// Ready to run, and the scheduler ran others.
    NotScheduled,
    /// Taken off the processor by the kernel: SIGSTOP, a debugger, the freezer,
    /// a page that had to be read first.
    Stopped,
    /// The processor, or its timer, stood still while the clocks ran on: the
    /// hypervisor ran somebody else, or firmware held the machine.
    Machine,
    /// The machine was suspended.
    Suspended,
    /// The virtual machine was stopped with all of its clocks, or moved.
    MachineStopped,
    /// It did not run, and the host offers no witness that says why; or the
    /// pause has only just ended, and is not judged yet.
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

/// A stretch during which this process did not run.
///
/// `Display` completes "this process was ...": "stopped for 2.95s to 3.01s".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// What kept it from running.
    pub kind: PauseKind,
    /// It did not run for at least so long.
    pub at_least: Duration,
    /// It did not run for at most so long.
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
