//! The soundness campaign: random worlds, and every reading compared with the truth.
//!
//! ```text
//! cargo run --release --features sim --example soundness -- --seeds 1000
//! cargo run --release --features sim --example soundness -- --readings 1e9
//! cargo run --release --features sim --example soundness -- --help
//! ```
//!
//! With `--readings` it goes on, world after world, until so many readings were made where the
//! clock's assumptions hold. 2 x 10^8 take some minutes.
//!
//! It ends with `misses: 0`, or with a failing world made small, and exit code 1.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use truechimer::sim::{Audit, Breach, Mix, Scenario, campaign, search};

const USAGE: &str = "\
soundness: every reading of every simulated clock, held against the truth
    --seeds N         so many random worlds (default 200)
    --readings N      go on until so many readings were made in worlds whose assumptions hold,
                      as in 200000000 or 2e8
    --per-clock N     readings of each clock in each world (default 40000)
    --first SEED      where to begin (default 0)
    --mix NAME        only honest, lying, drifting, stopped-vm, estimating, exchanging,
                      moved or timesyncd worlds
    --replay LINE     one world, as a failing campaign prints it
    --help            this text";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    // A panic in a world is a finding; it is reported at the end, and once.
    std::panic::set_hook(Box::new(|_| {}));
    match options.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    seeds: u64,
    first: u64,
    /// So many readings are wanted where the assumptions hold, at least.
    wanted: u64,
    per_clock: u32,
    mixes: Vec<Mix>,
    replay: Option<Scenario>,
}

impl Options {
    /// `None` if only help was asked for.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            seeds: 200,
            first: 0,
            wanted: 0,
            per_clock: 40_000,
            mixes: Mix::ALL.to_vec(),
            replay: None,
        };
        while let Some(name) = words.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            const KNOWN: [&str; 6] =
                ["--seeds", "--first", "--readings", "--per-clock", "--replay", "--mix"];
            if !KNOWN.contains(&name.as_str()) {
                return Err(format!("`{name}` is no option; there are {}", KNOWN.join(", ")));
            }
            let value = words.next().ok_or(format!("{name} needs a value"))?;
            let bad = |why: &dyn std::fmt::Display| format!("{name} {value}: {why}");
            match name.as_str() {
                "--seeds" => options.seeds = value.parse().map_err(|e| bad(&e))?,
                "--first" => options.first = value.parse().map_err(|e| bad(&e))?,
                "--readings" => options.wanted = count(&value).map_err(|e| bad(&e))?,
                "--per-clock" => options.per_clock = value.parse().map_err(|e| bad(&e))?,
                "--replay" => options.replay = Some(value.parse().map_err(|e| bad(&e))?),
                _ => {
                    let mix = Mix::ALL.into_iter().find(|mix| mix.to_string() == value);
                    let unknown = || bad(&format!("there are {}", names(&Mix::ALL)));
                    options.mixes = vec![mix.ok_or_else(unknown)?];
                }
            }
        }
        // A campaign of nothing would end with `misses: 0`.
        if options.seeds == 0 || options.per_clock == 0 {
            return Err("--seeds and --per-clock: 0 would show nothing".to_owned());
        }
        if options.wanted > 0 && !options.mixes.iter().any(|mix| mix.is_honest()) {
            return Err("--readings: the assumptions hold in no world of this --mix".to_owned());
        }
        if options.first.checked_add(options.seeds).is_none() {
            return Err(format!("--first {}: there are no such seeds", options.first));
        }
        Ok(Some(options))
    }

    fn run(&self) -> Result<(), String> {
        if let Some(scenario) = &self.replay {
            let outcome = campaign(scenario, self.per_clock)?;
            println!("{}", outcome.audit);
            return Ok(());
        }
        println!(
            "{:<11} {:>7} {:>13} {:>12} {:>8} {:>9}",
            "worlds", "seeds", "readings", "refusals", "misses", "seconds"
        );
        let mut honest = Audit::default();
        let mut tables = Vec::new();
        for &mix in &self.mixes {
            let (audit, breaches) = self.run_mix(mix, self.first)?;
            match mix {
                mix if mix.is_honest() => honest = honest.plus(&audit),
                _ => tables.push((mix, breaches)),
            }
        }
        let mut first = self.first;
        while honest.readings < self.wanted {
            first = first.checked_add(self.seeds).ok_or("there are no more seeds")?;
            for &mix in self.mixes.iter().filter(|mix| mix.is_honest()) {
                honest = honest.plus(&self.run_mix(mix, first)?.0);
            }
        }
        if !tables.is_empty() {
            println!(
                "\n{:<11} {:>9} {:>7} {:>8} {:>12} {:>8} {:>8} {:>8}   seconds from the breach",
                "broken",
                "breaches",
                "missed",
                "noticed",
                "before miss",
                "median",
                "p90",
                "longest"
            );
        }
        for (mix, breaches) in &tables {
            print_notice(*mix, breaches);
        }
        println!(
            "readings where the assumptions hold, or an allowance makes up for it: {}",
            honest.readings
        );
        println!("misses: {}", honest.misses);
        Ok(())
    }

    fn run_mix(&self, mix: Mix, first: u64) -> Result<(Audit, Vec<Breach>), String> {
        let began = Instant::now();
        let sum = std::cell::RefCell::new((Audit::default(), Vec::new()));
        // Worlds of broken assumptions run longer, and there are fewer of them.
        let seeds = if mix == Mix::Honest { self.seeds } else { self.seeds.div_ceil(10) };
        search(mix, first..first.saturating_add(seeds), |scenario| {
            let outcome = campaign(scenario, self.per_clock)?;
            let mut sum = sum.borrow_mut();
            sum.0 = std::mem::take(&mut sum.0).plus(&outcome.audit);
            sum.1.extend(outcome.breaches);
            Ok(())
        })
        .map_err(|failure| {
            format!(
                "{failure}replay with: --per-clock {} --replay \"{}\"",
                self.per_clock, failure.scenario
            )
        })?;
        let (audit, breaches) = sum.into_inner();
        println!(
            "{mix:<11} {seeds:>7} {:>13} {:>12} {:>8} {:>9.1}",
            audit.readings,
            audit.refusals,
            audit.misses,
            began.elapsed().as_secs_f64()
        );
        Ok((audit, breaches))
    }
}

