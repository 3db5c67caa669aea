//! [`FencingToken`]: a number that only grows, granted together with each lease.

use std::fmt;

/// How many bits of a token hold a Raft index. The term has the other 24.
pub(super) const RAFT_INDEX_BITS: u32 = 40;

/// The largest Raft term that [`FencingToken::from_raft`] accepts: 16 777 215.
pub const MAX_RAFT_TERM: u64 = u64::MAX >> RAFT_INDEX_BITS;

/// The largest Raft index that [`FencingToken::from_raft`] accepts: 1 099 511 627 775.
pub const MAX_RAFT_INDEX: u64 = (1 << RAFT_INDEX_BITS) - 1;

/// A number that grows with every grant of a lease: a later holder has a larger token.
///
/// Tokens of different services, or of different resources, cannot be compared. So one
/// resource must only see the tokens of one service.
///
/// ```
/// use truechimer::fence::FencingToken;
///
/// // ZooKeeper: the czxid of the lock's znode. etcd: the revision of its key.
/// let first = FencingToken::from_zxid(0x5_0000_0001)?;
/// let second = FencingToken::from_zxid(0x6_0000_0000)?;
/// assert!(first < second); // a new leader epoch is above any counter of the old one
/// assert!(FencingToken::from_kafka_epoch(-1).is_err()); // Kafka's "no epoch"
/// # Ok::<(), truechimer::fence::FenceError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct FencingToken(#[cfg_attr(feature = "serde", serde(with = "crate::decimal"))] pub u64);

impl FencingToken {
    /// Below every token that is granted. A fence that starts here admits every token.
    pub const MIN: FencingToken = FencingToken(0);

    /// The number itself.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The token after this one, or `None` after the last.
    pub const fn next(self) -> Option<FencingToken> {
        match self.0.checked_add(1) {
            Some(next) => Some(FencingToken(next)),
            None => None,
        }
    }
}

impl From<u64> for FencingToken {
    #[inline]
    fn from(number: u64) -> FencingToken {
        FencingToken(number)
    }
}

impl From<FencingToken> for u64 {
    #[inline]
    fn from(token: FencingToken) -> u64 {
        token.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn after_the_last_token_there_is_none() {
        assert_eq!(FencingToken(1).next(), Some(FencingToken(2)));
        assert_eq!(FencingToken(u64::MAX).next(), None);
    }
}
