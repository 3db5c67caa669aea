//! The judgement: whose number `maxerror` is, and whether it may be believed.
//!
//! It reads nothing itself, so that each case is a line of a table in its tests.

use crate::evidence::{Reason, SourceError};
use crate::host::KernelState;
use crate::source::chrony::check::ChronyAnswer;
use crate::source::daemon::{Daemon, Running, only_unbelievable};
use crate::source::ntpd::check::NtpdAnswer;

use super::SegmentState;

/// What the operator has decided.
#[derive(Clone, Default, Debug)]
pub(super) struct Rules {
    /// A bound that chronyd does not confirm is refused.
    pub(super) needs_chrony: bool,
    /// The operator states that the bound is honest, whichever program writes it.
    pub(super) believes_any_writer: bool,
    /// How far a reference clock of the daemon may be off.
    pub(super) reference_error_ns: Option<u64>,
}

/// What the daemons stated.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) chrony: ChronyAnswer,
    pub(super) ntpd: NtpdAnswer,
    pub(super) clockbound: SegmentState,
}

impl Seen {
    /// No daemon states anything, for this reason.
    pub(super) fn nothing(why: &str) -> Seen {
        Seen {
            chrony: ChronyAnswer::Nothing(why.to_owned()),
            ntpd: NtpdAnswer::NotAsked,
            clockbound: SegmentState::NotAsked,
        }
    }
}

impl Default for Seen {
    fn default() -> Seen {
        Seen::nothing("it was not asked yet")
    }
}

/// By how much the writer's present bound exceeds the kernel's, in ns, if the writer is known.
///
/// `kernel` was read before and after the clock.
///
/// # Errors
///
/// If neither the kernel nor chronyd reports that the clock is disciplined, or the bound is not
/// known to come from a program that states one.
pub(super) fn judge(
    (before, after): &(KernelState, KernelState),
    rules: &Rules,
    seen: &Seen,
    running: &mut dyn FnMut() -> Running,
) -> Result<u64, SourceError> {
    let refuse = |reason, detail: String| Err(SourceError::no_bound(reason, detail));
    let is_synchronized = before.is_synchronized() && after.is_synchronized();
    let has_bound = before.has_bound() && after.has_bound();
    let is_marked = before.states_no_bound() || after.states_no_bound();
    match &seen.chrony {
        // Without a bound of the kernel's own, a step that chronyd has not noticed may
        // have put the clock anywhere.
        // One write in 500 has the mark of a missing bound by chance.
        ChronyAnswer::Confirms { excess_ns, wrote_mark }
            if has_bound && (!is_marked || *wrote_mark || rules.believes_any_writer) =>
        {
            return Ok(*excess_ns);
        }
        ChronyAnswer::Reference(why) if has_bound && !rules.believes_any_writer => {
            return refuse(Reason::ReferenceStatesNoBound, format!("{after}; {why}"));
        }
        ChronyAnswer::Nothing(why) | ChronyAnswer::Foreign(why) if !is_synchronized => {
            return refuse(Reason::KernelUnsynchronized, format!("{after}; chronyd: {why}"));
        }
        _ => {}
    }
    if !is_synchronized {
        return refuse(Reason::KernelUnsynchronized, after.to_string());
    }
    if rules.needs_chrony {
        let why = seen.chrony.refusal();
        return refuse(Reason::WriterUnknown, format!("{after}; chronyd: {why}"));
    }
    // The kernel cuts what it is given off at its "I do not know", so a writer that is believed
    // may have stated more than that.
    if rules.believes_any_writer && has_bound {
        return Ok(0);
    }
    if is_marked {
        let worse = if before.maxerror_us > after.maxerror_us { before } else { after };
        let named = running().daemons.into_iter().map(runs).collect::<String>();
        return refuse(
            Reason::NoBoundStated,
            format!(
                "maxerror is {} µs, a bare {} µs and its growth{named}",
                worse.maxerror_us,
                worse.residue_us()
            ),
        );
    }
    match &seen.ntpd {
        NtpdAnswer::Writes { excess_ns } => return Ok(*excess_ns),
        NtpdAnswer::Reference(why) => {
            return refuse(Reason::ReferenceStatesNoBound, format!("{after}; {why}"));
        }
        NtpdAnswer::NotAsked | NtpdAnswer::Nothing(_) => {}
    }
    if let SegmentState::Fresh = seen.clockbound {
        return Ok(0);
    }
    let running = running();
    match only_unbelievable(&running.daemons) {
        Some(daemon) => refuse(Reason::NoBoundStated, format!("{after}{}", runs(daemon))),
        None => refuse(Reason::WriterUnknown, format!("{after}{}", unknown(seen, &running))),
    }
}

/// What was looked for, and what was found instead.
fn unknown(seen: &Seen, running: &Running) -> String {
    let mut text = format!("; chronyd: {}", seen.chrony.refusal());
    if let NtpdAnswer::Nothing(why) = &seen.ntpd {
        text += &format!("; ntpd: {why}");
    }
    if let SegmentState::Useless(why) = &seen.clockbound {
        text += &format!("; ClockBound: {why}");
    }
    for daemon in &running.daemons {
        text += &format!("; {daemon} runs");
    }
    match (&running.hidden, running.daemons.is_empty()) {
        (Some(why), _) => text += &format!("; {why}"),
        (None, true) => text += "; no time daemon runs on this host",
        (None, false) => {}
    }
    text
}

/// The end of a sentence: a daemon that runs, and what its bound is worth.
fn runs(daemon: Daemon) -> String {
    format!("; {daemon} runs, which {}", daemon.explanation())
}

#[cfg(test)]
mod tests;
