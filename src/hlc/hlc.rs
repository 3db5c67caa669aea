//! [`Hlc`]: a hybrid logical clock. Its commit stamps are in `commits`, its settings in `builder`.

use std::future::poll_fn;
use std::thread;
use std::time::{Duration, Instant};

use super::error::HlcError;
use super::high_water_mark::HighWaterMark;
use super::mark_request::{Level, Wait};
use super::mark_status::MarkStatus;
use super::read_uncertainty::ReadUncertainty;
use super::register::Register;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::interval::Interval;

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
/// then, keep a high-water mark: [`HlcBuilder::create_new`](super::HlcBuilder::create_new). A
/// forked child must make an `Hlc` of its own, with its own node id.
///
/// # Which calls wait
///
/// Without a mark no call waits for anything but the clock. With one, a call that issues a
/// stamp waits if the window below the mark is used up: at the first stamp of a node that has been
/// idle for some windows, after a suspend, or with a store that fails or takes longer than 2.5 s.
/// It never does the work itself (see
/// [`HlcBuilder::without_thread`](super::HlcBuilder::without_thread) for the exception).
/// [`try_stamp`](Self::try_stamp) never waits, and the calls named `..._async` wait without
/// blocking their thread.
#[derive(Debug)]
pub struct Hlc<C> {
    pub(super) register: Register,
    pub(super) clock: C,
    pub(super) tolerance: Duration,
    pub(super) mark: Option<HighWaterMark>,
}

impl<C: TrueTime> Hlc<C> {
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
        self.take(Wait::Block)
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
        self.take(Wait::Never)
    }

    /// Like [`stamp`](Self::stamp), for executors: where `stamp` would wait for the store, the
    /// future is woken when the mark was raised.
    ///
    /// Dropping the future is safe. No stamp is issued then, and the mark may be raised all the
    /// same. To observe a peer's stamp, call [`note`](Self::note), which never waits, and then
    /// this.
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

    #[inline]
    fn take(&self, wait: Wait) -> Result<Stamp, HlcError> {
        let physical = Stamp::from_timestamp(self.clock.earliest()?).to_bits();
        match self.register.try_issue(physical) {
            Some(stamp) => Ok(Stamp::from_bits(stamp)),
            None => self.stamp_slowly(wait),
        }
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
    /// It is for stamps that their sender has issued or [released](Self::release). For a commit
    /// stamp that was not waited out there is [`ProvisionalStamp`](super::ProvisionalStamp), and
    /// for this node's own history [`HlcBuilder::not_below`](super::HlcBuilder::not_below).
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
    /// The errors that `stamp` would return. [`HlcError::Record`] comes as soon as the last write
    /// of the mark has failed, though stamps are issued until the rest of the window is used up.
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
    /// [`HlcBuilder::not_below`](super::HlcBuilder::not_below) and the resumed commits are given
    /// up too. The mark in the store, if there is one, is taken back. This waits for that, and
    /// meanwhile no stamp is issued above the lower one of the old mark and the new one.
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
    /// The mark's thread does so by itself while stamps are issued. This is for a node that has
    /// been idle, so that its next stamp need not wait, and for one [without a
    /// thread](super::HlcBuilder::without_thread), which should call it regularly from a thread that may
    /// wait, for example four times per window.
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
    pub(super) async fn repeat<T>(
        &self,
        attempt: impl Fn() -> Result<T, HlcError>,
    ) -> Result<T, HlcError> {
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
    pub(super) fn limit(&self, now: Interval) -> Stamp {
        Stamp::from(now.latest().saturating_add(self.tolerance))
    }

    /// [`HlcError::Ahead`], unless true time has certainly passed every stamp that may not be
    /// issued again.
    pub(super) fn passed_or_ahead(&self, now: Interval) -> Result<(), HlcError> {
        let unconfirmed = self.register.unconfirmed();
        let reached = Stamp::from(now.earliest()).to_bits();
        if unconfirmed == Stamp::MIN.to_bits() || reached > unconfirmed {
            return Ok(());
        }
        Err(ahead(unconfirmed, now))
    }

    /// Makes sure that the mark in the store is not below `next`, which was computed from `last`.
    #[inline]
    pub(super) fn reserve(&self, last: u64, next: u64, wait: Wait) -> Result<(), HlcError> {
        match &self.mark {
            Some(mark) if next > self.register.renew_at() => {
                mark.reserve(&self.register, last, next, wait)
            }
            _ => Ok(()),
        }
    }

    /// Sleeps until the mark of an earlier run has passed, if a crash under a correct clock
    /// explains how far ahead it is.
    pub(super) fn wait_out_the_mark(&self, limit: Option<Duration>) {
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
pub(super) fn ahead(unconfirmed: u64, now: Interval) -> HlcError {
    let earliest = now.earliest();
    let left = unconfirmed.saturating_sub(Stamp::from(earliest).to_bits());
    let by = Duration::from_nanos(left.saturating_add(1));
    HlcError::Ahead { register: Stamp::from_bits(unconfirmed), earliest, by }
}

/// The error for a register that is beyond `latest` without an explanation.
pub(super) fn poisoned(register: u64, now: Interval) -> HlcError {
    let latest = now.latest();
    let by = Duration::from_nanos(register.saturating_sub(Stamp::from(latest).to_bits()));
    HlcError::Poisoned { register: Stamp::from_bits(register), latest, by }
}
