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
//! belongs to a process ([`PerProcess`]): a child makes a new one, takes over what the old
//! one holds if its lock is free, and continues from the last published snapshot if it
//! is not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::driver::{Driver, PendingRequests, RoundContext, SourceKind};
use crate::clock::report::{Limits, Record, Report};
use crate::counter::calibration::Calibration;
use crate::counter::{Counter, CounterError, CounterId, CounterKind};
use crate::evidence::Reason;
use crate::host::{Host, HostError};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::snapshot::ring::Ring;
use crate::snapshot::{ClockError, Snapshot, SnapshotFlags, Status};
use crate::source::{Realtime, WallClock};
use crate::timestamp::Timestamp;

/// How long `refresh()` waits for a round that another thread is making.
const ROUND_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a bound counts as fresh after three polls have passed.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// Makes the sources that need nothing from the user, for a child that could not inherit them.
pub(crate) type MakeSources = Box<dyn Fn() -> Vec<SourceKind> + Send + Sync>;

/// What all clones of a clock share.
pub(crate) struct ClockCore<H> {
    host: H,
    shared_host: Arc<dyn Host>,
    ring: Ring,
    limits: Limits,
    kind: CounterKind,
    wall_clock: Arc<WallClock>,
    requests: PendingRequests,
    make_sources: MakeSources,
    process: PerProcess,
}

/// What samples in one process: the driver, and the record of what it did.
pub(crate) struct PerProcess {
    pid: u32,
    driver: Mutex<Option<Driver>>,
    pub(crate) record: Mutex<Record>,
    /// The same of a child of this process, in that child.
    child: OnceLock<Box<PerProcess>>,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    pub(crate) kind: CounterKind,
    pub(crate) wall_clock: Arc<WallClock>,
    /// The sources of the first process, in the order in which they are sampled.
    pub(crate) sources: Vec<SourceKind>,
    pub(crate) make_sources: MakeSources,
}

