use std::time::Duration;

use std::sync::Arc;

use super::*;
use crate::clock::report::Report;
use crate::clock::rig::Honest;
use crate::clock::vmclock::VmClockSetup;
use crate::counter::{Counter, CounterId, CounterKind, DEFAULT_MAX_DRIFT_PPM, RateBounds};
use crate::host::scripted::ScriptedHost;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

#[path = "driver_role_tests.rs"]
mod roles;

/// A source that does what a script says.
struct Scripted<F>(F);

impl<F: FnMut(&Counter) -> Result<Sample, SourceError> + Send> Source for Scripted<F> {
    fn name(&self) -> &str {
        "scripted"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        (self.0)(counter)
    }
}

struct Bench {
    host: Arc<ScriptedHost>,
    driver: Driver,
    published: Published,
    record: Mutex<Record>,
    requests: PendingRequests,
}

const LIMITS: Limits = Limits {
    max_drift_ppm: DEFAULT_MAX_DRIFT_PPM,
    max_wander_ppm: None,
    max_width: Duration::from_secs(10),
    poll_interval: Duration::from_millis(100),
};

impl Bench {
    fn new(host: Arc<ScriptedHost>, sources: Vec<Box<dyn Source>>) -> Bench {
        let shared: Arc<dyn Host> = host.clone();
        let calibration = Calibration::new(&shared, CounterKind::Auto).expect("Auto never fails");
        let flags = SnapshotFlags::new(CounterId::MONOTONIC_RAW, Status::Holdover, 0);
        let nothing = Snapshot::empty(RateBounds::NANOSECONDS, flags);
        let published = Published::new(nothing, Some(&host.vmclock()), true);
        let sources = sources.into_iter().map(SourceKind::Evidence).collect();
        let driver = Driver::new(sources, calibration, LIMITS);
        let requests = PendingRequests::new(&*host);
        Bench { host, driver, published, record: Mutex::default(), requests }
    }

    /// With one source that knows the truth.
    fn honest() -> Bench {
        let host = ScriptedHost::new();
        Bench::new(host.clone(), vec![Box::new(Honest(host))])
    }

    fn context(&self) -> RoundContext<'_> {
        let Bench { published, record, requests, .. } = self;
        RoundContext { published, record, requests }
    }

    fn round(&mut self) -> Snapshot {
        let Bench { driver, published, record, requests, .. } = self;
        driver.round(RoundContext { published, record, requests });
        self.published.read().1
    }

    fn report(&self) -> Report {
        let status = self.published.read().1.status();
        let now = Ok(Interval::EVERYTHING);
        let vmclock = VmClockSetup::default().report(0);
        self.record.lock().report((status, now, 0), LIMITS, vmclock, &*self.host)
    }

    fn said(&self, _: &Snapshot) -> String {
        self.report().sources[0].to_string()
    }

    /// Reads the snapshot, and holds the reading against the truth.
    fn check(&self, snapshot: &Snapshot) -> Interval {
        let before = Timestamp::from_tai_nanos(self.host.truth_ns());
        let tick = snapshot.counter().read_ordered(&*self.host).expect("readable");
        let now = snapshot.interval_at(tick).expect("readable");
        let after = Timestamp::from_tai_nanos(self.host.truth_ns());
        assert!(now.earliest() <= after && before <= now.latest(), "{now:?} at {before:?}");
        now
    }
}

#[test]
fn a_source_that_fails_panics_or_returns_nonsense_takes_nothing_away() {
    let mut turn = 0;
    let troubled = Scripted(move |counter: &Counter| {
        turn += 1;
        let now = counter.read();
        match turn {
            1 => Err(SourceError::failed("no fix")),
            2 => panic!("out of luck"),
            3 => Ok(Sample::new(now, now - 1, Interval::EVERYTHING)),
            4 => Ok(Sample::new(now, u64::MAX, Interval::EVERYTHING)),
            5 => Ok(Sample::new(0, 0, Interval::EVERYTHING)),
            _ => Ok(Sample::new(now, now, Interval::EVERYTHING)),
        }
    });
    let host = ScriptedHost::new();
    let mut bench = Bench::new(host.clone(), vec![Box::new(troubled), Box::new(Honest(host))]);
    let order = "out of order";
    for words in ["no fix", "panicked (out of luck)", order, order, order, ""] {
        let snapshot = bench.round();
        assert_eq!(snapshot.status(), Status::Synchronized);
        assert!(bench.check(&snapshot).width() < Duration::from_micros(5));
        let said = bench.said(&snapshot);
        assert!(said.contains(words), "`{said}` should mention `{words}`");
    }
    assert_eq!(bench.record.lock().contradictions, 0);
}

