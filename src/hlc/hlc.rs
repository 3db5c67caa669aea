//! [`Hlc`]: a hybrid logical clock, and its settings.

use std::future::poll_fn;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::HlcError;
use super::high_water_mark::{HighWaterMark, KIND, Level, Wait};
use super::mark_status::MarkStatus;
use super::pending_commit::{PendingCommit, ProvisionalStamp, ReleaseError};
use super::read_uncertainty::ReadUncertainty;
use super::register::Register;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::durable::{Record, RecordError};
use crate::interval::Interval;
use crate::store::Store;
use crate::timestamp::Timestamp;

/// How far ahead the mark is kept, if the store is fast: about two writes a second.
const WINDOW: Duration = Duration::from_secs(1);

/// How often an old mark is compared with the clock while it is waited out, because new
/// evidence may make the wait shorter.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// How many writes a call raises the mark by at most. Two are needed when the first shows that the
/// store is slow.
const RENEWALS: u32 = 4;

/// A hybrid logical clock on top of a clock that states its error.
///
/// Each node has one, and its threads share it (`&Hlc` or `Arc<Hlc>`). The
/// [module](super) explains why its stamps can be trusted, and what the proof assumes.
///
/// After a restart an `Hlc` begins again from its clock alone. If stamps must not repeat
/// then, keep a high-water mark: [`HlcBuilder::create_new`]. A forked child must make an `Hlc` of
/// its own, with its own node id.
///
/// # Which calls wait
///
/// Without a mark no call waits for anything but the clock. With one, a call that issues a
/// stamp waits if the window below the mark is used up: at the first stamp of a node that has been
/// idle for some windows, after a suspend, or with a store that fails or takes longer than 2.5 s.
/// It never does the work itself (see [`HlcBuilder::without_thread`] for the exception).
/// [`try_stamp`](Self::try_stamp) never waits, and the calls named `..._async` wait
/// without blocking their thread.
#[derive(Debug)]
pub struct Hlc<C> {
    register: Register,
    clock: C,
    tolerance: Duration,
    mark: Option<HighWaterMark>,
}

/// The settings of an [`Hlc`].
#[derive(Clone, Debug)]
#[must_use = "call `build`, `create_new` or `open_existing`"]
pub struct HlcBuilder<C> {
    clock: C,
    tolerance: Duration,
    window: Duration,
    open_wait: Option<Duration>,
    not_below: Stamp,
    with_thread: bool,
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

    /// Issues no stamp up to `stamp`, the greatest of this node's own history.
    ///
    /// It is for a node that was restored from a backup, or that replays its log: its clock may be
    /// behind what it has issued before. [`Hlc::note`] would call such a stamp a sign of a broken
    /// sender. Given here, it is taken as this node's own. Until time has passed it,
    /// [`stamp`](Hlc::stamp) returns [`HlcError::Ahead`], which says how long that takes. If this is
    /// called several times, the greatest stamp counts.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Hlc, HlcError, Interval, ManualClock, Stamp, Timestamp};
    /// let at = Timestamp::from_tai_nanos;
    /// let clock = ManualClock::new(Interval::from(at(1_000)));
    /// let log = [at(400), at(1_500), at(900)].map(Stamp::from);
    ///
    /// let hlc = log.into_iter().fold(Hlc::builder(clock.clone()), |b, s| b.not_below(s)).build();
    /// assert!(matches!(hlc.stamp(), Err(HlcError::Ahead { by, .. }) if by.as_nanos() == 501));
    /// clock.advance(Duration::from_nanos(501));
    /// assert!(hlc.stamp()? > log[1]);
    /// # Ok::<(), HlcError>(())
    /// ```
    pub fn not_below(self, stamp: Stamp) -> Self {
        HlcBuilder { not_below: self.not_below.max(stamp), ..self }
    }

    /// How far ahead the mark is kept at least. Default 1 s.
    ///
    /// There are about two writes per window while stamps are issued, and for eight windows after the
    /// last. The window grows to four times the latency of the store, but not beyond 10 s (or this setting,
    /// if it is longer). After a crash, up to a window is waited out. With 0, every stamp is a write, and
    /// waits for it.
    pub fn window(self, window: Duration) -> Self {
        HlcBuilder { window, ..self }
    }

    /// How long opening may wait for an old mark, or for the stamp of
    /// [`not_below`](Self::not_below), to pass.
    ///
    /// The default is what a crash under a correct clock can explain: the longest window, which
    /// is 10 s or the setting of [`window`](Self::window) if that is longer, plus twice the clock's
    /// width. The usual wait is the window at the crash, which is 1 s with a fast store. With 0
    /// it does not wait, and `stamp()` returns [`HlcError::Ahead`] until the mark has passed. It never
    /// waits on wasm32, which has no time to wait by.
    pub fn open_wait(self, limit: Duration) -> Self {
        HlcBuilder { open_wait: Some(limit), ..self }
    }

