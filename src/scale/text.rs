//! The text of [`Timestamp`] and [`Interval`]: UTC by the built-in table, and TAI before 1972.
//!
//! The modules `timestamp` and `interval` do not know leap seconds, so their text is
//! here. Every moment is read back from its text to the same nanosecond. A moment in a leap
//! second is written as second 60. A moment before 1972 is written as civil TAI with the
//! suffix ` TAI`, because UTC did not consist of whole seconds then.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::builtin;
use super::civil::DAY;
use super::error::ScaleError;
use super::parse_error::ParseTimeError;
use super::rfc3339::{self, Civil, Line, Scale};
use super::utc::Utc;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

/// The longest text of a `Timestamp`.
const LONGEST: usize = "1677-09-21T00:12:43.145224192 TAI".len();

/// The UTC of a moment, or its civil TAI before 1972.
fn utc_or_tai(t: Timestamp) -> Civil {
    match builtin::TABLE.tai_to_utc(t) {
        Ok(utc) => utc.civil(),
        Err(_) => tai(t),
    }
}

fn tai(t: Timestamp) -> Civil {
    rfc3339::civil_from_nanos(t.tai_nanos(), Scale::Tai)
}

/// UTC with nine digits of fraction, or civil TAI before 1972. `{:#}` writes civil TAI at any
/// date, and `{:.3}` cuts the fraction to three digits.
///
/// ```
/// let t: truechimer::Timestamp = "2016-12-31T23:59:60.5Z".parse()?;
/// assert_eq!(format!("{t:.1}"), "2016-12-31T23:59:60.5Z");
/// assert_eq!(format!("{t:#.1}"), "2017-01-01T00:00:36.5 TAI");
/// # Ok::<(), truechimer::ParseTimeError>(())
/// ```
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = if f.alternate() { tai(*self) } else { utc_or_tai(*self) };
        let mut line = Line::<LONGEST>::new();
        line.civil(civil, rfc3339::fraction_digits(f))?;
        rfc3339::pad(f, line.as_str())
    }
}

/// RFC 3339, or civil time with the suffix ` TAI`. Only the seconds 60 of the built-in table exist.
impl FromStr for Timestamp {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Timestamp, ParseTimeError> {
        let civil = rfc3339::read(text)?;
        match civil.scale {
            Scale::Utc => Ok(builtin::TABLE.utc_to_tai(Utc::from_civil(civil))?),
            Scale::Tai | Scale::Unnamed => Ok(tai_from_civil(civil)?),
        }
    }
}

fn tai_from_civil(civil: Civil) -> Result<Timestamp, ScaleError> {
    let seconds = i128::from(civil.days * DAY + i64::from(civil.second));
    let nanos = seconds * i128::from(NANOS_PER_SECOND) + i128::from(civil.nanos);
    let nanos = i64::try_from(nanos).map_err(|_| ScaleError::OutOfRange)?;
    Ok(Timestamp::from_tai_nanos(nanos))
}

/// `[earliest, latest]`. Fewer digits, as with `{:.3}`, round the ends outward. An end within a
/// second of [`Timestamp::MIN`] or [`Timestamp::MAX`] keeps its nine digits if rounding would
/// leave the range.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = rfc3339::fraction_digits(f);
        let unit = 10i64.pow(9 - digits as u32);
        let (earliest, latest) = (self.earliest().tai_nanos(), self.latest().tai_nanos());
        let below = earliest.div_euclid(unit).checked_mul(unit);
        let (earliest, first_digits) = below.map_or((earliest, 9), |below| (below, digits));
        let missing = (-latest.rem_euclid(unit)).rem_euclid(unit);
        let above = latest.checked_add(missing);
        let (latest, last_digits) = above.map_or((latest, 9), |above| (above, digits));
        let mut line = Line::<{ 2 * LONGEST + "[, ]".len() }>::new();
        line.write_char('[')?;
        line.civil(utc_or_tai(Timestamp::from_tai_nanos(earliest)), first_digits)?;
        line.write_str(", ")?;
        line.civil(utc_or_tai(Timestamp::from_tai_nanos(latest)), last_digits)?;
        line.write_char(']')?;
        rfc3339::pad(f, line.as_str())
    }
}

