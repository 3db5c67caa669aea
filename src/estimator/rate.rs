//! [`RateEstimator`]: the counter's rate, learnt as an interval.
//!
//! Between two samples of a time daemon, a bound widens by the possible error of the
//! counter's rate: 200 ppm either way (assumption A2), 0.4 ms a second. A quartz may be off by
//! that much over its life and from -40 to 85 °C. But the rate of one quartz in one hour can
//! be known far better. Two samples a thousand seconds apart, each good to a millisecond,
//! show its mean rate to 2 ppm.
//!
//! The usual way is a least-squares line through the offsets, with a skew that measures the
//! fit (chrony), or a PLL. Both give a likely rate. Here each pair of samples gives an
//! *interval* that certainly contains the mean rate between them, if their bounds hold (A1):
//!
//! ```text
//!     (earliest₂ − latest₁) / ticks  ≤  mean rate  ≤  (latest₂ − earliest₁) / ticks
//! ```
//!
//! # The third assumption
//!
//! A mean over the past is not the rate of the next second, however much evidence there is.
//! The temperature may step, and a virtual machine may move to another host. So there is a
//! third assumption:
//!
//! > (A3) Within any two hours, the counter's rate stays within `max_wander_ppm`
//! > of each mean that it had over a part of them.
//!
//! 15 ppm cover a quartz without temperature control through 20 to 30 °C at the
//! worst part of its curve; chrony's figures for servers are around 0.1 ppm.
//!
//! It is **off unless chosen**. A1 and A2 rest on statements of a source and on the
//! specification of a part. A3 is about the future, and a common event breaks it that no clock
//! inside shows. A live migration puts another quartz under the counter, tens of ppm away.
//! Until the daemon's next update, up to 17 minutes later, readings would be wrong without a
//! sign of it. Choose A3 on hardware, on a virtual machine whose VMClock shows migrations, or if
//! they are announced and the clock is then built anew. Readings become up to ten times narrower.
//!
//! A3 is checked against the evidence. If two means exclude each other even with the
//! allowance, A3 (or A1) was broken. That is a contradiction, and the bound that was carried
//! by the learnt rate becomes its older side (see `estimator`).
//!
//! A learnt rate is used for two hours from the oldest sample that it rests on. A published
//! bound ends then, even if `max_width` would allow more, so readings become errors if no
//! sample has come by then.

use std::collections::VecDeque;
use std::time::Duration;

use super::bound::Bound;
use crate::counter::RateBounds;
use crate::timestamp::{Timestamp, checked_duration_nanos, duration_nanos};

/// The stretch of time that A3 is about.
pub(crate) const WINDOW: Duration = Duration::from_secs(2 * 3600);

/// Of each part of the window the narrowest sample is kept.
const SLOTS: u64 = 32;

/// The counter's rate as far as samples have shown it.
#[derive(Clone, Debug)]
pub(crate) struct RateEstimator {
    max_wander_ppm: u32,
    /// At most one a slot, oldest first.
    anchors: VecDeque<Bound>,
}

/// Two means exclude each other, or A2 excludes a mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Excluded;

/// Rates, and up to which tick they may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RateEstimate {
    pub(crate) rates: RateBounds,
    pub(crate) until: u64,
}

impl RateEstimate {
    /// A2 alone, which does not end.
    pub(crate) fn unlimited(rates: RateBounds) -> RateEstimate {
        RateEstimate { rates, until: u64::MAX }
    }
}

impl RateEstimator {
    pub(crate) fn new(max_wander_ppm: u32) -> RateEstimator {
        RateEstimator { max_wander_ppm, anchors: VecDeque::new() }
    }

    /// Forgets all samples.
    pub(crate) fn forget(&mut self) {
        self.anchors.clear();
    }

    /// Takes a sample's own bound into account. `true` if the estimate of the rate may have
    /// changed.
    pub(crate) fn observe(&mut self, bound: &Bound, base: &RateBounds) -> bool {
        let expired = self.expire(bound.origin, base);
        let slot = (window_ticks(base) / SLOTS).max(1);
        match self.anchors.back_mut() {
            Some(last) if last.origin / slot == bound.origin / slot => {
                let narrower = bound.time.width() < last.time.width();
                if narrower {
                    *last = *bound;
                }
                narrower || expired
            }
            _ => {
                self.anchors.push_back(*bound);
                true
            }
        }
    }

    /// Drops the samples that are too old at `tick`. `true` if there were any.
    pub(crate) fn expire(&mut self, tick: u64, base: &RateBounds) -> bool {
        let window = window_ticks(base);
        let before = self.anchors.len();
        self.anchors.retain(|anchor| anchor.origin.saturating_add(window) > tick);
        self.anchors.len() < before
    }

