//! [`Locks`]: two-phase locking at one leader, in memory.
//!
//! Whoever meets a lock gives up and begins anew, so there is no deadlock. Locks die with
//! the leader that gave them, except those of prepared transactions, which are in the log.

use std::collections::HashMap;

use super::layout::{Key, Txn};

#[derive(Default)]
pub struct Locks {
    held: HashMap<Key, Held>,
}

enum Held {
    Shared(Vec<Txn>),
    Exclusive(Txn),
}

impl Locks {
    /// All of them, or none.
    pub fn acquire(&mut self, txn: Txn, reads: &[Key], writes: &[Key]) -> bool {
        let is_free = |key| !self.held.contains_key(key);
        let is_shared = |key| !matches!(self.held.get(key), Some(Held::Exclusive(_)));
        if !writes.iter().all(is_free) || !reads.iter().all(is_shared) {
            return false;
        }
        for &key in writes {
            self.held.insert(key, Held::Exclusive(txn));
        }
        for &key in reads {
            match self.held.entry(key).or_insert_with(|| Held::Shared(Vec::new())) {
                Held::Shared(holders) => holders.push(txn),
                Held::Exclusive(_) => {}
            }
        }
        true
    }

    pub fn release(&mut self, txn: Txn, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            let is_free = match self.held.get_mut(&key) {
                None => false,
                Some(Held::Exclusive(holder)) => *holder == txn,
                Some(Held::Shared(holders)) => {
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
