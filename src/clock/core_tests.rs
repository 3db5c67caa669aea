use std::sync::OnceLock;

use super::*;
use crate::clock::rig::{Honest, check, core, evidence, utc};
use crate::evidence::{Sample, Source, SourceCondition, SourceError};
use crate::host::scripted::ScriptedHost;
use crate::source::assume::Assumed;
use crate::timestamp::NANOS_PER_SECOND;

fn honest(host: &Arc<ScriptedHost>) -> ClockCore<Arc<ScriptedHost>> {
    core(host, vec![evidence(Honest(host.clone()))])
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
fn a_source_that_a_child_makes_anew_is_not_lost() {
    let host = ScriptedHost::new();
    let mut core = honest(&host);
    let truth = host.clone();
    core.make_sources =
        Box::new(move || vec![SourceKind::Evidence(Box::new(Honest(truth.clone())))]);
    core.limits.max_width = Duration::from_secs(7);
    core.round();
    core.process().lose_driver();
    host.fork();
    core.round();
    check(&core, &host);
    assert!(core.report().sampler.lost_sources.is_empty());
    assert_eq!(core.limits().max_width, Duration::from_secs(7));
}

#[test]
fn a_step_or_a_suspend_ends_the_operators_statement_until_it_is_made_again() {
    let wall_clock = utc();
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
    let host = ScriptedHost::with_fast_counter();
    let core = honest(&host);
    core.round();
    // An early tick from before the publication would be read again, in order.
    host.pass(10_000);
    for _ in 0..3 {
        let now = check(&core, &host);
        assert!(now.width() < Duration::from_nanos(200), "a late reading would show: {now}");
        let earliest = core.earliest().expect("there is evidence");
        assert!(earliest.tai_nanos() <= host.truth_ns(), "this one may be early");
    }
}

#[test]
fn an_end_of_a_reading_itself_is_neither_over_nor_to_come() {
    // Readings of equal hosts are equal.
    for host in
        [ScriptedHost::new, ScriptedHost::with_fast_counter, ScriptedHost::with_raw_clock_only]
    {
        let after_a_round = || {
            let host = host();
            let core = honest(&host);
            assert!(core.round());
            host.pass(10_000);
            (host, core)
        };
        let (host, core) = after_a_round();
        let earliest = core.earliest().expect("there is evidence");
        assert!((host.truth_ns() - 1_200..=host.truth_ns()).contains(&earliest.tai_nanos()));
        let latest = after_a_round().1.now().expect("there is evidence").latest();
        let ns = Duration::from_nanos(1);
        for (moment, is_over) in [(earliest, false), (earliest.saturating_sub(ns), true)] {
            assert_eq!(after_a_round().1.after(moment), Ok(is_over), "{moment}");
        }
        for (moment, is_to_come) in [(latest, false), (latest.saturating_add(ns), true)] {
            assert_eq!(after_a_round().1.before(moment), Ok(is_to_come), "{moment}");
        }
    }
}

#[test]
fn earliest_reads_the_counter_that_the_bound_is_of() {
    let host = ScriptedHost::with_raw_clock_only();
    let core = honest(&host);
    core.round();
    host.disturb_counter(5 * NANOS_PER_SECOND as u64);
    let earliest = core.earliest().expect("there is evidence");
    assert!(earliest.tai_nanos() <= host.truth_ns(), "{earliest}");
}

#[test]
fn the_status_says_that_there_was_no_sample_for_a_while() {
    let host = ScriptedHost::new();
    let core = honest(&host);
    assert_eq!(core.status(), NOTHING);
    core.round();
    // Three polls and a second.
    host.pass(1_299_000_000);
    assert_eq!(core.status(), Status::Synchronized);
    host.pass(2_000_000);
    assert_eq!(core.status(), Status::Holdover);
    host.pass(20_000 * NANOS_PER_SECOND);
    assert_eq!(core.status(), Status::Holdover);
    // At 200 ppm either way it is wider than 10 s after 25 000 s.
    host.pass(5_000 * NANOS_PER_SECOND);
    assert_eq!(core.status(), Status::Unsynchronized(Reason::TooOld));
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
    core.make_sources = Box::new(|| vec![evidence(Silent)]);
    core.round();
    let epoch = core.epoch();
    core.process().lose_driver();
    host.fork();
    host.pass(1_000_000_000);
    assert!(core.round(), "the child publishes, though its source states nothing");
    check(&core, &host);
    assert_eq!((core.status(), core.epoch()), (Status::Holdover, epoch));
}

/// An honest source that knows of a drift.
struct Drifting(Honest, u32);

impl Source for Drifting {
    fn name(&self) -> &str {
        "drifting"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.0.sample(counter)
    }

    fn condition(&self) -> SourceCondition {
        SourceCondition::default().drifting_by(self.1)
    }
}

#[test]
fn a_child_that_lost_its_driver_carries_bounds_by_the_drift_that_its_parent_was_shown() {
    let host = ScriptedHost::new();
    let drifting = Drifting(Honest(host.clone()), 500);
    let mut core = core(&host, vec![evidence(drifting)]);
    let truth = host.clone();
    // The child's source is new, and has not seen what shows the drift.
    core.make_sources =
        Box::new(move || vec![SourceKind::Evidence(Box::new(Honest(truth.clone())))]);
    let carried_ppm = || {
        assert!(core.round());
        host.pass(NANOS_PER_SECOND);
        check(&core, &host).width().as_micros() / 2
    };
    assert!((500..520).contains(&carried_ppm()), "in the parent");
    #[cfg(feature = "sim")]
    assert_eq!(core.drift_ppm(), 500);
    core.process().lose_driver();
    host.fork();
    for _ in 0..2 {
        assert!((500..520).contains(&carried_ppm()), "in the child");
    }
}

/// A source that calls a function while it is sampled, as another thread might.
struct Meanwhile<F>(Honest, F);

impl<F: FnMut() + Send> Source for Meanwhile<F> {
    fn name(&self) -> &str {
        "meanwhile"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let sample = self.0.sample(counter);
        (self.1)();
        sample
    }
}

type Core = ClockCore<Arc<ScriptedHost>>;
type Seen = Vec<(Result<Interval, ClockError>, u64)>;

/// What readers see after a request that comes while a source is being sampled, and until
/// that source answers: `request` is made in the second round.
fn seen_during(host: &Arc<ScriptedHost>, request: fn(&Core)) -> (Arc<Core>, Seen) {
    let mut request = Some(request);
    let clock: Arc<OnceLock<Arc<Core>>> = Arc::default();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (reader, noted) = (clock.clone(), seen.clone());
    let meanwhile = Meanwhile(Honest(host.clone()), move || {
        let core = reader.get();
        if let Some((core, request)) = core.zip(request.take_if(|_| core.is_some())) {
            noted.lock().push((core.now(), core.epoch()));
            request(core);
            noted.lock().push((core.now(), core.epoch()));
        }
    });
    let silent = evidence(Silent);
    let core = core(host, vec![evidence(meanwhile), silent]);
    let core = Arc::new(core);
    core.round();
    assert!(clock.set(core.clone()).is_ok());
    core.round();
    let seen = std::mem::take(&mut *seen.lock());
    (core, seen)
}

/// The table in force, and one more leap second that was missing in it.
fn another_table() -> LeapTable {
    let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.nanos() / NANOS_PER_SECOND, entry.tai_minus_utc))
        .collect();
    entries.push((1_690_000_000 / 86_400 * 86_400, 38));
    LeapTable::from_entries(&entries).expect("in order")
}

