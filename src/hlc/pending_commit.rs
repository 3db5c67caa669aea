//! [`PendingCommit`]: a commit stamp that has to be waited out.
//!
//! A transaction's stamp is `latest`, so that it is above everything that was committed
//! before the transaction began. Until that stamp has certainly passed, it may be ahead of
//! true time, and so would be every node that counts on from it. A node cannot see that by
//! itself: if its own interval is wide enough, the stamp is within it. It would then accept
//! the stamp, issue stamps above it, and be refused by others as a node with a broken clock.
//!
//! So the types keep such a stamp away from [`Hlc::note`](super::Hlc::note). It is returned in
//! a wrapper, which shows it only as a [`ProvisionalStamp`], and
//! [`Hlc::release`](super::Hlc::release) unwraps it once it has passed.

use std::cmp::Ordering;
use std::fmt;

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
///
/// After a crash, [`Hlc::resume`](super::Hlc::resume) makes one from the stored stamp.
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
    pub fn provisional(&self) -> ProvisionalStamp {
        ProvisionalStamp(self.stamp)
    }

    /// The moment that has to pass before the stamp can be released.
    pub fn timestamp(&self) -> Timestamp {
        self.stamp.timestamp()
    }

    /// The stamp itself, once it has passed.
    pub(super) fn released(&self) -> Stamp {
        self.stamp
    }
}

/// The stamp of a commit that may not have passed, so that true time may be behind it.
///
/// A log keeps it and replicas receive it, but nobody counts on from it: that is why
/// [`Hlc::note`](super::Hlc::note) and [`Hlc::observe`](super::Hlc::observe) do not take it.
/// The coordinator of a two-phase commit gives it to
/// [`Hlc::commit_stamp_from`](super::Hlc::commit_stamp_from).
///
/// ```compile_fail
/// # use truechimer::{Hlc, Interval, ManualClock, Timestamp};
/// # let node = || Hlc::new(ManualClock::new(Interval::from(Timestamp::from_tai_nanos(0))));
/// # let (leader, follower) = (node(), node());
/// let commit = leader.commit_stamp()?;
/// follower.observe(commit.provisional())?; // the follower would be ahead of true time
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A released stamp is observed like any other:
///
/// ```
/// # use truechimer::{Hlc, Interval, ManualClock, Timestamp};
/// # use std::time::Duration;
/// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(0)));
/// # let (leader, follower) = (Hlc::new(clock.clone()), Hlc::new(clock.clone()));
/// let commit = leader.commit_stamp()?;
/// # clock.advance(Duration::from_secs(1));
/// let stamp = leader.release(commit)?;
/// follower.observe(stamp)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its bytes and its text are those of the [`Stamp`] that it becomes. So a row or a message
/// that is written under a provisional stamp need not be written again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProvisionalStamp(Stamp);

impl ProvisionalStamp {
    /// The moment that has to pass before the stamp can be released.
    #[inline]
    pub const fn timestamp(self) -> Timestamp {
        self.0.timestamp()
    }

    /// Eight bytes that sort like the stamps, as [`Stamp::to_be_bytes`].
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The stamp under which the commit is stored, for a log whose entries hold a [`Stamp`].
    ///
    /// Read it back with [`Hlc::resume`](super::Hlc::resume). Giving it to `note` or `observe`
    /// takes that node ahead of true time, if its interval is too wide to show the mistake.
    #[inline]
    pub const fn to_stored(self) -> Stamp {
        self.0
    }
}

/// Any stamp can be treated as one that has not passed.
impl From<Stamp> for ProvisionalStamp {
    #[inline]
    fn from(stamp: Stamp) -> ProvisionalStamp {
        ProvisionalStamp(stamp)
    }
}

impl PartialEq<Stamp> for ProvisionalStamp {
    fn eq(&self, other: &Stamp) -> bool {
        self.0 == *other
    }
}

impl PartialEq<ProvisionalStamp> for Stamp {
    fn eq(&self, other: &ProvisionalStamp) -> bool {
        *self == other.0
    }
}

impl PartialOrd<Stamp> for ProvisionalStamp {
    fn partial_cmp(&self, other: &Stamp) -> Option<Ordering> {
        self.0.partial_cmp(other)
    }
}

impl PartialOrd<ProvisionalStamp> for Stamp {
    fn partial_cmp(&self, other: &ProvisionalStamp) -> Option<Ordering> {
        self.partial_cmp(&other.0)
    }
}

impl fmt::Display for ProvisionalStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ProvisionalStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProvisionalStamp({} ns TAI)", self.0.timestamp().tai_nanos())
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
