//! Sources that are cross-checks, what a source is told of its counter, and what is reported of it.

use super::*;

/// A source whose bounds are held against those of others.
struct CrossCheck<S>(S);

impl<S: Source> Source for CrossCheck<S> {
    fn name(&self) -> &str {
        "check"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.0.sample(counter)
    }

    fn role(&self) -> Role {
        Role::CrossCheck
    }
}

/// A source that states this much around what is so far from the truth.
fn around(
    host: Arc<ScriptedHost>,
    off_ns: impl Fn() -> i64 + Send + 'static,
    error: Duration,
) -> impl Source {
    Scripted(move |counter: &Counter| {
        let before = counter.read();
        let truth = Timestamp::from_tai_nanos(host.truth_ns() + off_ns());
        Ok(Sample::new(before, counter.read(), Interval::from(truth).widen(error)))
    })
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_cross_check_narrows_nothing_and_synchronizes_nothing() {
    let host = ScriptedHost::new();
    let check = || Box::new(CrossCheck(Honest(host.clone())));
    let alone = Bench::new(host.clone(), vec![check()]).round();
    assert_eq!(alone.bound(), None);
    assert_eq!(alone.status(), Status::Unsynchronized(Reason::NotSampled));
    let silent =
        Scripted(|_: &Counter| Err(SourceError::no_bound(Reason::ServersSilent, "for the test")));
    let reason = Bench::new(host.clone(), vec![check(), Box::new(silent)]).round();
    assert_eq!(reason.status(), Status::Unsynchronized(Reason::ServersSilent));
    let evidence = Box::new(around(host.clone(), || 0, MS));
    let mut bench = Bench::new(host.clone(), vec![check(), evidence]);
    for _ in 0..3 {
        let snapshot = bench.round();
        assert_eq!(snapshot.status(), Status::Synchronized);
        assert!(bench.check(&snapshot).width() >= 2 * MS, "the check states an instant");
    }
    let roles: Vec<Role> = bench.report().sources.iter().map(|source| source.role).collect();
    assert_eq!(roles, [Role::CrossCheck, Role::Evidence]);
    assert!(bench.report().sources[0].to_string().contains("cross-check"));
}

#[test]
fn a_cross_check_that_lies_is_a_contradiction_and_makes_no_reading_wrong() {
    let host = ScriptedHost::new();
    let off_ns = Arc::new(AtomicI64::new(0));
    let of_check = off_ns.clone();
    let check = around(host.clone(), move || of_check.load(Ordering::Relaxed), MS / 1_000);
    let evidence = Box::new(around(host.clone(), || 0, MS));
    let mut bench = Bench::new(host.clone(), vec![Box::new(CrossCheck(check)), evidence]);
    let epoch = bench.round().epoch();
    off_ns.store(NANOS_PER_SECOND, Ordering::Relaxed);
    for _ in 0..3 {
        let snapshot = bench.round();
        assert_eq!(snapshot.status(), Status::Contradicted);
        let width = bench.check(&snapshot).width();
        assert!((Duration::from_secs(1)..Duration::from_millis(1_100)).contains(&width));
        assert!(snapshot.epoch() != epoch);
    }
    assert_eq!(bench.report().sources[0].contradictions, 3);
    assert_eq!(bench.report().contradictions, 3);
    off_ns.store(0, Ordering::Relaxed);
    host.pass(61 * NANOS_PER_SECOND);
    bench.round();
    let snapshot = bench.round();
    assert_eq!(snapshot.status(), Status::Synchronized);
    assert!(bench.check(&snapshot).width() < 3 * MS);
}

#[test]
fn a_source_is_told_the_rate_of_its_counter_and_when_ticks_are_void() {
    let host = ScriptedHost::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let source = Scripted(move |counter: &Counter| {
        told.lock().push(counter.ageing().expect("a clock asks").generation);
        let now = counter.read();
        Ok(Sample::new(now, now, Interval::EVERYTHING))
    });
    let mut bench = Bench::new(host.clone(), vec![Box::new(source)]);
    bench.round();
    bench.round();
    host.suspend(NANOS_PER_SECOND);
    bench.round();
    bench.requests.forget.store(true, Ordering::SeqCst);
    bench.round();
    host.disturb_counter(1 << 40);
    bench.round();
    let seen = std::mem::take(&mut *seen.lock());
    assert_eq!(seen[0], seen[1]);
    let mut generations = seen.clone();
    generations.dedup();
    assert!(generations.len() >= 4 && generations.is_sorted(), "{seen:?}");
}

/// A source that knows of a drift, and says which generation of ticks it is told of.
struct Told {
    generations: Arc<Mutex<Vec<u64>>>,
    condition: Arc<Mutex<SourceCondition>>,
}

impl Source for Told {
    fn name(&self) -> &str {
        "told"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.generations.lock().push(counter.ageing().expect("a clock asks").generation);
        let now = counter.read();
        Ok(Sample::new(now, now, Interval::EVERYTHING))
    }

    fn details(&self) -> Option<String> {
        Some("in its own words".to_owned())
    }

    fn condition(&self) -> SourceCondition {
        self.condition.lock().clone()
    }
}

#[test]
fn a_source_is_told_that_what_was_carried_by_other_rates_is_void() {
    let generations = Arc::new(Mutex::new(Vec::new()));
    let condition = Arc::new(Mutex::new(SourceCondition::default()));
    let source = Told { generations: generations.clone(), condition: condition.clone() };
    let mut bench = Bench::new(ScriptedHost::new(), vec![Box::new(source)]);
    for drift_ppm in [200, 500, 300] {
        *condition.lock() = SourceCondition::default().drifting_by(drift_ppm);
        bench.round();
        // It states the drift while it is sampled, so what it is told comes with the next sample.
        bench.round();
    }
    let mut seen = generations.lock().clone();
    seen.dedup();
    assert!(seen.len() >= 3 && seen.is_sorted(), "{seen:?}");
}

#[test]
fn an_oscillator_that_is_within_a2_again_takes_nothing_away() {
    let (mut bench, condition) = {
        let host = ScriptedHost::new();
        let condition = Arc::new(Mutex::new(SourceCondition::default().drifting_by(500)));
        let source = Drifting { honest: Honest(host.clone()), condition: condition.clone() };
        (Bench::new(host, vec![Box::new(source)]), condition)
    };
    bench.round();
    let epoch = bench.round().epoch();
    *condition.lock() = SourceCondition::default();
    for _ in 0..2 {
        let snapshot = bench.round();
        assert_eq!((snapshot.epoch(), snapshot.status()), (epoch, Status::Synchronized));
        bench.check(&snapshot);
    }
}

#[test]
fn a_report_has_a_sources_own_words_and_the_age_of_its_answer() {
    let source = Told { generations: Arc::default(), condition: Arc::default() };
    let host = ScriptedHost::new();
    let mut bench = Bench::new(host.clone(), vec![Box::new(source)]);
    bench.round();
    host.pass(5 * NANOS_PER_SECOND);
    let report = bench.report();
    let source = &report.sources[0];
    assert_eq!(source.details.as_deref(), Some("in its own words"));
    let age = source.age.expect("it has answered");
    assert!((5_000..5_001).contains(&age.as_millis()), "{age:?}");
    assert_eq!(source.asked_for, None);
}

#[test]
fn a_counter_that_went_on_in_a_suspend_while_the_raw_clock_stood_still_is_kept() {
    let mut bench = Bench::honest();
    bench.round();
    bench.host.suspend(NANOS_PER_SECOND);
    bench.host.disturb_counter(NANOS_PER_SECOND as u64);
    for _ in 0..2 {
        let snapshot = bench.round();
        assert_eq!(snapshot.status(), Status::Synchronized);
        bench.check(&snapshot);
        assert_eq!(bench.report().counter.kind, CounterKind::Tsc);
    }
}
