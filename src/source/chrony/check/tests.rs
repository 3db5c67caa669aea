use std::time::Duration;

use super::*;
use crate::host::STA_NANO;
use crate::host::scripted::ScriptedHost;
use crate::source::chrony::Reference;
use crate::source::chrony::chrony_fit::ChronyFit;

const UPDATED_S: i64 = 1_714_521_600;

/// chronyd follows a server, and updated its clock at [`UPDATED_S`].
fn report() -> Tracking {
    Tracking {
        reference: Reference { id: 0xc000_0201, address: Some([192, 0, 2, 1].into()) },
        stratum: 1,
        leap: Leap::Normal,
        reference_time: Duration::from_secs(UPDATED_S.unsigned_abs()),
        correction_ns: 1_000_000,
        root_delay_ns: 500_000,
        root_dispersion_ns: 250_000,
        last_offset: 0.0,
        rms_offset: 0.0,
        frequency_ppm: 0.0,
        residual_frequency_ppm: 0.0,
        skew_ppm: 0.0,
        update_interval: 1.0,
    }
}

/// A reference clock by this name.
fn reference(name: [u8; 4]) -> Reference {
    Reference { id: u32::from_be_bytes(name), address: None }
}

/// A chronyd that does what a test says, and counts how often it is asked.
struct Scripted {
    answer: Option<Tracking>,
    running: Running,
    driver_error_ns: Option<u64>,
    fit: Option<ChronyFit>,
    asked: u32,
}

impl Scripted {
    fn answering(tracking: Tracking) -> Scripted {
        let running = Running::default();
        Scripted { answer: Some(tracking), running, driver_error_ns: None, fit: None, asked: 0 }
    }
}

impl TimeDaemons for Scripted {
    fn running(&mut self) -> Running {
        self.running.clone()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        self.asked += 1;
        let at = "the test".to_owned();
        self.answer.ok_or(ChronyError::NoAnswer { at, timeout: Duration::from_millis(100) })
    }

    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        Ok(self.fit)
    }

    fn reference_error_ns(&mut self, _name: &str) -> Option<u64> {
        self.driver_error_ns
    }
}

fn kernel(maxerror_us: i64) -> KernelState {
    KernelState {
        status: STA_NANO,
        maxerror_us,
        tai: 37,
        unix_ns: UPDATED_S * NANOS_PER_SECOND,
        ..KernelState::BLANK
    }
}

/// The answer of a check that is asked for the first time.
fn first_answer(daemons: &mut Scripted, maxerror_us: i64, stated: Option<u64>) -> ChronyAnswer {
    answer(&mut ChronyCheck::default(), daemons, 0, maxerror_us, stated)
}

fn answer(
    check: &mut ChronyCheck,
    daemons: &mut Scripted,
    now_ns: i64,
    maxerror_us: i64,
    stated: Option<u64>,
) -> ChronyAnswer {
    let host = ScriptedHost::new();
    host.set_kernel_state(kernel(maxerror_us));
    check.answer(daemons, now_ns, &host, stated).expect("the host is readable")
}

fn confirms(excess_ns: u64) -> ChronyAnswer {
    ChronyAnswer::Confirms { excess_ns, wrote_mark: false }
}

#[test]
fn the_larger_of_the_two_bounds_counts_where_both_are_of_the_same_moment() {
    let report = report();
    assert_eq!(report.bound_ns(), Some(1_500_000));
    let cases = [
        // the kernel's maxerror in µs, what chronyd states beyond it in ns
        (0, 1_500_000),
        (1_000, 500_000),
        (1_500, 0),
        (2_000, 0),
        (i64::MAX, 0),
        (-5, 1_500_000),
    ];
    for (maxerror_us, excess) in cases {
        assert_eq!(excess_ns(&report, &kernel(maxerror_us)), Some(excess), "{maxerror_us}");
    }
}

