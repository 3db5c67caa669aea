//! [`Step`]: one change of TAI − UTC, and the index that finds the step in force at a moment.
//!
//! A binary search would cost mispredicted branches. So the count is divided into buckets
//! of 26 days. The index has the step in force at the start of each bucket, and the few
//! steps within a bucket are walked. A shift finds the bucket, without a division.

use crate::timestamp::NANOS_PER_SECOND;

/// One line of the table, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// TAI from which the offset holds.
    pub tai: i64,
    /// TAI at which the inserted second is over. Equal to `tai` if none was inserted.
    pub settled: i64,
    /// The midnight it belongs to, on the Unix scale.
    pub unix: i64,
    /// TAI − Unix.
    pub offset: i64,
    /// The offset before this step. For the first line it is the same as `offset`.
    pub before: i64,
}

/// 2^51 ns are 26 days. A month is longer, so that few buckets contain more than one step.
pub(super) const BUCKET_BITS: u32 = 51;

impl Step {
    /// `before` is the offset that it replaces, in seconds, or `None` for the first line.
    pub const fn new(unix: i64, before: Option<i32>, offset: i32) -> Step {
        let before = match before {
            Some(before) => before,
            None => offset,
        };
        let smaller = if before < offset { before } else { offset };
        let tai = (unix + smaller as i64) * NANOS_PER_SECOND;
        Step {
            tai,
            settled: if before < offset { tai + NANOS_PER_SECOND } else { tai },
            unix: unix * NANOS_PER_SECOND,
            offset: offset as i64 * NANOS_PER_SECOND,
            before: before as i64 * NANOS_PER_SECOND,
        }
    }

    /// Whether it inserts a second.
    pub const fn inserts(&self) -> bool {
        self.offset > self.before
    }

    /// Whether it skips a second.
    pub const fn skips(&self) -> bool {
        self.offset < self.before
    }
}

/// The last step of `steps` that is in force at the start of a bucket, on both scales.
pub(super) const fn last_step_in_force(steps: &[Step], bucket: usize) -> u8 {
    let start = steps[0].unix + ((bucket as i64) << BUCKET_BITS);
    let mut last = 0;
    while last + 1 < steps.len() && steps[last + 1].tai <= start && steps[last + 1].unix <= start {
        last += 1;
    }
    last as u8
}

/// How many buckets reach from the first step to past the last.
pub(super) const fn bucket_count(steps: &[Step]) -> usize {
    let last = &steps[steps.len() - 1];
    let end = if last.settled > last.unix { last.settled } else { last.unix };
    ((end - steps[0].unix) >> BUCKET_BITS) as usize + 1
}
