//! [`Estimator`]: samples in, one bound out.
//!
//! Most clocks average samples that disagree: with a filter, a vote or a least-squares
//! line. The result is near the truth most of the time, and does not show when it is not.
//! Here a sample has a bound, and bounds are *intersected*: if both hold, true time is in
//! their intersection, which is never wider than either.
//!
//! If two bounds have no moment in common, at least one of them is wrong, and the
//! estimator cannot know which. That is a **contradiction**. It is counted, and for
//! while the published bound covers both sides (their hull), because true time is in
//! one of them. When samples have agreed with the newer side for that long, the older
//! side is given up. That is 60 s, or several update intervals of the sources if these are
//! longer: a daemon that is wrong may notice it at one of its next updates.
//!
//! What a source stated before may be the wrong part of the newer side. So after a contradiction
//! the newer side is made of the *last* sample of each source, and not of all.
//!
//! A source may also be a *cross-check*: its bound is compared with what is known, and never
//! intersected with it. If the two exclude each other, one of them is wrong, so both are
//! published, for a minute after it last showed. Readings are then wider than the evidence
//! alone would make them, and right if either side is.
//!
//! An **epoch** ends when a reading may contradict an earlier one: after a
//! contradiction, a suspend, another counter. The clock may
//! then exclude a timestamp that was taken earlier, and callers who kept such timestamps
//! can compare epochs. Nothing else ends an epoch. A newer bound that exceeds the older one
//! by a rounding does not, because both hold and their intersection is published.
//!
//! If A3 is assumed, the rate is learnt too (see `rate`), and the lines diverge by less. What is
//! known by A1 and A2 alone is kept beside it. A sample that agrees with that, and not with
//! what the learnt rate has made of it, refutes A3, and no source. What was learnt is
//! then forgotten, the allowance is doubled, and an epoch ends, because readings may have
//! been wrong since the rate changed. While both sides of a contradiction are published, nothing is
//! learnt, because one of them is wrong.
//!
//! The estimator is a pure state machine over ticks.

pub(crate) mod bound;
pub(crate) mod rate;
mod refine;

use std::time::Duration;

use crate::counter::RateBounds;
use crate::evidence::Sample;
use crate::interval::Interval;
use crate::timestamp::duration_nanos;
use bound::Bound;
pub(crate) use rate::RateEstimate;
use rate::Refuted;
pub(crate) use refine::Learning;
use refine::{Refined, Refiner};

/// How long both sides of a contradiction are published at least after it last showed: long
/// enough for monitoring to see the status.
pub(crate) const SHORTEST_HOLD: Duration = Duration::from_secs(60);

/// They are published for so many update intervals of the sources, if that is longer. A chronyd
/// whose clock was stepped by another program needs several updates to find out.
pub(crate) const UPDATES_PER_HOLD: u32 = 16;

/// By how much a bound that was carried in two steps may exceed one carried in a single
/// step: each step rounds outward by less than a nanosecond.
const ROUNDING: Duration = Duration::from_nanos(2);

/// What became of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fused {
    /// It agrees with what was known, which may have become narrower.
    Agrees,
    /// It cannot be true together with what was known.
    Contradicts,
    /// Its ticks are 0, in the wrong order, or not reached yet: its source has a fault.
    Malformed,
    /// It is from before the host slept, or from before the counter was changed.
    Stale,
}

/// What is to be published: a bound, how it is carried on, and what it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Estimate {
    /// `None` without evidence.
    pub(crate) bound: Option<Bound>,
    pub(crate) rates: RateBounds,
    /// The rates are known for ticks before this only.
    pub(crate) until: u64,
    pub(crate) epoch: u32,
    /// The bound covers both sides of a contradiction.
    pub(crate) is_contradicted: bool,
}

/// The older side of a contradiction, until it is given up.
#[derive(Clone, Copy, Debug)]
struct ConflictingBound {
    bound: Bound,
    until: u64,
}

/// What is known at this moment, and how it came to be known.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    /// What A2 allows.
    base: RateBounds,
    /// What is known beyond that, if A3 is assumed.
    refiner: Option<Refiner>,
    granularity_ns: u64,
    max_width: Duration,
    /// Nothing that was counted before this tick can be carried on.
    valid_from: u64,
    /// What is known by A1 and A2.
    fused: Option<Bound>,
    conflicting: Option<ConflictingBound>,
    /// What cross-checks state against what is known, while it is published with it.
    disputing: Option<ConflictingBound>,
    /// How long both sides of a contradiction are published.
    hold: Duration,
    /// The last bound of each source since the contradiction.
    last_of_each: Vec<Option<Bound>>,
    contradictions: u64,
    /// What readers were shown last and could read.
    published: Option<Published>,
    epoch: u32,
}

