//! `truechimer watch`: the interval as it goes, until somebody has seen enough.
//!
//! Four things end it, all of them well: Ctrl-C, SIGTERM, SIGHUP, and a reader
//! that goes away. A signal handler could only set a flag, and the sleep would
//! have to be cut into pieces to notice it. So the signals are blocked and come
//! through a descriptor instead, which is waited on together with standard
//! output: a closed pipe shows there at once, not at the next line.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use truechimer::{Clock, Report};

use crate::args::WatchArgs;
use crate::output::{self, COLUMNS, Reader};
use crate::reading::{Reading, plus_minus};
use crate::{CommandError, Outcome};

pub fn run(args: &WatchArgs) -> Result<Outcome, CommandError> {
    let ending = Ending::new();
    let clock = args.clock.builder().build()?;
    // The thread's first answers may take longer than `build()` waits for them.
    let _ = clock.refresh();
    let mut screen = Screen::new(args.json);
    let start = Instant::now();
    let mut lines = 0u32;
    loop {
        // A reader that is there and does not read must not keep a signal waiting.
        if ending.wait(PollFlags::POLLOUT, None) == Woken::Ended {
            return Ok(Outcome::Success);
        }
        if screen.show(&clock)? == Reader::Gone {
            return Ok(Outcome::Success);
        }
        // By the count of lines, so that printing does not make the interval longer.
        lines = lines.saturating_add(1);
        let next = args.interval.saturating_mul(lines);
        let left = next.saturating_sub(start.elapsed());
        if ending.wait(PollFlags::empty(), Some(left)) == Woken::Ended {
            screen.close();
            return Ok(Outcome::Success);
        }
    }
}

/// What ends the watching.
struct Ending {
    /// `None` where no descriptor can be had; then the signals do what they always do.
    signals: Option<SignalFd>,
}

impl Ending {
    /// Before the clock is built: the signals must be blocked in each thread.
    fn new() -> Ending {
        let mask: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).ok();
        Ending { signals: signals.filter(|_| mask.thread_block().is_ok()) }
    }

    /// Waits until standard output is ready for `events`, for `patience` at the most, or
    /// until the end has come.
    fn wait(&self, events: PollFlags, patience: Option<Duration>) -> Woken {
        let start = Instant::now();
        let stdout = io::stdout();
        loop {
            // An error or a hang-up of standard output is told whatever is asked for.
            let mut fds = vec![PollFd::new(stdout.as_fd(), events)];
            if let Some(signals) = &self.signals {
                fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
            }
            let left = patience.map(|patience| patience.saturating_sub(start.elapsed()));
            match ppoll(&mut fds, left.map(TimeSpec::from_duration), None) {
                Ok(0) => return Woken::InTime,
                Ok(_) => {
                    let has =
                        |fd: &PollFd, flags| fd.revents().is_some_and(|f| f.intersects(flags));
                    let signalled = fds.get(1).is_some_and(|fd| has(fd, PollFlags::all()));
                    let gone = has(&fds[0], PollFlags::all() - PollFlags::POLLOUT);
                    return if signalled || gone { Woken::Ended } else { Woken::InTime };
                }
                Err(Errno::EINTR) => {}
                // ppoll is forbidden: sleep, and let writing notice what has ended.
                Err(_) => {
                    std::thread::sleep(left.unwrap_or_default());
                    return Woken::InTime;
                }
            }
        }
    }
}

/// How a wait has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Woken {
    /// Somebody has seen enough.
    Ended,
    /// The time is over, or standard output is ready.
    InTime,
}

/// Where the lines go: over each other on a terminal, else below each other.
struct Screen {
    json: bool,
    rewrites: bool,
    /// The cursor stands behind a line that the next one goes over.
    has_line: bool,
    /// The remedies that were given; each is given once.
    advised: Vec<String>,
}

impl Screen {
    fn new(json: bool) -> Screen {
        let rewrites = !json && io::stdout().is_terminal();
        Screen { json, rewrites, has_line: false, advised: Vec::new() }
    }

    fn show(&mut self, clock: &Clock) -> Result<Reader, CommandError> {
        let report = clock.report();
        let reading = Reading::from(&report);
        if self.json {
            return output::write(&(serde_json::to_string(&reading)? + "\n"));
        }
        if self.advise(&reading)? == Reader::Gone {
            return Ok(Reader::Gone);
        }
        let line = in_one_line(&reading, &report);
        if !self.rewrites {
            return output::write(&(line + "\n"));
        }
        // One less than the terminal has: the last column would wrap.
        let terminal = terminal_size::terminal_size_of(io::stdout());
        let columns = terminal.map_or(COLUMNS, |(width, _)| usize::from(width.0)).min(COLUMNS);
        let width = columns.saturating_sub(1);
        self.has_line = true;
        output::write(&format!("\r{:<width$}", shortened(&line, width)))
    }

    /// Says what to do, to standard error as `now` does: a line has no room for it, and each
    /// object of JSON carries it.
    fn advise(&mut self, reading: &Reading) -> Result<Reader, CommandError> {
        let Some(remedy) = &reading.remedy else { return Ok(Reader::Present) };
        if self.advised.contains(remedy) {
            return Ok(Reader::Present);
        }
        if std::mem::take(&mut self.has_line) && output::write("\n")? == Reader::Gone {
            return Ok(Reader::Gone);
        }
        output::print_error(&format!("to do: {remedy}"));
        self.advised.push(remedy.clone());
        Ok(Reader::Present)
    }

    /// Leaves the cursor on a line of its own, if there is a terminal still.
    fn close(&mut self) {
        if self.rewrites {
            let _ = output::write("\n");
        }
    }
}

fn in_one_line(reading: &Reading, report: &Report) -> String {
    let mut line = String::new();
    match report.now {
        Ok(interval) => {
            let middle = interval.midpoint();
            let _ = write!(line, "{middle} {} {}", plus_minus(&interval), reading.status);
        }
        Err(_) => line.push_str(reading.status),
    }
    if reading.contradictions > 0 {
        let _ = write!(line, ", {} contradictions", reading.contradictions);
    }
    if report.sampler.steps > 0 {
        let _ = write!(line, ", {} steps", report.sampler.steps);
    }
    match &reading.reason {
        Some(reason) => {
            let _ = write!(line, ": {reason}");
        }
        None => {
            let _ = write!(line, " ({})", reading.vouched_by.join(", "));
        }
    }
    line
}

/// The beginning of `line` that fits, with a mark where something was cut off.
fn shortened(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_the_terminal() {
        let cases = [
            ("short", 10, "short"),
            ("exactly", 7, "exactly"),
            ("too long", 5, "too …"),
            ("±±±", 2, "±…"),
            ("x", 0, ""),
        ];
        for (line, width, cut) in cases {
            assert_eq!(shortened(line, width), cut, "{line} in {width}");
        }
    }
}
