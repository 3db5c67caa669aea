//! [`Hlc`]: the questions one may ask of a hybrid logical clock.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::commit::{PendingCommit, ReadUncertainty, ReleaseError};
use super::error::HlcError;
use super::mark::Mark;
use super::register::Register;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::durable::RecordError;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// How far ahead the mark on disk is kept: about two writes a second.
const WINDOW: Duration = Duration::from_secs(1);

/// How long one sleep is while an old mark is waited out: evidence may narrow meanwhile.
const NAP: Duration = Duration::from_millis(5);

/// A hybrid logical clock over a clock that knows its error.
///
/// Each node has one, shared by its threads (`&Hlc` or `Arc<Hlc>`). The module
/// says why its stamps can be believed, and what the proof rests on.
///
/// An `Hlc` counts on from nothing but its clock when the process restarts. If
/// stamps must not repeat then, use [`durable`](Self::durable). A forked child
/// must make an `Hlc` of its own, with its own node id.
#[derive(Debug)]
pub struct Hlc<C> {
    register: Register,
    clock: C,
    tolerance: Duration,
    mark: Option<Mark>,
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
    /// How far beyond `latest` a peer's stamp may be; 0 unless set.
    ///
    /// It is for peers that do not take `earliest` as their physical time. For
    /// those that do, 0 is exact: the logical carry needs no allowance (see the
    /// module). With it, this node's stamps may be ahead of true time by as much.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        HlcBuilder { tolerance, ..self }
    }

    /// How far ahead the mark on disk is kept; 1 s unless set.
    ///
    /// There are about two writes a window. After a crash, up to a window is
    /// waited out. With 0 every stamp is a write.
    pub fn window(self, window: Duration) -> Self {
        HlcBuilder { window, ..self }
    }

    /// How long [`durable`](Self::durable) may wait for an old mark to pass.
    ///
    /// Unless set it is what an honest crash explains: the window and twice the
    /// clock's width. With 0 it does not wait, and `stamp()` says
    /// [`HlcError::Ahead`] until the mark has passed.
    pub fn open_wait(self, limit: Duration) -> Self {
        HlcBuilder { open_wait: Some(limit), ..self }
    }

    /// A clock whose register lives in memory only.
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
        let (mark, floor) = Mark::open(path.as_ref(), self.window)?;
        let register = Register::new(floor);
        register.cover(floor, floor);
        let (clock, tolerance) = (self.clock, self.tolerance);
        let hlc = Hlc { register, clock, tolerance, mark: Some(mark) };
        hlc.wait_out_the_mark(self.open_wait);
        Ok(hlc)
    }
}

impl<C: TrueTime> Hlc<C> {
    /// A clock whose register lives in memory only.
    pub fn new(clock: C) -> Hlc<C> {
        Hlc::builder(clock).build()
    }

    /// A clock with other settings.
    pub fn builder(clock: C) -> HlcBuilder<C> {
        HlcBuilder { clock, tolerance: Duration::ZERO, window: WINDOW, open_wait: None }
    }

    /// A clock whose stamps never repeat or go back across a crash, whatever its clock did.
    ///
    /// The file at `path` holds a high-water mark; it is created if it is not
    /// there. Beside it are `path.lock`, which keeps a second process off, and
    /// for moments `path.new`. A mark that an honest crash left is waited out
    /// before this returns: by default for at most the window and twice the
    /// clock's width. A mark that is further ahead was written under a wrong
    /// clock. The node starts all the same: `stamp()` gives
    /// [`HlcError::Ahead`], which says how far, until the mark has passed or
    /// [`reset`](Self::reset) is called. The same holds if the clock does not
    /// answer yet.
    ///
    /// # Errors
    ///
    /// When the file is torn, truncated, foreign, read-only, or held by another
    /// process. The error says what to do, and the file is left as it was.
    pub fn durable(clock: C, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        Hlc::builder(clock).durable(path)
    }

