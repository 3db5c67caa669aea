//! Sections of tasks under a fencing token: they exclude each other and the sections of threads,
//! and end where their future is dropped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use std::time::Duration;

use futures::channel::oneshot;
use futures::executor::block_on;
use truechimer::fence::{FenceError, Fenced, KeyedFence, KeyedSnapshot, SharedFence};
use truechimer::store::StoreError;
use truechimer::{FencingToken, RecordError};

const OLD: FencingToken = FencingToken(33);
const NEW: FencingToken = FencingToken(34);

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn is_stale<T>(result: Result<T, FenceError>) -> bool {
    matches!(result, Err(FenceError::Stale(stale)) if stale.offered == OLD && stale.newest == NEW)
}

#[test]
fn a_successor_waits_until_the_old_holders_future_has_ended() {
    let log = Fenced::new(Vec::new());
    let (go, gone) = oneshot::channel::<()>();
    let mut old = pin!(log.with_async(OLD, async |log: &mut Vec<&str>| {
        log.push("old begins");
        gone.await.expect("it is told to go on");
        log.push("old ends");
    }));
    let mut new = pin!(log.with_async(NEW, async |log: &mut Vec<&str>| log.push("new")));
    assert!(poll(old.as_mut()).is_pending());
    assert!(poll(new.as_mut()).is_pending(), "the old section still runs");
    assert_eq!(log.newest(), OLD, "asked in the middle of a section");
    go.send(()).expect("it waits");
    assert!(matches!(poll(old.as_mut()), Poll::Ready(Ok(()))));
    assert!(matches!(poll(new.as_mut()), Poll::Ready(Ok(()))));
    assert!(is_stale(block_on(log.with_async(OLD, async |log| log.push("zombie")))));
    assert!(is_stale(log.with(OLD, |log| log.push("zombie"))));
    let mut seen = Vec::new();
    log.with(NEW, |log| seen.clone_from(log)).expect("the present holder");
    assert_eq!(seen, ["old begins", "old ends", "new"]);
}

#[test]
fn a_dropped_future_ends_its_section_and_keeps_what_was_changed_and_the_token() {
    let numbers = Fenced::new(vec![1]);
    let mut dropped = Box::pin(numbers.with_async(NEW, async |numbers: &mut Vec<u32>| {
        numbers.push(2);
        std::future::pending::<()>().await;
        numbers.push(3);
    }));
    assert!(poll(dropped.as_mut()).is_pending());
    drop(dropped);
    assert!(is_stale(numbers.with(OLD, |numbers| numbers.push(4))));
    numbers.with(NEW, |numbers| numbers.push(5)).expect("free again");
    assert_eq!(numbers.into_inner(), (vec![1, 2, 5], NEW));
}

#[test]
fn a_thread_waits_for_a_task_and_a_task_that_waits_is_woken() {
    let shared = Arc::new((Fenced::new(0u32), AtomicBool::new(false)));
    let (go, gone) = oneshot::channel::<()>();
    let mut task = Box::pin(shared.0.with_async(OLD, async |number: &mut u32| {
        gone.await.expect("it is told to go on");
        *number += 1;
    }));
    assert!(poll(task.as_mut()).is_pending());
    let blocked = thread::spawn({
        let shared = shared.clone();
        move || {
            let seen = shared.0.with(NEW, |number| *number).expect("newer");
            assert!(shared.1.load(Ordering::SeqCst), "it did not wait for the task's section");
            seen
        }
    });
    // Whether or not the thread waits by now, the section is still the task's.
    shared.1.store(true, Ordering::SeqCst);
    go.send(()).expect("it waits");
    block_on(task.as_mut()).expect("the old holder was first");
    assert_eq!(blocked.join().expect("no panic"), 1);
}

