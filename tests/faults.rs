//! Bad input, and a world that fails: each a clear error or a wider interval.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use truechimer::{
    BuildError, Clock, ClockError, Counter, CounterKind, Interval, LeapTable, Reason, Sample,
    Source, SourceError, Status, Timestamp,
};

/// A source that does what a function says, under a name.
struct Fn<F>(&'static str, F);

impl<F: FnMut(&Counter) -> Result<Sample, SourceError> + Send> Source for Fn<F> {
    fn name(&self) -> &str {
        self.0
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        (self.1)(counter)
    }
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

/// Says that it is `from..=to`, in nanoseconds.
fn say(counter: &Counter, from: i64, to: i64) -> Result<Sample, SourceError> {
    let time = Interval::new(at(from), at(to)).ok_or_else(|| SourceError::failed("backwards"))?;
    Ok(Sample::new(counter.read(), counter.read(), time))
}

/// Says that it is what the raw clock shows, and from `from` to `to` nanoseconds more.
fn say_raw(counter: &Counter, from: i64, to: i64) -> Result<Sample, SourceError> {
    let before = counter.read();
    let raw = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_RAW).unwrap();
    let raw = raw.tv_sec() * 1_000_000_000 + raw.tv_nsec();
    let sample = say(counter, raw + from, raw + to)?;
    Ok(Sample { before, ..sample })
}

/// A test that waits for so long for another thread has failed. On a busy host a new thread
/// may take longer to begin than `build()` waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits, for a thread to get round to it, until `done`.
fn eventually(what: &str, done: impl std::ops::Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn settings_out_of_range_are_refused_with_the_range() {
    let secs = Duration::from_secs;
    let cases = [
        (Clock::builder().max_drift_ppm(0), "max_drift_ppm is 0"),
        (Clock::builder().max_drift_ppm(100_001), "1 to 100000"),
        (Clock::builder().max_drift_ppm(u32::MAX), "1 to 100000"),
        (Clock::builder().max_wander_ppm(0), "max_wander_ppm is 0"),
        (Clock::builder().max_wander_ppm(201), "to max_drift_ppm (200)"),
        (Clock::builder().poll_interval(Duration::ZERO), "poll_interval is 0ns"),
        (Clock::builder().poll_interval(Duration::MAX), "at most 3600s"),
        (Clock::builder().max_width(Duration::ZERO), "max_width is 0ns"),
        (Clock::builder().max_width(Duration::MAX), "max_width"),
        (Clock::builder().assume_error(Duration::ZERO), "assume_error is 0ns"),
        (Clock::builder().assume_error(Duration::MAX), "at most 86400s"),
        (Clock::builder().assume_error(secs(6)), "wider than max_width"),
        (Clock::builder().without_kernel(), "no source"),
    ];
    for (builder, words) in cases {
        let error = builder.build().expect_err(words).to_string();
        assert!(error.contains(words), "`{error}` should mention `{words}`");
    }
}

#[test]
fn the_ends_of_each_range_are_accepted() {
    let edge = |builder: truechimer::ClockBuilder| builder.manual().build().map(|_| ());
    assert!(edge(Clock::builder().max_drift_ppm(1)).is_ok());
    assert!(edge(Clock::builder().max_drift_ppm(100_000)).is_ok());
    assert!(edge(Clock::builder().poll_interval(Duration::from_nanos(1))).is_ok());
    assert!(edge(Clock::builder().max_width(Duration::from_micros(1))).is_ok());
    let days = Duration::from_secs(3 * 86_400);
    assert!(
        edge(Clock::builder().max_width(days).assume_error(Duration::from_secs(86_400))).is_ok()
    );
}

#[test]
fn a_counter_that_this_processor_lacks_is_refused() {
    let foreign = if cfg!(target_arch = "x86_64") { CounterKind::Cntvct } else { CounterKind::Tsc };
    let error = Clock::builder().counter(foreign).build().expect_err("absent");
    assert!(matches!(error, BuildError::CounterUntrusted { kind, .. } if kind == foreign));
    assert!(error.to_string().contains("no "), "{error}");
}

#[test]
fn a_panicking_source_is_an_error_and_the_others_go_on() {
    let clock = Clock::builder()
        .without_kernel()
        .source(Fn("bomb", |_: &Counter| panic!("tick tick")))
        .source(Fn("fine", |c: &Counter| say_raw(c, 0, 1_000)))
        .poll_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    clock.wait_synchronized(PATIENCE).expect("the other vouches");
    assert_eq!(clock.status(), Status::Synchronized);
    eventually("it is asked again", || clock.report().sources[0].failures > 3);
    let report = clock.report();
    assert!(report.sources[0].to_string().contains("panicked (tick tick)"), "{report:?}");
    assert!(report.sources[1].samples > 0 && clock.now().is_ok());
}

#[test]
fn a_source_that_blocks_holds_up_no_reader_and_the_status_says_so() {
    let release = Arc::new(AtomicBool::new(false));
    let gate = release.clone();
    let mut asked = 0;
    let blocks = move |c: &Counter| {
        asked += 1;
        while asked > 1 && !gate.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        say_raw(c, 0, 1_000_000)
    };
    let clock = Clock::builder()
        .without_kernel()
        .source(Fn("slow", blocks))
        .poll_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    let first = clock.wait_synchronized(PATIENCE).unwrap();
    eventually("it goes stale", || clock.status() == Status::Holdover);
    let later = clock.now().expect("readings go on");
    assert!(later.width() > first.width(), "and widen: {first:?} {later:?}");
    let report = clock.report();
    assert!(report.sources[0].asked_for.is_some(), "{report:?}");
    // Nobody who asks for a sample now waits for ever.
    assert!(clock.refresh().is_ok());
    release.store(true, Ordering::Relaxed);
    eventually("it recovers", || clock.status() == Status::Synchronized);
}

#[test]
fn a_source_that_blocks_from_the_start_does_not_block_build() {
    let blocks = |_: &Counter| -> Result<Sample, SourceError> {
        thread::sleep(Duration::from_secs(60));
        Err(SourceError::failed("late"))
    };
    let start = Instant::now();
    let clock = Clock::builder().without_kernel().source(Fn("never", blocks)).build().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(clock.now(), Err(ClockError::Unsynchronized(Reason::NotSampled)));
}

#[test]
fn nonsense_from_a_source_is_named_and_changes_nothing() {
    type Answer = fn(&Counter) -> Result<Sample, SourceError>;
    let nonsense: [Answer; 4] = [
        |c| say(c, 5, 4),
        |c| Ok(Sample::new(c.read(), 0, Interval::EVERYTHING)),
        |c| Ok(Sample::new(c.read(), u64::MAX, Interval::EVERYTHING)),
        |_| Ok(Sample::new(u64::MAX, u64::MAX, Interval::EVERYTHING)),
    ];
    for answer in nonsense {
        let clock =
            Clock::builder().without_kernel().source(Fn("bad", answer)).manual().build().unwrap();
        let error = clock.now().expect_err("no evidence");
        assert_eq!(error, ClockError::Unsynchronized(Reason::SourceFailed));
        let report = clock.report();
        assert_eq!(report.sources[0].samples, 0, "{report:?}");
    }
}

#[test]
fn times_at_the_ends_of_the_range_neither_panic_nor_wrap() {
    let ends = [
        (i64::MIN, i64::MAX),
        (i64::MIN, i64::MIN),
        (i64::MIN + 1, i64::MIN + 2),
        (i64::MAX - 1, i64::MAX - 1),
        (i64::MAX, i64::MAX),
        (i64::MAX - 1_000_000, i64::MAX - 1_000_000),
    ];
    for (from, to) in ends {
        let clock = Clock::builder()
            .without_kernel()
            .source(Fn("edge", move |c: &Counter| say(c, from, to)))
            .manual()
            .build()
            .unwrap();
        for _ in 0..100 {
            if let Ok(now) = clock.refresh() {
                assert!(now.earliest() <= now.latest());
                let soon = to.saturating_add(60_000_000_000);
                assert!(now.earliest().tai_nanos() <= soon, "wrapped: {now:?} from {from}..{to}");
                assert!(now.latest().tai_nanos() >= from, "wrapped: {now:?} from {from}..{to}");
            }
            let _ = (clock.earliest(), clock.after(Timestamp::MAX), clock.before(Timestamp::MIN));
        }
    }
}

#[test]
fn an_interval_wider_than_the_limit_is_an_error_that_names_it() {
    let clock = Clock::builder()
        .without_kernel()
        .source(Fn("vague", |c: &Counter| say_raw(c, 0, 2_000_000)))
        .max_width(Duration::from_millis(1))
        .manual()
        .build()
        .unwrap();
    let error = clock.now().unwrap_err();
    assert_eq!(error, ClockError::TooWide { limit: Duration::from_millis(1) });
    assert_eq!(clock.status(), Status::Unsynchronized(Reason::TooOld));
    assert!(error.is_transient());
}

#[test]
fn sources_that_contradict_each_other_are_covered_or_refused() {
    let clock = |gap: i64| {
        Clock::builder()
            .without_kernel()
            .source(Fn("one", |c: &Counter| say_raw(c, 0, 1_000)))
            .source(Fn("other", move |c: &Counter| say_raw(c, gap, gap + 1_000)))
            .manual()
            .build()
            .unwrap()
    };
    let near = clock(1_000_000_000);
    let now = near.now().expect("one second apart: both are covered");
    assert!(now.width() >= Duration::from_millis(999), "{now:?}");
    assert_eq!(near.status(), Status::Contradicted);
    assert!(near.report().contradictions > 0);
    let far = clock(60_000_000_000);
    assert_eq!(far.now(), Err(ClockError::Contradicted), "a minute apart: refused");
}

#[test]
fn this_host_without_a_daemon_says_so_or_has_one() {
    let clock = Clock::new().unwrap();
    match clock.now() {
        Ok(_) => assert!(clock.status().is_current()),
        Err(error) => {
            assert!(matches!(error, ClockError::Unsynchronized(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("; "), "what happened, and what to do: {text}");
        }
    }
}

#[test]
fn the_operators_statement_is_called_an_assumption() {
    let start = Instant::now();
    let clock = Clock::builder().without_kernel().assume_error(Duration::from_millis(250));
    let clock = clock.manual().build().unwrap();
    let wall = || {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        at(unix.as_nanos() as i64 + 37_000_000_000)
    };
    let (before, now, after) = (wall(), clock.now().unwrap(), wall());
    assert_eq!(clock.status(), Status::Assumed);
    // This host's wall clock may be steered a little between two looks.
    let shown = Interval::new(before, after).unwrap().widen(Duration::from_millis(50));
    assert!(now.overlaps(&shown), "{now} should be about {shown}");
    assert!(now.width() >= Duration::from_millis(500));
    // And no more than what was stated and the sampling took, which on a busy host may be long.
    assert!(now.width() <= Duration::from_millis(501) + 2 * start.elapsed(), "{now}");
    assert!(clock.reassume().is_ok());
    assert_eq!(clock.status(), Status::Assumed);
}

/// The builtin table and a leap second at the end of 2025.
fn table_with_one_more() -> LeapTable {
    let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.nanos() / 1_000_000_000, entry.tai_minus_utc))
        .collect();
    entries.push((1_767_225_600, 38));
    LeapTable::from_entries(&entries).unwrap()
}

#[test]
fn a_leap_table_that_changes_the_present_begins_a_new_epoch() {
    let clock = Clock::builder().assume_error(Duration::from_millis(1)).manual().build().unwrap();
    let before = clock.now().unwrap();
    clock.set_leap_table(LeapTable::builtin());
    assert_eq!(clock.epoch(), 0, "the same table changes nothing");
    clock.set_leap_table(table_with_one_more());
    let after = clock.now().unwrap();
    assert_eq!(clock.epoch(), 1);
    let moved = after.earliest().duration_since(before.earliest()).unwrap();
    assert!(moved >= Duration::from_millis(999), "{before} {after}");
    assert_eq!(clock.report().contradictions, 0);
}

#[test]
fn a_leap_table_given_while_a_source_blocks_counts_when_it_answers() {
    let (asked, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (was_asked, gate) = (asked.clone(), release.clone());
    let mut turn = 0;
    let blocks = move |_: &Counter| {
        turn += 1;
        was_asked.store(turn > 1, Ordering::Relaxed);
        while turn > 1 && !gate.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(2));
        }
        Err(SourceError::failed("nothing to say"))
    };
    let clock = Clock::builder()
        .assume_error(Duration::from_millis(1))
        .source(Fn("slow", blocks))
        .poll_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    clock.wait_synchronized(PATIENCE).unwrap();
    eventually("it is asked", || asked.load(Ordering::Relaxed));
    let since = Instant::now();
    let before = clock.now().unwrap();
    clock.set_leap_table(table_with_one_more());
    release.store(true, Ordering::Relaxed);
    eventually("it counts", || clock.epoch() == 1 && clock.now().is_ok());
    let moved = clock.now().unwrap().earliest().duration_since(before.earliest()).unwrap();
    // `since` began earlier, by as long as this thread was stopped there.
    let passed = since.elapsed();
    assert!(
        moved + Duration::from_millis(200) >= passed + Duration::from_secs(1),
        "{moved:?} {passed:?}"
    );
    assert_eq!(clock.report().contradictions, 0);
}

#[test]
fn a_source_whose_name_panics_has_none() {
    struct Nameless;
    impl Source for Nameless {
        fn name(&self) -> &str {
            panic!("who am I?")
        }
        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            say_raw(counter, 0, 1_000)
        }
    }
    let clock = Clock::builder().without_kernel().source(Nameless).manual().build().unwrap();
    assert!(clock.now().is_ok());
    assert_eq!(clock.report().sources[0].name, "unnamed");
}

