use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::counter::CounterId;
use crate::evidence::Source;
use crate::host::scripted::ScriptedHost;
use crate::interval::Interval;
use crate::source::RealtimeScale;
use crate::source::chrony::Chrony;
use crate::source::chrony::chrony_fit::ChronyFit;
use crate::source::chrony::client::ChronyError;
use crate::source::chrony::tracking::Reference;
use crate::source::daemon::{Daemon, Running};
use crate::source::kernel::Kernel;
use crate::timestamp::Timestamp;

const MS: u64 = 1_000_000;
const SECOND: i64 = NANOS_PER_SECOND;

/// A chronyd that reports what the test says.
#[derive(Clone)]
struct Chronyd {
    tracking: Arc<Mutex<Tracking>>,
    requests: Arc<Mutex<u32>>,
}

impl Chronyd {
    fn new() -> Chronyd {
        let tracking = Tracking {
            reference: Reference { id: 1, address: Some([192, 0, 2, 1].into()) },
            stratum: 2,
            leap: Leap::Normal,
            reference_time: Duration::from_secs(1_700_003_500),
            correction_ns: 0,
            root_delay_ns: MS,
            root_dispersion_ns: MS / 2,
            last_offset: 0.0,
            rms_offset: 0.0,
            frequency_ppm: 0.0,
            residual_frequency_ppm: 0.0,
            skew_ppm: 0.0,
            update_interval: 16.0,
        };
        Chronyd { tracking: Arc::new(Mutex::new(tracking)), requests: Arc::default() }
    }

    fn change(&self, change: impl FnOnce(&mut Tracking)) {
        change(&mut self.tracking.lock());
    }

    /// It measures its server, and finds that it is off by `offset_ns`.
    fn update(&self, offset_ns: i64) {
        self.change(|tracking| {
            tracking.reference_time += Duration::from_secs(16);
            tracking.last_offset = offset_ns as f64 / 1e9;
        });
    }
}

impl TimeDaemons for Chronyd {
    fn running(&mut self) -> Running {
        Running { daemons: vec![Daemon::Chrony], ..Running::default() }
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        *self.requests.lock() += 1;
        Ok(*self.tracking.lock())
    }

    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        Ok(Some(ChronyFit {
            samples: 3,
            span: Duration::ZERO,
            newest: None,
            averaged: Duration::ZERO,
        }))
    }
}

/// A kernel source on a host that denies `adjtimex`, a second later at each sample.
struct Bench {
    host: Arc<ScriptedHost>,
    chronyd: Chronyd,
    kernel: Kernel,
    counter: Counter,
    /// By how much the wall clock was stepped.
    off_ns: i64,
}

impl Bench {
    fn new() -> Bench {
        let (host, chronyd) = (ScriptedHost::new(), Chronyd::new());
        host.deny_adjtimex();
        let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
        // What is added to its statement has a test of its own.
        let kernel = Kernel::of(wall_clock, Box::new(chronyd.clone()))
            .with_chrony()
            .believing_chrony_estimate();
        let counter = Counter::new(host.clone(), CounterId::MONOTONIC_RAW);
        Bench { host, chronyd, kernel, counter, off_ns: 0 }
    }

    /// One whose chronyd has made an update since its first sample.
    fn trusted() -> Bench {
        let mut bench = Bench::new();
        bench.sample().expect_err("the first look");
        bench.chronyd.update(0);
        bench.sample().expect("an update was seen");
        bench
    }

    fn sample(&mut self) -> Result<Interval, SourceError> {
        self.host.pass(2 * SECOND);
        self.kernel.sample(&self.counter).map(|sample| sample.time)
    }

    fn step(&mut self, by_ns: i64) {
        self.host.step(by_ns);
        self.off_ns += by_ns;
    }

    /// True time in TAI: what the wall clock would show if nobody had stepped it.
    fn truth(&self) -> Timestamp {
        Timestamp::from_tai_nanos(self.host.truth_ns() + (1_700_000_000 + 37) * SECOND)
    }