/// The futures are `Send`, and so may move between the threads of a runtime.
#[test]
fn on_tokio_the_sections_of_many_tasks_and_keys_do_not_overlap() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    runtime.expect("a runtime").block_on(async {
        let fences: Arc<KeyedFence<String>> = Arc::new(KeyedFence::new());
        let inside: Arc<[AtomicBool; 3]> = Arc::default();
        let counter = Arc::new(Fenced::new(0u32));
        let mut tasks = Vec::new();
        for turn in 0..60 {
            let (fences, inside, counter) = (fences.clone(), inside.clone(), counter.clone());
            tasks.push(tokio::spawn(async move {
                let (key, token) = (turn % 3, FencingToken(1));
                let section = async || {
                    assert!(!inside[key].swap(true, Ordering::SeqCst), "two sections at {key}");
                    tokio::task::yield_now().await;
                    inside[key].store(false, Ordering::SeqCst);
                };
                fences.with_async(KEYS[key], token, section).await.expect("never stale");
                let add = async |number: &mut u32| {
                    let seen = *number;
                    tokio::task::yield_now().await;
                    *number = seen + 1;
                };
                counter.with_async(token, add).await.expect("never stale");
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(counter.with(FencingToken(1), |number| *number).expect("never stale"), 60);
    });
}

#[test]
fn at_one_key_sections_take_turns_and_other_keys_and_questions_do_not_wait() {
    let fences: KeyedFence<String> = KeyedFence::new();
    let mut old =
        Box::pin(fences.with_async("a", OLD, async || std::future::pending::<()>().await));
    assert!(poll(old.as_mut()).is_pending());
    let mut new = Box::pin(fences.with_async("a", NEW, async || "new"));
    assert!(poll(new.as_mut()).is_pending(), "the old section still runs");
    assert_eq!(fences.with("b", FencingToken(1), || "b").expect("another key"), "b");
    assert_eq!(fences.newest("a"), Some(OLD));
    assert_eq!(fences.snapshot().newest.len(), 2);
    drop(old);
    assert!(matches!(poll(new.as_mut()), Poll::Ready(Ok("new"))));
    assert!(is_stale(fences.with("a", OLD, || "zombie")));
    assert!(is_stale(block_on(fences.with_async("a", OLD, async || "zombie"))));
    // The floor counts in sections too.
    fences.raise_floor(FencingToken(40));
    fences.with("c", NEW, || "zombie").expect_err("below the floor");
}

#[test]
fn a_raised_floor_gives_the_memory_of_its_keys_back() {
    const KEYS: u32 = if cfg!(miri) { 500 } else { 50_000 };
    let fences = KeyedFence::new();
    for key in 0..KEYS {
        let token = if key % 100 == 0 { NEW } else { OLD };
        fences.admit(&key, token).expect("the first");
    }
    let before = fences.capacity();
    assert!(before >= KEYS as usize);
    assert_eq!(fences.raise_floor(OLD), KEYS as usize * 99 / 100);
    let (kept, room) = (fences.len(), fences.capacity());
    assert_eq!(kept, KEYS as usize / 100);
    assert!(room < 4 * kept, "room for {room} keys of {before}, and there are {kept}");
    fences.raise_floor(NEW);
    assert_eq!((fences.len(), fences.capacity()), (0, 0));
    let restored = KeyedFence::restore(fences.snapshot());
    assert!(is_stale(restored.admit(&7, OLD)), "the floor is in the snapshot");
    // A snapshot may name keys that the floor makes unnecessary.
    let newest = vec![(1, OLD), (2, NEW), (3, FencingToken(35))];
    assert_eq!(KeyedFence::restore(KeyedSnapshot { floor: NEW, newest }).len(), 1);
}

const LONG: Duration = Duration::from_secs(60);

fn is_locked<T>(result: Result<T, FenceError>) -> bool {
    matches!(result, Err(FenceError::Record(RecordError::Store(StoreError::Locked { .. }))))
}

/// A shared fence, and another opening of it that does not wait.
fn shared() -> (tempfile::TempDir, SharedFence, SharedFence) {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    let fence = SharedFence::create_new(&path, LONG).expect("new");
    let impatient = SharedFence::open_existing(&path, Duration::ZERO).expect("there");
    (place, fence, impatient)
}

#[test]
fn the_file_is_locked_while_the_future_runs_and_a_dropped_one_unlocks_it() {
    let (_place, fence, impatient) = shared();
    let (begin, begun) = oneshot::channel::<()>();
    let mut section = Box::pin(fence.with_async(NEW, async || {
        begin.send(()).expect("the test waits");
        std::future::pending::<()>().await
    }));
    block_on(async {
        // Until the section has begun.
        let begun = futures::future::select(begun, section.as_mut());
        assert!(matches!(begun.await, futures::future::Either::Left(_)));
    });
    assert!(is_locked(impatient.with(NEW, || ())), "the section still runs");
    assert!(is_locked(block_on(impatient.with_async(NEW, async || ()))), "and tasks see it too");
    drop(section);
    assert!(is_stale(impatient.with(OLD, || ())), "the token stays admitted");
    impatient.with(NEW, || ()).expect("free again");
}

#[test]
fn a_task_waits_for_the_file_without_blocking_its_thread() {
    let (_place, fence, other) = shared();
    other
        .with(OLD, || {
            let mut waits = Box::pin(fence.with_async(NEW, async || "written"));
            // If this blocked until the file is free, it would block for ever.
            assert!(poll(waits.as_mut()).is_pending());
            let mut second = Box::pin(fence.with_async(NEW, async || unreachable!()));
            assert!(poll(second.as_mut()).is_pending());
            drop(second); // while it waits for its turn
            (waits,) // not by itself, because a section must not return a future
        })
        .map(|(waits,)| assert_eq!(block_on(waits).expect("the file is free"), "written"))
        .expect("the file was free");
    assert!(is_stale(block_on(fence.with_async(OLD, async || unreachable!()))));
    assert_eq!(fence.newest().expect("there"), NEW);
}

#[test]
fn a_task_gives_up_when_its_patience_ends_in_the_queue_of_its_process_too() {
    let (place, fence, _) = shared();
    let short = Duration::from_millis(5);
    let impatient = SharedFence::open_existing(place.path().join("fence"), short).expect("there");
    let waited = fence.with(OLD, || {
        let clones = [impatient.clone(), impatient.clone(), impatient];
        block_on(futures::future::join_all(
            clones
                .iter()
                .map(|fence| fence.with_async(NEW, async || unreachable!("the file is locked"))),
        ))
    });
    let waited = waited.expect("the file was free");
    assert!(waited.into_iter().all(|result: Result<(), _>| is_locked(result)));
    assert_eq!(fence.newest().expect("there"), OLD, "nothing was admitted");
}

#[test]
fn on_tokio_the_sections_of_a_shared_fence_do_not_overlap() {
    let (_place, fence, _) = shared();
    let inside = Arc::new(AtomicBool::new(false));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // Paused time, because the wait for the file is in real time.
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (fence, inside) = (fence.clone(), inside.clone());
                tokio::spawn(async move {
                    let section = async || {
                        assert!(!inside.swap(true, Ordering::SeqCst), "two sections");
                        tokio::task::yield_now().await;
                        inside.store(false, Ordering::SeqCst);
                    };
                    fence.with_async(NEW, section).await
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic").expect("never stale");
        }
    });
}
