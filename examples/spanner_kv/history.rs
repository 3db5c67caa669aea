//! [`History`]: what the clients did and saw, in the order of true time.
//!
//! A simulated world handles one event at a time, so a counter orders all beginnings and
//! ends in the same way as true time.

use std::collections::HashMap;
use std::fmt;

use truechimer::Timestamp;

use super::layout::{Key, Txn};

/// A position in the order of all events of a run.
pub type Order = u64;

#[derive(Default)]
pub struct History {
    operations: Vec<Operation>,
    by_txn: HashMap<Txn, usize>,
    now: Order,
    count: Count,
}

/// One transaction, as its client saw it.
#[derive(Clone, Debug)]
pub struct Operation {
    pub txn: Txn,
    pub kind: Kind,
    pub began: Order,
    /// `None` while it is under way, and for ever if its client got no answer.
    pub ended: Option<Order>,
    pub end: End,
    /// Each register that it read, with the writer of the value. It reads whatever it writes.
    pub reads: Vec<(Key, Txn)>,
    /// The registers that it wrote, if it committed.
    pub writes: Vec<Key>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Reads and writes.
    Writing,
    /// Reads at a moment that had not passed when it began.
    Reading(Timestamp),
    /// Reads at a moment that had passed when it began.
    Stale(Timestamp),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It may have happened, or may still happen, or never.
    Unknown,
    Committed(Timestamp),
    /// It only read, so it has no timestamp of its own.
    Read,
    /// It did not happen, and never will.
    Aborted,
}

impl History {
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn operation(&self, txn: Txn) -> Option<&Operation> {
        self.operations.get(*self.by_txn.get(&txn)?)
    }

    pub fn begin(&mut self, txn: Txn, kind: Kind) {
        let began = self.tick();
        self.count.unknown += 1;
        self.by_txn.insert(txn, self.operations.len());
        let (reads, writes) = (Vec::new(), Vec::new());
        self.operations.push(Operation {
            txn,
            kind,
            began,
            ended: None,
            end: End::Unknown,
            reads,
            writes,
        });
    }

    /// Records what a transaction has read so far, and what it will write.
    ///
    /// # Panics
    ///
    /// If it writes a register that it has not read, because the checker could not order that.
    pub fn saw(&mut self, txn: Txn, reads: Vec<(Key, Txn)>, writes: Vec<Key>) {
        let is_read = |key: &Key| reads.iter().any(|(read, _)| read == key);
        assert!(writes.iter().all(is_read), "{txn} writes a register that it has not read");
        if let Some(&at) = self.by_txn.get(&txn) {
            (self.operations[at].reads, self.operations[at].writes) = (reads, writes);
        }
    }

    pub fn end(&mut self, txn: Txn, end: End) {
        let now = self.tick();
        let Some(&at) = self.by_txn.get(&txn) else { return };
        (self.operations[at].ended, self.operations[at].end) = (Some(now), end);
        self.count.unknown -= 1;
        *match end {
            End::Committed(_) => &mut self.count.committed,
            End::Read => &mut self.count.read,
            End::Aborted => &mut self.count.aborted,
            End::Unknown => &mut self.count.unknown,
        } += 1;
    }

    fn tick(&mut self) -> Order {
        self.now += 1;
        self.now
    }

    /// How many transactions have each end.
    pub fn count(&self) -> Count {
        self.count
    }
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Count {
    pub committed: u64,
    pub read: u64,
    pub aborted: u64,
    pub unknown: u64,
}

impl Count {
    /// Transactions that committed or read.
    pub fn done(&self) -> u64 {
        self.committed + self.read
    }

    pub fn plus(self, other: Count) -> Count {
        Count {
            committed: self.committed + other.committed,
            read: self.read + other.read,
            aborted: self.aborted + other.aborted,
            unknown: self.unknown + other.unknown,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { committed, read, aborted, unknown } = self;
        let done = self.done();
        write!(
            f,
            "{done} transactions done ({committed} writing, {read} reading), {aborted} aborted, \
             {unknown} of unknown end"
        )
    }
}

/// `k3 = T7.2, k4 = nobody`
pub fn seen(values: &[(Key, Txn)]) -> String {
    let values: Vec<_> = values.iter().map(|(key, writer)| format!("k{key} = {writer}")).collect();
    values.join(", ")
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Writing => "read and wrote",
            Kind::Reading(_) => "read",
            Kind::Stale(_) => "read the past",
        };
        write!(f, "{} {what}: saw {}", self.txn, seen(&self.reads))?;
        if !self.writes.is_empty() {
            let keys: Vec<_> = self.writes.iter().map(|key| format!("k{key}")).collect();
            write!(f, "; wrote {}", keys.join(", "))?;
        }
        match self.end {
            End::Unknown => f.write_str("; its client got no answer"),
            End::Aborted => f.write_str("; aborted"),
            End::Committed(_) | End::Read => Ok(()),
        }
    }
}
