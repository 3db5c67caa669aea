//! [`NtpTime`] and [`NtpDate`]: seconds since 1900 with a binary fraction.
//!
//! The 64-bit timestamp of packets has 32 bits of seconds, so it begins again
//! every 136 years, for the first time at 2036-02-07T06:28:16Z. It does not contain
//! its era, which has to come from another clock that is roughly right. The 128-bit
//! date contains the era and 64 bits of fraction.
//!
//! A binary fraction is not a whole number of nanoseconds. To cut it on the way there and
//! back would lose a nanosecond each time. So single readings are rounded to the nearest, which
//! brings them back exactly, and intervals are rounded outward.
//!
//! NTP counts as Unix does, without leap seconds, so an inserted second repeats the
//! one before. Zero means "unknown" (RFC 5905, section 6) and is refused as a time.

use std::fmt;
use std::str::FromStr;

use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::parse_error::ParseTimeError;
use super::rfc3339::{Line, pad};
use super::scale_interval::ScaleInterval;
use super::unix::UnixTime;
use crate::interval::Interval;
use crate::timestamp::NANOS_PER_SECOND;

/// Seconds from 1900-01-01 to 1970-01-01.
const UNIX_EPOCH: i128 = 2_208_988_800;
const NANOS: i128 = NANOS_PER_SECOND as i128;

/// The 64-bit timestamp of NTP packets: 32 bits of seconds since the era began, 32 of fraction.
///
/// It has no order, because timestamps of unknown eras cannot be compared. Convert it to a
/// [`UnixTime`] first.
///
/// ```
/// use truechimer::{NtpTime, UnixTime};
///
/// let now = UnixTime::new(1_483_228_799, 500_000_000).expect("in range");
/// let stamp = NtpTime::from_unix(now);
/// assert_eq!(stamp.to_string(), "dc12c4ff.80000000");
/// let last_week = UnixTime::new(1_482_624_000, 0).expect("in range");
/// assert_eq!(stamp.near(last_week)?, now);
/// # Ok::<(), truechimer::ScaleError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NtpTime(u64);

/// The 128-bit date of NTP: the era, the second of the era, and 64 bits of fraction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NtpDate {
    /// The number of eras of 2^32 s since 1900, negative before.
    pub era: i32,
    /// The second of the era.
    pub seconds: u32,
    /// In units of 2^-64 s.
    pub fraction: u64,
}

#[derive(Clone, Copy)]
enum Round {
    Down,
    Nearest,
    Up,
}

/// `n / d`, for `d > 0`.
fn divide(n: i128, d: i128, round: Round) -> i128 {
    match round {
        Round::Down => n.div_euclid(d),
        Round::Nearest => (n + d / 2).div_euclid(d),
        Round::Up => -(-n).div_euclid(d),
    }
}

impl NtpTime {
    /// From the bits on the wire, in host order.
    pub const fn from_bits(bits: u64) -> NtpTime {
        NtpTime(bits)
    }

    /// The bits on the wire, in host order.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether it is zero, which means "unknown".
    pub const fn is_unset(self) -> bool {
        self.0 == 0
    }

    /// The timestamp of a Unix time, to the nearest 2^-32 s. It does not contain the era.
    ///
    /// The first moment of an era would be zero, which means "unknown". It becomes the next
    /// timestamp, 0.23 ns later, which comes back as the same nanosecond.
    pub fn from_unix(unix: UnixTime) -> NtpTime {
        NtpTime::rounded(unix, Round::Nearest)
    }

    fn rounded(unix: UnixTime, round: Round) -> NtpTime {
        let nanos = i128::from(unix.nanos()) + UNIX_EPOCH * NANOS;
        let bits = divide(nanos << 32, NANOS, round) as u64;
        // Zero means "unknown", so it is passed over in the direction of rounding.
        NtpTime(match (bits, round) {
            (0, Round::Down) => u64::MAX,
            (0, Round::Nearest | Round::Up) => 1,
            (bits, _) => bits,
        })
    }

