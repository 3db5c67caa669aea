//! [`Client`]: several sessions, each of which runs one transaction after the other.
//!
//! A writing transaction reads under locks, then commits. A reading transaction reads at its
//! own clock's `latest`, because everything that was acknowledged before it began is at or
//! below that moment. A stale transaction reads at a moment that has certainly passed, from
//! any replica.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use truechimer::sim::{Env, NodeId};
use truechimer::{Timestamp, TrueTime};

use super::history::{End, Kind, seen};
use super::layout::{BEGAN, Key, Settings, Shard, Txn};
use super::message::{Commit, LockId, Message, Outcome};

pub struct Client {
    settings: Rc<Settings>,
    transactions: u32,
    sessions: Vec<Session>,
    /// The leader of each shard, as far as this client knows.
    leaders: HashMap<Shard, NodeId>,
}

#[derive(Default)]
struct Session {
    txn: Option<Txn>,
    stage: Stage,
    tries: u32,
    /// Numbers the timers, so that the timer of an earlier stage is ignored.
    timer: u32,
}

/// The registers of a transaction in one shard.
#[derive(Clone, Default)]
struct Keys {
    reads: Vec<Key>,
    writes: Vec<Key>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    /// Waits for the locks of the shards in `parts`, and has those in `locks`.
    Locking {
        parts: BTreeMap<Shard, Keys>,
        locks: BTreeMap<Shard, (LockId, NodeId)>,
        values: Vec<(Key, Txn)>,
    },
    /// Waits for the coordinator's answer.
    Committing { coordinator: Shard },
    /// Waits for the values of the shards in `parts`.
    Reading { at: Timestamp, parts: BTreeMap<Shard, Keys>, values: Vec<(Key, Txn)>, stale: bool },
}

/// How long a client waits for an answer before it asks again.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(20);
/// After so many timeouts a client gives up.
const MAX_TRIES: u32 = 100;
/// How long ago the moment of a stale read is, at most.
const MAX_STALENESS: Duration = Duration::from_millis(200);

impl Client {
    pub fn new(settings: Rc<Settings>, env: &mut Env<'_, Message>) -> Client {
        let sessions = settings.work.sessions;
        for session in 0..sessions {
            let later = env.random().duration(Duration::ZERO, settings.work.think);
            env.set_timer(settings.work.from + later, u64::from(session) << 32);
        }
        let sessions = (0..sessions).map(|_| Session::default()).collect();
        Client { settings, transactions: 0, sessions, leaders: HashMap::new() }
    }

    pub fn timer(&mut self, env: &mut Env<'_, Message>, timer: u64) {
        let (at, timer) = ((timer >> 32) as usize, timer as u32);
        let session = &mut self.sessions[at];
        if session.timer != timer {
            return;
        }
        session.tries += 1;
        let given_up = session.tries > MAX_TRIES;
        match &session.stage {
            Stage::Idle => self.begin(env, at),
            Stage::Locking { .. } => self.give_up(env, at),
            Stage::Committing { .. } if given_up => self.end(env, at, End::Unknown),
            Stage::Reading { .. } if given_up => self.end(env, at, End::Aborted),
            Stage::Committing { coordinator } => {
                if let Some(txn) = session.txn {
                    for node in self.settings.layout.group(*coordinator) {
                        env.send(node, Message::Ask { txn });
                    }
                }
                self.set_timer(env, at, REQUEST_TIMEOUT);
            }
            Stage::Reading { .. } => self.read(env, at),
        }
    }

    fn set_timer(&mut self, env: &mut Env<'_, Message>, at: usize, delay: Duration) {
        let session = &mut self.sessions[at];
        session.timer = session.timer.wrapping_add(1);
        env.set_timer(delay, (at as u64) << 32 | u64::from(session.timer));
    }

    /// Begins the next transaction of a session.
    fn begin(&mut self, env: &mut Env<'_, Message>, at: usize) {
        let work = self.settings.work;
        // Without a reading of the clock, try again later.
        let Ok(now) = env.clock().now() else { return self.set_timer(env, at, REQUEST_TIMEOUT) };
        if now.earliest() > BEGAN.saturating_add(work.until) {
            return;
        }
        // Every second client only reads, so that a leader that cannot commit does not block it.
        let writes = env.me().0 % 2 == 0 && env.random().chance(work.writing);
        let stale = !writes && env.random().chance(work.stale);
        let parts = self.draw_keys(env, writes);
        let past = env.random().duration(Duration::ZERO, MAX_STALENESS);
        let kind = match (writes, stale) {
            (true, _) => Kind::Writing,
            (_, false) => Kind::Reading(now.latest()),
            (_, true) => Kind::Stale(now.earliest().saturating_sub(past)),
        };
        self.transactions += 1;
        let txn = Txn::new(env.me(), self.transactions);
        self.settings.history.borrow_mut().begin(txn, kind);
        if self.settings.watches(txn) {
            env.log(format!("{txn} begins"));
        }
        let session = &mut self.sessions[at];
        (session.txn, session.tries) = (Some(txn), 0);
        match kind {
            Kind::Writing => self.lock(env, at, txn, parts),
            Kind::Reading(t) | Kind::Stale(t) => {
                session.stage = Stage::Reading { at: t, parts, values: Vec::new(), stale };
                self.read(env, at);
            }
        }
    }

