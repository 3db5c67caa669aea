//! [`Transactions`]: locks, two-phase commit, and the choice of timestamps, at one leader.
//!
//! A client reads under locks and then sends each shard its part of the commit. One shard is
//! the coordinator. Every other shard is a participant: it logs that it is prepared, under a
//! timestamp above all that it has issued or shown, and tells the coordinator. The
//! coordinator chooses a timestamp at or above all of these and its own `latest`. It logs the
//! commit, waits until the timestamp has passed, and only then tells anybody. (Corbett et
//! al., "Spanner", OSDI 2012, sections 4.2.1 and 4.1.2.)
//!
//! Abort is presumed: if the coordinator's shard does not know a transaction and its locks
//! are gone, it can never commit.

use std::collections::BTreeMap;
use std::rc::Rc;

use truechimer::TrueTime;
use truechimer::hlc::Stamp;
use truechimer::sim::{Env, NodeId};

use super::layout::{Key, Shard, Txn, since_began};
use super::leader::Leader;
use super::locks::Locks;
use super::message::{Commit, Entry, LockId, Message, Outcome};
use super::replica::Core;

#[derive(Default)]
pub struct Transactions {
    locks: Locks,
    active: BTreeMap<Txn, Active>,
    /// How many transactions were given locks.
    locked: u64,
}

/// A transaction that has locks here.
struct Active {
    lock: LockId,
    reads: Vec<Key>,
    writes: Vec<Key>,
    stage: Stage,
    /// The tick in which it began.
    since: u64,
    /// The votes, if this shard coordinates. They may arrive before the client's commit.
    prepared: Vec<Vote>,
}

/// A participant's vote: it can commit at this timestamp or later.
struct Vote {
    shard: Shard,
    at: NodeId,
    stamp: Stamp,
}

enum Stage {
    Locked,
    /// This participant has not applied its entry yet. Then it tells this coordinator.
    Preparing(NodeId),
    Prepared(Shard),
    /// The decision is in this participant's log, but is not applied yet.
    Deciding,
    Coordinating {
        client: NodeId,
        participants: Rc<[Shard]>,
    },
    Committing {
        client: NodeId,
    },
}

/// After so many ticks a client loses its locks, and a coordinator gives up waiting.
const LOCK_TICKS: u64 = 5;
/// Every so many ticks a participant asks for the decision.
const INQUIRE_EVERY_TICKS: u64 = 3;

impl Transactions {
    /// The registers that a transaction under way writes here.
    pub fn writes(&self, txn: Txn) -> &[Key] {
        self.active.get(&txn).map_or(&[], |active| &active.writes)
    }
}

impl Leader {
    pub fn transact(
        &mut self,
        core: &mut Core,
        env: &mut Env<'_, Message>,
        from: NodeId,
        message: Message,
    ) {
        match message {
            Message::Lock { txn, reads, writes } => self.lock(core, env, from, txn, reads, writes),
            Message::Unlock { txn, lock } => {
                let active = self.transactions.active.get(&txn);
                if active.is_some_and(|a| a.lock == lock && matches!(a.stage, Stage::Locked)) {
                    self.forget(txn);
                }
            }
            Message::Commit(commit) => self.commit(core, env, from, *commit),
            Message::Prepared { txn, shard, stamp } => {
                self.participant_is_prepared(core, env, txn, Vote { shard, at: from, stamp });
            }
            Message::CannotPrepare { txn } => {
                let active = self.transactions.active.get(&txn);
                if active.is_some_and(|a| !matches!(a.stage, Stage::Committing { .. })) {
                    self.abort(core, env, txn);
                }
            }
            Message::Decided { txn, outcome } => self.decided(core, env, txn, outcome),
            Message::Inquire { txn } => {
                if let Some(outcome) = self.outcome(core, env, txn) {
                    env.send(from, Message::Decided { txn, outcome });
                }
            }
            Message::Ask { txn } => {
                if let Some(outcome) = self.outcome(core, env, txn) {
                    env.send(from, Message::Outcome { txn, outcome });
                }
            }
            _ => {}
        }
    }

    fn lock(
        &mut self,
        core: &Core,
        env: &mut Env<'_, Message>,
        client: NodeId,
        txn: Txn,
        reads: Vec<Key>,
        writes: Vec<Key>,
    ) {
        let shard = core.shard;
        if self.is_leaving() || !self.may_answer(core, env) {
            return env.send(client, Message::NotLeader { txn, shard, leader: None });
        }
        let transactions = &mut self.transactions;
        if transactions.active.contains_key(&txn) || core.state.outcome(txn).is_some() {
            return; // a duplicate
        }
        if !transactions.locks.acquire(txn, &reads, &writes) {
            return env.send(client, Message::Conflict { txn });
        }
        let values = reads.iter().chain(&writes).map(|&key| (key, core.state.newest(key)));
        let values: Vec<_> = values.collect();
        // Views are at least a term apart, in nanoseconds, so no two leaders use the same number.
        transactions.locked += 1;
        let lock = self.view().get() + self.transactions.locked;
        self.activate(txn, lock, reads, writes, Stage::Locked);
        env.send(client, Message::Locked { txn, shard, lock, values });
    }

