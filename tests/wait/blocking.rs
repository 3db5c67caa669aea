//! What a blocking wait promises: it ends only when its moment has passed, and it ends.
//!
//! The clock is moved by hand. So no test depends on how fast the machine is: a wait
//! that is not woken, or does not notice, hangs. How precise waits are on real time is
//! measured in `benches/wait.rs`.

use std::thread;
use std::time::{Duration, Instant};

use crate::clocks::{LONG, MS, Observed, UNSYNCHRONIZED, at_ms, manual_ms, span_ms};
use truechimer::wait::{Batch, Cancel, WaitSettings, commit_wait};
use truechimer::{ManualClock, Timestamp, TrueTime, WaitError, Waited, Waiter};

/// Settings under which nothing ends a wait but its clock.
fn patient() -> WaitSettings {
    WaitSettings::default().patience(LONG)
}

/// A change of a clock that read `[0 ms, 5 ms]`, in the middle of a wait for 5 ms. After
/// each of them the moment has not passed.
type Change = fn(&ManualClock);

const CHANGES: [(&str, Change); 6] = [
    ("nothing changes", |_| {}),
    ("time goes on", |clock| clock.advance(5 * MS)),
    ("the bound widens", |clock| {
        clock.advance(5 * MS);
        clock.widen(9 * MS);
    }),
    ("the bound narrows", |clock| clock.set(span_ms(4, 5))),
    ("the clock goes back", |clock| clock.set(span_ms(-8, -3))),
    ("the clock fails for a while", |clock| clock.fail(UNSYNCHRONIZED)),
];

#[test]
fn a_wait_ends_only_after_its_moment_has_passed_whatever_the_clock_does() {
    let deadline = Instant::now() + LONG;
    for (name, change) in CHANGES {
        for (settings, deadline) in
            [(patient(), None), (patient().spin(Duration::ZERO), Some(deadline))]
        {
            let clock = Observed::new(manual_ms(0, 5));
            let waiter = Waiter::with_settings(clock.clone(), settings);
            let wait = thread::spawn(move || {
                let result = match deadline {
                    None => waiter.wait(at_ms(5)),
                    Some(deadline) => waiter.wait_until(at_ms(5), deadline),
                };
                (result, waiter.clock().after(at_ms(5)))
            });
            clock.assert_waiting(&wait);
            change(&clock.clock);
            clock.assert_waiting(&wait);
            clock.clock.set(span_ms(5, 5));
            clock.assert_waiting(&wait); // `after` means later, and not as late
            clock.clock.set(span_ms(6, 9));
            let (result, passed) = wait.join().expect("no panic");
            assert!(result.is_ok() && passed == Ok(true), "{name}: {result:?}");
        }
    }
}

#[test]
fn a_waiter_that_skips_the_last_check_is_caught() {
    // It reads once, sleeps for what is missing, and does not look again. The change
    // happens while it sleeps.
    let naive = |clock: &ManualClock, change: Change| {
        let sleep = at_ms(5).duration_since(clock.now().expect("a reading").earliest());
        assert_eq!(sleep, Some(5 * MS));
        change(clock);
        clock.after(at_ms(5))
    };
    for (name, change) in CHANGES {
        assert_ne!(naive(&manual_ms(0, 5), change), Ok(true), "{name}");
    }
}

#[test]
fn a_moment_that_has_passed_costs_nothing() {
    let clock = manual_ms(0, 0);
    assert_eq!(Waiter::new(&clock).wait(at_ms(-1)), Ok(Waited::default()));
    assert_eq!(commit_wait(&clock, Timestamp::MIN), Ok(Waited::default()));
    let past = Instant::now();
    assert_eq!(Waiter::new(&clock).wait_until(at_ms(-1), past), Ok(Waited::default()));
}

