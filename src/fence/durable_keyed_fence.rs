//! [`DurableKeyedFence`]: a fence for each of many resources, which survives the process.
//!
//! The store is replaced whole, so a newer token costs a write of all keys. That is why tokens
//! which wait while another is being written are written together, in one change: a disk that
//! takes a second for each sync still admits at all keys within two seconds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{FenceError, StaleToken};
use super::fencing_token::FencingToken;
use super::keyed_content::{self, Writer};
use super::keyed_fence::KeyedFence;
use super::keyed_snapshot::KeyedSnapshot;
use super::sections::Sections;
use crate::background::Background;
use crate::durable::RecordError;
use crate::section::NotAFuture;
use crate::store::{FileStore, Owner, Store, StoreError};

/// A [`KeyedFence`] of one process that refuses the same tokens after a crash as before it.
///
/// Each token is stored before it is admitted. A key is a sequence of bytes, such as a text or
/// the bytes of a number. A token that its key has seen before costs a read of memory.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("fences");
/// use truechimer::fence::{DurableKeyedFence, FencingToken};
///
/// let shards = DurableKeyedFence::create_new(&path)?; // the first start
/// shards.admit("shard-7", FencingToken(34))?;
/// drop(shards); // or a crash
///
/// let shards = DurableKeyedFence::open_existing(&path)?; // every later start
/// assert!(shards.admit("shard-7", FencingToken(33)).is_err());
/// shards.admit("shard-8", FencingToken(3))?; // another resource, with an order of its own
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Size
///
/// The store holds every key that has seen a token above the floor: its bytes and 16 more. All
/// of it is written at each newer token. [`raise_floor`](Self::raise_floor) removes the keys that
/// are no longer needed, from memory and from the store. A [`FileStore`] takes at most
/// [64 MiB](FileStore::MAX_LENGTH); a token for which there is no room is refused with
/// [`FenceError::Full`].
pub struct DurableKeyedFence {
    shared: Arc<Shared>,
    sections: Sections<Vec<u8>>,
}

struct Shared {
    /// What is in the store. It is raised after the store, so that no token is admitted before it
    /// is stored.
    stored: KeyedFence<Vec<u8>>,
    /// Tokens that wait for the store. Whoever has it next writes all of them.
    waiting: Mutex<HashMap<Vec<u8>, FencingToken>>,
    store: Mutex<Box<dyn Store>>,
    owner: Owner,
    place: String,
}

impl DurableKeyedFence {
    /// A new fence whose file is at `path`, which does not exist yet. It has admitted nothing.
    ///
    /// Call it where the resources are made, and [`open_existing`](Self::open_existing) at every
    /// later start, because a fence that is made anew admits what the lost one had refused.
    ///
    /// # Errors
    ///
    /// [`RecordError::Store`] with [`Exists`](StoreError::Exists) if the file exists, with
    /// [`Lost`](StoreError::Lost) if only its lock file does, or with what the system said.
    pub fn create_new(path: impl AsRef<Path>) -> Result<DurableKeyedFence, RecordError> {
        DurableKeyedFence::create_new_in(FileStore::create_new(path)?)
    }

