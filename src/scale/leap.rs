//! [`LeapTable`]: when TAI − UTC changed, and what any moment is called because of it.
//!
//! # The problem
//!
//! UTC follows the rotation of the earth by inserting (or, one day, skipping) a
//! second at the end of a day. TAI does not. So one number, TAI − UTC, changes
//! by one at moments that only a table knows.
//!
//! # The naive fix
//!
//! Keep a list of Unix times and offsets; subtract the last offset whose Unix
//! time is not after the moment. It fails on the way from TAI: the list's
//! times are UTC, so the moment is compared with a number of another scale, and
//! near each leap the answer is off by a second. It also has no word for the
//! inserted second itself, nor for the Unix count that names two moments.
//!
//! # The insight
//!
//! Each change is *one moment* of TAI, and both of its offsets are known there:
//!
//! - an inserted second begins at the old offset's midnight, and lasts a second;
//! - a skipped one takes effect where the old offset's 23:59:59 would begin.
//!
//! Both are midnight plus the smaller of the two offsets. Store that moment
//! beside the midnight, and the way from TAI is a comparison on TAI's own scale.
//! During an inserted second the Unix count repeats the 23:59:59 before it, as
//! Linux does, and a flag says so. The POSIX formula would repeat the 00:00:00
//! after it: same count of repeats, one second later. What the kernel shows is
//! what a clock has to be compared with, so it is the kernel's way here.
//!
//! # How a moment is found
//!
//! Nearly all are after the last leap: one comparison. For the others an array
//! of buckets, 26 days each, gives the step in force at the bucket's start, and
//! at most a few steps follow within it. No binary search, no division.
//!
//! Read: IERS Bulletin C; ITU-R TF.460-6; RFC 8536, appendix A, for the format
//! that shares this view.

use std::borrow::Cow;

use super::civil::SECOND;
use super::error::ScaleError;
use super::rfc3339::ParseUtcError;
use super::unix::{UnixReading, UnixTime, UnixToTai};
use super::utc::Utc;
use crate::timestamp::Timestamp;

/// When TAI − UTC changed, and to what. An immutable value: share it in an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeapTable {
    /// All nanosecond counts from `settled_tai` on, `window` of them, have the last offset.
    settled_tai: i64,
    window: u64,
    offset: i64,
    steps: Cow<'static, [Step]>,
    /// For each bucket of both scales, the last step in force at its start.
    buckets: Cow<'static, [u8]>,
}

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
}

/// A bucket is 2^51 ns, 26 days: shorter than any month, so rarely more than one step in it.
const BUCKET_BITS: u32 = 51;

impl Step {
    /// `before` is the offset it replaces, in seconds; `None` for the first line.
    const fn new(unix: i64, before: Option<i32>, offset: i32) -> Step {
        let before = match before {
            Some(before) => before,
            None => offset,
        };
        let smaller = if before < offset { before } else { offset };
        let tai = (unix + smaller as i64) * SECOND;
        let settled = if before < offset { tai + SECOND } else { tai };
        Step { tai, settled, unix: unix * SECOND, offset: offset as i64 * SECOND }
    }
}

/// The last step of `steps` that is in force at the start of each bucket, on both scales.
const fn last_step_in_force(steps: &[Step], bucket: usize) -> u8 {
    let start = steps[0].unix + ((bucket as i64) << BUCKET_BITS);
    let mut last = 0;
    while last + 1 < steps.len() && steps[last + 1].tai <= start && steps[last + 1].unix <= start {
        last += 1;
    }
    last as u8
}

/// How many buckets reach from the first step to past the last.
const fn bucket_count(steps: &[Step]) -> usize {
    let last = &steps[steps.len() - 1];
    let end = if last.settled > last.unix { last.settled } else { last.unix };
    ((end - steps[0].unix) >> BUCKET_BITS) as usize + 1
}

