//! One change of TAI − UTC, and how the change in force is found.
//!
//! A bucket is 26 days of the count; for each the step in force at its start is
//! kept, and the few that follow within it are walked. So there is no binary
//! search, whose branches nobody can predict, and no division.

use crate::timestamp::NANOS_PER_SECOND;

/// One line of the table, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// TAI from which the offset holds.
    pub tai: i64,
    /// TAI at which the inserted second is over; `tai` where none was inserted.
    pub settled: i64,
    /// The midnight it belongs to, on the Unix scale.
    pub unix: i64,
    /// TAI − Unix.
    pub offset: i64,
    /// What the offset was before; the same for the first line.
    pub before: i64,
}

/// 2^51 ns are 26 days: shorter than any month, so rarely more than one step in a bucket.
pub(super) const BUCKET_BITS: u32 = 51;

impl Step {
    /// `before` is the offset it replaces, in seconds; `None` for the first line.
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

    /// Whether it skips one.
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
