use super::*;
use crate::host::{STA_INS, STA_NANO, TIME_WAIT};
use crate::source::chrony::Reference;

const SECOND: i64 = 1_000_000_000;

/// chronyd's answer after its update at `updated_s`, when its bound was `bound_us`.
fn tracking(updated_s: u64, bound_us: u64) -> Tracking {
    Tracking {
        reference: Reference { id: 0xc000_0201, address: Some([192, 0, 2, 1].into()) },
        stratum: 2,
        leap: Leap::Normal,
        reference_time: Duration::from_secs(updated_s),
        correction_ns: 10_000,
        root_delay_ns: 500_000,
        root_dispersion_ns: (bound_us - 260) * 1_000,
        last_offset: updated_s as f64 * 1e-6,
        rms_offset: 0.0,
        frequency_ppm: -12.345,
        residual_frequency_ppm: 0.0,
        skew_ppm: 0.01,
        update_interval: 16.0,
    }
}

/// The kernel beside it, by the rate and maxerror that chronyd has set.
fn kernel(maxerror_us: i64) -> KernelState {
    KernelState { status: STA_NANO, maxerror_us, rate_ppb: 12_345, tai: 37, ..KernelState::BLANK }
}

fn steers(fit: &Fit) -> bool {
    matches!(fit, Fit::Steers { .. })
}

/// The verdicts on a series of answers, a second apart, where no chronyd is visible.
fn verdicts(series: &[(Tracking, KernelState)]) -> Vec<Fit> {
    let mut history = History::default();
    let mut now_ns = 0;
    let judge = |(tracking, kernel): &(Tracking, KernelState)| {
        now_ns += SECOND;
        history.judge(tracking, kernel, now_ns, || Process::Unseen)
    };
    series.iter().map(judge).collect()
}

/// The kernel while 30 ppm are slewed.
fn slewing(maxerror_us: i64) -> KernelState {
    KernelState { rate_ppb: 12_345 + 30_000, ..kernel(maxerror_us) }
}

#[test]
fn an_honest_chronyd_fits_at_every_moment_of_its_cycle() {
    let got = verdicts(&[
        (tracking(100, 460), kernel(460)),
        (tracking(100, 460), kernel(960)),   // grown
        (tracking(100, 460), kernel(8_460)), // for 16 s
        (tracking(116, 801), slewing(801)),  // updated
        (tracking(116, 790), slewing(1_301)),
        (tracking(116, 780), kernel(1_801)), // the slew has ended
        (tracking(132, 500), kernel(500)),   // the mark of a missing bound, by chance
        (tracking(148, 1_000), kernel(1_000)), // the same mark again
        (tracking(164, 777), kernel(777)),
        // Far too fast for the mark to tell anything.
        (tracking(180, 900), KernelState { rate_ppb: 900_000, ..kernel(1_111) }),
    ]);
    assert!(got.iter().all(steers), "{got:?}");
    assert_eq!(got[0], Fit::Steers { wrote_mark: false }, "the update was not seen");
    assert_eq!(got[6], Fit::Steers { wrote_mark: true });
}

#[test]
fn a_steady_chronyd_writes_the_same_number_at_many_updates() {
    // Seen beside a reference clock that was polled every second: 91 µs for 9 updates.
    let mut series = vec![(tracking(99, 400), kernel(400))];
    series.extend((100..109).map(|at| (tracking(at, 461), kernel(461))));
    assert!(verdicts(&series).iter().all(steers), "{:?}", verdicts(&series));
    // A mark that nobody writes any more is chronyd's bound now and then, which shows nothing.
    let mut stopped = vec![(tracking(99, 400), kernel(461))];
    stopped.extend([520, 580, 461, 461].map(|bound| (tracking(bound, bound), kernel(461))));
    let got = verdicts(&stopped);
    assert!(got[2..].iter().all(|fit| matches!(fit, Fit::Foreign(_))), "{got:?}");
}

