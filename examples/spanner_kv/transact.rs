//! [`Transactions`]: locks, two-phase commit, and the choice of timestamps, at one leader.
//!
//! A client reads under locks and then sends each shard its part of the commit. One shard
//! coordinates. Every other logs that it is prepared, under a timestamp above all that it
//! has given or shown, and tells the coordinator. The coordinator chooses a timestamp at or
//! above all of these and at or above its own `latest`, logs the commit, waits until the
//! timestamp has passed, and only then tells anybody. (Corbett et al., "Spanner", OSDI
//! 2012, sections 4.2.1 and 4.1.2.)
//!
//! Abort is presumed: a transaction of which its coordinator's shard knows nothing, with
//! the locks gone, can never commit.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use truechimer::TrueTime;
use truechimer::hlc::{PendingCommit, Stamp};
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
    /// Who is prepared, if this shard coordinates. Their word may come before the client's.
    prepared: Vec<Vote>,
}

/// A participant's word that it can commit, at this timestamp or later.
struct Vote {
    shard: Shard,
    at: NodeId,
    stamp: Stamp,
}

enum Stage {
    Locked,
    /// A participant's log does not have it yet: whom to tell when it has.
    Preparing(NodeId),
    Prepared(Shard),
    /// The decision is in a participant's log, and not applied yet.
    Deciding,
    Coordinating {
        client: NodeId,
        participants: Rc<[Shard]>,
    },
    Committing {
        client: NodeId,
    },
}

/// After so many ticks a client's locks are taken away, and a coordinator waits no longer.
const LOCK_TICKS: u64 = 5;
/// Every so many ticks a participant asks what has been decided.
const INQUIRE_EVERY_TICKS: u64 = 3;
/// A participant's clock gives no interval that is wider, so its timestamp is not further
/// ahead of this leader's `latest`.
const WIDEST: Duration = Duration::from_secs(10);

impl Transactions {
    /// What a transaction that is under way writes here.
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
        if !self.may_answer(core, env) {
            return env.send(client, Message::NotLeader { txn, shard, leader: None });
        }
        let transactions = &mut self.transactions;
        if transactions.active.contains_key(&txn) || core.state.outcome(txn).is_some() {
            return; // it came twice
        }
        if !transactions.locks.acquire(txn, &reads, &writes) {
            return env.send(client, Message::Conflict { txn });
        }
        let values = reads.iter().chain(&writes).map(|&key| (key, core.state.newest(key)));
        let values: Vec<_> = values.collect();
        // Views are a term apart, in nanoseconds: no two leaders give the same number.
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

    /// Takes over what earlier leaders had prepared, with its locks and its timestamp, and
    /// not before all that they have logged is applied: the decision may be among it.
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
            // Its locks are gone, or it is done.
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
            return; // it came twice
        }
        active.since = self.ticks;
        if coordinates {
            active.stage = Stage::Coordinating { client, participants };
            return self.try_to_decide(core, env, txn);
        }
        let reads = active.reads.clone();
        active.stage = Stage::Preparing(coordinator_at);
        let pending = self.hlc.commit_stamp().ok();
        let stamp = pending.as_ref().map(PendingCommit::provisional);
        let Some(stamp) = stamp.filter(|&stamp| self.may_choose(stamp)) else {
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

    /// Commits, if everybody is prepared.
    fn try_to_decide(&mut self, core: &mut Core, env: &mut Env<'_, Message>, txn: Txn) {
        let Some(active) = self.transactions.active.get(&txn) else { return };
        let Stage::Coordinating { client, participants } = &active.stage else { return };
        if active.prepared.len() < participants.len() {
            return;
        }
        let (client, writes) = (*client, active.writes.clone());
        let pending = match active.prepared.iter().map(|vote| vote.stamp).max() {
            Some(prepared) => self.hlc.commit_stamp_from(prepared, WIDEST),
            None => self.hlc.commit_stamp(),
        };
        let pending = pending.ok().filter(|pending| self.may_choose(pending.provisional()));
        let Some(pending) = pending else { return self.abort(core, env, txn) };
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
        self.in_flight.insert(txn, pending.provisional());
        self.waits_for(txn, pending);
        self.replicate(core, env, Entry::Committed { txn, writes, stamp: at.tai_nanos() });
    }

    /// A participant hears what its coordinator has decided.
    fn decided(&mut self, core: &mut Core, env: &mut Env<'_, Message>, txn: Txn, outcome: Outcome) {
        let Some(active) = self.transactions.active.get_mut(&txn) else { return };
        let Stage::Prepared(_) = active.stage else { return };
        active.stage = Stage::Deciding;
        let writes = active.writes.clone();
        let entry = match outcome {
            Outcome::Committed(at) => {
                self.was_waited_for(txn);
                Entry::Committed { txn, writes, stamp: at.tai_nanos() }
            }
            Outcome::Aborted => Entry::Aborted { txn },
        };
        self.replicate(core, env, entry);
    }

    /// What follows from an entry that was just applied.
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

    /// What has become of a transaction that this shard coordinates, if that is settled.
    fn outcome(&self, core: &Core, env: &Env<'_, Message>, txn: Txn) -> Option<Outcome> {
        let known = core.state.outcome(txn);
        let is_under_way = self.transactions.active.contains_key(&txn);
        let never = || !is_under_way && self.may_answer(core, env);
        known.or_else(|| never().then_some(Outcome::Aborted))
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

    /// Frees the locks of a transaction that is done here.
    fn forget(&mut self, txn: Txn) -> Option<Active> {
        self.in_flight.remove(&txn);
        let active = self.transactions.active.remove(&txn)?;
        let keys = active.reads.iter().chain(&active.writes).copied();
        self.transactions.locks.release(txn, keys);
        Some(active)
    }

    /// Ends what takes too long, and asks about what nobody has told.
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
