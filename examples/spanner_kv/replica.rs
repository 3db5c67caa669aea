//! [`Replica`]: one copy of a shard. It follows, or recovers as a new leader, or leads.
//!
//! Who leads is decided by a lease, and the lease's fencing token is the number of the
//! leader's *view*. A new leader asks all replicas to take nothing from earlier views any
//! more, and what they have; of a majority's logs it takes the longest of the newest view,
//! which has every entry that was ever chosen, installs it everywhere, and goes on from
//! there. (Viewstamped replication: Liskov and Cowling, 2012, with the lease in place of
//! the vote on who is next.)
//!
//! So safety of the *log* rests on tokens and majorities, and not on any clock. The lease
//! is for what a leader does alone: to read without asking a majority, and to choose
//! timestamps that no other leader can have chosen.

use std::rc::Rc;
use std::time::Duration;

use truechimer::Timestamp;
use truechimer::fence::{FencingToken, StaleToken};
use truechimer::lease::{Decision, Holder, HolderId, Refusal};
use truechimer::quorum::Quorum;
use truechimer::sim::{Env, NodeId};

use super::layout::{Settings, Shard};
use super::leader::Leader;
use super::log::Log;
use super::message::{Append, Entry, Message};
use super::state::State;

/// What every replica has, whatever it does.
pub struct Core {
    pub settings: Rc<Settings>,
    pub shard: Shard,
    pub group: Vec<NodeId>,
    pub log: Log,
    /// The first so many entries of the log, applied.
    pub state: State,
    pub applied: usize,
    /// Nothing at or below this moment is missing in `state`.
    pub safe: Timestamp,
}

pub struct Replica {
    core: Core,
    holder: Holder,
    role: Role,
    /// The number of its last question for the lease: an answer to an earlier one, or one
    /// that comes twice, does not make it ask twice.
    asked: u64,
    /// Who led last, for clients that ask here.
    leader: Option<NodeId>,
}

enum Role {
    Follows,
    Recovers(Recovery),
    Leads(Box<Leader>),
}

/// A leader that does not know yet what was chosen before it.
struct Recovery {
    leader: Box<Leader>,
    promises: Vec<NodeId>,
    /// The best log so far: of the newest view, and of these the longest.
    best: (FencingToken, Vec<Rc<Entry>>),
}

/// The timers.
pub const TICK: u64 = 0;
/// What was waited for has passed.
pub const PASSED: u64 = 1;
/// From here on: to ask for the lease for so many less one times.
const ASK_FOR_LEASE: u64 = 2;

impl Core {
    pub fn quorum(&self) -> Quorum {
        Quorum::majority(self.group.len()).expect("a group has members")
    }

    pub fn broadcast(&self, env: &mut Env<'_, Message>, message: &Message) {
        let me = env.me();
        for &node in self.group.iter().filter(|&&node| node != me) {
            env.send(node, message.clone());
        }
    }

    fn apply_up_to(&mut self, count: usize) {
        for entry in &self.log.entries()[self.applied..count.max(self.applied)] {
            self.state.apply(entry);
        }
        self.applied = self.applied.max(count);
    }
}

impl Replica {
    pub fn new(settings: Rc<Settings>, shard: Shard, env: &mut Env<'_, Message>) -> Replica {
        let group = settings.layout.group(shard).collect();
        let log = Log::open(env.disk());
        // Each incarnation is another holder, so that a grant to an earlier one is not its own.
        let id = HolderId(u64::from(env.me().0) << 32 | env.random().below(1 << 32));
        let first = env.random().duration(Duration::ZERO, settings.tick());
        env.set_timer(first, TICK);
        env.set_timer(first, ASK_FOR_LEASE);
        let state = State::default();
        let safe = Timestamp::MIN;
        Replica {
            core: Core { settings, shard, group, log, state, applied: 0, safe },
            holder: Holder::new(id),
            role: Role::Follows,
            asked: 0,
            leader: None,
        }
    }

