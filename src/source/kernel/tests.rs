use parking_lot::Mutex;

use super::*;
use crate::counter::CounterId;
use crate::host::scripted::ScriptedHost;
use crate::host::{STA_INS, STA_NANO, STA_UNSYNC, TIME_INS, TIME_OK};
use crate::source::chrony::Reference;
use crate::source::chrony::chrony_fit::ChronyFit;
use crate::source::chrony::client::ChronyError;
use crate::source::chrony::tracking::Leap;
use crate::source::daemon::{Daemon, Running};

/// What is added to chronyd's bound, and how old it is.
mod allowance;
mod readings;

const SECOND: i64 = NANOS_PER_SECOND;

/// A kernel whose writer is believed (`source::writer` has the tests of that).
fn believed() -> Kernel {
    Kernel::new(LeapTable::builtin()).believing_any_writer()
}

/// A kernel under an honest chronyd.
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

/// The error by a writer that is believed and states no more than the kernel.
fn error_ns(evidence: &Evidence, since_suspend: Option<i64>) -> Result<u64, SourceError> {
    stated_error_ns(evidence, since_suspend, 0, None)
}

fn judge(state: KernelState) -> Result<u64, Reason> {
    error_ns(&evidence(state, state), None).map_err(|error| error.reason())
}

#[test]
fn how_far_off_the_clock_may_be_by_a_bound_that_is_believed() {
    let h = healthy();
    // 1 235 µs, and 250 ms of growth at 500 ppm, longer by the slew.
    let plain = 1_235_000 + 140_626;
    let pll = STA_PLL | STA_NANO;
    let cases = [
        ("honest", h, Ok(plain)),
        ("16 µs without a PLL", KernelState { maxerror_us: 16, ..h }, Ok(17_000 + 140_626)),
        (
            "PLL with an offset",
            KernelState { status: pll, offset_ns: -70_000, ..h },
            Ok(plain + 70_000),
        ),
        ("an offset without a PLL", KernelState { offset_ns: 70_000, ..h }, Ok(plain)),
        ("adjtime()", KernelState { adjtime_ns: -9_000, ..h }, Ok(plain + 9_000)),
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
fn what_the_writer_states_beyond_the_kernel_is_added() {
    let evidence = evidence(healthy(), healthy());
    let with = |excess_ns| stated_error_ns(&evidence, None, excess_ns, None).expect("a bound");
    assert_eq!(with(9_000), with(0) + 9_000);
    assert_eq!(with(u64::MAX), u64::MAX);
}

#[test]
fn of_the_two_reads_the_worse_counts() {
    let small = healthy();
    let large = KernelState { maxerror_us: 1_734, ..small };
    let both = [(small, large), (large, small)];
    let errors = both.map(|(a, b)| error_ns(&evidence(a, b), None).expect("honest"));
    assert_eq!(errors[0], errors[1]);
    assert!(errors[0] > 1_734_000);
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
        let since = i64::saturating_sub(now, counted);
        assert_eq!(stale_ns(since), added, "counted until {counted}, now {now}");
    }
}

#[test]
fn a_suspend_before_the_first_sample_may_be_one_that_the_daemon_has_not_noticed() {
    let mut kernel = believed();
    let mut judge = |maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        let e = Evidence { suspended_ns: Some(9 * SECOND), ..evidence(state, state) };
        kernel.notice_suspend(&e);
        error_ns(&e, kernel.since_suspend).map_err(|error| error.reason())
    };
    assert_eq!(judge(1_234), Err(Reason::Suspended));
    assert_eq!(judge(1_734), Err(Reason::Suspended), "only growth");
    assert!(judge(801).is_ok(), "the daemon has written");
}