    fn activate(
        &mut self,
        txn: Txn,
        lock: LockId,
        reads: Vec<Key>,
        writes: Vec<Key>,
        stage: Stage,
    ) {
        let since = self.ticks;
        let active = Active { lock, reads, writes, stage, since, prepared: Vec::new() };
        self.transactions.active.insert(txn, active);
    }

    /// Takes over the prepared transactions of earlier leaders, with their locks and timestamps.
    /// All that they logged must be applied before, because it may include the decisions.
    pub fn adopt_prepared(&mut self, core: &Core) {
        for (&txn, prepared) in core.state.prepared() {
            let (reads, writes) = (prepared.reads.clone(), prepared.writes.clone());
            let free = self.transactions.locks.acquire(txn, &reads, &writes);
            assert!(free, "{txn} was prepared, so it had its locks");
            self.in_flight.insert(txn, prepared.stamp);
            self.activate(txn, 0, reads, writes, Stage::Prepared(prepared.coordinator));
        }
    }

    fn commit(
        &mut self,
        core: &mut Core,
        env: &mut Env<'_, Message>,
        client: NodeId,
        commit: Commit,
    ) {
        let Commit { txn, lock, coordinator, coordinator_at, participants, writes } = commit;
        let coordinates = coordinator == core.shard;
        let active = self.transactions.active.get_mut(&txn).filter(|active| active.lock == lock);
        let Some(active) = active else {
            // Its locks are gone, or it has ended.
            match self.outcome(core, env, txn) {
                Some(outcome) if coordinates => {
                    env.send(client, Message::Outcome { txn, outcome });
                }
                Some(Outcome::Aborted) => env.send(coordinator_at, Message::CannotPrepare { txn }),
                _ => {}
            }
            return;
        };
        if !matches!(active.stage, Stage::Locked) {
            return; // a duplicate
        }
        active.since = self.ticks;
        if coordinates {
            active.stage = Stage::Coordinating { client, participants };
            return self.try_to_decide(core, env, txn);
        }
        let reads = active.reads.clone();
        active.stage = Stage::Preparing(coordinator_at);
        let pending = self.choose(core, None);
        let stamp = pending.as_ref().map(|pending| pending.provisional().to_stored());
        let Some(stamp) = stamp else {
            self.forget(txn);
            return env.send(coordinator_at, Message::CannotPrepare { txn });
        };
        self.in_flight.insert(txn, stamp);
        let stamp = stamp.timestamp().tai_nanos();
        self.replicate(core, env, Entry::Prepared { txn, coordinator, reads, writes, stamp });
    }

    fn participant_is_prepared(
        &mut self,
        core: &mut Core,
        env: &mut Env<'_, Message>,
        txn: Txn,
        vote: Vote,
    ) {
        match self.transactions.active.get_mut(&txn) {
            Some(active) => {
                if active.prepared.iter().all(|other| other.shard != vote.shard) {
                    active.prepared.push(vote);
                }
                self.try_to_decide(core, env, txn);
            }
            None => {
                if let Some(outcome) = self.outcome(core, env, txn) {
                    env.send(vote.at, Message::Decided { txn, outcome });
                }
            }
        }
    }

    /// Commits, if all participants are prepared.
    fn try_to_decide(&mut self, core: &mut Core, env: &mut Env<'_, Message>, txn: Txn) {
        let Some(active) = self.transactions.active.get(&txn) else { return };
        let Stage::Coordinating { client, participants } = &active.stage else { return };
        if active.prepared.len() < participants.len() {
            return;
        }
        let (client, writes) = (*client, active.writes.clone());
        let prepared = active.prepared.iter().map(|vote| vote.stamp).max();
        let Some(pending) = self.choose(core, prepared) else {
            return self.abort(core, env, txn);
        };
        if let Some(active) = self.transactions.active.get_mut(&txn) {
            active.stage = Stage::Committing { client };
        }
        let at = pending.timestamp();
        if core.settings.watches(txn) {
            env.log(format!("commits {txn} at {}", since_began(at)));
        }
        if core.settings.times_commits() {
            let width = env.clock().now().map_or(0, |now| now.width().as_nanos());
            env.log(format!("stamped {txn} {width}"));
        }
        self.in_flight.insert(txn, pending.provisional().to_stored());
        self.wait_out(txn, pending);
        self.replicate(core, env, Entry::Committed { txn, writes, stamp: at.tai_nanos() });
    }

