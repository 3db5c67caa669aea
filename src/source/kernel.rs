//! The kernel's own word: `CLOCK_REALTIME`, and `maxerror` of `adjtimex`.
//!
//! Whoever disciplines the kernel's clock may tell the kernel how far off it can
//! be; the kernel keeps that number, lets it grow by 500 µs a second, and hands
//! it to any process. An honest daemon (chronyd) writes root delay / 2 + root
//! dispersion + what it has not corrected yet, and then
//! `REALTIME ± maxerror` certainly holds UTC.
//!
//! Much of it is not honest, or not at this moment, and this module is about that:
//!
//! - *Nobody writes it*: the kernel says UNSYNC, and maxerror stands at 16 s.
//! - *Zero is written* by daemons that have no bound (systemd-timesyncd,
//!   phc2sys, ptp4l), and 16 µs by an ntpd that has heard from nobody yet.
//!   Since the kernel only ever adds 500 µs, `maxerror mod 500` shows what was
//!   written last. Both marks are refused while they stand.
//! - *It is stale*: the 500 µs are added once a second, at the first timer tick
//!   after it. `CLOCK_REALTIME_COARSE` moves at the same ticks and so shows up to
//!   where that has been done; the growth since then is added here.
//! - *The clock is under way*: with the kernel's PLL (STA_PLL), or `adjtime()`,
//!   the kernel is told an offset and works it off; until then it counts as error,
//!   and so does the part that is under way (`source::in_flight`).
//!   A clock that is slewed faster than the 500 ppm by which maxerror grows, less what
//!   the oscillator itself may be off,
//!   outruns its bound.
//! - *Two system calls are not one*: a step may fall between reading the bound
//!   and reading the clock. So the bound is read on both sides, and both must agree.
//! - *A leap second*: REALTIME runs on past midnight for a few ms before it steps
//!   back. Around a leap, both offsets to TAI are covered.
//! - *The flag is not the bound*: a chronyd without `rtcsync` states its bound and
//!   leaves the kernel flagged. So chronyd is asked as well (`source::chrony`), and
//!   of its bound and the kernel's the larger one counts.
//! - *A suspend*: afterwards REALTIME rests on the RTC, and maxerror does not show it.
//!   Nothing is vouched for until the daemon writes again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::bound::Sample;
use crate::clock::counter::Counter;
use crate::clock::status::Reason;
use crate::scale::LeapTable;
use crate::source::adjtimex::{GROWTH_PPM, KernelState};
use crate::source::chrony::confirm::{Confirmer, Word};
use crate::source::daemon::{self, Daemon};
use crate::source::in_flight::InFlight;
use crate::source::realtime::{Realtime, SUSPEND_NOISE_NS, suspended_ns, unlisted_leap};
use crate::source::{Calendar, Source, SourceError, WallScale};
use crate::sys;

/// The kernel's clock and its bound, if it has an honest one.
#[derive(Debug)]
pub struct Kernel {
    calendar: Arc<Calendar>,
    /// BOOTTIME − MONOTONIC when last seen: how long the host has been suspended in all.
    suspended_ns: Option<i64>,
    /// The writer's mark at the first look after a suspend, until it changes.
    since_suspend: Option<i64>,
    /// A leap that the kernel has made and the table does not know, in seconds.
    unlisted_leap: Option<i32>,
    in_flight: InFlight,
    chrony: Option<Confirmer>,
    others: Others,
}

/// What is known of the clock beside the kernel's word on it.
#[derive(Debug)]
struct Others {
    word: Word,
    /// Who runs that could have written the kernel's bound.
    running: fn() -> Vec<Daemon>,
    /// The operator says that whoever writes the bound writes an honest one.
    believes_any_writer: bool,
    /// The kernel's word alone counts for nothing.
    needs_chrony: bool,
}

impl Kernel {
    /// The kernel's word, with `leaps` to go from UTC to TAI.
    pub fn new(leaps: LeapTable) -> Kernel {
        Kernel::by(Arc::new(Calendar::new(leaps, WallScale::Utc)))
    }

    /// The kernel's word on a clock that shows what `calendar` says.
    pub(crate) fn by(calendar: Arc<Calendar>) -> Kernel {
        Kernel {
            calendar,
            suspended_ns: None,
            since_suspend: None,
            unlisted_leap: None,
            in_flight: InFlight::default(),
            chrony: None,
            others: Others {
                word: Word::Nothing("chronyd is not asked".to_owned()),
                running: daemon::running,
                believes_any_writer: false,
                needs_chrony: false,
            },
        }
    }

    /// Asks this chronyd, and believes nothing that it does not confirm.
    pub(crate) fn confirmed_only_by(mut self, chrony: Confirmer) -> Kernel {
        self.others.needs_chrony = true;
        Kernel { chrony: Some(chrony), ..self }
    }

    /// Asks the chronyd of this host as well, if there is one: it can confirm
    /// what the kernel does not vouch for, and the larger bound counts.
    pub fn with_chrony(self) -> Kernel {
        Kernel { chrony: Some(Confirmer::usual()), ..self }
    }

