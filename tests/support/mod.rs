//! Clocks for tests: one that runs, and one that does as it is told.
#![allow(dead_code)] // each test file uses its own part

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use truechimer::{ClockError, Interval, Timestamp, TrueTime};

pub fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

pub fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("a short time")
}

/// A date in this decade, in TAI nanoseconds.
pub const TODAY: i64 = 1_800_000_000_000_000_000;

/// True time is the monotonic clock, counted on from `TODAY`. A reading is
/// `[truth - early, truth + late]`, moved by `shift`, or the error that was set.
#[derive(Debug)]
pub struct Running {
    began: Instant,
    early: AtomicI64,
    late: AtomicI64,
    shift: AtomicI64,
    error: Mutex<Option<ClockError>>,
}

impl Running {
    pub fn new(early: Duration, late: Duration) -> Running {
        Running {
            began: Instant::now(),
            early: AtomicI64::new(nanos(early)),
            late: AtomicI64::new(nanos(late)),
            shift: AtomicI64::new(0),
            error: Mutex::new(None),
        }
    }

    pub fn truth(&self) -> Timestamp {
        at(TODAY + nanos(self.began.elapsed()))
    }

    pub fn set_bound(&self, early: Duration, late: Duration) {
        self.early.store(nanos(early), Ordering::SeqCst);
        self.late.store(nanos(late), Ordering::SeqCst);
    }

    /// Readings are wrong by so much from now on.
    pub fn set_shift(&self, shift: i64) {
        self.shift.store(shift, Ordering::SeqCst);
    }

    pub fn set_error(&self, error: Option<ClockError>) {
        *self.error.lock().expect("no panic") = error;
    }
}

impl TrueTime for Running {
    fn now(&self) -> Result<Interval, ClockError> {
        if let Some(error) = *self.error.lock().expect("no panic") {
            return Err(error);
        }
        let t = self.truth().tai_nanos() + self.shift.load(Ordering::SeqCst);
        let (early, late) = (self.early.load(Ordering::SeqCst), self.late.load(Ordering::SeqCst));
        Ok(Interval::new(at(t - early), at(t + late)).expect("in order"))
    }
}

/// A clock that says what it was told to say, until it is told something else.
#[derive(Debug)]
pub struct Scripted(Mutex<Result<Interval, ClockError>>);

impl Scripted {
    pub fn new(earliest: i64, latest: i64) -> Scripted {
        let clock = Scripted(Mutex::new(Err(UNSYNCHRONIZED)));
        clock.set(earliest, latest);
        clock
    }

    pub fn set(&self, earliest: i64, latest: i64) {
        let now = Interval::new(at(earliest), at(latest)).expect("in order");
        *self.0.lock().expect("no panic") = Ok(now);
    }

    pub fn fail(&self) {
        *self.0.lock().expect("no panic") = Err(UNSYNCHRONIZED);
    }
}

impl TrueTime for Scripted {
    fn now(&self) -> Result<Interval, ClockError> {
        *self.0.lock().expect("no panic")
    }
}

pub const UNSYNCHRONIZED: ClockError =
    ClockError::Unsynchronized(truechimer::Reason::KernelUnsynchronized);
