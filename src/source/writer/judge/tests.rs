use super::*;
use crate::host::{STA_NANO, STA_PLL, STA_UNSYNC, TIME_ERROR, TIME_OK};

/// A kernel under an honest writer.
fn healthy() -> KernelState {
    KernelState {
        state: TIME_OK,
        status: STA_NANO,
        maxerror_us: 1_234,
        esterror_us: 10,
        constant: 0,
        offset_ns: 0,
        adjtime_ns: 0,
        rate_ppb: 12_345,
        tai: 37,
        unix_ns: 0,
    }
}

fn confirms(excess_ns: u64) -> ChronyAnswer {
    ChronyAnswer::Confirms { excess_ns, wrote_mark: false }
}

fn seen(chrony: ChronyAnswer) -> Seen {
    Seen { chrony, ..Seen::default() }
}

fn runs_here(daemons: &[Daemon]) -> Running {
    Running { daemons: daemons.to_vec(), ..Running::default() }
}

fn judged(
    kernel: KernelState,
    rules: &Rules,
    seen: &Seen,
    running: &[Daemon],
) -> Result<u64, SourceError> {
    judge(&(kernel, kernel), rules, seen, &mut || runs_here(running))
}

fn verdict(kernel: KernelState, seen: &Seen) -> Result<u64, Reason> {
    judged(kernel, &Rules::default(), seen, &[]).map_err(|error| error.reason())
}

#[test]
fn a_bound_is_believed_only_if_its_writer_is_known() {
    let h = healthy();
    let nothing = || ChronyAnswer::Nothing("it is not running".to_owned());
    let ntpd = |ntpd| Seen { ntpd, ..seen(nothing()) };
    let clockbound = |clockbound| Seen { clockbound, ..seen(nothing()) };
    let cases = [
        ("chronyd", seen(confirms(0)), Ok(0)),
        ("chronyd states more", seen(confirms(9_000)), Ok(9_000)),
        ("no daemon at all", seen(nothing()), Err(Reason::WriterUnknown)),
        (
            "a chronyd that does not fit",
            seen(ChronyAnswer::Foreign("it answers, and another steers".to_owned())),
            Err(Reason::WriterUnknown),
        ),
        (
            "chronyd on a reference clock",
            seen(ChronyAnswer::Reference("chronyd follows PHC0".to_owned())),
            Err(Reason::ReferenceStatesNoBound),
        ),
        ("ntpd", ntpd(NtpdAnswer::Writes { excess_ns: 7 }), Ok(7)),
        (
            "ntpd on its own clock",
            ntpd(NtpdAnswer::Nothing("it follows its own clock only".to_owned())),
            Err(Reason::WriterUnknown),
        ),
        (
            "ntpd on a reference clock",
            ntpd(NtpdAnswer::Reference("ntpd follows GPS".to_owned())),
            Err(Reason::ReferenceStatesNoBound),
        ),
        ("ClockBound", clockbound(SegmentState::Fresh), Ok(0)),
        (
            "an old segment",
            clockbound(SegmentState::Useless("it is old".to_owned())),
            Err(Reason::WriterUnknown),
        ),
    ];
    for (what, seen, expected) in cases {
        assert_eq!(verdict(h, &seen), expected, "{what}");
    }
}

#[test]
fn what_the_kernel_has_cut_off_is_no_bound_whoever_wrote_it() {
    let rules = Rules { believes_any_writer: true, ..Rules::default() };
    let reason = |maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        judged(state, &rules, &Seen::default(), &[]).map_err(|error| error.reason())
    };
    assert_eq!(reason(15_999_999), Ok(0));
    // A clock that is an hour off, by a writer that says so.
    assert_eq!(reason(16_000_000), Err(Reason::NoBoundStated));
}

#[test]
fn which_kernels_have_a_bound_at_all() {
    let h = healthy();
    let flagged = KernelState { status: STA_UNSYNC, state: TIME_ERROR, ..h };
    let stepped = KernelState { maxerror_us: 16_000_000, ..flagged };
    let nothing = || ChronyAnswer::Nothing("not synchronised".to_owned());
    let cases = [
        ("unsync", KernelState { status: STA_UNSYNC, ..h }, nothing()),
        ("error state", KernelState { state: TIME_ERROR, ..h }, nothing()),
        ("flagged, no report", flagged, nothing()),
        ("flagged, another's report", flagged, ChronyAnswer::Foreign("another".to_owned())),
        // chronyd does not know yet that the clock was stepped behind its back.
        ("stepped", stepped, confirms(16)),
    ];
    for (what, state, chrony) in cases {
        let got = verdict(state, &seen(chrony));
        assert_eq!(got, Err(Reason::KernelUnsynchronized), "{what}");
    }
    assert_eq!(verdict(flagged, &seen(confirms(7))), Ok(7), "a chronyd without rtcsync");
    // Either of the two reads is enough.
    for pair in [(h, flagged), (flagged, h)] {
        let got = judge(&pair, &Rules::default(), &Seen::default(), &mut Running::default);
        assert_eq!(got.map_err(|e| e.reason()), Err(Reason::KernelUnsynchronized));
    }
}