    /// The Unix time in the given era, to the nearest nanosecond.
    ///
    /// # Errors
    ///
    /// [`ScaleError::UnsetNtp`] for zero, [`ScaleError::OutOfRange`] beyond 1677 to 2262.
    pub fn in_era(self, era: i32) -> Result<UnixTime, ScaleError> {
        self.unix(i128::from(era), Round::Nearest)
    }

    /// The Unix time nearest to `near`, which must be right to 68 years.
    ///
    /// # Errors
    ///
    /// As [`in_era`](Self::in_era).
    pub fn near(self, near: UnixTime) -> Result<UnixTime, ScaleError> {
        self.unix(self.era_near(near), Round::Nearest)
    }

    fn era_near(self, near: UnixTime) -> i128 {
        let near = i128::from(near.seconds()) + UNIX_EPOCH;
        (near - i128::from(self.0 >> 32) + (1 << 31)).div_euclid(1 << 32)
    }

    fn unix(self, era: i128, round: Round) -> Result<UnixTime, ScaleError> {
        if self.is_unset() {
            return Err(ScaleError::UnsetNtp);
        }
        let count = (era << 64) + i128::from(self.0);
        let nanos = divide(count * NANOS, 1 << 32, round) - UNIX_EPOCH * NANOS;
        i64::try_from(nanos).map(UnixTime::from_nanos).map_err(|_| ScaleError::OutOfRange)
    }

    /// The timestamps around an interval of Unix time, each rounded outward.
    pub fn from_unix_interval(unix: ScaleInterval<UnixTime>) -> [NtpTime; 2] {
        let up = NtpTime::rounded(unix.latest(), Round::Up);
        let down = NtpTime::rounded(unix.earliest(), Round::Down);
        [down, up]
    }

    /// The Unix time between two timestamps, rounded outward. The first is taken as the moment
    /// nearest to `near`, which must be right to 68 years.
    ///
    /// # Errors
    ///
    /// As [`in_era`](Self::in_era). [`ScaleError::Reversed`] if the second timestamp is
    /// the earlier one.
    pub fn to_unix_interval(
        [earliest, latest]: [NtpTime; 2],
        near: UnixTime,
    ) -> Result<ScaleInterval<UnixTime>, ScaleError> {
        let first = earliest.unix(earliest.era_near(near), Round::Down)?;
        let last = latest.unix(latest.era_near(first), Round::Up)?;
        ScaleInterval::new(first, last).ok_or(ScaleError::Reversed)
    }
}

impl NtpDate {
    /// The date of a Unix time, to the nearest 2^-64 s.
    pub fn from_unix(unix: UnixTime) -> NtpDate {
        NtpDate::rounded(unix, Round::Nearest)
    }

    fn rounded(unix: UnixTime, round: Round) -> NtpDate {
        let seconds = i128::from(unix.seconds()) + UNIX_EPOCH;
        // At most (10^9 - 1) × 2^64 / 10^9, so that rounding never reaches a whole second.
        let fraction = divide(i128::from(unix.subsec_nanos()) << 64, NANOS, round);
        NtpDate {
            era: seconds.div_euclid(1 << 32) as i32,
            seconds: seconds.rem_euclid(1 << 32) as u32,
            fraction: fraction as u64,
        }
    }

    /// The Unix time, to the nearest nanosecond.
    ///
    /// # Errors
    ///
    /// [`ScaleError::OutOfRange`] beyond 1677 to 2262.
    pub fn to_unix(self) -> Result<UnixTime, ScaleError> {
        self.unix(Round::Nearest)
    }

    fn unix(self, round: Round) -> Result<UnixTime, ScaleError> {
        let seconds = (i128::from(self.era) << 32) + i128::from(self.seconds) - UNIX_EPOCH;
        let below = divide(i128::from(self.fraction) * NANOS, 1 << 64, round);
        let nanos = i64::try_from(seconds * NANOS + below);
        nanos.map(UnixTime::from_nanos).map_err(|_| ScaleError::OutOfRange)
    }

