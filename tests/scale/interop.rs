//! Other crates' types: a value that they can hold comes back, and any other is refused.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use truechimer::{ScaleError, UnixTime};

proptest! {
    #[test]
    fn system_time_comes_back(nanos: i64) {
        let unix = UnixTime::from_nanos(nanos);
        let time = SystemTime::try_from(unix).expect("64 bits of seconds here");
        prop_assert_eq!(UnixTime::try_from(time), Ok(unix));
    }
}

#[test]
fn a_system_time_beyond_the_range_is_refused() {
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_000_000);
    assert_eq!(UnixTime::try_from(far), Err(ScaleError::OutOfRange));
    let ago = SystemTime::UNIX_EPOCH - Duration::from_secs(10_000_000_000);
    assert_eq!(UnixTime::try_from(ago), Err(ScaleError::OutOfRange));
    assert_eq!(
        UnixTime::try_from(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)),
        Ok(UnixTime::from_nanos(-1))
    );
}

#[cfg(feature = "chrono")]
mod with_chrono {
    use super::*;
    use chrono::{DateTime, TimeZone as _, Utc as ChronoUtc};
    use truechimer::{LeapTable, Timestamp, Utc};

    #[test]
    fn a_leap_second_comes_back_as_one() {
        let t: Timestamp = "2016-12-31T23:59:60.25Z".parse().expect("a leap second");
        let date = DateTime::<ChronoUtc>::try_from(t).expect("after 1972");
        assert_eq!(date.timestamp(), 1_483_228_799);
        assert_eq!(date.timestamp_subsec_nanos(), 1_250_000_000);
        assert_eq!(date.to_rfc3339(), "2016-12-31T23:59:60.250+00:00");
        assert_eq!(Timestamp::try_from(date), Ok(t));
        // The broken way: nanoseconds alone lose the leap second.
        let after: Timestamp = "2017-01-01T00:00:00.25Z".parse().expect("a moment");
        let after = DateTime::<ChronoUtc>::try_from(after).expect("after 1972");
        assert_eq!(date.timestamp_nanos_opt(), after.timestamp_nanos_opt());
    }

    #[test]
    fn a_second_60_that_never_existed_is_refused() {
        for text in ["2016-12-31T12:34:60Z", "2015-12-31T23:59:60Z", "2016-12-30T23:59:60Z"] {
            let date: DateTime<ChronoUtc> = text.parse().expect("chrono accepts it");
            assert_eq!(Utc::try_from(date), Err(ScaleError::NoSuchLeapSecond), "{text}");
            assert_eq!(Timestamp::try_from(date), Err(ScaleError::NoSuchLeapSecond), "{text}");
        }
        let ancient = ChronoUtc.with_ymd_and_hms(-44, 3, 15, 12, 0, 0).single().expect("a date");
        assert_eq!(Utc::try_from(ancient), Err(ScaleError::OutOfRange));
        let early = ChronoUtc.with_ymd_and_hms(1971, 12, 31, 23, 59, 59).single().expect("a date");
        assert_eq!(Timestamp::try_from(early), Err(ScaleError::BeforeUtc));
    }

    proptest! {
        #[test]
        fn chrono_shows_the_same_label(tai in 63_072_010_000_000_000..i64::MAX) {
            let t = Timestamp::from_tai_nanos(tai);
            let date = DateTime::<ChronoUtc>::try_from(t).expect("after 1972");
            let text = date.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
            prop_assert_eq!(text, t.to_string());
            prop_assert_eq!(Timestamp::try_from(date), Ok(t));
        }
    }

    #[test]
    fn every_leap_second_comes_back() {
        for leap in LeapTable::builtin().leaps() {
            let date = DateTime::<ChronoUtc>::try_from(leap.label).expect("it was");
            assert_eq!(Utc::try_from(date), Ok(leap.label));
        }
        for year in [0, 1, 1969, 9999] {
            let utc = Utc::new((year, 12, 31), (23, 59, 59), 999_999_999).expect("a date");
            let date = DateTime::<ChronoUtc>::try_from(utc).expect("within chrono's years");
            assert_eq!(Utc::try_from(date), Ok(utc));
        }
    }