#[test]
fn a_slew_at_first_sight_is_decided_by_the_next_update() {
    let got = verdicts(&[
        (tracking(100, 460), slewing(460)),
        (tracking(100, 450), slewing(960)),
        (tracking(116, 790), slewing(801)),
    ]);
    assert!(matches!(got[0], Fit::Unclear(_)) && matches!(got[1], Fit::Unclear(_)), "{got:?}");
    assert_eq!(got[2], Fit::Steers { wrote_mark: true });
    // A chronyd that the list of processes shows need not wait.
    let mut history = History::default();
    let got = history.judge(&tracking(100, 460), &slewing(460), 0, || Process::Steers);
    assert!(steers(&got));
}

#[test]
fn a_chronyd_that_only_watches_never_fits() {
    // Another daemon steers by 12 ppm and writes its bound; chronyd measures the result. Twice
    // they do so in the same second.
    let watching = |at, bound_us| Tracking { frequency_ppm: 0.02, ..tracking(at, bound_us) };
    let got = verdicts(&[
        (watching(100, 460), kernel(460)),
        (watching(100, 460), kernel(960)),
        (watching(116, 520), kernel(8_300)),
        (watching(132, 610), kernel(16_450)),
    ]);
    assert!(!got.iter().any(steers), "{got:?}");

    // It has the frequency right by chance, but writes nothing.
    let got = verdicts(&[
        (tracking(100, 460), kernel(460)),
        (tracking(116, 520), kernel(8_460)),
        (tracking(132, 610), kernel(16_460)),
        (tracking(132, 610), kernel(16_960)),
    ]);
    assert!(matches!((&got[2], &got[3]), (Fit::Foreign(_), Fit::Foreign(_))), "{got:?}");

    let mut history = History::default();
    let got = history.judge(&tracking(100, 460), &kernel(460), 0, || Process::OnlyWatches);
    assert!(matches!(&got, Fit::Foreign(why) if why.contains("-x")), "{got:?}");
}

#[test]
fn a_write_between_two_updates_is_another_programs_until_chronyd_writes_again() {
    let got = verdicts(&[
        (tracking(100, 460), kernel(460)),
        (tracking(116, 801), kernel(801)),
        (tracking(116, 801), kernel(77)),
        (tracking(116, 801), kernel(577)),
        (tracking(132, 610), kernel(990)), // both in one second, and not chronyd's bound
        (tracking(148, 802), kernel(802)),
    ]);
    for i in [2, 3, 4] {
        assert!(matches!(&got[i], Fit::Foreign(_)), "{i}: {got:?}");
    }
    assert_eq!(got[5], Fit::Steers { wrote_mark: true });

    // An update of the leap status writes chronyd's bound of that moment.
    let got = verdicts(&[
        (tracking(100, 455), kernel(455)),
        (tracking(116, 801), kernel(801)),
        (tracking(116, 830), kernel(830)),
    ]);
    assert!(steers(&got[2]), "{got:?}");
}

#[test]
fn what_chronyd_would_not_leave_in_the_kernel_shows_another_program() {
    let pll = KernelState { status: STA_NANO | STA_PLL, ..kernel(460) };
    let told = KernelState { state: TIME_INS, status: STA_NANO | STA_INS, ..kernel(460) };
    let passed = KernelState { state: TIME_WAIT, ..told };
    let inserting = Tracking { leap: Leap::Insert, ..tracking(100, 460) };
    let cases = [
        ("the PLL", tracking(100, 460), pll, false),
        ("an unknown leap second", tracking(100, 460), told, false),
        ("one that it announced", inserting, told, true),
        ("one that it makes itself", inserting, kernel(460), true),
        ("one that has passed", tracking(100, 460), passed, true),
    ];
    for (what, tracking, kernel, fits) in cases {
        let mut history = History::default();
        let got = history.judge(&tracking, &kernel, 0, || Process::Steers);
        assert_eq!(steers(&got), fits, "{what}: {got:?}");
    }
}
