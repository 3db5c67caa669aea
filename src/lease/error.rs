//! [`LeaseError`]: why a holder may not act, or why a message or a setting was not accepted.

use std::num::ParseIntError;
use std::time::Duration;

use super::holder_id::HolderId;
use crate::fence::FencingToken;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// Why a lease is not held, or why a grant, a term or an id was not accepted.
///
/// The grantor's own refusals are [`GrantError`](super::GrantError), because they
/// travel as messages.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// E has certainly passed, so somebody else may hold the lease.
    #[error(
        "the lease expired at least {ago:?} ago (at {expires}), and another holder may have it: \
         discard what was decided under it, and acquire it anew"
    )]
    Expired {
        /// E.
        expires: Timestamp,
        /// How long ago E was, at least.
        ago: Duration,
    },
    /// E may have come, so nobody may act.
    #[error(
        "the lease expires at {expires}, and true time is known only to within {:?} (it is at most \
         {}): stop acting until the lease has been renewed",
        now.width(), now.latest()
    )]
    Uncertain {
        /// E.
        expires: Timestamp,
        /// The interval that the clock returned.
        now: Interval,
    },
    /// The clock returned an error, so E may have come.
    #[error("the clock gives no reading, so the lease counts as expired: {0}")]
    NoClock(#[from] ClockError),
    /// A term may have passed since the request for this duration lease was sent.
    #[error(
        "the lease may have ended, up to {by_at_most:?} ago, and another holder may have it: stop, \
         and renew it or acquire it anew"
    )]
    TermPassed {
        /// How far the stopwatch may be beyond the end.
        by_at_most: Duration,
    },
    /// The stopwatch cannot be read, so a term may have passed.
    #[error("the stopwatch cannot be read, so the lease counts as expired: use another clock")]
    NoStopwatch,
    /// A commit stamp that was taken under the lease has not certainly passed.
    #[error(
        "a commit stamp of this lease, {stamp}, has not certainly passed (it is {earliest} at the \
         earliest), so the next holder could take an earlier one: wait until it has passed, or \
         drop the lease and let it expire"
    )]
    StampNotPassed {
        /// The greatest commit stamp that was taken under the lease.
        stamp: Timestamp,
        /// The `earliest` that the clock returned.
        earliest: Timestamp,
    },
    /// The grant is for another holder.
    #[error(
        "the grant is for holder {granted_to} but this is holder {id}: it was delivered to the \
         wrong process; ignore it"
    )]
    OtherHolder {
        /// The holder that received the grant.
        id: HolderId,
        /// The holder that the grant is for.
        granted_to: HolderId,
    },
    /// A lease was already made of this grant, or of a later one.
    #[error(
        "the grant's token {offered} is not above {accepted}, which was accepted before: the grant \
         is a duplicate or late, and its lease may have been released; ignore it"
    )]
    RepeatedGrant {
        /// The grant's token.
        offered: FencingToken,
        /// The largest token that was accepted before.
        accepted: FencingToken,
    },
    /// The grant answers another request than the one it was presented with.
    #[error(
        "the grant answers another request: a lease is counted from the moment when the request \
         that it answers was sent, so find that request"
    )]
    OtherRequest,
    /// The answer to a renewal is about another lease.
    #[error(
        "the renewal is for the lease with token {offered}, but this lease has token {token}: it \
         answers another holder or an earlier lease; ignore it"
    )]
    OtherLease {
        /// This lease's token.
        token: FencingToken,
        /// The answer's token.
        offered: FencingToken,
    },
    /// The answer to a renewal would not move the expiry forward.
    #[error(
        "the renewal until {offered} is not later than the present expiry {present}: it is a \
         duplicate or late; ignore it"
    )]
    NotLater {
        /// The lease's expiry, which stays.
        present: Timestamp,
        /// The expiry in the answer.
        offered: Timestamp,
    },
    /// A lease with a term of zero would expire when it is granted.
    #[error(
        "the term is zero, so nobody ever holds the lease: use a term well above the width of the \
         clocks' intervals plus a round trip"
    )]
    ZeroTerm,
    /// A lease with so long a term would outlive its dead holder for too long.
    #[error(
        "the term {term:?} is above the limit of {limit:?} ({} days): a dead holder would keep the \
         lease for as long; use a shorter term and renew it",
        limit.as_secs() / 86_400
    )]
    TermTooLong {
        /// The term that was given.
        term: Duration,
        /// The limit, [`MAX_TERM`](super::MAX_TERM).
        limit: Duration,
    },
    /// The text is not a holder id.
    #[error(
        "the text is not a holder id ({0}): write the number from 0 to 18446744073709551615 that \
         `to_string` printed"
    )]
    ParseHolderId(ParseIntError),
}

impl LeaseError {
    /// Whether the same lease can be held again later, after a renewal or when the clock has
    /// readings again; or whether it can be handed over later.
    ///
    /// It is false for everything that was not accepted, because the same input would not
    /// be accepted later either.
    pub fn is_transient(&self) -> bool {
        match self {
            LeaseError::Uncertain { .. }
            | LeaseError::TermPassed { .. }
            | LeaseError::StampNotPassed { .. } => true,
            LeaseError::NoClock(error) => error.is_transient(),
            LeaseError::Expired { .. }
            | LeaseError::NoStopwatch
            | LeaseError::OtherHolder { .. }
            | LeaseError::RepeatedGrant { .. }
            | LeaseError::OtherRequest
            | LeaseError::OtherLease { .. }
            | LeaseError::NotLater { .. }
            | LeaseError::ZeroTerm
            | LeaseError::TermTooLong { .. }
            | LeaseError::ParseHolderId(_) => false,
        }
    }
}
