//! [`LeapTable`]: when TAI − UTC changed, and what each moment is called because of it.
//!
//! # The problem
//!
//! UTC follows the rotation of the earth by inserting (or, one day, skipping) a
//! second at the end of a day. TAI does not. So one number, TAI − UTC, changes
//! by one at moments that only a table knows.
//!
//! # The naive fix
//!
//! Keep a list of Unix times and offsets, and subtract the last offset whose Unix
//! time is not after the moment. This fails on the way from TAI. The list's
//! times are UTC, so the moment is compared with a number of another scale, and
//! near each leap second the answer is off by a second. The list also cannot express
//! the inserted second itself, nor a Unix count that names two moments.
//!
//! # The insight
//!
//! Each change happens at *one moment* of TAI, and both of its offsets are known there:
//!
//! - an inserted second begins at the midnight of the old offset and lasts a second;
//! - a skipped second takes effect where 23:59:59 of the old offset would begin.
//!
//! Both moments are midnight plus the smaller of the two offsets. With that moment stored
//! beside the midnight, the way from TAI compares TAI with TAI.
//!
//! During an inserted second the Unix count repeats the 23:59:59 before it, and a flag
//! says so. This is what Linux does. The POSIX formula would repeat the 00:00:00
//! after it: it repeats equally much, one second later. A clock has to be compared with what
//! the kernel shows, so this table follows the kernel.
//!
//! # How a moment is found
//!
//! Nearly all moments are after the last leap second, and one comparison finds them. `step`
//! describes how the others are found.
//!
//! Read: IERS Bulletin C; ITU-R TF.460-6; RFC 8536, appendix A, whose format
//! shares this view.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use super::error::ScaleError;
use super::expiry::Expiry;
use super::step::{BUCKET_BITS, Step, bucket_count, last_step_in_force};
use super::table_error::LeapTableError;
use super::table_source::{HashState, TableSource};
use super::unix::UnixTime;
use super::utc::Utc;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

/// When TAI − UTC changed, and to what. An immutable value: share it in an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeapTable {
    /// From here on, `window` counts of TAI have the last offset and are before the expiry.
    pub(super) settled_tai: i64,
    pub(super) settled_unix: i64,
    pub(super) window_tai: u64,
    pub(super) window_unix: u64,
    pub(super) offset: i64,
    /// Where the first line begins, and where single moments begin to be refused
    /// (`i64::MAX` for never). They stand beside the windows, so that most other moments
    /// are found without following a pointer.
    first_tai: i64,
    first_unix: i64,
    pub(super) stops_tai: i64,
    pub(super) stops_unix: i64,
    pub(super) steps: Cow<'static, [Step]>,
    buckets: Cow<'static, [u8]>,
    /// Unix seconds.
    pub(super) expires: Option<i64>,
    pub(super) expiry: Expiry,
    source: TableSource,
    hash: HashState,
}

/// One line of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeapEntry {
    /// The midnight from which the offset holds.
    pub since: UnixTime,
    /// TAI − UTC from then on, in seconds.
    pub tai_minus_utc: i32,
}

/// One leap second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeapSecond {
    /// The start of the inserted second, or the moment at which the skipped one would have started.
    pub at: Timestamp,
    /// The label of the inserted (23:59:60) or skipped (23:59:59) second.
    pub label: Utc,
    /// Whether it inserts a second, as all have done so far. Otherwise it skips one.
    pub inserts: bool,
    /// TAI − UTC after it, in seconds.
    pub tai_minus_utc: i32,
}

impl LeapTable {
    /// A table of `steps` in order, whose ends are `first` and `last`.
    pub(super) const fn from_parts(
        (first, last): (Step, Step),
        steps: Cow<'static, [Step]>,
        buckets: Cow<'static, [u8]>,
        expires: Option<i64>,
        source: TableSource,
    ) -> LeapTable {
        LeapTable {
            settled_tai: last.settled,
            settled_unix: last.unix,
            window_tai: i64::MAX.abs_diff(last.settled) + 1,
            window_unix: i64::MAX.abs_diff(last.unix) + 1,
            offset: last.offset,
            first_tai: first.tai,
            first_unix: first.unix,
            stops_tai: i64::MAX,
            stops_unix: i64::MAX,
            steps,
            buckets,
            expires,
            expiry: Expiry::Ignore,
            source,
            hash: HashState::NotApplicable,
        }
    }

    /// A table of entries: the Unix time of a midnight, and TAI − UTC from then on, in seconds.
    ///
    /// # Errors
    ///
    /// See [`LeapTableError`]. The first entry must be 1972-01-01 with 10 s. Each other must be
    /// at a later midnight, with one second more or less than the entry before.
    pub fn from_entries(entries: &[(i64, i32)]) -> Result<LeapTable, LeapTableError> {
        let lines = entries.iter().enumerate().map(|(i, &entry)| (i + 1, entry));
        LeapTable::from_lines(lines, None)
    }

