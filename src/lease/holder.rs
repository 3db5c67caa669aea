//! The holder's side: [`Lease`], which is asked before and after each act.

use std::time::Duration;

use super::Standing;
use super::message::{Command, Grant, HolderId};
use crate::clock::truetime::TrueTime;
use crate::fence::FencingToken;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::sync::atomic::{AtomicI64, Ordering};
use crate::timestamp::Timestamp;

/// A lease in the holder's hands.
///
/// Share it by reference or in an `Arc`: a thread may renew it while others
/// check. It cannot be cloned, and giving it back consumes it, so a released
/// lease cannot come back, and none can be given back while a section still
/// runs under it:
///
/// ```compile_fail
/// # use truechimer::{Timestamp, fence::FencingToken, lease::Lease};
/// # fn act(_: &Lease) {}
/// # let lease = Lease::new(FencingToken(7), Timestamp::MAX);
/// let message = lease.release();
/// act(&lease); // moved: there is no lease any more
/// ```
///
/// ```
/// # use truechimer::{Timestamp, fence::FencingToken, lease::Lease};
/// # fn act(_: &Lease) {}
/// # let lease = Lease::new(FencingToken(7), Timestamp::MAX);
/// act(&lease);
/// let message = lease.release(); // to be sent to the grantor
/// ```
///
/// A lease that is dropped is not released: it runs out.
#[derive(Debug)]
pub struct Lease {
    token: FencingToken,
    /// TAI nanoseconds; only ever rises. Relaxed: the one word says all that
    /// there is to say, and whichever of two expiries is read was granted.
    expires: AtomicI64,
}

/// The holder had the lease when it asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    token: FencingToken,
    // Not a `Duration`: its division by 10⁹ is a good part of what a check costs.
    nanos: u64,
}

impl Held {
    #[inline]
    pub(super) fn new(token: FencingToken, nanos: u64) -> Held {
        Held { token, nanos }
    }

    /// For the resource to check: send it along with every request.
    #[inline]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// The lease lasts at least so long, counted from the reading of the clock.
    ///
    /// Not a licence to act for so long unasked: a pause takes no account of it.
    #[inline]
    pub fn at_least(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }
}

impl Lease {
    /// A lease that some lock service granted until `expires`.
    ///
    /// For a [`Grant`], prefer [`Holder::accept`](super::Holder::accept), which takes each grant once.
    pub fn new(token: FencingToken, expires: Timestamp) -> Lease {
        Lease { token, expires: AtomicI64::new(expires.tai_nanos()) }
    }

    /// The number that the resource is to see with every request.
    #[inline]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// E. The lease is held only while true time is certainly before it.
    #[inline]
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_tai_nanos(self.expires.load(Ordering::Relaxed))
    }

    /// Whether the lease is held, and for how long at least.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`]: stop acting. A clock that does not answer counts as an
    /// expiry.
    #[inline]
    pub fn check<C: TrueTime + ?Sized>(&self, clock: &C) -> Result<Held, LeaseLost> {
        let now = clock.now()?;
        // After the clock: an expiry that was moved meanwhile counts already.
        let expires = self.expires();
        let (end, latest) = (expires.tai_nanos(), now.latest().tai_nanos());
        if latest < end {
            return Ok(Held::new(self.token, end.abs_diff(latest)));
        }
        Err(LeaseLost::at(expires, now))
    }

    /// Runs `section` if the lease is held, and checks again when it has ended.
    ///
    /// The token is for the requests that the section sends.
    ///
    /// ```
    /// # use truechimer::{ClockError, Interval, Timestamp, TrueTime};
    /// # use truechimer::{fence::FencingToken, lease::{Lease, Ran}};
    /// # struct Always(i64);
    /// # impl TrueTime for Always {
    /// #     fn now(&self) -> Result<Interval, ClockError> {
    /// #         Ok(Interval::from(Timestamp::from_tai_nanos(self.0)))
    /// #     }
    /// # }
    /// # let clock = Always(500);
    /// let lease = Lease::new(FencingToken(7), Timestamp::from_tai_nanos(1_000));
    /// match lease.run(&clock, |token| format!("written under {token}"))? {
    ///     Ran::Trusted(result) => println!("{result}"),
    ///     Ran::Doubtful { result, lost } => println!("{result}, but perhaps too late: {lost}"),
    /// }
    /// # Ok::<(), truechimer::lease::LeaseLost>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LeaseLost`] from the check before: `section` was not run. What the check
    /// after finds is in [`Ran`], since the section *has* run by then.
    pub fn run<C: TrueTime + ?Sized, T>(
        &self,
        clock: &C,
        section: impl FnOnce(FencingToken) -> T,
    ) -> Result<Ran<T>, LeaseLost> {
        self.check(clock)?;
        let result = section(self.token);
        Ok(match self.check(clock) {
            Ok(_) => Ran::Trusted(result),
            Err(lost) => Ran::Doubtful { result, lost },
        })
    }

    /// The request for a later expiry.
    ///
    /// `progress` must rise from renewal to renewal, or the grantor refuses.
    /// Let it count what the holder exists for (entries applied, rounds of its
    /// loop), in the thread that does it. A thread that only renews would
    /// keep the lease of a process that has long been stuck.
    pub fn renewal(&self, progress: u64) -> Command {
        Command::Renew { token: self.token, progress }
    }

    /// Takes the grantor's answer to a [`renewal`](Self::renewal).
    ///
    /// # Errors
    ///
    /// [`RenewError`]: the expiry stays as it was. An answer that comes twice,
    /// or is overtaken by a later one, moves nothing back.
    pub fn renewed(&self, grant: &Grant) -> Result<(), RenewError> {
        if grant.token != self.token {
            return Err(RenewError::OtherLease { token: self.token, offered: grant.token });
        }
        let offered = grant.expires;
        let present = self.expires.fetch_max(offered.tai_nanos(), Ordering::Relaxed);
        let present = Timestamp::from_tai_nanos(present);
        if offered <= present {
            return Err(RenewError::NotLater { present, offered });
        }
        Ok(())
    }

    /// Ends the lease here, and gives the message that ends it at the grantor.
    pub fn release(self) -> Command {
        Command::Release { token: self.token }
    }

    /// Ends the lease here, and gives the message that hands it to `to`.
    ///
    /// The new holder gets a new token, and an expiry that is no earlier. If the
    /// grantor refuses, the lease is over all the same, at the latest at E.
    pub fn transfer(self, to: HolderId) -> Command {
        Command::Transfer { token: self.token, to }
    }
}