#[test]
fn what_chronyd_adds_for_a_frequency_that_it_does_not_know_yet_is_left_to_the_kernel() {
    // After iburst with minpoll 7: 1.5 ms at its update, and a skew of 3 %.
    let after = |seconds: i64, kernels_us: i64| {
        let grown = (seconds * 30_000_000) as u64;
        let tracking =
            Tracking { skew_ppm: 30_000.0, root_dispersion_ns: 250_000 + grown, ..report() };
        let at = (UPDATED_S + seconds) * NANOS_PER_SECOND;
        let kernel = KernelState { unix_ns: at, ..kernel(kernels_us + 500 * seconds) };
        excess_ns(&tracking, &kernel).expect("it has a bound")
    };
    for seconds in [0, 1, 60, 127] {
        // What chronyd stated at its update, less rounding, is in the kernel's number.
        let left = after(seconds, 1_500);
        assert!(left < 10_000, "{left} ns after {seconds} s");
        // What the kernel lacks of it still counts.
        let left = after(seconds, 1_000);
        assert!((500_000..510_000).contains(&left), "{left} ns after {seconds} s");
    }
    // What is left of its frequency's error counts like the skew, whichever its sign.
    let half = |residual_frequency_ppm| {
        let grown = 250_000 + 60 * 30_000_000;
        let tracking = Tracking {
            skew_ppm: 15_000.0,
            residual_frequency_ppm,
            root_dispersion_ns: grown,
            ..report()
        };
        let at = (UPDATED_S + 60) * NANOS_PER_SECOND;
        let kernel = KernelState { unix_ns: at, ..kernel(1_500 + 500 * 60) };
        excess_ns(&tracking, &kernel).expect("it has a bound")
    };
    assert!(half(15_000.0) < 10_000 && half(-15_000.0) < 10_000);
    // A skew below the kernel's growth takes nothing away.
    let calm = Tracking { skew_ppm: 400.0, root_dispersion_ns: 9_000_000, ..report() };
    let later = KernelState { unix_ns: (UPDATED_S + 9) * NANOS_PER_SECOND, ..kernel(1_500) };
    assert_eq!(excess_ns(&calm, &later), Some(calm.bound_ns().expect("a bound") - 1_500_000));
}

