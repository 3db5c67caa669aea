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
//!
//! Nor does it cover commit stamps. They are moments of true time, and the lease's end is none.
//! A node that takes them needs a [`Lease`](super::Lease).

use std::time::Duration;

use super::abandoned::Abandoned;
use super::drift::shrink;
use super::error::LeaseError;
use super::holder_id::HolderId;
use super::message::Command;
use super::remaining::Remaining;
use super::request_id::RequestId;
use super::section_outcome::SectionOutcome;
use super::stopwatch::Stopwatch;
use crate::fence::FencingToken;
use crate::section::NotAFuture;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::timestamp::duration_nanos;

/// A command, and the moment before it was sent.
///
/// [`Holder::request`](super::Holder::request) and [`DurationLease::renewal`] make one. Send its
/// [`command`](Self::command), and keep this until the answer. If no answer comes, send the
/// same command again: the lease counts from when it was sent *first*, because the grantor
/// answers the first copy that arrives. A grant says which request it answers, so that it is
/// not counted from a later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    command: Command,
    sent: Duration,
    max_drift_ppm: u32,
}

impl Request {
    /// Reads the stopwatch. Nobody else has sent `command` before.
    pub(super) fn begin<S: Stopwatch + ?Sized>(
        stopwatch: &S,
        command: impl FnOnce() -> Command,
    ) -> Result<Request, LeaseError> {
        let now = stopwatch.read().ok_or(LeaseError::NoStopwatch)?;
        let (sent, max_drift_ppm) = (now.earliest, stopwatch.max_drift_ppm());
        Ok(Request { command: command(), sent, max_drift_ppm })
    }

    /// What to send.
    pub fn command(&self) -> Command {
        self.command
    }

    /// Whether `grant` is the answer to this request.
    pub(super) fn is_answered_by(&self, grant: &DurationGrant) -> bool {
        self.command.id() == Some(grant.request)
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
/// use truechimer::lease::{BootClock, DurationLease, Holder, HolderId};
///
/// let stopwatch = BootClock::new().expect("Linux");
/// let mut holder = Holder::new(HolderId(1));
/// let request = holder.request(&stopwatch)?;
/// // ... send `request.command()`; the answer grants 10 s under token 7 ...
/// let lease = DurationLease::new(request, FencingToken(7), Duration::from_secs(10));
/// assert!(lease.check(&stopwatch)?.at_least() < Duration::from_secs(10));
/// # Ok::<(), truechimer::lease::LeaseError>(())
/// ```
#[derive(Debug)]
pub struct DurationLease {
    token: FencingToken,
    /// Nanoseconds on the holder's stopwatch, which only rise. Relaxed, as in `Lease`.
    end: AtomicU64,
    /// The number of the last command. It only rises.
    numbers: AtomicU64,
    abandoned: Abandoned,
}

impl DurationLease {
    /// A lease of `term`, granted in answer to `request` and to no other request.
    ///
    /// For a [`DurationGrant`], prefer [`Holder::accept_duration`](super::Holder::accept_duration),
    /// which compares the request and the token.
    pub fn new(request: Request, token: FencingToken, term: Duration) -> DurationLease {
        let end = AtomicU64::new(request.end(term));
        DurationLease { token, end, numbers: AtomicU64::new(0), abandoned: Abandoned::none() }
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
    /// A section that returns a future does not compile, as in [`Lease::run`](super::Lease::run):
    ///
    /// ```compile_fail,E0283
    /// # use truechimer::lease::{BootClock, DurationLease};
    /// # fn with(lease: DurationLease, stopwatch: BootClock) {
    /// let outcome = lease.run(&stopwatch, |token| async move { token });
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What the check before the section found; `section` did not run.
    pub fn run<S, T, UseRunAsyncForFutures>(
        &self,
        stopwatch: &S,
        section: impl FnOnce(FencingToken) -> T,
    ) -> Result<SectionOutcome<T>, LeaseError>
    where
        S: Stopwatch + ?Sized,
        T: NotAFuture<UseRunAsyncForFutures>,
    {
        self.check(stopwatch)?;
        let under_way = self.abandoned.begin();
        let result = section(self.token);
        under_way.end();
        Ok(SectionOutcome::new(result, self.check(stopwatch)))
    }

    /// Runs an asynchronous section if the lease is held, and checks the lease again when its
    /// future has ended. [`Lease::run_async`](super::Lease::run_async) says what happens when
    /// the future is dropped.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_async<S, F>(
        &self,
        stopwatch: &S,
        section: impl FnOnce(FencingToken) -> F,
    ) -> Result<SectionOutcome<F::Output>, LeaseError>
    where
        S: Stopwatch + ?Sized,
        F: Future,
    {
        self.check(stopwatch)?;
        let under_way = self.abandoned.begin();
        let result = section(self.token).await;
        under_way.end();
        Ok(SectionOutcome::new(result, self.check(stopwatch)))
    }

    /// How many sections began and did not come to their end, as for
    /// [`Lease::abandoned`](super::Lease::abandoned).
    pub fn abandoned(&self) -> u64 {
        self.abandoned.count()
    }

    /// The request for a later end, whose term counts from now.
    ///
    /// `progress` is as for [`Lease::renewal`](super::Lease::renewal).
    ///
    /// # Errors
    ///
    /// [`LeaseError::NoStopwatch`]: without a reading no term could be counted.
    pub fn renewal<S: Stopwatch + ?Sized>(
        &self,
        stopwatch: &S,
        progress: u64,
    ) -> Result<Request, LeaseError> {
        let (token, number) = (self.token, self.next_number());
        Request::begin(stopwatch, || Command::Renew { token, number, progress })
    }

    /// Applies the answer to the [`renewal`](Self::renewal) `request`.
    ///
    /// Returns whether it moved the end forward. The answer to another request, or an
    /// answer that a later one overtook, moves nothing.
    pub fn renewed(&self, request: Request, grant: &DurationGrant) -> bool {
        if grant.token != self.token || !request.is_answered_by(grant) {
            return false;
        }
        let end = request.end(grant.term);
        self.end.fetch_max(end, Ordering::Relaxed) < end
    }

    /// Ends the lease here, and returns the message that ends it at the grantor.
    pub fn release(self) -> Command {
        Command::Release { token: self.token, number: self.next_number() }
    }

    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// States that a holder has the lease for `term`, counted from when it sent its request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
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
