//! The crate's own clocks, as an observer reads them.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use truechimer::source::chrony::Chrony;
use truechimer::source::clockbound::{self, ClockBound};
use truechimer::source::phc::{Phc, PhcScale};
use truechimer::source::rtc::Rtc;
use truechimer::{Clock, ClockBuilder, ClockError, Status};

use crate::plan::{Act, Plan, Reader, Writer};
use crate::record::{ANSWERED, Reading};
use crate::sys;

/// How often a clock without a thread is refreshed.
const REFRESH_NS: i64 = 100_000_000;
/// How far the emulator's RTC may be from the guest's true time.
const RTC_ERROR: Duration = Duration::from_secs(1);
/// What a card's clock may be off: it is set by hand, and drifts as the guest does.
const PHC_ERROR: Duration = Duration::from_millis(1);
/// How rarely one of very many clocks asks: an emulated processor has other things to do.
const POLL_OF_MANY: Duration = Duration::from_secs(4);
/// Longer than any scenario.
const SELDOM: Duration = Duration::from_secs(3_600);
/// How long a clock is read before its process forks, and how rarely the child refreshes it.
const FORK_AFTER_NS: i64 = 6_000_000_000;
const CHILD_REFRESH_NS: i64 = 3_000_000_000;

/// Reads one kind of clock, over and over.
pub fn reader(kind: Reader, plan: &Plan) -> io::Result<Box<dyn FnMut() -> Reading>> {
    let knows_writer = plan.steps.iter().any(|(_, act)| is_stand_in(act));
    let build = |builder: ClockBuilder| {
        let builder = if knows_writer { builder.believe_any_writer() } else { builder };
        builder.build().map_err(io::Error::other)
    };
    let mut notes = Notes::default();
    Ok(match kind {
        Reader::Manual => {
            let clock = build(Clock::builder().manual())?;
            let mut due = sys::raw() + REFRESH_NS;
            Box::new(move || {
                // After a reading, never before: the first one after a suspend
                // or a stop must stand on what was known before it.
                let reading = read(&clock, &mut notes);
                if reading.raw.1 >= due {
                    let _ = clock.refresh();
                    due = sys::raw() + REFRESH_NS;
                }
                reading
            })
        }
        Reader::Forked => {
            let clock = build(Clock::builder())?;
            let fork_at = sys::raw() + FORK_AFTER_NS;
            let mut due = None;
            Box::new(move || {
                let reading = read(&clock, &mut notes);
                match due {
                    None if reading.raw.1 >= fork_at => {
                        sys::continue_in_child().expect("a guest has room for a process");
                        due = Some(reading.raw.1 + CHILD_REFRESH_NS);
                    }
                    Some(at) if reading.raw.1 >= at => {
                        let _ = clock.refresh();
                        due = Some(reading.raw.1 + CHILD_REFRESH_NS);
                    }
                    _ => {}
                }
                reading
            })
        }
        Reader::Reborn(seconds) => {
            let mut clock = build(Clock::builder())?;
            let mut due = sys::raw() + seconds as i64 * 1_000_000_000;
            Box::new(move || {
                let reading = read(&clock, &mut notes);
                if reading.raw.1 >= due {
                    due += seconds as i64 * 1_000_000_000;
                    clock = Clock::new().expect("a guest has room for a thread");
                }
                reading
            })
        }
        Reader::Many(count) => {
            let builder = || Clock::builder().poll_interval(POLL_OF_MANY);
            let clocks: Vec<Clock> =
                (0..count).map(|_| build(builder())).collect::<io::Result<_>>()?;
            let mut next = 0;
            Box::new(move || {
                next = (next + 1) % clocks.len();
                read(&clocks[next], &mut notes)
            })
        }
        Reader::PhcInReport(card) => {
            let clock = build(Clock::builder().source(phc(card)?))?;
            Box::new(move || report_of_phc(&clock))
        }
        kind => {
            let at_leisure = match plan.leisure {
                Some(leisure) => {
                    Clock::builder().poll_interval(Duration::from_millis(leisure.ask_ms))
                }
                None => Clock::builder(),
            };
            let builder = match kind {
                Reader::ChronyOnly => Clock::builder().without_kernel().source(Chrony::new()),
                Reader::MaxDrift(ppm) => Clock::builder().max_drift_ppm(ppm),
                Reader::ReferenceError(ms) => {
                    Clock::builder().reference_error(Duration::from_millis(ms))
                }
                Reader::AnyWriter => Clock::builder().believe_any_writer(),
                Reader::Eager => Clock::builder().poll_interval(Duration::from_millis(1)),
                Reader::Drift => at_leisure.max_wander_ppm(None),
                Reader::Wander(ppm) => at_leisure.max_wander_ppm(ppm),
                Reader::KernelOnly => Clock::builder().without_chrony().believe_any_writer(),
                Reader::WithRtc => Clock::builder().source(Rtc::new(RTC_ERROR)),
                Reader::Phc(card) => at_leisure.without_kernel().source(phc(card)?),
                Reader::PhcBesideKernel(card) => at_leisure.source(phc(card)?),
                Reader::ClockBound => at_leisure.without_kernel().source(segment()),
                Reader::Assumed(ms) => Clock::builder()
                    .without_kernel()
                    .assume_error(Duration::from_millis(ms))
                    .poll_interval(SELDOM),
                _ => Clock::builder(),
            };
            let clock = build(builder)?;
            Box::new(move || read(&clock, &mut notes))
        }
    })
}

