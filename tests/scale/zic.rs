//! Made-up leap seconds, inserted and skipped, against `zic` and glibc's `date`.
//!
//! `zic` compiles the leap seconds into a TZif file, and glibc's `date` reads that file. The
//! crate reads the same file and a leap-seconds.list with the same contents. All of them must
//! agree on every second around every leap second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use truechimer::{LeapTable, ScaleError, Timestamp, Utc};

const SECOND: i64 = 1_000_000_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Midnights at the start of a month (year, month, whether the second before it is inserted).
const SCENARIOS: [&[(i32, usize, bool)]; 4] = [
    &[(1972, 7, true), (1973, 1, true), (2028, 1, true), (2028, 7, false)],
    &[(1972, 7, false), (1973, 1, false), (1973, 7, true), (2031, 4, false)],
    // Monthly, with the sign changing each time.
    &[(2029, 1, true), (2029, 2, false), (2029, 3, true), (2029, 4, true), (2029, 5, false)],
    // A count of leap seconds that falls below zero.
    &[(1974, 1, false), (1975, 1, false), (1976, 1, false), (2000, 3, true), (2036, 1, false)],
];

/// A folder that is deleted at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("truechimer-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn midnight(year: i32, month: usize) -> i64 {
    let utc = Utc::new((year as u16, month as u8, 1), (0, 0, 0), 0).expect("a date");
    let gap = i64::from(utc.year()) - 1970;
    // Counts days year by year, so that the test does not rely on the crate's calendar.
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let years: i64 = (0..gap).map(|i| if leap(1970 + i) { 366 } else { 365 }).sum();
    let february = if leap(i64::from(year)) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    (years + lengths[..month - 1].iter().sum::<i64>()) * 86_400
}

