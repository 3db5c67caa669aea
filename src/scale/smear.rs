//! [`Smeared`]: time that hides a leap second by running slow or fast around it.
//!
//! # The problem
//!
//! Large operators serve time without leap seconds by making each second a little
//! longer for some hours. Such a clock is wrong by up to a second on purpose, and its
//! protocol does not state this. An interval that is built on it in ignorance misses the
//! true time all day long.
//!
//! # The solution
//!
//! A known smear is a function of TAI and is inverted exactly. All arithmetic is
//! in integers. Readings are rounded down on the way out and up on the way back, and
//! intervals are rounded outward. For an unknown smear,
//! [`LeapTable::unknown_smear_to_interval`](super::LeapTable::unknown_smear_to_interval) adds a second on each side for a day around each
//! leap second.
//!
//! # The smears
//!
//! Each is a window of TAI within which the clock absorbs one leap second. Only UTC-SLS was
//! proposed as a standard. The others are each one operator's or one program's own.
//!
//! | smear | window | rate |
//! |---|---|---|
//! | Google, AWS | noon before to noon after | constant: 86 400 in 86 401 s |
//! | Meta's NTP | 62 500 s from the leap on | rises, then falls, evenly: chrony's `smoothtime 400 0.001024 leaponly` |
//! | Meta's PTP clients | 65 000 s from the leap on | constant: 1 ns each 65 µs |
//! | chrony | 63 245.6 s from the leap on | rises, then falls: its manual's `smoothtime 400 0.001 leaponly` |
//! | UTC-SLS | the last 1000 s of the day | constant: 999 in 1000 s |
//!
//! Read: Google, "Leap Smear"; chrony.conf(5), `smoothtime`; Obleukhov and
//! Byagowi, "It's time to leave the leap second in the past" (2022), and the
//! `fbclock` of facebook/time; Kuhn, "UTC with Smoothed Leap Seconds" (2006).

use std::fmt;
use std::str::FromStr;

use super::civil::DAY;
use super::parse_error::ParseTimeError;
use super::rfc3339::{self, Civil, Line, Scale};
use super::unix::UnixTime;

/// How a clock hides leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Smear {
    /// Google's public NTP: linear, from noon to noon UTC.
    Google,
    /// Amazon's Time Sync: the same as Google's.
    Aws,
    /// Meta's NTP servers: 62 500 s after the leap, through chrony.
    Meta,
    /// Meta's PTP clients (fbclock): linear, 65 000 s after the leap.
    MetaPtp,
    /// A chronyd that serves `smoothtime 400 0.001 leaponly`: 63 246 s after the leap.
    Chrony,
    /// UTC-SLS: linear, in the last 1000 s of the day.
    UtcSls,
}

impl Smear {
    /// All of them.
    pub const ALL: [Smear; 6] =
        [Smear::Google, Smear::Aws, Smear::Meta, Smear::MetaPtp, Smear::Chrony, Smear::UtcSls];

    const fn name(self) -> &'static str {
        match self {
            Smear::Google => "google",
            Smear::Aws => "aws",
            Smear::Meta => "meta",
            Smear::MetaPtp => "meta-ptp",
            Smear::Chrony => "chrony",
            Smear::UtcSls => "utc-sls",
        }
    }
}

impl fmt::Display for Smear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

const EXPECTED: &str = "a smear (google, aws, meta, meta-ptp, chrony or utc-sls), \
                        as in 2016-12-31T18:00:00 smear:google";

impl FromStr for Smear {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Smear, ParseTimeError> {
        let named = Smear::ALL.into_iter().find(|smear| smear.name() == text);
        named.ok_or(ParseTimeError::Malformed { expected: EXPECTED })
    }
}

/// The reading of a clock that smears leap seconds: a count like Unix time, and its smear.
///
/// Different smears are different scales, so there is no order between their readings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Smeared {
    nanos: i64,
    smear: Smear,
}

impl PartialOrd for Smeared {
    fn partial_cmp(&self, other: &Smeared) -> Option<std::cmp::Ordering> {
        (self.smear == other.smear).then(|| self.nanos.cmp(&other.nanos))
    }
}

impl Smeared {
    /// From nanoseconds since 1970-01-01 as the smeared clock shows them.
    pub const fn from_nanos(nanos: i64, smear: Smear) -> Smeared {
        Smeared { nanos, smear }
    }

    /// Nanoseconds since 1970-01-01 as the smeared clock shows them.
    pub const fn nanos(self) -> i64 {
        self.nanos
    }

    /// The smear.
    pub const fn smear(self) -> Smear {
        self.smear
    }
}

/// `2016-12-31T18:00:00.000000000 smear:google`, without a `Z` because it is not UTC.
impl fmt::Display for Smeared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<48>::new();
        let civil = rfc3339::civil_from_nanos(self.nanos, Scale::Unnamed);
        line.civil(civil, rfc3339::fraction_digits(f))?;
        fmt::Write::write_fmt(&mut line, format_args!(" smear:{}", self.smear))?;
        rfc3339::pad(f, line.as_str())
    }
}

/// Reads what `Display` writes. Smeared time has no second 60.
impl FromStr for Smeared {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Smeared, ParseTimeError> {
        let (label, smear) =
            text.split_once(" smear:").ok_or(ParseTimeError::Malformed { expected: EXPECTED })?;
        let Civil { days, second, nanos, .. } = rfc3339::read_unzoned(label)?;
        let time = UnixTime::new(days * DAY + i64::from(second), nanos);
        let limit = "1677-09-21 to 2262-04-11 (64 bits of nanoseconds)";
        let nanos = time.ok_or(ParseTimeError::OutOfRange { limit })?.nanos();
        Ok(Smeared { nanos, smear: smear.parse()? })
    }
}