/// A bound that readers were shown, and the rates that they carry it on by.
#[derive(Clone, Copy, Debug)]
struct Published {
    bound: Bound,
    estimate: RateEstimate,
    is_contradicted: bool,
}

impl Estimator {
    pub(crate) fn new(base: RateBounds, granularity_ns: u64, max_width: Duration) -> Estimator {
        Estimator {
            base,
            refiner: None,
            granularity_ns,
            max_width,
            valid_from: 0,
            fused: None,
            conflicting: None,
            disputing: None,
            hold: SHORTEST_HOLD,
            last_of_each: Vec::new(),
            contradictions: 0,
            published: None,
            epoch: 0,
        }
    }

    /// Assumes A3 too: learns the rate, which wanders by no more than `max_wander_ppm`.
    pub(crate) fn learning_rate(mut self, max_wander_ppm: Option<u32>) -> Estimator {
        self.learn_anew(max_wander_ppm);
        self
    }

    /// Begins to learn anew, because another oscillator may be under the counter.
    pub(crate) fn learn_anew(&mut self, max_wander_ppm: Option<u32>) {
        self.refiner = max_wander_ppm.map(Refiner::new);
    }

    /// Continues from what another estimator published on the same counter, to be carried on by
    /// `shown`: its rates may have been learnt, and are lost with it.
    pub(crate) fn resume(&mut self, bound: Option<Bound>, shown: RateEstimate, epoch: u32) {
        self.epoch = epoch;
        self.fused = bound;
        self.published =
            bound.map(|bound| Published { bound, estimate: shown, is_contradicted: false });
    }

    /// Continues after an estimator on another counter: its epoch is over.
    pub(crate) fn resume_after(&mut self, epoch: u32) {
        self.epoch = epoch.wrapping_add(1);
    }

    /// From now on contradictions are published for several times this update interval of the
    /// sources, if that is longer than a minute.
    pub(crate) fn set_update_interval(&mut self, interval: Option<Duration>) {
        let updates = interval.unwrap_or_default().saturating_mul(UPDATES_PER_HOLD);
        self.hold = updates.max(SHORTEST_HOLD);
    }

    /// Combines a sample of the source with this number with what is known when the counter
    /// shows `tick`.
    ///
    /// `stated` is the part of the sample's time that its author states. The rest covers what the
    /// author may not know of (a step by another program).
    pub(crate) fn fuse(
        &mut self,
        source: usize,
        sample: &Sample,
        stated: Interval,
        tick: u64,
    ) -> Fused {
        let new = match self.admit(sample, tick) {
            Ok(new) => new,
            Err(refused) => return refused,
        };
        let sampled = new;
        let stated = Sample { time: stated, ..*sample };
        let Some(stated) = Bound::from_sample(&stated, &self.base, self.granularity_ns) else {
            return Fused::Malformed;
        };
        // Its author may still not know of the step, however long its update intervals became.
        if stated.time != sampled.time {
            self.hold_conflicting(new.origin);
        }
        self.give_up_conflicting(new.origin);
        let Some(old) = self.fused else {
            self.fused = Some(new);
            self.refine(&sampled, tick);
            return Fused::Agrees;
        };
        let Some((old, new)) = Bound::aligned(&old, &new, &self.base) else {
            return Fused::Malformed;
        };
        let Some((_, only_stated)) = Bound::aligned(&old, &stated, &self.base) else {
            return Fused::Malformed;
        };
        // If what is known excludes the statement, its author overlooks a step, or what is known
        // is wrong (a virtual machine that was stopped). Both sides are published then.
        let is_possible = only_stated.time.intersect(&old.time).is_some();
        let known = match self.conflicting {
            None => old.time.intersect(&new.time).filter(|_| is_possible),
            Some(_) => self.newer_side(source, only_stated),
        };
        if let Some(time) = known {
            self.fused = Some(Bound { origin: new.origin, time });
            self.refine(&sampled, tick);
            return Fused::Agrees;
        }
        self.contradict(old, stated);
        self.remember(source, stated);
        Fused::Contradicts
    }

