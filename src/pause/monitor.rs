//! [`PauseMonitor`]: a thread that plans to wake, and notices when it wakes late.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::classify::{Schedule, classify};
use super::error::{LONGEST_INTERVAL, PauseError, SHORTEST_INTERVAL};
use super::observation::Observation;
use super::pause::{Pause, PauseKind};
use super::pause_guard::PauseGuard;
use super::probe::{Probe, Probes};
use super::shared_history::SharedHistory;
use crate::fork::ProcessKey;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The function that is called for each pause.
type Callback = Box<dyn FnMut(&Pause) + Send>;

/// Notices when this process did not run. Dropping it stops its thread.
///
/// Its thread wakes once in each interval and takes some tens of microseconds of processor
/// time. That is 0.06 % of a processor at the default interval (`benches/lease.rs` prints
/// it). After a `fork` the child has no such thread. There, all time counts as one long
/// pause until the child starts a monitor of its own.
pub struct PauseMonitor {
    history: Arc<SharedHistory>,
    stop: Arc<AtomicBool>,
    probes: Probes,
    thread: Option<JoinHandle<()>>,
    owner: ProcessKey,
}

/// The settings of a [`PauseMonitor`].
#[must_use = "a builder does nothing until it is started"]
pub struct PauseMonitorBuilder {
    interval: Duration,
    threshold: Option<Duration>,
    callback: Option<Callback>,
}

impl PauseMonitor {
    /// A monitor that wakes every 50 ms, and reports a lateness of 50 ms as a pause.
    ///
    /// # Errors
    ///
    /// [`PauseError::Spawn`] if the thread could not be started.
    pub fn start() -> Result<PauseMonitor, PauseError> {
        PauseMonitor::builder().start()
    }

    /// A monitor with other settings, or with a callback.
    pub fn builder() -> PauseMonitorBuilder {
        PauseMonitorBuilder { interval: Duration::from_millis(50), threshold: None, callback: None }
    }

    /// A guard that reports pauses from now on, for one critical section.
    pub fn guard(&self) -> PauseGuard {
        PauseGuard::new(self.history.clone())
    }

    /// For how much of the time from `a` to `b` this process was paused, at most.
    ///
    /// A failure detector subtracts it from the silence of a peer, because that much was
    /// not due to the peer. A pause that is under way, or over and not noticed yet, counts.
    /// Suspends do not count, because `b - a` does not contain them either. The result is
    /// too long by up to one interval for each pause, and never longer than `b - a`. The
    /// last 1024 pauses are remembered.
    pub fn paused_between(&self, a: Instant, b: Instant) -> Duration {
        self.history.here().lock().paused_between(a, b, Instant::now())
    }

    /// How many pauses there were.
    pub fn count(&self) -> u64 {
        self.history.here().lock().count()
    }

    /// How many pauses of this kind there were.
    pub fn count_of(&self, kind: PauseKind) -> u64 {
        self.history.here().lock().count_of(kind)
    }

    /// The least total length of all pauses.
    pub fn total(&self) -> Duration {
        self.history.here().lock().total()
    }

    /// The last pause that was noticed.
    pub fn last(&self) -> Option<Pause> {
        self.history.here().lock().pauses().next_back().copied()
    }

    /// The last pauses, the newest last, at most 1024.
    pub fn recent(&self) -> Vec<Pause> {
        self.history.here().lock().pauses().copied().collect()
    }

    /// Which traces of a pause this host lets the monitor read.
    pub fn probes(&self) -> Probes {
        self.probes
    }
}

impl Drop for PauseMonitor {
    fn drop(&mut self) {
        // Relaxed, because no other data depends on the flag. The thread checks it after
        // each sleep.
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        // In a forked child there is no such thread to wait for.
        if ProcessKey::current() != self.owner {
            return std::mem::forget(thread);
        }
        thread.thread().unpark();
        // A callback may own the monitor, and a thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            // It can only have panicked, and then the panic was printed.
            let _ = thread.join();
        }
    }
}

