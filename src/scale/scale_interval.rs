//! [`ScaleInterval`]: an interval on another scale than TAI.

use std::fmt;

use super::error::ScaleError;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// Two readings of one scale, `earliest <= latest`. The true reading is between them or at an end.
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

    /// The least reading that may be the true one.
    pub fn earliest(&self) -> T {
        self.earliest
    }

    /// The greatest reading that may be the true one.
    pub fn latest(&self) -> T {
        self.latest
    }

    /// Converts each end. This is right only for scales that keep the order of time.
    pub(super) fn try_map<U>(
        self,
        mut convert: impl FnMut(T) -> Result<U, ScaleError>,
    ) -> Result<ScaleInterval<U>, ScaleError> {
        Ok(ScaleInterval { earliest: convert(self.earliest)?, latest: convert(self.latest)? })
    }
}

/// The interval that contains one reading.
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

/// The ends of an interval. They must not be open, because no scale can express "anything beyond".
pub(super) fn ends(interval: &Interval) -> Result<ScaleInterval<Timestamp>, ScaleError> {
    let (earliest, latest) = (interval.earliest(), interval.latest());
    if earliest == Timestamp::MIN || latest == Timestamp::MAX {
        return Err(ScaleError::OpenEnd);
    }
    Ok(ScaleInterval { earliest, latest })
}