    /// The bound of a sample, if its ticks may be carried on when the counter shows `tick`.
    fn admit(&self, sample: &Sample, tick: u64) -> Result<Bound, Fused> {
        // A counter that cannot be read shows 0, and a bound that starts in the future
        // would turn every reading until then into an error.
        if sample.before == 0 || sample.after > tick {
            return Err(Fused::Malformed);
        }
        if sample.before < self.valid_from {
            return Err(Fused::Stale);
        }
        Bound::from_sample(sample, &self.base, self.granularity_ns).ok_or(Fused::Malformed)
    }

    /// Holds the sample of a cross-check against what is known when the counter shows `tick`.
    ///
    /// It never narrows what is known. If it excludes that, one of the two is wrong, and both sides
    /// are published for a minute after it last did.
    pub(crate) fn cross_check(&mut self, sample: &Sample, tick: u64) -> Fused {
        let new = match self.admit(sample, tick) {
            Ok(new) => new,
            Err(refused) => return refused,
        };
        self.give_up_conflicting(new.origin);
        let older_side = self.conflicting.map(|other| other.bound);
        // Readers are shown what is known by A3 too, so that is what it has to agree with.
        let refined = self.refined(tick);
        let rates = refined.map_or(self.base, |refined| refined.estimate.rates);
        let newer_side = refined.map(|refined| refined.bound).or(self.fused);
        let mut known = newer_side.iter().chain(&older_side).peekable();
        let agrees = |known: &Bound| {
            let both = Bound::aligned(known, &new, &rates);
            both.is_none_or(|(known, new)| known.time.intersect(&new.time).is_some())
        };
        if known.peek().is_none() || known.any(agrees) {
            return Fused::Agrees;
        }
        self.contradictions += 1;
        let until = self.hold_until(new.origin, SHORTEST_HOLD);
        let bound = self.disputing.map_or(new, |other| self.hull(other.bound, new));
        self.disputing = Some(ConflictingBound { bound, until });
        Fused::Contradicts
    }

    /// What the last samples of all sources since the contradiction have in common, with
    /// `new` as the last of this one.
    fn newer_side(&mut self, source: usize, new: Bound) -> Option<Interval> {
        self.remember(source, new);
        let rates = self.base;
        let mut last = self.last_of_each.iter().flatten();
        last.try_fold(new.time, |time, bound| {
            bound.carried_to(new.origin.max(bound.origin), &rates)?.time.intersect(&time)
        })
    }

    fn remember(&mut self, source: usize, bound: Bound) {
        if self.last_of_each.len() <= source {
            self.last_of_each.resize(source + 1, None);
        }
        self.last_of_each[source] = Some(bound);
    }

    /// `new` contradicts `old`, and with it all that was learnt.
    fn contradict(&mut self, old: Bound, new: Bound) {
        self.contradictions += 1;
        let older_side = self.conflicting.map_or(old, |other| self.hull(other.bound, old));
        let until = self.hold_until(new.origin, self.hold);
        self.last_of_each.clear();
        self.conflicting = Some(ConflictingBound { bound: older_side, until });
        self.fused = Some(new);
        self.unlearn();
    }

    /// The tick by which at least so much time has passed since `tick`.
    fn hold_until(&self, tick: u64, hold: Duration) -> u64 {
        tick.saturating_add(self.base.most_ticks(duration_nanos(hold)))
    }

    /// Learns of the rate from a sample's own bound.
    fn refine(&mut self, sampled: &Bound, tick: u64) {
        // One of the two sides is wrong, and nobody knows how long it has been.
        if self.conflicting.is_some() {
            return;
        }
        let (Some(refiner), Some(fused)) = (&mut self.refiner, &self.fused) else { return };
        let rates = (&self.base, self.granularity_ns);
        if refiner.observe(sampled, fused, rates, tick) == Err(Refuted) {
            // Readings may have been wrong since the rate changed.
            let shown = self.published.take();
            if shown.is_some_and(|shown| shown.estimate.is_learnt()) {
                self.epoch = self.epoch.wrapping_add(1);
            }
        }
    }

    fn unlearn(&mut self) {
        if let Some(refiner) = &mut self.refiner {
            refiner.forget();
        }
    }

