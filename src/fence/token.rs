//! [`FencingToken`]: a number that only grows, handed out with each lease.
//!
//! Lock services already hand out such a number under other names. Most of them
//! are signed, and use a negative value for "none"; two of them are pairs. The
//! conversions here keep the order of the original and refuse what has none,
//! since a sentinel that became a huge unsigned number would shut everybody out.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use crate::hlc::Stamp;

/// How many bits of a token a Raft index takes; the term has the other 24.
const RAFT_INDEX_BITS: u32 = 40;

/// The largest Raft term that [`FencingToken::from_raft`] takes: 16 777 215.
pub const MAX_RAFT_TERM: u64 = u64::MAX >> RAFT_INDEX_BITS;

/// The largest Raft index that [`FencingToken::from_raft`] takes: 1 099 511 627 775.
pub const MAX_RAFT_INDEX: u64 = (1 << RAFT_INDEX_BITS) - 1;

/// A number that grows with every grant of a lease: of two holders, the later has the larger.
///
/// Tokens of different services, or of different resources, do not compare:
/// a resource is guarded by the tokens of one service.
///
/// ```
/// use truechimer::fence::FencingToken;
///
/// // ZooKeeper: the czxid of the lock's znode. etcd: the revision of its key.
/// let (first, second) = (FencingToken::from_zxid(0x5_0000_0001)?, FencingToken::from_zxid(0x6_0000_0000)?);
/// assert!(first < second); // a new leader epoch outranks any counter of the old one
/// assert!(FencingToken::from_kafka_epoch(-1).is_err()); // Kafka's "no epoch"
/// # Ok::<(), truechimer::fence::TokenError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// Below every token that is handed out: a fence that starts here admits all.
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

    /// From a ZooKeeper transaction id, such as the `czxid` of a lock's znode.
    ///
    /// A zxid is a Java `long`: the leader's epoch in the upper half, a counter
    /// in the lower. Its order is the order of the number.
    ///
    /// # Errors
    ///
    /// [`TokenError::Negative`]: ZooKeeper writes −1 for "none".
    pub const fn from_zxid(zxid: i64) -> Result<FencingToken, TokenError> {
        unsigned("zxid", zxid)
    }

    /// From an etcd revision: the `create_revision` of a lock's key, or a header's `revision`.
    ///
    /// Not from a key's `version`, which starts again when the key is deleted,
    /// nor from a lease's id, which has no order.
    ///
    /// # Errors
    ///
    /// [`TokenError::Negative`]; and [`TokenError::Zero`], since etcd writes 0
    /// for the revision of a key that does not exist.
    pub const fn from_etcd_revision(revision: i64) -> Result<FencingToken, TokenError> {
        if revision == 0 {
            return Err(TokenError::Zero { what: "etcd revision" });
        }
        unsigned("etcd revision", revision)
    }

    /// From a Kafka epoch: a producer's (16 bits there, so `epoch.into()`), a
    /// partition leader's, a controller's, or a group's generation.
    ///
    /// A producer's epoch orders the incarnations of one producer id only.
    ///
    /// # Errors
    ///
    /// [`TokenError::Negative`]: Kafka writes −1 for "none".
    pub const fn from_kafka_epoch(epoch: i32) -> Result<FencingToken, TokenError> {
        unsigned("Kafka epoch", epoch as i64)
    }

    /// From a Raft term and log index: the term counts first, as in an election.
    ///
    /// 24 bits of term and 40 of index: enough for half a year of an election
    /// a second, and for three years of ten thousand entries a second.
    /// Where the entry is known to be committed, its index alone is
    /// already strictly increasing: `FencingToken::from(index)`.
    ///
    /// # Errors
    ///
    /// [`TokenError::RaftTerm`] above [`MAX_RAFT_TERM`],
    /// [`TokenError::RaftIndex`] above [`MAX_RAFT_INDEX`]: cutting either off
    /// would lose the order.
    pub const fn from_raft(term: u64, index: u64) -> Result<FencingToken, TokenError> {
        if term > MAX_RAFT_TERM {
            return Err(TokenError::RaftTerm { term });
        }
        if index > MAX_RAFT_INDEX {
            return Err(TokenError::RaftIndex { index });
        }
        Ok(FencingToken(term << RAFT_INDEX_BITS | index))
    }

    /// From the 8 bytes, big-endian, of a hybrid logical clock's stamp, whose
    /// order is the order of its bytes.
    ///
    /// Good where one clock stamps every grant, or each grant's stamp was
    /// observed by the clock that stamps the next.
    /// A [`Stamp`] of this crate is one with `FencingToken::from(stamp)`.
    pub const fn from_hlc_stamp(bytes: [u8; 8]) -> FencingToken {
        FencingToken(u64::from_be_bytes(bytes))
    }
}

