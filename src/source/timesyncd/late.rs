//! An exchange that was made before the clock watched (a process that started later).
//!
//! timesyncd polls every 2048 s in the end, and a process would have no time until then. But what
//! the wall clock did since T4 can be reckoned, because after an exchange timesyncd writes once
//! into the kernel, and what it wrote is known: its formula and the four stamps give the offset,
//! and `adjtimex` shows what is left of it. The kernel also counts the seconds since the write
//! (`maxerror` is written as 0 and grows by 500 µs a second). If they agree with the wall clock's,
//! nobody stepped it meanwhile.
//!
//! What is not seen is the part of the *previous* correction that ran on to the end of the second
//! of the write, up to 50 ms at a poll of 32 s. It counts as error. So such an interval is wider
//! than one of a watched exchange, which replaces it in the end.

use crate::host::{KernelState, STA_PLL};
use crate::timestamp::NANOS_PER_SECOND;

use super::exchange::{Exchange, OTHER_TIME, drift_of};
use super::message::NtpMessage;
use super::pairs::{Pair, is_unsynchronized, raw_of};

/// What was read around one `Get`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateLook {
    /// Before the request, with the state that the kernel had then.
    pub(super) pair: Pair,
    pub(super) message: NtpMessage,
    /// The kernel's state after the answer.
    pub(super) after: KernelState,
    /// timesyncd's shortest poll, in seconds.
    pub(super) poll_min_s: u64,
}

/// Why such an exchange states nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TooLate {
    #[error("{0}")]
    Message(#[from] super::message::NtpMessageError),
    #[error("the kernel's clock is not synchronised")]
    Unsynchronized,
    #[error("timesyncd was writing at that moment")]
    Writing,
    #[error("another program than timesyncd has written into the kernel")]
    OtherWriter,
    #[error("timesyncd's round trip is longer than 1 s, or the wall clock was stepped in it")]
    RoundTrip,
    #[error("it is not known whether timesyncd stepped the clock or slewed it")]
    StepOrSlew,
    #[error("the kernel counts other seconds since then than the wall clock")]
    OtherSeconds,
    #[error("the host was suspended since it booted")]
    Suspended,
    #[error("{OTHER_TIME}")]
    OtherTime,
}

/// From this offset on timesyncd steps the clock, in ns.
const STEPS_FROM_NS: i64 = 400_000_000;
/// The offset is known to within so much, in ns: stamps are rounded, and so is what is written.
const OFFSET_ERROR_NS: i64 = 2_000;
/// The kernel's PLL moves the rate by no more than this, in ppb.
const LARGEST_FREQUENCY_PPB: i64 = 500_000;
/// timesyncd's shortest poll at all, for a constant of 0.
const SHORTEST_POLL_S: u64 = 16;
/// An exchange that was a spike came so many seconds after the last write, at least.
const SPIKE_AFTER_S: i64 = 3;
/// A write may come so many seconds after its exchange, where the machine is starved.
const STARVED_S: i64 = 3;

