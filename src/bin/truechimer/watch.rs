//! `truechimer watch`: the interval again and again, until the user ends it.
//!
//! Four things end it with success: Ctrl-C, SIGTERM, SIGHUP, and a reader that closes the
//! pipe. How they are noticed is in [`stop`](crate::stop).

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::Instant;

use truechimer::{Clock, Report};

use crate::args::WatchArgs;
use crate::outcome::{CommandError, Outcome};
use crate::output::{self, COLUMNS, Reader};
use crate::reading::{Reading, describe_wider_drift, plus_minus};
use crate::stop::{Stop, Wait};

pub fn run(args: &WatchArgs) -> Result<Outcome, CommandError> {
    let stop = Stop::new();
    let clock = args.clock.builder().build()?;
    // The thread's first samples may take longer than `build()` waits for them.
    let _ = clock.refresh();
    let mut screen = Screen::new(args.json);
    let start = Instant::now();
    let mut lines = 0u32;
    loop {
        // If the reader does not read, a write blocks, and a signal would go unnoticed. So
        // wait for room in the pipe and for a signal together.
        if stop.wait_for_room() == Wait::Stopped {
            return Ok(Outcome::Success);
        }
        if screen.show(&clock)? == Reader::Gone {
            return Ok(Outcome::Success);
        }
        // Count lines from the start, so that the time to print does not add to the interval.
        lines = lines.saturating_add(1);
        let next = args.interval.saturating_mul(lines);
        let left = next.saturating_sub(start.elapsed());
        if stop.wait(left) == Wait::Stopped {
            screen.close();
            return Ok(Outcome::Success);
        }
    }
}

/// Where the lines go: on a terminal each replaces the last, elsewhere each is a new line.
struct Screen {
    json: bool,
    rewrites: bool,
    /// The cursor is at the end of a line that the next one will replace.
    has_line: bool,
    /// The remedies that were printed, because each is printed once.
    remedies: Vec<String>,
}

impl Screen {
    fn new(json: bool) -> Screen {
        let rewrites = !json && io::stdout().is_terminal();
        Screen { json, rewrites, has_line: false, remedies: Vec::new() }
    }

    fn show(&mut self, clock: &Clock) -> Result<Reader, CommandError> {
        let report = clock.report();
        let reading = Reading::from(&report);
        if self.json {
            return output::write(&(serde_json::to_string(&reading)? + "\n"));
        }
        if self.print_remedy(&reading)? == Reader::Gone {
            return Ok(Reader::Gone);
        }
        let line = one_line(&reading, &report);
        if !self.rewrites {
            return output::write(&(line + "\n"));
        }
        // One column less than the terminal has, because some wrap after the last.
        let terminal = terminal_size::terminal_size_of(io::stdout());
        let columns = terminal.map_or(COLUMNS, |(width, _)| usize::from(width.0)).min(COLUMNS);
        let width = columns.saturating_sub(1);
        self.has_line = true;
        output::write(&format!("\r{:<width$}", truncated(&line, width)))
    }

    /// Prints what to do to standard error, as `now` does. A line has no room for it; a JSON
    /// object contains it.
    fn print_remedy(&mut self, reading: &Reading) -> Result<Reader, CommandError> {
        let Some(remedy) = &reading.remedy else { return Ok(Reader::Present) };
        if self.remedies.contains(remedy) {
            return Ok(Reader::Present);
        }
        if std::mem::take(&mut self.has_line) && output::write("\n")? == Reader::Gone {
            return Ok(Reader::Gone);
        }
        output::print_error(&format!("to do: {remedy}"));
        self.remedies.push(remedy.clone());
        Ok(Reader::Present)
    }

    /// Leaves the cursor on a new line, if there is still a terminal.
    fn close(&mut self) {
        if self.rewrites {
            let _ = output::write("\n");
        }
    }
}

fn one_line(reading: &Reading, report: &Report) -> String {
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
    if let Some(drift_ppm) = reading.wider_drift_ppm {
        let _ = write!(line, ", {}", describe_wider_drift(drift_ppm));
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

/// The beginning of `line` that fits, with an ellipsis where it was cut.
fn truncated(line: &str, width: usize) -> String {
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
            assert_eq!(truncated(line, width), cut, "{line} in {width}");
        }
    }
}
