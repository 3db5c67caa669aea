//! The text forms of [`Stamp`], [`ProvisionalStamp`], [`NodeUid`] and [`NodeStamp`]: parsing and
//! serde.
//!
//! In human-readable formats all of them are the text that `Display` prints, because JSON
//! readers round numbers above 2^53, and every present-day stamp is above it. In the
//! other formats they are numbers.

use std::str::FromStr;

use super::error::HlcError;
use super::node_stamp::{NodeStamp, NodeUid};
use super::pending_commit::ProvisionalStamp;
use super::stamp::Stamp;

/// Reads the text that `Display` prints.
impl FromStr for Stamp {
    type Err = HlcError;

    fn from_str(text: &str) -> Result<Stamp, HlcError> {
        let error = HlcError::Parse { expected: "a stamp of 16 hexadecimal digits" };
        if !has_hex_digits(text, 16) {
            return Err(error);
        }
        u64::from_str_radix(text, 16).map(Stamp::from_bits).map_err(|_| error)
    }
}

/// Reads the text that `Display` prints.
impl FromStr for ProvisionalStamp {
    type Err = HlcError;

    fn from_str(text: &str) -> Result<ProvisionalStamp, HlcError> {
        text.parse::<Stamp>().map(ProvisionalStamp::from)
    }
}

/// Reads the text that `Display` prints.
impl FromStr for NodeUid {
    type Err = HlcError;

    fn from_str(text: &str) -> Result<NodeUid, HlcError> {
        let error = HlcError::Parse { expected: "a node of 32 hexadecimal digits" };
        if !has_hex_digits(text, 32) {
            return Err(error);
        }
        u128::from_str_radix(text, 16).map(NodeUid).map_err(|_| error)
    }
}

/// Reads the text that `Display` prints.
impl FromStr for NodeStamp {
    type Err = HlcError;

    fn from_str(text: &str) -> Result<NodeStamp, HlcError> {
        let error = HlcError::Parse { expected: "a stamp and a node with an @ between them" };
        let (stamp, node) = text.split_once('@').ok_or(error)?;
        Ok(NodeStamp { stamp: stamp.parse()?, node: node.parse()? })
    }
}

/// Whether `text` is exactly `count` hexadecimal digits. `from_str_radix` would also accept
/// a sign, and any number of digits.
fn has_hex_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|c| c.is_ascii_hexdigit())
}

#[cfg(feature = "serde")]
mod serde_forms {
    use super::*;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Implements serde for `$type`: text in human-readable formats, `$machine` in the others.
    macro_rules! serde_as_text_or {
        ($type:ty, $machine:ty, $to:expr, $from:expr) => {
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                    if output.is_human_readable() {
                        output.collect_str(self)
                    } else {
                        Serialize::serialize(&$to(self), output)
                    }
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(input: D) -> Result<$type, D::Error> {
                    if input.is_human_readable() {
                        let text = <std::borrow::Cow<'de, str>>::deserialize(input)?;
                        text.parse().map_err(D::Error::custom)
                    } else {
                        <$machine as Deserialize>::deserialize(input).map($from)
                    }
                }
            }
        };
    }

    fn pair((stamp, node): (Stamp, NodeUid)) -> NodeStamp {
        NodeStamp { stamp, node }
    }

    serde_as_text_or!(Stamp, u64, |stamp: &Stamp| stamp.to_bits(), Stamp::from_bits);
    serde_as_text_or!(
        ProvisionalStamp,
        Stamp,
        |stamp: &ProvisionalStamp| stamp.to_stored(),
        ProvisionalStamp::from
    );
    serde_as_text_or!(NodeUid, u128, |uid: &NodeUid| uid.0, NodeUid);
    serde_as_text_or!(NodeStamp, (Stamp, NodeUid), |p: &NodeStamp| (p.stamp, p.node), pair);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_that_is_not_a_stamp_is_refused() {
        for text in
            ["", "0", "+800000000000000", "80000000000000000", "800000000000000g", "é000000000000"]
        {
            assert!(text.parse::<Stamp>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_a_pair_is_refused() {
        let stamp = Stamp::MAX.to_string();
        for text in ["", "@", &stamp, &format!("{stamp}@"), &format!("{stamp}@+{}", "0".repeat(31))]
        {
            assert!(text.parse::<NodeStamp>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn printed_text_is_read_back(stamp: u64, node: u128) {
            let pair = NodeStamp { stamp: Stamp::from_bits(stamp), node: NodeUid(node) };
            prop_assert_eq!(pair.stamp.to_string().parse::<Stamp>().expect("a stamp"), pair.stamp);
            prop_assert_eq!(pair.node.to_string().parse::<NodeUid>().expect("a node"), pair.node);
            prop_assert_eq!(pair.to_string().parse::<NodeStamp>().expect("a pair"), pair);
        }

        #[cfg(feature = "serde")]
        #[test]
        fn json_is_text_and_is_read_back(stamp: u64, node: u128) {
            let pair = NodeStamp { stamp: Stamp::from_bits(stamp), node: NodeUid(node) };
            let json = serde_json::to_string(&pair).expect("text");
            prop_assert_eq!(&json, &format!("\"{pair}\""));
            prop_assert_eq!(serde_json::from_str::<NodeStamp>(&json).expect("a pair"), pair);
            let json = serde_json::to_string(&pair.stamp).expect("text");
            prop_assert_eq!(serde_json::from_str::<Stamp>(&json).expect("a stamp"), pair.stamp);
            let provisional = ProvisionalStamp::from(pair.stamp);
            prop_assert_eq!(serde_json::to_string(&provisional).expect("text"), json.as_str());
            let read = serde_json::from_str::<ProvisionalStamp>(&json).expect("a stamp");
            prop_assert_eq!(read, provisional);
        }
    }
}
