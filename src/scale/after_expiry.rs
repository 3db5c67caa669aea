//! How a leap table treats moments after its expiry, for which it may lack leap seconds.
//!
//! Leap seconds are announced half a year ahead, so each table states until when it is
//! complete. After that it can be right or a second off, and nothing in it tells which.

use std::time::Duration;

use super::civil::{DAY, date_from_days};
use super::error::ScaleError;
use super::expiry::Expiry;
use super::leap_table::LeapTable;
use super::unix::UnixTime;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

impl LeapTable {
    /// Sets what the table does with moments after its expiry.
    #[must_use]
    pub fn on_expiry(mut self, expiry: Expiry) -> LeapTable {
        self.expiry = expiry;
        self.stops_unix = match (expiry, self.expires()) {
            (Expiry::Widen | Expiry::Error, Some(expires)) => expires.nanos(),
            _ => i64::MAX,
        };
        self.stops_tai = self.stops_unix.saturating_add(self.offset);
        // The windows end where the table stops, so that the fast path needs no second
        // comparison. A window without an end includes the last count.
        let open = u64::from(self.stops_unix == i64::MAX);
        let length = |from: i64, to: i64| to.max(from).abs_diff(from) + open;
        self.window_tai = length(self.settled_tai, self.stops_tai);
        self.window_unix = length(self.settled_unix, self.stops_unix);
        self
    }

    /// The moment until which all leap seconds are known. `None` if the table does not state it.
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires.and_then(|seconds| UnixTime::new(seconds, 0))
    }

    /// What the table does with moments after its expiry.
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

    /// Whether single moments from this Unix count on are refused.
    #[inline]
    pub(super) fn stops_before(&self, unix: i64) -> bool {
        self.stops_unix != i64::MAX && unix >= self.stops_unix
    }

    #[cold]
    pub(super) fn expired(&self) -> ScaleError {
        ScaleError::Expired { expired: self.expires.unwrap_or(i64::MAX) }
    }

    /// By how much an interval that reaches to `unix` nanoseconds must be widened on each
    /// side, because the table may lack leap seconds.
    ///
    /// # Errors
    ///
    /// [`ScaleError::Expired`] if the table's [`Expiry`] refuses the moment.
    pub(crate) fn expiry_margin(&self, unix: i64) -> Result<Duration, ScaleError> {
        // A day early, because a smear may begin a day before its leap second.
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

    /// `interval`, widened for the leap seconds that an expired table may lack.
    pub(super) fn widened_for_expiry(&self, interval: &Interval) -> Result<Interval, ScaleError> {
        let latest = interval.latest().tai_nanos();
        let offset = self.at_tai_unlimited(latest).map_or(0, |(offset, _)| offset);
        Ok(interval.widen(self.expiry_margin(latest.saturating_sub(offset))?))
    }
}

/// How many half-years have begun since year 0: grows by one on each 1 January and 1 July.
fn half_years(unix_seconds: i64) -> i64 {
    let (year, month, _) = date_from_days(unix_seconds.div_euclid(DAY));
    year * 2 + i64::from(month > 6)
}
