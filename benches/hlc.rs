//! The cost of a stamp with one thread and with two, compared with similar crates.
//!
//!     cd benches && cargo bench --bench hlc
//!
//! The README quotes the table at the top. Its variants take turns in one run, so that other load
//! affects all alike, and its ratios are of the minima and of the medians. Criterion's figures
//! follow.

#[allow(dead_code, reason = "this table takes turns between threads")]
mod support;

use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use hybrid_clocks::Clock as HybridClock;
use support::counter;
use truechimer::{Clock, Hlc};

/// Nanoseconds per call, with `calls` calls in each of `threads` threads.
fn time(threads: usize, calls: u32, call: &(dyn Fn(u32) + Sync)) -> f64 {
    if threads == 1 {
        let began = Instant::now();
        call(calls);
        return began.elapsed().as_nanos() as f64 / f64::from(calls);
    }
    let barrier = Barrier::new(threads);
    let took = thread::scope(|scope| {
        let run = || {
            barrier.wait();
            let began = Instant::now();
            call(calls);
            began.elapsed()
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).max()
    });
    took.map_or(f64::NAN, |took| took.as_nanos() as f64 / f64::from(calls))
}

type Variant<'a> = (&'static str, Box<dyn Fn(u32) + Sync + 'a>);

/// Loops inside the closure, because an indirect call per stamp would be part of the figure.
macro_rules! calls {
    ($call:expr) => {
        Box::new(move |calls: u32| {
            for _ in 0..calls {
                black_box($call);
            }
        })
    };
}

fn table(threads: usize, rounds: usize, calls: u32, variants: &[Variant]) {
    let mut figures = vec![Vec::new(); variants.len()];
    for _ in 0..rounds {
        for (figure, (_, call)) in figures.iter_mut().zip(variants) {
            figure.push(time(threads, calls, call));
        }
    }
    println!(
        "threads: {threads}\n{:24}{:>9}{:>9}   ratio to stamp()",
        "ns per call", "min", "median"
    );
    let summary: Vec<_> = figures
        .into_iter()
        .map(|mut figure| {
            figure.sort_by(f64::total_cmp);
            (figure[0], figure[figure.len() / 2])
        })
        .collect();
    let (min, median) = summary[0];
    for ((name, _), (a, b)) in variants.iter().zip(&summary) {
        println!("{name:24}{a:9.2}{b:9.2}   {:6.2} {:6.2}", a / min, b / median);
    }
    println!();
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let (rounds, calls) = if quick { (2, 1_000) } else { (40, 200_000) };

    let assumed = Clock::builder().assume_error(Duration::from_micros(10));
    let clock = assumed.build().expect("a clock");
    let (hlc, durable_hlc) = (Hlc::new(&clock), Hlc::new(&clock));
    let place = tempfile::tempdir();
    let on_disk = place
        .as_ref()
        .ok()
        .and_then(|p| Hlc::builder(&clock).create_new(p.path().join("mark")).ok());
    let on_disk = on_disk.as_ref().unwrap_or(&durable_hlc);
    let uhlc = uhlc::HLC::default();
    let generator = hlc_gen::HlcGenerator::default();
    let hybrid = HybridClock::wall_ns().ok().map(Mutex::new);
    let (hlc, clock, uhlc, generator) = (&hlc, &clock, &uhlc, &generator);
    let mut variants: Vec<Variant> = vec![
        ("stamp()", calls!(hlc.stamp().is_ok())),
        ("stamp(), durable", calls!(on_disk.stamp().is_ok())),
        ("bare rdtsc", calls!(counter::unordered())),
        ("earliest()", calls!(clock.earliest().is_ok())),
        ("uhlc", calls!(uhlc.new_timestamp())),
        ("hlc-gen", calls!(generator.next_timestamp())),
    ];
    if let Some(hybrid) = &hybrid {
        // Threads cannot share its clock, so it gets the lock that a user would put around it.
        variants
            .push(("hybrid-clocks", calls!(hybrid.lock().map(|mut c| c.now().is_ok()).is_ok())));
    }
    for threads in [1, 2] {
        table(threads, rounds, calls, &variants);
    }

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("hlc");
    group.bench_function("stamp", |b| b.iter(|| hlc.stamp()));
    group.bench_function("commit_stamp", |b| b.iter(|| hlc.commit_stamp()));
    group.bench_function("uhlc", |b| b.iter(|| uhlc.new_timestamp()));
    group.finish();
    criterion.final_summary();
}