#[test]
fn a_single_source_without_a_bound_is_the_reason() {
    let silent =
        Scripted(|_: &Counter| Err(SourceError::no_bound(Reason::Slewing, "for the test")));
    let snapshot = Bench::new(ScriptedHost::new(), vec![Box::new(silent)]).round();
    assert_eq!(snapshot.status(), Status::Unsynchronized(Reason::Slewing));
    assert_eq!(snapshot.bound(), None);
}

/// The truth once, and then only failures.
fn once(host: &Arc<ScriptedHost>) -> Box<dyn Source> {
    let mut honest = Honest(host.clone());
    let mut turn = 0;
    Box::new(Scripted(move |counter: &Counter| {
        turn += 1;
        if turn == 1 { honest.sample(counter) } else { Err(SourceError::failed("gone")) }
    }))
}

#[test]
fn when_a_source_falls_silent_its_last_statement_widens() {
    let host = ScriptedHost::new();
    let mut bench = Bench::new(host.clone(), vec![once(&host)]);
    let snapshot = bench.round();
    assert_eq!(snapshot.status(), Status::Synchronized);
    let first = bench.check(&snapshot);
    host.pass(NANOS_PER_SECOND);
    let snapshot = bench.round();
    assert_eq!(snapshot.status(), Status::Holdover);
    let widened = bench.check(&snapshot).width() - first.width();
    assert!((400_000..405_000).contains(&widened.as_nanos()), "by 200 ppm either way: {widened:?}");
}

#[test]
fn a_false_source_shows_and_the_truth_stays_covered() {
    let host = ScriptedHost::new();
    let mut honest = Honest(host.clone());
    let wrong = Scripted(move |counter: &Counter| {
        let mut sample = honest.sample(counter)?;
        let ahead = |t: Timestamp| t.saturating_add(Duration::from_secs(1));
        let (earliest, latest) = (sample.time.earliest(), sample.time.latest());
        sample.time = Interval::new(ahead(earliest), ahead(latest)).expect("in order");
        Ok(sample)
    });
    let mut bench = Bench::new(host.clone(), vec![Box::new(Honest(host)), Box::new(wrong)]);
    for _ in 0..3 {
        let snapshot = bench.round();
        assert_eq!(snapshot.status(), Status::Contradicted);
        assert!(bench.check(&snapshot).width() >= Duration::from_millis(999));
    }
    assert!(bench.record.lock().contradictions > 0);
}

#[test]
fn a_counter_that_fails_is_given_up_and_what_was_known_is_kept() {
    let host = ScriptedHost::new();
    let mut bench = Bench::new(host.clone(), vec![once(&host)]);
    let good = bench.round();
    bench.check(&good);
    assert_eq!(good.counter(), CounterId::DIRECT);
    host.disturb_counter(1_000_000);
    let snapshot = bench.round();
    assert_eq!(snapshot.counter(), CounterId::MONOTONIC_RAW);
    assert_eq!(snapshot.status(), Status::Holdover, "the source is gone, the bound is not");
    assert!(bench.check(&snapshot).width() < Duration::from_millis(1));
    let why = bench.driver.calibration.why_not_hardware.clone();
    assert_eq!(why, Some(CounterError::RateChanged));
    assert_eq!(snapshot.epoch(), good.epoch() + 1, "readings since the last check are in doubt");
}

