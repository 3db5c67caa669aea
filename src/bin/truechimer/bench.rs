//! `truechimer bench`: what each way of reading a clock costs on this host.
//!
//! The naive bench times one way after the other. On a shared machine the
//! first then meets another machine than the last. So all take turns, a batch
//! of reads each, round after round: a disturbance hits them all alike, the
//! minimum shows what the way costs when nothing disturbs, and the median what
//! it costs on this host as it is.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use truechimer::clock::raw_read::{RawRead, time_of};
use truechimer::{Clock, CounterKind, Timestamp};

use crate::args::BenchArgs;
use crate::output;
use crate::{CommandError, Verdict};

/// All rounds together; `build()` and the start come on top.
const BUDGET: Duration = Duration::from_millis(1800);
/// More rounds change nothing any more.
const MOST_ROUNDS: usize = 1000;
/// A batch is long enough for the clock that times it, and short enough to fit between interruptions.
const BATCH: Duration = Duration::from_micros(10);
/// What is vouched for where nobody vouches: without it there is no `now()` to measure.
const ASSUMED: Duration = Duration::from_millis(250);
const WIDE: Duration = Duration::from_secs(10);
/// What all others are compared with.
const STANDARD: &str = "SystemTime::now()";

pub fn run(args: &BenchArgs) -> Result<Verdict, CommandError> {
    let mut clock = args.clock.builder().build()?;
    // By now its thread has asked, or this does: `build()` does not wait long on a busy host.
    let assumed = clock.refresh().is_err().then_some(ASSUMED);
    if let Some(error) = assumed {
        // A limit of the user's own may be narrower than what is assumed here.
        clock = args.clock.builder().assume_error(error).max_width(WIDE).build()?;
        let _ = clock.refresh();
    }
    let raw = args.clock.builder().counter(CounterKind::MonotonicRaw).assume_error(ASSUMED);
    let raw = raw.max_width(WIDE).build()?;
    let _ = raw.refresh();

    let mut ways = ways(&clock, &raw);
    measure(&mut ways);
    let table = Table::new(&ways, &clock, assumed);
    if args.json {
        output::write_json(&table)?;
    } else {
        output::write(&table.in_words())?;
    }
    Ok(Verdict::Good)
}

/// A way to read a clock, and what it was found to cost.
struct Way {
    name: String,
    /// How long so many reads take.
    time: Box<dyn Fn(u32) -> Duration>,
    reads: u32,
    /// Nanoseconds a read, by batch.
    costs: Vec<f64>,
}

impl Way {
    fn new(name: impl Into<String>, time: impl Fn(u32) -> Duration + 'static) -> Way {
        Way { name: name.into(), time: Box::new(time), reads: 1, costs: Vec::new() }
    }
}

fn ways(clock: &Clock, on_raw: &Clock) -> Vec<Way> {
    let raw = RawRead::all().into_iter().map(|way| Way::new(way.name(), move |n| way.time(n)));
    let mut ways: Vec<Way> = raw.collect();
    ways.push(Way::new(STANDARD, |n| time_of(n, std::time::SystemTime::now)));
    ways.push(Way::new("Instant::now()", |n| time_of(n, Instant::now)));
    let t = Timestamp::MIN;
    let c = clock.clone();
    ways.push(Way::new("Clock::now()", move |n| time_of(n, || c.now())));
    let c = clock.clone();
    ways.push(Way::new("Clock::earliest()", move |n| time_of(n, || c.earliest())));
    let c = clock.clone();
    ways.push(Way::new("Clock::after(t)", move |n| time_of(n, || c.after(t))));
    let c = clock.clone();
    ways.push(Way::new("Clock::before(t)", move |n| time_of(n, || c.before(t))));
    let c = on_raw.clone();
    ways.push(Way::new("Clock::now(), counter monotonic-raw", move |n| time_of(n, || c.now())));
    ways
}

