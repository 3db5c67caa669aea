//! Whole intervals between TAI and Unix time or UTC, by a [`LeapTable`].
//!
//! The naive way converts the two ends. This is wrong near a leap second, because
//! the Unix count runs back there. An interval from 23:59:59.9 to
//! 23:59:60.1 then gives two counts in the wrong order, and neither the 23:59:59.95 nor
//! the 23:59:60.0 within it lies between them.
//!
//! So an interval becomes the hull of everything that a clock shows during it, and a
//! [`ScaleInterval`] becomes the hull of all moments at which a clock shows anything in it.
//! The result may be up to a second wider than the input, but never narrower.

use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::scale_interval::{ScaleInterval, ends};
use super::unix::{UnixTime, UnixToTai};
use super::utc::Utc;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

impl LeapTable {
    /// Everything that a Unix clock may show during `interval`.
    ///
    /// # Errors
    ///
    /// As [`tai_to_unix`](Self::tai_to_unix), except that [`Expiry::Widen`](super::Expiry::Widen)
    /// widens. [`ScaleError::OpenEnd`] for an end at `Timestamp::MIN` or `MAX`.
    pub fn interval_to_unix(
        &self,
        interval: &Interval,
    ) -> Result<ScaleInterval<UnixTime>, ScaleError> {
        let ends = ends(&self.widened_for_expiry(interval)?)?;
        let (first, last) = (ends.earliest().tai_nanos(), ends.latest().tai_nanos());
        let shown = |tai: i64| Ok(tai - self.at_tai_unlimited(tai)?.0);
        let (mut least, mut most) = (shown(first)?, shown(last)?);
        // At each leap second between the ends the clock may go back, or reach its highest count.
        let position = |tai| self.position_tai(tai).ok_or(ScaleError::BeforeUtc);
        for step in &self.steps[position(first)? + 1..=position(last)?] {
            least = least.min(step.tai - step.offset);
            most = most.max(step.tai - 1 - step.before);
        }
        let [least, most] = [least, most].map(UnixTime::from_nanos);
        ScaleInterval::new(least, most).ok_or(ScaleError::OutOfRange)
    }

    /// All moments at which a Unix clock may show something in `shown`.
    ///
    /// A latest end past [`Timestamp::MAX`] becomes that, which means "or
    /// anything beyond".
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] and [`ScaleError::OutOfRange`] as for
    /// [`unix_to_tai`](Self::unix_to_tai). [`ScaleError::Skipped`] if all of `shown` was
    /// skipped. [`ScaleError::Expired`] under [`Expiry::Error`](super::Expiry::Error).
    pub fn unix_to_interval(&self, shown: ScaleInterval<UnixTime>) -> Result<Interval, ScaleError> {
        let first = self.unix_to_tai_unlimited(shown.earliest())?;
        let last = self.unix_to_tai_unlimited(shown.latest());
        if first == UnixToTai::Skipped && last == Ok(UnixToTai::Skipped) {
            return Err(ScaleError::Skipped);
        }
        let earliest = match first {
            UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _) => t,
            UnixToTai::Skipped => self.skip_at(shown.earliest())?,
        };
        let latest = match last {
            Ok(UnixToTai::Unique(t) | UnixToTai::Ambiguous(_, t)) => t,
            Ok(UnixToTai::Skipped) => self.skip_at(shown.latest())?,
            Err(ScaleError::OutOfRange) => Timestamp::MAX,
            Err(error) => return Err(error),
        };
        let interval = Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)?;
        Ok(interval.widen(self.expiry_margin(shown.latest().nanos())?))
    }

    /// The labels of the ends of `interval`. UTC labels keep the order of time, also in leap seconds.
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

    /// The moments between two labels. A skipped label stands for the moment of the skip.
    ///
    /// # Errors
    ///
    /// As [`utc_to_tai`](Self::utc_to_tai). [`ScaleError::Skipped`] only if both labels were skipped.
    pub fn utc_to_interval(&self, labels: ScaleInterval<Utc>) -> Result<Interval, ScaleError> {
        let moment = |utc: Utc| match self.utc_to_tai_unlimited(utc) {
            Err(ScaleError::Skipped) => Ok((self.skip_at(utc.unix()?)?, true)),
            result => Ok((result?, false)),
        };
        let ((earliest, no_first), (latest, no_last)) =
            (moment(labels.earliest())?, moment(labels.latest())?);
        if no_first && no_last {
            return Err(ScaleError::Skipped);
        }
        let margin = self.expiry_margin(labels.latest().unix()?.nanos())?;
        let interval = Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)?;
        Ok(interval.widen(margin))
    }

    /// The moment at which the second that `unix` is in was skipped.
    fn skip_at(&self, unix: UnixTime) -> Result<Timestamp, ScaleError> {
        let after = UnixTime::from_nanos(unix.nanos() + NANOS_PER_SECOND);
        let at = self.position_unix(after.nanos()).ok_or(ScaleError::BeforeUtc)?;
        Ok(Timestamp::from_tai_nanos(self.steps[at].tai))
    }
}
