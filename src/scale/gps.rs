//! [`GpsTime`]: week and time of week. GPS has no leap seconds, so it is always TAI minus 19 s.
//!
//! Satellites send the week without its upper bits. The old message has 10 bits and the new one
//! 13, so the week begins again at 0 after 1024 or 8192 weeks.
//! Receivers that mistook it for the whole week have set hosts back by 19.6 years,
//! most recently on 2019-04-07. The message does not contain the missing bits, so
//! they have to come from another clock that is roughly right.

use std::fmt;
use std::str::FromStr;

use super::civil::DAY;
use super::decimal::{read_seconds, write_seconds};
use super::error::ScaleError;
use super::parse_error::ParseTimeError;
use super::rfc3339::{Line, pad};
use super::scale_interval::{ScaleInterval, ends};
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// TAI of 1980-01-06T00:00:00Z, where GPS begins. That is 315 964 800 s of Unix time plus 19 s.
const EPOCH_TAI: i64 = (315_964_800 + 19) * NANOS_PER_SECOND;
const WEEK: i64 = 7 * DAY * NANOS_PER_SECOND;

/// GPS time: the whole week since 1980-01-06, and the nanosecond of the week.
///
/// ```
/// use truechimer::{GpsTime, Timestamp};
///
/// let t: Timestamp = "2019-04-06T23:59:42Z".parse()?;
/// let gps = GpsTime::from_tai(t)?;
/// assert_eq!(gps.to_string(), "2048 0.000000000");
/// assert_eq!((gps.week(), gps.week_10(), gps.week_13()), (2048, 0, 2048));
///
/// // A satellite sent "week 0", and the host's clock is right to a few years.
/// let near: Timestamp = "2021-01-01T00:00:00Z".parse()?;
/// assert_eq!(GpsTime::from_week_10(0, 0, near)?.to_tai()?, t);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GpsTime {
    week: u32,
    nanos: u64,
}

impl GpsTime {
    /// From the week since 1980-01-06 and the nanosecond of the week. `None` if the
    /// nanosecond is not below 604 800 000 000 000.
    pub const fn new(week: u32, nanos_of_week: u64) -> Option<GpsTime> {
        if nanos_of_week < WEEK as u64 {
            Some(GpsTime { week, nanos: nanos_of_week })
        } else {
            None
        }
    }

    /// GPS time at `t`, exactly.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforeGps`] before 1980-01-06.
    pub const fn from_tai(t: Timestamp) -> Result<GpsTime, ScaleError> {
        if t.tai_nanos() < EPOCH_TAI {
            return Err(ScaleError::BeforeGps);
        }
        let count = t.tai_nanos() - EPOCH_TAI;
        Ok(GpsTime { week: (count / WEEK) as u32, nanos: (count % WEEK) as u64 })
    }

    /// The moment, exactly.
    ///
    /// # Errors
    ///
    /// [`ScaleError::OutOfRange`] after 2262-04-11.
    pub fn to_tai(self) -> Result<Timestamp, ScaleError> {
        let nanos = i128::from(self.week) * i128::from(WEEK) + i128::from(self.nanos);
        let tai = i64::try_from(nanos + i128::from(EPOCH_TAI));
        tai.map(Timestamp::from_tai_nanos).map_err(|_| ScaleError::OutOfRange)
    }

    /// The time with this 10-bit week that is nearest to `near`, which must be right to
    /// 9.8 years.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BadGpsWeek`] if the week has more than 10 bits, or the nanosecond does not
    /// fit into a week.
    pub fn from_week_10(
        week: u16,
        nanos_of_week: u64,
        near: Timestamp,
    ) -> Result<GpsTime, ScaleError> {
        GpsTime::from_short_week(week, 10, nanos_of_week, near)
    }

    /// The time with this 13-bit week that is nearest to `near`, which must be right to
    /// 78 years.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BadGpsWeek`] if the week has more than 13 bits, or the nanosecond does not
    /// fit into a week.
    pub fn from_week_13(
        week: u16,
        nanos_of_week: u64,
        near: Timestamp,
    ) -> Result<GpsTime, ScaleError> {
        GpsTime::from_short_week(week, 13, nanos_of_week, near)
    }

    fn from_short_week(
        week: u16,
        bits: u32,
        nanos: u64,
        near: Timestamp,
    ) -> Result<GpsTime, ScaleError> {
        if week >> bits != 0 || nanos >= WEEK as u64 {
            return Err(ScaleError::BadGpsWeek { week, bits });
        }
        let cycle = i128::from(WEEK) << bits;
        let within = i128::from(week) * i128::from(WEEK) + i128::from(nanos);
        let reference = i128::from(near.tai_nanos()) - i128::from(EPOCH_TAI);
        // Half a cycle on each side of the reference. There is no cycle before the first.
        let cycles = (reference - within + cycle / 2).div_euclid(cycle).max(0);
        let week = u32::from(week) + ((cycles as u32) << bits);
        Ok(GpsTime { week, nanos })
    }

    /// The whole week since 1980-01-06.
    pub const fn week(self) -> u32 {
        self.week
    }

    /// The week's lower 10 bits, as the old navigation message has them.
    pub const fn week_10(self) -> u16 {
        (self.week % 1024) as u16
    }

    /// The week's lower 13 bits, as the new navigation message has them.
    pub const fn week_13(self) -> u16 {
        (self.week % 8192) as u16
    }

    /// The nanosecond of the week, 0 to 604 799 999 999 999.
    pub const fn nanos_of_week(self) -> u64 {
        self.nanos
    }

    /// GPS time at both ends of `interval`, exactly.
    ///
    /// # Errors
    ///
    /// As [`from_tai`](Self::from_tai). [`ScaleError::OpenEnd`] for an end at
    /// `Timestamp::MIN` or `MAX`.
    pub fn from_interval(interval: &Interval) -> Result<ScaleInterval<GpsTime>, ScaleError> {
        ends(interval)?.try_map(GpsTime::from_tai)
    }

    /// The moments between two GPS times, exactly.
    ///
    /// # Errors
    ///
    /// As [`to_tai`](Self::to_tai).
    pub fn to_interval(times: ScaleInterval<GpsTime>) -> Result<Interval, ScaleError> {
        let (earliest, latest) = (times.earliest().to_tai()?, times.latest().to_tai()?);
        Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)
    }
}

/// `week seconds-of-week`, as receivers print it: `1930 518417.500000000`.
impl fmt::Display for GpsTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<32>::new();
        fmt::Write::write_fmt(&mut line, format_args!("{} ", self.week))?;
        write_seconds(&mut line, self.nanos.into())?;
        pad(f, line.as_str())
    }
}

/// Reads what `Display` writes.
impl FromStr for GpsTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<GpsTime, ParseTimeError> {
        const FORM: &str = "a GPS week and the seconds of the week, as in 1930 518417.5";
        let malformed = || ParseTimeError::Malformed { expected: FORM };
        let (week, seconds) = text.split_once(' ').ok_or_else(malformed)?;
        if week.is_empty() || !week.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let limit = "weeks of 32 bits, and seconds of the week below 604800";
        let out_of_range = || ParseTimeError::OutOfRange { limit };
        let week = week.parse().map_err(|_| out_of_range())?;
        let nanos = u64::try_from(read_seconds(seconds.trim_start(), FORM)?);
        GpsTime::new(week, nanos.map_err(|_| out_of_range())?).ok_or_else(out_of_range)
    }
}
