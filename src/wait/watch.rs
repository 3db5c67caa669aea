//! [`Watch`]: whether a clock still gets anywhere.

use std::time::{Duration, Instant};

use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// Looks at a clock's answers as they come, and knows when the last new one came.
///
/// A clock that errs and one that says the same for ever are alike to who waits.
/// One that went back, or wider, is alive: it goes on from there.
#[derive(Debug)]
pub(super) struct Watch {
    earliest: Option<Timestamp>,
    alive: Instant,
}

impl Watch {
    pub(super) fn new(at: Instant) -> Watch {
        Watch { earliest: None, alive: at }
    }

    /// The clock said that at this instant.
    pub(super) fn saw(&mut self, answer: Result<Timestamp, ClockError>, at: Instant) {
        if let Ok(earliest) = answer {
            if self.earliest.replace(earliest) != Some(earliest) {
                self.alive = at;
            }
        }
    }

    /// For how long nothing new has come.
    pub(super) fn silent(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.alive)
    }
}
