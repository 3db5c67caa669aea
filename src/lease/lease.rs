//! [`Lease`]: the holder's side, checked before and after each act.

use std::time::Duration;

use super::abandoned::Abandoned;
use super::commit_error::CommitError;
use super::error::LeaseError;
use super::expiry::ExpiryStatus;
use super::holder_id::HolderId;
use super::message::{Command, Grant};
use super::remaining::Remaining;
use super::section_outcome::SectionOutcome;
use crate::clock::truetime::TrueTime;
use crate::fence::FencingToken;
use crate::hlc::{Hlc, PendingCommit, ProvisionalStamp};
use crate::interval::Interval;
use crate::section::NotAFuture;
use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::timestamp::Timestamp;

/// A lease in the hands of its holder.
///
/// Share it by reference or in an `Arc`, so that one thread can renew it while others
/// check it. It cannot be cloned, and releasing it consumes it. So a released lease
/// cannot be used, and no lease can be released while a section still runs under it:
///
/// ```compile_fail,E0382
/// # use truechimer::{Interval, ManualClock, Timestamp, fence::FencingToken, lease::Lease};
/// # fn act(_: &Lease) {}
/// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(500)));
/// # let lease = Lease::new(FencingToken(7), Timestamp::MAX);
/// let message = lease.release(&clock)?;
/// act(&lease); // does not compile: `release` moved the lease
/// # Ok::<(), truechimer::lease::HandOverError>(())
/// ```
///
/// ```
/// # use truechimer::{Interval, ManualClock, Timestamp, fence::FencingToken, lease::Lease};
/// # fn act(_: &Lease) {}
/// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(500)));
/// # let lease = Lease::new(FencingToken(7), Timestamp::MAX);
/// act(&lease);
/// let message = lease.release(&clock)?; // to be sent to the grantor
/// # Ok::<(), truechimer::lease::HandOverError>(())
/// ```
///
/// Dropping a lease does not release it: the grantor waits until it has expired. That is safe
/// at any moment, also when a commit stamp of the lease has not passed.
#[derive(Debug)]
pub struct Lease {
    token: FencingToken,
    /// TAI nanoseconds, which only rise. Relaxed is enough because no other data is
    /// published with this word, and every value that it ever had was granted.
    expires: AtomicI64,
    /// The greatest commit stamp that was taken under the lease, in TAI nanoseconds, or
    /// [`NO_STAMP`]. It only rises. Relaxed is enough, because it is read when the lease is
    /// handed over, and whoever owns the lease by then has seen the work of all threads that
    /// shared it.
    newest_stamp: AtomicI64,
    /// The number of the last command. It only rises.
    numbers: AtomicU64,
    abandoned: Abandoned,
}

/// No stamp lies there, because each one is before the lease's end.
const NO_STAMP: i64 = i64::MIN;