#[test]
fn after_a_suspend_the_bound_is_refused_until_the_daemon_writes() {
    let mut kernel = believed();
    let at = |suspended_ns, maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        Evidence { suspended_ns: Some(suspended_ns), ..evidence(state, state) }
    };
    let mut judge = |e: Evidence| {
        kernel.notice_suspend(&e);
        error_ns(&e, kernel.since_suspend).map_err(|error| error.reason())
    };
    assert!(judge(at(500, 1_234)).is_ok(), "never suspended, but for noise");
    assert!(judge(at(500_900, 1_234)).is_ok(), "noise of reading two clocks");
    assert!(judge(at(500_900 + SUSPEND_NOISE_NS, 1_234)).is_ok(), "no more than noise");
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
    let mut kernel = believed();
    let h = healthy();
    // Both ways, and the step of the clock once.
    let plain = 1_235_000 + 140_626;
    assert_eq!(width_ns(&mut kernel, &evidence(h, h)), 2 * plain + 11);
    // What the PLL has still to correct, and the third of it that is under way.
    let pll = KernelState { status: STA_PLL | STA_NANO, offset_ns: 30_000_000, ..h };
    let all = plain + 30_000_000 + 10_000_000;
    assert_eq!(width_ns(&mut kernel, &evidence(pll, pll)), 2 * all + 11);
}

/// What the kernel source makes of a healthy kernel that corrects its rate by this, a minute
/// after it was first seen to.
fn corrected_by(ppm: i64, max_drift_ppm: u32) -> (Result<(), Reason>, Option<u32>) {
    let mut kernel = believed().max_drift_ppm(max_drift_ppm);
    let state = KernelState { rate_ppb: ppm * 1_000, ..healthy() };
    let mut last = Ok(());
    for second in 0..=64 {
        let e = Evidence { monotonic_ns: second * SECOND, ..evidence(state, state) };
        last = kernel.judge(&e).map(|_| ()).map_err(|error| error.reason());
    }
    (last, kernel.condition().drift_ppm)
}

#[test]
fn what_a_daemon_corrects_steadily_is_the_oscillators() {
    let cases = [
        (100, 200, Ok(()), None),
        (250, 200, Ok(()), Some(275)),
        (400, 200, Ok(()), Some(440)),
        (100, 20, Ok(()), Some(115)),
        (2_000, 200, Err(Reason::OscillatorBeyondDrift), Some(2_200)),
        (2_000, 2_100, Ok(()), None),
    ];
    for (ppm, max_drift_ppm, verdict, drift_ppm) in cases {
        let got = corrected_by(ppm, max_drift_ppm);
        assert_eq!(got, (verdict, drift_ppm), "{ppm} ppm, with max_drift_ppm {max_drift_ppm}");
    }
}

#[test]
fn a_slew_that_the_growth_of_the_bound_does_not_cover_is_refused() {
    let judge = |rate_ppb| {
        let mut kernel = believed();
        let state = KernelState { rate_ppb, ..healthy() };
        kernel.judge(&evidence(state, state)).map(|_| ()).map_err(|error| error.reason())
    };
    assert_eq!(judge(-300_000), Ok(()));
    assert_eq!(judge(300_001), Err(Reason::Slewing));
    assert_eq!(judge(-100_000_000), Err(Reason::Slewing));
    // The larger of the two reads counts.
    let h = healthy();
    let fast = KernelState { rate_ppb: -400_000, ..h };
    for (before, after) in [(h, fast), (fast, h)] {
        let sample = believed().judge(&evidence(before, after));
        assert_eq!(sample.map_err(|error| error.reason()), Err(Reason::Slewing));
    }
}

/// A minute under a daemon that polls every 16 s, whose clock another program steps by this at
/// 30 s, and that does not notice. Returns the samples, each with its second.
fn stepped_by(step_ns: i64) -> Vec<(Interval, i64)> {
    let mut kernel = believed();
    let truth = |second: i64| Timestamp::from_tai_nanos((1_700_000_037 + second) * SECOND);
    let mut samples = Vec::new();
    for second in 0..400i64 {
        let ahead_ns = if second < 30 { 0 } else { step_ns };
        // The step takes the bound back until the daemon's next update.
        let maxerror_us = if (30..32).contains(&second) {
            16_000_000
        } else {
            1_000 + second / 16 + second % 16 * 500
        };
        let status = if (30..32).contains(&second) { STA_UNSYNC } else { STA_NANO };
        let state = KernelState { maxerror_us, status, ..healthy() };
        let unix_ns = (1_700_000_000 + second) * SECOND + ahead_ns;
        let offset = unix_ns - second * SECOND;
        let mut e = evidence(state, state);
        e.realtime = Realtime { before: 1, unix_ns, after: 2, offset: (offset - 60, offset) };
        e.counted_until_ns = unix_ns;
        e.monotonic_ns = second * SECOND;
        if let Ok(sample) = kernel.judge(&e) {
            // By then the daemon has made its sixteenth update since the step.
            let is_taken_in = second >= 32 + 15 * 16;
            assert!(is_taken_in || sample.time.contains(truth(second)), "at {second} s");
            samples.push((sample.time, second));
        }
    }
    samples
}

