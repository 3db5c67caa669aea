//! What a reading costs, beside what a user would read instead.
//!
//! `cd benches && cargo bench --bench clock` prints the ratios of DESIGN section 5, rows 1 to 4, taken
//! in turns within one run, and then criterion's own measurements.
//!
//! The peers do not answer the same question. `SystemTime`, quanta and minstant give one
//! number without an error; clock-bound's client gives an interval from a segment
//! that its daemon writes, here a file of the right layout.

mod support;

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use criterion::Criterion;
use nix::time::{ClockId, clock_gettime};
use support::{counter, print_table, turns};
use truechimer::{Clock, ClockBuilder, ClockError, CounterKind, Timestamp};

/// The kernel's clock by one call of its vDSO, and nothing around it.
#[inline]
fn raw() -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one `timespec` at this address.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &raw mut time) };
    time
}

/// What a caller takes from a reading.
#[inline]
fn nanos(reading: Result<Timestamp, ClockError>) -> i64 {
    reading.map_or(0, Timestamp::tai_nanos)
}

fn assumed() -> ClockBuilder {
    Clock::builder().assume_error(Duration::from_millis(250))
}

/// A segment as ClockBound's daemon writes it (version 3), good for a day, for a
/// counter of this frequency.
fn clockbound_segment(hertz: f64) -> PathBuf {
    // A period is a fraction of 2^(64 + shift) seconds.
    const SHIFT: u8 = 29;
    let fraction = |seconds: f64| (seconds * 2f64.powi(64 + i32::from(SHIFT))) as u64;
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has it");
    let mut bytes = Vec::new();
    for word in [0x414d_5a4e_u32, 0x4342_0200, 104] {
        bytes.extend(word.to_ne_bytes());
    }
    for half in [0x0303_u16, 2] {
        bytes.extend(half.to_ne_bytes()); // versions, generation
    }
    bytes.extend(counter::ordered().to_ne_bytes()); // as_of in ticks
    for word in [now.tv_sec(), now.tv_nsec(), now.tv_sec() + 86_400, 0] {
        bytes.extend(word.to_ne_bytes()); // as_of, void_after
    }
    bytes.extend(fraction(1.0 / hertz).to_ne_bytes());
    bytes.extend(fraction(1e-6 / hertz).to_ne_bytes());
    for word in [250_000_i64, 0] {
        bytes.extend(word.to_ne_bytes()); // bound in ns, disruption marker
    }
    bytes.extend(50_000_u32.to_ne_bytes()); // drift in ppb
    bytes.extend(1_i32.to_ne_bytes()); // synchronized
    bytes.extend([0, SHIFT, SHIFT, 0, 0, 0, 0, 0]); // no disruption support; the shifts
    let path = std::env::temp_dir().join(format!("truechimer-bench-{}.shm", std::process::id()));
    fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}

fn clockbound(path: &std::path::Path) -> clock_bound::Client {
    let path = path.to_str().expect("UTF-8");
    let mut client = clock_bound::Client::new_with_path(path).expect("the segment is well-formed");
    client.now().expect("and readable");
    client
}

fn print_ratios() {
    let clock = assumed().build().expect("a clock");
    let slow = assumed().counter(CounterKind::MonotonicRaw).build().expect("a clock");
    println!("counter: {}", clock.report().counter.kind);
    let segment = clockbound_segment(clock.report().counter.hertz);
    let mut client = clockbound(&segment);
    let quanta = quanta::Clock::new();
    let long_ago = Timestamp::from_tai_nanos(0);
    let owned = || (clock.clone(), clock.clone());
    let ((now, before), (earliest, after)) = (owned(), owned());
    let word = clock.clone();
    let (slow_now, slow_earliest) = (slow.clone(), slow);

    print_table(
        "ordered",
        vec![
            case!("counter, ordered", counter::ordered()),
            case!("SystemTime::now", SystemTime::now()),
            case!("Instant::now", Instant::now()),
            case!("truechimer now()", now.now()),
            case!("truechimer before()", before.before(long_ago)),
            case!("quanta now()", quanta.now()),
            case!("minstant now()", minstant::Instant::now()),
            case!("clock-bound now()", client.now()),
        ],
        &["counter, ordered", "SystemTime::now"],
        turns(400),
    );
    print_table(
        "unordered",
        vec![
            case!("counter, unordered", counter::unordered()),
            // One word, as the counter gives; and with the error beside it, in memory.
            case!("truechimer earliest(), its ns", nanos(word.earliest())),
            case!("truechimer earliest()", earliest.earliest()),
            case!("truechimer after()", after.after(long_ago)),
        ],
        &["counter, unordered"],
        turns(400),
    );
    print_table(
        "without a trusted counter",
        vec![
            case!("clock_gettime(MONOTONIC_RAW)", raw()),
            case!("truechimer now()", slow_now.now()),
            case!("truechimer earliest()", slow_earliest.earliest()),
        ],
        &["clock_gettime(MONOTONIC_RAW)"],
        turns(400),
    );
    let _ = fs::remove_file(segment);
}