    /// Like `from_entries`, where each entry comes with its line number for errors.
    pub(super) fn from_lines(
        lines: impl IntoIterator<Item = (usize, (i64, i32))>,
        expires: Option<i64>,
    ) -> Result<LeapTable, LeapTableError> {
        let steps = LeapTableError::check_lines(lines, expires)?;
        let ends = match (steps.first(), steps.last()) {
            (Some(&first), Some(&last)) => (first, last),
            _ => return Err(LeapTableError::Empty),
        };
        let buckets = (0..bucket_count(&steps)).map(|i| last_step_in_force(&steps, i)).collect();
        let (steps, buckets) = (Cow::Owned(steps), Cow::Owned(buckets));
        Ok(LeapTable::from_parts(ends, steps, buckets, expires, TableSource::Given))
    }

    pub(super) fn with_hash(mut self, hash: HashState) -> LeapTable {
        self.hash = hash;
        self
    }

    pub(super) fn read_from(mut self, path: &Path) -> LeapTable {
        self.source = TableSource::File(path.to_owned());
        self
    }

    /// Where the table came from.
    pub fn source(&self) -> &TableSource {
        &self.source
    }

    /// Whether the list's own hash was checked.
    pub fn hash_state(&self) -> HashState {
        self.hash
    }

    /// All lines, including the first (1972-01-01, 10 s).
    pub fn entries(&self) -> impl ExactSizeIterator<Item = LeapEntry> + '_ {
        self.steps.iter().map(|step| LeapEntry {
            since: UnixTime::from_nanos(step.unix),
            tai_minus_utc: (step.offset / NANOS_PER_SECOND) as i32,
        })
    }

    /// All leap seconds, in order.
    pub fn leaps(&self) -> impl DoubleEndedIterator<Item = LeapSecond> + '_ {
        self.steps.iter().filter(|step| step.offset != step.before).map(|step| LeapSecond {
            at: Timestamp::from_tai_nanos(step.tai),
            label: Utc::from_unix(
                UnixTime::from_nanos(step.unix - NANOS_PER_SECOND),
                step.inserts(),
            ),
            inserts: step.inserts(),
            tai_minus_utc: (step.offset / NANOS_PER_SECOND) as i32,
        })
    }

    /// The first leap second that begins at `t` or later.
    pub fn next_leap(&self, t: Timestamp) -> Option<LeapSecond> {
        self.leaps().find(|leap| leap.at >= t)
    }

    /// The last leap second that begins at most `within` before or after `t`.
    pub fn leap_near(&self, t: Timestamp, within: Duration) -> Option<LeapSecond> {
        let near = Interval::from(t).widen(within);
        self.leaps().rev().find(|leap| near.contains(leap.at))
    }

    /// The least and the greatest TAI − UTC, in seconds, that hold
    /// anywhere within `slack` seconds of the Unix second `unix`. `None` if that
    /// reaches before 1972, when UTC did not consist of whole seconds.
    pub fn offsets_near(&self, unix: i64, slack: i64) -> Option<(i32, i32)> {
        let in_force = |at: i64| self.position_unix(seconds_to_nanos(at));
        let first = in_force(unix.saturating_sub(slack))?;
        let last = in_force(unix.saturating_add(slack))?;
        let offsets =
            self.steps[first..=last].iter().map(|step| (step.offset / NANOS_PER_SECOND) as i32);
        Some((offsets.clone().min()?, offsets.max()?))
    }

    /// The offset at a count of TAI, and whether the moment is within an inserted second.
    #[inline]
    pub(super) fn at_tai(&self, tai: i64) -> Result<(i64, bool), ScaleError> {
        // One comparison finds what is after the last leap second. An earlier count wraps
        // around to more than the window, which ends at the expiry or at `i64::MAX`.
        if (tai.wrapping_sub(self.settled_tai) as u64) < self.window_tai {
            return Ok((self.offset, false));
        }
        if tai >= self.stops_tai {
            return Err(self.expired());
        }
        self.at_tai_unlimited(tai)
    }

    /// Like `at_tai`, but ignores the expiry.
    #[inline]
    pub(super) fn at_tai_unlimited(&self, tai: i64) -> Result<(i64, bool), ScaleError> {
        let at = self.position_tai(tai).ok_or(ScaleError::BeforeUtc)?;
        let step = &self.steps[at];
        Ok((step.offset, tai < step.settled))
    }

    /// The offset at a Unix count, if that is after the last leap second and before the expiry.
    #[inline]
    pub(super) fn settled_at_unix(&self, unix: i64) -> Option<i64> {
        ((unix.wrapping_sub(self.settled_unix) as u64) < self.window_unix).then_some(self.offset)
    }

    /// The step that is in force at a count of TAI.
    #[inline]
    pub(super) fn position_tai(&self, tai: i64) -> Option<usize> {
        self.position(tai, self.first_tai, |step| step.tai)
    }

    /// The last step whose midnight is not after a Unix count.
    #[inline]
    pub(super) fn position_unix(&self, unix: i64) -> Option<usize> {
        self.position(unix, self.first_unix, |step| step.unix)
    }

    #[inline]
    fn position(&self, count: i64, first: i64, key: impl Fn(&Step) -> i64) -> Option<usize> {
        if count < first {
            return None;
        }
        let bucket = (count.wrapping_sub(self.first_unix) >> BUCKET_BITS) as usize;
        let steps = &*self.steps;
        let mut at = match self.buckets.get(bucket) {
            Some(&at) => usize::from(at),
            None => return steps.len().checked_sub(1),
        };
        while steps.get(at + 1).is_some_and(|next| key(next) <= count) {
            at += 1;
        }
        Some(at)
    }
}
