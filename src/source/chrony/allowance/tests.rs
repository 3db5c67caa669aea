use super::*;
use crate::source::chrony::client::ChronyError;
use crate::source::chrony::tracking::{Leap, Reference};

const SECOND: i64 = NANOS_PER_SECOND;
const UPDATED_S: i64 = 1_764_000_000;

/// A chronyd that counts how often it is asked what its estimate rests on.
struct Asked {
    fit: Option<ChronyFit>,
    times: u32,
}

impl TimeDaemons for Asked {
    fn running(&mut self) -> crate::source::daemon::Running {
        crate::source::daemon::Running::default()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        Ok(tracking(0))
    }

    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        self.times += 1;
        let refused = TimeDaemons::chrony_tracking(&mut Silent).expect_err("it is silent");
        self.fit.map(Some).ok_or(refused)
    }
}

struct Silent;

impl TimeDaemons for Silent {
    fn running(&mut self) -> crate::source::daemon::Running {
        crate::source::daemon::Running::default()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        Err(ChronyError::NotRunning { at: "the test".to_owned() })
    }
}

/// A report of an update that came so many seconds after the first.
fn tracking(later_s: i64) -> Tracking {
    Tracking {
        reference: Reference { id: 1, address: Some([192, 0, 2, 1].into()) },
        stratum: 2,
        leap: Leap::Normal,
        reference_time: Duration::from_secs((UPDATED_S + later_s).unsigned_abs()),
        correction_ns: 7_000_000,
        root_delay_ns: 1_000_000,
        root_dispersion_ns: 500_000,
        last_offset: 0.0,
        rms_offset: 0.0,
        frequency_ppm: 0.0,
        residual_frequency_ppm: 0.0,
        skew_ppm: 0.0,
        update_interval: 16.0,
    }
}

fn fit(span_s: u64, newest: Option<(u64, u64)>) -> ChronyFit {
    let newest = newest.map(|(offset_ns, error_ns)| NewestMeasurement {
        offset_ns,
        error_ns,
        age: Duration::ZERO,
    });
    ChronyFit { samples: 12, span: Duration::from_secs(span_s), newest, averaged: Duration::ZERO }
}

/// A watch that has asked this chronyd, right after its first update.
fn watching(fit: Option<ChronyFit>) -> FitWatch {
    let mut watch = FitWatch::default();
    let mut chronyd = Asked { fit, times: 0 };
    assert!(watch.follow(&tracking(0), &mut chronyd, (UPDATED_S * SECOND, 0)));
    watch
}

/// The error at the newest end of a least-squares line through `count` polls at equal distances of
/// a clock whose rate is `rate(x)`, with x from 0 to 1, as a part of the span.
fn error_of_line(count: usize, rate: impl Fn(f64) -> f64) -> f64 {
    const STEPS: usize = 4_800;
    let mut offsets = vec![0.0];
    for step in 0..STEPS {
        let x = (step as f64 + 0.5) / STEPS as f64;
        offsets.push(offsets[step] + rate(x) / STEPS as f64);
    }
    let polls = (0..count).map(|poll| {
        let x = poll as f64 / (count - 1) as f64;
        (x, offsets[(x * STEPS as f64).round() as usize])
    });
    let polls: Vec<(f64, f64)> = polls.collect();
    let mean = |f: fn(&(f64, f64)) -> f64| polls.iter().map(f).sum::<f64>() / count as f64;
    let (mean_x, mean_o) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = polls.iter().map(|(x, o)| (x - mean_x) * (o - mean_o)).sum();
    let variance: f64 = polls.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    mean_o + covariance / variance * (1.0 - mean_x) - offsets[STEPS]
}

#[test]
fn a_line_is_off_by_the_factor_that_is_derived_and_no_rate_makes_it_more() {
    // The worst rate within 1 of its mean: below it from 1/12 to 7/12 of the span.
    let worst = |x: f64| if (1.0 / 12.0..7.0 / 12.0).contains(&x) { -1.0 } else { 1.0 };
    let many = error_of_line(1_001, worst).abs();
    assert!((many - 13.0 / 48.0).abs() < 0.001, "{many}");
    // All rates within 1 of each other: 4/27.
    let within_each_other = |x: f64| if x < 2.0 / 3.0 { 0.0 } else { 1.0 };
    let many = error_of_line(1_001, within_each_other).abs();
    assert!((many - 4.0 / 27.0).abs() < 0.001, "{many}");
    // Swings of any period and phase, and few polls.
    let allowed = 1.0 / SPAN_PARTS as f64;
    for count in [3, 5, 12, 64] {
        for (period, phase) in (1..20).flat_map(|p| (0..20).map(move |q| (p, q))) {
            let (period, phase) = (f64::from(period) / 6.0, f64::from(phase) / 20.0);
            let swing = |x: f64| 4.0 * ((x / period + phase).rem_euclid(1.0) - 0.5).abs() - 1.0;
            let error = error_of_line(count, swing).abs();
            assert!(error < allowed, "{count} polls, period {period}, phase {phase}: {error}");
        }
    }
}