    #[test]
    fn a_second_60_that_only_another_table_has_is_not_passed_on() {
        let entries = [(63_072_000, 10), (1_451_606_400, 11)];
        let other = LeapTable::from_entries(&entries).expect("a table");
        let label = other.parse_utc("2015-12-31T23:59:60Z").expect("in that table");
        assert_eq!(DateTime::<ChronoUtc>::try_from(label), Err(ScaleError::NoSuchLeapSecond));
    }
}

#[cfg(feature = "jiff")]
mod with_jiff {
    use super::*;
    use truechimer::{Timestamp, Utc};

    #[test]
    fn a_leap_second_is_refused_and_its_neighbours_are_not() {
        let jiff = |text: &str| jiff::Timestamp::try_from(text.parse::<Timestamp>().expect(text));
        assert_eq!(jiff("2016-12-31T23:59:60Z"), Err(ScaleError::LeapSecondNotRepresentable));
        let before = jiff("2016-12-31T23:59:59Z").expect("held");
        let after = jiff("2017-01-01T00:00:00Z").expect("held");
        assert_eq!((before.as_second(), after.as_second()), (1_483_228_799, 1_483_228_800));
    }

    #[test]
    fn years_before_0_are_refused() {
        assert_eq!(Utc::try_from(jiff::Timestamp::MIN), Err(ScaleError::OutOfRange));
        let late = Utc::new((9999, 12, 31), (23, 59, 59), 0).expect("a date");
        // jiff ends a day and a half before, so that every offset fits.
        assert_eq!(jiff::Timestamp::try_from(late), Err(ScaleError::OutOfRange));
    }

    proptest! {
        #[test]
        fn jiff_shows_the_same_label(tai in 63_072_010_000_000_000..i64::MAX) {
            let t = Timestamp::from_tai_nanos(tai);
            let Ok(stamp) = jiff::Timestamp::try_from(t) else {
                prop_assert!(t.to_string().contains(":60."));
                return Ok(());
            };
            prop_assert_eq!(format!("{stamp:.9}"), t.to_string());
            prop_assert_eq!(Timestamp::try_from(stamp), Ok(t));
        }
    }
}

#[cfg(all(feature = "serde", feature = "cli"))]
mod with_serde {
    use super::*;
    use truechimer::{GpsTime, NtpDate, NtpTime, PtpTime, ScaleInterval, Smeared, Utc};

    fn comes_back<T>(text: &str)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug + std::str::FromStr,
    {
        let quoted = format!("\"{text}\"");
        let value: T = serde_json::from_str(&quoted).expect(text);
        assert_eq!(serde_json::to_string(&value).expect(text), quoted);
        assert!(serde_json::from_str::<T>("\"nonsense\"").is_err());
    }

    #[test]
    fn scales_are_their_text() {
        comes_back::<Utc>("2016-12-31T23:59:60.000000000Z");
        comes_back::<GpsTime>("1930 17.500000000");
        comes_back::<NtpTime>("dc12c4ff.80000000");
        comes_back::<NtpDate>("0:dc12c4ff.8000000000000000");
        comes_back::<PtpTime>("1483228836.500000000");
        comes_back::<Smeared>("2016-12-31T18:00:00.000000000 smear:utc-sls");
        comes_back::<UnixTime>("1483228799.500000001");
        comes_back::<UnixTime>("-9223372036.854775808");
        let json = r#"["1483228799.500000000","1483228799.600000000"]"#;
        let span: ScaleInterval<UnixTime> = serde_json::from_str(json).expect("in order");
        assert_eq!(serde_json::to_string(&span).expect("two texts"), json);
        assert!(serde_json::from_str::<ScaleInterval<UnixTime>>(r#"["2","1"]"#).is_err());
    }
}
