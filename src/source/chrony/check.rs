//! [`ChronyCheck`]: chronyd's answer beside the kernel's bound.
//!
//! chronyd tells the kernel its bound at each update, and the kernel lets it grow. Its report
//! shows what chronyd knows *now*. It serves four purposes:
//!
//! - It shows that chronyd is the writer, if it fits the kernel (`fit`).
//! - Without `rtcsync` the kernel stays flagged as unsynchronised. Only chronyd can report
//!   that it is synchronised.
//! - The kernel's copy may be smaller than chronyd's present bound. Then chronyd's counts.
//! - It shows what chronyd follows. Behind a reference clock its bound leaves that clock's own
//!   error out.
//!
//! Another program may have stepped the clock without chronyd's knowledge. The kernel notices
//! (its bound goes to 16 s), and chronyd does not before its next measurement. So the kernel must
//! always have a bound of its own.
//!
//! # Which of the two bounds counts
//!
//! Not always the larger. Just after its first measurements chronyd does not know its frequency:
//! its skew is thousands of ppm, and its dispersion grows by that. With a poll of 128 s it
//! states seconds where the kernel has 9 ms. But both numbers come from one statement of
//! chronyd's, about the moment of its update. They differ only in what they add for the time since
//! then: the kernel 500 ppm, chronyd its skew. How far an oscillator may be off is assumption A2
//! of this crate (200 ppm; with the steering that `source::kernel` allows, 500), so the skew says
//! nothing more. The comparison is therefore made for the moment of the update: chronyd's
//! dispersion less what it has added since, plus 500 ppm.
//!
//! The clock sends a request once a second and not at every poll, because a process with a
//! thousand clocks should not burden chronyd. In between it remembers by how much chronyd's
//! bound exceeded the kernel's, while the kernel's has the same mark (see `source::kernel`).
//! A new mark means a new update, and then the clock sends a new request.

use super::allowance::{FitWatch, Statement, moved_ns};
use super::client::ChronyError;
use super::fit::{Fit, History, Process};
use super::tracking::{Leap, Tracking};
use crate::host::{GROWTH_PPM, Host, HostError, KernelState};
use crate::source::daemon::{Daemon, Running};
use crate::source::daemons::TimeDaemons;
use crate::timestamp::NANOS_PER_SECOND;

/// How long an answer is good while the kernel's bound was not written anew, in ns.
const GOOD_FOR_NS: i64 = NANOS_PER_SECOND;
/// How long no request is sent after chronyd did not answer, in ns. A stopped chronyd costs a
/// timeout each time, in the clock's sampling thread.
const RETRY_BACKOFF_NS: i64 = 5 * NANOS_PER_SECOND;
/// How long a confirmed bound stays confirmed while chronyd is too busy to answer, in ns. The
/// mark shows that no other program has written since.
const PATIENCE_NS: i64 = 30 * NANOS_PER_SECOND;
/// How often the request is repeated if the kernel was written to meanwhile.
const TRIES: u32 = 3;
/// A root delay from which on an operator has stated it, in ns: chronyd's default for a reference
/// clock is 1 ns.
pub(crate) const STATED_DELAY_NS: u64 = 1_000;

/// What chronyd's report means for the kernel's bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChronyAnswer {
    /// chronyd steers the clock, which is within the kernel's bound plus `excess_ns`.
    Confirms {
        /// By how much chronyd's bound exceeds the kernel's.
        excess_ns: u64,
        /// The kernel's present number was seen to come with an update of chronyd's.
        wrote_mark: bool,
    },
    /// It follows a reference clock whose own error is not known. The text says which.
    Reference(String),
    /// It answers, and does not fit the kernel, for this reason.
    Foreign(String),
    /// chronyd states no bound, for this reason.
    Nothing(String),
}

