//! [`Leader`]: the replica that holds the lease. It replicates, waits, and shows commits.
//!
//! An entry is *chosen* once a majority has it. It is *applied*, and so visible to clients,
//! once its timestamp has certainly passed as well. The first takes a round trip, the second
//! twice the uncertainty of the clock. They overlap.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use truechimer::fence::FencingToken;
use truechimer::hlc::{PendingCommit, Stamp};
use truechimer::lease::{Command, CommitError, Grant, HolderId, Lease, LeaseError};
use truechimer::sim::{Env, NodeId, SimClock};
use truechimer::{Hlc, Timestamp, TrueTime};

use super::layout::{Broken, Key, Txn, since_began};
use super::message::{Append, Entry, Message};
use super::reads::Reads;
use super::replica::{Core, PASSED};
use super::transact::Transactions;

/// The widest interval of a participant's clock. So its timestamp is at most this far beyond
/// this leader's `latest`.
const MAX_WIDTH: Duration = Duration::from_secs(10);

pub struct Leader {
    view: FencingToken,
    lease: Lease,
    /// The replica that the lease is to be handed to. Meanwhile no timestamp is chosen.
    leaving_to: Option<HolderId>,
    /// Makes this leader's timestamps increase. They are above those of earlier leaders, because
    /// each of them lies before the end of its leader's lease, and no lease is handed over before
    /// its timestamps have passed.
    pub hlc: Hlc<SimClock>,
    followers: Vec<Follower>,
    /// Until so many entries are applied, it does not know all earlier decisions.
    ready_at: usize,
    /// The timestamps of transactions that are not applied yet.
    pub in_flight: BTreeMap<Txn, Stamp>,
    /// The commits that nobody may see before their timestamps have passed.
    pending: HashMap<Txn, PendingCommit>,
    /// The commits whose timestamps their coordinator has waited out.
    past: HashSet<Txn>,
    /// The moment for which a timer is set.
    awaited: Option<Timestamp>,
    /// Counts ticks. The lock service takes them as proof of progress.
    pub ticks: u64,
    pub transactions: Transactions,
    reads: Reads,
}

/// What a leader knows about a follower.
struct Follower {
    node: NodeId,
    /// Its name for the lock service, once it is known.
    holder: Option<HolderId>,
    /// How much of this view's log it has. `None` before it has any.
    length: Option<usize>,
    /// The length at the last tick.
    before: Option<usize>,
}

impl Follower {
    fn unknown(node: NodeId) -> Follower {
        Follower { node, holder: None, length: None, before: None }
    }
}

impl Leader {
    pub fn new(core: &Core, env: &mut Env<'_, Message>, lease: Lease) -> Leader {
        let others = core.group.iter().filter(|&&node| node != env.me());
        Leader {
            view: lease.token(),
            lease,
            leaving_to: None,
            hlc: Hlc::new(env.clock().clone()),
            followers: others.map(|&node| Follower::unknown(node)).collect(),
            ready_at: usize::MAX,
            in_flight: BTreeMap::new(),
            pending: HashMap::new(),
            past: HashSet::new(),
            awaited: None,
            ticks: 0,
            transactions: Transactions::default(),
            reads: Reads::default(),
        }
    }

    pub fn view(&self) -> FencingToken {
        self.view
    }

    /// Begins its view, with a log that has every entry that was chosen before.
    pub fn begin(&mut self, core: &mut Core, env: &mut Env<'_, Message>) {
        self.ready_at = core.log.len();
        if core.settings.watches_shard(core.shard) {
            let until = since_began(self.lease.expires());
            env.log(format!("leads shard {} until {until} at least", core.shard));
        }
        let entries = Rc::new(core.log.entries().to_vec());
        core.broadcast(env, &Message::Install { view: self.view, entries });
        if core.applied == self.ready_at {
            self.adopt_prepared(core);
        }
        self.advance(core, env);
    }

    /// Whether it knows all earlier decisions, and no other replica can lead.
    pub fn may_answer(&self, core: &Core, env: &Env<'_, Message>) -> bool {
        let is_held = || self.lease.check(env.clock()).is_ok();
        core.applied >= self.ready_at && (core.settings.breaks(Broken::NoLeaseCheck) || is_held())
    }

    /// Whether it hands its lease over, and so begins nothing new.
    pub fn is_leaving(&self) -> bool {
        self.leaving_to.is_some()
    }

