//! What agreement, timeouts and suspicion cost: `cd benches && cargo bench --bench agree`.
//!
//! The last lines compare each with a well-known cost: one `Instant::now()`, and for `agree` one
//! sort of as many integers.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use truechimer::agreement::{agree, examine};
use truechimer::peers::{Exchange, PeerClocks};
use truechimer::timeout::{EwmaSettings, EwmaTimeout, PhiDetector, PhiSettings, Rto, RtoSettings};
use truechimer::{Interval, Timestamp};

/// Pseudorandom numbers, the same in each run.
fn scattered(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// Intervals of which most are around one moment, and every tenth is far from it.
fn intervals(count: usize) -> Vec<Interval> {
    let at = Timestamp::from_tai_nanos;
    let one = |i: u64| {
        let off = if i % 10 == 9 { 1_000_000_000 } else { 0 };
        let (below, above) = (scattered(2 * i) % 5_000_000, scattered(2 * i + 1) % 5_000_000);
        Interval::new(at(off - below as i64), at(off + above as i64)).expect("in order")
    };
    (0..count as u64).map(one).collect()
}

const COUNTS: [usize; 3] = [5, 100, 10_000];

fn agreement(c: &mut Criterion) {
    for count in COUNTS {
        let inputs = intervals(count);
        let faulty = (count - 1) / 3;
        assert!(agree(&inputs, faulty).is_some());
        c.bench_function(&format!("agree, {count} intervals"), |b| {
            b.iter(|| agree(black_box(&inputs), faulty));
        });
        c.bench_function(&format!("examine, {count} intervals"), |b| {
            b.iter(|| examine(black_box(&inputs), faulty));
        });
    }
}

/// A detector with a full window.
fn detector() -> PhiDetector {
    let mut peer = PhiDetector::new(PhiSettings::default(), Duration::ZERO).expect("the defaults");
    let beat =
        |i| Duration::from_millis(1_000 * i) + Duration::from_nanos(scattered(i) % 50_000_000);
    (1..=2_000).for_each(|i| peer.heartbeat(beat(i)));
    peer
}

fn timeouts(c: &mut Criterion) {
    let rtts: Vec<Duration> =
        (0..1024).map(|i| Duration::from_nanos(20_000_000 + scattered(i) % 2_000_000)).collect();
    let mut rto = Rto::new(RtoSettings::DATACENTER).expect("its own limits");
    let mut i = 0;
    let mut next = move || {
        i = (i + 1) % 1024;
        i
    };
    c.bench_function("rto: observe an RTT", |b| b.iter(|| rto.observe(rtts[next()], black_box(1))));
    c.bench_function("rto: timeout", |b| b.iter(|| black_box(&rto).timeout()));
    let mut ewma = EwmaTimeout::new(EwmaSettings::default()).expect("the defaults");
    c.bench_function("ewma: observe an RTT", |b| b.iter(|| ewma.observe(rtts[next()])));

    let mut peer = detector();
    let silence = Duration::from_millis(2_001_300);
    c.bench_function("phi", |b| b.iter(|| black_box(&peer).phi(black_box(silence))));
    let mut now = silence;
    c.bench_function("phi: heartbeat", |b| {
        b.iter(|| {
            now += rtts[next()];
            peer.heartbeat(now);
        });
    });
}

fn verdict(c: &mut Criterion) {
    let at = Duration::from_secs(10);
    let mut peers = PeerClocks::new(1..5, 2).expect("5 > 2 * 2");
    for (peer, interval) in (1..5).zip(intervals(4)) {
        peers.observe(&peer, Exchange::new(at, interval, at).expect("in order")).expect("a member");
    }
    let ours = Exchange::new(at, intervals(1)[0], at).expect("in order");
    c.bench_function("peers: verdict of five", |b| b.iter(|| peers.verdict(black_box(&ours))));
}

/// Nanoseconds per call: the minimum and the median of 21 runs.
fn time<T>(calls: u32, mut call: impl FnMut() -> T) -> (f64, f64) {
    let mut run = || {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    let mut runs: Vec<f64> = (0..21).map(|_| run()).collect();
    runs.sort_unstable_by(f64::total_cmp);
    (runs[0], runs[10])
}

/// Prints each cost as a ratio to its reference, measured in this run.
fn ratios(_: &mut Criterion) {
    let line = |name: &str, (least, median): (f64, f64), reference: &str, (r_least, r_median)| {
        println!(
            "ratio: {name}: min {least:.1} ns, median {median:.1} ns; {:.2} and {:.2} x {reference}",
            least / r_least,
            median / r_median,
        );
    };
    let now = time(20_000, Instant::now);
    let mut rto = Rto::new(RtoSettings::DATACENTER).expect("its own limits");
    let rtt = Duration::from_millis(20);
    let observe = time(20_000, || rto.observe(black_box(rtt), 1));
    line("observe an RTT", observe, "Instant::now()", now);
    let peer = detector();
    let silence = Duration::from_millis(2_001_300);
    let phi = time(20_000, || peer.phi(black_box(silence)));
    line("phi", phi, "Instant::now()", now);
    for count in COUNTS {
        let inputs = intervals(count);
        let calls = (200_000 / count).clamp(10, 20_000) as u32;
        let agreed = time(calls, || agree(black_box(&inputs), (count - 1) / 3));
        let starts: Vec<i64> = inputs.iter().map(|i| i.earliest().tai_nanos()).collect();
        let sort = time(calls, || {
            let mut starts = black_box(&starts).clone();
            starts.sort_unstable();
            starts
        });
        line(&format!("agree, {count} intervals"), agreed, "one sort of as many i64", sort);
    }
}

criterion_group!(benches, agreement, timeouts, verdict, ratios);
criterion_main!(benches);