    /// The clock below.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// A new stamp: above every stamp this node has issued or observed, and not ahead of true time.
    ///
    /// # Errors
    ///
    /// When the clock does not answer, when this node knows that it was
    /// poisoned, when an old mark has not passed, or when the disk fails. Use
    /// [`stamp_logical`](Self::stamp_logical) where causality alone is enough.
    #[inline]
    pub fn stamp(&self) -> Result<Stamp, HlcError> {
        let physical = Stamp::from_timestamp(self.clock.earliest()?).to_bits();
        match self.register.take(physical) {
            Some(stamp) => Ok(Stamp::from_bits(stamp)),
            None => self.stamp_carried(),
        }
    }

    /// The long way: time has not passed the register, or the mark must be raised.
    #[cold]
    fn stamp_carried(&self) -> Result<Stamp, HlcError> {
        loop {
            // The register first. Then it is older than `latest`, and beyond it only if poisoned.
            let last = self.register.last();
            let now = self.clock.now()?;
            let earliest = Stamp::from(now.earliest()).to_bits();
            let least = last.checked_add(1).ok_or(HlcError::Exhausted)?;
            if earliest < least {
                self.passed_or_ahead(now)?;
            }
            let next = self.register.evade(last, earliest.max(least)).ok_or(HlcError::Exhausted)?;
            let limit = self.limit(now).to_bits();
            let (beyond, steps) =
                (last.saturating_sub(limit), next.saturating_sub(last.max(limit)));
            if !self.register.carry(beyond, steps) {
                return Err(poisoned(last, now));
            }
            self.reserve(next)?;
            if let Some(stamp) = self.register.step(last, next) {
                return Ok(Stamp::from_bits(stamp));
            }
        }
    }

    /// A new stamp that keeps causality and claims nothing about time.
    ///
    /// It is above every stamp that this node has issued or observed. Where
    /// [`stamp`](Self::stamp) has an answer, it is that. Otherwise it may be
    /// ahead of true time, so peers may refuse it; and when the clock is back,
    /// `stamp()` waits with [`HlcError::Ahead`] until time has passed it.
    ///
    /// # Errors
    ///
    /// When the disk fails, or after the last stamp.
    pub fn stamp_logical(&self) -> Result<Stamp, HlcError> {
        match self.stamp() {
            Err(HlcError::Clock(_) | HlcError::Ahead { .. } | HlcError::Poisoned { .. }) => {}
            settled => return settled,
        }
        loop {
            let last = self.register.last();
            let least = last.checked_add(1);
            let next = least.and_then(|least| self.register.evade(last, least));
            let next = next.ok_or(HlcError::Exhausted)?;
            self.reserve(next)?;
            self.register.unsettle(next);
            if let Some(stamp) = self.register.step(last, next) {
                return Ok(Stamp::from_bits(stamp));
            }
        }
    }

    /// Takes note of a peer's stamp, and issues one above it: the event of receiving.
    ///
    /// # Errors
    ///
    /// [`HlcError::RemoteAhead`], with both numbers, when the stamp is beyond
    /// what true time can be: its sender's clock is broken. Then nothing was
    /// changed. Otherwise as [`stamp`](Self::stamp), and the peer's stamp was
    /// noted.
    pub fn observe(&self, remote: Stamp) -> Result<Stamp, HlcError> {
        self.note(remote)?;
        self.stamp()
    }

    /// Takes note of a peer's stamp: from now on every stamp is above it.
    ///
    /// A stamp at or below what this node has reached is never refused, whatever the clock says.
    ///
    /// # Errors
    ///
    /// [`HlcError::RemoteAhead`] as for [`observe`](Self::observe), and when the
    /// clock that should judge it does not answer. Nothing was changed then.
    pub fn note(&self, remote: Stamp) -> Result<(), HlcError> {
        if remote.to_bits() <= self.register.last() {
            return Ok(());
        }
        // Read after the stamp has come: true time now is not before true time then.
        let now = self.clock.now()?;
        let limit = self.limit(now);
        if remote > limit {
            let by = Duration::from_nanos(remote.to_bits() - limit.to_bits());
            let (latest, tolerance) = (now.latest(), self.tolerance);
            return Err(HlcError::RemoteAhead { remote, latest, tolerance, by });
        }
        self.register.join(remote.to_bits());
        Ok(())
    }

