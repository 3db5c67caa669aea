//! [`PendingCommit`]: a commit stamp that has to be waited out.
//!
//! A transaction's stamp is `latest`, so that it is above everything that was committed
//! before the transaction began. Until that stamp has certainly passed, it is ahead of
//! true time, and a node that sees it would be ahead too. So the stamp is returned in a
//! wrapper, and [`Hlc::release`](super::Hlc::release) unwraps it once it has passed.

use super::error::HlcError;
use super::stamp::Stamp;
use crate::timestamp::Timestamp;

/// A commit stamp that has not been waited out yet.
///
/// ```
/// # use truechimer::{Clock, Hlc, Waiter};
/// # use std::time::Duration;
/// # let clock = Clock::builder().assume_error(Duration::from_millis(1)).build()?;
/// let hlc = Hlc::new(&clock);
/// let waiter = Waiter::new(&clock);
///
/// let commit = hlc.commit_stamp()?;
/// // Replicate under `commit.provisional()`. Other transactions do not see it yet.
/// waiter.wait(commit.timestamp())?;
/// let stamp = hlc.release(commit)?; // now it may be shown to everybody
/// assert!(hlc.stamp()? > stamp);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a commit stamp becomes visible by `Hlc::release`, after it has been waited out"]
pub struct PendingCommit {
    stamp: Stamp,
}

impl PendingCommit {
    pub(super) fn new(stamp: Stamp) -> PendingCommit {
        PendingCommit { stamp }
    }

    /// The stamp, for logs and replicas that do not show it to anybody yet.
    ///
    /// It is ahead of true time, so a node that observes it is right to refuse it.
    pub fn provisional(&self) -> Stamp {
        self.stamp
    }

    /// The moment that has to pass before the stamp can be released.
    pub fn timestamp(&self) -> Timestamp {
        self.stamp.timestamp()
    }
}

/// A commit stamp that could not be released: the reason, and the stamp itself.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ReleaseError {
    pending: PendingCommit,
    #[source]
    error: HlcError,
}

impl ReleaseError {
    pub(super) fn new(pending: PendingCommit, error: HlcError) -> ReleaseError {
        ReleaseError { pending, error }
    }

    /// Why it was not released: [`HlcError::NotPassed`], or the error of the clock.
    pub fn error(&self) -> &HlcError {
        &self.error
    }

    /// The stamp, to try again.
    pub fn into_pending(self) -> PendingCommit {
        self.pending
    }

    /// Whether releasing again later can succeed, without any change to the program.
    pub fn is_transient(&self) -> bool {
        self.error.is_transient()
    }
}