    /// The mark gets no thread of its own. The thread that takes a stamp writes it, when half of the window is
    /// used up, and waits for that write.
    ///
    /// This is for simulated worlds, in which a thread would make each run different. The window
    /// does not follow the latency of the store then, which is not measured.
    /// [`try_stamp`](Hlc::try_stamp) still writes nothing, so [`renew_mark`](Hlc::renew_mark)
    /// has to be called now and then. The calls named `..._async` block. On wasm32 it is always so.
    pub fn without_thread(self) -> Self {
        HlcBuilder { with_thread: false, ..self }
    }

    /// A clock whose register is only in memory.
    pub fn build(self) -> Hlc<C> {
        let register = Register::new(self.not_below.to_bits());
        Hlc { register, clock: self.clock, tolerance: self.tolerance, mark: None }
    }

    /// A clock whose stamps never repeat or go back across a crash, whatever its clock did. This is for the first
    /// start of the node.
    ///
    /// A new file at `path` holds a high-water mark, above which no stamp is issued. Beside it is
    /// `path.lock`, which excludes a second process, and briefly `path.new`. A thread of the `Hlc`'s own
    /// writes the mark, ahead of need. Dropping the `Hlc` ends it, after a write that is under way.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: there is a file already, or it cannot be made, or the thread cannot be started.
    pub fn create_new(self, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        let record = Record::create_new(path.as_ref(), KIND, 0)?;
        self.durable(record)
    }

    /// The clock of a node whose mark was [created](Self::create_new) before. This is for every start but the
    /// first.
    ///
    /// A mark from a crash under a correct clock is waited out before this returns, see
    /// [`open_wait`](Self::open_wait). A mark that is further ahead was written under a wrong
    /// clock. The node starts all the same, but `stamp()` returns [`HlcError::Ahead`], which
    /// says how far ahead it is, until the mark has passed or [`Hlc::reset`] is called. The
    /// same happens if the clock has no reading yet.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is missing, torn, truncated, of another kind, read-only, or
    /// locked by another process, or the thread cannot be started. The error says what to do, and the
    /// file is unchanged. A missing file is not created: the stamps issued under it are
    /// unknown, and would be issued again.
    pub fn open_existing(self, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        let record = Record::open_existing(path.as_ref(), KIND)?;
        self.durable(record)
    }

    /// Like [`create_new`](Self::create_new), with the mark in any [`Store`], which is empty yet.
    ///
    /// # Errors
    ///
    /// As [`create_new`](Self::create_new), and the errors of the store.
    pub fn create_new_in(self, store: impl Store + 'static) -> Result<Hlc<C>, RecordError> {
        let record = Record::create_new_in(store, KIND, 0)?;
        self.durable(record)
    }

    /// Like [`open_existing`](Self::open_existing), with the mark in any [`Store`], which has it.
    ///
    /// # Errors
    ///
    /// As [`open_existing`](Self::open_existing), and the errors of the store.
    pub fn open_existing_in(self, store: impl Store + 'static) -> Result<Hlc<C>, RecordError> {
        let record = Record::open_existing_in(store, KIND)?;
        self.durable(record)
    }

