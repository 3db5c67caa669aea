//! All 27 leap seconds, each second from a minute before to a minute after, against two oracles.
//!
//! ERFA made `data/leap_oracle.csv` (see `data/make_leap_oracle.py`). The second oracle is
//! glibc's `date` with tzdata's `right/UTC`, which runs during the test if it is installed.

use std::path::Path;

use truechimer::scale::UnixToTai;
use truechimer::{LeapTable, Timestamp, UnixTime, Utc};

const SECOND: i64 = 1_000_000_000;

/// (UTC label, TAI seconds)
fn oracle() -> Vec<(&'static str, i64)> {
    include_str!("../data/leap_oracle.csv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (label, tai) = line.split_once(',').expect("two columns");
            (label, tai.parse().expect("a number"))
        })
        .collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_tai_nanos(seconds * SECOND)
}

/// How many lines of the oracle a conversion gets wrong, each way.
fn wrong(
    to_utc: impl Fn(Timestamp) -> Option<Utc>,
    to_tai: impl Fn(Utc) -> Option<Timestamp>,
) -> (usize, usize) {
    let (mut wrong_utc, mut wrong_tai) = (0, 0);
    for (label, tai) in oracle() {
        let utc: Utc = label.parse().expect(label);
        wrong_utc += usize::from(to_utc(at(tai)) != Some(utc));
        wrong_tai += usize::from(to_tai(utc) != Some(at(tai)));
    }
    (wrong_utc, wrong_tai)
}

#[test]
fn every_second_around_every_leap_agrees_with_erfa_both_ways() {
    assert_eq!(oracle().len(), 27 * 122, "27 leaps, 61 + 61 seconds each");
    assert_eq!(oracle().iter().filter(|(label, _)| label.contains(":60Z")).count(), 27);
    let table = LeapTable::builtin();
    assert_eq!(wrong(|t| table.tai_to_utc(t).ok(), |utc| table.utc_to_tai(utc).ok()), (0, 0));
}

#[test]
fn nanoseconds_stay_with_their_second() {
    let table = LeapTable::builtin();
    for (label, tai) in oracle() {
        for nanos in [0, 1, 999_999_999] {
            let t = Timestamp::from_tai_nanos(tai * SECOND + nanos);
            let text = format!("{}.{nanos:09}Z", label.trim_end_matches('Z'));
            assert_eq!(t.to_string(), text);
            assert_eq!(table.utc_to_tai(text.parse().expect("valid")), Ok(t));
        }
    }
}

/// The broken way from TAI, which compares TAI with the UTC times of the list, as several libraries do.
fn naive_tai_to_utc(table: &LeapTable, t: Timestamp) -> Option<Utc> {
    let seconds = t.tai_nanos() / SECOND;
    let entry = table.entries().filter(|entry| entry.since.seconds() <= seconds).last()?;
    let unix = UnixTime::new(seconds - i64::from(entry.tai_minus_utc), 0)?;
    match table.unix_to_tai(unix).ok()? {
        UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _) => table.tai_to_utc(t).ok(),
        UnixToTai::Skipped => None,
    }
}

#[test]
fn the_oracle_catches_the_naive_way_from_tai() {
    let table = LeapTable::builtin();
    let (wrong_utc, _) = wrong(|t| naive_tai_to_utc(&table, t), |_| None);
    assert!(
        wrong_utc > 27 * 10,
        "the broken variant must fail often, and failed {wrong_utc} times"
    );
}

#[test]
fn the_unix_count_repeats_one_second_at_each_leap_and_says_so() {
    let table = LeapTable::builtin();
    for leap in table.leaps() {
        let tai = leap.at.tai_nanos();
        let read = |nanos: i64| {
            let reading = table.tai_to_unix(Timestamp::from_tai_nanos(tai + nanos));
            let reading = reading.expect("after 1972");
            (reading.time.nanos(), reading.in_leap_second)
        };
        let midnight = read(SECOND).0;
        assert_eq!(midnight % (86_400 * SECOND), 0);
        assert_eq!(read(-SECOND), (midnight - SECOND, false));
        assert_eq!(read(-1), (midnight - 1, false));
        assert_eq!(read(0), (midnight - SECOND, true));
        assert_eq!(read(SECOND - 1), (midnight - 1, true));
        assert_eq!(read(SECOND), (midnight, false));

        let moments = |unix| table.unix_to_tai(UnixTime::from_nanos(unix)).expect("after 1972");
        let t = |nanos| Timestamp::from_tai_nanos(tai + nanos);
        assert_eq!(moments(midnight - SECOND - 1), UnixToTai::Unique(t(-SECOND - 1)));
        assert_eq!(moments(midnight - SECOND), UnixToTai::Ambiguous(t(-SECOND), t(0)));
        assert_eq!(moments(midnight - 1), UnixToTai::Ambiguous(t(-1), t(SECOND - 1)));
        assert_eq!(moments(midnight), UnixToTai::Unique(t(SECOND)));
    }
}

#[test]
#[ignore = "needs tzdata's right/UTC (from Debian 13 on: package tzdata-legacy)"]
fn every_second_around_every_leap_agrees_with_glibc_and_right_utc() {
    let zone = Path::new("/usr/share/zoneinfo/right/UTC");
    assert!(zone.exists(), "{} is not here", zone.display());
    let seconds: Vec<i64> = oracle().iter().map(|&(_, tai)| tai).collect();
    let counts: Vec<i64> = seconds.iter().map(|tai| tai - 10).collect();
    let labels = crate::oracles::labels_by_date(zone, &counts);
    assert_eq!(labels.len(), seconds.len());
    let table = LeapTable::builtin();
    for (label, tai) in labels.iter().zip(seconds) {
        let utc: Utc = label.parse().expect("a label");
        assert_eq!(table.tai_to_utc(at(tai)), Ok(utc), "{tai}");
        assert_eq!(table.utc_to_tai(utc), Ok(at(tai)), "{label}");
    }
}
