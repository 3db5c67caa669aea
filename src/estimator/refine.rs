//! [`Refiner`]: what is known by assumption A3 too.
//!
//! The estimator carries what is known by A2. Beside that, this carries the same by the rates
//! that are learnt (`rate`), which is narrower, and right if A3 holds. The two are apart so
//! that each assumption can be refuted by itself. A sample that excludes what A3 has made of the
//! evidence, and not what A2 has made of it, shows that the rate has changed by more than was
//! assumed. No source is wrong then, and what is known by A2 still holds.
//!
//! Rates that are a little better are not taken at once, because each change carries the bound to a
//! new origin, which rounds both ends outward.

use super::bound::Bound;
use super::rate::{RateEstimate, RateEstimator, Refuted, WINDOW};
use crate::counter::RateBounds;
use crate::timestamp::duration_nanos;

/// What is known by A3 too.
#[derive(Clone, Debug)]
pub(super) struct Refiner {
    learner: RateEstimator,
    refined: Option<Refined>,
    /// How often the evidence has refuted A3.
    refutations: u64,
}

/// A bound that is carried by learnt rates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refined {
    pub(super) bound: Bound,
    pub(super) estimate: RateEstimate,
}

/// How well the counter's rate is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Learning {
    /// A3 as it is used now, if it is: what was set, or more after refutations.
    pub(crate) wander_ppm: Option<u32>,
    /// How often the evidence has refuted A3.
    pub(crate) refutations: u64,
    /// By how much readings widen either way, in parts per billion.
    pub(crate) rate_error_ppb: f64,
}

impl Learning {
    /// By A2 alone.
    pub(crate) fn none(base: &RateBounds) -> Learning {
        Learning { wander_ppm: None, refutations: 0, rate_error_ppb: base.uncertainty_ppb() }
    }
}

impl Refiner {
    pub(super) fn new(max_wander_ppm: u32) -> Refiner {
        Refiner { learner: RateEstimator::new(max_wander_ppm), refined: None, refutations: 0 }
    }

    /// Learns of the rate from a sample's own bound when the counter shows `tick`. `fused` is what
    /// is known with it, by A2 (`base`).
    ///
    /// # Errors
    ///
    /// If A3 is refuted. All that was learnt is forgotten then, and the allowance is doubled.
    pub(super) fn observe(
        &mut self,
        sampled: &Bound,
        fused: &Bound,
        (base, granularity_ns): (&RateBounds, u64),
        tick: u64,
    ) -> Result<(), Refuted> {
        let unlearnt = Refined { bound: *fused, estimate: RateEstimate::unlimited(*base) };
        let Refined { bound, estimate } = self.refined_at(tick, base).unwrap_or(unlearnt);
        let agreed = Bound::aligned(&bound, fused, &estimate.rates)
            .and_then(|(a, b)| Some(Bound { origin: a.origin, time: a.time.intersect(&b.time)? }));
        let learnt = self
            .learner
            .observe(sampled, base, granularity_ns)
            .and_then(|()| self.learner.estimate(base));
        // What is used may rest on samples that are no longer kept.
        let is_in_use = |newer: &RateEstimate| newer.rates.intersect(estimate.rates).is_some();
        match (agreed, learnt) {
            (Some(bound), Ok(newer)) if is_in_use(&newer) => {
                self.refined = Some(Refined { bound, estimate }.improved(newer, tick));
                Ok(())
            }
            _ => {
                self.refutations += 1;
                self.refined = None;
                self.learner.widen();
                Err(Refuted)
            }
        }
    }

    /// What is known at `tick`. Learnt rates that are too old end here.
    pub(super) fn refined_at(&mut self, tick: u64, base: &RateBounds) -> Option<Refined> {
        let refined = self.refined.as_mut()?;
        let until = refined.estimate.until;
        if tick >= until {
            self.learner.expire(tick, base);
            let newer = self.learner.estimate(base).unwrap_or(RateEstimate::unlimited(*base));
            *refined = refined.carried_on_by(newer, until);
        }
        Some(*refined)
    }

    /// The counter's rate is within these bounds too. Learnt ones that exclude that are given up.
    pub(super) fn keep_within(&mut self, rates: RateBounds) {
        self.refined = self.refined.and_then(|Refined { bound, estimate }| {
            let rates = estimate.rates.intersect(rates)?;
            Some(Refined { bound, estimate: RateEstimate { rates, ..estimate } })
        });
    }

    /// Forgets all samples, and what they have shown.
    pub(super) fn forget(&mut self) {
        self.learner.forget();
        self.refined = None;
    }

    pub(super) fn learning(&self, base: &RateBounds) -> Learning {
        let rates = self.refined.map_or(*base, |refined| refined.estimate.rates);
        Learning {
            wander_ppm: Some(self.learner.max_wander_ppm()),
            refutations: self.refutations,
            rate_error_ppb: rates.uncertainty_ppb(),
        }
    }
}

impl Refined {
    /// Goes over to other rates at `tick`: up to there the old ones hold.
    fn carried_on_by(self, newer: RateEstimate, tick: u64) -> Refined {
        let Refined { bound, estimate } = self;
        let carried = bound.carried_to(tick.max(bound.origin), &estimate.rates);
        Refined { bound: carried.unwrap_or(bound), estimate: newer }
    }

    /// Goes over to these rates if that is worth it.
    fn improved(self, newer: RateEstimate, tick: u64) -> Refined {
        let width = |estimate: &RateEstimate| u128::from(estimate.rates.max - estimate.rates.min);
        let is_narrower = width(&newer) * 64 <= width(&self.estimate) * 63;
        // While samples come, readers for whom nobody publishes any more keep half an hour.
        let left = self.estimate.until.saturating_sub(tick);
        let ends_soon = left < self.estimate.rates.most_ticks(duration_nanos(WINDOW / 4));
        if is_narrower || ends_soon { self.carried_on_by(newer, tick) } else { self }
    }
}
