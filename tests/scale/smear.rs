//! Smears: what each shows at known moments, that none runs back, and that each inverts exactly.

use proptest::prelude::*;
use truechimer::scale::{ScaleInterval, Smear, Smeared};
use truechimer::{Interval, LeapTable, Timestamp, UnixTime};

const SECOND: i64 = 1_000_000_000;
/// The start of 2016-12-31T23:59:60.
const LEAP_2016: i64 = 1_483_228_836 * SECOND;

/// The built-in table, then a leap second inserted and one skipped. (2030-01-01, 2035-07-01.)
fn with_both_kinds() -> LeapTable {
    let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.seconds(), entry.tai_minus_utc))
        .collect();
    entries.extend([(1_893_456_000, 38), (2_066_860_800, 37)]);
    LeapTable::from_entries(&entries).expect("in order")
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

#[test]
fn the_ends_of_an_interval_are_rounded_outward_in_the_last_nanosecond() {
    let table = LeapTable::builtin();
    // A nanosecond after noon, Google's clock shows a part of a nanosecond less than UTC.
    let noon = 1_483_185_600 * SECOND;
    let moment = at(noon + 36 * SECOND + 1);
    let shown = |nanos: i64| Smeared::from_nanos(nanos, Smear::Google);
    let both = |first: i64, last: i64| ScaleInterval::new(shown(first), shown(last));
    let forth = table.interval_to_smeared(&Interval::from(moment), Smear::Google);
    assert_eq!(forth.ok(), both(noon, noon + 1));
    // And it shows a whole nanosecond a part of one later than UTC does.
    let back = table.smeared_to_interval(both(noon + 1, noon + 1).expect("in order"));
    let after = at(moment.tai_nanos() + 1);
    assert_eq!(back.ok(), Interval::new(moment, after));
}

#[test]
fn each_smear_shows_what_its_operator_says() {
    let table = LeapTable::builtin();
    let cases = [
        // Noon is exact, midnight half a second off, the next noon exact.
        (Smear::Google, "2016-12-31T12:00:00Z", "2016-12-31T12:00:00.000000000"),
        (Smear::Google, "2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.000000000"),
        (Smear::Google, "2017-01-01T12:00:00Z", "2017-01-01T12:00:00.000000000"),
        (Smear::Aws, "2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.000000000"),
        (Smear::Aws, "2016-12-31T18:00:00Z", "2016-12-31T17:59:59.750002893"),
        // The last 1000 s: 23:43:21 is exact, half way is half a second off.
        (Smear::UtcSls, "2016-12-31T23:43:21Z", "2016-12-31T23:43:21.000000000"),
        (Smear::UtcSls, "2016-12-31T23:51:41Z", "2016-12-31T23:51:40.500000000"),
        (Smear::UtcSls, "2017-01-01T00:00:00Z", "2017-01-01T00:00:00.000000000"),
        // After the leap: a second ahead of UTC when it begins.
        (Smear::MetaPtp, "2016-12-31T23:59:59Z", "2016-12-31T23:59:59.000000000"),
        (Smear::MetaPtp, "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000"),
        (Smear::MetaPtp, "2017-01-01T18:03:19Z", "2017-01-01T18:03:19.000000000"),
        (Smear::Meta, "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000"),
        (Smear::Meta, "2017-01-01T08:40:49Z", "2017-01-01T08:40:49.500000000"),
        (Smear::Meta, "2017-01-01T17:21:39Z", "2017-01-01T17:21:39.000000000"),
        // A quarter of the way, an eighth of the second is given back.
        (Smear::Meta, "2017-01-01T04:20:24Z", "2017-01-01T04:20:24.875000000"),
        (Smear::Chrony, "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000"),
        (Smear::Chrony, "2017-01-01T17:34:05Z", "2017-01-01T17:34:05.000000000"),
    ];
    for (smear, utc, shown) in cases {
        let t: Timestamp = utc.parse().expect(utc);
        let reading = table.tai_to_smeared(t, smear).expect(utc);
        assert_eq!(reading.to_string(), format!("{shown} smear:{smear}"), "{utc}");
        assert_eq!(reading.to_string().parse(), Ok(reading));
    }
}

#[test]
fn no_smear_leads_off_by_more_than_the_leap_second() {
    let table = with_both_kinds();
    for leap in table.leaps() {
        for smear in Smear::ALL {
            for minute in -24 * 60..24 * 60 {
                let t = at(leap.at.tai_nanos() + minute * 60 * SECOND + 1);
                let shown = table.tai_to_smeared(t, smear).expect("after 1972").nanos();
                let unix = table.tai_to_unix(t).expect("after 1972").time.nanos();
                assert!((shown - unix).abs() <= SECOND, "{smear} at {t}");
                assert!(shown == unix || table.is_smearing_at(t, smear), "{smear} at {t}");
            }
        }
    }
}

