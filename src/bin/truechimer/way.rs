//! [`Way`]: a way to read a clock, and the time that batches of such reads take.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// A batch lasts at least this long, which is short enough to fit between interruptions.
const BATCH: Duration = Duration::from_micros(10);
/// A batch lasts at least so many times as long as the timing of an empty batch, so that
/// the timing's own cost is at most 2 % of what is measured.
const BATCH_TO_TIMING: u32 = 50;
/// The shortest of so many batches is taken as undisturbed.
const TRIES: usize = 3;

/// A way to read a clock, and what it was found to cost.
pub struct Way {
    pub name: String,
    /// How long so many reads take.
    time: Box<dyn Fn(u32) -> Duration>,
    /// Reads in a batch.
    reads: u32,
    /// Nanoseconds a read, by batch.
    pub costs: Vec<f64>,
}

impl Way {
    /// A way whose batches of `n` reads `time(n)` makes and times.
    pub fn new(name: impl Into<String>, time: impl Fn(u32) -> Duration + 'static) -> Way {
        Way { name: name.into(), time: Box::new(time), reads: 1, costs: Vec::new() }
    }

    /// A way that calls `read`.
    pub fn of<T>(name: impl Into<String>, read: impl Fn() -> T + 'static) -> Way {
        Way::new(name, move |n| time_of(n, &read))
    }

    /// Chooses the number of reads in a batch.
    ///
    /// The first batch is cold: it loads code and data into the caches, and may last longer
    /// than a warm batch of a thousand reads. A batch that was sized by it would be so short
    /// that the timing's own cost is charged to the way. So it is made and not counted.
    pub fn size_batch(&mut self, batch: Duration) {
        (self.time)(1);
        while self.reads < 1 << 20 && self.shortest() < batch {
            self.reads *= 2;
        }
    }

    fn shortest(&self) -> Duration {
        let batches = (0..TRIES).map(|_| (self.time)(self.reads));
        batches.min().unwrap_or_default()
    }

    /// Times one batch.
    pub fn measure(&mut self) {
        // Other ways have run since: a first read brings code and data back into the caches.
        (self.time)(1);
        let nanos = (self.time)(self.reads).as_nanos() as f64;
        self.costs.push(nanos / f64::from(self.reads));
    }
}

/// How long a batch has to last on this host.
pub fn batch_length() -> Duration {
    let empty = Way::new("nothing", |n| time_of(n.saturating_sub(1), || ()));
    (empty.time)(1);
    BATCH.max(empty.shortest() * BATCH_TO_TIMING)
}

/// How long `reads` calls of `read` take. All ways are timed by this one loop, so that they
/// differ in nothing else.
#[inline]
pub fn time_of<T>(reads: u32, read: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..reads {
        black_box(read());
    }
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_cold_first_batch_does_not_make_batches_too_short() {
        let calls = Cell::new(0u32);
        let mut way = Way::new("1 µs a read, and 50 µs once", move |n| {
            calls.set(calls.get() + 1);
            let cold = if calls.get() == 1 { 50 } else { 0 };
            Duration::from_micros(u64::from(n) + cold)
        });
        way.size_batch(Duration::from_micros(10));
        assert_eq!(way.reads, 16);
        way.measure();
        assert_eq!(way.costs, [1000.0]);
    }

    #[test]
    fn one_disturbed_batch_does_not_make_batches_too_short() {
        let calls = Cell::new(0u32);
        let mut way = Way::new("1 µs a read, and an interruption", move |n| {
            calls.set(calls.get() + 1);
            let interruption = if calls.get() % 3 == 0 { 1000 } else { 0 };
            Duration::from_micros(u64::from(n) + interruption)
        });
        way.size_batch(Duration::from_micros(10));
        assert_eq!(way.reads, 16);
    }

    #[test]
    fn a_read_that_takes_no_time_does_not_size_its_batch_for_ever() {
        let mut way = Way::new("nothing", |_| Duration::ZERO);
        way.size_batch(Duration::from_micros(10));
        assert_eq!(way.reads, 1 << 20);
    }
}