    pub fn timer(&mut self, env: &mut Env<'_, Message>, timer: u64) {
        match (timer, &mut self.role) {
            (TICK, _) => {
                env.set_timer(self.core.settings.tick(), TICK);
                self.tick(env);
            }
            (PASSED, Role::Leads(leader)) => leader.passed(&mut self.core, env),
            (PASSED, _) => {}
            (number, Role::Follows) if number == ASK_FOR_LEASE + self.asked => {
                self.ask_for_lease(env);
            }
            _ => {}
        }
    }

    fn tick(&mut self, env: &mut Env<'_, Message>) {
        match &mut self.role {
            Role::Leads(leader) => {
                if leader.tick(&mut self.core, env).is_err() {
                    self.step_down(env, "its lease is over");
                }
            }
            Role::Recovers(recovery) => {
                if recovery.leader.renew(&self.core, env).is_err() {
                    return self.step_down(env, "its lease was over before it had begun");
                }
                let view = recovery.leader.view();
                self.core.broadcast(env, &Message::Recover { view });
            }
            Role::Follows => {}
        }
    }

    /// Asks the lock service, which refuses as long as somebody has the lease, and says
    /// when to ask again.
    fn ask_for_lease(&mut self, env: &mut Env<'_, Message>) {
        self.ask_again_in(env, self.core.settings.term);
        let shard = self.core.shard;
        let keeper = self.core.settings.layout.keeper_of(shard);
        env.send(keeper, Message::Lease { shard, command: self.holder.acquire() });
    }

    fn ask_again_in(&mut self, env: &mut Env<'_, Message>, delay: Duration) {
        self.asked += 1;
        env.set_timer(delay, ASK_FOR_LEASE + self.asked);
    }

    fn step_down(&mut self, env: &mut Env<'_, Message>, why: &str) {
        if self.core.settings.watches_shard(self.core.shard) {
            env.log(format!("leads shard {} no longer: {why}", self.core.shard));
        }
        self.role = Role::Follows;
        self.ask_again_in(env, self.core.settings.tick());
    }

    pub fn receive(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
        match message {
            Message::Granted { decision } => self.granted(env, decision),
            Message::Recover { view } => {
                if let Err(stale) = self.promise(env, view) {
                    return env.send(from, Message::Stale { newest: stale.newest });
                }
                let (normal, entries) = (self.core.log.normal(), self.core.log.entries().to_vec());
                env.send(from, Message::Promise { view, normal, entries });
            }
            Message::Promise { view, normal, entries } => {
                self.promised(env, from, view, (normal, entries));
            }
            Message::Install { view, entries } => self.install(env, from, view, &entries),
            Message::Append(append) => self.append(env, from, *append),
            Message::Stale { newest } => self.heard_of(env, newest),
            other => match &mut self.role {
                Role::Leads(leader) => leader.receive(&mut self.core, env, from, other),
                _ => self.turn_away(env, from, other),
            },
        }
    }

    /// What only a leader can answer. A read of the past may be answered by anybody.
    fn turn_away(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
        let (shard, leader) = (self.core.shard, self.leader);
        match message {
            Message::Snapshot { txn, at, keys } if at <= self.core.safe => {
                let values =
                    keys.iter().map(|&key| (key, self.core.state.read_at(key, at))).collect();
                env.send(from, Message::Values { txn, shard, values });
            }
            Message::Snapshot { txn, .. } | Message::Lock { txn, .. } => {
                env.send(from, Message::NotLeader { txn, shard, leader });
            }
            _ => {}
        }
    }

