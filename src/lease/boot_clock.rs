//! [`BootClock`]: the host's own [`Stopwatch`].
//!
//! `CLOCK_BOOTTIME` counts sleep, but a time daemon slews it, by up to 10 % with chrony's
//! defaults. With so much drift a lease would lose a tenth of its term. `CLOCK_MONOTONIC_RAW`
//! is the bare oscillator, but it stands still in suspend. So [`BootClock`] adds the time
//! slept, `CLOCK_BOOTTIME - CLOCK_MONOTONIC`, to `CLOCK_MONOTONIC_RAW`.
//!
//! Other systems do not count sleep. There the wall clock is compared with the monotonic
//! clock, and a jump forwards is a sleep or a step of the wall clock. A holder must take it
//! for a sleep and a grantor for a step. So it is added to `latest` and not to `earliest`:
//! the holder's lease ends, and the grantor grants nothing early.

use std::time::Duration;

use super::stopwatch::{Reading, Stopwatch};
use crate::counter::DEFAULT_MAX_DRIFT_PPM;
use crate::host::{COUNTS_SUSPENDS, Host, HostClock, System};

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
///
/// **On macOS, the BSDs and Windows** no clock that it reads counts a sleep, so it notices
/// one by the wall clock. After a suspend, or after the wall clock was set forwards, its
/// readings stay uncertain by as much: the holder's leases end, and the grantor counts
/// without the jump. A sleep that is hidden because the wall clock was set back by as much
/// is not noticed.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    max_drift_ppm: u32,
    /// The least and the most that the machine can have slept before this was made.
    slept_before: (Duration, Duration),
    /// Whether a sleep is counted by a clock, or concluded from a jump of the wall clock.
    counts_suspends: bool,
}

impl BootClock {
    /// A clock with a drift of at most 200 ppm, the figure that Spanner uses for its machines.
    ///
    /// `None` if one of the clocks cannot be read.
    pub fn new() -> Option<BootClock> {
        BootClock::with_max_drift_ppm(DEFAULT_MAX_DRIFT_PPM)
    }

    /// A clock with a drift of at most `max_drift_ppm`, as the oscillator's maker states it.
    ///
    /// `None` if one of the clocks cannot be read.
    pub fn with_max_drift_ppm(max_drift_ppm: u32) -> Option<BootClock> {
        let read = BracketedRead::narrow()?;
        let slept_before = (read.slept_at_least(), read.slept_at_most());
        Some(BootClock { max_drift_ppm, slept_before, counts_suspends: COUNTS_SUSPENDS })
    }

    fn reading(&self, read: BracketedRead) -> Reading {
        let (least, most) = (read.slept_at_least(), read.slept_at_most());
        let has_slept = most > self.slept_before.1.saturating_add(SLEEP_NOISE);
        let error = if has_slept { SLEEP_ERROR } else { Duration::ZERO };
        // A jump of the wall clock need not have been a sleep.
        let least = if self.counts_suspends { least } else { least.min(self.slept_before.0) };
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
        let read = |clock| {
            let nanos = System.nanos(clock).ok()?;
            u64::try_from(nanos).ok().map(Duration::from_nanos)
        };
        Some(BracketedRead {
            before: read(HostClock::Monotonic)?,
            raw: read(HostClock::MonotonicRaw)?,
            boot: read(HostClock::Boottime)?,
            after: read(HostClock::Monotonic)?,
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

    /// A clock that was made when the machine had slept for half a second.
    fn clock(counts_suspends: bool) -> BootClock {
        let read = read_of(0, 0, 500);
        let slept_before = (read.slept_at_least(), read.slept_at_most());
        BootClock { max_drift_ppm: 200, slept_before, counts_suspends }
    }

    #[test]
    fn a_jump_of_the_wall_clock_ends_a_lease_and_grants_none() {
        let clock = clock(false);
        let (ms, us) = (Duration::from_millis, Duration::from_micros(1));
        let before = clock.reading(read_of(10, 10, 500));
        assert_eq!(before, Reading { earliest: ms(510) - us, latest: ms(510) });
        let after = clock.reading(read_of(20, 20, 60_500));
        // No more than 10 ms have certainly passed, and a minute and 2 s at most.
        assert_eq!(after.latest, ms(60_520) + SLEEP_ERROR);
        assert!(after.earliest <= before.earliest + ms(10), "{after:?}");
    }

    #[test]
    fn sleep_is_counted_and_its_error_too() {
        let clock = clock(true);
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
        let clock = BootClock::new().expect("this host has these clocks");
        let first = clock.read().expect("this host has these clocks");
        std::thread::sleep(Duration::from_millis(2));
        let second = clock.read().expect("this host has these clocks");
        assert!(first.earliest <= first.latest);
        assert!(second.earliest > first.latest);
        // Two milliseconds were slept, with 10 % to spare for a slewed sleep.
        assert!(second.latest - first.earliest >= Duration::from_micros(1_800));
    }
}