#[test]
fn evidence_from_before_a_suspend_is_refused_however_late_it_arrives() {
    let host = ScriptedHost::new();
    let (mut honest, mut kept) = (Honest(host.clone()), None);
    let caches = Scripted(move |counter: &Counter| match kept {
        Some(sample) => Ok(sample),
        None => Ok(*kept.insert(honest.sample(counter)?)),
    });
    let mut bench = Bench::new(host.clone(), vec![Box::new(caches)]);
    assert_eq!(bench.round().status(), Status::Synchronized);
    host.suspend(NANOS_PER_SECOND);
    for _ in 0..2 {
        let snapshot = bench.round();
        assert_eq!(snapshot.bound(), None);
        assert_eq!(snapshot.status(), Status::Unsynchronized(Reason::Suspended));
    }
}

#[test]
fn a_stale_bound_is_not_shown_while_the_next_source_is_sampled() {
    let mut bench = Bench::honest();
    bench.round();
    for reason in [Reason::Suspended, Reason::NotSampled] {
        match reason {
            Reason::Suspended => bench.host.suspend(NANOS_PER_SECOND),
            _ => bench.requests.forget.store(true, Ordering::Relaxed),
        }
        let Bench { driver, published, record, requests, .. } = &mut bench;
        let context = RoundContext { published, record, requests };
        assert!(driver.apply_invalidations(context).is_err());
        let snapshot = bench.context().published.read().1;
        assert_eq!((snapshot.bound(), snapshot.status()), (None, Status::Unsynchronized(reason)));
        assert_eq!(bench.round().status(), Status::Synchronized, "a new sample is right");
    }
}

#[test]
fn a_suspend_voids_what_was_known_until_a_source_states_a_bound_again() {
    let host = ScriptedHost::new();
    let mut bench = Bench::new(host.clone(), vec![once(&host)]);
    let before = bench.round();
    bench.check(&before);
    host.suspend(NANOS_PER_SECOND);
    let snapshot = bench.round();
    assert_eq!(snapshot.status(), Status::Unsynchronized(Reason::SourceFailed));
    assert_eq!(snapshot.bound(), None);
    assert_eq!(snapshot.epoch(), before.epoch() + 1);
}

#[test]
fn a_clock_that_may_not_be_read_ends_readings_and_is_named_in_the_report() {
    for clock in [HostClock::MonotonicRaw, HostClock::Boottime, HostClock::Monotonic] {
        for host in [ScriptedHost::new(), ScriptedHost::with_raw_clock_only()] {
            let mut bench = Bench::new(host.clone(), vec![Box::new(Honest(host.clone()))]);
            assert_eq!(bench.round().status(), Status::Synchronized);
            host.deny(clock);
            let snapshot = bench.round();
            assert_eq!(snapshot.bound(), None, "{clock}");
            assert_eq!(snapshot.status(), Status::Unsynchronized(Reason::Denied), "{clock}");
            let said = bench.said(&snapshot);
            assert!(said.contains(clock.name()), "{said}");
        }
    }
}

/// A source that knows the truth, and during whose second sample something happens.
fn interrupted(
    host: &Arc<ScriptedHost>,
    happens: impl Fn(&ScriptedHost) + Send + 'static,
) -> Box<dyn Source> {
    let (mut honest, host) = (Honest(host.clone()), host.clone());
    let mut turn = 0;
    Box::new(Scripted(move |counter: &Counter| {
        turn += 1;
        let sample = honest.sample(counter);
        if turn == 2 {
            happens(&host);
        }
        sample
    }))
}

#[test]
fn a_suspend_while_a_source_is_sampled_voids_the_sample() {
    let host = ScriptedHost::new();
    let source = interrupted(&host, |host| host.suspend(1_000_000_000));
    let mut bench = Bench::new(host, vec![source]);
    let before = bench.round();
    let after = bench.round();
    bench.check(&after);
    assert_eq!(after.status(), Status::Synchronized, "it was sampled once more");
    assert_eq!(after.epoch(), before.epoch() + 1);
}

#[test]
fn a_counter_that_fails_while_a_source_is_sampled_voids_the_sample() {
    let host = ScriptedHost::new();
    let source = interrupted(&host, |host| host.disturb_counter(1_000_000));
    let mut bench = Bench::new(host, vec![source]);
    assert_eq!(bench.round().counter(), CounterId::DIRECT);
    let after = bench.round();
    assert_eq!(after.counter(), CounterId::MONOTONIC_RAW);
    bench.check(&after);
    assert_eq!(bench.record.lock().contradictions, 0);
}

