//! What is kept on disk belongs to one process: its forked child neither writes nor unlocks it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::alarm;
use tempfile::TempDir;
use truechimer::fence::{DurableFence, FenceError, FencingToken};
use truechimer::{
    ClockError, FileStore, Hlc, HlcError, Interval, RecordError, Store, StoreError, Timestamp,
    TrueTime,
};

/// Runs `child` in a fork, and says whether it returned true.
fn in_a_fork(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child leaves by `_exit`. What it runs takes no lock that another thread of
    // this process may hold at the fork: each test's files are its own.
    match unsafe { libc::fork() } {
        0 => {
            let code = if child() { 0 } else { 1 };
            // SAFETY: ends the process and runs nothing of it.
            unsafe { libc::_exit(code) }
        }
        child => {
            let status = waitpid(nix::unistd::Pid::from_raw(child), None).expect("our own child");
            matches!(status, WaitStatus::Exited(_, 0))
        }
    }
}

fn place() -> TempDir {
    tempfile::tempdir().expect("a place for files")
}

fn is_locked(path: &Path) -> bool {
    matches!(DurableFence::open_existing(path), Err(RecordError::Store(StoreError::Locked { .. })))
}

/// A clock that stands still, a second after 1970.
struct Still;

impl TrueTime for Still {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(Interval::from(Timestamp::from_tai_nanos(1_000_000_000)))
    }
}

#[test]
fn a_forked_child_admits_nobody_in_its_parents_name() {
    let place = place();
    let path = place.path().join("fence");
    let fence = DurableFence::create_new(&path).expect("a new file");
    fence.admit(FencingToken(5)).expect("the first");
    let refused = in_a_fork(|| {
        // 5 is the present token and would need no disk; 9 would.
        [5, 9].into_iter().all(|token| {
            let answer = fence.admit(FencingToken(token));
            matches!(answer, Err(FenceError::Record(RecordError::Store(StoreError::Forked { .. }))))
        })
    });
    assert!(refused, "the child let a token in");
    drop(fence);
    assert_eq!(DurableFence::open_existing(&path).expect("whole").newest(), FencingToken(5));
}

#[test]
fn a_forked_child_does_not_write_its_parents_record() {
    let place = place();
    let path = place.path().join("mark");
    let node = || Hlc::builder(Still).window(Duration::ZERO).open_wait(Duration::ZERO);
    let hlc = node().create_new(&path).expect("a new file");
    let before = hlc.stamp().expect("a first stamp");
    // With a window of zero each stamp is on disk before it is issued.
    let refused = in_a_fork(|| matches!(hlc.stamp(), Err(HlcError::Record(_))));
    assert!(refused, "the child issued a stamp of its parent's node");
    assert!(hlc.stamp().expect("the parent goes on") > before);
}

#[test]
fn a_forked_child_does_not_write_its_parents_store() {
    let place = place();
    let path = place.path().join("state");
    let mut store = FileStore::create_new(&path).expect("a new file");
    store.persist(b"34").expect("the first");
    assert!(in_a_fork(|| {
        let written = store.persist(b"35");
        let read = store.load();
        matches!(written, Err(StoreError::Forked { .. }))
            && matches!(read, Err(StoreError::Forked { .. }))
    }));
    assert_eq!(store.load().expect("the parent goes on").as_deref(), Some(&b"34"[..]));

    // A store that is new removes its lock when it is dropped, and a child's copy does not.
    let path = place.path().join("other");
    let mut store = Some(FileStore::create_new(&path).expect("a new file"));
    assert!(in_a_fork(|| {
        drop(store.take());
        true
    }));
    assert!(matches!(FileStore::create_new(&path), Err(StoreError::Locked { .. })));
    store.expect("the parent's").persist(b"34").expect("the first");
}

#[test]
fn a_forked_child_that_cleans_up_does_not_unlock_its_parents_record() {
    let place = place();
    let path = place.path().join("fence");
    let fence = DurableFence::create_new(&path).expect("a new file");
    let mut fence = Some(fence);
    assert!(in_a_fork(|| {
        drop(fence.take());
        true
    }));
    assert!(is_locked(&path), "the parent is alive, and its file is free");
    drop(fence);
    assert!(!is_locked(&path), "and free when the parent has left");
}

/// A thread is in the middle of a write, with its record's lock in hand.
static IS_WRITING: AtomicBool = AtomicBool::new(false);
/// It may go on.
static MAY_GO_ON: AtomicBool = AtomicBool::new(false);

/// Holds up the thread whose write the system has interrupted.
extern "C" fn hold_up(_: libc::c_int) {
    IS_WRITING.store(true, Ordering::SeqCst);
    while !MAY_GO_ON.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

/// From now on each write to a file is held up in this process: files may not grow, and the
/// signal that says so does not return.
fn hold_up_writes() {
    let action = SigAction::new(SigHandler::Handler(hold_up), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler uses two atomics and gives up the processor.
    unsafe { sigaction(Signal::SIGXFSZ, &action) }.expect("a handler");
    let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads a structure that lives during the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &none) }, 0);
}

