//! [`PtpTime`]: seconds and nanoseconds of TAI, as PTP (IEEE 1588) sends them.
//!
//! PTP's own timescale is TAI since 1970-01-01T00:00:00 TAI. It is the same count as
//! `Timestamp`, in 48 bits of seconds and 32 bits of nanoseconds. A grandmaster with
//! the "arbitrary" timescale (ARB) sends another count in the same bits.

use std::fmt;
use std::str::FromStr;

use super::decimal::{read_seconds, write_seconds};
use super::error::ScaleError;
use super::parse_error::ParseTimeError;
use super::rfc3339::{Line, pad};
use super::scale_interval::{ScaleInterval, ends};
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// A PTP timestamp: 48 bits of TAI seconds since 1970, and nanoseconds.
///
/// ```
/// use truechimer::{PtpTime, Timestamp};
///
/// let t: Timestamp = "2016-12-31T23:59:60.5Z".parse()?;
/// let ptp = PtpTime::from_tai(t)?;
/// assert_eq!(ptp.to_string(), "1483228836.500000000");
/// assert_eq!(PtpTime::from_bytes(ptp.to_bytes())?.to_tai()?, t);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PtpTime {
    seconds: u64,
    nanos: u32,
}

impl PtpTime {
    /// From seconds of TAI and nanoseconds. `None` if the seconds do not fit into 48 bits, or the
    /// nanoseconds are a second or more.
    pub const fn new(seconds: u64, nanos: u32) -> Option<PtpTime> {
        if seconds >> 48 == 0 && (nanos as i64) < NANOS_PER_SECOND {
            Some(PtpTime { seconds, nanos })
        } else {
            None
        }
    }

    /// PTP time at `t`, exactly.
    ///
    /// # Errors
    ///
    /// [`ScaleError::BeforePtp`] before 1970-01-01T00:00:00 TAI.
    pub const fn from_tai(t: Timestamp) -> Result<PtpTime, ScaleError> {
        if t.tai_nanos() < 0 {
            return Err(ScaleError::BeforePtp);
        }
        let (seconds, nanos) = (t.tai_nanos() / NANOS_PER_SECOND, t.tai_nanos() % NANOS_PER_SECOND);
        Ok(PtpTime { seconds: seconds as u64, nanos: nanos as u32 })
    }

    /// The moment, exactly.
    ///
    /// # Errors
    ///
    /// [`ScaleError::OutOfRange`] after 2262-04-11.
    pub fn to_tai(self) -> Result<Timestamp, ScaleError> {
        let nanos =
            i128::from(self.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanos);
        let nanos = i64::try_from(nanos);
        nanos.map(Timestamp::from_tai_nanos).map_err(|_| ScaleError::OutOfRange)
    }

    /// From the ten bytes of a PTP message.
    ///
    /// # Errors
    ///
    /// [`ScaleError::OutOfRange`] if the nanoseconds are a second or more.
    pub fn from_bytes(bytes: [u8; 10]) -> Result<PtpTime, ScaleError> {
        let number =
            |bytes: &[u8]| bytes.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        let (seconds, nanos) = bytes.split_at(6);
        PtpTime::new(number(seconds), number(nanos) as u32).ok_or(ScaleError::OutOfRange)
    }

    /// The ten bytes of a PTP message.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..6].copy_from_slice(&self.seconds.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&self.nanos.to_be_bytes());
        bytes
    }

    /// Whole seconds of TAI since 1970.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// The nanoseconds after them.
    pub const fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// PTP time at both ends of `interval`, exactly.
    ///
    /// # Errors
    ///
    /// As [`from_tai`](Self::from_tai). [`ScaleError::OpenEnd`] for an end at
    /// `Timestamp::MIN` or `MAX`.
    pub fn from_interval(interval: &Interval) -> Result<ScaleInterval<PtpTime>, ScaleError> {
        ends(interval)?.try_map(PtpTime::from_tai)
    }

    /// The moments between two PTP times, exactly.
    ///
    /// # Errors
    ///
    /// As [`to_tai`](Self::to_tai).
    pub fn to_interval(times: ScaleInterval<PtpTime>) -> Result<Interval, ScaleError> {
        let (earliest, latest) = (times.earliest().to_tai()?, times.latest().to_tai()?);
        Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)
    }
}

/// Seconds with nine digits of fraction.
impl fmt::Display for PtpTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<32>::new();
        write_seconds(
            &mut line,
            i128::from(self.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanos),
        )?;
        pad(f, line.as_str())
    }
}

/// Seconds with 0 to 9 digits of fraction.
impl FromStr for PtpTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<PtpTime, ParseTimeError> {
        let nanos = read_seconds(text, "seconds of TAI since 1970, as in 1483228836.5")?;
        let limit = "seconds of 48 bits, not negative";
        let out_of_range = || ParseTimeError::OutOfRange { limit };
        let nanos = u128::try_from(nanos).map_err(|_| out_of_range())?;
        let seconds =
            u64::try_from(nanos / NANOS_PER_SECOND as u128).map_err(|_| out_of_range())?;
        PtpTime::new(seconds, (nanos % NANOS_PER_SECOND as u128) as u32).ok_or_else(out_of_range)
    }
}
