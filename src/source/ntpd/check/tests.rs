use super::*;
use crate::host::{STA_NANO, STA_UNSYNC};
use crate::source::chrony::ChronyError;
use crate::source::chrony::tracking::Tracking;
use crate::source::daemon::Running;
use std::time::Duration;

/// An ntpd that answers what a test says, and counts how often it is asked.
struct Scripted {
    variables: Option<SystemVariables>,
    driver_error_ns: Option<u64>,
    asked: u32,
}

impl TimeDaemons for Scripted {
    fn running(&mut self) -> Running {
        Running::default()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        Err(ChronyError::NotRunning { at: "the test".to_owned() })
    }

    fn ntpd_variables(&mut self) -> Result<SystemVariables, NtpdError> {
        self.asked += 1;
        let at = super::super::client::UDP;
        self.variables.clone().ok_or(NtpdError::NoAnswer { at, timeout: Duration::ZERO })
    }

    fn reference_error_ns(&mut self, _name: &str) -> Option<u64> {
        self.driver_error_ns
    }
}

fn variables(stratum: u8, refid: &str, root_delay_ns: u64) -> SystemVariables {
    SystemVariables {
        leap: 0,
        stratum,
        refid: refid.to_owned(),
        peer: 1,
        root_delay_ns,
        root_dispersion_ns: 3_000_000,
        version: String::new(),
    }
}

fn kernel(maxerror_us: i64) -> KernelState {
    KernelState { status: STA_NANO | STA_PLL, maxerror_us, tai: 37, ..KernelState::BLANK }
}

fn ntpd(variables: SystemVariables) -> Scripted {
    Scripted { variables: Some(variables), driver_error_ns: None, asked: 0 }
}

#[test]
fn an_ntpd_that_follows_a_server_writes_the_bound_and_the_larger_one_counts() {
    for (maxerror_us, excess_ns) in [(9_000, 0), (4_000, 0), (1_000, 3_000_000)] {
        let mut ntpd = ntpd(variables(3, "192.0.2.7", 2_000_000));
        let answer = NtpdCheck::default().answer(&mut ntpd, 0, &kernel(maxerror_us), None);
        assert_eq!(answer, NtpdAnswer::Writes { excess_ns }, "{maxerror_us}");
    }
}

#[test]
fn an_ntpd_that_follows_itself_writes_nothing_that_counts() {
    for refid in ["127.127.1.0", "127.0.0.1"] {
        let mut ntpd = ntpd(variables(6, refid, 0));
        let answer = NtpdCheck::default().answer(&mut ntpd, 0, &kernel(11_111), None);
        assert!(matches!(answer, NtpdAnswer::Nothing(_)), "{refid}: {answer:?}");
    }
}

#[test]
fn the_error_of_a_reference_clock_must_be_stated_by_someone() {
    let answer = |delay_ns, driver_error_ns, stated| {
        let mut ntpd = ntpd(variables(1, "GPS", delay_ns));
        ntpd.driver_error_ns = driver_error_ns;
        NtpdCheck::default().answer(&mut ntpd, 0, &kernel(9_000), stated)
    };
    assert!(matches!(answer(0, None, None), NtpdAnswer::Reference(why) if why.contains("GPS")));
    assert_eq!(answer(0, None, Some(5)), NtpdAnswer::Writes { excess_ns: 5 });
    assert_eq!(answer(0, Some(7), None), NtpdAnswer::Writes { excess_ns: 7 });
    assert_eq!(answer(2_000, None, None), NtpdAnswer::Writes { excess_ns: 0 });
}

#[test]
fn ntpd_is_asked_only_where_the_kernels_pll_shows_it_and_seldom() {
    let mut check = NtpdCheck::default();
    let mut daemon = ntpd(variables(3, "192.0.2.7", 0));
    let off = KernelState { status: STA_NANO, ..kernel(9_000) };
    let unsync = KernelState { status: STA_PLL | STA_UNSYNC, ..kernel(9_000) };
    for state in [off, unsync] {
        assert_eq!(check.answer(&mut daemon, 0, &state, None), NtpdAnswer::NotAsked);
    }
    assert_eq!(daemon.asked, 0);
    let cases = [
        (0, 9_001, 1),
        (1, 9_501, 1),                    // grown, and not written
        (2, 9_002, 2),                    // written
        (NANOS_PER_SECOND + 2, 9_502, 3), // a second later
    ];
    for (now_ns, maxerror_us, asked) in cases {
        check.answer(&mut daemon, now_ns, &kernel(maxerror_us), None);
        assert_eq!(daemon.asked, asked, "at {now_ns} ns");
    }
    let mut silent = Scripted { variables: None, ..daemon };
    silent.asked = 0;
    let mut check = NtpdCheck::default();
    for (now_ns, asked) in [(0, 1), (NANOS_PER_SECOND, 1), (5 * NANOS_PER_SECOND, 2)] {
        let answer = check.answer(&mut silent, now_ns, &kernel(now_ns / NANOS_PER_SECOND), None);
        assert!(matches!(answer, NtpdAnswer::Nothing(_)), "{answer:?}");
        assert_eq!(silent.asked, asked, "at {now_ns} ns");
    }
}
