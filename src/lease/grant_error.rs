//! [`GrantError`]: why a grantor refused a command.

use std::time::Duration;

use super::holder_id::HolderId;
use crate::fence::FencingToken;

/// Why a grantor refused a command. A refusal leaves the grantor's state unchanged.
///
/// It is a message like [`Decision`](super::Decision), so it can be sent to the holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum GrantError {
    /// Somebody holds the lease, and it has not certainly expired.
    #[error(
        "holder {holder} has the lease under token {token}: ask again in {retry_after:?} at the \
         earliest"
    )]
    Taken {
        /// The present holder. It may be the sender itself, if an earlier answer was lost.
        holder: HolderId,
        /// The token of the present lease.
        token: FencingToken,
        /// The least time until the lease can have expired, if it is not renewed.
        retry_after: Duration,
    },
    /// A grantor that lost its state waits until every lease it may have granted has expired.
    #[error(
        "the grantor restarted without its state, and grants nothing until every lease it may have \
         granted before has expired: ask again in {retry_after:?} at the earliest"
    )]
    Quiet {
        /// The least time until the grantor can grant.
        retry_after: Duration,
    },
    /// The grantor's clock returned an error, so its leases count as held.
    #[error(
        "the grantor's clock gives no reading, so it cannot tell whether a lease has expired nor \
         compute a new expiry: repair its clock, or ask again later"
    )]
    NoClock,
    /// The token does not belong to the present lease: it was released, replaced or never granted.
    #[error(
        "token {offered} does not belong to the present lease (the last one granted is {newest}): \
         it was released or transferred, or it has expired; stop, and acquire the lease anew"
    )]
    NotCurrent {
        /// The token in the command.
        offered: FencingToken,
        /// The last token that was granted.
        newest: FencingToken,
    },
    /// The lease has certainly expired. It cannot be renewed, but a new one can be acquired.
    #[error("the lease of token {token} expired at least {ago:?} ago: stop, and acquire it anew")]
    Expired {
        /// The token of the lease.
        token: FencingToken,
        /// How long ago it expired, at least.
        ago: Duration,
    },
    /// A renewal has to show that the holder's work proceeds, and this one does not.
    #[error(
        "a renewal must show progress, but its number is {offered} and the last one was {last}: \
         raise the number where the work is done, not where the renewal is sent"
    )]
    NoProgress {
        /// The progress in the command.
        offered: u64,
        /// The progress in the last renewal, or 0 if there was none.
        last: u64,
    },
    /// The renewal would not move the expiry forward.
    #[error(
        "a renewal now would not move the expiry forward, because the grantor's clock has become \
         less certain or the renewal is a duplicate: renew later"
    )]
    NoGain,
    /// The expiry would be later than the last moment that can be counted.
    #[error(
        "the lease would expire after the year 2262, which cannot be counted: use a shorter term"
    )]
    OutOfRange,
    /// There is no larger token.
    #[error(
        "the last fencing token has been granted, so no larger one exists: move to a new resource \
         with a new fence"
    )]
    OutOfTokens,
}

impl GrantError {
    /// Whether the same command can succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            GrantError::Taken { .. }
            | GrantError::Quiet { .. }
            | GrantError::NoClock
            | GrantError::NoGain => true,
            GrantError::NotCurrent { .. }
            | GrantError::Expired { .. }
            | GrantError::NoProgress { .. }
            | GrantError::OutOfRange
            | GrantError::OutOfTokens => false,
        }
    }
}
