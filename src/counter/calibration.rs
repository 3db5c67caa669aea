//! Which counter, may it be trusted, and how fast does it tick.
//!
//! A reading is as good as the counter under it. The processor's own counter
//! costs ten nanoseconds to read, and is trusted by many programs because the
//! processor says that it is invariant. That is not enough: firmware may have
//! written to one core's counter, a hypervisor may trap or emulate it, and the
//! kernel, which compares it with other clocks all day, may have given it up.
//! So it is used only while the *kernel itself* keeps time by it, and it is
//! compared with `CLOCK_MONOTONIC_RAW` at every sample. Where it fails, that
//! clock becomes the counter: slower to read (the vDSO), and right.
//!
//! # The rate
//!
//! CPUID names no frequency on many machines, so the rate is measured, as an
//! interval. A *sandwich* reads counter, raw clock, counter: the raw clock's
//! reading belongs to some tick between the two. Two sandwiches bound the ticks
//! from both sides and the nanoseconds to within the clock's granularity; the
//! quotient is a pace that certainly holds the ratio of the two. It
//! narrows as the baseline grows: 12 ppm after 10 ms, 10 ppb after 10 s.
//!
//! It is fitted to the raw clock and never to `CLOCK_REALTIME`, which slews.
//! How far the raw clock's own rate may be from true time is assumption A2
//! (`max_drift_ppm`), added on top.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::bound::Pace;
use crate::clock::step::{self, GRANULARITY_NS};
use crate::sys;

/// Which counter a clock is read from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CounterKind {
    /// The processor's counter where it may be trusted, else `MonotonicRaw`.
    Auto,
    /// The time-stamp counter of x86-64.
    Tsc,
    /// The virtual counter of aarch64, `CNTVCT_EL0`.
    Cntvct,
    /// The kernel's `CLOCK_MONOTONIC_RAW`, which ticks in nanoseconds.
    MonotonicRaw,
}

impl CounterKind {
    /// The processor's own counter on this architecture, if one is known.
    const HARDWARE: Option<CounterKind> = if cfg!(target_arch = "x86_64") {
        Some(CounterKind::Tsc)
    } else if cfg!(target_arch = "aarch64") {
        Some(CounterKind::Cntvct)
    } else {
        None
    };

    /// The name of the kernel's clocksource that reads it.
    fn clocksource(self) -> &'static str {
        match self {
            CounterKind::Cntvct => "arch_sys_counter",
            _ => "tsc",
        }
    }
}

impl fmt::Display for CounterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CounterKind::Auto => "auto",
            CounterKind::Tsc => "TSC",
            CounterKind::Cntvct => "CNTVCT",
            CounterKind::MonotonicRaw => "CLOCK_MONOTONIC_RAW",
        })
    }
}

/// A counter that sources bracket their evidence with.
///
/// ```
/// # use truechimer::{Counter, Interval, Sample};
/// # fn ask_the_gps() -> Interval { Interval::EVERYTHING }
/// fn sample(counter: &Counter) -> Sample {
///     let before = counter.read();
///     let time = ask_the_gps();
///     Sample::new(before, counter.read(), time)
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter(u8);

impl Counter {
    /// The kernel's clock.
    pub(crate) const MONOTONIC_RAW: Counter = Counter(0);
    /// The processor's counter, by [`read_ordered`](Self::read_ordered).
    const HARDWARE: Counter = Counter(1);
    /// The processor's counter, by [`read_direct`](Self::read_direct) too.
    pub(crate) const DIRECT: Counter = Counter(3);

    /// The processor's counter, as this processor lets it be read.
    fn hardware() -> Counter {
        #[cfg(target_arch = "x86_64")]
        if !sys::hardware::traits().lfence_waits {
            return Counter::HARDWARE;
        }
        Counter::DIRECT
    }

    /// A byte that says which counter this is, for the published block.
    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    /// The counter whose byte this is.
    #[inline]
    pub(crate) const fn from_byte(byte: u8) -> Counter {
        Counter(byte)
    }

    #[inline]
    const fn is_hardware(self) -> bool {
        self.0 & Counter::HARDWARE.0 != 0
    }

    /// Which counter this is; never `Auto`.
    pub fn kind(&self) -> CounterKind {
        match CounterKind::HARDWARE {
            Some(kind) if self.is_hardware() => kind,
            _ => CounterKind::MonotonicRaw,
        }
    }

