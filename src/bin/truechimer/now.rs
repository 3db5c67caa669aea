//! `truechimer now`: the interval, once.
//!
//! One sample is all there is to a single reading, so the clock has no thread,
//! and there is no holdover: that status would need a source that has vouched
//! before.

use std::fmt::Write as _;

use truechimer::{Interval, Report};

use crate::args::NowArgs;
use crate::output::{self, rounded_up};
use crate::reading::{Reading, introduce, plus_minus};
use crate::{CommandError, Outcome};

pub fn run(args: &NowArgs) -> Result<Outcome, CommandError> {
    let clock = args.clock.builder().manual().build()?;
    let report = clock.report();
    let reading = Reading::from(&report);
    if args.json {
        output::write_json(&reading)?;
    } else {
        if let Ok(interval) = report.now {
            output::write(&to_text(&interval, &reading))?;
        }
        explain(&reading, &report);
    }
    Ok(if reading.usable { Outcome::Success } else { Outcome::NotSynchronized })
}

fn to_text(interval: &Interval, reading: &Reading) -> String {
    let mut text = format!("{interval}\n");
    let width = rounded_up(interval.width());
    let _ = writeln!(text, "{} (width {width}), {}", plus_minus(interval), reading.status);
    for source in &reading.vouched_by {
        let _ = writeln!(text, "vouched for by {}", introduce(source));
    }
    text
}

/// Why it may not be believed, and what to do; nothing if it may.
fn explain(reading: &Reading, report: &Report) {
    let (Some(reason), Some(remedy)) = (&reading.reason, &reading.remedy) else { return };
    let prefix = if report.now.is_err() { "unsynchronized" } else { "not to be believed" };
    output::print_error(&format!("{prefix}: {reason}"));
    output::print_error(&format!("to do: {remedy}"));
}
