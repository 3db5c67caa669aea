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
//! It is made by default, with [`DEFAULT_MAX_WANDER_PPM`](crate::counter::DEFAULT_MAX_WANDER_PPM). That covers a quartz without temperature
//! control through 20 to 30 °C at the worst part of its curve; chrony's figures for servers are
//! around 0.1 ppm. It was chosen by measurement: among 75 simulated worlds (`examples/frontier`),
//! 15 was too little for own exchanges each 64 s where the rate swings by 14 ppm in 300 s (28 ppm
//! from one end to the other, which is more than 20 promises too), and 20 was enough. A live migration that no VMClock shows breaks it, because another quartz,
//! tens of ppm away, is then under the counter. `max_wander_ppm(None)` leaves it out.
//!
//! A3 is checked against the evidence: two means that exclude each other even with the
//! allowance refute it, and so does a sample that the learnt rate excludes and A2 does not
//! (see `estimator`). Then the allowance is doubled for as long as the process stays on this
//! machine, and what was learnt is forgotten.
//!
//! # What is kept
//!
//! Learning begins with the second sample. Of each second the narrowest sample is kept; the older
//! the samples are, the longer the stretches of which one is kept, up to a sixteenth of their age
//! (some 140 in all). With each new sample, its mean rates from
//! all that are kept are added to what they have shown. So a round costs some 140 divisions.
//!
//! Means over the last hour count, and what follows from them is used for another hour at least,
//! which makes two. A published bound ends then, even if `max_width` would allow more, so
//! readings become errors if no sample has come by then.

use std::collections::VecDeque;
use std::time::Duration;

use super::bound::Bound;
use crate::counter::RateBounds;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, checked_duration_nanos, duration_nanos};

/// The stretch of time that A3 is about.
pub(crate) const WINDOW: Duration = Duration::from_secs(2 * 3600);

/// Means over this long count, so that what they show can be used for as long again.
const MEMORY: Duration = Duration::from_secs(3600);

/// One sample is kept of each stretch of this part of its age, as a power of two.
const STRETCH_PER_AGE_SHIFT: u32 = 4;

/// Twice the allowance after each refutation, up to here. From twice A2 on it says nothing more.
const LARGEST_WANDER_PPM: u32 = 100_000;

/// The counter's rate as far as samples have shown it.
#[derive(Clone, Debug)]
pub(crate) struct RateEstimator {
    max_wander_ppm: u32,
    /// The oldest first.
    anchors: VecDeque<Anchor>,
}

/// A sample that later ones are compared with.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    bound: Bound,
    /// What the mean rates from here to all later samples allow, by A3.
    allowed: Option<RateBounds>,
    /// `allowed` rests on samples from this tick on.
    since: u64,
}

/// A3 is refuted: mean rates exclude each other, or what A2 allows.
///
/// (A mean beyond A2 is no such case. Its two samples exclude each other by A2 then, which is a
/// contradiction, and nothing is learnt from those.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refuted;

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

    /// Whether it rests on more than A2.
    pub(crate) fn is_learnt(&self) -> bool {
        self.until != u64::MAX
    }
}

impl RateEstimator {
    pub(crate) fn new(max_wander_ppm: u32) -> RateEstimator {
        RateEstimator { max_wander_ppm, anchors: VecDeque::new() }
    }

    /// The allowance of A3 in use, in parts per million.
    pub(crate) fn max_wander_ppm(&self) -> u32 {
        self.max_wander_ppm
    }

    /// Forgets all samples.
    pub(crate) fn forget(&mut self) {
        self.anchors.clear();
    }

    /// The evidence has refuted the allowance: forgets all samples, and doubles it.
    pub(crate) fn widen(&mut self) {
        self.forget();
        self.max_wander_ppm = self.max_wander_ppm.saturating_mul(2).min(LARGEST_WANDER_PPM);
    }

    /// Takes a sample's own bound into account.
    ///
    /// # Errors
    ///
    /// If the mean rates exclude each other.
    pub(crate) fn observe(
        &mut self,
        bound: &Bound,
        base: &RateBounds,
        granularity_ns: u64,
    ) -> Result<(), Refuted> {
        self.expire(bound.origin, base);
        for anchor in &mut self.anchors {
            let Some(mean) = mean(&anchor.bound, bound, base, granularity_ns) else { continue };
            anchor.allow(mean.with_drift(self.max_wander_ppm))?;
        }
        self.anchors.push_back(Anchor { bound: *bound, allowed: None, since: bound.origin });
        self.thin(bound.origin, base)
    }

