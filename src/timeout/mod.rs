//! Timeouts that learn, suspicion in place of a verdict, deadlines that travel.
//!
//! A request without an answer was lost, or waits in a queue, or was applied
//! and its answer lost, or its server is down, or merely slow. From outside all
//! of these look the same, and the network's delay has no bound that would tell
//! them apart. So *a timeout is not a death certificate*. What can be had:
//!
//! - **How long to wait.** A fixed timeout is too short on a bad day and too
//!   long on all others. [`Rto`] learns the delay and its spread (RFC 6298, what
//!   TCP does); [`EwmaTimeout`] a multiple of the mean, which is cheaper and
//!   cruder. Both back off when they were wrong.
//! - **How much to suspect.** [`PhiDetector`] turns the silence since a
//!   heartbeat into a number that grows with it, by what this peer's heartbeats
//!   have been like. The caller chooses what to do at which number. Time in
//!   which *we* were not running is no silence of the peer's.
//! - **Until when an answer is of use.** [`Deadline`] is a moment of true time,
//!   so it keeps its meaning on the next machine, and the time spent in queues
//!   and on the wire counts.
//! - **Whether to ask again.** [`Retries`] spreads the attempts and ends at the
//!   deadline; [`IdempotencyKey`] lets the server see that it is the same
//!   request, for nobody else can know whether the first one was applied.
//!
//! None of them may decide who holds a lease or who leads. For that see leases
//! and fencing, which stay safe when the guess was wrong.
//!
//! Nothing here reads a clock behind the caller's back. Moments are a
//! `Duration` on a monotonic clock of the caller's, or come from a
//! [`TrueTime`](crate::TrueTime); randomness comes from a seed (except for
//! [`IdempotencyKey::random`]). So all of it replays in a simulator.
//!
//! | works in | assumes |
//! |---|---|
//! | partial synchrony | delays are, from some time on, like those seen before |
//! | asynchrony | nothing holds: suspicion may be wrong for ever, and must be harmless |

mod deadline;
mod ewma;
mod idempotency;
mod phi;
mod retry;
mod rto;
mod tail;

use std::time::Duration;

pub use deadline::{Deadline, DeadlineError};
pub use ewma::{EwmaLimits, EwmaTimeout};
pub use idempotency::{IdempotencyKey, KeyError};
pub use phi::{PhiDetector, PhiLimits};
pub use retry::{Backoff, GiveUp, Jitter, Retries};
pub use rto::{Rto, RtoLimits};
pub use tail::phi;

/// Why a timeout, detector or backoff cannot be made with these limits.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Durations that must be in order are not.
    #[error("{low} is {low_is:?} and {high} is {high_is:?}: {low} must not be the greater")]
    OutOfOrder {
        /// What must be the smaller.
        low: &'static str,
        /// Its value.
        low_is: Duration,
        /// What must be the greater.
        high: &'static str,
        /// Its value.
        high_is: Duration,
    },
    /// A duration of zero, where that would mean to wait not at all.
    #[error("{what} is zero: it must be at least a nanosecond")]
    Zero {
        /// Which limit.
        what: &'static str,
    },
    /// A number that is outside its range, or no number at all.
    #[error("{what} is {value}: it must be at least {min} and at most {max}")]
    OutOfRange {
        /// Which limit.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The least it may be.
        min: f64,
        /// The most it may be.
        max: f64,
    },
}

/// `low <= high`, or the error that says so.
fn in_order(
    (low, low_is): (&'static str, Duration),
    (high, high_is): (&'static str, Duration),
) -> Result<(), LimitError> {
    if low_is > high_is {
        return Err(LimitError::OutOfOrder { low, low_is, high, high_is });
    }
    Ok(())
}

fn not_zero(what: &'static str, value: Duration) -> Result<(), LimitError> {
    if value.is_zero() { Err(LimitError::Zero { what }) } else { Ok(()) }
}

/// NaN is in no range.
fn in_range(what: &'static str, value: f64, min: f64, max: f64) -> Result<(), LimitError> {
    if min <= value && value <= max {
        return Ok(());
    }
    Err(LimitError::OutOfRange { what, value, min, max })
}

/// `duration` in nanoseconds, at most `most`.
fn nanos_up_to(duration: Duration, most: u64) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(most)
}
