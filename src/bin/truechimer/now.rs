//! `truechimer now`: the interval, once.
//!
//! A single reading needs a single sample, so the clock has no thread. It is never in
//! holdover, because that needs evidence from an earlier sample. Servers far away answer
//! later, and are waited for.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use truechimer::{Clock, Interval, Report};

use crate::args::NowArgs;
use crate::outcome::{CommandError, Outcome};
use crate::output::{self, rounded_up};
use crate::reading::{Reading, describe_source, describe_wider_drift, plus_minus};

/// Names are looked up, and the burst of requests takes its time. Who has not answered by then
/// hardly ever does.
const SERVERS_LIMIT: Duration = Duration::from_secs(5);

pub fn run(args: &NowArgs) -> Result<Outcome, CommandError> {
    let clock = args.clock.builder().manual().build()?;
    if args.clock.asks_servers() {
        wait_for_servers(&clock);
    }
    let report = clock.report();
    let reading = Reading::from(&report);
    if args.json {
        output::write_json(&reading)?;
    } else {
        if let Ok(interval) = report.now {
            output::write(&to_text(&interval, &reading))?;
        }
        print_problem(&reading, &report);
    }
    Ok(if reading.usable { Outcome::Success } else { Outcome::NotSynchronized })
}

/// Samples until the servers that were named have given a time, for [`SERVERS_LIMIT`] at most.
pub fn wait_for_servers(clock: &Clock) {
    let end = Instant::now() + SERVERS_LIMIT;
    while !clock.status().is_current() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
        let _ = clock.refresh();
    }
}

fn to_text(interval: &Interval, reading: &Reading) -> String {
    let mut text = format!("{interval}\n");
    let width = rounded_up(interval.width());
    let _ = writeln!(text, "{} (width {width}), {}", plus_minus(interval), reading.status);
    for source in &reading.vouched_by {
        let _ = writeln!(text, "stated by {}", describe_source(source));
    }
    if let Some(drift_ppm) = reading.wider_drift_ppm {
        let _ = writeln!(text, "{}, by the time daemon", describe_wider_drift(drift_ppm));
    }
    text
}

/// Prints why the clock cannot be trusted and what to do; nothing if it can.
fn print_problem(reading: &Reading, report: &Report) {
    let (Some(reason), Some(remedy)) = (&reading.reason, &reading.remedy) else { return };
    let prefix = if report.now.is_err() { "unsynchronized" } else { "not to be trusted" };
    output::print_error(&format!("{prefix}: {reason}"));
    output::print_error(&format!("to do: {remedy}"));
}
