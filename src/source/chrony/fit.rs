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
//! 3. *It writes maxerror exactly when it has a new reference time* (or a new leap status), and
//!    what it writes is its bound of that moment. `maxerror mod 500` is the mark of a write. So a
//!    mark that changes without an update is another writer's. A mark that changes with one, and
//!    is chronyd's bound modulo 500 µs, is chronyd's. (Two programs that write every 16 s do so in
//!    the same second now and then, so the change alone would show little.) An update
//!    without a new mark is usual beside a steady reference clock, where the bound is the same
//!    whole number of microseconds for many updates. With a mark that is not chronyd's bound it
//!    happens by chance; twice in a row it shows a chronyd that writes nothing.
//! 4. *The kernel runs at chronyd's frequency*, except while an offset is slewed away. chronyd
//!    sets both from one number, so they agree to 1 ppb. A chronyd that does not steer measures
//!    the clock that another program has already corrected, and states a frequency near 0.
//!
//! The third rule decides as soon as one update was seen. Until then one of these is required:
//! the process of a chronyd that may set the clock is visible, or the frequencies agree. During a
//! slew, and with `tempcomp`, they do not; then the answer is believed from its next update on.
//! After another program's write only the third rule restores the belief.
//!
//! The kernel is read before and after the request. Both must have the same mark and rate, or
//! chronyd may have made its update in between.

use std::time::Duration;

use super::tracking::{Leap, Tracking};
use crate::host::{GROWTH_PPM, KernelState, STA_FLL, STA_PLL, TIME_DEL, TIME_INS};

/// How far the kernel's rate may be from chronyd's frequency while no offset is slewed, in ppb.
const SAME_RATE_PPB: f64 = 1_000.0;
/// chronyd writes whole microseconds, and its report has been rounded too.
const ROUNDING_NS: f64 = 3_000.0;
/// A mark shows its writer only if it is known to within this part of 500 µs, in ns.
const TELLING_NS: f64 = 100_000.0;
/// How long the write may be older than the answer, at least, in ns. chronyd also shifts its
/// reference time by up to a second at random, so that it cannot be used to spoof it.
const LATE_NS: f64 = 1_200_000_000.0;
/// The growth of maxerror in a second, in ns.
const MARK_NS: i128 = GROWTH_PPM as i128 * 1_000;

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
    /// An update was seen that came with a mark of its own.
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
    /// When it was seen, by the monotonic clock.
    seen_at_ns: i64,
}

impl History {
    /// Judges an answer that was given while the kernel showed `kernel` and the monotonic clock
    /// `now_ns`.
    pub(super) fn judge(
        &mut self,
        tracking: &Tracking,
        kernel: &KernelState,
        now_ns: i64,
        process: impl FnOnce() -> Process,
    ) -> Fit {
        self.compare_with_last(tracking, kernel, now_ns);
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
    fn compare_with_last(&mut self, tracking: &Tracking, kernel: &KernelState, now_ns: i64) {
        let now = Update {
            reference_time: tracking.reference_time,
            last_offset: tracking.last_offset,
            mark_us: kernel.residue_us(),
            seen_at_ns: now_ns,
        };
        let Some(last) = self.last.replace(now) else { return };
        let is_updated =
            (last.reference_time, last.last_offset) != (now.reference_time, now.last_offset);
        let is_written = last.mark_us != now.mark_us;
        let is_its_bound = mark_is_bound(tracking, kernel, now_ns.saturating_sub(last.seen_at_ns));
        match (is_updated, is_written) {
            (true, true) if is_its_bound => self.note_own_write(now.mark_us),
            (true, true) => {
                self.unwritten = 0;
                self.written = None;
                let is_at_its_rate = frequency_gap_ppb(tracking, kernel).abs() <= SAME_RATE_PPB;
                self.is_in_step |= is_at_its_rate && self.broken.is_none();
            }
            // It has written the same number again. That alone shows no writer, but it is no
            // sign against chronyd either.
            (true, false) if is_its_bound => self.unwritten = 0,
            (true, false) => {
                self.unwritten += 1;
                if self.unwritten > 1 {
                    self.note_other_writer("does not change at its updates");
                }
            }
            // The leap status was updated, and with it the bound.
            (false, true) if is_its_bound && self.broken.is_none() => {
                self.written = self.is_in_step.then_some(now.mark_us);
            }
            (false, true) => self.note_other_writer("was written since its last update"),
            (false, false) => {}
        }
    }

    /// chronyd has made an update, and the new mark is its bound.
    fn note_own_write(&mut self, mark_us: i64) {
        self.is_in_step = true;
        self.written = Some(mark_us);
        self.unwritten = 0;
        self.broken = None;
    }

    fn note_other_writer(&mut self, what: &str) {
        self.is_in_step = false;
        self.written = None;
        self.broken =
            Some(format!("it answers, but the kernel's bound {what}: another program writes it"));
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

/// Whether the mark is chronyd's bound modulo 500 µs, if it wrote within the last `since_ns`.
///
/// Since then a slew has made the correction smaller, and the dispersion has grown. If that may be
/// too much, the mark shows nothing.
fn mark_is_bound(tracking: &Tracking, kernel: &KernelState, since_ns: i64) -> bool {
    let Some(bound_ns) = tracking.bound_ns() else { return false };
    let since_ns = (since_ns as f64).max(LATE_NS);
    let growth_ppm = tracking.skew_ppm + tracking.residual_frequency_ppm.abs() + 1.0;
    let changed_ppb = frequency_gap_ppb(tracking, kernel).abs() + 2.0 * growth_ppm * 1_000.0;
    let within_ns = ROUNDING_NS + since_ns * changed_ppb / 1e9;
    let apart_ns = i128::from(kernel.maxerror_us) * 1_000 - i128::from(bound_ns);
    let apart_ns = apart_ns.rem_euclid(MARK_NS);
    let apart_ns = apart_ns.min(MARK_NS - apart_ns) as f64;
    within_ns < TELLING_NS && apart_ns <= within_ns
}

#[cfg(test)]
mod tests;