impl ChronyAnswer {
    /// Why it confirms nothing, in words.
    pub(crate) fn refusal(&self) -> &str {
        match self {
            ChronyAnswer::Confirms { .. } => "it answers",
            ChronyAnswer::Reference(why)
            | ChronyAnswer::Foreign(why)
            | ChronyAnswer::Nothing(why) => why,
        }
    }
}

/// Requests chronyd's report, and remembers the result for a second.
#[derive(Debug, Default)]
pub(crate) struct ChronyCheck {
    remembered: Option<Remembered>,
    last: Option<Tracking>,
    history: History,
    /// When an answer confirmed the bound last.
    confirmed_at_ns: Option<i64>,
    silence: Silence,
    /// What its estimate rests on.
    fit: FitWatch,
    /// When the last report was requested that was answered.
    reported_at_ns: i64,
    /// By how much the reference clock that it follows may be off beyond that, in ns.
    reference_error_ns: u64,
}

/// How a chronyd that had answered fell silent.
#[derive(Debug, Default)]
enum Silence {
    /// It has not answered yet.
    #[default]
    Unknown,
    /// It answered the last request.
    No,
    /// One request had no answer, which a busy host may be the cause of.
    Once,
    /// No chronyd is there any more.
    Gone(String),
}

#[derive(Debug)]
struct Remembered {
    until_ns: i64,
    /// `maxerror mod 500` of the kernel at the time of the request.
    mark_us: i64,
    /// `maxerror` then, which only grows until it is written again.
    maxerror_us: i64,
    answer: ChronyAnswer,
}

impl ChronyCheck {
    /// chronyd's last report, if it answered the last request.
    pub(crate) fn tracking(&self) -> Option<&Tracking> {
        self.last.as_ref()
    }

    /// Why a chronyd that had answered is taken for gone, if it is.
    pub(crate) fn gone(&self) -> Option<String> {
        match &self.silence {
            Silence::Gone(why) => Some(format!("chronyd had answered, and is gone: {why}")),
            _ => None,
        }
    }

    /// Takes note of an answer to a request.
    fn note(&mut self, report: &Result<Tracking, ChronyError>) {
        let before = std::mem::take(&mut self.silence);
        self.silence = match (report, before) {
            (Ok(_), _) => Silence::No,
            (Err(_), Silence::Unknown) => Silence::Unknown,
            (Err(error @ ChronyError::NotRunning { .. }), _) => Silence::Gone(error.to_string()),
            (Err(_), Silence::No) => Silence::Once,
            (Err(error), _) => Silence::Gone(error.to_string()),
        };
    }

    /// What chronyd states of this host's clock, when the monotonic clock shows `now_ns`. The
    /// operator may have stated how far a reference clock is off.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be read.
    pub(crate) fn answer(
        &mut self,
        daemons: &mut dyn TimeDaemons,
        now_ns: i64,
        host: &dyn Host,
        reference_error_ns: Option<u64>,
    ) -> Result<ChronyAnswer, HostError> {
        let mut kernel = host.kernel_state()?;
        let fresh = self.remembered.as_ref().filter(|remembered| {
            let is_nothing = matches!(remembered.answer, ChronyAnswer::Nothing(_));
            (remembered.mark_us == kernel.residue_us() || is_nothing)
                && now_ns < remembered.until_ns
        });
        if let Some(remembered) = fresh {
            return Ok(remembered.answer.clone());
        }
        let mut report = self.request(daemons, &kernel, now_ns);
        for _ in 1..TRIES {
            let after = host.kernel_state()?;
            let is_unchanged = (after.residue_us(), after.rate_ppb, after.status)
                == (kernel.residue_us(), kernel.rate_ppb, kernel.status);
            kernel = after;
            if is_unchanged || report.is_err() {
                break;
            }
            report = self.request(daemons, &kernel, now_ns);
        }
        let answer = match &report {
            Ok(tracking) => self.weigh(tracking, &kernel, now_ns, daemons, reference_error_ns),
            Err(error) => self.without_answer(error, now_ns, &kernel),
        };
        if report.is_ok() && matches!(answer, ChronyAnswer::Confirms { .. }) {
            self.confirmed_at_ns = Some(now_ns);
        }
        self.note(&report);
        let good_for_ns = match &report {
            // A closed port is known at once, so it is tried again after a second.
            Err(error) if !matches!(error, ChronyError::NotRunning { .. }) => RETRY_BACKOFF_NS,
            _ => GOOD_FOR_NS,
        };
        self.last = report.ok();
        let until_ns = now_ns.saturating_add(good_for_ns);
        let mark_us = kernel.residue_us();
        let maxerror_us = kernel.maxerror_us;
        let remembered = Remembered { until_ns, mark_us, maxerror_us, answer: answer.clone() };
        self.remembered = Some(remembered);
        Ok(answer)
    }

