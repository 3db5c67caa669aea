//! A child process issues durable stamps and is killed, 200 times, under a
//! clock that jumps back and forth. No stamp repeats, and none goes back.
//!
//! The child writes each stamp to a file as soon as it has it. What it issued
//! and did not write is lost to this test, as it would be to anybody else.

mod support;

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use support::Running;
use truechimer::{Hlc, Stamp};

/// Set for the child: the directory it works in.
const PLACE: &str = "TRUECHIMER_TEST_CRASH_PLACE";
/// Set for the child: what its clock does.
const SEED: &str = "TRUECHIMER_TEST_CRASH_SEED";
/// Set for the child if its register is to live in memory only.
const FORGETFUL: &str = "TRUECHIMER_TEST_CRASH_FORGETFUL";

/// How long a child may take to begin, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind, eight times, and the stamp.
const LINE: usize = 16;

const ORDINARY: u8 = 0;
const COMMIT: u8 = 1;

/// Not a test: what the child runs, until it is killed.
#[test]
fn child() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let seed = std::env::var(SEED).expect("set").parse().expect("a number");
    let mut random = StdRng::seed_from_u64(seed);
    let clock = Running::new(Duration::from_micros(20), Duration::from_micros(20));
    jump(&clock, &mut random);
    let place = Path::new(&place);
    let builder = Hlc::builder(&clock).window(Duration::from_micros(300)).open_wait(Duration::ZERO);
    let hlc = match std::env::var_os(FORGETFUL) {
        Some(_) => builder.build(),
        None => builder.durable(place.join("mark")).expect("a mark"),
    };
    let mut log =
        OpenOptions::new().append(true).create(true).open(place.join("log")).expect("a log");
    loop {
        // In a burst several marks are raised, so that kills hit writes as well.
        for _ in 0..random.random_range(1..200) {
            let stamp = hlc.stamp().or_else(|_| hlc.stamp_logical()).expect("a stamp");
            record(&mut log, ORDINARY, stamp);
            if let Ok(commit) = hlc.commit_stamp() {
                record(&mut log, COMMIT, commit.provisional());
            }
        }
        jump(&clock, &mut random);
    }
}

/// The clock is right, or off by up to a second or an hour either way.
fn jump(clock: &Running, random: &mut StdRng) {
    let reach = [0, 1_000_000, 1_000_000_000, 3_600_000_000_000][random.random_range(0..4)];
    clock.set_shift(random.random_range(-reach..=reach));
}

/// One write, of a size that divides a page: a kill may end a write between two
/// pages, and so this is in the file whole, or not at all. (Nine bytes were not.)
fn record(log: &mut fs::File, kind: u8, stamp: Stamp) {
    let mut line = [kind; LINE];
    line[8..].copy_from_slice(&stamp.to_be_bytes());
    log.write_all(&line).expect("written");
}

/// Kills a child again and again. What went wrong in the end, if anything.
fn kill(times: u64, forgetful: bool) -> Result<usize, String> {
    let place = tempfile::tempdir().expect("a directory");
    let mut random = StdRng::seed_from_u64(0x7C);
    for seed in 0..times {
        let mut command = Command::new(std::env::current_exe().expect("known"));
        command.args(["--exact", "child", "--nocapture"]).stdout(Stdio::null());
        command.env(PLACE, place.path()).env(SEED, seed.to_string());
        if forgetful {
            command.env(FORGETFUL, "1");
        }
        let log = place.path().join("log");
        let length = || fs::metadata(&log).map_or(0, |found| found.len());
        let before = length();
        let mut child = command.spawn().expect("started");
        // Every other one is killed at work. The rest may be hit while they start.
        let began = Instant::now();
        while seed % 2 == 0 && length() == before && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        assert!(child.try_wait().expect("asked").is_none(), "the child ended by itself");
        child.kill().expect("killed"); // SIGKILL
        child.wait().expect("gone");
    }
    check(&fs::read(place.path().join("log")).expect("a log"))
}

/// Both kinds increase, and no stamp is in the log twice.
fn check(log: &[u8]) -> Result<usize, String> {
    let mut last = [Stamp::MIN; 2];
    let mut seen = HashSet::new();
    for line in log.chunks_exact(LINE) {
        let stamp = Stamp::from_be_bytes(line[8..].try_into().expect("eight bytes"));
        let last = &mut last[usize::from(line[0])];
        if stamp <= *last {
            return Err(format!("{stamp:?} went back behind {last:?}"));
        }
        if !seen.insert(stamp) {
            return Err(format!("{stamp:?} was issued twice"));
        }
        *last = stamp;
    }
    Ok(seen.len())
}

#[test]
fn a_node_killed_two_hundred_times_never_repeats_a_stamp_or_goes_back() {
    let issued = kill(200, false).expect("no stamp repeats or goes back");
    assert!(issued > 1_000, "only {issued} stamps were tried");
}

#[test]
fn a_node_without_a_mark_is_caught() {
    kill(20, true).expect_err("it goes back with its clock");
}