impl Lease {
    /// A lease that some lock service granted until `expires`.
    ///
    /// For a [`Grant`], prefer [`Holder::accept`](super::Holder::accept), which accepts
    /// each grant only once.
    pub fn new(token: FencingToken, expires: Timestamp) -> Lease {
        Lease {
            token,
            expires: AtomicI64::new(expires.tai_nanos()),
            newest_stamp: AtomicI64::new(NO_STAMP),
            numbers: AtomicU64::new(0),
            abandoned: Abandoned::none(),
        }
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
    /// A section that returns a future has done nothing when it returns, so the check after it
    /// would prove nothing. It does not compile. Use [`run_async`](Self::run_async) for it. (A
    /// future inside of another type, such as a `Result`, is not noticed.)
    ///
    /// ```compile_fail,E0283
    /// # use truechimer::{Interval, ManualClock, Timestamp, fence::FencingToken, lease::Lease};
    /// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(500)));
    /// # let lease = Lease::new(FencingToken(7), Timestamp::from_tai_nanos(1_000));
    /// let outcome = lease.run(&clock, |token| async move { token });
    /// ```
    ///
    /// A section that panics is [`abandoned`](Self::abandoned).
    ///
    /// # Errors
    ///
    /// What the check before the section found; `section` did not run. What the check
    /// afterwards finds is in the [`SectionOutcome`], because the section *has* run by then.
    pub fn run<C, T, UseRunAsyncForFutures>(
        &self,
        clock: &C,
        section: impl FnOnce(FencingToken) -> T,
    ) -> Result<SectionOutcome<T>, LeaseError>
    where
        C: TrueTime + ?Sized,
        T: NotAFuture<UseRunAsyncForFutures>,
    {
        self.check(clock)?;
        let under_way = self.abandoned.begin();
        let result = section(self.token);
        under_way.end();
        Ok(SectionOutcome::new(result, self.check(clock)))
    }

    /// Runs an asynchronous section if the lease is held, and checks the lease again when its
    /// future has ended.
    ///
    /// The first check is made when the returned future is polled for the first time, and the
    /// section begins right after it.
    ///
    /// ```
    /// # use std::{pin::pin, task::{Context, Poll, Waker}};
    /// # use truechimer::{Interval, ManualClock, Timestamp};
    /// # use truechimer::{fence::FencingToken, lease::{Lease, SectionOutcome}};
    /// # async fn write(_: FencingToken) {}
    /// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(500)));
    /// # let work = async {
    /// let lease = Lease::new(FencingToken(7), Timestamp::from_tai_nanos(1_000));
    /// let outcome = lease.run_async(&clock, |token| async move { write(token).await }).await?;
    /// assert_eq!(outcome, SectionOutcome::Covered(()));
    /// # Ok::<(), truechimer::lease::LeaseError>(())
    /// # };
    /// # let mut context = Context::from_waker(Waker::noop());
    /// # assert!(matches!(pin!(work).poll(&mut context), Poll::Ready(Ok(()))));
    /// ```
    ///
    /// # When the future is dropped
    ///
    /// A timeout or a `select!` may drop the future between two polls. No check follows then,
    /// and what the section had sent by that time may still arrive. So the section counts as one
    /// that overran its lease: [`abandoned`](Self::abandoned) is one more, and what the section
    /// works on has to be read again and repaired. A future that is dropped before its first poll
    /// has done nothing and is not counted. Only a [fence](crate::fence) can stop a write that is
    /// on its way.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_async<C, F>(
        &self,
        clock: &C,
        section: impl FnOnce(FencingToken) -> F,
    ) -> Result<SectionOutcome<F::Output>, LeaseError>
    where
        C: TrueTime + ?Sized,
        F: Future,
    {
        self.check(clock)?;
        let under_way = self.abandoned.begin();
        let result = section(self.token).await;
        under_way.end();
        Ok(SectionOutcome::new(result, self.check(clock)))
    }

