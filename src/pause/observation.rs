//! [`Observation`]: what a thread has read about itself at one instant.

use std::time::{Duration, Instant};

/// All that a thread can read about itself at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub(super) at: Instant,
    pub(super) suspended: Option<SuspendedTime>,
    /// How long the thread has waited in the run queue since it began.
    pub(super) queued: Option<Duration>,
    /// How often the thread has gone to sleep since it began.
    pub(super) switches: Option<u64>,
    pub(super) rtc: Option<RtcReading>,
}

/// How long the machine has been suspended since boot: between the two figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SuspendedTime {
    pub(super) at_least: Duration,
    pub(super) at_most: Duration,
}

/// The chip's clock, and the two clocks that it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RtcReading {
    /// The chip: whole seconds since 1970, rounded down.
    pub(super) chip: i64,
    /// The wall clock: whole seconds since 1970, rounded down.
    pub(super) wall: i64,
    /// The time since boot, including suspends.
    pub(super) boot: Duration,
}
