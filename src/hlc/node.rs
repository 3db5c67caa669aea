//! [`NodeStamp`]: the total order of the stamps of many nodes.
//!
//! Two nodes may issue the same stamp. One node never does. So the pair of
//! stamp and node is unique, and to compare it is to compare stamps first: a
//! total order in which causes come before effects.

use std::fmt;
use std::str::FromStr;

use super::stamp::{ParseStampError, Stamp};

/// Which node issued a stamp: 128 bits, enough for a UUID. It must be unique among the nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u128);

/// A stamp and the node that issued it: unique, and totally ordered.
///
/// ```
/// use truechimer::{NodeId, NodeStamp, Stamp};
///
/// let [a, b] = [1, 2].map(|node| NodeStamp { stamp: Stamp::from_bits(7), node: NodeId(node) });
/// assert!(a < b && a.to_be_bytes() < b.to_be_bytes());
/// assert_eq!(a.to_string().parse(), Ok(a));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeStamp {
    // The order of the fields is the order of the comparison.
    /// When.
    pub stamp: Stamp,
    /// Where, which decides only between equal stamps.
    pub node: NodeId,
}

impl NodeStamp {
    /// 24 bytes that sort as the pairs do.
    pub fn to_be_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (stamp, node) = bytes.split_at_mut(8);
        stamp.copy_from_slice(&self.stamp.to_be_bytes());
        node.copy_from_slice(&self.node.0.to_be_bytes());
        bytes
    }

    /// The pair that [`to_be_bytes`](Self::to_be_bytes) wrote.
    pub fn from_be_bytes(bytes: [u8; 24]) -> NodeStamp {
        let (mut stamp, mut node) = ([0; 8], [0; 16]);
        let (first, second) = bytes.split_at(8);
        stamp.copy_from_slice(first);
        node.copy_from_slice(second);
        NodeStamp { stamp: Stamp::from_be_bytes(stamp), node: NodeId(u128::from_be_bytes(node)) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = ParseStampError;

    fn from_str(text: &str) -> Result<NodeId, ParseStampError> {
        let error = ParseStampError { expected: "a node of 32 hexadecimal digits" };
        if text.len() != 32 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(error);
        }
        u128::from_str_radix(text, 16).map(NodeId).map_err(|_| error)
    }
}

impl fmt::Display for NodeStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.stamp, self.node)
    }
}

impl FromStr for NodeStamp {
    type Err = ParseStampError;

    fn from_str(text: &str) -> Result<NodeStamp, ParseStampError> {
        let error = ParseStampError { expected: "a stamp and a node with an @ between them" };
        let (stamp, node) = text.split_once('@').ok_or(error)?;
        Ok(NodeStamp { stamp: stamp.parse()?, node: node.parse()? })
    }
}

/// Reads a value from the text it prints.
#[cfg(feature = "serde")]
pub(super) fn text<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err = ParseStampError>,
{
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(input)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Text for people, the fields for machines.
#[cfg(feature = "serde")]
macro_rules! serde_as_text_or {
    ($type:ty, $machine:ty, $to:expr, $from:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                if output.is_human_readable() {
                    output.collect_str(self)
                } else {
                    serde::Serialize::serialize(&$to(self), output)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<$type, D::Error> {
                if input.is_human_readable() {
                    text(input)
                } else {
                    <$machine as serde::Deserialize>::deserialize(input).map($from)
                }
            }
        }
    };
}
#[cfg(feature = "serde")]
serde_as_text_or!(NodeId, u128, |id: &NodeId| id.0, NodeId);
#[cfg(feature = "serde")]
serde_as_text_or!(NodeStamp, (Stamp, NodeId), |pair: &NodeStamp| (pair.stamp, pair.node), |(
    stamp,
    node,
)| {
    NodeStamp { stamp, node }
});

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_that_is_no_pair_is_refused() {
        let stamp = Stamp::MAX.to_string();
        for text in ["", "@", &stamp, &format!("{stamp}@"), &format!("{stamp}@+{}", "0".repeat(31))]
        {
            assert!(text.parse::<NodeStamp>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn pairs_read_back_and_sort_by_stamp_and_then_by_node(
            a in (0u64..4, 0u128..4), b in (any::<u64>(), any::<u128>()), near: bool,
        ) {
            let b = if near { (b.0 % 4, b.1 % 4) } else { b };
            let [x, y] = [a, b].map(|(stamp, node)| NodeStamp {
                stamp: Stamp::from_bits(stamp),
                node: NodeId(node),
            });
            prop_assert_eq!(NodeStamp::from_be_bytes(y.to_be_bytes()), y);
            prop_assert_eq!(y.to_string().parse(), Ok(y));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.to_be_bytes().cmp(&y.to_be_bytes()), a.cmp(&b));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
        }

        #[cfg(feature = "serde")]
        #[test]
        fn json_is_text_and_reads_back(stamp: u64, node: u128) {
            let pair = NodeStamp { stamp: Stamp::from_bits(stamp), node: NodeId(node) };
            let json = serde_json::to_string(&pair).expect("text");
            prop_assert_eq!(&json, &format!("\"{pair}\""));
            prop_assert_eq!(serde_json::from_str::<NodeStamp>(&json).expect("a pair"), pair);
            let json = serde_json::to_string(&pair.stamp).expect("text");
            prop_assert_eq!(serde_json::from_str::<Stamp>(&json).expect("a stamp"), pair.stamp);
        }
    }
}
