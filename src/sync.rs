//! The only switch between the atomics and locks of programs and those of loom.
//!
//! Everything that is lock-free takes its atomics from here, so that a build
//! with `--cfg loom` explores every interleaving the memory model allows. Only
//! the crate's own unit tests see loom: a `cfg(loom)` set by somebody else's
//! build must not change what they ship.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic;
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic;

/// parking_lot's lock, or loom's with the same calls.
#[cfg(not(all(test, loom)))]
pub(crate) use parking_lot::RwLock;

#[cfg(all(test, loom))]
#[derive(Debug)]
pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

#[cfg(all(test, loom))]
impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock(loom::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> loom::sync::RwLockReadGuard<'_, T> {
        self.0.read().expect("no thread of a model panics")
    }

    pub(crate) fn write(&self) -> loom::sync::RwLockWriteGuard<'_, T> {
        self.0.write().expect("no thread of a model panics")
    }
}