    /// Whether a sample holds the truth; it is taken some readings earlier.
    fn holds_truth(&mut self) -> bool {
        let time = self.sample().expect("a bound");
        time.widen(Duration::from_micros(1)).contains(self.truth())
    }
}

#[test]
fn a_drift_that_chronyd_has_shown_holds_while_its_statement_is_uncertain() {
    let mut bench = Bench::trusted();
    let drift_ppm = |bench: &mut Bench, skew_ppm| {
        bench.chronyd.change(|tracking| {
            (tracking.frequency_ppm, tracking.skew_ppm) = (-250.0, skew_ppm);
        });
        bench.sample().expect("a bound");
        bench.kernel.condition().drift_ppm
    };
    assert_eq!(drift_ppm(&mut bench, 1.0), Some(275));
    for _ in 0..50 {
        assert_eq!(drift_ppm(&mut bench, 1_000.0), Some(275), "a restarted chronyd");
    }
}

#[test]
fn a_source_of_chronyd_alone_tells_the_clock_of_the_drift_that_chronyd_has_shown() {
    let bench = Bench::trusted();
    bench.chronyd.change(|tracking| {
        (tracking.frequency_ppm, tracking.skew_ppm) = (-250.0, 1.0);
    });
    let mut source = Chrony(bench.kernel);
    bench.host.pass(2 * SECOND);
    source.sample(&bench.counter).expect("a bound");
    assert_eq!(source.condition().drift_ppm, Some(275), "more than the clock allows for by itself");
}

#[test]
fn nothing_is_believed_before_chronyd_has_made_an_update_under_the_clocks_eyes() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        let why = bench.sample().expect_err("a step before the first look would go unseen");
        assert_eq!(why.reason(), Reason::Denied);
        let text = why.to_string();
        assert!(text.contains("adjtimex cannot be read") && text.contains("16 s"), "{text}");
    }
    // A slew adjusts the reference time a little.
    bench.chronyd.change(|tracking| tracking.reference_time += Duration::from_micros(300));
    bench.sample().expect_err("that was no update");
    bench.chronyd.update(0);
    let time = bench.sample().expect("an update");
    let width = time.width();
    assert!(width >= Duration::from_millis(2) && width < Duration::from_micros(2_010), "{width:?}");
    assert!(bench.holds_truth());
    assert!(bench.kernel.details().expect("a report").contains("192.0.2.1"));
}

#[test]
fn a_step_counts_as_error_until_chronyd_has_measured_it() {
    for by_ns in [20_000_000, -20_000_000, 3_600 * SECOND, -3_600 * SECOND] {
        let mut bench = Bench::trusted();
        bench.step(by_ns);
        // chronyd does not know, and its next updates smear the step over several measurements.
        for offset_ns in [0, by_ns / 10, by_ns / 3] {
            assert!(bench.holds_truth(), "a step by {by_ns} ns");
            bench.chronyd.update(offset_ns);
        }
        assert!(bench.holds_truth(), "a step by {by_ns} ns");
        bench.chronyd.update(-by_ns);
        bench.step(-by_ns); // it corrects it, by a step of its own
        assert!(bench.holds_truth(), "corrected, {by_ns} ns");
        bench.chronyd.update(0);
        let width = bench.sample().expect("a bound").width();
        assert!(width < Duration::from_micros(2_010), "both are explained: {width:?}");
    }
}

#[test]
fn a_step_that_is_never_reported_counts_for_many_updates() {
    let mut bench = Bench::trusted();
    bench.step(20_000_000);
    for _ in 1..UPDATES_AFTER_STEP {
        bench.sample().expect("a bound");
        bench.chronyd.update(0);
        assert!(bench.holds_truth());
    }
    bench.chronyd.update(0);
    bench.sample().expect("a bound");
    assert!(bench.sample().expect("a bound").width() < Duration::from_micros(2_010));
}

#[test]
fn a_step_while_the_request_is_under_way_counts() {
    // Before each of the readings that one sample makes, of some 150 in all.
    for reading in 0..200 {
        let mut bench = Bench::trusted();
        bench.host.pass(2 * SECOND);
        bench.host.step_away_during(reading..u32::MAX, 20_000_000);
        if let Ok(sample) = bench.kernel.sample(&bench.counter) {
            let time = sample.time.widen(Duration::from_micros(5));
            assert!(time.contains(bench.truth()), "a step before reading {reading}: {time}");
        }
    }
}

