//! [`StallDetector`]: whether a clock still advances.

use std::time::{Duration, Instant};

use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// Observes a clock's readings and remembers when they last changed.
///
/// To a waiter, a clock that returns errors and a clock that has stopped are the
/// same. A clock that stepped back, or whose bound widened, has changed and so has
/// not stopped.
#[derive(Debug)]
pub(super) struct StallDetector {
    earliest: Option<Timestamp>,
    changed: Instant,
}

impl StallDetector {
    pub(super) fn new(at: Instant) -> StallDetector {
        StallDetector { earliest: None, changed: at }
    }

    /// The clock returned `earliest` at the instant `at`.
    pub(super) fn observe(&mut self, earliest: Result<Timestamp, ClockError>, at: Instant) {
        if let Ok(earliest) = earliest {
            if self.earliest.replace(earliest) != Some(earliest) {
                self.changed = at;
            }
        }
    }

    /// How long the readings have not changed.
    pub(super) fn stalled_for(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.changed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::evidence::Reason;

    #[test]
    fn errors_and_equal_readings_are_a_stall_and_any_change_ends_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let reading = |nanos| Ok(Timestamp::from_tai_nanos(nanos));
        let mut detector = StallDetector::new(start);
        let cases = [
            // at, reading, stalled for
            (5, Err(ClockError::Unsynchronized(Reason::TooOld)), 5),
            (6, reading(100), 0),
            (8, reading(100), 2),
            (9, Err(ClockError::Contradicted), 3),
            (10, reading(100), 4),
            (11, reading(99), 0),
            (12, reading(100), 0),
        ];
        for (ms, reading, stalled) in cases {
            detector.observe(reading, at(ms));
            assert_eq!(detector.stalled_for(at(ms)), Duration::from_millis(stalled), "{ms} ms");
        }
    }
}
