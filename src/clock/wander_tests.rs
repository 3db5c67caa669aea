//! What a clock does with a rate that it has learnt, and with one that strays.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::core::{ClockCore, Parts};
use super::report::Limits;
use super::rig::{evidence, parts};
use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceError};
use crate::host::scripted::ScriptedHost;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// A source whose time gains on the host's by what a test says, and which states ± 100 µs.
#[derive(Clone)]
struct Straying {
    host: Arc<ScriptedHost>,
    ahead_ns: Arc<AtomicI64>,
}

impl Source for Straying {
    fn name(&self) -> &str {
        "straying"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before = counter.read();
        let time = self.host.truth_ns() + self.ahead_ns.load(Ordering::Relaxed);
        let time = Interval::from(Timestamp::from_tai_nanos(time));
        Ok(Sample::new(before, counter.read(), time.widen(Duration::from_micros(100))))
    }
}

/// A clock that has learnt a rate, which then strayed: its host and source, and the clock.
fn refuted() -> (Straying, ClockCore<Arc<ScriptedHost>>) {
    let host = ScriptedHost::new();
    let source = Straying { host: host.clone(), ahead_ns: Arc::default() };
    let limits = Limits { max_wander_ppm: Some(15), ..Limits::default() };
    // A child that has lost its driver makes its source anew.
    let again = source.clone();
    let make_sources = Box::new(move || vec![evidence(again.clone())]);
    let parts = Parts { limits, make_sources, ..parts(vec![evidence(source.clone())]) };
    let core = ClockCore::new(host, parts).expect("Auto never fails");
    run(&source, &core, 120, 0);
    assert_eq!(wander(&core), (Some(15), 0));
    assert!(core.report().counter.rate_error_ppb < 20_000.0, "{:?}", core.report().counter);
    run(&source, &core, 60, 90_000);
    assert_eq!(wander(&core), (Some(30), 1));
    (source, core)
}

/// A round each second, while the time gains so many ns a second on the counter.
fn run(source: &Straying, core: &ClockCore<Arc<ScriptedHost>>, seconds: u32, ns_per_second: i64) {
    for _ in 0..seconds {
        source.host.pass(NANOS_PER_SECOND);
        source.ahead_ns.fetch_add(ns_per_second, Ordering::Relaxed);
        assert!(core.round());
    }
}

/// A3 in use, and how often it was refuted.
fn wander(core: &ClockCore<Arc<ScriptedHost>>) -> (Option<u32>, u64) {
    let counter = core.report().counter;
    (counter.wander_ppm, counter.wander_refutations)
}

#[test]
fn a_refuted_wander_is_told_ends_an_epoch_and_is_no_contradiction() {
    let (_, core) = refuted();
    let report = core.report();
    assert_eq!((report.epoch, report.contradictions), (1, 0));
    assert_eq!(report.limits.max_wander_ppm, Some(15), "as it was set");
}

#[test]
fn another_machine_begins_with_what_was_set() {
    let (source, core) = refuted();
    core.restored();
    run(&source, &core, 2, 0);
    assert_eq!(wander(&core), (Some(15), 0));
}

#[test]
fn a_child_that_lost_its_driver_keeps_what_was_refuted() {
    let (source, core) = refuted();
    core.process().lose_driver();
    source.host.fork();
    run(&source, &core, 2, 0);
    assert_eq!(wander(&core).0, Some(30));
}
