//! Timeouts and suspicion: the rules of the sources, case by case, and any input.

use std::time::Duration;

use proptest::prelude::*;
use truechimer::timeout::{
    EwmaSettings, EwmaTimeout, PhiDetector, PhiSettings, Rto, RtoSettings, TimeoutError,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Limits that are never reached, so that the formula shows.
const OPEN: RtoSettings = RtoSettings::RFC_6298
    .min(Duration::from_nanos(1))
    .max(Duration::from_secs(1 << 40))
    .granularity(Duration::ZERO);

#[test]
fn the_rules_of_rfc_6298_in_order() {
    let mut rto = Rto::new(OPEN.granularity(ms(1))).expect("in order");
    assert_eq!((rto.timeout(), rto.srtt(), rto.rttvar()), (ms(1_000), None, None), "2.1");
    assert!(rto.observe(ms(100), 1));
    assert_eq!((rto.srtt(), rto.rttvar()), (Some(ms(100)), Some(ms(50))), "2.2");
    assert_eq!(rto.timeout(), ms(300), "2.2");
    rto.observe(ms(200), 1);
    // RTTVAR first, by the old SRTT: 3/4 × 50 + 1/4 × 100. Then SRTT: 7/8 × 100 + 1/8 × 200.
    assert_eq!(rto.rttvar(), Some(Duration::from_micros(62_500)), "2.3");
    assert_eq!(rto.srtt(), Some(Duration::from_micros(112_500)), "2.3");
    assert_eq!(rto.timeout(), Duration::from_micros(362_500), "2.3");

    let once = rto.timeout();
    rto.on_timeout();
    rto.on_timeout();
    assert_eq!(rto.timeout(), 4 * once, "5.5");
    assert!(!rto.observe(ms(5_000), 3), "Karn: an ambiguous sample is not taken");
    assert_eq!(rto.timeout(), 4 * once, "Karn: and the backoff stays");
    assert!(rto.observe(ms(112), 1));
    assert!(rto.timeout() < once, "a clean sample ends the backoff");

    let mut steady = Rto::new(OPEN.granularity(ms(7))).expect("in order");
    assert!((0..200).all(|_| steady.observe(ms(50), 1)));
    assert_eq!(steady.timeout(), ms(57), "2.3: at least G above SRTT");
}

#[test]
fn clamps_hold_at_both_ends_and_however_often_it_was_doubled() {
    let mut rto = Rto::new(RtoSettings::RFC_6298).expect("the RFC's own");
    rto.observe(ms(3), 1);
    assert_eq!(rto.timeout(), ms(1_000), "2.4");
    rto.on_timeout();
    assert_eq!(rto.timeout(), ms(2_000), "the minimum is doubled, not the 9 ms below it");
    (0..100).for_each(|_| rto.on_timeout());
    assert_eq!(rto.timeout(), ms(60_000), "2.5");
    rto.observe(Duration::MAX, 1);
    assert_eq!(rto.timeout(), ms(60_000));
    rto.observe(Duration::ZERO, 1);
    assert!(rto.timeout() <= ms(60_000));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let rto = |initial, min, max| Rto::new(OPEN.initial(initial).min(min).max(max));
    assert!(matches!(rto(ms(1), ms(0), ms(2)), Err(TimeoutError::Zero { what: "min" })));
    assert!(matches!(rto(ms(1), ms(2), ms(3)), Err(TimeoutError::OutOfOrder { low: "min", .. })));
    assert!(matches!(rto(ms(4), ms(2), ms(3)), Err(TimeoutError::OutOfOrder { high: "max", .. })));
    for odd in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        let ewma = EwmaSettings::default().weight(odd);
        assert!(matches!(EwmaTimeout::new(ewma), Err(TimeoutError::OutOfRange { .. })), "{odd}");
        let ewma = EwmaSettings::default().multiple(odd);
        assert!(matches!(EwmaTimeout::new(ewma), Err(TimeoutError::OutOfRange { .. })), "{odd}");
        let phi = PhiSettings::default().threshold(odd);
        assert!(matches!(PhiDetector::new(phi, ms(0)), Err(TimeoutError::OutOfRange { .. })));
    }
    for window in [0, 1, 32_769, usize::MAX] {
        let phi = PhiSettings::default().window(window);
        assert!(PhiDetector::new(phi, ms(0)).is_err(), "{window}");
    }
    let phi = PhiSettings::default().min_std_dev(ms(0));
    assert!(PhiDetector::new(phi, ms(0)).is_err());
}