#[test]
fn a_step_beside_the_daemon_counts_as_error_until_it_has_made_several_updates() {
    for step_ms in [-3_600_000, -20, -1, 1, 20, 3_600_000] {
        let step_ns = step_ms * 1_000_000;
        let samples = stepped_by(step_ns);
        let width_at = |second| {
            let (time, _) = samples.iter().find(|(_, at)| *at == second).expect("a bound");
            time.width()
        };
        assert!(width_at(29) < Duration::from_millis(20), "before the step of {step_ms} ms");
        let step = Duration::from_nanos(step_ns.unsigned_abs());
        assert!(width_at(64) > step, "after the step of {step_ms} ms");
        assert!(width_at(399) < Duration::from_millis(20), "much later: {step_ms} ms");
    }
}

#[test]
fn the_step_that_an_ntpd_makes_when_it_starts_is_its_own() {
    // What ntpsec was seen to write; and an ntpd whose bound of 5 516 µs looks like it.
    for (esterror_us, is_startup) in [(16, true), (40, false)] {
        let mut kernel = believed();
        let mut judge = |second: i64, maxerror_us, status, ahead_ns| {
            let state = KernelState { maxerror_us, status, esterror_us, ..healthy() };
            let unix_ns = (1_700_000_000 + second) * SECOND + ahead_ns;
            let offset = unix_ns - second * SECOND;
            let mut e = evidence(state, state);
            e.realtime = Realtime { before: 1, unix_ns, after: 2, offset: (offset - 60, offset) };
            e.counted_until_ns = unix_ns;
            e.monotonic_ns = second * SECOND;
            kernel.judge(&e)
        };
        for second in 0..8 {
            let _ = judge(second, 16 + second * 500, STA_PLL | STA_NANO, 0);
        }
        let step_ns = 300_000_000;
        let _ = judge(8, 16_000_000, STA_PLL | STA_UNSYNC, step_ns);
        let sample = judge(9, 2_899, STA_PLL | STA_NANO, step_ns).expect("a bound");
        let is_narrow = sample.time.width() < Duration::from_millis(20);
        assert_eq!(is_narrow, is_startup, "esterror {esterror_us} µs: {:?}", sample.time.width());
    }
}