    /// Ticks now: after everything before the call, and before everything after it.
    #[inline]
    pub fn read(&self) -> u64 {
        let ticks = self.read_ordered();
        sys::hardware::fence();
        ticks
    }

    /// Ticks now, after everything before the call. What a `latest` needs.
    #[inline]
    pub(crate) fn read_ordered(self) -> u64 {
        if self.is_hardware() { sys::hardware::ticks_ordered() } else { raw_nanos() }
    }

    /// [`read_ordered`](Self::read_ordered), of [`DIRECT`](Self::DIRECT).
    #[inline]
    pub(crate) fn read_direct() -> u64 {
        sys::hardware::ticks_fenced()
    }

    /// Ticks now or a little earlier, of [`DIRECT`](Self::DIRECT).
    /// Enough for an `earliest`.
    #[inline]
    pub(crate) fn read_direct_unordered() -> u64 {
        sys::hardware::ticks_unordered()
    }
}

#[inline]
fn raw_nanos() -> u64 {
    sys::nanos(ClockId::CLOCK_MONOTONIC_RAW) as u64
}

/// Why a counter may not be trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// This architecture has no such counter.
    #[error("this processor has no {0}: use `CounterKind::Auto` or `MonotonicRaw`")]
    Absent(CounterKind),
    /// The processor does not say that its counter runs at one rate in all states.
    #[error(
        "the processor does not promise an invariant TSC and rdtscp (CPUID 0x80000007, 0x80000001)"
    )]
    NotInvariant,
    /// The kernel keeps time by another clocksource.
    #[error(
        "the kernel keeps time by the clocksource `{current}` and not by `{wanted}`: it may have \
         found the counter unstable (see `dmesg`)"
    )]
    Clocksource {
        /// What /sys/devices/system/clocksource/clocksource0/current_clocksource says.
        current: String,
        /// What it says where the kernel uses this counter.
        wanted: &'static str,
    },
    /// The kernel does not tell its clocksource.
    #[error(
        "{path} cannot be read ({why}), so it is not known whether the kernel trusts the counter"
    )]
    ClocksourceUnknown {
        /// The file in sysfs.
        path: &'static str,
        /// The operating system's words.
        why: String,
    },
    /// Reading it is so slow that somebody must be emulating it.
    #[error("a read takes {nanos} ns, more than {limit} ns: it is trapped and emulated")]
    Slow {
        /// The fastest of several reads, in nanoseconds.
        nanos: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// It stood still or ran backwards between two readings.
    #[error("it ran backwards or stood still")]
    Backwards,
    /// Its rate against `CLOCK_MONOTONIC_RAW` is not what it was.
    #[error("its rate against CLOCK_MONOTONIC_RAW has changed")]
    RateChanged,
}

const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// A read that takes longer is not one instruction: a trap costs a microsecond.
const SLOWEST_READ_NS: u64 = 100;

/// Whether the kernel itself keeps time by `kind` at this moment.
fn kernel_uses(kind: CounterKind) -> Result<(), Untrusted> {
    let wanted = kind.clocksource();
    let current = fs::read_to_string(CLOCKSOURCE)
        .map_err(|e| Untrusted::ClocksourceUnknown { path: CLOCKSOURCE, why: e.to_string() })?;
    let current = current.trim();
    if current == wanted {
        Ok(())
    } else {
        Err(Untrusted::Clocksource { current: current.to_owned(), wanted })
    }
}

/// The checks that need to be made once. [`Calibration::check`] repeats those that can change.
fn trust(kind: CounterKind) -> Result<(), Untrusted> {
    if CounterKind::HARDWARE != Some(kind) {
        return Err(Untrusted::Absent(kind));
    }
    #[cfg(target_arch = "x86_64")]
    {
        let traits = sys::hardware::traits();
        if !traits.has_rdtscp || !traits.is_invariant {
            return Err(Untrusted::NotInvariant);
        }
    }
    kernel_uses(kind)?;
    let nanos = fastest_read_ns(Counter::hardware());
    if nanos > SLOWEST_READ_NS {
        return Err(Untrusted::Slow { nanos, limit: SLOWEST_READ_NS });
    }
    Ok(())
}