    /// Keeps the narrowest sample of each stretch. What the others have shown of the rate is kept.
    fn thin(&mut self, tick: u64, base: &RateBounds) -> Result<(), Refuted> {
        let second = base.most_ticks(NANOS_PER_SECOND.unsigned_abs());
        let mut kept: VecDeque<Anchor> = VecDeque::with_capacity(self.anchors.len());
        for anchor in self.anchors.drain(..) {
            let age = tick.saturating_sub(anchor.bound.origin) >> STRETCH_PER_AGE_SHIFT;
            // Stretches are powers of two, so that each lies in one of the next size.
            let stretch = age.max(second).ilog2();
            match kept.back_mut() {
                Some(last) if last.bound.origin >> stretch == anchor.bound.origin >> stretch => {
                    last.absorb(&anchor)?;
                }
                _ => kept.push_back(anchor),
            }
        }
        self.anchors = kept;
        Ok(())
    }

    /// Drops what rests on samples that are too old at `tick`.
    pub(crate) fn expire(&mut self, tick: u64, base: &RateBounds) {
        let memory = least_ticks(MEMORY, base);
        self.anchors.retain(|anchor| anchor.since.saturating_add(memory) > tick);
    }

    /// The rates that A1, A2 (`base`) and A3 allow together.
    ///
    /// # Errors
    ///
    /// If they exclude each other.
    pub(crate) fn estimate(&self, base: &RateBounds) -> Result<RateEstimate, Refuted> {
        let window = least_ticks(WINDOW, base);
        let mut estimate = RateEstimate::unlimited(*base);
        // The newest first, because what they show may be used for longer.
        for anchor in self.anchors.iter().rev() {
            let Some(allowed) = anchor.allowed else { continue };
            let narrowed = estimate.rates.intersect(allowed).ok_or(Refuted)?;
            if narrowed != estimate.rates {
                let until = estimate.until.min(anchor.since.saturating_add(window));
                estimate = RateEstimate { rates: narrowed, until };
            }
        }
        Ok(estimate)
    }
}

impl Anchor {
    /// Adds what another mean rate allows.
    fn allow(&mut self, allowed: RateBounds) -> Result<(), Refuted> {
        self.allowed = Some(match self.allowed {
            Some(before) => before.intersect(allowed).ok_or(Refuted)?,
            None => allowed,
        });
        Ok(())
    }

    /// Takes the place of a later sample of the same stretch, and of itself.
    fn absorb(&mut self, later: &Anchor) -> Result<(), Refuted> {
        if let Some(allowed) = later.allowed {
            self.allow(allowed)?;
        }
        if later.bound.time.width() < self.bound.time.width() {
            self.bound = later.bound;
        }
        Ok(())
    }
}

