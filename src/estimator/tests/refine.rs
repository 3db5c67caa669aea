//! What is learnt of the rate, what refutes it, and when it ends.

use super::*;

/// An estimator that assumes A3 too.
fn learning(max_wander_ppm: u32) -> Estimator {
    estimator().learning_rate(Some(max_wander_ppm))
}

/// A sample of ± 100 µs at this second, of a truth that is so many ns ahead of the ticks.
fn sample_at(second: u64, ahead_ns: i64) -> Sample {
    let tick = second * SECOND;
    sample(tick, 100_000 - ahead_ns, 100_000 + ahead_ns)
}

/// Samples at each of these seconds, while the rate is off by `ppm`; and publishes after each.
fn steady(e: &mut Estimator, seconds: std::ops::Range<u64>, ppm: i64, ahead_ns: &mut i64) {
    for second in seconds {
        *ahead_ns += ppm * 1_000;
        let tick = second * SECOND;
        assert_eq!(fuse(e, 0, &sample_at(second, *ahead_ns), tick), Fused::Agrees, "{second}");
        let shown = read(e, tick);
        let truth = Timestamp::from_tai_nanos(tick as i64 + *ahead_ns);
        assert!(shown.earliest() <= truth && truth <= shown.latest(), "{second}: {shown:?}");
    }
}

#[test]
fn a_learnt_rate_narrows_within_one_epoch() {
    let (mut plain, mut e) = (estimator(), learning(15));
    let (mut ahead, mut same) = (0, 0);
    steady(&mut plain, 1..121, 40, &mut ahead);
    steady(&mut e, 1..121, 40, &mut same);
    let width = |e: &mut Estimator| read(e, 180 * SECOND).width().as_micros();
    // After a minute without a sample: 2 x 200 ppm of it, or 2 x (15 + 200 µs / 119 s).
    assert!(width(&mut plain) > 24_000, "{}", width(&mut plain));
    assert!(width(&mut e) < 2_300, "{}", width(&mut e));
    let shown = e.publish(180 * SECOND);
    assert_eq!((shown.epoch, e.learning().refutations), (0, 0));
    assert!(shown.until >= 3_600 * SECOND, "it can be used for an hour");
    assert!(e.learning().rate_error_ppb < 17_000.0, "{:?}", e.learning());
}

#[test]
fn a_rate_that_strays_further_refutes_a3_and_no_source() {
    let mut e = learning(15);
    let mut ahead = 0;
    steady(&mut e, 1..121, 40, &mut ahead);
    // The machine is on another host: 100 ppm less, for 20 s without a sample.
    ahead -= 20 * 60_000;
    let changed = sample_at(140, ahead);
    assert_eq!(fuse(&mut e, 0, &changed, 140 * SECOND), Fused::Agrees, "A2 allows it");
    let shown = e.publish(140 * SECOND);
    assert_eq!((shown.epoch, shown.is_contradicted, e.contradictions()), (1, false, 0));
    assert_eq!(shown.until, u64::MAX, "by A2 alone");
    assert_eq!(
        interval_at(&shown, 140 * SECOND),
        Some(changed.time.widen(Duration::from_nanos(1)))
    );
    let learning = e.learning();
    assert_eq!((learning.wander_ppm, learning.refutations), (Some(30), 1));
    // It learns again, with twice the allowance, which a suspend does not take back.
    steady(&mut e, 141..301, -60, &mut ahead);
    assert!(e.learning().rate_error_ppb < 33_000.0, "{:?}", e.learning());
    assert_eq!(e.publish(300 * SECOND).epoch, 1);
    e.forget(301 * SECOND);
    assert_eq!(e.learning().wander_ppm, Some(30));
    // Another machine may keep to what was set.
    e.learn_anew(Some(15));
    assert_eq!(e.learning().wander_ppm, Some(15));
}

#[test]
fn a_sample_that_the_learnt_rate_excludes_refutes_a3_though_all_means_agree() {
    let mut e = learning(15);
    let mut ahead = 0;
    steady(&mut e, 1..121, 40, &mut ahead);
    // 33 ppm more for 20 s are 660 µs, of which 17 ppm and the two errors explain 540. But the mean
    // of these 20 s is known to 10 ppm only, and may be within 15 of all the others.
    ahead += 20 * (40 + 33) * 1_000;
    assert_eq!(fuse(&mut e, 0, &sample_at(140, ahead), 140 * SECOND), Fused::Agrees);
    let shown = read(&mut e, 140 * SECOND);
    assert!(shown.contains(Timestamp::from_tai_nanos(140 * NANOS_PER_SECOND + ahead)), "{shown:?}");
    assert_eq!((e.learning().refutations, e.publish(140 * SECOND).epoch), (1, 1));
}

