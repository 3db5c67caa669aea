//! What a reader is promised: whole readings, in order, right at both ends,
//! without a lock, a system call or an allocation, in a signal handler if need be.
//!
//! True time in these tests is `CLOCK_MONOTONIC_RAW`, and the source that the clock
//! is given knows it exactly. So every reading can be checked at both ends: a bound
//! made of two publications would be off by the time between them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use truechimer::{
    Clock, ClockBuilder, Counter, CounterKind, Interval, Sample, Source, SourceError, Timestamp,
};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// True time.
fn truth() -> Timestamp {
    let raw = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).expect("every Linux has it");
    Timestamp::from_tai_nanos(raw.tv_sec() * 1_000_000_000 + raw.tv_nsec())
}

/// A source that knows it, but for the time that asking takes.
struct Exact;

impl Source for Exact {
    fn name(&self) -> &str {
        "exact"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before = counter.read();
        let now = truth();
        Ok(Sample::new(before, counter.read(), Interval::from(now)))
    }
}

fn exact() -> ClockBuilder {
    Clock::builder().without_kernel().source(Exact)
}

/// A clock whose thread has made its first round. On a busy host that may take longer than
/// `build()` waits for it.
fn running(builder: ClockBuilder) -> Clock {
    let clock = builder.build().unwrap();
    clock.wait_synchronized(Duration::from_secs(20)).unwrap();
    clock
}

/// Reads `times` times, and returns the readings that were wrong at either end.
fn misses(clock: &Clock, times: u64) -> Vec<(Timestamp, Interval, Timestamp)> {
    let mut missed = Vec::new();
    let mut last = Timestamp::MIN;
    for _ in 0..times {
        let before = truth();
        let now = clock.now().expect("the source always states a bound");
        let after = truth();
        if now.earliest() > after || now.latest() < before || now.latest() < last {
            missed.push((before, now, after));
        }
        // What has certainly passed once has passed for good.
        last = now.earliest();
    }
    missed
}

#[test]
fn a_million_readings_are_right_at_both_ends_while_the_sampler_runs_at_full_speed() {
    for counter in [CounterKind::Auto, CounterKind::MonotonicRaw] {
        let clock = running(exact().counter(counter).poll_interval(Duration::from_nanos(1)));
        thread::scope(|scope| {
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| misses(&clock, 250_000))).collect();
            for reader in readers {
                let missed = reader.join().unwrap();
                assert!(missed.is_empty(), "{} misses, the first {:?}", missed.len(), missed[0]);
            }
        });
        // On a busy host all of that may fit between two rounds.
        while clock.report().sampler.rounds <= 100 {
            assert!(misses(&clock, 1_000).is_empty());
        }
        let report = clock.report();
        assert_eq!((report.contradictions, clock.epoch()), (0, 0), "{report:?}");
    }
}

#[test]
fn a_source_that_is_off_by_a_microsecond_is_a_miss_that_these_tests_would_see() {
    /// As [`Exact`], but the other way wrong each time it is built.
    struct Off(i64);
    impl Source for Off {
        fn name(&self) -> &str {
            "off"
        }
        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            let mut sample = Exact.sample(counter)?;
            let wrong = sample.time.earliest().tai_nanos() + self.0;
            sample.time = Interval::from(Timestamp::from_tai_nanos(wrong));
            Ok(sample)
        }
    }
    // A sample during which this thread had to wait is wider than a microsecond, and
    // hides the error: on a busy host it may take many to get one that does not.
    const SAMPLES: u32 = 100_000;
    for error in [-1_000, 1_000] {
        let clock = Clock::builder().without_kernel().source(Off(error)).manual().build().unwrap();
        let shows = |_| clock.refresh().is_ok() && !misses(&clock, 100).is_empty();
        assert!((0..SAMPLES).any(shows), "{error} ns, and none of {SAMPLES} samples showed it");
    }
}

#[test]
fn earliest_after_and_before_agree_with_true_time() {
    let clock = running(exact());
    // Far off: this thread may be stopped for seconds between the two readings.
    let hour = Duration::from_secs(3600);
    for _ in 0..100_000 {
        let before = truth();
        assert!(clock.before(before).is_ok_and(|not_reached| !not_reached));
        let earliest = clock.earliest().unwrap();
        assert!(earliest <= truth());
        assert!(clock.after(earliest.saturating_sub(Duration::from_nanos(1))).unwrap());
        assert!(!clock.after(truth().saturating_add(hour)).unwrap());
        assert!(clock.before(truth().saturating_add(hour)).unwrap());
    }
}

