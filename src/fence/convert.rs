//! Conversions to [`FencingToken`] from the numbers of lock services and logs, and from text.
//!
//! Lock services already grant such numbers under other names. Most of these numbers are
//! signed and use a negative value for "none", and two of them are pairs. The conversions
//! keep the order of the original. They refuse a value that means "none", because as a
//! huge unsigned number it would lock out every holder.

use std::str::FromStr;

use super::error::FenceError;
use super::fencing_token::{FencingToken, MAX_RAFT_INDEX, MAX_RAFT_TERM, RAFT_INDEX_BITS};
use crate::hlc::Stamp;

impl FencingToken {
    /// From a ZooKeeper transaction id, such as the `czxid` of a lock's znode.
    ///
    /// A zxid is a Java `long` with the leader's epoch in the upper half and a counter in
    /// the lower half. Its order is the order of the number.
    ///
    /// # Errors
    ///
    /// [`FenceError::Negative`], because ZooKeeper writes −1 for "none".
    pub const fn from_zxid(zxid: i64) -> Result<FencingToken, FenceError> {
        unsigned("zxid", zxid)
    }

    /// From an etcd revision: the `create_revision` of a lock's key, or a header's `revision`.
    ///
    /// Do not use a key's `version`, which starts again when the key is deleted, nor the
    /// id of a lease, which has no order.
    ///
    /// # Errors
    ///
    /// [`FenceError::Negative`]; and [`FenceError::Zero`], because etcd writes 0 for the
    /// revision of a key that does not exist.
    pub const fn from_etcd_revision(revision: i64) -> Result<FencingToken, FenceError> {
        if revision == 0 {
            return Err(FenceError::Zero { what: "etcd revision" });
        }
        unsigned("etcd revision", revision)
    }

    /// From a Kafka epoch: a producer's (16 bits there, so `epoch.into()`), a partition
    /// leader's, a controller's, or a group's generation.
    ///
    /// A producer's epoch orders only the incarnations of one producer id.
    ///
    /// # Errors
    ///
    /// [`FenceError::Negative`], because Kafka writes −1 for "none".
    pub const fn from_kafka_epoch(epoch: i32) -> Result<FencingToken, FenceError> {
        unsigned("Kafka epoch", epoch as i64)
    }

    /// From a Raft term and log index. The term counts first, as in an election.
    ///
    /// The term has 24 bits and the index 40. This is enough for half a year with an
    /// election each second, and for three years with ten thousand entries each second.
    /// If the entry is known to be committed, its index alone is already strictly
    /// increasing: `FencingToken::from(index)`.
    ///
    /// # Errors
    ///
    /// [`FenceError::RaftTerm`] above [`MAX_RAFT_TERM`], and [`FenceError::RaftIndex`]
    /// above [`MAX_RAFT_INDEX`], because truncating either would lose the order.
    pub const fn from_raft(term: u64, index: u64) -> Result<FencingToken, FenceError> {
        if term > MAX_RAFT_TERM {
            return Err(FenceError::RaftTerm { term });
        }
        if index > MAX_RAFT_INDEX {
            return Err(FenceError::RaftIndex { index });
        }
        Ok(FencingToken(term << RAFT_INDEX_BITS | index))
    }

    /// From the 8 big-endian bytes of a hybrid logical clock's stamp, whose order is the
    /// order of its bytes.
    ///
    /// Use it where one clock stamps every grant, or where the clock that stamps a grant
    /// has observed the stamp of the grant before. For a [`Stamp`] of this crate, use
    /// `FencingToken::from(stamp)`.
    pub const fn from_hlc_stamp(bytes: [u8; 8]) -> FencingToken {
        FencingToken(u64::from_be_bytes(bytes))
    }
}

/// `value` as a token, unless it is negative.
const fn unsigned(what: &'static str, value: i64) -> Result<FencingToken, FenceError> {
    if value < 0 {
        return Err(FenceError::Negative { what, value });
    }
    Ok(FencingToken(value as u64))
}

/// Keeps the order of the stamps. Use it where
/// [`from_hlc_stamp`](FencingToken::from_hlc_stamp) may be used.
impl From<Stamp> for FencingToken {
    #[inline]
    fn from(stamp: Stamp) -> FencingToken {
        FencingToken(stamp.to_bits())
    }
}

/// Reads the text that `Display` prints.
impl FromStr for FencingToken {
    type Err = FenceError;

    fn from_str(text: &str) -> Result<FencingToken, FenceError> {
        text.parse().map(FencingToken).map_err(FenceError::Parse)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::fencing_token::{MAX_RAFT_INDEX, MAX_RAFT_TERM};
    use super::*;
    use proptest::prelude::*;

    /// The same token, or errors with the same variant and numbers.
    fn assert_same(
        made: Result<FencingToken, FenceError>,
        expected: Result<FencingToken, FenceError>,
    ) {
        assert_eq!(format!("{made:?}"), format!("{expected:?}"));
    }

    #[test]
    fn numbers_that_mean_none_are_refused() {
        let negative = |what, value| Err(FenceError::Negative { what, value });
        let cases = [
            (FencingToken::from_zxid(-1), negative("zxid", -1)),
            (FencingToken::from_zxid(i64::MIN), negative("zxid", i64::MIN)),
            (FencingToken::from_zxid(0), Ok(FencingToken(0))),
            (FencingToken::from_zxid(i64::MAX), Ok(FencingToken(u64::MAX >> 1))),
            (FencingToken::from_etcd_revision(-7), negative("etcd revision", -7)),
            (FencingToken::from_etcd_revision(0), Err(FenceError::Zero { what: "etcd revision" })),
            (FencingToken::from_etcd_revision(1), Ok(FencingToken(1))),
            (FencingToken::from_kafka_epoch(-1), negative("Kafka epoch", -1)),
            (FencingToken::from_kafka_epoch(i16::MAX.into()), Ok(FencingToken(32_767))),
            (FencingToken::from_kafka_epoch(i32::MAX), Ok(FencingToken(2_147_483_647))),
        ];
        for (made, expected) in cases {
            assert_same(made, expected);
        }
    }

    #[test]
    fn a_raft_pair_that_does_not_fit_is_refused_and_not_truncated() {
        let cases = [
            (0, 0, Ok(FencingToken(0))),
            (1, 0, Ok(FencingToken(1 << 40))),
            (0, MAX_RAFT_INDEX, Ok(FencingToken((1 << 40) - 1))),
            (MAX_RAFT_TERM, MAX_RAFT_INDEX, Ok(FencingToken(u64::MAX))),
            (0, MAX_RAFT_INDEX + 1, Err(FenceError::RaftIndex { index: MAX_RAFT_INDEX + 1 })),
            (MAX_RAFT_TERM + 1, 0, Err(FenceError::RaftTerm { term: MAX_RAFT_TERM + 1 })),
            (u64::MAX, u64::MAX, Err(FenceError::RaftTerm { term: u64::MAX })),
        ];
        for (term, index, expected) in cases {
            assert_same(FencingToken::from_raft(term, index), expected);
        }
    }

    #[test]
    fn a_token_is_parsed_back_and_other_text_gets_an_error_that_says_what_to_write() {
        for number in [0, 1, 33, u64::MAX] {
            let parsed = FencingToken(number).to_string().parse::<FencingToken>();
            assert_same(parsed, Ok(FencingToken(number)));
        }
        for text in ["", "-1", "18446744073709551616", "0x1f", "1 ", "none"] {
            let error = text.parse::<FencingToken>().expect_err(text);
            assert!(error.to_string().contains("from 0 to"), "{error}");
        }
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