    /// The rates that A1, A2 (`base`) and A3 allow together.
    ///
    /// # Errors
    ///
    /// If they exclude each other.
    pub(crate) fn estimate(
        &self,
        base: &RateBounds,
        granularity_ns: u64,
    ) -> Result<RateEstimate, Excluded> {
        let mut rates = *base;
        let mut until = u64::MAX;
        let window = window_ticks(base);
        for (i, older) in self.anchors.iter().enumerate() {
            for newer in self.anchors.range(i + 1..) {
                let Some(mean) = mean(older, newer, base, granularity_ns) else { continue };
                let allowed = mean.with_drift(self.max_wander_ppm);
                let narrowed = rates.intersect(allowed).ok_or(Excluded)?;
                if narrowed != rates {
                    rates = narrowed;
                    until = until.min(older.origin.saturating_add(window));
                }
            }
        }
        Ok(RateEstimate { rates, until })
    }
}

/// The least ticks in which the window can pass.
fn window_ticks(base: &RateBounds) -> u64 {
    let most_per_tick = base.max.max(1);
    let ticks =
        ((u128::from(duration_nanos(WINDOW)) << 64) / u128::from(most_per_tick)) >> base.shift;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The mean rate between two bounds. `None` if they do not limit it.
///
/// At both bounds the counter shows its last step, so a step less or more may have passed.
fn mean(
    older: &Bound,
    newer: &Bound,
    base: &RateBounds,
    granularity_ns: u64,
) -> Option<RateBounds> {
    let step = base.most_ticks(granularity_ns);
    let shown = newer.origin.checked_sub(older.origin)?;
    let ticks = (shown.checked_sub(step)?, shown.checked_add(step)?);
    let span = |from: Timestamp, to: Timestamp| {
        to.duration_since(from).map_or(Some(0), checked_duration_nanos)
    };
    let least = span(older.time.latest(), newer.time.earliest())?;
    let most = span(older.time.earliest(), newer.time.latest())?;
    RateBounds::measured(base.shift, ticks, (least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::DEFAULT_MAX_DRIFT_PPM;
    use crate::interval::Interval;
    use crate::timestamp::NANOS_PER_SECOND;
    use proptest::prelude::*;

    const SECOND: u64 = NANOS_PER_SECOND as u64;

    fn base() -> RateBounds {
        RateBounds::NANOSECONDS.with_drift(DEFAULT_MAX_DRIFT_PPM)
    }

    /// A bound of ± `error_ns` at second `at` of a counter whose nanosecond is `ppm` too long.
    fn bound(at: u64, ppm: i64, error_ns: i64, off_ns: i64) -> Bound {
        let truth = (at * SECOND) as i64 + at as i64 * ppm * 1_000 + off_ns;
        let end = |by: i64| Timestamp::from_tai_nanos(truth + by);
        Bound { origin: at * SECOND, time: Interval::new(end(-error_ns), end(error_ns)).unwrap() }
    }

    fn width_ppm(estimate: &RateEstimate) -> f64 {
        estimate.rates.uncertainty_ppb() / 1_000.0
    }

    #[test]
    fn a_longer_baseline_shows_the_rate_better_down_to_the_allowance() {
        let mut rate = RateEstimator::new(15);
        let mut widths = Vec::new();
        for at in [0, 300, 1_000, 3_000, 7_000] {
            rate.observe(&bound(at, 40, 1_000_000, 0), &base());
            widths.push(width_ppm(&rate.estimate(&base(), 10).unwrap()));
        }
        assert!((widths[0] - 200.0).abs() < 0.1, "{widths:?}");
        assert!(widths.windows(2).all(|w| w[1] < w[0]), "{widths:?}");
        assert!(widths[4] > 15.0 && widths[4] < 15.5, "{widths:?}");
    }

    #[test]
    fn what_is_learnt_ends_two_hours_after_the_oldest_sample_it_rests_on() {
        let mut rate = RateEstimator::new(15);
        for at in [100, 2_000] {
            rate.observe(&bound(at, 0, 1_000_000, 0), &base());
        }
        let until = rate.estimate(&base(), 10).unwrap().until;
        assert!(until <= 7_300 * SECOND && until > 7_290 * SECOND, "{until}");
        assert!(rate.expire(until, &base()));
        assert_eq!(rate.estimate(&base(), 10), Ok(RateEstimate::unlimited(base())));
    }

    #[test]
    fn of_each_part_of_the_window_the_narrowest_sample_counts() {
        let mut rate = RateEstimator::new(1);
        rate.observe(&bound(10, 0, 1_000_000, 0), &base());
        assert!(rate.observe(&bound(20, 0, 1_000, 0), &base()));
        assert!(!rate.observe(&bound(30, 0, 2_000_000, 0), &base()));
        assert_eq!(rate.anchors.len(), 1);
        assert_eq!(rate.anchors[0].origin, 20 * SECOND);
    }

    #[test]
    fn a_rate_that_changed_by_more_than_the_allowance_is_noticed() {
        // 50 ppm for a thousand seconds, then -50: the means are 100 ppm apart.
        let mut rate = RateEstimator::new(15);
        for at in [0, 1_000] {
            rate.observe(&bound(at, 50, 100_000, 0), &base());
        }
        assert!(rate.estimate(&base(), 10).is_ok());
        rate.observe(&bound(2_000, -50, 100_000, 100_000_000), &base());
        assert_eq!(rate.estimate(&base(), 10), Err(Excluded));
    }

    #[test]
    fn a_rate_beyond_a2_is_excluded() {
        let mut rate = RateEstimator::new(15);
        for at in [0, 1_000] {
            rate.observe(&bound(at, 400, 100_000, 0), &base());
        }
        assert_eq!(rate.estimate(&base(), 10), Err(Excluded));
    }

    #[test]
    fn a_mean_rate_holds_what_the_counters_step_hides() {
        // A counter that steps by 10 ns shows 1 000 ticks whether 990 or 1 010 have passed.
        let at = |origin: u64, nanos: i64| {
            let time = Timestamp::from_tai_nanos(nanos).into();
            Bound { origin, time }
        };
        for passed in [990, 1_010] {
            let mean = mean(&at(5, 0), &at(1_005, passed), &base(), 10).expect("apart");
            assert!(mean.least_nanos(SECOND) <= SECOND, "{passed}: {mean:?}");
            assert!(mean.most_nanos(SECOND) >= SECOND, "{passed}: {mean:?}");
        }
    }

    /// Samples good to a microsecond each 500 s, of a rate that is `ppm` first and then 10 more.
    fn wandering(max_wander_ppm: u32, ppm: i64) -> Result<RateEstimate, Excluded> {
        let mut rate = RateEstimator::new(max_wander_ppm);
        let (mut at, mut truth) = (0u64, 0i64);
        for now in [ppm, ppm, ppm, ppm + 10] {
            rate.observe(&bound(at, 0, 1_000, truth - (at * SECOND) as i64), &base());
            at += 500;
            truth += (500 * SECOND) as i64 + 500 * now * 1_000;
        }
        rate.estimate(&base(), 10)
    }

    #[test]
    fn without_the_allowance_the_present_rate_is_missed() {
        let nanos = |ppm: i64| (SECOND as i64 + ppm * 1_000) as u64;
        // The last 500 s are not sampled yet: the rate is 50 by now, and 40 is known.
        let broken = wandering(1, 40).expect("its own means agree");
        assert!(broken.rates.most_nanos(SECOND) < nanos(50));
        let allowed = wandering(15, 40).expect("the means agree");
        assert!(allowed.rates.most_nanos(SECOND) >= nanos(50));
        assert!(allowed.rates.least_nanos(SECOND) <= nanos(40));
    }

    proptest! {
        #[test]
        fn the_true_rate_is_inside_whatever_the_errors_and_the_wander_are(
            samples in prop::collection::vec((60u64..400, -1_000_000i64..=1_000_000), 2..24),
            ppm in -180i64..180,
            wander in 0i64..=15,
        ) {
            // The rate swings between ppm and ppm + wander from sample to sample.
            let (mut rate, mut at, mut truth) = (RateEstimator::new(15), 0u64, 0i64);
            for (i, (gap, off)) in samples.into_iter().enumerate() {
                let now = ppm + if i % 2 == 0 { wander } else { 0 };
                at += gap;
                truth += (gap * SECOND) as i64 + gap as i64 * now * 1_000;
                let end = |by: i64| Timestamp::from_tai_nanos(truth + off + by);
                let time = Interval::new(end(-1_000_000), end(1_000_000)).unwrap();
                rate.observe(&Bound { origin: at * SECOND, time }, &base());
            }
            let estimate = rate.estimate(&base(), 10).unwrap();
            for now in [ppm, ppm + wander] {
                let nanos = (SECOND as i64 + now * 1_000) as u64;
                prop_assert!(estimate.rates.least_nanos(SECOND) <= nanos);
                prop_assert!(nanos <= estimate.rates.most_nanos(SECOND));
            }
        }
    }
}