/// What came of a section that was run under a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a section that outlived its lease may have acted beside another holder"]
pub enum Ran<T, L = LeaseLost> {
    /// The lease was held before and after, and so all the time.
    Trusted(T),
    /// The section ran, and when it ended the lease was not certainly held.
    ///
    /// What it read may be out of date, and what it wrote may have come after
    /// another holder's writes, unless a [fence](crate::fence) stood before
    /// the resource. Do not pass the result on as done: read again, and repair.
    Doubtful {
        /// What the section returned.
        result: T,
        /// What the check after it found.
        lost: L,
    },
}

impl<T, L> Ran<T, L> {
    /// The result, if it may be trusted.
    ///
    /// # Errors
    ///
    /// What the check after found: the section has run, and its result is dropped.
    pub fn trusted(self) -> Result<T, L> {
        match self {
            Ran::Trusted(result) => Ok(result),
            Ran::Doubtful { lost, .. } => Err(lost),
        }
    }
}

/// The holder may not act, or may no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseLost {
    /// E has certainly passed: somebody else may have the lease.
    #[error(
        "the lease ended at least {ago:?} ago (at {expires}): another may have it, so drop what \
         was decided under it, and acquire anew"
    )]
    Expired {
        /// E.
        expires: Timestamp,
        /// How long ago, at least.
        ago: Duration,
    },
    /// E may have come: nobody may act.
    #[error(
        "the lease ends at {expires}, and true time is only known to be within {:?} around that \
         (no later than {}): stop; the lease can still be renewed, but not acted under until it is",
        now.width(), now.latest()
    )]
    Uncertain {
        /// E.
        expires: Timestamp,
        /// What the clock said.
        now: Interval,
    },
    /// The clock does not answer, so E may have come.
    #[error("the clock does not answer, so the lease counts as over: {0}")]
    NoClock(#[from] ClockError),
}

impl LeaseLost {
    /// Why a lease until `expires` is not held at `now`.
    #[cold]
    fn at(expires: Timestamp, now: Interval) -> LeaseLost {
        match Standing::of(expires, &now) {
            Standing::Over(ago) => LeaseLost::Expired { expires, ago },
            Standing::Held(_) | Standing::Uncertain => LeaseLost::Uncertain { expires, now },
        }
    }

    /// Whether the same lease can be held again later: after a renewal, or when the clock is back.
    pub fn is_transient(&self) -> bool {
        match self {
            LeaseLost::Expired { .. } => false,
            LeaseLost::Uncertain { .. } => true,
            LeaseLost::NoClock(why) => why.is_transient(),
        }
    }
}

/// The answer to a renewal changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// The answer is about another lease.
    #[error(
        "the renewal is of the lease with token {offered}, and this one has {token}: it is an \
         answer to somebody else, or to an earlier lease; drop it"
    )]
    OtherLease {
        /// This lease's token.
        token: FencingToken,
        /// The answer's token.
        offered: FencingToken,
    },
    /// The expiry would not move forward.
    #[error(
        "the renewal until {offered} is not later than the present expiry, {present}: it came \
         twice or late; drop it"
    )]
    NotLater {
        /// The lease's expiry, which stays.
        present: Timestamp,
        /// The answer's expiry.
        offered: Timestamp,
    },
}

impl RenewError {
    /// Whether the same answer can be taken later. It cannot; another renewal can.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    type Renew = fn(&Lease, &Grant) -> Result<(), RenewError>;

    /// Two answers race, the later one and one that it overtakes, while a third thread looks.
    fn two_answers(renew: Renew) {
        loom::model(move || {
            let at = Timestamp::from_tai_nanos;
            let lease = Arc::new(Lease::new(FencingToken(7), at(1)));
            let answers = [2, 3].map(|expires| {
                let (lease, token) = (lease.clone(), lease.token());
                let grant = Grant { holder: HolderId(1), token, expires: at(expires) };
                thread::spawn(move || renew(&lease, &grant).is_ok())
            });
            let (first, second) = (lease.expires(), lease.expires());
            assert!(first <= second, "the expiry went back");
            let [_, later] = answers.map(|answer| answer.join().expect("no panic"));
            assert!(later && lease.expires() == at(3), "the expiry went back");
        });
    }

    #[test]
    fn loom_of_two_racing_renewals_the_later_one_stays() {
        two_answers(Lease::renewed);
    }

    #[test]
    #[should_panic(expected = "went back")]
    fn loom_a_renewal_of_two_steps_moves_the_expiry_back() {
        two_answers(|lease, grant| {
            if grant.expires > lease.expires() {
                lease.expires.store(grant.expires.tai_nanos(), Ordering::SeqCst);
            }
            Ok(())
        });
    }
}
