//! A small Spanner on simulated machines. Its history is checked, with all rules and with each
//! rule broken.
//!
//! ```text
//! cargo run --release --features sim --example spanner_kv
//! cargo run --release --features sim --example spanner_kv -- --help
//! ```
//!
//! It is built like Spanner (Corbett et al., OSDI 2012), on this crate's own modules: shards
//! that are replicated by majorities, two-phase commit across shards, commit-wait
//! (`Hlc::commit_stamp`, `Hlc::release`), snapshot reads at a timestamp, and leaders with a
//! lease (`lease::Grantor`, `Lease::check`) and a fence (`Fence`). It runs through crashes,
//! pauses, stalls, suspends, partitions, and lost and duplicate messages, on clocks of
//! different quality. What the clients saw is then checked for strict serialisability.
//!
//! Without options it runs some days that must pass, each broken rule, which must be found,
//! and the latency table. The exit code is 1 if one of these fails.
//!
//! Read `spanner_kv/transact.rs` first (the choice of timestamps), then `leader.rs` (where
//! they are waited out), `reads.rs` and `replica.rs`. `checker.rs` can be read alone.

#[path = "spanner_kv/mod.rs"]
mod kv;

use std::process::ExitCode;
use std::time::Instant;

use kv::checker::check;
use kv::cluster::Plan;
use kv::history::Count;
use kv::latency::latency_table;
use kv::layout::{Broken, Watch};
use kv::story::{find, tell};

const USAGE: &str = "\
spanner_kv: a small Spanner on simulated machines, and its history checked
    --days N          only N random days of an unbroken cluster (default 40)
    --first SEED      the first seed (default 0)
    --broken NAME     only with this rule broken, until a violation is found:
                      no-commit-wait, too-sure, lease-by-midpoint, no-quiet-term, no-lease-check,
                      no-hand-over-wait, beyond-lease, token-used-twice, promise-not-persisted
    --latency         only the table of commit latencies
    --large N         1000 nodes, until N transactions are done (a million takes two minutes)
    --help            this text";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let is_well = match options.only {
        Only::Help => {
            println!("{USAGE}");
            true
        }
        Only::Everything => {
            let days_pass = check_days(options.first, options.days);
            let found = Broken::ALL.map(|broken| find_violation(broken, options.first));
            println!("{}", latency_table(400));
            days_pass && found == [true; Broken::ALL.len()]
        }
        Only::Days => check_days(options.first, options.days),
        Only::Broken(broken) => find_violation(broken, options.first),
        Only::Latency => {
            println!("{}", latency_table(2_000));
            true
        }
        Only::Large(transactions) => large(options.first, transactions),
    };
    ExitCode::from(u8::from(!is_well))
}

/// Runs days of an unbroken cluster, and checks that each history is strictly serialisable.
fn check_days(first: u64, days: u64) -> bool {
    let (mut count, mut misses) = (Count::default(), 0);
    let began = Instant::now();
    for seed in first..first.saturating_add(days) {
        let plan = Plan::random(seed, None);
        let (world, history) = plan.run(Watch::Nothing);
        let verdict = check(&history.borrow());
        if verdict.is_err() {
            println!("seed {seed}: the history is NOT strictly serialisable");
            if let Some(finding) = find(&plan) {
                println!("{}", tell(&finding));
            }
            return false;
        }
        let today = history.borrow().count();
        if today.committed == 0 || today.read == 0 {
            println!("seed {seed}: nothing came about, so nothing was checked: {today}");
            return false;
        }
        count = count.plus(today);
        misses += world.audit().misses;
    }
    println!("{days} days, {count}: strictly serialisable ({:.1?})", began.elapsed());
    println!("clock readings that did not contain true time: {misses}\n");
    misses == 0
}

/// Finds and tells the first day with a violation under a broken rule.
fn find_violation(broken: Broken, first: u64) -> bool {
    const DAYS: u64 = 200;
    let began = Instant::now();
    for seed in first..first.saturating_add(DAYS) {
        let Some(finding) = find(&Plan::random(seed, Some(broken))) else { continue };
        println!("If {} (--broken {broken}), the checker finds a violation.", broken.about());
        println!(
            "Day {} of {DAYS} (seed {seed}). {} of its {} faults are enough for it ({:.1?}):\n",
            seed - first + 1,
            finding.plan.faults.len(),
            finding.faults,
            began.elapsed(),
        );
        println!("{}", tell(&finding));
        return true;
    }
    println!("{broken}: no violation was found in {DAYS} days, but one should be");
    false
}

/// Runs a thousand nodes.
fn large(seed: u64, transactions: u64) -> bool {
    let plan = Plan::large(seed);
    let began = Instant::now();
    let (world, history) = plan.run_until_done(transactions);
    let ran = began.elapsed();
    let history = history.borrow();
    println!(
        "{} nodes, {:.1} s of their time: {}",
        plan.layout.nodes(),
        world.elapsed().as_secs_f64(),
        history.count()
    );
    let verdict = check(&history);
    println!("simulated in {ran:.1?}, checked in {:.1?}", began.elapsed() - ran);
    match &verdict {
        Ok(()) => println!("strictly serialisable"),
        Err(violation) => {
            println!("NOT strictly serialisable:\n  {}", violation.argument().join("\n  "));
        }
    }
    let misses = world.audit().misses;
    println!("clock readings that did not contain true time: {misses}");
    let is_done = history.count().done() >= transactions;
    if !is_done {
        println!("the time was over before {transactions} transactions were done");
    }
    verdict.is_ok() && misses == 0 && is_done
}

enum Only {
    Help,
    Everything,
    Days,
    Broken(Broken),
    Latency,
    Large(u64),
}

struct Options {
    only: Only,
    days: u64,
    first: u64,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { only: Only::Everything, days: 40, first: 0 };
        while let Some(name) = words.next() {
            if name == "--help" || name == "-h" {
                options.only = Only::Help;
                return Ok(options);
            }
            if name == "--latency" {
                options.only = Only::Latency;
                continue;
            }
            let known = ["--days", "--first", "--broken", "--large"];
            if !known.contains(&name.as_str()) {
                return Err(format!(
                    "`{name}` is not an option; use one of {}, --latency",
                    known.join(", ")
                ));
            }
            let value = words.next().ok_or(format!("{name} needs a value"))?;
            let number = || {
                let number = value.parse::<u64>();
                number.map_err(|why| format!("{name} {value}: not a number ({why})"))
            };
            match name.as_str() {
                "--days" | "--large" if number()? == 0 => {
                    return Err(format!("{name} needs a number above 0"));
                }
                "--days" => {
                    options.days = number()?;
                    options.only = Only::Days;
                }
                "--first" => options.first = number()?,
                "--broken" => options.only = Only::Broken(value.parse()?),
                _ => options.only = Only::Large(number()?),
            }
        }
        Ok(options)
    }
}