#[test]
fn the_smaller_of_what_the_span_and_the_newest_poll_show_is_allowed() {
    let of = |fit| watching(Some(fit)).allowance_ns(15, Statement::OfUpdate);
    assert_eq!(of(fit(176, None)), 1_323_750, "15 ppm, half of 176.5 s");
    // chronyd stated 1 ms, less what its dispersion may have grown by within a second.
    assert_eq!(of(fit(176, Some((90_000, 1_050_000)))), 141_000);
    assert_eq!(of(fit(176, Some((0, 900_000)))), 0);
    assert_eq!(of(fit(2, Some((90_000, 1_050_000)))), 18_750);
    let averaged = ChronyFit { averaged: Duration::from_secs(4), ..fit(176, Some((0, 999_000))) };
    assert_eq!(of(averaged), 30_000, "a mean of 4 s");
    assert_eq!(of(fit(u64::MAX, None)), 69_175_290_276_411);
    let wanders = |ppm| watching(Some(fit(99, None))).allowance_ns(ppm, Statement::OfUpdate);
    assert_eq!((wanders(1), wanders(200)), (49_750, 9_950_000));
}

#[test]
fn a_measurement_from_before_the_update_may_be_off_by_the_wander_since() {
    let older = |age_s| {
        let newest = fit(9_999, Some((0, 1_000_000))).newest;
        let age = Duration::from_secs(age_s);
        let newest = newest.map(|newest| NewestMeasurement { age, ..newest });
        let fit = ChronyFit { newest, ..fit(9_999, None) };
        watching(Some(fit)).allowance_ns(15, Statement::OfUpdate)
    };
    let same = older(0);
    assert_eq!(same, older(3), "both ages are rounded");
    // A second more, because it is rounded.
    assert_eq!(older(64) - same, 65 * 15_000);
}

#[test]
fn what_a_chronyd_keeps_at_most_counts_where_it_does_not_tell() {
    let silent = watching(None);
    assert_eq!(silent.allowance_ns(15, Statement::OfUpdate), 7_680_000, "64 times 16 s");
    let details = silent.details(15).expect("it was asked");
    assert!(details.contains("(1024 s)") && details.contains("7680 µs"), "{details}");
    // Two polls make no line: chronyd was reset since its update.
    let reset = watching(Some(ChronyFit { samples: 2, ..fit(1, None) }));
    assert_eq!(reset.allowance_ns(15, Statement::OfUpdate), 7_680_000);
    // The longest interval that it has stated.
    let mut watch = watching(None);
    let mut chronyd = Asked { fit: None, times: 0 };
    let faster = Tracking { update_interval: 2.0, ..tracking(16) };
    watch.follow(&faster, &mut chronyd, ((UPDATED_S + 16) * SECOND, 16 * SECOND));
    assert_eq!(watch.allowance_ns(15, Statement::OfUpdate), 7_680_000);
    let mut unknown = FitWatch::default();
    let none_yet = Tracking { update_interval: 0.0, ..tracking(0) };
    unknown.follow(&none_yet, &mut chronyd, (UPDATED_S * SECOND, 0));
    assert_eq!(unknown.allowance_ns(15, Statement::OfUpdate), 64 * 1_024 * 7_500);
}

#[test]
fn a_later_statement_may_rest_on_two_more_intervals() {
    let watch = watching(Some(fit(160, Some((0, 1)))));
    assert_eq!(watch.allowance_ns(10, Statement::OfUpdate), 0);
    assert_eq!(watch.allowance_ns(10, Statement::Later), 192 * 5_000);
    // For a report that counts alone, the time since its update is added too.
    let unix_ns = (UPDATED_S + 9) * SECOND;
    assert_eq!(watch.live_allowance_ns(&tracking(0), unix_ns, 10), 10 * 10_000);
    assert_eq!(watch.live_allowance_ns(&tracking(16), unix_ns, 10), 192 * 5_000);
}

#[test]
fn chronyd_is_asked_once_for_each_of_its_updates() {
    let mut watch = FitWatch::default();
    let mut chronyd = Asked { fit: Some(fit(99, None)), times: 0 };
    for second in 0..64 {
        let report = tracking(second / 16 * 16);
        watch.follow(&report, &mut chronyd, ((UPDATED_S + second) * SECOND, second * SECOND));
    }
    assert_eq!(chronyd.times, 4);
    // One that does not answer is asked again after some seconds.
    chronyd = Asked { fit: None, times: 0 };
    for second in 64..80 {
        watch.follow(&tracking(64), &mut chronyd, (UPDATED_S * SECOND, second * SECOND));
    }
    assert_eq!(chronyd.times, 4);
    // Nothing rests on a report without a bound.
    let unsynchronised = Tracking { leap: Leap::Unsynchronized, ..tracking(99) };
    assert!(!watch.follow(&unsynchronised, &mut chronyd, (0, 99 * SECOND)));
}
