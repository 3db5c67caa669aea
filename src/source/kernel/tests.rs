use super::*;
use crate::counter::CounterId;
use crate::host::scripted::ScriptedHost;
use crate::host::{STA_INS, STA_NANO, STA_UNSYNC, TIME_ERROR, TIME_INS, TIME_OK};

const SECOND: i64 = NANOS_PER_SECOND;

/// A kernel under an honest chronyd.
fn healthy() -> KernelState {
    KernelState {
        state: TIME_OK,
        status: STA_NANO,
        maxerror_us: 1_234,
        esterror_us: 10,
        offset_ns: 0,
        adjtime_ns: 0,
        rate_ppb: 12_345,
        tai: 37,
        unix_ns: 0,
    }
}

fn evidence(before: KernelState, after: KernelState) -> Evidence {
    let unix_ns = 1_700_000_000 * SECOND + 250_000_000;
    Evidence {
        kernel: (before, after),
        realtime: Realtime { before: 1, unix_ns, after: 2, offset: (0, 0) },
        counted_until_ns: 1_700_000_000 * SECOND,
        suspended_ns: Some(0),
        monotonic_ns: 0,
    }
}

/// Without chronyd, and without a demand for it.
fn kernel_alone() -> Policy {
    Policy {
        chrony: ChronyAnswer::Nothing("not running".to_owned()),
        needs_chrony: false,
        believes_any_writer: false,
        max_drift_ppm: DEFAULT_MAX_DRIFT_PPM,
    }
}

/// The error by this policy, where these daemons run.
fn error_ns(
    evidence: &Evidence,
    since_suspend: Option<i64>,
    policy: &Policy,
    running: &[Daemon],
) -> Result<u64, SourceError> {
    stated_error_ns(evidence, since_suspend, policy, &mut || running.to_vec())
}

fn judge(state: KernelState) -> Result<u64, Reason> {
    error_ns(&evidence(state, state), None, &kernel_alone(), &[]).map_err(|error| error.reason())
}

#[test]
fn which_bounds_are_believed_and_by_how_much() {
    let h = healthy();
    // 1 235 µs, and 250 ms of growth at 500 ppm, longer by the slew.
    let plain = 1_235_000 + 140_626;
    let pll = STA_PLL | STA_NANO;
    let cases = [
        ("honest", h, Ok(plain)),
        ("unsync", KernelState { status: STA_UNSYNC, ..h }, Err(Reason::KernelUnsynchronized)),
        ("error state", KernelState { state: TIME_ERROR, ..h }, Err(Reason::KernelUnsynchronized)),
        ("timesyncd, just now", KernelState { maxerror_us: 0, ..h }, Err(Reason::NoBoundStated)),
        (
            "timesyncd, a minute ago",
            KernelState { maxerror_us: 30_000, ..h },
            Err(Reason::NoBoundStated),
        ),
        (
            "ntpd at its start",
            KernelState { maxerror_us: 16, status: pll, ..h },
            Err(Reason::NoBoundStated),
        ),
        (
            "ntpd at its start, later",
            KernelState { maxerror_us: 5_016, status: pll, ..h },
            Err(Reason::NoBoundStated),
        ),
        ("16 µs without a PLL", KernelState { maxerror_us: 16, ..h }, Ok(17_000 + 140_626)),
        ("nonsense", KernelState { maxerror_us: -1, ..h }, Err(Reason::NoBoundStated)),
        (
            "PLL with an offset",
            KernelState { status: pll, offset_ns: -70_000, ..h },
            Ok(plain + 70_000),
        ),
        ("an offset without a PLL", KernelState { offset_ns: 70_000, ..h }, Ok(plain)),
        ("adjtime()", KernelState { adjtime_ns: -9_000, ..h }, Ok(plain + 9_000)),
        ("slew at the limit", KernelState { rate_ppb: -300_000, ..h }, Ok(plain)),
        ("slew beyond it", KernelState { rate_ppb: 300_001, ..h }, Err(Reason::Slewing)),
        ("slew the other way", KernelState { rate_ppb: -100_000_000, ..h }, Err(Reason::Slewing)),
        ("absurd", KernelState { maxerror_us: i64::MAX, ..h }, Ok(u64::MAX)),
    ];
    for (what, state, verdict) in cases {
        let got = judge(state);
        if verdict == Ok(u64::MAX) {
            assert!(got.is_ok_and(|ns| ns >= i64::MAX as u64), "{what}: {got:?}");
        } else {
            assert_eq!(got, verdict, "{what}");
        }
    }
}