#[test]
fn a_reading_passed_to_another_thread_is_in_its_past() {
    // What one thread knows to have passed, no other thread may find not reached.
    let clock = running(exact());
    let passed = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let earliest = clock.earliest().unwrap().tai_nanos();
                passed.store(earliest as u64, Ordering::Release);
            }
        });
        for _ in 0..200_000 {
            let theirs = passed.load(Ordering::Acquire) as i64;
            let now = clock.now().unwrap();
            assert!(now.latest().tai_nanos() >= theirs, "{now:?} before {theirs}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Rule 5: `now()` reads the counter in order. Out of order it is read before the other
/// thread's reading has arrived, and shows an earlier moment some ten times in a million.
#[test]
fn time_never_runs_backwards_between_threads_that_hand_readings_to_each_other() {
    for counter in [CounterKind::Auto, CounterKind::MonotonicRaw] {
        // Without a thread of its own: one snapshot, so that only the counter moves.
        let clock = exact().counter(counter).manual().build().unwrap();
        let newest = [AtomicU64::new(0), AtomicU64::new(0)];
        let hand_over = || {
            for _ in 0..500_000 {
                let theirs = newest.each_ref().map(|end| end.load(Ordering::Acquire));
                let now = clock.now().unwrap();
                let ours = [now.earliest(), now.latest()].map(|end| end.tai_nanos() as u64);
                assert!(ours[0] >= theirs[0] && ours[1] >= theirs[1], "{ours:?} after {theirs:?}");
                newest[0].fetch_max(ours[0], Ordering::Release);
                newest[1].fetch_max(ours[1], Ordering::Release);
            }
        };
        thread::scope(|scope| {
            scope.spawn(hand_over);
            scope.spawn(hand_over);
        });
    }
}

#[test]
fn a_reading_allocates_nothing() {
    let clock = running(exact());
    clock.now().unwrap();
    let before = ALLOCATIONS.get();
    for _ in 0..1_000 {
        let _ =
            std::hint::black_box((clock.now(), clock.earliest(), clock.status(), clock.epoch()));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    drop(Box::new(7));
    assert!(ALLOCATIONS.get() > before, "and the counting would have shown it");
}

/// Runs `child` in a fork and returns how that ended; 0 if it says `true`.
fn in_a_fork(child: impl FnOnce() -> bool) -> WaitStatus {
    // SAFETY: the child calls `child` and leaves by `_exit`. What it runs takes
    // no lock that another thread of this process may hold at the fork, which is
    // what these tests are about.
    match unsafe { libc::fork() } {
        0 => {
            let code = if child() { 0 } else { 1 };
            // SAFETY: ends the process and runs nothing of it.
            unsafe { libc::_exit(code) }
        }
        child => waitpid(nix::unistd::Pid::from_raw(child), None).expect("our own child"),
    }
}

fn exited_with(status: WaitStatus, code: i32) -> bool {
    matches!(status, WaitStatus::Exited(_, got) if got == code)
}

/// Has the kernel kill this thread's process at any system call but `exit`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn forbid_system_calls() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let rules = [(libc::SYS_exit_group, vec![])].into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter =
        SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn a_reading_makes_no_system_call() {
    for counter in [CounterKind::Auto, CounterKind::MonotonicRaw] {
        let clock = running(exact().counter(counter));
        let status = in_a_fork(|| {
            forbid_system_calls();
            (0..1_000)
                .all(|_| clock.now().is_ok() && clock.earliest().is_ok() && clock.epoch() == 0)
        });
        assert!(exited_with(status, 0), "{counter}: {status:?}");
    }
    let status = in_a_fork(|| {
        forbid_system_calls();
        nix::unistd::getppid().as_raw() > 0
    });
    assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)), "{status:?}");
}

static CLOCK: OnceLock<Clock> = OnceLock::new();
static READ_IN_HANDLER: AtomicU64 = AtomicU64::new(0);

extern "C" fn read_the_clock(_: libc::c_int) {
    if let Some(Ok(now)) = CLOCK.get().map(Clock::now) {
        READ_IN_HANDLER.store(now.latest().tai_nanos() as u64, Ordering::Relaxed);
    }
}

#[test]
fn a_signal_handler_may_read_the_clock() {
    CLOCK.get_or_init(|| running(exact()));
    let action =
        SigAction::new(SigHandler::Handler(read_the_clock), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler reads a clock, which is what may be done in one.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let before = truth();
    raise(Signal::SIGUSR1).unwrap();
    assert!(READ_IN_HANDLER.load(Ordering::Relaxed) >= before.tai_nanos() as u64);
}

#[test]
fn after_a_fork_the_child_reads_on_and_may_sample() {
    let clock = running(exact());
    clock.now().unwrap();
    let status = in_a_fork(|| {
        let reads_on = misses(&clock, 10_000).is_empty();
        let samples = clock.refresh().is_ok() && clock.report().sources[0].samples > 0;
        let knows = !clock.report().sampler.running;
        reads_on && samples && knows && misses(&clock, 10_000).is_empty()
    });
    assert!(exited_with(status, 0), "{status:?}");
}

#[test]
fn a_child_that_drops_its_clock_stops_nobody_elses_sampler() {
    let clock = running(exact().poll_interval(Duration::from_millis(1)));
    let copy = clock.clone();
    let status = in_a_fork(move || {
        drop(copy);
        true
    });
    assert!(exited_with(status, 0), "{status:?}");
    let rounds = clock.report().sampler.rounds;
    for _ in 0..1_000 {
        if clock.report().sampler.rounds > rounds + 3 {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the parent's sampler has stopped");
}

#[test]
fn a_fork_in_the_middle_of_a_round_leaves_the_child_able_to_sample() {
    /// Answers the first time, then holds the sampler's lock for ever.
    struct Stuck(u32);
    impl Source for Stuck {
        fn name(&self) -> &str {
            "stuck"
        }
        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            self.0 += 1;
            if self.0 > 1 {
                thread::sleep(Duration::from_secs(3600));
            }
            Exact.sample(counter)
        }
    }
    let clock = Clock::builder()
        .without_kernel()
        .source(Stuck(0))
        .poll_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    let is_asked = || clock.report().sources.first().is_some_and(|one| one.asked_for.is_some());
    while !is_asked() {
        thread::sleep(Duration::from_millis(1));
    }
    let status = in_a_fork(|| {
        // The source is lost with the lock that guards it; the bound is not.
        let reads_on = clock.refresh().is_ok() && misses(&clock, 1_000).is_empty();
        reads_on && !clock.report().sampler.running
    });
    assert!(exited_with(status, 0), "{status:?}");
}
