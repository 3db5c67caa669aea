//! [`ChronyCheck`]: chronyd's bound beside the kernel's; the larger one counts.
//!
//! chronyd tells the kernel its bound at each update, and the kernel lets it grow. Its report
//! shows what chronyd knows *now*. The two differ in three ways:
//!
//! - Without `rtcsync` the kernel stays flagged as unsynchronised. Only chronyd can report
//!   that it is synchronised.
//! - The kernel's copy may be smaller than chronyd's present bound: its sources became
//!   unreachable, or it has measured an offset that it has not corrected yet.
//! - Another program may have stepped the clock without chronyd's knowledge. The kernel notices
//!   (its bound goes to 16 s), and chronyd does not before its next measurement. So the
//!   kernel must always have a bound of its own.
//!
//! The clock sends a request once a second and not at every poll, because a process with a
//! thousand clocks should not burden chronyd. In between it remembers by how much chronyd's
//! bound exceeded the kernel's, while the kernel's has the same mark (see `source::kernel`).
//! A new mark means a new update, and then the clock sends a new request.

use super::client::ChronyError;
use super::tracking::{Leap, Tracking};
use crate::host::KernelState;
use crate::source::daemons::TimeDaemons;
use crate::timestamp::NANOS_PER_SECOND;

/// How long an answer is good while the kernel's bound was not written anew, in ns.
const GOOD_FOR_NS: i64 = NANOS_PER_SECOND;
/// How long no request is sent after chronyd did not answer, in ns. A stopped chronyd costs a
/// timeout each time, in the clock's sampling thread.
const RETRY_BACKOFF_NS: i64 = 5 * NANOS_PER_SECOND;

/// What chronyd's report means for the kernel's bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChronyAnswer {
    /// The clock is within the kernel's bound plus `excess_ns`.
    Confirms {
        /// By how much chronyd's bound exceeds the kernel's.
        excess_ns: u64,
    },
    /// chronyd states no bound, for this reason.
    Nothing(String),
}

/// Requests chronyd's report, and remembers the result for a second.
#[derive(Debug, Default)]
pub(crate) struct ChronyCheck {
    remembered: Option<Remembered>,
    last: Option<Tracking>,
    silence: Silence,
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

    /// What chronyd states of the clock whose kernel shows `kernel`, when the monotonic clock
    /// shows `now_ns`.
    pub(crate) fn answer(
        &mut self,
        daemons: &mut dyn TimeDaemons,
        now_ns: i64,
        kernel: &KernelState,
    ) -> ChronyAnswer {
        let mark_us = kernel.residue_us();
        let fresh = self.remembered.as_ref().filter(|remembered| {
            let is_nothing = matches!(remembered.answer, ChronyAnswer::Nothing(_));
            (remembered.mark_us == mark_us || is_nothing) && now_ns < remembered.until_ns
        });
        if let Some(remembered) = fresh {
            return remembered.answer.clone();
        }
        let report = daemons.chrony_tracking();
        self.note(&report);
        let good_for_ns = match &report {
            // A closed port is known at once, so it is tried again after a second.
            Err(error) if !matches!(error, ChronyError::NotRunning { .. }) => RETRY_BACKOFF_NS,
            _ => GOOD_FOR_NS,
        };
        let answer = match &report {
            Ok(tracking) => compare(tracking, kernel.maxerror_us),
            Err(error) => ChronyAnswer::Nothing(error.to_string()),
        };
        self.last = report.ok();
        let until_ns = now_ns.saturating_add(good_for_ns);
        self.remembered = Some(Remembered { until_ns, mark_us, answer: answer.clone() });
        answer
    }
}

/// What a report is worth beside the kernel's bound.
fn compare(tracking: &Tracking, maxerror_us: i64) -> ChronyAnswer {
    match tracking.bound_ns() {
        Some(bound_ns) => {
            let kernels = maxerror_us.max(0).unsigned_abs().saturating_mul(1000);
            ChronyAnswer::Confirms { excess_ns: bound_ns.saturating_sub(kernels) }
        }
        None if tracking.leap == Leap::Unsynchronized => {
            ChronyAnswer::Nothing("chronyd is not synchronised to anything (yet)".to_owned())
        }
        None => ChronyAnswer::Nothing("chronyd follows its own clock only (`local`)".to_owned()),
    }
}

#[cfg(test)]
mod tests;
