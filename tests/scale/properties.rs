//! Properties of the scales: there and back, order kept, intervals never narrower.

use proptest::prelude::*;
use truechimer::scale::{UnixReading, UnixToTai};
use truechimer::{
    GpsTime, Interval, LeapTable, NtpDate, NtpTime, ParseTimeError, PtpTime, ScaleError,
    ScaleInterval, Timestamp, UnixTime, Utc,
};

const SECOND: i64 = 1_000_000_000;
/// 1972-01-01T00:00:00Z.
const START: i64 = 63_072_010 * SECOND;

/// The 27 leaps, then one inserted and one skipped, a month apart.
fn table() -> LeapTable {
    let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.seconds(), entry.tai_minus_utc))
        .collect();
    entries.extend([(1_893_456_000, 38), (1_896_134_400, 37)]); // 2030-01-01, 2030-02-01
    LeapTable::from_entries(&entries).expect("in order")
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

/// All of 1972 to 2262, and within seconds of each leap.
fn any_moment() -> impl Strategy<Value = i64> {
    let leaps: Vec<i64> = table().leaps().map(|leap| leap.at.tai_nanos()).collect();
    prop_oneof![
        START..i64::MAX,
        (prop::sample::select(leaps), -3 * SECOND..3 * SECOND).prop_map(|(leap, off)| leap + off),
        START..START + 5 * SECOND,
        i64::MAX - 60 * SECOND..i64::MAX,
    ]
}

