//! Pipes that are closed by their reader, and output that cannot be written.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::{run, stderr_of, truechimer, wait};

const COMMANDS: [&[&str]; 10] = [
    &["now", "--assume", "250ms"],
    &["now", "--assume", "250ms", "--json"],
    &["watch", "--assume", "250ms", "--interval", "10ms"],
    &["watch", "--assume", "250ms", "--interval", "10ms", "--json"],
    &["doctor", "--assume", "250ms"],
    &["doctor", "--assume", "250ms", "--json"],
    &["bench"],
    &["convert", "2016-12-31T23:59:60Z"],
    &["leaps"],
    &["--help"],
];

/// The writing end of a pipe whose reading end is closed.
fn closed_pipe() -> Stdio {
    let (ours, theirs) = UnixStream::pair().expect("sockets can be opened");
    drop(theirs);
    Stdio::from(OwnedFd::from(ours))
}

#[test]
fn a_closed_pipe_ends_each_command_quietly() {
    for args in COMMANDS {
        let mut command = truechimer(args);
        let mut child =
            command.stdout(closed_pipe()).stderr(Stdio::piped()).spawn().expect("it starts");
        let status = wait(&mut child);
        assert_eq!((status.code(), stderr_of(&mut child).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn the_exit_code_is_the_same_if_nothing_can_be_written() {
    let expected = run(&["now"]).code;
    let mut child =
        truechimer(&["now"]).stdout(closed_pipe()).stderr(closed_pipe()).spawn().expect("starts");
    assert_eq!(wait(&mut child).code(), expected);
    let mut child = truechimer(&["now", "--assume", "5"])
        .stdout(closed_pipe())
        .stderr(closed_pipe())
        .spawn()
        .expect("it starts");
    assert_eq!(wait(&mut child).code(), Some(64));
}

#[test]
fn a_pipe_that_is_closed_after_the_first_line_ends_the_watch() {
    let program = env!("CARGO_BIN_EXE_truechimer");
    // The status of the first command, which a pipeline hides, goes through descriptor 3.
    let script = format!(
        "{{ {{ '{program}' watch --assume 250ms --interval 1h; echo $? >&3; }} | head -n 1; }} 3>&1"
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh is there");
    let status = wait(&mut child);
    assert!(status.success());
    let output = child.wait_with_output().expect("it has ended");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(out.lines().count(), 2, "a line and the exit code: {out}");
    // Either of the two may write first.
    assert!(out.lines().any(|line| line == "0"), "{out}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_an_error() {
    for args in COMMANDS.iter().filter(|args| args[0] != "--help") {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut command = truechimer(args);
        let mut child = command.stdout(full).stderr(Stdio::piped()).spawn().expect("it starts");
        let status = wait(&mut child);
        let error = stderr_of(&mut child);
        assert_eq!(status.code(), Some(1), "{args:?}: {error}");
        assert!(error.contains("cannot be written"), "{args:?}: {error}");
    }
}
