//! [`NodeStamp`]: the total order of the stamps of many nodes.
//!
//! Two nodes may issue the same stamp, but one node never issues a stamp twice. So the
//! pair of stamp and node is unique. Comparing the stamps first gives a total order in
//! which causes come before effects.

use std::fmt;

use super::stamp::Stamp;

/// The node that issued a stamp: 128 bits, enough for a UUID. It must be unique among the nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeUid(pub u128);

/// A stamp and the node that issued it: unique, and totally ordered.
///
/// ```
/// use truechimer::{NodeStamp, NodeUid, Stamp};
///
/// let [a, b] = [1, 2].map(|node| NodeStamp { stamp: Stamp::from_bits(7), node: NodeUid(node) });
/// assert!(a < b && a.to_be_bytes() < b.to_be_bytes());
/// assert_eq!(a.to_string().parse::<NodeStamp>()?, a);
/// # Ok::<(), truechimer::HlcError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeStamp {
    // The derived comparison compares the fields in this order.
    /// The stamp.
    pub stamp: Stamp,
    /// The node that issued it. It decides only between equal stamps.
    pub node: NodeUid,
}

impl NodeStamp {
    /// 24 bytes that sort like the pairs.
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
        NodeStamp { stamp: Stamp::from_be_bytes(stamp), node: NodeUid(u128::from_be_bytes(node)) }
    }
}

impl fmt::Display for NodeUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for NodeStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.stamp, self.node)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_are_read_back_and_sort_by_stamp_and_then_by_node(
            a in (0u64..4, 0u128..4), b in (any::<u64>(), any::<u128>()), near: bool,
        ) {
            let b = if near { (b.0 % 4, b.1 % 4) } else { b };
            let [x, y] = [a, b].map(|(stamp, node)| NodeStamp {
                stamp: Stamp::from_bits(stamp),
                node: NodeUid(node),
            });
            prop_assert_eq!(NodeStamp::from_be_bytes(y.to_be_bytes()), y);
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.to_be_bytes().cmp(&y.to_be_bytes()), a.cmp(&b));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
        }
    }
}
