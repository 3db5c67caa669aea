//! [`Replica`]: one copy of a shard. It follows, or recovers as a new leader, or leads.
//!
//! A lease decides which replica leads, and the lease's fencing token is the number of the
//! leader's *view*. A new leader asks all replicas to send their logs and to accept no earlier
//! view any more. From the logs of a majority it takes the longest of the newest view, which
//! has every entry that was ever chosen. It installs this log everywhere and continues from
//! there. (This is viewstamped replication, Liskov and Cowling, 2012, with the lease in place
//! of the vote on the next leader.)
//!
//! So the safety of the *log* rests on tokens and majorities, and not on any clock. The lease
//! allows a leader to act alone: to read without asking a majority, and to choose timestamps
//! that no other leader can have chosen.

use std::rc::Rc;
use std::time::Duration;

use truechimer::Timestamp;
use truechimer::fence::FencingToken;
use truechimer::lease::{Command, Decision, GrantError, Holder};
use truechimer::quorum::Quorum;
use truechimer::sim::{Env, NodeId};

use super::layout::{Broken, Settings, Shard, holder_id};
use super::leader::Leader;
use super::log::Log;
use super::message::{Append, Entry, Message};
use super::state::State;

/// The state that every replica has in all roles.
pub struct Core {
    pub settings: Rc<Settings>,
    pub shard: Shard,
    pub group: Vec<NodeId>,
    pub log: Log,
    /// The result of the first `applied` entries of the log.
    pub state: State,
    pub applied: usize,
    /// No transaction at or below this moment is missing in `state`.
    pub safe: Timestamp,
}

pub struct Replica {
    core: Core,
    holder: Holder,
    role: Role,
    /// The request for the lease that was not answered yet. It is sent again as it is.
    asking: Option<Command>,
    /// The command that handed its lease over, until it is answered. It is sent again as it is.
    handing_over: Option<Command>,
    /// The number of its last timer for the lease. Earlier timers are ignored, so that duplicate
    /// answers do not multiply the requests.
    asked: u64,
    /// The last known leader, for clients that ask here.
    leader: Option<NodeId>,
}

enum Role {
    Follows,
    Recovers(Recovery),
    Leads(Box<Leader>),
}

/// A leader that does not know yet which entries were chosen before it.
struct Recovery {
    leader: Box<Leader>,
    promises: Vec<NodeId>,
    /// The best log so far: the longest one of the newest view.
    best: (FencingToken, Vec<Rc<Entry>>),
}

/// The timer of every replica's regular work.
pub const TICK: u64 = 0;
/// The awaited moment has passed.
pub const PASSED: u64 = 1;
/// Plus the number of the request: asks for the lease.
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
        // Where a broken rule loses entries, the log may be shorter than what was applied. The
        // checker has to see the result.
        for entry in self.log.entries().iter().take(count).skip(self.applied) {
            self.state.apply(entry);
        }
        self.applied = self.applied.max(count);
    }
}

impl Replica {
    pub fn new(settings: Rc<Settings>, shard: Shard, env: &mut Env<'_, Message>) -> Replica {
        let group = settings.layout.group(shard).collect();
        let log = match settings.breaks(Broken::PromiseNotPersisted) {
            true => Log::open_unsynced(env.disk()),
            false => Log::open(env.disk()),
        };
        let id = holder_id(env.me(), env.random().below(1 << 32) as u32);
        let first = env.random().duration(Duration::ZERO, settings.tick());
        env.set_timer(first, TICK);
        env.set_timer(first, ASK_FOR_LEASE);
        let state = State::default();
        let safe = Timestamp::MIN;
        Replica {
            core: Core { settings, shard, group, log, state, applied: 0, safe },
            holder: Holder::new(id),
            role: Role::Follows,
            asking: None,
            handing_over: None,
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
            (PASSED, Role::Leads(leader)) => {
                leader.passed(&mut self.core, env);
                self.hand_over(env);
            }
            (PASSED, _) => {}
            (number, Role::Follows) if number == ASK_FOR_LEASE + self.asked => {
                self.ask_for_lease(env);
            }
            _ => {}
        }
    }

    fn tick(&mut self, env: &mut Env<'_, Message>) {
        if let Some(command) = self.handing_over {
            self.send_to_lock_service(env, command);
        }
        match &mut self.role {
            Role::Leads(leader) => match leader.tick(&mut self.core, env) {
                Ok(()) => self.hand_over(env),
                Err(_) => self.step_down(env, "its lease has expired"),
            },
            Role::Recovers(recovery) => {
                if recovery.leader.renew(&self.core, env).is_err() {
                    return self.step_down(env, "its lease expired before it began");
                }
                let view = recovery.leader.view();
                self.core.broadcast(env, &Message::Recover { view });
            }
            Role::Follows => {}
        }
    }

    /// Asks the lock service for the lease. While another replica has it, the answer says when
    /// to ask again.
    fn ask_for_lease(&mut self, env: &mut Env<'_, Message>) {
        self.ask_again_in(env, self.core.settings.term);
        let command = *self.asking.get_or_insert_with(|| self.holder.acquire());
        self.send_to_lock_service(env, command);
    }

    fn send_to_lock_service(&self, env: &mut Env<'_, Message>, command: Command) {
        let shard = self.core.shard;
        let lock_service = self.core.settings.layout.lock_service_of(shard);
        env.send(lock_service, Message::Lease { shard, command });
    }

