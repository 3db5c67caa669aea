//! [`PeerClocks`]: whether our clock or theirs is wrong, by the word of the majority.
//!
//! A node whose clock is wrong cannot see it. Its interval looks like any
//! other, its leases seem valid, its timestamps are in order among themselves.
//! The naive fix is to compare with each peer and to stop when one differs by
//! too much. Then one node with a fast clock takes down every node that talks
//! to it, which has happened in production. The next fix, to ignore whoever
//! differs, lets the fast node itself go on.
//!
//! The insight: a disagreement proves that *one of two* is wrong, and a count
//! says which. If at most `f` of the `n` members can be wrong, and `f + 1` of
//! them contradict us, it is us. Then we stop, even if we disagree.
//!
//! # The model
//!
//! `n` members, ourselves included, of which at most `f` have wrong clocks or
//! lie, with `n >= 2f + 1`. Those may say anything, to each node something
//! else, and conspire (Byzantine). The others answer with an interval that
//! contained the true time when they looked. Links may lose, delay, repeat and
//! reorder messages without bound, but an answer is known to come from the
//! member it names (use TLS, or a MAC): who can forge answers is all members at
//! once. Our own *counter* keeps within its drift ([`CounterLimits`]). No bound
//! on the delay is assumed, nor that both ways take equally long.
//!
//! Why `2f + 1` and not the `3f + 1` of Byzantine agreement: nothing is agreed
//! on here. Each node judges by what it was told itself and passes nothing on,
//! so a peer with two faces is one liar to each of us; and there is a truth
//! outside the group, in which all right intervals meet.
//!
//! # The rule
//!
//! Carry all evidence to one moment ([`Exchange::at`]). Of `h` members heard, we
//! being one, a moment is *possible* if at most `f` of them exclude it.
//!
//! 1. If our interval holds no possible moment, we are wrong: each moment of it
//!    is excluded by `f + 1`, and one of those is right. With a majority of the
//!    members at some possible moment, the verdict is [`Verdict::StepDown`].
//! 2. If a majority of the members, we being one, share a moment of our
//!    interval that is possible, we go on: [`Verdict::Agree`], or
//!    [`Verdict::PeersWrong`] with those that hold no possible moment.
//! 3. Otherwise [`Verdict::NoQuorum`].
//!
//! What this gives, with at most `f` wrong:
//!
//! - *A right clock is never told to stop.* The true time is possible, whoever
//!   has been heard, for only the wrong exclude it. So liars alone, up to `f`,
//!   stop nobody, and a single fast node never takes the others down.
//! - *No right peer is ever called wrong*, for the same reason.
//! - *A right clock is told to go on* once a majority of right ones, itself
//!   included, has been heard.
//! - *A wrong clock is told to stop* once `f + 1` right peers that contradict it
//!   and a majority that shares a moment have been heard: all right ones suffice.
//! - A wrong clock that no right one contradicts cannot be found, by this or
//!   any other rule. But if it is told to go on, then at least one right clock
//!   is in the majority, so it is wrong by no more than the width of that one's
//!   evidence.
//!
//! The limit is sharp: `f + 1` that conspire against one right node may stop
//! it, and with `n = 2` a disagreement shows, but not who is wrong. Allow for
//! as many as you can ([`PeerClocks::new`] takes `f`; the most is `(n - 1) / 2`).
//!
//! # What an attacker may try
//!
//! - *Replay an old answer*, so that a right peer seems to lag. An answer counts
//!   only with the [`Nonce`] of a question that is still open, once.
//! - *Answer "any time at all"*, to support whoever asks, or answer so late that
//!   it comes to the same. What is wider than `max_width` when it has come is refused.
//! - *Die while right*, and go on as a vote. Evidence older than `max_age` is
//!   no vote.
//! - *Be counted twice.* The members are named once, at the start.
//! - *Stop our machine.* A virtual machine that is stopped and continued finds its
//!   counter behind, and all peers ahead of what they said. See
//!   [`PeerClocks::forget`], and use a counter that sees it if there is one.
//! - *Be right for long, then lie.* A lie that contradicts the peer's own
//!   earlier answers replaces them, and is counted in its report.
//!
//! What to read: L. Lamport and P. M. Melliar-Smith, "Synchronizing clocks in
//! the presence of faults" (JACM 32(1), 1985), for the `3f + 1` of the harder
//! problem; K. Marzullo (see [`agreement`](crate::agreement)) for the count.

