//! The cost of a lease check, compared with a reading of the clock, and the cost of a fence.
//!
//! ```text
//! cd benches && cargo bench --bench lease
//! ```
//!
//! The ratios at the end come from alternating rounds of one run, so that other load affects both
//! sides alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use nix::time::{ClockId, clock_gettime};
use truechimer::fence::{Fence, FencingToken, KeyedFence};
use truechimer::lease::Lease;
use truechimer::pause::PauseMonitor;
use truechimer::{Clock, Timestamp};

fn assumed() -> Clock {
    let builder = Clock::builder().assume_error(Duration::from_micros(50));
    builder.build().expect("a clock")
}

fn lease_for_long() -> Lease {
    Lease::new(FencingToken(7), Timestamp::MAX)
}

fn benches(c: &mut Criterion) {
    let (clock, lease) = (assumed(), lease_for_long());
    c.bench_function("now", |b| b.iter(|| black_box(&clock).now()));
    c.bench_function("check", |b| b.iter(|| black_box(&lease).check(black_box(&clock))));

    let fence = Fence::starting_at(FencingToken(7));
    c.bench_function("admit, seen before", |b| {
        b.iter(|| black_box(&fence).admit(black_box(FencingToken(7))))
    });
    c.bench_function("admit, stale", |b| {
        b.iter(|| black_box(&fence).admit(black_box(FencingToken(6))))
    });
    let mut next = 7;
    c.bench_function("admit, newer each time", |b| {
        b.iter(|| {
            next += 1;
            black_box(&fence).admit(black_box(FencingToken(next)))
        })
    });
    let keyed = KeyedFence::<u64>::new();
    for key in 0..1_000 {
        keyed.admit(&key, FencingToken(7)).expect("the first of its key");
    }
    c.bench_function("admit, one key of a thousand", |b| {
        b.iter(|| black_box(&keyed).admit(black_box(&500), black_box(FencingToken(7))))
    });

    if let Ok(monitor) = PauseMonitor::start() {
        let guard = monitor.guard();
        c.bench_function("guard, check", |b| b.iter(|| black_box(&guard).was_paused()));
    }
}

/// Nanoseconds per call: the minimum and the median of many rounds.
struct Cost {
    min: f64,
    median: f64,
}

/// Times `a` and `b` in alternating rounds.
fn in_turns(mut a: impl FnMut(), mut b: impl FnMut()) -> (Cost, Cost) {
    const ROUNDS: usize = 301;
    const CALLS: u32 = 10_000;
    let round = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_a.push(round(&mut || (0..CALLS).for_each(|_| a())));
        of_b.push(round(&mut || (0..CALLS).for_each(|_| b())));
    }
    let cost = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        Cost { min: all[0], median: all[ROUNDS / 2] }
    };
    (cost(of_a), cost(of_b))
}

fn print_ratios() {
    let (clock, lease) = (assumed(), lease_for_long());
    let fence = Fence::starting_at(FencingToken(7));
    let (now, check) = in_turns(
        || _ = black_box(black_box(&clock).now()),
        || _ = black_box(black_box(&lease).check(black_box(&clock))),
    );
    let (nothing, admit) = in_turns(
        || _ = black_box(FencingToken(7)),
        || _ = black_box(black_box(&fence).admit(black_box(FencingToken(7)))),
    );
    println!(
        "check / now: min {:.3}, median {:.3} (target 1.2)",
        check.min / now.min,
        check.median / now.median
    );
    println!(
        "  now: min {:.2} ns, median {:.2}; check: min {:.2} ns, median {:.2}",
        now.min, now.median, check.min, check.median
    );
    println!(
        "admit: min {:.2} ns, median {:.2} (target 10), of which the loop takes {:.2}",
        admit.min, admit.median, nothing.median
    );
}

/// Prints the processor time of each wake-up of a pause monitor.
fn print_cost_of_a_wake() {
    let used = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).ok();
    let interval = Duration::from_millis(2);
    let Ok(_monitor) = PauseMonitor::builder().interval(interval).start() else { return };
    let (before, began) = (used(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let wakes = began.elapsed().as_secs_f64() / interval.as_secs_f64();
    if let (Some(before), Some(after)) = (before, used()) {
        let micros = (after - before).as_secs_f64() * 1e6 / wakes;
        println!(
            "pause monitor: {micros:.1} µs of processor time per wake-up, so 20 wake-ups a second take {:.3} %",
            micros * 20.0 / 1e4
        );
    }
}

criterion_group!(group, benches);

fn main() {
    group();
    Criterion::default().configure_from_args().final_summary();
    print_ratios();
    print_cost_of_a_wake();
}
