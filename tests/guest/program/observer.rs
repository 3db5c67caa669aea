//! One process that reads a clock until the plan ends and writes every reading down.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use nix::time::ClockId;

use crate::plan::{Plan, Reader};
use crate::record::{ANSWERED, Reading};
use crate::{LOGS, clocks, read_plan, sys};

pub fn run(arguments: &[String]) -> io::Result<()> {
    let [name, raw0] = arguments else {
        return Err(io::Error::other("usage: observe NAME RAW0"));
    };
    let raw0: i64 = raw0.parse().map_err(io::Error::other)?;
    let plan = read_plan()?;
    let observer = plan
        .observers
        .iter()
        .find(|observer| &observer.name == name)
        .ok_or_else(|| io::Error::other(format!("the plan has no observer {name}")))?;
    let mut log = BufWriter::new(File::create(format!("{LOGS}/observer-{name}"))?);
    let mut read = reader(observer.reader, &plan)?;
    let mut suspends = Suspends { last: sys::suspended(), count: 0 };
    loop {
        let before = suspends.count();
        let mut reading = read();
        reading.suspends = (before, suspends.count());
        log.write_all(&reading.encode())?;
        let ms = ((reading.raw.1 - raw0) / 1_000_000) as u64;
        if ms >= plan.end_ms {
            return log.flush();
        }
        pause(plan.period_us(observer, ms), reading.raw.1);
    }
}

/// Counts suspends, by the gap between the clocks that go on in one and that do not.
struct Suspends {
    last: i64,
    count: u8,
}

impl Suspends {
    fn count(&mut self) -> u8 {
        let suspended = sys::suspended();
        // The two clocks are read one after the other, and a busy guest can
        // lose milliseconds in between; no suspend here is that short.
        if (suspended - self.last).abs() > 500_000_000 {
            self.count = (self.count + 1).min(15);
            self.last = suspended;
        }
        self.count
    }
}

/// Waits until `period_us` after `since`: short waits awake, since a sleep is not that exact.
fn pause(period_us: u64, since: i64) {
    if period_us >= 1000 {
        std::thread::sleep(Duration::from_micros(period_us));
        return;
    }
    while sys::raw() - since < period_us as i64 * 1000 {
        std::hint::spin_loop();
    }
}

fn reader(kind: Reader, plan: &Plan) -> io::Result<Box<dyn FnMut() -> Reading>> {
    let offset = plan.tai_offset * 1_000_000_000;
    Ok(match kind {
        Reader::KernelPlain => Box::new(move || plain(offset, 1)),
        Reader::KernelTooSure => Box::new(move || plain(offset, 4)),
        kind => clocks::reader(kind, plan)?,
    })
}

/// `REALTIME ± maxerror` in TAI, with 500 µs for what the kernel has not added yet.
fn plain(tai_offset_ns: i64, divisor: i64) -> Reading {
    let before = sys::raw();
    let first = sys::adjtimex(sys::nothing());
    let realtime = sys::nanos(ClockId::CLOCK_REALTIME);
    let second = sys::adjtimex(sys::nothing());
    let after = sys::raw();
    let mut reading = Reading {
        raw: (before, after),
        earliest: 0,
        latest: 0,
        answer: ANSWERED + 1,
        status: 0,
        contradictions: 0,
        suspends: (0, 0),
        epoch: 0,
    };
    if let (Ok((0..=4, a)), Ok((0..=4, b))) = (first, second) {
        let error = (a.maxerror.max(b.maxerror) + 500) * 1000 / divisor;
        reading.earliest = realtime + tai_offset_ns - error;
        reading.latest = realtime + tai_offset_ns + error;
        reading.answer = ANSWERED;
    }
    reading
}
