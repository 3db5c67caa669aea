//! Durable fences: reopened, killed, and shared by real processes.
//!
//! A child process is this test program again. Its environment says what it has to do.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use truechimer::fence::{DurableFence, FenceError, FencingToken, SharedFence, StaleToken};
use truechimer::{RecordError, StoreError};

const PART: &str = "TRUECHIMER_FENCE_TEST_PART";
const PLACE: &str = "TRUECHIMER_FENCE_TEST_PLACE";
const SEED: &str = "TRUECHIMER_FENCE_TEST_SEED";
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
const TURNS: u64 = 40;

/// A child process that is killed when the test ends, also if it fails.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(part: &str, place: &Path, seed: u64) -> ChildGuard {
    let me = std::env::current_exe().expect("a test knows its own path");
    let child = Command::new(me)
        .args(["durable::the_child", "--exact", "--nocapture"])
        .env(PART, part)
        .env(PLACE, place)
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    ChildGuard(child.expect("the test can start itself"))
}

/// Not a test, but the program of a child. Without its environment it does nothing.
#[test]
fn the_child() {
    let Ok(part) = std::env::var(PART) else { return };
    let place = std::env::var(PLACE).expect("set with the part");
    let seed: u64 = std::env::var(SEED).expect("set with the part").parse().expect("a number");
    let place = Path::new(&place);
    match part.as_str() {
        "raise until killed" => raise_until_killed(place),
        "admit and log" => admit_and_log(place, seed),
        "admit, then log when told" => admit_then_log(place, FencingToken(seed)),
        other => panic!("no such part: {other}"),
    }
}

fn raise_until_killed(place: &Path) {
    let fence = DurableFence::open_existing(place.join("fence")).expect("no other process has it");
    println!();
    for next in fence.newest().get() + 1.. {
        fence.admit(FencingToken(next)).expect("the disk takes it");
        println!("=> {next}");
    }
}

/// The processes take tokens from a counter that all of them see, and come late with some.
fn admit_and_log(place: &Path, seed: u64) {
    let fence =
        SharedFence::open_existing(place.join("fence"), LOCK_TIMEOUT).expect("it can be locked");
    let mut log = open_log(place);
    for turn in 0..TURNS {
        // Larger from turn to turn in each process, and different in each.
        let lag = (turn * 7 + seed * 3) % 10;
        let token = FencingToken(1 + turn * 10 + lag);
        let admitted = fence.with(token, || {
            thread::sleep(Duration::from_micros(100) * lag as u32);
            write_token(&mut log, token);
        });
        match admitted {
            Ok(()) | Err(FenceError::Stale(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// The broken form: let in first, and written some time after, when the parent says so.
fn admit_then_log(place: &Path, token: FencingToken) {
    let fence =
        SharedFence::open_existing(place.join("fence"), LOCK_TIMEOUT).expect("it can be locked");
    fence.with(token, || ()).expect("no newer token was let in yet");
    println!("\n=> {token}");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).expect("the parent is there");
    write_token(&mut open_log(place), token);
}

fn open_log(place: &Path) -> File {
    OpenOptions::new().append(true).open(place.join("log")).expect("made before")
}

fn write_token(log: &mut File, token: FencingToken) {
    log.write_all(format!("{token}\n").as_bytes()).expect("it can be written");
}

/// Makes the fence that the children open. They start at once, and none of them is the first.
fn create_fence(place: &Path) {
    SharedFence::create_new(place.join("fence"), LOCK_TIMEOUT).expect("it is not there yet");
}

/// The tokens in the order in which they were written.
fn written(place: &Path) -> Vec<u64> {
    let log = fs::read_to_string(place.join("log")).expect("it was written");
    log.lines().map(|line| line.parse().expect("a token")).collect()
}

#[test]
fn between_processes_no_stale_token_is_let_in_after_a_newer_one() {
    let place = tempfile::tempdir().expect("a place for files");
    fs::write(place.path().join("log"), "").expect("it can be written");
    create_fence(place.path());
    let mut children: Vec<_> =
        (0..3).map(|seed| start("admit and log", place.path(), seed)).collect();
    for child in &mut children {
        assert!(child.0.wait().expect("our own child").success());
    }
    let written = written(place.path());
    assert!(written.is_sorted(), "{written:?}");
    // In each turn at least one of the three wrote.
    assert!(written.len() as u64 >= TURNS, "{written:?}");
}

/// What the test above would see if writing were not part of being let in.
#[test]
fn processes_that_write_after_they_were_let_in_are_caught() {
    let place = tempfile::tempdir().expect("a place for files");
    fs::write(place.path().join("log"), "").expect("it can be written");
    create_fence(place.path());
    // Both are let in, the older one first, before either of them writes.
    let let_in = |token| {
        let mut child = start("admit, then log when told", place.path(), token);
        let mut lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        let answer = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("=> ")));
        assert!(answer.is_some(), "{token} was let in");
        (child, lines)
    };
    let (older, newer) = (let_in(1), let_in(2));
    for (mut child, lines) in [newer, older] {
        let mut stdin = child.0.stdin.take().expect("piped");
        stdin.write_all(b"write\n").expect("the child reads it");
        assert_eq!(lines.filter(Result::is_err).count(), 0, "it prints text until it ends");
        assert!(child.0.wait().expect("our own child").success());
    }
    let written = written(place.path());
    assert!(!written.is_sorted(), "{written:?} has a stale write");
    assert_eq!(written, [2, 1]);
}

#[test]
fn a_token_that_was_admitted_before_a_kill_is_not_forgotten() {
    let place = tempfile::tempdir().expect("a place for files");
    create_fence(place.path());
    let mut newest = FencingToken::MIN;
    for round in 0..6 {
        let mut child = start("raise until killed", place.path(), 0);
        let lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        let mut answered = 0;
        for line in lines.map_while(Result::ok) {
            let Some(token) = line.strip_prefix("=> ").and_then(|t| t.parse().ok()) else {
                continue;
            };
            newest = FencingToken(token);
            answered += 1;
            if answered == 10 + round {
                // It may be in the middle of a write. The lines that it still prints count, too.
                child.0.kill().expect("our own child");
            }
        }
        drop(child);
        let fence = DurableFence::open_existing(place.path().join("fence")).expect("a whole file");
        assert!(
            fence.newest() >= newest,
            "{} was admitted, but {} is stored",
            newest,
            fence.newest()
        );
        let zombie = FencingToken(newest.get() - 1);
        assert!(matches!(fence.admit(zombie), Err(FenceError::Stale(_))));
    }
}

#[test]
fn a_fence_has_one_owner() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    let fence = DurableFence::create_new(&path).expect("a new file");
    let second = DurableFence::open_existing(&path);
    assert!(
        matches!(&second, Err(e @ RecordError::Store(StoreError::Locked { .. })) if e.is_transient())
    );
    let shared = SharedFence::open_existing(&path, Duration::from_millis(20));
    assert!(
        matches!(shared, Err(RecordError::Store(StoreError::Locked { .. }))),
        "it waits no longer than its timeout"
    );
    drop(fence);
    assert!(SharedFence::open_existing(&path, LOCK_TIMEOUT).is_ok());
}

#[test]
fn a_fence_that_is_missing_is_not_a_new_one_and_admits_no_zombie() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    let lock = place.path().join("fence.lock");
    let is = |result: Result<(), RecordError>, expected: fn(&StoreError) -> bool| {
        let Err(RecordError::Store(error)) = result else { panic!("{result:?}") };
        assert!(expected(&error), "{error}");
    };
    let open = || {
        let owned = DurableFence::open_existing(&path).map(drop);
        [owned, SharedFence::open_existing(&path, LOCK_TIMEOUT).map(drop)]
    };
    let create = || {
        let owned = DurableFence::create_new(&path).map(drop);
        [owned, SharedFence::create_new(&path, LOCK_TIMEOUT).map(drop)]
    };
    for opened in open() {
        is(opened, |error| matches!(error, StoreError::Missing { .. }));
    }
    assert!(!path.exists() && !lock.exists());

    let shared = SharedFence::create_new(&path, LOCK_TIMEOUT).expect("the first start");
    shared.with(FencingToken(34), || ()).expect("the newest");
    for created in create() {
        is(created, |error| matches!(error, StoreError::Exists { .. }));
    }

    // The volume is not mounted, or somebody tidied up.
    fs::remove_file(&path).expect("it is there");
    let zombie = shared.with(FencingToken(33), || panic!("a zombie was admitted"));
    let Err(FenceError::Record(lost)) = zombie else { panic!("{zombie:?}") };
    is(Err(lost), |error| matches!(error, StoreError::Lost { .. }));
    for result in open().into_iter().chain(create()) {
        is(result, |error| matches!(error, StoreError::Lost { .. }));
    }
    assert!(!path.exists() && lock.exists(), "a call that failed has changed something");
}

