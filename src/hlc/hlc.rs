//! [`Hlc`]: a hybrid logical clock, and its settings.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::HlcError;
use super::high_water_mark::HighWaterMark;
use super::pending_commit::{PendingCommit, ReleaseError};
use super::read_uncertainty::ReadUncertainty;
use super::register::Register;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::durable::RecordError;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// How far ahead the mark on disk is kept: about two writes a second.
const WINDOW: Duration = Duration::from_secs(1);

/// How often an old mark is compared with the clock while it is waited out, because new
/// evidence may make the wait shorter.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A hybrid logical clock on top of a clock that states its error.
///
/// Each node has one, and its threads share it (`&Hlc` or `Arc<Hlc>`). The
/// [module](super) explains why its stamps can be trusted, and what the proof assumes.
///
/// After a restart an `Hlc` begins again from its clock alone. If stamps must not repeat
/// then, use [`durable`](Self::durable). A forked child must make an `Hlc` of its own,
/// with its own node id.
#[derive(Debug)]
pub struct Hlc<C> {
    register: Register,
    clock: C,
    tolerance: Duration,
    mark: Option<HighWaterMark>,
}

/// The settings of an [`Hlc`].
#[derive(Clone, Debug)]
#[must_use = "call `build` or `durable`"]
pub struct HlcBuilder<C> {
    clock: C,
    tolerance: Duration,
    window: Duration,
    open_wait: Option<Duration>,
}

impl<C: TrueTime> HlcBuilder<C> {
    /// How far beyond `latest` a peer's stamp may be. Default 0.
    ///
    /// It is for peers that do not use `earliest` as their physical time. For peers that
    /// do, 0 is exactly right, because logical steps need no allowance (see the
    /// [module](super)). With a tolerance, this node's stamps may be ahead of true time by
    /// as much.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        HlcBuilder { tolerance, ..self }
    }

    /// How far ahead the mark on disk is kept. Default 1 s.
    ///
    /// There are about two writes per window. After a crash, up to a window is waited
    /// out. With 0, every stamp is a write.
    pub fn window(self, window: Duration) -> Self {
        HlcBuilder { window, ..self }
    }

    /// How long [`durable`](Self::durable) may wait for an old mark to pass.
    ///
    /// The default is what a crash under a correct clock can explain: the window, plus
    /// twice the clock's width. With 0 it does not wait, and `stamp()` returns
    /// [`HlcError::Ahead`] until the mark has passed.
    pub fn open_wait(self, limit: Duration) -> Self {
        HlcBuilder { open_wait: Some(limit), ..self }
    }

    /// A clock whose register is only in memory.
    pub fn build(self) -> Hlc<C> {
        let register = Register::new(Stamp::MIN.to_bits());
        Hlc { register, clock: self.clock, tolerance: self.tolerance, mark: None }
    }

    /// A clock whose stamps never repeat or go back across a crash. See [`Hlc::durable`].
    ///
    /// # Errors
    ///
    /// As [`Hlc::durable`].
    pub fn durable(self, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        let (mark, floor) = HighWaterMark::open(path.as_ref(), self.window)?;
        let register = Register::new(floor);
        register.set_reserved(floor, floor);
        let (clock, tolerance) = (self.clock, self.tolerance);
        let hlc = Hlc { register, clock, tolerance, mark: Some(mark) };
        hlc.wait_out_the_mark(self.open_wait);
        Ok(hlc)
    }
}

impl<C: TrueTime> Hlc<C> {
    /// A clock whose register is only in memory.
    pub fn new(clock: C) -> Hlc<C> {
        Hlc::builder(clock).build()
    }

    /// A clock with other settings than the defaults.
    pub fn builder(clock: C) -> HlcBuilder<C> {
        HlcBuilder { clock, tolerance: Duration::ZERO, window: WINDOW, open_wait: None }
    }