#[test]
fn after_a_move_of_the_machine_the_report_counts_after_many_updates() {
    let mut bench = Bench::trusted();
    bench.host.move_machine(30 * SECOND, 0);
    bench.kernel.disrupted();
    for updates in 0..UPDATES_AFTER_STEP {
        let why = bench.sample().expect_err("chronyd does not know of the 30 s").to_string();
        assert!(why.contains("32 updates"), "after {updates}: {why}");
        bench.chronyd.update(0);
    }
    bench.sample().expect("by now it has measured them");
}

#[test]
fn after_a_suspend_nothing_is_believed_until_chronyds_next_update() {
    let mut bench = Bench::trusted();
    bench.host.suspend(100 * SECOND);
    bench.host.step(100 * SECOND); // REALTIME goes on by the RTC
    bench.sample().expect_err("the wall clock is the RTC's");
    bench.chronyd.update(0);
    let width = bench.sample().expect("an update").width();
    assert!(width < Duration::from_millis(5), "the sleep was no step: {width:?}");
}

#[test]
fn a_report_without_a_bound_is_refused_and_says_why() {
    let mut bench = Bench::trusted();
    type Spoil = fn(&mut Tracking);
    let cases: [(&str, Spoil); 3] = [
        ("not synchronised", |t| t.leap = Leap::Unsynchronized),
        ("its own clock", |t| t.reference = Reference { id: Reference::LOCAL, address: None }),
        ("takes it for exact", |t| {
            t.reference = Reference { id: 0x5048_4330, address: None };
            t.root_delay_ns = 1;
        }),
    ];
    let good = *bench.chronyd.tracking.lock();
    for (words, spoil) in cases {
        bench.chronyd.change(|tracking| *tracking = good);
        bench.chronyd.change(spoil);
        let why = bench.sample().expect_err(words).to_string();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn chronyd_is_asked_once_a_second_and_at_once_after_a_step() {
    let mut bench = Bench::trusted();
    let requests = || *bench.chronyd.requests.lock();
    let before = requests();
    for _ in 0..5 {
        bench.host.pass(SECOND / 10);
        bench.kernel.sample(&bench.counter).expect("kept");
    }
    assert_eq!(requests(), before);
    bench.host.step(20_000_000);
    let time = bench.kernel.sample(&bench.counter).expect("a bound").time;
    assert_eq!(requests(), before + 1);
    assert!(time.width() > Duration::from_millis(40), "the step is added");
}

#[test]
fn without_chronyd_in_use_the_kernels_denial_stands() {
    let host = ScriptedHost::new();
    host.deny_adjtimex();
    let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
    let mut kernel = Kernel::of(wall_clock, Box::new(Chronyd::new()));
    let counter = Counter::new(host, CounterId::MONOTONIC_RAW);
    assert!(matches!(kernel.sample(&counter), Err(SourceError::Host(_))));
}

#[test]
fn what_its_line_leaves_out_and_the_time_since_its_update_are_added() {
    let width = |wander: Option<u32>| {
        let mut bench = Bench::new();
        let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
        let kernel = Kernel::of(wall_clock, Box::new(bench.chronyd.clone())).with_chrony();
        bench.kernel = kernel.max_wander_ppm(wander);
        bench.sample().expect_err("the first look");
        bench.chronyd.update(0);
        let now_s = (bench.truth().tai_nanos() / SECOND - 37).unsigned_abs();
        bench.chronyd.change(|tracking| tracking.reference_time = Duration::from_secs(now_s - 98));
        bench.sample().expect("an update").width().as_nanos() as i64
    };
    let (narrow, wide) = (width(Some(1)), width(None));
    assert_eq!(width(Some(20)), wide);
    // On each side 19 ppm more of some 101 s, and of half of a span of half a second.
    let apart = (wide - narrow) / 2;
    assert!((19 * 101_000..=19 * 103_000).contains(&apart), "{apart}");
}