impl<H: Host + Clone> ClockCore<H> {
    /// A clock on this host. Chooses and calibrates the counter, which takes some 10 ms,
    /// and samples nothing yet.
    ///
    /// # Errors
    ///
    /// If `kind` names a counter that may not be trusted.
    pub(crate) fn new(host: H, parts: Parts) -> Result<ClockCore<H>, CounterError> {
        let Parts { limits, kind, wall_clock, sources, make_sources } = parts;
        let shared_host: Arc<dyn Host> = Arc::new(host.clone());
        let calibration = Calibration::new(&shared_host, kind)?;
        let status = Status::Unsynchronized(Reason::NotSampled);
        let flags = SnapshotFlags::new(calibration.counter.id(), status, 0);
        let nothing = Snapshot::empty(calibration.rates(limits.max_drift_ppm), flags);
        let (ring, writer) = Ring::new(nothing.to_words());
        let driver = Driver::new(sources, calibration, limits, writer);
        Ok(ClockCore {
            requests: PendingRequests::new(&host),
            process: PerProcess::new(host.process_id(), driver, Record::default()),
            host,
            shared_host,
            ring,
            limits,
            kind,
            wall_clock,
            make_sources,
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The snapshot that is published now.
    #[inline]
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::from_words(self.ring.read())
    }

    /// See [`Clock::now`](crate::Clock::now).
    #[inline]
    pub(crate) fn now(&self) -> Result<Interval, ClockError> {
        let snapshot = self.snapshot();
        if !snapshot.is_direct() {
            return self.now_from(snapshot);
        }
        match snapshot.interval_at(self.host.ticks_fenced()) {
            Some(interval) => Ok(interval),
            None => self.read_again(),
        }
    }

    /// See [`Clock::earliest`](crate::Clock::earliest).
    #[inline]
    pub(crate) fn earliest(&self) -> Result<Timestamp, ClockError> {
        let snapshot = self.snapshot();
        if !snapshot.is_direct() {
            return Ok(self.now_from(snapshot)?.earliest());
        }
        match snapshot.earliest_at(self.host.ticks_unordered()) {
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
    /// no register for a call that it hardly ever makes.
    #[inline(never)]
    fn now_from(&self, snapshot: Snapshot) -> Result<Interval, ClockError> {
        let tick = snapshot.counter().read_ordered(&self.host).map_err(denied)?;
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
        let snapshot = self.snapshot();
        let tick = self.tick(snapshot.counter()).map_err(denied)?;
        match snapshot.interval_at(tick) {
            Some(interval) => Ok(interval),
            None => Err(snapshot.refusal(tick, self.limits.max_width)),
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
        let snapshot = self.snapshot();
        let Ok(tick) = self.tick(snapshot.counter()) else {
            return Status::Unsynchronized(Reason::Denied);
        };
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
        self.snapshot().epoch().into()
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
        self.process().record.lock().report(status, now, epoch, self.limits, &self.host)
    }

    /// Samples all sources once, in this thread. `false` if another thread is still at it.
    pub(crate) fn round(&self) -> bool {
        let process = self.process();
        match process.driver.try_lock_for(ROUND_TIMEOUT).as_deref_mut() {
            Some(Some(driver)) => {
                let ClockCore { ring, requests, .. } = self;
                driver.round(RoundContext { ring, record: &process.record, requests });
                process.record.lock().rounds += 1;
                true
            }
            _ => false,
        }
    }

    /// Uses another leap table from now on. If that changes what the wall clock means at
    /// present, the earlier evidence is wrong and is forgotten.
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
        self.round();
    }

    /// States the operator's error again, and samples all sources.
    pub(crate) fn reassume(&self) {
        self.requests.renew.store(true, Ordering::SeqCst);
        self.round();
    }

    /// What samples in this process.
    pub(crate) fn process(&self) -> &PerProcess {
        let pid = self.host.process_id();
        let mut process = &self.process;
        while process.pid != pid {
            process = match process.child.get() {
                Some(child) => child,
                None => self.after_fork(process),
            };
        }
        process
    }

    /// What samples in this process, a fork of the one that `parent` belonged to.
    fn after_fork<'a>(&self, parent: &'a PerProcess) -> &'a PerProcess {
        // One thread at a time makes it. The wait for the lock is limited, because a fork in
        // the middle of it leaves a lock that no thread releases. For the same reason the
        // value is complete before it is put into the cell.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.try_lock_for(ROUND_TIMEOUT);
        if let Some(child) = parent.child.get() {
            return child;
        }
        let child = Box::new(self.child_of(parent));
        parent.child.get_or_init(move || child)
    }

    fn child_of(&self, parent: &PerProcess) -> PerProcess {
        let pid = self.host.process_id();
        let inherited = parent.driver.try_lock().and_then(|mut driver| driver.take());
        let record = parent.record.try_lock().map(|mut record| std::mem::take(&mut *record));
        let record = record.unwrap_or_default();
        if let Some(driver) = inherited {
            let mut record = record;
            record.running = false;
            return PerProcess::new(pid, driver, record);
        }
        // The parent's driver is lost in the middle of a round: begin with new sources.
        let calibration = Calibration::new(&self.shared_host, self.kind)
            .unwrap_or_else(|why| Calibration::monotonic_raw(&self.shared_host, Some(why)));
        let sources = (self.make_sources)();
        let mut driver = Driver::new(sources, calibration, self.limits, self.ring.adopt());
        driver.resume_from(&self.snapshot());
        let kept: Vec<&str> = driver.names().collect();
        let lost = record.source_names().filter(|name| !kept.contains(name)).map(str::to_owned);
        let record = Record::after_loss(lost.collect());
        PerProcess::new(pid, driver, record)
    }
}

impl PerProcess {
    fn new(pid: u32, driver: Driver, record: Record) -> PerProcess {
        PerProcess {
            pid,
            driver: Mutex::new(Some(driver)),
            record: Mutex::new(record),
            child: OnceLock::new(),
        }
    }

    /// Keeps the driver locked, as it is in a child whose parent forked during a round.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn lose_driver(&self) {
        std::mem::forget(self.driver.lock());
    }
}

/// A counter that this thread may not read.
#[cold]
fn denied(_: HostError) -> ClockError {
    ClockError::Unsynchronized(Reason::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Sample, Source, SourceError};
    use crate::host::scripted::ScriptedHost;
    use crate::source::RealtimeScale;
    use crate::source::assume::Assumed;
    use crate::timestamp::NANOS_PER_SECOND;

    /// A source that knows the truth of a scripted host.
    struct Honest(Arc<ScriptedHost>);

    impl Source for Honest {
        fn name(&self) -> &str {
            "honest"
        }

        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            let before = counter.read();
            let truth = Timestamp::from_tai_nanos(self.0.truth_ns());
            Ok(Sample::new(before, counter.read(), truth.into()))
        }
    }

