//! Commit stamps: taken, resumed after a crash, and released.

use std::time::Duration;

use super::error::HlcError;
use super::hlc::{Hlc, ahead, poisoned};
use super::mark_request::Wait;
use super::pending_commit::{PendingCommit, ProvisionalStamp, ReleaseError};
use super::register::Register;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::timestamp::Timestamp;

impl<C: TrueTime> Hlc<C> {
    /// A stamp for a transaction. It is not below `latest` and above every stamp of this
    /// node so far. It has to be waited out before anybody may see it.
    ///
    /// Meanwhile ordinary stamps stay behind true time, and none of them equals it.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, if this node's register is poisoned, if an old mark or a
    /// [resumed](Self::resume) commit is beyond `latest`, or if the window below the mark is used
    /// up and the store fails.
    pub fn commit_stamp(&self) -> Result<PendingCommit, HlcError> {
        self.commit_stamp_from(Stamp::MIN, Duration::ZERO)
    }

    /// Like [`commit_stamp`](Self::commit_stamp), but it never waits for the store of the mark.
    ///
    /// # Errors
    ///
    /// [`HlcError::MarkUsedUp`] where `commit_stamp` would wait. Otherwise as `commit_stamp`.
    pub fn try_commit_stamp(&self) -> Result<PendingCommit, HlcError> {
        self.commit_at_least(Stamp::MIN, Duration::ZERO, Wait::Never)
    }

    /// Like [`commit_stamp`](Self::commit_stamp), for executors (see
    /// [`stamp_async`](Self::stamp_async)).
    ///
    /// # Errors
    ///
    /// As [`commit_stamp`](Self::commit_stamp).
    pub async fn commit_stamp_async(&self) -> Result<PendingCommit, HlcError> {
        self.commit_stamp_from_async(Stamp::MIN, Duration::ZERO).await
    }

    /// Like [`commit_stamp`](Self::commit_stamp), and not below `least`.
    ///
    /// It is for the coordinator of a two-phase commit, whose stamp must not be below any
    /// stamp under which a participant has prepared. A participant prepares under a commit
    /// stamp of its own, which may be ahead of true time by the width of its interval. So
    /// `within` says how wide that interval may be, for example the participants'
    /// `max_width`. A participant whose stamp is further ahead has a broken clock, and it
    /// would make this node's commits wait for as long.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Hlc, HlcError, Interval, ManualClock, Timestamp};
    /// # let at = |nanos| {
    /// #     let t = Timestamp::from_tai_nanos(nanos);
    /// #     ManualClock::new(Interval::from(t).widen(Duration::from_nanos(500)))
    /// # };
    /// let (participant, coordinator) = (Hlc::new(at(3_000)), Hlc::new(at(1_000)));
    /// let prepared = participant.commit_stamp()?.provisional();
    /// let commit = coordinator.commit_stamp_from(prepared, Duration::from_micros(10))?;
    /// assert!(commit.provisional() >= prepared);
    ///
    /// let refused = coordinator.commit_stamp_from(prepared, Duration::from_micros(1));
    /// assert!(matches!(refused, Err(HlcError::RemoteAhead { .. })));
    /// # Ok::<(), HlcError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`HlcError::RemoteAhead`] if `least` is beyond this clock's `latest` by more than
    /// `within`. Otherwise as [`commit_stamp`](Self::commit_stamp).
    pub fn commit_stamp_from(
        &self,
        least: impl Into<ProvisionalStamp>,
        within: Duration,
    ) -> Result<PendingCommit, HlcError> {
        self.commit_at_least(least.into().to_stored(), within, Wait::Block)
    }

    /// Like [`commit_stamp_from`](Self::commit_stamp_from), for executors (see
    /// [`stamp_async`](Self::stamp_async)).
    ///
    /// # Errors
    ///
    /// As [`commit_stamp_from`](Self::commit_stamp_from).
    pub async fn commit_stamp_from_async(
        &self,
        least: impl Into<ProvisionalStamp>,
        within: Duration,
    ) -> Result<PendingCommit, HlcError> {
        let least = least.into().to_stored();
        self.repeat(|| self.commit_at_least(least, within, Wait::Never)).await
    }