/// TAI − UTC since 1972, from IERS Bulletin C: (Unix time, seconds).
const BUILTIN: [(i64, i32); 28] = [
    (63_072_000, 10),
    (78_796_800, 11),
    (94_694_400, 12),
    (126_230_400, 13),
    (157_766_400, 14),
    (189_302_400, 15),
    (220_924_800, 16),
    (252_460_800, 17),
    (283_996_800, 18),
    (315_532_800, 19),
    (362_793_600, 20),
    (394_329_600, 21),
    (425_865_600, 22),
    (489_024_000, 23),
    (567_993_600, 24),
    (631_152_000, 25),
    (662_688_000, 26),
    (709_948_800, 27),
    (741_484_800, 28),
    (773_020_800, 29),
    (820_454_400, 30),
    (867_715_200, 31),
    (915_148_800, 32),
    (1_136_073_600, 33),
    (1_230_768_000, 34),
    (1_341_100_800, 35),
    (1_435_708_800, 36),
    (1_483_228_800, 37),
];

/// Until 2027-06-28 it is announced that there is no further one: tz 2026f's `leapseconds`.
const BUILTIN_EXPIRES: i64 = 1_814_140_800;

static BUILTIN_STEPS: [Step; BUILTIN.len()] = {
    let mut steps = [Step::new(BUILTIN[0].0, None, BUILTIN[0].1); BUILTIN.len()];
    let mut i = 1;
    while i < steps.len() {
        steps[i] = Step::new(BUILTIN[i].0, Some(BUILTIN[i - 1].1), BUILTIN[i].1);
        i += 1;
    }
    steps
};

static BUILTIN_BUCKETS: [u8; bucket_count(&BUILTIN_STEPS)] = {
    let mut buckets = [0; bucket_count(&BUILTIN_STEPS)];
    let mut i = 0;
    while i < buckets.len() {
        buckets[i] = last_step_in_force(&BUILTIN_STEPS, i);
        i += 1;
    }
    buckets
};

/// The table this crate was built with, for texts that have no other at hand.
pub(super) static BUILTIN_TABLE: LeapTable = LeapTable::builtin();

impl LeapTable {
    /// The table this crate was built with: 27 leap seconds, 1972 to 2016.
    pub const fn builtin() -> LeapTable {
        let last = BUILTIN_STEPS[BUILTIN_STEPS.len() - 1];
        LeapTable {
            settled_tai: last.settled,
            window: i64::MAX.abs_diff(last.settled) + 1,
            offset: last.offset,
            steps: Cow::Borrowed(&BUILTIN_STEPS),
            buckets: Cow::Borrowed(&BUILTIN_BUCKETS),
        }
    }

    /// Reads RFC 3339 as `Utc::from_str` does, with this table's leap seconds and no others.
    ///
    /// # Errors
    ///
    /// As `Utc::from_str`.
    pub fn parse_utc(&self, text: &str) -> Result<Utc, ParseUtcError> {
        let utc = Utc::read(text)?;
        if utc.is_leap_second() && self.utc_to_tai(utc).is_err() {
            return Err(ParseUtcError::NotALeapSecond);
        }
        Ok(utc)
    }

    /// Whether UTC had a second 60 there, or may still get it.
    pub(super) fn builtin_may_have(utc: Utc) -> bool {
        let (seconds, _) = utc.unix_seconds();
        if seconds >= BUILTIN_EXPIRES {
            return utc.is_last_of_month();
        }
        BUILTIN_TABLE.utc_to_tai(utc).is_ok()
    }

    /// The offset at a count of TAI, and whether the moment is within an inserted second.
    #[inline]
    fn at_tai(&self, tai: i64) -> Option<(i64, bool)> {
        // After the last leap, in one comparison: what is before it wraps
        // around to more than the window, which ends at `i64::MAX`.
        if (tai.wrapping_sub(self.settled_tai) as u64) < self.window {
            return Some((self.offset, false));
        }
        let step = self.step(tai, |step| step.tai)?;
        Some((step.offset, tai < step.settled))
    }

    /// The last step whose `key` is not after `count`.
    #[inline]
    fn step(&self, count: i64, key: impl Fn(&Step) -> i64) -> Option<&Step> {
        Some(&self.steps[self.position(count, key)?])
    }

