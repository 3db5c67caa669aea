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
//! [`LeapTable::unknown_smear_to_interval`] adds a second on each side for a day around each
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
use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::parse_error::ParseTimeError;
use super::rfc3339::{self, Civil, Line, Scale};
use super::scale_interval::{ScaleInterval, ends};
use super::step::Step;
use super::unix::UnixTime;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

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

/// When and how a smeared clock absorbs one leap second.
struct Window {
    /// TAI.
    start: i64,
    end: i64,
    /// TAI − Unix before and after.
    before: i64,
    after: i64,
    shape: Shape,
}

enum Shape {
    Linear,
    /// The rate changes linearly during the first half, and back during the second.
    Triangle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Down,
    Up,
}

/// Half of chrony's window in nanoseconds, √(1 s / 0.001 ppm/s). The whole window is twice this,
/// so that it has an exact middle.
const CHRONY_HALF: i64 = 31_622_776_601_684;

impl Window {
    fn new(step: &Step, smear: Smear) -> Window {
        let noon = DAY / 2 * NANOS_PER_SECOND;
        let (before, after) = (step.before, step.offset);
        let midnight = step.unix + after;
        let (start, end, shape) = match smear {
            Smear::Google | Smear::Aws => {
                (step.unix - noon + before, midnight + noon, Shape::Linear)
            }
            Smear::UtcSls => (midnight - 1000 * NANOS_PER_SECOND, midnight, Shape::Linear),
            Smear::MetaPtp => (step.tai, step.tai + 65_000 * NANOS_PER_SECOND, Shape::Linear),
            Smear::Meta => (step.tai, step.tai + 62_500 * NANOS_PER_SECOND, Shape::Triangle),
            Smear::Chrony => (step.tai, step.tai + 2 * CHRONY_HALF, Shape::Triangle),
        };
        Window { start, end, before, after, shape }
    }

    /// What the smeared clock shows at `tai`, within the window, rounded.
    fn shown(&self, tai: i64, round: Round) -> i64 {
        let length = i128::from(self.end - self.start);
        let (since, left) = (i128::from(tai - self.start), i128::from(self.end - tai));
        // The part of the leap second that is absorbed by now, as the fraction share / whole.
        let (share, whole) = match self.shape {
            Shape::Linear => (since, length),
            Shape::Triangle => {
                let whole = length * length;
                let share = if since < left { 2 * since * since } else { whole - 2 * left * left };
                (share, whole)
            }
        };
        // At most 10^9 × (10^14)², below 2^127.
        let given = i128::from(self.after - self.before) * share;
        let given = match round {
            Round::Down => -(-given).div_euclid(whole),
            Round::Up => given.div_euclid(whole),
        };
        tai - self.before - given as i64
    }

    /// Whether `shown` is what the smeared clock shows somewhere in the window.
    fn shows(&self, shown: i64) -> bool {
        (self.start - self.before..=self.end - self.after).contains(&shown)
    }

    /// The moment at which the clock shows `shown`, to the next nanosecond or the one before.
    ///
    /// The moment is found by bisection. The inverse of a triangle has a square root, and to
    /// round that correctly would need a search as well.
    fn moment(&self, shown: i64, round: Round) -> i64 {
        let (least, most) = (self.before.min(self.after), self.before.max(self.after));
        let mut low = self.start.max(shown + least);
        let mut high = self.end.min(shown + most);
        while low < high {
            match round {
                Round::Up => {
                    let middle = low + (high - low) / 2;
                    if self.shown(middle, Round::Down) >= shown {
                        high = middle
                    } else {
                        low = middle + 1
                    }
                }
                Round::Down => {
                    let middle = high - (high - low) / 2;
                    if self.shown(middle, Round::Up) <= shown {
                        low = middle
                    } else {
                        high = middle - 1
                    }
                }
            }
        }
        low
    }
}

impl LeapTable {
    /// The reading of a clock with this smear at `t`, rounded down.
    ///
    /// # Errors
    ///
    /// As [`tai_to_unix`](Self::tai_to_unix).
    pub fn tai_to_smeared(&self, t: Timestamp, smear: Smear) -> Result<Smeared, ScaleError> {
        self.at_tai(t.tai_nanos())?;
        let nanos = self.smeared_at(t.tai_nanos(), smear, Round::Down)?;
        Ok(Smeared { nanos, smear })
    }

    /// The first nanosecond at which a clock with this smear shows `reading` or more.
    ///
    /// While a leap second is being inserted the smeared clock is slow, and this is the
    /// exact inverse of [`tai_to_smeared`](Self::tai_to_smeared). While one is being
    /// skipped the clock is fast and leaves out some counts. Such a count gives the moment at
    /// which the clock passes it.
    ///
    /// # Errors
    ///
    /// As [`unix_to_tai`](Self::unix_to_tai).
    pub fn smeared_to_tai(&self, reading: Smeared) -> Result<Timestamp, ScaleError> {
        match self.stops_before(reading.nanos) {
            true => Err(self.expired()),
            false => self.unsmeared(reading, Round::Up),
        }
    }

