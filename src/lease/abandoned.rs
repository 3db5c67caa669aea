//! [`Abandoned`]: counts the sections that began and did not come to their end.
//!
//! The check after a section cannot follow if the future of the section is dropped (a timeout,
//! a `select!`, an executor that shuts down) or if the section panics. By then it may have sent
//! a write, and nobody has learned whether the lease was still held. There is no result that
//! could say so to the caller, since the caller dropped it. So the lease counts such sections.

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many sections of a lease were abandoned. Relaxed, because no other data is published
/// with it.
#[derive(Debug)]
pub(super) struct Abandoned(AtomicU64);

impl Abandoned {
    pub(super) fn none() -> Abandoned {
        Abandoned(AtomicU64::new(0))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a section, unless what is returned gets to its [`end`](UnderWay::end).
    pub(super) fn begin(&self) -> UnderWay<'_> {
        UnderWay(self)
    }
}

/// A section that runs.
#[must_use = "dropping it abandons the section"]
pub(super) struct UnderWay<'a>(&'a Abandoned);

impl UnderWay<'_> {
    pub(super) fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}
