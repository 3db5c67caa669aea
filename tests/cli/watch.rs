//! `truechimer watch`: its lines, and what ends it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{assert_host_is_undisciplined, fits, stderr_of, truechimer, wait};

fn send(signal: Signal, child: &Child) {
    let pid = i32::try_from(child.id()).expect("a process id");
    kill(Pid::from_raw(pid), signal).expect("it is our child");
}

/// Restores a signal's default action, because this process may ignore it (`nohup`, or `&`
/// in a script) and a child inherits that.
fn stop_ignoring(wanted: Signal) {
    // SAFETY: the default action runs no handler of this process.
    unsafe { signal(wanted, SigHandler::SigDfl) }.expect("these may be changed");
}

#[test]
fn a_signal_ends_it_with_success() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        stop_ignoring(signal);
        let mut child = truechimer(&["watch", "--assume", "250ms", "--interval", "20ms"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for _ in 0..3 {
            let line = lines.next().expect("it continues").expect("UTF-8");
            assert!(line.contains("Z ± ") && fits(&line), "{line}");
        }
        send(signal, &child);
        let rest = thread::spawn(move || lines.map_while(Result::ok).last());
        let status = wait(&mut child);
        assert_eq!((status.code(), stderr_of(&mut child).as_str()), (Some(0), ""), "{signal}");
        let last = rest.join().expect("reading does not panic");
        assert!(last.is_none_or(|line| line.ends_with(')')), "the last line is whole");
    }
}

#[test]
fn a_signal_does_not_wait_for_the_interval_to_end() {
    let mut child = truechimer(&["watch", "--assume", "250ms", "--interval", "1h"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("the first line comes at once").expect("UTF-8");
    send(Signal::SIGTERM, &child);
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_signal_ends_it_although_the_pipe_is_full() {
    let mut child = truechimer(&["watch", "--assume", "250ms", "--interval", "1ms", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Many times as long as it takes to fill the 64 KiB of a pipe.
    thread::sleep(Duration::from_secs(2));
    send(Signal::SIGTERM, &child);
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
#[ignore = "needs a host whose clock nothing disciplines"]
fn without_evidence_it_continues_and_each_line_says_why() {
    assert_host_is_undisciplined();
    let mut child = truechimer(&["watch", "--interval", "20ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..3 {
        let line = lines.next().expect("it continues").expect("UTF-8");
        assert!(line.starts_with("unsynchronized: the kernel"), "{line}");
    }
    send(Signal::SIGTERM, &child);
    assert_eq!(wait(&mut child).code(), Some(0));
    let advice = stderr_of(&mut child);
    assert!(advice.contains("chronyd") && advice.contains("--assume 250ms"), "{advice}");
    assert_eq!(advice.matches("to do: ").count(), 1, "once, not with each line: {advice}");
    assert!(fits(&advice));
}

#[test]
fn with_json_each_line_is_an_object_and_time_advances() {
    let mut child = truechimer(&["watch", "--assume", "250ms", "--interval", "20ms", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut last = i64::MIN;
    for _ in 0..3 {
        let line = lines.next().expect("it continues").expect("UTF-8");
        let object: Value = serde_json::from_str(&line).expect("JSON");
        let latest = object["interval"]["latest"]["tai_ns"].as_str().expect("text");
        let latest: i64 = latest.parse().expect("a moment");
        assert!(latest > last);
        last = latest;
    }
    send(Signal::SIGTERM, &child);
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn on_a_terminal_one_line_is_rewritten_and_stays_whole() {
    for columns in [80u16, 30] {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(Some(&size), None).expect("a terminal can be opened");
        let mut child = truechimer(&["watch", "--assume", "250ms", "--interval", "20ms"])
            .stdout(Stdio::from(terminal.slave))
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut screen = File::from(terminal.master);
        let mut seen = Vec::new();
        let mut some = [0; 1024];
        while seen.iter().filter(|&&byte| byte == b'\r').count() < 4 {
            let read = screen.read(&mut some).expect("the terminal is open");
            seen.extend_from_slice(&some[..read]);
        }
        send(Signal::SIGTERM, &child);
        // Reading ends with an error once no process has the terminal open.
        while let Ok(read @ 1..) = screen.read(&mut some) {
            seen.extend_from_slice(&some[..read]);
        }
        assert_eq!((wait(&mut child).code(), stderr_of(&mut child).as_str()), (Some(0), ""));
        let seen = String::from_utf8(seen).expect("UTF-8");
        // The terminal itself puts \r before the \n.
        let lines = seen.strip_suffix("\r\n").expect("it leaves a line of its own");
        assert!(!lines.contains('\n'), "one line: {seen:?}");
        for line in lines.split('\r') {
            assert!(line.chars().count() < usize::from(columns), "{line:?}");
        }
    }
}