    #[inline]
    fn position(&self, count: i64, key: impl Fn(&Step) -> i64) -> Option<usize> {
        let first = self.steps.first()?;
        if count < key(first) {
            return None;
        }
        let bucket = (count.saturating_sub(first.unix) >> BUCKET_BITS) as usize;
        let mut at = match self.buckets.get(bucket) {
            Some(&at) => usize::from(at),
            None => return self.steps.len().checked_sub(1),
        };
        while self.steps.get(at + 1).is_some_and(|next| key(next) <= count) {
            at += 1;
        }
        Some(at)
    }

    /// What a Unix clock that follows the table shows at `t`, and whether it is repeating a second.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972.
    #[inline]
    pub fn tai_to_unix(&self, t: Timestamp) -> Result<UnixReading, ScaleError> {
        let (offset, in_leap_second) = self.at_tai(t.tai_nanos()).ok_or(ScaleError::BeforeUtc)?;
        let nanos = t.tai_nanos().checked_sub(offset).ok_or(ScaleError::OutOfRange)?;
        Ok(UnixReading { time: UnixTime::from_nanos(nanos), in_leap_second })
    }

    /// The moment, or the moments, at which a Unix clock that follows the table shows `unix`.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972, [`ScaleError::OutOfRange`] within
    /// the last minute before [`Timestamp::MAX`].
    #[inline]
    pub fn unix_to_tai(&self, unix: UnixTime) -> Result<UnixToTai, ScaleError> {
        let count = unix.nanos();
        let moment = |offset: i64| {
            let tai = count.checked_add(offset).ok_or(ScaleError::OutOfRange)?;
            Ok(Timestamp::from_tai_nanos(tai))
        };
        let at = self.position(count, |step| step.unix).ok_or(ScaleError::BeforeUtc)?;
        let here = self.steps[at];
        match self.steps.get(at + 1) {
            Some(next) if count >= next.unix - SECOND && next.offset > here.offset => {
                Ok(UnixToTai::Ambiguous(moment(here.offset)?, moment(next.offset)?))
            }
            Some(next) if count >= next.unix - SECOND && next.offset < here.offset => {
                Ok(UnixToTai::Skipped)
            }
            _ => Ok(UnixToTai::Unique(moment(here.offset)?)),
        }
    }

    /// The civil date and time of `t`, with second 60 within a leap second.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972.
    pub fn tai_to_utc(&self, t: Timestamp) -> Result<Utc, ScaleError> {
        let UnixReading { time, in_leap_second } = self.tai_to_unix(t)?;
        Ok(Utc::from_unix(time, in_leap_second))
    }

    /// The moment that a civil date and time names.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972; [`ScaleError::NoSuchLeapSecond`]
    /// for a second 60 that the table does not have; [`ScaleError::Skipped`] for
    /// a second 59 that it takes away; [`ScaleError::OutOfRange`] after 2262-04-11.
    pub fn utc_to_tai(&self, utc: Utc) -> Result<Timestamp, ScaleError> {
        let (seconds, is_leap) = utc.unix_seconds();
        let count = seconds
            .checked_mul(SECOND)
            .and_then(|nanos| nanos.checked_add(i64::from(utc.nanosecond())));
        let Some(count) = count else {
            return Err(if seconds < 0 { ScaleError::BeforeUtc } else { ScaleError::OutOfRange });
        };
        match (self.unix_to_tai(UnixTime::from_nanos(count))?, is_leap) {
            (UnixToTai::Ambiguous(_, second), true) => Ok(second),
            (_, true) => Err(ScaleError::NoSuchLeapSecond),
            (UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _), false) => Ok(t),
            (UnixToTai::Skipped, false) => Err(ScaleError::Skipped),
        }
    }

    /// The least and the greatest TAI − UTC, in seconds, that are in force
    /// anywhere within `slack` seconds of `unix` on the POSIX scale; `None` if that
    /// reaches before 1972, when UTC did not have whole seconds yet.
    pub fn offsets_near(&self, unix: i64, slack: i64) -> Option<(i32, i32)> {
        let in_force = |at: i64| self.position(at.saturating_mul(SECOND), |step| step.unix);
        let first = in_force(unix.saturating_sub(slack))?;
        let last = in_force(unix.saturating_add(slack))?;
        let offsets = self.steps[first..=last].iter().map(|step| (step.offset / SECOND) as i32);
        Some((offsets.clone().min()?, offsets.max()?))
    }
}
