//! A manual clock that counts its readings, so that a test knows when a wait has seen it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use truechimer::clock::Changes;
use truechimer::{ClockError, Interval, ManualClock, Timestamp, TrueTime};

pub const MS: Duration = Duration::from_millis(1);
/// Longer than any test may take: a wait that relies on it hangs.
pub const LONG: Duration = Duration::from_secs(3_600);

pub const UNSYNCHRONIZED: ClockError =
    ClockError::Unsynchronized(truechimer::Reason::KernelUnsynchronized);

/// The moment `ms` milliseconds after the beginning of the test's time.
pub fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_tai_nanos(1_800_000_000_000_000_000 + ms * 1_000_000)
}

pub fn span_ms(earliest: i64, latest: i64) -> Interval {
    Interval::new(at_ms(earliest), at_ms(latest)).expect("in order")
}

pub fn manual_ms(earliest: i64, latest: i64) -> ManualClock {
    ManualClock::new(span_ms(earliest, latest))
}

/// A [`ManualClock`] that counts how often it was read.
#[derive(Clone)]
pub struct Observed {
    pub clock: ManualClock,
    readings: Arc<AtomicU64>,
}

impl Observed {
    pub fn new(clock: ManualClock) -> Observed {
        Observed { clock, readings: Arc::default() }
    }

    /// Returns once a wait has read the clock, found that its moment has not passed, and
    /// read it again. Panics if the wait has ended instead.
    pub fn assert_waiting<T>(&self, wait: &JoinHandle<T>) {
        // The first may have begun before this call, so the third began after it, and
        // after the decision that followed the second.
        let enough = self.readings.load(Ordering::SeqCst) + 3;
        while self.readings.load(Ordering::SeqCst) < enough {
            assert!(!wait.is_finished(), "the wait has ended");
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Returns once a blocking wait has read the clock for the second time. The first
    /// reading only asks whether there is anything to wait for. The second follows the
    /// wait's subscription to the clock's moves.
    pub fn until_subscribed(&self) {
        while self.readings.load(Ordering::SeqCst) < 2 {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

impl TrueTime for Observed {
    fn now(&self) -> Result<Interval, ClockError> {
        let reading = self.clock.now();
        self.readings.fetch_add(1, Ordering::SeqCst);
        reading
    }

    fn changes(&self) -> Option<&Changes> {
        self.clock.changes()
    }
}
