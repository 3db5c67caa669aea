//! [`KeyedFence`]: a fence for each of many resources.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use parking_lot::RwLock;

use super::{Fence, FencingToken, StaleToken};

/// One [`Fence`] a key: tokens of one key say nothing about another.
///
/// A key that is known costs a shared lock and an [`admit`](Fence::admit); a
/// new one takes the lock alone, once.
///
/// Forgetting a key would let its stale tokens in again. So keys stay until
/// [`raise_floor`](Self::raise_floor) says that every token up to some number
/// is out of use, for all keys: then they are not needed any more.
///
/// ```
/// use truechimer::fence::{FencingToken, KeyedFence};
///
/// let shards = KeyedFence::new();
/// shards.admit("shard-7", FencingToken(12))?;
/// shards.admit("shard-8", FencingToken(3))?; // another resource, another order
/// assert!(shards.admit("shard-7", FencingToken(11)).is_err());
/// # Ok::<(), truechimer::fence::StaleToken>(())
/// ```
pub struct KeyedFence<K> {
    fences: RwLock<Fences<K>>,
}

struct Fences<K> {
    by_key: HashMap<K, Fence>,
    /// What a key without a fence of its own is judged by.
    floor: FencingToken,
}

impl<K: Hash + Eq> KeyedFence<K> {
    /// A fence that has seen no key.
    pub fn new() -> KeyedFence<K> {
        KeyedFence {
            fences: RwLock::new(Fences { by_key: HashMap::new(), floor: FencingToken::MIN }),
        }
    }

    /// Lets `token` in at `key` if no larger one was let in there before.
    ///
    /// # Errors
    ///
    /// [`StaleToken`], with both numbers.
    pub fn admit<Q>(&self, key: &Q, token: FencingToken) -> Result<(), StaleToken>
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
        // Between the two locks somebody may have added the key: `entry` finds it.
        let mut fences = self.fences.write();
        let floor = fences.floor;
        if token < floor && !fences.by_key.contains_key(key) {
            // Refused without a trace: a flood of stale keys takes no memory.
            return Err(StaleToken { offered: token, newest: floor });
        }
        let fence =
            fences.by_key.entry(key.to_owned()).or_insert_with(|| Fence::starting_at(floor));
        fence.admit(token)
    }

    /// The largest token let in at `key`, or `None` if it has no fence of its own.
    pub fn newest<Q>(&self, key: &Q) -> Option<FencingToken>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.fences.read().by_key.get(key).map(Fence::newest)
    }

    /// Refuses every token below `floor` from now on, for all keys, and forgets
    /// the keys that this makes unnecessary. Gives back how many it forgot.
    ///
    /// For tokens of one source, such as the revisions of one etcd cluster,
    /// where everything below some revision is known to be out of use. It
    /// never goes back: a lower floor than the present one changes nothing.
    pub fn raise_floor(&self, floor: FencingToken) -> usize {
        let mut fences = self.fences.write();
        fences.floor = fences.floor.max(floor);
        let (floor, before) = (fences.floor, fences.by_key.len());
        // The fence of a key that stays is above the floor, so it refuses all that the floor does.
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

    /// What keys without a fence of their own are judged by.
    pub fn floor(&self) -> FencingToken {
        self.fences.read().floor
    }

    /// Every key with its largest token: what to keep with the data, beside the
    /// [`floor`](Self::floor).
    pub fn snapshot(&self) -> Vec<(K, FencingToken)>
    where
        K: Clone,
    {
        let fences = self.fences.read();
        fences.by_key.iter().map(|(key, fence)| (key.clone(), fence.newest())).collect()
    }
}

/// From a snapshot, without its floor. Of a key that occurs twice, the larger token counts.
impl<K: Hash + Eq> FromIterator<(K, FencingToken)> for KeyedFence<K> {
    fn from_iter<I: IntoIterator<Item = (K, FencingToken)>>(kept: I) -> KeyedFence<K> {
        let mut by_key: HashMap<K, Fence> = HashMap::new();
        for (key, newest) in kept {
            // The smaller of two is refused, and that is all there is to do about it.
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
