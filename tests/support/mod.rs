//! Helpers for the tests of the hybrid logical clock: moments, intervals, and a clock that runs.
#![allow(dead_code)] // each test file uses a part of it

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use truechimer::{ClockError, Interval, ManualClock, Reason, Timestamp, TrueTime};

/// A date in this decade, in TAI nanoseconds.
pub const TODAY: i64 = 1_800_000_000_000_000_000;

pub const UNSYNCHRONIZED: ClockError = ClockError::Unsynchronized(Reason::KernelUnsynchronized);

pub fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

pub fn span(earliest: i64, latest: i64) -> Interval {
    Interval::new(at(earliest), at(latest)).expect("in order")
}

pub fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("a short time")
}

/// A clock that reads `[earliest, latest]` until it is moved.
pub fn manual(earliest: i64, latest: i64) -> ManualClock {
    ManualClock::new(span(earliest, latest))
}

/// A clock that runs in real time and whose true time is known.
///
/// True time is the monotonic clock, counted on from `TODAY`. A reading is
/// `[truth - early, truth + late]`, moved by `shift`.
#[derive(Debug)]
pub struct Running {
    began: Instant,
    early: i64,
    late: i64,
    shift: AtomicI64,
}

impl Running {
    pub fn new(early: Duration, late: Duration) -> Running {
        Running {
            began: Instant::now(),
            early: nanos(early),
            late: nanos(late),
            shift: AtomicI64::new(0),
        }
    }

    pub fn truth(&self) -> Timestamp {
        at(TODAY + nanos(self.began.elapsed()))
    }

    /// Makes readings wrong by `shift` nanoseconds from now on.
    pub fn set_shift(&self, shift: i64) {
        self.shift.store(shift, Ordering::SeqCst);
    }
}

impl TrueTime for Running {
    fn now(&self) -> Result<Interval, ClockError> {
        let t = self.truth().tai_nanos() + self.shift.load(Ordering::SeqCst);
        Ok(span(t - self.early, t + self.late))
    }
}
