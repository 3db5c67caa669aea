//! [`Waiter`]: waits on one clock, blocking or asynchronous, with one set of settings.

use std::sync::Arc;
use std::time::Instant;

use super::blocking::block;
use super::cancel::Cancel;
use super::error::WaitError;
use super::parker::Parker;
use super::settings::WaitSettings;
use super::timer::Timer;
use super::waited::Waited;
use crate::clock::truetime::TrueTime;
use crate::timestamp::Timestamp;

/// Waits until moments have certainly passed.
///
/// A clone shares the clock and the timer of the asynchronous waits.
///
/// On a clock that is moved by hand ([`ManualClock`](crate::ManualClock)) a sleeping
/// wait looks at the clock at once when it is moved.
#[derive(Debug)]
pub struct Waiter<C> {
    pub(super) timer: Arc<Timer<C>>,
}

impl<C> Clone for Waiter<C> {
    fn clone(&self) -> Waiter<C> {
        Waiter { timer: self.timer.clone() }
    }
}

impl<C: TrueTime> Waiter<C> {
    /// A waiter with the default settings.
    pub fn new(clock: C) -> Waiter<C> {
        Waiter::with_settings(clock, WaitSettings::default())
    }

    /// A waiter with these settings.
    pub fn with_settings(clock: C, settings: WaitSettings) -> Waiter<C> {
        Waiter { timer: Arc::new(Timer::new(clock, settings)) }
    }

    /// The clock that it waits on.
    pub fn clock(&self) -> &C {
        &self.timer.clock
    }

    /// Blocks until `t` has certainly passed.
    ///
    /// # Errors
    ///
    /// When the clock has returned only errors, or has stopped, for the `patience`
    /// of the settings; at once if `t` is [`Timestamp::MAX`].
    pub fn wait(&self, t: Timestamp) -> Result<Waited, WaitError> {
        self.block(t, None, None)
    }

    /// Blocks until `t` has certainly passed, or the deadline comes.
    ///
    /// Errors of the clock do not end the wait before the deadline.
    ///
    /// # Errors
    ///
    /// At once when `t` cannot pass before the deadline even with the best possible
    /// evidence; at the deadline when it has not passed. To learn earlier whether it
    /// will pass if the bound never narrows, compare `t` with `earliest()` yourself.
    pub fn wait_until(&self, t: Timestamp, deadline: Instant) -> Result<Waited, WaitError> {
        self.block(t, Some(deadline), None)
    }

    /// As [`wait`](Self::wait), or with a deadline as
    /// [`wait_until`](Self::wait_until), until another thread cancels it.
    ///
    /// # Errors
    ///
    /// As those, and [`WaitError::Cancelled`], unless `t` has already passed.
    pub fn wait_cancellable(
        &self,
        t: Timestamp,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Waited, WaitError> {
        self.block(t, deadline, Some(&cancel.parker))
    }

    /// One wait for a batch: when it returns, each of the moments has passed.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_all<T: Into<Timestamp>>(
        &self,
        batch: impl IntoIterator<Item = T>,
    ) -> Result<Waited, WaitError> {
        batch.into_iter().map(Into::into).max().map_or(Ok(Waited::default()), |t| self.wait(t))
    }

    fn block(
        &self,
        t: Timestamp,
        deadline: Option<Instant>,
        parker: Option<&Arc<Parker>>,
    ) -> Result<Waited, WaitError> {
        block(&self.timer.clock, &self.timer.settings, t, deadline, parker)
    }
}
