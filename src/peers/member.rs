//! [`Member`]: one peer, with its open requests and the exchanges that still count.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::exchange::Exchange;
use super::peer_limits::PeerLimits;
use crate::interval::Interval;

/// How many open requests, and how many exchanges, are kept for each peer.
///
/// One slow round trip says little, but the best of eight says a lot. NTP's clock filter
/// keeps eight samples for the same reason (RFC 5905, section 10).
const KEPT: usize = 8;

/// Identifies the request that an answer belongs to. It is sent there and back.
///
/// No nonce repeats within 2^64 requests. It is not a secret: it excludes duplicates and
/// replays, but not an attacker who can forge the peer's messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Nonce(#[cfg_attr(feature = "serde", serde(with = "crate::decimal"))] u64);

impl Nonce {
    /// The nonce with these 64 bits, as read from a message.
    pub const fn from_bits(bits: u64) -> Nonce {
        Nonce(bits)
    }

    /// The 64 bits, to be written into a message.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The `n`th nonce of the sequence that `seed` determines.
    ///
    /// It is a bijection of `n` (the finalizer of SplitMix64; Steele, Lea and Flood, OOPSLA
    /// 2014), so no nonce repeats.
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

/// One peer and its evidence.
#[derive(Clone, Debug)]
pub(super) struct Member<P> {
    pub(super) peer: P,
    open: VecDeque<(Nonce, Duration)>,
    /// In the order of receiving. They agree with each other, because an exchange that
    /// contradicts the others replaces them.
    exchanges: VecDeque<Exchange>,
    contradictions: u64,
}

impl<P> Member<P> {
    pub(super) fn new(peer: P) -> Member<P> {
        Member { peer, open: VecDeque::new(), exchanges: VecDeque::new(), contradictions: 0 }
    }

    /// Remembers a request that was sent at `sent`.
    pub(super) fn open(&mut self, nonce: Nonce, sent: Duration) {
        if self.open.len() == KEPT {
            self.open.pop_front();
        }
        self.open.push_back((nonce, sent));
    }

    /// Removes the open request with this nonce, and returns when it was sent.
    pub(super) fn close(&mut self, nonce: Nonce) -> Option<Duration> {
        let place = self.open.iter().position(|(open, _)| *open == nonce)?;
        self.open.remove(place).map(|(_, sent)| sent)
    }

    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.exchanges.clear();
    }

    /// Keeps `exchange`. If it contradicts the earlier ones, only the one received last stays.
    ///
    /// A contradiction means that at least one of the answers was wrong. The newer one is
    /// kept, because a clock that has been repaired must be able to count again.
    pub(super) fn observe(&mut self, exchange: Exchange, limits: &PeerLimits) {
        let newest = self.exchanges.back().map_or(Duration::ZERO, Exchange::received);
        let at = exchange.received().max(newest);
        self.exchanges.retain(|old| is_fresh(old, at, limits));
        let interval = exchange.at(at, &limits.counter);
        if self.interval_at(at, limits).is_some_and(|before| !before.overlaps(&interval)) {
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

    /// True time according to this peer when the counter shows `at`. `None` if it has no
    /// fresh evidence.
    pub(super) fn interval_at(&self, at: Duration, limits: &PeerLimits) -> Option<Interval> {
        let fresh = self.exchanges.iter().rev().filter(|e| is_fresh(e, at, limits));
        let intervals = fresh.map(|exchange| exchange.at(at, &limits.counter));
        // The exchanges agree, and ageing only widens them. If two did not, the newer counts.
        intervals.reduce(|fused, older| fused.intersect(&older).unwrap_or(fused))
    }

    pub(super) fn contradictions(&self) -> u64 {
        self.contradictions
    }
}

fn is_fresh(exchange: &Exchange, at: Duration, limits: &PeerLimits) -> bool {
    at.saturating_sub(exchange.received()) <= limits.max_age
}
