//! `truechimer bench`: what each way of reading a clock costs on this host.
//!
//! The naive bench times one way after the other. On a shared machine the conditions
//! change meanwhile, so the first way is measured under others than the last. Here all ways
//! take turns, with a batch of reads each, round after round. A disturbance hits them all
//! alike. The minimum shows what a way costs when nothing disturbs it, and the median what
//! it costs on this host as it is.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use truechimer::{Clock, CounterKind, Timestamp};

use crate::args::BenchArgs;
use crate::outcome::{CommandError, Outcome};
use crate::output;
use crate::way::{Way, batch_length};

/// All rounds together; `build()` and the start come on top.
const BUDGET: Duration = Duration::from_millis(1800);
/// More rounds do not change the result any more.
const MAX_ROUNDS: usize = 1000;
/// The error that is assumed on a host without evidence, because a clock without evidence
/// has no `now()` to measure.
const ASSUMED: Duration = Duration::from_millis(250);
const WIDE: Duration = Duration::from_secs(10);
/// What all other ways are compared with.
const STANDARD: &str = "SystemTime::now()";

pub fn run(args: &BenchArgs) -> Result<Outcome, CommandError> {
    let mut clock = args.clock.builder().build()?;
    // `build()` does not wait long for the first samples on a busy host, so take them here.
    let assumed = clock.refresh().is_err().then_some(ASSUMED);
    if let Some(error) = assumed {
        // The user's own limit may be narrower than what is assumed here.
        clock = args.clock.builder().assume_error(error).max_width(WIDE).build()?;
        let _ = clock.refresh();
    }
    let on_raw = args.clock.builder().counter(CounterKind::MonotonicRaw).assume_error(ASSUMED);
    let on_raw = on_raw.max_width(WIDE).build()?;
    let _ = on_raw.refresh();

    let mut ways = bare_ways();
    ways.extend(clock_ways(&clock, &on_raw));
    measure(&mut ways);
    let table = Table::new(&ways, &clock, assumed);
    if args.json {
        output::write_json(&table)?;
    } else {
        output::write(&table.to_text())?;
    }
    Ok(Outcome::Success)
}

/// The system's calls and the processor's instructions.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bare_ways() -> Vec<Way> {
    crate::raw_read::ways()
}

/// Nothing, because the bare ways of other systems are not known here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bare_ways() -> Vec<Way> {
    Vec::new()
}

/// What the standard library and this crate offer.
fn clock_ways(clock: &Clock, on_raw: &Clock) -> Vec<Way> {
    let t = Timestamp::MIN;
    let [now, earliest, after, before] = [(); 4].map(|()| clock.clone());
    let on_raw = on_raw.clone();
    vec![
        Way::of(STANDARD, SystemTime::now),
        Way::of("Instant::now()", Instant::now),
        Way::of("Clock::now()", move || now.now()),
        Way::of("Clock::earliest()", move || earliest.earliest()),
        Way::of("Clock::after(t)", move || after.after(t)),
        Way::of("Clock::before(t)", move || before.before(t)),
        Way::of("Clock::now(), counter monotonic-raw", move || on_raw.now()),
    ]
}

fn measure(ways: &mut [Way]) {
    let start = Instant::now();
    let batch = batch_length();
    for way in &mut *ways {
        way.size_batch(batch);
    }
    for round in 0..MAX_ROUNDS {
        for way in &mut *ways {
            way.measure();
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
    /// Whether this is an optimized build; the figures of others have no meaning.
    optimized: bool,
    /// Why the clock gives no interval, if it gives none. Its rows are then the cost of that error.
    clock_error: Option<String>,
    /// The error that was assumed so that there was a clock to measure; `null` if the host
    /// has evidence.
    #[serde(serialize_with = "truechimer::decimal::option::serialize")]
    assumed_error_ns: Option<u64>,
    rounds: usize,
    rows: Vec<Row>,
}

/// The cost of one read. These are averages with a fraction, so they are numbers and not text.
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

    fn to_text(&self) -> String {
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
                "No source states a bound on this host. The clock that was measured\n\
                 assumes an error of {ASSUMED:?}, which does not change what a read costs."
            );
        }
        if let Some(error) = &self.clock_error {
            let _ = writeln!(
                text,
                "{}",
                output::wrapped(&format!(
                    "The clock gives no interval, and its rows are the cost of that error: {error}"
                ))
            );
        }
        if !self.optimized {
            text += "This build is not optimized: its figures have no meaning. Use `--release`.\n";
        }
        text
    }
}

fn tenths(nanos: f64) -> f64 {
    (nanos * 10.0).round() / 10.0
}

/// The least of some costs, and the median; zeros if there are none.
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
    fn the_minimum_and_the_median() {
        assert_eq!(min_and_median(&[]), (0.0, 0.0));
        assert_eq!(min_and_median(&[3.0]), (3.0, 3.0));
        assert_eq!(min_and_median(&[9.0, 1.0, 2.0]), (1.0, 2.0));
    }
}