/// Where true time was at the look.
pub(super) fn judge(look: &LateLook, max_drift_ppm: u32) -> Result<Exchange, TooLate> {
    let LateLook { pair, message, after, .. } = look;
    message.check()?;
    let before = &pair.kernel;
    check_writer(before, after)?;
    if pair.shows_other_time {
        return Err(TooLate::OtherTime);
    }
    // A short suspend does not show in the seconds, and the wall clock may be off after it.
    if Pair::was_suspended(pair.suspended_ns.map(|_| 0), pair.suspended_ns) {
        return Err(TooLate::Suspended);
    }
    let round_trip = (message.destination_us - message.origin_us) * 1_000;
    if !(0..=NANOS_PER_SECOND).contains(&round_trip) {
        return Err(TooLate::RoundTrip);
    }
    let offset = message.offset_ns();
    let has_jumped = has_jumped(message, before)?;
    let jump = if has_jumped { offset } else { 0 };
    let arrived_ns = (message.destination_us * 1_000).saturating_add(jump);
    let age = pair.read.unix_ns.saturating_sub(arrived_ns);
    let written_s = before.maxerror_us / 500;
    // The kernel's seconds since the write, more than those of the wall clock since T4.
    let off_s = written_s - second(age);
    let is_possible =
        if message.spike { off_s >= SPIKE_AFTER_S } else { (-2..=1).contains(&off_s) };
    if age < 0 || !is_possible {
        return Err(TooLate::OtherSeconds);
    }
    let turns = second(pair.read.unix_ns) - second(arrived_ns);
    let rest = NANOS_PER_SECOND - arrived_ns.rem_euclid(NANOS_PER_SECOND);
    // For so long after T4 the previous correction, and the previous rate, may have run on. At a
    // spike nothing was written.
    let unseen = match (message.spike, written_s == turns) {
        (true, _) => 0,
        (false, true) => rest,
        (false, false) => rest + STARVED_S * NANOS_PER_SECOND,
    };
    let slewed = match message.spike {
        _ if before.status & STA_PLL == 0 => (0, 0),
        true => slewed_since_spike(before, after, off_s, turns),
        false => slewed_since_write(before, after, offset, age),
    };
    let error = unseen_ns(before, look.poll_min_s, unseen);
    // The stamp is rounded, the offset of a jump is, and a clock shows its last step.
    let slack = OFFSET_ERROR_NS + 1_000;
    let elapsed = (
        raw_of(age - slack - slewed.1, before.rate_ppb + 1).0,
        raw_of(age + slack - slewed.0, before.rate_ppb - 1).1,
    );
    let (least, most) = (elapsed.0.max(0), elapsed.1.max(0));
    let earliest = message.earliest_ns() + least - drift_of(least, max_drift_ppm) - error;
    let sent_to_arrived = (round_trip + 1_000) * 7 / 6 + 1;
    let latest = message.latest_at_receive_ns() + sent_to_arrived + most;
    let latest = latest + drift_of(most, max_drift_ppm) + error;
    Ok(Exchange {
        counter: pair.counter,
        before: pair.read.before,
        after: pair.read.after,
        unix_ns: (earliest, latest),
        suspended_ns: pair.suspended_ns,
    })
}

/// Whether timesyncd alone writes into the kernel, and did not between the two reads.
fn check_writer(before: &KernelState, after: &KernelState) -> Result<(), TooLate> {
    if is_unsynchronized(before) || is_unsynchronized(after) {
        return Err(TooLate::Unsynchronized);
    }
    let steering = |kernel: &KernelState| (kernel.status, kernel.constant, kernel.rate_ppb);
    if steering(before) != steering(after) || after.maxerror_us < before.maxerror_us {
        return Err(TooLate::Writing);
    }
    let is_other = |kernel: &KernelState| {
        let is_slewed =
            kernel.rate_ppb.saturating_abs() > LARGEST_FREQUENCY_PPB || kernel.adjtime_ns != 0;
        kernel.residue_us() != 0 || !kernel.has_bound() || is_slewed
    };
    if is_other(before) || is_other(after) { Err(TooLate::OtherWriter) } else { Ok(()) }
}

/// Whether timesyncd stepped the clock by this exchange, and did not slew it.
fn has_jumped(message: &NtpMessage, kernel: &KernelState) -> Result<bool, TooLate> {
    // It did neither.
    if message.spike {
        return Ok(false);
    }
    let offset = message.offset_ns().saturating_abs();
    let has_jumped = offset > STEPS_FROM_NS;
    let is_near = offset.abs_diff(STEPS_FROM_NS) <= OFFSET_ERROR_NS.unsigned_abs();
    // It slews by the kernel's PLL, and switches that off when it steps.
    if is_near || (kernel.status & STA_PLL != 0) == has_jumped {
        return Err(TooLate::StepOrSlew);
    }
    Ok(has_jumped)
}

fn second(ns: i64) -> i64 {
    ns.div_euclid(NANOS_PER_SECOND)
}

/// Which part of what is left the kernel leaves for later, each second.
fn kept_part(kernel: &KernelState) -> f64 {
    1.0 - 0.25 * 0.5_f64.powi(kernel.constant.clamp(0, 20) as i32)
}