/// The cost of a read: the best of a few batches, since any of them may be interrupted.
fn fastest_read_ns(counter: Counter) -> u64 {
    const READS: u64 = 16;
    let batch = || {
        let start = raw_nanos();
        for _ in 0..READS {
            std::hint::black_box(counter.read_ordered());
        }
        raw_nanos().saturating_sub(start) / READS
    };
    (0..8).map(|_| batch()).min().unwrap_or(u64::MAX)
}

/// `CLOCK_MONOTONIC_RAW` showed `raw` while the counter went from `before` to `after`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sandwich {
    pub(crate) before: u64,
    pub(crate) raw: u64,
    pub(crate) after: u64,
}

impl Sandwich {
    /// The narrowest of eight: 30 to 60 ns, where one alone may have been interrupted.
    pub(crate) fn take(counter: Counter) -> Sandwich {
        let one = |_| {
            let before = counter.read();
            let raw = raw_nanos();
            Sandwich { before, raw, after: counter.read() }
        };
        let width = |s: &Sandwich| s.after.wrapping_sub(s.before);
        (0..8).map(one).min_by_key(width).unwrap_or(Sandwich { before: 0, raw: 0, after: 0 })
    }
}

/// The shortest time over which a rate is measured before it is used.
const BASELINE: Duration = Duration::from_millis(10);

/// A counter, what is known of its rate, and what it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Calibration {
    pub(crate) counter: Counter,
    /// Against `CLOCK_MONOTONIC_RAW`: assumption A2 comes on top.
    ratio: Pace,
    /// How far the counter, and the clocks read beside it, may be ahead of what they show.
    step_ns: u64,
    anchor: Sandwich,
    /// The last comparison that found the counter in order.
    pub(crate) last_good: Sandwich,
    /// Why the counter is not the processor's own, if it is not.
    pub(crate) why_not_hardware: Option<Untrusted>,
}

impl Calibration {
    /// Chooses the counter and measures its rate, which takes about 10 ms.
    ///
    /// # Errors
    ///
    /// If `kind` names a counter that may not be trusted. `Auto` never fails.
    pub(crate) fn new(kind: CounterKind) -> Result<Calibration, Untrusted> {
        let wanted = match kind {
            CounterKind::MonotonicRaw => return Ok(Calibration::monotonic_raw(None)),
            CounterKind::Auto => CounterKind::HARDWARE,
            kind => Some(kind),
        };
        let Some(wanted) = wanted else { return Ok(Calibration::monotonic_raw(None)) };
        match trust(wanted).and_then(|()| Calibration::measure()) {
            Err(why) if kind == CounterKind::Auto => Ok(Calibration::monotonic_raw(Some(why))),
            measured => measured,
        }
    }

    /// `CLOCK_MONOTONIC_RAW`, whose rate needs no measuring.
    pub(crate) fn monotonic_raw(why_not_hardware: Option<Untrusted>) -> Calibration {
        let now = Sandwich::take(Counter::MONOTONIC_RAW);
        Calibration {
            counter: Counter::MONOTONIC_RAW,
            ratio: Pace::NANOSECONDS,
            step_ns: step::kernel_step_ns(),
            anchor: now,
            last_good: now,
            why_not_hardware,
        }
    }

    fn measure() -> Result<Calibration, Untrusted> {
        let counter = Counter::hardware();
        let anchor = Sandwich::take(counter);
        let start = Instant::now();
        while start.elapsed() < BASELINE {
            thread::sleep(BASELINE.saturating_sub(start.elapsed()));
        }
        let now = Sandwich::take(counter);
        let (ticks, nanos) = elapsed(&anchor, &now).ok_or(Untrusted::Backwards)?;
        let shift = Pace::shift_for(ticks.0, nanos.1).ok_or(Untrusted::Backwards)?;
        let ratio = Pace::measured(shift, ticks, nanos).ok_or(Untrusted::Backwards)?;
        let step_ns = step::hardware_step_ns(&ratio).ok_or(Untrusted::Backwards)?;
        Ok(Calibration { counter, ratio, step_ns, anchor, last_good: now, why_not_hardware: None })
    }

    /// Looks whether the counter still is what it was, and learns its rate better.
    ///
    /// # Errors
    ///
    /// If it may no longer be trusted: then only readings up to `last_good` may.
    pub(crate) fn check(&mut self) -> Result<(), Untrusted> {
        if !self.counter.is_hardware() {
            self.last_good = Sandwich::take(self.counter);
            return Ok(());
        }
        match kernel_uses(self.counter.kind()) {
            // That a file cannot be opened (too many are, or a sandbox) is no word
            // about the counter: the comparison decides.
            Err(Untrusted::ClocksourceUnknown { .. }) | Ok(()) => {}
            Err(why) => return Err(why),
        }
        self.compare(Sandwich::take(self.counter))
    }