    /// Everything that a clock with this smear may show during `interval`, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`interval_to_unix`](Self::interval_to_unix).
    pub fn interval_to_smeared(
        &self,
        interval: &Interval,
        smear: Smear,
    ) -> Result<ScaleInterval<Smeared>, ScaleError> {
        let ends = ends(&self.widened_for_expiry(interval)?)?;
        let first = self.smeared_at(ends.earliest().tai_nanos(), smear, Round::Down)?;
        let last = self.smeared_at(ends.latest().tai_nanos(), smear, Round::Up)?;
        let [first, last] = [first, last].map(|nanos| Smeared { nanos, smear });
        ScaleInterval::new(first, last).ok_or(ScaleError::OutOfRange)
    }

    /// All moments at which a smeared clock may show something in `shown`, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`unix_to_interval`](Self::unix_to_interval).
    pub fn smeared_to_interval(
        &self,
        shown: ScaleInterval<Smeared>,
    ) -> Result<Interval, ScaleError> {
        let earliest = self.unsmeared(shown.earliest(), Round::Down)?;
        let latest = match self.unsmeared(shown.latest(), Round::Up) {
            Err(ScaleError::OutOfRange) => Timestamp::MAX,
            result => result?,
        };
        let interval = Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)?;
        Ok(interval.widen(self.expiry_margin(shown.latest().nanos)?))
    }

    /// All moments at which a clock may show something in `shown`, if nobody knows whether and
    /// how it smears.
    ///
    /// Within a day of a leap second this adds a second on each side, because no smear is further
    /// off. Elsewhere it is the same as [`unix_to_interval`](Self::unix_to_interval).
    ///
    /// # Errors
    ///
    /// As [`unix_to_interval`](Self::unix_to_interval).
    pub fn unknown_smear_to_interval(
        &self,
        shown: ScaleInterval<UnixTime>,
    ) -> Result<Interval, ScaleError> {
        // A second more, because the clock may be a second off when it reaches the day's end.
        let day = (DAY + 1) * NANOS_PER_SECOND;
        let (first, last) = (shown.earliest().nanos(), shown.latest().nanos());
        let near = self.steps.iter().filter(|step| step.offset != step.before).any(|step| {
            first.saturating_sub(day) <= step.unix && step.unix <= last.saturating_add(day)
        });
        if !near {
            return self.unix_to_interval(shown);
        }
        let first = UnixTime::from_nanos(first.saturating_sub(NANOS_PER_SECOND));
        let last = UnixTime::from_nanos(last.saturating_add(NANOS_PER_SECOND));
        let shown = ScaleInterval::new(first, last).ok_or(ScaleError::OutOfRange)?;
        self.unix_to_interval(shown)
    }

    /// Whether `t` is in the window in which a clock with this smear absorbs a leap second.
    pub fn is_smearing_at(&self, t: Timestamp, smear: Smear) -> bool {
        self.window_at(t.tai_nanos(), smear).is_some()
    }

    /// The windows of a step's leap second and of the next, either of which may contain a moment
    /// between the two.
    fn windows(&self, at: usize, smear: Smear) -> impl Iterator<Item = Window> + '_ {
        let around = self.steps[at..].iter().take(2).filter(|step| step.offset != step.before);
        around.map(move |step| Window::new(step, smear))
    }

    fn window_at(&self, tai: i64, smear: Smear) -> Option<Window> {
        let at = self.position_tai(tai)?;
        self.windows(at, smear).find(|window| window.start <= tai && tai < window.end)
    }

    fn smeared_at(&self, tai: i64, smear: Smear, round: Round) -> Result<i64, ScaleError> {
        let (offset, _) = self.at_tai_unlimited(tai)?;
        match self.window_at(tai, smear) {
            Some(window) => Ok(window.shown(tai, round)),
            // Every window contains the inserted second, so `tai` is not in it and the offset is
            // the settled one.
            None => Ok(tai - offset),
        }
    }

    fn unsmeared(&self, reading: Smeared, round: Round) -> Result<Timestamp, ScaleError> {
        let Smeared { nanos, smear } = reading;
        let at = self.position_unix(nanos).ok_or(ScaleError::BeforeUtc)?;
        let window = self.windows(at, smear).find(|window| window.shows(nanos));
        let tai = match window {
            Some(window) => Some(window.moment(nanos, round)),
            None => nanos.checked_add(self.steps[at].offset),
        };
        tai.map(Timestamp::from_tai_nanos).ok_or(ScaleError::OutOfRange)
    }
}
