//! What each fuzz target runs on its bytes. A panic is a finding, and so is a broken promise.
//!
//! The targets under `fuzz_targets/` call these functions with bytes that libFuzzer makes.
//! `tests/fuzz_corpus.rs` calls them with each stored file of `corpus/`, on stable Rust.
//!
//! Beside "it does not panic", the promises are: what was read is written and read back as the
//! same; an interval is never narrower after a conversion; a table that is accepted can be used
//! for any moment.

mod json;
mod scales;

use std::fmt::{Debug, Display};
use std::str::FromStr;

use truechimer::scale::Expiry;
use truechimer::{LeapTable, Timestamp, UnixTime};

#[path = "../../../src/bin/truechimer/duration.rs"]
mod duration;

pub use json::json;
pub use scales::scales;

/// A target: its name, which is also its folder in `corpus/`, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, except the ones that the crate keeps to itself (`record`, `nts_records`, `nts_reply`).
pub const TARGETS: [Target; 10] = [
    ("chrony", chrony),
    ("clockbound", clockbound),
    ("json", json),
    ("leap_list", leap_list),
    ("leapseconds", leapseconds),
    ("mode6", mode6),
    ("ntp", ntp),
    ("scales", scales),
    ("text", text),
    ("tzif", tzif),
];

/// A reply of chronyd to the request that has the sequence number in the first four bytes.
pub fn chrony(bytes: &[u8]) {
    use truechimer::source::chrony::Tracking;

    let Some((sequence, packet)) = bytes.split_first_chunk() else { return };
    let sequence = u32::from_be_bytes(*sequence);
    match Tracking::decode(packet, sequence) {
        Ok(report) => {
            let bound = report.bound_ns();
            let parts = [report.correction_ns, report.root_dispersion_ns];
            assert!(bound.is_none_or(|bound| parts.iter().all(|&part| part <= bound)), "{report}");
            let _ = report.to_string();
            let _ = serde_json::to_string(&report).expect("a report can be written");
        }
        Err(error) => {
            let _ = (error.is_transient(), error.to_string());
        }
    }
}

/// ClockBound's shared memory.
pub fn clockbound(bytes: &[u8]) {
    use truechimer::source::clockbound::{Segment, SegmentStatus};

    match Segment::parse(bytes) {
        Ok(segment) => {
            let states = [SegmentStatus::Synchronized, SegmentStatus::FreeRunning];
            assert!(segment.bound_ns > 0 || !states.contains(&segment.status), "{segment:?}");
            assert!(segment.generation != 0 && segment.generation % 2 == 0, "{segment:?}");
            assert!(matches!(segment.version, 2 | 3), "{segment:?}");
            let _ = serde_json::to_string(&segment).expect("a segment can be written");
        }
        Err(error) => {
            let _ = (error.is_transient(), error.to_string());
        }
    }
}