    /// A participant logs the decision of its coordinator.
    fn decided(&mut self, core: &mut Core, env: &mut Env<'_, Message>, txn: Txn, outcome: Outcome) {
        let Some(active) = self.transactions.active.get_mut(&txn) else { return };
        let Stage::Prepared(_) = active.stage else { return };
        active.stage = Stage::Deciding;
        let writes = active.writes.clone();
        let entry = match outcome {
            Outcome::Committed(at) => {
                self.note_waited_out(txn);
                Entry::Committed { txn, writes, stamp: at.tai_nanos() }
            }
            Outcome::Aborted => Entry::Aborted { txn },
        };
        self.replicate(core, env, entry);
    }

    /// Reacts to an entry that was just applied.
    pub fn applied(&mut self, core: &Core, env: &mut Env<'_, Message>, entry: &Entry) {
        match *entry {
            Entry::Prepared { txn, coordinator, .. } => {
                let Some(active) = self.transactions.active.get_mut(&txn) else { return };
                let Stage::Preparing(coordinator_at) = active.stage else { return };
                active.stage = Stage::Prepared(coordinator);
                active.since = self.ticks;
                let Some(&stamp) = self.in_flight.get(&txn) else { return };
                env.send(coordinator_at, Message::Prepared { txn, shard: core.shard, stamp });
            }
            Entry::Committed { txn, stamp, .. } => {
                let Some(Active { stage, prepared, .. }) = self.forget(txn) else { return };
                let Stage::Committing { client } = stage else { return };
                let at = truechimer::Timestamp::from_tai_nanos(stamp);
                let outcome = Outcome::Committed(at);
                if core.settings.watches(txn) {
                    env.log(format!("shows {txn}, committed at {}", since_began(at)));
                }
                if core.settings.times_commits() {
                    env.log(format!("shown {txn}"));
                }
                env.send(client, Message::Outcome { txn, outcome });
                for vote in prepared {
                    env.send(vote.at, Message::Decided { txn, outcome });
                }
            }
            Entry::Aborted { txn } => {
                self.forget(txn);
            }
        }
    }

    /// The outcome of a transaction that this shard coordinates, if it is settled.
    fn outcome(&self, core: &Core, env: &Env<'_, Message>, txn: Txn) -> Option<Outcome> {
        let known = core.state.outcome(txn);
        let is_under_way = self.transactions.active.contains_key(&txn);
        let cannot_commit = || !is_under_way && self.may_answer(core, env);
        known.or_else(|| cannot_commit().then_some(Outcome::Aborted))
    }

    /// Gives up a transaction that this shard coordinates.
    fn abort(&mut self, core: &Core, env: &mut Env<'_, Message>, txn: Txn) {
        let Some(Active { stage, prepared, .. }) = self.forget(txn) else { return };
        let outcome = Outcome::Aborted;
        if core.settings.watches(txn) {
            env.log(format!("aborts {txn}"));
        }
        if let Stage::Coordinating { client, .. } = stage {
            env.send(client, Message::Outcome { txn, outcome });
        }
        for vote in prepared {
            env.send(vote.at, Message::Decided { txn, outcome });
        }
    }

    /// Removes a transaction that has ended here, and releases its locks.
    fn forget(&mut self, txn: Txn) -> Option<Active> {
        self.in_flight.remove(&txn);
        let active = self.transactions.active.remove(&txn)?;
        let keys = active.reads.iter().chain(&active.writes).copied();
        self.transactions.locks.release(txn, keys);
        Some(active)
    }

    /// Ends transactions that take too long, and asks for decisions that did not arrive.
    pub fn tick_transactions(&mut self, core: &mut Core, env: &mut Env<'_, Message>) {
        let mut late = Vec::new();
        for (&txn, active) in &self.transactions.active {
            let age = self.ticks - active.since;
            match active.stage {
                Stage::Locked | Stage::Coordinating { .. } if age > LOCK_TICKS => late.push(txn),
                Stage::Prepared(coordinator)
                    if age % INQUIRE_EVERY_TICKS == INQUIRE_EVERY_TICKS - 1 =>
                {
                    for node in core.settings.layout.group(coordinator) {
                        env.send(node, Message::Inquire { txn });
                    }
                }
                _ => {}
            }
        }
        for txn in late {
            self.abort(core, env, txn);
        }
    }
}
