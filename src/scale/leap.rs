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
//! Nearly all are after the last leap: one comparison. For the others see `step`.
//!
//! Read: IERS Bulletin C; ITU-R TF.460-6; RFC 8536, appendix A, for the format
//! that shares this view.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::civil::{DAY, date_from_days};
use super::error::ScaleError;
use super::step::{BUCKET_BITS, Step, bucket_count, last_step_in_force};
use super::table_error::LeapTableError;
use super::unix::UnixTime;
use super::utc::Utc;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

/// When TAI − UTC changed, and to what. An immutable value: share it in an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeapTable {
    /// The `window` counts of TAI from here on have the last offset, and are within the expiry.
    settled_tai: i64,
    settled_unix: i64,
    window_tai: u64,
    window_unix: u64,
    offset: i64,
    /// Where the first line begins, and where single moments begin to be refused
    /// (`i64::MAX` for nowhere): beside the windows, so that most of the rest is
    /// found without following a pointer.
    first_tai: i64,
    first_unix: i64,
    stops_tai: i64,
    stops_unix: i64,
    pub(super) steps: Cow<'static, [Step]>,
    buckets: Cow<'static, [u8]>,
    /// Unix seconds.
    expires: Option<i64>,
    expiry: Expiry,
    source: TableSource,
    hash: HashState,
}

/// What a table does with moments after its expiry, of which it cannot know all leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expiry {
    /// Goes on with the last offset: no leap second has come since 2016, and old
    /// tables are everywhere. [`LeapTable::is_expired_at`] reports it.
    #[default]
    Ignore,
    /// Widens intervals by a second either way for each half-year begun since the
    /// expiry: leap seconds have come at the end of June and December only, one at
    /// a time. A single moment cannot be widened, and is refused as under [`Expiry::Error`].
    Widen,
    /// Refuses, with [`ScaleError::Expired`].
    Error,
}

/// Where a table came from.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TableSource {
    /// Built into the crate.
    BuiltIn,
    /// Given by the program: entries, or the bytes of a list or TZif file.
    Given,
    /// Read from this file.
    File(PathBuf),
}

/// Whether a list's own hash vouches for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HashState {
    /// The list's `#h` line agrees with its contents. (One that disagrees is an error.)
    Verified,
    /// The list has no `#h` line, nor the `#$` line that published ones have.
    Absent,
    /// The format has no hash.
    NotApplicable,
}

/// One line of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// From this midnight on,
    pub since: UnixTime,
    /// TAI − UTC is this many seconds.
    pub tai_minus_utc: i32,
}

/// One leap second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leap {
    /// When it begins: the inserted second's start, or where the skipped one would have started.
    pub at: Timestamp,
    /// The label that is inserted (23:59:60) or skipped (23:59:59).
    pub label: Utc,
    /// Whether it inserts a second, as all have done so far, or skips one.
    pub inserts: bool,
    /// TAI − UTC after it, in seconds.
    pub tai_minus_utc: i32,
}

impl LeapTable {
    /// `steps` are in order; `first` and `last` are its ends.
    pub(super) const fn lay_out(
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

    /// A table of (Unix time of a midnight, TAI − UTC in seconds from then on).
    ///
    /// # Errors
    ///
    /// See [`LeapTableError`]: the first entry must be 1972-01-01 with 10 s, the
    /// others later midnights, each a second more or less than the one before.
    pub fn from_entries(entries: &[(i64, i32)]) -> Result<LeapTable, LeapTableError> {
        let lines = entries.iter().enumerate().map(|(i, &entry)| (i + 1, entry));
        LeapTable::from_lines(lines, None)
    }

    /// As `from_entries`, with the number of the line that each entry is from.
    pub(super) fn from_lines(
        lines: impl IntoIterator<Item = (usize, (i64, i32))>,
        expires: Option<i64>,
    ) -> Result<LeapTable, LeapTableError> {
        let steps = LeapTableError::check_lines(lines)?;
        let ends = match (steps.first(), steps.last()) {
            (Some(&first), Some(&last)) => (first, last),
            _ => return Err(LeapTableError::Empty),
        };
        let buckets = (0..bucket_count(&steps)).map(|i| last_step_in_force(&steps, i)).collect();
        let (steps, buckets) = (Cow::Owned(steps), Cow::Owned(buckets));
        Ok(LeapTable::lay_out(ends, steps, buckets, expires, TableSource::Given))
    }

    /// The same table with another answer to moments after its expiry.
    pub fn on_expiry(mut self, expiry: Expiry) -> LeapTable {
        self.expiry = expiry;
        self.stops_unix = match (expiry, self.expires()) {
            (Expiry::Widen | Expiry::Error, Some(expires)) => expires.nanos(),
            _ => i64::MAX,
        };
        self.stops_tai = self.stops_unix.saturating_add(self.offset);
        // The windows end where the table stops, so that the quick path needs no second
        // comparison. One that does not stop includes the last count.
        let open = u64::from(self.stops_unix == i64::MAX);
        let length = |from: i64, to: i64| to.max(from).abs_diff(from) + open;
        self.window_tai = length(self.settled_tai, self.stops_tai);
        self.window_unix = length(self.settled_unix, self.stops_unix);
        self
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

    /// Whether the list's hash vouches for it.
    pub fn hash_state(&self) -> HashState {
        self.hash
    }

    /// Until when all leap seconds are known; `None` where the table does not say.
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires.and_then(|seconds| UnixTime::new(seconds, 0))
    }

    /// What is done after the expiry.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Whether the table may lack a leap second that came before `t`.
    pub fn is_expired_at(&self, t: Timestamp) -> bool {
        match self.expires() {
            Some(expires) => t.tai_nanos() >= expires.nanos().saturating_add(self.offset),
            None => false,
        }
    }

    /// All lines, the first (1972-01-01, 10 s) included.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry> + '_ {
        self.steps.iter().map(|step| Entry {
            since: UnixTime::from_nanos(step.unix),
            tai_minus_utc: (step.offset / NANOS_PER_SECOND) as i32,
        })
    }

