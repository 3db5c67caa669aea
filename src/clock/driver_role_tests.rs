//! Sources that are cross-checks, and what a source is told of its counter.

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