/// zic's leap line for the day before a month's start.
fn leap_line((year, month, inserts): (i32, usize, bool)) -> String {
    let (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
    let next = if month == 12 { midnight(year + 1, 1) } else { midnight(year, month + 1) };
    let days = (next - midnight(year, month)) / 86_400;
    let (second, sign) = if inserts { (60, '+') } else { (59, '-') };
    format!("Leap {year} {} {days} 23:59:{second} {sign} S\n", MONTHS[month - 1])
}

fn compile(folder: &Path, leaps: &[(i32, usize, bool)]) -> PathBuf {
    let lines: String = leaps.iter().map(|&leap| leap_line(leap)).collect();
    compile_text(folder, &lines, &["-b", "fat"])
}

/// A zone with the leap seconds of a text like tzdata's.
fn compile_text(folder: &Path, leaps: &str, options: &[&str]) -> PathBuf {
    let zic = ["/usr/sbin/zic", "/usr/bin/zic"].into_iter().find(|zic| Path::new(zic).exists());
    let zic = zic.expect("zic is here (Debian: package libc-bin)");
    fs::write(folder.join("leaps"), leaps).expect("written");
    fs::write(folder.join("zone"), "Zone MadeUp 0 - UTC\n").expect("written");
    let status = Command::new(zic)
        .args(options)
        .arg("-L")
        .args([folder.join("leaps"), "-d".into(), folder.to_owned(), folder.join("zone")])
        .status()
        .expect("zic runs");
    assert!(status.success());
    folder.join("MadeUp")
}

fn list(leaps: &[(i32, usize, bool)]) -> String {
    let mut offset = 10;
    let mut list = String::from("2272060800 10 # 1 Jan 1972\n");
    for &(year, month, inserts) in leaps {
        offset += if inserts { 1 } else { -1 };
        list += &format!("{} {offset}\n", midnight(year, month) + 2_208_988_800);
    }
    list
}

#[test]
#[ignore = "needs zic (Debian: package libc-bin)"]
fn made_up_leaps_of_both_signs_agree_with_zic_and_date_each_second() {
    for (i, leaps) in SCENARIOS.iter().enumerate() {
        let folder = Folder::new(&format!("zic-{i}"));
        let zone = compile(&folder.0, leaps);
        let ours = LeapTable::from_list(list(leaps).as_bytes()).expect("a table");
        let theirs =
            LeapTable::from_tzif(&fs::read(&zone).expect("zic wrote it")).expect("a table");
        assert!(ours.entries().eq(theirs.entries()), "scenario {i}");
        assert_eq!(ours.leaps().count(), leaps.len());

        let around = ours.leaps().flat_map(|leap| {
            let tai = leap.at.tai_nanos() / SECOND;
            tai - 60..=tai + 60
        });
        let seconds: Vec<i64> = around.collect();
        let counts: Vec<i64> = seconds.iter().map(|tai| tai - 10).collect();
        let labels = crate::oracles::labels_by_date(&zone, &counts);
        assert_eq!(labels.len(), seconds.len());
        for (label, tai) in labels.iter().zip(seconds) {
            let t = Timestamp::from_tai_nanos(tai * SECOND);
            let utc = ours.parse_utc(label).expect("a label of this table");
            assert_eq!(ours.tai_to_utc(t), Ok(utc), "scenario {i}, TAI {tai}");
            assert_eq!(ours.utc_to_tai(utc), Ok(t), "scenario {i}, {label}");
        }
    }
}

#[test]
#[ignore = "needs zic (Debian: package libc-bin)"]
fn what_zic_cut_is_refused_and_what_it_left_whole_is_read() {
    const TEXT: &str = include_str!("../data/leapseconds");
    let with_expiry = TEXT.replace("#Expires", "Expires");
    let whole = LeapTable::from_leapseconds(with_expiry.as_bytes()).expect("a published text");
    let cases = [
        ("", Ok(())),
        ("@0", Ok(())),
        ("@-2000000000/@4000000000", Ok(())),
        ("@1000000000", Err("before its first record")),
        ("@1000000000/@1400000000", Err("before its first record")),
        ("/@1000000000", Err("after its end")),
        ("@0/@1000000000", Err("after its end")),
        ("@1600000000", Err("without leap seconds")),
    ];
    for (i, (range, expected)) in cases.into_iter().enumerate() {
        for bloat in ["fat", "slim"] {
            let folder = Folder::new(&format!("zic-cut-{i}-{bloat}"));
            let range: &[&str] = if range.is_empty() { &[] } else { &["-r", range] };
            let zone = compile_text(&folder.0, &with_expiry, &[&["-b", bloat], range].concat());
            let table = LeapTable::from_tzif(&fs::read(&zone).expect("zic wrote it"));
            match (table, expected) {
                (Ok(table), Ok(())) => {
                    assert!(table.entries().eq(whole.entries()), "{range:?} {bloat}");
                    assert_eq!(table.expires(), whole.expires(), "{range:?} {bloat}");
                }
                (Err(error), Err(reason)) => {
                    assert!(error.to_string().contains(reason), "{range:?} {bloat}: {error}");
                }
                (table, _) => panic!("{range:?} {bloat}: {table:?}"),
            }
        }
    }
}

#[test]
fn a_skipped_second_has_no_moment_and_an_inserted_one_does() {
    let table = LeapTable::from_list(list(SCENARIOS[0]).as_bytes()).expect("a table");
    let utc = |text: &str| -> Utc { table.parse_utc(text).expect(text) };
    assert_eq!(table.utc_to_tai(utc("2028-06-30T23:59:59.5Z")), Err(ScaleError::Skipped));
    let inserted = table.utc_to_tai(utc("2027-12-31T23:59:60.5Z")).expect("inserted");
    assert_eq!(table.tai_to_utc(inserted), Ok(utc("2027-12-31T23:59:60.5Z")));
    assert!(table.parse_utc("2028-06-30T23:59:60Z").is_err());
    assert!(table.parse_utc("2016-12-31T23:59:60Z").is_err(), "not in this table");
}
