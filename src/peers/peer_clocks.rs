//! [`PeerClocks`]: the evidence about the other members' clocks, and the verdict from it.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::error::PeerError;
use super::exchange::Exchange;
use super::member::{Member, Nonce};
use super::peer_limits::PeerLimits;
use super::peer_verdict::{Assessment, Outcome, PeerReport, PeerVerdict, assess};
use super::relation::Relation;
use crate::clock::truetime::TrueTime;
use crate::fork::ProcessKey;
use crate::interval::Interval;
use crate::quorum::Quorum;
use crate::snapshot::ClockError;

/// The evidence about the other members' clocks, and the verdict that follows from it.
///
/// `P` names a peer. Counter readings are a [`Duration`] since a fixed moment, from a clock
/// that nobody sets or slews (see [`Exchange`]).
///
/// ```
/// use std::time::Duration;
/// use truechimer::peers::{Exchange, PeerClocks, PeerVerdict};
/// use truechimer::{Interval, Timestamp};
///
/// let ms = |a: i64, b: i64| {
///     let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
///     Interval::new(at(a), at(b)).expect("in order")
/// };
/// let counter = Duration::from_millis;
/// let mut peers = PeerClocks::new(["b", "c"], 1)?; // three members, one may be wrong
///
/// // Ask each at counter 0 ms, and receive the answers at counter 4 ms.
/// for (peer, answer) in [("b", ms(1_000, 1_006)), ("c", ms(999, 1_004))] {
///     let nonce = peers.ask(&peer, counter(0))?;
///     // ... send the nonce, receive it back with the peer's interval ...
///     peers.answer(&peer, nonce, answer, counter(4))?;
/// }
/// let ours = Exchange::new(counter(5), ms(1_003, 1_009), counter(5))?;
/// assert_eq!(peers.verdict(&ours), PeerVerdict::Agree);
///
/// // A clock that is ten minutes ahead is told to stop.
/// let ours = Exchange::new(counter(5), ms(601_003, 601_009), counter(5))?;
/// assert!(matches!(peers.verdict(&ours), PeerVerdict::StepDown(_)));
/// # Ok::<(), truechimer::peers::PeerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PeerClocks<P> {
    members: Vec<Member<P>>,
    majority: Quorum,
    faulty: usize,
    limits: PeerLimits,
    seed: u64,
    asked: u64,
}

impl<P: Clone + Eq> PeerClocks<P> {
    /// A group of ourselves and these peers. At most `faulty` of its members, possibly
    /// including us, may be wrong.
    ///
    /// # Errors
    ///
    /// [`PeerError::DuplicatePeer`] if a peer is named twice, and [`PeerError::Quorum`] if
    /// the members are not more than `2 * faulty`.
    pub fn new(
        peers: impl IntoIterator<Item = P>,
        faulty: usize,
    ) -> Result<PeerClocks<P>, PeerError> {
        let mut members: Vec<Member<P>> = Vec::new();
        for peer in peers {
            if members.iter().any(|member| member.peer == peer) {
                return Err(PeerError::DuplicatePeer);
            }
            members.push(Member::new(peer));
        }
        let count = members.len() + 1;
        Quorum::clocks(count, faulty)?;
        Ok(PeerClocks {
            members,
            majority: Quorum::majority(count)?,
            faulty,
            limits: PeerLimits::default(),
            // Random, so that answers to an earlier incarnation of this process do not match.
            seed: RandomState::new().hash_one((process_id(), ProcessKey::current().number())),
            asked: 0,
        })
    }

    /// Uses other limits than the default.
    #[must_use]
    pub fn limits(self, limits: PeerLimits) -> PeerClocks<P> {
        PeerClocks { limits, ..self }
    }

    /// Derives the nonces from `seed`, so that a simulation can be replayed.
    #[must_use]
    pub fn seed(self, seed: u64) -> PeerClocks<P> {
        PeerClocks { seed, ..self }
    }

    /// The majority of the members, ourselves included.
    pub fn majority(&self) -> Quorum {
        self.majority
    }

    /// Opens a request to `peer`. Read the counter for `now` first, then send the nonce.
    ///
    /// The peer sends the nonce back with its interval, which it must read *after* the
    /// request has arrived. The last eight requests to each peer are open.
    ///
    /// # Errors
    ///
    /// [`PeerError::UnknownPeer`].
    pub fn ask(&mut self, peer: &P, now: Duration) -> Result<Nonce, PeerError> {
        let nonce = Nonce::nth(self.seed, self.asked);
        self.member(peer)?.open(nonce, now);
        self.asked = self.asked.wrapping_add(1);
        Ok(nonce)
    }