#[test]
fn both_ends_of_a_bound_give_way_by_the_measured_step_of_the_counter() {
    let mut bench = Bench::honest();
    let bound = bench.round().bound().expect("readable");
    // The source states an instant between two ticks that are 10 ns apart.
    let stated = Duration::from_nanos(10);
    let step = Duration::from_nanos(10);
    assert!(bound.time.width() >= stated + 2 * step, "{:?}", bound.time.width());
    assert!(bound.time.width() <= stated + 4 * step, "{:?}", bound.time.width());
}

#[test]
fn a_raw_clock_that_stands_still_ends_readings_on_any_counter() {
    for host in [ScriptedHost::new(), ScriptedHost::with_raw_clock_only()] {
        let mut bench = Bench::new(host.clone(), vec![Box::new(Honest(host.clone()))]);
        let before = bench.round();
        bench.check(&before);
        host.stop_raw_clock();
        host.pass(NANOS_PER_SECOND);
        for _ in 0..3 {
            let snapshot = bench.round();
            assert_eq!(snapshot.status(), Status::Unsynchronized(Reason::CounterStopped));
            let said = bench.said(&snapshot);
            assert!(said.contains("CLOCK_MONOTONIC_RAW stands still"), "{said}");
            host.pass(1_000_000);
        }
        host.let_raw_clock_run();
        host.pass(NANOS_PER_SECOND);
        bench.round();
        host.pass(NANOS_PER_SECOND);
        let after = bench.round();
        bench.check(&after);
    }
}

/// A source that repeats its first sample, and is in this condition.
struct Repeating {
    honest: Honest,
    first: Option<Sample>,
    condition: Arc<Mutex<SourceCondition>>,
}

impl Source for Repeating {
    fn name(&self) -> &str {
        "repeating"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        match self.first {
            Some(first) => Ok(first),
            None => Ok(*self.first.insert(self.honest.sample(counter)?)),
        }
    }

    fn condition(&self) -> SourceCondition {
        self.condition.lock().clone()
    }
}

fn repeating() -> (Bench, Arc<Mutex<SourceCondition>>) {
    let host = ScriptedHost::new();
    let condition = Arc::new(Mutex::new(SourceCondition::default()));
    let honest = Honest(host.clone());
    let source = Repeating { honest, first: None, condition: condition.clone() };
    (Bench::new(host, vec![Box::new(source)]), condition)
}

#[test]
fn a_source_that_repeats_its_sample_is_current_and_its_bound_widens() {
    let (mut bench, _) = repeating();
    let first = bench.round();
    let narrow = bench.check(&first).width();
    bench.host.pass(60 * NANOS_PER_SECOND);
    let later = bench.round();
    assert_eq!(later.status(), Status::Synchronized);
    let tick = later.counter().read_ordered(&*bench.host).expect("readable");
    assert!(later.age_at(tick) < Duration::from_secs(1), "the age is that of the last round");
    assert!(bench.check(&later).width() > narrow + Duration::from_millis(23), "200 ppm each way");
}

#[test]
fn a_source_in_holdover_makes_the_clock_holdover_and_the_report_says_why() {
    let (mut bench, condition) = repeating();
    assert_eq!(bench.round().status(), Status::Synchronized);
    *condition.lock() = SourceCondition::default().in_holdover("the server is gone");
    let snapshot = bench.round();
    assert_eq!(snapshot.status(), Status::Holdover);
    bench.check(&snapshot);
    let said = bench.said(&snapshot);
    assert!(said.contains("holdover: the server is gone"), "{said}");
    *condition.lock() = SourceCondition::default();
    assert_eq!(bench.round().status(), Status::Synchronized);
}