impl PauseMonitorBuilder {
    /// The time between two wakes, from 1 ms to a day; 50 ms unless set.
    ///
    /// Choose a fraction of the shortest lease, because a pause is known to within this.
    pub fn interval(mut self, interval: Duration) -> PauseMonitorBuilder {
        self.interval = interval;
        self
    }

    /// The least lateness that counts as a pause; one interval unless set.
    ///
    /// Ordinary scheduling on a busy host delays a thread by some milliseconds.
    pub fn threshold(mut self, threshold: Duration) -> PauseMonitorBuilder {
        self.threshold = Some(threshold);
        self
    }

    /// The function that is called for each pause, in the monitor's thread.
    ///
    /// Keep it short. While it runs the monitor observes nothing, and a guard that is
    /// checked then may report the callback as a pause. If it panics, the panic is printed
    /// as usual and the monitor continues.
    pub fn on_pause(mut self, callback: impl FnMut(&Pause) + Send + 'static) -> Self {
        self.callback = Some(Box::new(callback));
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`PauseError::Interval`] if the interval is out of range, [`PauseError::Spawn`] if
    /// the thread could not be started.
    pub fn start(self) -> Result<PauseMonitor, PauseError> {
        let PauseMonitorBuilder { interval, threshold, callback } = self;
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
            return Err(PauseError::Interval { interval });
        }
        let threshold = threshold.unwrap_or(interval);
        let history = Arc::new(SharedHistory::new(Instant::now(), interval, threshold));
        let stop = Arc::new(AtomicBool::new(false));
        // The probe opens files of its thread. So the thread makes it, and then reports
        // what it can read.
        let (tell, told) = mpsc::sync_channel(1);
        let shared = (history.clone(), stop.clone());
        let thread = thread::Builder::new()
            .name("pause-monitor".into())
            .spawn(move || {
                let (history, stop) = shared;
                let mut probe = Probe::of_this_thread();
                // Observe before the caller gets the monitor. Otherwise a pause right after
                // the start could end before this thread's first observation.
                let first = probe.observe();
                history.here().lock().record(first.at, interval, &[]);
                if tell.send(probe.offers()).is_err() {
                    return;
                }
                MonitorThread { history, stop, probe, interval, threshold, callback }.run(first);
            })
            .map_err(PauseError::Spawn)?;
        let probes = told.recv().map_err(|_| {
            PauseError::Spawn(io::Error::other("the monitor's thread ended at once"))
        })?;
        Ok(PauseMonitor {
            history,
            stop,
            probes,
            thread: Some(thread),
            owner: ProcessKey::current(),
        })
    }
}

/// The state of the thread.
struct MonitorThread {
    history: Arc<SharedHistory>,
    stop: Arc<AtomicBool>,
    probe: Probe,
    interval: Duration,
    threshold: Duration,
    callback: Option<Callback>,
}

impl MonitorThread {
    fn run(mut self, first: Observation) {
        let mut before = first;
        while let Some(sleeps) = self.sleep_until(before.at + self.interval) {
            let after = self.probe.observe();
            let schedule = Schedule { interval: self.interval, threshold: self.threshold, sleeps };
            let pauses: Vec<_> = classify(&before, &after, &schedule).collect();
            self.record(&after, &pauses);
            before = after;
            if !pauses.is_empty() && self.callback.is_some() {
                self.call(&pauses);
                // The callback may have slept, and that does not count as a pause.
                before = self.probe.observe();
                self.record(&before, &[]);
            }
        }
    }

    fn record(&self, observation: &Observation, pauses: &[Pause]) {
        self.history.here().lock().record(observation.at, self.interval, pauses);
    }

    /// Sleeps until `due` and returns how often it slept. `None` means that the monitor was
    /// dropped.
    fn sleep_until(&self, due: Instant) -> Option<u64> {
        let mut sleeps = 0;
        loop {
            if self.stop.load(Ordering::Relaxed) {
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
            // A panic has been printed by now, and the monitor must continue.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(pause)));
        }
    }
}
