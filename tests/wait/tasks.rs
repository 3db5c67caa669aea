//! Asynchronous waits: on any executor, many at once, in order, and removed when dropped.
//!
//! Only the tests of the executors read a clock that runs. In all others the clock is
//! moved by hand, and the waits that are due are woken before the move returns.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::clocks::{LONG, MS, UNSYNCHRONIZED, at_ms, manual_ms, span_ms};
use crate::support::Running;
use futures::executor::block_on;
use futures::future::join_all;
use truechimer::clock::Changes;
use truechimer::wait::{Batch, WaitFuture, WaitSettings};
use truechimer::{
    ClockError, Interval, ManualClock, Timestamp, TrueTime, WaitError, Waited, Waiter,
};

fn waiter() -> (Arc<Running>, Waiter<Arc<Running>>) {
    let clock = Arc::new(Running::new(MS, MS));
    (clock.clone(), Waiter::new(clock))
}

/// A waiter on this clock that nothing but the clock ends.
fn patient(clock: &ManualClock) -> Waiter<ManualClock> {
    Waiter::with_settings(clock.clone(), WaitSettings::default().patience(LONG))
}

/// One commit: the wait for `latest`, and whether it had passed at the end.
async fn commit(waiter: Waiter<Arc<Running>>) -> (Waited, bool) {
    let target = waiter.clock().now().expect("a reading").latest();
    let waited = waiter.wait_async(target).await.expect("it passes");
    (waited, waiter.clock().after(target) == Ok(true))
}

