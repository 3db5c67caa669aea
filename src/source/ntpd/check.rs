//! [`NtpdCheck`]: what ntpd's answer means for the kernel's bound.
//!
//! ntpd and ntpsec discipline the clock through the kernel's PLL, and set STA_PLL with each
//! update that writes `maxerror`. (With `disable kernel` they write no bound, and the kernel is
//! flagged.) So a kernel whose PLL is off was not written to by them, and then nothing is asked.

use super::client::NtpdError;
use super::control::SystemVariables;
use crate::host::{KernelState, STA_PLL};
use crate::source::chrony::check::STATED_DELAY_NS;
use crate::source::daemons::TimeDaemons;
use crate::timestamp::NANOS_PER_SECOND;

/// How long an answer is good while the kernel's bound was not written anew, in ns.
const GOOD_FOR_NS: i64 = NANOS_PER_SECOND;
/// How long no request is sent after ntpd did not answer, in ns.
const RETRY_BACKOFF_NS: i64 = 5 * NANOS_PER_SECOND;

/// What ntpd's answer means for the kernel's bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NtpdAnswer {
    /// Another writer is known, or the kernel shows that ntpd is not the writer.
    NotAsked,
    /// It follows a server and writes the kernel's bound, and states `excess_ns` more than that.
    Writes {
        /// By how much its bound exceeds the kernel's.
        excess_ns: u64,
    },
    /// It follows a reference clock whose own error is not known. The text says which.
    Reference(String),
    /// It states no bound, for this reason.
    Nothing(String),
}

/// Requests ntpd's variables, and remembers the result for a second.
#[derive(Debug, Default)]
pub(crate) struct NtpdCheck {
    remembered: Option<Remembered>,
    last: Option<SystemVariables>,
}

#[derive(Debug)]
struct Remembered {
    until_ns: i64,
    mark_us: i64,
    answer: NtpdAnswer,
}

impl NtpdCheck {
    /// ntpd's last variables, if it answered the last request.
    pub(crate) fn variables(&self) -> Option<&SystemVariables> {
        self.last.as_ref()
    }

    /// What ntpd states of the clock whose kernel shows `kernel`, when the monotonic clock
    /// shows `now_ns`. The operator may have stated how far a reference clock is off.
    pub(crate) fn answer(
        &mut self,
        daemons: &mut dyn TimeDaemons,
        now_ns: i64,
        kernel: &KernelState,
        reference_error_ns: Option<u64>,
    ) -> NtpdAnswer {
        if kernel.status & STA_PLL == 0 || !kernel.is_synchronized() {
            (self.remembered, self.last) = (None, None);
            return NtpdAnswer::NotAsked;
        }
        let mark_us = kernel.residue_us();
        let fresh = self.remembered.as_ref().filter(|remembered| {
            let is_nothing = matches!(remembered.answer, NtpdAnswer::Nothing(_));
            (remembered.mark_us == mark_us || is_nothing) && now_ns < remembered.until_ns
        });
        if let Some(remembered) = fresh {
            return remembered.answer.clone();
        }
        let variables = daemons.ntpd_variables();
        let answer = match &variables {
            Ok(variables) => weigh(variables, kernel, daemons, reference_error_ns),
            Err(error) => NtpdAnswer::Nothing(error.to_string()),
        };
        let good_for_ns = match &variables {
            Err(error) if !matches!(error, NtpdError::NotRunning { .. }) => RETRY_BACKOFF_NS,
            _ => GOOD_FOR_NS,
        };
        self.last = variables.ok();
        let until_ns = now_ns.saturating_add(good_for_ns);
        self.remembered = Some(Remembered { until_ns, mark_us, answer: answer.clone() });
        answer
    }
}

fn weigh(
    variables: &SystemVariables,
    kernel: &KernelState,
    daemons: &mut dyn TimeDaemons,
    reference_error_ns: Option<u64>,
) -> NtpdAnswer {
    if let Some(why) = variables.follows_nothing() {
        return NtpdAnswer::Nothing(why.to_owned());
    }
    let kernels_ns = kernel.maxerror_us.max(0).unsigned_abs().saturating_mul(1000);
    let excess_ns = variables.bound_ns().saturating_sub(kernels_ns);
    if !variables.is_reference_clock() {
        return NtpdAnswer::Writes { excess_ns };
    }
    let stated = match reference_error_ns {
        Some(error_ns) => Some(error_ns),
        None if variables.root_delay_ns > STATED_DELAY_NS => Some(0),
        None => daemons.reference_error_ns(&variables.refid),
    };
    match stated {
        Some(error_ns) => NtpdAnswer::Writes { excess_ns: excess_ns.saturating_add(error_ns) },
        None => NtpdAnswer::Reference(format!(
            "ntpd follows the reference clock {} with a root delay of {} ns",
            variables.refid, variables.root_delay_ns
        )),
    }
}

#[cfg(test)]
mod tests;
