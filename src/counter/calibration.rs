//! [`Calibration`]: a counter's measured rate, and the check that it is still right.
//!
//! CPUID names no frequency on many machines, so the rate is measured, as an interval. A
//! [`CrossTimestamp`] reads counter, raw clock, counter: the raw clock's reading belongs
//! to some tick between the two. Two of them bound the ticks from both sides and the
//! nanoseconds to within the clock's granularity; the quotient is a pair of rates that
//! certainly contains the ratio of the two. It narrows as the baseline grows: 12 ppm
//! after 10 ms, 10 ppb after 10 s.
//!
//! The rate is fitted to the raw clock and never to `CLOCK_REALTIME`, which is slewed. How
//! far the raw clock's own rate may be from true time is assumption A2
//! (`max_drift_ppm`), added on top.

use std::sync::Arc;
use std::time::Duration;

use super::movement::Movement;
use super::step::{self, GRANULARITY_NS};
use super::{Counter, CounterError, CounterId, CounterKind, RateBounds, raw_ticks};
use crate::host::{HardwareCounter, HardwareKind, Host, HostError, narrowest};

/// A read that takes longer is not one instruction: a trap costs a microsecond.
const SLOWEST_READ_NS: u64 = 100;

/// The name of the kernel's clocksource that reads this counter.
fn clocksource_of(kind: HardwareKind) -> &'static str {
    match kind {
        HardwareKind::Tsc => "tsc",
        HardwareKind::Cntvct => "arch_sys_counter",
    }
}

/// Whether the kernel itself keeps time by `kind` at this moment.
fn check_clocksource(host: &dyn Host, kind: HardwareKind) -> Result<(), CounterError> {
    let wanted = clocksource_of(kind);
    let current = host.clocksource()?;
    if current == wanted { Ok(()) } else { Err(CounterError::Clocksource { current, wanted }) }
}

/// The checks that are made once. [`Calibration::check`] repeats those that can change.
fn check_hardware(
    host: &Arc<dyn Host>,
    hardware: HardwareCounter,
) -> Result<(Counter, HardwareKind), CounterError> {
    if !hardware.is_invariant {
        return Err(CounterError::NotInvariant);
    }
    check_clocksource(&**host, hardware.kind)?;
    let id = if hardware.has_cheap_order { CounterId::DIRECT } else { CounterId::HARDWARE };
    let nanos = fastest_read_ns(&**host, id)?;
    if nanos > SLOWEST_READ_NS {
        return Err(CounterError::Slow { nanos, limit: SLOWEST_READ_NS });
    }
    Ok((Counter::new(host.clone(), id), hardware.kind))
}

/// The cost of a read: the best of a few batches, because any of them may be interrupted.
fn fastest_read_ns(host: &dyn Host, id: CounterId) -> Result<u64, HostError> {
    const READS: u64 = 16;
    let batch = || -> Result<u64, HostError> {
        let start = raw_ticks(host)?;
        for _ in 0..READS {
            std::hint::black_box(id.read_ordered(host)?);
        }
        Ok(raw_ticks(host)?.saturating_sub(start) / READS)
    };
    narrowest(8, batch, |&nanos| nanos)
}

/// `CLOCK_MONOTONIC_RAW` showed `raw` while the counter went from `before` to `after`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CrossTimestamp {
    pub(crate) before: u64,
    pub(crate) raw: u64,
    pub(crate) after: u64,
}

impl CrossTimestamp {
    /// The narrowest of eight: 30 to 60 ns, where one alone may have been interrupted.
    pub(crate) fn take(counter: &Counter) -> Result<CrossTimestamp, HostError> {
        let one = || -> Result<CrossTimestamp, HostError> {
            let before = counter.try_read()?;
            let raw = raw_ticks(counter.host())?;
            Ok(CrossTimestamp { before, raw, after: counter.try_read()? })
        };
        narrowest(8, one, |taken| taken.after.wrapping_sub(taken.before))
    }
}

/// The shortest time over which a rate is measured before it is used.
const BASELINE: Duration = Duration::from_millis(10);

/// A counter, what is known of its rate, and what it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Calibration {
    pub(crate) counter: Counter,
    /// Which hardware counter it is. It is kept, because CPUID traps in a virtual machine.
    hardware: Option<HardwareKind>,
    /// Against `CLOCK_MONOTONIC_RAW`: assumption A2 comes on top.
    ratio: RateBounds,
    /// How far the counter, and the clocks read beside it, may be ahead of what they show.
    step_ns: u64,
    anchor: CrossTimestamp,
    /// Whether the raw clock moves.
    movement: Movement,
    /// The last comparison that found the counter in order.
    pub(crate) last_good: CrossTimestamp,
    /// Why the counter is not the processor's own, if it is not.
    pub(crate) why_not_hardware: Option<CounterError>,
}

