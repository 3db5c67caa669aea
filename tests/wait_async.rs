//! Asynchronous waits: on any executor, many at once, in order, and freed when dropped.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::{Either, join_all, select};
use support::{Running, Scripted, TODAY, UNSYNCHRONIZED, at};
use truechimer::wait::{Batch, WaitSettings};
use truechimer::{Interval, Timestamp, TrueTime, WaitError, Waited, Waiter};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3_600);

fn waiter() -> (Arc<Running>, Waiter<Arc<Running>>) {
    let clock = Arc::new(Running::new(MS, MS));
    (clock.clone(), Waiter::new(clock))
}

/// One commit: the wait for `latest`, and whether it had passed at the end.
async fn commit(waiter: Waiter<Arc<Running>>) -> (Waited, bool) {
    let target = waiter.clock().now().expect("it answers").latest();
    let waited = waiter.wait_async(target).await.expect("it passes");
    (waited, waiter.clock().after(target) == Ok(true))
}

fn is_sound((waited, passed): (Waited, bool)) {
    assert!(passed && waited.total >= MS && waited.overshoot <= waited.total, "{waited:?}");
}

#[test]
fn it_works_on_tokio() {
    let (_, waiter) = waiter();
    for mut builder in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        let runtime = builder.build().expect("a runtime");
        runtime.block_on(async {
            let tasks: Vec<_> = (0..10).map(|_| tokio::spawn(commit(waiter.clone()))).collect();
            for task in tasks {
                is_sound(task.await.expect("no panic"));
            }
            is_sound(commit(waiter.clone()).await);
        });
    }
}

#[test]
fn it_works_on_smols_executor() {
    let (_, waiter) = waiter();
    let executor = async_executor::Executor::new();
    let tasks: Vec<_> = (0..10).map(|_| executor.spawn(commit(waiter.clone()))).collect();
    futures::executor::block_on(executor.run(async {
        for task in tasks {
            is_sound(task.await);
        }
    }));
}

#[test]
fn it_works_on_the_executor_of_futures() {
    let (_, waiter) = waiter();
    futures::executor::block_on(async {
        is_sound(commit(waiter.clone()).await);
        join_all((0..10).map(|_| commit(waiter.clone()))).await.into_iter().for_each(is_sound);
    });
}

#[test]
fn without_spinning_it_works_too() {
    let clock = Arc::new(Running::new(MS, MS));
    let waiter = Waiter::with(clock, WaitSettings::default().spin(Duration::ZERO));
    let (waited, passed) = futures::executor::block_on(commit(waiter));
    assert!(passed && waited.spun.is_zero() && waited.sleeps > 0, "{waited:?}");
}

/// A waker that remembers when it was woken, in the order of all.
struct Note {
    number: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.woken.lock().expect("no panic").push(self.number);
    }
}

