use super::*;
use crate::counter::RateBounds;
use crate::scale::Smear;
use proptest::prelude::*;

const SECOND: i64 = NANOS_PER_SECOND;

/// 2016-12-31T23:59:60Z was inserted before this midnight.
const LEAP: i64 = 1_483_228_800;

/// 2027-07-01, of which no table lists a leap second.
const UNLISTED: i64 = 1_814_400_000;

fn ageing() -> Ageing {
    Ageing {
        rates: RateBounds::NANOSECONDS.with_drift(200),
        widening_ppb: 400_000,
        granularity_ns: 10,
        generation: 1,
    }
}

fn stamp(unix_ns: i64) -> NtpTime {
    NtpTime::from_unix(UnixTime::from_nanos(unix_ns))
}

/// An exchange with a server that showed this on arrival and 1 µs later.
fn exchange(unix_ns: i64, bound_ns: u64) -> Exchange {
    Exchange {
        before: 1_000,
        after: 1_000_000,
        generation: 1,
        receive: stamp(unix_ns),
        transmit: stamp(unix_ns + 1_000),
        bound_ns,
        announced: None,
    }
}

fn reply(leap: u8, unix: i64) -> Header {
    Header { leap, transmit: stamp(unix * SECOND), ..Header::request(0) }
}

proptest! {
    /// Any asymmetry, any error within the bound, any rate within A2, any time on the way.
    #[test]
    fn an_honest_exchange_never_excludes_the_truth(
        began in -1i64 << 40..1 << 40,
        (there, held, back) in (0i64..3_000_000_000, 0i64..50_000_000, 0i64..3_000_000_000),
        bound in 0i64..1_000_000_000,
        (off_at_arrival, off_at_departure) in (-1_000i64..=1_000, -1_000i64..=1_000),
        ppm in -199i64..=199,
        later in 0i64..100_000_000_000,
        shown in 0u64..10,
    ) {
        // True time in TAI, from 2026 on, and what the counter shows then. It moves in steps.
        let base = 1_767_225_637 * SECOND + began;
        let tick = |t: i64| {
            let ticks = i128::from(t) * (1_000_000 + i128::from(ppm)) / 1_000_000;
            1_000_000 + (ticks as u64) / 10 * 10
        };
        let server = |t: i64, off: i64| stamp(base + t - 37 * SECOND + bound / 1_000 * off);
        let exchange = Exchange {
            before: tick(0),
            after: tick(there + held + back),
            generation: 1,
            receive: server(there, off_at_arrival),
            transmit: server(there + held, off_at_departure),
            bound_ns: bound.unsigned_abs() + 1,
            announced: None,
        };
        let lines = exchange.lines(&LeapTable::builtin(), RealtimeScale::Utc).expect("after 1972");
        let read = there + held + back + later;
        let time = lines.at(tick(read), &ageing()).expect("later");
        // The reading may have been made anywhere in the step.
        let truth = base + read + (shown as i64).min(8);
        let truth = Timestamp::from_tai_nanos(truth.min(base + read + 9));
        prop_assert!(time.contains(truth), "{} is not in {}", truth, time);
    }
}

#[test]
fn the_width_is_the_round_trip_and_twice_the_bound_and_nothing_of_it_is_halved() {
    let exchange = exchange(1_800_000_000 * SECOND, 50_000);
    let lines = exchange.lines(&LeapTable::builtin(), RealtimeScale::Utc).expect("after 1972");
    let time = lines.at(exchange.after, &ageing()).expect("at once");
    // 999 µs between the readings, of which the server says that it kept 1 µs.
    let width = i64::try_from(time.width().as_nanos()).expect("small");
    assert!((0..250).contains(&(width - 999_000 + 1_000 - 100_000)), "{width}");
    assert_eq!(lines.at(exchange.after - 1, &ageing()), None, "it is not carried back");
}

#[test]
fn both_stamps_and_the_bound_are_rounded_outward() {
    // Stamps between two nanoseconds, at 2^-32 s.
    let between = |bits: u64| NtpTime::from_bits(0xee00_0000_0000_0000 + bits);
    let odd = Exchange { receive: between(3), transmit: between(3), ..exchange(0, 7) };
    let lines = odd.lines(&LeapTable::builtin(), RealtimeScale::Utc).expect("after 1972");
    assert_eq!(lines.latest.tai_nanos() - lines.earliest.tai_nanos(), 2 * 7 + 1);
}

#[test]
fn the_era_does_not_come_from_any_clock() {
    let table = LeapTable::builtin();
    for (unix, year) in [(631_152_000, 1990), (2_085_978_496, 2036), (4_900_000_000, 2125)] {
        let lines = exchange(unix * SECOND, 1).lines(&table, RealtimeScale::Utc);
        let middle = lines.expect("after 1972").latest.tai_nanos() / SECOND;
        assert!((middle - unix).abs() < 200, "{year}: {middle} for {unix}");
    }
}

