//! [`Feed`]: a line without a thread, for a simulated machine whose events do what that does.

use std::sync::Arc;

use super::Timesyncd;
use super::line::{Asked, Shared, is_watched, look};
use super::message::NtpMessage;
use crate::source::wall_clock::WallClock;

/// What the events of a simulated bus tell a source.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    /// The request that is not answered yet.
    asked: Option<Asked>,
}

impl Timesyncd {
    /// A source that hears what its feed is told.
    pub(crate) fn fed(wall_clock: Arc<WallClock>, max_drift_ppm: u32) -> (Timesyncd, Feed) {
        let source = Timesyncd::of(wall_clock).max_drift_ppm(max_drift_ppm);
        let shared = source.line.shared().clone();
        // So no thread is started.
        shared.news.lock().is_running = true;
        (source, Feed { shared, asked: None })
    }
}

impl Feed {
    /// Whether a request is not answered yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether an exchange that was made before the clock watched would help.
    pub(crate) fn needs_late(&self) -> bool {
        self.shared.watch.lock().needs_late()
    }

    /// Looks at the clocks, if nobody did lately.
    pub(crate) fn look(&self) {
        let counter = self.shared.news.lock().counter.clone();
        if let Some(counter) = counter.filter(|counter| !is_watched(&self.shared, counter)) {
            look(&self.shared, &counter);
        }
    }

    /// A request is sent. `false` if it cannot be: the source was not sampled yet, or a clock may
    /// not be read.
    pub(crate) fn ask(&mut self) -> bool {
        let counter = self.shared.news.lock().counter.clone();
        self.asked = counter.and_then(|counter| Asked::now(&counter).ok());
        self.asked.is_some()
    }

    /// The answer has come: the last exchange, or that there is none.
    pub(crate) fn answer(&mut self, message: Option<NtpMessage>, poll_min_s: u64) {
        let counter = self.shared.news.lock().counter.clone();
        let (Some(asked), Some(counter)) = (self.asked.take(), counter) else { return };
        // A clock that may not be read from now on is the source's own error.
        let _ = asked.answered(message, poll_min_s, &self.shared, &counter);
    }
}
