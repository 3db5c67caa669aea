//! [`Message`] and [`Entry`]: the messages of the network, and the entries of a log.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use truechimer::Timestamp;
use truechimer::fence::FencingToken;
use truechimer::hlc::Stamp;
use truechimer::lease::{Command, Decision, GrantError, HolderId};
use truechimer::sim::NodeId;

use super::layout::{Key, Shard, Txn};

/// The locks that one leader granted to one transaction. A number is never used again, so a
/// duplicate commit finds its locks gone.
pub type LockId = u64;

/// The result of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Committed(Timestamp),
    Aborted,
}

/// The part of a transaction that concerns one shard.
#[derive(Clone, Debug)]
pub struct Commit {
    pub txn: Txn,
    pub lock: LockId,
    pub coordinator: Shard,
    /// The leader of the coordinator's shard, as far as the client knows.
    pub coordinator_at: NodeId,
    /// All other shards.
    pub participants: Rc<[Shard]>,
    pub writes: Vec<Key>,
}

/// Entries from `first` on, and what the leader knows about those before.
#[derive(Clone, Debug)]
pub struct Append {
    pub view: FencingToken,
    pub first: usize,
    pub entries: Vec<Rc<Entry>>,
    /// How many entries may be applied.
    pub applied: usize,
    /// When these are applied, no transaction at or below this moment is missing.
    pub safe: Timestamp,
}

#[derive(Clone, Debug)]
pub enum Message {
    // From a client to a leader.
    /// Lock the reads (shared) and the writes (exclusive), and send the values.
    Lock {
        txn: Txn,
        reads: Vec<Key>,
        writes: Vec<Key>,
    },
    /// Release the locks, because the client has given up.
    Unlock {
        txn: Txn,
        lock: LockId,
    },
    Commit(Box<Commit>),
    /// What is the outcome of this transaction?
    Ask {
        txn: Txn,
    },
    /// Read at a moment.
    Snapshot {
        txn: Txn,
        at: Timestamp,
        keys: Vec<Key>,
    },

    // From a leader to a client.
    Locked {
        txn: Txn,
        shard: Shard,
        lock: LockId,
        values: Vec<(Key, Txn)>,
    },
    Values {
        txn: Txn,
        shard: Shard,
        values: Vec<(Key, Txn)>,
    },
    /// Another transaction has a lock.
    Conflict {
        txn: Txn,
    },
    /// This replica does not lead. Perhaps that one does.
    NotLeader {
        txn: Txn,
        shard: Shard,
        leader: Option<NodeId>,
    },
    Outcome {
        txn: Txn,
        outcome: Outcome,
    },

    // Between leaders of different shards: two-phase commit.
    Prepared {
        txn: Txn,
        shard: Shard,
        stamp: Stamp,
    },
    CannotPrepare {
        txn: Txn,
    },
    Decided {
        txn: Txn,
        outcome: Outcome,
    },
    /// A participant has been prepared for too long without a decision, so it asks for one.
    Inquire {
        txn: Txn,
    },

    // Within a group: replication.
    /// From a new leader: accept no earlier leader any more, and send your log.
    Recover {
        view: FencingToken,
    },
    Promise {
        view: FencingToken,
        normal: FencingToken,
        entries: Vec<Rc<Entry>>,
    },
    /// Replaces the whole log, at the beginning of a view.
    Install {
        view: FencingToken,
        entries: Rc<Vec<Rc<Entry>>>,
    },
    Append(Box<Append>),
    /// The sender has this many entries of the view's log. Its holder id is for a leader that
    /// wants to hand its lease over.
    Appended {
        view: FencingToken,
        length: usize,
        holder: HolderId,
    },
    /// There is a newer leader.
    Stale {
        newest: FencingToken,
    },

    // To the lock service, and back.
    Lease {
        shard: Shard,
        command: Command,
    },
    /// The answer to a command. A transfer is told to the next holder as well.
    Granted {
        command: Command,
        decision: Result<Decision, GrantError>,
    },
}

/// An entry of a shard's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// This shard will write at `stamp` or later, if the coordinator decides to commit.
    Prepared {
        txn: Txn,
        coordinator: Shard,
        reads: Vec<Key>,
        writes: Vec<Key>,
        stamp: i64,
    },
    Committed {
        txn: Txn,
        writes: Vec<Key>,
        stamp: i64,
    },
    /// Ends a prepared transaction without a write.
    Aborted {
        txn: Txn,
    },
}