    /// Takes `maxerror` for a bound, whoever writes it and whatever it is.
    ///
    /// The operator's word against the judgement made here. A kernel that says
    /// it is not synchronised is not believed all the same.
    pub fn believing_any_writer(mut self) -> Kernel {
        self.others.believes_any_writer = true;
        self
    }
}

impl Source for Kernel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let first_look = Realtime::look(counter);
        self.hear_chrony();
        let evidence = gather(counter)?;
        if evidence.realtime.was_stepped_since(&first_look) {
            self.others.word = Word::Nothing("the clock was stepped since it was asked".to_owned());
        }
        self.judge(&evidence, Instant::now())
    }

    fn details(&self) -> Option<String> {
        Some(self.chrony.as_ref()?.tracking()?.to_string())
    }
}

impl Kernel {
    /// What may be believed of what was read at `at`: the part that reads nothing itself.
    pub(crate) fn judge(
        &mut self,
        evidence: &Evidence,
        at: Instant,
    ) -> Result<Sample, SourceError> {
        self.notice_suspend(evidence);
        let under_way = self.note_in_flight(evidence, at);
        let error_ns = vouched_error_ns(evidence, self.since_suspend, &self.others)?;
        let error_ns = error_ns.saturating_add(under_way);
        let kernel = &evidence.kernel.1;
        let look = &evidence.realtime;
        self.unlisted_leap =
            self.unlisted_leap.or_else(|| unlisted_leap(&self.calendar.leaps(), look, kernel));
        let error = Duration::from_nanos(error_ns);
        let time = self.calendar.tai(look, error, Some(kernel), self.unlisted_leap)?;
        Ok(Sample::new(evidence.realtime.before, evidence.realtime.after, time))
    }

    /// Looks for no daemon among this host's processes: for a kernel that is simulated.
    #[cfg(feature = "sim")]
    pub(crate) fn of_another_world(mut self) -> Kernel {
        self.others.running = Vec::new;
        self
    }

    /// Asks chronyd, if it may have something to confirm.
    fn hear_chrony(&mut self) {
        let Some(chrony) = &mut self.chrony else { return };
        self.others.word = match KernelState::read() {
            Ok(kernel) if kernel.has_bound() => {
                chrony.word(kernel.maxerror_us, kernel.residue_us())
            }
            _ => Word::Nothing("nobody has told the kernel a bound".to_owned()),
        };
    }

    /// How much of a correction may be under way, in ns.
    fn note_in_flight(&mut self, evidence: &Evidence, at: Instant) -> u64 {
        self.in_flight.note(&evidence.kernel.0, at).max(self.in_flight.note(&evidence.kernel.1, at))
    }

    /// After a suspend, remembers by which mark a later write of the daemon will be known.
    fn notice_suspend(&mut self, evidence: &Evidence) {
        let residue = evidence.kernel.1.residue_us();
        // At the first look, any suspend since the boot may be one that the daemon has
        // not noticed yet: a program may start right after a resume.
        let before = self.suspended_ns.replace(evidence.suspended_ns).unwrap_or(0);
        if evidence.suspended_ns.saturating_sub(before) > SUSPEND_NOISE_NS {
            self.since_suspend = Some(residue);
        } else if self.since_suspend.is_some_and(|mark| mark != residue) {
            self.since_suspend = None;
        }
    }
}

/// All that is read for one sample.
pub(crate) struct Evidence {
    /// Before and after the clock was read.
    pub(crate) kernel: (KernelState, KernelState),
    pub(crate) realtime: Realtime,
    /// The second of REALTIME up to which `maxerror` has been increased.
    pub(crate) counted_until_ns: i64,
    pub(crate) suspended_ns: i64,
}

/// Reads the clock between two looks at its error, all in one stretch without a step.
fn gather(counter: &Counter) -> Result<Evidence, SourceError> {
    const TRIES: u32 = 4;
    let state = || {
        KernelState::read().map_err(|errno| {
            SourceError::cannot_vouch(Reason::Denied, format_args!("adjtimex gave {errno}"))
        })
    };
    for _ in 0..TRIES {
        let first_look = Realtime::look(counter);
        // The kernel moves this clock and increases maxerror in one go, at a
        // timer tick: read first, its second has been counted into all that follows.
        let coarse = sys::nanos(ClockId::CLOCK_REALTIME_COARSE);
        let before = state()?;
        // The best of a few: one look alone may have been interrupted.
        let look = |_| Realtime::look(counter);
        let realtime = (0..4).map(look).min_by_key(|r| r.after.wrapping_sub(r.before));
        let realtime = realtime.unwrap_or(first_look);
        let after = state()?;
        let last_look = Realtime::look(counter);
        let stepped =
            realtime.was_stepped_since(&first_look) || last_look.was_stepped_since(&realtime);
        if !stepped && before.status == after.status && before.state == after.state {
            return Ok(Evidence {
                kernel: (before, after),
                realtime,
                counted_until_ns: coarse - coarse.rem_euclid(1_000_000_000),
                suspended_ns: suspended_ns(),
            });
        }
    }
    Err(SourceError::cannot_vouch(
        Reason::KernelUnsynchronized,
        format_args!("the kernel's time state changed during each of {TRIES} attempts to read it"),
    ))
}