/// An answer of ntpd to the request that has the sequence number in the first two bytes.
pub fn mode6(bytes: &[u8]) {
    use truechimer::source::ntpd::control;

    let Some((sequence, packet)) = bytes.split_first_chunk() else { return };
    match control::parse(packet, u16::from_be_bytes(*sequence)) {
        Ok(variables) => {
            let bound = variables.bound_ns();
            assert!(bound >= variables.root_dispersion_ns, "{variables}");
            assert!(bound >= variables.root_delay_ns / 2, "{variables}");
            assert!(variables.leap <= 3 && variables.stratum <= 16, "{variables}");
            let _ = (variables.follows_nothing(), variables.is_reference_clock());
            let _ = serde_json::to_string(&variables).expect("they can be written");
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A packet of an NTP server.
pub fn ntp(bytes: &[u8]) {
    use truechimer::source::ntp::packet::{HEADER, Header, MAX_DISTANCE_NS, split};

    let (header, rest) = match split(bytes) {
        Ok(parts) => parts,
        Err(error) => return drop(error.to_string()),
    };
    assert!(rest.len() % 4 == 0 && HEADER + rest.len() == bytes.len());
    let packet = Header::decode(header);
    assert_eq!(&packet.encode(), header);
    let _ = packet.follows();
    match packet.check() {
        Ok(()) => {
            assert!((1..16).contains(&packet.stratum) && packet.leap < 3 && packet.mode == 4);
            assert!(packet.bound_ns() > 0 && packet.bound_ns() <= MAX_DISTANCE_NS, "{packet:?}");
            assert!(packet.held_for().is_some() && !packet.transmit.is_unset(), "{packet:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A leap-seconds.list.
pub fn leap_list(bytes: &[u8]) {
    table(LeapTable::from_list(bytes));
    table(LeapTable::from_bytes(bytes));
}

/// tzdata's text `leapseconds`.
pub fn leapseconds(bytes: &[u8]) {
    table(LeapTable::from_leapseconds(bytes));
    table(LeapTable::from_bytes(bytes));
}

/// A TZif file.
pub fn tzif(bytes: &[u8]) {
    table(LeapTable::from_tzif(bytes));
}

/// Uses a table at its most delicate moments.
fn table(read: Result<LeapTable, truechimer::LeapTableError>) {
    let table = match read {
        Ok(table) => table,
        Err(error) => {
            let _ = (error.to_string(), error.is_transient());
            return;
        }
    };
    // The first and the last two leap seconds: all of them would make this slow.
    let leaps: Vec<i64> = table.leaps().map(|leap| leap.at.tai_nanos()).collect();
    let delicate = leaps.iter().take(1).chain(leaps.iter().rev().take(2)).copied();
    let expiry = table.expires().map(|expires| expires.nanos());
    let moments: Vec<i64> = delicate.chain(expiry).chain([i64::MIN, i64::MAX]).collect();
    for expiry in [Expiry::Widen, Expiry::Error] {
        let table = table.clone().on_expiry(expiry);
        for &moment in &moments {
            for off in [-1_000_000_001, 0, 1_000_000_000] {
                scales::convert(&table, moment.saturating_add(off), moment);
            }
        }
    }
    let seconds = moments.iter().map(|&moment| UnixTime::from_nanos(moment).seconds());
    for second in seconds.chain([i64::MIN, i64::MAX]) {
        let _ = table.offsets_near(second, 2);
        let _ = table.offsets_near(second, i64::MAX);
    }
    let _ = table.next_leap(Timestamp::MIN);
}

/// All of the crate's types that are read from text, and the command's durations.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    read_back::<truechimer::Timestamp>(text);
    read_back::<truechimer::Interval>(text);
    read_back::<truechimer::Utc>(text);
    read_back::<truechimer::UnixTime>(text);
    read_back::<truechimer::GpsTime>(text);
    read_back::<truechimer::NtpTime>(text);
    read_back::<truechimer::NtpDate>(text);
    read_back::<truechimer::PtpTime>(text);
    read_back::<truechimer::Smear>(text);
    read_back::<truechimer::Smeared>(text);
    read_back::<truechimer::Stamp>(text);
    read_back::<truechimer::NodeUid>(text);
    read_back::<truechimer::NodeStamp>(text);
    read_back::<truechimer::FencingToken>(text);
    read_back::<truechimer::Deadline>(text);
    read_back::<truechimer::lease::HolderId>(text);
    read_back::<truechimer::timeout::IdempotencyKey>(text);
    let _ = LeapTable::builtin().parse_utc(text);
    match duration::parse_duration(text) {
        Ok(duration) => assert!(!duration.is_zero(), "{text:?}"),
        Err(error) => assert!(!error.is_empty(), "{text:?}"),
    }
}

/// What is read is written, and read back as the same.
fn read_back<T>(text: &str)
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            let read = written.parse::<T>().unwrap_or_else(|error| panic!("{written:?}: {error}"));
            assert_eq!(read, value, "{written:?}");
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
}