    /// What is known by A3 too, and the rates that carry it.
    fn refined(&mut self, tick: u64) -> Option<Refined> {
        self.refiner.as_mut()?.refined_at(tick, &self.base)
    }

    /// How well the rate is known.
    pub(crate) fn learning(&self) -> Learning {
        match &self.refiner {
            Some(refiner) => refiner.learning(&self.base),
            None => Learning::none(&self.base),
        }
    }

    /// Forgets everything that was known before `tick`, and refuses samples from before it.
    pub(crate) fn forget(&mut self, tick: u64) {
        self.valid_from = tick;
        if self.fused.take().is_some() {
            self.epoch = self.epoch.wrapping_add(1);
        }
        self.conflicting = None;
        self.disputing = None;
        self.last_of_each.clear();
        self.published = None;
        self.unlearn();
    }

    /// What is known, as it is to be published when the counter shows `tick`.
    pub(crate) fn publish(&mut self, tick: u64) -> Estimate {
        let known = match (self.fused, self.conflicting) {
            (Some(fused), Some(other)) => Some(self.hull(fused, other.bound)),
            (fused, _) => fused,
        };
        let known = match (known, self.disputing) {
            (Some(known), Some(check)) => Some(self.hull(known, check.bound)),
            (known, _) => known,
        };
        // Published as of now: its age then shows whether anything still publishes.
        let known = known.and_then(|bound| bound.carried_to(tick.max(bound.origin), &self.base));
        let refined = if self.is_contradicted() { None } else { self.refined(tick) };
        let by_wander = refined.and_then(|Refined { bound, estimate }| {
            let bound = bound.carried_to(tick.max(bound.origin), &estimate.rates)?;
            Some((bound, estimate))
        });
        let (known, estimate) = match by_wander {
            Some((bound, estimate)) => (Some(bound), estimate),
            None => (known, RateEstimate::unlimited(self.base)),
        };
        let bound = known.map(|bound| self.within_published(bound));
        if let Some(bound) = bound.filter(|bound| self.is_readable(bound)) {
            // Snapshots that cannot be read promise nothing: the next one is compared
            // with the last readable one.
            let is_contradicted = self.is_contradicted();
            self.published = Some(Published { bound, estimate, is_contradicted });
        }
        Estimate {
            bound,
            rates: estimate.rates,
            until: estimate.until,
            epoch: self.epoch,
            is_contradicted: bound.is_some() && self.is_contradicted(),
        }
    }

    fn is_contradicted(&self) -> bool {
        self.conflicting.is_some() || self.disputing.is_some()
    }

    /// `bound` as far as it agrees with what readers were shown last
    /// ([rule 7](crate::_design#rule-7)).
    ///
    /// It may lie partly outside. If a contradiction is the cause, a new epoch begins. If
    /// rounding is the cause, both bounds hold, and so does their intersection.
    fn within_published(&mut self, bound: Bound) -> Bound {
        let Some(published) = self.published else { return bound };
        let Some(shown) = self.carried_as_shown(&published, bound.origin) else { return bound };
        let agreed = shown.time.intersect(&bound.time);
        let is_disputed = self.is_contradicted() || published.is_contradicted;
        let is_rounding = shown.time.widen(ROUNDING).intersect(&bound.time) == Some(bound.time);
        match agreed {
            Some(time) if is_rounding || !is_disputed => Bound { time, ..bound },
            _ => {
                self.epoch = self.epoch.wrapping_add(1);
                // In the new epoch nothing was shown yet. If `bound` cannot be read, it promises
                // nothing either, and the next one begins no further epoch.
                self.published = None;
                bound
            }
        }
    }

    /// What was published, at a later tick: by its own rates for as long as these were
    /// known, and by A2 from there.
    fn carried_as_shown(&self, published: &Published, tick: u64) -> Option<Bound> {
        let Published { bound, estimate, .. } = published;
        let end_of_estimate = estimate.until.clamp(bound.origin, tick.max(bound.origin));
        bound.carried_to(end_of_estimate, &estimate.rates)?.carried_to(tick, &self.base)
    }

    /// Whether a reader gets an interval out of it, at least at its origin.
    fn is_readable(&self, bound: &Bound) -> bool {
        bound.is_finite() && bound.time.width().saturating_add(ROUNDING) < self.max_width
    }