#[test]
fn around_a_leap_second_both_offsets_are_covered() {
    let table = LeapTable::builtin();
    let width_s = |unix_ns: i64, bound_ns: u64| {
        let lines =
            exchange(unix_ns, bound_ns).lines(&table, RealtimeScale::Utc).expect("in range");
        (lines.latest.tai_nanos() - lines.earliest.tai_nanos() + SECOND / 2) / SECOND
    };
    assert_eq!(width_s((LEAP - 5) * SECOND, 1), 0);
    assert_eq!(width_s((LEAP - 1) * SECOND, 1), 1);
    assert_eq!(width_s((LEAP + 1) * SECOND, 1), 1);
    assert_eq!(width_s((LEAP + 5) * SECOND, 1), 0);
    // A server that may be 0.9 s off is covered a second further.
    assert_eq!(width_s((LEAP - 3) * SECOND, 900_000_000), 3);
    assert_eq!(width_s((LEAP - 9) * SECOND, 900_000_000), 2);
}

#[test]
fn a_server_that_smears_gives_true_tai_on_its_own_scale_only() {
    let table = LeapTable::builtin();
    let smear = Smear::Google;
    for hours in [-11, -6, -1, 1, 6, 11] {
        let truth = Timestamp::from_tai_nanos((LEAP + 36 + hours * 3600) * SECOND);
        let shown = table.tai_to_smeared(truth, smear).expect("after 1972").nanos();
        let at = |scale| {
            let lines = exchange(shown, 100_000).lines(&table, scale).expect("in range");
            Interval::new(lines.earliest, lines.latest).expect("in order").contains(truth)
        };
        assert!(at(RealtimeScale::Smeared(smear)), "{hours} h");
        assert!(at(RealtimeScale::Unknown), "{hours} h");
        assert!(!at(RealtimeScale::Utc), "{hours} h: taken for UTC it is off");
    }
}

#[test]
fn a_leap_second_that_a_server_announces_is_covered_until_a_table_decides() {
    let announced = AnnouncedLeap::update(None, &reply(1, UNLISTED - 1_000));
    let leap = AnnouncedLeap { midnight: UNLISTED, step: 1 };
    assert_eq!(announced, Some(leap));
    // Withdrawn before, kept after, and the same while the indicator stays.
    assert_eq!(AnnouncedLeap::update(announced, &reply(0, UNLISTED - 500)), None);
    for (indicator, later) in [(0, 5), (1, 5), (0, 900_000), (1, 100_000)] {
        assert_eq!(
            AnnouncedLeap::update(announced, &reply(indicator, UNLISTED + later)),
            announced
        );
    }
    // One that is first seen just after a midnight is of that midnight.
    assert_eq!(AnnouncedLeap::update(None, &reply(1, UNLISTED + 60)), Some(leap));
    let minus = AnnouncedLeap::update(None, &reply(2, UNLISTED + 7_200));
    assert_eq!(minus, Some(AnnouncedLeap { midnight: UNLISTED + DAY, step: -1 }));

    let table = LeapTable::builtin();
    let entries = |extra: Option<(i64, i32)>| {
        let listed = table.entries().map(|e| (e.since.nanos() / SECOND, e.tai_minus_utc));
        LeapTable::from_entries(&listed.chain(extra).collect::<Vec<_>>()).expect("in order")
    };
    let (silent, lists) = (entries(None), entries(Some((UNLISTED, 38))));
    let offsets = |unix: i64, table: &LeapTable| {
        let exchange = Exchange { announced, ..exchange(unix * SECOND, 0) };
        let lines = exchange.lines(table, RealtimeScale::Utc).expect("in range");
        let offset = |t: Timestamp| t.tai_nanos().div_euclid(SECOND) - unix;
        (offset(lines.earliest), offset(lines.latest))
    };
    assert_eq!(offsets(UNLISTED - 100, &silent), (37, 37));
    assert_eq!(offsets(UNLISTED - 1, &silent), (37, 38));
    assert_eq!(offsets(UNLISTED + 40 * DAY, &silent), (37, 38), "nobody knows");
    assert_eq!(offsets(UNLISTED - 100, &lists), (37, 37));
    assert_eq!(offsets(UNLISTED + 100, &lists), (38, 38), "the table knows");
}

#[test]
fn what_threads_share_of_an_announced_leap_second_comes_back_as_it_was() {
    for leap in [None, AnnouncedLeap::update(None, &reply(1, UNLISTED - 1_000))]
        .into_iter()
        .chain([AnnouncedLeap::update(None, &reply(2, UNLISTED - 1_000))])
    {
        let shared = SharedLeap::new(leap);
        assert_eq!(shared.get(), leap);
        shared.set(None);
        assert_eq!(shared.get(), None);
    }
}
