//! [`Fit`]: whether the chronyd that answers is the one that steers the kernel's clock.
//!
//! A chronyd may answer that steers nothing: one with `-x` beside another daemon, or one in a
//! container of its own. What it states of the clock is true at its own updates only, because
//! another program moves the clock in between. And `maxerror` is then the number of that other
//! program. So the answer has to fit the kernel.
//!
//! The naive comparison ("chronyd's bound is about maxerror") refuses honest chronyds and passes
//! others, because between two updates both numbers move: the correction shrinks, the dispersion
//! grows by chronyd's estimate, and maxerror by 500 µs a second. What can be compared soundly,
//! at any moment of the update cycle, follows from what chronyd does with the kernel (4.x, read
//! in its source):
//!
//! 1. *It turns the kernel's PLL off* at its start, and writes all status bits at each update.
//!    So STA_PLL or STA_FLL shows another writer.
//! 2. *It announces a leap second to the kernel only while it states it itself.* A kernel that
//!    is about to make one of which chronyd knows nothing was told by another program. (The
//!    reverse is no sign: chronyd may handle the leap second itself, by `leapsecmode`.)
//! 3. *It writes maxerror exactly when it has a new reference time* (or a new leap status: then
//!    maxerror is its bound of that moment). `maxerror mod 500` is the mark of a write. So a mark
//!    that changes without an update is another writer's, and a mark that changes with one is
//!    chronyd's. An update without a new mark happens by chance once in 500; twice in a row it
//!    shows a chronyd that writes nothing.
//! 4. *The kernel runs at chronyd's frequency*, except while an offset is slewed away. chronyd
//!    sets both from one number, so they agree to 1 ppb. A chronyd that does not steer measures
//!    the clock that another program has already corrected, and states a frequency near 0.
//!
//! The third rule decides as soon as one update was seen. Until then one of these is required:
//! the process of a chronyd that may set the clock is visible, or the frequencies agree. During a
//! slew, and with `tempcomp`, they do not; then the answer is believed from its next update on.
//!
//! The kernel is read before and after the request. Both must have the same mark and rate, or
//! chronyd may have made its update in between.

use std::time::Duration;

use super::tracking::{Leap, Tracking};
use crate::host::{KernelState, STA_FLL, STA_PLL, TIME_DEL, TIME_INS};

/// How far the kernel's rate may be from chronyd's frequency while no offset is slewed, in ppb.
const SAME_RATE_PPB: f64 = 1_000.0;
/// By how much maxerror may exceed the bound from which it was written a moment ago: one second's
/// growth, and what a slew has corrected since.
const JUST_WRITTEN_NS: u64 = 600_000;
/// chronyd writes whole microseconds.
const ROUNDING_NS: u64 = 2_000;

/// Whether chronyd's answer fits the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// This chronyd steers the clock.
    Steers {
        /// The present mark was seen to come with its update.
        wrote_mark: bool,
    },
    /// Nothing shows yet that it does.
    Unclear(String),
    /// Another program steers the clock.
    Foreign(String),
}

/// What the list of processes shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Process {
    /// A chronyd that may set the clock.
    Steers,
    /// Only a chronyd that may not, or was told not to (`-x`).
    OnlyWatches,
    /// No chronyd can be seen.
    Unseen,
}

/// What was learnt from earlier answers.
#[derive(Debug, Default)]
pub(super) struct History {
    last: Option<Update>,
    /// One was seen whose mark and reference time changed together.
    is_in_step: bool,
    /// The mark that came with an update.
    written: Option<i64>,
    /// Updates in a row that brought no new mark.
    unwritten: u32,
    broken: Option<String>,
}

/// An update of chronyd's, and the kernel's mark beside it.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Update {
    reference_time: Duration,
    last_offset: f64,
    mark_us: i64,
}

