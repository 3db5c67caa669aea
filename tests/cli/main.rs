//! The command as its users run it: the real binary, with real pipes, signals and terminals.
//!
//! A test cannot choose the state of the host's clock. So a test that needs a clock without
//! evidence checks first whether this host has one.

#![cfg(all(feature = "cli", target_os = "linux"))]

mod bench;
#[path = "../support/bus.rs"]
#[allow(dead_code)]
mod bus;
mod command_line;
mod doctor;
mod now;
mod pipes;
mod watch;

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use truechimer::source::KernelState;

/// Longer than any run takes on a busy machine, so that only a run that hangs reaches it.
const TIMEOUT: Duration = Duration::from_secs(60);

fn truechimer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truechimer"));
    command.args(args).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env_remove("KUBERNETES_SERVICE_HOST");
    command
}

/// A run that has ended: its exit code and its output.
struct Finished {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Finished {
    let Output { status, stdout, stderr } = truechimer(args).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    Finished { code: status.code(), out: text(stdout), err: text(stderr) }
}

impl Finished {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

/// Waits for a child that should end by itself, and kills it after [`TIMEOUT`].
fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        if start.elapsed() > TIMEOUT {
            let _ = child.kill();
            panic!("it did not end by itself");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a child with a piped standard error has written there.
fn stderr_of(child: &mut Child) -> String {
    let mut text = String::new();
    let mut stderr = child.stderr.take().expect("stderr is piped");
    stderr.read_to_string(&mut text).expect("it writes UTF-8");
    text
}

/// Whether nothing disciplines this host's clock, as on a machine without a time daemon.
fn host_is_undisciplined() -> bool {
    KernelState::read().is_ok_and(|kernel| !kernel.is_synchronized())
}

/// For tests that are ignored by default, because few hosts suit them.
fn assert_host_is_undisciplined() {
    assert!(host_is_undisciplined(), "this test is for a host whose clock nothing disciplines");
}

/// Whether every line fits into 80 columns.
fn fits(text: &str) -> bool {
    text.lines().all(|line| line.chars().count() <= 80)
}