/// `value` as a token, unless it is negative.
const fn unsigned(what: &'static str, value: i64) -> Result<FencingToken, TokenError> {
    if value < 0 {
        return Err(TokenError::Negative { what, value });
    }
    Ok(FencingToken(value as u64))
}

impl From<u64> for FencingToken {
    #[inline]
    fn from(number: u64) -> FencingToken {
        FencingToken(number)
    }
}

/// In the order of the stamps. Good where [`from_hlc_stamp`](FencingToken::from_hlc_stamp) is.
impl From<Stamp> for FencingToken {
    #[inline]
    fn from(stamp: Stamp) -> FencingToken {
        FencingToken(stamp.to_bits())
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

/// Text that is not a fencing token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "not a fencing token ({why}): write the number from 0 to 18446744073709551615 that `to_string` \
     printed"
)]
pub struct ParseTokenError {
    why: ParseIntError,
}

/// Reads what `Display` printed.
impl FromStr for FencingToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<FencingToken, ParseTokenError> {
        text.parse().map(FencingToken).map_err(|why| ParseTokenError { why })
    }
}

/// Why a number of another system is no fencing token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Negative numbers stand for "none" in the systems that hand them out.
    #[error(
        "the {what} {value} is negative, which stands for \"none\": take the token from the \
         answer that granted the lock"
    )]
    Negative {
        /// Which number it is.
        what: &'static str,
        /// The number.
        value: i64,
    },
    /// Zero stands for "no such key".
    #[error(
        "the {what} is 0, which stands for \"no such key\": take the token from the answer that \
         granted the lock"
    )]
    Zero {
        /// Which number it is.
        what: &'static str,
    },
    /// The term does not fit its 24 bits.
    #[error(
        "the Raft term {term} is above {MAX_RAFT_TERM}, and a token that dropped its upper bits \
         would lose the order: use the index of a committed entry alone"
    )]
    RaftTerm {
        /// The term.
        term: u64,
    },
    /// The index does not fit its 40 bits.
    #[error(
        "the Raft index {index} is above {MAX_RAFT_INDEX}, and a token that dropped its upper \
         bits would lose the order: use the index of a committed entry alone"
    )]
    RaftIndex {
        /// The index.
        index: u64,
    },
}