#[test]
fn a_hundred_thousand_waits_are_pending_at_once_and_woken_in_order() {
    const MANY: usize = 100_000;
    let clock = Arc::new(Scripted::new(TODAY, TODAY + 1_000_000_000));
    // Patient: the scripted clock stands still until all are pending.
    let waiter = Waiter::with(clock.clone(), WaitSettings::default().patience(LONG));
    let woken = Arc::new(Mutex::new(Vec::new()));
    // 7 919 is coprime to the number: each place once, in no order.
    let mut waits: Vec<_> = (0..MANY)
        .map(|i| {
            let number = i * 7_919 % MANY;
            let waker = Waker::from(Arc::new(Note { number, woken: woken.clone() }));
            (Box::pin(waiter.wait_async(at(TODAY + 10_000_000 + number as i64))), waker)
        })
        .collect();
    for (wait, waker) in &mut waits {
        assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    assert_eq!(waiter.pending(), MANY);

    clock.set(TODAY + LONG.as_nanos() as i64, TODAY + LONG.as_nanos() as i64);
    let began = Instant::now();
    while woken.lock().expect("no panic").len() < MANY {
        assert!(began.elapsed() < Duration::from_secs(60), "some are not woken");
        thread::sleep(MS);
    }
    let woken = woken.lock().expect("no panic");
    assert!(woken.iter().copied().eq(0..MANY), "out of order");
    for (wait, waker) in &mut waits {
        let ready = wait.as_mut().poll(&mut Context::from_waker(waker));
        assert!(matches!(ready, Poll::Ready(Ok(_))));
    }
    assert_eq!(waiter.pending(), 0);
}

#[test]
fn tasks_of_one_executor_finish_in_the_order_of_their_moments_or_nearly() {
    // Long enough that all are pending before the first has passed.
    let clock = Arc::new(Running::new(500 * MS, 500 * MS));
    let waiter = Waiter::new(clock.clone());
    let finished = Arc::new(Mutex::new(Vec::new()));
    let start = clock.now().expect("it answers").latest();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..2_000u64)
            .map(|i| {
                let number = i * 7 % 2_000;
                let (waiter, finished) = (waiter.clone(), finished.clone());
                let target = start.saturating_add(Duration::from_micros(number * 20));
                tokio::spawn(async move {
                    waiter.wait_async(target).await.expect("it passes");
                    assert_eq!(waiter.clock().after(target), Ok(true));
                    finished.lock().expect("no panic").push(number);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    let finished = finished.lock().expect("no panic");
    // They are woken in order. An executor that is kept from its processor may
    // find two of its queues full, and then it is free to choose.
    let swaps = finished.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(swaps < 100, "{swaps} out of order");
}

#[test]
fn a_future_that_is_dropped_gives_its_place_back_at_once() {
    let (clock, waiter) = waiter();
    let later = clock.truth().saturating_add(LONG);
    let soon = clock.now().expect("it answers").latest();
    futures::executor::block_on(async {
        let hopeless = waiter.wait_async_until(later, Instant::now() + 2 * LONG);
        match select(pin!(hopeless), pin!(waiter.wait_async(soon))).await {
            Either::Right((done, _hopeless)) => {
                done.expect("it passes");
                assert_eq!(waiter.pending(), 1);
            }
            Either::Left(_) => panic!("an hour went by"),
        }
        // Both futures are gone with the statement they were pinned in.
        assert_eq!(waiter.pending(), 0);
    });
}

#[test]
fn a_herald_that_is_dropped_leaves_nobody_waiting() {
    let (clock, waiter) = waiter();
    for _ in 0..50 {
        let target = clock.now().expect("it answers").latest();
        let behind = target.saturating_add(Duration::from_micros(1));
        let waker = Waker::noop();
        let mut herald = Box::pin(waiter.wait_async(target));
        assert!(herald.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        let other = waiter.clone();
        let waiting = thread::spawn(move || futures::executor::block_on(other.wait_async(behind)));
        // Somewhere around the early wake, it is gone or just never polled again.
        thread::sleep(2 * MS - Duration::from_micros(60));
        let kept = (clock.truth().tai_nanos() % 2 == 0).then_some(herald);
        waiting.join().expect("no panic").expect("it passes");
        drop(kept);
    }
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let clock = Arc::new(Running::new(100 * MS, 100 * MS));
    let waiter = Waiter::new(clock.clone());
    let woken = Arc::new(Mutex::new(Vec::new()));
    let [first, second] =
        [0, 1].map(|number| Waker::from(Arc::new(Note { number, woken: woken.clone() })));
    let mut wait = Box::pin(waiter.wait_async(clock.now().expect("it answers").latest()));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
    let began = Instant::now();
    while woken.lock().expect("no panic").is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody is woken");
        thread::sleep(MS);
    }
    assert_eq!(woken.lock().expect("no panic").first(), Some(&1));
}

#[test]
fn a_bound_that_narrows_ends_it_sooner_and_one_that_widens_later() {
    let (clock, waiter) = waiter();
    clock.set_bound(LONG, LONG);
    let target = clock.truth();
    let shared = clock.clone();
    thread::spawn(move || {
        thread::sleep(10 * MS);
        shared.set_bound(MS, MS);
    });
    let waited = futures::executor::block_on(waiter.wait_async(target)).expect("it passes");
    assert!(waited.total < LONG / 10, "{waited:?}");

    let target = clock.now().expect("it answers").latest();
    clock.set_shift(-10_000_000);
    futures::executor::block_on(waiter.wait_async(target)).expect("it passes");
    assert_eq!(clock.after(target), Ok(true));
}

#[test]
fn a_clock_that_goes_back_after_the_wake_is_waited_for_again() {
    let clock = Arc::new(Scripted::new(TODAY, TODAY + 10));
    let waiter = Waiter::with(clock.clone(), WaitSettings::default().patience(LONG));
    let woken = Arc::new(Mutex::new(Vec::new()));
    let waker = Waker::from(Arc::new(Note { number: 0, woken: woken.clone() }));
    let mut wait = Box::pin(waiter.wait_async(at(TODAY + 1_000_000)));
    for round in 1..3 {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        clock.set(TODAY + 2_000_000, TODAY + 2_000_010);
        let began = Instant::now();
        while woken.lock().expect("no panic").len() < round {
            assert!(began.elapsed() < Duration::from_secs(60), "not woken in round {round}");
            thread::sleep(MS);
        }
        clock.set(TODAY, TODAY + 10);
    }
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn errors_come_at_once_or_when_there_is_no_more_time() {
    let block_on = futures::executor::block_on::<_>;
    let (clock, waiter) = waiter();
    let later = clock.truth().saturating_add(LONG);
    let soon = Instant::now() + LONG / 2;
    let refused = futures::executor::block_on(waiter.wait_async_until(later, soon));
    assert!(matches!(refused, Err(WaitError::Impossible { .. })), "{refused:?}");
    assert_eq!(block_on(waiter.wait_async(Timestamp::MAX)), Err(WaitError::Never));

    clock.set_bound(LONG, LONG);
    let late = futures::executor::block_on(
        waiter.wait_async_until(clock.truth(), Instant::now() + 3 * MS),
    );
    assert!(matches!(late, Err(WaitError::Deadline { .. })), "{late:?}");

    let impatient = Waiter::with(clock.clone(), WaitSettings::default().patience(10 * MS));
    clock.set_error(Some(UNSYNCHRONIZED));
    let silent = futures::executor::block_on(impatient.wait_async(later));
    assert!(matches!(silent, Err(WaitError::Clock { error: UNSYNCHRONIZED, .. })), "{silent:?}");

    let stands = Arc::new(Scripted::new(TODAY, TODAY + 10));
    let impatient = Waiter::with(stands, WaitSettings::default().patience(10 * MS));
    let stalled = futures::executor::block_on(impatient.wait_async(at(TODAY + 5)));
    assert!(matches!(stalled, Err(WaitError::Stalled { .. })), "{stalled:?}");
    assert_eq!((waiter.pending(), impatient.pending()), (0, 0));
}

#[test]
fn the_thread_ends_when_there_is_nothing_to_wait_for_and_starts_again() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Counted(Running);
    impl TrueTime for Counted {
        fn now(&self) -> Result<truechimer::Interval, truechimer::ClockError> {
            self.0.now()
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    ALIVE.fetch_add(1, Ordering::SeqCst);
    let waiter = Waiter::new(Counted(Running::new(MS, MS)));
    for _ in 0..2 {
        let target = waiter.clock().now().expect("it answers").latest();
        futures::executor::block_on(waiter.wait_async(target)).expect("it passes");
        thread::sleep(Duration::from_millis(1_300));
    }
    drop(waiter);
    let began = Instant::now();
    while ALIVE.load(Ordering::SeqCst) > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the thread keeps the clock");
        thread::sleep(10 * MS);
    }
}

#[test]
fn a_clock_that_panics_in_the_timers_thread_leaves_nobody_waiting() {
    /// In its timer's thread it panics once; until it is asked there again it is an
    /// hour early, so that nothing passes meanwhile, however long that takes.
    struct Panics(Running, AtomicUsize);
    impl TrueTime for Panics {
        fn now(&self) -> Result<Interval, truechimer::ClockError> {
            let in_timer = thread::current().name() == Some("truechimer-wait");
            let before = self.1.fetch_add(usize::from(in_timer), Ordering::SeqCst);
            assert!(!in_timer || before > 0, "on purpose, once");
            let now = self.0.now()?;
            let early = if in_timer || before > 1 { Duration::ZERO } else { LONG };
            let moved = [now.earliest(), now.latest()].map(|end| end.saturating_sub(early));
            Ok(Interval::new(moved[0], moved[1]).expect("in order"))
        }
    }
    let waiter = Waiter::new(Panics(Running::new(MS, 100 * MS), AtomicUsize::new(0)));
    let target = waiter.clock().0.now().expect("it answers").latest();
    let (tell, told) = mpsc::channel();
    let theirs = waiter.clone();
    thread::spawn(move || tell.send(futures::executor::block_on(theirs.wait_async(target))));
    told.recv_timeout(Duration::from_secs(60)).expect("it is woken").expect("it passes");
    assert!(waiter.clock().1.load(Ordering::SeqCst) > 1, "the thread was started again");
}

#[test]
fn a_batch_is_released_by_one_wait() {
    let (clock, waiter) = waiter();
    let mut batch = Batch::new();
    let first = clock.now().expect("it answers").latest();
    for i in [2u64, 0, 1] {
        batch.push(first.saturating_add(Duration::from_micros(i)), i);
    }
    let (_, released) =
        futures::executor::block_on(batch.release_async(&waiter)).expect("they pass");
    assert_eq!(released, [0, 1, 2]);
}
