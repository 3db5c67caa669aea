//! The monitor and the detector together: our own pause raises no suspicion of a peer.
//!
//! A child of this test watches an imagined peer. While the child is stopped it receives
//! no heartbeat, though the peer is healthy. Lengths are compared only where the
//! comparison holds on a busy machine.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use truechimer::pause::PauseMonitor;
use truechimer::timeout::{PhiDetector, PhiSettings};

const CHILD: &str = "TRUECHIMER_PAUSE_PHI_CHILD";
const STOP: Duration = Duration::from_secs(5);

/// A peer that sent a heartbeat every half second, the last one at `last`.
fn regular_peer(began: Instant, last: Instant) -> PhiDetector {
    let last = last.duration_since(began);
    let mut peer = PhiDetector::new(PhiSettings::default(), Duration::ZERO).expect("the defaults");
    let beats = (0..20).rev().map(|n| last.saturating_sub(Duration::from_millis(500) * n));
    beats.for_each(|beat| peer.heartbeat(beat));
    peer
}

/// Not a test by itself: what the child does.
#[test]
fn the_child() {
    let Ok(_part) = std::env::var(CHILD) else { return };
    let monitor = PauseMonitor::builder()
        .interval(Duration::from_millis(10))
        .threshold(Duration::from_millis(200))
        .start()
        .expect("a thread can be had");
    println!("=> ready");
    // Ignore shorter pauses, which come from a busy host.
    let pause = loop {
        match monitor.recent().into_iter().find(|pause| pause.at_least >= STOP / 2) {
            Some(pause) => break pause,
            None => thread::sleep(Duration::from_millis(10)),
        }
    };

    // The peer's last heartbeat came 100 ms before the pause, and the next one is not due
    // yet when the pause ends.
    let now = pause.noticed;
    let last = now - pause.at_most - Duration::from_millis(100);
    let began = last.checked_sub(Duration::from_secs(10)).expect("booted ten seconds ago");
    let peer = regular_peer(began, last);
    let is_suspected = |discount: bool, now: Instant| {
        let mut peer = peer.clone();
        if discount {
            peer.paused(monitor.paused_between(last, now));
        }
        peer.is_suspected(now.duration_since(began))
    };
    let (fair, broken) = (is_suspected(true, now), is_suspected(false, now));
    // A peer that stays silent while we run is suspected in the end.
    let later = is_suspected(true, now + Duration::from_secs(60));
    println!("=> {fair} {broken} {later}");
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn our_own_pause_raises_no_suspicion_and_would_without_the_discount() {
    let mut child = Command::new(std::env::current_exe().expect("a test knows its own path"))
        .args(["pause_phi::the_child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "watches")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can start itself");
    let id = Pid::from_raw(child.id() as i32);
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let _ended = Ended(child);
    let mut answers = lines.filter_map(|line| {
        let line = line.expect("text");
        line.split("=> ").nth(1).map(String::from)
    });
    assert_eq!(answers.next().as_deref(), Some("ready"));
    kill(id, Signal::SIGSTOP).expect("our own child");
    thread::sleep(STOP);
    kill(id, Signal::SIGCONT).expect("our own child");
    // With the discount, without it (the broken variant), and after a real silence.
    assert_eq!(answers.next().as_deref(), Some("false true true"));
}
