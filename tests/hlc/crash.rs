//! A child process issues durable stamps and is killed, 200 times, under a clock that jumps
//! back and forth. No stamp repeats, and none goes back.
//!
//! The child writes each stamp to a file as soon as it has it. A stamp that it did not write
//! before it was killed is unknown to this test, as it would be to any other reader.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Running;
use rand::{Rng, SeedableRng, rngs::StdRng};
use truechimer::{Hlc, Stamp};

/// Set for the child: the directory that it works in.
const PLACE: &str = "TRUECHIMER_TEST_CRASH_PLACE";
/// Set for the child: the seed of its clock's jumps.
const SEED: &str = "TRUECHIMER_TEST_CRASH_SEED";
/// Set for the child if it keeps no mark on disk.
const IN_MEMORY: &str = "TRUECHIMER_TEST_CRASH_IN_MEMORY";

/// How long a child may take to begin on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The length of a line: the kind, eight times, and the stamp.
const LINE: usize = 16;

const ORDINARY: u8 = 0;
const COMMIT: u8 = 1;

/// Not a test, but the program of the child, which runs until it is killed.
#[test]
fn child() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let seed = std::env::var(SEED).expect("set").parse().expect("a number");
    let mut random = StdRng::seed_from_u64(seed);
    let clock = Running::new(Duration::from_micros(20), Duration::from_micros(20));
    jump(&clock, &mut random);
    let place = Path::new(&place);
    let builder = Hlc::builder(&clock).window(Duration::from_micros(300)).open_wait(Duration::ZERO);
    let hlc = match std::env::var_os(IN_MEMORY) {
        Some(_) => builder.build(),
        None => {
            let path = place.join("mark");
            // The first child is killed only after a stamp, so no creation is interrupted.
            let made = path.exists();
            let mark = if made { builder.open_existing(path) } else { builder.create_new(path) };
            mark.expect("a mark")
        }
    };
    let mut log =
        OpenOptions::new().append(true).create(true).open(place.join("log")).expect("a log");
    loop {
        // In each burst the mark is raised several times, so that some kills hit a write.
        for _ in 0..random.random_range(1..200) {
            let stamp = hlc.stamp().or_else(|_| hlc.stamp_logical()).expect("a stamp");
            record(&mut log, ORDINARY, stamp);
            if let Ok(commit) = hlc.commit_stamp() {
                record(&mut log, COMMIT, commit.provisional().to_stored());
            }
        }
        jump(&clock, &mut random);
    }
}

/// Makes the clock right, or wrong by up to a second or an hour in either direction.
fn jump(clock: &Running, random: &mut StdRng) {
    let reach = [0, 1_000_000, 1_000_000_000, 3_600_000_000_000][random.random_range(0..4)];
    clock.set_shift(random.random_range(-reach..=reach));
}

/// Writes one line. Its size divides a page, because a kill may end a write between two pages.
/// So the line is in the file completely or not at all. (With nine bytes it was not.)
fn record(log: &mut fs::File, kind: u8, stamp: Stamp) {
    let mut line = [kind; LINE];
    line[8..].copy_from_slice(&stamp.to_be_bytes());
    log.write_all(&line).expect("written");
}

/// Kills a child again and again, and checks its log at the end. Returns how many stamps it has.
fn kill(times: u64, in_memory: bool) -> Result<usize, String> {
    let place = tempfile::tempdir().expect("a directory");
    let mut random = StdRng::seed_from_u64(0x7C);
    for seed in 0..times {
        let mut command = Command::new(std::env::current_exe().expect("known"));
        command.args(["--exact", "crash::child", "--nocapture"]).stdout(Stdio::null());
        command.env(PLACE, place.path()).env(SEED, seed.to_string());
        if in_memory {
            command.env(IN_MEMORY, "1");
        }
        let log = place.path().join("log");
        let length = || fs::metadata(&log).map_or(0, |found| found.len());
        let before = length();
        let mut child = command.spawn().expect("started");
        // Every other child is killed while it works. The others may be killed while they start.
        let began = Instant::now();
        while seed % 2 == 0 && length() == before && began.elapsed() < START_TIMEOUT {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        assert!(child.try_wait().expect("asked").is_none(), "the child ended by itself");
        child.kill().expect("killed"); // SIGKILL
        child.wait().expect("gone");
    }
    check(&fs::read(place.path().join("log")).expect("a log"))
}

/// Checks that both kinds of stamp increase, and that no stamp is in the log twice.
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
