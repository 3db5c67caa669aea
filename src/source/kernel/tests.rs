use super::*;

const SECOND: i64 = 1_000_000_000;

/// A kernel under an honest chronyd.
fn healthy() -> KernelState {
    KernelState {
        state: libc::TIME_OK,
        status: libc::STA_NANO,
        maxerror_us: 1_234,
        esterror_us: 10,
        offset_ns: 0,
        adjtime_ns: 0,
        rate_ppb: 12_345,
        tai: 37,
    }
}

fn evidence(before: KernelState, after: KernelState) -> Evidence {
    let unix_ns = 1_700_000_000 * SECOND + 250_000_000;
    Evidence {
        kernel: (before, after),
        realtime: Realtime { before: 1, unix_ns, after: 2, offset: (0, 0) },
        counted_until_ns: 1_700_000_000 * SECOND,
        suspended_ns: 0,
    }
}

/// Nobody but the kernel is heard.
fn nobody() -> Others {
    let word = Word::Nothing("not running".to_owned());
    Others { word, running: Vec::new, believes_any_writer: false, needs_chrony: false }
}

fn judge(state: KernelState) -> Result<u64, Reason> {
    vouched_error_ns(&evidence(state, state), None, &nobody()).map_err(|error| error.reason())
}

#[test]
fn who_is_believed_and_by_how_much() {
    let h = healthy();
    // 1 235 µs, and 250 ms of growth at 500 ppm, longer by the slew.
    let plain = 1_235_000 + 140_626;
    let pll = libc::STA_PLL | libc::STA_NANO;
    let cases = [
        ("honest", h, Ok(plain)),
        (
            "unsync",
            KernelState { status: libc::STA_UNSYNC, ..h },
            Err(Reason::KernelUnsynchronized),
        ),
        (
            "error state",
            KernelState { state: libc::TIME_ERROR, ..h },
            Err(Reason::KernelUnsynchronized),
        ),
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
    for (who, state, verdict) in cases {
        let got = judge(state);
        if verdict == Ok(u64::MAX) {
            assert!(got.is_ok_and(|ns| ns >= i64::MAX as u64), "{who}: {got:?}");
        } else {
            assert_eq!(got, verdict, "{who}");
        }
    }
}

#[test]
fn chronyd_confirms_what_the_kernel_leaves_flagged_and_the_larger_bound_counts() {
    let h = healthy();
    let flagged = KernelState { status: libc::STA_UNSYNC, state: libc::TIME_ERROR, ..h };
    let stepped = KernelState { maxerror_us: 16_000_000, ..flagged };
    let vouches = |excess_ns| Word::Vouches { excess_ns };
    let nothing = || Word::Nothing("not synchronised".to_owned());
    let plain = 1_235_000 + 140_626;
    let cases = [
        ("both", h, vouches(0), Ok(plain)),
        ("chronyd says more", h, vouches(9_000), Ok(plain + 9_000)),
        ("chronyd is not there", h, nothing(), Ok(plain)),
        ("no rtcsync", flagged, vouches(0), Ok(plain)),
        ("no rtcsync, and more", flagged, vouches(7), Ok(plain + 7)),
        ("flagged, no word", flagged, nothing(), Err(Reason::KernelUnsynchronized)),
        // chronyd does not know yet that the clock was stepped behind its back.
        ("stepped", stepped, vouches(16), Err(Reason::KernelUnsynchronized)),
        (
            "a zero beside chronyd",
            KernelState { maxerror_us: 500, ..h },
            vouches(100),
            Err(Reason::NoBoundStated),
        ),
    ];
    for (what, state, word, verdict) in cases {
        let others = Others { word, ..nobody() };
        let got = vouched_error_ns(&evidence(state, state), None, &others);
        assert_eq!(got.map_err(|error| error.reason()), verdict, "{what}");
    }
}

#[test]
fn where_chronyd_must_confirm_the_kernels_word_alone_is_nothing() {
    let state = healthy();
    let judge = |word, needs_chrony| {
        let others = Others { word, needs_chrony, ..nobody() };
        vouched_error_ns(&evidence(state, state), None, &others)
    };
    let nothing = || Word::Nothing("it is not running".to_owned());
    assert!(judge(nothing(), false).is_ok());
    assert!(judge(Word::Vouches { excess_ns: 0 }, true).is_ok());
    let error = judge(nothing(), true).expect_err("the kernel alone").to_string();
    assert!(error.contains("chronyd: it is not running"), "{error}");
}

#[test]
fn a_bound_is_refused_where_only_a_daemon_without_one_runs_unless_the_operator_says_so() {
    let state = healthy();
    let zero = KernelState { maxerror_us: 500, ..state };
    let timesyncd = || vec![Daemon::Timesyncd];
    let chronyd = || vec![Daemon::Chrony];
    type Running = fn() -> Vec<Daemon>;
    let cases: [(_, Running, bool, bool); 5] = [
        (state, timesyncd, false, false),
        (state, timesyncd, true, true),
        (state, chronyd, false, true),
        (zero, chronyd, false, false),
        (zero, timesyncd, true, true),
    ];
    for (state, running, believes_any_writer, believed) in cases {
        let others = Others { running, believes_any_writer, ..nobody() };
        let got = vouched_error_ns(&evidence(state, state), None, &others);
        assert_eq!(got.is_ok(), believed, "{:?} {got:?}", running());
        if let Err(error) = got {
            let words = error.to_string();
            assert!(words.contains(&running()[0].to_string()), "named: {words}");
        }
    }
}

#[test]
fn of_the_two_looks_the_worse_counts() {
    let small = healthy();
    let large = KernelState { maxerror_us: 1_734, ..small };
    let both = [(small, large), (large, small)];
    let errors =
        both.map(|(a, b)| vouched_error_ns(&evidence(a, b), None, &nobody()).expect("honest"));
    assert_eq!(errors[0], errors[1]);
    assert!(errors[0] > 1_734_000);
    let lost = KernelState { status: libc::STA_UNSYNC, ..small };
    assert!(vouched_error_ns(&evidence(small, lost), None, &nobody()).is_err());
    assert!(vouched_error_ns(&evidence(lost, small), None, &nobody()).is_err());
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
fn a_suspend_before_anybody_looked_may_be_one_that_the_daemon_has_not_noticed() {
    let mut kernel = Kernel::new(LeapTable::builtin());
    let mut judge = |maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        let e = Evidence { suspended_ns: 9 * SECOND, ..evidence(state, state) };
        kernel.notice_suspend(&e);
        vouched_error_ns(&e, kernel.since_suspend, &nobody()).map_err(|error| error.reason())
    };
    assert_eq!(judge(1_234), Err(Reason::Suspended));
    assert_eq!(judge(1_734), Err(Reason::Suspended), "only growth");
    assert!(judge(801).is_ok(), "the daemon has written");
}

#[test]
fn after_a_suspend_nothing_is_vouched_for_until_the_daemon_writes() {
    let mut kernel = Kernel::new(LeapTable::builtin());
    let at = |suspended_ns, maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        Evidence { suspended_ns, ..evidence(state, state) }
    };
    let mut judge = |e: Evidence| {
        kernel.notice_suspend(&e);
        vouched_error_ns(&e, kernel.since_suspend, &nobody()).map_err(|error| error.reason())
    };
    assert!(judge(at(500, 1_234)).is_ok(), "never suspended, but for noise");
    assert!(judge(at(500_900, 1_234)).is_ok(), "noise of reading two clocks");
    assert_eq!(judge(at(9 * SECOND, 1_234)), Err(Reason::Suspended));
    assert_eq!(judge(at(9 * SECOND, 1_734)), Err(Reason::Suspended), "only growth");
    assert!(judge(at(9 * SECOND, 801)).is_ok(), "the daemon has written");
    assert!(judge(at(9 * SECOND, 1_301)).is_ok());
}
