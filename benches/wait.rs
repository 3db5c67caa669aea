//! How late a wait ends and what it costs, beside plain sleeps.
//!
//!     cd benches && cargo bench --bench wait
//!
//! The clock is exact, so all of the lateness comes from the wait. Each line is one way
//! to wait for one length, many times: how far true time was beyond the moment when the
//! wait returned, and the process's share of a processor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use nix::time::{ClockId, clock_gettime};
use truechimer::{ClockError, Interval, Timestamp, TrueTime, Waiter, wait::WaitSettings};

/// True time is the monotonic clock. (A `ManualClock` does not run, and the interval of a
/// `Clock` lags behind true time by its drift bound, which would count as lateness.)
struct Exact(Instant);

impl TrueTime for Exact {
    fn now(&self) -> Result<Interval, ClockError> {
        let nanos = self.0.elapsed().as_nanos() as i64;
        Ok(Interval::from(Timestamp::from_tai_nanos(nanos)))
    }
}

impl Exact {
    fn read(&self) -> Timestamp {
        Timestamp::from_tai_nanos(self.0.elapsed().as_nanos() as i64)
    }
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// One way to wait, given the moment and how far away it is, and whether it succeeded.
type Way<'a> = (&'static str, Box<dyn Fn(Timestamp, Duration) -> bool + 'a>);

fn line(
    name: &str,
    clock: &Exact,
    length: Duration,
    waits: usize,
    way: &dyn Fn(Timestamp, Duration) -> bool,
) {
    // Let the margin adapt first.
    for _ in 0..waits / 10 {
        assert!(way(clock.read().saturating_add(length), length));
    }
    let (began, spent) = (Instant::now(), cpu());
    let mut late: Vec<_> = (0..waits)
        .map(|_| {
            let moment = clock.read().saturating_add(length);
            assert!(way(moment, length));
            clock.read().duration_since(moment).unwrap_or_default()
        })
        .collect();
    let share = (cpu() - spent).as_secs_f64() / began.elapsed().as_secs_f64();
    late.sort();
    let [p50, p99, max] =
        [waits / 2, waits * 99 / 100, waits - 1].map(|i| late[i].as_nanos() as f64 / 1e3);
    let length = format!("{length:?}");
    println!("{length:>6}  {name:24}{p50:10.2}{p99:10.2}{max:10.2}{:9.1} %", share * 100.0);
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let clock = Arc::new(Exact(Instant::now()));
    let waiter = Waiter::new(clock.clone());
    let sleeper =
        Waiter::with_settings(clock.clone(), WaitSettings::default().spin(Duration::ZERO));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    let block_on = |t| futures::executor::block_on(waiter.wait_async(t)).is_ok();
    let on_tokio = |length| runtime.block_on(async { tokio::time::sleep(length).await });
    let ways: Vec<Way> = vec![
        ("wait", Box::new(|t, _| waiter.wait(t).is_ok())),
        ("wait, no spinning", Box::new(|t, _| sleeper.wait(t).is_ok())),
        ("wait_async, block_on", Box::new(|t, _| block_on(t))),
        ("wait_async, tokio", Box::new(|t, _| runtime.block_on(waiter.wait_async(t)).is_ok())),
        (
            "thread::sleep",
            Box::new(|_, length| {
                std::thread::sleep(length);
                true
            }),
        ),
        (
            "tokio::time::sleep",
            Box::new(|_, length| {
                on_tokio(length);
                true
            }),
        ),
    ];
    println!("late, µs                               p50       p99       max       CPU");
    for micros in [20, 100, 1_000, 7_000u64] {
        let waits = if quick { 10 } else { (2_000_000 / (micros + 100)) as usize };
        for (name, way) in &ways {
            line(name, &clock, Duration::from_micros(micros), waits, way);
        }
    }

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("wait for a moment that has passed", |b| {
        b.iter(|| waiter.wait(Timestamp::MIN))
    });
    criterion.final_summary();
}
