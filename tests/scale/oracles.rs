//! What the oracles share: asking `zic` and `date`, which know leap seconds from their own code.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The UTC labels that glibc gives for counts of a `right/` zone (TAI − 10 s), by `date`.
pub fn labels_by_date(zone: &Path, counts: &[i64]) -> Vec<String> {
    let mut child = Command::new("date")
        .env("TZ", zone)
        .args(["-f", "-", "+%Y-%m-%dT%H:%M:%SZ"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("date runs");
    let mut input = child.stdin.take().expect("piped");
    let lines: String = counts.iter().map(|count| format!("@{count}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("date ends");
    writer.join().expect("no panic").expect("date reads all");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("ASCII");
    text.lines().map(str::to_owned).collect()
}
