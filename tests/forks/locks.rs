//! The child of a `fork` waits for nothing that a thread of its parent holds.
//!
//! In each test a thread of the parent is brought to hold the lock in question, and the
//! process forks then. A child that waits for that thread is killed by its alarm, and fails.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};
use truechimer::fence::{DurableFence, FenceError, FencingToken, SharedFence};
use truechimer::pause::PauseMonitor;
use truechimer::{
    Clock, ClockError, Counter, Interval, LeapTable, RecordError, Sample, Source, SourceError,
    StoreError, Timestamp, TrueTime, Waiter,
};

/// How long a child may take in all.
const PATIENCE_S: u32 = 60;

/// The exit code of a child that may not do what the test needs.
const SKIPPED: i32 = 77;

/// Runs `child` in a fork, and returns its exit code; `None` if its alarm or a signal ended it.
fn exit_code(child: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: the child leaves by `_exit`, and fails by its alarm if it takes a lock that
    // another thread of the parent holds.
    match unsafe { libc::fork() } {
        0 => {
            alarm::set(PATIENCE_S);
            let code = child();
            // SAFETY: ends the child and runs nothing of it.
            unsafe { libc::_exit(code) }
        }
        child => match waitpid(Pid::from_raw(child), None).expect("our own child") {
            WaitStatus::Exited(_, code) => Some(code),
            _ => None,
        },
    }
}

fn in_a_fork(child: impl FnOnce() -> bool) -> bool {
    exit_code(|| if child() { 0 } else { 1 }) == Some(0)
}