impl Calibration {
    /// Chooses the counter and measures its rate, which takes about 10 ms.
    ///
    /// # Errors
    ///
    /// If `kind` names a counter that may not be trusted. `Auto` and `MonotonicRaw` never
    /// fail: where the raw clock cannot be read, each reading of it says so.
    pub(crate) fn new(
        host: &Arc<dyn Host>,
        kind: CounterKind,
    ) -> Result<Calibration, CounterError> {
        let hardware = host.hardware_counter();
        let wanted = match (kind, hardware) {
            (CounterKind::MonotonicRaw, _) | (CounterKind::Auto, None) => {
                return Ok(Calibration::monotonic_raw(host, None));
            }
            (CounterKind::Auto, Some(hardware)) => hardware,
            (kind, hardware) => hardware
                .filter(|hardware| CounterKind::from(hardware.kind) == kind)
                .ok_or(CounterError::Absent(kind))?,
        };
        match check_hardware(host, wanted).and_then(Calibration::measure) {
            Err(why) if kind == CounterKind::Auto => {
                Ok(Calibration::monotonic_raw(host, Some(why)))
            }
            measured => measured,
        }
    }

    /// `CLOCK_MONOTONIC_RAW`, whose rate needs no measuring.
    pub(crate) fn monotonic_raw(
        host: &Arc<dyn Host>,
        why_not_hardware: Option<CounterError>,
    ) -> Calibration {
        let counter = Counter::new(host.clone(), CounterId::MONOTONIC_RAW);
        // Where it cannot be read now, it is not compared with anything either: the raw
        // clock is its own reference, and each check takes the comparison anew.
        let unread = CrossTimestamp { before: 0, raw: 0, after: 0 };
        let now = CrossTimestamp::take(&counter).unwrap_or(unread);
        Calibration {
            hardware: None,
            ratio: RateBounds::NANOSECONDS,
            step_ns: step::kernel_step_ns(&**host),
            counter,
            anchor: now,
            movement: Movement::observe(&**host),
            last_good: now,
            why_not_hardware,
        }
    }

    fn measure((counter, kind): (Counter, HardwareKind)) -> Result<Calibration, CounterError> {
        // A rate against a clock that stands still would be a number without meaning.
        let mut movement = Movement::observe(counter.host());
        if movement.is_stopped(counter.host())? {
            return Err(CounterError::RawClockStopped);
        }
        let anchor = CrossTimestamp::take(&counter)?;
        counter.host().sleep(BASELINE);
        let now = CrossTimestamp::take(&counter)?;
        let (ticks, nanos) = elapsed(&anchor, &now).ok_or(CounterError::Backwards)?;
        let shift = RateBounds::shift_for(ticks.0, nanos.1).ok_or(CounterError::Backwards)?;
        let ratio = RateBounds::measured(shift, ticks, nanos).ok_or(CounterError::Backwards)?;
        let step_ns =
            step::hardware_step_ns(counter.host(), &ratio).ok_or(CounterError::Backwards)?;
        let hardware = Some(kind);
        Ok(Calibration {
            counter,
            hardware,
            ratio,
            step_ns,
            anchor,
            movement,
            last_good: now,
            why_not_hardware: None,
        })
    }

    /// Checks that the counter still is what it was, and learns its rate better.
    ///
    /// # Errors
    ///
    /// If it may no longer be trusted: then only readings up to `last_good` may. If the
    /// raw clock cannot be read ([`CounterError::Host`]), nothing is known of the counter.
    pub(crate) fn check(&mut self) -> Result<(), CounterError> {
        // Everything else is compared with the raw clock, or is read from it.
        if self.movement.is_stopped(self.counter.host())? {
            return Err(CounterError::RawClockStopped);
        }
        if !self.counter.id().is_hardware() {
            self.last_good = CrossTimestamp::take(&self.counter)?;
            return Ok(());
        }
        let host = self.counter.host();
        if let Some(kind) = self.hardware {
            match check_clocksource(host, kind) {
                // Failing to read sysfs (EMFILE, a sandbox) says nothing about the
                // counter, so the comparison decides.
                Err(CounterError::Host(_)) | Ok(()) => {}
                Err(why) => return Err(why),
            }
        }
        let now = CrossTimestamp::take(&self.counter)?;
        self.compare(now)
    }

    /// The part of [`check`](Self::check) that is arithmetic.
    fn compare(&mut self, now: CrossTimestamp) -> Result<(), CounterError> {
        if now.before < self.last_good.before || now.after < now.before {
            return Err(CounterError::Backwards);
        }
        // Too near to the anchor to say anything, which is not a fault.
        let Some((ticks, nanos)) = elapsed(&self.anchor, &now) else { return Ok(()) };
        let seen = RateBounds::measured(self.ratio.shift, ticks, nanos)
            .ok_or(CounterError::RateChanged)?;
        self.ratio = self.ratio.intersect(seen).ok_or(CounterError::RateChanged)?;
        self.last_good = now;
        Ok(())
    }

