//! [`Estimator`]: samples in, one bound out.
//!
//! Averaging is what clocks do with samples that disagree: a filter, a vote, a
//! least-squares line. The result is near the truth most of the time, and says
//! nothing about when it is not. Here a sample is a statement with a bound, and
//! statements are not averaged but *combined*: what is true of both is in their
//! intersection, and that is never wider than either.
//!
//! If two statements have no moment in common, one of them is false, and
//! nobody here can know which. That is a **contradiction**. It is counted, and
//! for [`HOLD`] the published bound covers both sides (their hull), since the
//! truth is in one of them. When the newer side has stood unopposed for that
//! long the older one is given up.
//!
//! An **epoch** ends when what is published stops being consistent with what
//! was published before: then a timestamp taken earlier may be one that this
//! clock would now call impossible, and callers who kept such stamps want to know.
//!
//! If A3 is assumed, the rate is learnt too (see `rate`), and the lines diverge
//! by less. When the rate turns out to have changed by more than that allows, what
//! was carried by it is the older side of a contradiction, and the newest sample,
//! which owes nothing to it, is the newer.
//!
//! It is a pure state machine over ticks. The simulator runs this same code.

use std::time::Duration;

use crate::clock::block::{Block, Label};
use crate::clock::bound::{Bound, Pace, Sample};
use crate::clock::counter::Counter;
use crate::clock::rate::{Rate, Slope};
use crate::clock::status::Status;
use crate::interval::Interval;

/// How long both sides of a contradiction are published after it last showed.
///
/// Long enough for monitoring to see the status, and for a time daemon that
/// was itself deceived to notice within its own poll interval (16 s to 64 s).
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// What became of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fused {
    /// It agrees with what was known, which may have become narrower.
    Agrees,
    /// It cannot be true together with what was known.
    Contradicts,
    /// Its ticks are in the wrong order, or not reached yet: its source has a fault.
    Malformed,
    /// It is from before the host slept, or from before the counter was changed.
    Void,
}

/// The older side of a contradiction, until it is given up.
#[derive(Clone, Copy, Debug)]
struct Rival {
    bound: Bound,
    until: u64,
}

/// What is known at this moment, and how it came to be known.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    /// What A2 allows.
    pace: Pace,
    /// What has been learnt beyond that, if A3 is assumed.
    rate: Option<Rate>,
    /// The lines in use: `pace`, or narrower.
    slope: Slope,
    granularity_ns: u64,
    max_width: Duration,
    /// Nothing that was counted before this tick can be carried on.
    valid_from: u64,
    fused: Option<Bound>,
    rival: Option<Rival>,
    contradictions: u64,
    published: Option<Block>,
    epoch: u32,
}

impl Estimator {
    pub(crate) fn new(pace: Pace, granularity_ns: u64, max_width: Duration) -> Estimator {
        Estimator {
            pace,
            rate: None,
            slope: Slope::unlimited(pace),
            granularity_ns,
            max_width,
            valid_from: 0,
            fused: None,
            rival: None,
            contradictions: 0,
            published: None,
            epoch: 0,
        }
    }

    /// Assumes A3 too: learns the rate, which wanders by no more than `max_wander_ppm`.
    pub(crate) fn learning_rate(mut self, max_wander_ppm: Option<u32>) -> Estimator {
        self.rate = max_wander_ppm.map(Rate::new);
        self
    }

    /// Takes over what another estimator has published; of another `counter`, the
    /// epoch alone, which is over then.
    pub(crate) fn resume_from(&mut self, block: &Block, counter: Counter) {
        self.epoch = block.epoch();
        if block.counter() == counter {
            self.fused = block.bound();
            self.published = Some(*block);
        } else {
            self.epoch += 1;
        }
    }