#[test]
fn a_request_takes_effect_for_readers_while_a_source_blocks() {
    type Request = fn(&Core);
    let requests: [(&str, Request); 2] = [
        ("another leap table", |core| core.replace_leap_table(another_table())),
        ("a restore", Core::restored),
    ];
    for (what, request) in requests {
        let host = ScriptedHost::new();
        let (core, seen) = seen_during(&host, request);
        assert!(seen[0].0.is_ok(), "{what}: before");
        let nothing = ClockError::Unsynchronized(Reason::NotSampled);
        assert_eq!(seen[1], (Err(nothing), seen[0].1 + 1), "{what}: at once");
        if what == "a restore" {
            // The round that was under way is of the old counter.
            assert_eq!(core.now(), Err(nothing), "until a round on the new host");
        }
        core.round();
        assert!(core.epoch() > seen[0].1, "{what}");
    }
}

#[test]
fn a_table_that_changes_nothing_at_present_withholds_nothing() {
    let host = ScriptedHost::new();
    let (core, seen) = seen_during(&host, |core| core.replace_leap_table(LeapTable::builtin()));
    assert!(seen.iter().all(|(reading, epoch)| reading.is_ok() && *epoch == 0), "{seen:?}");
    check(&core, &host);
}

#[test]
fn without_a_statement_of_the_operators_reassume_forgets_nothing() {
    let host = ScriptedHost::new();
    let core = honest(&host);
    core.round();
    core.reassume();
    assert_eq!(core.epoch(), 0);
    check(&core, &host);
}

#[test]
fn a_restored_process_reads_true_time_at_once_whatever_the_other_hosts_counter_shows() {
    const MINUTE: i64 = 60 * NANOS_PER_SECOND;
    for (counter_by, raw_by) in [(0, 0), (1 << 50, 1 << 45), (-1_800_000_000_000, -(1 << 40))] {
        for has_counter in [true, false] {
            let host = match has_counter {
                true => ScriptedHost::new(),
                false => ScriptedHost::with_raw_clock_only(),
            };
            let core = honest(&host);
            core.round();
            let (before, epoch) = (check(&core, &host), core.epoch());
            host.restore(MINUTE, counter_by, raw_by);
            core.restored();
            let now = check(&core, &host);
            assert!(now.definitely_after(&before) && core.epoch() > epoch);
            let kind = core.report().counter.kind;
            assert_eq!(kind == CounterKind::Tsc, has_counter, "measured anew, not given up");
            host.pass(NANOS_PER_SECOND);
            check(&core, &host);
            core.round();
            assert_eq!(core.status(), Status::Synchronized);
            check(&core, &host);
        }
    }
}