/// A card's clock, which the plan has set to TAI.
fn phc(card: u32) -> io::Result<Phc> {
    let phc = Phc::new(format!("/dev/ptp{card}"), PhcScale::Tai).map_err(io::Error::other)?;
    Ok(phc.error(PHC_ERROR))
}

/// ClockBound's segment, once its daemon has made one and the kernel keeps time by the TSC: for
/// its first seconds it measures that, and a clock that is built then counts by something else.
fn segment() -> ClockBound {
    const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    loop {
        let clocksource = std::fs::read_to_string(CLOCKSOURCE).unwrap_or_default();
        match ClockBound::open(clockbound::PATH) {
            Ok(segment) if clocksource.trim() == "tsc" => return segment,
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// What the report has about the PTP clock, as the name of a refusal.
fn report_of_phc(clock: &Clock) -> Reading {
    let before = sys::raw();
    let report = clock.report();
    let phc = report.sources.iter().find(|source| source.name.starts_with("phc /dev/ptp"));
    let said = format!("{:?}", phc.and_then(|source| source.said.as_ref()));
    let name = if said.contains("it runs") { "RunsWrong" } else { "NotNamed" };
    let (earliest, latest) = Reading::name_as_numbers(name);
    Reading {
        raw: (before, sys::raw()),
        earliest,
        latest,
        answer: ANSWERED + 1,
        status: number_of_status(report.status),
        contradictions: u8::try_from(report.contradictions).unwrap_or(u8::MAX),
        suspends: (0, 0),
        epoch: report.epoch as u32,
    }
}

/// Whether a stand-in for a daemon writes a bound: the clock cannot know it, and the test does.
/// Those that state none (`Zero`, `Sixteen`) are to be found out.
fn is_stand_in(act: &Act) -> bool {
    matches!(act, Act::Writer(Writer::Honest | Writer::Tenth | Writer::Pll))
}

/// What is looked at less often than the time itself.
#[derive(Default)]
struct Notes {
    /// Counts round; the report is looked at when it is 0.
    due: u64,
    contradictions: u8,
    /// The names of the errors so far, each of which is explained on the console once.
    refusals: BTreeSet<String>,
}

/// A look at the report takes a lock and allocates: only every so often.
const REPORT_EVERY: u64 = 64;

fn read(clock: &Clock, notes: &mut Notes) -> Reading {
    // Before the reading, since the sampler may publish between any two lines here: a
    // reading then rests on this epoch or on a later one.
    let (epoch, earlier) = (clock.epoch(), clock.status());
    let before = sys::raw();
    let now = clock.now();
    let after = sys::raw();
    // A contradiction may begin or end beside the reading, which then may cover both sides.
    let contradicted = Some(earlier).filter(|status| *status == Status::Contradicted);
    let status = contradicted.unwrap_or_else(|| clock.status());
    if notes.due == 0 || status == Status::Contradicted {
        let contradictions = clock.report().contradictions;
        notes.contradictions = u8::try_from(contradictions).unwrap_or(u8::MAX);
    }
    notes.due = (notes.due + 1) % REPORT_EVERY;
    let (earliest, latest, answer) = match now {
        Ok(interval) => (interval.earliest().tai_nanos(), interval.latest().tai_nanos(), ANSWERED),
        Err(error) => {
            let name = name_of_error(&error);
            let (first, second) = Reading::name_as_numbers(&name);
            if notes.refusals.insert(name) {
                println!("REFUSED {error:?}: {:?}", clock.report().sources);
            }
            (first, second, number_of_error(&error))
        }
    };
    Reading {
        raw: (before, after),
        earliest,
        latest,
        answer,
        status: number_of_status(status),
        contradictions: notes.contradictions,
        suspends: (0, 0),
        epoch: epoch as u32,
    }
}

/// The reason's name, or the error's where it has no reason.
fn name_of_error(error: &ClockError) -> String {
    match error {
        ClockError::Unsynchronized(reason) => format!("{reason:?}"),
        error => format!("{error:?}"),
    }
}

fn number_of_error(error: &ClockError) -> u8 {
    match error {
        ClockError::Unsynchronized(_) => ANSWERED + 1,
        ClockError::TooWide { .. } => ANSWERED + 2,
        ClockError::Contradicted => ANSWERED + 3,
        ClockError::CounterWentBackwards => ANSWERED + 4,
        _ => ANSWERED + 5,
    }
}

fn number_of_status(status: Status) -> u8 {
    match status {
        Status::Synchronized => 1,
        Status::Holdover => 2,
        Status::Assumed => 3,
        Status::Contradicted => 4,
        Status::Unsynchronized(_) => 5,
        _ => 0,
    }
}
