//! [`ClockCore`]: what a clock is, on any host.
//!
//! The running [`Clock`](crate::Clock) is this core on the real machine and a thread that
//! makes its rounds. A clock of the simulated world is the same core on a simulated
//! machine, whose events make its rounds. There is no other code that reads a snapshot,
//! judges a sample or handles a fork.
//!
//! # Fork
//!
//! The child of a `fork` has a copy of everything but the thread. Its readings continue
//! from the last snapshot, and widen. To sample again it calls `refresh()`. But the
//! thread may have been in the middle of a round when the process was copied, and then
//! its lock is held, in the child, by a thread that does not exist. So what samples
//! belongs to a process ([`Sampling`], in a [`PerProcess`]): a child makes a new one, takes over
//! what the old one holds if its lock is free, and continues from the last published
//! snapshot if it is not. (`fork` has the whole of it.)
//!
//! # Requests that make readings void
//!
//! A leap table that changes the present, a statement that the operator makes again, and a
//! restore from a checkpoint have one thing in common: what is published is wrong from now
//! on. A round would replace it, but another thread may be in the middle of a round, and its
//! source may block for as long as it likes. So these requests do not wait for a round. They
//! leave a mark in [`PendingRequests`], and then publish by themselves that nothing is known
//! ([`ClockCore::withhold`]). While the mark is there the driver publishes nothing, because
//! its evidence is from before the request. It removes the mark when it forgets that evidence.
//!
//! # A machine that was moved
//!
//! A disruption marker that has changed (`snapshot::published`) is such a request too. Readings
//! refuse by themselves and wake the sampler. The sampler looks at the marker before and after each
//! sample, and begins again as after a restore: with sources that are new, or that were told, and
//! with a counter that was measured anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::driver::{Beginning, Driver, PendingRequests, RoundContext, SourceKind};
use crate::clock::report::{Limits, Record, Report};
use crate::clock::vmclock::VmClockSetup;
use crate::counter::calibration::Calibration;
use crate::counter::{Counter, CounterError, CounterId, CounterKind, RateBounds};
use crate::evidence::Reason;
use crate::fork::{Mutex, Owned, PerProcess};
use crate::host::{Host, HostError};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::snapshot::published::Published;
use crate::snapshot::{ClockError, Snapshot, SnapshotFlags, Status};
use crate::source::{Realtime, WallClock};
use crate::timestamp::Timestamp;

/// How long `refresh()` waits for a round that another thread is making.
const ROUND_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a bound counts as fresh after three polls have passed.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// Makes the sources that need nothing from the user, for a child that could not inherit them.
pub(crate) type MakeSources = Box<dyn Fn() -> Vec<SourceKind> + Send + Sync>;

/// Wakes the thread that samples. Called by readers, so it neither waits nor allocates.
pub(crate) type WakeSampler = Box<dyn Fn() + Send + Sync>;

/// How often a round begins again because the machine was moved during it.
const MOVES_PER_ROUND: u32 = 3;

/// What all clones of a clock share.
pub(crate) struct ClockCore<H> {
    host: H,
    shared_host: Arc<dyn Host>,
    published: Published,
    vmclock: VmClockSetup,
    wake_sampler: OnceLock<WakeSampler>,
    limits: Limits,
    kind: CounterKind,
    wall_clock: Arc<WallClock>,
    requests: PendingRequests,
    make_sources: MakeSources,
    process: PerProcess<Sampling>,
    /// Whether a statement of the operator is among the sources.
    is_assuming: bool,
    /// Whether the machine was ever moved: new sources cannot know what its daemons have noticed.
    was_moved: AtomicBool,
}

/// What samples in one process: the driver, and the record of what it did.
pub(crate) struct Sampling {
    driver: Mutex<Option<Driver>>,
    /// Held for moments only: also while a snapshot is published.
    pub(crate) record: Mutex<Record>,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    pub(crate) kind: CounterKind,
    pub(crate) wall_clock: Arc<WallClock>,
    /// The sources of the first process, in the order in which they are sampled.
    pub(crate) sources: Vec<SourceKind>,
    pub(crate) make_sources: MakeSources,
    pub(crate) vmclock: VmClockSetup,
}

