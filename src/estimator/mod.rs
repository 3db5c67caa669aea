//! [`Estimator`]: samples in, one bound out.
//!
//! Averaging is what clocks do with samples that disagree: a filter, a vote, a
//! least-squares line. The result is near the truth most of the time, and says
//! nothing about when it is not. Here a sample is a statement with a bound, and
//! statements are not averaged but *intersected*: what is true of both is in their
//! intersection, and that is never wider than either.
//!
//! If two statements have no moment in common, at least one of them is false, and the
//! estimator cannot know which. That is a **contradiction**. It is counted, and for
//! [`HOLD`] the published bound covers both sides (their hull), because the truth is in
//! one of them. When the newer side has stood unopposed for that long the older one is
//! given up.
//!
//! An **epoch** ends when a reading may contradict an earlier one: after a
//! contradiction, a suspend, another counter. A timestamp that was taken earlier may
//! then be one that this clock would now call impossible, and callers who kept such
//! timestamps want to know. Nothing else ends an epoch. In particular a newer bound
//! that exceeds the older one by a rounding does not: both hold, so their intersection
//! is published.
//!
//! If A3 is assumed, the rate is learnt too (see `rate`), and the lines diverge by less.
//! When the rate turns out to have changed by more than that allows, what was carried by
//! it is the older side of a contradiction. The newest sample does not depend on the
//! learnt rate, so it is the newer side.
//!
//! The estimator is a pure state machine over ticks.

pub(crate) mod bound;
mod rate;

use std::time::Duration;

use crate::counter::RateBounds;
use crate::evidence::Sample;
use crate::interval::Interval;
use bound::Bound;
use rate::{RateEstimate, RateEstimator};

