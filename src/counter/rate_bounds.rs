//! [`RateBounds`]: between how many nanoseconds a tick of a counter lasts.
//!
//! A rate is never one number here. A measured rate has an error, and the oscillator
//! behind it may drift by what assumption A2 allows. So a rate is a pair of bounds in
//! fixed point, and every operation on it rounds outward.

/// Assumption A2 by default: an oscillator's rate is within this many parts per million of
/// nominal. All defaults of the crate come from here. 200 is Spanner's figure (Corbett et al., OSDI 2012); few are worse than 100.
pub(crate) const DEFAULT_MAX_DRIFT_PPM: u32 = 200;

/// Assumption A3 by default: within two hours a rate stays within this many parts per million of
/// its means. `estimator::rate` says why.
pub(crate) const DEFAULT_MAX_WANDER_PPM: u32 = 20;

/// How fast time passes on a counter: between `min` and `max` nanoseconds per tick.
///
/// Fixed point: `ticks << shift`, times the rate, is nanoseconds × 2⁶⁴. The
/// shift comes first so that a rate is always below one, and a reading needs
/// only the upper half of a 64 × 64 bit product. A counter faster than 1 GHz
/// needs no shift; `CLOCK_MONOTONIC_RAW`, at 1 GHz less the drift, needs 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RateBounds {
    pub(crate) shift: u32,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// A counter slower than this is useless as a clock: 2²⁰ ns a tick, with its room for drift, is 1.2 kHz.
const MAX_SHIFT: u32 = 20;

impl RateBounds {
    /// One tick is one nanosecond, as on the kernel's own clocks.
    pub(crate) const NANOSECONDS: RateBounds = RateBounds { shift: 1, min: 1 << 63, max: 1 << 63 };

    /// The shift for a counter of which at least `ticks` pass in at most `nanos`.
    ///
    /// `None` if it stood still or is slower than 1.2 kHz.
    pub(crate) fn shift_for(ticks: u64, nanos: u64) -> Option<u32> {
        // Room for a drift of 25 %, so that adding the allowed 10 % stays below one.
        let ceiling = u128::from(nanos) + u128::from(nanos) / 4 + 1;
        (0..=MAX_SHIFT).find(|shift| u128::from(ticks) << shift > ceiling)
    }

    /// The bounds of a counter that went at least `ticks.0` and at most `ticks.1`
    /// ticks while at least `nanos.0` and at most `nanos.1` nanoseconds passed.
    ///
    /// `None` if that cannot be, or is too slow for `shift`.
    pub(crate) fn measured(shift: u32, ticks: (u64, u64), nanos: (u64, u64)) -> Option<RateBounds> {
        if ticks.0 == 0 || ticks.0 > ticks.1 || nanos.0 > nanos.1 || shift > MAX_SHIFT {
            return None;
        }
        let scaled = |nanos: u64| u128::from(nanos) << (64 - shift);
        let min = scaled(nanos.0) / u128::from(ticks.1);
        let max = scaled(nanos.1).div_ceil(u128::from(ticks.0));
        Some(RateBounds {
            shift,
            min: u64::try_from(min).ok()?,
            // After a moment too short to exclude a rate of one or more, this
            // end is open; the format's last value stands for that.
            max: u64::try_from(max).unwrap_or(u64::MAX),
        })
    }