#[test]
fn the_ewma_is_cassandras_threshold_in_means() {
    let mut ewma = EwmaTimeout::new(EwmaSettings::default()).expect("the defaults");
    assert_eq!(ewma.timeout(), ms(1_000));
    (0..300).for_each(|_| ewma.observe(ms(100)));
    assert_eq!(ewma.mean(), Some(ms(100)));
    // phi = t / (mean × ln 10) = 8.
    let phi = ewma.timeout().as_secs_f64() / (0.1 * std::f64::consts::LN_10);
    assert!((phi - 8.0).abs() < 1e-6, "{phi}");
    ewma.observe(ms(180));
    assert_eq!(ewma.mean(), Some(ms(110)), "one eighth of the way");
    // A delay beyond any timeout is learned from the timeouts alone.
    (0..10).for_each(|_| ewma.on_timeout());
    assert_eq!(ewma.timeout(), ms(60_000));
    ewma.observe(Duration::MAX);
    assert_eq!(ewma.timeout(), ms(60_000));
}

/// A detector that has seen `count` heartbeats, one each second.
fn regular(settings: PhiSettings, count: u64) -> PhiDetector {
    let mut peer = PhiDetector::new(settings, ms(0)).expect("settings in range");
    (1..=count).for_each(|second| peer.heartbeat(ms(1_000 * second)));
    peer
}

#[test]
fn before_any_heartbeat_the_first_interval_is_expected() {
    let peer = PhiDetector::new(PhiSettings::default(), ms(5_000)).expect("the defaults");
    assert!(peer.phi(ms(0)) < 0.01 && peer.phi(ms(5_500)) < 0.1);
    let half = 2f64.log10();
    assert!((peer.phi(ms(6_000)) - half).abs() < 1e-12, "due just now: one in two");
    assert!(peer.is_suspected(ms(8_000)), "a peer that never sends is suspected");
}

#[test]
fn phi_follows_the_definition_over_the_window() {
    let settings = PhiSettings::default().window(4).min_std_dev(ms(1));
    let mut peer = PhiDetector::new(settings, ms(0)).expect("settings in range");
    let mut now = 0;
    for gap in [700, 900, 1_000, 1_100, 1_400, 1_000] {
        now += gap;
        peer.heartbeat(ms(now));
    }
    // The last four: mean 1125, population variance 23 968.75... by hand: (125² + 25² + 275² + 125²)/4.
    let variance = f64::from(125 * 125 + 25 * 25 + 275 * 275 + 125 * 125) / 4.0;
    assert_eq!(peer.mean(), ms(1_125));
    assert!((peer.std_dev().as_secs_f64() * 1e3 - variance.sqrt()).abs() < 1e-4);
    let expected = truechimer::timeout::phi(1_500.0, 1_125.0, variance.sqrt());
    assert!((peer.phi(ms(now + 1_500)) - expected).abs() < 1e-9);
    let edge = ms(now) + peer.suspects_after();
    assert!(peer.is_suspected(edge) && !peer.is_suspected(edge - ms(1)));
}

#[test]
fn our_own_pause_does_not_count_as_silence_of_the_peer() {
    let mut peer = regular(PhiSettings::default(), 60);
    let after = ms(60_000 + 10_500);
    let mut blind = peer.clone();
    peer.paused(ms(10_000));
    assert!(peer.phi(after) < 1.0);
    assert!(peer.is_suspected(after + ms(3_000)), "silence after the pause counts");
    // Broken variant: a detector that is not told of the pause suspects a healthy peer.
    assert!(blind.is_suspected(after));

    // Ten heartbeats had waited and come at once. They are not learned.
    let learned = (peer.mean(), peer.std_dev());
    for detector in [&mut peer, &mut blind] {
        (0..10).for_each(|i| detector.heartbeat(after + Duration::from_micros(i)));
    }
    assert_eq!((peer.mean(), peer.std_dev()), learned);
    assert!(blind.mean() < ms(900), "and they would: {:?}", blind.mean());
    // A heartbeat that comes in time is learned again.
    peer.heartbeat(after + ms(900));
    assert_ne!(peer.mean(), learned.0);
}

