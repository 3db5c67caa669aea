//! [`PauseGuard`]: "was I paused since?", for one critical section.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::classify::suspended_between;
use super::error::PauseError;
use super::observation::SuspendedTime;
use super::pause::{Pause, PauseKind};
use super::probe::{open_run_queue, queued, suspended_time};
use super::shared_history::SharedHistory;
use crate::fork::ProcessKey;

/// Reports pauses of this process, or of this thread, since the guard was made.
///
/// It does not need the monitor's thread to have run since. After a pause the guarded
/// thread may be the first to wake, and then it finds that the monitor is overdue. The
/// guard reads the time in suspend itself. In the thread that made it, it also reads
/// that thread's time in the run queue. This time adds up, so use a guard for one
/// section, and not for hours.
///
/// The stop of a whole machine is an exception. The chip that shows it is read once a
/// second, so a guard that is checked earlier does not see the stop.
///
/// Making and checking a guard each take a few microseconds.
#[derive(Clone)]
pub struct PauseGuard {
    history: Arc<SharedHistory>,
    began: Instant,
    suspended: Option<SuspendedTime>,
    queued: Option<(ThreadId, Duration)>,
}

impl PauseGuard {
    pub(super) fn new(history: Arc<SharedHistory>) -> PauseGuard {
        let queued = queued_here().map(|queued| (thread::current().id(), queued));
        PauseGuard { history, suspended: suspended_time(), queued, began: Instant::now() }
    }

    /// Succeeds if neither this process nor this thread was paused since.
    ///
    /// # Errors
    ///
    /// [`PauseError::Paused`], with the longest pause.
    pub fn check(&self) -> Result<(), PauseError> {
        match self.longest() {
            Some(pause) => Err(PauseError::Paused(pause)),
            None => Ok(()),
        }
    }

    /// Whether there was a pause since.
    pub fn was_paused(&self) -> bool {
        self.longest().is_some()
    }

    /// The longest pause since.
    fn longest(&self) -> Option<Pause> {
        let (suspended, queued) = (suspended_time(), self.queued.and_then(|_| queued_here()));
        let now = Instant::now();
        let here = self.history.here();
        let history = here.lock();
        let threshold = history.threshold();

        // The pauses that the monitor has noticed, and one that it is about to notice.
        let pending = history.pending(now);
        let noticed = history
            .pauses()
            .rev()
            .take_while(|pause| pause.noticed > self.began)
            // Suspends are computed below, exactly from the beginning of the guard.
            .filter(|pause| pause.kind != PauseKind::Suspended)
            .chain(&pending)
            .filter_map(|pause| history.since(pause, self.began));

        // The pauses that this thread sees by itself.
        let own = self.suspend(suspended, now).into_iter().chain(self.queueing(queued, now));
        let own = own.filter(|own| own.at_least >= threshold && !own.at_least.is_zero());

        noticed.chain(own).max_by_key(|pause| pause.at_most)
    }

    /// How long the machine was suspended since.
    fn suspend(&self, suspended: Option<SuspendedTime>, now: Instant) -> Option<Pause> {
        let (at_least, at_most) = suspended_between(&self.suspended?, &suspended?);
        Some(Pause { kind: PauseKind::Suspended, at_least, at_most, noticed: now })
    }

    /// How long the guarded thread waited for a processor, perhaps in several turns.
    fn queueing(&self, queued: Option<Duration>, now: Instant) -> Option<Pause> {
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

thread_local! {
    /// The calling thread's run queue file, and the process that opened it. A forked child
    /// inherits the descriptor, which still shows the parent's thread.
    static RUN_QUEUE: RefCell<Option<(ProcessKey, File)>> = const { RefCell::new(None) };
}

/// How long the calling thread has waited in the run queue.
fn queued_here() -> Option<Duration> {
    // Both borrows can fail only while the thread ends. Then there is no reading.
    RUN_QUEUE
        .try_with(|kept| {
            let mut kept = kept.try_borrow_mut().ok()?;
            let process = ProcessKey::current();
            if kept.as_ref().is_none_or(|(opened_by, _)| *opened_by != process) {
                *kept = open_run_queue().map(|file| (process, file));
            }
            kept.as_ref().and_then(|(_, file)| queued(file))
        })
        .ok()
        .flatten()
}
