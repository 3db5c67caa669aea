//! [`Remaining`] and [`SectionOutcome`]: what a check, and a section that ran, say about a lease.

use std::time::Duration;

use super::error::LeaseError;
use crate::fence::FencingToken;

/// The lease was held when it was checked, and this much of it remained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remaining {
    token: FencingToken,
    // Not a `Duration`, because its division by 10⁹ is a good part of what a check costs.
    nanos: u64,
}

impl Remaining {
    #[inline]
    pub(super) fn new(token: FencingToken, nanos: u64) -> Remaining {
        Remaining { token, nanos }
    }

    /// The token of the lease. Send it with every request, so that the resource can check it.
    #[inline]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// The least time that the lease lasts, counted from the reading of the clock.
    ///
    /// It is no permission to act for so long without another check, because the
    /// process may be paused in the meantime.
    #[inline]
    pub fn at_least(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }
}

/// The result of a section that ran under a lease.
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