#[test]
fn a_peer_that_beats_faster_after_a_pause_is_learned_in_the_end() {
    let mut peer = regular(PhiSettings::default().window(50), 60);
    peer.paused(ms(10_000));
    let start = 71_000;
    (0..200).for_each(|i| peer.heartbeat(ms(start + 100 * i)));
    assert_eq!(peer.mean(), ms(100));
}

#[test]
fn a_peer_that_slows_down_for_good_is_learned_and_one_absence_is_not() {
    let mut peer = regular(PhiSettings::default(), 300);
    let before = peer.mean();
    peer.heartbeat(ms(300_000 + 3_600_000)); // an hour's absence
    assert!(peer.mean() < before + ms(10), "{:?}", peer.mean());
    let mut now = 3_900_000;
    let mut suspected = 0;
    for _ in 0..300 {
        now += 4_000;
        suspected += u32::from(peer.is_suspected(ms(now)));
        peer.heartbeat(ms(now));
    }
    assert!(suspected < 100, "{suspected} of 300"); // never learned: 300 of 300
    assert!(!peer.is_suspected(ms(now + 4_000)));
}

proptest! {
    #[test]
    fn the_integers_are_the_rfcs_formula(rtts in prop::collection::vec(0u64..10_000_000_000, 1..80)) {
        let mut rto = Rto::new(OPEN).expect("in order");
        let (mut srtt, mut rttvar) = (f64::NAN, f64::NAN);
        for rtt in rtts {
            rto.observe(Duration::from_nanos(rtt), 1);
            let r = rtt as f64;
            if srtt.is_nan() {
                (srtt, rttvar) = (r, r / 2.0);
            } else {
                rttvar = 0.75 * rttvar + 0.25 * (srtt - r).abs();
                srtt = 0.875 * srtt + 0.125 * r;
            }
            let exact = srtt + 4.0 * rttvar;
            let got = rto.timeout().as_nanos() as f64;
            prop_assert!((got - exact).abs() < 16.0, "{} for {}", got, exact);
        }
    }

    /// Zero, huge, backward, paused for ever: a finite number, and no panic.
    #[test]
    fn nothing_makes_them_panic_or_phi_infinite(
        steps in prop::collection::vec((any::<u64>(), 0u32..1_000_000_000, 0u8..6), 0..60),
        window in 2usize..20,
        first in 1u64..,
        deviation in 1u64..,
    ) {
        let settings = PhiSettings::default()
            .window(window)
            .first_interval(Duration::from_nanos(first))
            .min_std_dev(Duration::from_nanos(deviation))
            .acceptable_pause(Duration::from_nanos(first));
        let mut peer = PhiDetector::new(settings, Duration::ZERO).expect("in range");
        let mut rto = Rto::new(OPEN).expect("in order");
        let mut ewma = EwmaTimeout::new(EwmaSettings::default()).expect("the defaults");
        for (seconds, nanos, what) in steps {
            let at = Duration::new(if what % 2 == 0 { seconds } else { seconds >> 40 }, nanos);
            match what {
                0 | 1 => peer.heartbeat(at),
                2 | 3 => peer.paused(at),
                _ => {
                    rto.on_timeout();
                    ewma.on_timeout();
                }
            }
            rto.observe(at, 1);
            ewma.observe(at);
            for now in [Duration::ZERO, at, Duration::MAX] {
                let phi = peer.phi(now);
                prop_assert!(phi.is_finite() && phi >= 0.0, "{}", phi);
            }
            prop_assert!(rto.timeout() > Duration::ZERO);
            prop_assert!(ewma.timeout() >= ms(10) && ewma.timeout() <= ms(60_000));
            prop_assert!(peer.suspects_after() > Duration::ZERO);
        }
    }
}