    fn granted(&mut self, env: &mut Env<'_, Message>, decision: Result<Decision, Refusal>) {
        match (decision, &mut self.role) {
            (Ok(Decision::Granted(grant)), Role::Follows) => {
                // Else it came twice, or was meant for an earlier life.
                let Ok(lease) = self.holder.accept(&grant) else { return };
                let view = grant.token;
                if self.promise(env, view).is_err() {
                    return;
                }
                let leader = Box::new(Leader::new(&self.core, env, lease));
                let best = (self.core.log.normal(), self.core.log.entries().to_vec());
                self.role = Role::Recovers(Recovery { leader, promises: vec![env.me()], best });
                self.core.broadcast(env, &Message::Recover { view });
            }
            (Ok(Decision::Renewed(grant)), Role::Recovers(Recovery { leader, .. }))
            | (Ok(Decision::Renewed(grant)), Role::Leads(leader)) => leader.renewed(&grant),
            (Err(Refusal::Taken { retry_after, .. }), Role::Follows) => {
                let later = env.random().duration(Duration::ZERO, Duration::from_millis(2));
                self.ask_again_in(env, retry_after.min(self.core.settings.term) + later);
            }
            _ => {}
        }
    }

    fn promised(
        &mut self,
        env: &mut Env<'_, Message>,
        from: NodeId,
        view: FencingToken,
        (normal, entries): (FencingToken, Vec<Rc<Entry>>),
    ) {
        let Role::Recovers(recovery) = &mut self.role else { return };
        if recovery.leader.view() != view || recovery.promises.contains(&from) {
            return;
        }
        recovery.promises.push(from);
        if (normal, entries.len()) > (recovery.best.0, recovery.best.1.len()) {
            recovery.best = (normal, entries);
        }
        if !self.core.quorum().is_met_by(recovery.promises.len()) {
            return;
        }
        let Role::Recovers(recovery) = std::mem::replace(&mut self.role, Role::Follows) else {
            return;
        };
        let Recovery { mut leader, best: (_, entries), .. } = recovery;
        self.core.log.install(env.disk(), view, &entries);
        self.leader = Some(env.me());
        leader.begin(&mut self.core, env);
        self.role = Role::Leads(leader);
    }

    fn promise(
        &mut self,
        env: &mut Env<'_, Message>,
        view: FencingToken,
    ) -> Result<(), StaleToken> {
        self.core.log.promise(env.disk(), view)?;
        self.heard_of(env, view);
        Ok(())
    }

    /// Somebody leads, or leads soon, with this token.
    fn heard_of(&mut self, env: &mut Env<'_, Message>, newest: FencingToken) {
        let mine = match &self.role {
            Role::Follows => None,
            Role::Recovers(recovery) => Some(recovery.leader.view()),
            Role::Leads(leader) => Some(leader.view()),
        };
        if mine.is_some_and(|mine| newest > mine) {
            self.step_down(env, "it has met a newer leader");
        }
    }

    fn install(
        &mut self,
        env: &mut Env<'_, Message>,
        from: NodeId,
        view: FencingToken,
        entries: &[Rc<Entry>],
    ) {
        if let Err(stale) = self.promise(env, view) {
            return env.send(from, Message::Stale { newest: stale.newest });
        }
        // One that comes twice must not take back what was appended since.
        if self.core.log.normal() != view {
            self.core.log.install(env.disk(), view, entries);
        }
        self.leader = Some(from);
        env.send(from, Message::Appended { view, length: self.core.log.len() });
    }

    fn append(&mut self, env: &mut Env<'_, Message>, from: NodeId, append: Append) {
        let Append { view, first, entries, applied, safe } = append;
        if let Err(stale) = self.promise(env, view) {
            return env.send(from, Message::Stale { newest: stale.newest });
        }
        self.leader = Some(from);
        let core = &mut self.core;
        if core.log.normal() != view {
            return; // its beginning has not been here: the leader sends it until it hears so
        }
        let length = core.log.len();
        if first > length {
            // It has overtaken another, or that one is lost.
            return env.send(from, Message::Appended { view, length });
        }
        for entry in entries.into_iter().skip(length - first) {
            core.log.push(env.disk(), entry);
        }
        // A leader has applied no more than it has logged, and all of that is here now.
        core.apply_up_to(applied);
        core.safe = core.safe.max(safe);
        env.send(from, Message::Appended { view, length: core.log.len() });
    }
}