/// How far off the oscillator itself may be, which comes on top of what the clock is
/// told to make up for: a daemon that dies in the middle of a slew leaves both.
const OSCILLATOR_PPM: u64 = 200;

/// A clock that is slewed faster may outrun its maxerror.
const SLEW_LIMIT_PPM: u64 = GROWTH_PPM as u64 - OSCILLATOR_PPM;

/// How far from UTC the clock may have been, in nanoseconds, if anybody vouches for it.
fn vouched_error_ns(
    evidence: &Evidence,
    since_suspend: Option<i64>,
    others: &Others,
) -> Result<u64, SourceError> {
    let (before, after) = &evidence.kernel;
    let worse = if before.maxerror_us > after.maxerror_us { before } else { after };
    let cannot = |reason, detail: String| Err(SourceError::cannot_vouch(reason, detail));
    let excess_ns = confirmed_excess_ns((before, after), others)?;
    if (before.states_no_bound() || after.states_no_bound()) && !others.believes_any_writer {
        let named = (others.running)().into_iter().map(runs).collect::<String>();
        return cannot(
            Reason::NoBoundStated,
            format!(
                "maxerror is {} µs, a bare {} µs and its growth{named}",
                worse.maxerror_us,
                worse.residue_us()
            ),
        );
    }
    if since_suspend.is_some() {
        return cannot(Reason::Suspended, worse.to_string());
    }
    let rate_ppm = before.rate_ppb.unsigned_abs().max(after.rate_ppb.unsigned_abs()) / 1000;
    if rate_ppm > SLEW_LIMIT_PPM {
        return cannot(
            Reason::Slewing,
            format!(
                "it is slewed by {rate_ppm} ppm; with an oscillator that may be off by \
                 {OSCILLATOR_PPM} ppm too, its error of {GROWTH_PPM} ppm covers {SLEW_LIMIT_PPM}"
            ),
        );
    }
    let under_way = |k: &KernelState| {
        let pll = if k.status & libc::STA_PLL != 0 { k.offset_ns.unsigned_abs() } else { 0 };
        pll.saturating_add(k.adjtime_ns.unsigned_abs())
    };
    // The kernel and the daemon count whole microseconds, and daemons round as they like.
    let stated = (worse.maxerror_us.unsigned_abs() + 1).saturating_mul(1000);
    Ok(stated
        .saturating_add(excess_ns)
        .saturating_add(stale_ns(evidence.counted_until_ns, evidence.realtime.unix_ns))
        .saturating_add(under_way(before).max(under_way(after))))
}

/// Who says that something disciplines the clock, and by how much its error
/// exceeds the kernel's bound by that word.
fn confirmed_excess_ns(
    (before, after): (&KernelState, &KernelState),
    others: &Others,
) -> Result<u64, SourceError> {
    let cannot = |reason, detail: String| Err(SourceError::cannot_vouch(reason, detail));
    let is_synchronized = before.is_synchronized() && after.is_synchronized();
    match &others.word {
        // A step that chronyd has not noticed puts the bound where it is none.
        Word::Vouches { excess_ns } if before.has_bound() && after.has_bound() => Ok(*excess_ns),
        Word::Nothing(why) if !is_synchronized || others.needs_chrony => {
            cannot(Reason::KernelUnsynchronized, format!("{after}; chronyd: {why}"))
        }
        _ if !is_synchronized => cannot(Reason::KernelUnsynchronized, after.to_string()),
        _ if others.believes_any_writer => Ok(0),
        _ => match daemon::only_unbelievable(&(others.running)()) {
            Some(daemon) => cannot(Reason::NoBoundStated, format!("{after}{}", runs(daemon))),
            None => Ok(0),
        },
    }
}

/// The end of a sentence that says who runs, and what that is worth.
fn runs(daemon: Daemon) -> String {
    format!("; {daemon} runs, which {}", daemon.explanation())
}

/// How much `maxerror` may have to grow still for the time since it was last true.
///
/// It was when it was written, or when the kernel last counted a second into
/// it, whichever is later: so no longer ago than the second that was counted last.
fn stale_ns(counted_until_ns: i64, unix_ns: i64) -> u64 {
    let since = unix_ns.saturating_sub(counted_until_ns).max(0);
    // A slew of 12 % either way makes these seconds longer by as much.
    let since = since.saturating_add(since / 8);
    (i128::from(since) * i128::from(GROWTH_PPM) / 1_000_000 + 1) as u64
}

#[cfg(test)]
mod tests {
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
            (
                "timesyncd, just now",
                KernelState { maxerror_us: 0, ..h },
                Err(Reason::NoBoundStated),
            ),
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
            ("slew beyond it", KernelState { rate_ppb: 301_000, ..h }, Err(Reason::Slewing)),
            (
                "slew the other way",
                KernelState { rate_ppb: -100_000_000, ..h },
                Err(Reason::Slewing),
            ),
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
}
