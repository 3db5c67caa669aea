//! [`PauseMonitor`]: the thread that plans to wake, and knows when it did not.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::judge::{Plan, judge};
use super::record::Record;
use super::witness::{Look, Witness, Witnesses};
use super::{Guard, Pause, PauseKind};
use crate::sync::atomic::{AtomicBool, Ordering};

/// What is called for each pause.
type Callback = Box<dyn FnMut(&Pause) + Send>;

/// The shortest interval: below it the monitor would be a load of its own.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The longest interval: a day without a look is no monitor, and dates stay countable.
pub(super) const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

/// Notices when this process was not running. Dropping it stops its thread.
///
/// One thread, one wake an interval, some tens of microseconds of processor time each:
/// 0.06 % of a processor at the default interval (`benches/lease.rs` prints it).
/// After a `fork` the child has no such thread: there, everything counts as one
/// long pause, until it starts a monitor of its own.
pub struct PauseMonitor {
    shared: Arc<Shared>,
    witnesses: Witnesses,
    thread: Option<JoinHandle<()>>,
    owner: u32,
}

/// What the thread, the monitor and its guards see.
pub(super) struct Shared {
    pub(super) record: Mutex<Record>,
    stop: AtomicBool,
}

/// How a [`PauseMonitor`] is to be.
#[must_use = "a builder does nothing until it is started"]
pub struct PauseMonitorBuilder {
    interval: Duration,
    threshold: Option<Duration>,
    callback: Option<Callback>,
}

impl PauseMonitor {
    /// A monitor that looks every 50 ms, and calls 50 ms of lateness a pause.
    ///
    /// # Errors
    ///
    /// [`PauseError`]: the thread could not be started.
    pub fn start() -> Result<PauseMonitor, PauseError> {
        PauseMonitor::builder().start()
    }

    /// A monitor with other figures, or with a callback.
    pub fn builder() -> PauseMonitorBuilder {
        PauseMonitorBuilder { interval: Duration::from_millis(50), threshold: None, callback: None }
    }

    /// Watches from now on, for one critical section.
    pub fn guard(&self) -> Guard {
        Guard::new(self.shared.clone())
    }

    /// How much of the time from `a` to `b` this process was paused, at most.
    ///
    /// For a failure detector: silence of a peer, less this, is the silence that
    /// the peer has to answer for. A pause that is under way, or over and not
    /// noticed yet, counts. Suspends do not, since the time from
    /// `a` to `b` does not contain them either. It is too long by up to one
    /// interval for each pause, and never longer than `b - a`. The last 1024
    /// pauses are remembered.
    pub fn paused_between(&self, a: Instant, b: Instant) -> Duration {
        let record = self.shared.record.lock();
        record.paused_between(a, b, Instant::now())
    }

    /// How many pauses there were.
    pub fn count(&self) -> u64 {
        self.shared.record.lock().count()
    }

    /// How many pauses of one kind there were.
    pub fn count_of(&self, kind: PauseKind) -> u64 {
        self.shared.record.lock().count_of(kind)
    }

    /// How long all pauses together were, at least.
    pub fn total(&self) -> Duration {
        self.shared.record.lock().total()
    }

    /// The last pause that was noticed.
    pub fn last(&self) -> Option<Pause> {
        self.shared.record.lock().pauses().next_back().copied()
    }

    /// The last pauses, the newest last, at most 1024.
    pub fn recent(&self) -> Vec<Pause> {
        self.shared.record.lock().pauses().copied().collect()
    }

    /// What this host lets a process know about its pauses.
    pub fn witnesses(&self) -> Witnesses {
        self.witnesses
    }
}