    /// Chooses the timestamp of a transaction, at or above those of its participants. `None` if
    /// it cannot be chosen under this lease.
    pub fn choose(&self, core: &Core, prepared: Option<Stamp>) -> Option<PendingCommit> {
        if self.is_leaving() {
            return None;
        }
        let (hlc, least) = (&self.hlc, prepared.unwrap_or(Stamp::MIN));
        if core.settings.breaks(Broken::BeyondLease) {
            return hlc.commit_stamp_from(least, MAX_WIDTH).ok();
        }
        let chosen: Result<PendingCommit, CommitError> = match prepared {
            Some(least) => self.lease.commit_stamp_from(hlc, least, MAX_WIDTH),
            None => self.lease.commit_stamp(hlc),
        };
        chosen.ok()
    }

    /// Sometimes decides to hand the lease to a follower.
    fn perhaps_leave(&mut self, core: &Core, env: &mut Env<'_, Message>) {
        if self.is_leaving() || !env.random().chance(core.settings.hand_overs) {
            return;
        }
        let known: Vec<HolderId> = self.followers.iter().filter_map(|f| f.holder).collect();
        self.leaving_to = env.random().pick(&known).copied();
    }

    /// The command that hands the lease over, once all its timestamps have passed.
    pub fn hand_over(
        mut self: Box<Self>,
        core: &Core,
        env: &mut Env<'_, Message>,
    ) -> Result<Command, Box<Leader>> {
        let Some(to) = self.leaving_to else { return Err(self) };
        if core.settings.breaks(Broken::NoHandOverWait) {
            return Ok(Command::Transfer { token: self.view, number: u64::MAX, to });
        }
        let Leader { lease, .. } = *self;
        match lease.transfer(env.clock(), to) {
            Ok(command) => Ok(command),
            Err(kept) => {
                self.lease = kept.into_lease();
                if let Some(stamp) = self.lease.newest_stamp() {
                    self.wake_after(env, stamp);
                }
                Err(self)
            }
        }
    }

    pub fn receive(
        &mut self,
        core: &mut Core,
        env: &mut Env<'_, Message>,
        from: NodeId,
        message: Message,
    ) {
        match message {
            Message::Appended { view, length, holder } if view == self.view => {
                let Some(follower) = self.followers.iter_mut().find(|f| f.node == from) else {
                    return;
                };
                follower.holder = Some(holder);
                let is_first = follower.length.is_none();
                follower.length = follower.length.max(Some(length));
                if is_first && length < core.log.len() {
                    self.append(core, env, from, length, Timestamp::MIN);
                }
                self.advance(core, env);
            }
            Message::Snapshot { txn, at, keys } => {
                self.reads.add(txn, from, at, keys);
                self.serve_reads(core, env);
            }
            other => self.transact(core, env, from, other),
        }
    }

    /// Continues when the awaited moment has passed.
    pub fn passed(&mut self, core: &mut Core, env: &mut Env<'_, Message>) {
        self.awaited = None;
        self.advance(core, env);
        self.serve_reads(core, env);
    }

    /// Renews the lease, sends lost entries again, and ends transactions that take too long.
    pub fn tick(&mut self, core: &mut Core, env: &mut Env<'_, Message>) -> Result<(), LeaseError> {
        self.renew(core, env)?;
        let safe = self.promise_safe(core, env);
        for at in 0..self.followers.len() {
            let Follower { node, length, before, .. } = self.followers[at];
            self.followers[at].before = length;
            let Some(length) = length else {
                let entries = Rc::new(core.log.entries().to_vec());
                env.send(node, Message::Install { view: self.view, entries });
                continue;
            };
            // An entry that has not arrived within a tick is sent again.
            let is_stuck = before == Some(length) && length < core.log.len();
            let first = if is_stuck { length } else { core.log.len() };
            self.append(core, env, node, first, safe);
        }
        self.tick_transactions(core, env);
        self.serve_reads(core, env);
        self.perhaps_leave(core, env);
        Ok(())
    }

    /// Renews the lease, each quarter of a term.
    pub fn renew(&mut self, core: &Core, env: &mut Env<'_, Message>) -> Result<(), LeaseError> {
        self.ticks += 1;
        if self.ticks % 5 == 1 {
            let lock_service = core.settings.layout.lock_service_of(core.shard);
            let command = self.lease.renewal(self.ticks);
            env.send(lock_service, Message::Lease { shard: core.shard, command });
        }
        match self.lease.check(env.clock()) {
            Err(error) if !error.is_transient() => Err(error),
            _ => Ok(()),
        }
    }

    pub fn renewed(&self, grant: &Grant) {
        // A late or duplicate answer moves nothing, so its error is ignored.
        let _ = self.lease.renewed(grant);
    }