    /// Requests a report, and what it rests on if that is not known.
    fn request(
        &mut self,
        daemons: &mut dyn TimeDaemons,
        kernel: &KernelState,
        now_ns: i64,
    ) -> Result<Tracking, ChronyError> {
        let report = daemons.chrony_tracking();
        if let Ok(tracking) = &report {
            self.fit.follow(tracking, daemons, (kernel.unix_ns, now_ns));
            self.reported_at_ns = now_ns;
        }
        report
    }

    /// By how much chronyd's bound may be too small in a kernel that was read twice, in ns (see
    /// `allowance`).
    pub(crate) fn allowance_ns(&self, kernel: &(KernelState, KernelState), wander_ppm: u32) -> u64 {
        let is_same = self.is_of_this_write(kernel);
        let statement = if is_same { Statement::OfUpdate } else { Statement::Later };
        self.fit.allowance_ns(wander_ppm, statement)
    }

    /// chronyd's own bound when the monotonic clock shows `now_ns`, as its last report states it,
    /// in ns. `None` if that report is not of the statement that the kernel has.
    pub(crate) fn estimate_ns(
        &self,
        kernel: &(KernelState, KernelState),
        now_ns: i64,
    ) -> Option<u64> {
        let tracking = self.last.as_ref().filter(|_| self.is_of_this_write(kernel))?;
        let age_ns = now_ns.saturating_sub(self.reported_at_ns);
        // In a slew of 12 % the monotonic clock shows as much less or more.
        let grown_ns = moved_ns(age_ns.saturating_add(age_ns / 8), GROWTH_PPM as u32);
        let bound_ns = tracking.bound_ns()?.saturating_add(self.reference_error_ns);
        Some(bound_ns.saturating_add(grown_ns))
    }

    /// Whether the kernel showed twice what it showed when chronyd was asked last.
    fn is_of_this_write(&self, (before, after): &(KernelState, KernelState)) -> bool {
        let Some(remembered) = &self.remembered else { return false };
        [before, after].iter().all(|kernel| {
            kernel.residue_us() == remembered.mark_us
                && kernel.maxerror_us >= remembered.maxerror_us
        })
    }

    /// What the allowance rests on, in words.
    pub(crate) fn fit_details(&self, wander_ppm: u32) -> Option<String> {
        self.fit.details(wander_ppm)
    }

    /// What a report is worth beside the kernel's bound.
    fn weigh(
        &mut self,
        tracking: &Tracking,
        kernel: &KernelState,
        now_ns: i64,
        daemons: &mut dyn TimeDaemons,
        reference_error_ns: Option<u64>,
    ) -> ChronyAnswer {
        let Some(excess_ns) = excess_ns(tracking, kernel) else {
            return ChronyAnswer::Nothing(without_bound(tracking).to_owned());
        };
        let process = || process_of(&daemons.running());
        let wrote_mark = match self.history.judge(tracking, kernel, now_ns, process) {
            Fit::Steers { wrote_mark } => wrote_mark,
            Fit::Unclear(why) | Fit::Foreign(why) => return ChronyAnswer::Foreign(why),
        };
        match reference_error_ns_of(tracking, daemons, reference_error_ns) {
            Ok(error_ns) => {
                self.reference_error_ns = error_ns;
                ChronyAnswer::Confirms { excess_ns: excess_ns.saturating_add(error_ns), wrote_mark }
            }
            Err(why) => ChronyAnswer::Reference(why),
        }
    }

