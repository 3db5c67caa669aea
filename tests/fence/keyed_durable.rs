//! Durable fences with keys: in a store that fails and crashes, and in a file.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};

use futures::executor::block_on;
use proptest::prelude::*;
use truechimer::RecordError;
use truechimer::fence::{DurableFence, DurableKeyedFence, FenceError, FencingToken, StaleToken};
use truechimer::store::{FileStore, Store, StoreError};

const OLD: FencingToken = FencingToken(33);
const NEW: FencingToken = FencingToken(34);

/// How the next change of a model disk ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Works,
    /// It fails, and the old content stays.
    FailsBefore,
    /// It fails, and the new content is there all the same.
    FailsAfter,
}

#[derive(Debug)]
struct Disk {
    content: Option<Vec<u8>>,
    next: Next,
    limit: u64,
    changes: u32,
}

/// A store in memory that outlives its owner.
#[derive(Clone, Debug)]
struct Model(Arc<Mutex<Disk>>);

impl Model {
    fn new() -> Model {
        let disk = Disk { content: None, next: Next::Works, limit: u64::MAX, changes: 0 };
        Model(Arc::new(Mutex::new(disk)))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no panic")
    }

    fn length(&self) -> usize {
        self.disk().content.as_ref().map_or(0, Vec::len)
    }
}

impl Store for Model {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk().content.clone())
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.disk();
        let (length, limit) = (content.len() as u64, disk.limit);
        if length > limit {
            return Err(StoreError::TooLong { place: self.place(), length, limit });
        }
        disk.changes += 1;
        let next = std::mem::replace(&mut disk.next, Next::Works);
        if next != Next::FailsBefore {
            disk.content = Some(content.to_vec());
        }
        match next {
            Next::Works => Ok(()),
            _ => Err(StoreError::io("write", self.place(), io::Error::other("for the test"))),
        }
    }

    fn place(&self) -> String {
        "the model".to_owned()
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Admit(u8, u64),
    Section(u8, u64),
    AsyncSection(u8, u64),
    RaiseFloor(u64),
    Break(Next),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let token = || prop_oneof![9 => 0u64..12, 1 => Just(u64::MAX)];
    prop_oneof![
        4 => (0u8..3, token()).prop_map(|(key, token)| Event::Admit(key, token)),
        2 => (0u8..3, token()).prop_map(|(key, token)| Event::Section(key, token)),
        1 => (0u8..3, token()).prop_map(|(key, token)| Event::AsyncSection(key, token)),
        1 => (0u64..12).prop_map(Event::RaiseFloor),
        2 => prop_oneof![Just(Next::FailsBefore), Just(Next::FailsAfter)].prop_map(Event::Break),
        2 => Just(Event::Crash),
    ]
}

