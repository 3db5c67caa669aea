//! [`State`]: the registers of a shard, as the entries of its log leave them.

use std::collections::{BTreeMap, HashMap};

use truechimer::Timestamp;
use truechimer::hlc::Stamp;

use super::layout::{Key, Shard, Txn};
use super::message::{Entry, Outcome};

/// All versions of all registers, the prepared transactions, and all outcomes.
///
/// Nothing is removed. Old versions answer reads of the past, and outcomes answer nodes that
/// missed them. A store that runs for longer than these worlds would keep both for some time.
#[derive(Default)]
pub struct State {
    /// Each list is in ascending order of its timestamps.
    versions: HashMap<Key, Vec<(Timestamp, Txn)>>,
    prepared: BTreeMap<Txn, Prepared>,
    outcomes: HashMap<Txn, Outcome>,
}

/// A transaction that this shard has promised to be able to commit.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub coordinator: Shard,
    pub reads: Vec<Key>,
    pub writes: Vec<Key>,
    pub stamp: Stamp,
}

impl State {
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Prepared { txn, coordinator, reads, writes, stamp } => {
                let (reads, writes) = (reads.clone(), writes.clone());
                let stamp = Stamp::from(Timestamp::from_tai_nanos(*stamp));
                let prepared = Prepared { coordinator: *coordinator, reads, writes, stamp };
                self.prepared.insert(*txn, prepared);
            }
            Entry::Committed { txn, writes, stamp } => {
                let at = Timestamp::from_tai_nanos(*stamp);
                for &key in writes {
                    self.versions.entry(key).or_default().push((at, *txn));
                }
                self.prepared.remove(txn);
                self.outcomes.insert(*txn, Outcome::Committed(at));
            }
            Entry::Aborted { txn } => {
                self.prepared.remove(txn);
                self.outcomes.insert(*txn, Outcome::Aborted);
            }
        }
    }

    /// The writer of a register's newest value.
    pub fn newest(&self, key: Key) -> Txn {
        self.read_at(key, Timestamp::MAX)
    }

    /// The writer of a register's value at `t`.
    pub fn read_at(&self, key: Key, t: Timestamp) -> Txn {
        let versions = self.versions.get(&key).map_or(&[][..], Vec::as_slice);
        let later = versions.partition_point(|&(at, _)| at <= t);
        later.checked_sub(1).map_or(Txn::NOBODY, |last| versions[last].1)
    }

    pub fn prepared(&self) -> &BTreeMap<Txn, Prepared> {
        &self.prepared
    }

    pub fn outcome(&self, txn: Txn) -> Option<Outcome> {
        self.outcomes.get(&txn).copied()
    }
}