    fn commit_at_least(
        &self,
        least: Stamp,
        within: Duration,
        wait: Wait,
    ) -> Result<PendingCommit, HlcError> {
        loop {
            let (last, commits) = (self.register.last(), self.register.commits());
            let now = self.clock.now()?;
            let bound = Stamp::from(now.latest().saturating_add(within));
            if least > bound {
                let by = Duration::from_nanos(least.to_bits() - bound.to_bits());
                let (latest, tolerance) = (now.latest(), within);
                return Err(HlcError::RemoteAhead { remote: least, latest, tolerance, by });
            }
            // Refuse while an old promise, or a wrong clock, has taken the register too far ahead.
            let limit = self.limit(now).to_bits();
            if self.register.unconfirmed() > limit {
                self.passed_or_ahead(now)?;
            }
            let resumed = self.register.resumed();
            // A commit stamp is the odd number at `latest` or after it.
            if resumed > limit | 1 {
                return Err(ahead(resumed, now));
            }
            if last.saturating_sub(limit) > self.register.logical_steps() {
                return Err(poisoned(last, now));
            }
            let floor = Stamp::from(now.latest()).max(least).to_bits();
            let next = Register::commit_after(last, commits, floor).ok_or(HlcError::Exhausted)?;
            self.reserve(last, next, wait)?;
            if let Some(stamp) = self.register.try_commit(last, commits, next) {
                return Ok(PendingCommit::new(Stamp::from_bits(stamp)));
            }
        }
    }

    /// Takes up a commit again that was interrupted by a crash: its stamp is in the log, and
    /// nobody knows whether it has passed.
    ///
    /// It has to be waited out, as if there had been no crash, before it is
    /// [released](Self::release). If the mark was waited out when the `Hlc` was
    /// [opened](super::HlcBuilder::open_existing), a stamp of this node has passed already.
    ///
    /// Call it for every commit in the log that was not released, before the first stamp is issued.
    /// From then on no ordinary stamp equals one of them, and every new commit stamp is above
    /// them. A resumed stamp that is beyond `latest` was issued under a wrong clock, or a wider
    /// interval. Until `latest` has reached it, [`commit_stamp`](Self::commit_stamp) returns
    /// [`HlcError::Ahead`], because new commits would have to be waited out for as long. Ordinary
    /// stamps go on, except after a stamp that is even: no commit stamp of this
    /// crate is, so [`stamp`](Self::stamp) returns `Ahead` until it has passed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Hlc, Interval, ManualClock, Stamp, Timestamp};
    /// # let moment = Interval::from(Timestamp::from_tai_nanos(10_000));
    /// # let clock = ManualClock::new(moment.widen(Duration::from_nanos(500)));
    /// let hlc = Hlc::new(clock.clone());
    /// let log = hlc.commit_stamp()?.provisional().to_be_bytes(); // and then a crash
    ///
    /// let hlc = Hlc::new(clock.clone());
    /// let commit = hlc.resume(Stamp::from_be_bytes(log));
    /// let early = hlc.release(commit).expect_err("it has not passed");
    /// # clock.advance(Duration::from_nanos(1_002));
    /// let stamp = hlc.release(early.into_pending())?; // after `commit.timestamp()` was waited out
    /// assert!(hlc.stamp()? > stamp);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(&self, stored: Stamp) -> PendingCommit {
        self.register.resume_commit(stored.to_bits());
        PendingCommit::new(stored)
    }

    /// Releases a commit stamp that has passed. From now on every stamp is above it.
    ///
    /// # Errors
    ///
    /// If it has not certainly passed, or if the clock returns an error. The
    /// [`ReleaseError`] gives the stamp back, so that the call can be repeated.
    pub fn release(&self, pending: PendingCommit) -> Result<Stamp, ReleaseError> {
        match self.clock.earliest() {
            Ok(earliest) if earliest > pending.timestamp() => {
                self.register.advance_to(pending.released().to_bits());
                Ok(pending.released())
            }
            Ok(earliest) => {
                let stamp = pending.released();
                Err(ReleaseError::new(pending, HlcError::NotPassed { stamp, earliest }))
            }
            Err(error) => Err(ReleaseError::new(pending, error.into())),
        }
    }
}

/// The moment to wait for is the moment of the stamp.
impl From<&PendingCommit> for Timestamp {
    fn from(pending: &PendingCommit) -> Timestamp {
        pending.timestamp()
    }
}