#[test]
fn a_manual_clock_has_no_thread_and_samples_when_asked() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let clock = Clock::builder()
        .without_kernel()
        .source(Fn("counted", move |c: &Counter| {
            counted.fetch_add(1, Ordering::Relaxed);
            say_raw(c, 0, 1_000)
        }))
        .manual()
        .poll_interval(Duration::from_nanos(1))
        .build()
        .unwrap();
    let at_first = calls.load(Ordering::Relaxed);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(calls.load(Ordering::Relaxed), at_first);
    clock.refresh().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), at_first + 1);
    assert!(!clock.report().sampler.running);
}

/// Counts how many of its kind are alive.
struct Alive(Arc<AtomicU64>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn the_thread_ends_when_the_last_clone_is_dropped() {
    let alive = Arc::new(AtomicU64::new(1));
    let guard = Alive(alive.clone());
    let source = Fn("guarded", move |c: &Counter| {
        let _kept = &guard;
        say_raw(c, 0, 1)
    });
    // An hour between polls: it must be woken to end.
    let clock =
        Clock::builder().without_kernel().source(source).poll_interval(Duration::from_secs(3600));
    let clock = clock.build().unwrap();
    clock.wait_synchronized(PATIENCE).unwrap();
    let clone = clock.clone();
    drop(clock);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(alive.load(Ordering::Relaxed), 1, "a clone is left");
    assert!(clone.now().is_ok());
    drop(clone);
    eventually("the thread drops its sources", || alive.load(Ordering::Relaxed) == 0);
}

#[test]
fn wait_synchronized_returns_when_a_source_vouches_and_not_before_its_time_is_up() {
    let is_late = Arc::new(AtomicBool::new(true));
    let is_late_still = is_late.clone();
    let clock = Clock::builder()
        .without_kernel()
        .source(Fn("late", move |c: &Counter| match is_late_still.load(Ordering::Relaxed) {
            true => Err(SourceError::failed("not yet")),
            false => say_raw(c, 0, 1_000),
        }))
        .poll_interval(Duration::from_millis(2))
        .build()
        .unwrap();
    assert!(clock.wait_synchronized(Duration::ZERO).is_err(), "no time to wait");
    is_late.store(false, Ordering::Relaxed);
    assert!(clock.wait_synchronized(PATIENCE).is_ok());
    let never = Clock::builder()
        .without_kernel()
        .source(Fn("never", |_: &Counter| Err(SourceError::failed("no"))))
        .build()
        .unwrap();
    eventually("it is sampled", || never.report().sampler.rounds > 0);
    let waited = never.wait_synchronized(Duration::from_millis(20));
    assert_eq!(waited, Err(ClockError::Unsynchronized(Reason::SourceFailed)));
}

/// `PR_SET_TSC` and filters hold for one thread: they are tried in one of their own.
#[cfg(target_arch = "x86_64")]
mod confined {
    use super::*;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    /// Runs `test` in a thread to which the kernel denies these calls with EPERM.
    fn denied<T: Send>(calls: &[i64], test: impl FnOnce() -> T + Send) -> T {
        let rules = calls.iter().map(|&call| (call, vec![])).collect();
        let deny = SeccompAction::Errno(libc::EPERM as u32);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch).unwrap();
        let program = BpfProgram::try_from(filter).unwrap();
        thread::scope(|scope| {
            let confined = scope.spawn(|| {
                apply_filter(&program).unwrap();
                test()
            });
            confined.join().unwrap()
        })
    }

    #[test]
    fn where_adjtimex_is_denied_the_clock_says_so() {
        let (error, report) = denied(&[libc::SYS_adjtimex, libc::SYS_clock_adjtime], || {
            let clock = Clock::builder().manual().build().unwrap();
            (clock.now().unwrap_err(), clock.report())
        });
        assert_eq!(error, ClockError::Unsynchronized(Reason::Denied));
        let said = report.sources[0].to_string();
        assert!(said.contains("adjtimex cannot be read"), "{said}");
        // The operator's statement needs no adjtimex.
        let assumed = denied(&[libc::SYS_adjtimex, libc::SYS_clock_adjtime], || {
            let assumed = Clock::builder().assume_error(Duration::from_millis(9));
            assumed.manual().build().unwrap().now()
        });
        assert!(assumed.is_ok(), "{assumed:?}");
    }

    #[test]
    fn where_timerfd_is_denied_the_clock_polls_and_says_so() {
        denied(&[libc::SYS_timerfd_create, libc::SYS_timerfd_settime], || {
            let alive = Arc::new(AtomicU64::new(1));
            let guard = Alive(alive.clone());
            let source = Fn("guarded", move |c: &Counter| {
                let _kept = &guard;
                say_raw(c, 0, 1_000)
            });
            let clock = Clock::builder()
                .without_kernel()
                .source(source)
                .poll_interval(Duration::from_millis(1))
                .build()
                .unwrap();
            eventually("it polls", || clock.report().sampler.rounds > 5);
            let why = clock.report().sampler.step_timer.expect("a reason");
            assert!(why.contains("EPERM"), "{why}");
            drop(clock);
            eventually("it ends", || alive.load(Ordering::Relaxed) == 0);
        });
    }

    #[test]
    fn where_sysfs_cannot_be_read_the_raw_clock_is_the_counter() {
        let files = [libc::SYS_openat, libc::SYS_open];
        let (kind, why, now) = denied(&files, || {
            let assumed = Clock::builder().assume_error(Duration::from_millis(9));
            let clock = assumed.manual().build().unwrap();
            let report = clock.report();
            (report.counter.kind, report.counter.why_not_hardware, clock.now())
        });
        assert_eq!(kind, CounterKind::MonotonicRaw);
        assert!(why.is_some_and(|why| why.contains("current_clocksource")));
        assert!(now.is_ok(), "{now:?}");
        let refused =
            denied(&files, || Clock::builder().counter(CounterKind::Tsc).build().map(|_| ()));
        assert!(matches!(refused, Err(BuildError::CounterUntrusted { .. })), "{refused:?}");
    }

    #[test]
    fn where_the_tsc_may_not_be_read_no_clock_is_built_and_nobody_is_killed() {
        let set_tsc = |mode: libc::c_int| {
            // SAFETY: sets a flag of this thread. While it is set the thread
            // reads no clock, but for what is being tested.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_TSC, mode) }, 0);
        };
        for kind in [CounterKind::Auto, CounterKind::Tsc, CounterKind::MonotonicRaw] {
            let refused = thread::spawn(move || {
                set_tsc(libc::PR_TSC_SIGSEGV);
                let refused = Clock::builder().counter(kind).build().map(|_| ());
                set_tsc(libc::PR_TSC_ENABLE);
                refused
            });
            let refused = refused.join().unwrap();
            assert!(matches!(refused, Err(BuildError::CounterForbidden)), "{refused:?}");
        }
    }
}
