//! What a wait promises, blocking: it ends when the moment has passed, and it ends.
//!
//! No test here says how *soon* a wait must end, but for hanging: the machine is
//! shared. How precise waits are is measured in `benches/wait.rs`.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use support::{Running, Scripted, TODAY, UNSYNCHRONIZED, at};
use truechimer::wait::{Batch, Cancel, WaitSettings, commit_wait};
use truechimer::{ClockError, Interval, Timestamp, TrueTime, WaitError, Waited, Waiter};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3_600);

fn running(early: Duration, late: Duration) -> Arc<Running> {
    Arc::new(Running::new(early, late))
}

/// What becomes of a clock at its age.
type Change = fn(&Running, Duration);

/// A clock whose bound, or whose whole reading, changes in the middle of a wait: by
/// the time since it was made, and in the reader's own thread, so that however
/// late a busy host lets anybody run, no reading comes too early to see the change.
struct Restless {
    clock: Running,
    made: Instant,
    change: Change,
}

impl TrueTime for Restless {
    fn now(&self) -> Result<Interval, ClockError> {
        (self.change)(&self.clock, self.made.elapsed());
        self.clock.now()
    }
}

/// What changes after a millisecond. The moment waited for passes after five, or later.
const CHANGES: [(&str, Change); 5] = [
    ("nothing changes", |_, _| {}),
    ("the bound widens", |clock, age| {
        if age > MS {
            clock.set_bound(9 * MS, 2 * MS);
        }
    }),
    ("the bound narrows", |clock, age| {
        if age > MS {
            clock.set_bound(Duration::ZERO, MS);
        }
    }),
    ("the clock goes back", |clock, age| {
        if age > MS {
            clock.set_shift(-8_000_000);
        }
    }),
    ("the clock fails for a while", |clock, age| {
        clock.set_error((MS..8 * MS).contains(&age).then_some(UNSYNCHRONIZED));
    }),
];

/// Waits by `wait` on restless clocks. What ended before its moment had passed?
fn too_early<E>(wait: fn(&Arc<Restless>, Timestamp) -> Result<(), E>) -> Vec<&'static str> {
    let mut early = Vec::new();
    for (name, change) in CHANGES {
        let made = Instant::now();
        let clock = Arc::new(Restless { clock: Running::new(3 * MS, 2 * MS), made, change });
        let target = clock.clock.now().expect("nothing has changed it yet").latest();
        let ended = wait(&clock, target).is_ok();
        if ended && clock.after(target) != Ok(true) {
            early.push(name);
        }
    }
    early
}

