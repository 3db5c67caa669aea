//! What a conversion costs, beside hifitime, tai-time, chrono and jiff, in one run.
//!
//! `cd benches && cargo bench --bench scale`. Each figure is for one conversion out of a batch of 1024 random
//! moments, so that neither branches nor the table's lines are known beforehand; the ratio lines
//! at the end have the least and the median of many batches.
//!
//! The peers do not do the same work. tai-time has no table: its caller says the offset. chrono
//! and jiff know no TAI: theirs is Unix to a civil date and back, beside the crate's TAI to a
//! civil date and back, with leap seconds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::{Datelike as _, Timelike as _};
use criterion::{Criterion, Throughput};
use truechimer::scale::{UnixReading, UnixToTai};
use truechimer::{LeapTable, Timestamp, UnixTime, Utc};

const BATCH: usize = 1024;
const SECOND: i64 = 1_000_000_000;
const RECENT: (i64, i64) = (1_483_228_837, 1_900_000_000);
const ANY: (i64, i64) = (63_072_010, 1_900_000_000);

/// Moments of TAI between two seconds, spread by a multiplicative generator.
fn moments((from, to): (i64, i64)) -> Vec<Timestamp> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        ((u128::from(state) * ((to - from) * SECOND) as u128) >> 64) as i64
    };
    (0..BATCH).map(|_| Timestamp::from_tai_nanos(from * SECOND + next())).collect()
}

struct Case {
    name: &'static str,
    run: Box<dyn Fn()>,
}

/// A case that converts each of `inputs`.
fn case<I: Copy + 'static, O>(
    name: &'static str,
    inputs: Vec<I>,
    convert: impl Fn(I) -> O + 'static,
) -> Case {
    let run = move || {
        for &input in &inputs {
            black_box(convert(black_box(input)));
        }
    };
    Case { name, run: Box::new(run) }
}

fn unix_cases(range: (i64, i64)) -> Vec<Case> {
    let (tai, table) = (moments(range), LeapTable::builtin());
    let unix: Vec<UnixTime> =
        tai.iter().map(|&t| table.tai_to_unix(t).expect("after 1972").time).collect();
    let epochs: Vec<hifitime::Epoch> = tai
        .iter()
        .map(|t| {
            let since_1970 = hifitime::Duration::from_truncated_nanoseconds(t.tai_nanos());
            let epoch = hifitime::Epoch::from_gregorian_tai_at_midnight(1970, 1, 1);
            epoch + since_1970
        })
        .collect();
    let durations: Vec<hifitime::Duration> = unix
        .iter()
        .map(|unix| hifitime::Duration::from_truncated_nanoseconds(unix.nanos()))
        .collect();
    let tai_times: Vec<tai_time::TaiTime<0>> = tai
        .iter()
        .map(|t| {
            let (seconds, below) = (t.tai_nanos() / SECOND, t.tai_nanos() % SECOND);
            tai_time::TaiTime::new(seconds, below as u32).expect("in range")
        })
        .collect();
    let (to_tai, to_unix) = (table.clone(), table);
    vec![
        case("TAI → Unix, leap flag", tai, move |t| to_unix.tai_to_unix(t)),
        case("  hifitime: to_unix_duration", epochs, |epoch| epoch.to_unix_duration()),
        case("  tai-time: as_unix_secs (no table)", tai_times, |t| {
            (t.as_unix_secs(37), t.subsec_nanos())
        }),
        case("Unix → TAI, one or two moments", unix.clone(), move |unix| {
            to_tai.unix_to_tai(unix)
        }),
        case("  hifitime: from_unix_duration, to TAI", durations, |unix| {
            hifitime::Epoch::from_unix_duration(unix).to_tai_duration()
        }),
        case("  tai-time: from_unix_timestamp (no table)", unix, |unix| {
            tai_time::TaiTime::<0>::from_unix_timestamp(unix.seconds(), unix.subsec_nanos(), 37)
        }),
    ]
}

