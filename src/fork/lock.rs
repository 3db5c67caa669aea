//! [`Mutex`] and [`Condvar`]: the locks of std, which are whole by themselves.
//!
//! parking_lot keeps the threads that sleep on any of its locks in one table, and the parts
//! of that table have locks of their own. A fork may happen while a thread of the parent
//! holds one of these, over some other lock that shares its place in the table. A child that
//! then has to sleep, on a lock that it made itself, never wakes. A lock of std is a word
//! (on Linux a futex), so a new lock is free.
//!
//! A thread that panics leaves such a lock poisoned. Here that has no meaning: what is
//! protected is whole after each statement that changes it.

use std::sync::{self, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub(crate) use std::sync::MutexGuard;

/// See the module.
#[derive(Default, Debug)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Tries for up to `limit`. It looks once a millisecond, because std has no such call.
    pub(crate) fn try_lock_for(&self, limit: Duration) -> Option<MutexGuard<'_, T>> {
        const POLL_EVERY: Duration = Duration::from_millis(1);
        // First without the time, which wasm32 does not have.
        if let Some(guard) = self.try_lock() {
            return Some(guard);
        }
        let start = Instant::now();
        loop {
            if let Some(guard) = self.try_lock() {
                return Some(guard);
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return None;
            }
            std::thread::sleep(left.min(POLL_EVERY));
        }
    }
}

/// See the module.
#[derive(Default, Debug)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Sleeps until it is notified, and sometimes for no reason.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until it is notified or `until` has come, and sometimes for no reason.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        until: Instant,
    ) -> MutexGuard<'a, T> {
        let left = until.saturating_duration_since(Instant::now());
        self.0.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
    }
}