/// What of the offset is still to be corrected now, in ns: what the kernel shows, or that and the
/// part that is under way.
fn left(before: &KernelState, after: &KernelState) -> (f64, f64) {
    let shown = [before, after].map(|kernel| kernel.offset_ns as f64);
    hull(shown.into_iter().chain([shown[0] / kept_part(before)]))
}

/// How far the kernel has corrected the clock since T4 by the offset that was written then, at
/// least and at most, in ns.
fn slewed_since_write(
    before: &KernelState,
    after: &KernelState,
    offset: i64,
    age: i64,
) -> (i64, i64) {
    const WRITTEN_WITHIN_NS: i64 = 2_100_000_000;
    let (least_left, most_left) = left(before, after);
    let offset = offset as f64;
    // The write itself may be that late.
    let nothing = (age < WRITTEN_WITHIN_NS).then_some(0.0);
    let taken = hull([offset - most_left, offset - least_left].into_iter().chain(nothing));
    outward(in_shorter_seconds(taken, offset, before))
}

/// The same if nothing was written at T4: what was left then follows from what is left now.
fn slewed_since_spike(
    before: &KernelState,
    after: &KernelState,
    off_s: i64,
    turns: i64,
) -> (i64, i64) {
    let kept = kept_part(before);
    let exponent = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    // No more was left than can have been of the largest offset that is slewed.
    let most = STEPS_FROM_NS as f64 * kept.powi(exponent(off_s - 2));
    let shown = before.offset_ns as f64;
    let then = (turns - 1..=turns + 1).flat_map(|n| {
        // The kernel rounds to 1 ns.
        let grown = |left: f64| (left / kept.powi(exponent(n.max(0)))).clamp(-most, most);
        [grown(shown - 1.0), grown(shown + 1.0)]
    });
    let (least_then, most_then) = hull(then);
    let (least_left, most_left) = left(before, after);
    let taken = (least_then - most_left, most_then - least_left);
    outward(in_shorter_seconds(taken, least_then.abs().max(most_then.abs()), before))
}

/// What the clock gains if the kernel takes so much off the offset. The kernel takes a part for
/// each second of the clock that it corrects. Such a second is shorter or longer by that very
/// part, and so is what is gained in it.
fn in_shorter_seconds(taken: (f64, f64), largest: f64, kernel: &KernelState) -> (f64, f64) {
    let part = largest.abs() * (1.0 - kept_part(kernel)) + LARGEST_FREQUENCY_PPB as f64;
    let part = (part / NANOS_PER_SECOND as f64).min(0.5);
    let gained = |taken: f64| [taken / (1.0 + part), taken / (1.0 - part)];
    hull(gained(taken.0).into_iter().chain(gained(taken.1)))
}

fn hull(of: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let empty = (f64::INFINITY, f64::NEG_INFINITY);
    of.into_iter().fold(empty, |(least, most), x| (least.min(x), most.max(x)))
}

fn outward((least, most): (f64, f64)) -> (i64, i64) {
    (least.floor() as i64 - OFFSET_ERROR_NS, most.ceil() as i64 + OFFSET_ERROR_NS)
}

/// By how much the previous correction and the previous rate may have moved the clock, in ns, if
/// they ran on for `unseen` ns.
fn unseen_ns(kernel: &KernelState, poll_min_s: u64, unseen: i64) -> i64 {
    // The poll doubles at most once from one write to the next.
    let shortest = i64::from(poll_min_s.max(SHORTEST_POLL_S).ilog2()) - 4;
    let constant = (kernel.constant - 1).max(shortest).clamp(0, 20);
    let correction_ppb = STEPS_FROM_NS / (4 << constant) + 1;
    let rate_ppb = LARGEST_FREQUENCY_PPB + kernel.rate_ppb.saturating_abs();
    let moved_ppb = correction_ppb + rate_ppb;
    // A second that it makes longer lasts longer.
    let moved = i128::from(unseen) * i128::from(moved_ppb);
    (moved / i128::from(NANOS_PER_SECOND - moved_ppb)) as i64 + 1
}