mod exchange;
mod limits;
mod member;
mod verdict;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::clock::truetime::TrueTime;
use crate::interval::Interval;
use crate::quorum::Quorum;
use crate::snapshot::ClockError;

pub use exchange::{CounterLimits, Exchange, Relation, compare};
pub use limits::{Limits, PeerError};
pub use member::Nonce;
pub use verdict::{Correction, NoQuorum, PeerReport, Verdict};

use member::Member;
use verdict::{Judgement, Ruling, judge};

/// What is kept about the other members' clocks, and the verdict that follows.
///
/// `P` names a peer. Counter readings are a [`Duration`] since a fixed moment,
/// by a clock that nobody sets or slews (see [`Exchange`]).
///
/// ```
/// use std::time::Duration;
/// use truechimer::peers::{Exchange, PeerClocks, Verdict};
/// use truechimer::{Interval, Timestamp};
///
/// let ms = |a: i64, b: i64| {
///     let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
///     Interval::new(at(a), at(b)).expect("in order")
/// };
/// let counter = Duration::from_millis;
/// let mut peers = PeerClocks::new(["b", "c"], 1)?; // three members, one may be wrong
///
/// // Ask each at counter 0 ms, hear from each at counter 4 ms.
/// for (peer, answer) in [("b", ms(1_000, 1_006)), ("c", ms(999, 1_004))] {
///     let nonce = peers.ask(&peer, counter(0))?;
///     // ... send the nonce, receive it back with the peer's interval ...
///     peers.answer(&peer, nonce, answer, counter(4))?;
/// }
/// let ours = Exchange::new(counter(5), ms(1_003, 1_009), counter(5))?;
/// assert_eq!(peers.verdict(&ours), Verdict::Agree);
///
/// // A clock ten minutes ahead is told to stop.
/// let ours = Exchange::new(counter(5), ms(601_003, 601_009), counter(5))?;
/// assert!(matches!(peers.verdict(&ours), Verdict::StepDown(_)));
/// # Ok::<(), truechimer::peers::PeerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PeerClocks<P> {
    members: Vec<Member<P>>,
    majority: Quorum,
    faulty: usize,
    limits: Limits,
    seed: u64,
    asked: u64,
}

impl<P: Clone + Eq> PeerClocks<P> {
    /// For a group of ourselves and these peers, of which `faulty` may be wrong, we among them.
    ///
    /// # Errors
    ///
    /// When a peer is named twice, or the members are not more than `2 * faulty`.
    pub fn new(
        peers: impl IntoIterator<Item = P>,
        faulty: usize,
    ) -> Result<PeerClocks<P>, PeerError> {
        let mut members: Vec<Member<P>> = Vec::new();
        for peer in peers {
            if members.iter().any(|member| member.peer == peer) {
                return Err(PeerError::NamedTwice);
            }
            members.push(Member::new(peer));
        }
        let count = members.len() + 1;
        Quorum::clocks(count, faulty)?;
        Ok(PeerClocks {
            members,
            majority: Quorum::majority(count)?,
            faulty,
            limits: Limits::default(),
            // Answers to an earlier life of this process must not match.
            seed: RandomState::new().hash_one(std::process::id()),
            asked: 0,
        })
    }

    /// With other limits than the default.
    pub fn with_limits(mut self, limits: Limits) -> PeerClocks<P> {
        self.limits = limits;
        self
    }

    /// With nonces that follow from `seed`, so that a simulation can be replayed.
    pub fn with_seed(mut self, seed: u64) -> PeerClocks<P> {
        self.seed = seed;
        self
    }

    /// How many of how many members make a majority, ourselves included.
    pub fn majority(&self) -> Quorum {
        self.majority
    }

    /// Opens a question to `peer`. Read the counter for `now`, then send the nonce.
    ///
    /// The peer sends the nonce back, with its interval, which it must read
    /// *after* the question has come. The last eight questions to each peer are open.
    ///
    /// # Errors
    ///
    /// [`PeerError::Unknown`].
    pub fn ask(&mut self, peer: &P, now: Duration) -> Result<Nonce, PeerError> {
        let nonce = Nonce::nth(self.seed, self.asked);
        self.member(peer)?.open(nonce, now);
        self.asked = self.asked.wrapping_add(1);
        Ok(nonce)
    }