    /// Compares from now on only, because the two clocks did not count together lately
    /// (`CLOCK_MONOTONIC_RAW` stands still in a suspend, the counter may not).
    pub(crate) fn restart_comparison(&mut self) -> Result<(), HostError> {
        self.anchor = CrossTimestamp::take(&self.counter)?;
        self.last_good = self.anchor;
        Ok(())
    }

    /// The rate against true time: the measured one, when the raw clock itself may
    /// be off by `max_drift_ppm` either way (A2).
    pub(crate) fn rates(&self, max_drift_ppm: u32) -> RateBounds {
        self.ratio.with_drift(max_drift_ppm)
    }

    /// The measured rate alone.
    pub(crate) fn ratio(&self) -> RateBounds {
        self.ratio
    }

    /// How far the counter may be ahead of what it shows: its step, which lasts
    /// longer on a slow oscillator.
    pub(crate) fn granularity_ns(&self, max_drift_ppm: u32) -> u64 {
        let drift = u64::from(max_drift_ppm);
        let rest = 1_000_000u64.saturating_sub(drift).max(1);
        let step = self.step_ns.saturating_add(self.step_ns.saturating_mul(drift).div_ceil(rest));
        step.max(self.rates(max_drift_ppm).most_nanos(1))
    }
}

/// The least and the most ticks and nanoseconds from one comparison to a later one;
/// `None` if they overlap.
fn elapsed(from: &CrossTimestamp, to: &CrossTimestamp) -> Option<((u64, u64), (u64, u64))> {
    let ticks = (to.before.checked_sub(from.after)?, to.after.checked_sub(from.before)?);
    let raw = to.raw.checked_sub(from.raw)?;
    let nanos = (raw.saturating_sub(GRANULARITY_NS), raw.saturating_add(GRANULARITY_NS));
    (ticks.0 > 0).then_some((ticks, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::System;
    use crate::host::scripted::ScriptedHost;

    fn host() -> Arc<dyn Host> {
        Arc::new(System)
    }

    /// 2.5 GHz, and the raw clock beside it.
    fn cross(ticks: u64) -> CrossTimestamp {
        CrossTimestamp { before: ticks, raw: ticks * 2 / 5, after: ticks + 50 }
    }

    fn calibrated() -> Calibration {
        let (anchor, now) = (cross(0), cross(25_000_000));
        let (ticks, nanos) = elapsed(&anchor, &now).expect("apart");
        let shift = RateBounds::shift_for(ticks.0, nanos.1).expect("fast");
        Calibration {
            counter: Counter::new(host(), CounterId::DIRECT),
            hardware: Some(HardwareKind::Tsc),
            ratio: RateBounds::measured(shift, ticks, nanos).expect("measurable"),
            step_ns: GRANULARITY_NS,
            anchor,
            movement: Movement::observe(&System),
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
            c.compare(cross(ticks)).expect("in order");
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
        let slow =
            |ticks: u64| CrossTimestamp { before: ticks, raw: ticks * 625 / 12, after: ticks };
        let (ticks, nanos) = elapsed(&slow(0), &slow(19_200_000)).expect("apart");
        let shift = RateBounds::shift_for(ticks.0, nanos.1).expect("fast enough");
        let ratio = RateBounds::measured(shift, ticks, nanos).expect("measurable");
        let slow = Calibration { ratio, ..calibrated() };
        assert_eq!(slow.granularity_ns(200), 53);
        assert_eq!(slow.granularity_ns(100_000), 58, "and a tenth longer");
        let raw = Calibration::monotonic_raw(&host(), None);
        assert!(raw.granularity_ns(200) >= 21, "the raw clock's step, and the wall clock's");
    }

    #[test]
    fn a_counter_that_fails_is_noticed() {
        let good = cross(2_500_000_000);
        let cases = [
            // what the comparison sees, and what it is called
            (CrossTimestamp { before: 1_000, after: 1_050, ..good }, Err(CounterError::Backwards)),
            (CrossTimestamp { after: good.before - 1, ..good }, Err(CounterError::Backwards)),
            // 20 µs more or less in a second: another rate
            (CrossTimestamp { raw: good.raw + 20_000, ..good }, Err(CounterError::RateChanged)),
            (CrossTimestamp { raw: good.raw - 20_000, ..good }, Err(CounterError::RateChanged)),
            // the raw clock stands still, or runs backwards
            (CrossTimestamp { raw: cross(25_000_000).raw, ..good }, Err(CounterError::RateChanged)),
            (good, Ok(())),
        ];
        for (seen, verdict) in cases {
            assert_eq!(calibrated().compare(seen), verdict, "{seen:?}");
        }
    }

    #[test]
    fn two_comparisons_in_a_row_are_not_a_fault() {
        let mut c = calibrated();
        let mut ticks = 25_000_000;
        for gap in [1, 10, 60, 100, 1_000] {
            ticks += gap;
            c.compare(cross(ticks)).unwrap_or_else(|why| panic!("{gap} ticks later: {why}"));
        }
        let same = c.last_good;
        c.compare(same).expect("no time has passed");
        // A comparison that begins where the anchor ends says nothing of the rate, and a slow
        // counter may show one tick before and after it.
        c.last_good = c.anchor;
        c.compare(CrossTimestamp { before: c.anchor.after, ..cross(51) }).expect("too near");
        c.compare(CrossTimestamp { after: 25_000_000, ..cross(25_000_000) }).expect("one tick");
    }

    #[test]
    fn a_counter_by_which_the_kernel_does_not_keep_time_or_that_traps_is_refused() {
        let refusal = |made: Arc<ScriptedHost>| {
            let host: Arc<dyn Host> = made;
            let auto = Calibration::new(&host, CounterKind::Auto).expect("Auto never fails");
            let refused = Calibration::new(&host, CounterKind::Tsc).map(|_| ()).err();
            assert_eq!(auto.why_not_hardware, refused);
            assert_eq!(auto.counter.kind() == CounterKind::Tsc, refused.is_none());
            refused
        };
        assert_eq!(refusal(ScriptedHost::new()), None);
        let host = ScriptedHost::new();
        host.set_clocksource("hpet");
        let current = "hpet".to_owned();
        assert_eq!(refusal(host), Some(CounterError::Clocksource { current, wanted: "tsc" }));
        for nanos in [100, 101, 1_000] {
            let host = ScriptedHost::new();
            host.slow_counter(nanos as i64);
            let slow = CounterError::Slow { nanos, limit: 100 };
            assert_eq!(refusal(host), (nanos > 100).then_some(slow), "{nanos} ns");
        }
    }

    #[test]
    fn a_clock_by_which_the_kernel_no_longer_keeps_time_is_not_trusted() {
        let scripted = ScriptedHost::new();
        let host: Arc<dyn Host> = scripted.clone();
        let mut c = Calibration::new(&host, CounterKind::Auto).expect("Auto never fails");
        scripted.pass(1_000_000_000);
        c.check().expect("nothing has changed");
        scripted.set_clocksource("hpet");
        assert!(matches!(c.check(), Err(CounterError::Clocksource { .. })));
    }

    #[test]
    fn what_failed_is_not_the_last_good_comparison() {
        let mut c = calibrated();
        let good = c.last_good;
        assert!(c.compare(CrossTimestamp { before: 0, raw: 0, after: 9 }).is_err());
        assert_eq!(c.last_good, good);
    }

    #[test]
    fn a_counter_of_another_architecture_is_refused_by_name() {
        let foreign = match host().hardware_counter().map(|hardware| hardware.kind) {
            Some(HardwareKind::Tsc) => CounterKind::Cntvct,
            _ => CounterKind::Tsc,
        };
        let refused = Calibration::new(&host(), foreign).map(|c| c.counter.kind());
        assert_eq!(refused, Err(CounterError::Absent(foreign)));
    }

    #[test]
    fn the_raw_clock_can_always_be_had() {
        let mut c = Calibration::new(&host(), CounterKind::MonotonicRaw).expect("always");
        assert_eq!(c.counter.kind(), CounterKind::MonotonicRaw);
        assert!((c.ratio().hertz() - 1e9).abs() < 1e-3);
        let before = c.counter.read();
        c.check().expect("nothing to find fault with");
        assert!(c.counter.read() > before);
    }

    #[test]
    fn auto_counts_at_the_rate_of_the_raw_clock() {
        let mut c = Calibration::new(&host(), CounterKind::Auto).expect("Auto never fails");
        let rates = c.rates(200);
        let start = CrossTimestamp::take(&c.counter).expect("readable");
        c.counter.host().sleep(Duration::from_millis(5));
        let end = CrossTimestamp::take(&c.counter).expect("readable");
        let (ticks, nanos) = elapsed(&start, &end).expect("apart");
        assert!(rates.least_nanos(ticks.0) <= nanos.1, "{ticks:?} ticks in {nanos:?} ns");
        assert!(rates.most_nanos(ticks.1) >= nanos.0, "{ticks:?} ticks in {nanos:?} ns");
        c.check().expect("still trusted");
    }
}
