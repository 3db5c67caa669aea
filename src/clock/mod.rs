//! The running clock: [`Clock::now`] gives an interval that contains true time.
//!
//! ```text
//! sources ─► driver ─► estimator ─► block ─► ring ─► Clock::now ─► Interval
//!            (thread)   (pure)      (7 words) (lock-free)
//! ```
//!
//! One side writes, ten times a second: it asks the sources, combines what they
//! say into a pair of lines, and publishes it. The other side reads, a hundred
//! million times a second if it likes: it takes the seven words, reads the
//! counter, and multiplies twice. Between them is a ring that neither waits on.
//!
//! # What is promised
//!
//! If each source's bound held when it was sampled (A1), and the counter's true
//! rate stayed within `max_drift_ppm` of nominal (A2), then for every
//! [`Clock::now`] there is a moment between its call and its return at which true
//! time was in the interval.
//!
//! There is a third assumption, off unless chosen with `max_wander_ppm`: (A3) within
//! any two hours the counter's rate strays no further than that from its mean.
//! Readings between the time daemon's updates are up to ten times narrower then. Do
//! not choose it on a virtual machine that may be moved to another host.

pub(crate) mod block;
pub(crate) mod bound;
pub mod builder;
pub mod changes;
pub mod counter;
pub(crate) mod driver;
pub(crate) mod estimator;
pub mod manual;
pub(crate) mod publish;
pub(crate) mod rate;
pub mod raw_read;
pub mod report;
mod sampler;
pub mod status;
pub(crate) mod step;
pub mod truetime;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub use bound::Sample;
pub use builder::{BuildError, ClockBuilder};
pub use changes::{Changes, Subscription};
pub use counter::{Counter, CounterKind, Untrusted};
pub use manual::ManualClock;
pub use report::{CounterReport, Limits, Report, Said, SamplerReport, SourceReport};
pub use status::{Reason, Status};
pub use truetime::{ClockError, TrueTime};

use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::timestamp::Timestamp;
use block::Block;
use sampler::{Life, Shared};

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
    shared: Arc<Shared>,
    /// Held, never looked at: dropping the last one stops the thread.
    _life: Option<Arc<Life>>,
}

impl Clock {
    /// A clock on the kernel's own evidence, with the default limits.
    ///
    /// # Errors
    ///
    /// If its thread cannot be started, or this thread may not read any clock.
    /// A host without evidence is no error here: reading the clock gives one,
    /// until evidence comes.
    pub fn new() -> Result<Clock, BuildError> {
        Clock::builder().build()
    }

    /// Sets what is assumed, who is asked, and how often.
    pub fn builder() -> ClockBuilder {
        ClockBuilder::default()
    }

    fn new_from(shared: Arc<Shared>, life: Option<Life>) -> Clock {
        Clock { shared, _life: life.map(Arc::new) }
    }

    /// An interval that contains the true time of some moment in this call.
    ///
    /// # Errors
    ///
    /// If no source has vouched, if that was so long ago that the interval is
    /// wider than `max_width`, or if sources contradict each other by more.
    #[inline]
    pub fn now(&self) -> Result<Interval, ClockError> {
        let block = self.shared.block();
        if !block.is_direct() {
            return self.now_from(block);
        }
        match block.interval_at(Counter::read_direct()) {
            Some(interval) => Ok(interval),
            None => self.look_again(),
        }
    }

    /// A moment that has certainly been reached. Cheaper than [`now`](Self::now).
    ///
    /// The counter is read without waiting for what stands before the call:
    /// that can only make the answer earlier, which is the careful side.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    #[inline]
    pub fn earliest(&self) -> Result<Timestamp, ClockError> {
        let block = self.shared.block();
        if !block.is_direct() {
            return Ok(self.now_from(block)?.earliest());
        }
        match block.earliest_at(Counter::read_direct_unordered()) {
            Some(earliest) => Ok(earliest),
            None => Ok(self.look_again()?.earliest()),
        }
    }

    /// Whether `t` has certainly passed. `false` means "not yet, or not known".
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    #[inline]
    pub fn after(&self, t: Timestamp) -> Result<bool, ClockError> {
        Ok(self.earliest()? > t)
    }

    /// Whether `t` has certainly not been reached. `false` means "reached, or not known".
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    #[inline]
    pub fn before(&self, t: Timestamp) -> Result<bool, ClockError> {
        Ok(self.now()?.latest() < t)
    }

