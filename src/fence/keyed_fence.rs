//! [`KeyedFence`]: a fence for each of many resources.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use super::error::{FenceError, StaleToken};
use super::fence::Fence;
use super::fencing_token::FencingToken;
use super::keyed_snapshot::KeyedSnapshot;
use super::sections::Sections;
use crate::section::NotAFuture;
use crate::sync::RwLock;

/// A model is run again and again, and must find its keys in the same order each time.
#[cfg(all(test, loom))]
type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
#[cfg(not(all(test, loom)))]
type Hashing = std::hash::RandomState;

/// One [`Fence`] for each key. The tokens of one key are not compared with another's.
///
/// Admitting at a known key costs a shared lock and an [`admit`](Fence::admit). The first
/// token of a key takes the lock exclusively, once.
///
/// Removing a key would admit its stale tokens again. So keys stay until
/// [`raise_floor`](Self::raise_floor) states that all smaller tokens are out of use, for
/// all keys. Then their fences are no longer needed, and their memory is given back.
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
///
/// # Two ways to admit
///
/// [`admit`](Self::admit) is for a caller that makes admission and change one step by itself, by a
/// lock or a transaction of its own. [`with`](Self::with) and [`with_async`](Self::with_async) do
/// it here, with one section at a time for each key. `admit` does not wait for a section, so use
/// one of the two ways for a key and not both.
///
/// # Restarts
///
/// A fence that begins again without its tokens admits the first zombie. Store the
/// [`snapshot`](Self::snapshot) with the data, in the same transaction, and begin with
/// [`restore`](Self::restore). Or use [`DurableKeyedFence`](super::DurableKeyedFence), which stores
/// each token before it is admitted.
pub struct KeyedFence<K: Hash + Eq> {
    fences: RwLock<Fences<K>>,
    sections: Sections<K>,
}

struct Fences<K> {
    by_key: HashMap<K, Fence, Hashing>,
    /// Every key refuses tokens below this, also one that has no fence of its own.
    floor: FencingToken,
}

impl<K: Hash + Eq> KeyedFence<K> {
    /// A fence that has seen no key yet.
    pub fn new() -> KeyedFence<K> {
        KeyedFence::restore(KeyedSnapshot { floor: FencingToken::MIN, newest: Vec::new() })
    }

    /// A fence that refuses all that the one refused of which the snapshot was made.
    pub fn restore(snapshot: KeyedSnapshot<K>) -> KeyedFence<K> {
        let KeyedSnapshot { floor, newest } = snapshot;
        let mut by_key: HashMap<K, Fence, Hashing> = HashMap::default();
        // The floor refuses what a key at or below it would.
        for (key, newest) in newest.into_iter().filter(|&(_, newest)| newest > floor) {
            // The fence keeps the larger of two tokens by itself, so a refusal needs no action.
            let _ = by_key.entry(key).or_default().admit(newest);
        }
        KeyedFence { fences: RwLock::new(Fences { by_key, floor }), sections: Sections::new() }
    }

    /// Admits `token` at `key` if no larger one was admitted there, and it is not below
    /// the floor. The key is stored at its first use.
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

    /// Runs `change` if `token` is not stale at `key`. Other sections at this key wait meanwhile,
    /// and this one blocks its thread while another runs. Other keys are not affected.
    ///
    /// A section that asks for a section at the same key waits for itself for ever.
    ///
    /// ```
    /// # use truechimer::fence::{FencingToken, KeyedFence};
    /// let shards = KeyedFence::new();
    /// let written = shards.with("shard-7", FencingToken(12), || "written")?;
    /// assert_eq!(written, "written");
    /// assert!(shards.with("shard-7", FencingToken(11), || unreachable!()).is_err());
    /// # Ok::<(), truechimer::fence::FenceError>(())
    /// ```
    ///
    /// A `change` that returns a future is refused by the compiler, because its work would be done
    /// after this had returned, under any token:
    ///
    /// ```compile_fail,E0283
    /// # use truechimer::fence::{FencingToken, KeyedFence};
    /// # let shards = KeyedFence::new();
    /// let later = shards.with("shard-7", FencingToken(12), || async { "written" })?;
    /// # Ok::<(), truechimer::fence::FenceError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens. Then `change` did not run.
    pub fn with<Q, R, UseWithAsyncForFutures>(
        &self,
        key: &Q,
        token: FencingToken,
        change: impl FnOnce() -> R,
    ) -> Result<R, FenceError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        R: NotAFuture<UseWithAsyncForFutures>,
    {
        let place = self.sections.at(key);
        let _turn = place.turn();
        self.admit(key, token)?;
        Ok(change())
    }