#[test]
fn what_was_learnt_beyond_a_narrower_a2_is_no_contradiction_with_it() {
    // A daemon has shown 275 ppm, the oscillator was off by 205, and is within 200 from now on.
    let wide = RateBounds::NANOSECONDS.with_drift(275);
    let limit = Duration::from_secs(10);
    let mut e = Estimator::new(wide, 1, limit).learning_rate(Some(15));
    let mut ahead = 0;
    steady(&mut e, 1..601, 205, &mut ahead);
    e.narrow_rates(600 * SECOND, RateBounds::NANOSECONDS.with_drift(DEFAULT_MAX_DRIFT_PPM));
    steady(&mut e, 601..901, 195, &mut ahead);
    let learning = e.learning();
    assert_eq!(
        (e.contradictions(), learning.refutations, e.publish(900 * SECOND).epoch),
        (0, 0, 0)
    );
    assert!(learning.rate_error_ppb < 17_000.0, "{learning:?}");
}

#[test]
fn what_was_learnt_ends_with_a_suspend() {
    let mut e = learning(15);
    let mut ahead = 0;
    steady(&mut e, 1..121, 40, &mut ahead);
    e.forget(121 * SECOND);
    assert!(e.learning().rate_error_ppb > 199_000.0, "{:?}", e.learning());
    fuse(&mut e, 0, &sample_at(122, ahead), 122 * SECOND);
    let width = read(&mut e, 132 * SECOND).width().as_micros();
    assert!(width > 4_000, "by A2: {width}");
}

#[test]
fn a_mean_rate_beyond_a2_is_a_contradiction() {
    let mut e = learning(15);
    fuse(&mut e, 0, &sample(SECOND, 5_000_000, 5_000_000), SECOND);
    // ± 5 ms overlap by A2 for a while, but the mean over 100 s is 350 ppm or more.
    let ahead = 100 * 450_000;
    let beyond = sample(101 * SECOND, 5_000_000 - ahead, 5_000_000 + ahead);
    assert_eq!(fuse(&mut e, 0, &beyond, 101 * SECOND), Fused::Contradicts);
    assert!(e.publish(101 * SECOND).is_contradicted);
    assert_eq!(e.learning().wander_ppm, Some(15));
}

#[test]
fn nothing_is_learnt_while_both_sides_of_a_contradiction_are_published() {
    let mut e = learning(15);
    let mut ahead = 0;
    steady(&mut e, 1..60, 0, &mut ahead);
    // A second source is a second ahead for half a minute: one of the two is wrong.
    for second in 60..90 {
        fuse(&mut e, 1, &sample_at(second, NANOS_PER_SECOND), second * SECOND);
        let shown = e.publish(second * SECOND);
        assert!(shown.is_contradicted && shown.until == u64::MAX, "{second}");
    }
    assert!(e.learning().rate_error_ppb > 199_000.0, "{:?}", e.learning());
}

#[test]
fn what_is_learnt_is_held_against_cross_checks() {
    let mut e = learning(15);
    let mut ahead = 0;
    steady(&mut e, 1..121, 0, &mut ahead);
    // A minute later A2 would allow 12 ms, and what is published allows 1.2 ms.
    let off = sample(180 * SECOND, -3_000_000, 3_100_000);
    assert_eq!(e.cross_check(&off, 180 * SECOND), Fused::Contradicts);
    let shown = read(&mut e, 180 * SECOND);
    assert!(shown.latest() >= off.time.latest() && e.is_contradicted(), "{shown:?}");
}

/// An estimator that has learnt the rate from exact samples at these seconds.
fn learnt(seconds: &[u64]) -> Estimator {
    let mut e = estimator().learning_rate(Some(15));
    for &second in seconds {
        assert_eq!(fuse(&mut e, 0, &off(second, (-1, 1)), second * SECOND), Fused::Agrees);
    }
    e
}

#[test]
fn a_learnt_rate_holds_for_as_long_as_a3_says_and_a2_holds_from_there() {
    let mut e = learnt(&[1, 3_501]);
    let base = e.base;
    let shown = e.publish(3_501 * SECOND);
    let end = shown.until;
    assert!(shown.rates != base && end < 7_202 * SECOND);
    assert_eq!(e.clone().publish(end - 1).rates, shown.rates);
    let at_the_end = interval_at(&shown, end).expect("readable");
    for tick in [end, end + 1, end + 100 * SECOND] {
        let later = e.clone().publish(tick);
        assert_eq!((later.rates, later.until), (base, u64::MAX), "at {tick}");
        let now = interval_at(&later, tick).expect("readable");
        let carried = Bound { origin: end, time: at_the_end }.carried_to(tick, &base);
        let carried = carried.expect("in range").time;
        assert_eq!(carried.widen(ROUNDING).hull(&now), carried.widen(ROUNDING), "at {tick}");
        assert_eq!(now.widen(ROUNDING).hull(&carried), now.widen(ROUNDING), "at {tick}");
    }
}

#[test]
fn what_was_learnt_stays_when_the_counter_is_measured_better() {
    let mut e = learnt(&[1, 3_501]);
    let before = e.publish(3_501 * SECOND);
    e.set_rates(RateBounds::NANOSECONDS.with_drift(DEFAULT_MAX_DRIFT_PPM - 1));
    assert_eq!(e.publish(3_501 * SECOND), before);
}
