//! [`Locks`]: two-phase locking at one leader, in memory.
//!
//! A transaction that finds a lock taken gives up and begins again, so there is no deadlock.
//! Locks are lost with the leader that granted them, except those of prepared transactions,
//! which are in the log.

use std::collections::HashMap;

use super::layout::{Key, Txn};

#[derive(Default)]
pub struct Locks {
    held: HashMap<Key, Lock>,
}

enum Lock {
    Shared(Vec<Txn>),
    Exclusive(Txn),
}

impl Locks {
    /// Takes all of the locks, or none.
    pub fn acquire(&mut self, txn: Txn, reads: &[Key], writes: &[Key]) -> bool {
        let is_free = |key| !self.held.contains_key(key);
        let is_shared = |key| !matches!(self.held.get(key), Some(Lock::Exclusive(_)));
        if !writes.iter().all(is_free) || !reads.iter().all(is_shared) {
            return false;
        }
        for &key in writes {
            self.held.insert(key, Lock::Exclusive(txn));
        }
        for &key in reads {
            match self.held.entry(key).or_insert_with(|| Lock::Shared(Vec::new())) {
                Lock::Shared(holders) => holders.push(txn),
                Lock::Exclusive(_) => {}
            }
        }
        true
    }

    pub fn release(&mut self, txn: Txn, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            let is_free = match self.held.get_mut(&key) {
                None => false,
                Some(Lock::Exclusive(holder)) => *holder == txn,
                Some(Lock::Shared(holders)) => {
                    holders.retain(|&holder| holder != txn);
                    holders.is_empty()
                }
            };
            if is_free {
                self.held.remove(&key);
            }
        }
    }
}
