//! [`Clock`]: the core on the machine that this process runs on.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;

use super::core::ClockCore;
use super::report::Report;
use super::thread::ThreadHandle;
use super::truetime::TrueTime;
use crate::evidence::Reason;
use crate::host::System;
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::snapshot::{ClockError, Status};
use crate::timestamp::Timestamp;

/// A clock that states its uncertainty.
///
/// Cloning is cheap, and all clones read the same bound. When the last one is
/// dropped its thread ends.
///
/// Reading takes no lock, makes no system call where the processor's counter
/// may be trusted, allocates nothing, never waits for the thread that samples,
/// and may be done in a signal handler.
///
/// ```no_run
/// use truechimer::Clock;
///
/// let clock = Clock::new()?;
/// let now = clock.now()?;
/// println!("true time is between {} and {}", now.earliest(), now.latest());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Clock {
    core: Arc<ClockCore<System>>,
    /// Held and never used: dropping the last one stops the thread.
    _thread: Option<Arc<ThreadHandle>>,
    companion: Arc<ArcSwapOption<Companion>>,
}

/// What another layer keeps with a clock and its clones. Exchanged without a lock, because of
/// forks.
struct Companion(Arc<dyn Any + Send + Sync>);

/// A clock that does not keep the clock: it reads as long as another clone is there.
#[derive(Clone)]
pub(crate) struct WeakClock {
    core: Weak<ClockCore<System>>,
}

impl Clock {
    pub(super) fn new_from(core: Arc<ClockCore<System>>, thread: Option<ThreadHandle>) -> Clock {
        Clock { core, _thread: thread.map(Arc::new), companion: Arc::default() }
    }

    pub(crate) fn downgrade(&self) -> WeakClock {
        WeakClock { core: Arc::downgrade(&self.core) }
    }