    /// A clock whose stamps never repeat or go back across a crash, whatever its clock did.
    ///
    /// The file at `path` holds a high-water mark. It is created if it does not exist.
    /// Beside it are `path.lock`, which excludes a second process, and briefly `path.new`.
    ///
    /// A mark from a crash under a correct clock is waited out before this returns. By
    /// default that takes at most the window plus twice the clock's width. A mark that is
    /// further ahead was written under a wrong clock. The node starts all the same, but
    /// `stamp()` returns [`HlcError::Ahead`], which says how far ahead it is, until the
    /// mark has passed or [`reset`](Self::reset) is called. The same happens if the clock
    /// has no reading yet.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is torn, truncated, of another kind, read-only, or locked
    /// by another process. The error says what to do, and the file is unchanged.
    pub fn durable(clock: C, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        Hlc::builder(clock).durable(path)
    }

    /// The clock that this was made with.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// A new stamp. It is above every stamp that this node has issued or observed, and not
    /// ahead of true time.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, if this node's register is poisoned, if an old mark
    /// has not passed, or if the disk fails. Where causality alone is enough, use
    /// [`stamp_logical`](Self::stamp_logical).
    #[inline]
    pub fn stamp(&self) -> Result<Stamp, HlcError> {
        let physical = Stamp::from_timestamp(self.clock.earliest()?).to_bits();
        match self.register.try_issue(physical) {
            Some(stamp) => Ok(Stamp::from_bits(stamp)),
            None => self.stamp_slowly(),
        }
    }

    /// The slow path: time has not passed the register, or the mark must be raised.
    #[cold]
    fn stamp_slowly(&self) -> Result<Stamp, HlcError> {
        loop {
            // Read the register before the clock. Then it can only be beyond `latest` by logical
            // steps or because it is poisoned.
            let last = self.register.last();
            let now = self.clock.now()?;
            let earliest = Stamp::from(now.earliest()).to_bits();
            let least = last.checked_add(1).ok_or(HlcError::Exhausted)?;
            if earliest < least {
                self.passed_or_ahead(now)?;
            }
            let next = self.register.skip_commit(last, earliest.max(least));
            let next = next.ok_or(HlcError::Exhausted)?;
            // A register beyond the limit must be explained by logical steps, this one included.
            let limit = self.limit(now).to_bits();
            let (beyond, steps) =
                (last.saturating_sub(limit), next.saturating_sub(last.max(limit)));
            if !self.register.note_logical(beyond, steps) {
                return Err(poisoned(last, now));
            }
            self.reserve(next)?;
            if let Some(stamp) = self.register.try_advance(last, next) {
                return Ok(Stamp::from_bits(stamp));
            }
        }
    }

    /// A new stamp that keeps causality and promises nothing about time.
    ///
    /// It is above every stamp that this node has issued or observed. If
    /// [`stamp`](Self::stamp) succeeds, it is that stamp. Otherwise it may be ahead of true
    /// time. Then peers may refuse it, and when the clock works again, `stamp()` returns
    /// [`HlcError::Ahead`] until time has passed it.
    ///
    /// # Errors
    ///
    /// If the disk fails, or after the last stamp.
    pub fn stamp_logical(&self) -> Result<Stamp, HlcError> {
        match self.stamp() {
            Err(HlcError::Clock(_) | HlcError::Ahead { .. } | HlcError::Poisoned { .. }) => {}
            result => return result,
        }
        loop {
            let last = self.register.last();
            let least = last.checked_add(1);
            let next = least.and_then(|least| self.register.skip_commit(last, least));
            let next = next.ok_or(HlcError::Exhausted)?;
            self.reserve(next)?;
            self.register.mark_unconfirmed(next);
            if let Some(stamp) = self.register.try_advance(last, next) {
                return Ok(Stamp::from_bits(stamp));
            }
        }
    }

    /// Notes a peer's stamp, and issues a stamp above it. Call it when a message arrives.
    ///
    /// # Errors
    ///
    /// [`HlcError::RemoteAhead`], with both numbers, if the stamp is later than true time
    /// can be, because then its sender's clock is broken. The stamp is not noted. Otherwise
    /// as [`stamp`](Self::stamp), and the peer's stamp was noted.
    pub fn observe(&self, remote: Stamp) -> Result<Stamp, HlcError> {
        self.note(remote)?;
        self.stamp()
    }

