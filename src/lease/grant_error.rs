//! [`GrantError`]: why a grantor refused a command.

use std::time::Duration;

use super::holder_id::HolderId;
use crate::fence::FencingToken;

/// Why a grantor refused a command. A refusal leaves the lease as it was.
///
/// It is an answer like [`Decision`](super::Decision), so it can be sent to the holder, and a
/// repeat of the command is refused in the same words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", deny_unknown_fields))]
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
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        offered: u64,
        /// The progress in the last renewal, or 0 if there was none.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        last: u64,
    },
    /// The renewal would not move the expiry forward.
    #[error(
        "a renewal now would not move the expiry forward, because the grantor's clock has become \
         less certain: renew later"
    )]
    NoGain,
    /// A later request of the same sender was decided on, so this one is a late copy.
    #[error(
        "request {offered} comes after request {newest} of the same sender, so it is late or a \
         duplicate: ignore it; if this is a new request, give it a larger number (a process that \
         has restarted needs a holder id of its own)"
    )]
    Overtaken {
        /// The number of the request.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        offered: u64,
        /// The number of the sender's last request.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        newest: u64,
    },
    /// Another request of the same sender had this number.
    #[error(
        "request {number} of this sender was another command: give each command a number of its \
         own, and repeat a command only as it was"
    )]
    NumberReused {
        /// The number of both requests.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        number: u64,
    },
    /// The request may have been granted before, and the grantor does not remember.
    #[error(
        "this request may be the repeat of one that the grantor has forgotten, because its sender \
         had not seen token {newest}: if it still wants the lease, acquire it anew and say that \
         this token was seen (`Holder::refused` notes it)"
    )]
    MayBeRepeated {
        /// The token that a new request must have seen.
        newest: FencingToken,
    },
    /// A duration lease cannot be handed over.
    #[error(
        "a duration lease cannot be transferred, because the next holder has sent no request that \
         it could count from: release it, and let the next holder acquire it"
    )]
    NotTransferable,
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
    /// Whether a new request for the same thing can succeed, now or later.
    ///
    /// A repeat of the same request gets the same answer.
    pub fn is_transient(&self) -> bool {
        match self {
            GrantError::Taken { .. }
            | GrantError::Quiet { .. }
            | GrantError::NoClock
            | GrantError::NoGain
            | GrantError::MayBeRepeated { .. } => true,
            GrantError::NotCurrent { .. }
            | GrantError::Expired { .. }
            | GrantError::NoProgress { .. }
            | GrantError::Overtaken { .. }
            | GrantError::NumberReused { .. }
            | GrantError::NotTransferable
            | GrantError::OutOfRange
            | GrantError::OutOfTokens => false,
        }
    }
}