#[test]
fn an_oscillator_beyond_a2_widens_the_pace_and_what_was_carried_before_is_dropped() {
    let (mut bench, condition) = repeating();
    let before = bench.round();
    bench.host.pass(10 * NANOS_PER_SECOND);
    *condition.lock() = SourceCondition::default().drifting_by(500);
    // The repeated sample is from before, so a fresh one is needed.
    let snapshot = bench.round();
    assert!(bench.said(&snapshot).contains("before the host was suspended, or"));
    assert!(snapshot.epoch() > before.epoch());
    let (mut bench, condition) = {
        let host = ScriptedHost::new();
        let condition = Arc::new(Mutex::new(SourceCondition::default().drifting_by(500)));
        let source = Drifting { honest: Honest(host.clone()), condition: condition.clone() };
        (Bench::new(host, vec![Box::new(source)]), condition)
    };
    let pace_ppm = |bench: &mut Bench| {
        let snapshot = bench.round();
        let narrow = bench.check(&snapshot).width();
        bench.host.pass(NANOS_PER_SECOND);
        let wide = bench.check(&snapshot).width();
        (wide - narrow).as_nanos() / 1_000 / 2
    };
    assert!((500..520).contains(&pace_ppm(&mut bench)));
    let report = bench.report();
    assert_eq!((report.counter.drift_ppm, report.limits.max_drift_ppm), (500, 200));
    // It is not narrower than what the operator allows, and not absurd.
    *condition.lock() = SourceCondition::default().drifting_by(7);
    assert!((200..220).contains(&pace_ppm(&mut bench)));
    *condition.lock() = SourceCondition::default().drifting_by(u32::MAX);
    assert!((100_000..115_000).contains(&pace_ppm(&mut bench)));
}

/// An honest source that knows of a drift.
struct Drifting {
    honest: Honest,
    condition: Arc<Mutex<SourceCondition>>,
}

impl Source for Drifting {
    fn name(&self) -> &str {
        "drifting"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.honest.sample(counter)
    }

    fn condition(&self) -> SourceCondition {
        self.condition.lock().clone()
    }
}

#[test]
fn the_update_interval_of_a_source_sets_how_long_a_contradiction_is_held() {
    let host = ScriptedHost::new();
    let (off, honest) = (Arc::new(Mutex::new(0)), Honest(host.clone()));
    let condition = SourceCondition::default().updated_every(Duration::from_secs(64));
    let source = Stepping { honest, off: off.clone(), condition };
    let mut bench = Bench::new(host, vec![Box::new(source)]);
    assert_eq!(bench.round().status(), Status::Synchronized);
    *off.lock() = 900_000_000;
    for passed_s in [0, 900, 100] {
        bench.host.pass(passed_s * NANOS_PER_SECOND);
        let snapshot = bench.round();
        assert_eq!(snapshot.status(), Status::Contradicted);
        bench.check(&snapshot);
    }
    bench.host.pass(60 * NANOS_PER_SECOND);
    assert_eq!(bench.round().status(), Status::Synchronized);
}

/// A source that is honest until it is off.
struct Stepping {
    honest: Honest,
    off: Arc<Mutex<i64>>,
    condition: SourceCondition,
}

impl Source for Stepping {
    fn name(&self) -> &str {
        "stepping"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let sample = self.honest.sample(counter)?;
        let off = |t: Timestamp| Timestamp::from_tai_nanos(t.tai_nanos() + *self.off.lock());
        let time = Interval::from_ordered(off(sample.time.earliest()), off(sample.time.latest()));
        Ok(Sample { time, ..sample })
    }

    fn condition(&self) -> SourceCondition {
        self.condition.clone()
    }
}

#[test]
fn a_panic_takes_back_nothing_of_what_a_source_knew() {
    let host = ScriptedHost::new();
    let condition = Arc::new(Mutex::new(SourceCondition::default().drifting_by(500)));
    let source = Drifting { honest: Honest(host.clone()), condition: condition.clone() };
    let mut bench = Bench::new(host, vec![Box::new(Panicking { source, turn: 0 })]);
    for _ in 0..2 {
        bench.round();
        assert_eq!(bench.report().counter.drift_ppm, 500);
    }
    assert!(bench.report().sources[0].to_string().contains("panicked"));
}

/// A source that samples once, and then panics.
struct Panicking {
    source: Drifting,
    turn: u32,
}

impl Source for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.turn += 1;
        // The first round samples twice, because the drift makes the first sample void.
        assert!(self.turn <= 2, "out of luck");
        self.source.sample(counter)
    }

    fn condition(&self) -> SourceCondition {
        self.source.condition()
    }
}
