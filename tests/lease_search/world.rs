//! [`World`]: one state of everything: true time, the grantor, two nodes, the network, the resource.

mod grid;
mod steps;
mod text;

use truechimer::fence::{Fence, FencingToken};
use truechimer::lease::{Command, Decision, Grant, GrantError, Grantor, HolderId, Lease};
use truechimer::{Interval, Timestamp};

use crate::fault::Fault;
use crate::node::{Held, Node, Reads, pending};
use grid::{at, moved, moved_back, span, ticks};
use text::{Ticks, asked, moment, name, said, token};

/// One step of true time, in nanoseconds. It is more than one, so that an action can be later than
/// another one at the same place of the grid.
const TICK: i64 = 1_000;
/// The true time at the beginning, in ticks.
const START: i64 = 10;

/// How large a world is. All times are in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Size {
    /// How long true time goes on.
    pub ticks: i64,
    /// How far either end of a reading may lie from true time.
    pub error: i64,
    pub term: i64,
    /// How many requests for the lease each holder makes.
    pub requests: u64,
    /// How many commands each lease makes: renewals, and its release or transfer.
    pub commands: u64,
    /// How many transfers there are. Each begins a lease, which could be transferred on.
    pub transfers: usize,
    /// How many commit stamps each holder takes.
    pub stamps: u8,
    /// How often the grantor restarts without its state; or with an old one, if each holder asks
    /// only once, to keep the world small.
    pub restarts: u8,
    /// Whether the resource is written, by holders that may be late.
    pub writes: bool,
    /// Whether both ends of each reading vary, also the end that the shipping code does not use,
    /// repeats are decided on at each reading, and answers reach the wrong node too.
    pub both_ends: bool,
}

/// Something that can happen. A `usize` is a node, or a place in `sent`.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Tick,
    Ask(usize),
    /// The grantor gets a command, for the first time or again.
    Deliver(usize, Interval),
    /// A node gets an answer to a command, for the first time or again.
    Answer {
        command: usize,
        answer: usize,
        to: usize,
    },
    Stamp(usize, Interval),
    Show(usize, Interval),
    Renew(usize),
    Release(usize, Interval),
    Transfer(usize, Interval),
    Drop(usize),
    Expire(Interval),
    Write(usize),
    Store,
    RestartWithTheOldState(Interval),
    RestartWithoutState(Interval),
}

/// A command that was sent, with all answers to it. The network keeps both for ever: it delivers
/// each of them at any time later, as often as it likes, or never.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sent {
    command: Command,
    answers: Vec<Result<Decision, GrantError>>,
    /// The grantor has lost the state in which it gave the last answer.
    is_forgotten: bool,
}

/// The commit stamps that were taken under one token.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stamped {
    token: FencingToken,
    least: Timestamp,
    greatest: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    size: Size,
    fault: Fault,
    /// True time in ticks since the beginning.
    pub now: i64,
    grantor: Grantor,
    /// A state of the grantor that was stored, for a restart to find.
    stored: Option<Grantor>,
    /// Where the grantor's time line begins. It is 0 without a fault.
    zero: i64,
    restarts_left: u8,
    nodes: [Node; 2],
    sent: Vec<Sent>,
    fence: FencingToken,
    // What follows is not known to anybody. The promises are stated with it.
    /// The largest token that was ever granted.
    newest: FencingToken,
    /// The largest token that has written.
    written: FencingToken,
    stamped: Vec<Stamped>,
    /// The greatest commit that was shown. `None` once it has passed.
    shown: Option<Timestamp>,
}

/// Collects what is said about a step, for a timeline.
pub enum Notes {
    Off,
    On(String),
}

impl Notes {
    fn say(&mut self, text: impl FnOnce() -> String) {
        if let Notes::On(all) = self {
            all.push_str(&text());
        }
    }
}

/// A broken promise.
type Broken = String;

