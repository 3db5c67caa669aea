use super::*;
use crate::counter::DEFAULT_MAX_DRIFT_PPM;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};
use proptest::prelude::*;

/// What is learnt of the rate.
mod refine;

const SECOND: u64 = NANOS_PER_SECOND as u64;

fn span(a: i64, b: i64) -> Interval {
    let at = Timestamp::from_tai_nanos;
    Interval::new(at(a), at(b)).expect("written in order")
}

/// An estimator over a counter of nanoseconds that may drift by 200 ppm.
fn estimator() -> Estimator {
    Estimator::new(
        RateBounds::NANOSECONDS.with_drift(DEFAULT_MAX_DRIFT_PPM),
        1,
        Duration::from_secs(10),
    )
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

/// Combines a sample whose author states all of it.
fn fuse(e: &mut Estimator, source: usize, sample: &Sample, tick: u64) -> Fused {
    e.fuse(source, sample, sample.time, tick)
}

#[test]
fn evidence_only_narrows() {
    let mut e = estimator();
    assert_eq!(fuse(&mut e, 0, &sample(1, 1000, 1000), 1), Fused::Agrees);
    let first = read(&mut e, 1);
    assert_eq!(fuse(&mut e, 0, &sample(1, 10, 5000), 1), Fused::Agrees);
    let second = read(&mut e, 1);
    assert_eq!(first.hull(&second), first);
    assert!(second.width() < Duration::from_nanos(1020), "{second:?}");
    // A wide sample adds nothing, and takes nothing away.
    assert_eq!(fuse(&mut e, 0, &sample(1, 1 << 40, 1 << 40), 1), Fused::Agrees);
    assert_eq!(read(&mut e, 1), second);
}

#[test]
fn the_lines_diverge_by_the_drift() {
    let mut e = estimator();
    fuse(&mut e, 0, &sample(1, 0, 0), 1);
    let after_a_second = read(&mut e, SECOND + 1);
    let width = after_a_second.width().as_nanos();
    assert!((400_040..400_050).contains(&width), "{width} ns");
}

#[test]
fn a_contradiction_covers_both_sides_and_begins_an_epoch() {
    let mut e = estimator();
    fuse(&mut e, 0, &sample(1, 100, 100), 1);
    e.publish(1);
    let lie = Sample::new(10, 10, span(5_000, 5_200));
    assert_eq!(fuse(&mut e, 0, &lie, 10), Fused::Contradicts);
    let shown = e.publish(10);
    let now = interval_at(&shown, 10).expect("readable");
    assert!(now.contains(Timestamp::from_tai_nanos(10)), "the older side: {now:?}");
    assert!(now.contains(Timestamp::from_tai_nanos(5_100)), "the newer side: {now:?}");
    assert_eq!((shown.is_contradicted, shown.epoch), (true, 1));
    assert_eq!(e.contradictions(), 1);
}

#[test]
fn a_cross_check_is_compared_and_never_intersected() {
    let mut e = estimator();
    // Nothing is known yet, so there is nothing to compare it with, and nothing follows from it.
    assert_eq!(e.cross_check(&sample(1, 5, 5), 1), Fused::Agrees);
    assert_eq!(e.publish(1).bound, None);
    fuse(&mut e, 0, &sample(10, 1_000, 1_000), 10);
    let alone = read(&mut e, 10);
    assert_eq!(e.cross_check(&sample(10, 5, 5), 10), Fused::Agrees);
    assert_eq!(read(&mut e, 10), alone, "it narrows nothing");
    assert_eq!(e.cross_check(&Sample::new(0, 10, span(0, 1)), 10), Fused::Malformed);
    assert_eq!(e.cross_check(&Sample::new(9, 11, span(0, 1)), 10), Fused::Malformed);

    // One that excludes what is known: both sides are published, and a new epoch begins.
    let shown = e.publish(10);
    let lie = Sample::new(20, 20, span(50_000, 50_010));
    assert_eq!(e.cross_check(&lie, 20), Fused::Contradicts);
    let disputed = e.publish(20);
    let now = interval_at(&disputed, 20).expect("readable");
    assert!(now.contains(Timestamp::from_tai_nanos(20)), "the evidence: {now:?}");
    assert!(now.contains(Timestamp::from_tai_nanos(50_005)), "the cross-check: {now:?}");
    assert!(disputed.is_contradicted);
    assert_eq!((disputed.epoch, e.contradictions()), (shown.epoch + 1, 1));

    // The evidence is kept: it is not the older side. A minute after the last contradiction it
    // counts alone again.
    assert_eq!(fuse(&mut e, 0, &sample(30, 900, 900), 30), Fused::Agrees);
    let later = 61 * SECOND;
    assert_eq!(fuse(&mut e, 0, &sample(later, 900, 900), later), Fused::Agrees);
    let shown = e.publish(later);
    assert!(!shown.is_contradicted);
    assert!(read(&mut e, later).width() < Duration::from_micros(3));
    e.forget(later);
    assert_eq!(e.cross_check(&lie, later), Fused::Stale);
}

#[test]
fn the_older_side_is_given_up_when_the_newer_has_stood_for_the_hold() {
    let mut e = estimator();
    fuse(&mut e, 0, &sample(1, 100, 100), 1);
    e.publish(1);
    let offset = 50_000_000;
    let newer = |tick: u64| {
        Sample::new(tick, tick, span(tick as i64 + offset - 9, tick as i64 + offset + 9))
    };
    fuse(&mut e, 0, &newer(10), 10);
    let hold = SHORTEST_HOLD.as_secs();
    for second in 1..hold {
        let tick = second * SECOND;
        assert_eq!(fuse(&mut e, 0, &newer(tick), tick), Fused::Agrees);
        let shown = e.publish(tick);
        assert!(shown.is_contradicted, "after {second} s");
        let now = interval_at(&shown, tick).expect("readable");
        assert!(now.contains(Timestamp::from_tai_nanos(tick as i64)), "after {second} s");
    }
    let tick = (hold + 1) * SECOND;
    fuse(&mut e, 0, &newer(tick), tick);
    let shown = e.publish(tick);
    assert_eq!((shown.is_contradicted, shown.epoch), (false, 1), "no further epoch");
    assert!(interval_at(&shown, tick).expect("readable").width() < Duration::from_micros(1));
}

/// A sample at this second whose time is ahead of the truth by these ends, in µs.
fn off(second: u64, ends_us: (i64, i64)) -> Sample {
    let tick = second * SECOND;
    let truth = tick as i64;
    Sample::new(tick, tick, span(truth + ends_us.0 * 1_000, truth + ends_us.1 * 1_000))
}

#[test]
fn what_a_source_has_taken_back_is_not_part_of_the_newer_side() {
    let mut e = estimator();
    fuse(&mut e, 0, &off(1, (-10, 10)), SECOND);
    e.publish(SECOND);
    // It is wrong for a while, then right again, and its right bound is wide enough to have
    // moments in common with the wrong one.
    let hold = SHORTEST_HOLD.as_secs();
    for second in 2..hold + 9 {
        let ends = if second < 9 { (19_000, 21_000) } else { (-20_000, 20_000) };
        fuse(&mut e, 0, &off(second, ends), second * SECOND);
        let shown = e.publish(second * SECOND);
        let now = interval_at(&shown, second * SECOND).expect("readable");
        let truth = Timestamp::from_tai_nanos((second * SECOND) as i64);
        assert!(now.contains(truth), "after {second} s: {now:?}");
    }
    assert_eq!(e.contradictions(), 1);
}

#[test]
fn after_a_contradiction_the_last_samples_of_all_sources_count() {
    let mut e = estimator();
    fuse(&mut e, 0, &off(1, (90_000, 90_001)), SECOND);
    e.publish(SECOND);
    let hold = SHORTEST_HOLD.as_secs();
    for second in 2..hold + 9 {
        fuse(&mut e, 0, &off(second, (-5_000, 20)), second * SECOND);
        fuse(&mut e, 1, &off(second, (-30, 7_000)), second * SECOND);
        e.publish(second * SECOND);
    }
    let width = read(&mut e, (hold + 8) * SECOND).width();
    assert!(width < Duration::from_micros(51), "{width:?}");
}

#[test]
fn a_step_that_its_author_may_overlook_is_covered_or_a_contradiction() {
    let mut e = estimator();
    let at = |second: u64| second * SECOND;
    fuse(&mut e, 0, &off(1, (-10, 10)), SECOND);
    // A step that the statement may be off by, both possible by what is known.
    let (wide, stated) = (off(2, (-30, 400)), off(2, (150, 400)));
    assert_eq!(e.fuse(0, &wide, stated.time, at(2)), Fused::Agrees);
    assert!(read(&mut e, at(2)).contains(Timestamp::from_tai_nanos(at(2) as i64)));
    // What is known excludes the statement: one of the two is wrong, and both are covered,
    // for as long as the author may overlook the step.
    for second in 3..1_000 {
        let (wide, stated) = (off(second, (-30, 900_000)), off(second, (899_000, 900_000)));
        let outcome = e.fuse(0, &wide, stated.time, at(second));
        assert_eq!(outcome == Fused::Contradicts, second == 3);
        let now = read(&mut e, at(second));
        for ns in [0, 899_500_000] {
            assert!(now.contains(Timestamp::from_tai_nanos(at(second) as i64 + ns)), "{second} s");
        }
    }
    for second in 1_000..1_062 {
        fuse(&mut e, 0, &off(second, (899_000, 900_000)), at(second));
    }
    assert!(read(&mut e, at(1_062)).width() < Duration::from_millis(2));
}

#[test]
fn while_no_source_speaks_for_the_newer_side_the_older_is_kept() {
    let mut e = estimator();
    fuse(&mut e, 0, &off(1, (-10, 10)), SECOND);
    assert_eq!(fuse(&mut e, 0, &off(2, (90_000, 90_010)), 2 * SECOND), Fused::Contradicts);
    let late = 2 + 10 * SHORTEST_HOLD.as_secs();
    assert!(
        read(&mut e, late * SECOND).contains(Timestamp::from_tai_nanos((late * SECOND) as i64))
    );
    assert!(e.publish(late * SECOND).is_contradicted);
}

#[test]
fn rates_that_become_narrower_do_so_from_now_on() {
    let wide = RateBounds::NANOSECONDS.with_drift(500);
    let narrow = RateBounds::NANOSECONDS.with_drift(200);
    let mut e = Estimator::new(wide, 0, Duration::from_secs(10));
    fuse(&mut e, 0, &off(1, (0, 0)), SECOND);
    e.narrow_rates(101 * SECOND, narrow);
    // 100 s at 500 ppm each way, and 100 s at 200.
    let width = read(&mut e, 201 * SECOND).width().as_micros();
    assert!((140_000..140_100).contains(&width), "{width} µs");
}

#[test]
fn a_contradiction_is_held_for_several_updates_of_the_sources() {
    for (interval_s, hold_s) in
        [(None, 60), (Some(2), 60), (Some(64), 1_024), (Some(1_024), 16_384)]
    {
        let mut e = estimator();
        e.set_update_interval(interval_s.map(Duration::from_secs));
        fuse(&mut e, 0, &off(1, (0, 1)), SECOND);
        e.publish(SECOND);
        let mut contradicted = |second| {
            fuse(&mut e, 0, &off(second, (60_000, 60_001)), second * SECOND);
            e.publish(second * SECOND).is_contradicted
        };
        assert!(contradicted(2) && contradicted(hold_s), "{interval_s:?}");
        // By its slowest rate the counter may need 200 ppm longer.
        assert!(!contradicted(hold_s + hold_s / 1_000 + 3), "{interval_s:?}");
    }
}

#[test]
fn sources_that_go_on_disagreeing_stay_covered_within_one_epoch() {
    let mut e = estimator();
    for tick in (1..300).map(|second| second * SECOND) {
        fuse(&mut e, 0, &sample(tick, 100, 100), tick);
        let other = tick as i64 + 1_000_000;
        fuse(&mut e, 1, &Sample::new(tick, tick, span(other - 100, other + 100)), tick);
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
        fuse(&mut e, i, &Sample::new(tick, tick, span(there - 9, there + 9)), tick);
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
        fuse(&mut e, 0, &sample(1, 100, 100), 1);
        let shown = interval_at(&e.publish(1), last).expect("readable");
        fuse(&mut e, 0, &sample(between, 1 << 40, 1 << 40), between);
        fuse(&mut e, 0, &sample(last, 1 << 40, 1 << 40), last);
        let newer = e.publish(last);
        let now = interval_at(&newer, last).expect("readable");
        assert_eq!(shown.hull(&now), shown, "carried to {between} first");
        assert_eq!(newer.epoch, 0);
    }
}

#[test]
fn what_is_malformed_changes_nothing() {
    let mut e = estimator();
    fuse(&mut e, 0, &sample(5, 10, 10), 5);
    let before = e.publish(9);
    assert_eq!(
        fuse(&mut e, 0, &Sample::new(8, 7, span(0, 1)), 9),
        Fused::Malformed,
        "after before before"
    );
    assert_eq!(
        fuse(&mut e, 0, &Sample::new(8, 10, span(0, 1)), 9),
        Fused::Malformed,
        "not reached yet"
    );
    assert_eq!(fuse(&mut e, 0, &Sample::new(1, u64::MAX, span(0, 1)), 9), Fused::Malformed);
    let unread = Sample::new(0, 0, span(0, 1));
    assert_eq!(fuse(&mut e, 0, &unread, 9), Fused::Malformed, "a counter that could not be read");
    assert_eq!(e.publish(9), before);
}

#[test]
fn what_is_resumed_stays_within_what_readers_were_shown() {
    // Readers carry it by a rate that another estimator had learnt, for 10 s.
    let bound = Bound { origin: 1, time: span(0, 100) };
    let until = 10 * SECOND;
    let shown = RateEstimate { rates: RateBounds::NANOSECONDS.with_drift(1), until };
    let resumed = || {
        let mut e = estimator();
        e.resume(Some(bound), shown, 3);
        e
    };
    for tick in [SECOND, 5 * SECOND, until] {
        let now = resumed().publish(tick);
        let readers = bound.carried_to(tick, &shown.rates).expect("in range").time.widen(ROUNDING);
        let time = interval_at(&now, tick).expect("readable");
        assert_eq!((readers.hull(&time), now.epoch), (readers, 3), "at {tick}");
    }
    // By A2 from there.
    let width = read(&mut resumed(), until + SECOND).width().as_micros();
    assert!((420..425).contains(&width), "{width} µs");
}

#[test]
fn on_another_counter_a_new_epoch_begins() {
    let mut e = estimator();
    e.resume_after(3);
    assert_eq!(e.publish(1).epoch, 4);
}

#[test]
fn what_nobody_could_read_promises_nothing() {
    // The first bound is wider than a reading may be, so what contradicts it ends no epoch.
    let mut e = estimator();
    fuse(&mut e, 0, &off(1, (-6_000_000, 6_000_000)), SECOND);
    e.publish(SECOND);
    let new = off(2, (20_000_000, 20_000_001));
    assert_eq!(fuse(&mut e, 0, &new, 2 * SECOND), Fused::Contradicts);
    assert_eq!(e.publish(2 * SECOND).epoch, 0);
}

#[test]
fn while_both_sides_are_too_far_apart_to_be_read_one_epoch_begins() {
    let mut e = estimator();
    fuse(&mut e, 0, &off(1, (-1, 1)), SECOND);
    e.publish(SECOND);
    for second in 2..10 {
        fuse(&mut e, 0, &off(second, (20_000_000, 20_000_001)), second * SECOND);
        assert_eq!(e.publish(second * SECOND).epoch, 1, "after {second} s");
    }
}

#[test]
fn after_a_suspend_nothing_is_left_and_an_epoch_begins() {
    let mut e = estimator();
    e.forget(0);
    assert_eq!(e.publish(1).epoch, 0, "nothing was known");
    fuse(&mut e, 0, &sample(5, 10, 10), 5);
    e.publish(5);
    e.forget(6);
    let shown = e.publish(6);
    assert_eq!((interval_at(&shown, 6), shown.epoch), (None, 1));
    assert_eq!(fuse(&mut e, 0, &sample(5, 10, 10), 7), Fused::Stale, "from before it");
    assert_eq!(fuse(&mut e, 0, &sample(6, 10, 10), 7), Fused::Agrees);
}

#[test]
fn another_counter_takes_over_what_was_known() {
    let mut e = estimator();
    fuse(&mut e, 0, &sample(1_000, 50, 50), 1_000);
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
            fuse(estimator, 0, &Sample::new(tick, tick, span(truth - below, truth + above)), tick);
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