fn measure(ways: &mut [Way]) {
    let start = Instant::now();
    for way in &mut *ways {
        // Twice as many reads as long as a batch is too short to say anything.
        while way.reads < 1 << 20 && (way.time)(way.reads) < BATCH {
            way.reads *= 2;
        }
    }
    for round in 0..MOST_ROUNDS {
        for way in &mut *ways {
            // A first read brings code and data back into the caches.
            (way.time)(1);
            let nanos = (way.time)(way.reads).as_nanos() as f64;
            way.costs.push(nanos / f64::from(way.reads));
        }
        if round > 0 && start.elapsed() > BUDGET {
            break;
        }
    }
}

/// What was found.
#[derive(Serialize)]
struct Table {
    /// The counter under the clock that was measured.
    counter: CounterKind,
    /// Whether this is a build whose figures mean anything.
    optimized: bool,
    /// Why the clock gives no time, if it does not: then its rows are the cost of being told so.
    clock_error: Option<String>,
    /// What was vouched for so that there was a clock to measure, if nobody else does.
    assumed_error_ns: Option<u64>,
    rounds: usize,
    rows: Vec<Row>,
}

/// The cost of one read.
#[derive(Serialize)]
struct Row {
    name: String,
    min_ns: f64,
    median_ns: f64,
    /// Of the medians.
    ratio_to_system_time: f64,
}

impl Table {
    fn new(ways: &[Way], clock: &Clock, assumed: Option<Duration>) -> Table {
        let found: Vec<(f64, f64)> = ways.iter().map(|way| min_and_median(&way.costs)).collect();
        let standard = ways.iter().position(|way| way.name == STANDARD).map(|i| found[i].1);
        let standard = standard.unwrap_or(f64::NAN);
        let rows = ways.iter().zip(&found).map(|(way, &(min_ns, median_ns))| Row {
            name: way.name.clone(),
            min_ns: tenths(min_ns),
            median_ns: tenths(median_ns),
            ratio_to_system_time: (median_ns / standard * 1000.0).round() / 1000.0,
        });
        Table {
            counter: clock.report().counter.kind,
            optimized: !cfg!(debug_assertions),
            clock_error: clock.now().err().map(|error| error.to_string()),
            assumed_error_ns: assumed.map(|error| error.as_nanos().try_into().unwrap_or(u64::MAX)),
            rounds: ways.iter().map(|way| way.costs.len()).min().unwrap_or(0),
            rows: rows.collect(),
        }
    }

    fn in_words(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<36} {:>9} {:>10} {:>14}\n{:<36} {:>9} {:>10} {:>14}",
            "way to read a clock", "min", "median", "median ÷", "", "ns", "ns", "SystemTime's"
        );
        for row in &self.rows {
            let Row { name, min_ns, median_ns, ratio_to_system_time } = row;
            let _ = writeln!(
                text,
                "{name:<36} {min_ns:>9.1} {median_ns:>10.1} {ratio_to_system_time:>14.2}"
            );
        }
        let _ = writeln!(text, "\nThe clock reads {}; {} rounds.", self.counter, self.rounds);
        if self.assumed_error_ns.is_some() {
            let _ = writeln!(
                text,
                "Nothing vouches for the time on this host: the clock that was measured\n\
                 assumes an error of {ASSUMED:?}, which changes nothing about what a read costs."
            );
        }
        if let Some(error) = &self.clock_error {
            let _ = writeln!(
                text,
                "{}",
                output::filled(&format!(
                    "The clock gives no time, and its rows are the cost of being told so: {error}"
                ))
            );
        }
        if !self.optimized {
            text += "This build is not optimized: its figures mean nothing. Use `--release`.\n";
        }
        text
    }
}

fn tenths(nanos: f64) -> f64 {
    (nanos * 10.0).round() / 10.0
}

/// The least of some costs, and the one in the middle; zeros if there are none.
fn min_and_median(costs: &[f64]) -> (f64, f64) {
    let mut costs = costs.to_vec();
    costs.sort_by(f64::total_cmp);
    match costs.as_slice() {
        [] => (0.0, 0.0),
        [min, ..] => (*min, costs[costs.len() / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_and_the_middle() {
        assert_eq!(min_and_median(&[]), (0.0, 0.0));
        assert_eq!(min_and_median(&[3.0]), (3.0, 3.0));
        assert_eq!(min_and_median(&[9.0, 1.0, 2.0]), (1.0, 2.0));
    }
}
