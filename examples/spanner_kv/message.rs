//! [`Message`] and [`Entry`]: what goes over the network, and what goes into a log.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use truechimer::Timestamp;
use truechimer::fence::FencingToken;
use truechimer::hlc::Stamp;
use truechimer::lease::{Command, Decision, Refusal};
use truechimer::sim::NodeId;

use super::layout::{Key, Shard, Txn};

/// The locks that one leader gave one transaction. A number is never used again, so a
/// commit that arrives twice finds its locks gone.
pub type LockId = u64;

/// What comes of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Committed(Timestamp),
    Aborted,
}

/// A part of a transaction, for the shard that it goes to.
#[derive(Clone, Debug)]
pub struct Commit {
    pub txn: Txn,
    pub lock: LockId,
    pub coordinator: Shard,
    /// Who leads the coordinator's shard, as far as the client knows.
    pub coordinator_at: NodeId,
    /// All other shards.
    pub participants: Rc<[Shard]>,
    pub writes: Vec<Key>,
}

/// Entries from `first` on, and what is known of those before.
#[derive(Clone, Debug)]
pub struct Append {
    pub view: FencingToken,
    pub first: usize,
    pub entries: Vec<Rc<Entry>>,
    /// So many entries may be applied.
    pub applied: usize,
    /// With these applied, nothing at or below this moment is missing.
    pub safe: Timestamp,
}

#[derive(Clone, Debug)]
pub enum Message {
    // A client to a leader.
    /// Lock what is read (shared) and what is written (alone), and tell what is there.
    Lock {
        txn: Txn,
        reads: Vec<Key>,
        writes: Vec<Key>,
    },
    /// Give the locks back: the client has given up.
    Unlock {
        txn: Txn,
        lock: LockId,
    },
    Commit(Box<Commit>),
    /// What has become of it?
    Ask {
        txn: Txn,
    },
    /// Read at a moment.
    Snapshot {
        txn: Txn,
        at: Timestamp,
        keys: Vec<Key>,
    },

    // A leader to a client.
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
    /// Another has the lock.
    Conflict {
        txn: Txn,
    },
    /// Not here; perhaps there.
    NotLeader {
        txn: Txn,
        shard: Shard,
        leader: Option<NodeId>,
    },
    Outcome {
        txn: Txn,
        outcome: Outcome,
    },

    // Leaders of different shards to each other: two-phase commit.
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
    /// A participant has been prepared for too long without a decision.
    Inquire {
        txn: Txn,
    },

    // Within a group: replication.
    /// A new leader: take nothing from earlier ones any more, and tell what you have.
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
    /// The log of this view has this length here.
    Appended {
        view: FencingToken,
        length: usize,
    },
    /// Somebody newer leads.
    Stale {
        newest: FencingToken,
    },

    // To a keeper, and back.
    Lease {
        shard: Shard,
        command: Command,
    },
    Granted {
        decision: Result<Decision, Refusal>,
    },
}

/// What a shard's log says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// If the coordinator decides so, this shard will write at `stamp` or later.
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
    /// Ends what was prepared.
    Aborted {
        txn: Txn,
    },
}
