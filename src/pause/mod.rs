//! Pauses: when this process did not run, for how long, and why.
//!
//! # The problem
//!
//! A process does not notice that it was stopped. Nanoseconds or minutes may lie between
//! two of its instructions, and it cannot tell which. It still believes afterwards what
//! it believed before: I hold the lease; that node has not answered. The second belief
//! does more harm. A process that was stopped for ten seconds finds all of its peers
//! silent for ten seconds, and suspects them all.
//!
//! # The insight
//!
//! A thread that plans to wake every few milliseconds knows when it *should* have woken.
//! If it woke late, it did not run. The same causes stop the other threads of the
//! process, so they did not run either. Different causes leave different traces in the
//! operating system, so several probes together tell them apart:
//!
//! | kind | lateness on the monotonic clock | other trace |
//! |---|---|---|
//! | [`NotScheduled`](PauseKind::NotScheduled) | yes | the thread waited in the run queue for most of it (`/proc/thread-self/schedstat`) |
//! | [`Stopped`](PauseKind::Stopped): SIGSTOP, a debugger, the freezer, a page read from a slow disk | yes | the thread went to sleep once more than it asked to (`getrusage`) |
//! | [`Machine`](PauseKind::Machine): the hypervisor ran another machine, firmware, interrupts off | yes | neither of the two: even the timer was late |
//! | [`Suspended`](PauseKind::Suspended) | no: it stands still | `CLOCK_BOOTTIME` ran on |
//! | [`MachineStopped`](PauseKind::MachineStopped): a virtual machine stopped and continued, or moved | no: nothing in the guest ran | the real-time clock chip ran on (`/sys/class/rtc/rtc0`) |
//!
//! # What cannot be seen
//!
//! - **A virtual machine that was stopped, and has no readable real-time clock** (most
//!   containers, small cloud guests). Every clock of the guest is continuous, so nothing
//!   in it can tell. With such a chip, which counts whole seconds, a stop is seen if it
//!   lasted two and a half seconds or more. [`PauseMonitor::probes`] says what this host
//!   offers. An operator who needs more gives the guest a VMClock device, or does not stop
//!   guests.
//! - **A pause shorter than an interval** can end before the thread was due to wake. So a
//!   length is given as two figures. It is at least the lateness, and at most the time
//!   since the thread was last seen running.
//! - **One thread's stall.** The monitor sees its own thread, and causes that stop all
//!   threads. A [`PauseGuard`] also reads the run queue of its own thread.
//! - **Throttling by a CPU quota** shows as `NotScheduled` or as `Stopped`, depending on
//!   how the kernel's version takes the thread off the queue.
//!
//! A pause that ends *after* the last check is not seen at all. Only a
//! [fence](crate::fence) makes pauses harmless. This module explains why a lease was lost,
//! keeps a failure detector fair, and provides the line for the log.
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
//!
//! What to read: `classify.rs` (from two observations to a pause; pure), then
//! `pause_history.rs`, then `monitor.rs` (the thread).

mod classify;
mod error;
mod monitor;
mod observation;
#[expect(clippy::module_inception, reason = "files are named for their main type")]
mod pause;
mod pause_guard;
mod pause_history;
mod probe;
mod shared_history;

pub use error::PauseError;
pub use monitor::{PauseMonitor, PauseMonitorBuilder};
pub use pause::{Pause, PauseKind};
pub use pause_guard::PauseGuard;
pub use probe::Probes;