#[test]
fn a_file_that_is_not_a_fence_is_neither_read_as_one_nor_changed() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    for content in [&b"34"[..], &[0; 32], b"tchimer1fence\0\0\0"] {
        fs::write(&path, content).expect("it can be written");
        assert!(DurableFence::open_existing(&path).is_err(), "{content:?}");
        assert!(SharedFence::open_existing(&path, LOCK_TIMEOUT).is_err(), "{content:?}");
        assert_eq!(fs::read(&path).expect("still there"), content);
    }
}

#[test]
fn threads_of_one_owner_agree_with_the_file() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    let fence = DurableFence::create_new(&path).expect("a new file");
    thread::scope(|scope| {
        for seed in 0..3 {
            let fence = &fence;
            scope.spawn(move || {
                for turn in 0..TURNS {
                    let token = FencingToken(1 + turn * 3 + (turn + seed) % 3);
                    match fence.admit(token) {
                        Ok(()) => assert!(fence.newest() >= token),
                        Err(FenceError::Stale(stale)) => assert!(stale.newest > token),
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert_eq!(fence.newest(), FencingToken(TURNS * 3));
    drop(fence);
    assert_eq!(
        DurableFence::open_existing(&path).expect("whole").newest(),
        FencingToken(TURNS * 3)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn reopening_a_fence_changes_no_answer(
        steps in prop::collection::vec((prop_oneof![0u64..6, any::<u64>()], 0u8..3), 1..12),
    ) {
        let place = tempfile::tempdir()?;
        let path = place.path().join("fence");
        create_fence(place.path());
        let mut newest = FencingToken::MIN;
        let mut owned = None;
        for (token, how) in steps {
            let offered = FencingToken(token);
            let expected = match offered < newest {
                true => Err(StaleToken { offered, newest }),
                false => Ok(()),
            };
            let answer = if how == 0 {
                owned = None;
                SharedFence::open_existing(&path, LOCK_TIMEOUT)?.with(offered, || ())
            } else {
                if how == 1 {
                    owned = None;
                }
                if owned.is_none() {
                    owned = Some(DurableFence::open_existing(&path)?);
                }
                owned.as_ref().expect("opened").admit(offered)
            };
            match answer {
                Ok(()) => prop_assert_eq!(Ok(()), expected),
                Err(FenceError::Stale(stale)) => prop_assert_eq!(Err(stale), expected),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
            newest = newest.max(offered);
        }
    }
}