    /// These bounds when the frequency of the oscillator behind it may be off by `ppm`
    /// either way: then a tick lasts from `1 / (1 + ppm)` to `1 / (1 - ppm)` times as long.
    pub(crate) fn with_drift(self, ppm: u32) -> RateBounds {
        let part = |rate: u64, of: u32| {
            let part = (u128::from(rate) * u128::from(ppm)).div_ceil(u128::from(of.max(1)));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        RateBounds {
            shift: self.shift,
            // A little less than 1 / (1 + ppm): outward.
            min: self.min.saturating_sub(part(self.min, 1_000_000)),
            max: self.max.saturating_add(part(self.max, 1_000_000u32.saturating_sub(ppm))),
        }
    }

    /// What both allow, or `None` if they exclude each other.
    pub(crate) fn intersect(self, other: RateBounds) -> Option<RateBounds> {
        let min = self.min.max(other.min);
        let max = self.max.min(other.max);
        (self.shift == other.shift && min <= max).then_some(RateBounds {
            shift: self.shift,
            min,
            max,
        })
    }

    /// The nanoseconds that pass at least in `ticks`, rounded down.
    pub(crate) fn least_nanos(&self, ticks: u64) -> u64 {
        let nanos = (u128::from(ticks) << self.shift).saturating_mul(u128::from(self.min)) >> 64;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The nanoseconds that pass at most in `ticks`, rounded up.
    pub(crate) fn most_nanos(&self, ticks: u64) -> u64 {
        let product = (u128::from(ticks) << self.shift).saturating_mul(u128::from(self.max));
        u64::try_from(product.div_ceil(1 << 64)).unwrap_or(u64::MAX)
    }

    /// The ticks that pass at most in `nanos`, rounded up.
    pub(crate) fn most_ticks(&self, nanos: u64) -> u64 {
        let per_shifted_tick = u128::from(self.min.max(1));
        let ticks = (u128::from(nanos) << 64).div_ceil(per_shifted_tick) >> self.shift;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The middle of the bounds in ticks per second: the counter's frequency, for people.
    pub(crate) fn hertz(&self) -> f64 {
        let rate = (self.min as f64 + self.max as f64) / 2.0 * self.scale();
        1e9 / rate
    }

    /// Half of the bounds' own width, in parts per billion: how well the rate is known.
    pub(crate) fn uncertainty_ppb(&self) -> f64 {
        (self.max as f64 - self.min as f64) / self.max as f64 / 2.0 * 1e9
    }

    fn scale(&self) -> f64 {
        2f64.powi(self.shift as i32 - 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A counter whose ticks last `ps` picoseconds: 0.2 ns to 0.8 ms.
    fn any_rate_ps() -> impl Strategy<Value = u64> {
        prop_oneof![200u64..2_000, 1_000u64..100_000, 1_000_000u64..800_000_000]
    }

    /// `ticks` of `ps` picoseconds each, in nanoseconds, rounded down and up.
    fn nanos_of(ticks: u64, ps: u64) -> (u64, u64) {
        let product = u128::from(ticks) * u128::from(ps);
        ((product / 1000) as u64, product.div_ceil(1000) as u64)
    }

    /// The bounds that are measured for such a counter over `ticks`, to the nanosecond.
    fn rates_of(ps: u64, ticks: u64) -> RateBounds {
        let nanos = nanos_of(ticks, ps);
        let shift = RateBounds::shift_for(ticks, nanos.1).expect("faster than 1 kHz");
        RateBounds::measured(shift, (ticks, ticks), nanos).expect("measurable")
    }

    #[test]
    fn a_counter_faster_than_1250_mhz_needs_no_shift() {
        let shift_for = |ticks| RateBounds::shift_for(ticks, 1_000_000_000);
        assert_eq!(shift_for(1_250_000_002), Some(0));
        assert_eq!(shift_for(1_250_000_001), Some(1), "what is measured is rounded");
        assert_eq!(shift_for(0), None);
    }

    proptest! {
        #[test]
        fn measured_bounds_hold_the_true_rate(
            ps in any_rate_ps(), baseline in 1_000u64..1 << 40, ticks in 0u64..1 << 40, ppm in 0u32..100_000,
        ) {
            let rates = rates_of(ps, baseline);
            let truth = nanos_of(ticks, ps);
            prop_assert!(rates.least_nanos(ticks) <= truth.0);
            prop_assert!(rates.most_nanos(ticks) >= truth.1);
            // With drift they hold a counter whose frequency is off by that much, too. The
            // oracle divides once, from exact picoseconds.
            let drifting = rates.with_drift(ppm);
            let scaled = u128::from(ticks) * u128::from(ps) * 1_000;
            let fast = scaled / u128::from(1_000_000 + ppm);
            let slow = scaled.div_ceil(u128::from(1_000_000 - ppm));
            prop_assert!(u128::from(drifting.least_nanos(ticks)) <= fast);
            prop_assert!(u128::from(drifting.most_nanos(ticks)) >= slow);
        }

        #[test]
        fn a_longer_baseline_narrows_the_bounds_and_never_excludes_the_rate(ps in any_rate_ps()) {
            let (short, long) = (rates_of(ps, 100_000), rates_of(ps, 100_000_000));
            let both = short.intersect(long).expect("the same counter");
            prop_assert_eq!(both, long);
        }

        #[test]
        fn ticks_and_nanoseconds_convert_back_outward(ps in any_rate_ps(), nanos in 0u64..1 << 50) {
            let rates = rates_of(ps, 1_000_000);
            prop_assert!(rates.least_nanos(rates.most_ticks(nanos)) >= nanos);
        }
    }

    #[test]
    fn a_counter_that_is_useless_as_a_clock_has_no_rate() {
        let cases = [
            // ticks, nanoseconds
            ((0, 10), (1, 1)),                  // stood still
            ((10, 9), (1, 1)),                  // the wrong way round
            ((10, 10), (2, 1)),                 // the wrong way round
            ((1, 1), (1 << 30, (1 << 30) + 1)), // a tick a second
        ];
        for (ticks, nanos) in cases {
            assert_eq!(RateBounds::measured(0, ticks, nanos), None, "{ticks:?} in {nanos:?}");
        }
        assert_eq!(RateBounds::shift_for(1, 1 << 30), None);
        assert_eq!(RateBounds::shift_for(0, 5), None);
    }

    #[test]
    fn a_moment_too_short_to_measure_excludes_no_rate() {
        let known = rates_of(400, 1_000_000);
        let short = RateBounds::measured(known.shift, (1, 300), (0, 1_000)).expect("not a fault");
        assert_eq!(known.intersect(short), Some(known));
    }

    #[test]
    fn a_measured_quotient_is_rounded_outward_in_the_last_bit() {
        let third = ((1_u128 << 64) / 3) as u64;
        let exact = RateBounds { shift: 0, min: third, max: third + 1 };
        assert_eq!(RateBounds::measured(0, (3, 3), (1, 1)), Some(exact));
        let quarter = RateBounds { shift: 0, min: 1 << 62, max: 1 << 62 };
        assert_eq!(RateBounds::measured(0, (4, 4), (1, 1)), Some(quarter), "nothing to round");
    }
}
