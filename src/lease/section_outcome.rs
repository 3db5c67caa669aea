//! [`SectionOutcome`]: whether the lease covered a section that ran under it.

use super::error::LeaseError;
use super::remaining::Remaining;

/// The result of a section that ran under a lease.
///
/// A section that did not come to its end has no result: see
/// [`Lease::abandoned`](super::Lease::abandoned).
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a section that outlasted its lease may have acted beside another holder"]
pub enum SectionOutcome<T> {
    /// The lease was held before and after the section, and so during all of it.
    Covered(T),
    /// The section ran, but at its end the lease was not certainly held.
    ///
    /// What it read may be out of date. What it wrote may have come after another
    /// holder's writes, unless a [fence](crate::fence) guards the resource. Do not
    /// report the result as done: read again, and repair.
    Overran {
        /// The value that the section returned.
        result: T,
        /// What the check after the section found.
        error: LeaseError,
    },
}

impl<T> SectionOutcome<T> {
    /// The outcome of a section that returned `result`, given the check that followed it.
    pub(super) fn new(result: T, check: Result<Remaining, LeaseError>) -> SectionOutcome<T> {
        match check {
            Ok(_) => SectionOutcome::Covered(result),
            Err(error) => SectionOutcome::Overran { result, error },
        }
    }

    /// The result, if the lease covered the whole section.
    ///
    /// # Errors
    ///
    /// What the check after the section found. The section has run, and its result is dropped.
    pub fn covered(self) -> Result<T, LeaseError> {
        match self {
            SectionOutcome::Covered(result) => Ok(result),
            SectionOutcome::Overran { error, .. } => Err(error),
        }
    }
}
