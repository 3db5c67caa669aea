//! The pause monitor and a real stop: a child gets SIGSTOP, and reports what it noticed.
//!
//! The child is this test program again. An environment variable tells it what to do.
//! Lengths are compared only where the comparison holds on any machine, however busy.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use truechimer::pause::{PauseError, PauseGuard, PauseKind, PauseMonitor};

const CHILD: &str = "TRUECHIMER_PAUSE_TEST_CHILD";
const INTERVAL: Duration = Duration::from_millis(10);
/// Well above what a busy host does to a thread by itself.
const THRESHOLD: Duration = Duration::from_millis(200);
const STOP: Duration = Duration::from_millis(600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A child that answers one line with one line. It is ended with the test.
struct Stoppable {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Stoppable {
    fn start(part: &str) -> Stoppable {
        let me = std::env::current_exe().expect("a test knows its own path");
        let mut child = Command::new(me)
            .args(["pause::the_child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test can start itself");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut started = Stoppable { child, orders, answers };
        started.answer(); // "ready"
        started
    }

    /// The child's next answer. Lines of the test harness are skipped.
    fn answer(&mut self) -> Vec<String> {
        loop {
            let line = self.answers.next().expect("the child still runs").expect("and writes text");
            if let Some(answer) = line.split("=> ").nth(1) {
                return answer.split(' ').map(String::from).collect();
            }
        }
    }

    fn ask(&mut self, order: &str) -> Vec<String> {
        writeln!(self.orders, "{order}").expect("the child still reads");
        self.answer()
    }

    /// Stops the child, does something meanwhile, and continues it. Returns how long the
    /// child was certainly stopped.
    fn stop(&mut self, meanwhile: impl FnOnce(&mut ChildStdin)) -> Duration {
        let id = Pid::from_raw(self.child.id() as i32);
        kill(id, Signal::SIGSTOP).expect("our own child");
        // The signal takes a moment to stop all of its threads.
        let status = waitpid(id, Some(WaitPidFlag::WUNTRACED)).expect("our own child");
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
        let stopped = Instant::now();
        thread::sleep(STOP);
        meanwhile(&mut self.orders);
        let length = stopped.elapsed();
        kill(id, Signal::SIGCONT).expect("our own child");
        length
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: what a child does. Without its environment it does nothing.
#[test]
fn the_child() {
    let Ok(part) = std::env::var(CHILD) else { return };
    if part == "at once" {
        return stop_at_once();
    }
    // Without a callback: while one runs, the monitor observes nothing.
    let monitor = PauseMonitor::builder()
        .interval(INTERVAL)
        .threshold(THRESHOLD)
        .start()
        .expect("a thread can be had");
    let mut guard = monitor.guard();
    println!("=> ready");
    for order in std::io::stdin().lines() {
        let order = order.expect("text");
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("guard", _) => {
                guard = monitor.guard();
                println!("=> guarded");
            }
            ("check", _) => match guard.check() {
                Ok(()) => println!("=> unpaused"),
                Err(PauseError::Paused(pause)) => {
                    println!("=> paused {} {pause}", pause.at_most.as_nanos());
                }
                Err(other) => panic!("{other}"),
            },
            ("between", _) => {
                let now = Instant::now();
                let from = now.checked_sub(ms(60_000)).expect("booted a minute ago");
                println!("=> {}", monitor.paused_between(from, now).as_nanos());
            }
            // Waits until the monitor has noticed a pause of this length, and describes it.
            ("noticed", length) => {
                let length = Duration::from_nanos(length.parse().expect("a number"));
                let pause = loop {
                    if let Some(pause) = monitor.recent().iter().find(|p| p.at_most >= length) {
                        break *pause;
                    }
                    thread::sleep(INTERVAL);
                };
                let (least, most) = (pause.at_least.as_nanos(), pause.at_most.as_nanos());
                println!("=> {:?} {least} {most} {}", pause.kind, monitor.count_of(pause.kind));
            }
            other => panic!("no such order: {other:?}"),
        }
    }
}

/// A child that stops itself as soon as it has a monitor.
fn stop_at_once() {
    println!("=> ready");
    let monitor = PauseMonitor::builder().interval(INTERVAL).threshold(THRESHOLD).start();
    let monitor = monitor.expect("a thread can be had");
    let guard = monitor.guard();
    raise(Signal::SIGSTOP).expect("a process may stop itself");
    // By now the monitor's thread has run. It must not forget the pause.
    thread::sleep(10 * INTERVAL);
    println!("=> {}", if guard.was_paused() { "paused" } else { "unpaused" });
}

#[test]
fn a_stop_right_after_the_start_is_noticed() {
    for _ in 0..3 {
        let mut child = Stoppable::start("at once");
        let id = Pid::from_raw(child.child.id() as i32);
        waitpid(id, Some(WaitPidFlag::WUNTRACED)).expect("our own child");
        thread::sleep(STOP);
        kill(id, Signal::SIGCONT).expect("our own child");
        assert_eq!(child.answer(), ["paused"]);
    }
}

#[test]
fn a_stopped_process_notices_that_it_was_stopped_and_for_how_long() {
    let mut child = Stoppable::start("stopped");
    let length = child.stop(|_| ());
    let answer = child.ask(&format!("noticed {}", length.as_nanos()));
    let nanos = |text: &str| Duration::from_nanos(text.parse().expect("a number"));
    let (at_least, at_most) = (nanos(&answer[1]), nanos(&answer[2]));
    // It may have been stopped just before it was due to wake, or just after it went to sleep.
    assert!(at_least >= length - INTERVAL, "{answer:?}, and it was {length:?}");
    assert!(at_most >= at_least && at_most <= at_least + INTERVAL, "{answer:?}");
    // If the host is so busy that the child then waited for longer than it was stopped, the
    // wait is the main cause. The table in `classify.rs` has each case.
    assert!(answer[0] == "Stopped" || answer[0] == "NotScheduled", "{answer:?}");
    assert_ne!(answer[3], "0");
}

#[test]
fn a_guard_sees_the_pause_at_once_and_one_made_afterwards_does_not() {
    let mut child = Stoppable::start("guarded");
    assert_eq!(child.ask("guard"), ["guarded"]);
    // The question is there when the child wakes. Its main thread may be the first to run.
    let length = child.stop(|orders| writeln!(orders, "check").expect("a pipe holds a line"));
    let at_most = |answer: &[String]| {
        assert_eq!(answer[0], "paused", "{answer:?}");
        Duration::from_nanos(answer[1].parse().expect("a number"))
    };
    let answer = child.answer();
    assert!(at_most(&answer) >= length, "{answer:?}, and it was {length:?}");

    let between = child.ask("between");
    let between = Duration::from_nanos(between[0].parse().expect("a number"));
    assert!(between >= length, "{between:?}, and it was {length:?}");

    child.ask(&format!("noticed {}", length.as_nanos()));
    let began = Instant::now();
    assert_eq!(child.ask("guard"), ["guarded"]);
    let answer = child.ask("check");
    // A busy host may pause it again, but not for longer than this guard exists.
    assert!(answer == ["unpaused"] || at_most(&answer) <= began.elapsed(), "{answer:?}");
}

#[test]
fn an_interval_out_of_range_is_refused() {
    for interval in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
        let refused = PauseMonitor::builder().interval(interval).start();
        assert!(matches!(refused, Err(PauseError::Interval { interval: i }) if i == interval));
    }
}

#[test]
fn a_callback_that_panics_or_drops_the_monitor_does_no_harm() {
    // With a threshold of zero every wake counts as a pause.
    let (tell, told) = mpsc::channel();
    let monitor = PauseMonitor::builder()
        .interval(ms(1))
        .threshold(Duration::ZERO)
        .on_pause(move |_| {
            let _ = tell.send(());
            std::panic::resume_unwind(Box::new("on purpose"));
        })
        .start()
        .expect("a thread can be had");
    for _ in 0..3 {
        told.recv_timeout(ms(20_000)).expect("the monitor goes on");
    }
    assert!(monitor.count() >= 3);
    drop(monitor);

    let (give, given) = mpsc::channel::<PauseMonitor>();
    let (tell, told) = mpsc::channel();
    let monitor = PauseMonitor::builder()
        .interval(ms(1))
        .threshold(Duration::ZERO)
        .on_pause(move |_| {
            if let Ok(monitor) = given.recv() {
                drop(monitor);
                let _ = tell.send(());
            }
        })
        .start()
        .expect("a thread can be had");
    give.send(monitor).expect("the callback waits for it");
    told.recv_timeout(ms(20_000)).expect("a thread does not wait for itself");
}

#[test]
fn a_monitor_and_its_guards_can_be_sent_and_shared() {
    fn goes<T: Send + Sync + 'static>() {}
    goes::<PauseMonitor>();
    goes::<PauseGuard>();
}

#[test]
fn each_kind_is_counted() {
    let monitor = PauseMonitor::builder()
        .interval(ms(1))
        .threshold(Duration::ZERO)
        .start()
        .expect("a thread can be had");
    while monitor.count() < 5 {
        thread::sleep(ms(1));
    }
    drop(monitor.guard().clone());
    let kinds: u64 = PauseKind::ALL.map(|kind| monitor.count_of(kind)).iter().sum();
    assert!(kinds >= 5 && kinds <= monitor.count());
    assert!(monitor.last().is_some() && monitor.recent().len() >= 5);
    assert!(monitor.probes().switches && monitor.probes().boot_time);
}
