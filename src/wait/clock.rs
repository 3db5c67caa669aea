//! [`Clock::commit_wait`]: the wait as a method of the running clock.
//!
//! The wait works on any [`TrueTime`](crate::TrueTime). This method is where most
//! programs find it first, and the only place where the toolkit names [`Clock`].

use super::blocking;
use super::error::WaitError;
use super::waited::Waited;
use crate::clock::Clock;
use crate::timestamp::Timestamp;

impl Clock {
    /// Blocks until `t` has certainly passed: Spanner's commit-wait.
    ///
    /// Choose `t` at or above `now()?.latest()`, replicate, wait, and release the result
    /// only then. For deadlines, cancellation, many waits at once, or async, see
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
    /// If the clock returns errors, or has stopped, for longer than
    /// [`WaitSettings::patience`](super::WaitSettings::patience).
    pub fn commit_wait(&self, t: Timestamp) -> Result<Waited, WaitError> {
        blocking::commit_wait(self, t)
    }
}
