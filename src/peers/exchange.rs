//! [`Exchange`]: what one question and its answer prove.
//!
//! We ask a peer for the time and it answers with an interval. When did it look
//! at its clock? After the question left us and before the answer came: no more
//! can be known. NTP halves the round trip, which assumes that both ways took
//! equally long. A routing change or a full queue on one side makes that wrong
//! by up to the whole of it, so nothing here halves anything.
//!
//! What is left is containment. With the counter at `sent` when we asked and at
//! `received` when the answer was there, and a peer that is right, true time at
//! any counter value `c` after that is
//!
//! ```text
//! at least  theirs.earliest + (c - received) * (1 - drift)   it looked at `received` at the latest
//! at most   theirs.latest   + (c - sent)     / (1 - drift)   it looked at `sent` at the earliest
//! ```
//!
//! which is the crate's pair of lines again: evidence ages by widening, and two
//! exchanges with one peer are fused by intersecting them.
//!
//! # Why the counter, and not our own clock
//!
//! Our clock is what is being judged. If it stepped forward by ten seconds
//! between two exchanges, and were used to age them, it would carry the first
//! peer's evidence forward by ten seconds too much: that peer would seem to
//! agree with us, and the other, who answered after the step, would be called
//! wrong. (The test `carrying_evidence_by_the_clock_on_trial_hides_its_step` is
//! that scene.) So evidence is carried by a counter that nobody sets.

use std::time::Duration;

use crate::interval::Interval;
use crate::timestamp::Timestamp;

use super::PeerError;

/// A peer's answer, between two readings of our own counter.
///
/// The counter is a clock of this host that nobody sets or slews, read as the
/// time since a fixed moment. `CLOCK_MONOTONIC_RAW` is the bare oscillator, but
/// stands still in a suspend; add the time that was slept, which is
/// `CLOCK_BOOTTIME - CLOCK_MONOTONIC`, or call
/// [`PeerClocks::forget`](super::PeerClocks::forget) after one. `CLOCK_MONOTONIC`
/// (and so `std::time::Instant`) and `CLOCK_BOOTTIME` are slewed by the time
/// daemon, by 500 ppm as a rule and by up to 10 % with chrony: with these,
/// `max_drift_ppm` must be so much. Where a counter is itself known only to
/// lie between two values, give the lower for `sent` and the upper for `received`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    sent: Duration,
    theirs: Interval,
    received: Duration,
}

/// What is assumed of our own counter, to carry evidence from one moment to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterLimits {
    /// How far the counter's rate may be from true, in parts per million. Default 200.
    pub max_drift_ppm: u32,
    /// The step by which readings grow: two of them may differ by one step too
    /// much or too little. Default 1 µs, more than any clock of Linux that is not "coarse".
    pub step: Duration,
}

impl Default for CounterLimits {
    fn default() -> CounterLimits {
        CounterLimits { max_drift_ppm: 200, step: Duration::from_micros(1) }
    }
}

impl Exchange {
    /// The counter just before the question was sent, the answer, and the
    /// counter just after it was received.
    ///
    /// Our own clock makes an exchange too: read the counter, the clock, the counter.
    ///
    /// # Errors
    ///
    /// [`PeerError::ReceivedBeforeSent`].
    pub fn new(
        sent: Duration,
        theirs: Interval,
        received: Duration,
    ) -> Result<Exchange, PeerError> {
        if received < sent {
            return Err(PeerError::ReceivedBeforeSent { sent, received });
        }
        Ok(Exchange { sent, theirs, received })
    }

    /// The counter just before the question was sent.
    pub fn sent(&self) -> Duration {
        self.sent
    }

    /// The peer's answer.
    pub fn theirs(&self) -> Interval {
        self.theirs
    }

    /// The counter just after the answer was received.
    pub fn received(&self) -> Duration {
        self.received
    }

    /// True time when the counter shows `at`, if the peer was right. `at` may be earlier, too.
    pub fn at(&self, at: Duration, counter: &CounterLimits) -> Interval {
        let earliest = counter.not_before(self.theirs.earliest(), self.received, at);
        let latest = counter.not_after(self.theirs.latest(), self.sent, at);
        // The ends move apart, so they stay in order; if not, nothing is known.
        Interval::new(earliest, latest).unwrap_or(Interval::EVERYTHING)
    }
}