impl World {
    pub fn new(size: Size, fault: Fault) -> World {
        World {
            size,
            fault,
            now: 0,
            grantor: Grantor::durable(ticks(size.term)).expect("a term"),
            stored: None,
            zero: 0,
            restarts_left: size.restarts,
            nodes: [Node::new(1, size.stamps), Node::new(2, size.stamps)],
            sent: Vec::new(),
            fence: FencingToken::MIN,
            newest: FencingToken::MIN,
            written: FencingToken::MIN,
            stamped: Vec::new(),
            shown: None,
        }
    }

    fn truth(&self) -> Timestamp {
        at(self.now)
    }

    /// Does one step, and checks every promise.
    pub fn take(&mut self, step: Step, notes: &mut Notes) -> Result<(), Broken> {
        match step {
            Step::Tick => {
                self.now += 1;
                notes.say(|| "time goes on".into());
            }
            Step::Ask(node) => {
                let mut holder = self.nodes[node].holder();
                let command = holder.acquire();
                self.nodes[node].learn_from(holder);
                notes.say(|| format!("{} asks for the lease", name(node)));
                self.send(command);
            }
            Step::Deliver(command, now) => self.deliver(command, now, notes)?,
            Step::Answer { command, answer, to } => {
                let answer = self.sent[command].answers[answer];
                notes.say(|| format!("{} gets the answer: {}", name(to), said(&answer)));
                self.answered(to, &answer, notes);
            }
            Step::Stamp(node, now) => self.stamp(node, now, notes)?,
            Step::Show(node, now) => self.show(node, now, notes),
            Step::Renew(node) => {
                let held = self.nodes[node].lease.as_mut().expect("only with a lease");
                held.commands += 1;
                let command = {
                    let before = Held { commands: held.commands - 1, ..held.clone() };
                    before.lease().renewal(held.commands)
                };
                notes.say(|| format!("{} asks to renew its lease", name(node)));
                self.send(command);
            }
            Step::Release(node, now) => self.hand_over(node, now, None, notes),
            Step::Transfer(node, now) => self.hand_over(node, now, Some(1 - node), notes),
            Step::Drop(node) => {
                self.nodes[node].lease = None;
                notes.say(|| format!("{} drops its lease", name(node)));
            }
            Step::Expire(now) => {
                let answer = self.grantor.apply(Some(self.read_by_grantor(now)), Command::Expire);
                notes.say(|| {
                    format!(
                        "the grantor, whose clock reads {}, looks for an expired lease: {}",
                        Ticks(now),
                        said(&answer)
                    )
                });
            }
            Step::Write(node) => self.write(node, notes)?,
            Step::Store => {
                self.stored = Some(self.grantor.clone());
                notes.say(|| "the grantor's state is stored".into());
            }
            Step::RestartWithTheOldState(now) => {
                notes.say(|| {
                    format!(
                        "the grantor restarts with the stored state, and its clock reads {}",
                        Ticks(now)
                    )
                });
                let stored = self.stored.take().expect("it was stored");
                self.restart(match self.fault {
                    Fault::OldStateTakenAsTheLast => stored,
                    _ => stored.after_lost_updates(&now),
                });
            }
            Step::RestartWithoutState(now) => {
                notes.say(|| {
                    format!(
                        "the grantor restarts without its state, and its clock reads {}",
                        Ticks(now)
                    )
                });
                self.restart_without_state(now);
            }
        }
        self.forget_what_has_passed();
        self.at_most_one_holder()
    }

    fn send(&mut self, command: Command) {
        self.sent.push(Sent { command, answers: Vec::new(), is_forgotten: false });
    }

    fn read_by_grantor(&self, now: Interval) -> Interval {
        let now = moved(now, -self.zero);
        match self.fault {
            Fault::GrantorUsesTheMidpoint => Interval::from(now.midpoint()),
            _ => now,
        }
    }

