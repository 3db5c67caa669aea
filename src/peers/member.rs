//! One peer: the questions that are open, and the exchanges that still count.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::interval::Interval;

use super::{Exchange, Limits};

/// How many questions stay open, and how many exchanges are kept, a peer.
///
/// One slow round trip says little, the best of eight a lot: NTP's clock filter
/// keeps eight for the same reason (RFC 5905, section 10).
const KEPT: usize = 8;

/// What marks an answer as that to one question. It travels there and back.
///
/// No nonce repeats within 2^64 questions. It is not a secret: it keeps out
/// duplicates and replays, not somebody who can forge the peer's messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Nonce(u64);

impl Nonce {
    /// From eight bytes off the wire.
    pub const fn from_bits(bits: u64) -> Nonce {
        Nonce(bits)
    }

    /// For the wire.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The `n`th of those that follow from `seed`. A bijection of `n` (the finalizer of
    /// SplitMix64, Steele, Lea and Flood, OOPSLA 2014), so none repeats.
    pub(super) fn nth(seed: u64, n: u64) -> Nonce {
        let z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Nonce(z ^ (z >> 31))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Member<P> {
    pub(super) peer: P,
    open: VecDeque<(Nonce, Duration)>,
    /// Newest last. All agree with each other; the ones that did not are gone.
    exchanges: VecDeque<Exchange>,
    contradictions: u64,
}

impl<P> Member<P> {
    pub(super) fn new(peer: P) -> Member<P> {
        Member { peer, open: VecDeque::new(), exchanges: VecDeque::new(), contradictions: 0 }
    }

    pub(super) fn open(&mut self, nonce: Nonce, sent: Duration) {
        if self.open.len() == KEPT {
            self.open.pop_front();
        }
        self.open.push_back((nonce, sent));
    }

    /// When the question was sent, which is answered herewith.
    pub(super) fn close(&mut self, nonce: Nonce) -> Option<Duration> {
        let place = self.open.iter().position(|(open, _)| *open == nonce)?;
        self.open.remove(place).map(|(_, sent)| sent)
    }

    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.exchanges.clear();
    }

    /// Keeps `exchange`. Where it contradicts the others, the one received last stands.
    ///
    /// At least one of the two was wrong then. The newer one is what the peer
    /// stands by; a clock that has been mended must be able to come back.
    pub(super) fn observe(&mut self, exchange: Exchange, limits: &Limits) {
        let newest = self.exchanges.back().map_or(Duration::ZERO, Exchange::received);
        let at = exchange.received().max(newest);
        self.exchanges.retain(|old| is_fresh(old, at, limits));
        let now_says = exchange.at(at, &limits.counter);
        if self.says(at, limits).is_some_and(|said| !said.overlaps(&now_says)) {
            self.contradictions = self.contradictions.saturating_add(1);
            if exchange.received() < newest {
                return;
            }
            self.exchanges.clear();
        }
        if self.exchanges.len() == KEPT {
            self.exchanges.pop_front();
        }
        let place = self.exchanges.partition_point(|old| old.received() <= exchange.received());
        self.exchanges.insert(place, exchange);
    }

    /// True time by this peer's word when the counter shows `at`; `None` if not heard lately.
    pub(super) fn says(&self, at: Duration, limits: &Limits) -> Option<Interval> {
        let fresh = self.exchanges.iter().rev().filter(|e| is_fresh(e, at, limits));
        let each = fresh.map(|exchange| exchange.at(at, &limits.counter));
        // Kept exchanges agree, and evidence only widens. If not, the newest stands.
        each.reduce(|said, older| said.intersect(&older).unwrap_or(said))
    }

    pub(super) fn contradictions(&self) -> u64 {
        self.contradictions
    }
}

fn is_fresh(exchange: &Exchange, at: Duration, limits: &Limits) -> bool {
    at.saturating_sub(exchange.received()) <= limits.max_age
}