impl TokenError {
    /// Whether the same number can become a token later. It cannot.
    pub fn is_transient(&self) -> bool {
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_for_none_is_no_token() {
        let negative = |what, value| Err(TokenError::Negative { what, value });
        let cases = [
            (FencingToken::from_zxid(-1), negative("zxid", -1)),
            (FencingToken::from_zxid(i64::MIN), negative("zxid", i64::MIN)),
            (FencingToken::from_zxid(0), Ok(FencingToken(0))),
            (FencingToken::from_zxid(i64::MAX), Ok(FencingToken(u64::MAX >> 1))),
            (FencingToken::from_etcd_revision(-7), negative("etcd revision", -7)),
            (FencingToken::from_etcd_revision(0), Err(TokenError::Zero { what: "etcd revision" })),
            (FencingToken::from_etcd_revision(1), Ok(FencingToken(1))),
            (FencingToken::from_kafka_epoch(-1), negative("Kafka epoch", -1)),
            (FencingToken::from_kafka_epoch(i16::MAX.into()), Ok(FencingToken(32_767))),
            (FencingToken::from_kafka_epoch(i32::MAX), Ok(FencingToken(2_147_483_647))),
        ];
        for (made, expected) in cases {
            assert_eq!(made, expected);
        }
    }

    #[test]
    fn a_raft_pair_that_does_not_fit_is_refused_and_not_cut() {
        let cases = [
            (0, 0, Ok(FencingToken(0))),
            (1, 0, Ok(FencingToken(1 << 40))),
            (0, MAX_RAFT_INDEX, Ok(FencingToken((1 << 40) - 1))),
            (MAX_RAFT_TERM, MAX_RAFT_INDEX, Ok(FencingToken(u64::MAX))),
            (0, MAX_RAFT_INDEX + 1, Err(TokenError::RaftIndex { index: MAX_RAFT_INDEX + 1 })),
            (MAX_RAFT_TERM + 1, 0, Err(TokenError::RaftTerm { term: MAX_RAFT_TERM + 1 })),
            (u64::MAX, u64::MAX, Err(TokenError::RaftTerm { term: u64::MAX })),
        ];
        for (term, index, expected) in cases {
            assert_eq!(FencingToken::from_raft(term, index), expected, "{term}, {index}");
        }
    }

    #[test]
    fn a_token_reads_back_and_other_text_says_what_to_write() {
        for number in [0, 1, 33, u64::MAX] {
            assert_eq!(FencingToken(number).to_string().parse(), Ok(FencingToken(number)));
        }
        for text in ["", "-1", "18446744073709551616", "0x1f", "1 ", "none"] {
            let error = text.parse::<FencingToken>().expect_err(text);
            assert!(error.to_string().contains("from 0 to"), "{error}");
        }
    }

    #[test]
    fn after_the_last_token_there_is_none() {
        assert_eq!(FencingToken(1).next(), Some(FencingToken(2)));
        assert_eq!(FencingToken(u64::MAX).next(), None);
    }

    proptest! {
        #[test]
        fn every_conversion_keeps_the_order_of_the_original(
            a in 0i64.., b in 0i64.., terms in [0..=MAX_RAFT_TERM, 0..=MAX_RAFT_TERM],
            indexes in [0..=MAX_RAFT_INDEX, 0..=MAX_RAFT_INDEX], stamps: [u64; 2],
        ) {
            let order = a.cmp(&b);
            prop_assert_eq!(FencingToken::from_zxid(a)?.cmp(&FencingToken::from_zxid(b)?), order);
            let revision = |n: i64| FencingToken::from_etcd_revision(n.max(1));
            prop_assert_eq!(revision(a)?.cmp(&revision(b)?), a.max(1).cmp(&b.max(1)));
            let epoch = |n: i64| (n % (1 << 31)) as i32;
            prop_assert_eq!(
                FencingToken::from_kafka_epoch(epoch(a))?.cmp(&FencingToken::from_kafka_epoch(epoch(b))?),
                epoch(a).cmp(&epoch(b))
            );
            let raft = |i: usize| FencingToken::from_raft(terms[i], indexes[i]);
            prop_assert_eq!(
                raft(0)?.cmp(&raft(1)?),
                (terms[0], indexes[0]).cmp(&(terms[1], indexes[1]))
            );
            let stamp = |i: usize| FencingToken::from_hlc_stamp(stamps[i].to_be_bytes());
            prop_assert_eq!(stamp(0).cmp(&stamp(1)), stamps[0].cmp(&stamps[1]));
            let own = Stamp::from_bits(stamps[0]);
            prop_assert_eq!(FencingToken::from(own), stamp(0));
            prop_assert_eq!(FencingToken::from_hlc_stamp(own.to_be_bytes()), stamp(0));
        }
    }
}
