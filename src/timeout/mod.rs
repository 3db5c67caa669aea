//! Adaptive timeouts, failure suspicion, deadlines that travel with a request, and retries.
//!
//! A request has no answer. It was lost, or it waits in a queue, or it was applied and
//! the answer was lost, or its server is down, or the server is only slow. From outside
//! all of these look the same, and the network's delay has no bound that would tell
//! them apart. So *a timeout does not prove a failure*. What can be had instead:
//!
//! - **How long to wait.** A fixed timeout is too short on a bad day and too long on all
//!   others. [`Rto`] learns the delay and its spread (RFC 6298, as TCP does).
//!   [`EwmaTimeout`] learns a multiple of the mean, which is cheaper and cruder. Both
//!   back off after a timeout.
//! - **How much to suspect.** [`PhiDetector`] turns the silence since a heartbeat into a
//!   number that grows with it, based on the past heartbeats of this peer. The caller
//!   chooses what to do at which number. Time in which *we* did not run does not count
//!   as silence of the peer.
//! - **Until when an answer is useful.** [`Deadline`] is a moment of true time, so it
//!   keeps its meaning on the next machine. The time spent in queues and on the wire
//!   counts.
//! - **Whether to try again.** [`Retries`] spreads the attempts and ends at the deadline.
//!   [`IdempotencyKey`] lets the server see that it is the same request, because only
//!   the server can know whether the first attempt was applied.
//!
//! None of them may decide which node holds a lease or leads. Leases and fencing do
//! that, and stay safe when the guess was wrong.
//!
//! Nothing here reads a clock that the caller did not pass in. Moments are a `Duration`
//! on a monotonic clock of the caller, or come from a [`TrueTime`](crate::TrueTime).
//! Randomness comes from a seed, except for [`IdempotencyKey::random`]. So all of it
//! replays in a simulator.
//!
//! | works in | assumes |
//! |---|---|
//! | partial synchrony | from some time on, delays are like those seen before |
//! | asynchrony | nothing: suspicion may be wrong for ever, and must be harmless |

mod deadline;
mod error;
mod ewma_timeout;
mod idempotency_key;
mod phi;
mod phi_detector;
mod retries;
mod rto;

pub use deadline::Deadline;
pub use error::{RetryError, TimeoutError};
pub use ewma_timeout::{EwmaSettings, EwmaTimeout};
pub use idempotency_key::IdempotencyKey;
pub use phi::phi;
pub use phi_detector::{PhiDetector, PhiSettings};
pub use retries::{Backoff, Jitter, Retries};
pub use rto::{Rto, RtoSettings};