    /// How many sections began and did not come to their end, because their future was dropped
    /// or they panicked.
    ///
    /// It is not known what they have written, nor whether the lease was held when they wrote.
    /// If it has risen since you looked, read again what they work on, and repair it.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.count()
    }

    /// A commit stamp for a transaction of this holder: [`Hlc::commit_stamp`], which the lease
    /// remembers.
    ///
    /// All stamps of one holder are then below all stamps of the next one. Each stamp lies
    /// before the lease's end, and the lease cannot be [released](Self::release) or
    /// [transferred](Self::transfer) before the greatest of them has passed. (See the
    /// [module](super), and Corbett et al., "Spanner", OSDI 2012, section 4.1.1.)
    ///
    /// ```
    /// # use truechimer::{Hlc, Interval, ManualClock, Timestamp};
    /// # use truechimer::{fence::FencingToken, lease::{Lease, LeaseError}};
    /// # let at = Timestamp::from_tai_nanos;
    /// # let span = |a, b| Interval::new(at(a), at(b)).unwrap();
    /// let clock = ManualClock::new(span(100, 180));
    /// let hlc = Hlc::new(clock.clone());
    /// let lease = Lease::new(FencingToken(7), at(1_000));
    ///
    /// let commit = lease.commit_stamp(&hlc)?;
    /// // The stamp has not passed, so the next holder could take an earlier one.
    /// let refused = lease.release(&clock).unwrap_err();
    /// assert!(matches!(refused.error(), LeaseError::StampNotPassed { .. }));
    ///
    /// clock.set(span(182, 262)); // elsewhere: `waiter.wait(commit.timestamp())`
    /// hlc.release(commit)?;
    /// let message = refused.into_lease().release(&clock)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CommitError::BeyondLease`] if the stamp would reach the lease's end, which it does
    /// whenever the lease is not held, and the errors of [`Hlc::commit_stamp`]. The lease is
    /// then as it was.
    pub fn commit_stamp<C: TrueTime>(&self, hlc: &Hlc<C>) -> Result<PendingCommit, CommitError> {
        self.cover(hlc.commit_stamp()?)
    }

    /// Like [`commit_stamp`](Self::commit_stamp), for the coordinator of a two-phase commit:
    /// [`Hlc::commit_stamp_from`], which the lease remembers.
    ///
    /// # Errors
    ///
    /// [`CommitError::BeyondLease`] as there, and the errors of [`Hlc::commit_stamp_from`].
    pub fn commit_stamp_from<C: TrueTime>(
        &self,
        hlc: &Hlc<C>,
        least: impl Into<ProvisionalStamp>,
        within: Duration,
    ) -> Result<PendingCommit, CommitError> {
        self.cover(hlc.commit_stamp_from(least, within)?)
    }

    /// Remembers a stamp before anybody sees it, or refuses it.
    fn cover(&self, pending: PendingCommit) -> Result<PendingCommit, CommitError> {
        // A renewal in the meantime counts already. The end never goes back.
        let (stamp, expires) = (pending.timestamp(), self.expires());
        if stamp >= expires {
            return Err(CommitError::BeyondLease { stamp, expires });
        }
        self.newest_stamp.fetch_max(stamp.tai_nanos(), Ordering::Relaxed);
        Ok(pending)
    }

    /// The greatest commit stamp that was taken under this lease. It has to pass before the
    /// lease can be handed over.
    ///
    /// To hand a lease over, stop taking stamps, wait, and release it:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Clock, Hlc, Timestamp, Waiter, fence::FencingToken, lease::Lease};
    /// # let clock = Clock::builder().assume_error(Duration::from_millis(1)).build()?;
    /// # let lease = Lease::new(FencingToken(7), Timestamp::MAX);
    /// # let commit = lease.commit_stamp(&Hlc::new(&clock))?;
    /// let waiter = Waiter::new(&clock);
    /// if let Some(stamp) = lease.newest_stamp() {
    ///     waiter.wait(stamp)?; // or `wait_async`
    /// }
    /// let message = lease.release(&clock)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn newest_stamp(&self) -> Option<Timestamp> {
        let nanos = self.newest_stamp.load(Ordering::Relaxed);
        (nanos != NO_STAMP).then(|| Timestamp::from_tai_nanos(nanos))
    }

    /// The request for a later expiry. Send the same command again if no answer comes.
    ///
    /// `progress` must rise from renewal to renewal, or the grantor refuses. Count what
    /// the holder exists for (entries applied, rounds of its loop) in the thread that does
    /// that work. A thread that does nothing but renew would keep the lease of a process
    /// that has been stuck for a long time.
    pub fn renewal(&self, progress: u64) -> Command {
        Command::Renew { token: self.token, number: self.next_number(), progress }
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

    /// Ends the lease here, and returns the message that ends it at the grantor. Send the same
    /// message again if no answer comes.
    ///
    /// The next holder may begin as soon as the grantor has the message. So finish or give up
    /// what was begun under the lease before. The clock has to be read only if a commit stamp
    /// was taken.
    ///
    /// # Errors
    ///
    /// [`HandOverError`], which gives the lease back: its [`newest_stamp`](Self::newest_stamp)
    /// has not certainly passed, or the clock returned an error.
    pub fn release<C: TrueTime + ?Sized>(self, clock: &C) -> Result<Command, HandOverError> {
        let lease = self.past_its_stamps(clock)?;
        Ok(Command::Release { token: lease.token, number: lease.next_number() })
    }

    /// Ends the lease here, and returns the message that hands it to `to`.
    ///
    /// The new holder gets a new token and an expiry that is no earlier. If the grantor
    /// refuses, the lease still ends, at E at the latest.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub fn transfer<C: TrueTime + ?Sized>(
        self,
        clock: &C,
        to: HolderId,
    ) -> Result<Command, HandOverError> {
        let lease = self.past_its_stamps(clock)?;
        Ok(Command::Transfer { token: lease.token, number: lease.next_number(), to })
    }

    /// This lease, if every commit stamp that was taken under it has certainly passed.
    fn past_its_stamps<C: TrueTime + ?Sized>(self, clock: &C) -> Result<Lease, HandOverError> {
        let Some(stamp) = self.newest_stamp() else { return Ok(self) };
        let error = match clock.earliest() {
            Ok(earliest) if earliest > stamp => return Ok(self),
            Ok(earliest) => LeaseError::StampNotPassed { stamp, earliest },
            Err(error) => error.into(),
        };
        Err(HandOverError { lease: self, error })
    }

    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A lease that was neither released nor transferred: the reason, and the lease itself.
///
/// Wait until [`Lease::newest_stamp`] has passed and try again, or drop the lease and let it
/// expire.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct HandOverError {
    lease: Lease,
    #[source]
    error: LeaseError,
}

impl HandOverError {
    /// Why it was not handed over: [`LeaseError::StampNotPassed`] or [`LeaseError::NoClock`].
    pub fn error(&self) -> &LeaseError {
        &self.error
    }

    /// The lease, to try again.
    pub fn into_lease(self) -> Lease {
        self.lease
    }

    /// Whether handing it over later can succeed, without any change to the program.
    pub fn is_transient(&self) -> bool {
        self.error.is_transient()
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
