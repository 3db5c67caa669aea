//! The program inside the arm64 guests: the first and only process.
//!
//! It builds clocks as a user would, so that the crate itself decides whether the
//! processor's counter may be used. Its source knows true time, which is
//! `CLOCK_MONOTONIC_RAW`, but for the time that reading it takes. Every reading is
//! taken between two readings of true time, so it can be checked at both ends. Clocks
//! whose source is wrong by a few microseconds show that the check sees a miss.
//!
//! It reports in lines that `tests/arm64/main.rs` reads.

#[cfg(not(target_arch = "aarch64"))]
compile_error!("this program is for the arm64 guests");

use std::arch::asm;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::time::{ClockId, clock_gettime};
use truechimer::{Clock, ClockBuilder, Counter, Interval, Sample, Source, SourceError, Timestamp};

/// Threads that read at the same time, on as many processors.
const READERS: u64 = 2;
/// Readings of each thread.
const READINGS: u64 = 1_000_000;
/// How often a wrong source is sampled until a reading shows it. One sample suffices
/// unless the thread was interrupted in it, which makes it wide.
const WRONG_SAMPLES: u32 = 1_000;
/// More than a reading is wide at 24 MHz.
const WRONG_NS: i64 = 3_000;
/// The crate's own test of readers, where the driver has added it.
const READERS_TEST: &str = "/readers";

fn main() {
    if let Err(error) = run() {
        println!("FAILED {error}");
    }
    let _ = io::stdout().flush();
    let _ = reboot(RebootMode::RB_POWER_OFF);
}

fn run() -> Result<(), Box<dyn Error>> {
    for (kind, at) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")]
    {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .map_err(|error| format!("{at}: {error}"))?;
    }
    println!("BEGIN");
    println!("FREQUENCY {}", counter_frequency());
    contained()?;
    for error in [-WRONG_NS, WRONG_NS] {
        wrong(error)?;
    }
    if Path::new(READERS_TEST).exists() {
        // What is left out has been done above, on fewer threads: it takes minutes here.
        let arguments = ["--test-threads", "1", "--skip", "at_full_speed"];
        let status = Command::new(READERS_TEST).args(arguments).status()?;
        println!("READERS {}", if status.success() { "passed" } else { "failed" });
    }
    println!("END");
    Ok(())
}

/// What the firmware says that the counter's frequency is.
fn counter_frequency() -> u64 {
    let hertz: u64;
    // SAFETY: Linux lets user space read this register.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hertz, options(nomem, nostack)) };
    hertz
}

/// True time.
fn truth() -> Timestamp {
    let raw = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).expect("every Linux has it");
    Timestamp::from_tai_nanos(raw.tv_sec() * 1_000_000_000 + raw.tv_nsec())
}

/// A source that knows true time, and is wrong by so many nanoseconds.
struct Exact(i64);

impl Source for Exact {
    fn name(&self) -> &str {
        "exact"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before = counter.read();
        let stated = Timestamp::from_tai_nanos(truth().tai_nanos() + self.0);
        Ok(Sample::new(before, counter.read(), Interval::from(stated)))
    }
}

fn clock(error: i64) -> ClockBuilder {
    Clock::builder().without_kernel().source(Exact(error))
}

/// What a thread found.
struct Seen {
    misses: u64,
    least_width: Duration,
}

/// Reads `times` times, and counts the readings that were wrong at either end.
fn read(clock: &Clock, times: u64) -> Result<Seen, truechimer::ClockError> {
    let mut seen = Seen { misses: 0, least_width: Duration::MAX };
    let mut passed = Timestamp::MIN;
    for _ in 0..times {
        let before = truth();
        let now = clock.now()?;
        let after = truth();
        let missed = now.earliest() > after || now.latest() < before;
        // What has certainly passed once has passed for good.
        let backwards = now.latest() < passed;
        seen.misses += u64::from(missed || backwards);
        seen.least_width = seen.least_width.min(now.width());
        passed = now.earliest();
    }
    Ok(seen)
}

/// Readings of an honest clock while its thread samples often.
fn contained() -> Result<(), Box<dyn Error>> {
    let clock = clock(0).poll_interval(Duration::from_millis(1)).build()?;
    println!("COUNTER {}", clock.report().counter.kind);
    let seen = thread::scope(|scope| {
        let readers: Vec<_> =
            (0..READERS).map(|_| scope.spawn(|| read(&clock, READINGS))).collect();
        let seen = readers.into_iter().map(|reader| reader.join().expect("no reader panics"));
        seen.collect::<Result<Vec<_>, _>>()
    })?;
    let misses: u64 = seen.iter().map(|seen| seen.misses).sum();
    let least = seen.iter().map(|seen| seen.least_width).min().unwrap_or_default();
    println!("READINGS {}", READERS * READINGS);
    println!("MISSES {misses}");
    println!("WIDTH {}", least.as_nanos());
    println!("CONTRADICTIONS {}", clock.report().contradictions);
    Ok(())
}

/// Whether readings of a clock with a wrong source are seen to be wrong.
fn wrong(error: i64) -> Result<(), Box<dyn Error>> {
    let clock = clock(error).manual().build()?;
    for _ in 0..WRONG_SAMPLES {
        // A sample that contradicts the one before widens the clock, which is no miss.
        if clock.refresh().is_ok() && read(&clock, 100)?.misses > 0 {
            println!("WRONG {error} seen");
            return Ok(());
        }
    }
    println!("WRONG {error} unseen");
    Ok(())
}