    fn deliver(&mut self, at: usize, now: Interval, notes: &mut Notes) -> Result<(), Broken> {
        let mut command = self.sent[at].command;
        let is_repeat = !self.sent[at].answers.is_empty();
        if is_repeat && self.fault == Fault::RepeatsAreAppliedAgain {
            command = as_new(command, self.grantor.last_token());
        }
        let read = self.read_by_grantor(now);
        let mut answer = self.grantor.apply(Some(read), command);
        answer = answer.map(|decision| moved_back(decision, self.zero));
        notes.say(|| {
            let again = if is_repeat { " again" } else { "" };
            let asked = asked(&self.sent[at].command);
            format!(
                "the grantor, whose clock reads {}, gets{again} {asked}: {}",
                Ticks(now),
                said(&answer)
            )
        });
        self.a_repeat_gets_the_same_decision(at, &answer)?;
        let sent = &mut self.sent[at];
        let is_new = sent.answers.last() != Some(&answer);
        if let (true, Ok(Decision::Granted(grant) | Decision::Transferred(grant))) =
            (is_new, answer)
        {
            if grant.token <= self.newest {
                return Err(format!(
                    "tokens rise, and {} is granted after {}",
                    token(grant.token),
                    token(self.newest)
                ));
            }
            self.newest = grant.token;
        }
        if !sent.answers.contains(&answer) {
            sent.answers.push(answer);
        }
        sent.is_forgotten = false;
        Ok(())
    }

