//! The mark on a slow, a failing and a panicking store: who waits for it, and who is told.
//!
//! The store is a model. Its `persist` can be held until the test lets it go, so that a test
//! looks at the middle of a write and does not wait for luck. Clocks stand still until they are
//! moved.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{TODAY, at, manual, span};
use truechimer::store::{Store, StoreError};
use truechimer::{Hlc, HlcError, ManualClock, RecordError, Stamp};

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
/// So long that nothing is written by itself while a test runs.
const WINDOW: Duration = Duration::from_secs(3_600);
/// A test that waits for so long has failed.
const TOO_LONG: Duration = Duration::from_secs(20);

/// What the model and the test share.
#[derive(Default)]
struct Model {
    content: Option<Vec<u8>>,
    /// `persist` waits while this is set.
    is_held: bool,
    /// The content of a write that is held is there already, as after a rename that is not synced.
    is_seen_early: bool,
    is_full: bool,
    panics: bool,
    /// How many writes have begun and ended.
    begun: usize,
    ended: usize,
    /// The threads that have written.
    writers: Vec<Option<String>>,
    is_dropped: bool,
}

#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<Model>, Condvar)>);

impl Disk {
    fn change(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.model());
        self.0.1.notify_all();
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, is_so: impl Fn(&Model) -> bool) -> MutexGuard<'_, Model> {
        let (model, timeout) = self
            .0
            .1
            .wait_timeout_while(self.model(), TOO_LONG, |model| !is_so(model))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "it never came to this");
        model
    }

    fn wait_for(&self, is_so: impl Fn(&Model) -> bool) {
        drop(self.wait_until(is_so));
    }

    /// The mark in the store.
    fn mark(&self) -> Stamp {
        let model = self.model();
        let content = model.content.as_ref().expect("a record");
        Stamp::from_be_bytes(content[16..24].try_into().expect("eight bytes"))
    }
}

impl Store for Disk {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.model().content.clone())
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.change(|model| {
            model.begun += 1;
            model.writers.push(thread::current().name().map(str::to_owned));
            if model.is_seen_early {
                model.content = Some(content.to_vec());
            }
        });
        let mut model = self.wait_until(|model| !model.is_held);
        model.ended += 1;
        let (is_full, panics) = (model.is_full, model.panics);
        if !is_full && !panics {
            model.content = Some(content.to_vec());
        }
        drop(model);
        self.0.1.notify_all();
        assert!(!panics, "a bug in the store");
        if is_full {
            let error = io::ErrorKind::StorageFull.into();
            return Err(StoreError::io("append to", self.place(), error));
        }
        Ok(())
    }

    fn place(&self) -> String {
        "the model".to_owned()
    }
}

/// The store's own handle, which says when the store was given up.
struct Handle(Disk);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.change(|model| model.is_dropped = true);
    }
}

impl Store for Handle {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load()
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.0.persist(content)
    }
}

/// A new node whose clock reads `TODAY`, with a mark that is an hour ahead, and its disk.
fn node() -> (Disk, ManualClock, Hlc<ManualClock>) {
    let (disk, clock) = (Disk::default(), manual(TODAY, TODAY));
    let builder = Hlc::builder(clock.clone()).window(WINDOW);
    let hlc = builder.create_new_in(Handle(disk.clone())).expect("an empty store");
    assert!(disk.mark() >= Stamp::from(at(TODAY + HOUR)));
    (disk, clock, hlc)
}

fn set(clock: &ManualClock, since_today: i64) {
    clock.set(span(TODAY + since_today, TODAY + since_today));
}

/// Waits until the thread of the mark has noted how a write ended.
fn wait_for_status(hlc: &Hlc<ManualClock>, is_so: impl Fn(&truechimer::hlc::MarkStatus) -> bool) {
    let began = Instant::now();
    while !is_so(&hlc.mark_status().expect("it has a mark")) {
        assert!(began.elapsed() < TOO_LONG, "it never came to this");
        thread::yield_now();
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn stamps_go_on_while_the_store_is_held_and_none_is_above_its_mark() {
    let (disk, clock, hlc) = node();
    let mark = disk.mark();
    disk.change(|model| model.is_held = true);
    set(&clock, 40 * MINUTE);
    hlc.stamp().expect("in the second half of the window");
    let begun = disk.wait_until(|model| model.begun == 3).begun;
    // Eight threads take the rest of the window, in the middle of the write.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for minute in 41..60 {
                    set(&clock, minute * MINUTE);
                    for _ in 0..100 {
                        // Another thread may have set the clock back or ahead by some minutes.
                        if let Ok(stamp) = hlc.stamp() {
                            assert!(stamp <= mark);
                        }
                    }
                }
            });
        }
    });
    assert_eq!((disk.mark(), disk.model().begun), (mark, begun), "the write has not ended");
    // A stamp above the mark is not issued before the write ends.
    set(&clock, 110 * MINUTE);
    for _ in 0..3 {
        match hlc.try_stamp() {
            Err(error @ HlcError::MarkUsedUp { asked, limit }) => {
                assert!(asked > limit && limit == mark && error.is_transient(), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(hlc.try_commit_stamp(), Err(HlcError::MarkUsedUp { .. })));
    }
    let issued = thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (hlc.stamp().expect("raised"), disk.mark()))).collect();
        disk.change(|model| model.is_held = false);
        waiting.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(issued.into_iter().all(|(stamp, mark)| stamp <= mark), "above the mark");
    // One write was under way, and one covered all eight.
    assert_eq!(disk.model().begun, begun + 1);
}

