//! [`Sections`]: one section at a time for each key, of threads and of tasks.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::exclusive::{Exclusive, Turn, WaitForTurn};
use crate::fork::Mutex;

/// The keys at which a section runs or is waited for. The others take no memory.
pub(super) struct Sections<K: Hash + Eq> {
    by_key: Mutex<HashMap<K, Arc<Exclusive<()>>>>,
}

impl<K: Hash + Eq> Sections<K> {
    pub(super) fn new() -> Sections<K> {
        Sections { by_key: Mutex::new(HashMap::new()) }
    }

    /// A place in the queue of `key`. It waits for nothing yet.
    pub(super) fn at<Q>(&self, key: &Q) -> Place<'_, K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut by_key = self.by_key.lock();
        let turns = match by_key.get(key) {
            Some(turns) => turns.clone(),
            None => {
                let turns = Arc::new(Exclusive::new(()));
                by_key.insert(key.to_owned(), turns.clone());
                turns
            }
        };
        Place { sections: self, key: key.to_owned(), turns: Some(turns) }
    }

    /// At how many keys a section runs or is waited for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.by_key.lock().len()
    }
}

/// One caller at a key. It must outlive the caller's turn.
pub(super) struct Place<'a, K: Hash + Eq> {
    sections: &'a Sections<K>,
    key: K,
    /// `None` only inside `drop`.
    turns: Option<Arc<Exclusive<()>>>,
}

impl<K: Hash + Eq> Place<'_, K> {
    /// Waits for the turn with the thread.
    pub(super) fn turn(&self) -> Turn<'_, ()> {
        self.turns().lock()
    }

    /// Waits for the turn without blocking the thread.
    pub(super) fn turn_async(&self) -> WaitForTurn<'_, ()> {
        self.turns().lock_async()
    }

    fn turns(&self) -> &Exclusive<()> {
        self.turns.as_deref().expect("a place has its queue until it is dropped")
    }
}

impl<K: Hash + Eq> Drop for Place<'_, K> {
    fn drop(&mut self) {
        // Counted and dropped under the lock, so that the last of two that leave together sees
        // that it is the last.
        let mut by_key = self.sections.by_key.lock();
        drop(self.turns.take());
        if by_key.get(&self.key).is_some_and(|turns| Arc::strong_count(turns) == 1) {
            by_key.remove(&self.key);
        }
    }
}