    /// Runs the asynchronous `change` if `token` is not stale at `key`. Other sections at this key
    /// wait until its future has ended or is dropped, and so does this one, without blocking the
    /// thread.
    ///
    /// Dropping the future ends the section where it is. Others may go on at once, and the token
    /// stays admitted. So whoever drops it knows only that no more will be changed under this
    /// token by this call, and not what was changed before.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// # use truechimer::fence::{FencingToken, KeyedFence};
    /// # async fn write() -> u64 { 7 }
    /// let shards = KeyedFence::new();
    /// let written = shards.with_async("shard-7", FencingToken(12), async || write().await).await?;
    /// assert_eq!(written, 7);
    /// # Ok::<(), truechimer::fence::FenceError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens. Then `change` did not run.
    pub async fn with_async<Q, R>(
        &self,
        key: &Q,
        token: FencingToken,
        change: impl AsyncFnOnce() -> R,
    ) -> Result<R, FenceError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let place = self.sections.at(key);
        let _turn = place.turn_async().await;
        self.admit(key, token)?;
        Ok(change().await)
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
    /// that this makes unnecessary, with their memory. Returns how many it removed.
    ///
    /// Use it if all tokens come from one source, such as the revisions of one etcd
    /// cluster, and everything below some revision is known to be out of use. The floor
    /// never goes down: one below the present floor changes nothing. A section that runs under a
    /// smaller token is not ended.
    ///
    /// It looks at every key, and admissions wait meanwhile.
    pub fn raise_floor(&self, floor: FencingToken) -> usize {
        let mut fences = self.fences.write();
        if floor <= fences.floor {
            return 0;
        }
        fences.floor = floor;
        let before = fences.by_key.len();
        // The keys that stay have seen a token above the floor, so they refuse all below it too.
        fences.by_key.retain(|_, fence| fence.newest() > floor);
        // The table keeps its size otherwise.
        fences.by_key.shrink_to_fit();
        before - fences.by_key.len()
    }

    /// The largest token admitted at `key`, or the floor if the key has no fence of its own.
    pub(super) fn newest_or_floor<Q>(&self, key: &Q) -> FencingToken
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let fences = self.fences.read();
        fences.by_key.get(key).map_or(fences.floor, Fence::newest)
    }

    /// Every key with its largest token, without a copy. Admissions may go on meanwhile.
    pub(super) fn for_each(&self, mut f: impl FnMut(&K, FencingToken)) {
        self.fences.read().by_key.iter().for_each(|(key, fence)| f(key, fence.newest()));
    }

    /// How many keys have a fence of their own.
    pub fn len(&self) -> usize {
        self.fences.read().by_key.len()
    }

    /// Whether no key has a fence of its own.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many keys memory is taken. It grows with the keys, and
    /// [`raise_floor`](Self::raise_floor) shrinks it.
    pub fn capacity(&self) -> usize {
        self.fences.read().by_key.capacity()
    }

    /// The token below which every key refuses.
    pub fn floor(&self) -> FencingToken {
        self.fences.read().floor
    }

    /// The floor, and every key with its largest token, all of one moment. Store it with the data.
    ///
    /// It copies every key, and admissions wait meanwhile.
    pub fn snapshot(&self) -> KeyedSnapshot<K>
    where
        K: Clone,
    {
        // Exclusively, because admissions at known keys share the lock. Otherwise the copy might
        // have the later of two tokens that one holder was admitted with, and not the earlier.
        let fences = self.fences.write();
        let newest = fences.by_key.iter().map(|(key, fence)| (key.clone(), fence.newest()));
        KeyedSnapshot { floor: fences.floor, newest: newest.collect() }
    }
}

