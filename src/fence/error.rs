//! [`FenceError`]: why a token was not admitted, or why a value is not a token.

use std::fmt;
use std::num::ParseIntError;

use super::fencing_token::{FencingToken, MAX_RAFT_INDEX, MAX_RAFT_TERM};
use crate::durable::RecordError;

/// Why a token was not admitted, or why a value is not a fencing token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// The request comes from a holder that has been replaced.
    #[error("{0}: stop, discard what was decided under the old lease, and acquire it anew")]
    Stale(StaleToken),
    /// The token could not be stored, so a crash would lose it. It was not admitted.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The tokens of all keys do not fit into the store. The token was not admitted.
    #[error(
        "the keys and tokens of {place} would take {length} bytes, and it takes {limit}: call \
         `raise_floor` with a token below which none is in use any more, or spread the keys over \
         several fences"
    )]
    Full {
        /// The store.
        place: String,
        /// How many bytes there would be.
        length: u64,
        /// How many the store takes.
        limit: u64,
    },
    /// The number is negative, which means "none" in the system that it comes from.
    #[error(
        "the {what} {value} is negative, which means \"none\": take the token from the answer \
         that granted the lock"
    )]
    Negative {
        /// The kind of number.
        what: &'static str,
        /// The number.
        value: i64,
    },
    /// The number is zero, which means "no such key" in the system that it comes from.
    #[error(
        "the {what} is 0, which means \"no such key\": take the token from the answer that granted \
         the lock"
    )]
    Zero {
        /// The kind of number.
        what: &'static str,
    },
    /// The Raft term does not fit into 24 bits.
    #[error(
        "the Raft term {term} is above {MAX_RAFT_TERM}, and a token without its upper bits would \
         lose the order: use the index of a committed entry alone"
    )]
    RaftTerm {
        /// The term.
        term: u64,
    },
    /// The Raft index does not fit into 40 bits.
    #[error(
        "the Raft index {index} is above {MAX_RAFT_INDEX}, and a token without its upper bits \
         would lose the order: use the index of a committed entry alone"
    )]
    RaftIndex {
        /// The index.
        index: u64,
    },
    /// The text is not a fencing token.
    #[error(
        "the text is not a fencing token ({0}): write the number from 0 to 18446744073709551615 \
         that `to_string` printed"
    )]
    Parse(ParseIntError),
}

impl FenceError {
    /// Whether the same token can be admitted later.
    ///
    /// A stale token cannot, and a value that is not a token does not become one.
    pub fn is_transient(&self) -> bool {
        match self {
            FenceError::Record(error) => error.is_transient(),
            FenceError::Stale(_)
            | FenceError::Full { .. }
            | FenceError::Negative { .. }
            | FenceError::Zero { .. }
            | FenceError::RaftTerm { .. }
            | FenceError::RaftIndex { .. }
            | FenceError::Parse(_) => false,
        }
    }
}

/// A token that was refused, and the newer one because of which it was refused.
///
/// It is plain data, so that a resource can send it back to its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StaleToken {
    /// The token of the request.
    pub offered: FencingToken,
    /// The largest token that the resource has seen.
    pub newest: FencingToken,
}

impl fmt::Display for StaleToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StaleToken { offered, newest } = self;
        write!(f, "the fencing token {offered} is stale, because {newest} was admitted since")
    }
}

impl From<StaleToken> for FenceError {
    fn from(stale: StaleToken) -> FenceError {
        FenceError::Stale(stale)
    }
}
