//! [`Lease`]: the holder's side, checked before and after each act.

use super::error::LeaseError;
use super::expiry::ExpiryStatus;
use super::holder_id::HolderId;
use super::message::{Command, Grant};
use super::remaining::Remaining;
use super::section_outcome::SectionOutcome;
use crate::clock::truetime::TrueTime;
use crate::fence::FencingToken;
use crate::interval::Interval;
use crate::sync::atomic::{AtomicI64, Ordering};
use crate::timestamp::Timestamp;

/// A lease in the hands of its holder.
///
/// Share it by reference or in an `Arc`, so that one thread can renew it while others
/// check it. It cannot be cloned, and releasing it consumes it. So a released lease
/// cannot be used, and no lease can be released while a section still runs under it:
///
/// ```compile_fail
/// # use truechimer::{Timestamp, fence::FencingToken, lease::Lease};
/// # fn act(_: &Lease) {}
/// # let lease = Lease::new(FencingToken(7), Timestamp::MAX);
/// let message = lease.release();
/// act(&lease); // does not compile: `release` moved the lease
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
/// Dropping a lease does not release it: the grantor waits until it has expired.
#[derive(Debug)]
pub struct Lease {
    token: FencingToken,
    /// TAI nanoseconds, which only rise. Relaxed is enough because no other data is
    /// published with this word, and every value that it ever had was granted.
    expires: AtomicI64,
}

impl Lease {
    /// A lease that some lock service granted until `expires`.
    ///
    /// For a [`Grant`], prefer [`Holder::accept`](super::Holder::accept), which accepts
    /// each grant only once.
    pub fn new(token: FencingToken, expires: Timestamp) -> Lease {
        Lease { token, expires: AtomicI64::new(expires.tai_nanos()) }
    }

    /// The token that the resource must see with every request.
    #[inline]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// E. The lease is held only while true time is certainly before it.
    #[inline]
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_tai_nanos(self.expires.load(Ordering::Relaxed))
    }

    /// Checks whether the lease is held, and for how long at least.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Expired`], [`LeaseError::Uncertain`] or [`LeaseError::NoClock`]: stop
    /// acting. A clock that returns an error counts as an expiry.
    #[inline]
    pub fn check<C: TrueTime + ?Sized>(&self, clock: &C) -> Result<Remaining, LeaseError> {
        let now = clock.now()?;
        // Read after the clock, so that a renewal in the meantime counts already.
        let expires = self.expires();
        let (end, latest) = (expires.tai_nanos(), now.latest().tai_nanos());
        if latest < end {
            return Ok(Remaining::new(self.token, end.abs_diff(latest)));
        }
        Err(not_held(expires, now))
    }

    /// Runs `section` if the lease is held, and checks the lease again afterwards.
    ///
    /// The section gets the token, to send it with its requests.
    ///
    /// ```
    /// # use truechimer::{Interval, ManualClock, Timestamp};
    /// # use truechimer::{fence::FencingToken, lease::{Lease, SectionOutcome}};
    /// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(500)));
    /// let lease = Lease::new(FencingToken(7), Timestamp::from_tai_nanos(1_000));
    /// match lease.run(&clock, |token| format!("written under {token}"))? {
    ///     SectionOutcome::Covered(result) => println!("{result}"),
    ///     SectionOutcome::Overran { result, error } => println!("{result}, maybe late: {error}"),
    /// }
    /// # Ok::<(), truechimer::lease::LeaseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the check before the section found; `section` did not run. What the check
    /// afterwards finds is in the [`SectionOutcome`], because the section *has* run by then.
    pub fn run<C: TrueTime + ?Sized, T>(
        &self,
        clock: &C,
        section: impl FnOnce(FencingToken) -> T,
    ) -> Result<SectionOutcome<T>, LeaseError> {
        self.check(clock)?;
        let result = section(self.token);
        Ok(SectionOutcome::new(result, self.check(clock)))
    }

    /// The request for a later expiry.
    ///
    /// `progress` must rise from renewal to renewal, or the grantor refuses. Count what
    /// the holder exists for (entries applied, rounds of its loop) in the thread that does
    /// that work. A thread that does nothing but renew would keep the lease of a process
    /// that has been stuck for a long time.
    pub fn renewal(&self, progress: u64) -> Command {
        Command::Renew { token: self.token, progress }
    }

    /// Applies the grantor's answer to a [`renewal`](Self::renewal).
    ///
    /// # Errors
    ///
    /// [`LeaseError::OtherLease`] or [`LeaseError::NotLater`]: the expiry stays as it was.
    /// So a duplicate, or an answer that a later one overtook, moves nothing back.
    pub fn renewed(&self, grant: &Grant) -> Result<(), LeaseError> {
        if grant.token != self.token {
            return Err(LeaseError::OtherLease { token: self.token, offered: grant.token });
        }
        let offered = grant.expires;
        let present = self.expires.fetch_max(offered.tai_nanos(), Ordering::Relaxed);
        let present = Timestamp::from_tai_nanos(present);
        if offered <= present {
            return Err(LeaseError::NotLater { present, offered });
        }
        Ok(())
    }

    /// Ends the lease here, and returns the message that ends it at the grantor.
    pub fn release(self) -> Command {
        Command::Release { token: self.token }
    }

    /// Ends the lease here, and returns the message that hands it to `to`.
    ///
    /// The new holder gets a new token and an expiry that is no earlier. If the grantor
    /// refuses, the lease still ends, at E at the latest.
    pub fn transfer(self, to: HolderId) -> Command {
        Command::Transfer { token: self.token, to }
    }
}

/// Why a lease until `expires` is not held at `now`.
#[cold]
fn not_held(expires: Timestamp, now: Interval) -> LeaseError {
    match ExpiryStatus::of(expires, &now) {
        ExpiryStatus::Expired(ago) => LeaseError::Expired { expires, ago },
        ExpiryStatus::Held(_) | ExpiryStatus::Uncertain => LeaseError::Uncertain { expires, now },
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::super::holder_id::HolderId;
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    type Renew = fn(&Lease, &Grant) -> Result<(), LeaseError>;

    /// A later and an earlier answer race while a third thread reads the expiry twice.
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
