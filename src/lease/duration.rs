//! Duration leases: for clocks that nobody has synchronised.
//!
//! Two stopwatches that were never set against each other can still agree on
//! "not for longer than a term", if each of them drifts by at most ρ:
//!
//! ```text
//! holder    send ├──────────── term × (1 − ρ) ───────┤ stops
//!                 ╲
//! grantor          receive ├──────────── term × (1 + ρ) ───────────┤ grants anew
//! ```
//!
//! The holder counts from *sending* its request, which came first, and stops
//! early. The grantor counts from *receiving* it, and waits longer. In true time
//! the holder has stopped before `send + term`, and the grantor grants after
//! `receive + term`. No message delay enters, and no time of day.
//!
//! To count from the *answer*, as clients of lock services often do, is the
//! mistake to avoid: the answer may have lain in a buffer for longer than a term.
//!
//! The readings of a stopwatch mean nothing on another machine. So there is no
//! handing on to a third (release, and let it acquire), no grantor's state to
//! replicate, and each new grantor is quiet for one term.

use std::time::Duration;

use super::drift::shrink;
use super::holder::{Held, Ran};
use super::message::HolderId;
use super::stopwatch::Stopwatch;
use crate::fence::FencingToken;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The moment at which a request was sent. Take it *before* sending.
///
/// Begin another for each attempt: a grant that answers the first attempt, counted
/// from the second, would be held for too long. So a request carries its
/// [`id`](Self::id), and a grant says which one it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    id: RequestId,
    sent: Duration,
    max_drift_ppm: u32,
}

/// Which request a grant answers. Only the holder that made it compares it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct RequestId(pub u64);

impl Request {
    /// Notes the time. Send the request afterwards, and keep this until the answer.
    ///
    /// # Errors
    ///
    /// [`DurationLost::NoClock`]: without a reading no lease could be held.
    pub fn begin<S: Stopwatch + ?Sized>(watch: &S) -> Result<Request, DurationLost> {
        let now = watch.read().ok_or(DurationLost::NoClock)?;
        // Of two requests with one id, both were sent at the same nanosecond of
        // the same stopwatch: either answer then serves for either.
        let id = RequestId(nanos(now.earliest));
        Ok(Request { id, sent: now.earliest, max_drift_ppm: watch.max_drift_ppm() })
    }

    /// What to send along, for the grant to repeat.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Where the holder's stopwatch has to be below, if the answer grants `term`.
    fn until(&self, term: Duration) -> u64 {
        nanos(self.sent.saturating_add(shrink(term, self.max_drift_ppm)))
    }
}

/// A lease that the holder counts on its own stopwatch.
///
/// It is used as a [`Lease`](super::Lease) is, with a [`Stopwatch`] for a clock.
///
/// ```
/// use std::time::Duration;
/// use truechimer::fence::FencingToken;
/// use truechimer::lease::{BootClock, DurationLease, Request};
///
/// let watch = BootClock::new().expect("Linux");
/// let request = Request::begin(&watch)?;
/// // ... send it; the answer grants 10 s under token 7 ...
/// let lease = DurationLease::new(request, FencingToken(7), Duration::from_secs(10));
/// assert!(lease.check(&watch)?.at_least() < Duration::from_secs(10));
/// # Ok::<(), truechimer::lease::DurationLost>(())
/// ```
#[derive(Debug)]
pub struct DurationLease {
    token: FencingToken,
    /// Nanoseconds on the holder's stopwatch; only ever rises. Relaxed, as in `Lease`.
    until: AtomicU64,
}

impl DurationLease {
    /// A lease of `term`, granted in answer to `request` and to no other.
    ///
    /// For a [`DurationGrant`], prefer [`Holder::accept_duration`](super::Holder::accept_duration),
    /// which looks at both.
    pub fn new(request: Request, token: FencingToken, term: Duration) -> DurationLease {
        DurationLease { token, until: AtomicU64::new(request.until(term)) }
    }

    /// The number that the resource is to see with every request.
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Whether the lease is held, and for how long at least.
    ///
    /// `watch` is the one that the request was begun with.
    ///
    /// # Errors
    ///
    /// [`DurationLost`]: stop acting.
    pub fn check<S: Stopwatch + ?Sized>(&self, watch: &S) -> Result<Held, DurationLost> {
        let now = watch.read().ok_or(DurationLost::NoClock)?;
        let until = Duration::from_nanos(self.until.load(Ordering::Relaxed));
        match until.checked_sub(now.latest).filter(|left| !left.is_zero()) {
            // The watch may run fast: then a part of what it shows as left is not.
            Some(left) => Ok(Held::new(self.token, nanos(shrink(left, watch.max_drift_ppm())))),
            None => Err(DurationLost::Over { by_at_most: now.latest.saturating_sub(until) }),
        }
    }

    /// Runs `section` if the lease is held, and checks again when it has ended.
    ///
    /// # Errors
    ///
    /// [`DurationLost`] from the check before: `section` was not run.
    pub fn run<S: Stopwatch + ?Sized, T>(
        &self,
        watch: &S,
        section: impl FnOnce(FencingToken) -> T,
    ) -> Result<Ran<T, DurationLost>, DurationLost> {
        self.check(watch)?;
        let result = section(self.token);
        Ok(match self.check(watch) {
            Ok(_) => Ran::Trusted(result),
            Err(lost) => Ran::Doubtful { result, lost },
        })
    }

    /// Takes the answer to the renewal that was begun with `request`.
    ///
    /// Gives back whether it moved the end forward. The answer to another
    /// request, or one that is overtaken by a later one, moves nothing.
    pub fn renewed(&self, request: Request, grant: &DurationGrant) -> bool {
        if grant.token != self.token || grant.answers != request.id {
            return false;
        }
        let until = request.until(grant.term);
        self.until.fetch_max(until, Ordering::Relaxed) < until
    }

    /// Ends the lease here. The token is for the message that ends it at the grantor.
    pub fn release(self) -> FencingToken {
        self.token
    }
}

/// The holder of a duration lease may not act.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurationLost {
    /// A term may have passed since the request was sent.
    #[error(
        "the lease may be over, by up to {by_at_most:?}: another may have it, so stop, and renew \
         or acquire anew"
    )]
    Over {
        /// How far the stopwatch may be beyond the end.
        by_at_most: Duration,
    },
    /// The stopwatch cannot be read, so a term may have passed.
    #[error("the stopwatch cannot be read, so the lease counts as over: choose another clock")]
    NoClock,
}

impl DurationLost {
    /// Whether the same lease can be held again later, after a renewal.
    pub fn is_transient(&self) -> bool {
        matches!(self, DurationLost::Over { .. })
    }
}

/// The grantor's word: this holder has the lease for `term`, from when it sent its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DurationGrant {
    /// Who has it.
    pub holder: HolderId,
    /// The request that this answers: the lease is counted from its sending.
    pub answers: RequestId,
    /// What the resource is to see with every request.
    pub token: FencingToken,
    /// For how long, in true time.
    pub term: Duration,
}

/// Whole nanoseconds, at most what 64 bits hold: an end that comes early is harmless.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