    /// The part of [`check`](Self::check) that is arithmetic.
    fn compare(&mut self, now: Sandwich) -> Result<(), Untrusted> {
        if now.before < self.last_good.before || now.after < now.before {
            return Err(Untrusted::Backwards);
        }
        // Too near to the anchor to say anything: not a fault.
        let Some((ticks, nanos)) = elapsed(&self.anchor, &now) else { return Ok(()) };
        let seen = Pace::measured(self.ratio.shift, ticks, nanos).ok_or(Untrusted::RateChanged)?;
        self.ratio = self.ratio.intersect(seen).ok_or(Untrusted::RateChanged)?;
        self.last_good = now;
        Ok(())
    }

    /// As if the raw clock had gone faster since the anchor than it did at first.
    #[cfg(test)]
    pub(crate) fn break_for_test(&mut self) {
        self.anchor.raw -= 1_000_000;
    }

    /// Compares from now on only: the two clocks were not counting together lately
    /// (`CLOCK_MONOTONIC_RAW` stands still in a suspend, the counter may not).
    pub(crate) fn restart_comparison(&mut self) {
        self.anchor = Sandwich::take(self.counter);
        self.last_good = self.anchor;
    }

    /// The rate against true time: the measured one, when the raw clock itself may
    /// be off by `max_drift_ppm` either way (A2).
    pub(crate) fn pace(&self, max_drift_ppm: u32) -> Pace {
        self.ratio.with_drift(max_drift_ppm)
    }

    /// The measured rate alone.
    pub(crate) fn ratio(&self) -> Pace {
        self.ratio
    }

    /// How far the counter may be ahead of what it shows: its step, which lasts
    /// longer on a slow oscillator.
    pub(crate) fn granularity_ns(&self, max_drift_ppm: u32) -> u64 {
        let drift = u64::from(max_drift_ppm);
        let rest = 1_000_000u64.saturating_sub(drift).max(1);
        let step = self.step_ns.saturating_add(self.step_ns.saturating_mul(drift).div_ceil(rest));
        step.max(self.pace(max_drift_ppm).most_nanos(1))
    }
}

