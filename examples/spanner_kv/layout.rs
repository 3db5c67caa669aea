//! [`Settings`]: the roles of the nodes, the work of the clients, and the broken rule.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truechimer::Timestamp;
use truechimer::lease::HolderId;
use truechimer::sim::NodeId;

use super::history::History;

/// When the world begins: 2026-01-01T00:00:00Z.
pub const BEGAN: Timestamp = Timestamp::from_tai_nanos(1_767_225_637_000_000_000);

/// A moment in seconds since the beginning of the world, as in the trace.
pub fn since_began(t: Timestamp) -> String {
    let nanos = i128::from(t.tai_nanos()) - i128::from(BEGAN.tai_nanos());
    format!("{:.6} s", nanos as f64 / 1e9)
}

/// The holder id of an incarnation of a replica. Each has its own, so that it does not accept an
/// earlier one's grant.
pub fn holder_id(node: NodeId, incarnation: u32) -> HolderId {
    HolderId(u64::from(node.0) << 32 | u64::from(incarnation))
}

/// The node of a holder.
pub fn node_of(holder: HolderId) -> NodeId {
    NodeId((holder.0 >> 32) as u32)
}

/// A register of the store. Its shard follows from its number.
pub type Key = u32;

/// A part of the registers, stored by one group of replicas.
pub type Shard = u32;

/// A transaction. It writes its own number into the registers, so that each value names its
/// writer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Txn(pub u64);

impl Txn {
    /// The writer of every register's initial value.
    pub const NOBODY: Txn = Txn(0);

    /// The `number`th transaction of a client.
    pub fn new(client: NodeId, number: u32) -> Txn {
        Txn(u64::from(client.0) << 32 | u64::from(number))
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Txn::NOBODY => f.write_str("nobody"),
            Txn(id) => write!(f, "T{}.{}", id >> 32, id as u32),
        }
    }
}

/// How many nodes have each role. Nodes are numbered in this order.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Lock services, which grant the leases.
    pub lock_services: u32,
    pub shards: u32,
    /// Replicas of each shard.
    pub replicas: u32,
    pub clients: u32,
    pub keys_per_shard: u32,
}

/// The role of a node.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    LockService,
    Replica(Shard),
    Client,
}

impl Layout {
    pub fn nodes(&self) -> u32 {
        self.first_client() + self.clients
    }

    fn first_client(&self) -> u32 {
        self.lock_services + self.shards * self.replicas
    }

    pub fn role(&self, node: NodeId) -> Role {
        match node.0 {
            n if n < self.lock_services => Role::LockService,
            n if n < self.first_client() => Role::Replica((n - self.lock_services) / self.replicas),
            _ => Role::Client,
        }
    }

    pub fn lock_service_of(&self, shard: Shard) -> NodeId {
        NodeId(shard % self.lock_services)
    }

    /// The replicas of a shard.
    pub fn group(&self, shard: Shard) -> impl Iterator<Item = NodeId> + use<> {
        let first = self.lock_services + shard * self.replicas;
        (first..first + self.replicas).map(NodeId)
    }

    /// Lock services and replicas.
    pub fn servers(&self) -> Range<u32> {
        0..self.first_client()
    }

    pub fn shard_of(&self, key: Key) -> Shard {
        key % self.shards
    }

    pub fn keys(&self) -> u32 {
        self.shards * self.keys_per_shard
    }
}

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// When they begin. The clocks have to be set first.
    pub from: Duration,
    /// When they begin no more transactions.
    pub until: Duration,
    /// How many transactions each client has under way at a time.
    pub sessions: u32,
    /// The longest time between two transactions of a session.
    pub think: Duration,
    /// How many transactions in a million write. Every second client only reads.
    pub writing: u32,
    /// How many reading transactions in a million read the past, from any replica.
    pub stale: u32,
    /// How many registers a transaction reads or writes, at most.
    pub width: u32,
}