#[test]
fn the_account_of_a_wait_adds_up() {
    for spin in [Duration::ZERO, Duration::from_micros(150), LONG] {
        let clock = Observed::new(manual_ms(0, 5));
        let waiter = Waiter::with_settings(clock.clone(), patient().spin(spin));
        let wait = thread::spawn(move || {
            let began = Instant::now();
            (waiter.wait(at_ms(5)), began.elapsed())
        });
        clock.assert_waiting(&wait);
        let waiting = Instant::now();
        clock.assert_waiting(&wait);
        let at_least = waiting.elapsed();
        clock.clock.advance(LONG);
        let (waited, took) = wait.join().expect("no panic");
        let waited = waited.expect("it has passed");
        assert!(at_least <= waited.total && waited.total <= took, "{waited:?} of {took:?}");
        assert!(waited.spun <= waited.total, "{waited:?}");
        // The clock leapt by an hour, and the wait is not charged for that.
        assert_eq!(waited.overshoot, waited.total);
        // A budget for the whole wait leaves no sleep, and no budget leaves no spinning.
        assert_eq!(waited.sleeps == 0, spin == LONG, "{waited:?}");
        assert!(waited.spun.is_zero() || !spin.is_zero(), "{waited:?}");
        assert!(!waited.spun.is_zero() || spin != LONG, "{waited:?}");
    }
}

#[test]
fn every_move_of_a_manual_clock_wakes_a_sleeping_wait() {
    const MOVES: [(&str, Change); 5] = [
        ("set", |clock| clock.set(span_ms(1, 2))),
        ("advance", |clock| clock.advance(MS)),
        ("widen", |clock| clock.widen(MS)),
        ("fail", |clock| clock.fail(UNSYNCHRONIZED)),
        ("set again", |clock| clock.set(span_ms(2, 3))),
    ];
    let clock = Observed::new(manual_ms(0, 5));
    // A single sleep of an hour: only the moves make it look.
    let settings = patient().spin(Duration::ZERO).max_sleep(LONG);
    let waiter = Waiter::with_settings(clock.clone(), settings);
    let wait = thread::spawn(move || waiter.wait(at_ms(3_600_000)));
    clock.until_subscribed();
    for (_, change) in MOVES {
        change(&clock.clock);
    }
    clock.clock.advance(2 * LONG);
    let waited = wait.join().expect("no panic").expect("it has passed");
    assert!(waited.sleeps <= 1 + MOVES.len() as u32, "{waited:?}");
}

#[test]
fn a_bound_that_narrows_ends_a_wait_sooner() {
    let clock = Observed::new(manual_ms(-3_600_000, 3_600_000));
    let waiter = Waiter::with_settings(clock.clone(), patient());
    let wait = thread::spawn(move || waiter.wait(at_ms(0)));
    clock.assert_waiting(&wait);
    clock.clock.set(span_ms(1, 2));
    wait.join().expect("no panic").expect("it has passed");
}