    /// The fence whose file is at `path`, which exists.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is [missing](StoreError::Missing), [lost](StoreError::Lost), of
    /// another kind, in use, or damaged. A damaged or missing file is never treated as an
    /// empty one.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<DurableKeyedFence, RecordError> {
        DurableKeyedFence::open_existing_in(FileStore::open_existing(path)?)
    }

    /// As [`create_new`](Self::create_new), in an empty store of another kind, such as a
    /// database's own log.
    ///
    /// # Errors
    ///
    /// [`RecordError::Store`]: the store is not empty, or has failed.
    pub fn create_new_in(
        mut store: impl Store + 'static,
    ) -> Result<DurableKeyedFence, RecordError> {
        if store.load()?.is_some() {
            return Err(StoreError::Exists { place: store.place() }.into());
        }
        store.persist(&Writer::new(FencingToken::MIN).finish())?;
        Ok(DurableKeyedFence::of(store, KeyedFence::new()))
    }

    /// As [`open_existing`](Self::open_existing), in a store of another kind that holds such a
    /// fence.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the store is empty, holds something else, or has failed.
    pub fn open_existing_in(
        mut store: impl Store + 'static,
    ) -> Result<DurableKeyedFence, RecordError> {
        let place = store.place();
        let Some(content) = store.load()? else {
            return Err(StoreError::Missing { place }.into());
        };
        let snapshot = keyed_content::read(&content, &place)?;
        Ok(DurableKeyedFence::of(store, KeyedFence::restore(snapshot)))
    }

    fn of(store: impl Store + 'static, stored: KeyedFence<Vec<u8>>) -> DurableKeyedFence {
        let shared = Shared {
            stored,
            waiting: Mutex::default(),
            place: store.place(),
            store: Mutex::new(Box::new(store)),
            owner: Owner::this_process(),
        };
        DurableKeyedFence { shared: Arc::new(shared), sections: Sections::new() }
    }

    /// Admits `token` at `key` if no larger one was admitted there, in this process or an earlier
    /// one, and it is not below the floor.
    ///
    /// A token that is larger than all before at this key waits for the store.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens; [`FenceError::Full`] if the store has no room, and
    /// [`FenceError::Record`] if it fails or this is a forked child. Then the token is not
    /// admitted.
    pub fn admit(&self, key: impl AsRef<[u8]>, token: FencingToken) -> Result<(), FenceError> {
        self.shared.admit(key.as_ref(), token)
    }

    /// Runs `change` if `token` is not stale at `key`. Other sections at this key wait meanwhile,
    /// and this one blocks its thread while another runs and for the store. Other keys are not
    /// affected.
    ///
    /// [`admit`](Self::admit) does not wait for a section, so use one of the two for a key. A
    /// section that asks for a section at the same key waits for itself for ever. A `change` that
    /// returns a future is refused by the compiler:
    ///
    /// ```compile_fail,E0283
    /// # use truechimer::fence::{DurableKeyedFence, FenceError, FencingToken};
    /// # fn shard(shards: &DurableKeyedFence) -> Result<(), FenceError> {
    /// let later = shards.with("shard-7", FencingToken(12), || async { "written" })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The same without the future compiles:
    ///
    /// ```
    /// # use truechimer::fence::{DurableKeyedFence, FenceError, FencingToken};
    /// # fn shard(shards: &DurableKeyedFence) -> Result<(), FenceError> {
    /// let now = shards.with("shard-7", FencingToken(12), || "written")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit). Then `change` did not run.
    pub fn with<R, UseWithAsyncForFutures>(
        &self,
        key: impl AsRef<[u8]>,
        token: FencingToken,
        change: impl FnOnce() -> R,
    ) -> Result<R, FenceError>
    where
        R: NotAFuture<UseWithAsyncForFutures>,
    {
        let key = key.as_ref();
        self.shared.check_owner()?;
        let place = self.sections.at(key);
        let _turn = place.turn();
        self.shared.admit(key, token)?;
        Ok(change())
    }

    /// Runs the asynchronous `change` if `token` is not stale at `key`. Other sections at this key
    /// wait until its future has ended or is dropped, and so does this one, without blocking the
    /// thread. The store is written on a thread that is started for it.
    ///
    /// Dropping the future ends the section where it is. Others may go on at once, and the token
    /// may have been admitted and then stays so. Whoever drops it knows only that no more will be
    /// changed under this token by this call, and not what was changed before.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("fences");
    /// # futures::executor::block_on(async {
    /// # use truechimer::fence::{DurableKeyedFence, FencingToken};
    /// # async fn write() -> u64 { 7 }
    /// let shards = DurableKeyedFence::create_new(&path)?;
    /// let written = shards.with_async("shard-7", FencingToken(12), async || write().await).await?;
    /// assert_eq!(written, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit). Then `change` did not run.
    pub async fn with_async<R>(
        &self,
        key: impl AsRef<[u8]>,
        token: FencingToken,
        change: impl AsyncFnOnce() -> R,
    ) -> Result<R, FenceError> {
        let key = key.as_ref();
        self.shared.check_owner()?;
        let place = self.sections.at(key);
        let _turn = place.turn_async().await;
        // In case that the future was polled in a forked child.
        self.shared.check_owner()?;
        match self.shared.verdict(key, token) {
            Verdict::Admitted => {}
            Verdict::Stale(stale) => return Err(stale.into()),
            Verdict::ToBeStored => {
                let (shared, key) = (self.shared.clone(), key.to_owned());
                let call =
                    Background::start("truechimer-fence", move |_| shared.admit(&key, token));
                let failed = |error| self.shared.failed("store a token in", error);
                call.map_err(failed)?.await.map_err(failed)??;
            }
        }
        Ok(change().await)
    }

    /// Refuses every token below `floor` from now on, for all keys, and removes the keys that this
    /// makes unnecessary, from memory and from the store. Returns how many it removed.
    ///
    /// The floor never goes down: one below the present floor changes nothing. See
    /// [`KeyedFence::raise_floor`] for when it is right.
    ///
    /// # Errors
    ///
    /// [`FenceError::Record`] if the store fails. Then the floor is the old one until the next
    /// start, which may find the new one.
    pub fn raise_floor(&self, floor: FencingToken) -> Result<usize, FenceError> {
        let shared = &self.shared;
        shared.check_owner()?;
        let mut store = shared.store.lock();
        if floor <= shared.stored.floor() {
            return Ok(0);
        }
        let content = shared.content(floor, &HashMap::new());
        shared.persist(&mut **store, &content)?;
        // Inside the lock, so that nobody writes the old floor again.
        Ok(shared.stored.raise_floor(floor))
    }

    /// The largest token admitted at `key`, or `None` if no token above the floor was.
    pub fn newest(&self, key: impl AsRef<[u8]>) -> Option<FencingToken> {
        self.shared.stored.newest(key.as_ref())
    }

    /// The token below which every key refuses.
    pub fn floor(&self) -> FencingToken {
        self.shared.stored.floor()
    }

    /// How many keys are stored.
    pub fn len(&self) -> usize {
        self.shared.stored.len()
    }

    /// Whether no key is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The floor and the keys of one moment, as they are in the store.
    pub fn snapshot(&self) -> KeyedSnapshot<Vec<u8>> {
        self.shared.stored.snapshot()
    }
}