#[test]
fn texts_of_smears_that_are_refused() {
    for text in [
        "2016-12-31T23:59:60 smear:google",
        "2016-12-31T23:59:59Z smear:google",
        "2016-12-31T23:59:59 smear:yahoo",
        "2016-12-31T23:59:59",
        "2400-12-31T23:59:59 smear:aws",
        "",
    ] {
        assert!(text.parse::<Smeared>().is_err(), "{text}");
    }
}

/// The naive inverse: mistake the reading for UTC and look up its offset.
fn naive(table: &LeapTable, reading: Smeared) -> Interval {
    let unix = ScaleInterval::from(UnixTime::from_nanos(reading.nanos()));
    table.unix_to_interval(unix).expect("after 1972")
}

#[test]
fn mistaking_smeared_time_for_utc_loses_the_true_time_and_the_inverse_does_not() {
    let table = LeapTable::builtin();
    let t = at(LEAP_2016 - 3 * 3600 * SECOND);
    let reading = table.tai_to_smeared(t, Smear::Google).expect("after 1972");
    assert!(!naive(&table, reading).contains(t), "the broken variant must fail");
    assert!(table.smeared_to_interval(reading.into()).expect("after 1972").contains(t));
    let unknown = UnixTime::from_nanos(reading.nanos()).into();
    assert!(table.unknown_smear_to_interval(unknown).expect("after 1972").contains(t));
}

#[test]
fn far_from_leaps_an_unknown_smear_costs_nothing() {
    let table = LeapTable::builtin();
    let unix = ScaleInterval::from(UnixTime::new(1_700_000_000, 0).expect("in range"));
    assert_eq!(table.unknown_smear_to_interval(unix), table.unix_to_interval(unix));
}

fn any_smear() -> impl Strategy<Value = Smear> {
    prop::sample::select(Smear::ALL.to_vec())
}

/// Moments near leap seconds of both kinds, and anywhere.
fn any_moment() -> impl Strategy<Value = i64> {
    let leaps: Vec<i64> = with_both_kinds().leaps().map(|leap| leap.at.tai_nanos()).collect();
    let near = (prop::sample::select(leaps), -90_000 * SECOND..90_000 * SECOND);
    prop_oneof![
        6 => near.clone().prop_map(|(leap, off)| leap + off),
        2 => near.prop_map(|(leap, off)| leap + off / 10_000_000),
        1 => 63_072_010 * SECOND..i64::MAX - 60 * SECOND,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_smeared_clock_never_runs_back(smear in any_smear(), t in any_moment(), later in 0..10 * SECOND) {
        let table = with_both_kinds();
        let shown = |t| table.tai_to_smeared(at(t), smear).expect("after 1972").nanos();
        prop_assert!(shown(t) <= shown(t + later));
        // It is at most a thousandth faster or slower than time. Each reading is rounded once, so
        // their difference is less than a nanosecond off.
        let gone = shown(t + later) - shown(t);
        prop_assert!((gone - later).abs() * 1000 < later + 1000, "{gone} in {later}");
    }

    #[test]
    fn unsmearing_gives_the_first_moment_that_shows_the_reading_or_more(
        smear in any_smear(), t in any_moment(),
    ) {
        let table = with_both_kinds();
        let shown = |t| table.tai_to_smeared(t, smear).expect("after 1972").nanos();
        let reading = table.tai_to_smeared(at(t), smear).expect("after 1972");
        let back = table.smeared_to_tai(reading).expect("in range");
        prop_assert!(back <= at(t));
        prop_assert_eq!(shown(back), reading.nanos());
        prop_assert!(shown(at(back.tai_nanos() - 1)) < reading.nanos());
    }

    #[test]
    fn intervals_keep_the_true_time_through_a_smear_and_back(
        smear in any_smear(), t in any_moment(), before in 0..2 * SECOND, after in 0..2 * SECOND,
    ) {
        let table = with_both_kinds();
        let first = (t - before).max(63_072_010 * SECOND);
        let interval = Interval::new(at(first), at(t + after)).expect("in order");
        let span = table.interval_to_smeared(&interval, smear).expect("after 1972");
        let back = table.smeared_to_interval(span).expect("in range");
        prop_assert_eq!(back.hull(&interval), back);
        // It is exact except for rounding.
        let extra = back.width().saturating_sub(interval.width());
        prop_assert!(extra.as_nanos() <= 4, "{extra:?} wider");
    }

    #[test]
    fn an_unknown_smear_contains_the_true_time_whichever_it_was(
        smear in any_smear(), t in any_moment(),
    ) {
        let table = with_both_kinds();
        let shown = table.tai_to_smeared(at(t), smear).expect("after 1972").nanos();
        let interval = table.unknown_smear_to_interval(UnixTime::from_nanos(shown).into());
        prop_assert!(interval.expect("in range").contains(at(t)));
        // And a clock that does not smear at all.
        let plain = table.tai_to_unix(at(t)).expect("after 1972").time;
        let interval = table.unknown_smear_to_interval(plain.into());
        prop_assert!(interval.expect("in range").contains(at(t)));
    }
}