    fn durable(self, record: Record) -> Result<Hlc<C>, RecordError> {
        let (mark, stored) = HighWaterMark::new(record, self.window, self.with_thread)?;
        let register = Register::new(stored.max(self.not_below.to_bits()));
        register.set_reserved(stored, stored);
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

    /// A clock with other settings than the defaults, or with a mark that survives a crash.
    pub fn builder(clock: C) -> HlcBuilder<C> {
        HlcBuilder {
            clock,
            tolerance: Duration::ZERO,
            window: WINDOW,
            open_wait: None,
            not_below: Stamp::MIN,
            with_thread: true,
        }
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
    /// If the clock returns an error, if this node's register is poisoned, or if an old mark
    /// has not passed. If the store fails, but only when the window below the mark is used up
    /// (see [`mark_status`](Self::mark_status)). Where causality alone is enough, use
    /// [`stamp_logical`](Self::stamp_logical).
    #[inline]
    pub fn stamp(&self) -> Result<Stamp, HlcError> {
        let physical = Stamp::from_timestamp(self.clock.earliest()?).to_bits();
        match self.register.try_issue(physical) {
            Some(stamp) => Ok(Stamp::from_bits(stamp)),
            None => self.stamp_slowly(Wait::Block),
        }
    }

    /// Like [`stamp`](Self::stamp), but it never waits for the store of the mark.
    ///
    /// # Errors
    ///
    /// [`HlcError::MarkUsedUp`] where `stamp` would wait. It is transient: a higher mark has been
    /// asked for. If the last write has failed, its error is in
    /// [`mark_status`](Self::mark_status). Otherwise as `stamp`.
    #[inline]
    pub fn try_stamp(&self) -> Result<Stamp, HlcError> {
        let physical = Stamp::from_timestamp(self.clock.earliest()?).to_bits();
        match self.register.try_issue(physical) {
            Some(stamp) => Ok(Stamp::from_bits(stamp)),
            None => self.stamp_slowly(Wait::Never),
        }
    }

    /// Like [`stamp`](Self::stamp), for executors: where `stamp` would wait for the store, the
    /// future is woken when the mark was raised.
    ///
    /// Dropping the future is safe. No stamp is issued then, and the mark may be raised all the same.
    /// To observe a peer's stamp, call [`note`](Self::note), which never waits, and then this.
    ///
    /// ```
    /// # use truechimer::{Hlc, HlcError, Interval, ManualClock, Timestamp};
    /// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(1_000)));
    /// # let directory = tempfile::tempdir()?;
    /// # futures::executor::block_on(async {
    /// let hlc = Hlc::builder(clock).create_new(directory.path().join("mark"))?;
    /// let stamp = hlc.stamp_async().await?;
    /// let commit = hlc.commit_stamp_async().await?;
    /// assert!(commit.provisional() > stamp);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`stamp`](Self::stamp).
    pub async fn stamp_async(&self) -> Result<Stamp, HlcError> {
        self.repeat(|| self.try_stamp()).await
    }

    /// The slow path: time has not passed the register, or the mark must be raised.
    #[cold]
    fn stamp_slowly(&self, wait: Wait) -> Result<Stamp, HlcError> {
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
            self.reserve(last, next, wait)?;
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
            self.reserve(last, next, Wait::Block)?;
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
    /// It is for stamps that their sender has issued or [released](Self::release). For a commit stamp
    /// that was not waited out there is [`ProvisionalStamp`], and for this node's own history
    /// [`HlcBuilder::not_below`].
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
    /// If the clock returns an error, if this node's register is poisoned, if an old mark or a
    /// [resumed](Self::resume) commit is beyond `latest`, or if the window below the mark is used up
    /// and the store fails.
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
            if resumed > limit {
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

    /// Takes up a commit again that was interrupted by a crash: its stamp is in the log, and nobody knows
    /// whether it has passed.
    ///
    /// It has to be waited out, as if there had been no crash, before it is
    /// [released](Self::release). If the mark was waited out when the `Hlc` was
    /// [opened](HlcBuilder::open_existing), a stamp of this node has passed already.
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

    /// Checks whether [`stamp`](Self::stamp) would succeed and will go on to, without issuing a
    /// stamp. It never waits, so a health check can call it.
    ///
    /// # Errors
    ///
    /// The errors that `stamp` would return. [`HlcError::Record`] comes as soon as the last write of
    /// the mark has failed, though stamps are issued until the rest of the window is used up.
    pub fn check(&self) -> Result<(), HlcError> {
        if let Some(error) = self.mark_status().and_then(|status| status.error) {
            return Err(error.into());
        }
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

    /// How the mark stands: how far it reaches, how slow its store is, and whether the last write
    /// failed. `None` if there is no mark.
    ///
    /// A failed write is here at once, when half of the window is left. It is tried again, and
    /// [`stamp`](Self::stamp) fails only when the window is used up. So a program that looks
    /// here, for example once a second, can warn before that.
    pub fn mark_status(&self) -> Option<MarkStatus> {
        self.mark.as_ref().map(|mark| mark.status(&self.register))
    }

    /// Takes a register that is far ahead back to the clock, and returns its old value.
    ///
    /// This gives up the order between the stamps before and after it, and the node may
    /// issue the same stamps again. It is for an operator who has made sure that nothing
    /// depends on the old stamps. Waiting is always safe instead. The stamp of
    /// [`HlcBuilder::not_below`] and the resumed commits are given up too. The mark in the store, if
    /// there is one, is taken back. This waits for that, and meanwhile no stamp is issued
    /// above the lower one of the old mark and the new one.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, and then nothing was changed. If the store fails, and
    /// then the register was taken back but perhaps not the mark, so call it again.
    pub fn reset(&self) -> Result<Stamp, HlcError> {
        let floor = Stamp::from(self.clock.earliest()?).to_bits();
        let before = self.last();
        match &self.mark {
            Some(mark) => mark.reset(&self.register, floor)?,
            None => self.register.reset(floor),
        }
        Ok(before)
    }

    /// Makes sure that half of a window is left below the mark, and waits for that.
    ///
    /// The mark's thread does so by itself while stamps are issued. This is for a node that has been
    /// idle, so that its next stamp need not wait, and for one
    /// [without a thread](HlcBuilder::without_thread), which should call it regularly from a thread
    /// that may wait, for example four times per window.
    ///
    /// # Errors
    ///
    /// If the clock returns an error, or if the store fails.
    pub fn renew_mark(&self) -> Result<(), HlcError> {
        let Some(mark) = &self.mark else { return Ok(()) };
        for _ in 0..RENEWALS {
            if !mark.renew(&self.register, self.next_physical()?)? {
                break;
            }
        }
        Ok(())
    }

    /// Like [`renew_mark`](Self::renew_mark), for executors.
    ///
    /// # Errors
    ///
    /// As [`renew_mark`](Self::renew_mark).
    pub async fn renew_mark_async(&self) -> Result<(), HlcError> {
        let Some(mark) = &self.mark else { return Ok(()) };
        for _ in 0..RENEWALS {
            let next = self.next_physical()?;
            if self.wait_for_mark(mark, next, Level::HalfAWindow).await? {
                break;
            }
        }
        Ok(())
    }

    /// About the next stamp.
    fn next_physical(&self) -> Result<u64, HlcError> {
        let physical = Stamp::from(self.clock.earliest()?).to_bits();
        Ok(physical.max(self.register.last()))
    }

    /// Repeats `attempt` until there was room for it below the mark.
    async fn repeat<T>(&self, attempt: impl Fn() -> Result<T, HlcError>) -> Result<T, HlcError> {
        loop {
            match (attempt(), &self.mark) {
                (Err(HlcError::MarkUsedUp { asked, .. }), Some(mark)) => {
                    self.wait_for_mark(mark, asked.to_bits(), Level::Stamp).await?;
                }
                (result, _) => return result,
            }
        }
    }

    /// Waits until the mark is high enough. Returns whether it was so at once.
    async fn wait_for_mark(
        &self,
        mark: &HighWaterMark,
        next: u64,
        level: Level,
    ) -> Result<bool, HlcError> {
        let (mut before, mut polls) = (None, 0_u64);
        poll_fn(|context| {
            polls += 1;
            mark.poll_level(&self.register, next, level, &mut before, context.waker())
        })
        .await?;
        Ok(polls == 1)
    }

    /// The greatest stamp that is accepted from a peer at `now`.
    fn limit(&self, now: Interval) -> Stamp {
        Stamp::from(now.latest().saturating_add(self.tolerance))
    }

    /// [`HlcError::Ahead`], unless true time has certainly passed every stamp that may not be
    /// issued again.
    fn passed_or_ahead(&self, now: Interval) -> Result<(), HlcError> {
        let unconfirmed = self.register.unconfirmed();
        let reached = Stamp::from(now.earliest()).to_bits();
        if unconfirmed == Stamp::MIN.to_bits() || reached > unconfirmed {
            return Ok(());
        }
        Err(ahead(unconfirmed, now))
    }

    /// Makes sure that the mark in the store is not below `next`, which was computed from `last`.
    #[inline]
    fn reserve(&self, last: u64, next: u64, wait: Wait) -> Result<(), HlcError> {
        match &self.mark {
            Some(mark) if next > self.register.renew_at() => {
                mark.reserve(&self.register, last, next, wait)
            }
            _ => Ok(()),
        }
    }

    /// Sleeps until the mark of an earlier run has passed, if a crash under a correct clock
    /// explains how far ahead it is.
    fn wait_out_the_mark(&self, limit: Option<Duration>) {
        // wasm32 has no time to wait by.
        let started = (!cfg!(target_family = "wasm")).then(Instant::now);
        let window = self.mark.as_ref().map_or(Duration::ZERO, HighWaterMark::longest_window);
        while let (Some(started), Ok(now)) = (started, self.clock.now()) {
            let Err(HlcError::Ahead { by, .. }) = self.passed_or_ahead(now) else { break };
            let explained = window.saturating_add(now.width().saturating_mul(2));
            let limit = limit.unwrap_or(explained);
            let left = limit.saturating_sub(started.elapsed());
            if by > left {
                return;
            }
            thread::sleep(by.min(POLL_EVERY));
        }
        // Raise the mark now, so that the first stamp need not wait for the store. The error is
        // ignored, because the first stamp returns it too.
        let _ = self.renew_mark();
    }
}

/// The error for a stamp that may not be issued again before true time has passed it.
fn ahead(unconfirmed: u64, now: Interval) -> HlcError {
    let earliest = now.earliest();
    let left = unconfirmed.saturating_sub(Stamp::from(earliest).to_bits());
    let by = Duration::from_nanos(left.saturating_add(1));
    HlcError::Ahead { register: Stamp::from_bits(unconfirmed), earliest, by }
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
