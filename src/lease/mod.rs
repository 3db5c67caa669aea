//! Leases: locks that expire by themselves, judged by clocks that state their error.
//!
//! # The problem
//!
//! If the holder of a lock dies, it never gives the lock back. So the lock gets an
//! expiry E: the holder may act until E, and after E the lock may be granted to
//! another. Now two machines have to agree on when E is, but their clocks differ.
//!
//! # The naive fix, and why it fails
//!
//! Each side compares E with its wall clock. The holder's clock is 40 ms slow and
//! the grantor's is 40 ms fast, so for 80 ms there are two holders, and each of
//! them has checked its lease. A "safety margin" is a guess about the clock error,
//! and no margin is large enough on the day when a time daemon has died.
//!
//! # The insight
//!
//! A clock that states its error can answer two different questions. Each side
//! asks the question whose wrong answer does no harm:
//!
//! ```text
//!                        latest < E                earliest > E
//!     ───────────── Held ───────────┤── Uncertain ──├─────── Expired ──────────▶
//!                                           E
//! ```
//!
//! - **The holder** acts only while `now().latest < E`, because then E has certainly
//!   not come.
//! - **The grantor** grants anew only when `now().earliest > E`, because then E has
//!   certainly passed.
//! - In between, nobody acts. This is the price of the uncertainty, and it lasts as
//!   long as the two intervals are wide. A better clock makes it shorter, and a worse
//!   clock never makes it unsafe.
//! - **If a clock returns an error**, the holder treats the lease as expired and the
//!   grantor treats it as held.
//!
//! If both clocks keep their promise, then at every moment of true time
//! [`Lease::check`] succeeds for at most one holder.
//!
//! # What a lease cannot do
//!
//! A check is true at the moment when it is made. A process that is stopped between
//! its check and its write will write later, after E. So a lease keeps other holders
//! from starting, and a [fence](crate::fence) keeps a paused holder from finishing:
//! each grant carries a [`FencingToken`](crate::fence::FencingToken), which the
//! resource must check. [`Lease::run`] at least reports afterwards that the lease
//! may have ended before the work did.
//!
//! # When the clock was wrong
//!
//! `earliest` can go back: a source was wrong by an hour, the grantor saw that E had passed,
//! and a contradiction brought the truth out. The clock then begins a new
//! [epoch](crate::Clock::epoch). What was granted in the earlier one cannot be taken back, and
//! two holders may have their leases: the new one, and the former one, whose E has not
//! come. In that case:
//!
//! - **The resource** refuses the former holder by its token, once the new one has written.
//!   This is the only protection that needs no clock, so what must not be written twice
//!   needs a [fence](crate::fence).
//! - **A holder** keeps the epoch of its last check beside its work. If it has changed, the
//!   check was by evidence that may have been wrong. The holder checks anew, and treats
//!   what it did since as [`SectionOutcome`] treats work that outlived its lease.
//! - **A grantor** whose clock is in another epoch than at its last grant goes quiet for its
//!   longest term: [`Grantor::after_lost_updates`] makes one that does. By then each lease
//!   that was granted, over another or under it, has expired. A grantor without a stored
//!   state numbers its tokens by the clock. If that clock was ahead, its tokens are too, and
//!   fences refuse the lower tokens of a restarted grantor until time has caught up.
//! - **A term** is counted from the grantor's `earliest`, so a clock that was *behind* makes
//!   leases end early, which harms nobody.
//!
//! A clock that is [restored](crate::Clock::restored) or that [forgot](crate::Clock::reassume)
//! its evidence begins a new epoch too, and the same holds.
//!
//! # Two kinds
//!
//! | | [`Lease`], [`Grantor`] | [`DurationLease`], [`DurationGrantor`] |
//! |---|---|---|
//! | clocks | state their error ([`TrueTime`](crate::TrueTime)) | not synchronized, drift bounded |
//! | expiry | a moment, the same for all | a duration, counted by each side |
//! | grantor's state | may move to another node | is meaningless on another node |
//! | after a restart | quiet for the longest term, or no wait with durable state | quiet for one term |
//!
//! The model: nodes crash and recover but follow the protocol. The network may lose,
//! repeat, delay and reorder messages. Clocks keep the promise of `TrueTime`, or the
//! drift bound for duration leases. Under these assumptions safety always holds.
//! Progress also needs messages to arrive within a term.
//!
//! To read: Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for
//! distributed file cache consistency", SOSP 1989; Corbett et al., "Spanner",
//! OSDI 2012, section 4.1.1 (disjointness of leader leases).

#[cfg(not(target_family = "wasm"))]
mod boot_clock;
mod drift;
mod duration_grantor;
mod duration_lease;
mod error;
mod expiry;
mod grant_error;
mod grantor;
mod holder;
mod holder_id;
#[expect(clippy::module_inception, reason = "files are named for their main type")]
mod lease;
mod lease_state;
mod message;
mod remaining;
mod section_outcome;
mod stopwatch;
mod term;

#[cfg(not(target_family = "wasm"))]
pub use boot_clock::BootClock;
pub use duration_grantor::DurationGrantor;
pub use duration_lease::{DurationGrant, DurationLease, Request, RequestId};
pub use error::LeaseError;
pub use expiry::ExpiryStatus;
pub use grant_error::GrantError;
pub use grantor::Grantor;
pub use holder::Holder;
pub use holder_id::HolderId;
pub use lease::Lease;
pub use message::{Command, Decision, Grant};
pub use remaining::Remaining;
pub use section_outcome::SectionOutcome;
pub use stopwatch::{Reading, Stopwatch};
pub use term::MAX_TERM;