    fn core(host: &Arc<ScriptedHost>, sources: Vec<SourceKind>) -> ClockCore<Arc<ScriptedHost>> {
        let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
        let parts = Parts {
            limits: Limits::default(),
            kind: CounterKind::Auto,
            wall_clock,
            sources,
            make_sources: Box::new(Vec::new),
        };
        ClockCore::new(host.clone(), parts).expect("Auto never fails")
    }

    fn honest(host: &Arc<ScriptedHost>) -> ClockCore<Arc<ScriptedHost>> {
        core(host, vec![SourceKind::Evidence(Box::new(Honest(host.clone())))])
    }

    fn check(core: &ClockCore<Arc<ScriptedHost>>, host: &ScriptedHost) -> Interval {
        let before = Timestamp::from_tai_nanos(host.truth_ns());
        let now = core.now().expect("there is evidence");
        let after = Timestamp::from_tai_nanos(host.truth_ns());
        assert!(now.earliest() <= after && before <= now.latest(), "{now} at {before}");
        now
    }

    #[test]
    fn a_forked_child_takes_over_the_sources() {
        let host = ScriptedHost::new();
        let core = honest(&host);
        assert!(core.round());
        host.fork();
        host.pass(NANOS_PER_SECOND);
        let carried = check(&core, &host);
        assert!(core.round(), "the child samples by itself");
        assert!(check(&core, &host).width() < carried.width());
        let report = core.report();
        assert_eq!(report.sources.len(), 1);
        assert!(report.sampler.lost_sources.is_empty());
    }

    #[test]
    fn a_child_whose_parent_was_in_the_middle_of_a_round_goes_on_without_waiting_for_it() {
        let host = ScriptedHost::new();
        let core = honest(&host);
        assert!(core.round());
        let (before, epoch) = (check(&core, &host), core.epoch());
        core.process().lose_driver();
        host.fork();
        host.pass(NANOS_PER_SECOND);
        assert!(core.round(), "with new sources, of which there are none here");
        assert!(check(&core, &host).width() > before.width(), "what was known is carried on");
        assert_eq!(core.epoch(), epoch);
        assert_eq!(core.report().sampler.lost_sources, ["honest"]);
    }

    #[test]
    fn a_step_or_a_suspend_ends_the_operators_statement_until_it_is_made_again() {
        let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
        for is_suspend in [false, true] {
            let host = ScriptedHost::new();
            let assumed = Assumed::new(Duration::from_millis(1), wall_clock.clone());
            let core = core(&host, vec![SourceKind::Operator(Box::new(assumed))]);
            core.round();
            assert_eq!(core.status(), Status::Assumed);
            let before = core.now().expect("stated");
            if is_suspend {
                host.suspend(5_000_000_000);
            } else {
                host.step(5_000_000_000);
            }
            core.round();
            match is_suspend {
                true => assert!(core.now().is_err(), "the counter may have stood still"),
                // What was known before the step is carried on.
                false => assert_eq!(core.status(), Status::Holdover),
            }
            core.reassume();
            assert_eq!(core.status(), Status::Assumed);
            let now = core.now().expect("stated again");
            assert_eq!(now.definitely_after(&before), !is_suspend, "{now}");
        }
    }