    /// Combines a sample with what is known when the counter shows `tick`.
    pub(crate) fn fuse(&mut self, sample: &Sample, tick: u64) -> Fused {
        if sample.before < self.valid_from {
            return Fused::Void;
        }
        let new = Bound::from_sample(sample, &self.pace, self.granularity_ns);
        // A bound that starts in the future would turn every reading until
        // then into an error.
        let Some(new) = new.filter(|new| new.origin <= tick) else {
            return Fused::Malformed;
        };
        self.end_slope(tick);
        self.give_up_rival(new.origin);
        let sampled = new;
        let Some(old) = self.fused else {
            self.fused = Some(new);
            self.learn(&sampled, tick);
            return Fused::Agrees;
        };
        let Some((old, new)) = Bound::aligned(&old, &new, &self.slope.pace) else {
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

    /// `new` stands against `old`, and with it against all that was learnt.
    fn contradict(&mut self, old: Bound, new: Bound) {
        self.contradictions += 1;
        let older_side = self.rival.map_or(old, |rival| self.hull(rival.bound, old));
        let until = new.origin.saturating_add(self.pace.most_ticks(HOLD.as_nanos() as u64));
        self.rival = Some(Rival { bound: older_side, until });
        self.fused = Some(new);
        self.unlearn();
    }

    /// Takes a sample's own bound as evidence of the rate. `false` if that shows
    /// that the rate has changed by more than A3 allows.
    fn learn(&mut self, sampled: &Bound, tick: u64) -> bool {
        let Some(rate) = &mut self.rate else { return true };
        if !rate.observe(sampled, &self.pace) {
            return true;
        }
        match rate.slope(&self.pace, self.granularity_ns) {
            Ok(slope) => {
                self.change_slope(slope, tick);
                true
            }
            Err(_) => false,
        }
    }

    fn unlearn(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.forget();
        }
        self.slope = Slope::unlimited(self.pace);
    }

    /// Goes over to other lines at `tick`: up to there the old ones hold.
    fn change_slope(&mut self, slope: Slope, tick: u64) {
        let old = std::mem::replace(&mut self.slope, slope).pace;
        if old == slope.pace {
            return;
        }
        let carried = |bound: Bound| bound.carried_to(tick.max(bound.origin), &old);
        self.fused = self.fused.map(|bound| carried(bound).unwrap_or(bound));
        self.rival = self
            .rival
            .map(|rival| Rival { bound: carried(rival.bound).unwrap_or(rival.bound), ..rival });
    }

    /// What was learnt is no longer known when the window has passed over it.
    fn end_slope(&mut self, tick: u64) {
        if tick < self.slope.until {
            return;
        }
        let until = self.slope.until;
        let Some(rate) = &mut self.rate else { return };
        rate.expire(tick, &self.pace);
        let slope = rate.slope(&self.pace, self.granularity_ns);
        self.change_slope(slope.unwrap_or(Slope::unlimited(self.pace)), until);
    }

    /// Forgets everything that was known before `tick`, and refuses what comes from before it.
    pub(crate) fn forget(&mut self, tick: u64) {
        self.valid_from = tick;
        if self.fused.take().is_some() {
            self.epoch += 1;
        }
        self.rival = None;
        self.published = None;
        self.unlearn();
    }

    /// What is known, as it is to be published when the counter shows `tick`.
    ///
    /// `status` is what the sources are worth; a contradiction overrides it.
    pub(crate) fn publish(&mut self, tick: u64, counter: Counter, status: Status) -> Block {
        self.end_slope(tick);
        self.give_up_rival(tick);
        let Some(fused) = self.fused else {
            return Block::empty(self.pace, Label::new(counter, status, self.epoch));
        };
        let (bound, status) = match self.rival {
            Some(rival) => (self.hull(fused, rival.bound), Status::Contradicted),
            None => (fused, status),
        };
        let block = |epoch| {
            let label = Label::new(counter, status, epoch);
            Block::new(bound, self.slope.pace, self.max_width, label).until(self.slope.until)
        };
        if self.published.is_some_and(|old| !old.contains(&block(self.epoch))) {
            self.epoch += 1;
        }
        let block = block(self.epoch);
        // One that nobody can read is no promise: the next is held against the last that was.
        if block.is_readable() {
            self.published = Some(block);
        }
        block
    }

    /// Learns the rate better. What is known was carried by the old pace, which
    /// held too: only `pace`s that lie inside it may follow.
    pub(crate) fn set_pace(&mut self, pace: Pace) {
        if pace == self.pace {
            return;
        }
        self.pace = pace;
        match self.slope.pace.intersect(pace) {
            Some(narrower) if self.rate.is_some() => self.slope.pace = narrower,
            _ => self.unlearn(),
        }
    }

    /// Goes over to another counter, which showed `to` while the old one went
    /// from `from.0` to `from.1`.
    pub(crate) fn change_counter(
        &mut self,
        from: (u64, u64),
        to: u64,
        pace: Pace,
        granularity_ns: u64,
    ) {
        let old_pace = self.slope.pace;
        let slack = Duration::from_nanos(granularity_ns);
        let convert = |bound: Bound| {
            // At some tick of the old counter's range the new one showed `to`:
            // the ends are taken where each of them is furthest out.
            let earliest = bound.carried_to(from.0.max(bound.origin), &old_pace)?.time.earliest();
            let latest = bound.carried_to(from.1.max(bound.origin), &old_pace)?.time.latest();
            // If the bound is newer than the comparison, it cannot be carried back.
            let known = bound.origin <= from.0;
            let time = Interval::new(earliest, latest).filter(|_| known)?.widen(slack);
            Some(Bound { origin: to, time })
        };
        self.fused = self.fused.and_then(convert);
        // Ticks of the old counter mean nothing now: the hold begins again.
        let until = to.saturating_add(pace.most_ticks(HOLD.as_nanos() as u64));
        let rival = self.rival.and_then(|rival| convert(rival.bound));
        self.rival = rival.map(|bound| Rival { bound, until });
        self.pace = pace;
        self.granularity_ns = granularity_ns;
        self.valid_from = to;
        self.published = None;
        // Since the last comparison that went well, readings may have been wrong.
        self.epoch += 1;
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

    fn give_up_rival(&mut self, tick: u64) {
        self.rival = self.rival.filter(|rival| tick < rival.until);
    }

    /// Both bounds' times at the later of their origins, and everything in between.
    fn hull(&self, a: Bound, b: Bound) -> Bound {
        match Bound::aligned(&a, &b, &self.slope.pace) {
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
        Estimator::new(Pace::NANOSECONDS.with_drift(200), 1, Duration::from_secs(10))
    }

    /// A sample taken at `tick`, while true time is tick, within `below` and `above`.
    fn sample(tick: u64, below: i64, above: i64) -> Sample {
        Sample::new(tick, tick, span(tick as i64 - below, tick as i64 + above))
    }

    fn publish(estimator: &mut Estimator, tick: u64) -> Block {
        estimator.publish(tick, Counter::MONOTONIC_RAW, Status::Synchronized)
    }

    fn read(estimator: &mut Estimator, tick: u64) -> Interval {
        publish(estimator, tick).interval_at(tick).expect("readable")
    }

    #[test]
    fn evidence_only_narrows() {
        let mut e = estimator();
        assert_eq!(e.fuse(&sample(0, 1000, 1000), 0), Fused::Agrees);
        let first = read(&mut e, 0);
        assert_eq!(e.fuse(&sample(0, 10, 5000), 0), Fused::Agrees);
        let second = read(&mut e, 0);
        assert_eq!(first.hull(&second), first);
        assert!(second.width() < Duration::from_nanos(1020), "{second:?}");
        // A wide sample adds nothing, and takes nothing away.
        assert_eq!(e.fuse(&sample(0, 1 << 40, 1 << 40), 0), Fused::Agrees);
        assert_eq!(read(&mut e, 0), second);
    }

    #[test]
    fn the_lines_diverge_by_the_drift() {
        let mut e = estimator();
        e.fuse(&sample(0, 0, 0), 0);
        let after_a_second = read(&mut e, SECOND);
        let width = after_a_second.width().as_nanos();
        assert!((400_040..400_050).contains(&width), "{width} ns");
    }

    #[test]
    fn a_contradiction_covers_both_sides_and_begins_an_epoch() {
        let mut e = estimator();
        e.fuse(&sample(0, 100, 100), 0);
        publish(&mut e, 0);
        let lie = Sample::new(10, 10, span(5_000, 5_200));
        assert_eq!(e.fuse(&lie, 10), Fused::Contradicts);
        let block = publish(&mut e, 10);
        let now = block.interval_at(10).expect("readable");
        assert!(now.contains(Timestamp::from_tai_nanos(10)), "the older side: {now:?}");
        assert!(now.contains(Timestamp::from_tai_nanos(5_100)), "the newer side: {now:?}");
        assert_eq!((block.status(), block.epoch()), (Status::Contradicted, 1));
        assert_eq!(e.contradictions(), 1);
    }

    #[test]
    fn the_older_side_is_given_up_when_the_newer_has_stood_for_the_hold() {
        let mut e = estimator();
        e.fuse(&sample(0, 100, 100), 0);
        publish(&mut e, 0);
        let offset = 50_000_000;
        let newer = |tick: u64| {
            Sample::new(tick, tick, span(tick as i64 + offset - 9, tick as i64 + offset + 9))
        };
        e.fuse(&newer(10), 10);
        let hold = HOLD.as_secs();
        for second in 1..hold {
            let tick = second * SECOND;
            assert_eq!(e.fuse(&newer(tick), tick), Fused::Agrees);
            let block = publish(&mut e, tick);
            assert_eq!(block.status(), Status::Contradicted, "after {second} s");
            let now = block.interval_at(tick).expect("readable");
            assert!(now.contains(Timestamp::from_tai_nanos(tick as i64)), "after {second} s");
        }
        let tick = (hold + 1) * SECOND;
        e.fuse(&newer(tick), tick);
        let block = publish(&mut e, tick);
        assert_eq!((block.status(), block.epoch()), (Status::Synchronized, 1), "no further epoch");
        assert!(block.interval_at(tick).expect("readable").width() < Duration::from_micros(1));
    }

    #[test]
    fn sources_that_go_on_disagreeing_stay_covered_within_one_epoch() {
        let mut e = estimator();
        for tick in (0..300).map(|second| second * SECOND) {
            e.fuse(&sample(tick, 100, 100), tick);
            let other = tick as i64 + 1_000_000;
            e.fuse(&Sample::new(tick, tick, span(other - 100, other + 100)), tick);
            let block = publish(&mut e, tick);
            let now = block.interval_at(tick).expect("readable");
            assert!(now.contains(Timestamp::from_tai_nanos(tick as i64)), "{now:?} at {tick}");
            assert!(now.contains(Timestamp::from_tai_nanos(other)), "{now:?} at {tick}");
            assert!(block.epoch() <= 1, "epoch {}", block.epoch());
        }
    }

    #[test]
    fn what_is_malformed_changes_nothing() {
        let mut e = estimator();
        e.fuse(&sample(5, 10, 10), 5);
        let before = publish(&mut e, 9);
        assert_eq!(
            e.fuse(&Sample::new(8, 7, span(0, 1)), 9),
            Fused::Malformed,
            "after before before"
        );
        assert_eq!(e.fuse(&Sample::new(8, 10, span(0, 1)), 9), Fused::Malformed, "not reached yet");
        assert_eq!(e.fuse(&Sample::new(0, u64::MAX, span(0, 1)), 9), Fused::Malformed);
        assert_eq!(publish(&mut e, 9), before);
    }

    #[test]
    fn after_a_suspend_nothing_is_left_and_an_epoch_begins() {
        let mut e = estimator();
        e.forget(0);
        assert_eq!(publish(&mut e, 1).epoch(), 0, "nothing was known");
        e.fuse(&sample(5, 10, 10), 5);
        publish(&mut e, 5);
        e.forget(6);
        let block = publish(&mut e, 6);
        assert_eq!((block.interval_at(6), block.epoch()), (None, 1));
        assert_eq!(e.fuse(&sample(5, 10, 10), 7), Fused::Void, "from before it");
        assert_eq!(e.fuse(&sample(6, 10, 10), 7), Fused::Agrees);
    }

    #[test]
    fn another_counter_takes_over_what_was_known() {
        let mut e = estimator();
        e.fuse(&sample(1_000, 50, 50), 1_000);
        // While the old counter went from 2 000 to 2 100, the new one showed 70 000.
        let pace = Pace::NANOSECONDS.with_drift(100);
        e.change_counter((2_000, 2_100), 70_000, pace, 10);
        let now = read(&mut e, 70_000);
        for truth in [2_000, 2_100] {
            assert!(now.contains(Timestamp::from_tai_nanos(truth)), "{now:?}");
        }
        assert!(now.width() < Duration::from_nanos(250), "{now:?}");
        // A bound newer than the last comparison cannot be carried back to it.
        e.change_counter((60_000, 60_001), 5, pace, 10);
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
                let block = publish(estimator, tick);
                for later in [tick, tick + gap / 2, tick + gap] {
                    let truth = Timestamp::from_tai_nanos(self.truth_at(later));
                    if block.interval_at(later).is_some_and(|now| !now.contains(truth)) {
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
            Estimator::new(Pace::NANOSECONDS.with_drift(199), 0, Duration::from_secs(10));
        assert!(!history.misses(&mut too_sure).is_empty());
        assert!(too_sure.contradictions() > 0, "and the next sample shows it");
    }
}