impl std::fmt::Debug for DurableKeyedFence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurableKeyedFence")
            .field("place", &self.shared.place)
            .finish_non_exhaustive()
    }
}

/// What is known of a token without the store.
enum Verdict {
    /// It is in the store, or the floor is it.
    Admitted,
    /// It would be the largest of its key.
    ToBeStored,
    Stale(StaleToken),
}

impl Shared {
    /// A forked child has a copy of the memory, which does not follow the parent's fence. Call it
    /// before taking a lock.
    fn check_owner(&self) -> Result<(), FenceError> {
        Ok(self.owner.check(&self.place).map_err(RecordError::from)?)
    }

    fn verdict(&self, key: &[u8], token: FencingToken) -> Verdict {
        let newest = self.stored.newest_or_floor(key);
        match token.cmp(&newest) {
            std::cmp::Ordering::Less => Verdict::Stale(StaleToken { offered: token, newest }),
            std::cmp::Ordering::Equal => Verdict::Admitted,
            std::cmp::Ordering::Greater => Verdict::ToBeStored,
        }
    }

    fn admit(&self, key: &[u8], token: FencingToken) -> Result<(), FenceError> {
        self.check_owner()?;
        loop {
            match self.verdict(key, token) {
                Verdict::Admitted => return Ok(()),
                Verdict::Stale(stale) => return Err(stale.into()),
                Verdict::ToBeStored => self.store(key, token)?,
            }
        }
    }