    /// Takes the answer to an open question. Read the counter for `now` after it has come.
    ///
    /// # Errors
    ///
    /// [`PeerError::NotAsked`] for a nonce that is not open: never asked, not
    /// this peer, answered already, or eight questions ago. Else as
    /// [`observe`](Self::observe).
    pub fn answer(
        &mut self,
        peer: &P,
        nonce: Nonce,
        theirs: Interval,
        now: Duration,
    ) -> Result<(), PeerError> {
        let sent = self.member(peer)?.close(nonce).ok_or(PeerError::NotAsked)?;
        self.observe(peer, Exchange::new(sent, theirs, now)?)
    }

    /// Takes an exchange from a caller that matches answers to questions itself.
    ///
    /// It must do so without fail. An answer taken for that to a later question
    /// makes a right peer seem to be behind.
    ///
    /// # Errors
    ///
    /// [`PeerError::Unknown`], [`PeerError::TooWide`].
    pub fn observe(&mut self, peer: &P, exchange: Exchange) -> Result<(), PeerError> {
        let limits = self.limits;
        let width = exchange.at(exchange.received(), &limits.counter).width();
        let member = self.member(peer)?;
        if width > limits.max_width {
            return Err(PeerError::TooWide { width, limit: limits.max_width });
        }
        member.observe(exchange, &limits);
        Ok(())
    }

    /// Forgets all evidence and all open questions.
    ///
    /// Call it when the counter cannot be trusted across this moment: after a
    /// suspend that it did not count, or after a virtual machine was stopped and
    /// continued. Else every peer seems to have jumped ahead, and the verdict
    /// would be against us. Until the peers are heard again it is
    /// [`NoQuorum`].
    pub fn forget(&mut self) {
        self.members.iter_mut().for_each(Member::forget);
    }

    /// The verdict at the moment of `ours`, which is our own clock read between two counter reads.
    pub fn verdict(&self, ours: &Exchange) -> Verdict<P> {
        let Judgement { ruling, agreement } = self.judge(ours).1;
        match ruling {
            Ruling::StepDown(correction) => Verdict::StepDown(correction),
            Ruling::NoQuorum(reason) => Verdict::NoQuorum(reason),
            Ruling::GoOn => {
                // Input 0 is us, and we go on.
                let wrong = agreement.iter().flat_map(|agreement| agreement.falsetickers());
                let wrong: Vec<P> = wrong
                    .filter_map(|i| self.members.get(i.checked_sub(1)?))
                    .map(|member| member.peer.clone())
                    .collect();
                if wrong.is_empty() { Verdict::Agree } else { Verdict::PeersWrong(wrong) }
            }
        }
    }

    /// Reads our clock, and the counter around it, and gives the verdict.
    ///
    /// # Errors
    ///
    /// When our clock gives no reading. Then it supports no action either, and
    /// there is nothing to judge.
    pub fn check<C: TrueTime>(
        &self,
        clock: &C,
        counter: impl Fn() -> Duration,
    ) -> Result<Verdict<P>, ClockError> {
        let before = counter();
        let ours = clock.now()?;
        // A counter that ran backwards is read as one that stood still.
        let after = counter().max(before);
        match Exchange::new(before, ours, after) {
            Ok(ours) => Ok(self.verdict(&ours)),
            Err(_) => Err(ClockError::CounterWentBackwards),
        }
    }

    /// What each peer's evidence comes to at the moment of `ours`, in the order of the peers.
    pub fn report(&self, ours: &Exchange) -> Vec<PeerReport<P>> {
        let at = ours.received();
        let our_interval = ours.at(at, &self.limits.counter);
        let (says, Judgement { agreement, .. }) = self.judge(ours);
        let standing = |i: usize| agreement.as_ref()?.standings().get(i + 1).copied();
        let reports = self.members.iter().zip(says).enumerate();
        reports
            .map(|(i, (member, says))| PeerReport {
                peer: member.peer.clone(),
                says,
                standing: says.and_then(|_| standing(i)),
                against_ours: says.map(|says| Relation::between(&says, &our_interval)),
                contradicted_itself: member.contradictions(),
            })
            .collect()
    }

    /// What each peer says at the moment of `ours`, and the judgement on it.
    fn judge(&self, ours: &Exchange) -> (Vec<Option<Interval>>, Judgement) {
        let at = ours.received();
        let says: Vec<_> = self.members.iter().map(|m| m.says(at, &self.limits)).collect();
        let ours = ours.at(at, &self.limits.counter);
        let judgement = judge(ours, &says, self.faulty, self.majority);
        (says, judgement)
    }

    fn member(&mut self, peer: &P) -> Result<&mut Member<P>, PeerError> {
        self.members.iter_mut().find(|member| member.peer == *peer).ok_or(PeerError::Unknown)
    }
}