#[test]
fn a_restore_ends_the_operators_statement() {
    let wall_clock = utc();
    let host = ScriptedHost::new();
    let assumed = Assumed::new(Duration::from_millis(1), wall_clock);
    let core = core(&host, vec![SourceKind::Operator(Box::new(assumed))]);
    core.round();
    assert_eq!(core.status(), Status::Assumed);
    core.restored();
    let ended = Status::Unsynchronized(Reason::AssumptionEnded);
    assert_eq!((core.status(), core.now().is_err()), (ended, true));
    core.reassume();
    assert_eq!(core.status(), Status::Assumed);
}

#[test]
fn a_restored_process_forgets_what_its_own_sources_remember_of_the_old_host() {
    let host = ScriptedHost::new();
    let mut core = core(&host, vec![evidence(Silent)]);
    let truth = host.clone();
    core.make_sources = Box::new(move || {
        // Of the same name, as a new kernel source is.
        let fresh = Meanwhile(Honest(truth.clone()), || {});
        vec![SourceKind::Evidence(Box::new(Named("silent", fresh)))]
    });
    core.round();
    assert!(core.now().is_err());
    core.restored();
    check(&core, &host);
}

/// A source under another name.
struct Named<S>(&'static str, S);

impl<S: Source> Source for Named<S> {
    fn name(&self) -> &str {
        self.0
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.1.sample(counter)
    }
}

#[test]
fn a_time_namespace_is_neither_a_suspend_nor_hides_one() {
    let day = 86_400 * NANOS_PER_SECOND;
    for (monotonic, boottime) in [(0, 0), (0, day), (day, 0), (-3, 5 * day), (day, day)] {
        let host = ScriptedHost::new();
        host.enter_time_namespace(monotonic, boottime);
        let core = honest(&host);
        core.round();
        check(&core, &host);
        assert_eq!(core.report().suspended.map(|time| time.as_millis()), Some(0));
        host.suspend(5 * NANOS_PER_SECOND);
        core.round();
        let suspended = core.report().suspended.expect("a clock shows it");
        assert_eq!(suspended.as_secs_f64().round(), 5.0);
        assert_eq!(core.epoch(), 1, "the suspend is seen: {monotonic}, {boottime}");
    }
}

#[test]
fn where_the_kernel_is_not_used_adjtimex_is_not_called() {
    let wall_clock = utc();
    for asks_kernel in [false, true] {
        let host = ScriptedHost::new();
        let assumed = Assumed::new(Duration::from_millis(1), wall_clock.clone());
        let assumed = Box::new(assumed.asking_kernel(asks_kernel));
        let core = core(&host, vec![SourceKind::Operator(assumed)]);
        core.round();
        core.reassume();
        core.replace_leap_table(another_table());
        core.restored();
        let _ = core.report();
        assert_eq!(host.adjtimex_calls() > 0, asks_kernel);
    }
}

#[test]
fn earliest_goes_back_only_in_a_new_epoch() {
    // A source that is an hour ahead, and then right.
    let host = ScriptedHost::new();
    let (truth, wrong) = (host.clone(), Arc::new(std::sync::atomic::AtomicI64::new(0)));
    let by = wrong.clone();
    let source = move |counter: &Counter| {
        let before = counter.read();
        let now = truth.truth_ns() + by.load(Ordering::Relaxed);
        let time = Interval::from(Timestamp::from_tai_nanos(now));
        Ok(Sample::new(before, counter.read(), time.widen(Duration::from_micros(1))))
    };
    let core = core(&host, vec![SourceKind::Evidence(Box::new(Does(source)))]);
    let mut last: Option<(Timestamp, u64)> = None;
    let mut went_back = 0;
    for round in 0..2_500 {
        // Longer than the older side of a contradiction is covered.
        let ahead = if (300..1_300).contains(&round) { NANOS_PER_SECOND } else { 0 };
        wrong.store(ahead, Ordering::Relaxed);
        host.pass(100_000_000);
        core.round();
        let Ok(now) = core.now() else { continue };
        let epoch = core.epoch();
        if let Some((earlier, of)) = last.replace((now.earliest(), epoch)) {
            if now.earliest() < earlier {
                went_back += 1;
                assert!(epoch > of, "in round {round}: {earlier}, then {now}");
            }
        }
    }
    assert!(went_back > 0, "or the test shows nothing");
}

/// A source that does what a function does.
struct Does<F>(F);

impl<F: FnMut(&Counter) -> Result<Sample, SourceError> + Send> Source for Does<F> {
    fn name(&self) -> &str {
        "does"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        (self.0)(counter)
    }
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
    let core = Arc::new(core(&host, vec![evidence(reader)]));
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
