use std::time::Duration;

use super::*;
use crate::host::{STA_NANO, TIME_OK};
use crate::source::chrony::Reference;
use crate::source::daemon::Daemon;

fn report(leap: Leap, id: u32) -> Tracking {
    Tracking {
        reference: Reference { id, address: None },
        stratum: 1,
        leap,
        reference_time: Duration::from_secs(1_714_521_600),
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

#[test]
fn the_larger_of_the_two_bounds_counts() {
    let report = report(Leap::Normal, 1);
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
    for (maxerror_us, excess_ns) in cases {
        let answer = compare(&report, maxerror_us);
        assert_eq!(answer, ChronyAnswer::Confirms { excess_ns }, "{maxerror_us}");
    }
}

#[test]
fn a_chronyd_that_is_not_synchronised_confirms_nothing() {
    for report in [report(Leap::Unsynchronized, 1), report(Leap::Normal, Reference::LOCAL)] {
        assert!(matches!(compare(&report, 1), ChronyAnswer::Nothing(_)), "{report:?}");
    }
}

/// A chronyd that does what a test says, and counts how often it is asked.
struct Scripted {
    answers: bool,
    asked: u32,
}

impl TimeDaemons for Scripted {
    fn running(&mut self) -> Vec<Daemon> {
        Vec::new()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        self.asked += 1;
        let at = "the test".to_owned();
        match self.answers {
            true => Ok(report(Leap::Normal, 1)),
            false => Err(ChronyError::NoAnswer { at, timeout: Duration::from_millis(100) }),
        }
    }
}

fn kernel(maxerror_us: i64) -> KernelState {
    KernelState {
        state: TIME_OK,
        status: STA_NANO,
        maxerror_us,
        esterror_us: 0,
        offset_ns: 0,
        adjtime_ns: 0,
        rate_ppb: 0,
        tai: 37,
        unix_ns: 0,
    }
}

#[test]
fn chronyd_is_asked_once_a_second_and_when_the_kernel_was_told_something_new() {
    let mut chronyd = Scripted { answers: true, asked: 0 };
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
        let answer = check.answer(&mut chronyd, now_ns, &kernel(maxerror_us));
        assert_eq!(answer, ChronyAnswer::Confirms { excess_ns: 0 });
        assert_eq!(chronyd.asked, asked, "at {now_ns} ns");
        assert_eq!(check.tracking().map(|tracking| tracking.leap), Some(Leap::Normal));
    }
}

#[test]
fn a_silent_chronyd_is_left_alone_for_five_seconds() {
    let mut chronyd = Scripted { answers: false, asked: 0 };
    let mut check = ChronyCheck::default();
    for (now_ns, asked) in
        [(0, 1), (NANOS_PER_SECOND, 1), (5 * NANOS_PER_SECOND - 1, 1), (5 * NANOS_PER_SECOND, 2)]
    {
        // A new mark is no reason to wait for it once more.
        let answer = check.answer(&mut chronyd, now_ns, &kernel(now_ns / NANOS_PER_SECOND));
        let ChronyAnswer::Nothing(why) = answer else { panic!("it does not answer") };
        assert!(why.contains("did not answer"), "{why}");
        assert_eq!(chronyd.asked, asked, "at {now_ns} ns");
        assert!(check.tracking().is_none());
    }
}
