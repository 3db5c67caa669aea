//! [`Stop`] on other systems: Ctrl-C has its default action, and ends the process.
//!
//! A closed pipe is noticed at the next write.

use std::time::Duration;

use super::wait::Wait;

/// Nothing stops a wait here.
pub struct Stop;

impl Stop {
    pub fn new() -> Stop {
        Stop
    }

    /// Waits for this time.
    pub fn wait(&self, time: Duration) -> Wait {
        std::thread::sleep(time);
        Wait::Finished
    }

    /// Returns at once, because a write waits by itself.
    pub fn wait_for_room(&self) -> Wait {
        Wait::Finished
    }
}
