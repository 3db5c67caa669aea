//! The only switch between the atomics of `std` and those of loom.
//!
//! Everything that is lock-free takes its atomics from here, so that a build
//! with `--cfg loom` explores every interleaving the memory model allows. Only
//! the crate's own unit tests see loom: a `cfg(loom)` set by somebody else's
//! build must not change what they ship.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic;
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic;