#[test]
fn a_leap_second_that_the_table_lacks_is_covered_after_the_kernel_has_forgotten_it() {
    let mut kernel = believed();
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
fn a_wall_clock_that_is_not_the_kernels_is_refused() {
    let host = ScriptedHost::new();
    host.set_kernel_state(healthy());
    let counter = Counter::new(host.clone(), CounterId::DIRECT);
    assert!(gather(&counter).is_ok());
    let cases = [
        (-3_600 * SECOND, "3600.000 s behind"),
        (-20_000_000, "0.020 s behind"),
        (20_000_000, "0.020 s ahead of"),
        (86_400 * SECOND, "86400.000 s ahead of"),
    ];
    for (by_ns, said) in cases {
        host.show_other_time(by_ns);
        let Err(error) = gather(&counter) else { panic!("{by_ns} ns off") };
        assert_eq!(error.reason(), Reason::ShownOtherTime);
        let text = error.to_string();
        assert!(text.contains(said) && text.contains("libfaketime"), "{text}");
    }
    // At a leap second adjtimex counts it at once, and the clock from the next tick on.
    host.show_other_time(0);
    host.step(1_700_006_400 * SECOND - host.nanos(HostClock::Realtime).expect("readable"));
    for (state, by_ns) in [(TIME_OOP, SECOND), (TIME_WAIT, -SECOND)] {
        host.set_kernel_state(KernelState { state, ..healthy() });
        host.show_other_time(by_ns);
        assert!(gather(&counter).is_ok(), "a leap second");
        host.show_other_time(by_ns / 2);
        assert!(gather(&counter).is_err(), "no leap second");
    }
    // The state stays for long after, and a second is no leap second then.
    host.pass(60 * SECOND);
    host.show_other_time(-SECOND);
    assert!(gather(&counter).is_err(), "a minute later");
}

#[test]
fn a_chronyd_that_is_gone_or_silent_for_long_leaves_a_holdover() {
    let mut kernel = believed();
    let mut holdover_at = |second: i64, maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        let e = Evidence { monotonic_ns: second * SECOND, ..evidence(state, state) };
        kernel.judge(&e).expect("the bound still holds");
        kernel.condition().holdover
    };
    for (second, maxerror_us) in [(0, 1_001), (64, 1_002), (128, 1_003), (384, 1_503)] {
        assert_eq!(holdover_at(second, maxerror_us), None, "at {second} s");
    }
    let why = holdover_at(385, 2_003).expect("four intervals");
    assert!(why.contains("257 s ago"), "{why}");
    assert_eq!(holdover_at(390, 1_004), None, "it has written again");
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
    for (from, to, by_ns) in (0..40)
        .flat_map(|from| (from + 1..40).map(move |to| (from, to)))
        .flat_map(|(from, to)| [(from, to, 5 * SECOND), (from, to, -5 * SECOND)])
    {
        let host = ScriptedHost::new();
        host.set_kernel_state(healthy());
        host.pass(250_000_000);
        let honest = Realtime::read(&counter(&host)).expect("readable");
        host.step_away_during(from..to, by_ns);
        let Ok(evidence) = gather(&counter(&host)) else { continue };
        read += 1;
        assert!(!is_apart(&evidence), "the kernel's states, {from} to {to}");
        let is_synchronized = evidence.kernel.0.is_synchronized();
        let is_off = evidence.realtime.was_stepped_since(&honest);
        assert_eq!(is_off, !is_synchronized, "the clock, {from} to {to}");
        let since_counted_ns = evidence.realtime.unix_ns - evidence.counted_until_ns;
        assert!(since_counted_ns >= 0 || by_ns > 0, "maxerror, {from} to {to}");
    }
    assert!(read > 100, "{read}");
    // Another state is another state without a step too, and without a flag that changes.
    for from in 0..40 {
        let host = ScriptedHost::new();
        host.set_kernel_state(KernelState { status: STA_NANO | STA_UNSYNC, ..healthy() });
        host.step_away_during(from..60, 1);
        let evidence = gather(&counter(&host)).expect("it changes once");
        assert!(!is_apart(&evidence), "the kernel's states, from {from}");
    }
}

#[test]
fn the_slew_that_a_dead_daemon_has_left_is_no_statement() {
    let mut kernel = believed();
    let mut judge_at = |second: i64, maxerror_us, ppm: i64| {
        let state = KernelState { maxerror_us, rate_ppb: ppm * 1_000, ..healthy() };
        let e = Evidence { monotonic_ns: second * SECOND, ..evidence(state, state) };
        kernel.judge(&e).map(|_| ()).map_err(|error| error.reason())
    };
    for (second, maxerror_us) in [(0, 1_001), (64, 1_002), (128, 1_003)] {
        assert_eq!(judge_at(second, maxerror_us, 12), Ok(()), "at {second} s");
    }
    // It begins a slew with its last update, and is killed.
    assert_eq!(judge_at(129, 1_503, 400), Err(Reason::Slewing));
    for second in [384, 385, 448, 449, 512, 513, 600] {
        let maxerror_us = 1_003 + (second - 128) * 500;
        let is_overdue = second > 384;
        let expected = if is_overdue { Err(Reason::Slewing) } else { Ok(()) };
        assert_eq!(judge_at(second, maxerror_us, 400), expected, "at {second} s");
    }
}

/// What a scripted chronyd does with a request.
#[derive(Clone, Copy)]
struct Behaviour {
    /// What its estimate rests on.
    fit: Option<ChronyFit>,
    /// How many updates it has made.
    updates: u64,
    /// Another program steps the clock by this, right after the answer.
    steps_by_ns: i64,
    is_gone: bool,
    is_busy: bool,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        let fit =
            ChronyFit { samples: 3, span: Duration::ZERO, newest: None, averaged: Duration::ZERO };
        Behaviour { fit: Some(fit), updates: 0, steps_by_ns: 0, is_gone: false, is_busy: false }
    }
}