/// Whether a child may not `change` what its parent has opened while a thread of the parent has
/// come with its own change up to the file. All of it is in a process of its own, because the
/// limit of files holds for every thread.
fn child_is_refused_during_a_change<T: Sync>(
    open: impl FnOnce() -> T,
    change: impl Fn(&T) -> Result<(), RecordError> + Sync,
) -> bool {
    in_a_fork(|| {
        let opened = open();
        hold_up_writes();
        thread::scope(|scope| {
            let writer = scope.spawn(|| change(&opened));
            while !IS_WRITING.load(Ordering::SeqCst) && !writer.is_finished() {
                thread::yield_now();
            }
            let refused = in_a_fork(|| {
                // A child that waits for that thread is ended, and has failed.
                alarm::set(20);
                matches!(change(&opened), Err(RecordError::Store(StoreError::Forked { .. })))
            });
            MAY_GO_ON.store(true, Ordering::SeqCst);
            let was_writing =
                matches!(writer.join(), Ok(Err(RecordError::Store(StoreError::Io { .. }))));
            refused && was_writing
        })
    })
}

#[test]
fn a_child_is_refused_though_a_thread_of_its_parent_is_writing_the_record() {
    let place = place();
    let path = place.path().join("fence");
    let open = || DurableFence::create_new(&path).expect("a new file");
    let admit = |fence: &DurableFence| match fence.admit(FencingToken(5)) {
        Err(FenceError::Record(error)) => Err(error),
        other => {
            other.expect("the newest");
            Ok(())
        }
    };
    assert!(child_is_refused_during_a_change(open, admit));
}

/// A store whose writes can be held up.
#[derive(Clone, Default)]
struct Held(Arc<(Mutex<HeldState>, Condvar)>);

#[derive(Default)]
struct HeldState {
    content: Option<Vec<u8>>,
    is_held: bool,
    writes: u32,
}

impl Held {
    fn change(&self, change: impl FnOnce(&mut HeldState)) {
        change(&mut self.0.0.lock().expect("no panic"));
        self.0.1.notify_all();
    }

    fn wait_for(&self, is_so: impl Fn(&HeldState) -> bool) {
        let state = self.0.0.lock().expect("no panic");
        drop(self.0.1.wait_while(state, |state| !is_so(state)).expect("no panic"));
    }
}

impl Store for Held {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.0.lock().expect("no panic").content.clone())
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.change(|state| state.writes += 1);
        self.wait_for(|state| !state.is_held);
        self.change(|state| state.content = Some(content.to_vec()));
        Ok(())
    }
}

#[test]
fn a_child_is_refused_though_a_thread_of_its_parent_is_writing_the_mark() {
    let store = Held::default();
    let node = || Hlc::builder(Still).window(Duration::ZERO).open_wait(Duration::ZERO);
    let hlc = node().create_new_in(store.clone()).expect("an empty store");
    hlc.stamp().expect("a first stamp");
    store.change(|state| state.is_held = true);
    let writes = store.0.0.lock().expect("no panic").writes;
    thread::scope(|scope| {
        let writer = scope.spawn(|| hlc.stamp());
        store.wait_for(|state| state.writes > writes);
        let is_refused = |result: Result<(), HlcError>| {
            let Err(HlcError::Record(RecordError::Store(error))) = result else { return false };
            matches!(error, StoreError::Forked { .. })
        };
        let refused = in_a_fork(|| {
            // A child that waits for that thread is ended, and has failed.
            alarm::set(20);
            let status = hlc.mark_status();
            let futures = [
                is_refused(futures::executor::block_on(hlc.stamp_async()).map(drop)),
                is_refused(futures::executor::block_on(hlc.renew_mark_async())),
            ];
            is_refused(hlc.stamp().map(drop))
                && is_refused(hlc.try_stamp().map(drop))
                && is_refused(hlc.commit_stamp().map(drop))
                && is_refused(hlc.renew_mark())
                && is_refused(hlc.reset().map(drop))
                && is_refused(hlc.check())
                && futures == [true, true]
                && status.is_some_and(|status| status.error.is_some())
        });
        store.change(|state| state.is_held = false);
        assert!(refused, "the child waits for its parent's thread, or does its parent's work");
        writer.join().expect("no panic").expect("the parent goes on");
    });
}

#[test]
fn a_child_that_drops_its_parents_clock_neither_waits_nor_ends_it() {
    let store = Held::default();
    let node = Hlc::builder(Still).window(Duration::ZERO).open_wait(Duration::ZERO);
    let mut hlc = Some(node.create_new_in(store.clone()).expect("an empty store"));
    let left = in_a_fork(|| {
        alarm::set(20);
        drop(hlc.take());
        true
    });
    assert!(left, "the child waits for a thread that it does not have");
    hlc.as_ref().expect("the parent has it").stamp().expect("the parent goes on");
}
