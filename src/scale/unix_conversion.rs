//! Single moments between TAI and Unix time, by a [`LeapTable`].

use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::unix::{UnixReading, UnixTime, UnixToTai};
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

impl LeapTable {
    /// What a Unix clock that follows this table shows at `t`, and whether it repeats a second then.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972. [`ScaleError::Expired`] as the table's
    /// [`Expiry`](super::Expiry) demands.
    #[inline]
    pub fn tai_to_unix(&self, t: Timestamp) -> Result<UnixReading, ScaleError> {
        let (offset, in_leap_second) = self.at_tai(t.tai_nanos())?;
        let nanos = t.tai_nanos().checked_sub(offset).ok_or(ScaleError::OutOfRange)?;
        Ok(UnixReading { time: UnixTime::from_nanos(nanos), in_leap_second })
    }

    /// The moments at which a Unix clock that follows this table shows `unix`.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeUtc`] before 1972. [`ScaleError::OutOfRange`] within the last
    /// minute before [`Timestamp::MAX`]. [`ScaleError::Expired`] as the table's
    /// [`Expiry`](super::Expiry) demands.
    #[inline]
    pub fn unix_to_tai(&self, unix: UnixTime) -> Result<UnixToTai, ScaleError> {
        match self.settled_at_unix(unix.nanos()) {
            Some(offset) => Ok(UnixToTai::Unique(unix.to_tai(offset)?)),
            None if self.stops_before(unix.nanos()) => Err(self.expired()),
            None => self.unix_to_tai_unlimited(unix),
        }
    }

    /// Like `unix_to_tai`, but ignores the expiry.
    #[inline]
    pub(super) fn unix_to_tai_unlimited(&self, unix: UnixTime) -> Result<UnixToTai, ScaleError> {
        let at = self.position_unix(unix.nanos()).ok_or(ScaleError::BeforeUtc)?;
        let here = unix.to_tai(self.steps[at].offset)?;
        Ok(match self.steps.get(at + 1) {
            // The last second before the next step is the one that is repeated or skipped.
            Some(next) if unix.nanos() >= next.unix - NANOS_PER_SECOND => {
                if next.skips() {
                    UnixToTai::Skipped
                } else {
                    UnixToTai::Ambiguous(here, unix.to_tai(next.offset)?)
                }
            }
            _ => UnixToTai::Unique(here),
        })
    }
}
