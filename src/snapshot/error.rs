//! [`ClockError`]: why a clock gives no interval.

use std::time::Duration;

use crate::evidence::Reason;

/// Why a clock gives no interval. Small and `Copy`: making one allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ClockError {
    /// No source states a bound, and no earlier evidence is left.
    #[error("the clock is not synchronized: {0}")]
    Unsynchronized(Reason),
    /// The evidence has aged until the interval became wider than is allowed.
    #[error(
        "the interval has grown wider than the limit of {limit:?} since the last evidence: \
         repair the time source, or raise `max_width`"
    )]
    TooWide {
        /// The clock's `max_width`.
        limit: Duration,
    },
    /// Sources contradict each other by more than is allowed, so at least one is wrong.
    #[error(
        "the sources of time contradict each other: at least one is wrong, and it is not known \
         which; `truechimer doctor` shows what each of them states"
    )]
    Contradicted,
    /// The counter shows less than at the last sample.
    #[error(
        "the counter ran backwards since the last sample, as it does after a suspend: the clock \
         will choose another counter or sample again at its next poll"
    )]
    CounterWentBackwards,
    /// The hypervisor moved this machine to another host, or restored it from a snapshot, and no
    /// source has stated a bound since.
    ///
    /// The counter is another one then, and time has passed that no clock in the machine shows. So
    /// everything from before is void, and a new epoch begins. The machine needs a VMClock that
    /// shows it ([`source::vmclock`](crate::source::vmclock)).
    #[error(
        "the hypervisor moved this machine to another host, or restored it from a snapshot, and no \
         source has stated a bound since: ask again after the time source's next update"
    )]
    Disrupted,
}

impl ClockError {
    /// Whether asking again later can succeed without a change to the program.
    ///
    /// True of every error so far: daemons come back, samples arrive, and
    /// contradictions end. Wait with a deadline, not forever.
    pub fn is_transient(&self) -> bool {
        match self {
            ClockError::Unsynchronized(_)
            | ClockError::TooWide { .. }
            | ClockError::Contradicted
            | ClockError::CounterWentBackwards
            | ClockError::Disrupted => true,
        }
    }
}