/// The least and the most ticks and nanoseconds from one sandwich to a later one;
/// `None` if they overlap.
fn elapsed(from: &Sandwich, to: &Sandwich) -> Option<((u64, u64), (u64, u64))> {
    let ticks = (to.before.checked_sub(from.after)?, to.after.checked_sub(from.before)?);
    let raw = to.raw.checked_sub(from.raw)?;
    (ticks.0 > 0).then_some((ticks, (raw.saturating_sub(GRANULARITY_NS), raw + GRANULARITY_NS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2.5 GHz, and the raw clock beside it.
    fn sandwich(ticks: u64) -> Sandwich {
        Sandwich { before: ticks, raw: ticks * 2 / 5, after: ticks + 50 }
    }

    fn calibrated() -> Calibration {
        let (anchor, now) = (sandwich(0), sandwich(25_000_000));
        let (ticks, nanos) = elapsed(&anchor, &now).expect("apart");
        let shift = Pace::shift_for(ticks.0, nanos.1).expect("fast");
        Calibration {
            counter: Counter::DIRECT,
            ratio: Pace::measured(shift, ticks, nanos).expect("measurable"),
            step_ns: GRANULARITY_NS,
            anchor,
            last_good: now,
            why_not_hardware: None,
        }
    }

    #[test]
    fn the_rate_is_known_better_the_longer_it_is_watched() {
        let mut c = calibrated();
        let mut last = c.ratio().uncertainty_ppb();
        assert!(last < 5_000.0, "{last} ppb after 10 ms");
        for ticks in [250_000_000, 2_500_000_000, 25_000_000_000, 250_000_000_000] {
            c.compare(sandwich(ticks)).expect("in order");
            let now = c.ratio().uncertainty_ppb();
            assert!(now < last / 5.0, "{now} ppb after {ticks} ticks, {last} before");
            last = now;
        }
        assert!((c.ratio().hertz() - 2.5e9).abs() < 1.0, "{} Hz", c.ratio().hertz());
    }

    #[test]
    fn the_step_of_a_counter_is_never_taken_for_less_than_was_seen() {
        assert_eq!(calibrated().granularity_ns(200), 11, "2.5 GHz, in steps of 10 ns");
        // 19.2 MHz: one tick is 52.08 ns.
        let slow = |ticks: u64| Sandwich { before: ticks, raw: ticks * 625 / 12, after: ticks };
        let (ticks, nanos) = elapsed(&slow(0), &slow(19_200_000)).expect("apart");
        let shift = Pace::shift_for(ticks.0, nanos.1).expect("fast enough");
        let ratio = Pace::measured(shift, ticks, nanos).expect("measurable");
        let slow = Calibration { ratio, ..calibrated() };
        assert_eq!(slow.granularity_ns(200), 53);
        assert_eq!(slow.granularity_ns(100_000), 58, "and a tenth longer");
        let raw = Calibration::monotonic_raw(None);
        assert!(raw.granularity_ns(200) >= 21, "the raw clock's step, and the wall clock's");
    }

    #[test]
    fn a_counter_that_fails_is_noticed() {
        let good = sandwich(2_500_000_000);
        let cases = [
            // what the comparison sees, and what it is called
            (Sandwich { before: 1_000, after: 1_050, ..good }, Err(Untrusted::Backwards)),
            (Sandwich { after: good.before - 1, ..good }, Err(Untrusted::Backwards)),
            // 20 µs more or less in a second: another rate
            (Sandwich { raw: good.raw + 20_000, ..good }, Err(Untrusted::RateChanged)),
            (Sandwich { raw: good.raw - 20_000, ..good }, Err(Untrusted::RateChanged)),
            // the raw clock stands still, or runs backwards
            (Sandwich { raw: sandwich(25_000_000).raw, ..good }, Err(Untrusted::RateChanged)),
            (good, Ok(())),
        ];
        for (seen, verdict) in cases {
            assert_eq!(calibrated().compare(seen), verdict, "{seen:?}");
        }
    }

    #[test]
    fn two_comparisons_in_a_row_are_no_fault() {
        let mut c = calibrated();
        let mut ticks = 25_000_000;
        for gap in [1, 10, 60, 100, 1_000] {
            ticks += gap;
            c.compare(sandwich(ticks)).unwrap_or_else(|why| panic!("{gap} ticks later: {why}"));
        }
        c.restart_comparison();
        let just_now = c.anchor;
        c.compare(just_now).expect("no time has passed");
    }

    #[test]
    fn what_failed_is_not_the_last_good_comparison() {
        let mut c = calibrated();
        let good = c.last_good;
        assert!(c.compare(Sandwich { before: 0, raw: 0, after: 9 }).is_err());
        assert_eq!(c.last_good, good);
    }

    #[test]
    fn a_counter_of_another_architecture_is_refused_by_name() {
        let foreign = match CounterKind::HARDWARE {
            Some(CounterKind::Tsc) => CounterKind::Cntvct,
            _ => CounterKind::Tsc,
        };
        let refused = Calibration::new(foreign).map(|c| c.counter);
        assert_eq!(refused, Err(Untrusted::Absent(foreign)));
    }

    #[test]
    fn the_raw_clock_is_always_to_be_had() {
        let mut c = Calibration::new(CounterKind::MonotonicRaw).expect("always");
        assert_eq!(c.counter.kind(), CounterKind::MonotonicRaw);
        assert!((c.ratio().hertz() - 1e9).abs() < 1e-3);
        let before = c.counter.read();
        c.check().expect("nothing to find fault with");
        assert!(c.counter.read() > before);
    }

    #[test]
    fn auto_reads_time_at_the_rate_of_the_raw_clock() {
        let mut c = Calibration::new(CounterKind::Auto).expect("Auto never fails");
        let pace = c.pace(200);
        let start = Sandwich::take(c.counter);
        thread::sleep(Duration::from_millis(5));
        let (ticks, nanos) = elapsed(&start, &Sandwich::take(c.counter)).expect("apart");
        assert!(pace.least_nanos(ticks.0) <= nanos.1, "{ticks:?} ticks in {nanos:?} ns");
        assert!(pace.most_nanos(ticks.1) >= nanos.0, "{ticks:?} ticks in {nanos:?} ns");
        c.check().expect("still trusted");
    }
}
