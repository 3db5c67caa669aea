//! [`Clock::commit_wait`]: the wait as a method of the running clock.
//!
//! The only place where a tool names [`Clock`]: it may wait on any
//! [`TrueTime`](crate::TrueTime), and this is how a program finds it first.

use super::outcome::{WaitError, Waited};
use crate::clock::Clock;
use crate::timestamp::Timestamp;

impl Clock {
    /// Blocks until `t` has certainly passed: Spanner's commit-wait.
    ///
    /// Choose `t` at or above `now()?.latest()`, replicate, wait, and only then let
    /// anything out. For deadlines, cancellation, many waits at once, or async, see
    /// [`Waiter`](crate::Waiter).
    ///
    /// ```
    /// use std::time::Duration;
    /// # let builder = truechimer::Clock::builder().assume_error(Duration::from_millis(2));
    /// # let clock = builder.build()?;
    /// let commit = clock.now()?.latest();
    /// clock.commit_wait(commit)?;
    /// assert!(clock.after(commit)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the clock gives no answer for longer than is borne with.
    pub fn commit_wait(&self, t: Timestamp) -> Result<Waited, WaitError> {
        super::commit_wait(self, t)
    }
}
