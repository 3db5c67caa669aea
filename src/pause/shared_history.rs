//! [`SharedHistory`]: the history that a monitor, its thread and its guards share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pause_history::PauseHistory;
use crate::fork::{Mutex, Owned, PerProcess, ProcessKey};

/// The history of each process that has the monitor.
///
/// In the child of a fork no thread keeps it, so all time since the fork counts as one
/// pause. If the parent's thread held the lock at the fork, its history is lost, and all time
/// since the monitor was started counts.
pub(super) struct SharedHistory {
    started: Instant,
    interval: Duration,
    threshold: Duration,
    histories: PerProcess<Mutex<PauseHistory>>,
}

impl SharedHistory {
    pub(super) fn new(started: Instant, interval: Duration, threshold: Duration) -> SharedHistory {
        SharedHistory { started, interval, threshold, histories: PerProcess::new() }
    }

    /// The history of this process.
    pub(super) fn here(&self) -> Arc<Owned<Mutex<PauseHistory>>> {
        self.histories.get(ProcessKey::current(), |parents| {
            let known = parents.and_then(Mutex::try_lock).map(|history| history.clone());
            let new = || PauseHistory::new(self.started, self.interval, self.threshold);
            Mutex::new(known.unwrap_or_else(new))
        })
    }
}