/// A chronyd that steers the clock of a scripted host.
struct Chronyd(Arc<ScriptedHost>, Arc<Mutex<Behaviour>>);

impl TimeDaemons for Chronyd {
    fn running(&mut self) -> Running {
        Running { daemons: vec![Daemon::Chrony], ..Running::default() }
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        let (at, behaviour) = ("the test".to_owned(), *self.1.lock());
        let reference_s = 1_700_003_500 + 16 * behaviour.updates;
        if behaviour.is_gone {
            return Err(ChronyError::NotRunning { at });
        }
        if behaviour.is_busy {
            return Err(ChronyError::NoAnswer { at, timeout: Duration::from_millis(100) });
        }
        self.0.step(behaviour.steps_by_ns);
        Ok(Tracking {
            reference: Reference { id: 1, address: Some([192, 0, 2, 1].into()) },
            stratum: 2,
            leap: Leap::Normal,
            reference_time: Duration::from_secs(reference_s),
            correction_ns: 0,
            root_delay_ns: 1_000_000,
            root_dispersion_ns: 500_000,
            last_offset: 0.0,
            rms_offset: 0.0,
            frequency_ppm: -12.345,
            residual_frequency_ppm: 0.0,
            skew_ppm: 0.0,
            update_interval: 16.0,
        })
    }

    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        let at = "the test".to_owned();
        self.1.lock().fit.map(Some).ok_or(ChronyError::NotRunning { at })
    }
}

/// A kernel source beside such a chronyd, and how that behaves.
fn beside_chronyd(host: &Arc<ScriptedHost>) -> (Kernel, Arc<Mutex<Behaviour>>) {
    host.set_kernel_state(healthy());
    let behaviour = Arc::<Mutex<Behaviour>>::default();
    let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
    let daemons = Chronyd(host.clone(), behaviour.clone());
    (Kernel::of(wall_clock, Box::new(daemons)).with_chrony(), behaviour)
}

#[test]
fn a_step_after_chronyd_has_answered_takes_its_confirmation_away() {
    for step_ns in [0, 20_000_000, -20_000_000] {
        let host = ScriptedHost::new();
        let (mut kernel, behaviour) = beside_chronyd(&host);
        behaviour.lock().steps_by_ns = step_ns;
        let counter = Counter::new(host.clone(), CounterId::DIRECT);
        let got = kernel.sample(&counter).map(|_| ()).map_err(|error| error.reason());
        let expected = if step_ns == 0 { Ok(()) } else { Err(Reason::WriterUnknown) };
        assert_eq!(got, expected, "a step of {step_ns} ns");
        // The next request is answered after the step.
        behaviour.lock().steps_by_ns = 0;
        host.pass(2 * SECOND);
        assert!(kernel.sample(&counter).is_ok(), "after a step of {step_ns} ns");
    }
}

#[test]
fn a_chronyd_that_had_answered_and_is_gone_leaves_a_holdover_at_once() {
    let host = ScriptedHost::new();
    let (kernel, behaviour) = beside_chronyd(&host);
    let mut kernel = kernel.believing_any_writer();
    let counter = Counter::new(host.clone(), CounterId::DIRECT);
    let mut holdover = |change: fn(&mut Behaviour)| {
        change(&mut behaviour.lock());
        host.pass(6 * SECOND);
        kernel.sample(&counter).expect("the bound still holds");
        kernel.condition().holdover
    };
    assert_eq!(holdover(|chronyd| chronyd.is_gone = true), None, "it had not answered yet");
    assert_eq!(holdover(|chronyd| chronyd.is_gone = false), None);
    let why = holdover(|chronyd| chronyd.is_gone = true).expect("its port is closed");
    assert!(why.contains("chronyd had answered, and is gone"), "{why}");
    assert!(holdover(|_| {}).is_some(), "it is gone still");
    let written = KernelState { maxerror_us: 801, ..healthy() };
    host.set_kernel_state(written);
    assert_eq!(holdover(|_| {}), None, "another daemon has taken over");
    host.set_kernel_state(healthy());
    assert_eq!(holdover(|chronyd| chronyd.is_gone = false), None, "it was started again");
    // On a busy host one answer may be missing.
    assert_eq!(holdover(|chronyd| chronyd.is_busy = true), None);
    assert!(holdover(|_| {}).is_some(), "the second one too");
}
