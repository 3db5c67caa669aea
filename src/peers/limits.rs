//! What evidence is accepted, and why it is not.

use std::time::Duration;

use crate::quorum::QuorumError;

use super::CounterLimits;

/// What evidence is accepted, and how it ages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Our own counter. Default: 200 ppm.
    pub counter: CounterLimits,
    /// Evidence received longer ago than this is no longer a vote. Default 30 s:
    /// a few polls, and 6 ms of widening at 200 ppm.
    pub max_age: Duration,
    /// An answer that is wider than this, or was so long under way, is refused:
    /// it would support anybody. Default 10 s.
    pub max_width: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            counter: CounterLimits::default(),
            max_age: Duration::from_secs(30),
            max_width: Duration::from_secs(10),
        }
    }
}

/// Why evidence was not accepted, or the members not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The same name twice: its word would count twice.
    #[error("a peer is named twice: name each other member once, and not yourself")]
    NamedTwice,
    /// So many cannot be borne.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// Not one of the members.
    #[error(
        "this peer is not one of the members: make a new `PeerClocks` when the membership changes"
    )]
    Unknown,
    /// No open question has this nonce.
    #[error(
        "no open question to this peer has this nonce: the answer is a replay, a duplicate, or too \
         late; ask again"
    )]
    NotAsked,
    /// The counter ran backwards, or the readings are of two different counters.
    #[error(
        "the counter showed {received:?} on receiving and {sent:?} on sending: read both from one \
         clock that is never set, such as CLOCK_MONOTONIC_RAW"
    )]
    ReceivedBeforeSent {
        /// The counter when the question was sent.
        sent: Duration,
        /// The counter when the answer was received.
        received: Duration,
    },
    /// The answer says too little to be a vote.
    #[error(
        "the peer's interval and the time it was under way leave {width:?} open, the limit is \
         {limit:?}: wait until its clock knows better or the network is faster, or raise `max_width`"
    )]
    TooWide {
        /// How wide the answer is, with its round trip.
        width: Duration,
        /// The limit, `max_width`.
        limit: Duration,
    },
}

impl PeerError {
    /// Whether asking the peer again can succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            PeerError::NotAsked | PeerError::TooWide { .. } => true,
            PeerError::NamedTwice
            | PeerError::Quorum(_)
            | PeerError::Unknown
            | PeerError::ReceivedBeforeSent { .. } => false,
        }
    }
}
