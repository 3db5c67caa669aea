//! [`ScaleInterval`]: an interval on another scale, and whole intervals there and back.
//!
//! The naive way converts the two ends. Near a leap second that is wrong, since
//! the Unix count runs back there: for an interval that begins at 23:59:59.9 and
//! ends at 23:59:60.1 it gives two counts in the wrong order, and between them
//! neither the 23:59:59.95 nor the 23:59:60.0 that were within. So an interval
//! becomes the hull of all that a clock shows during it, and a span becomes the
//! hull of all moments at which a clock shows anything in it. Either may be up to
//! a second wider than what went in, never narrower.

use std::fmt;

use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::unix::{UnixTime, UnixToTai};
use super::utc::Utc;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// Two readings of one scale, `earliest <= latest`, with the true one between them, ends included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ScaleInterval<T> {
    earliest: T,
    latest: T,
}

impl<T: Copy + PartialOrd> ScaleInterval<T> {
    /// `[earliest, latest]`, or `None` if `latest` is the earlier of the two.
    pub fn new(earliest: T, latest: T) -> Option<ScaleInterval<T>> {
        (earliest <= latest).then_some(ScaleInterval { earliest, latest })
    }

    /// The least that the scale may show.
    pub fn earliest(&self) -> T {
        self.earliest
    }

    /// The most that the scale may show.
    pub fn latest(&self) -> T {
        self.latest
    }

    /// Converts each end; for scales on which order is kept.
    pub(super) fn try_map<U>(
        self,
        mut convert: impl FnMut(T) -> Result<U, ScaleError>,
    ) -> Result<ScaleInterval<U>, ScaleError> {
        Ok(ScaleInterval { earliest: convert(self.earliest)?, latest: convert(self.latest)? })
    }
}

/// The span that holds one reading.
impl<T: Copy> From<T> for ScaleInterval<T> {
    fn from(reading: T) -> ScaleInterval<T> {
        ScaleInterval { earliest: reading, latest: reading }
    }
}

/// `[earliest, latest]`
impl<T: fmt::Display> fmt::Display for ScaleInterval<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", self.earliest, self.latest)
    }
}

/// The ends of an interval, which must not be open: no scale has a name for "anything beyond".
pub(super) fn ends(interval: &Interval) -> Result<ScaleInterval<Timestamp>, ScaleError> {
    let (earliest, latest) = (interval.earliest(), interval.latest());
    if earliest == Timestamp::MIN || latest == Timestamp::MAX {
        return Err(ScaleError::OpenEnd);
    }
    Ok(ScaleInterval { earliest, latest })
}

impl LeapTable {
    /// All that a Unix clock may show during `interval`.
    ///
    /// # Errors
    ///
    /// As [`tai_to_unix`](Self::tai_to_unix), but [`Expiry::Widen`](super::Expiry::Widen)
    /// widens; [`ScaleError::OpenEnd`] for an end at `Timestamp::MIN` or `MAX`.
    pub fn interval_to_unix(
        &self,
        interval: &Interval,
    ) -> Result<ScaleInterval<UnixTime>, ScaleError> {
        let ScaleInterval { earliest, latest } = ends(&self.widened_for_expiry(interval)?)?;
        let (first, last) = (earliest.tai_nanos(), latest.tai_nanos());
        let shown = |tai: i64| Ok(tai - self.at_tai_unlimited(tai)?.0);
        let (mut least, mut most) = (shown(first)?, shown(last)?);
        let position = |tai| self.position_tai(tai).ok_or(ScaleError::BeforeUtc);
        for step in &self.steps[position(first)? + 1..=position(last)?] {
            least = least.min(step.tai - step.offset);
            most = most.max(step.tai - 1 - step.before);
        }
        Ok(ScaleInterval {
            earliest: UnixTime::from_nanos(least),
            latest: UnixTime::from_nanos(most),
        })
    }

    /// All moments at which a Unix clock may show something in `span`.
    ///
    /// Past [`Timestamp::MAX`] the latest end stays there, which stands for "or
    /// anything beyond".
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] and [`ScaleError::OutOfRange`] as
    /// [`unix_to_tai`](Self::unix_to_tai); [`ScaleError::Skipped`] where all of the
    /// span was skipped; [`ScaleError::Expired`] under [`Expiry::Error`](super::Expiry::Error).
    pub fn unix_to_interval(&self, span: ScaleInterval<UnixTime>) -> Result<Interval, ScaleError> {
        let first = self.unix_to_tai_unlimited(span.earliest)?;
        let last = self.unix_to_tai_unlimited(span.latest);
        if first == UnixToTai::Skipped && last == Ok(UnixToTai::Skipped) {
            return Err(ScaleError::Skipped);
        }
        let earliest = match first {
            UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _) => t,
            UnixToTai::Skipped => self.skip_at(span.earliest)?,
        };
        let latest = match last {
            Ok(UnixToTai::Unique(t) | UnixToTai::Ambiguous(_, t)) => t,
            Ok(UnixToTai::Skipped) => self.skip_at(span.latest)?,
            Err(ScaleError::OutOfRange) => Timestamp::MAX,
            Err(error) => return Err(error),
        };
        let interval = Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)?;
        Ok(interval.widen(self.expiry_margin(span.latest.nanos())?))
    }

    /// The labels of the ends of `interval`. UTC labels keep their order, leap seconds included.
    ///
    /// # Errors
    ///
    /// As [`interval_to_unix`](Self::interval_to_unix).
    pub fn interval_to_utc(&self, interval: &Interval) -> Result<ScaleInterval<Utc>, ScaleError> {
        ends(&self.widened_for_expiry(interval)?)?.try_map(|t| {
            let (offset, in_leap_second) = self.at_tai_unlimited(t.tai_nanos())?;
            Ok(Utc::from_unix(UnixTime::from_nanos(t.tai_nanos() - offset), in_leap_second))
        })
    }

    /// The moments between two labels. A label that was skipped stands for the moment of the skip.
    ///
    /// # Errors
    ///
    /// As [`utc_to_tai`](Self::utc_to_tai); [`ScaleError::Skipped`] where both labels were skipped.
    pub fn utc_to_interval(&self, span: ScaleInterval<Utc>) -> Result<Interval, ScaleError> {
        let moment = |utc: Utc| match self.utc_to_tai_unlimited(utc) {
            Err(ScaleError::Skipped) => Ok((self.skip_at(utc.unix()?)?, true)),
            result => Ok((result?, false)),
        };
        let ((earliest, no_first), (latest, no_last)) =
            (moment(span.earliest)?, moment(span.latest)?);
        if no_first && no_last {
            return Err(ScaleError::Skipped);
        }
        let doubt = self.expiry_margin(span.latest.unix()?.nanos())?;
        let interval = Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)?;
        Ok(interval.widen(doubt))
    }

    /// The moment at which the second that `unix` is in was skipped.
    fn skip_at(&self, unix: UnixTime) -> Result<Timestamp, ScaleError> {
        let after = UnixTime::from_nanos(unix.nanos() + NANOS_PER_SECOND);
        let at = self.position_unix(after.nanos()).ok_or(ScaleError::BeforeUtc)?;
        Ok(Timestamp::from_tai_nanos(self.steps[at].tai))
    }
}
