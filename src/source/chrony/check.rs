//! [`ChronyCheck`]: chronyd's own statement beside the kernel's; the larger bound counts.
//!
//! chronyd tells the kernel its bound at each update, and the kernel lets it
//! grow. Asked itself it says what it knows *now*. The two differ in three ways:
//!
//! - Without `rtcsync` the kernel stays flagged as unsynchronised. Only chronyd can say
//!   that it is synchronised.
//! - The kernel's copy may be smaller than what chronyd says now: its sources
//!   went away, or it has measured an offset that it has not acted on yet.
//! - Another program may have stepped the clock behind chronyd's back. The kernel
//!   notices (its bound goes to 16 s), and chronyd does not before its next
//!   measurement. So the kernel must have a bound of its own, always.
//!
//! chronyd is asked once a second and not at every poll, because a process with a
//! thousand clocks should be no burden to it. What is remembered in between is
//! by how much its bound exceeded the kernel's, while the kernel's has the same
//! mark (see `source::kernel`). A new mark means a new update, and a new question.

use super::client::ChronyError;
use super::tracking::{Leap, Tracking};
use crate::host::KernelState;
use crate::source::daemons::TimeDaemons;
use crate::timestamp::NANOS_PER_SECOND;

/// How long an answer is good while the kernel's bound was not written anew, in ns.
const GOOD_FOR_NS: i64 = NANOS_PER_SECOND;
/// How long chronyd is left alone after it gave no answer, in ns: a stopped chronyd
/// costs a timeout each time, in the thread that the clock samples in.
const RETRY_BACKOFF_NS: i64 = 5 * NANOS_PER_SECOND;

/// What chronyd says of the clock that the kernel shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChronyAnswer {
    /// The clock is as good as the kernel says, less `excess_ns`.
    Confirms {
        /// By how much chronyd's bound exceeds the kernel's.
        excess_ns: u64,
    },
    /// There is no bound from chronyd, and why.
    Nothing(String),
}

/// Asks chronyd, and remembers the answer for a second.
#[derive(Debug, Default)]
pub(crate) struct ChronyCheck {
    remembered: Option<Remembered>,
    last: Option<Tracking>,
}

#[derive(Debug)]
struct Remembered {
    until_ns: i64,
    /// `maxerror mod 500` of the kernel when chronyd was asked.
    mark_us: i64,
    answer: ChronyAnswer,
}

impl ChronyCheck {
    /// chronyd's last report, if it answered when it was asked last.
    pub(crate) fn tracking(&self) -> Option<&Tracking> {
        self.last.as_ref()
    }

    /// chronyd's statement on the clock of which the kernel says `kernel`, at this time of
    /// the monotonic clock.
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
        let good_for_ns = match &report {
            // That nobody listens is known at once. A chronyd that is silent is left alone.
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