fn is_sound((waited, passed): (Waited, bool)) {
    assert!(passed && waited.overshoot <= waited.total, "{waited:?}");
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
fn the_clocks_own_waits_work_on_every_executor_and_on_a_clock_without_a_thread() {
    let builder = || truechimer::Clock::builder().without_kernel().assume_error(MS);
    for clock in [builder().build(), builder().manual().build()] {
        let clock = clock.expect("a clock");
        let wait = || async {
            let now = clock.wait_synchronized_async(LONG).await.expect("the operator states it");
            let passed = clock.commit_wait_async(now.latest()).await;
            passed.expect("it passes");
            assert_eq!(clock.after(now.latest()), Ok(true));
        };
        block_on(wait());
        block_on(async_executor::Executor::new().run(wait()));
        for mut builder in [
            tokio::runtime::Builder::new_current_thread(),
            tokio::runtime::Builder::new_multi_thread(),
        ] {
            builder.build().expect("a runtime").block_on(wait());
        }
        // Many at once, on one timer.
        let now = clock.now().expect("a reading");
        let waits = block_on(join_all((0..50).map(|_| clock.commit_wait_async(now.latest()))));
        assert!(waits.into_iter().all(|waited| waited.is_ok()));
    }
}

#[test]
fn it_works_on_smols_executor() {
    let (_, waiter) = waiter();
    let executor = async_executor::Executor::new();
    block_on(executor.run(async {
        let tasks: Vec<_> = (0..10).map(|_| executor.spawn(commit(waiter.clone()))).collect();
        for task in tasks {
            is_sound(task.await);
        }
    }));
}

#[test]
fn it_works_on_the_executor_of_futures() {
    let (_, waiter) = waiter();
    block_on(async {
        is_sound(commit(waiter.clone()).await);
        join_all((0..10).map(|_| commit(waiter.clone()))).await.into_iter().for_each(is_sound);
    });
}

/// A waker that records its number when it is woken, in a list that all share.
struct Recorder {
    number: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Recorder {
    fn wake(self: Arc<Self>) {
        self.woken.lock().expect("no panic").push(self.number);
    }
}

/// Wakers with the numbers that they record.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<usize>>>);

impl Record {
    fn waker(&self, number: usize) -> Waker {
        Waker::from(Arc::new(Recorder { number, woken: self.0.clone() }))
    }

    /// Who was woken since the last call.
    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

type Wait<C> = std::pin::Pin<Box<WaitFuture<C>>>;

fn poll<C>(wait: &mut Wait<C>, waker: &Waker) -> Poll<Result<Waited, WaitError>>
where
    C: TrueTime + Send + Sync + 'static,
{
    wait.as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn without_spinning_it_works_too() {
    let clock = manual_ms(0, 2);
    let settings = WaitSettings::default().spin(Duration::ZERO).patience(LONG);
    let waiter = Waiter::with_settings(clock.clone(), settings);
    let record = Record::default();
    let mut wait = Box::pin(waiter.wait_async(at_ms(2)));
    assert!(poll(&mut wait, &record.waker(0)).is_pending());
    clock.advance(2 * MS);
    assert!(record.take().is_empty() && poll(&mut wait, &record.waker(0)).is_pending());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(record.take(), [0]);
    match poll(&mut wait, &record.waker(0)) {
        Poll::Ready(Ok(waited)) => assert!(waited.spun.is_zero() && waited.sleeps == 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_move_of_the_clock_wakes_what_is_due_in_order_before_it_returns() {
    let clock = manual_ms(0, 1);
    let waiter = patient(&clock);
    let record = Record::default();
    let moments = [300, 100, 400, 200, 100];
    let mut waits = moments.map(|ms| Box::pin(waiter.wait_async(at_ms(ms))));
    for (i, wait) in waits.iter_mut().enumerate() {
        assert!(poll(wait, &record.waker(i)).is_pending());
    }
    clock.advance(50 * MS);
    assert!(record.take().is_empty());
    clock.set(span_ms(250, 260));
    assert_eq!(record.take(), [1, 4, 3]);
    // An error wakes the others too, because it may end them. This one does not.
    clock.fail(UNSYNCHRONIZED);
    assert_eq!(record.take(), [0, 2]);
    assert!(poll(&mut waits[0], &record.waker(0)).is_pending());
    clock.set(span_ms(500, 500));
    assert_eq!(record.take(), [0, 2]);
    for (i, wait) in waits.iter_mut().enumerate() {
        assert!(matches!(poll(wait, &record.waker(i)), Poll::Ready(Ok(_))));
    }
    assert_eq!(waiter.pending(), 0);
}

#[test]
fn a_hundred_thousand_waits_are_pending_at_once_and_woken_in_order() {
    const MANY: usize = 100_000;
    let clock = manual_ms(0, 1_000);
    let waiter = patient(&clock);
    let record = Record::default();
    // 7 919 is coprime to the number, so each place comes once and in no order.
    let mut waits: Vec<_> = (0..MANY)
        .map(|i| {
            let number = i * 7_919 % MANY;
            let moment = at_ms(10).saturating_add(Duration::from_nanos(number as u64));
            (Box::pin(waiter.wait_async(moment)), record.waker(number))
        })
        .collect();
    for (wait, waker) in &mut waits {
        assert!(poll(wait, waker).is_pending());
    }
    assert_eq!(waiter.pending(), MANY);

    clock.advance(LONG);
    assert!(record.take().into_iter().eq(0..MANY), "out of order");
    for (wait, waker) in &mut waits {
        assert!(matches!(poll(wait, waker), Poll::Ready(Ok(_))));
    }
    assert_eq!(waiter.pending(), 0);
}

#[test]
fn tasks_of_one_executor_finish_in_the_order_of_their_moments() {
    const TASKS: i64 = 2_000;
    let clock = manual_ms(0, 1);
    let waiter = patient(&clock);
    let finished = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                let number = i * 7 % TASKS;
                let (waiter, finished) = (waiter.clone(), finished.clone());
                tokio::spawn(async move {
                    waiter.wait_async(at_ms(10 + number)).await.expect("it passes");
                    assert_eq!(waiter.clock().after(at_ms(10 + number)), Ok(true));
                    finished.lock().expect("no panic").push(number);
                })
            })
            .collect();
        while waiter.pending() < TASKS as usize {
            tokio::task::yield_now().await;
        }
        clock.advance(LONG);
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert!(finished.lock().expect("no panic").iter().copied().eq(0..TASKS), "out of order");
}

#[test]
fn a_future_that_is_dropped_is_removed_at_once() {
    let clock = manual_ms(0, 1);
    let waiter = patient(&clock);
    let record = Record::default();
    let [mut soon, mut later] = [5, 9].map(|ms| Box::pin(waiter.wait_async(at_ms(ms))));
    assert!(poll(&mut soon, &record.waker(0)).is_pending());
    assert!(poll(&mut later, &record.waker(1)).is_pending());
    assert_eq!(waiter.pending(), 2);
    drop(soon);
    assert_eq!(waiter.pending(), 1);
    clock.advance(LONG);
    assert_eq!(record.take(), [1]);
    drop(later);
    let mut limited =
        Box::pin(waiter.wait_async_until(at_ms(7_200_000), Instant::now() + 9 * LONG));
    assert!(poll(&mut limited, &record.waker(2)).is_pending());
    drop(limited);
    assert_eq!(waiter.pending(), 0);
}

#[test]
fn a_leader_that_is_dropped_or_stuck_keeps_no_follower_waiting() {
    // Only a clock that runs has a leader. Whenever this leader is dropped, early or
    // late, the follower must end.
    let (clock, waiter) = waiter();
    for round in 0..40 {
        let target = clock.now().expect("a reading").latest();
        let behind = target.saturating_add(Duration::from_micros(1));
        let mut leader = Box::pin(waiter.wait_async(target));
        let _ = poll(&mut leader, Waker::noop());
        let theirs = waiter.clone();
        let follower = thread::spawn(move || block_on(theirs.wait_async(behind)));
        // Around the early wake it is dropped, or never polled again.
        thread::sleep(2 * MS - Duration::from_micros(60));
        let _stuck = (round % 2 == 0).then_some(leader);
        follower.join().expect("no panic").expect("it passes");
    }
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let clock = manual_ms(0, 1);
    let waiter = patient(&clock);
    let record = Record::default();
    let mut wait = Box::pin(waiter.wait_async(at_ms(100)));
    assert!(poll(&mut wait, &record.waker(1)).is_pending());
    assert!(poll(&mut wait, &record.waker(2)).is_pending());
    clock.advance(LONG);
    assert_eq!(record.take(), [2]);
}

#[test]
fn a_bound_that_narrows_ends_it_sooner_and_one_that_widens_later() {
    let clock = manual_ms(-3_600_000, 3_600_000);
    let waiter = patient(&clock);
    let record = Record::default();
    let mut wait = Box::pin(waiter.wait_async(at_ms(0)));
    assert!(poll(&mut wait, &record.waker(0)).is_pending());
    clock.set(span_ms(1, 2));
    assert_eq!(record.take(), [0]);
    assert!(poll(&mut wait, &record.waker(0)).is_ready());

    let mut wait = Box::pin(waiter.wait_async(at_ms(5)));
    assert!(poll(&mut wait, &record.waker(1)).is_pending());
    clock.advance(9 * MS);
    clock.widen(9 * MS); // before the woken task is polled
    assert_eq!(record.take(), [1]);
    assert!(poll(&mut wait, &record.waker(1)).is_pending());
    clock.advance(9 * MS);
    assert_eq!(record.take(), [1]);
    assert!(poll(&mut wait, &record.waker(1)).is_ready());
}

#[test]
fn a_wait_whose_clock_goes_back_after_the_wake_registers_again() {
    let clock = manual_ms(0, 1);
    let waiter = patient(&clock);
    let record = Record::default();
    let mut wait = Box::pin(waiter.wait_async(at_ms(100)));
    for _ in 0..3 {
        assert!(poll(&mut wait, &record.waker(0)).is_pending());
        clock.set(span_ms(200, 200));
        assert_eq!(record.take(), [0]);
        clock.set(span_ms(0, 1));
    }
    assert!(poll(&mut wait, &record.waker(0)).is_pending());
    assert_eq!(waiter.pending(), 1);
}

#[test]
fn errors_come_at_once_or_when_there_is_no_more_time() {
    let clock = manual_ms(0, 2);
    let waiter = Waiter::new(clock.clone());
    let soon = Instant::now() + LONG / 2;
    let refused = block_on(waiter.wait_async_until(at_ms(3_600_000), soon));
    assert!(matches!(refused, Err(WaitError::Impossible { .. })), "{refused:?}");
    assert_eq!(block_on(waiter.wait_async(Timestamp::MAX)), Err(WaitError::Never));

    clock.widen(LONG);
    let late = block_on(waiter.wait_async_until(at_ms(0), Instant::now() + 3 * MS));
    assert!(matches!(late, Err(WaitError::Deadline { .. })), "{late:?}");

    let settings = WaitSettings::default().patience(10 * MS);
    let impatient = Waiter::with_settings(clock.clone(), settings);
    let stalled = block_on(impatient.wait_async(at_ms(0)));
    assert!(matches!(stalled, Err(WaitError::Stalled { .. })), "{stalled:?}");
    clock.fail(UNSYNCHRONIZED);
    let silent = block_on(impatient.wait_async(at_ms(0)));
    assert!(matches!(silent, Err(WaitError::Clock { error: UNSYNCHRONIZED, .. })), "{silent:?}");
    assert_eq!((waiter.pending(), impatient.pending()), (0, 0));
}

#[test]
fn the_thread_ends_when_there_is_nothing_to_wait_for_and_starts_again() {
    let clock = Arc::new(manual_ms(0, 1));
    let waiter = Waiter::with_settings(clock.clone(), WaitSettings::default().patience(LONG));
    let record = Record::default();
    for round in 1..=2 {
        let mut wait = Box::pin(waiter.wait_async(at_ms(round * 10)));
        assert!(poll(&mut wait, &record.waker(0)).is_pending());
        clock.advance(20 * MS);
        assert!(poll(&mut wait, &record.waker(0)).is_ready());
        thread::sleep(Duration::from_millis(1_100)); // it stays for a second
    }
    drop(waiter);
    // The thread's own reference is the last one.
    while Arc::strong_count(&clock) > 1 {
        thread::sleep(MS);
    }
}

#[test]
fn a_clock_that_panics_in_the_timers_thread_leaves_no_wait_behind() {
    /// Panics when the timer's thread reads it for the first time.
    struct Panics(ManualClock, AtomicUsize);
    impl TrueTime for Panics {
        fn now(&self) -> Result<Interval, ClockError> {
            let in_timer = thread::current().name() == Some("truechimer-wait");
            let before = self.1.fetch_add(usize::from(in_timer), Ordering::SeqCst);
            assert!(!in_timer || before > 0, "on purpose, once");
            self.0.now()
        }
        fn changes(&self) -> Option<&Changes> {
            self.0.changes()
        }
    }
    let clock = manual_ms(0, 1);
    let panics = Panics(clock.clone(), AtomicUsize::new(0));
    let waiter = Waiter::with_settings(panics, WaitSettings::default().patience(LONG));
    let theirs = waiter.clone();
    let wait = thread::spawn(move || block_on(theirs.wait_async(at_ms(5))));
    // The first thread panics and wakes the wait, which starts the second.
    while waiter.clock().1.load(Ordering::SeqCst) < 2 {
        assert!(!wait.is_finished(), "its moment has not passed");
        thread::sleep(MS);
    }
    clock.advance(LONG);
    wait.join().expect("no panic").expect("it has passed");
}

#[test]
fn a_batch_is_released_by_one_wait() {
    let clock = manual_ms(0, 1);
    let waiter = patient(&clock);
    let mut batch = Batch::new();
    for i in [2, 0, 1] {
        batch.push(at_ms(5 + i), i);
    }
    let theirs = waiter.clone();
    let wait = thread::spawn(move || block_on(batch.release_async(&theirs)));
    while waiter.pending() < 1 {
        thread::sleep(Duration::from_micros(100));
    }
    assert_eq!(waiter.pending(), 1);
    clock.advance(LONG);
    let (_, released) = wait.join().expect("no panic").expect("they have passed");
    assert_eq!(released, [0, 1, 2]);
}