proptest! {
    #[test]
    fn no_crash_and_no_failure_admits_what_was_refused(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let model = Model::new();
        let mut fence = Some(DurableKeyedFence::create_new_in(model.clone()).expect("empty"));
        let mut admitted: HashMap<u8, u64> = HashMap::new();
        let mut floor = 0;
        // What a failed change may have left, or the crash after it. It may be refused or not.
        let mut may_be_above = 0;
        for event in events {
            let open = || DurableKeyedFence::open_existing_in(model.clone()).expect("it is there");
            let fence = fence.get_or_insert_with(open);
            let (key, token, result) = match event {
                Event::Admit(key, token) => (key, token, fence.admit([key], FencingToken(token))),
                Event::Section(key, token) => {
                    (key, token, fence.with([key], FencingToken(token), || ()))
                }
                Event::AsyncSection(key, token) => {
                    let section = fence.with_async([key], FencingToken(token), async || ());
                    (key, token, block_on(section))
                }
                Event::RaiseFloor(to) => {
                    match fence.raise_floor(FencingToken(to)) {
                        Ok(_) => floor = floor.max(to),
                        Err(FenceError::Record(_)) => may_be_above = may_be_above.max(to),
                        Err(other) => panic!("{other}"),
                    }
                    prop_assert!(fence.floor() >= FencingToken(floor));
                    continue;
                }
                Event::Break(next) => {
                    model.disk().next = next;
                    continue;
                }
                Event::Crash => {
                    *fence = DurableKeyedFence::open_existing_in(model.clone()).expect("there");
                    continue;
                }
            };
            let newest = admitted.get(&key).copied().unwrap_or(0).max(floor);
            match result {
                Ok(()) => {
                    prop_assert!(token >= newest, "{token} at {key} after {newest}");
                    admitted.insert(key, token);
                }
                Err(FenceError::Stale(StaleToken { offered, newest: seen })) => {
                    prop_assert_eq!(offered, FencingToken(token));
                    prop_assert!(seen > offered);
                    prop_assert!(seen.get() <= newest.max(may_be_above), "refused by {seen}");
                }
                Err(FenceError::Record(_)) => may_be_above = may_be_above.max(token),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_token_that_was_seen_before_needs_no_store_and_a_newer_one_needs_one_change() {
    let model = Model::new();
    let fence = DurableKeyedFence::create_new_in(model.clone()).expect("empty");
    fence.admit("a", NEW).expect("the first");
    let before = model.disk().changes;
    fence.admit("a", NEW).expect("the same");
    fence.admit("a", OLD).expect_err("stale");
    assert_eq!(model.disk().changes, before);
    fence.admit("a", FencingToken(35)).expect("newer");
    assert_eq!(model.disk().changes, before + 1);
}

#[test]
fn a_token_that_was_not_stored_is_not_admitted_and_the_section_does_not_run() {
    let model = Model::new();
    let fence = DurableKeyedFence::create_new_in(model.clone()).expect("empty");
    fence.admit("a", OLD).expect("the first");
    model.disk().next = Next::FailsBefore;
    let failed = fence.with("a", NEW, || unreachable!("it is not stored"));
    assert!(matches!(failed, Err(FenceError::Record(_))), "{failed:?}");
    assert_eq!(fence.newest("a"), Some(OLD));
    fence.with("a", OLD, || ()).expect("it is still the newest");
    fence.admit("a", NEW).expect("the store works again");
}

#[test]
fn raising_the_floor_bounds_the_store_and_makes_room() {
    let model = Model::new();
    let fence = DurableKeyedFence::create_new_in(model.clone()).expect("empty");
    let empty = model.length();
    model.disk().limit = 2_000;
    let key = |n: u32| n.to_be_bytes();
    let full = (0..).find(|&n| fence.admit(key(n), OLD).is_err()).expect("there is a limit");
    let error = fence.admit(key(full), OLD).expect_err("still full");
    assert!(matches!(error, FenceError::Full { limit: 2_000, .. }), "{error}");
    assert!(error.to_string().contains("raise_floor") && !error.is_transient(), "{error}");
    assert_eq!((fence.len(), fence.newest(key(full))), (full as usize, None));
    fence.admit(key(0), OLD).expect("it was seen before");
    assert_eq!(fence.raise_floor(OLD).expect("the store works"), full as usize);
    assert_eq!(model.length(), empty, "the keys are gone from the store");
    fence.admit(key(full), NEW).expect("there is room");
    fence.admit(key(0), FencingToken(32)).expect_err("below the floor");
    // In what a later start finds as well.
    let again = DurableKeyedFence::open_existing_in(model).expect("there");
    assert_eq!((again.floor(), again.len()), (OLD, 1));
    again.admit(key(0), FencingToken(32)).expect_err("below the floor");
    assert_eq!(again.raise_floor(FencingToken(1)).expect("nothing to do"), 0);
    assert_eq!(again.snapshot(), fence.snapshot());
}

#[test]
fn the_first_start_and_later_ones_are_two_calls_and_another_content_is_refused() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fences");
    let missing = DurableKeyedFence::open_existing(&path).expect_err("there is none");
    assert!(matches!(missing, RecordError::Store(StoreError::Missing { .. })), "{missing}");
    assert_eq!(fs::read_dir(place.path()).expect("ours").count(), 0, "nothing was made");
    let fence = DurableKeyedFence::create_new(&path).expect("new");
    fence.admit("a", NEW).expect("the first");
    let second = DurableKeyedFence::open_existing(&path).expect_err("it is in use");
    assert!(matches!(second, RecordError::Store(StoreError::Locked { .. })), "{second}");
    drop(fence);
    let exists = DurableKeyedFence::create_new(&path).expect_err("it exists");
    assert!(matches!(exists, RecordError::Store(StoreError::Exists { .. })), "{exists}");
    let fence = DurableKeyedFence::open_existing(&path).expect("there");
    assert!(matches!(fence.admit("a", OLD), Err(FenceError::Stale(_))));
    drop(fence);
    let other = DurableFence::open_existing(&path).expect_err("it is not one token");
    assert!(other.to_string().contains("fences"), "{other}");

    let single = place.path().join("single");
    drop(DurableFence::create_new(&single).expect("new"));
    let other = DurableKeyedFence::open_existing(&single).expect_err("it has no keys");
    assert!(matches!(other, RecordError::OtherKind { .. }), "{other}");

    let mut bytes = fs::read(&path).expect("ours");
    bytes[20] ^= 1;
    fs::write(&path, &bytes).expect("ours");
    let torn = DurableKeyedFence::open_existing(&path).expect_err("damaged");
    assert!(matches!(torn, RecordError::Torn { .. }), "{torn}");
    assert_eq!(fs::read(&path).expect("ours"), bytes, "it was not changed");

    let model = Model::new();
    DurableKeyedFence::open_existing_in(model.clone()).expect_err("empty");
    drop(DurableKeyedFence::create_new_in(model.clone()).expect("empty"));
    DurableKeyedFence::create_new_in(model).expect_err("no longer empty");
}

#[test]
fn a_key_takes_no_more_than_a_file_store_holds() {
    let place = tempfile::tempdir().expect("a place for files");
    let fence = DurableKeyedFence::create_new(place.path().join("fences")).expect("new");
    let huge = vec![0; FileStore::MAX_LENGTH as usize + 1];
    assert!(matches!(fence.admit(&huge, OLD), Err(FenceError::Full { .. })));
    fence.admit("", OLD).expect("the empty key is one too");
}

/// A store whose disk answers when the test says so.
struct Slow(Model, std::sync::mpsc::Receiver<()>);

impl Store for Slow {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load()
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.1.recv().expect("the test answers");
        self.0.persist(content)
    }
}

#[test]
fn a_task_that_waits_for_the_disk_does_not_block_its_executor() {
    let (answer, disk) = std::sync::mpsc::channel();
    answer.send(()).expect("it is there");
    let fence = DurableKeyedFence::create_new_in(Slow(Model::new(), disk)).expect("empty");
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut section = pin!(fence.with_async("a", NEW, async || "written"));
        // If this blocked, nobody would answer.
        assert!(section.as_mut().poll(&mut context).is_pending());
        let mut successor = pin!(fence.with_async("a", FencingToken(35), async || "too early"));
        assert!(successor.as_mut().poll(&mut context).is_pending());
        answer.send(()).expect("it is there");
        assert_eq!(block_on(section).expect("it is stored"), "written");
    }
    // The successor was dropped while it waited, and so asks for nothing.
    let again = pin!(fence.with_async("a", NEW, async || "again")).poll(&mut context);
    assert!(again.is_ready(), "a token that was seen before needs no disk and no thread");
    let zombie = pin!(fence.with_async("a", OLD, async || unreachable!())).poll(&mut context);
    assert!(zombie.is_ready(), "nor does a stale one");
}