#[test]
fn what_cannot_pass_before_the_deadline_is_refused_at_once() {
    let clock = manual_ms(0, 2);
    let waiter = Waiter::new(&clock);
    let target = at_ms(0).saturating_add(LONG);
    let began = Instant::now();
    match waiter.wait_until(target, began + LONG / 2) {
        Err(error @ WaitError::Impossible { soonest, left, .. }) => {
            assert!(soonest > left && error.is_transient());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(waiter.wait(Timestamp::MAX), Err(WaitError::Never));
    // An interval of two hours may still narrow, so the wait goes on to the deadline.
    let clock = manual_ms(-3_600_000, 3_600_000);
    let soon = Instant::now() + 3 * MS;
    let error = Waiter::new(&clock).wait_until(at_ms(0), soon).expect_err("it does not pass");
    assert!(matches!(error, WaitError::Deadline { missing, .. } if missing == LONG), "{error}");
    assert!(Instant::now() >= soon);
}

#[test]
fn a_move_that_puts_the_moment_beyond_the_deadline_ends_the_wait() {
    let clock = Observed::new(manual_ms(0, 5));
    let waiter = Waiter::with_settings(clock.clone(), patient().max_sleep(LONG));
    let deadline = Instant::now() + LONG;
    let wait = thread::spawn(move || waiter.wait_until(at_ms(2_000), deadline));
    clock.until_subscribed();
    clock.clock.set(span_ms(-36_000_000, -36_000_000));
    let error = wait.join().expect("no panic").expect_err("ten hours are missing");
    assert!(matches!(error, WaitError::Impossible { .. }), "{error}");
}

#[test]
fn a_passing_loss_of_synchronization_ends_no_wait_before_its_deadline() {
    // YugabyteDB #30033 died of one.
    let clock = Observed::new(manual_ms(0, 5));
    clock.clock.fail(UNSYNCHRONIZED);
    let impatient = WaitSettings::default().patience(MS);
    let waiter = Waiter::with_settings(clock.clone(), impatient);
    let deadline = Instant::now() + LONG;
    let wait = thread::spawn(move || waiter.wait_until(at_ms(5), deadline));
    clock.until_subscribed();
    thread::sleep(10 * MS); // longer than its patience
    clock.assert_waiting(&wait);
    clock.clock.set(span_ms(6, 9));
    wait.join().expect("no panic").expect("it has passed");
}

#[test]
fn a_clock_that_returns_only_errors_ends_the_wait() {
    let clock = manual_ms(0, 5);
    clock.fail(UNSYNCHRONIZED);
    let waiter = Waiter::with_settings(&clock, WaitSettings::default().patience(20 * MS));
    for limited in [false, true] {
        let began = Instant::now();
        let deadline = limited.then(|| began + 20 * MS);
        let result = waiter.wait_cancellable(at_ms(5), deadline, &Cancel::new());
        assert!(
            matches!(result, Err(WaitError::Clock { error: UNSYNCHRONIZED, .. })),
            "{result:?}"
        );
        assert!(began.elapsed() >= 20 * MS);
    }
}

#[test]
fn a_clock_that_has_stopped_ends_the_wait() {
    let clock = manual_ms(0, 10);
    for spin in [Duration::ZERO, MS, LONG] {
        let settings = WaitSettings::default().patience(10 * MS).spin(spin);
        match Waiter::with_settings(&clock, settings).wait(at_ms(5)) {
            Err(WaitError::Stalled { stood }) => assert!(stood >= 10 * MS),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_thread_cancels_a_sleeping_wait_and_a_spinning_one() {
    for spin in [Duration::ZERO, LONG] {
        let clock = Observed::new(manual_ms(0, 10));
        let waiter = Waiter::with_settings(clock.clone(), patient().spin(spin).max_sleep(LONG));
        let cancel = Cancel::new();
        let theirs = cancel.clone();
        let wait = thread::spawn(move || waiter.wait_cancellable(at_ms(5), None, &theirs));
        clock.until_subscribed();
        assert!(!cancel.is_cancelled() && !wait.is_finished());
        cancel.cancel();
        assert_eq!(wait.join().expect("no panic"), Err(WaitError::Cancelled));
    }
}

#[test]
fn a_wait_that_is_cancelled_before_it_begins_ends_at_once_unless_its_moment_has_passed() {
    let clock = manual_ms(0, 5);
    let cancel = Cancel::new();
    cancel.cancel();
    let waiter = Waiter::new(&clock);
    assert_eq!(waiter.wait_cancellable(at_ms(9), None, &cancel), Err(WaitError::Cancelled));
    assert_eq!(waiter.wait_cancellable(at_ms(-1), None, &cancel), Ok(Waited::default()));
}

#[test]
fn one_wait_releases_a_batch_in_the_order_of_its_stamps() {
    let clock = Observed::new(manual_ms(0, 10));
    let waiter = Waiter::with_settings(clock.clone(), patient());
    let mut batch = Batch::new();
    for i in [3, 1, 2, 1] {
        batch.push(at_ms(10 + i), i);
    }
    assert_eq!(batch.largest(), Some(at_ms(13)));
    let wait = thread::spawn(move || {
        let released = batch.release(&waiter, None);
        (released, batch, waiter)
    });
    clock.assert_waiting(&wait);
    clock.clock.set(span_ms(13, 13)); // all but the largest have passed
    clock.assert_waiting(&wait);
    clock.clock.set(span_ms(14, 14));
    let (released, mut batch, waiter) = wait.join().expect("no panic");
    assert_eq!(released.expect("they have passed").1, [1, 1, 2, 3]);
    assert!(batch.is_empty());
    assert_eq!(batch.release(&waiter, None), Ok((Waited::default(), vec![])));

    batch.push(at_ms(3_600_000), 9);
    batch.release(&waiter, Some(Instant::now())).expect_err("an hour is missing");
    assert_eq!(batch.len(), 1, "what was not released is still there");
    waiter.wait_all([at_ms(10), at_ms(13)]).expect("passed");
    waiter.wait_all([Timestamp::MIN; 0]).expect("nothing to wait for");
}