    /// Returns when the store holds `token` or a larger one at `key`.
    fn store(&self, key: &[u8], token: FencingToken) -> Result<(), FenceError> {
        raise(&mut self.waiting.lock(), key, token);
        let mut store = self.store.lock();
        // Whoever had the store before may have written this one too, or may have failed to.
        let Verdict::ToBeStored = self.verdict(key, token) else { return Ok(()) };
        let mut batch = std::mem::take(&mut *self.waiting.lock());
        raise(&mut batch, key, token);
        batch.retain(|key, token| matches!(self.verdict(key, *token), Verdict::ToBeStored));
        let content = self.content(self.stored.floor(), &batch);
        self.persist(&mut **store, &content)?;
        // Inside the lock, so that the memory is never above the store, and the next content has
        // all of this one.
        for (key, token) in batch {
            self.stored.admit(key.as_slice(), token)?;
        }
        Ok(())
    }

    /// The content with this floor, and with the tokens of `batch` in place of smaller ones.
    fn content(&self, floor: FencingToken, batch: &HashMap<Vec<u8>, FencingToken>) -> Vec<u8> {
        let mut writer = Writer::new(floor);
        self.stored.for_each(|key, newest| {
            if newest > floor && !batch.contains_key(key) {
                writer.add(key, newest);
            }
        });
        batch.iter().for_each(|(key, &newest)| writer.add(key, newest));
        writer.finish()
    }

    fn persist(&self, store: &mut dyn Store, content: &[u8]) -> Result<(), FenceError> {
        match store.persist(content) {
            Ok(()) => Ok(()),
            Err(StoreError::TooLong { length, limit, .. }) => {
                Err(FenceError::Full { place: self.place.clone(), length, limit })
            }
            Err(error) => Err(RecordError::from(error).into()),
        }
    }

    fn failed(&self, action: &'static str, error: std::io::Error) -> FenceError {
        RecordError::from(StoreError::io(action, self.place.clone(), error)).into()
    }
}

/// Raises the token of `key` to `token`.
fn raise(tokens: &mut HashMap<Vec<u8>, FencingToken>, key: &[u8], token: FencingToken) {
    match tokens.get_mut(key) {
        Some(newest) => *newest = token.max(*newest),
        None => drop(tokens.insert(key.to_owned(), token)),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    /// A store whose first change after the creation ends when the test lets it.
    #[derive(Default)]
    struct Slow {
        content: Option<Vec<u8>>,
        changes: Arc<AtomicUsize>,
        is_open: Arc<AtomicBool>,
    }

    impl Store for Slow {
        fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.content.clone())
        }

        fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
            if self.changes.fetch_add(1, Ordering::SeqCst) == 1 {
                while !self.is_open.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
            self.content = Some(content.to_vec());
            Ok(())
        }
    }

    #[test]
    fn tokens_that_wait_for_the_store_are_written_together() {
        let store = Slow::default();
        let (changes, is_open) = (store.changes.clone(), store.is_open.clone());
        let fence = DurableKeyedFence::create_new_in(store).expect("new");
        thread::scope(|scope| {
            let fence = &fence;
            let admit = |key: u8| scope.spawn(move || fence.admit([key], FencingToken(5)));
            let first = admit(0);
            while changes.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            let others: Vec<_> = (1..8).map(admit).collect();
            // Of one key the smaller of two that wait is refused or was admitted first.
            let smaller = scope.spawn(move || fence.admit([7], FencingToken(4)));
            while fence.shared.waiting.lock().len() < 7 {
                thread::yield_now();
            }
            assert!(fence.is_empty(), "nothing is admitted before it is stored");
            is_open.store(true, Ordering::SeqCst);
            for other in others.into_iter().chain([first]) {
                other.join().expect("no panic").expect("the store takes it");
            }
            let _ = smaller.join().expect("no panic");
        });
        // The creation, the first, and all others; one more if the smaller one came first.
        assert!(changes.load(Ordering::SeqCst) <= 4, "{changes:?}");
        assert_eq!(fence.len(), 8);
        assert_eq!(fence.newest([7]), Some(FencingToken(5)));
    }
}