/// How long both sides of a contradiction are published after it last showed.
///
/// Long enough for monitoring to see the status, and for a time daemon that
/// was itself deceived to notice within its own poll interval (16 s to 64 s).
pub(crate) const HOLD: Duration = Duration::from_secs(60);

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
    /// What has been learnt beyond that, if A3 is assumed.
    learner: Option<RateEstimator>,
    /// The rates in use: `base`, or narrower.
    estimate: RateEstimate,
    granularity_ns: u64,
    max_width: Duration,
    /// Nothing that was counted before this tick can be carried on.
    valid_from: u64,
    fused: Option<Bound>,
    conflicting: Option<ConflictingBound>,
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
            learner: None,
            estimate: RateEstimate::unlimited(base),
            granularity_ns,
            max_width,
            valid_from: 0,
            fused: None,
            conflicting: None,
            contradictions: 0,
            published: None,
            epoch: 0,
        }
    }

    /// Assumes A3 too: learns the rate, which wanders by no more than `max_wander_ppm`.
    pub(crate) fn learning_rate(mut self, max_wander_ppm: Option<u32>) -> Estimator {
        self.learner = max_wander_ppm.map(RateEstimator::new);
        self
    }

    /// Continues what another estimator has published on the same counter.
    pub(crate) fn resume(&mut self, bound: Option<Bound>, epoch: u32) {
        self.epoch = epoch;
        self.fused = bound;
        let estimate = self.estimate;
        self.published = bound.map(|bound| Published { bound, estimate, is_contradicted: false });
    }

    /// Continues after an estimator on another counter: its epoch is over.
    pub(crate) fn resume_after(&mut self, epoch: u32) {
        self.epoch = epoch.wrapping_add(1);
    }

    /// Combines a sample with what is known when the counter shows `tick`.
    pub(crate) fn fuse(&mut self, sample: &Sample, tick: u64) -> Fused {
        // A counter that cannot be read shows 0, and a bound that starts in the future
        // would turn every reading until then into an error.
        if sample.before == 0 || sample.after > tick {
            return Fused::Malformed;
        }
        if sample.before < self.valid_from {
            return Fused::Stale;
        }
        let Some(new) = Bound::from_sample(sample, &self.base, self.granularity_ns) else {
            return Fused::Malformed;
        };
        self.end_estimate(tick);
        self.give_up_conflicting(new.origin);
        let sampled = new;
        let Some(old) = self.fused else {
            self.fused = Some(new);
            self.learn(&sampled, tick);
            return Fused::Agrees;
        };
        let Some((old, new)) = Bound::aligned(&old, &new, &self.estimate.rates) else {
            return Fused::Malformed;
        };
        if let Some(time) = old.time.intersect(&new.time) {
            self.fused = Some(Bound { origin: new.origin, time });
            if self.learn(&sampled, tick) {
                return Fused::Agrees;
            }
        }
        self.contradict(old, sampled);
        Fused::Contradicts
    }

    /// `new` contradicts `old`, and with it all that was learnt.
    fn contradict(&mut self, old: Bound, new: Bound) {
        self.contradictions += 1;
        let older_side = self.conflicting.map_or(old, |other| self.hull(other.bound, old));
        let until = new.origin.saturating_add(self.base.most_ticks(HOLD.as_nanos() as u64));
        self.conflicting = Some(ConflictingBound { bound: older_side, until });
        self.fused = Some(new);
        self.unlearn();
    }

    /// Takes a sample's own bound as evidence of the rate. `false` if that shows
    /// that the rate has changed by more than A3 allows.
    fn learn(&mut self, sampled: &Bound, tick: u64) -> bool {
        let Some(learner) = &mut self.learner else { return true };
        if !learner.observe(sampled, &self.base) {
            return true;
        }
        match learner.estimate(&self.base, self.granularity_ns) {
            Ok(estimate) => {
                self.change_estimate(estimate, tick);
                true
            }
            Err(_) => false,
        }
    }

    fn unlearn(&mut self) {
        if let Some(learner) = &mut self.learner {
            learner.forget();
        }
        self.estimate = RateEstimate::unlimited(self.base);
    }

    /// Goes over to other rates at `tick`: up to there the old ones hold.
    fn change_estimate(&mut self, estimate: RateEstimate, tick: u64) {
        let old = std::mem::replace(&mut self.estimate, estimate).rates;
        if old == estimate.rates {
            return;
        }
        let carried =
            |bound: Bound| bound.carried_to(tick.max(bound.origin), &old).unwrap_or(bound);
        self.fused = self.fused.map(carried);
        self.conflicting =
            self.conflicting.map(|other| ConflictingBound { bound: carried(other.bound), ..other });
    }

    /// What was learnt is no longer known when the window has passed over it.
    fn end_estimate(&mut self, tick: u64) {
        if tick < self.estimate.until {
            return;
        }
        let until = self.estimate.until;
        let Some(learner) = &mut self.learner else { return };
        learner.expire(tick, &self.base);
        let estimate = learner.estimate(&self.base, self.granularity_ns);
        self.change_estimate(estimate.unwrap_or(RateEstimate::unlimited(self.base)), until);
    }

    /// Forgets everything that was known before `tick`, and refuses what comes from before it.
    pub(crate) fn forget(&mut self, tick: u64) {
        self.valid_from = tick;
        if self.fused.take().is_some() {
            self.epoch = self.epoch.wrapping_add(1);
        }
        self.conflicting = None;
        self.published = None;
        self.unlearn();
    }

    /// What is known, as it is to be published when the counter shows `tick`.
    pub(crate) fn publish(&mut self, tick: u64) -> Estimate {
        self.end_estimate(tick);
        self.give_up_conflicting(tick);
        let known = match (self.fused, self.conflicting) {
            (Some(fused), Some(other)) => Some(self.hull(fused, other.bound)),
            (fused, _) => fused,
        };
        let bound = known.map(|bound| self.within_published(bound));
        if let Some(bound) = bound.filter(|bound| self.is_readable(bound)) {
            // Snapshots that cannot be read promise nothing: the next one is compared
            // with the last readable one.
            let is_contradicted = self.conflicting.is_some();
            self.published = Some(Published { bound, estimate: self.estimate, is_contradicted });
        }
        Estimate {
            bound,
            rates: self.estimate.rates,
            until: self.estimate.until,
            epoch: self.epoch,
            is_contradicted: bound.is_some() && self.conflicting.is_some(),
        }
    }

    /// `bound` as far as it agrees with what readers were shown last (design, rule 7).
    ///
    /// If it does not lie inside that, a contradiction is the cause, and a new epoch
    /// begins; or a rounding is, and then both hold and their intersection does.
    fn within_published(&mut self, bound: Bound) -> Bound {
        let Some(published) = self.published else { return bound };
        let Some(shown) = self.carried_as_shown(&published, bound.origin) else { return bound };
        let agreed = shown.time.intersect(&bound.time);
        let is_disputed = self.conflicting.is_some() || published.is_contradicted;
        let is_rounding = shown.time.widen(ROUNDING).intersect(&bound.time) == Some(bound.time);
        match agreed {
            Some(time) if is_rounding || !is_disputed => Bound { time, ..bound },
            _ => {
                self.epoch = self.epoch.wrapping_add(1);
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
        bound.is_finite()
            && bound.time.width().saturating_add(ROUNDING) < self.max_width
            && self.estimate.until > bound.origin
    }

    /// Learns the counter's rate better. What is known was carried by the old rates, which
    /// held too, so only `rates` that lie inside them may follow.
    pub(crate) fn set_rates(&mut self, rates: RateBounds) {
        if rates == self.base {
            return;
        }
        self.base = rates;
        match self.estimate.rates.intersect(rates) {
            Some(narrower) if self.learner.is_some() => self.estimate.rates = narrower,
            _ => self.unlearn(),
        }
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
        let old_rates = self.estimate.rates;
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
        let until = to.saturating_add(rates.most_ticks(HOLD.as_nanos() as u64));
        let other = self.conflicting.and_then(|other| convert(other.bound));
        self.conflicting = other.map(|bound| ConflictingBound { bound, until });
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

    fn give_up_conflicting(&mut self, tick: u64) {
        self.conflicting = self.conflicting.filter(|other| tick < other.until);
    }

    /// Both bounds' times at the later of their origins, and everything in between.
    fn hull(&self, a: Bound, b: Bound) -> Bound {
        match Bound::aligned(&a, &b, &self.estimate.rates) {
            Some((a, b)) => Bound { origin: a.origin, time: a.time.hull(&b.time) },
            None => Bound { origin: a.origin.max(b.origin), time: Interval::EVERYTHING },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn span(a: i64, b: i64) -> Interval {
        let at = Timestamp::from_tai_nanos;
        Interval::new(at(a), at(b)).expect("written in order")
    }

    /// An estimator over a counter of nanoseconds that may drift by 200 ppm.
    fn estimator() -> Estimator {
        Estimator::new(RateBounds::NANOSECONDS.with_drift(200), 1, Duration::from_secs(10))
    }

    /// A sample taken at `tick`, while true time is tick, within `below` and `above`.
    fn sample(tick: u64, below: i64, above: i64) -> Sample {
        Sample::new(tick, tick, span(tick as i64 - below, tick as i64 + above))
    }

    /// Where true time is at `tick` by what was published.
    fn interval_at(shown: &Estimate, tick: u64) -> Option<Interval> {
        Some(shown.bound?.carried_to(tick, &shown.rates)?.time)
    }

    fn read(estimator: &mut Estimator, tick: u64) -> Interval {
        interval_at(&estimator.publish(tick), tick).expect("there is a bound")
    }

    #[test]
    fn evidence_only_narrows() {
        let mut e = estimator();
        assert_eq!(e.fuse(&sample(1, 1000, 1000), 1), Fused::Agrees);
        let first = read(&mut e, 1);
        assert_eq!(e.fuse(&sample(1, 10, 5000), 1), Fused::Agrees);
        let second = read(&mut e, 1);
        assert_eq!(first.hull(&second), first);
        assert!(second.width() < Duration::from_nanos(1020), "{second:?}");
        // A wide sample adds nothing, and takes nothing away.
        assert_eq!(e.fuse(&sample(1, 1 << 40, 1 << 40), 1), Fused::Agrees);
        assert_eq!(read(&mut e, 1), second);
    }

    #[test]
    fn the_lines_diverge_by_the_drift() {
        let mut e = estimator();
        e.fuse(&sample(1, 0, 0), 1);
        let after_a_second = read(&mut e, SECOND + 1);
        let width = after_a_second.width().as_nanos();
        assert!((400_040..400_050).contains(&width), "{width} ns");
    }

    #[test]
    fn a_contradiction_covers_both_sides_and_begins_an_epoch() {
        let mut e = estimator();
        e.fuse(&sample(1, 100, 100), 1);
        e.publish(1);
        let lie = Sample::new(10, 10, span(5_000, 5_200));
        assert_eq!(e.fuse(&lie, 10), Fused::Contradicts);
        let shown = e.publish(10);
        let now = interval_at(&shown, 10).expect("readable");
        assert!(now.contains(Timestamp::from_tai_nanos(10)), "the older side: {now:?}");
        assert!(now.contains(Timestamp::from_tai_nanos(5_100)), "the newer side: {now:?}");
        assert_eq!((shown.is_contradicted, shown.epoch), (true, 1));
        assert_eq!(e.contradictions(), 1);
    }

    #[test]
    fn the_older_side_is_given_up_when_the_newer_has_stood_for_the_hold() {
        let mut e = estimator();
        e.fuse(&sample(1, 100, 100), 1);
        e.publish(1);
        let offset = 50_000_000;
        let newer = |tick: u64| {
            Sample::new(tick, tick, span(tick as i64 + offset - 9, tick as i64 + offset + 9))
        };
        e.fuse(&newer(10), 10);
        let hold = HOLD.as_secs();
        for second in 1..hold {
            let tick = second * SECOND;
            assert_eq!(e.fuse(&newer(tick), tick), Fused::Agrees);
            let shown = e.publish(tick);
            assert!(shown.is_contradicted, "after {second} s");
            let now = interval_at(&shown, tick).expect("readable");
            assert!(now.contains(Timestamp::from_tai_nanos(tick as i64)), "after {second} s");
        }
        let tick = (hold + 1) * SECOND;
        e.fuse(&newer(tick), tick);
        let shown = e.publish(tick);
        assert_eq!((shown.is_contradicted, shown.epoch), (false, 1), "no further epoch");
        assert!(interval_at(&shown, tick).expect("readable").width() < Duration::from_micros(1));
    }

    #[test]
    fn sources_that_go_on_disagreeing_stay_covered_within_one_epoch() {
        let mut e = estimator();
        for tick in (1..300).map(|second| second * SECOND) {
            e.fuse(&sample(tick, 100, 100), tick);
            let other = tick as i64 + 1_000_000;
            e.fuse(&Sample::new(tick, tick, span(other - 100, other + 100)), tick);
            let shown = e.publish(tick);
            let now = interval_at(&shown, tick).expect("readable");
            assert!(now.contains(Timestamp::from_tai_nanos(tick as i64)), "{now:?} at {tick}");
            assert!(now.contains(Timestamp::from_tai_nanos(other)), "{now:?} at {tick}");
            assert!(shown.epoch <= 1, "epoch {}", shown.epoch);
        }
    }

    #[test]
    fn of_three_sides_that_contradict_each_other_none_is_forgotten() {
        let mut e = estimator();
        let sides = [-5_000_000, 0, 1_000_000];
        for (i, &off) in sides.iter().enumerate() {
            let tick = 10 + i as u64;
            let there = tick as i64 + off;
            e.fuse(&Sample::new(tick, tick, span(there - 9, there + 9)), tick);
        }
        let now = read(&mut e, 20);
        for off in sides {
            assert!(now.contains(Timestamp::from_tai_nanos(20 + off)), "{off} in {now}");
        }
        assert_eq!(e.contradictions(), 2);
    }

    #[test]
    fn a_bound_that_was_carried_in_more_steps_is_not_wider_than_the_published_one() {
        // Each step rounds outward once more, and readers have seen the single step.
        let last = 1_000_003;
        for between in (101..last).step_by(4_999) {
            let mut e = estimator();
            e.fuse(&sample(1, 100, 100), 1);
            let shown = interval_at(&e.publish(1), last).expect("readable");
            e.fuse(&sample(between, 1 << 40, 1 << 40), between);
            e.fuse(&sample(last, 1 << 40, 1 << 40), last);
            let newer = e.publish(last);
            let now = interval_at(&newer, last).expect("readable");
            assert_eq!(shown.hull(&now), shown, "carried to {between} first");
            assert_eq!(newer.epoch, 0);
        }
    }

    #[test]
    fn what_is_malformed_changes_nothing() {
        let mut e = estimator();
        e.fuse(&sample(5, 10, 10), 5);
        let before = e.publish(9);
        assert_eq!(
            e.fuse(&Sample::new(8, 7, span(0, 1)), 9),
            Fused::Malformed,
            "after before before"
        );
        assert_eq!(e.fuse(&Sample::new(8, 10, span(0, 1)), 9), Fused::Malformed, "not reached yet");
        assert_eq!(e.fuse(&Sample::new(1, u64::MAX, span(0, 1)), 9), Fused::Malformed);
        let unread = Sample::new(0, 0, span(0, 1));
        assert_eq!(e.fuse(&unread, 9), Fused::Malformed, "a counter that could not be read");
        assert_eq!(e.publish(9), before);
    }

    #[test]
    fn after_a_suspend_nothing_is_left_and_an_epoch_begins() {
        let mut e = estimator();
        e.forget(0);
        assert_eq!(e.publish(1).epoch, 0, "nothing was known");
        e.fuse(&sample(5, 10, 10), 5);
        e.publish(5);
        e.forget(6);
        let shown = e.publish(6);
        assert_eq!((interval_at(&shown, 6), shown.epoch), (None, 1));
        assert_eq!(e.fuse(&sample(5, 10, 10), 7), Fused::Stale, "from before it");
        assert_eq!(e.fuse(&sample(6, 10, 10), 7), Fused::Agrees);
    }

    #[test]
    fn another_counter_takes_over_what_was_known() {
        let mut e = estimator();
        e.fuse(&sample(1_000, 50, 50), 1_000);
        // While the old counter went from 2 000 to 2 100, the new one showed 70 000.
        let rates = RateBounds::NANOSECONDS.with_drift(100);
        e.change_counter((2_000, 2_100), 70_000, rates, 10);
        let now = read(&mut e, 70_000);
        for truth in [2_000, 2_100] {
            assert!(now.contains(Timestamp::from_tai_nanos(truth)), "{now:?}");
        }
        assert!(now.width() < Duration::from_nanos(250), "{now:?}");
        // A bound newer than the last comparison cannot be carried back to it.
        e.change_counter((60_000, 60_001), 5, rates, 10);
        assert!(!e.has_evidence());
    }

    /// One true history: how a counter drifted, and what honest sources said along it.
    #[derive(Clone, Debug)]
    struct History {
        drift_ppm: i64,
        steps: Vec<(u64, i64, i64)>,
    }

    impl History {
        fn truth_at(&self, tick: u64) -> i64 {
            // The counter's frequency is off by so much.
            (i128::from(tick) * 1_000_000 / i128::from(1_000_000 + self.drift_ppm)) as i64
        }

        /// The ticks at which a reading of `estimator` misses the truth.
        fn misses(&self, estimator: &mut Estimator) -> Vec<u64> {
            let mut tick = 0;
            let mut missed = Vec::new();
            for &(gap, below, above) in &self.steps {
                tick += gap;
                let truth = self.truth_at(tick);
                estimator.fuse(&Sample::new(tick, tick, span(truth - below, truth + above)), tick);
                let shown = estimator.publish(tick);
                for later in [tick, tick + gap / 2, tick + gap] {
                    let truth = Timestamp::from_tai_nanos(self.truth_at(later));
                    if interval_at(&shown, later).is_some_and(|now| !now.contains(truth)) {
                        missed.push(later);
                    }
                }
            }
            missed
        }
    }

    fn any_history() -> impl Strategy<Value = History> {
        let step = (1u64..1 << 36, 0i64..1 << 24, 0i64..1 << 24);
        (-200i64..=200, prop::collection::vec(step, 1..40))
            .prop_map(|(drift_ppm, steps)| History { drift_ppm, steps })
    }

    proptest! {
        #[test]
        fn honest_sources_and_a_drift_within_its_limit_never_miss_the_truth(history in any_history()) {
            let mut e = estimator();
            prop_assert_eq!(history.misses(&mut e), Vec::<u64>::new());
            prop_assert_eq!(e.contradictions(), 0);
            prop_assert_eq!(e.epoch, 0);
        }
    }

    #[test]
    fn a_drift_beyond_its_limit_is_a_miss_that_this_test_would_see() {
        let history = History { drift_ppm: -200, steps: vec![(SECOND, 0, 0); 3] };
        assert!(history.misses(&mut estimator()).is_empty());
        let mut too_sure =
            Estimator::new(RateBounds::NANOSECONDS.with_drift(199), 0, Duration::from_secs(10));
        assert!(!history.misses(&mut too_sure).is_empty());
        assert!(too_sure.contradictions() > 0, "and the next sample shows it");
    }
}
