//! The command as its users meet it: the real binary, with real pipes, signals and terminals.
//!
//! What a host's clock says is not ours to choose, so tests that need a clock
//! without evidence look first whether this host has one.

#![cfg(feature = "cli")]

mod bench;
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

/// Longer than any of it takes on a busy machine: against hanging only.
const PATIENCE: Duration = Duration::from_secs(60);

fn truechimer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truechimer"));
    command.args(args).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env_remove("KUBERNETES_SERVICE_HOST");
    command
}

/// What it wrote, and how it ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Ran {
    let Output { status, stdout, stderr } = truechimer(args).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

/// Waits for a child that should end by itself, and kills it if it does not.
fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it did not end by itself");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn complaints(child: &mut Child) -> String {
    let mut text = String::new();
    let mut stderr = child.stderr.take().expect("stderr is piped");
    stderr.read_to_string(&mut text).expect("it writes UTF-8");
    text
}

/// Whether nothing disciplines this host's clock, as on a machine without a time daemon.
fn nothing_vouches_here() -> bool {
    KernelState::read().is_ok_and(|kernel| !kernel.is_synchronized())
}

/// For tests that are ignored unless asked for, because few hosts suit them.
fn assert_that_nothing_vouches_here() {
    assert!(nothing_vouches_here(), "this test is for a host whose clock nothing disciplines");
}

/// Whether no line is wider than a terminal of 80 columns.
fn fits(text: &str) -> bool {
    text.lines().all(|line| line.chars().count() <= 80)
}
