//! [`run`]: what a test binary says about the crate that it was built from.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutant::Tests;

/// The tests of a mutant take a second. One that hangs is an error of the list, because a
/// machine under load would show the same.
const LIMIT: Duration = Duration::from_secs(120);

/// How some tests ended.
#[derive(PartialEq, Eq, Debug)]
pub struct Verdict {
    pub passed: usize,
    /// The paths of those that failed.
    pub failed: Vec<String>,
}

/// Runs those of a binary's tests that are named.
///
/// # Errors
///
/// If they do not end, or if the binary ends without saying how each test did.
pub fn run(binary: &Path, tests: &Tests, crate_root: &Path) -> Result<Verdict, String> {
    let log = binary.with_extension("log");
    let output = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let mut child = Command::new(binary)
        .args(tests.names)
        .current_dir(crate_root)
        .env("CARGO_MANIFEST_DIR", crate_root)
        // The same cases each time, so that a mutant is not caught by luck; and no search for
        // the smallest one.
        .env("PROPTEST_RNG_SEED", "1")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .env("LOOM_MAX_PREEMPTIONS", "3")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if began.elapsed() < LIMIT => thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("its tests did not end within {LIMIT:?}"));
            }
        }
    };
    let text = fs::read_to_string(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let verdict = read(&text).ok_or_else(|| format!("its tests broke off ({status}):\n{text}"))?;
    if status.success() != verdict.failed.is_empty() {
        return Err(format!("its tests ended with {status}, and with {verdict:?}"));
    }
    Ok(verdict)
}

/// Reads what libtest prints; `None` if it did not come to its last line.
fn read(text: &str) -> Option<Verdict> {
    let result = text.lines().find_map(|line| line.strip_prefix("test result: "))?;
    let counted = result.split("; ").next()?.split(' ').rev().nth(1)?;
    let failed = text.lines().filter_map(|line| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.trim_end_matches(" - should panic").to_owned())
    });
    Some(Verdict { passed: counted.parse().ok()?, failed: failed.collect() })
}

/// Tried by the suite itself, since all else here depends on it.
pub fn what_libtest_prints_is_understood() -> Result<(), String> {
    let text = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\
                test d - should panic ... FAILED\n\nfailures:\n    a::c\n    d\n\n\
                test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out\n";
    let expected = Verdict { passed: 1, failed: vec!["a::c".into(), "d".into()] };
    let ok = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored\n";
    let none = Verdict { passed: 0, failed: Vec::new() };
    match (read(text), read(ok), read("running 3 tests\ntest a::b ... ok\n")) {
        (Some(some), Some(empty), None) if some == expected && empty == none => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