/// Spins until another thread has come to `place`.
fn until(place: &AtomicBool) {
    while !place.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

/// A clock that runs, and whose reading holds up one thread.
struct Gate {
    began: Instant,
    thread: &'static str,
    is_inside: Arc<AtomicBool>,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    fn new(thread: &'static str) -> Gate {
        let (is_inside, is_open) = (Arc::default(), Arc::default());
        Gate { began: Instant::now(), thread, is_inside, is_open }
    }
}

impl TrueTime for Gate {
    fn now(&self) -> Result<Interval, ClockError> {
        if thread::current().name() == Some(self.thread) {
            self.is_inside.store(true, Ordering::SeqCst);
            until(&self.is_open);
        }
        let nanos = self.began.elapsed().as_nanos() as i64;
        Ok(Interval::from(Timestamp::from_tai_nanos(nanos)))
    }
}

/// A wait that is pending, whose timer's thread holds its lock: it reads the clock with the
/// lock in hand.
type Pending = std::pin::Pin<Box<truechimer::wait::WaitFuture<Gate>>>;

/// A waiter with a pending wait until `t`, and the gate that holds up its timer's thread.
fn waiter_with_a_locked_timer(t: Timestamp) -> (Waiter<Gate>, Pending, Arc<AtomicBool>) {
    let clock = Gate::new("truechimer-wait");
    let (is_inside, is_open) = (clock.is_inside.clone(), clock.is_open.clone());
    let waiter = Waiter::new(clock);
    let mut pending = Box::pin(waiter.wait_async(t));
    assert!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    until(&is_inside);
    (waiter, pending, is_open)
}

fn soon(waiter: &Waiter<Gate>) -> Timestamp {
    let passed = waiter.clock().began.elapsed() + Duration::from_millis(5);
    Timestamp::from_tai_nanos(passed.as_nanos() as i64)
}

#[test]
fn a_wait_in_the_child_is_woken_though_the_parents_timer_holds_its_lock() {
    let far = Timestamp::from_tai_nanos(i64::MAX / 2);
    let (waiter, pending, is_open) = waiter_with_a_locked_timer(far);
    let mut pending = Some(pending);
    assert!(in_a_fork(|| {
        is_open.store(true, Ordering::SeqCst); // in the child's memory only
        let is_woken = futures::executor::block_on(waiter.wait_async(soon(&waiter))).is_ok();
        drop(pending.take()); // of the parent, and unknown here
        is_woken && waiter.pending() == 0
    }));
    is_open.store(true, Ordering::SeqCst);
}

#[test]
fn a_future_that_was_pending_at_the_fork_goes_on_when_the_child_polls_it() {
    // A second after the clock's beginning, which is some ms ago.
    let t = Timestamp::from_tai_nanos(1_000_000_000);
    let (_waiter, mut pending, is_open) = waiter_with_a_locked_timer(t);
    assert!(in_a_fork(|| {
        is_open.store(true, Ordering::SeqCst); // in the child's memory only
        futures::executor::block_on(pending.as_mut()).is_ok()
    }));
    is_open.store(true, Ordering::SeqCst);
}

/// A source that blocks the clock's thread in the parent.
struct Blocks {
    is_inside: Arc<AtomicBool>,
    is_open: Arc<AtomicBool>,
}

impl Source for Blocks {
    fn name(&self) -> &str {
        "blocks"
    }

    fn sample(&mut self, _: &Counter) -> Result<Sample, SourceError> {
        self.is_inside.store(true, Ordering::SeqCst);
        until(&self.is_open);
        Err(SourceError::failed("for the test"))
    }
}

#[test]
fn a_child_uses_its_clock_though_the_parents_thread_is_in_a_round() {
    let (is_inside, is_open) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let source = Blocks { is_inside: is_inside.clone(), is_open: is_open.clone() };
    let clock = Clock::builder()
        .without_kernel()
        .assume_error(Duration::from_millis(5))
        .source(source)
        .build()
        .expect("a clock");
    until(&is_inside);
    let before = clock.now().expect("the operator states it");
    assert!(in_a_fork(|| {
        let carried =
            clock.now().is_ok_and(|now| now.overlaps(&before) || now.definitely_after(&before));
        let _ = (clock.refresh(), clock.reassume(), clock.status(), clock.epoch());
        clock.set_leap_table(LeapTable::builtin());
        let report = clock.report();
        let _ = clock.restored();
        carried && !report.sampler.running && report.sampler.rounds > 0
    }));
    is_open.store(true, Ordering::SeqCst);
}

#[test]
fn a_child_waits_for_synchronization_and_commits_as_a_task() {
    let assumed = || Clock::builder().without_kernel().assume_error(Duration::from_millis(1));
    let clock = assumed().build().expect("a clock");
    let limit = Duration::from_secs(PATIENCE_S.into());
    // The parent's timers run, and a wait on each is pending.
    let far = Timestamp::from_tai_nanos(i64::MAX / 2);
    let mut commit = Box::pin(clock.commit_wait_async(far));
    let mut context = Context::from_waker(Waker::noop());
    assert!(commit.as_mut().poll(&mut context).is_pending());
    let late = Clock::builder().without_kernel().source(InTheChild(std::process::id()));
    let late = late.build().expect("a clock");
    let mut pending = Box::pin(late.wait_synchronized_async(limit));
    assert!(pending.as_mut().poll(&mut context).is_pending());
    assert!(in_a_fork(|| {
        futures::executor::block_on(async {
            let Ok(now) = clock.wait_synchronized_async(limit).await else { return false };
            let passed = clock.commit_wait_async(now.latest()).await.is_ok();
            passed && clock.after(now.latest()) == Ok(true)
        })
    }));
    // A source of the parent's states a bound in the child only, where no thread samples.
    assert!(in_a_fork(|| futures::executor::block_on(pending.as_mut()).is_ok()));
    assert!(pending.as_mut().poll(&mut context).is_pending(), "the parent waits on");
}

/// A source that states a bound in other processes than this one.
struct InTheChild(u32);

impl Source for InTheChild {
    fn name(&self) -> &str {
        "in the child"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        if std::process::id() == self.0 {
            return Err(SourceError::failed("not in the parent"));
        }
        let before = counter.read();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = Timestamp::from_tai_nanos(0).saturating_add(now.expect("after 1970"));
        Ok(Sample::new(before, counter.read(), Interval::from(now).widen(Duration::from_secs(1))))
    }
}

#[test]
fn a_task_of_the_parent_does_not_go_on_in_the_child_under_the_parents_lock() {
    let place = tempfile::tempdir().expect("a place for files");
    let patience = Duration::from_secs(PATIENCE_S.into());
    let fence = SharedFence::create_new(place.path().join("fence"), patience).expect("new");
    let steps = AtomicBool::new(false);
    let mut section = Box::pin(fence.with_async(FencingToken(34), async || {
        steps.store(true, Ordering::SeqCst);
        std::future::pending::<()>().await;
        "written"
    }));
    let mut context = Context::from_waker(Waker::noop());
    while !steps.load(Ordering::SeqCst) {
        assert!(section.as_mut().poll(&mut context).is_pending());
        thread::yield_now();
    }
    assert!(in_a_fork(|| {
        let refused = futures::executor::block_on(section.as_mut());
        let refused = matches!(
            refused,
            Err(FenceError::Record(RecordError::Store(StoreError::Forked { .. })))
        );
        drop(section); // a copy, whose lock is the parent's
        let now = Duration::ZERO;
        let other = SharedFence::open_existing(place.path().join("fence"), now);
        refused && other.is_err_and(|error| error.is_transient())
    }));
}

#[test]
fn a_child_sees_one_long_pause_where_no_monitor_runs() {
    let monitor = PauseMonitor::builder().interval(Duration::from_millis(1)).start().expect("one");
    let guard = monitor.guard();
    assert!(in_a_fork(|| {
        thread::sleep(Duration::from_millis(20));
        let is_paused = guard.was_paused();
        drop(monitor.recent());
        is_paused
    }));
}

/// Whether a thread samples for this clock in this process.
fn runs(clock: &Option<Clock>) -> bool {
    clock.as_ref().is_some_and(|clock| clock.report().sampler.running)
}

/// In a PID namespace of its own a process is number 1, and so is a child with another.
#[test]
fn parent_and_child_with_one_process_id_are_told_apart() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    let outcome = exit_code(|| {
        if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID).is_err() {
            return SKIPPED;
        }
        exit_code(|| {
            let clock = Clock::builder()
                .without_kernel()
                .assume_error(Duration::from_millis(5))
                .build()
                .expect("a clock");
            let mut clock = Some(clock);
            let fence = DurableFence::create_new(&path).expect("a new file");
            let is_first = std::process::id() == 1 && runs(&clock);
            if unshare(CloneFlags::CLONE_NEWPID).is_err() {
                return SKIPPED;
            }
            let code = exit_code(|| {
                let is_first = std::process::id() == 1;
                let refused = matches!(
                    fence.admit(FencingToken(9)),
                    Err(FenceError::Record(RecordError::Store(StoreError::Forked { .. })))
                );
                let has_no_thread = !runs(&clock);
                let reads = clock.as_ref().is_some_and(|clock| clock.refresh().is_ok());
                drop(clock.take()); // of the parent's, whose thread it must not stop
                if is_first && refused && has_no_thread && reads { 0 } else { 2 }
            });
            let goes_on = runs(&clock) && fence.admit(FencingToken(9)).is_ok();
            if is_first && goes_on { code.unwrap_or(4) } else { 3 }
        })
        .unwrap_or(5)
    });
    if outcome == Some(SKIPPED) {
        eprintln!("skipped: this system allows no PID namespace here");
        return;
    }
    assert_eq!(outcome, Some(0));
}