impl Drop for PauseMonitor {
    fn drop(&mut self) {
        // Relaxed: the flag carries nothing along. The thread also looks after each sleep.
        self.shared.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        // In a forked child there is no such thread to wait for.
        if std::process::id() != self.owner {
            return std::mem::forget(thread);
        }
        thread.thread().unpark();
        // A callback may own the monitor, and a thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            // It can only have panicked, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl PauseMonitorBuilder {
    /// How often the thread wakes: 1 ms to a day, by default 50 ms.
    ///
    /// Choose a fraction of the shortest lease: a pause is known to within this.
    pub fn interval(mut self, interval: Duration) -> PauseMonitorBuilder {
        self.interval = interval;
        self
    }

    /// From which lateness on it is called a pause: by default an interval.
    ///
    /// Ordinary scheduling on a busy host delays a thread by some milliseconds.
    pub fn threshold(mut self, threshold: Duration) -> PauseMonitorBuilder {
        self.threshold = Some(threshold);
        self
    }

    /// What to call for each pause, in the monitor's thread.
    ///
    /// Keep it short: while it runs the monitor does not look, and a guard that
    /// is asked then may report the callback as a pause. If it panics, the
    /// panic is printed as usual, and the monitor goes on.
    pub fn on_pause(mut self, callback: impl FnMut(&Pause) + Send + 'static) -> Self {
        self.callback = Some(Box::new(callback));
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`PauseError`]: a figure out of range, or no thread to be had.
    pub fn start(self) -> Result<PauseMonitor, PauseError> {
        let PauseMonitorBuilder { interval, threshold, callback } = self;
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
            return Err(PauseError::Interval { interval });
        }
        let threshold = threshold.unwrap_or(interval);
        let shared = Arc::new(Shared {
            record: Mutex::new(Record::new(Instant::now(), interval, threshold)),
            stop: AtomicBool::new(false),
        });
        // The witnesses are files of the thread, so it opens them, and then says which it has.
        let (tell, told) = mpsc::sync_channel(1);
        let watched = shared.clone();
        let thread = thread::Builder::new()
            .name("pause-monitor".into())
            .spawn(move || {
                let mut witness = Witness::of_this_thread();
                // Before anybody has the monitor: a pause right after its start, and before
                // this thread's first turn, would be over unseen.
                let first = witness.look();
                watched.record.lock().note(first.at, interval, &[]);
                if tell.send(witness.offers()).is_err() {
                    return;
                }
                let watch = Watch { shared: watched, witness, interval, threshold, callback };
                watch.run(first);
            })
            .map_err(PauseError::Spawn)?;
        let witnesses = told.recv().map_err(|_| {
            PauseError::Spawn(io::Error::other("the monitor's thread ended at once"))
        })?;
        Ok(PauseMonitor { shared, witnesses, thread: Some(thread), owner: std::process::id() })
    }
}

/// The thread's own.
struct Watch {
    shared: Arc<Shared>,
    witness: Witness,
    interval: Duration,
    threshold: Duration,
    callback: Option<Callback>,
}

impl Watch {
    fn run(mut self, first: Look) {
        let mut before = first;
        while let Some(sleeps) = self.sleep_until(before.at + self.interval) {
            let after = self.witness.look();
            let plan = Plan { interval: self.interval, threshold: self.threshold, sleeps };
            let pauses: Vec<_> = judge(&before, &after, &plan).collect();
            self.note(&after, &pauses);
            before = after;
            if !pauses.is_empty() && self.callback.is_some() {
                self.call(&pauses);
                // The callback may have slept, which was no pause.
                before = self.witness.look();
                self.note(&before, &[]);
            }
        }
    }

    fn note(&self, look: &Look, pauses: &[Pause]) {
        self.shared.record.lock().note(look.at, self.interval, pauses);
    }

    /// How often it slept until `due`, or `None` if the monitor was dropped.
    fn sleep_until(&self, due: Instant) -> Option<u64> {
        let mut sleeps = 0;
        loop {
            if self.shared.stop.load(Ordering::Relaxed) {
                return None;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(sleeps);
            }
            thread::park_timeout(left);
            sleeps += 1;
        }
    }

    fn call(&mut self, pauses: &[Pause]) {
        let Some(callback) = &mut self.callback else { return };
        for pause in pauses {
            // Its panic is its own: it has been printed, and pauses are still to be noticed.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(pause)));
        }
    }
}

/// Why a monitor could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// The interval is out of range.
    #[error(
        "an interval of {interval:?} is outside {SHORTEST_INTERVAL:?} to {LONGEST_INTERVAL:?}: \
         choose a fraction of the shortest lease"
    )]
    Interval {
        /// What was asked for.
        interval: Duration,
    },
    /// The thread could not be started.
    #[error(
        "the monitor's thread could not be started ({0}): raise the limit of threads (ulimit -u)"
    )]
    Spawn(#[source] io::Error),
}

impl PauseError {
    /// Whether the same call can succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, PauseError::Spawn(_))
    }
}
