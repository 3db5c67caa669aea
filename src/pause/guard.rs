//! [`Guard`]: "was I paused since?", for one critical section.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::judge::slept_between;
use super::monitor::Shared;
use super::witness::{Slept, open_run_queue, queued, slept};
use super::{Pause, PauseKind};

/// Watches from its making on.
///
/// It does not rely on the monitor's thread having run since: after a pause the
/// guarded thread may be the first to wake, and finds then that the monitor
/// is overdue. It asks the suspend clock itself, and, if it is asked in the
/// thread that made it, that thread's run queue. Waits in the queue add up, so a
/// guard is for one section, and not for hours.
///
/// The stop of a whole machine is the exception: the chip that shows it is looked at
/// once a second, so a guard that is asked earlier does not know of it.
///
/// A few microseconds to make, and to ask.
#[derive(Clone)]
pub struct Guard {
    shared: Arc<Shared>,
    began: Instant,
    slept: Option<Slept>,
    queued: Option<(ThreadId, Duration)>,
}

impl Guard {
    pub(super) fn new(shared: Arc<Shared>) -> Guard {
        let queued = queued_here().map(|queued| (thread::current().id(), queued));
        Guard { shared, slept: slept(), queued, began: Instant::now() }
    }

    /// Whether nothing paused this process, or this thread, since.
    ///
    /// # Errors
    ///
    /// [`Paused`]: for how long, and of which kind.
    pub fn check(&self) -> Result<(), Paused> {
        match self.longest() {
            Some(pause) => Err(Paused { pause }),
            None => Ok(()),
        }
    }

    /// Whether there was a pause since.
    pub fn was_paused(&self) -> bool {
        self.longest().is_some()
    }

    /// The longest pause since.
    fn longest(&self) -> Option<Pause> {
        let (now_slept, now_queued) = (slept(), self.queued.and_then(|_| queued_here()));
        let now = Instant::now();
        let record = self.shared.record.lock();
        let pending = record.pending(now);
        let noticed = record
            .pauses()
            .rev()
            .take_while(|pause| pause.noticed > self.began)
            // A suspend is judged below, from the guard's own beginning.
            .filter(|pause| pause.kind != PauseKind::Suspended)
            .chain(&pending)
            .filter_map(|pause| record.since(pause, self.began));
        let suspended = self.suspended(now_slept, now);
        let stalled = self.stalled(now_queued, now);
        let threshold = record.threshold();
        let own = suspended.into_iter().chain(stalled);
        let own = own.filter(|own| own.at_least >= threshold && !own.at_least.is_zero());
        noticed.chain(own).max_by_key(|pause| pause.at_most)
    }

    fn suspended(&self, slept: Option<Slept>, now: Instant) -> Option<Pause> {
        let (at_least, at_most) = slept_between(&self.slept?, &slept?);
        Some(Pause { kind: PauseKind::Suspended, at_least, at_most, noticed: now })
    }

    /// The guarded thread alone waited for a processor, perhaps in several turns.
    fn stalled(&self, queued: Option<Duration>, now: Instant) -> Option<Pause> {
        let (thread, before) = self.queued?;
        if thread != thread::current().id() {
            return None;
        }
        let waited = queued?.saturating_sub(before);
        Some(Pause {
            kind: PauseKind::NotScheduled,
            at_least: waited,
            at_most: waited,
            noticed: now,
        })
    }
}

/// The process, or the guarded thread, was paused during the section.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this process was {pause}: what it knew before may be out of date, so check leases again and \
     drop what was decided before the pause"
)]
pub struct Paused {
    /// The longest pause since the guard was made.
    pub pause: Pause,
}

thread_local! {
    /// The calling thread's run queue file, and the process that opened it: a
    /// forked child inherits the descriptor, which still shows the parent's thread.
    static RUN_QUEUE: RefCell<Option<(u32, File)>> = const { RefCell::new(None) };
}

/// How long the calling thread has waited in the run queue.
fn queued_here() -> Option<Duration> {
    // Both can fail only while the thread ends, and then there is no witness.
    RUN_QUEUE
        .try_with(|kept| {
            let mut kept = kept.try_borrow_mut().ok()?;
            let process = std::process::id();
            if kept.as_ref().is_none_or(|(opened_by, _)| *opened_by != process) {
                *kept = open_run_queue().map(|file| (process, file));
            }
            kept.as_ref().and_then(|(_, file)| queued(file))
        })
        .ok()
        .flatten()
}