#[test]
fn the_marks_of_writers_without_a_bound_are_refused_whoever_answers() {
    let h = healthy();
    let pll = STA_PLL | STA_NANO;
    let marked = [
        ("timesyncd, just now", KernelState { maxerror_us: 0, ..h }),
        ("timesyncd, a minute ago", KernelState { maxerror_us: 30_000, ..h }),
        ("ntpd at its start", KernelState { maxerror_us: 16, status: pll, ..h }),
        ("ntpd at its start, later", KernelState { maxerror_us: 5_016, status: pll, ..h }),
        ("nonsense", KernelState { maxerror_us: -1, ..h }),
    ];
    let ntpd = NtpdAnswer::Writes { excess_ns: 0 };
    for (what, state) in marked {
        for seen in [seen(confirms(100)), Seen { ntpd: ntpd.clone(), ..Seen::default() }] {
            assert_eq!(verdict(state, &seen), Err(Reason::NoBoundStated), "{what} {seen:?}");
        }
        let named = judged(state, &Rules::default(), &Seen::default(), &[Daemon::Timesyncd]);
        let text = named.expect_err(what).to_string();
        assert!(text.contains("systemd-timesyncd"), "{text}");
    }
}

#[test]
fn a_write_of_chronyds_with_such_a_mark_by_chance_is_believed() {
    let state = KernelState { maxerror_us: 1_500, ..healthy() };
    let wrote = ChronyAnswer::Confirms { excess_ns: 0, wrote_mark: true };
    assert_eq!(verdict(state, &seen(wrote)), Ok(0));
}

#[test]
fn where_chronyd_must_confirm_no_other_writer_counts() {
    let rules = Rules { needs_chrony: true, believes_any_writer: true, ..Rules::default() };
    let nothing = Seen {
        ntpd: NtpdAnswer::Writes { excess_ns: 0 },
        clockbound: SegmentState::Fresh,
        ..seen(ChronyAnswer::Nothing("it is not running".to_owned()))
    };
    assert_eq!(judged(healthy(), &rules, &seen(confirms(3)), &[]).ok(), Some(3));
    let error = judged(healthy(), &rules, &nothing, &[]).expect_err("the kernel alone");
    assert_eq!(error.reason(), Reason::WriterUnknown);
    assert!(error.to_string().contains("chronyd: it is not running"), "{error}");
}

#[test]
fn the_operator_may_know_the_writer_better() {
    let rules = Rules { believes_any_writer: true, ..Rules::default() };
    let h = healthy();
    let zero = KernelState { maxerror_us: 500, ..h };
    let reference = seen(ChronyAnswer::Reference("chronyd follows PHC0".to_owned()));
    let unsync = KernelState { status: STA_UNSYNC, ..h };
    for (state, seen) in [(h, Seen::default()), (zero, Seen::default()), (h, reference)] {
        assert_eq!(judged(state, &rules, &seen, &[Daemon::Timesyncd]).ok(), Some(0), "{seen:?}");
    }
    assert_eq!(judged(zero, &rules, &seen(confirms(100)), &[]).ok(), Some(100));
    assert!(
        judged(unsync, &rules, &Seen::default(), &[]).is_err(),
        "the kernel says that it is not"
    );
}

#[test]
fn the_refusal_says_what_was_looked_for_and_what_is_there_instead() {
    let text = |seen: &Seen, running: Running| {
        let kernel = (healthy(), healthy());
        let error = judge(&kernel, &Rules::default(), seen, &mut || running.clone());
        let error = error.expect_err("unknown");
        (error.reason(), error.to_string())
    };
    let closed = seen(ChronyAnswer::Nothing("chronyd is not running".to_owned()));
    let container = Running { hidden: Some("processes cannot be seen"), ..Running::default() };
    let cases = [
        (runs_here(&[]), Reason::WriterUnknown, "no time daemon runs on this host"),
        (container.clone(), Reason::WriterUnknown, "processes cannot be seen"),
        (runs_here(&[Daemon::Chrony]), Reason::WriterUnknown, "chronyd runs"),
        (
            runs_here(&[Daemon::NtpdRs]),
            Reason::NoBoundStated,
            "ntpd-rs runs, which writes its root",
        ),
        // An unbelievable daemon in sight shows nothing of those that are not.
        (
            Running { daemons: vec![Daemon::Vmtoolsd], ..container },
            Reason::NoBoundStated,
            "vmtoolsd runs",
        ),
    ];
    for (running, reason, part) in cases {
        let got = text(&closed, running);
        assert!(got.0 == reason && got.1.contains(part), "{part}: {got:?}");
        if reason == Reason::WriterUnknown {
            assert!(got.1.contains("chronyd: chronyd is not running"), "{got:?}");
            assert!(got.1.contains("believe_any_writer()"), "the remedy: {got:?}");
        }
    }
}
