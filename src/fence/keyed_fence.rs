//! [`KeyedFence`]: a fence for each of many resources.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use parking_lot::RwLock;

use super::error::{FenceError, StaleToken};
use super::fence::Fence;
use super::fencing_token::FencingToken;

/// One [`Fence`] for each key. The tokens of one key are not compared with another's.
///
/// Admitting at a known key costs a shared lock and an [`admit`](Fence::admit). The first
/// token of a key takes the lock exclusively, once.
///
/// Removing a key would admit its stale tokens again. So keys stay until
/// [`raise_floor`](Self::raise_floor) states that all smaller tokens are out of use, for
/// all keys. Then their fences are no longer needed.
///
/// ```
/// use truechimer::fence::{FencingToken, KeyedFence};
///
/// let shards = KeyedFence::new();
/// shards.admit("shard-7", FencingToken(12))?;
/// shards.admit("shard-8", FencingToken(3))?; // another resource, with an order of its own
/// assert!(shards.admit("shard-7", FencingToken(11)).is_err());
/// # Ok::<(), truechimer::fence::FenceError>(())
/// ```
pub struct KeyedFence<K> {
    fences: RwLock<Fences<K>>,
}

struct Fences<K> {
    by_key: HashMap<K, Fence>,
    /// Every key refuses tokens below this, also one that has no fence of its own.
    floor: FencingToken,
}

impl<K: Hash + Eq> KeyedFence<K> {
    /// A fence that has seen no key yet.
    pub fn new() -> KeyedFence<K> {
        KeyedFence {
            fences: RwLock::new(Fences { by_key: HashMap::new(), floor: FencingToken::MIN }),
        }
    }

    /// Admits `token` at `key` if no larger one was admitted there before.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens.
    pub fn admit<Q>(&self, key: &Q, token: FencingToken) -> Result<(), FenceError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        {
            let fences = self.fences.read();
            if let Some(fence) = fences.by_key.get(key) {
                return fence.admit(token);
            }
        }
        // Another thread may have added the key between the two locks, so look it up again.
        let mut fences = self.fences.write();
        let floor = fences.floor;
        if token < floor && !fences.by_key.contains_key(key) {
            // Store nothing for it, so that a flood of stale keys takes no memory.
            return Err(StaleToken { offered: token, newest: floor }.into());
        }
        let fence =
            fences.by_key.entry(key.to_owned()).or_insert_with(|| Fence::starting_at(floor));
        fence.admit(token)
    }

    /// The largest token admitted at `key`, or `None` if the key has no fence of its own.
    pub fn newest<Q>(&self, key: &Q) -> Option<FencingToken>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.fences.read().by_key.get(key).map(Fence::newest)
    }

    /// Refuses every token below `floor` from now on, for all keys, and removes the keys
    /// that this makes unnecessary. Returns how many it removed.
    ///
    /// Use it if all tokens come from one source, such as the revisions of one etcd
    /// cluster, and everything below some revision is known to be out of use. The floor
    /// never goes down: one below the present floor changes nothing.
    pub fn raise_floor(&self, floor: FencingToken) -> usize {
        let mut fences = self.fences.write();
        fences.floor = fences.floor.max(floor);
        let (floor, before) = (fences.floor, fences.by_key.len());
        // The keys that stay have seen a token above the floor, so they refuse all below it too.
        fences.by_key.retain(|_, fence| fence.newest() > floor);
        before - fences.by_key.len()
    }

    /// How many keys have a fence of their own.
    pub fn len(&self) -> usize {
        self.fences.read().by_key.len()
    }

    /// Whether no key has a fence of its own.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token below which every key refuses.
    pub fn floor(&self) -> FencingToken {
        self.fences.read().floor
    }

    /// Every key with its largest token. Store it with the data, together with the
    /// [`floor`](Self::floor).
    pub fn snapshot(&self) -> Vec<(K, FencingToken)>
    where
        K: Clone,
    {
        let fences = self.fences.read();
        fences.by_key.iter().map(|(key, fence)| (key.clone(), fence.newest())).collect()
    }
}

/// From a snapshot, without its floor. If a key occurs twice, the larger token counts.
impl<K: Hash + Eq> FromIterator<(K, FencingToken)> for KeyedFence<K> {
    fn from_iter<I: IntoIterator<Item = (K, FencingToken)>>(snapshot: I) -> KeyedFence<K> {
        let mut by_key: HashMap<K, Fence> = HashMap::new();
        for (key, newest) in snapshot {
            // The fence keeps the larger of two tokens by itself, so a refusal needs no action.
            let _ = by_key.entry(key).or_default().admit(newest);
        }
        KeyedFence { fences: RwLock::new(Fences { by_key, floor: FencingToken::MIN }) }
    }
}

impl<K: Hash + Eq> Default for KeyedFence<K> {
    fn default() -> KeyedFence<K> {
        KeyedFence::new()
    }
}

impl<K> fmt::Debug for KeyedFence<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedFence").finish_non_exhaustive()
    }
}