/// A whole number, which may be written as 2e8.
fn count(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a whole number, as in 200000000 or 2e8".to_owned();
    let (digits, zeros) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (digits, zeros) = (digits.parse::<u64>().ok(), zeros.parse().ok());
    let power = zeros.and_then(|zeros| 10u64.checked_pow(zeros));
    digits.zip(power).and_then(|(digits, power)| digits.checked_mul(power)).ok_or_else(wrong)
}

fn names(of: &[impl std::fmt::Display]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How long a broken assumption goes unnoticed: one line of the table.
fn print_notice(mix: Mix, breaches: &[Breach]) {
    let mut noticed: Vec<Duration> = breaches.iter().filter_map(|b| b.noticed).collect();
    noticed.sort_unstable();
    let missed = breaches.iter().filter(|b| b.missed.is_some()).count();
    let first = breaches.iter().filter(|b| match (b.noticed, b.missed) {
        (Some(noticed), Some(missed)) => noticed <= missed,
        (noticed, _) => noticed.is_some(),
    });
    let at = |part: f64| {
        let index = ((noticed.len() as f64 * part) as usize).min(noticed.len().saturating_sub(1));
        noticed.get(index).map_or_else(|| "-".to_owned(), |d| format!("{:.1}", d.as_secs_f64()))
    };
    println!(
        "{mix:<11} {:>9} {missed:>7} {:>8} {:>12} {:>8} {:>8} {:>8}",
        breaches.len(),
        noticed.len(),
        first.count(),
        at(0.5),
        at(0.9),
        at(1.0)
    );
}