    /// All leap seconds, in order.
    pub fn leaps(&self) -> impl DoubleEndedIterator<Item = Leap> + '_ {
        self.steps.iter().filter(|step| step.offset != step.before).map(|step| Leap {
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
    pub fn next_leap(&self, t: Timestamp) -> Option<Leap> {
        self.leaps().find(|leap| leap.at >= t)
    }

    /// A leap second that begins within `within` before or after `t`, the last of them.
    pub fn leap_near(&self, t: Timestamp, within: Duration) -> Option<Leap> {
        let near = Interval::from(t).widen(within);
        self.leaps().rev().find(|leap| near.contains(leap.at))
    }

    /// The least and the greatest TAI − UTC, in seconds, that are in force
    /// anywhere within `slack` seconds of `unix` on the POSIX scale; `None` if that
    /// reaches before 1972, when UTC did not have whole seconds yet.
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
        // After the last leap, in one comparison: what is before it wraps
        // around to more than the window, which ends at the expiry or at `i64::MAX`.
        if (tai.wrapping_sub(self.settled_tai) as u64) < self.window_tai {
            return Ok((self.offset, false));
        }
        if tai >= self.stops_tai {
            return Err(self.expired());
        }
        self.at_tai_unlimited(tai)
    }

    /// As `at_tai`, whatever the expiry.
    #[inline]
    pub(super) fn at_tai_unlimited(&self, tai: i64) -> Result<(i64, bool), ScaleError> {
        let at = self.position_tai(tai).ok_or(ScaleError::BeforeUtc)?;
        let step = &self.steps[at];
        Ok((step.offset, tai < step.settled))
    }

    /// The offset, where a Unix count is after the last leap and before the expiry.
    #[inline]
    pub(super) fn settled_at_unix(&self, unix: i64) -> Option<i64> {
        ((unix.wrapping_sub(self.settled_unix) as u64) < self.window_unix).then_some(self.offset)
    }

    /// The last step that is in force at a count of TAI.
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

    /// Whether single moments from this Unix count on are refused.
    #[inline]
    pub(super) fn stops_before(&self, unix: i64) -> bool {
        self.stops_unix != i64::MAX && unix >= self.stops_unix
    }

    #[cold]
    pub(super) fn expired(&self) -> ScaleError {
        ScaleError::Expired { expired: self.expires.unwrap_or(i64::MAX) }
    }

    /// By how much an interval that reaches to `unix` must be widened for leap
    /// seconds the table may lack.
    ///
    /// # Errors
    ///
    /// [`ScaleError::Expired`] where the table is to refuse.
    pub(crate) fn doubt(&self, unix: i64) -> Result<Duration, ScaleError> {
        // A day early: a smear begins before its leap.
        let reached = (unix / NANOS_PER_SECOND).saturating_add(DAY);
        match (self.expires, self.expiry) {
            (Some(expires), Expiry::Error) if unix >= seconds_to_nanos(expires) => {
                Err(self.expired())
            }
            (Some(expires), Expiry::Widen) if reached >= expires => {
                let begun = half_years(reached) - half_years(expires);
                Ok(Duration::from_secs(begun.unsigned_abs()))
            }
            _ => Ok(Duration::ZERO),
        }
    }
}

/// A number that grows by one on each 1 January and 1 July.
fn half_years(unix_seconds: i64) -> i64 {
    let (year, month, _) = date_from_days(unix_seconds.div_euclid(DAY));
    year * 2 + i64::from(month > 6)
}