impl CounterLimits {
    /// True time at counter `to` is not before this, if at `from` it was not before `t`.
    fn not_before(&self, t: Timestamp, from: Duration, to: Duration) -> Timestamp {
        if t == Timestamp::MIN {
            return t; // "this or anything before": it cannot be moved forward
        }
        match to.checked_sub(from) {
            Some(elapsed) => t.saturating_add(self.at_least(elapsed)),
            None => t.saturating_sub(self.at_most(from - to)),
        }
    }

    /// True time at counter `to` is not after this, if at `from` it was not after `t`.
    fn not_after(&self, t: Timestamp, from: Duration, to: Duration) -> Timestamp {
        if t == Timestamp::MAX {
            return t;
        }
        match to.checked_sub(from) {
            Some(elapsed) => t.saturating_add(self.at_most(elapsed)),
            None => t.saturating_sub(self.at_least(from - to)),
        }
    }

    /// The least true time in which the counter can have advanced by `elapsed`.
    ///
    /// Ticks per second and seconds per tick differ by the drift squared. Here
    /// and below stands the one that allows for more, so either may be meant.
    fn at_least(&self, elapsed: Duration) -> Duration {
        let nanos = elapsed.saturating_sub(self.step).as_nanos();
        from_nanos(nanos.saturating_mul(self.slowest()) / MILLION)
    }

    /// The most true time in which the counter can have advanced by `elapsed`.
    fn at_most(&self, elapsed: Duration) -> Duration {
        let nanos = elapsed.saturating_add(self.step).as_nanos();
        match self.slowest() {
            0 => Duration::MAX, // a counter that may stand still bounds nothing
            slowest => from_nanos(nanos.saturating_mul(MILLION).div_ceil(slowest)),
        }
    }

    /// The least rate the counter may have, in millionths.
    fn slowest(&self) -> u128 {
        MILLION.saturating_sub(u128::from(self.max_drift_ppm))
    }
}

const MILLION: u128 = 1_000_000;

/// As `Duration`, at most [`Duration::MAX`].
fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match u64::try_from(nanos / SECOND) {
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

/// What one exchange proves about a peer's clock against ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relation {
    /// Both may be right.
    Consistent,
    /// The two cannot both be right: the peer's clock is ahead of ours, by this much at least.
    Ahead(Duration),
    /// The two cannot both be right: the peer's clock is behind ours, by this much at least.
    Behind(Duration),
}

impl Relation {
    /// Of `theirs` to `ours`, both at the same moment.
    pub(super) fn between(theirs: &Interval, ours: &Interval) -> Relation {
        match (
            theirs.earliest().duration_since(ours.latest()),
            ours.earliest().duration_since(theirs.latest()),
        ) {
            (Some(gap), _) if !gap.is_zero() => Relation::Ahead(gap),
            (_, Some(gap)) if !gap.is_zero() => Relation::Behind(gap),
            _ => Relation::Consistent,
        }
    }
}

/// What one exchange proves about a peer's clock against ours, from readings of our clock alone.
///
/// `sent` is our clock read before the question left, `received` after the
/// answer came. If we are right, the peer looked between `sent.earliest()` and
/// `received.latest()`, and nothing narrower can be known. `None` if our own
/// two readings contradict each other: then nothing follows about the peer.
///
/// This is a statement about one exchange. To judge over several peers, use
/// [`PeerClocks`](super::PeerClocks): it carries evidence by a counter.
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Interval, Timestamp, peers::{Relation, compare}};
///
/// let ms = |a, b| {
///     let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
///     Interval::new(at(a), at(b)).expect("in order")
/// };
/// let (sent, received) = (ms(100, 104), ms(140, 144));
/// assert_eq!(compare(&sent, &ms(144, 150), &received), Some(Relation::Consistent));
/// let ahead = Relation::Ahead(Duration::from_millis(6));
/// assert_eq!(compare(&sent, &ms(150, 151), &received), Some(ahead));
/// ```
pub fn compare(sent: &Interval, theirs: &Interval, received: &Interval) -> Option<Relation> {
    let ours = Interval::new(sent.earliest(), received.latest())?;
    Some(Relation::between(theirs, &ours))
}