fn civil_cases(range: (i64, i64)) -> Vec<Case> {
    let (tai, table) = (moments(range), LeapTable::builtin());
    let readings: Vec<UnixReading> =
        tai.iter().map(|&t| table.tai_to_unix(t).expect("after 1972")).collect();
    let nanos: Vec<i64> = readings.iter().map(|reading| reading.time.nanos()).collect();
    let labels: Vec<Utc> = tai.iter().map(|&t| table.tai_to_utc(t).expect("after 1972")).collect();
    let dates: Vec<_> = nanos.iter().map(|&n| chrono::DateTime::from_timestamp_nanos(n)).collect();
    let stamps: Vec<jiff::Timestamp> = nanos
        .iter()
        .map(|&n| jiff::Timestamp::from_nanosecond(n.into()).expect("in range"))
        .collect();
    let civil: Vec<jiff::civil::DateTime> =
        stamps.iter().map(|&stamp| jiff::tz::Offset::UTC.to_datetime(stamp)).collect();
    let (to_label, to_utc, to_tai) = (table.clone(), table.clone(), table);
    vec![
        case("TAI → Utc", tai.clone(), move |t| to_label.tai_to_utc(t)),
        case("TAI → Utc → year … second", tai, move |t| {
            let utc = to_utc.tai_to_utc(t).expect("after 1972");
            (utc.date(), utc.time())
        }),
        case("  chrono: Unix → civil (no TAI)", nanos.clone(), |n| {
            let date = chrono::DateTime::from_timestamp_nanos(n);
            (date.year(), date.month(), date.day(), date.hour(), date.minute(), date.second())
        }),
        case("  jiff: Unix → civil (no TAI)", stamps, |stamp| {
            let date = jiff::tz::Offset::UTC.to_datetime(stamp);
            (date.year(), date.month(), date.day(), date.hour(), date.minute(), date.second())
        }),
        case("Utc → TAI", labels, move |utc| to_tai.utc_to_tai(utc)),
        case("  chrono: DateTime → Unix (no TAI)", dates, |date| date.timestamp_nanos_opt()),
        case("  jiff: civil → Unix (no TAI)", civil, |date| {
            jiff::tz::Offset::UTC.to_timestamp(date)
        }),
    ]
}

/// Nanoseconds for one conversion: the least and the median of many batches.
fn measure(case: &Case, batches: usize) -> (f64, f64) {
    let mut times: Vec<f64> = (0..batches)
        .map(|_| {
            let start = Instant::now();
            (case.run)();
            start.elapsed().as_nanos() as f64 / BATCH as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let groups = [
        ("Unix time, recent", unix_cases(RECENT)),
        ("Unix time, any date", unix_cases(ANY)),
        ("civil time, recent", civil_cases(RECENT)),
        ("civil time, any date", civil_cases(ANY)),
    ];

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    for (name, cases) in &groups {
        let mut group = criterion.benchmark_group(*name);
        group.throughput(Throughput::Elements(BATCH as u64));
        for case in cases {
            group.bench_function(case.name.trim_start(), |bencher| bencher.iter(|| (case.run)()));
        }
        group.finish();
    }
    criterion.final_summary();

    println!("\nns for one conversion of a batch of {BATCH}");
    for (name, cases) in &groups {
        println!("\n{name:<46} {:>8} {:>8} {:>8}", "min", "median", "× ours");
        let mut ours = 1.0;
        for case in cases {
            let (least, median) = measure(case, if quick { 3 } else { 4000 });
            if !case.name.starts_with(' ') {
                ours = median;
            }
            println!("{:<46} {least:>8.2} {median:>8.2} {:>8.2}", case.name, median / ours);
        }
    }
    // Otherwise the optimizer might learn that the table never returns `Skipped`.
    black_box(UnixToTai::Skipped);
}
