//! [`KeyedSnapshot`]: all that a fence with keys remembers, at one moment, to be stored.

use super::fencing_token::FencingToken;

/// The floor and the keys of a fence with keys, of one moment.
///
/// [`KeyedFence::snapshot`](super::KeyedFence::snapshot) makes it, and
/// [`KeyedFence::restore`](super::KeyedFence::restore) makes a fence of it that refuses what the
/// first one refused.
///
/// With serde it has a version. A snapshot of another version, one with a field missing, and one
/// with a field that this version does not know are refused, because a fence that is restored
/// without its floor admits what it had refused.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored<K>", into = "stored::Stored<K>"))]
#[cfg_attr(
    feature = "serde",
    serde(bound(
        serialize = "K: Clone + serde::Serialize",
        deserialize = "K: serde::Deserialize<'de>"
    ))
)]
pub struct KeyedSnapshot<K> {
    /// Every key refuses tokens below this, also one that is not in the list.
    pub floor: FencingToken,
    /// The largest token of each key that has seen one above the floor, in no particular order.
    /// If a key is here twice, the larger token counts.
    pub newest: Vec<(K, FencingToken)>,
}

#[cfg(feature = "serde")]
mod stored {
    use serde::{Deserialize, Serialize};

    use super::{FencingToken, KeyedSnapshot};

    /// The version of the form below.
    const VERSION: u32 = 1;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Stored<K> {
        version: u32,
        floor: FencingToken,
        newest: Vec<(K, FencingToken)>,
    }

    impl<K> From<KeyedSnapshot<K>> for Stored<K> {
        fn from(KeyedSnapshot { floor, newest }: KeyedSnapshot<K>) -> Stored<K> {
            Stored { version: VERSION, floor, newest }
        }
    }

    impl<K> TryFrom<Stored<K>> for KeyedSnapshot<K> {
        type Error = String;

        fn try_from(stored: Stored<K>) -> Result<KeyedSnapshot<K>, String> {
            let Stored { version, floor, newest } = stored;
            if version == VERSION {
                return Ok(KeyedSnapshot { floor, newest });
            }
            Err(format!(
                "the snapshot of a fence has version {version}, and this program reads {VERSION}: \
                 read it with the program that wrote it"
            ))
        }
    }
}
