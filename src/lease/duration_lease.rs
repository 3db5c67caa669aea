//! Duration leases: leases for clocks that are not synchronized.
//!
//! Two stopwatches that were never set against each other can still agree on "not for
//! longer than a term", if each of them drifts by at most ρ:
//!
//! ```text
//! holder    send ├──────────── term × (1 − ρ) ───────┤ stops
//!                 ╲
//! grantor          receive ├──────────── term × (1 + ρ) ───────────┤ grants anew
//! ```
//!
//! The holder counts from *sending* its request, which came first, and stops early. The
//! grantor counts from *receiving* it, and waits longer. In true time the holder has
//! stopped before `send + term`, and the grantor grants after `receive + term`. Neither
//! message delays nor the time of day enter into this.
//!
//! The mistake to avoid is to count from the *answer*, as clients of lock services often
//! do. It is wrong because the answer may have waited in a buffer for longer than a term.
//!
//! The readings of a stopwatch mean nothing on another machine. So a duration lease
//! cannot be transferred (release it, and let the next holder acquire it), the grantor's
//! state cannot be replicated, and each new grantor is quiet for one term.

use std::time::Duration;

use super::drift::shrink;
use super::error::LeaseError;
use super::holder_id::HolderId;
use super::remaining::Remaining;
use super::section_outcome::SectionOutcome;
use super::stopwatch::Stopwatch;
use crate::fence::FencingToken;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::timestamp::duration_nanos;

/// The moment at which a request was sent. Take it *before* sending.
///
/// Begin another one for each attempt. If the answer to the first attempt were counted
/// from the second, the lease would be held for too long. So a request carries its
/// [`id`](Self::id), and a grant says which request it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    id: RequestId,
    sent: Duration,
    max_drift_ppm: u32,
}

/// Identifies the request that a grant answers. Only the holder that made it compares it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct RequestId(pub u64);

impl Request {
    /// Reads the stopwatch. Send the request afterwards, and keep this until the answer.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NoStopwatch`]: without a reading no lease could be held.
    pub fn begin<S: Stopwatch + ?Sized>(stopwatch: &S) -> Result<Request, LeaseError> {
        let now = stopwatch.read().ok_or(LeaseError::NoStopwatch)?;
        // Two requests with the same id were sent at the same nanosecond of the same
        // stopwatch, so the answer to either is also right for the other.
        let id = RequestId(duration_nanos(now.earliest));
        Ok(Request { id, sent: now.earliest, max_drift_ppm: stopwatch.max_drift_ppm() })
    }

    /// The id to send with the request. The grant repeats it.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Where the lease ends on the holder's stopwatch, in nanoseconds, if the answer grants
    /// `term`. Saturation makes the end early, which is harmless.
    fn end(&self, term: Duration) -> u64 {
        duration_nanos(self.sent.saturating_add(shrink(term, self.max_drift_ppm)))
    }
}

/// A lease that the holder counts on its own stopwatch.
///
/// It is used like a [`Lease`](super::Lease), with a [`Stopwatch`] in place of a clock.
///
/// ```
/// use std::time::Duration;
/// use truechimer::fence::FencingToken;
/// use truechimer::lease::{BootClock, DurationLease, Request};
///
/// let stopwatch = BootClock::new().expect("Linux");
/// let request = Request::begin(&stopwatch)?;
/// // ... send it; the answer grants 10 s under token 7 ...
/// let lease = DurationLease::new(request, FencingToken(7), Duration::from_secs(10));
/// assert!(lease.check(&stopwatch)?.at_least() < Duration::from_secs(10));
/// # Ok::<(), truechimer::lease::LeaseError>(())
/// ```
#[derive(Debug)]
pub struct DurationLease {
    token: FencingToken,
    /// Nanoseconds on the holder's stopwatch, which only rise. Relaxed, as in `Lease`.
    end: AtomicU64,
}

impl DurationLease {
    /// A lease of `term`, granted in answer to `request` and to no other request.
    ///
    /// For a [`DurationGrant`], prefer [`Holder::accept_duration`](super::Holder::accept_duration),
    /// which compares the request and the token.
    pub fn new(request: Request, token: FencingToken, term: Duration) -> DurationLease {
        DurationLease { token, end: AtomicU64::new(request.end(term)) }
    }

    /// The token that the resource must see with every request.
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Checks whether the lease is held, and for how long at least.
    ///
    /// `stopwatch` must be the one with which the request was begun.
    ///
    /// # Errors
    ///
    /// [`LeaseError::TermPassed`] or [`LeaseError::NoStopwatch`]: stop acting.
    pub fn check<S: Stopwatch + ?Sized>(&self, stopwatch: &S) -> Result<Remaining, LeaseError> {
        let now = stopwatch.read().ok_or(LeaseError::NoStopwatch)?;
        let end = Duration::from_nanos(self.end.load(Ordering::Relaxed));
        match end.checked_sub(now.latest).filter(|left| !left.is_zero()) {
            // A fast stopwatch shows more time left than there is, so shrink it.
            Some(left) => {
                let left = shrink(left, stopwatch.max_drift_ppm());
                Ok(Remaining::new(self.token, duration_nanos(left)))
            }
            None => Err(LeaseError::TermPassed { by_at_most: now.latest.saturating_sub(end) }),
        }
    }

    /// Runs `section` if the lease is held, and checks the lease again afterwards.
    ///
    /// # Errors
    ///
    /// What the check before the section found; `section` did not run.
    pub fn run<S: Stopwatch + ?Sized, T>(
        &self,
        stopwatch: &S,
        section: impl FnOnce(FencingToken) -> T,
    ) -> Result<SectionOutcome<T>, LeaseError> {
        self.check(stopwatch)?;
        let result = section(self.token);
        Ok(SectionOutcome::new(result, self.check(stopwatch)))
    }

    /// Applies the answer to the renewal that was begun with `request`.
    ///
    /// Returns whether it moved the end forward. The answer to another request, or an
    /// answer that a later one overtook, moves nothing.
    pub fn renewed(&self, request: Request, grant: &DurationGrant) -> bool {
        if grant.token != self.token || grant.request != request.id {
            return false;
        }
        let end = request.end(grant.term);
        self.end.fetch_max(end, Ordering::Relaxed) < end
    }

    /// Ends the lease here. Send the token to the grantor, which ends it there.
    pub fn release(self) -> FencingToken {
        self.token
    }
}

/// States that a holder has the lease for `term`, counted from when it sent its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DurationGrant {
    /// The holder of the lease.
    pub holder: HolderId,
    /// The request that this answers. The lease counts from when it was sent.
    pub request: RequestId,
    /// The token that the resource must see with every request.
    pub token: FencingToken,
    /// How long the lease lasts, in true time.
    pub term: Duration,
}
