//! [`PendingCommit`] and [`ReadUncertainty`]: the two ends of external consistency.
//!
//! A transaction's stamp is `latest`, so that everything committed before it
//! began is below it. Until that stamp has passed for certain, it is ahead of
//! true time: whoever saw it could be ahead too. So it is handed out wrapped,
//! and [`Hlc::release`](super::Hlc::release) unwraps it once it has passed.

use super::error::HlcError;
use super::stamp::Stamp;
use crate::timestamp::Timestamp;

/// A commit stamp that has not been waited out.
///
/// ```
/// # use truechimer::{ClockError, Hlc, Interval, Timestamp, TrueTime, Waiter};
/// # use std::time::{Duration, SystemTime};
/// # struct Host;
/// # impl TrueTime for Host {
/// #     fn now(&self) -> Result<Interval, ClockError> {
/// #         let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
/// #         let t = Timestamp::from_tai_nanos(since.as_nanos() as i64);
/// #         Ok(Interval::from(t).widen(Duration::from_millis(1)))
/// #     }
/// # }
/// # let clock = Host;
/// let hlc = Hlc::new(&clock);
/// let waiter = Waiter::new(&clock);
///
/// let commit = hlc.commit_stamp()?;
/// // Replicate under `commit.provisional()`; other transactions still see nothing.
/// waiter.wait(commit.timestamp())?;
/// let stamp = hlc.release(commit)?; // now it may be told to everybody
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

    /// The stamp, to be written to logs and replicas that show it to nobody yet.
    ///
    /// It is ahead of true time. A node that observes it refuses it, rightly.
    pub fn provisional(&self) -> Stamp {
        self.stamp
    }

    /// The moment to wait for.
    pub fn timestamp(&self) -> Timestamp {
        self.stamp.timestamp()
    }
}

/// A commit stamp that could not be released: here it is back, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The stamp has not passed for certain.
    #[error(
        "the commit stamp {} ({}) has not passed: true time has certainly reached only {earliest}, \
         and {} ns are missing. Wait for `timestamp()` first",
        pending.timestamp(),
        pending.provisional(),
        i128::from(pending.timestamp().tai_nanos()) - i128::from(earliest.tai_nanos()) + 1
    )]
    NotPassed {
        /// The stamp, to be waited out.
        pending: PendingCommit,
        /// What true time has certainly reached.
        earliest: Timestamp,
    },
    /// The clock does not answer.
    #[error("the commit stamp {} cannot be released: {error}", pending.provisional())]
    Hlc {
        /// The stamp, to be released later.
        pending: PendingCommit,
        /// Why the clock does not answer.
        #[source]
        error: HlcError,
    },
}

impl ReleaseError {
    /// The stamp, to try again.
    pub fn into_pending(self) -> PendingCommit {
        match self {
            ReleaseError::NotPassed { pending, .. } | ReleaseError::Hlc { pending, .. } => pending,
        }
    }

    /// Whether releasing again later can succeed without anybody changing the program.
    pub fn is_transient(&self) -> bool {
        match self {
            ReleaseError::NotPassed { .. } => true,
            ReleaseError::Hlc { error, .. } => error.is_transient(),
        }
    }
}

/// What a reader that started just now can tell about a value from its stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// At or below the reader's own stamp: in its snapshot.
    InSnapshot,
    /// Above the reader's stamp, and possibly committed before the reader
    /// started: read again at the value's stamp, or wait until it has passed.
    Uncertain,
    /// Certainly committed after the reader started.
    Later,
}

/// The stamps that a reader must treat as possibly committed before its start.
///
/// Whatever was visible before the reader started has a stamp that true time
/// had reached by then: ordinary stamps are never ahead of it, and commit
/// stamps are shown only once they have passed. True time was at most `latest`.
/// So a stamp above `latest` came later for certain, and one between the
/// reader's own stamp and `latest` may be either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadUncertainty {
    at: Stamp,
    limit: Stamp,
}

impl ReadUncertainty {
    pub(super) fn new(at: Stamp, limit: Stamp) -> ReadUncertainty {
        ReadUncertainty { at, limit }
    }

    /// The stamp to read at: the range begins just above it.
    pub fn at(&self) -> Stamp {
        self.at
    }

    /// The last stamp of the range. Not above [`at`](Self::at) if the range is empty.
    pub fn limit(&self) -> Stamp {
        self.limit
    }

    /// Whether a value with this stamp may have been committed before the reader
    /// started, though it is above the reader's stamp.
    pub fn contains(&self, value: Stamp) -> bool {
        self.judge(value) == Visibility::Uncertain
    }

    /// What to do with a value that has this stamp.
    pub fn judge(&self, value: Stamp) -> Visibility {
        if value <= self.at {
            Visibility::InSnapshot
        } else if value <= self.limit {
            Visibility::Uncertain
        } else {
            Visibility::Later
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_range_begins_above_the_readers_stamp_and_includes_its_limit() {
        use Visibility::*;
        let cases = [
            // at, limit, value
            (10, 20, 10, InSnapshot),
            (10, 20, 11, Uncertain),
            (10, 20, 20, Uncertain),
            (10, 20, 21, Later),
            (10, 10, 10, InSnapshot),
            (10, 10, 11, Later),
            (10, 5, 7, InSnapshot),
            (10, 5, 11, Later),
        ];
        for (at, limit, value, expected) in cases {
            let [at, limit, value] = [at, limit, value].map(Stamp::from_bits);
            assert_eq!(ReadUncertainty::new(at, limit).judge(value), expected, "{value:?}");
        }
    }
}