impl<H: Host + Clone> ClockCore<H> {
    /// A clock on this host. Chooses and calibrates the counter, which takes some 10 ms,
    /// and samples nothing yet.
    ///
    /// # Errors
    ///
    /// If `kind` names a counter that may not be trusted.
    pub(crate) fn new(host: H, parts: Parts) -> Result<ClockCore<H>, CounterError> {
        let Parts { limits, kind, wall_clock, sources, make_sources, vmclock } = parts;
        let shared_host: Arc<dyn Host> = Arc::new(host.clone());
        let vmclock = vmclock.timed_on(&host);
        // The marker is read before the counter is measured: that belongs to it too.
        let flags = SnapshotFlags::new(CounterId::MONOTONIC_RAW, NOTHING, 0);
        let nothing = Snapshot::empty(RateBounds::NANOSECONDS, flags);
        let published = Published::new(nothing, vmclock.page(), vmclock.is_in_readings());
        let calibration = Calibration::new(&shared_host, kind)?;
        let flags = SnapshotFlags::new(calibration.counter.id(), NOTHING, 0);
        published.publish(Snapshot::empty(calibration.rates(limits.max_drift_ppm), flags));
        let is_assuming = sources.iter().any(|kind| matches!(kind, SourceKind::Operator(_)));
        let driver = Driver::new(sources, calibration, limits);
        Ok(ClockCore {
            requests: PendingRequests::new(&host),
            process: PerProcess::of(host.process(), Sampling::new(driver, Record::default())),
            is_assuming,
            was_moved: AtomicBool::new(false),
            host,
            shared_host,
            published,
            vmclock,
            wake_sampler: OnceLock::new(),
            limits,
            kind,
            wall_clock,
            make_sources,
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// What wakes the thread that samples, once there is one.
    pub(crate) fn set_wake_sampler(&self, wake: WakeSampler) {
        let _ = self.wake_sampler.set(wake);
    }

    /// See [`Clock::now`](crate::Clock::now).
    #[inline]
    pub(crate) fn now(&self) -> Result<Interval, ClockError> {
        let (marker, snapshot) = self.published.read();
        if !snapshot.is_direct() {
            return self.now_by_any_counter();
        }
        let tick = self.host.ticks_fenced();
        if self.published.is_disrupted_since(marker) {
            return self.read_again();
        }
        match snapshot.interval_at(tick) {
            Some(interval) => Ok(interval),
            None => self.read_again(),
        }
    }

    /// See [`Clock::earliest`](crate::Clock::earliest).
    #[inline]
    pub(crate) fn earliest(&self) -> Result<Timestamp, ClockError> {
        let (marker, snapshot) = self.published.read();
        if !snapshot.is_direct() {
            return Ok(self.now_by_any_counter()?.earliest());
        }
        let tick = self.host.ticks_unordered();
        if self.published.is_disrupted_since(marker) {
            return Ok(self.read_again()?.earliest());
        }
        match snapshot.earliest_at(tick) {
            Some(earliest) => Ok(earliest),
            None => Ok(self.read_again()?.earliest()),
        }
    }

    /// See [`Clock::after`](crate::Clock::after).
    #[inline]
    pub(crate) fn after(&self, t: Timestamp) -> Result<bool, ClockError> {
        Ok(self.earliest()? > t)
    }

    /// See [`Clock::before`](crate::Clock::before).
    #[inline]
    pub(crate) fn before(&self, t: Timestamp) -> Result<bool, ClockError> {
        Ok(self.now()?.latest() < t)
    }

    /// Reads from any counter, in order. It is apart from the hot path, which then keeps
    /// no register for a call that it hardly ever makes; and it reads the snapshot again, because
    /// one that is handed on has to be in memory, where the hot path would put it each time.
    #[inline(never)]
    fn now_by_any_counter(&self) -> Result<Interval, ClockError> {
        let (marker, snapshot) = self.published.read();
        let tick = snapshot.counter().read_ordered(&self.host).map_err(denied)?;
        if self.published.is_disrupted_since(marker) {
            return self.read_again();
        }
        match snapshot.interval_at(tick) {
            Some(interval) => Ok(interval),
            None => self.read_again(),
        }
    }

    /// Reads once more, and says what is wrong if something is.
    ///
    /// An unordered reading of the counter can be earlier than a snapshot that was
    /// published before it: then nothing is wrong.
    #[cold]
    #[inline(never)]
    fn read_again(&self) -> Result<Interval, ClockError> {
        let (marker, snapshot) = self.published.read();
        let tick = self.tick(snapshot.counter()).map_err(denied)?;
        if self.published.is_disrupted_since(marker) {
            self.wake_sampler();
            return Err(ClockError::Disrupted);
        }
        match snapshot.interval_at(tick) {
            Some(interval) => Ok(interval),
            None => Err(snapshot.refusal(tick, self.limits.max_width)),
        }
    }

    /// Wakes the thread that samples, if there is one in this process.
    fn wake_sampler(&self) {
        if let Some(wake) = self.wake_sampler.get() {
            wake();
        }
    }

    /// Ticks now, after everything before the call and before everything after it.
    fn tick(&self, counter: CounterId) -> Result<u64, HostError> {
        let tick = counter.read_ordered(&self.host)?;
        self.host.fence();
        Ok(tick)
    }

    /// What the readings rest on at this moment.
    pub(crate) fn status(&self) -> Status {
        let (marker, snapshot) = self.published.read();
        let Ok(tick) = self.tick(snapshot.counter()) else {
            return Status::Unsynchronized(Reason::Denied);
        };
        if self.published.is_disrupted_since(marker) {
            self.wake_sampler();
            return Status::Unsynchronized(Reason::Disrupted);
        }
        let is_readable = snapshot.interval_at(tick).is_some();
        match snapshot.status() {
            // There was no sample for a while, because the thread is gone (a fork) or a
            // source blocks.
            Status::Synchronized | Status::Assumed if is_readable => {
                let fresh_for = self.limits.poll_interval * 3 + STALE_AFTER;
                let is_stale = snapshot.age_at(tick) > fresh_for;
                if is_stale { Status::Holdover } else { snapshot.status() }
            }
            Status::Synchronized | Status::Assumed | Status::Holdover if !is_readable => {
                Status::Unsynchronized(Reason::TooOld)
            }
            status => status,
        }
    }

    /// See [`Clock::epoch`](crate::Clock::epoch).
    pub(crate) fn epoch(&self) -> u64 {
        self.published.read().1.epoch().into()
    }

    /// By how many ppm bounds are carried: by A2, or by a drift that a source has shown.
    #[cfg(feature = "sim")]
    pub(crate) fn drift_ppm(&self) -> u32 {
        self.process().record.lock().drift_ppm.unwrap_or(self.limits.max_drift_ppm)
    }

    /// Everything that the clock can say about itself.
    pub(crate) fn report(&self) -> Report {
        // The host is read before the lock is taken, because a source may be slow.
        let (status, now, epoch) = (self.status(), self.now(), self.epoch());
        let process = self.process();
        let record = process.record.lock();
        let vmclock = self.vmclock.report(record.disruptions);
        record.report((status, now, epoch), self.limits, vmclock, &self.host)
    }

    /// Samples all sources once, in this thread. `false` if another thread is still at it.
    pub(crate) fn round(&self) -> bool {
        let process = self.process();
        match process.driver.try_lock_for(ROUND_TIMEOUT).as_deref_mut() {
            Some(Some(driver)) => {
                let ClockCore { published, requests, .. } = self;
                for _ in 0..MOVES_PER_ROUND {
                    self.carry_out_restart(driver);
                    driver.round(RoundContext { published, record: &process.record, requests });
                    if !published.is_disrupted() {
                        break;
                    }
                }
                process.record.lock().rounds += 1;
                true
            }
            _ => false,
        }
    }

    /// Uses another leap table from now on. If that changes what the wall clock means at
    /// present, the earlier evidence is wrong and is forgotten, at once for readers.
    pub(crate) fn replace_leap_table(&self, leaps: LeapTable) {
        let counter = Counter::new(self.shared_host.clone(), CounterId::MONOTONIC_RAW);
        // If the wall clock cannot be read, the tables cannot be compared, so forget.
        let now = Realtime::read(&counter);
        let differs = now.map_or(true, |now| self.wall_clock.differs(&leaps, &now));
        // Requested on both sides of the change: a round that is under way takes the
        // request before it uses a sample that was made by either table.
        self.requests.forget.fetch_or(differs, Ordering::SeqCst);
        self.wall_clock.replace(leaps);
        self.requests.forget.fetch_or(differs, Ordering::SeqCst);
        self.withhold(Reason::NotSampled);
        self.round();
    }

    /// States the operator's error again, and samples all sources.
    pub(crate) fn reassume(&self) {
        if self.is_assuming {
            self.requests.renew.store(true, Ordering::SeqCst);
            self.withhold(Reason::NotSampled);
        }
        self.round();
    }

    /// Begins again on a machine that may be another one: forgets everything, measures the
    /// counter, and samples all sources.
    pub(crate) fn restored(&self) {
        self.requests.restart.store(true, Ordering::SeqCst);
        self.withhold(Reason::NotSampled);
        self.round();
    }

    /// Shows to readers that nothing is known, unless a round has carried out the request.
    fn withhold(&self, why: Reason) {
        let process = self.process();
        // The driver publishes under this lock, and looks for requests there.
        let _turn = process.record.lock();
        if self.requests.are_pending() {
            self.published.publish(self.nothing(why));
        }
    }

    /// A snapshot of nothing, which ends the epoch of what is shown.
    fn nothing(&self, why: Reason) -> Snapshot {
        let (_, shown) = self.published.read();
        let has_ended = shown.bound().is_some();
        let epoch = shown.epoch().wrapping_add(has_ended.into());
        let flags = SnapshotFlags::new(shown.counter(), Status::Unsynchronized(why), epoch);
        Snapshot::empty(RateBounds::NANOSECONDS, flags)
    }

    /// Carries out the request of [`restored`](Self::restored), and the one that a disruption
    /// makes, before anything is sampled.
    fn carry_out_restart(&self, driver: &mut Driver) {
        let is_disrupted = self.published.is_disrupted();
        if !is_disrupted && !self.requests.restart.load(Ordering::SeqCst) {
            return;
        }
        // Loaded before anything is measured, which then belongs to this marker or is dropped.
        let marker = self.published.present_marker();
        let beginning = if is_disrupted { Beginning::Disrupted } else { Beginning::Restored };
        if is_disrupted {
            self.was_moved.store(true, Ordering::SeqCst);
            self.requests.restart.store(true, Ordering::SeqCst);
            self.withhold(Reason::Disrupted);
        }
        self.host.forget_settings();
        // Removed before the work: a second restore during it is another request.
        self.requests.restart.store(false, Ordering::SeqCst);
        driver.restart(beginning, self.calibrate(), (self.make_sources)());
        if self.was_moved.load(Ordering::SeqCst) {
            driver.tell_of_disruption();
        }
        if is_disrupted {
            let process = self.process();
            let mut record = process.record.lock();
            record.disruptions += 1;
            // Nothing of the old evidence is left anywhere, so what follows may be accepted.
            self.published.begin(marker, self.nothing(Reason::Disrupted));
        }
    }

    /// A counter, and its rate measured now.
    fn calibrate(&self) -> Calibration {
        Calibration::new(&self.shared_host, self.kind)
            .unwrap_or_else(|why| Calibration::monotonic_raw(&self.shared_host, Some(why)))
    }

    /// What samples in this process.
    pub(crate) fn process(&self) -> Arc<Owned<Sampling>> {
        self.process.get(self.host.process(), |parent| self.child_of(parent))
    }

    /// What samples in this process, a fork of the one that `parent` belonged to.
    fn child_of(&self, parent: Option<&Sampling>) -> Sampling {
        let inherited =
            parent.and_then(|parent| parent.driver.try_lock()).and_then(|mut driver| driver.take());
        let record = parent
            .and_then(|parent| parent.record.try_lock())
            .map(|mut record| std::mem::take(&mut *record));
        let record = record.unwrap_or_default();
        if let Some(driver) = inherited {
            let mut record = record;
            record.running = false;
            return Sampling::new(driver, record);
        }
        // The parent's driver is lost in the middle of a round: begin with new sources.
        let sources = (self.make_sources)();
        let mut driver = Driver::new(sources, self.calibrate(), self.limits);
        if self.was_moved.load(Ordering::SeqCst) {
            driver.tell_of_disruption();
        }
        driver.resume_from(&self.published.read().1, record.drift_ppm, record.learning);
        let kept: Vec<&str> = driver.names().collect();
        let lost = record.source_names().filter(|name| !kept.contains(name)).map(str::to_owned);
        let lost = lost.collect();
        let record = record.after_loss(lost);
        Sampling::new(driver, record)
    }
}

impl Sampling {
    fn new(driver: Driver, record: Record) -> Sampling {
        Sampling { driver: Mutex::new(Some(driver)), record: Mutex::new(record) }
    }

    /// Keeps the driver locked, as it is in a child whose parent forked during a round.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn lose_driver(&self) {
        std::mem::forget(self.driver.lock());
    }
}

/// The status before the first sample.
const NOTHING: Status = Status::Unsynchronized(Reason::NotSampled);

/// A counter that this thread may not read.
#[cold]
fn denied(_: HostError) -> ClockError {
    ClockError::Unsynchronized(Reason::Denied)
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "disruption_tests.rs"]
mod disruption_tests;