    /// Learns the counter's rate better. What is known was carried by the old rates, which
    /// held too, so only `rates` that lie inside them may follow.
    pub(crate) fn set_rates(&mut self, rates: RateBounds) {
        if rates == self.base {
            return;
        }
        self.base = rates;
        if let Some(refiner) = &mut self.refiner {
            refiner.keep_within(rates);
        }
    }

    /// Goes over to narrower rates at `tick`, because the counter keeps to them from now on.
    ///
    /// Up to there it may not have, so what is known is carried there by the old ones.
    pub(crate) fn narrow_rates(&mut self, tick: u64, rates: RateBounds) {
        let old = std::mem::replace(&mut self.base, rates);
        let carried =
            |bound: Bound| bound.carried_to(tick.max(bound.origin), &old).unwrap_or(bound);
        self.fused = self.fused.map(carried);
        for other in [&mut self.conflicting, &mut self.disputing].into_iter().flatten() {
            other.bound = carried(other.bound);
        }
        for last in &mut self.last_of_each {
            *last = last.map(carried);
        }
        // What is learnt holds by A3, whatever A2 allows. The next sample narrows it by these too.
    }

    /// Forgets everything that was known before `tick`, because it was carried by rates that
    /// turned out too narrow, and goes on with wider ones.
    pub(crate) fn widen_rates(&mut self, tick: u64, rates: RateBounds, granularity_ns: u64) {
        self.base = rates;
        self.granularity_ns = granularity_ns;
        self.forget(tick);
    }

    /// Goes over to another counter, which showed `to` while the old one went
    /// from `from.0` to `from.1`.
    pub(crate) fn change_counter(
        &mut self,
        from: (u64, u64),
        to: u64,
        rates: RateBounds,
        granularity_ns: u64,
    ) {
        let old_rates = self.base;
        let slack = Duration::from_nanos(granularity_ns);
        let convert = |bound: Bound| {
            // At some tick of the old counter's range the new one showed `to`:
            // the ends are taken where each of them is furthest out.
            let earliest = bound.carried_to(from.0.max(bound.origin), &old_rates)?.time.earliest();
            let latest = bound.carried_to(from.1.max(bound.origin), &old_rates)?.time.latest();
            // If the bound is newer than the comparison, it cannot be carried back.
            let known = bound.origin <= from.0;
            let time = Interval::new(earliest, latest).filter(|_| known)?.widen(slack);
            Some(Bound { origin: to, time })
        };
        self.fused = self.fused.and_then(convert);
        // Ticks of the old counter mean nothing now, so the hold begins again.
        let until = to.saturating_add(rates.most_ticks(duration_nanos(self.hold)));
        for other in [&mut self.conflicting, &mut self.disputing] {
            let bound = other.and_then(|other| convert(other.bound));
            *other = bound.map(|bound| ConflictingBound { bound, until });
        }
        self.last_of_each.clear();
        self.base = rates;
        self.granularity_ns = granularity_ns;
        self.valid_from = to;
        self.published = None;
        // Since the last comparison that went well, readings may have been wrong.
        self.epoch = self.epoch.wrapping_add(1);
        self.unlearn();
    }

    /// How many samples could not be true together with what was known.
    pub(crate) fn contradictions(&self) -> u64 {
        self.contradictions
    }

    /// Whether there is anything to publish.
    pub(crate) fn has_evidence(&self) -> bool {
        self.fused.is_some()
    }

    /// Keeps the older side for a minute more.
    fn hold_conflicting(&mut self, tick: u64) {
        let until = self.hold_until(tick, SHORTEST_HOLD);
        if let Some(other) = &mut self.conflicting {
            other.until = other.until.max(until);
        }
    }

    /// Gives up the older side if it has been held for long enough. This is decided at a sample,
    /// because a source that has fallen silent no longer speaks for the newer side.
    fn give_up_conflicting(&mut self, tick: u64) {
        for other in [&mut self.conflicting, &mut self.disputing] {
            *other = other.filter(|other| tick < other.until);
        }
    }

    /// Both bounds' times at the later of their origins, and everything in between.
    fn hull(&self, a: Bound, b: Bound) -> Bound {
        match Bound::aligned(&a, &b, &self.base) {
            Some((a, b)) => Bound { origin: a.origin, time: a.time.hull(&b.time) },
            None => Bound { origin: a.origin.max(b.origin), time: Interval::EVERYTHING },
        }
    }
}

#[cfg(test)]
mod tests;