const INTERVAL: &str = "`[earliest, latest]`, as in \
                        [2026-11-24T20:35:16.123456789Z, 2026-11-24T20:35:16.133456789Z]";

fn end(end: &'static str, error: ParseTimeError) -> ParseTimeError {
    ParseTimeError::End { end, error: Box::new(error) }
}

/// Reads what `Display` writes. Spaces around the ends are ignored.
impl FromStr for Interval {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Interval, ParseTimeError> {
        let ends = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let (earliest, latest) = ends
            .and_then(|ends| ends.split_once(','))
            .ok_or(ParseTimeError::Malformed { expected: INTERVAL })?;
        let earliest = earliest.trim().parse().map_err(|error| end("earliest", error))?;
        let latest = latest.trim().parse().map_err(|error| end("latest", error))?;
        Interval::new(earliest, latest).ok_or(ParseTimeError::Reversed { earliest, latest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_tai_nanos(nanos)
    }

    #[test]
    fn moments_and_their_text() {
        let cases = [
            (i64::MIN, "1677-09-21T00:12:43.145224192 TAI"),
            (-1, "1969-12-31T23:59:59.999999999 TAI"),
            (0, "1970-01-01T00:00:00.000000000 TAI"),
            (63_072_009_999_999_999, "1972-01-01T00:00:09.999999999 TAI"),
            (63_072_010_000_000_000, "1972-01-01T00:00:00.000000000Z"),
            (1_483_228_835_999_999_999, "2016-12-31T23:59:59.999999999Z"),
            (1_483_228_836_000_000_000, "2016-12-31T23:59:60.000000000Z"),
            (1_483_228_836_999_999_999, "2016-12-31T23:59:60.999999999Z"),
            (1_483_228_837_000_000_000, "2017-01-01T00:00:00.000000000Z"),
            (i64::MAX, "2262-04-11T23:46:39.854775807Z"),
        ];
        for (nanos, text) in cases {
            assert_eq!(at(nanos).to_string(), text);
            assert_eq!(text.parse(), Ok(at(nanos)), "{text}");
            let tai = format!("{:#}", at(nanos));
            assert!(tai.ends_with(" TAI"), "{tai}");
            assert_eq!(tai.parse(), Ok(at(nanos)), "{tai}");
        }
    }

    #[test]
    fn other_texts_that_are_read() {
        let cases = [
            ("2017-01-01T01:00:00+01:00", 1_483_228_837_000_000_000),
            ("2016-12-31T19:29:60.5-04:30", 1_483_228_836_500_000_000),
            ("2016-12-31t23:59:60z", 1_483_228_836_000_000_000),
            ("2017-01-01 00:00:00.000000001Z", 1_483_228_837_000_000_001),
            ("2017-01-01T00:00:37 TAI", 1_483_228_837_000_000_000),
            ("2017-01-01T00:00:00-00:00", 1_483_228_837_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(text.parse(), Ok(at(nanos)), "{text}");
        }
    }

    #[test]
    fn texts_that_are_refused_say_why() {
        let cases = [
            ("", "expected a year of four digits at byte 0"),
            ("2017-02-30T00:00:00Z", "the day of that month is 30: it must be from 1 to 28"),
            ("2017-01-01T24:00:00Z", "the hour is 24: it must be from 0 to 23"),
            ("2017-01-01T12:34:60Z", "no second 60"),
            ("2015-12-31T23:59:60Z", "no second 60"),
            ("2016-12-31T23:59:60+01:00", "no second 60"),
            ("2016-12-31T23:59:60 TAI", "no second 60"),
            ("2017-01-01T00:00:00.1234567890Z", "10 digits, but only 9"),
            ("2017-01-01T00:00:00.Z", "expected a digit of the fraction at byte 20"),
            ("2017-01-01T00:00:00", "expected `Z`, an offset"),
            ("2017-01-01T00:00:00Zé", "expected the end of the text at byte 20"),
            ("2017-01-01T00:00:00+01:00 TAI", "expected the end of the text at byte 25"),
            ("１017-01-01T00:00:00Z", "expected a year"),
            ("1971-12-31T23:59:59Z", "before 1972"),
            ("1972-01-01T00:00:00+00:01", "before 1972"),
            ("2262-04-11T23:46:40Z", "64 bits"),
            ("9999-12-31T23:59:59 TAI", "64 bits"),
            ("0000-01-01T00:00:00+00:01", "year in UTC"),
            ("9999-12-31T23:59:59-00:01", "year in UTC"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<Timestamp>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn width_fill_and_precision_are_honoured() {
        let t = at(1_483_228_837_123_999_999);
        assert_eq!(format!("{t:.3}"), "2017-01-01T00:00:00.123Z");
        assert_eq!(format!("{t:.0}"), "2017-01-01T00:00:00Z");
        assert_eq!(format!("{t:.40}"), "2017-01-01T00:00:00.123999999Z");
        assert_eq!(format!("{t:>26.3}"), "  2017-01-01T00:00:00.123Z");
        assert_eq!(format!("{t:-^27.3}"), "-2017-01-01T00:00:00.123Z--");
        assert_eq!(format!("{t:26.3}|"), "2017-01-01T00:00:00.123Z  |");
        let i = Interval::from(t);
        assert_eq!(format!("{i:.3}"), "[2017-01-01T00:00:00.123Z, 2017-01-01T00:00:00.124Z]");
        assert_eq!(format!("{i:.0}"), "[2017-01-01T00:00:00Z, 2017-01-01T00:00:01Z]");
        assert_eq!(format!("{:>75}", Interval::EVERYTHING).len(), 75);
    }

    #[test]
    fn intervals_that_are_refused_say_why() {
        let cases = [
            ("", "expected `[earliest"),
            ("[2017-01-01T00:00:00Z]", "expected `[earliest"),
            ("2017-01-01T00:00:00Z, 2017-01-01T00:00:00Z", "expected `[earliest"),
            ("[2017-13-01T00:00:00Z, 2017-01-01T00:00:00Z]", "the earliest end: the month is 13"),
            ("[2017-01-01T00:00:00Z, x]", "the latest end: expected a year"),
            ("[2017-01-01T00:00:01Z, 2017-01-01T00:00:00Z]", "before it begins at"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<Interval>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// Any count, a third each within some seconds of either end of the range.
    fn anywhere() -> impl Strategy<Value = i64> {
        const NEAR: i64 = 3_000_000_000;
        prop_oneof![any::<i64>(), i64::MIN..i64::MIN + NEAR, i64::MAX - NEAR..=i64::MAX]
    }

    #[test]
    fn an_end_that_cannot_be_rounded_outward_keeps_its_digits() {
        let text = format!("{:.0}", Interval::EVERYTHING);
        let ends = "[1677-09-21T00:12:43.145224192 TAI, 2262-04-11T23:46:39.854775807Z]";
        assert_eq!(text, ends);
        let last = Interval::from(at(i64::MAX - 900_000_000));
        assert_eq!(format!("{last:.0}"), "[2262-04-11T23:46:38Z, 2262-04-11T23:46:39Z]");
        // The broken variant: to saturate and then cut loses most of the last second.
        let cut = format!("{:.0}", Timestamp::MAX).parse::<Timestamp>().expect("a moment");
        assert!(cut < Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(a: i64, b: i64) {
            prop_assert_eq!(at(a).to_string().parse(), Ok(at(a)));
            let interval = Interval::new(at(a.min(b)), at(a.max(b))).expect("in order");
            prop_assert_eq!(interval.to_string().parse(), Ok(interval));
        }

        #[test]
        fn fewer_digits_never_narrow_an_interval(a in anywhere(), width in 0..5_000_000_000i64, digits in 0usize..=9) {
            let interval = Interval::new(at(a), at(a.saturating_add(width))).expect("in order");
            let read = format!("{interval:.digits$}").parse::<Interval>().expect("its own text");
            prop_assert_eq!(read.hull(&interval), read);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}", cut in 0usize..40) {
            let _ = text.parse::<Timestamp>();
            let _ = text.parse::<Interval>();
            let valid = "[2016-12-31T23:59:60.123456789+01:00, 1677-09-21T00:12:43.145224192 TAI]";
            let mangled: String = valid.chars().take(cut).chain(text.chars()).collect();
            let _ = mangled.parse::<Interval>();
            let _ = mangled.trim_start_matches('[').parse::<Timestamp>();
        }
    }
}