    /// [`observe`](Self::observe) for a node whose clock does not answer: takes the peer at its word.
    ///
    /// Where the clock answers, it judges as always. Where it does not, one bad
    /// peer can take this node far ahead. That shows when the clock is back:
    /// `stamp()` then gives [`HlcError::Ahead`] and spreads nothing.
    ///
    /// # Errors
    ///
    /// As [`stamp_logical`](Self::stamp_logical), and [`HlcError::RemoteAhead`].
    pub fn observe_logical(&self, remote: Stamp) -> Result<Stamp, HlcError> {
        match self.note(remote) {
            Err(HlcError::Clock(_)) => {
                if remote == Stamp::MAX {
                    return Err(HlcError::Exhausted); // there would be no stamp after it
                }
                self.register.unsettle(remote.to_bits());
                self.register.join(remote.to_bits());
            }
            noted => noted?,
        }
        self.stamp_logical()
    }

    /// A stamp for a transaction: not below `latest`, above every stamp of this
    /// node so far, and to be waited out before anybody sees it.
    ///
    /// Ordinary stamps stay behind true time meanwhile, and never equal it.
    ///
    /// # Errors
    ///
    /// When the clock does not answer, when this node is poisoned or has an old
    /// mark beyond `latest`, or when the disk fails.
    pub fn commit_stamp(&self) -> Result<PendingCommit, HlcError> {
        self.commit_stamp_from(Stamp::MIN, Duration::ZERO)
    }