    /// Reads from any counter, in order: apart from the hot path, which keeps no
    /// register for a call that it hardly ever makes.
    #[inline(never)]
    fn now_from(&self, block: Block) -> Result<Interval, ClockError> {
        match block.interval_at(block.counter().read_ordered()) {
            Some(interval) => Ok(interval),
            None => self.look_again(),
        }
    }

    /// Reads once more, and says what is wrong if something is.
    ///
    /// An unordered reading of the counter can be earlier than a bound that was
    /// published before it: then nothing is wrong.
    #[cold]
    #[inline(never)]
    fn look_again(&self) -> Result<Interval, ClockError> {
        let block = self.shared.block();
        let tick = block.counter().read();
        if let Some(interval) = block.interval_at(tick) {
            return Ok(interval);
        }
        Err(block.refusal(tick, self.shared.limits.max_width))
    }

    /// How far the clock is to be believed at this moment.
    pub fn status(&self) -> Status {
        let block = self.shared.block();
        let tick = block.counter().read();
        let readable = block.interval_at(tick).is_some();
        match block.status() {
            // Nobody has been asked for a while: the thread is gone (a fork), or a source blocks.
            Status::Synchronized | Status::Assumed if readable => {
                let is_stale = block.age_at(tick) > self.shared.limits.poll_interval * 3 + STALE;
                if is_stale { Status::Holdover } else { block.status() }
            }
            Status::Synchronized | Status::Assumed | Status::Holdover if !readable => {
                Status::Unsynchronized(Reason::TooOld)
            }
            status => status,
        }
    }

    /// Begins anew when a reading could contradict an earlier one: keep it with
    /// timestamps that outlive the moment, and compare.
    pub fn epoch(&self) -> u64 {
        self.shared.block().epoch().into()
    }

    /// Everything that the clock can say about itself.
    pub fn report(&self) -> Report {
        let record = self.shared.desk().record.lock();
        record.report(self.status(), self.now(), self.epoch(), self.shared.limits)
    }

    /// Asks all sources in this thread, and reads the clock.
    ///
    /// For clocks without a thread: `manual()` ones, and those of a forked child.
    /// Where there is a thread it is not in the way; if a source keeps it
    /// busy for more than a second, that one is not waited for.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    pub fn refresh(&self) -> Result<Interval, ClockError> {
        self.shared.round();
        self.now()
    }

    /// The operator vouches for the wall clock again, as it stands, after a step
    /// or a suspend has ended the word given with `assume_error`.
    ///
    /// What the clock held before is forgotten, since it may rest on the old
    /// word. Without `assume_error` this does what [`refresh`](Self::refresh) does.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    pub fn reassume(&self) -> Result<Interval, ClockError> {
        self.shared.reassume();
        self.now()
    }

    /// Uses another leap table from now on, as when a leap second has been announced.
    ///
    /// If it gives another TAI − UTC for the present than the old one did, all that
    /// the clock held is forgotten and a new epoch begins.
    ///
    /// ```
    /// # let clock = truechimer::Clock::builder().build()?;
    /// if let Ok(table) = truechimer::LeapTable::system() {
    ///     clock.set_leap_table(table);
    /// }
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn set_leap_table(&self, leaps: LeapTable) {
        self.shared.replace_leap_table(leaps);
    }

    /// Waits until a source vouches for the time (or the operator does), but no
    /// longer than `timeout`; then it is as good as [`now`](Self::now).
    ///
    /// # Errors
    ///
    /// What `now()` says at the deadline, if it says nothing better by then.
    pub fn wait_synchronized(&self, timeout: Duration) -> Result<Interval, ClockError> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let start = Instant::now();
        loop {
            let now = if self.has_thread() { self.now() } else { self.refresh() };
            let left = timeout.saturating_sub(start.elapsed());
            if now.is_ok() && self.status().is_usable() || left.is_zero() {
                return now;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }

    fn has_thread(&self) -> bool {
        self.shared.desk().record.lock().running
    }
}

/// For how long beyond three polls a bound counts as fresh.
const STALE: Duration = Duration::from_secs(1);

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
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Clock");
        debug.field("status", &self.status()).field("now", &self.now()).finish_non_exhaustive()
    }
}