    /// Draws random registers, grouped by shard. A writing transaction writes at least one of them.
    fn draw_keys(&self, env: &mut Env<'_, Message>, writes: bool) -> BTreeMap<Shard, Keys> {
        let Settings { work, layout, .. } = &*self.settings;
        let width = 1 + env.random().below(u64::from(work.width)) as usize;
        let mut keys: Vec<Key> = Vec::new();
        while keys.len() < width.min(layout.keys() as usize) {
            let key = env.random().below(u64::from(layout.keys())) as Key;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut parts: BTreeMap<Shard, Keys> = BTreeMap::new();
        for (i, &key) in keys.iter().enumerate() {
            let part = parts.entry(layout.shard_of(key)).or_default();
            let is_written = writes && (i == 0 || env.random().chance(500_000));
            if is_written { part.writes.push(key) } else { part.reads.push(key) }
        }
        parts
    }

    /// Requests the locks of a writing transaction from every shard.
    fn lock(
        &mut self,
        env: &mut Env<'_, Message>,
        at: usize,
        txn: Txn,
        parts: BTreeMap<Shard, Keys>,
    ) {
        let (locks, values) = (BTreeMap::new(), Vec::new());
        self.sessions[at].stage = Stage::Locking { parts: parts.clone(), locks, values };
        for (shard, Keys { reads, writes }) in parts {
            let leader = self.leader(env, shard);
            env.send(leader, Message::Lock { txn, reads, writes });
        }
        self.set_timer(env, at, REQUEST_TIMEOUT * 2);
    }

    /// Requests the values that a reading transaction does not have yet.
    fn read(&mut self, env: &mut Env<'_, Message>, at: usize) {
        let Session { txn: Some(txn), stage, tries, .. } = &self.sessions[at] else { return };
        let Stage::Reading { at: t, parts, stale, .. } = stage else { return };
        let (txn, t, stale, tries) = (*txn, *t, *stale, *tries);
        let parts: Vec<_> = parts.iter().map(|(&s, part)| (s, part.reads.clone())).collect();
        for (shard, keys) in parts {
            let to = match stale || tries > 1 {
                true => self.any_replica(env, shard),
                false => self.leader(env, shard),
            };
            env.send(to, Message::Snapshot { txn, at: t, keys });
        }
        self.set_timer(env, at, REQUEST_TIMEOUT);
    }

    /// The leader of a shard, as far as this client knows. Now and then it tries any replica, to
    /// notice a change.
    fn leader(&mut self, env: &mut Env<'_, Message>, shard: Shard) -> NodeId {
        let tries_another = env.random().chance(100_000);
        let known = self.leaders.get(&shard).copied().filter(|_| !tries_another);
        known.unwrap_or_else(|| self.any_replica(env, shard))
    }

    fn any_replica(&self, env: &mut Env<'_, Message>, shard: Shard) -> NodeId {
        let group: Vec<_> = self.settings.layout.group(shard).collect();
        *env.random().pick(&group).expect("a group has members")
    }

    pub fn receive(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
        match message {
            Message::Locked { txn, shard, lock, values } => match self.session(txn) {
                Some(at) => self.locked(env, at, (shard, lock, from), values),
                None => env.send(from, Message::Unlock { txn, lock }),
            },
            Message::Values { txn, shard, values } => {
                if let Some(at) = self.session(txn) {
                    self.values(env, at, shard, values);
                }
            }
            Message::Conflict { txn } => {
                if let Some(at) = self.session(txn) {
                    self.give_up(env, at);
                }
            }
            Message::NotLeader { txn, shard, leader } => {
                if let Some(at) = self.session(txn) {
                    self.look_elsewhere(env, at, (shard, from), leader);
                }
            }
            Message::Outcome { txn, outcome } => {
                let Some(at) = self.session(txn) else { return };
                if let Stage::Committing { coordinator } = self.sessions[at].stage {
                    self.leaders.insert(coordinator, from);
                    self.end(
                        env,
                        at,
                        match outcome {
                            Outcome::Committed(at) => End::Committed(at),
                            Outcome::Aborted => End::Aborted,
                        },
                    );
                }
            }
            _ => {}
        }
    }

    /// The session that runs this transaction.
    fn session(&self, txn: Txn) -> Option<usize> {
        self.sessions.iter().position(|session| session.txn == Some(txn))
    }

    fn locked(
        &mut self,
        env: &mut Env<'_, Message>,
        at: usize,
        (shard, lock, leader): (Shard, LockId, NodeId),
        new: Vec<(Key, Txn)>,
    ) {
        self.leaders.insert(shard, leader);
        let Session { txn: Some(txn), stage, .. } = &mut self.sessions[at] else { return };
        let Stage::Locking { parts, locks, values } = stage else { return };
        if locks.contains_key(&shard) {
            return;
        }
        locks.insert(shard, (lock, leader));
        values.extend(new);
        if locks.len() < parts.len() {
            return;
        }
        let (txn, locks) = (*txn, std::mem::take(locks));
        let (parts, values) = (std::mem::take(parts), std::mem::take(values));
        let written: Vec<Key> = parts.values().flat_map(|part| &part.writes).copied().collect();
        if self.settings.watches(txn) {
            env.log(format!("{txn} has its locks, and saw {}", seen(&values)));
        }
        let coordinator = self.settings.layout.shard_of(written[0]);
        let participants: Rc<[Shard]> =
            parts.keys().copied().filter(|&shard| shard != coordinator).collect();
        self.settings.history.borrow_mut().saw(txn, values, written);
        self.sessions[at].stage = Stage::Committing { coordinator };
        let coordinator_at = locks[&coordinator].1;
        for (shard, Keys { writes, .. }) in parts {
            let (lock, leader) = locks[&shard];
            let participants = participants.clone();
            let commit = Commit { txn, lock, coordinator, coordinator_at, participants, writes };
            env.send(leader, Message::Commit(Box::new(commit)));
        }
        self.set_timer(env, at, REQUEST_TIMEOUT);
    }

    fn values(
        &mut self,
        env: &mut Env<'_, Message>,
        at: usize,
        shard: Shard,
        new: Vec<(Key, Txn)>,
    ) {
        let Session { txn: Some(txn), stage, .. } = &mut self.sessions[at] else { return };
        let Stage::Reading { parts, values, .. } = stage else { return };
        if parts.remove(&shard).is_none() {
            return;
        }
        values.extend(new);
        if parts.is_empty() {
            let (txn, values) = (*txn, std::mem::take(values));
            self.settings.history.borrow_mut().saw(txn, values, Vec::new());
            self.end(env, at, End::Read);
        }
    }

    /// Reacts to a replica that does not lead its shard.
    fn look_elsewhere(
        &mut self,
        env: &mut Env<'_, Message>,
        at: usize,
        (shard, asked): (Shard, NodeId),
        leader: Option<NodeId>,
    ) {
        match leader.filter(|&leader| leader != asked) {
            Some(leader) => self.leaders.insert(shard, leader),
            None => self.leaders.remove(&shard),
        };
        match self.sessions[at].stage {
            Stage::Locking { .. } => self.give_up(env, at),
            // Wait a little, because there may be no leader at the moment.
            Stage::Reading { .. } => self.set_timer(env, at, REQUEST_TIMEOUT / 10),
            _ => {}
        }
    }

    /// Gives up a transaction that has not tried to commit, and releases its locks.
    fn give_up(&mut self, env: &mut Env<'_, Message>, at: usize) {
        let Session { txn: Some(txn), stage, .. } = &self.sessions[at] else { return };
        let Stage::Locking { parts, locks, .. } = stage else { return };
        let silent: Vec<_> = parts.keys().filter(|shard| !locks.contains_key(shard)).collect();
        for &(lock, leader) in locks.values() {
            env.send(leader, Message::Unlock { txn: *txn, lock });
        }
        for shard in silent {
            self.leaders.remove(shard);
        }
        self.end(env, at, End::Aborted);
    }

    fn end(&mut self, env: &mut Env<'_, Message>, at: usize, end: End) {
        let Some(txn) = self.sessions[at].txn.take() else { return };
        self.sessions[at].stage = Stage::Idle;
        if end != End::Unknown {
            self.settings.history.borrow_mut().end(txn, end);
        }
        if self.settings.watches(txn) {
            let history = self.settings.history.borrow();
            let what = history.operation(txn).map_or("".into(), |o| seen(&o.reads));
            match end {
                End::Read => env.log(format!("{txn} ends: saw {what}")),
                End::Committed(_) => env.log(format!("{txn} is acknowledged to its client")),
                End::Aborted => env.log(format!("{txn} is aborted")),
                End::Unknown => env.log(format!("{txn} is given up, because no answer came")),
            }
        }
        self.sessions[at].tries = 0;
        let think = env.random().duration(Duration::ZERO, self.settings.work.think);
        self.set_timer(env, at, think);
    }
}
