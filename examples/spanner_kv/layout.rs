//! [`Settings`]: who is who in the world, what the clients do, and which rule is broken.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truechimer::Timestamp;
use truechimer::sim::NodeId;

use super::history::History;

/// When the world begins: 2026-01-01T00:00:00Z.
pub const BEGAN: Timestamp = Timestamp::from_tai_nanos(1_767_225_637_000_000_000);

/// A moment, as the trace counts: from the beginning of the world.
pub fn since_began(t: Timestamp) -> String {
    let nanos = i128::from(t.tai_nanos()) - i128::from(BEGAN.tai_nanos());
    format!("{:.6} s", nanos as f64 / 1e9)
}

/// A register of the store. Its shard follows from its number.
pub type Key = u32;

/// A part of the keys, kept by one group of replicas.
pub type Shard = u32;

/// A transaction. Whoever writes a register writes its own number into it, so that each
/// value names its writer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Txn(pub u64);

impl Txn {
    /// The writer of what every register holds at first.
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

/// How many of each there are. Nodes are numbered in this order.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Lock services, which grant the leases.
    pub keepers: u32,
    pub shards: u32,
    /// Replicas of each shard.
    pub replicas: u32,
    pub clients: u32,
    pub keys_per_shard: u32,
}

/// What a node does.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    Keeper,
    Replica(Shard),
    Client,
}

impl Layout {
    pub fn nodes(&self) -> u32 {
        self.first_client() + self.clients
    }

    fn first_client(&self) -> u32 {
        self.keepers + self.shards * self.replicas
    }

    pub fn role(&self, node: NodeId) -> Role {
        match node.0 {
            n if n < self.keepers => Role::Keeper,
            n if n < self.first_client() => Role::Replica((n - self.keepers) / self.replicas),
            _ => Role::Client,
        }
    }

    pub fn keeper_of(&self, shard: Shard) -> NodeId {
        NodeId(shard % self.keepers)
    }

    /// The replicas of a shard.
    pub fn group(&self, shard: Shard) -> impl Iterator<Item = NodeId> + use<> {
        let first = self.keepers + shard * self.replicas;
        (first..first + self.replicas).map(NodeId)
    }

    /// Keepers and replicas.
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
    /// When they begin: the clocks have to be set first.
    pub from: Duration,
    /// When they begin no more transactions.
    pub until: Duration,
    /// How many transactions each client has under way at a time.
    pub sessions: u32,
    /// The longest time between two transactions of a session.
    pub think: Duration,
    /// Of a million transactions, how many write; of every second client, none does.
    pub writing: u32,
    /// Of a million that only read, how many read the past, at any replica.
    pub stale: u32,
    /// From how many registers a transaction reads or writes, at most.
    pub width: u32,
}

/// A rule of the protocol that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A commit is shown as soon as a majority has it.
    NoCommitWait,
    /// Every clock states a quarter of its uncertainty.
    TooSure,
    /// The grantor takes a lease as valid to E by one number, the middle of its
    /// interval, where it has to be certain that E has passed.
    LeaseByTheMiddle,
    /// A grantor that has forgotten what it granted grants at once after a restart.
    NoQuietTerm,
    /// A leader answers reads without a look at its lease.
    NoLeaseCheck,
}

impl Broken {
    pub const ALL: [Broken; 5] = [
        Broken::NoCommitWait,
        Broken::TooSure,
        Broken::LeaseByTheMiddle,
        Broken::NoQuietTerm,
        Broken::NoLeaseCheck,
    ];

    /// In a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Broken::NoCommitWait => "commit-wait is switched off",
            Broken::TooSure => "the clocks state a quarter of their uncertainty",
            Broken::LeaseByTheMiddle => {
                "the grantor takes leases as valid to E by the middle of its interval"
            }
            Broken::NoQuietTerm => "a restarted grantor is not quiet for a term",
            Broken::NoLeaseCheck => "leaders answer reads without a look at their lease",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Broken::NoCommitWait => "no-commit-wait",
            Broken::TooSure => "too-sure",
            Broken::LeaseByTheMiddle => "lease-by-the-middle",
            Broken::NoQuietTerm => "no-quiet-term",
            Broken::NoLeaseCheck => "no-lease-check",
        })
    }
}

impl FromStr for Broken {
    type Err = String;

    fn from_str(text: &str) -> Result<Broken, String> {
        Broken::ALL.into_iter().find(|broken| broken.to_string() == text).ok_or_else(|| {
            let known = Broken::ALL.map(|broken| broken.to_string()).join(", ");
            format!("`{text}` is no rule to break; there are {known}")
        })
    }
}

/// What is written into the world's trace.
#[derive(Clone, Debug, Default)]
pub enum Watch {
    #[default]
    Nothing,
    /// These transactions, and who leads these shards.
    Some { transactions: HashSet<Txn>, shards: HashSet<Shard> },
    /// When each commit is stamped and when it is shown, for the latency table.
    Latency,
}

/// All that the nodes of a world share. None of it is state of the store.
pub struct Settings {
    pub layout: Layout,
    pub work: Work,
    /// How long a lease lasts.
    pub term: Duration,
    pub broken: Option<Broken>,
    pub watch: Watch,
    /// What the clients saw, for the check afterwards.
    pub history: Rc<RefCell<History>>,
}

impl Settings {
    /// How often a replica looks after what has not happened: twenty times in a term.
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
