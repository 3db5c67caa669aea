//! Leases: a lock that ends by itself, judged by clocks that know their error.
//!
//! # The problem
//!
//! A lock whose holder dies is never given back. So the lock gets an expiry E:
//! the holder may act until then, and somebody else may be granted it afterwards.
//! Now two machines have to agree on when E is, and their clocks do not.
//!
//! # The naive fix, and why it fails
//!
//! Each side compares E with its wall clock. The holder's runs 40 ms slow, the
//! grantor's 40 ms fast: for 80 ms there are two holders, each with a check in
//! its code that said yes. A "safety margin" is a guess about the error, and no
//! margin is right on the day when a time daemon has died.
//!
//! # The insight
//!
//! A clock that states its error can be asked two different questions, and each
//! side asks the one whose wrong answer is harmless:
//!
//! ```text
//!                        latest < E                earliest > E
//!     ───────────── Held ───────────┤── Uncertain ──├────────── Over ──────────▶
//!                                           E
//! ```
//!
//! - **The holder** acts only while `now().latest < E`: E has certainly not come.
//! - **The grantor** grants anew only when `now().earliest > E`: it certainly has.
//! - Between the two nobody acts. That is the price of the uncertainty, and it is
//!   as long as the two intervals are wide: a better clock makes it shorter,
//!   and a worse one never makes it unsafe.
//! - **No clock** is no exception: the holder takes the lease as over, the
//!   grantor as not over.
//!
//! If both clocks keep their promise, at every true moment at most one holder's
//! [`Lease::check`] says [`Held`].
//!
//! # What a lease cannot do
//!
//! The check is true when it is made. A process that is stopped between its
//! check and its write writes later, whatever E says. So a lease keeps others
//! from starting, and a [fence](crate::fence) keeps the paused from finishing:
//! the [`FencingToken`](crate::fence::FencingToken) in each grant is for the
//! resource to check. [`Lease::run`] at least says afterwards that a result is
//! not to be trusted.
//!
//! # Two kinds
//!
//! | | [`Lease`], [`Grantor`] | [`DurationLease`], [`DurationGrantor`] |
//! |---|---|---|
//! | clocks | state their error ([`TrueTime`](crate::TrueTime)) | not synchronised, drift bounded |
//! | expiry | a moment, the same for all | a duration, counted by each side |
//! | grantor's state | may move to another node | means nothing on another node |
//! | after a restart | quiet for the longest term, or none with durable state | quiet for one term |
//!
//! Assumed are crash-recovery nodes that do not lie, a network that may lose,
//! repeat, delay and reorder, and clocks that keep the promise of `TrueTime`
//! (or the drift, for duration leases). Under these, safety holds always;
//! progress needs that messages arrive within a term.
//!
//! To read: Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for
//! distributed file cache consistency", SOSP 1989; Corbett et al., "Spanner",
//! OSDI 2012, section 4.1.1 (disjointness of leader leases).

mod accept;
mod book;
mod drift;
mod duration;
mod duration_grantor;
mod grantor;
mod holder;
mod message;
mod stopwatch;
mod term;

pub use accept::{AcceptError, Holder};
pub use duration::{DurationGrant, DurationLease, DurationLost, Request, RequestId};
pub use duration_grantor::DurationGrantor;
pub use grantor::Grantor;
pub use holder::{Held, Lease, LeaseLost, Ran, RenewError};
pub use message::{Command, Decision, Grant, HolderId, ParseHolderError, Refusal};
pub use stopwatch::{BootClock, Reading, Stopwatch};
pub use term::{MAX_TERM, TermError};

use std::time::Duration;

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// How a clock's interval stands to an expiry: the rule that both sides use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// `latest < E`: E has certainly not come, and is at least so far away.
    Held(Duration),
    /// `earliest <= E <= latest`: nobody may act.
    Uncertain,
    /// `earliest > E`: E has certainly passed, at least so long ago.
    Over(Duration),
}

impl Standing {
    /// How `now` stands to `expires`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Interval, Timestamp, lease::Standing};
    /// # let at = Timestamp::from_tai_nanos;
    /// let now = Interval::new(at(100), at(120)).unwrap();
    /// assert_eq!(Standing::of(at(150), &now), Standing::Held(Duration::from_nanos(30)));
    /// assert_eq!(Standing::of(at(120), &now), Standing::Uncertain);
    /// assert_eq!(Standing::of(at(99), &now), Standing::Over(Duration::from_nanos(1)));
    /// ```
    #[inline]
    pub const fn of(expires: Timestamp, now: &Interval) -> Standing {
        // `duration_since` of equal moments is zero, and at E itself nobody acts.
        if let Some(left) = expires.duration_since(now.latest()) {
            if !left.is_zero() {
                return Standing::Held(left);
            }
        }
        match now.earliest().duration_since(expires) {
            Some(past) if !past.is_zero() => Standing::Over(past),
            _ => Standing::Uncertain,
        }
    }
}