#[test]
fn no_thread_that_takes_a_stamp_writes() {
    let (disk, clock, hlc) = node();
    for tens in 1..100 {
        set(&clock, 10 * tens * MINUTE);
        hlc.stamp().expect("a stamp");
        hlc.try_stamp().or_else(|_| hlc.stamp()).expect("a stamp");
        drop(hlc.commit_stamp().expect("a commit stamp"));
        futures::executor::block_on(hlc.stamp_async()).expect("a stamp");
    }
    hlc.renew_mark().expect("it waits for the thread");
    let writers = disk.model().writers.clone();
    // The first made the record, before the thread was there.
    assert!(writers.len() > 10, "{writers:?}");
    assert!(writers[1..].iter().all(|name| name.as_deref() == Some("truechimer-mark")));
}

#[test]
fn a_future_is_woken_by_the_write_and_its_thread_does_not_wait() {
    let (disk, clock, hlc) = node();
    disk.change(|model| model.is_held = true);
    set(&clock, 100 * MINUTE);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let mut stamp = pin!(hlc.stamp_async());
    let mut commit = pin!(hlc.commit_stamp_async());
    let mut renewal = pin!(hlc.renew_mark_async());
    assert!(stamp.as_mut().poll(&mut context).is_pending());
    assert!(stamp.as_mut().poll(&mut context).is_pending(), "and again");
    assert!(commit.as_mut().poll(&mut context).is_pending());
    assert!(renewal.as_mut().poll(&mut context).is_pending());
    drop(Box::pin(hlc.stamp_async()));
    disk.wait_for(|model| model.begun == 3);
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    disk.change(|model| model.is_held = false);
    wait_for_status(&hlc, |status| status.limit >= Stamp::from(at(TODAY + 100 * MINUTE)));
    assert!(matches!(stamp.as_mut().poll(&mut context), Poll::Ready(Ok(s)) if s <= disk.mark()));
    assert!(matches!(commit.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    assert!(matches!(renewal.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
    let began = Instant::now();
    while count.0.load(Ordering::SeqCst) == 0 {
        // It is woken right after the limit was raised. Without an end, a lost wake would hang here.
        assert!(began.elapsed() < Duration::from_secs(20), "nobody woke the future");
        thread::yield_now();
    }

    // An error of the store ends the wait too.
    disk.change(|model| model.is_full = true);
    set(&clock, 100 * HOUR);
    let error = futures::executor::block_on(hlc.stamp_async()).expect_err("the disk is full");
    assert!(matches!(error, HlcError::Record(_)) && error.is_transient(), "{error}");
}

#[test]
fn an_error_of_the_store_is_told_before_the_window_is_used_up() {
    let (disk, clock, hlc) = node();
    let mark = disk.mark();
    hlc.check().expect("all is well");
    disk.change(|model| model.is_full = true);
    set(&clock, 40 * MINUTE);
    hlc.stamp().expect("in the second half of the window");
    wait_for_status(&hlc, |status| status.error.is_some());
    let told = hlc.check().expect_err("told while a third of the window is left");
    assert!(
        matches!(told, HlcError::Record(_)) && told.to_string().contains("the model"),
        "{told}"
    );
    assert_eq!(hlc.mark_status().expect("a mark").limit, mark);
    set(&clock, 59 * MINUTE);
    assert!(hlc.stamp().expect("the window holds") <= mark);

    set(&clock, 61 * MINUTE);
    for _ in 0..3 {
        assert!(matches!(hlc.stamp(), Err(HlcError::Record(_))));
        assert!(matches!(hlc.stamp_logical(), Err(HlcError::Record(_))));
        assert!(matches!(hlc.commit_stamp(), Err(HlcError::Record(_))));
        assert!(matches!(hlc.renew_mark(), Err(HlcError::Record(_))));
    }
    assert_eq!(disk.mark(), mark);
    disk.change(|model| model.is_full = false);
    assert!(hlc.stamp().expect("there is room again") <= disk.mark());
    hlc.check().expect("all is well again");
}

/// A node whose clock was eight hours ahead, and is right now. It is about to be reset.
fn node_led_astray(is_seen_early: bool) -> (Disk, ManualClock, Hlc<ManualClock>) {
    let (disk, clock, hlc) = node();
    set(&clock, 8 * HOUR);
    hlc.stamp().expect("nothing shows the error yet");
    set(&clock, 0);
    assert!(matches!(hlc.stamp(), Err(HlcError::Poisoned { .. })));
    disk.change(|model| {
        model.is_held = true;
        model.is_seen_early = is_seen_early;
    });
    (disk, clock, hlc)
}

#[test]
fn a_reset_on_a_slow_store_issues_nothing_above_either_mark() {
    for is_seen_early in [false, true] {
        let (disk, clock, hlc) = node_led_astray(is_seen_early);
        let begun = disk.model().begun;
        thread::scope(|scope| {
            let operator = scope.spawn(|| hlc.reset());
            disk.wait_for(|model| model.begun > begun);
            // The lower mark may be in the store now, or come at any moment.
            let lower = Stamp::from(at(TODAY + HOUR));
            assert_eq!(disk.mark() == lower, is_seen_early);
            for minute in [0, 30, 59] {
                set(&clock, minute * MINUTE);
                assert!(hlc.try_stamp().expect("below both") <= lower);
            }
            for minute in [61, 100, 8 * 60] {
                set(&clock, minute * MINUTE);
                for result in [hlc.try_stamp(), hlc.try_commit_stamp().map(|_| Stamp::MAX)] {
                    assert!(matches!(result, Err(HlcError::MarkUsedUp { .. })), "{result:?}");
                }
            }
            disk.change(|model| model.is_held = false);
            let before = operator.join().expect("no panic").expect("stored");
            assert_eq!(before, Stamp::from(at(TODAY + 8 * HOUR)));
        });
        assert!(hlc.stamp().expect("the mark is raised") <= disk.mark());
    }
}

#[test]
fn a_reset_to_a_higher_mark_counts_only_when_it_is_stored() {
    let (disk, clock, hlc) = node();
    let old = disk.mark();
    set(&clock, 20 * MINUTE);
    disk.change(|model| model.is_held = true);
    thread::scope(|scope| {
        let operator = scope.spawn(|| hlc.reset());
        disk.wait_for(|model| model.begun == 3);
        set(&clock, 70 * MINUTE);
        assert_eq!(disk.mark(), old);
        assert!(matches!(hlc.try_stamp(), Err(HlcError::MarkUsedUp { .. })));
        disk.change(|model| model.is_held = false);
        operator.join().expect("no panic").expect("stored");
    });
    assert!(hlc.stamp().expect("stored") <= disk.mark());
}

#[test]
fn a_reset_that_the_store_refuses_says_so_and_lifts_nothing() {
    let (disk, clock, hlc) = node_led_astray(false);
    disk.change(|model| (model.is_held, model.is_full) = (false, true));
    assert!(matches!(hlc.reset(), Err(HlcError::Record(_))));
    set(&clock, 61 * MINUTE);
    assert!(hlc.stamp().is_err(), "above the mark that may be in the store");
    disk.change(|model| model.is_full = false);
    set(&clock, 1);
    hlc.reset().expect("called again");
    assert!(hlc.stamp().expect("taken back") <= disk.mark());
    let reached = disk.mark().timestamp();
    assert!(reached < at(TODAY + 2 * HOUR), "the mark was taken back too: {reached}");
}

#[test]
fn the_window_follows_the_latency_of_the_store() {
    /// Sleeps at least so long, which is all that the test relies on.
    struct Slow(Disk, Duration);
    impl Store for Slow {
        fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.load()
        }
        fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
            thread::sleep(self.1);
            self.0.persist(content)
        }
    }
    let (disk, clock) = (Disk::default(), manual(TODAY, TODAY));
    let (latency, window) = (Duration::from_millis(20), Duration::from_micros(1));
    let builder = Hlc::builder(clock.clone()).window(window);
    let hlc = builder.create_new_in(Slow(disk.clone(), latency)).expect("an empty store");
    let status = hlc.mark_status().expect("a mark");
    assert!(status.latency >= latency && status.window >= 4 * latency, "{status:?}");
    set(&clock, HOUR);
    hlc.stamp().expect("a stamp");
    assert!(disk.mark() >= Stamp::from(at(TODAY + HOUR + 80_000_000)), "{:?}", disk.mark());
}

#[test]
fn the_mark_is_raised_without_a_stamp_until_the_node_is_idle() {
    let (disk, clock) = (Disk::default(), manual(TODAY, TODAY));
    let builder = Hlc::builder(clock.clone()).window(Duration::from_millis(4));
    let hlc = builder.create_new_in(Handle(disk.clone())).expect("an empty store");
    disk.wait_for(|model| model.begun >= 8);
    hlc.stamp().expect("a stamp");
}

#[test]
fn a_store_that_panics_gives_errors_and_nobody_waits_for_ever() {
    let (disk, clock, hlc) = node();
    let mark = disk.mark();
    disk.change(|model| model.panics = true);
    set(&clock, 2 * HOUR);
    for _ in 0..2 {
        let error = hlc.stamp().expect_err("the thread has ended");
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    assert!(matches!(hlc.check(), Err(HlcError::Record(_))));
    assert!(matches!(hlc.renew_mark(), Err(HlcError::Record(_))));
    assert!(futures::executor::block_on(hlc.stamp_async()).is_err());
    assert!(hlc.reset().is_err());
    set(&clock, 59 * MINUTE);
    assert!(hlc.stamp().expect("the window holds") <= mark);
    assert!(disk.model().is_dropped, "the store is given up with the thread");
}

#[test]
fn dropping_a_clock_waits_for_the_write_under_way_and_gives_the_store_up() {
    let (disk, clock, hlc) = node();
    disk.change(|model| model.is_held = true);
    set(&clock, 40 * MINUTE);
    hlc.stamp().expect("in the second half of the window");
    disk.wait_for(|model| model.begun == 3);
    thread::scope(|scope| {
        let dropping = scope.spawn(|| drop(hlc));
        assert!(!disk.model().is_dropped);
        disk.change(|model| model.is_held = false);
        dropping.join().expect("no panic");
    });
    let model = disk.model();
    assert!(model.is_dropped && model.begun == model.ended);
    drop(model);
    let again = Hlc::builder(&clock).open_wait(Duration::ZERO).open_existing_in(disk.clone());
    assert!(matches!(again.expect("a record").stamp(), Err(HlcError::Ahead { .. })));
}

#[test]
fn a_store_that_is_empty_or_not_is_opened_by_the_right_call_only() {
    let (disk, clock) = (Disk::default(), manual(TODAY, TODAY));
    let builder = || Hlc::builder(&clock).open_wait(Duration::ZERO);
    let missing = builder().open_existing_in(disk.clone()).expect_err("it is empty");
    assert!(matches!(missing, RecordError::Store(StoreError::Missing { .. })), "{missing}");
    assert_eq!(disk.model().begun, 0);
    drop(builder().create_new_in(disk.clone()).expect("the first start"));
    let begun = disk.model().begun;
    let exists = builder().create_new_in(disk.clone()).expect_err("it is not empty");
    assert!(matches!(exists, RecordError::Store(StoreError::Exists { .. })), "{exists}");
    assert_eq!(disk.model().begun, begun);
}

#[test]
fn without_a_thread_there_are_two_writes_per_window_by_the_thread_that_stamps() {
    // No latency of the store makes it longer, so a busy machine changes nothing.
    let window = Duration::from_secs(10);
    let (disk, clock) = (Disk::default(), manual(TODAY, TODAY));
    let builder = Hlc::builder(clock.clone()).window(window).without_thread();
    let hlc = builder.create_new_in(disk.clone()).expect("an empty store");
    let before = disk.model().begun;
    for tick in 0..1_000 {
        // Ten windows pass.
        set(&clock, tick * 100_000_000);
        assert!(hlc.stamp().expect("a stamp") <= disk.mark());
    }
    let writes = disk.model().begun - before;
    assert!((18..=20).contains(&writes), "{writes} writes");

    // What does not wait does not write either.
    set(&clock, HOUR);
    let begun = disk.model().begun;
    assert!(matches!(hlc.try_stamp(), Err(HlcError::MarkUsedUp { .. })));
    assert_eq!(disk.model().begun, begun);
    hlc.renew_mark().expect("written here");
    assert!(hlc.try_stamp().expect("a stamp") <= disk.mark());
    futures::executor::block_on(hlc.renew_mark_async()).expect("nothing to do");
    set(&clock, 2 * HOUR);
    assert!(futures::executor::block_on(hlc.stamp_async()).expect("written here") <= disk.mark());
    let me = thread::current().name().map(str::to_owned);
    assert!(disk.model().writers.iter().all(|name| *name == me));

    // Errors come when the window is used up, and a reset takes the mark back.
    disk.change(|model| model.is_full = true);
    set(&clock, 3 * HOUR);
    assert!(matches!(hlc.stamp(), Err(HlcError::Record(_))));
    assert!(matches!(hlc.check(), Err(HlcError::Record(_))));
    assert!(matches!(hlc.reset(), Err(HlcError::Record(_))));
    disk.change(|model| model.is_full = false);
    set(&clock, 0);
    hlc.reset().expect("stored");
    assert_eq!(disk.mark(), Stamp::from(at(TODAY + 10_000_000_000)));
    assert_eq!(hlc.try_stamp().expect("taken back"), Stamp::from(at(TODAY)).next().expect("one"));
}