#[test]
fn a_wait_ends_only_after_its_moment_has_passed_whatever_the_clock_does() {
    let early = too_early(|clock, t| Waiter::new(clock).wait(t).map(|_| ()));
    assert!(early.is_empty(), "{early:?}");
    let early = too_early(|clock, t| {
        let lazy = WaitSettings::default().spin(Duration::ZERO);
        Waiter::with(clock, lazy).wait_until(t, Instant::now() + LONG).map(|_| ())
    });
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn a_waiter_that_skips_the_last_check_is_caught() {
    // Again where the host was so busy that the waiter looked only after the change.
    let mut early = Vec::new();
    for _ in 0..1_000 {
        early.extend(too_early(|clock, t| {
            let now = clock.now()?;
            thread::sleep(t.duration_since(now.earliest()).unwrap_or_default());
            Ok::<_, ClockError>(())
        }));
        if early.contains(&"the bound widens") && early.contains(&"the clock goes back") {
            return;
        }
    }
    panic!("{early:?}");
}

#[test]
fn a_moment_that_has_passed_costs_nothing() {
    let clock = Scripted::new(TODAY, TODAY);
    assert_eq!(Waiter::new(&clock).wait(at(TODAY - 1)), Ok(Waited::default()));
    assert_eq!(commit_wait(&clock, at(i64::MIN)), Ok(Waited::default()));
    let past = Instant::now();
    assert_eq!(Waiter::new(&clock).wait_until(at(TODAY - 1), past), Ok(Waited::default()));
}

#[test]
fn what_a_wait_says_of_itself_adds_up() {
    for spin in [Duration::ZERO, Duration::from_micros(150), LONG] {
        // So wide that there is something left to wait for on a busy host too.
        let clock = running(50 * MS, 50 * MS);
        let waiter = Waiter::with(&clock, WaitSettings::default().spin(spin));
        let target = clock.now().expect("it answers").latest();
        let began = Instant::now();
        let waited = waiter.wait(target).expect("it passes");
        let took = began.elapsed();
        assert!(waited.total <= took && waited.total > MS, "{waited:?} of {took:?}");
        assert!(waited.spun <= waited.total && waited.overshoot <= waited.total, "{waited:?}");
        // A budget for the whole wait leaves no sleep, and no budget no spinning.
        assert_eq!(waited.sleeps == 0, spin == LONG, "{waited:?}");
        assert!(waited.spun.is_zero() || !spin.is_zero(), "{waited:?}");
        assert!(waited.spun > MS || spin != LONG, "{waited:?}");
    }
}

#[test]
fn a_bound_that_narrows_ends_a_wait_sooner() {
    let clock = running(LONG, LONG);
    let target = clock.truth();
    let waiter = Waiter::new(clock.clone());
    let waiting = thread::spawn(move || waiter.wait(target));
    thread::sleep(20 * MS);
    clock.set_bound(MS, MS);
    let waited = waiting.join().expect("no panic").expect("it has passed");
    assert!(waited.total < LONG / 10, "{waited:?}");
}

#[test]
fn what_cannot_pass_before_the_deadline_is_refused_at_once() {
    let clock = running(MS, MS);
    let waiter = Waiter::new(&clock);
    let target = clock.truth().saturating_add(LONG);
    let began = Instant::now();
    match waiter.wait_until(target, began + LONG / 2) {
        Err(error @ WaitError::Impossible { soonest, left, .. }) => {
            assert!(soonest > left && error.is_transient());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(waiter.wait(Timestamp::MAX), Err(WaitError::Never));
    assert!(began.elapsed() < LONG / 10);
    // Two hours wide: it may yet narrow, so it is waited for.
    let clock = running(LONG, LONG);
    let soon = Instant::now() + 3 * MS;
    let error = Waiter::new(&clock).wait_until(clock.truth(), soon).expect_err("it does not");
    assert!(matches!(error, WaitError::Deadline { missing, .. } if missing > LONG / 2), "{error}");
    assert!(Instant::now() >= soon);
}

#[test]
fn a_passing_loss_of_synchronization_is_borne_while_there_is_time() {
    // YugabyteDB #30033: dying on one.
    let clock = running(MS, MS);
    let target = clock.now().expect("it answers").latest();
    clock.set_error(Some(UNSYNCHRONIZED));
    let impatient = WaitSettings::default().patience(MS);
    let waiter = Waiter::with(clock.clone(), impatient);
    let waiting = thread::spawn(move || waiter.wait_until(target, Instant::now() + LONG));
    thread::sleep(30 * MS);
    clock.set_error(None);
    waiting.join().expect("no panic").expect("it has passed");
}

#[test]
fn a_clock_that_cannot_answer_ends_the_wait() {
    let clock = running(MS, MS);
    let target = clock.now().expect("it answers").latest();
    clock.set_error(Some(UNSYNCHRONIZED));
    let waiter = Waiter::with(&clock, WaitSettings::default().patience(100 * MS));
    for limited in [false, true] {
        let deadline = limited.then(|| Instant::now() + 100 * MS);
        match waiter.wait_cancellable(target, deadline, &Cancel::new()) {
            Err(WaitError::Clock { error: UNSYNCHRONIZED, waited }) => assert!(waited >= 5 * MS),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_clock_that_stands_still_ends_the_wait() {
    let clock = Scripted::new(TODAY, TODAY + 10);
    for spin in [Duration::ZERO, MS, LONG] {
        let settings = WaitSettings::default().patience(10 * MS).spin(spin);
        match Waiter::with(&clock, settings).wait(at(TODAY + 5)) {
            Err(WaitError::Stalled { stood }) => assert!(stood >= 10 * MS),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_thread_cancels_a_sleeping_wait_and_a_spinning_one() {
    for spin in [Duration::ZERO, LONG] {
        let clock = running(LONG / 2, MS);
        let settings = WaitSettings::default().spin(spin).relook(LONG);
        let waiter = Waiter::with(clock.clone(), settings);
        let cancel = Cancel::new();
        let theirs = cancel.clone();
        let waiting = thread::spawn(move || waiter.wait_cancellable(clock.truth(), None, &theirs));
        thread::sleep(5 * MS);
        assert!(!cancel.is_cancelled() && !waiting.is_finished());
        cancel.cancel();
        assert_eq!(waiting.join().expect("no panic"), Err(WaitError::Cancelled));
    }
}

#[test]
fn cancelled_before_it_begins_a_wait_ends_at_once_unless_nothing_is_left_to_wait_for() {
    let clock = running(MS, MS);
    let cancel = Cancel::new();
    cancel.cancel();
    let waiter = Waiter::new(&clock);
    let later = clock.truth().saturating_add(LONG);
    assert_eq!(waiter.wait_cancellable(later, None, &cancel), Err(WaitError::Cancelled));
    assert_eq!(waiter.wait_cancellable(at(0), None, &cancel), Ok(Waited::default()));
}

#[test]
fn one_wait_releases_a_batch_in_the_order_of_its_stamps() {
    let clock = running(50 * MS, 50 * MS);
    let waiter = Waiter::new(&clock);
    let mut batch = Batch::new();
    let first = clock.now().expect("it answers").latest();
    for i in [3u64, 1, 2, 1] {
        batch.push(first.saturating_add(Duration::from_micros(i * 100)), i);
    }
    let largest = batch.largest().expect("four");
    let (waited, released) = batch.release(&waiter, None).expect("they pass");
    assert_eq!(clock.after(largest), Ok(true));
    assert_eq!(released, [1, 1, 2, 3]);
    assert!(waited.total > MS && batch.is_empty());
    assert_eq!(batch.release(&waiter, None), Ok((Waited::default(), vec![])));

    batch.push(first.saturating_add(LONG), 9);
    batch.release(&waiter, Some(Instant::now())).expect_err("an hour is missing");
    assert_eq!(batch.len(), 1, "what was not released is still there");
    waiter.wait_all([first, largest]).expect("passed");
    waiter.wait_all([Timestamp::MIN; 0]).expect("nothing to wait for");
}
