//! Conversions of any numbers between the scales of time.

use std::time::{Duration, SystemTime};

use truechimer::scale::UnixToTai;
use truechimer::{
    GpsTime, Interval, LeapTable, NtpDate, NtpTime, PtpTime, ScaleError, ScaleInterval, Smear,
    Smeared, Stamp, Timestamp, UnixTime, Utc,
};

/// Numbers, eight bytes each: two moments, then the entries of a leap table.
pub fn scales(bytes: &[u8]) {
    let mut numbers = bytes
        .chunks_exact(8)
        .map(|chunk| chunk.iter().fold(0i64, |sum, &byte| sum << 8 | i64::from(byte)));
    let (Some(a), Some(b)) = (numbers.next(), numbers.next()) else { return };
    numbers_alone(a, b);
    let builtin = LeapTable::builtin();
    convert(&builtin, a, b);
    let entries: Vec<(i64, i32)> =
        numbers.map(|number| (number >> 16, i32::from(number as i16))).collect();
    let raw: Vec<(i64, i32)> = [(a, b as i32), (b, a as i32)].into();
    for entries in [raw, entries] {
        let rest = std::iter::once((63_072_000, 10)).chain(entries.iter().copied());
        for entries in [entries.clone(), rest.collect()] {
            match LeapTable::from_entries(&entries) {
                Ok(table) => convert(&table, a, b),
                Err(error) => drop(error.to_string()),
            }
        }
    }
}

/// What needs no table.
fn numbers_alone(a: i64, b: i64) {
    let (low, high) = (a as u32, (b >> 32) as u32);
    let _ = UnixTime::new(a, high).map(|unix| assert_eq!(unix.seconds(), a));
    let _ = GpsTime::new(low, b as u64).map(GpsTime::to_tai);
    let near = Timestamp::from_tai_nanos(b);
    for gps in [
        GpsTime::from_week_10(low as u16, a as u64, near),
        GpsTime::from_week_10(low as u16 % 1024, a as u64 % 604_800_000_000_000, near),
        GpsTime::from_week_13(low as u16, a as u64, near),
        GpsTime::from_week_13(low as u16 % 8192, a as u64 % 604_800_000_000_000, near),
    ] {
        if let Ok(t) = gps.and_then(GpsTime::to_tai) {
            assert_eq!(GpsTime::from_tai(t), gps, "{t}");
        }
    }
    let _ = PtpTime::new(a as u64, high).map(PtpTime::to_tai);
    let mut ptp = [0; 10];
    ptp[..8].copy_from_slice(&a.to_be_bytes());
    let _ = PtpTime::from_bytes(ptp).map(|time| assert_eq!(time.to_bytes(), ptp));
    let ntp = NtpTime::from_bits(a as u64);
    let _ = (ntp.in_era(low as i32), ntp.near(UnixTime::from_nanos(b)));
    let other = NtpTime::from_bits(b as u64);
    let _ = NtpTime::to_unix_interval([ntp, other], UnixTime::from_nanos(a));
    let date = NtpDate { era: high as i32, seconds: low, fraction: b as u64 };
    if let Ok(unix) = date.to_unix() {
        assert_eq!(NtpDate::from_unix(unix).to_unix(), Ok(unix), "{date}");
    }
    let [c, d] = a.to_be_bytes().split_first_chunk().map(|(head, _): (&[u8; 2], _)| *head).unwrap();
    let _ = Utc::new(((b >> 40) as u16, c, d), (low as u8, high as u8, b as u8), high);
    let stamp = Stamp::from_bits(a as u64);
    let (wall, logical) = stamp.to_wall_logical();
    assert_eq!(Stamp::from_wall_logical(wall, logical), Some(stamp));
    let (t, by) = (Timestamp::from_tai_nanos(a), Duration::new(b as u64, low % 1_000_000_000));
    let _ = (t.checked_add(by), t.checked_sub(by), t.saturating_add(by), t.saturating_sub(by));
    let widened = Interval::from(t).widen(by);
    assert!(widened.contains(t) && widened.contains(widened.midpoint()));
    let sooner = SystemTime::UNIX_EPOCH.checked_sub(by);
    for time in [sooner, SystemTime::UNIX_EPOCH.checked_add(by)].into_iter().flatten() {
        if let Ok(unix) = UnixTime::try_from(time) {
            assert!(SystemTime::try_from(unix).is_ok());
        }
    }
}

/// All conversions of a table, of moments and counts that are near `a`, and of intervals between
/// `a` and `b`.
pub fn convert(table: &LeapTable, a: i64, b: i64) {
    let t = Timestamp::from_tai_nanos(a);
    let unix = UnixTime::from_nanos(a);
    if let Ok(shown) = table.tai_to_unix(t) {
        match table.unix_to_tai(shown.time) {
            Ok(UnixToTai::Unique(back)) => assert_eq!(back, t),
            Ok(UnixToTai::Ambiguous(first, second)) => assert!(first == t || second == t),
            // The second before an expiry is beyond it when it is shown.
            Err(ScaleError::Expired { .. }) => {}
            other => panic!("{shown:?} of {t} gave {other:?}"),
        }
    }
    if let Ok(utc) = table.tai_to_utc(t) {
        assert_eq!(table.utc_to_tai(utc), Ok(t), "{utc}");
        assert_eq!(table.parse_utc(&utc.to_string()).as_ref(), Ok(&utc));
    }
    let _ = (table.unix_to_tai(unix), table.is_expired_at(t), table.utc_to_tai(Utc::from(unix)));
    let _ = (table.next_leap(t), table.leap_near(t, Duration::from_nanos(b as u64)));
    for smear in Smear::ALL {
        if let Ok(shown) = table.tai_to_smeared(t, smear) {
            let _ = table.smeared_to_tai(shown);
        }
        let _ = table.smeared_to_tai(Smeared::from_nanos(a, smear));
        let _ = table.is_smearing_at(t, smear);
    }
    let (first, last) = (a.min(b), a.max(b));
    let ends = [first, last].map(Timestamp::from_tai_nanos);
    let interval = Interval::new(ends[0], ends[1]).expect("in order");
    let never_narrower = |back: Result<Interval, ScaleError>, scale: &str| {
        if let Ok(back) = back {
            assert_eq!(back.hull(&interval), back, "{scale}: {interval} became {back}");
        }
    };
    if let Ok(shown) = table.interval_to_unix(&interval) {
        never_narrower(table.unix_to_interval(shown), "Unix");
    }
    if let Ok(shown) = table.interval_to_utc(&interval) {
        never_narrower(table.utc_to_interval(shown), "UTC");
    }
    if let Ok(shown) = table.interval_to_ntp(&interval) {
        never_narrower(table.ntp_to_interval(shown), "NTP");
    }
    for smear in Smear::ALL {
        if let Ok(shown) = table.interval_to_smeared(&interval, smear) {
            never_narrower(table.smeared_to_interval(shown), "smeared");
        }
    }
    if let Ok(shown) = GpsTime::from_interval(&interval) {
        never_narrower(GpsTime::to_interval(shown), "GPS");
    }
    if let Ok(shown) = PtpTime::from_interval(&interval) {
        never_narrower(PtpTime::to_interval(shown), "PTP");
    }
    let shown = ScaleInterval::new(UnixTime::from_nanos(first), UnixTime::from_nanos(last));
    let shown = shown.expect("in order");
    let known = table.unix_to_interval(shown);
    let unknown = table.unknown_smear_to_interval(shown);
    if let (Ok(known), Ok(unknown)) = (known, unknown) {
        assert_eq!(unknown.hull(&known), unknown, "an unknown smear is not narrower");
    }
}