/// The least ticks in which so much time can pass.
fn least_ticks(time: Duration, base: &RateBounds) -> u64 {
    let most_per_tick = base.max.max(1);
    let ticks =
        ((u128::from(duration_nanos(time)) << 64) / u128::from(most_per_tick)) >> base.shift;
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
        for at in [0, 10, 300, 1_000, 3_500] {
            rate.observe(&bound(at, 40, 1_000_000, 0), &base(), 10).unwrap();
            widths.push(width_ppm(&rate.estimate(&base()).unwrap()));
        }
        assert!((widths[0] - 200.0).abs() < 0.1, "{widths:?}");
        assert!(widths.windows(2).all(|w| w[1] < w[0]), "{widths:?}");
        assert!(widths[4] > 15.0 && widths[4] < 15.6, "{widths:?}");
    }

    #[test]
    fn what_is_learnt_ends_two_hours_after_the_oldest_sample_it_rests_on() {
        let mut rate = RateEstimator::new(15);
        for at in [100, 2_000] {
            rate.observe(&bound(at, 0, 1_000_000, 0), &base(), 10).unwrap();
        }
        let estimate = rate.estimate(&base()).unwrap();
        let until = estimate.until;
        assert!(until <= 7_300 * SECOND && until > 7_290 * SECOND, "{until}");
        // Samples of the last hour count, so that it can be used for another.
        rate.expire(3_690 * SECOND, &base());
        assert_eq!(rate.estimate(&base()), Ok(estimate));
        rate.expire(3_700 * SECOND, &base());
        assert_eq!(rate.estimate(&base()), Ok(RateEstimate::unlimited(base())));
    }

    #[test]
    fn learning_begins_with_the_second_sample() {
        // Good to 100 µs, as exchanges in one building are: 200 µs in 10 s are 20 ppm.
        let mut rate = RateEstimator::new(15);
        for at in [0, 1, 10] {
            rate.observe(&bound(at, 40, 100_000, 0), &base(), 10).unwrap();
        }
        let width = width_ppm(&rate.estimate(&base()).unwrap());
        assert!(width > 34.9 && width < 35.2, "{width}");
    }

    #[test]
    fn of_each_stretch_the_narrowest_sample_is_kept_and_stretches_grow_with_age() {
        let mut rate = RateEstimator::new(15);
        // In a memory of an hour, 140 stretches; each has one sample in a hundred that is narrow.
        for at in 0..7_200 {
            let error_ns = if at % 100 == 50 { 1_000 } else { 1_000_000 };
            rate.observe(&bound(at, 0, error_ns, 0), &base(), 10).unwrap();
            assert!(rate.anchors.len() <= 160, "{}", rate.anchors.len());
        }
        let age = |anchor: &Anchor| 7_200 - anchor.bound.origin / SECOND;
        let old: Vec<&Anchor> = rate.anchors.iter().filter(|anchor| age(anchor) > 1_650).collect();
        assert!((10..40).contains(&old.len()), "{}", old.len());
        let narrow = |anchor: &&&Anchor| anchor.bound.time.width() < Duration::from_micros(3);
        assert!(old.iter().filter(narrow).count() * 3 > old.len() * 2, "the narrow ones are kept");
        // The mean rate is known to 1 µs in some 3 000 s.
        let width = width_ppm(&rate.estimate(&base()).unwrap());
        assert!(width < 15.001, "{width}");
    }

    #[test]
    fn what_samples_have_shown_stays_when_others_take_their_places() {
        let mut rate = RateEstimator::new(15);
        rate.observe(&bound(0, 0, 1_000, 0), &base(), 10).unwrap();
        rate.observe(&bound(1_000, 0, 1_000, 0), &base(), 10).unwrap();
        let before = rate.estimate(&base()).unwrap();
        // Wide ones, until the one at 1000 s is in a stretch with others.
        for at in 1_001..1_200 {
            rate.observe(&bound(at, 0, 1_000_000, 0), &base(), 10).unwrap();
        }
        assert_eq!(rate.estimate(&base()).unwrap(), before);
    }

    #[test]
    fn what_rests_on_a_sample_ends_with_it_whatever_takes_its_place() {
        let mut rate = RateEstimator::new(15);
        // The first is compared with what follows, and is in one stretch with the second later.
        rate.observe(&bound(10_000, 0, 1_000, 0), &base(), 10).unwrap();
        rate.observe(&bound(10_001, 0, 900, 0), &base(), 10).unwrap();
        for at in (10_100..13_590).step_by(100) {
            rate.observe(&bound(at, 0, 1_000_000, 0), &base(), 10).unwrap();
        }
        assert!(
            rate.anchors[0].allowed.is_some() && rate.anchors[0].bound.origin > 10_000 * SECOND
        );
        rate.expire(13_599 * SECOND, &base());
        assert_eq!(rate.anchors[0].since, 10_000 * SECOND);
        rate.expire(13_600 * SECOND, &base());
        assert!(rate.anchors[0].since > 10_001 * SECOND, "{:?}", rate.anchors[0]);
    }

    #[test]
    fn a_rate_that_changed_by_more_than_the_allowance_is_noticed() {
        // 50 ppm for a thousand seconds, then -50: the means are 100 ppm apart.
        let mut rate = RateEstimator::new(15);
        for at in [0, 1_000] {
            rate.observe(&bound(at, 50, 100_000, 0), &base(), 10).unwrap();
        }
        assert!(rate.estimate(&base()).is_ok());
        let changed = bound(2_000, -50, 100_000, 100_000_000);
        let seen = rate.observe(&changed, &base(), 10);
        assert_eq!(seen.and_then(|()| rate.estimate(&base()).map(drop)), Err(Refuted));
        // From then on more is allowed.
        rate.widen();
        assert_eq!((rate.max_wander_ppm(), rate.anchors.len()), (30, 0));
    }

    #[test]
    fn a_rate_beyond_a2_is_excluded() {
        let mut rate = RateEstimator::new(15);
        rate.observe(&bound(0, 400, 100_000, 0), &base(), 10).unwrap();
        rate.observe(&bound(1_000, 400, 100_000, 0), &base(), 10).unwrap();
        assert_eq!(rate.estimate(&base()), Err(Refuted));
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
    fn wandering(max_wander_ppm: u32, ppm: i64) -> Result<RateEstimate, Refuted> {
        let mut rate = RateEstimator::new(max_wander_ppm);
        let (mut at, mut truth) = (0u64, 0i64);
        for now in [ppm, ppm, ppm, ppm + 10] {
            rate.observe(&bound(at, 0, 1_000, truth - (at * SECOND) as i64), &base(), 10)?;
            at += 500;
            truth += (500 * SECOND) as i64 + 500 * now * 1_000;
        }
        rate.estimate(&base())
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
                rate.observe(&Bound { origin: at * SECOND, time }, &base(), 10).unwrap();
            }
            let estimate = rate.estimate(&base()).unwrap();
            for now in [ppm, ppm + wander] {
                let nanos = (SECOND as i64 + now * 1_000) as u64;
                prop_assert!(estimate.rates.least_nanos(SECOND) <= nanos);
                prop_assert!(nanos <= estimate.rates.most_nanos(SECOND));
            }
        }
    }
}
