//! Costs side by side, in one run: what a ratio is worth on a machine that is noisy.
//!
//! Criterion measures one case after the other, minutes apart, and a shared machine
//! is not the same machine by then. Here all cases take turns, a batch each, some
//! hundred times; a ratio is of two minima, or of two medians, of the same turns.

pub mod counter;

use std::time::{Duration, Instant};

/// Calls in a batch: long enough that reading the time around it does not count.
pub const BATCH: u32 = 2_000;

/// One way of doing something: its name, and a closure that does it [`BATCH`] times.
pub struct Case<'a> {
    pub name: &'a str,
    pub batch: Box<dyn FnMut() + 'a>,
}

/// Makes a [`Case`] of an expression; its value is kept from being optimised away.
#[macro_export]
macro_rules! case {
    ($name:expr, $call:expr) => {
        $crate::support::Case {
            name: $name,
            batch: Box::new(move || {
                for _ in 0..$crate::support::BATCH {
                    let _ = std::hint::black_box($call);
                }
            }),
        }
    };
}

/// What one call costs, in nanoseconds.
#[derive(Clone, Copy)]
pub struct Cost {
    pub min: f64,
    pub median: f64,
}

/// Lets all cases take turns.
pub fn in_turns(cases: &mut [Case<'_>], turns: usize) -> Vec<Cost> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(turns); cases.len()];
    for _ in 0..turns {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (case.batch)();
            times.push(start.elapsed());
        }
    }
    let per_call = |time: Duration| time.as_nanos() as f64 / f64::from(BATCH);
    let cost = |mut times: Vec<Duration>| {
        times.sort_unstable();
        Cost { min: per_call(times[0]), median: per_call(times[times.len() / 2]) }
    };
    times.into_iter().map(cost).collect()
}

/// Prints what each case costs, and its ratio to each of `baselines` (by name).
pub fn print_table(title: &str, mut cases: Vec<Case<'_>>, baselines: &[&str], turns: usize) {
    let costs = in_turns(&mut cases, turns);
    let find = |name: &str| {
        let i = cases.iter().position(|case| case.name == name).expect("a case of that name");
        costs[i]
    };
    println!("\n{title}: ns a call, min and median of {turns} turns; ratios of min, of median");
    for (case, cost) in cases.iter().zip(&costs) {
        print!("  {:32} {:8.2} {:8.2}", case.name, cost.min, cost.median);
        for name in baselines {
            let base = find(name);
            print!("   {:5.2} {:5.2} x {name}", cost.min / base.min, cost.median / base.median);
        }
        println!();
    }
}

/// Whether criterion was asked only to try the benches once (`cargo bench -- --test`).
pub fn is_trial() -> bool {
    !std::env::args().any(|arg| arg == "--bench") || std::env::args().any(|arg| arg == "--test")
}

/// How many turns to take: two in a trial.
pub fn turns(wanted: usize) -> usize {
    if is_trial() { 2 } else { wanted }
}
