//! [`Stopwatch`]: what a duration lease counts on, and [`BootClock`], the host's.
//!
//! A duration lease needs no time of day, only "how long since". The clock for
//! that has to count while the machine sleeps: a holder that was suspended for
//! an hour must not find its lease as fresh as before.
//!
//! `CLOCK_BOOTTIME` counts it, but a time daemon slews it, by up to 10 % with
//! chrony's defaults, which is no bounded drift in any useful sense.
//! `CLOCK_MONOTONIC_RAW` is the bare oscillator, but stands still in suspend. The
//! sum of the second and of `CLOCK_BOOTTIME - CLOCK_MONOTONIC`, which is the
//! time that was slept, is what is wanted.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A clock that tells how long ago something was, with a stated error and drift.
pub trait Stopwatch {
    /// Where the clock stands, or `None` where it cannot be read.
    ///
    /// At some moment of the call it stood at `earliest` or later, and at some
    /// moment at `latest` or earlier. Readings of different machines, or of
    /// different boots of one machine, do not compare.
    fn read(&self) -> Option<Reading>;

    /// A2: in a second of true time it advances by a second, give or take so
    /// many microseconds.
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

/// Where a stopwatch stands: between two values, counted from a zero of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// It stands here or later.
    pub earliest: Duration,
    /// It stands here or earlier.
    pub latest: Duration,
}

/// How far the kernel may have misjudged how long the machine slept.
///
/// Where the counter stops in suspend the kernel reads the sleep off a real-time
/// clock that counts whole seconds, once at each end.
const SLEEP_ERROR: Duration = Duration::from_secs(2);

/// A reading whose two ends are further apart than this is taken again: the
/// thread lost the processor in the middle.
const NARROW: Duration = Duration::from_micros(100);

/// Less than this between two readings is no suspend.
const NO_SLEEP: Duration = Duration::from_millis(1);

/// This machine's oscillator, with the time that the machine slept.
///
/// **After a suspend** it is two seconds uncertain for good, since that is how
/// well the kernel may know how long it was. Make a new one for new leases.
///
/// **What it cannot see**: a virtual machine that is stopped and continued, where
/// no clock of the guest counts the stop; a suspend of less than a second where
/// the kernel measures it by whole seconds. A fence covers both.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    max_drift_ppm: u32,
    /// At most so long had the machine slept when this was made.
    slept_before: Duration,
}

impl BootClock {
    /// With a drift of at most 200 ppm, the figure that Spanner uses for its machines.
    ///
    /// `None` where the kernel lacks one of the clocks.
    pub fn new() -> Option<BootClock> {
        BootClock::with_max_drift_ppm(200)
    }

    /// With a drift of at most `max_drift_ppm`: what the oscillator's maker states.
    pub fn with_max_drift_ppm(max_drift_ppm: u32) -> Option<BootClock> {
        let slept_before = Glance::narrow()?.slept_at_most();
        Some(BootClock { max_drift_ppm, slept_before })
    }

    fn reading(&self, glance: Glance) -> Reading {
        let (least, most) = (glance.slept_at_least(), glance.slept_at_most());
        let slept = most > self.slept_before.saturating_add(NO_SLEEP);
        let error = if slept { SLEEP_ERROR } else { Duration::ZERO };
        Reading {
            earliest: glance.raw.saturating_add(least).saturating_sub(error),
            latest: glance.raw.saturating_add(most).saturating_add(error),
        }
    }
}

impl Stopwatch for BootClock {
    fn read(&self) -> Option<Reading> {
        Glance::narrow().map(|glance| self.reading(glance))
    }

    fn max_drift_ppm(&self) -> u32 {
        self.max_drift_ppm
    }
}

/// The three clocks, read between two looks at `CLOCK_MONOTONIC`.
#[derive(Clone, Copy)]
struct Glance {
    before: Duration,
    raw: Duration,
    boot: Duration,
    after: Duration,
}

impl Glance {
    /// The narrowest of a few.
    fn narrow() -> Option<Glance> {
        let mut best = Glance::take()?;
        for _ in 0..3 {
            if best.width() <= NARROW {
                break;
            }
            let next = Glance::take()?;
            if next.width() < best.width() {
                best = next;
            }
        }
        Some(best)
    }

    fn take() -> Option<Glance> {
        let read = |clock| clock_gettime(clock).ok().map(Duration::from);
        Some(Glance {
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

    fn glance(raw: u64, mono: u64, slept: u64) -> Glance {
        let ms = Duration::from_millis;
        let us = Duration::from_micros(1);
        Glance { before: ms(mono), raw: ms(raw), boot: ms(mono + slept), after: ms(mono) + us }
    }

    #[test]
    fn sleep_is_counted_and_its_error_too() {
        let slept_before = glance(0, 0, 500).slept_at_most();
        let clock = BootClock { max_drift_ppm: 200, slept_before };
        let (ms, us) = (Duration::from_millis, Duration::from_micros(1));
        let cases = [
            // raw, slept, earliest, latest
            (10, 500, ms(510) - us, ms(510)),
            (10, 10_500, ms(8_510) - us, ms(12_510)),
        ];
        for (raw, slept, earliest, latest) in cases {
            // MONOTONIC is slewed, and it makes no difference.
            for mono in [9, 10, 11] {
                let reading = clock.reading(glance(raw, mono, slept));
                assert_eq!(reading, Reading { earliest, latest }, "raw {raw}, slept {slept}");
            }
        }
    }

    #[test]
    fn the_hosts_clock_goes_forward_and_is_narrow() {
        let clock = BootClock::new().expect("Linux has these clocks");
        let first = clock.read().expect("as above");
        std::thread::sleep(Duration::from_millis(2));
        let second = clock.read().expect("as above");
        assert!(first.earliest <= first.latest);
        assert!(second.earliest > first.latest);
        // Two milliseconds were slept, with 10 % to spare for a slewed sleep.
        assert!(second.latest - first.earliest >= Duration::from_micros(1_800));
    }
}