    /// The same, and not below `least`: for the coordinator of a two-phase commit, whose
    /// stamp must not be below any under which a participant has prepared.
    ///
    /// A participant prepares under a commit stamp of its own, which may be ahead of true
    /// time by the width of its interval. So `within` is how wide that may be: the
    /// participants' `max_width`, say. One that is further ahead has a broken clock, and
    /// would make this node's commits wait for as long.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{ClockError, Hlc, HlcError, Interval, Timestamp, TrueTime};
    /// # struct At(i64);
    /// # impl TrueTime for At {
    /// #     fn now(&self) -> Result<Interval, ClockError> {
    /// #         let t = Timestamp::from_tai_nanos(self.0);
    /// #         Ok(Interval::from(t).widen(Duration::from_nanos(500)))
    /// #     }
    /// # }
    /// let (participant, coordinator) = (Hlc::new(At(3_000)), Hlc::new(At(1_000)));
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
    /// [`HlcError::RemoteAhead`] when `least` is beyond this clock's `latest` by more than
    /// `within`; otherwise as [`commit_stamp`](Self::commit_stamp).
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
            let limit = self.limit(now).to_bits();
            if self.register.unsettled() > limit {
                self.passed_or_ahead(now)?;
            }
            if last.saturating_sub(limit) > self.register.carried() {
                return Err(poisoned(last, now));
            }
            let floor = Stamp::from(now.latest()).max(least).to_bits();
            let next = Register::commit_after(last, commits, floor).ok_or(HlcError::Exhausted)?;
            self.reserve(next)?;
            if let Some(stamp) = self.register.commit(last, commits, next) {
                return Ok(PendingCommit::new(Stamp::from_bits(stamp)));
            }
        }
    }

    /// Releases a commit stamp that has passed: from now on every stamp is above it.
    ///
    /// # Errors
    ///
    /// When it has not passed for certain, or the clock does not answer. The
    /// error gives the stamp back.
    pub fn release(&self, pending: PendingCommit) -> Result<Stamp, ReleaseError> {
        match self.clock.earliest() {
            Ok(earliest) if earliest > pending.timestamp() => {
                self.register.join(pending.provisional().to_bits());
                Ok(pending.provisional())
            }
            Ok(earliest) => Err(ReleaseError::NotPassed { pending, earliest }),
            Err(error) => Err(ReleaseError::Hlc { pending, error: error.into() }),
        }
    }

    /// A stamp to read at, and the stamps above it that may have been committed before this call.
    ///
    /// # Errors
    ///
    /// As [`stamp`](Self::stamp).
    pub fn read_uncertainty(&self) -> Result<ReadUncertainty, HlcError> {
        let at = self.stamp()?;
        let now = self.clock.now()?;
        Ok(ReadUncertainty::new(at, self.limit(now)))
    }

    /// Whether [`stamp`](Self::stamp) would answer, asked without issuing one.
    ///
    /// # Errors
    ///
    /// Those that `stamp` would give, but for the disk's.
    pub fn check(&self) -> Result<(), HlcError> {
        let last = self.register.last();
        let now = self.clock.now()?;
        if Stamp::from(now.earliest()).to_bits() > last {
            return Ok(());
        }
        self.passed_or_ahead(now)?;
        let excess = last.saturating_sub(self.limit(now).to_bits());
        if excess > self.register.carried() { Err(poisoned(last, now)) } else { Ok(()) }
    }

    /// The greatest stamp that this node has issued or observed, pending commits apart.
    pub fn last(&self) -> Stamp {
        Stamp::from_bits(self.register.last())
    }

    /// Takes a node that was led astray back to its clock, and returns where it had been.
    ///
    /// This gives up the order between what it issues from now on and what it
    /// issued before, and lets it issue the same stamps again. It is for an
    /// operator who has made sure that nobody depends on them; to wait is
    /// always safe. The mark on disk, if there is one, is taken back too.
    ///
    /// # Errors
    ///
    /// When the clock does not answer (nothing was changed), or the disk fails
    /// (the mark was not taken back: call it again).
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
    /// [`stamp`](Self::stamp) does this itself, and the thread that happens to
    /// do it waits for the disk. Called now and then (four times a window, say)
    /// from a thread that may wait, this keeps the disk away from the others.
    ///
    /// # Errors
    ///
    /// When the clock does not answer, or the disk fails.
    pub fn renew_mark(&self) -> Result<(), HlcError> {
        let physical = Stamp::from(self.clock.earliest()?).to_bits();
        self.reserve(physical.max(self.register.last()))
    }

    /// The last stamp that a peer may send now.
    fn limit(&self, now: Interval) -> Stamp {
        Stamp::from(now.latest().saturating_add(self.tolerance))
    }

    /// An error unless true time has certainly passed what may not be issued again.
    fn passed_or_ahead(&self, now: Interval) -> Result<(), HlcError> {
        let (unsettled, earliest) = (self.register.unsettled(), now.earliest());
        let reached = Stamp::from(earliest).to_bits();
        if unsettled == Stamp::MIN.to_bits() || reached > unsettled {
            return Ok(());
        }
        let by = Duration::from_nanos((unsettled - reached).saturating_add(1));
        Err(HlcError::Ahead { register: Stamp::from_bits(unsettled), earliest, by })
    }

    /// Makes sure that the disk covers `next`.
    #[inline]
    fn reserve(&self, next: u64) -> Result<(), HlcError> {
        match &self.mark {
            Some(mark) if next > self.register.renew_at() => mark.reserve(&self.register, next),
            _ => Ok(()),
        }
    }

    /// Sleeps until the mark of an earlier run has passed, if a crash explains how far it is.
    fn wait_out_the_mark(&self, limit: Option<Duration>) {
        let started = Instant::now();
        let window = self.mark.as_ref().map_or(Duration::ZERO, Mark::window);
        while let Ok(now) = self.clock.now() {
            let Err(HlcError::Ahead { by, .. }) = self.passed_or_ahead(now) else { break };
            let explained = window.saturating_add(now.width().saturating_mul(2));
            let limit = limit.unwrap_or(explained);
            let left = limit.saturating_sub(started.elapsed());
            if by > left {
                return;
            }
            thread::sleep(by.min(NAP));
        }
        // So that the first stamp need not wait for the disk, and a directory
        // that cannot be written shows early. What fails here fails there too.
        let _ = self.renew_mark();
    }
}

fn poisoned(register: u64, now: Interval) -> HlcError {
    let latest = now.latest();
    let by = Duration::from_nanos(register.saturating_sub(Stamp::from(latest).to_bits()));
    HlcError::Poisoned { register: Stamp::from_bits(register), latest, by }
}

/// The moment a stamp must be waited for is the stamp's own.
impl From<&PendingCommit> for Timestamp {
    fn from(pending: &PendingCommit) -> Timestamp {
        pending.timestamp()
    }
}