fn any_interval() -> impl Strategy<Value = (Interval, Timestamp)> {
    let width = prop_oneof![Just(0), 0..3 * SECOND, 0..100 * 365 * 86_400 * SECOND];
    (any_moment(), width, any::<u32>()).prop_map(|(from, width, share)| {
        let to = from.saturating_add(width).min(i64::MAX - 1);
        // A moment within: the share is in units of 1 / u32::MAX.
        let after = i128::from(to - from) * i128::from(share) / i128::from(u32::MAX);
        (Interval::new(at(from), at(to)).expect("in order"), at(from + after as i64))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn utc_and_tai_come_back_exactly(t in any_moment()) {
        let table = table();
        let utc = table.tai_to_utc(at(t)).expect("after 1972");
        prop_assert_eq!(table.utc_to_tai(utc), Ok(at(t)));
        prop_assert_eq!(table.parse_utc(&utc.to_string()), Ok(utc));
    }

    #[test]
    fn utc_labels_are_in_the_order_of_time(a in any_moment(), b in any_moment(), near in 0..3 * SECOND) {
        let table = table();
        let label = |t: i64| table.tai_to_utc(at(t)).expect("after 1972");
        for (a, b) in [(a, b), (a, a.saturating_add(near)), (a, a.saturating_add(1))] {
            prop_assert_eq!(label(a).cmp(&label(b)), a.cmp(&b));
        }
    }

    #[test]
    fn unix_and_tai_come_back_through_the_flag(t in any_moment()) {
        let table = table();
        let UnixReading { time, in_leap_second } = table.tai_to_unix(at(t)).expect("after 1972");
        match table.unix_to_tai(time).expect("in range") {
            UnixToTai::Unique(back) => prop_assert!(back == at(t) && !in_leap_second),
            UnixToTai::Ambiguous(a, b) => {
                prop_assert_eq!(if in_leap_second { b } else { a }, at(t));
                prop_assert_eq!(b.tai_nanos() - a.tai_nanos(), SECOND);
            }
            UnixToTai::Skipped => prop_assert!(false, "a shown count was skipped"),
        }
    }

    #[test]
    fn every_unix_count_is_shown_where_it_is_said_to_be(t in any_moment()) {
        let table = table();
        let unix = UnixTime::from_nanos(t - 10 * SECOND);
        let shown = |t: Timestamp| table.tai_to_unix(t).expect("after 1972");
        match table.unix_to_tai(unix) {
            Ok(UnixToTai::Unique(a)) => {
                prop_assert_eq!(shown(a), UnixReading { time: unix, in_leap_second: false });
            }
            Ok(UnixToTai::Ambiguous(a, b)) => {
                prop_assert_eq!(shown(a), UnixReading { time: unix, in_leap_second: false });
                prop_assert_eq!(shown(b), UnixReading { time: unix, in_leap_second: true });
            }
            Ok(UnixToTai::Skipped) => {
                let skip = table.leaps().find(|leap| !leap.inserts).expect("one").at;
                let before = shown(at(skip.tai_nanos() - 1)).time;
                prop_assert!(before < unix && unix < shown(skip).time);
            }
            Err(error) => prop_assert!(error == ScaleError::OutOfRange && t > i64::MAX - 60 * SECOND),
        }
    }

    #[test]
    fn an_interval_contains_everything_that_was_shown_and_comes_back_no_narrower((interval, t) in any_interval()) {
        let table = table();
        let span = table.interval_to_unix(&interval).expect("finite");
        let shown = table.tai_to_unix(t).expect("after 1972").time;
        prop_assert!(span.earliest() <= shown && shown <= span.latest());
        let back = table.unix_to_interval(span).expect("in range");
        prop_assert_eq!(back.hull(&interval), back);
        prop_assert!(back.width() <= interval.width() + std::time::Duration::from_secs(2));

        let ntp = table.interval_to_ntp(&interval).expect("finite");
        let back = table.ntp_to_interval(ntp).expect("in range");
        prop_assert_eq!(back.hull(&interval), back);

        let utc = table.interval_to_utc(&interval).expect("finite");
        prop_assert_eq!(table.utc_to_interval(utc), Ok(interval));
    }

    #[test]
    fn an_interval_of_unix_time_contains_every_moment_that_may_have_been_meant(
        t in any_moment(), before in 0..2 * SECOND, after in 0..2 * SECOND,
    ) {
        let table = table();
        let t = t.clamp(START + 2 * SECOND, i64::MAX - 60 * SECOND);
        let shown = table.tai_to_unix(at(t)).expect("after 1972").time.nanos();
        let [first, last] = [shown - before, shown + after].map(UnixTime::from_nanos);
        let span = ScaleInterval::new(first, last).expect("in order");
        prop_assert!(table.unix_to_interval(span).expect("in range").contains(at(t)));
    }

    #[test]
    fn gps_and_ptp_come_back_exactly_in_order_and_in_text(a in any_moment(), b in any_moment()) {
        let gps_start = 315_964_819 * SECOND;
        prop_assert_eq!(GpsTime::from_tai(at(a)).is_ok(), a >= gps_start);
        if let (Ok(x), Ok(y)) = (GpsTime::from_tai(at(a)), GpsTime::from_tai(at(b))) {
            prop_assert_eq!(x.to_tai(), Ok(at(a)));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.to_string().parse(), Ok(x));
            // Receivers whose reference is some years off still find the week.
            let years = |n: i64| at(a.saturating_add(n * 365 * 86_400 * SECOND));
            for n in [-9, 0, 9] {
                prop_assert_eq!(GpsTime::from_week_10(x.week_10(), x.nanos_of_week(), years(n)), Ok(x));
            }
            for n in [-70, 70] {
                prop_assert_eq!(GpsTime::from_week_13(x.week_13(), x.nanos_of_week(), years(n)), Ok(x));
            }
        }
        let (x, y) = (PtpTime::from_tai(at(a)).expect("after 1970"), PtpTime::from_tai(at(b)).expect("after 1970"));
        prop_assert_eq!((x.to_tai(), x.cmp(&y)), (Ok(at(a)), a.cmp(&b)));
        prop_assert_eq!(x.to_string().parse(), Ok(x));
        prop_assert_eq!(PtpTime::from_bytes(x.to_bytes()), Ok(x));
    }

    #[test]
    fn ntp_comes_back_to_the_nanosecond_in_any_era(nanos: i64, years in -68..=68i64) {
        let unix = UnixTime::from_nanos(nanos);
        let date = NtpDate::from_unix(unix);
        prop_assert_eq!(date.to_unix(), Ok(unix));
        prop_assert_eq!(date.to_string().parse(), Ok(date));
        let stamp = NtpTime::from_unix(unix);
        prop_assert_eq!(stamp.in_era(date.era), Ok(unix));
        prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
        let near = UnixTime::from_nanos(nanos.saturating_add(years * 365 * 86_400 * SECOND));
        prop_assert_eq!(stamp.near(near), Ok(unix));
        prop_assert!(date.to_ntp_time().to_bits().abs_diff(stamp.to_bits()) <= 1);
    }

    #[test]
    fn ntp_intervals_round_outward(nanos in -1_000_000..i64::MAX - SECOND, width in 0..SECOND) {
        let [first, last] = [nanos, nanos + width].map(UnixTime::from_nanos);
        let span = ScaleInterval::new(first, last).expect("in order");
        let back = NtpTime::to_unix_interval(NtpTime::from_unix_interval(span), first).expect("in range");
        prop_assert!(back.earliest() <= first && last <= back.latest());
        prop_assert!(back.latest().nanos() - back.earliest().nanos() <= width + 2);
        let back = NtpDate::to_unix_interval(NtpDate::from_unix_interval(span)).expect("in range");
        prop_assert!(back.earliest() <= first && last <= back.latest());
    }

    #[test]
    fn unix_text_comes_back(nanos: i64) {
        let unix = UnixTime::from_nanos(nanos);
        prop_assert_eq!(unix.to_string().parse(), Ok(unix));
        prop_assert_eq!(UnixTime::new(unix.seconds(), unix.subsec_nanos()), Some(unix));
    }

    #[test]
    fn no_text_makes_a_parser_panic_and_no_second_is_invented(text in "[-0-9TZ:.+ a-f]{0,36}") {
        let _ = (text.parse::<GpsTime>(), text.parse::<NtpTime>(), text.parse::<NtpDate>());
        let _ = (text.parse::<PtpTime>(), text.parse::<UnixTime>());
        let _ = text.parse::<truechimer::Smeared>();
        if let Ok(utc) = text.parse::<Utc>() {
            prop_assert!(utc.second() < 60 || (utc.hour(), utc.minute()) == (23, 59));
        }
    }

    #[test]
    fn only_times_that_exist_are_accepted(
        year in 0u16..=9999, month in 0u8..=13, day in 0u8..=32,
        hour in 0u8..=25, minute in 0u8..=61, second in 0u8..=62,
    ) {
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => if leap_year { 29 } else { 28 },
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        let plain = (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
        let parsed = text.parse::<Utc>();
        let label = Utc::new((year, month, day), (hour, minute, second), 0);
        prop_assert_eq!(label.is_ok(), parsed.is_ok(), "{}", text);
        if second == 60 {
            let end_of_month = hour == 23 && minute == 59 && day == days;
            prop_assert!(parsed.is_err() || end_of_month && year >= 1972);
        } else {
            prop_assert_eq!(parsed.is_ok(), plain, "{}", text);
            if plain {
                let utc = Utc::new((year, month, day), (hour, minute, second), 0);
                prop_assert_eq!(parsed, utc);
            }
        }
    }
}

#[test]
fn every_minute_but_the_known_ones_refuses_second_60() {
    let leaps: Vec<String> =
        LeapTable::builtin().leaps().map(|leap| format!("{:.0}", leap.label)).collect();
    for year in 1972..=2060 {
        for (month, day) in [(1, 31), (2, 28), (3, 31), (6, 30), (9, 30), (12, 31), (12, 30)] {
            let text = format!("{year}-{month:02}-{day:02}T23:59:60Z");
            let possible =
                (year, month) >= (2027, 6) && day != 30 || (year, month, day) >= (2027, 6, 30);
            let may_be = possible && (month, day) != (12, 30) && !(month == 2 && year % 4 == 0);
            let expected = leaps.contains(&text) || may_be;
            assert_eq!(text.parse::<Utc>().is_ok(), expected, "{text}");
            let label = Utc::new((year, month, day), (23, 59, 60), 0);
            assert_eq!(label, text.parse(), "{text}");
            // A moment needs a leap second that is known.
            assert_eq!(text.parse::<Timestamp>().is_ok(), leaps.contains(&text), "{text}");
        }
    }
    for text in ["2016-12-31T12:34:60Z", "2016-12-31T22:59:60Z", "2016-12-31T24:00:00Z"] {
        assert!(text.parse::<Utc>().is_err(), "{text}");
    }
}

#[test]
fn known_readings_of_each_scale() {
    let t: Timestamp = "2016-12-31T23:59:60.5Z".parse().expect("a leap second");
    let table = LeapTable::builtin();
    let unix = table.tai_to_unix(t).expect("after 1972");
    assert_eq!(
        (unix.time.to_string().as_str(), unix.in_leap_second),
        ("1483228799.500000000", true)
    );
    assert_eq!(GpsTime::from_tai(t).expect("after 1980").to_string(), "1930 17.500000000");
    assert_eq!(NtpTime::from_unix(unix.time).to_string(), "dc12c4ff.80000000");
    assert_eq!(NtpDate::from_unix(unix.time).to_string(), "0:dc12c4ff.8000000000000000");
    assert_eq!(PtpTime::from_tai(t).expect("after 1970").to_string(), "1483228836.500000000");

    // Era 1 begins.
    let era = UnixTime::new(2_085_978_496, 0).expect("in range");
    assert_eq!(NtpDate::from_unix(era), NtpDate { era: 1, seconds: 0, fraction: 0 });
    let at = match table.unix_to_tai(era) {
        Ok(UnixToTai::Unique(t)) => t,
        other => panic!("{other:?}"),
    };
    assert_eq!(at.to_string(), "2036-02-07T06:28:16.000000000Z");
    assert_eq!(NtpTime::from_bits(0).in_era(1), Err(ScaleError::UnsetNtp));
    assert_eq!(NtpTime::from_unix(era).in_era(1), Ok(era));
    // Zero means "unknown", so the timestamps around the era's first moment are the next ones outward.
    let [down, up] = NtpTime::from_unix_interval(era.into());
    assert_eq!((down.to_bits(), up.to_bits()), (u64::MAX, 1));
    let around = NtpTime::to_unix_interval([down, up], era).expect("in range");
    assert!(around.earliest() < era && era < around.latest());
}

#[test]
fn an_impossible_conversion_is_refused_with_a_reason() {
    let table = LeapTable::builtin();
    let early = at(START - 1);
    assert_eq!(table.tai_to_utc(early), Err(ScaleError::BeforeUtc));
    assert_eq!(table.tai_to_unix(Timestamp::MIN).err(), Some(ScaleError::BeforeUtc));
    let old = Utc::new((1971, 12, 31), (23, 59, 59), 0).expect("a date");
    assert_eq!(table.utc_to_tai(old), Err(ScaleError::BeforeUtc));
    let ancient = Utc::new((1066, 10, 14), (9, 0, 0), 0).expect("a date");
    assert_eq!(table.utc_to_tai(ancient), Err(ScaleError::BeforeUtc));
    let far = Utc::new((9999, 12, 31), (23, 59, 59), 999_999_999).expect("a date");
    assert_eq!(table.utc_to_tai(far), Err(ScaleError::OutOfRange));
    let never = Utc::new((2015, 12, 30), (23, 59, 60), 0);
    assert_eq!(never, Err(ParseTimeError::NoSuchLeapSecond));
    let none = Utc::new((2030, 6, 30), (23, 59, 60), 0).expect("it may still come");
    assert_eq!(table.utc_to_tai(none), Err(ScaleError::NoSuchLeapSecond));
    assert_eq!(table.interval_to_unix(&Interval::EVERYTHING), Err(ScaleError::OpenEnd));
    assert_eq!(table.interval_to_unix(&early.into()), Err(ScaleError::BeforeUtc));
    assert_eq!(GpsTime::from_tai(early), Err(ScaleError::BeforeGps));
    assert_eq!(PtpTime::from_tai(at(-1)), Err(ScaleError::BeforePtp));
    let end = UnixTime::from_nanos(i64::MAX);
    assert_eq!(table.unix_to_tai(end), Err(ScaleError::OutOfRange));
    let open = table
        .unix_to_interval(ScaleInterval::new(UnixTime::from_nanos(START), end).expect("in order"));
    assert_eq!(open.expect("saturates outward").latest(), Timestamp::MAX);

    // All of a skipped second names no moment; a span that reaches out of it does.
    let table = self::table();
    let skipped = |nanos| UnixTime::new(1_896_134_399, nanos).expect("in range");
    assert_eq!(table.unix_to_tai(skipped(0)), Ok(UnixToTai::Skipped));
    let span = ScaleInterval::new(skipped(1), skipped(2)).expect("in order");
    assert_eq!(table.unix_to_interval(span), Err(ScaleError::Skipped));
    let after = UnixTime::new(1_896_134_400, 5).expect("in range");
    let interval = table.unix_to_interval(ScaleInterval::new(skipped(1), after).expect("in order"));
    assert_eq!(interval.expect("reaches out").width().as_nanos(), 5);
}

/// The naive way: the readings at the two ends.
#[test]
fn converting_only_the_ends_loses_what_was_shown_between() {
    let table = table();
    let leap = table.leaps().next().expect("one").at.tai_nanos();
    let interval = Interval::new(at(leap - SECOND / 10), at(leap + SECOND / 10)).expect("in order");
    let shown = |t| table.tai_to_unix(t).expect("after 1972").time;
    let naive = ScaleInterval::new(shown(interval.earliest()), shown(interval.latest()));
    assert_eq!(naive, None, "the broken variant has its ends the wrong way round");
    let span = table.interval_to_unix(&interval).expect("finite");
    for nanos in (-SECOND / 10..=SECOND / 10).step_by(1_000_003) {
        let shown = shown(at(leap + nanos));
        assert!(span.earliest() <= shown && shown <= span.latest());
    }
}