impl<K: Hash + Eq> Default for KeyedFence<K> {
    fn default() -> KeyedFence<K> {
        KeyedFence::new()
    }
}

impl<K: Hash + Eq> fmt::Debug for KeyedFence<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedFence").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_key_at_which_no_section_runs_takes_no_memory() {
        let fence: KeyedFence<String> = KeyedFence::new();
        fence
            .with("a", FencingToken(2), || {
                assert_eq!(fence.sections.len(), 1);
                fence.with("b", FencingToken(1), || assert_eq!(fence.sections.len(), 2))
            })
            .expect("the first")
            .expect("another key has an order of its own");
        fence.with("a", FencingToken(1), || ()).expect_err("stale");
        let pending = async || std::future::pending::<()>().await;
        let mut dropped = Box::pin(fence.with_async("a", FencingToken(2), pending));
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(dropped.as_mut().poll(context).is_pending());
        assert_eq!(fence.sections.len(), 1);
        drop(dropped);
        assert_eq!(fence.sections.len(), 0);
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    type Snapshot = fn(&KeyedFence<u8>) -> KeyedSnapshot<u8>;

    /// Key 1 has seen 50. The floor is raised above it while a snapshot is made.
    fn floor_is_raised_during(snapshot: Snapshot) {
        loom::model(move || {
            let fence = Arc::new(KeyedFence::new());
            fence.admit(&1, FencingToken(50)).expect("the first");
            let raises = {
                let fence = fence.clone();
                thread::spawn(move || fence.raise_floor(FencingToken(60)))
            };
            let restored = KeyedFence::restore(snapshot(&fence));
            assert!(restored.admit(&1, FencingToken(40)).is_err(), "a stale token is admitted");
            raises.join().expect("no panic");
        });
    }

    /// One holder is admitted at two keys, one after the other, while a snapshot is made.
    fn two_keys_are_admitted_during(snapshot: Snapshot) {
        loom::model(move || {
            let fence = Arc::new(KeyedFence::new());
            for key in [1, 2] {
                fence.admit(&key, FencingToken(50)).expect("the first");
            }
            // In the order in which a snapshot reads them.
            let order: Vec<u8> = fence.snapshot().newest.into_iter().map(|(key, _)| key).collect();
            let (first, second) = (order[0], order[1]);
            let admits = {
                let fence = fence.clone();
                thread::spawn(move || {
                    for key in [first, second] {
                        fence.admit(&key, FencingToken(60)).expect("newer");
                    }
                })
            };
            let restored = KeyedFence::restore(snapshot(&fence));
            if restored.admit(&second, FencingToken(50)).is_err() {
                let torn = restored.admit(&first, FencingToken(50)).is_ok();
                assert!(!torn, "the later token is in the snapshot, and the earlier is not");
            }
            admits.join().expect("no panic");
        });
    }

    #[test]
    fn loom_a_snapshot_has_the_floor_and_the_keys_of_one_moment() {
        floor_is_raised_during(KeyedFence::snapshot);
        two_keys_are_admitted_during(KeyedFence::snapshot);
    }

    /// The snapshot as two calls.
    fn in_two_calls(fence: &KeyedFence<u8>) -> KeyedSnapshot<u8> {
        let floor = fence.floor();
        KeyedSnapshot { floor, ..fence.snapshot() }
    }

    #[test]
    #[should_panic(expected = "a stale token is admitted")]
    fn loom_a_floor_and_then_a_snapshot_lose_what_was_between_them() {
        floor_is_raised_during(in_two_calls);
    }

    /// The snapshot beside admissions.
    fn beside_admissions(fence: &KeyedFence<u8>) -> KeyedSnapshot<u8> {
        let fences = fence.fences.read();
        let newest = fences.by_key.iter().map(|(&key, fence)| (key, fence.newest())).collect();
        KeyedSnapshot { floor: fences.floor, newest }
    }

    #[test]
    #[should_panic(expected = "the later token is in the snapshot")]
    fn loom_a_snapshot_beside_admissions_is_torn() {
        two_keys_are_admitted_during(beside_admissions);
    }
}