    /// Notes a peer's stamp, so that every stamp from now on is above it.
    ///
    /// A stamp that is not above [`last`](Self::last) is never refused, whatever the clock
    /// reads.
    ///
    /// # Errors
    ///
    /// [`HlcError::RemoteAhead`] as for [`observe`](Self::observe), and
    /// [`HlcError::Clock`] if the clock gives no reading to compare the stamp with. The
    /// stamp is then not noted.
    pub fn note(&self, remote: Stamp) -> Result<(), HlcError> {
        if remote.to_bits() <= self.register.last() {
            return Ok(());
        }
        // The clock is read after the stamp arrived, so true time has reached an honest stamp.
        let now = self.clock.now()?;
        let limit = self.limit(now);
        if remote > limit {
            let by = Duration::from_nanos(remote.to_bits() - limit.to_bits());
            let (latest, tolerance) = (now.latest(), self.tolerance);
            return Err(HlcError::RemoteAhead { remote, latest, tolerance, by });
        }
        self.register.advance_to(remote.to_bits());
        Ok(())
    }

    /// Like [`observe`](Self::observe), but while the clock returns errors it accepts the
    /// peer's stamp without a check.
    ///
    /// While the clock gives readings, the stamp is checked as always. While it does not,
    /// one wrong peer can take this node far ahead. This is noticed when the clock works
    /// again: then `stamp()` returns [`HlcError::Ahead`], so the error does not spread.
    ///
    /// # Errors
    ///
    /// As [`stamp_logical`](Self::stamp_logical), and [`HlcError::RemoteAhead`].
    pub fn observe_logical(&self, remote: Stamp) -> Result<Stamp, HlcError> {
        match self.note(remote) {
            Err(HlcError::Clock(_)) => {
                if remote == Stamp::MAX {
                    return Err(HlcError::Exhausted); // no stamp is above it
                }
                self.register.mark_unconfirmed(remote.to_bits());
                self.register.advance_to(remote.to_bits());
            }
            noted => noted?,
        }
        self.stamp_logical()
    }