    /// Adds an entry to the log, and sends it.
    pub fn replicate(&mut self, core: &mut Core, env: &mut Env<'_, Message>, entry: Entry) {
        let first = core.log.len();
        core.log.push(env.disk(), Rc::new(entry));
        for at in 0..self.followers.len() {
            if self.followers[at].length.is_some() {
                self.append(core, env, self.followers[at].node, first, Timestamp::MIN);
            }
        }
        self.advance(core, env);
    }

    fn append(
        &self,
        core: &Core,
        env: &mut Env<'_, Message>,
        to: NodeId,
        first: usize,
        safe: Timestamp,
    ) {
        let entries = core.log.entries().get(first..).unwrap_or_default().to_vec();
        let (view, applied) = (self.view, core.applied);
        env.send(to, Message::Append(Box::new(Append { view, first, entries, applied, safe })));
    }

    /// How many entries a majority has.
    fn chosen(&self, core: &Core) -> usize {
        let mut lengths: Vec<usize> =
            self.followers.iter().map(|follower| follower.length.unwrap_or(0)).collect();
        lengths.push(core.log.len());
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths[core.quorum().size() - 1].min(core.log.len())
    }

    /// Applies the entries that are chosen and whose timestamps have passed.
    fn advance(&mut self, core: &mut Core, env: &mut Env<'_, Message>) {
        let before = core.applied;
        while core.applied < self.chosen(core) {
            let entry = core.log.entries()[core.applied].clone();
            if let Entry::Committed { txn, stamp, .. } = *entry {
                let stamp = Timestamp::from_tai_nanos(stamp);
                if !self.has_passed(core, env, txn, stamp) {
                    self.wake_after(env, stamp);
                    break;
                }
            }
            core.state.apply(&entry);
            core.applied += 1;
            self.applied(core, env, &entry);
            if core.applied == self.ready_at {
                self.adopt_prepared(core);
            }
        }
        if core.applied > before {
            self.serve_reads(core, env);
        }
    }

    /// Commit-wait: whether true time has certainly passed a commit's timestamp.
    fn has_passed(
        &mut self,
        core: &Core,
        env: &Env<'_, Message>,
        txn: Txn,
        stamp: Timestamp,
    ) -> bool {
        if core.settings.breaks(Broken::NoCommitWait) {
            return true;
        }
        match self.pending.remove(&txn).map(|pending| self.hlc.release(pending)) {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                self.pending.insert(txn, error.into_pending());
                false
            }
            // An earlier leader chose it. Its lease has expired or was handed over, so the
            // timestamp has passed.
            None if core.applied < self.ready_at => true,
            // Its coordinator has waited.
            None => self.past.remove(&txn) || env.clock().after(stamp).unwrap_or(false),
        }
    }

    /// Wakes this leader when `t` has passed.
    fn wake_after(&mut self, env: &mut Env<'_, Message>, t: Timestamp) {
        if self.awaited.is_none_or(|awaited| t < awaited) {
            self.awaited = Some(t);
            env.when_past(t, PASSED);
        }
    }

    /// Keeps a commit until its timestamp has passed.
    pub fn wait_out(&mut self, txn: Txn, pending: PendingCommit) {
        self.pending.insert(txn, pending);
    }

    /// Notes a commit whose timestamp another leader has waited out.
    pub fn note_waited_out(&mut self, txn: Txn) {
        self.past.insert(txn);
    }

    /// Answers the reads that can be answered, and refuses those that cannot be answered here.
    fn serve_reads(&mut self, core: &Core, env: &mut Env<'_, Message>) {
        if self.reads.is_empty() {
            return;
        }
        let may_answer = self.may_answer(core, env);
        let (in_flight, transactions) = (&self.in_flight, &self.transactions);
        let is_under_way = |key: Key, at: Stamp| {
            let mut until = in_flight.iter().filter(|&(_, &stamp)| stamp <= at);
            until.any(|(&txn, _)| transactions.writes(txn).contains(&key))
        };
        let next = self.reads.serve(core, env, &self.hlc, may_answer, is_under_way);
        if let Some(next) = next {
            self.wake_after(env, next);
        }
    }

    /// A moment at or below which this leader will add no more transactions.
    fn promise_safe(&mut self, core: &Core, env: &Env<'_, Message>) -> Timestamp {
        let Ok(earliest) = env.clock().earliest() else { return Timestamp::MIN };
        if !self.may_answer(core, env) {
            return Timestamp::MIN;
        }
        let one = Duration::from_nanos(1);
        let first = self.in_flight.values().min().map(|stamp| stamp.timestamp());
        let safe = first.map_or(earliest, |first| first.saturating_sub(one).min(earliest));
        // Note it, so that every timestamp of this leader is above it from here on.
        match self.hlc.note(Stamp::from(safe)) {
            Ok(()) => safe,
            Err(_) => Timestamp::MIN,
        }
    }
}