    #[test]
    fn a_table_that_changes_the_present_makes_a_new_epoch() {
        let host = ScriptedHost::new();
        let core = honest(&host);
        core.round();
        core.replace_leap_table(LeapTable::builtin());
        assert_eq!(core.epoch(), 0, "the same table");
        let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
            .entries()
            .map(|entry| (entry.since.nanos() / NANOS_PER_SECOND, entry.tai_minus_utc))
            .collect();
        entries.push((1_690_000_000 / 86_400 * 86_400, 38));
        core.replace_leap_table(LeapTable::from_entries(&entries).expect("in order"));
        assert_eq!(core.epoch(), 1);
        assert!(core.now().is_ok(), "and the sources were sampled again");
    }

    #[test]
    fn a_counter_that_this_thread_may_not_read_is_an_error_and_never_a_number() {
        let host = ScriptedHost::with_raw_clock_only();
        let core = honest(&host);
        core.round();
        check(&core, &host);
        host.deny(crate::host::HostClock::MonotonicRaw);
        let denied = ClockError::Unsynchronized(Reason::Denied);
        assert_eq!(core.now(), Err(denied));
        assert_eq!(core.earliest(), Err(denied));
        assert_eq!(core.status(), Status::Unsynchronized(Reason::Denied));
        assert!(core.report().now.is_err());
    }

    #[test]
    fn now_reads_the_counter_in_order_because_an_early_tick_makes_latest_too_small() {
        let host = ScriptedHost::new();
        let core = honest(&host);
        core.round();
        for _ in 0..3 {
            let now = check(&core, &host);
            assert!(now.width() < Duration::from_nanos(200), "a late reading would show: {now}");
            let earliest = core.earliest().expect("there is evidence");
            assert!(earliest.tai_nanos() <= host.truth_ns(), "this one may be early");
        }
    }

    /// A source that states nothing.
    struct Silent;

    impl Source for Silent {
        fn name(&self) -> &str {
            "silent"
        }

        fn sample(&mut self, _: &Counter) -> Result<Sample, SourceError> {
            Err(SourceError::failed("for the test"))
        }
    }

    #[test]
    fn a_child_that_lost_its_parents_driver_resumes_from_what_the_parent_published() {
        let host = ScriptedHost::new();
        let mut core = honest(&host);
        core.make_sources = Box::new(|| vec![SourceKind::Evidence(Box::new(Silent))]);
        core.round();
        let epoch = core.epoch();
        core.process().lose_driver();
        host.fork();
        host.pass(1_000_000_000);
        assert!(core.round(), "the child publishes, though its source states nothing");
        check(&core, &host);
        assert_eq!((core.status(), core.epoch()), (Status::Holdover, epoch));
    }

    /// A source that reads its own clock while it is sampled.
    struct Reader {
        honest: Honest,
        clock: Arc<OnceLock<Arc<ClockCore<Arc<ScriptedHost>>>>>,
        seen: Arc<Mutex<Vec<Result<Interval, ClockError>>>>,
    }

    impl Source for Reader {
        fn name(&self) -> &str {
            "reader"
        }

        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            self.seen.lock().extend(self.clock.get().map(|clock| clock.now()));
            self.honest.sample(counter)
        }
    }

    #[test]
    fn while_a_source_is_sampled_no_reader_sees_a_bound_from_before_a_suspend() {
        let host = ScriptedHost::new();
        let (clock, seen) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(Vec::new())));
        let honest = Honest(host.clone());
        let reader = Reader { honest, clock: clock.clone(), seen: seen.clone() };
        let core = Arc::new(core(&host, vec![SourceKind::Evidence(Box::new(reader))]));
        core.round();
        assert!(clock.set(core.clone()).is_ok());
        core.round();
        let seen = || std::mem::take(&mut *seen.lock());
        assert!(seen().iter().all(Result::is_ok), "between two rounds it is readable");
        host.suspend(1_000_000_000);
        core.round();
        let suspended = ClockError::Unsynchronized(Reason::Suspended);
        assert_eq!(seen(), [Err(suspended)]);
        check(&core, &host);
    }
}