#[test]
fn chronyd_confirms_what_the_kernel_leaves_flagged_and_the_larger_bound_counts() {
    let h = healthy();
    let flagged = KernelState { status: STA_UNSYNC, state: TIME_ERROR, ..h };
    let stepped = KernelState { maxerror_us: 16_000_000, ..flagged };
    let confirms = |excess_ns| ChronyAnswer::Confirms { excess_ns };
    let nothing = || ChronyAnswer::Nothing("not synchronised".to_owned());
    let plain = 1_235_000 + 140_626;
    let cases = [
        ("both", h, confirms(0), Ok(plain)),
        ("chronyd says more", h, confirms(9_000), Ok(plain + 9_000)),
        ("chronyd is not there", h, nothing(), Ok(plain)),
        ("no rtcsync", flagged, confirms(0), Ok(plain)),
        ("no rtcsync, and more", flagged, confirms(7), Ok(plain + 7)),
        ("flagged, no report", flagged, nothing(), Err(Reason::KernelUnsynchronized)),
        // chronyd does not know yet that the clock was stepped behind its back.
        ("stepped", stepped, confirms(16), Err(Reason::KernelUnsynchronized)),
        (
            "a zero beside chronyd",
            KernelState { maxerror_us: 500, ..h },
            confirms(100),
            Err(Reason::NoBoundStated),
        ),
    ];
    for (what, state, chrony, verdict) in cases {
        let policy = Policy { chrony, ..kernel_alone() };
        let got = error_ns(&evidence(state, state), None, &policy, &[]);
        assert_eq!(got.map_err(|error| error.reason()), verdict, "{what}");
    }
}

#[test]
fn where_chronyd_must_confirm_the_kernels_bound_alone_is_refused() {
    let state = healthy();
    let judge = |chrony, needs_chrony| {
        let policy = Policy { chrony, needs_chrony, ..kernel_alone() };
        error_ns(&evidence(state, state), None, &policy, &[])
    };
    let nothing = || ChronyAnswer::Nothing("it is not running".to_owned());
    assert!(judge(nothing(), false).is_ok());
    assert!(judge(ChronyAnswer::Confirms { excess_ns: 0 }, true).is_ok());
    let error = judge(nothing(), true).expect_err("the kernel alone").to_string();
    assert!(error.contains("chronyd: it is not running"), "{error}");
}

#[test]
fn a_bound_is_refused_where_only_a_daemon_without_one_runs_unless_the_operator_says_so() {
    let state = healthy();
    let zero = KernelState { maxerror_us: 500, ..state };
    let (timesyncd, chronyd) = ([Daemon::Timesyncd], [Daemon::Chrony]);
    let cases = [
        (state, timesyncd, false, false),
        (state, timesyncd, true, true),
        (state, chronyd, false, true),
        (zero, chronyd, false, false),
        (zero, timesyncd, true, true),
    ];
    for (state, running, believes_any_writer, believed) in cases {
        let policy = Policy { believes_any_writer, ..kernel_alone() };
        let got = error_ns(&evidence(state, state), None, &policy, &running);
        assert_eq!(got.is_ok(), believed, "{running:?} {got:?}");
        if let Err(error) = got {
            let text = error.to_string();
            assert!(text.contains(&running[0].to_string()), "named: {text}");
        }
    }
}

#[test]
fn of_the_two_reads_the_worse_counts() {
    let small = healthy();
    let large = KernelState { maxerror_us: 1_734, ..small };
    let both = [(small, large), (large, small)];
    let errors =
        both.map(|(a, b)| error_ns(&evidence(a, b), None, &kernel_alone(), &[]).expect("honest"));
    assert_eq!(errors[0], errors[1]);
    assert!(errors[0] > 1_734_000);
    let lost = KernelState { status: STA_UNSYNC, ..small };
    assert!(error_ns(&evidence(small, lost), None, &kernel_alone(), &[]).is_err());
    assert!(error_ns(&evidence(lost, small), None, &kernel_alone(), &[]).is_err());
}

#[test]
fn maxerror_ages_until_the_second_is_counted() {
    let cases = [
        // counted until, now, ns of error added: 500 ppm and an eighth
        (0, 0, 1),
        (0, 999_999_999, 562_500),
        // a tick is late: the last second is not counted yet
        (0, SECOND + 8_000_000, 567_001),
        (SECOND, SECOND + 8_000_000, 4_501),
        // the clock was stepped back meanwhile
        (SECOND, 0, 1),
        (0, i64::MAX, 4_611_686_018_427_388),
    ];
    for (counted, now, added) in cases {
        assert_eq!(stale_ns(counted, now), added, "counted until {counted}, now {now}");
    }
}

#[test]
fn a_suspend_before_the_first_sample_may_be_one_that_the_daemon_has_not_noticed() {
    let mut kernel = Kernel::new(LeapTable::builtin());
    let mut judge = |maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        let e = Evidence { suspended_ns: Some(9 * SECOND), ..evidence(state, state) };
        kernel.notice_suspend(&e);
        error_ns(&e, kernel.since_suspend, &kernel_alone(), &[]).map_err(|error| error.reason())
    };
    assert_eq!(judge(1_234), Err(Reason::Suspended));
    assert_eq!(judge(1_734), Err(Reason::Suspended), "only growth");
    assert!(judge(801).is_ok(), "the daemon has written");
}