/// A rule of the protocol that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A commit is shown as soon as a majority has it.
    NoCommitWait,
    /// Every clock states a quarter of its uncertainty.
    TooSure,
    /// The grantor compares the midpoint of its interval with E, although it has to be
    /// certain that E has passed.
    LeaseByMidpoint,
    /// A grantor that lost its state grants at once after a restart.
    NoQuietTerm,
    /// A leader answers reads without checking its lease.
    NoLeaseCheck,
    /// A leader hands its lease over although its last timestamp has not passed.
    NoHandOverWait,
    /// A leader chooses timestamps beyond the end of its lease.
    BeyondLease,
    /// The lock service counts the views, and sends a number before it is on the disk.
    TokenUsedTwice,
    /// A replica accepts a leader, or entries of its log, and says so before it is on the disk.
    PromiseNotPersisted,
}

impl Broken {
    pub const ALL: [Broken; 9] = [
        Broken::NoCommitWait,
        Broken::TooSure,
        Broken::LeaseByMidpoint,
        Broken::NoQuietTerm,
        Broken::NoLeaseCheck,
        Broken::NoHandOverWait,
        Broken::BeyondLease,
        Broken::TokenUsedTwice,
        Broken::PromiseNotPersisted,
    ];

    /// A clause that describes the broken rule.
    pub fn about(self) -> &'static str {
        match self {
            Broken::NoCommitWait => "commit-wait is switched off",
            Broken::TooSure => "the clocks state a quarter of their uncertainty",
            Broken::LeaseByMidpoint => "the grantor judges leases by the midpoint of its interval",
            Broken::NoQuietTerm => "a restarted grantor is not quiet for a term",
            Broken::NoLeaseCheck => "leaders answer reads without checking their lease",
            Broken::NoHandOverWait => "leaders hand their lease over before their stamps passed",
            Broken::BeyondLease => "leaders choose timestamps beyond the end of their lease",
            Broken::TokenUsedTwice => "a restarted lock service uses a token's number twice",
            Broken::PromiseNotPersisted => "replicas promise before the disk has the promise",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Broken::NoCommitWait => "no-commit-wait",
            Broken::TooSure => "too-sure",
            Broken::LeaseByMidpoint => "lease-by-midpoint",
            Broken::NoQuietTerm => "no-quiet-term",
            Broken::NoLeaseCheck => "no-lease-check",
            Broken::NoHandOverWait => "no-hand-over-wait",
            Broken::BeyondLease => "beyond-lease",
            Broken::TokenUsedTwice => "token-used-twice",
            Broken::PromiseNotPersisted => "promise-not-persisted",
        })
    }
}

impl FromStr for Broken {
    type Err = String;

    fn from_str(text: &str) -> Result<Broken, String> {
        Broken::ALL.into_iter().find(|broken| broken.to_string() == text).ok_or_else(|| {
            let known = Broken::ALL.map(|broken| broken.to_string()).join(", ");
            format!("`{text}` is not a rule; use one of {known}")
        })
    }
}

/// Which events are written into the world's trace.
#[derive(Clone, Debug, Default)]
pub enum Watch {
    #[default]
    Nothing,
    /// These transactions, and the leaders of these shards.
    Some { transactions: HashSet<Txn>, shards: HashSet<Shard> },
    /// When each commit is stamped and when it is shown, for the latency table.
    Latency,
}

/// What the nodes of a world share. It has no state of the store.
pub struct Settings {
    pub layout: Layout,
    pub work: Work,
    /// How long a lease lasts.
    pub term: Duration,
    /// How often in a million ticks a leader hands its lease to another replica.
    pub hand_overs: u32,
    pub broken: Option<Broken>,
    pub watch: Watch,
    /// What the clients saw, to be checked afterwards.
    pub history: Rc<RefCell<History>>,
}

impl Settings {
    /// How often a replica does its regular work: twenty times in a term.
    pub fn tick(&self) -> Duration {
        self.term / 20
    }

    pub fn watches(&self, txn: Txn) -> bool {
        matches!(&self.watch, Watch::Some { transactions, .. } if transactions.contains(&txn))
    }

    pub fn watches_shard(&self, shard: Shard) -> bool {
        matches!(&self.watch, Watch::Some { shards, .. } if shards.contains(&shard))
    }

    pub fn times_commits(&self) -> bool {
        matches!(self.watch, Watch::Latency)
    }

    pub fn breaks(&self, rule: Broken) -> bool {
        self.broken == Some(rule)
    }
}
