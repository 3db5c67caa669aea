//! Durable fences: reopened, killed, and shared by real processes.
//!
//! A child process is this test program again. Its environment says what it has to do.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use truechimer::RecordError;
use truechimer::fence::{DurableFence, FenceError, FencingToken, SharedFence, StaleToken};

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
        .args(["the_child", "--exact", "--nocapture"])
        .env(PART, part)
        .env(PLACE, place)
        .env(SEED, seed.to_string())
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
        "admit and log" => admit_and_log(place, seed, true),
        "admit, then log" => admit_and_log(place, seed, false),
        other => panic!("no such part: {other}"),
    }
}

fn raise_until_killed(place: &Path) {
    let fence = DurableFence::open(place.join("fence")).expect("no other process has it");
    println!();
    for next in fence.newest().get() + 1.. {
        fence.admit(FencingToken(next)).expect("the disk takes it");
        println!("=> {next}");
    }
}

/// Writes under tokens of which some are stale, because the processes do not wait for each other.
fn admit_and_log(place: &Path, seed: u64, inside: bool) {
    let fence = SharedFence::open(place.join("fence"), LOCK_TIMEOUT).expect("it can be locked");
    let mut log = OpenOptions::new().append(true).open(place.join("log")).expect("made before");
    // Outside of the lock, writing takes longer than another process needs to be admitted, also
    // on a slow disk.
    let pause = Duration::from_micros(if inside { 100 } else { 3_000 });
    for turn in 0..TURNS {
        // Tokens that rise from turn to turn, and that differ between the processes.
        let token = FencingToken(1 + turn * 10 + (turn * 7 + seed * 3) % 10);
        let mut write = || {
            thread::sleep(pause * ((turn * 7 + seed * 3) % 10) as u32);
            log.write_all(format!("{token}\n").as_bytes()).expect("it can be written");
        };
        let admitted = if inside {
            fence.with(token, write)
        } else {
            // The broken form: the write comes some time after the admission.
            fence.with(token, || ()).map(|()| write())
        };
        match admitted {
            Ok(()) | Err(FenceError::Stale(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Runs three processes, and returns the tokens in the order in which they wrote.
fn race_of_processes(part: &str) -> Vec<u64> {
    let place = tempfile::tempdir().expect("a place for files");
    fs::write(place.path().join("log"), "").expect("it can be written");
    let mut children: Vec<_> = (0..3).map(|seed| start(part, place.path(), seed)).collect();
    for child in &mut children {
        assert!(child.0.wait().expect("our own child").success());
    }
    let log = fs::read_to_string(place.path().join("log")).expect("it was written");
    log.lines().map(|line| line.parse().expect("a token")).collect()
}

#[test]
fn between_processes_no_stale_token_is_admitted_after_a_newer_one() {
    let written = race_of_processes("admit and log");
    assert!(written.is_sorted(), "{written:?}");
    // In each turn at least one of the three wrote.
    assert!(written.len() as u64 >= TURNS, "{written:?}");
}

#[test]
fn processes_that_write_after_the_admission_are_caught() {
    let unsorted = (0..200).any(|_| !race_of_processes("admit, then log").is_sorted());
    assert!(unsorted, "the test would not see a stale write");
}

#[test]
fn a_token_that_was_admitted_before_a_kill_is_not_forgotten() {
    let place = tempfile::tempdir().expect("a place for files");
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
        let fence = DurableFence::open(place.path().join("fence")).expect("a whole file");
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
    let fence = DurableFence::open(&path).expect("a new file");
    let second = DurableFence::open(&path);
    assert!(matches!(&second, Err(e @ RecordError::Locked { .. }) if e.is_transient()));
    let shared = SharedFence::open(&path, Duration::from_millis(20));
    assert!(
        matches!(shared, Err(RecordError::Locked { .. })),
        "it waits no longer than its timeout"
    );
    drop(fence);
    assert!(SharedFence::open(&path, LOCK_TIMEOUT).is_ok());
}

#[test]
fn a_file_that_is_not_a_fence_is_neither_read_as_one_nor_changed() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    for content in [&b"34"[..], &[0; 32], b"tchimer1fence\0\0\0"] {
        fs::write(&path, content).expect("it can be written");
        assert!(DurableFence::open(&path).is_err(), "{content:?}");
        assert!(SharedFence::open(&path, LOCK_TIMEOUT).is_err(), "{content:?}");
        assert_eq!(fs::read(&path).expect("still there"), content);
    }
}

#[test]
fn threads_of_one_owner_agree_with_the_file() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("fence");
    let fence = DurableFence::open(&path).expect("a new file");
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
    assert_eq!(DurableFence::open(&path).expect("whole").newest(), FencingToken(TURNS * 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn reopening_a_fence_changes_no_answer(
        steps in prop::collection::vec((prop_oneof![0u64..6, any::<u64>()], 0u8..3), 1..12),
    ) {
        let place = tempfile::tempdir()?;
        let path = place.path().join("fence");
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
                SharedFence::open(&path, LOCK_TIMEOUT)?.with(offered, || ())
            } else {
                if how == 1 {
                    owned = None;
                }
                if owned.is_none() {
                    owned = Some(DurableFence::open(&path)?);
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