/// What one reading costs while others read too and a sampler publishes as fast as it can.
fn print_scaling() {
    let quiet = assumed().build().expect("a clock");
    let busy = assumed().poll_interval(Duration::from_nanos(1)).build().expect("a clock");
    println!("\nscaling: ns a reading and thread, the best of 20 times 20 ms");
    let bare = || _ = black_box(counter::ordered());
    let reading = |clock: &Clock| _ = black_box(clock.now());
    // Two threads may share a core: what that costs the bare counter is not the clock's.
    let counters = (cost(bare, 1), cost(bare, 2));
    println!("  {:36} {:8.2}", "the counter, one thread", counters.0);
    let twice = counters.1 / counters.0;
    println!("  {:36} {:8.2}   {twice:5.2} x one", "the counter, two threads", counters.1);
    let alone = cost(|| reading(&quiet), 1);
    let cases = [
        ("one reader", alone),
        ("two readers", cost(|| reading(&quiet), 2)),
        ("one reader, a writer at full speed", cost(|| reading(&busy), 1)),
        ("two readers, a writer at full speed", cost(|| reading(&busy), 2)),
    ];
    for (name, cost) in cases {
        println!("  {name:36} {cost:8.2}   {:5.2} x one", cost / alone);
    }
}

/// The cost of a call in each of `threads`, at the best of several times.
fn cost(call: impl Fn() + Sync, threads: u32) -> f64 {
    let times = if support::is_trial() { 1 } else { 20 };
    (0..times).map(|_| mean_cost(&call, threads)).fold(f64::INFINITY, f64::min)
}

/// The mean cost of a call in each of `threads` that run for a while.
fn mean_cost(call: &(impl Fn() + Sync), threads: u32) -> f64 {
    let done = AtomicBool::new(false);
    let time = Duration::from_millis(if support::is_trial() { 5 } else { 20 });
    let count = || {
        let (start, mut calls) = (Instant::now(), 0u64);
        while !done.load(Ordering::Relaxed) {
            (0..1_000).for_each(|_| call());
            calls += 1_000;
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        thread::sleep(time);
        done.store(true, Ordering::Relaxed);
        let costs = running.into_iter().map(|t| t.join().expect("no reader panics"));
        costs.sum::<f64>() / f64::from(threads)
    })
}

/// What a clock and its thread keep in memory.
fn print_memory() {
    let resident = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or(0) * 4
    };
    let count = if support::is_trial() { 2 } else { 200 };
    let _warm = assumed().build().expect("a clock");
    let before = resident();
    let clocks: Vec<Clock> = (0..count).map(|_| assumed().build().expect("a clock")).collect();
    let each = resident().saturating_sub(before) / count;
    println!("\nmemory: {each} KiB resident for a clock and its thread, mean of {}", clocks.len());
}

fn criterion_groups(c: &mut Criterion) {
    let clock = assumed().build().expect("a clock");
    let mut group = c.benchmark_group("read");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.bench_function("counter_ordered", |b| b.iter(counter::ordered));
    group.bench_function("counter_unordered", |b| b.iter(counter::unordered));
    group.bench_function("system_time", |b| b.iter(SystemTime::now));
    group.bench_function("now", |b| b.iter(|| clock.now()));
    group.bench_function("earliest", |b| b.iter(|| clock.earliest()));
    group.bench_function("status", |b| b.iter(|| clock.status()));
    group.finish();
    let mut group = c.benchmark_group("sample");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let manual = assumed().manual().build().expect("a clock");
    group.bench_function("refresh", |b| b.iter(|| manual.refresh()));
    group.finish();
    let mut group = c.benchmark_group("build");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    group.bench_function("clock_new", |b| b.iter(|| assumed().build()));
    group.finish();
}

fn main() {
    print_ratios();
    print_scaling();
    print_memory();
    let mut criterion = Criterion::default().configure_from_args();
    criterion_groups(&mut criterion);
    criterion.final_summary();
}
