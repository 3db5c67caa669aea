//! [`Stopwatch`]: the clock that a duration lease counts on, and [`BootClock`], the host's.
//!
//! A duration lease does not need the time of day. It only needs to know how long ago
//! something was. Its clock must also count while the machine sleeps, because a holder
//! that was suspended for an hour must find that its lease has ended.
//!
//! `CLOCK_BOOTTIME` counts sleep, but a time daemon slews it, by up to 10 % with chrony's
//! defaults. With so much drift a lease would lose a tenth of its term. `CLOCK_MONOTONIC_RAW`
//! is the bare oscillator, but it stands still in suspend. So [`BootClock`] adds the time
//! slept, `CLOCK_BOOTTIME - CLOCK_MONOTONIC`, to `CLOCK_MONOTONIC_RAW`.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A clock that measures how much time has passed, with a stated error and drift.
pub trait Stopwatch {
    /// The present value, or `None` if the clock cannot be read.
    ///
    /// At some moment of the call the clock stood at `earliest` or later, and at some
    /// moment at `latest` or earlier. Readings of different machines, or of different
    /// boots of one machine, cannot be compared.
    fn read(&self) -> Option<Reading>;

    /// Assumption A2: how far the clock's rate may be from true, in parts per million.
    fn max_drift_ppm(&self) -> u32;
}

impl<S: Stopwatch + ?Sized> Stopwatch for &S {
    fn read(&self) -> Option<Reading> {
        (**self).read()
    }
    fn max_drift_ppm(&self) -> u32 {
        (**self).max_drift_ppm()
    }
}

/// A reading of a stopwatch: two bounds, counted from a zero of the stopwatch's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The stopwatch stands here or later.
    pub earliest: Duration,
    /// The stopwatch stands here or earlier.
    pub latest: Duration,
}

/// How far off the kernel's measure of a sleep may be.
///
/// If the counter stops in suspend, the kernel measures the sleep with a real-time clock
/// that counts whole seconds, and reads it once at each end.
const SLEEP_ERROR: Duration = Duration::from_secs(2);

/// A bracket wider than this is read again, because the thread lost the processor in the
/// middle of it.
const NARROW: Duration = Duration::from_micros(100);

/// How many times in all a bracket is read.
const ATTEMPTS: usize = 4;

/// A change of the time slept below this is noise of the reading, and no suspend.
const SLEEP_NOISE: Duration = Duration::from_millis(1);

/// This machine's oscillator, plus the time that the machine slept.
///
/// **After a suspend** its readings stay uncertain by two seconds, because the kernel may
/// know the length of the suspend no better. Make a new one for new leases.
///
/// **What it cannot see**: a virtual machine that is stopped and continued, because no
/// clock of the guest counts the stop; and a suspend of less than a second on a machine
/// whose kernel measures suspends in whole seconds. A fence protects against both.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    max_drift_ppm: u32,
    /// The most that the machine can have slept before this was made.
    slept_before: Duration,
}

impl BootClock {
    /// A clock with a drift of at most 200 ppm, the figure that Spanner uses for its machines.
    ///
    /// `None` if the kernel lacks one of the three clocks.
    pub fn new() -> Option<BootClock> {
        BootClock::with_max_drift_ppm(200)
    }

    /// A clock with a drift of at most `max_drift_ppm`, as the oscillator's maker states it.
    ///
    /// `None` if the kernel lacks one of the three clocks.
    pub fn with_max_drift_ppm(max_drift_ppm: u32) -> Option<BootClock> {
        let slept_before = BracketedRead::narrow()?.slept_at_most();
        Some(BootClock { max_drift_ppm, slept_before })
    }

    fn reading(&self, read: BracketedRead) -> Reading {
        let (least, most) = (read.slept_at_least(), read.slept_at_most());
        let has_slept = most > self.slept_before.saturating_add(SLEEP_NOISE);
        let error = if has_slept { SLEEP_ERROR } else { Duration::ZERO };
        Reading {
            earliest: read.raw.saturating_add(least).saturating_sub(error),
            latest: read.raw.saturating_add(most).saturating_add(error),
        }
    }
}

impl Stopwatch for BootClock {
    fn read(&self) -> Option<Reading> {
        BracketedRead::narrow().map(|read| self.reading(read))
    }

    fn max_drift_ppm(&self) -> u32 {
        self.max_drift_ppm
    }
}

/// `CLOCK_MONOTONIC_RAW` and `CLOCK_BOOTTIME`, read between two reads of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy)]
struct BracketedRead {
    before: Duration,
    raw: Duration,
    boot: Duration,
    after: Duration,
}

impl BracketedRead {
    /// The narrowest of a few reads.
    fn narrow() -> Option<BracketedRead> {
        let mut best = BracketedRead::take()?;
        for _ in 1..ATTEMPTS {
            if best.width() <= NARROW {
                break;
            }
            let next = BracketedRead::take()?;
            if next.width() < best.width() {
                best = next;
            }
        }
        Some(best)
    }

    fn take() -> Option<BracketedRead> {
        let read = |clock| clock_gettime(clock).ok().map(Duration::from);
        Some(BracketedRead {
            before: read(ClockId::CLOCK_MONOTONIC)?,
            raw: read(ClockId::CLOCK_MONOTONIC_RAW)?,
            boot: read(ClockId::CLOCK_BOOTTIME)?,
            after: read(ClockId::CLOCK_MONOTONIC)?,
        })
    }

    fn width(&self) -> Duration {
        self.after.saturating_sub(self.before)
    }

    fn slept_at_least(&self) -> Duration {
        self.boot.saturating_sub(self.after)
    }

    fn slept_at_most(&self) -> Duration {
        self.boot.saturating_sub(self.before)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn read_of(raw: u64, mono: u64, slept: u64) -> BracketedRead {
        let ms = Duration::from_millis;
        let us = Duration::from_micros(1);
        BracketedRead {
            before: ms(mono),
            raw: ms(raw),
            boot: ms(mono + slept),
            after: ms(mono) + us,
        }
    }

    #[test]
    fn sleep_is_counted_and_its_error_too() {
        let slept_before = read_of(0, 0, 500).slept_at_most();
        let clock = BootClock { max_drift_ppm: 200, slept_before };
        let (ms, us) = (Duration::from_millis, Duration::from_micros(1));
        let cases = [
            // raw, slept, earliest, latest
            (10, 500, ms(510) - us, ms(510)),
            (10, 10_500, ms(8_510) - us, ms(12_510)),
        ];
        for (raw, slept, earliest, latest) in cases {
            // A slewed CLOCK_MONOTONIC makes no difference.
            for mono in [9, 10, 11] {
                let reading = clock.reading(read_of(raw, mono, slept));
                assert_eq!(reading, Reading { earliest, latest }, "raw {raw}, slept {slept}");
            }
        }
    }

    #[test]
    fn the_hosts_clock_goes_forward_and_is_narrow() {
        let clock = BootClock::new().expect("Linux has these clocks");
        let first = clock.read().expect("Linux has these clocks");
        std::thread::sleep(Duration::from_millis(2));
        let second = clock.read().expect("Linux has these clocks");
        assert!(first.earliest <= first.latest);
        assert!(second.earliest > first.latest);
        // Two milliseconds were slept, with 10 % to spare for a slewed sleep.
        assert!(second.latest - first.earliest >= Duration::from_micros(1_800));
    }
}