impl History {
    /// Judges an answer that was given while the kernel showed `kernel`.
    pub(super) fn judge(
        &mut self,
        tracking: &Tracking,
        kernel: &KernelState,
        process: impl FnOnce() -> Process,
    ) -> Fit {
        self.compare_with_last(tracking, kernel);
        if let Some(why) = foreign(tracking, kernel).or_else(|| self.broken.clone()) {
            return Fit::Foreign(why);
        }
        if self.is_in_step {
            let wrote_mark = self.written == Some(kernel.residue_us());
            return Fit::Steers { wrote_mark };
        }
        let off_ppb = frequency_gap_ppb(tracking, kernel);
        match process() {
            Process::Steers => Fit::Steers { wrote_mark: false },
            Process::OnlyWatches => Fit::Foreign(
                "it answers, but the chronyd that runs here may not set the clock, or was started \
                 with -x"
                    .to_owned(),
            ),
            Process::Unseen if off_ppb.abs() <= SAME_RATE_PPB => Fit::Steers { wrote_mark: false },
            Process::Unseen => Fit::Unclear(format!(
                "it answers, but the kernel's clock is steered {off_ppb:.0} ppb away from its \
                 frequency: its next update will show whether it is the writer"
            )),
        }
    }

    /// Compares the mark with that of the answer before.
    fn compare_with_last(&mut self, tracking: &Tracking, kernel: &KernelState) {
        let now = Update {
            reference_time: tracking.reference_time,
            last_offset: tracking.last_offset,
            mark_us: kernel.residue_us(),
        };
        let Some(last) = self.last.replace(now) else { return };
        let is_updated =
            (last.reference_time, last.last_offset) != (now.reference_time, now.last_offset);
        match (is_updated, last.mark_us != now.mark_us) {
            (true, true) => {
                *self = History {
                    last: Some(now),
                    is_in_step: true,
                    written: Some(now.mark_us),
                    ..History::default()
                };
            }
            (true, false) => {
                self.unwritten += 1;
                if self.unwritten > 1 {
                    self.is_in_step = false;
                    self.broken = Some(
                        "it answers, but the kernel's bound does not change at its updates: \
                         another program writes it"
                            .to_owned(),
                    );
                }
            }
            (false, true) if !was_just_written(tracking, kernel) => {
                self.is_in_step = false;
                self.broken = Some(
                    "it answers, but the kernel's bound was written since its last update: another \
                     program writes it too"
                        .to_owned(),
                );
            }
            // The leap status was updated, and with it the bound.
            (false, true) => self.written = self.is_in_step.then_some(now.mark_us),
            (false, false) => {}
        }
    }
}

/// What shows at once that another program steers the clock.
fn foreign(tracking: &Tracking, kernel: &KernelState) -> Option<String> {
    if kernel.status & (STA_PLL | STA_FLL) != 0 {
        return Some(
            "it answers, but the kernel's PLL is in use, which chronyd turns off: another program \
             steers the clock"
                .to_owned(),
        );
    }
    let is_told = matches!(kernel.state, TIME_INS | TIME_DEL);
    if is_told && tracking.leap == Leap::Normal {
        return Some(
            "it answers, but the kernel was told of a leap second of which chronyd knows nothing"
                .to_owned(),
        );
    }
    None
}

/// By how much the kernel's rate differs from the one that chronyd's frequency asks for.
fn frequency_gap_ppb(tracking: &Tracking, kernel: &KernelState) -> f64 {
    // chronyd states by how much the clock would gain, and steers against it.
    kernel.rate_ppb as f64 + tracking.frequency_ppm * 1000.0
}

/// Whether maxerror is what chronyd's present bound gives.
fn was_just_written(tracking: &Tracking, kernel: &KernelState) -> bool {
    let Some(bound_ns) = tracking.bound_ns() else { return false };
    let kernel_ns = kernel.maxerror_us.max(0).unsigned_abs().saturating_mul(1000);
    let least = bound_ns.saturating_sub(ROUNDING_NS);
    (least..=bound_ns.saturating_add(JUST_WRITTEN_NS)).contains(&kernel_ns)
}

#[cfg(test)]
mod tests;
