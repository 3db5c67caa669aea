//! The pause monitor beside a real stop: a child is SIGSTOPped, and says what it saw.
//!
//! The child is this test program again, told by its environment which part to play.
//! Lengths are only compared where the comparison holds on any machine, however busy.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use truechimer::pause::{Guard, PauseError, PauseKind, PauseMonitor};

const CHILD: &str = "TRUECHIMER_PAUSE_TEST_CHILD";
/// The child's answer if it was not called back.
const NOTHING: &str = "Nothing 0 0 0";
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
            .args(["the_child", "--exact", "--nocapture", "--test-threads=1"])
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

    /// The next line that is meant for us: the harness prints others.
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

    /// Stops the child, has the host do something meanwhile, and continues it: how long it
    /// certainly stood still.
    fn stop(&mut self, meanwhile: impl FnOnce(&mut ChildStdin)) -> Duration {
        let id = Pid::from_raw(self.child.id() as i32);
        kill(id, Signal::SIGSTOP).expect("our own child");
        // On a busy host some of its threads may run on for a while.
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

/// Not a test of its own: what a child does. Without its environment it does nothing.
#[test]
fn the_child() {
    let Ok(part) = std::env::var(CHILD) else { return };
    if part == "at once" {
        return stop_at_once();
    }
    let (tell, told) = mpsc::channel();
    let monitor = PauseMonitor::builder()
        .interval(INTERVAL)
        .threshold(THRESHOLD)
        .on_pause(move |&pause| {
            let _ = tell.send(pause);
        })
        .start()
        .expect("a thread can be had");
    let mut guard = monitor.guard();
    println!("=> ready");
    for order in std::io::stdin().lines() {
        match order.expect("text").as_str() {
            "guard" => {
                guard = monitor.guard();
                println!("=> guarded");
            }
            "check" => match guard.check() {
                Ok(()) => println!("=> unpaused"),
                Err(paused) => {
                    println!("=> paused {} {paused:?}", paused.pause.at_most.as_nanos())
                }
            },
            "between" => {
                let now = Instant::now();
                let from = now.checked_sub(ms(60_000)).expect("booted a minute ago");
                println!("=> {}", monitor.paused_between(from, now).as_nanos());
            }
            // Waits for the callback, and says what it was called with.
            "callback" => {
                let Ok(pause) = told.recv_timeout(ms(5_000)) else {
                    println!("=> {NOTHING}");
                    continue;
                };
                let (least, most) = (pause.at_least.as_nanos(), pause.at_most.as_nanos());
                println!("=> {:?} {least} {most} {}", pause.kind, monitor.count_of(pause.kind));
            }
            other => panic!("no such order: {other}"),
        }
    }
}

/// A child that stops itself the moment it has a monitor.
fn stop_at_once() {
    println!("=> ready");
    let monitor = PauseMonitor::builder().interval(INTERVAL).threshold(THRESHOLD).start();
    let monitor = monitor.expect("a thread can be had");
    let guard = monitor.guard();
    raise(Signal::SIGSTOP).expect("a process may stop itself");
    // Its thread has had its turn by now, and forgets nothing.
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
fn a_stopped_process_says_that_it_was_stopped_and_for_how_long() {
    let mut child = Stoppable::start("stopped");
    // Again where the host was so busy that the child waited for its turn at the same time,
    // and was told of that: of several reasons the main one counts.
    for _ in 0..20 {
        let length = child.stop(|_| ());
        // Shorter ones are the busy host's.
        let (answer, at_least, at_most) = loop {
            let answer = child.ask("callback");
            let nanos = |text: &str| Duration::from_nanos(text.parse().expect("a number"));
            let (at_least, at_most) = (nanos(&answer[1]), nanos(&answer[2]));
            if at_most >= length - ms(1) || answer[0] == "Nothing" {
                break (answer, at_least, at_most);
            }
        };
        if answer[0] == "Nothing" {
            // It was stopped while it was being called back for a pause of the busy host's.
            continue;
        }
        // It may have been stopped just before it was to wake, or just after it went to sleep.
        assert!(at_least >= length - INTERVAL - ms(1), "{answer:?}, and it was {length:?}");
        assert!(at_most >= at_least && at_most <= at_least + INTERVAL, "{answer:?}");
        if answer[0] == "Stopped" {
            assert_ne!(answer[3], "0");
            return;
        }
    }
    panic!("it never learnt that it was stopped");
}

#[test]
fn a_guard_knows_of_the_pause_at_once_and_one_made_afterwards_does_not() {
    let mut child = Stoppable::start("guarded");
    assert_eq!(child.ask("guard"), ["guarded"]);
    // The question is there when the child wakes: its main thread may well be the first to run.
    let length = child.stop(|orders| writeln!(orders, "check").expect("a pipe holds a line"));
    let answer = child.answer();
    assert_eq!(answer[0], "paused", "{answer:?}");
    let at_most = Duration::from_nanos(answer[1].parse().expect("a number"));
    assert!(at_most >= length - ms(1), "{answer:?}, and it was {length:?}");

    let between = child.ask("between");
    let between = Duration::from_nanos(between[0].parse().expect("a number"));
    assert!(between >= length - ms(1), "{between:?}, and it was {length:?}");

    child.ask("callback");
    // Again if the host is so busy that it was paused indeed.
    let unpaused = (0..100).any(|_| {
        assert_eq!(child.ask("guard"), ["guarded"]);
        child.ask("check") == ["unpaused"]
    });
    assert!(unpaused, "the old pause is held against a new guard");
}

#[test]
fn figures_out_of_range_are_refused() {
    for interval in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
        let refused = PauseMonitor::builder().interval(interval).start();
        assert!(matches!(refused, Err(PauseError::Interval { interval: i }) if i == interval));
    }
}

#[test]
fn a_callback_that_panics_or_drops_the_monitor_does_no_harm() {
    // A threshold of nothing makes a pause of every wake.
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
fn a_monitor_and_its_guards_go_wherever_threads_and_tasks_go() {
    fn goes<T: Send + Sync + 'static>() {}
    goes::<PauseMonitor>();
    goes::<Guard>();
}

#[test]
fn kinds_are_counted_each_in_its_place() {
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
    assert!(monitor.witnesses().switches && monitor.witnesses().boot_time);
}
