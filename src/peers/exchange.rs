//! [`Exchange`]: what one request and its response prove.
//!
//! We ask a peer for the time, and it answers with an interval. When did it read its
//! clock? After the request left us and before the response arrived. Nothing more can be
//! known. NTP takes half of the round trip, which assumes that both directions took
//! equally long. A routing change or a full queue in one direction makes that wrong by up
//! to half of the round trip. So nothing here is halved.
//!
//! What remains is containment. Let our counter show `sent` when we asked, and `received`
//! when the response had arrived. If the peer is right, then true time at a later counter
//! value `c` is
//!
//! ```text
//! at least  theirs.earliest + (c - received) * (1 - drift)   the clock was read at `received` or before
//! at most   theirs.latest   + (c - sent)     / (1 - drift)   the clock was read at `sent` or after
//! ```
//!
//! This is again the crate's pair of lines: evidence ages by widening, and two exchanges
//! with one peer are fused by intersecting them.
//!
//! # Why a counter, and not our own clock
//!
//! Our clock is what we check. Suppose that it steps forward by ten seconds between two
//! exchanges, and that evidence were aged by it. Then the first peer's evidence would be
//! carried forward by ten seconds too much. That peer would seem to agree with us, and the
//! other one, which answered after the step, would be called wrong. (The test
//! `carrying_evidence_by_the_clock_on_trial_hides_its_step` shows it.) So evidence is
//! carried by a counter that nobody sets.

use std::time::Duration;

use super::counter_limits::CounterLimits;
use super::error::PeerError;
use crate::interval::Interval;

/// A peer's answer, between two readings of our own counter.
///
/// The counter is a clock of this host that nobody sets or slews, read as the time since a
/// fixed moment. The choices on Linux:
///
/// - `CLOCK_MONOTONIC_RAW` is the bare oscillator, but it stands still in a suspend. Add
///   the time slept, `CLOCK_BOOTTIME - CLOCK_MONOTONIC`, or call
///   [`PeerClocks::forget`](super::PeerClocks::forget) after a suspend.
/// - `CLOCK_MONOTONIC` (and so `std::time::Instant`) and `CLOCK_BOOTTIME` are slewed by the
///   time daemon, usually by up to 500 ppm, with chrony by up to 10 %. Then
///   `max_drift_ppm` must be that large.
///
/// If a counter is itself known only to be between two values, pass the lower one as `sent`
/// and the upper one as `received`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    sent: Duration,
    theirs: Interval,
    received: Duration,
}

impl Exchange {
    /// An exchange: the counter just before the request was sent, the peer's answer, and
    /// the counter just after it was received.
    ///
    /// Our own clock makes an exchange, too: read the counter, then the clock, then the
    /// counter.
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

    /// The counter just before the request was sent.
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

    /// True time when the counter shows `at`, if the peer was right. `at` may also be earlier
    /// than the exchange.
    pub fn at(&self, at: Duration, counter: &CounterLimits) -> Interval {
        let earliest = counter.carry_earliest(self.theirs.earliest(), self.received, at);
        let latest = counter.carry_latest(self.theirs.latest(), self.sent, at);
        // The ends move apart, so they stay in order. If they did not, nothing would be known.
        Interval::new(earliest, latest).unwrap_or(Interval::EVERYTHING)
    }
}