    /// Records the answer to an open request. Read the counter for `now` after it has arrived.
    ///
    /// # Errors
    ///
    /// [`PeerError::UnknownNonce`] if no request to this peer with this nonce is open: it was
    /// never sent, was answered already, or more than eight requests followed it. Otherwise
    /// as [`observe`](Self::observe).
    pub fn answer(
        &mut self,
        peer: &P,
        nonce: Nonce,
        theirs: Interval,
        now: Duration,
    ) -> Result<(), PeerError> {
        let sent = self.member(peer)?.close(nonce).ok_or(PeerError::UnknownNonce)?;
        self.observe(peer, Exchange::new(sent, theirs, now)?)
    }

    /// Records an exchange, for a caller that matches answers to requests itself.
    ///
    /// The match must be right. If an answer is taken for the answer to a later request, a
    /// right peer seems to be behind.
    ///
    /// # Errors
    ///
    /// [`PeerError::UnknownPeer`], [`PeerError::TooWide`].
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

    /// Discards all evidence and all open requests.
    ///
    /// Call it when the counter may have missed time: after a suspend that it did not count,
    /// or after a virtual machine was stopped and continued. Otherwise every peer seems to
    /// have jumped ahead, and the verdict would be against us. Until peers have answered
    /// again, the verdict is [`PeerVerdict::NoQuorum`].
    pub fn forget(&mut self) {
        self.members.iter_mut().for_each(Member::forget);
    }

    /// The verdict at the moment of `ours`, our own clock read between two counter readings.
    pub fn verdict(&self, ours: &Exchange) -> PeerVerdict<P> {
        let Assessment { outcome, agreement } = self.assess(ours).1;
        match outcome {
            Outcome::StepDown(correction) => PeerVerdict::StepDown(correction),
            Outcome::NoQuorum(reason) => PeerVerdict::NoQuorum(reason),
            Outcome::Continue => {
                // Input 0 is us, and we are not wrong. So the others are peers.
                let wrong = agreement.iter().flat_map(|agreement| agreement.falsetickers());
                let wrong: Vec<P> = wrong
                    .filter_map(|i| self.members.get(i.checked_sub(1)?))
                    .map(|member| member.peer.clone())
                    .collect();
                if wrong.is_empty() { PeerVerdict::Agree } else { PeerVerdict::PeersWrong(wrong) }
            }
        }
    }

    /// Reads our clock between two readings of the counter, and returns the verdict.
    ///
    /// # Errors
    ///
    /// If our clock returns an error. Then there is nothing to compare, and the clock
    /// supports no action either.
    pub fn check<C: TrueTime>(
        &self,
        clock: &C,
        counter: impl Fn() -> Duration,
    ) -> Result<PeerVerdict<P>, ClockError> {
        let before = counter();
        let ours = clock.now()?;
        // A counter that ran backwards is treated as one that stood still.
        let after = counter().max(before);
        match Exchange::new(before, ours, after) {
            Ok(ours) => Ok(self.verdict(&ours)),
            Err(_) => Err(ClockError::CounterWentBackwards),
        }
    }

    /// What follows for each peer at the moment of `ours`, in the order of the peers.
    pub fn report(&self, ours: &Exchange) -> Vec<PeerReport<P>> {
        let at = ours.received();
        let our_interval = ours.at(at, &self.limits.counter);
        let (intervals, Assessment { agreement, .. }) = self.assess(ours);
        let classification = |i: usize| agreement.as_ref()?.classifications().get(i + 1).copied();
        let reports = self.members.iter().zip(intervals).enumerate();
        reports
            .map(|(i, (member, interval))| PeerReport {
                peer: member.peer.clone(),
                interval,
                classification: interval.and_then(|_| classification(i)),
                against_ours: interval.map(|theirs| Relation::between(&theirs, &our_interval)),
                self_contradictions: member.contradictions(),
            })
            .collect()
    }

    /// Each peer's interval at the moment of `ours`, and what follows from all of them.
    fn assess(&self, ours: &Exchange) -> (Vec<Option<Interval>>, Assessment) {
        let at = ours.received();
        let intervals: Vec<_> =
            self.members.iter().map(|member| member.interval_at(at, &self.limits)).collect();
        let ours = ours.at(at, &self.limits.counter);
        let assessment = assess(ours, &intervals, self.faulty, self.majority);
        (intervals, assessment)
    }

    fn member(&mut self, peer: &P) -> Result<&mut Member<P>, PeerError> {
        let found = self.members.iter_mut().find(|member| member.peer == *peer);
        found.ok_or(PeerError::UnknownPeer)
    }
}

/// A child of a `fork` has its parent's random state, and a process id of its own.
/// WebAssembly has neither.
fn process_id() -> u32 {
    if cfg!(target_family = "wasm") { 0 } else { std::process::id() }
}