    /// A stamp for a transaction. It is not below `latest` and above every stamp of this
    /// node so far. It has to be waited out before anybody may see it.
    ///
    /// Meanwhile ordinary stamps stay behind true time, and none of them equals it.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, if this node's register is poisoned, if an old mark
    /// is beyond `latest`, or if the disk fails.
    pub fn commit_stamp(&self) -> Result<PendingCommit, HlcError> {
        self.commit_stamp_from(Stamp::MIN, Duration::ZERO)
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
        least: Stamp,
        within: Duration,
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
            if last.saturating_sub(limit) > self.register.logical_steps() {
                return Err(poisoned(last, now));
            }
            let floor = Stamp::from(now.latest()).max(least).to_bits();
            let next = Register::commit_after(last, commits, floor).ok_or(HlcError::Exhausted)?;
            self.reserve(next)?;
            if let Some(stamp) = self.register.try_commit(last, commits, next) {
                return Ok(PendingCommit::new(Stamp::from_bits(stamp)));
            }
        }
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
                self.register.advance_to(pending.provisional().to_bits());
                Ok(pending.provisional())
            }
            Ok(earliest) => {
                let stamp = pending.provisional();
                Err(ReleaseError::new(pending, HlcError::NotPassed { stamp, earliest }))
            }
            Err(error) => Err(ReleaseError::new(pending, error.into())),
        }
    }

    /// A stamp to read at, with the range of stamps above it that may have been committed
    /// before this call.
    ///
    /// # Errors
    ///
    /// As [`stamp`](Self::stamp).
    pub fn read_uncertainty(&self) -> Result<ReadUncertainty, HlcError> {
        let at = self.stamp()?;
        let now = self.clock.now()?;
        Ok(ReadUncertainty::new(at, self.limit(now)))
    }

    /// Checks whether [`stamp`](Self::stamp) would succeed, without issuing a stamp.
    ///
    /// # Errors
    ///
    /// The errors that `stamp` would return, except for those of the disk.
    pub fn check(&self) -> Result<(), HlcError> {
        let last = self.register.last();
        let now = self.clock.now()?;
        if Stamp::from(now.earliest()).to_bits() > last {
            return Ok(());
        }
        self.passed_or_ahead(now)?;
        let excess = last.saturating_sub(self.limit(now).to_bits());
        if excess > self.register.logical_steps() { Err(poisoned(last, now)) } else { Ok(()) }
    }

    /// The greatest stamp that this node has issued or observed, except for pending commits.
    pub fn last(&self) -> Stamp {
        Stamp::from_bits(self.register.last())
    }

    /// Takes a register that is far ahead back to the clock, and returns its old value.
    ///
    /// This gives up the order between the stamps before and after it, and the node may
    /// issue the same stamps again. It is for an operator who has made sure that nothing
    /// depends on the old stamps. Waiting is always safe instead. The mark on disk, if
    /// there is one, is taken back too.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, and then nothing was changed. If the disk fails, and
    /// then the mark was not taken back, so call it again.
    pub fn reset(&self) -> Result<Stamp, HlcError> {
        let floor = Stamp::from(self.clock.earliest()?).to_bits();
        let before = self.last();
        match &self.mark {
            Some(mark) => mark.reset(&self.register, floor)?,
            None => self.register.reset(floor),
        }
        Ok(before)
    }

    /// Raises the mark on disk if half of its window is used up.
    ///
    /// [`stamp`](Self::stamp) does this too, and then its thread waits for the disk. Call
    /// this regularly, for example four times per window, from a thread that may wait.
    /// Then the other threads never wait for the disk.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, or if the disk fails.
    pub fn renew_mark(&self) -> Result<(), HlcError> {
        let physical = Stamp::from(self.clock.earliest()?).to_bits();
        self.reserve(physical.max(self.register.last()))
    }

    /// The greatest stamp that is accepted from a peer at `now`.
    fn limit(&self, now: Interval) -> Stamp {
        Stamp::from(now.latest().saturating_add(self.tolerance))
    }

    /// [`HlcError::Ahead`], unless true time has certainly passed every stamp that may not be
    /// issued again.
    fn passed_or_ahead(&self, now: Interval) -> Result<(), HlcError> {
        let (unconfirmed, earliest) = (self.register.unconfirmed(), now.earliest());
        let reached = Stamp::from(earliest).to_bits();
        if unconfirmed == Stamp::MIN.to_bits() || reached > unconfirmed {
            return Ok(());
        }
        let by = Duration::from_nanos((unconfirmed - reached).saturating_add(1));
        Err(HlcError::Ahead { register: Stamp::from_bits(unconfirmed), earliest, by })
    }

    /// Makes sure that the mark on disk is not below `next`.
    #[inline]
    fn reserve(&self, next: u64) -> Result<(), HlcError> {
        match &self.mark {
            Some(mark) if next > self.register.renew_at() => mark.reserve(&self.register, next),
            _ => Ok(()),
        }
    }

    /// Sleeps until the mark of an earlier run has passed, if a crash under a correct clock
    /// explains how far ahead it is.
    fn wait_out_the_mark(&self, limit: Option<Duration>) {
        let started = Instant::now();
        let window = self.mark.as_ref().map_or(Duration::ZERO, HighWaterMark::window);
        while let Ok(now) = self.clock.now() {
            let Err(HlcError::Ahead { by, .. }) = self.passed_or_ahead(now) else { break };
            let explained = window.saturating_add(now.width().saturating_mul(2));
            let limit = limit.unwrap_or(explained);
            let left = limit.saturating_sub(started.elapsed());
            if by > left {
                return;
            }
            thread::sleep(by.min(POLL_EVERY));
        }
        // Raise the mark now, so that the first stamp need not wait for the disk. The error is
        // ignored, because the first stamp returns it too.
        let _ = self.renew_mark();
    }
}

/// The error for a register that is beyond `latest` without an explanation.
fn poisoned(register: u64, now: Interval) -> HlcError {
    let latest = now.latest();
    let by = Duration::from_nanos(register.saturating_sub(Stamp::from(latest).to_bits()));
    HlcError::Poisoned { register: Stamp::from_bits(register), latest, by }
}

/// The moment to wait for is the moment of the stamp.
impl From<&PendingCommit> for Timestamp {
    fn from(pending: &PendingCommit) -> Timestamp {
        pending.timestamp()
    }
}
