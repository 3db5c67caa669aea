use super::*;
use crate::host::{STA_INS, STA_NANO, TIME_OK, TIME_WAIT};
use crate::source::chrony::Reference;

/// chronyd's answer after its update at `updated_s`.
fn tracking(updated_s: u64) -> Tracking {
    Tracking {
        reference: Reference { id: 0xc000_0201, address: Some([192, 0, 2, 1].into()) },
        stratum: 2,
        leap: Leap::Normal,
        reference_time: Duration::from_secs(updated_s),
        correction_ns: 10_000,
        root_delay_ns: 500_000,
        root_dispersion_ns: 200_000,
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
    KernelState {
        state: TIME_OK,
        status: STA_NANO,
        maxerror_us,
        esterror_us: 0,
        offset_ns: 0,
        adjtime_ns: 0,
        rate_ppb: 12_345,
        tai: 37,
        unix_ns: 0,
    }
}

fn steers(fit: &Fit) -> bool {
    matches!(fit, Fit::Steers { .. })
}

/// The verdicts on a series of answers, where no chronyd is visible.
fn verdicts(series: &[(Tracking, KernelState)]) -> Vec<Fit> {
    let mut history = History::default();
    let judge = |(tracking, kernel): &(Tracking, KernelState)| {
        history.judge(tracking, kernel, || Process::Unseen)
    };
    series.iter().map(judge).collect()
}

#[test]
fn an_honest_chronyd_fits_at_every_moment_of_its_cycle() {
    let slewing = KernelState { rate_ppb: 12_345 + 50_000, ..kernel(801) };
    let series = [
        (tracking(100), kernel(460)),
        (tracking(100), kernel(960)),   // grown
        (tracking(100), kernel(8_460)), // for 16 s
        (tracking(116), slewing),       // updated
        (tracking(116), KernelState { maxerror_us: 1_301, ..slewing }),
        (tracking(116), kernel(1_801)), // the slew has ended
        (tracking(132), kernel(500)),   // the mark of a missing bound, by chance
        (tracking(148), kernel(1_000)), // the same mark again
        (tracking(164), kernel(777)),
    ];
    let got = verdicts(&series);
    assert!(got.iter().all(steers), "{got:?}");
    assert_eq!(got[0], Fit::Steers { wrote_mark: false }, "the update was not seen");
    assert_eq!(got[6], Fit::Steers { wrote_mark: true });
}

#[test]
fn a_slew_at_first_sight_is_decided_by_the_next_update() {
    let slewing = KernelState { rate_ppb: 12_345 + 50_000, ..kernel(460) };
    let got = verdicts(&[
        (tracking(100), slewing),
        (tracking(100), KernelState { maxerror_us: 960, ..slewing }),
        (tracking(116), KernelState { maxerror_us: 801, ..slewing }),
    ]);
    assert!(matches!(got[0], Fit::Unclear(_)) && matches!(got[1], Fit::Unclear(_)), "{got:?}");
    assert_eq!(got[2], Fit::Steers { wrote_mark: true });
    // A chronyd that the list of processes shows need not wait.
    let mut history = History::default();
    assert!(steers(&history.judge(&tracking(100), &slewing, || Process::Steers)));
}

#[test]
fn a_chronyd_that_only_watches_never_fits() {
    // Another daemon steers by 12 ppm and writes its bound; chronyd measures the result.
    let watching = |at| Tracking { frequency_ppm: 0.02, ..tracking(at) };
    let got = verdicts(&[
        (watching(100), kernel(460)),
        (watching(100), kernel(960)),
        (watching(116), kernel(8_460)),
        (watching(132), kernel(16_460)),
    ]);
    assert!(!got.iter().any(steers), "{got:?}");

    // It has the frequency right by chance, but writes nothing.
    let got = verdicts(&[
        (tracking(100), kernel(460)),
        (tracking(116), kernel(8_460)),
        (tracking(132), kernel(16_460)),
        (tracking(132), kernel(16_960)),
    ]);
    assert!(matches!((&got[2], &got[3]), (Fit::Foreign(_), Fit::Foreign(_))), "{got:?}");

    let mut history = History::default();
    let got = history.judge(&tracking(100), &kernel(460), || Process::OnlyWatches);
    assert!(matches!(&got, Fit::Foreign(why) if why.contains("-x")), "{got:?}");
}

#[test]
fn a_write_between_two_updates_is_another_programs_until_chronyd_writes_again() {
    let got = verdicts(&[
        (tracking(100), kernel(460)),
        (tracking(116), kernel(801)),
        (tracking(116), kernel(77)),
        (tracking(116), kernel(577)),
        (tracking(132), kernel(802)),
    ]);
    assert!(matches!((&got[2], &got[3]), (Fit::Foreign(_), Fit::Foreign(_))), "{got:?}");
    assert_eq!(got[4], Fit::Steers { wrote_mark: true });

    // An update of the leap status writes chronyd's bound of that moment: 10 + 250 + 200 µs.
    let got = verdicts(&[
        (tracking(100), kernel(455)),
        (tracking(116), kernel(801)),
        (tracking(116), kernel(460)),
    ]);
    assert!(steers(&got[2]), "{got:?}");
}

#[test]
fn what_chronyd_would_not_leave_in_the_kernel_shows_another_program() {
    let pll = KernelState { status: STA_NANO | STA_PLL, ..kernel(460) };
    let told = KernelState { state: TIME_INS, status: STA_NANO | STA_INS, ..kernel(460) };
    let passed = KernelState { state: TIME_WAIT, ..told };
    let inserting = Tracking { leap: Leap::Insert, ..tracking(100) };
    let cases = [
        ("the PLL", tracking(100), pll, false),
        ("an unknown leap second", tracking(100), told, false),
        ("one that it announced", inserting, told, true),
        ("one that it makes itself", inserting, kernel(460), true),
        ("one that has passed", tracking(100), passed, true),
    ];
    for (what, tracking, kernel, fits) in cases {
        let mut history = History::default();
        let got = history.judge(&tracking, &kernel, || Process::Steers);
        assert_eq!(steers(&got), fits, "{what}: {got:?}");
    }
}
