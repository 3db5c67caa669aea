//! [`Batch`]: one wait that releases many commits.
//!
//! Once the largest stamp of a batch has passed, all of its stamps have passed. So a
//! group of transactions that commit together waits out the uncertainty once.

use std::time::Instant;

use super::error::WaitError;
use super::waited::Waited;
use super::waiter::Waiter;
use crate::clock::truetime::TrueTime;
use crate::timestamp::Timestamp;

/// Commits that are released together, each with its moment.
///
/// ```
/// use std::time::Duration;
/// use truechimer::wait::Batch;
/// use truechimer::{Interval, ManualClock, Timestamp, TrueTime, Waiter};
///
/// let now = Interval::from(Timestamp::from_tai_nanos(0)).widen(Duration::from_millis(1));
/// let clock = ManualClock::new(now);
/// let waiter = Waiter::new(clock.clone());
///
/// let s = clock.now()?.latest();
/// let mut batch = Batch::new();
/// batch.push(s.saturating_add(Duration::from_nanos(7)), "second");
/// batch.push(s, "first");
///
/// clock.advance(Duration::from_millis(3)); // a real clock does this by itself
/// let (_waited, released) = batch.release(&waiter, None)?;
/// assert_eq!(released, ["first", "second"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch<T> {
    commits: Vec<(Timestamp, T)>,
}

impl<T> Default for Batch<T> {
    fn default() -> Batch<T> {
        Batch { commits: Vec::new() }
    }
}

impl<T> Batch<T> {
    /// An empty batch.
    pub fn new() -> Batch<T> {
        Batch::default()
    }

    /// Adds a commit that may be released once `t` has passed.
    pub fn push(&mut self, t: impl Into<Timestamp>, commit: T) {
        self.commits.push((t.into(), commit));
    }

    /// The number of commits.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether there are no commits.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// The moment to wait for, or `None` for an empty batch.
    pub fn largest(&self) -> Option<Timestamp> {
        self.commits.iter().map(|&(t, _)| t).max()
    }

    /// Waits once, and returns the commits in the order of their moments.
    ///
    /// Commits with equal moments keep the order in which they were added. An empty
    /// batch is released at once.
    ///
    /// # Errors
    ///
    /// As [`Waiter::wait`], or with a deadline as [`Waiter::wait_until`]. The
    /// batch keeps its commits, so that the caller can try again.
    pub fn release<C: TrueTime>(
        &mut self,
        waiter: &Waiter<C>,
        deadline: Option<Instant>,
    ) -> Result<(Waited, Vec<T>), WaitError> {
        let waited = match (self.largest(), deadline) {
            (None, _) => Waited::default(),
            (Some(t), None) => waiter.wait(t)?,
            (Some(t), Some(deadline)) => waiter.wait_until(t, deadline)?,
        };
        Ok((waited, self.drain()))
    }

    /// [`release`](Self::release) without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Waiter::wait_async`]. The batch keeps its commits.
    pub async fn release_async<C: TrueTime + Send + Sync + 'static>(
        &mut self,
        waiter: &Waiter<C>,
    ) -> Result<(Waited, Vec<T>), WaitError> {
        let waited = match self.largest() {
            None => Waited::default(),
            Some(t) => waiter.wait_async(t).await?,
        };
        Ok((waited, self.drain()))
    }

    fn drain(&mut self) -> Vec<T> {
        let mut commits = std::mem::take(&mut self.commits);
        commits.sort_by_key(|&(t, _)| t); // stable
        commits.into_iter().map(|(_, commit)| commit).collect()
    }
}