    /// A decision is made once. A repeat gets it again, or is told that it was overtaken. A grantor
    /// that lost its state may refuse what was granted, and decide on what was refused.
    fn a_repeat_gets_the_same_decision(
        &self,
        at: usize,
        answer: &Result<Decision, GrantError>,
    ) -> Result<(), Broken> {
        let sent = &self.sent[at];
        let is_kept = match (sent.answers.last(), answer) {
            (None, _) | (_, Err(GrantError::Overtaken { .. })) => true,
            (Some(first), again) if first == again => true,
            (Some(first), Err(_)) => {
                sent.is_forgotten || matches!(first, Err(GrantError::Overtaken { .. }))
            }
            (Some(Ok(_)), Ok(_)) => false,
            (Some(Err(_)), Ok(_)) => sent.is_forgotten && !sent.answers.iter().any(Result::is_ok),
        };
        if !is_kept {
            return Err(format!(
                "a repeat gets the same decision, and {} got another one",
                asked(&sent.command)
            ));
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, answer: &Result<Decision, GrantError>, notes: &mut Notes) {
        let node = &mut self.nodes[at];
        match answer {
            Err(refusal) => {
                let mut holder = node.holder();
                holder.refused(refusal);
                node.learn_from(holder);
            }
            Ok(Decision::Granted(grant) | Decision::Transferred(grant)) => {
                if self.fault == Fault::GrantAcceptedTwice {
                    node.accepted = None;
                }
                let mut holder = node.holder();
                match holder.accept(grant) {
                    Ok(lease) => {
                        node.accepted = Some(lease.token());
                        node.lease = Some(Held::new(&lease));
                        node.learn_from(holder);
                    }
                    Err(_) => notes.say(|| "; it ignores it".into()),
                }
            }
            Ok(Decision::Renewed(grant)) => {
                let Some(held) = &mut node.lease else { return };
                let lease = held.lease();
                let grant = match self.fault {
                    Fault::RenewalIgnoresTheToken => Grant { token: held.token, ..*grant },
                    _ => *grant,
                };
                match lease.renewed(&grant) {
                    Ok(()) => held.expires = lease.expires(),
                    Err(_) => notes.say(|| "; it ignores it".into()),
                }
            }
            Ok(_) => {}
        }
    }

    fn stamp(&mut self, at: usize, now: Interval, notes: &mut Notes) -> Result<(), Broken> {
        let node = &mut self.nodes[at];
        let held = node.lease.as_mut().expect("only with a lease");
        let (token, lease) = (held.token, held.lease());
        notes.say(|| {
            format!("{}, whose clock reads {}, takes a commit stamp", name(at), Ticks(now))
        });
        let hlc = self.nodes[at].hlc(now);
        let node = &mut self.nodes[at];
        let taken = match self.fault {
            Fault::StampBeyondTheLease => hlc.commit_stamp().ok(),
            _ => lease.commit_stamp(&hlc).ok(),
        };
        let Some(stamp) = taken.map(|pending| pending.timestamp()) else {
            notes.say(|| ", which would lie beyond the lease".into());
            return Ok(());
        };
        notes.say(|| format!(": {}", moment(stamp)));
        node.stamps_left -= 1;
        (node.issued, node.pending) = (Some(stamp), Some(stamp));
        let held = node.lease.as_mut().expect("as before");
        held.newest_stamp = lease.newest_stamp();
        if stamp >= held.expires {
            return Err(format!(
                "stamps lie below the lease's end, and {} does not lie below {}",
                moment(stamp),
                moment(held.expires)
            ));
        }
        self.stamps_are_in_order(token, stamp)
    }

    fn stamps_are_in_order(&mut self, under: FencingToken, stamp: Timestamp) -> Result<(), Broken> {
        if let Some(shown) = self.shown.filter(|&shown| stamp <= shown) {
            return Err(format!(
                "stamps are above every commit that was shown before, and {} is not above {}",
                moment(stamp),
                moment(shown)
            ));
        }
        for other in &self.stamped {
            let is_wrong = (other.token < under && other.greatest >= stamp)
                || (other.token > under && other.least <= stamp);
            if is_wrong {
                return Err(format!(
                    "commit stamps are in the order of the leases, and {} under {} is not on the \
                     same side of {} under {}",
                    moment(stamp),
                    token(under),
                    moment(if other.token < under { other.greatest } else { other.least }),
                    token(other.token)
                ));
            }
        }
        match self.stamped.iter_mut().find(|other| other.token == under) {
            Some(known) => {
                known.least = known.least.min(stamp);
                known.greatest = known.greatest.max(stamp);
            }
            None => self.stamped.push(Stamped { token: under, least: stamp, greatest: stamp }),
        }
        self.stamped.sort_by_key(|stamped| stamped.token);
        Ok(())
    }

    fn show(&mut self, at: usize, now: Interval, notes: &mut Notes) {
        let node = &mut self.nodes[at];
        let stamp = node.pending.expect("only with a commit");
        let is_shown = node.hlc(now).release(pending(stamp)).is_ok();
        notes.say(|| {
            let what = if is_shown { "shows" } else { "does not show" };
            format!(
                "{}, whose clock reads {}, {what} the commit at {}",
                name(at),
                Ticks(now),
                moment(stamp)
            )
        });
        if is_shown {
            node.pending = None;
            self.shown = self.shown.max(Some(stamp));
        }
    }

    fn hand_over(&mut self, at: usize, now: Interval, to: Option<usize>, notes: &mut Notes) {
        let next = to.map(|to| self.nodes[to].id);
        let node = &mut self.nodes[at];
        let held = node.lease.take().expect("only with a lease");
        let lease = match self.fault {
            Fault::HandOverWithoutTheWait => Held { newest_stamp: None, ..held.clone() }.lease(),
            _ => held.lease(),
        };
        let command = hand_over(lease, now, next);
        notes.say(|| {
            let verb = if to.is_some() { "transfers" } else { "releases" };
            let not = if command.is_none() { " cannot do so yet: it" } else { "" };
            format!("{}, whose clock reads {},{not} {verb} its lease", name(at), Ticks(now))
        });
        if command.is_none() || self.fault == Fault::ReleaseKeepsTheLease {
            let commands = held.commands + u64::from(command.is_some());
            node.lease = Some(Held { commands, ..held });
        }
        if let Some(command) = command {
            self.send(command);
        }
    }

    fn write(&mut self, at: usize, notes: &mut Notes) -> Result<(), Broken> {
        let held = self.nodes[at].lease.as_ref().expect("only with a lease");
        let fence = match self.fault {
            Fault::FenceForgets => Fence::new(),
            _ => Fence::starting_at(self.fence),
        };
        let offered = held.token;
        let is_admitted = fence.admit(offered).is_ok();
        self.fence = fence.newest();
        notes.say(|| {
            let outcome = if is_admitted { "is admitted" } else { "is refused" };
            format!("{} writes under {}, and {outcome}", name(at), token(offered))
        });
        if is_admitted && offered < self.written {
            return Err(format!(
                "no stale token passes the fence, and {} does after {}",
                token(offered),
                token(self.written)
            ));
        }
        if !is_admitted && self.believes(&self.nodes[at]) {
            return Err(format!(
                "the fence admits whoever holds the lease, and it refuses {}",
                token(offered)
            ));
        }
        if is_admitted {
            self.written = offered;
        }
        Ok(())
    }

    fn restart_without_state(&mut self, now: Interval) {
        let term = ticks(self.size.term);
        let after_restart = |now| Grantor::after_restart(term, &now).expect("a term");
        let grantor = match self.fault {
            Fault::NoQuietTerm => Grantor::durable(term).expect("a term"),
            Fault::QuietFromTheEarliest => after_restart(Interval::from(now.earliest())),
            Fault::TokensBeginAgain => {
                // A grantor whose time line begins with its start numbers its tokens from there.
                self.zero = now.earliest().tai_nanos() - TICK;
                after_restart(moved(now, -self.zero))
            }
            _ => after_restart(now),
        };
        self.stored = None;
        self.restart(grantor);
    }

    fn restart(&mut self, grantor: Grantor) {
        self.grantor = grantor;
        self.restarts_left -= 1;
        for sent in &mut self.sent {
            sent.is_forgotten |= !sent.answers.is_empty();
        }
    }

    /// Whether some honest reading lets this node believe that it holds the lease. The one that is
    /// most in favour has no time after true time, and all that is allowed before it.
    fn believes(&self, node: &Node) -> bool {
        let now = span(self.now - self.size.error, self.now);
        let now = match self.fault {
            Fault::HolderUsesTheMidpoint => Interval::from(now.midpoint()),
            _ => now,
        };
        let holds =
            |held: &Held| Lease::new(held.token, held.expires).check(&Reads::new(now)).is_ok();
        node.lease.as_ref().is_some_and(holds)
    }

    fn at_most_one_holder(&self) -> Result<(), Broken> {
        if self.nodes.iter().all(|node| self.believes(node)) {
            return Err(format!(
                "at each moment there is at most one holder, and at {} both hold the lease",
                self.now
            ));
        }
        Ok(())
    }

    /// Replaces what can no more matter by one value, so that states which differ only in it are
    /// one state. The essay in `main.rs` says why each of these is sound.
    fn forget_what_has_passed(&mut self) {
        let (truth, least) = (self.truth(), at(self.now - self.size.error));
        for node in &mut self.nodes {
            if let Some(held) = &mut node.lease {
                held.newest_stamp = held.newest_stamp.filter(|&stamp| stamp >= least);
            }
            node.issued = node.issued.filter(|&stamp| stamp >= truth);
            node.pending = node.pending.filter(|&stamp| stamp >= truth);
        }
        self.shown = self.shown.filter(|&stamp| stamp >= truth);
        let passed = Timestamp::from_tai_nanos(truth.tai_nanos() - 1);
        let newest_passed =
            self.stamped.iter().filter(|one| one.greatest < truth).map(|one| one.token).max();
        self.stamped.retain(|one| one.greatest >= truth || Some(one.token) == newest_passed);
        for one in &mut self.stamped {
            (one.least, one.greatest) = (one.least.max(passed), one.greatest.max(passed));
        }
        if self.restarts_left == 0 {
            self.stored = None;
        }
    }
}

/// The command that hands the lease over, if the shipping code makes one.
fn hand_over(lease: Lease, now: Interval, to: Option<HolderId>) -> Option<Command> {
    let clock = Reads::new(now);
    match to {
        Some(to) => lease.transfer(&clock, to).ok(),
        None => lease.release(&clock).ok(),
    }
}

/// The command under a number that no other has, from a sender that has seen every token.
fn as_new(command: Command, seen: FencingToken) -> Command {
    let mut command = command;
    if let Command::Acquire { number, .. }
    | Command::Renew { number, .. }
    | Command::Transfer { number, .. }
    | Command::Release { number, .. } = &mut command
    {
        *number += 100;
    }
    if let Command::Acquire { seen: of_sender, .. } = &mut command {
        *of_sender = seen;
    }
    command
}