#[test]
fn after_a_suspend_the_bound_is_refused_until_the_daemon_writes() {
    let mut kernel = Kernel::new(LeapTable::builtin());
    let at = |suspended_ns, maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        Evidence { suspended_ns: Some(suspended_ns), ..evidence(state, state) }
    };
    let mut judge = |e: Evidence| {
        kernel.notice_suspend(&e);
        error_ns(&e, kernel.since_suspend, &kernel_alone(), &[]).map_err(|error| error.reason())
    };
    assert!(judge(at(500, 1_234)).is_ok(), "never suspended, but for noise");
    assert!(judge(at(500_900, 1_234)).is_ok(), "noise of reading two clocks");
    assert_eq!(judge(at(9 * SECOND, 1_234)), Err(Reason::Suspended));
    assert_eq!(judge(at(9 * SECOND, 1_734)), Err(Reason::Suspended), "only growth");
    assert!(judge(at(9 * SECOND, 801)).is_ok(), "the daemon has written");
    assert!(judge(at(9 * SECOND, 1_301)).is_ok());
}

/// How wide a sample of this evidence is, in ns.
fn width_ns(kernel: &mut Kernel, evidence: &Evidence) -> u128 {
    kernel.judge(evidence).expect("a bound").time.width().as_nanos()
}

#[test]
fn a_sample_is_as_wide_as_all_that_the_clock_may_be_off() {
    let mut kernel = Kernel::new(LeapTable::builtin());
    let h = healthy();
    // Both ways, and the step of the clock once.
    let plain = 1_235_000 + 140_626;
    assert_eq!(width_ns(&mut kernel, &evidence(h, h)), 2 * plain + 11);
    // What the PLL has still to correct, and the third of it that is under way.
    let pll = KernelState { status: STA_PLL | STA_NANO, offset_ns: 30_000_000, ..h };
    let all = plain + 30_000_000 + 10_000_000;
    assert_eq!(width_ns(&mut kernel, &evidence(pll, pll)), 2 * all + 11);
}

#[test]
fn a_leap_second_that_the_table_lacks_is_covered_after_the_kernel_has_forgotten_it() {
    let mut kernel = Kernel::new(LeapTable::builtin());
    let midnight = 1_700_006_400;
    let at = |unix: i64, state: KernelState| {
        let mut evidence = evidence(state, state);
        evidence.realtime.unix_ns = unix * SECOND;
        evidence.counted_until_ns = unix * SECOND;
        evidence
    };
    let quiet = KernelState { tai: 0, ..healthy() };
    let told = KernelState { state: TIME_INS, status: STA_NANO | STA_INS, ..quiet };
    let second = SECOND as u128;
    assert!(width_ns(&mut kernel, &at(midnight - 3_600, told)) < second);
    assert!(width_ns(&mut kernel, &at(midnight + 86_399, quiet)) >= second);
    // The built-in table expires later and denies it, and the daemon has measured since.
    assert!(width_ns(&mut kernel, &at(midnight + 86_400, quiet)) < second);
    // A table that says nothing of that day is no reason to forget it.
    let entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.seconds(), entry.tai_minus_utc))
        .collect();
    let silent = LeapTable::from_entries(&entries).expect("in order");
    kernel.wall_clock.replace(silent);
    assert!(width_ns(&mut kernel, &at(midnight - 3_600, told)) < second);
    assert!(width_ns(&mut kernel, &at(midnight + 99 * 86_400, quiet)) >= second);
    // The operator gives a newer one.
    kernel.wall_clock.replace(LeapTable::builtin());
    assert!(width_ns(&mut kernel, &at(midnight + 99 * 86_400, quiet)) < second);
}

#[test]
fn the_clock_and_its_bound_are_read_in_one_stretch_without_a_step() {
    let is_apart = |evidence: &Evidence| {
        let (before, after) = &evidence.kernel;
        (before.status, before.state) != (after.status, after.state)
    };
    let counter = |host: &Arc<ScriptedHost>| Counter::new(host.clone(), CounterId::DIRECT);
    let mut read = 0;
    // The wall clock is stepped away before any of the readings, and back before any later one.
    for from in 0..40 {
        for to in from + 1..40 {
            let host = ScriptedHost::new();
            host.set_kernel_state(healthy());
            let honest = Realtime::read(&counter(&host)).expect("readable");
            host.step_away_during(from..to, 5 * SECOND);
            let Ok(evidence) = gather(&counter(&host)) else { continue };
            read += 1;
            assert!(!is_apart(&evidence), "the kernel's states, {from} to {to}");
            let is_synchronized = evidence.kernel.0.is_synchronized();
            let is_off = evidence.realtime.was_stepped_since(&honest);
            assert_eq!(is_off, !is_synchronized, "the clock, {from} to {to}");
        }
    }
    assert!(read > 100, "{read}");
}
