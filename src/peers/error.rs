//! [`PeerError`]: why evidence was not accepted, or why it decides nothing.

use std::time::Duration;

use crate::quorum::QuorumError;

/// Why the members or their evidence were not accepted, or why there is no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A peer was named twice, so its evidence would count twice.
    #[error("a peer is named twice: name each other member once, and do not name yourself")]
    DuplicatePeer,
    /// The members are too few for the number of faulty ones.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// The peer is not a member.
    #[error(
        "this peer is not one of the members: make a new `PeerClocks` when the membership changes"
    )]
    UnknownPeer,
    /// No open request to this peer has this nonce.
    #[error(
        "no open request to this peer has this nonce, so the answer is a replay, a duplicate or \
         too late: ask again"
    )]
    UnknownNonce,
    /// The counter ran backwards, or the two readings are of different counters.
    #[error(
        "the counter showed {received:?} when the answer was received, but {sent:?} when the \
         request was sent: read both from one clock that is never set, such as CLOCK_MONOTONIC_RAW"
    )]
    ReceivedBeforeSent {
        /// The counter when the request was sent.
        sent: Duration,
        /// The counter when the answer was received.
        received: Duration,
    },
    /// The answer is too uncertain to count.
    #[error(
        "the peer's interval and the round trip leave {width:?} open, and the limit is {limit:?}: \
         wait until its clock is more certain or the network is faster, or raise `max_width`"
    )]
    TooWide {
        /// The width of the answer, including its round trip.
        width: Duration,
        /// The limit, `max_width`.
        limit: Duration,
    },
    /// No verdict: too few members have fresh evidence, ourselves included.
    #[error("{heard} members have answered lately, and a majority is {needed}: ask the others")]
    TooFewHeard {
        /// How many have answered, ourselves included.
        heard: usize,
        /// How many make a majority of the members.
        needed: usize,
    },
    /// No verdict: enough members have answered, but no majority shares a moment with us, and
    /// it is not certain that we are the one that is wrong.
    #[error(
        "{with_us} members share a moment with our clock, a majority is {needed}, and it is not \
         certain who is wrong: ask the members that have not answered"
    )]
    Split {
        /// The most members, ourselves included, that share one moment of our interval.
        with_us: usize,
        /// How many make a majority of the members.
        needed: usize,
    },
    /// No verdict: more clocks are wrong than was assumed, so no conclusion is safe.
    #[error(
        "at least {wrong} clocks are wrong, but at most {faulty} were assumed to be: repair them, \
         or allow for more faulty ones"
    )]
    TooManyWrong {
        /// How many are wrong, at least.
        wrong: usize,
        /// How many were assumed to be, at most.
        faulty: usize,
    },
}

impl PeerError {
    /// Whether asking the peers again can succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            PeerError::UnknownNonce
            | PeerError::TooWide { .. }
            | PeerError::TooFewHeard { .. }
            | PeerError::Split { .. } => true,
            PeerError::DuplicatePeer
            | PeerError::Quorum(_)
            | PeerError::UnknownPeer
            | PeerError::ReceivedBeforeSent { .. }
            | PeerError::TooManyWrong { .. } => false,
        }
    }
}