    /// What holds while chronyd does not answer.
    fn without_answer(
        &self,
        error: &ChronyError,
        now_ns: i64,
        kernel: &KernelState,
    ) -> ChronyAnswer {
        let was_confirmed = self.confirmed_at_ns.is_some_and(|at| now_ns - at < PATIENCE_NS);
        match (&self.remembered, error) {
            (Some(last), ChronyError::NoAnswer { .. })
                if was_confirmed && last.mark_us == kernel.residue_us() =>
            {
                last.answer.clone()
            }
            _ => ChronyAnswer::Nothing(error.to_string()),
        }
    }
}

/// How far the reference clock that chronyd follows may be off beyond chronyd's bound, in ns. 0 if
/// it follows a server.
///
/// # Errors
///
/// If nothing states it: not the operator, not the configured delay, not the device's driver.
pub(super) fn reference_error_ns_of(
    tracking: &Tracking,
    daemons: &mut dyn TimeDaemons,
    stated_by_operator_ns: Option<u64>,
) -> Result<u64, String> {
    if !tracking.reference.is_reference_clock() {
        return Ok(0);
    }
    let name = tracking.reference.to_string();
    let stated = match stated_by_operator_ns {
        Some(error_ns) => Some(error_ns),
        // Half of it is in the bound already.
        None if tracking.root_delay_ns >= STATED_DELAY_NS => Some(0),
        None => daemons.reference_error_ns(&name),
    };
    stated.ok_or_else(|| {
        format!(
            "chronyd follows the reference clock {name} with a root delay of {} ns",
            tracking.root_delay_ns
        )
    })
}

/// By how much chronyd's bound exceeds the kernel's, both aged at the kernel's 500 ppm from the
/// moment of chronyd's update. `None` if chronyd states no bound.
fn excess_ns(tracking: &Tracking, kernel: &KernelState) -> Option<u64> {
    let bound_ns = tracking.bound_ns()?;
    let reference_ns = i64::try_from(tracking.reference_time.as_nanos()).unwrap_or(i64::MAX);
    let age_ns = kernel.unix_ns.saturating_sub(reference_ns).unsigned_abs();
    // What chronyd has added since then, at least: it adds 1 ppm more (`maxclockerror`), and its
    // floats are cut off.
    let growth_ppm = (tracking.skew_ppm + tracking.residual_frequency_ppm.abs()) * 0.999_999;
    let added_ns = (age_ns as f64 * growth_ppm / 1e6).max(0.0) as u64;
    let allowed_ns = u128::from(age_ns) * GROWTH_PPM as u128 / 1_000_000;
    let too_much_ns = added_ns.saturating_sub(u64::try_from(allowed_ns).unwrap_or(u64::MAX));
    let at_same_moment_ns = bound_ns - too_much_ns.min(tracking.root_dispersion_ns);
    let kernels_ns = kernel.maxerror_us.max(0).unsigned_abs().saturating_mul(1000);
    Some(at_same_moment_ns.saturating_sub(kernels_ns))
}

/// Why a report has no bound.
fn without_bound(tracking: &Tracking) -> &'static str {
    if tracking.leap == Leap::Unsynchronized {
        "it is not synchronised to anything (yet)"
    } else {
        "it follows its own clock only (`local`)"
    }
}

/// What the list of processes shows of chronyd.
fn process_of(running: &Running) -> Process {
    if running.daemons.contains(&Daemon::Chrony) {
        Process::Steers
    } else if running.has_idle_chronyd {
        Process::OnlyWatches
    } else {
        Process::Unseen
    }
}

#[cfg(test)]
mod tests;