    /// Hands the lease over, if the leader wants to and all its timestamps have passed.
    fn hand_over(&mut self, env: &mut Env<'_, Message>) {
        let leader = match std::mem::replace(&mut self.role, Role::Follows) {
            Role::Leads(leader) => leader,
            other => return self.role = other,
        };
        match leader.hand_over(&self.core, env) {
            Ok(command) => {
                self.handing_over = Some(command);
                self.send_to_lock_service(env, command);
                self.step_down(env, "it hands its lease over");
            }
            Err(leader) => self.role = Role::Leads(leader),
        }
    }

    fn ask_again_in(&mut self, env: &mut Env<'_, Message>, delay: Duration) {
        self.asked += 1;
        env.set_timer(delay, ASK_FOR_LEASE + self.asked);
    }

    fn step_down(&mut self, env: &mut Env<'_, Message>, why: &str) {
        if self.core.settings.watches_shard(self.core.shard) {
            env.log(format!("no longer leads shard {}: {why}", self.core.shard));
        }
        self.role = Role::Follows;
        self.ask_again_in(env, self.core.settings.tick());
    }

    pub fn receive(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
        match message {
            Message::Granted { command, decision } => self.granted(env, command, decision),
            Message::Recover { view } => {
                if let Err(newest) = self.promise(env, view) {
                    return env.send(from, Message::Stale { newest });
                }
                let (normal, entries) = (self.core.log.normal(), self.core.log.entries().to_vec());
                env.send(from, Message::Promise { view, normal, entries });
            }
            Message::Promise { view, normal, entries } => {
                self.promised(env, from, view, (normal, entries));
            }
            Message::Install { view, entries } => self.install(env, from, view, &entries),
            Message::Append(append) => self.append(env, from, *append),
            Message::Stale { newest } => self.note_view(env, newest),
            other => match &mut self.role {
                Role::Leads(leader) => leader.receive(&mut self.core, env, from, other),
                _ => self.refuse(env, from, other),
            },
        }
    }

    /// Refuses a request that only a leader can answer. Any replica may answer a read of the past.
    fn refuse(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
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

    fn granted(
        &mut self,
        env: &mut Env<'_, Message>,
        command: Command,
        decision: Result<Decision, GrantError>,
    ) {
        // After the answer the next request is a new one.
        for waiting in [&mut self.asking, &mut self.handing_over] {
            *waiting = waiting.filter(|&waiting| waiting != command);
        }
        match (decision, &mut self.role) {
            (Ok(Decision::Granted(grant) | Decision::Transferred(grant)), Role::Follows) => {
                // A duplicate, or a grant to an earlier incarnation, makes no lease.
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
            (Err(refusal @ GrantError::MayBeRepeated { .. }), Role::Follows) => {
                self.holder.refused(&refusal);
                self.ask_for_lease(env);
            }
            (Err(GrantError::Taken { retry_after, .. }), Role::Follows) => {
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
    ) -> Result<(), FencingToken> {
        self.core.log.promise(view).map_err(|_| self.core.log.promised())?;
        self.note_view(env, view);
        Ok(())
    }

    /// Steps down if there is a newer leader, or will be one.
    fn note_view(&mut self, env: &mut Env<'_, Message>, newest: FencingToken) {
        let mine = match &self.role {
            Role::Follows => None,
            Role::Recovers(recovery) => Some(recovery.leader.view()),
            Role::Leads(leader) => Some(leader.view()),
        };
        if mine.is_some_and(|mine| newest > mine) {
            self.step_down(env, "there is a newer leader");
        }
    }

    fn install(
        &mut self,
        env: &mut Env<'_, Message>,
        from: NodeId,
        view: FencingToken,
        entries: &[Rc<Entry>],
    ) {
        if let Err(newest) = self.promise(env, view) {
            return env.send(from, Message::Stale { newest });
        }
        // A duplicate must not remove the entries that were appended since.
        if self.core.log.normal() != view {
            self.core.log.install(env.disk(), view, entries);
        }
        self.leader = Some(from);
        self.confirm(env, from, view);
    }

    /// Tells a leader how much of its log is here.
    fn confirm(&self, env: &mut Env<'_, Message>, leader: NodeId, view: FencingToken) {
        let (length, holder) = (self.core.log.len(), self.holder.id());
        env.send(leader, Message::Appended { view, length, holder });
    }

    fn append(&mut self, env: &mut Env<'_, Message>, from: NodeId, append: Append) {
        let Append { view, first, entries, applied, safe } = append;
        if let Err(newest) = self.promise(env, view) {
            return env.send(from, Message::Stale { newest });
        }
        self.leader = Some(from);
        let core = &mut self.core;
        if core.log.normal() != view {
            return; // the leader sends `Install` until this replica confirms it
        }
        let length = core.log.len();
        if first > length {
            // An earlier message was overtaken or lost.
            return self.confirm(env, from, view);
        }
        for entry in entries.into_iter().skip(length - first) {
            core.log.push(env.disk(), entry);
        }
        // The leader applies no more than it has logged, and all of that is here now.
        core.apply_up_to(applied);
        core.safe = core.safe.max(safe);
        self.confirm(env, from, view);
    }
}