    /// What a layer above keeps with this clock and all of its clones. It must not contain a
    /// clock, because the clock would then keep itself.
    pub(crate) fn companion<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let of = |companion: &Arc<Companion>| companion.0.clone().downcast().ok();
        if let Some(companion) = self.companion.load().as_ref().and_then(of) {
            return companion;
        }
        let made: Arc<T> = Arc::new(make());
        let ours = Some(Arc::new(Companion(made.clone())));
        let before = self.companion.compare_and_swap(&None::<Arc<Companion>>, ours);
        before.as_ref().and_then(of).unwrap_or(made)
    }

    /// An interval that contains the true time of some moment in this call.
    ///
    /// # Errors
    ///
    /// If no source has stated a bound, if the last bound is so old that the interval is
    /// wider than `max_width`, or if sources contradict each other by more than that.
    #[inline]
    pub fn now(&self) -> Result<Interval, ClockError> {
        self.core.now()
    }

    /// A moment that has certainly been reached. Cheaper than [`now`](Self::now).
    ///
    /// It can go back. Within one [`epoch`](Self::epoch) that means nothing: both moments have
    /// been reached, the later one is just not shown again. (It happens when a counter is
    /// read out of order, or when a new bound is rounded.) At a new epoch it can go back by
    /// as much as a source was wrong, because the earlier moment may not have been reached.
    /// So what relies on "`t` has passed" for longer than a moment keeps the epoch of the reading
    /// beside `t`, and does not rely on it in another epoch.
    ///
    /// The processor may read the counter before earlier instructions are done. That can only
    /// make the result earlier, which is the safe side
    /// ([rule 5](crate::_design#rule-5)). On arm64 it may be some nanoseconds earlier than
    /// the `earliest` of a `now()` that precedes it, which is safe as well: both moments
    /// have been reached.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    #[inline]
    pub fn earliest(&self) -> Result<Timestamp, ClockError> {
        self.core.earliest()
    }

    /// Whether `t` has certainly passed. `false` means "not yet, or not known".
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    #[inline]
    pub fn after(&self, t: Timestamp) -> Result<bool, ClockError> {
        self.core.after(t)
    }

    /// Whether `t` has certainly not been reached. `false` means "reached, or not known".
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    #[inline]
    pub fn before(&self, t: Timestamp) -> Result<bool, ClockError> {
        self.core.before(t)
    }

    /// What the readings rest on at this moment.
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// A number that changes when a reading may contradict an earlier one
    /// ([rule 7](crate::_design#rule-7)). Keep it with timestamps that you store, and compare.
    ///
    /// While it stays the same, a moment that [`earliest`](Self::earliest) gave stays reached,
    /// and one that the clock excluded stays excluded. (That `earliest()` alone may go
    /// back by nanoseconds does not change it.) It changes
    ///
    /// - when a contradiction begins or ends: sources disagreed, so one of them was wrong,
    ///   and so may have been what was read before;
    /// - when everything is forgotten: after a suspend, after [`set_leap_table`] with a table
    ///   that changes the present, after [`reassume`] and [`restored`], and when a clock that
    ///   the checks need is denied;
    /// - when the counter is given up;
    /// - when the virtual machine was moved to another host, or restored from a snapshot, and its
    ///   VMClock shows that ([`source::vmclock`](crate::source::vmclock)).
    ///
    /// What was decided by a reading of an earlier epoch was decided by evidence that may have
    /// been wrong. A cache of timestamps is to be thrown away. A lease that ends by the clock
    /// is judged anew by each reading, and a fencing token protects what was written meanwhile
    /// ([`lease`](crate::lease)).
    ///
    /// [`set_leap_table`]: Self::set_leap_table
    /// [`reassume`]: Self::reassume
    /// [`restored`]: Self::restored
    pub fn epoch(&self) -> u64 {
        self.core.epoch()
    }

    /// Everything that the clock can say about itself.
    pub fn report(&self) -> Report {
        self.core.report()
    }

    /// Samples all sources in this thread, and reads the clock.
    ///
    /// It is for clocks without a thread: those built with `manual()`, and those of a forked
    /// child. On a clock with a thread it does no harm. If that thread is sampling, this
    /// waits for it for at most a second.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    pub fn refresh(&self) -> Result<Interval, ClockError> {
        self.core.round();
        self.now()
    }

    /// The operator states the error of `assume_error` again, for the wall clock as it is now,
    /// after a step or a suspend has ended the earlier statement.
    ///
    /// The clock forgets its evidence at once, because that may rest on the earlier statement,
    /// and samples all sources. If another thread is sampling a source that blocks for more
    /// than a second, this does not wait for it: readings are errors from here on, and the
    /// statement counts from the end of that sample.
    /// Without `assume_error` this does the same as [`refresh`](Self::refresh).
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    pub fn reassume(&self) -> Result<Interval, ClockError> {
        self.core.reassume();
        self.now()
    }

    /// Uses another leap table from now on, as when a leap second has been announced.
    ///
    /// If its TAI − UTC for the present differs from that of the old table, the clock forgets
    /// its evidence and a new epoch begins. When this returns, no reading is by the old table.
    /// Usually the sources have been sampled by then. If another thread is sampling one that
    /// blocks for more than a second, readings are errors until that sample ends.
    ///
    /// A leap second that the kernel made and the old table did not list makes readings a second
    /// wider. A table that lists it, or that expires after it, ends this.
    ///
    /// ```
    /// # let clock = truechimer::Clock::builder().build()?;
    /// if let Ok(table) = truechimer::LeapTable::system() {
    ///     clock.set_leap_table(table);
    /// }
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn set_leap_table(&self, leaps: LeapTable) {
        self.core.replace_leap_table(leaps);
    }

    /// Call this in a hook that runs after the process was restored from a checkpoint (CRIU,
    /// CRaC, a container's checkpoint), before anything reads the clock.
    ///
    /// The process goes on where it stopped, minutes later and perhaps on another host. Nothing
    /// tells it so: the processor's counter is another one, and a time namespace keeps the
    /// kernel's monotonic clocks where they were. Until the next poll, readings would be wrong
    /// by all of that time.
    ///
    /// So this forgets everything that was known, at once for all readers, and a new epoch
    /// begins. It chooses the counter and measures its rate anew, which takes some 10 ms, and
    /// samples all sources. The operator's statement (`assume_error`) has ended, because it was
    /// of the old host: check the wall clock, and call [`reassume`](Self::reassume).
    ///
    /// The reading that it returns is of the new host. If another thread was in the middle of
    /// a sample and its source blocks for more than a second, this returns an error. Readings
    /// are then errors until that thread has carried out the rest.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    pub fn restored(&self) -> Result<Interval, ClockError> {
        self.core.restored();
        self.now()
    }

    /// Whether a thread of this process samples for the clock.
    pub(crate) fn has_thread(&self) -> bool {
        self.core.process().record.lock().running
    }
}

impl TrueTime for Clock {
    #[inline]
    fn now(&self) -> Result<Interval, ClockError> {
        Clock::now(self)
    }

    #[inline]
    fn earliest(&self) -> Result<Timestamp, ClockError> {
        Clock::earliest(self)
    }

    #[inline]
    fn after(&self, t: Timestamp) -> Result<bool, ClockError> {
        Clock::after(self, t)
    }

    #[inline]
    fn before(&self, t: Timestamp) -> Result<bool, ClockError> {
        Clock::before(self, t)
    }

    fn status(&self) -> Status {
        Clock::status(self)
    }
}

impl TrueTime for WeakClock {
    fn now(&self) -> Result<Interval, ClockError> {
        self.core.upgrade().ok_or(GONE)?.now()
    }

    fn earliest(&self) -> Result<Timestamp, ClockError> {
        self.core.upgrade().ok_or(GONE)?.earliest()
    }
}

/// The error of a clock that nobody has any more.
const GONE: ClockError = ClockError::Unsynchronized(Reason::NotSampled);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Clock");
        debug.field("status", &self.status()).field("now", &self.now()).finish_non_exhaustive()
    }
}