#[test]
fn a_chronyd_that_is_not_synchronised_or_follows_itself_confirms_nothing() {
    let unsynchronized = Tracking { leap: Leap::Unsynchronized, ..report() };
    let local = Reference { id: Reference::LOCAL, address: None };
    let itself = Tracking { reference: local, ..report() };
    let relayed = Tracking { reference: reference(*b"LOCL"), ..report() };
    for (tracking, said) in [
        (unsynchronized, "not synchronised to anything"),
        (itself, "its own clock only"),
        (relayed, "its own clock only"),
    ] {
        let got = first_answer(&mut Scripted::answering(tracking), 1_600, Some(1));
        let ChronyAnswer::Nothing(why) = got else { panic!("{got:?}") };
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn a_chronyd_that_does_not_fit_the_kernel_confirms_nothing() {
    let elsewhere = Tracking { frequency_ppm: 12.0, ..report() };
    let mut daemons = Scripted::answering(elsewhere);
    let got = first_answer(&mut daemons, 1_600, None);
    assert!(matches!(got, ChronyAnswer::Foreign(_)), "{got:?}");
    // Its process shows that it may set the clock, or that it may not.
    daemons.running.daemons = vec![Daemon::Chrony];
    assert_eq!(first_answer(&mut daemons, 1_600, None), confirms(0));
    let mut watching = Scripted::answering(report());
    watching.running.has_idle_chronyd = true;
    let got = first_answer(&mut watching, 1_600, None);
    assert!(matches!(got, ChronyAnswer::Foreign(_)), "{got:?}");
}

#[test]
fn the_error_of_a_reference_clock_must_be_stated_by_someone() {
    let answer = |root_delay_ns, driver_error_ns, stated| {
        let tracking = Tracking {
            reference: reference(*b"PHC0"),
            root_delay_ns,
            root_dispersion_ns: 1_250_000,
            ..report()
        };
        let mut daemons = Scripted { driver_error_ns, ..Scripted::answering(tracking) };
        first_answer(&mut daemons, 9_000, stated)
    };
    // chronyd's default delay for a reference clock is 1 ns.
    for root_delay_ns in [0, 2, 999] {
        let got = answer(root_delay_ns, None, None);
        assert!(matches!(&got, ChronyAnswer::Reference(why) if why.contains("PHC0")), "{got:?}");
    }
    assert_eq!(answer(1_000, None, None), confirms(0), "`delay` in chrony.conf");
    assert_eq!(answer(2, Some(21_500), None), confirms(21_500), "the driver's");
    assert_eq!(answer(2, Some(21_500), Some(400)), confirms(400), "the operator's");
    // A server's bound holds its own error.
    let mut server = Scripted::answering(report());
    assert_eq!(first_answer(&mut server, 9_000, Some(400)), confirms(0));
}

#[test]
fn chronyd_is_asked_once_a_second_and_when_the_kernel_was_told_something_new() {
    let mut chronyd = Scripted::answering(report());
    let mut check = ChronyCheck::default();
    let cases = [
        // time in ns, maxerror, how often chronyd was asked by then
        (0, 1_600, 1),
        (1, 1_600, 1),
        (NANOS_PER_SECOND - 1, 2_100, 1), // grown, and not written
        (NANOS_PER_SECOND, 2_100, 2),     // a second later
        (NANOS_PER_SECOND + 1, 1_700, 3), // written
        (NANOS_PER_SECOND + 2, 2_200, 3),
        (NANOS_PER_SECOND + 3, 1_701, 4),
    ];
    for (now_ns, maxerror_us, asked) in cases {
        if let Some(tracking) = &mut chronyd.answer {
            // Its update writes its bound.
            tracking.reference_time = Duration::from_micros(maxerror_us as u64 % 500);
            tracking.root_dispersion_ns = 250_000 + (maxerror_us as u64 % 500) * 1_000;
        }
        let answer = answer(&mut check, &mut chronyd, now_ns, maxerror_us, None);
        assert!(matches!(answer, ChronyAnswer::Confirms { excess_ns: 0, .. }), "{answer:?}");
        assert_eq!(chronyd.asked, asked, "at {now_ns} ns");
        assert_eq!(check.tracking().map(|tracking| tracking.leap), Some(Leap::Normal));
    }
}

#[test]
fn a_silent_chronyd_is_left_alone_for_five_seconds() {
    let mut chronyd = Scripted { answer: None, ..Scripted::answering(report()) };
    let mut check = ChronyCheck::default();
    for (now_ns, asked) in
        [(0, 1), (NANOS_PER_SECOND, 1), (5 * NANOS_PER_SECOND - 1, 1), (5 * NANOS_PER_SECOND, 2)]
    {
        // A new mark is no reason to wait for it once more.
        let mark_us = now_ns / NANOS_PER_SECOND;
        let answer = answer(&mut check, &mut chronyd, now_ns, mark_us, None);
        let ChronyAnswer::Nothing(why) = answer else { panic!("it does not answer") };
        assert!(why.contains("did not answer"), "{why}");
        assert_eq!(chronyd.asked, asked, "at {now_ns} ns");
        assert!(check.tracking().is_none());
    }
}

/// No chronyd runs: its port is closed.
struct Closed {
    asked: u32,
}

impl TimeDaemons for Closed {
    fn running(&mut self) -> Running {
        Running::default()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        self.asked += 1;
        Err(ChronyError::NotRunning { at: "the test".to_owned() })
    }
}

#[test]
fn a_chronyd_that_does_not_run_is_looked_for_each_second() {
    let (mut closed, mut check) = (Closed { asked: 0 }, ChronyCheck::default());
    let host = ScriptedHost::new();
    host.set_kernel_state(kernel(1_600));
    for (now_ns, asked) in [(0, 1), (NANOS_PER_SECOND - 1, 1), (NANOS_PER_SECOND, 2)] {
        let answer = check.answer(&mut closed, now_ns, &host, None).expect("readable");
        assert!(matches!(answer, ChronyAnswer::Nothing(_)), "{answer:?}");
        assert_eq!(closed.asked, asked, "at {now_ns} ns");
    }
}

#[test]
fn a_chronyd_that_is_too_busy_to_answer_has_still_written_what_it_wrote() {
    let mut chronyd = Scripted::answering(report());
    let mut check = ChronyCheck::default();
    // The machine has run for a day.
    let (second, start) = (NANOS_PER_SECOND, 86_400 * NANOS_PER_SECOND);
    assert_eq!(answer(&mut check, &mut chronyd, start, 1_600, None), confirms(0));
    chronyd.answer = None;
    for (at, maxerror_us, is_confirmed) in [
        (2, 2_600, true),
        (8, 5_600, true),
        (29, 16_100, true),
        (34, 18_600, false), // for too long
    ] {
        let got = answer(&mut check, &mut chronyd, start + at * second, maxerror_us, None);
        assert_eq!(got == confirms(0), is_confirmed, "after {at} s: {got:?}");
    }
    let mut check = ChronyCheck::default();
    chronyd.answer = Some(report());
    assert_eq!(answer(&mut check, &mut chronyd, 0, 1_600, None), confirms(0));
    chronyd.answer = None;
    let got = answer(&mut check, &mut chronyd, 2 * second, 1_601, None);
    assert!(matches!(got, ChronyAnswer::Nothing(_)), "another mark: {got:?}");
}

#[test]
fn a_bound_that_was_written_since_chronyd_was_asked_is_allowed_more() {
    let host = ScriptedHost::new();
    let (then, since) = (kernel(1_234), kernel(1_235));
    host.set_kernel_state(then);
    let mut check = ChronyCheck::default();
    let mut daemons = Scripted {
        fit: Some(ChronyFit {
            samples: 12,
            span: Duration::from_secs(160),
            newest: None,
            averaged: Duration::ZERO,
        }),
        ..Scripted::answering(report())
    };
    check.answer(&mut daemons, 0, &*host, None).expect("the kernel is read");
    let asked = check.allowance_ns(&(then, then), 10);
    assert_eq!(asked, 160_500 * 5);
    let grown = kernel(1_734);
    assert_eq!(check.allowance_ns(&(then, grown), 10), asked);
    let same_mark = kernel(734);
    for pair in [(then, since), (since, since), (since, then), (same_mark, same_mark)] {
        assert!(check.allowance_ns(&pair, 10) > asked, "{pair:?}");
    }
}