    /// The 64-bit timestamp, without the era and with the fraction cut to 32 bits.
    pub const fn to_ntp_time(self) -> NtpTime {
        NtpTime((self.seconds as u64) << 32 | self.fraction >> 32)
    }

    /// The dates around an interval of Unix time, each rounded outward.
    pub fn from_unix_interval(unix: ScaleInterval<UnixTime>) -> ScaleInterval<NtpDate> {
        let up = NtpDate::rounded(unix.latest(), Round::Up);
        let down = NtpDate::rounded(unix.earliest(), Round::Down);
        ScaleInterval::new(down, up).unwrap_or(ScaleInterval::from(down))
    }

    /// The Unix time between two dates, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`to_unix`](Self::to_unix).
    pub fn to_unix_interval(
        dates: ScaleInterval<NtpDate>,
    ) -> Result<ScaleInterval<UnixTime>, ScaleError> {
        let (first, last) = (dates.earliest().unix(Round::Down)?, dates.latest().unix(Round::Up)?);
        ScaleInterval::new(first, last).ok_or(ScaleError::Reversed)
    }
}

impl LeapTable {
    /// Everything that an NTP clock may show during `interval`, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`interval_to_unix`](Self::interval_to_unix).
    pub fn interval_to_ntp(
        &self,
        interval: &Interval,
    ) -> Result<ScaleInterval<NtpDate>, ScaleError> {
        self.interval_to_unix(interval).map(NtpDate::from_unix_interval)
    }

    /// All moments at which an NTP clock may show something in `dates`, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`unix_to_interval`](Self::unix_to_interval).
    pub fn ntp_to_interval(&self, dates: ScaleInterval<NtpDate>) -> Result<Interval, ScaleError> {
        self.unix_to_interval(NtpDate::to_unix_interval(dates)?)
    }
}

/// Hexadecimal seconds and fraction, as `ntpq` prints them: `dc12c4ff.80000000`.
impl fmt::Display for NtpTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<17>::new();
        let (seconds, fraction) = (self.0 >> 32, self.0 as u32);
        fmt::Write::write_fmt(&mut line, format_args!("{seconds:08x}.{fraction:08x}"))?;
        pad(f, line.as_str())
    }
}

/// The era, then hexadecimal seconds and fraction, as in `0:dc12c4ff.8000000000000000`.
impl fmt::Display for NtpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<37>::new();
        let NtpDate { era, seconds, fraction } = self;
        fmt::Write::write_fmt(&mut line, format_args!("{era}:{seconds:08x}.{fraction:016x}"))?;
        pad(f, line.as_str())
    }
}

/// Exactly `digits` hexadecimal digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u64> {
    let all = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all { u64::from_str_radix(text, 16).ok() } else { None }
}

/// Reads what `Display` writes.
impl FromStr for NtpTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<NtpTime, ParseTimeError> {
        let parts = text.split_once('.');
        let both = parts.and_then(|(s, f)| Some((hexadecimal(s, 8)?, hexadecimal(f, 8)?)));
        let expected = "8 and 8 hexadecimal digits, as in dc12c4ff.80000000";
        let (seconds, fraction) = both.ok_or(ParseTimeError::Malformed { expected })?;
        Ok(NtpTime(seconds << 32 | fraction))
    }
}

/// Reads what `Display` writes.
impl FromStr for NtpDate {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<NtpDate, ParseTimeError> {
        let expected = "an era, 8 and 16 hexadecimal digits, as in 0:dc12c4ff.8000000000000000";
        let malformed = || ParseTimeError::Malformed { expected };
        let (era, rest) = text.split_once(':').ok_or_else(malformed)?;
        let (seconds, fraction) = rest.split_once('.').ok_or_else(malformed)?;
        let digits = era.strip_prefix('-').unwrap_or(era);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let limit = "eras of 32 bits";
        let era = era.parse().map_err(|_| ParseTimeError::OutOfRange { limit })?;
        let seconds = hexadecimal(seconds, 8).ok_or_else(malformed)? as u32;
        let fraction = hexadecimal(fraction, 16).ok_or_else(malformed)?;
        Ok(NtpDate { era, seconds, fraction })
    }
}
