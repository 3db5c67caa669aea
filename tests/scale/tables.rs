//! Leap tables from files: what is read, and that every damage is refused and named.

use std::path::Path;

use proptest::prelude::*;
use truechimer::scale::{Expiry, HashState, TableSource};
use truechimer::{LeapTable, LeapTableError, ScaleError, Timestamp};

/// tzdata 2025b's list and TZif file.
const LIST: &str = include_str!("../data/leap-seconds.list");
const TZIF: &[u8] = include_bytes!("../data/right-UTC.tzif");
/// tzdata 2026f's text.
const TEXT: &str = include_str!("../data/leapseconds");

fn message(list: &str) -> String {
    LeapTable::from_list(list.as_bytes()).expect_err("refused").to_string()
}

#[test]
fn the_published_files_agree_with_the_built_in_table() {
    let list = LeapTable::from_list(LIST.as_bytes()).expect("a published list");
    let tzif = LeapTable::from_tzif(TZIF).expect("a published file");
    let text = LeapTable::from_leapseconds(TEXT.as_bytes()).expect("a published text");
    for table in [&list, &tzif, &text] {
        assert!(table.entries().eq(LeapTable::builtin().entries()));
    }
    assert_eq!(list.hash_state(), HashState::Verified);
    assert_eq!(list.expires().map(|t| t.seconds()), Some(1_782_604_800)); // 2026-06-28
    assert_eq!(tzif.hash_state(), HashState::NotApplicable);
    assert_eq!((tzif.expires(), tzif.source()), (list.expires(), &TableSource::Given));
    assert_eq!(text.hash_state(), HashState::NotApplicable);
    assert_eq!(text.expires().map(|t| t.seconds()), Some(1_814_140_800)); // 2027-06-28
    assert_eq!(LeapTable::builtin().leaps().count(), 27);
}

#[test]
fn a_hash_without_its_leading_zeros_is_accepted() {
    // The lists differ in their update time, so that many of their hashes have such words.
    let mut zeros_seen = 0;
    for updated in 0..400u64 {
        let digits = format!("{}{}227206080010", 3_960_835_200 + updated, 3_991_593_600u64);
        let words: Vec<u32> = {
            use sha1::{Digest, Sha1};
            let hash = Sha1::digest(digits.as_bytes());
            hash.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("4"))).collect()
        };
        let short: Vec<String> = words.iter().map(|word| format!("{word:x}")).collect();
        zeros_seen += usize::from(short.iter().any(|word| word.len() < 8));
        let head = format!("#$ {}\n#@ 3991593600\n2272060800 10\n", 3_960_835_200 + updated);
        let list = format!("{head}#h {}\n", short.join(" "));
        let table = LeapTable::from_list(list.as_bytes()).expect("short words");
        assert_eq!(table.hash_state(), HashState::Verified);
    }
    assert!(zeros_seen > 50, "the case must occur: {zeros_seen}");
}

#[test]
fn a_damaged_list_is_refused_and_the_error_says_how() {
    let swapped = LIST
        .replace("2287785600", "SWAP")
        .replace("2303683200", "2287785600")
        .replace("SWAP", "2303683200");
    let without_hash = LIST.split("#h").next().expect("a part").to_owned();
    let start = "2272060800 10\n";
    let many: String =
        (0..300u64).map(|i| format!("{} {}\n", 2_272_060_800 + i * 31 * 86_400, 10 + i)).collect();
    let ever_fewer: String =
        (0..12i64).map(|i| format!("{} {}\n", 2_272_060_800 + i * 31 * 86_400, 10 - i)).collect();
    let cases = [
        (ever_fewer, "line 12: TAI − UTC falls to -1 s"),
        (String::new(), "an empty file"),
        (LIST[..LIST.find("\n2272060800").expect("a line")].to_owned(), "no entries"),
        (without_hash, "cut off before its hash"),
        (LIST.replace("39b8e49e", ""), "five hexadecimal words"),
        (LIST.replace("39b8e49e", "39b8e49f"), "hash is 49db2447"),
        (LIST.replace("#@\t3991593600", "#@\t3991593601"), "hash is"),
        (LIST.replace("\t3960835200", "\t3960835201"), "hash is"),
        (LIST.replace("2287785600", "2287785601"), "not at midnight"),
        (swapped, "out of order"),
        (format!("{start}2303683200 11\n2287785600 12\n"), "line 3: the entry is not later"),
        (format!("{start}{start}"), "line 2: the entry is not later"),
        (format!("{start}2287785600 12\n"), "line 2: TAI − UTC goes from 10 to 12 s"),
        (format!("{start}2287785600 10\n"), "line 2: TAI − UTC goes from 10 to 10 s"),
        (format!("{start}2287785601 11\n"), "line 2: the entry is not at midnight"),
        (format!("{start}2287785600\n"), "line 2: expected an NTP time and an offset"),
        (format!("{start}2287785600 11 x\n"), "line 2: expected an NTP time and an offset"),
        (format!("{start}2287785600 1x\n"), "line 2: expected a whole number"),
        (format!("{start}99999999999999999999 11\n"), "line 2: expected a whole number"),
        (format!("{start}999999993600 11\n"), "line 2: the time is after 2262"),
        (format!("{start}#h 1 2 3 4\n"), "line 2: expected five hexadecimal words"),
        (format!("{start}#h 1 2 3 4 +5\n"), "line 2: expected five hexadecimal words"),
        (format!("#@ 3991593600\n#@ 3991593600\n{start}"), "line 2: expected each of `#$`"),
        ("2287785600 11\n".to_owned(), "line 1: the first entry must be 1972-01-01"),
        ("2272060800 9\n".to_owned(), "line 1: the first entry must be 1972-01-01"),
        (many, "line 256: the table has more than 255 entries"),
        ("# a\n".repeat(100_000), "400000 bytes long, more than the limit of 262144"),
        ("<html>not found</html>\n".to_owned(), "an HTML or XML page"),
        (TEXT.to_owned(), "read it with `from_leapseconds`"),
        (format!("#@ 2272060799\n{start}"), "expires before its last entry"),
    ];
    for (list, reason) in cases {
        let error = message(&list);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn a_published_list_cut_off_anywhere_is_refused() {
    // The whole file except its last line feed, without which nothing is lost.
    let whole = LIST.trim_end().len();
    for end in 0..whole {
        assert!(LeapTable::from_list(&LIST.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    assert!(LeapTable::from_list(&LIST.as_bytes()[..whole]).is_ok());
}

#[test]
fn a_tzif_file_cut_off_within_its_leap_seconds_is_refused() {
    // A leap table does not need the rules of the zone's name, which follow them.
    let end_of_leaps = TZIF.len() - 2;
    for end in 0..end_of_leaps {
        assert!(LeapTable::from_tzif(&TZIF[..end]).is_err(), "cut at {end}");
    }
    let plain = [&TZIF[..32], &[0; 4], &TZIF[36..]].concat();
    assert!(LeapTable::from_tzif(&plain).is_err());
}

/// TZif version 1 with the records given: (count, leap seconds so far).
fn tzif(records: &[(i32, i32)]) -> Vec<u8> {
    tzif_with(records, &[])
}

/// The same with transitions: (count, whether it is to the type `-00`).
fn tzif_with(records: &[(i32, i32)], transitions: &[(i32, bool)]) -> Vec<u8> {
    let types = if transitions.iter().any(|(_, unknown)| *unknown) { 2 } else { 1 };
    let mut file = b"TZif\0".to_vec();
    file.extend([0; 15]);
    for count in [0, 0, records.len() as u32, transitions.len() as u32, types, 8] {
        file.extend(count.to_be_bytes());
    }
    transitions.iter().for_each(|(count, _)| file.extend(count.to_be_bytes()));
    file.extend(transitions.iter().map(|(_, unknown)| u8::from(*unknown)));
    file.extend(&b"\0\0\0\0\0\0\0\0\0\0\0\x04"[..6 * types as usize]);
    file.extend(*b"UTC\0-00\0");
    for (count, correction) in records {
        file.extend(count.to_be_bytes());
        file.extend(correction.to_be_bytes());
    }
    file
}

#[test]
fn tzif_records_are_checked_like_lines() {
    let cases: [(&[(i32, i32)], &str); 5] = [
        (&[], "a time zone without leap seconds"),
        (&[(94_694_400, 1), (78_796_801, 2)], "not later"),
        (&[(78_796_801, 1)], "not at midnight"),
        (&[(78_796_800, 1), (94_694_401, 1), (94_694_402, 2)], "not its last record"),
        (&[(78_796_800, 1), (94_694_401, i32::MAX)], "out of range"),
    ];
    for (records, reason) in cases {
        let error = LeapTable::from_tzif(&tzif(records)).expect_err(reason).to_string();
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
    let file = tzif(&[(78_796_800, 1), (94_694_401, 2)]);
    let table = LeapTable::from_tzif(&file).expect("two leap seconds");
    assert_eq!((table.leaps().count(), table.expires()), (2, None));
}

/// The leap seconds of the published file as records of TZif, from the one at `from` on.
fn published_records(from: usize) -> Vec<(i32, i32)> {
    let leaps = LeapTable::builtin();
    let records = leaps.leaps().enumerate().skip(from);
    records
        .map(|(i, leap)| ((leap.at.tai_nanos() / 1_000_000_000) as i32 - 10, i as i32 + 1))
        .collect()
}

#[test]
fn a_tzif_file_states_its_expiry_in_three_ways() {
    let (all, end) = (published_records(0), 1_814_140_800 + 27);
    let with_record = [&all[..], &[(end, 27)]].concat();
    let cases = [
        ("a record that changes nothing", tzif(&with_record), Some(1_814_140_800)),
        ("a transition to the same type", tzif_with(&all, &[(end, false)]), Some(1_814_140_800)),
        ("a transition to `-00`", tzif_with(&all, &[(end, true)]), Some(1_814_140_800)),
        ("no expiry", tzif(&all), None),
        ("only a beginning", tzif_with(&all, &[(0, false)]), None),
        ("a transition from `-00`", tzif_with(&all, &[(0, true), (end, false)]), None),
    ];
    for (how, file, expires) in cases {
        let table = LeapTable::from_tzif(&file).expect(how);
        assert_eq!(table.expires().map(|t| t.seconds()), expires, "{how}");
        assert_eq!(table.leaps().count(), 27, "{how}");
    }
}

#[test]
fn a_tzif_file_that_was_cut_by_zic_is_refused_and_the_error_says_so() {
    let begun = published_records(22);
    let ended = &published_records(0)[..22];
    let cases = [
        (tzif(&begun), "lacks the leap seconds before its first record"),
        (tzif_with(&begun, &[(1_000_000_000, false)]), "before its first record"),
        (tzif_with(ended, &[(1_000_000_000, false)]), "lacks the leap seconds after its end"),
        (tzif_with(ended, &[(1_000_000_000, true)]), "lacks the leap seconds after its end"),
        (tzif_with(ended, &[(0, false), (1_000_000_000, false)]), "after its end"),
        (tzif(&[(78_796_800, 2)]), "before its first record"),
        (tzif(&[(78_796_800, i32::MAX)]), "before its first record"),
    ];
    for (file, reason) in cases {
        let error = LeapTable::from_tzif(&file).expect_err(reason).to_string();
        assert!(error.contains(reason) && error.contains("zic -r"), "{reason:?}: {error:?}");
    }
}

#[test]
fn a_byte_order_mark_and_other_line_ends_change_nothing() {
    type Reader = fn(&[u8]) -> Result<LeapTable, LeapTableError>;
    let readers: [(&str, Reader); 2] =
        [(LIST, LeapTable::from_list), (TEXT, LeapTable::from_leapseconds)];
    for (text, read) in readers {
        let as_published = read(text.as_bytes()).expect("a published file");
        let others = [
            format!("\u{feff}{text}"),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{}", text.replace('\n', "\r\n")),
            text.replace('\n', "\r"),
            // A mark directly before data.
            format!("\u{feff}{}", text.trim_start_matches(|c| c != '\n').trim_start()),
        ];
        for other in others {
            for read in [read, LeapTable::from_bytes] {
                assert_eq!(read(other.as_bytes()).expect("the same table"), as_published);
            }
        }
    }
}

#[test]
fn a_damaged_text_of_tzdata_is_refused_and_the_error_says_how() {
    let leap = "Leap 1972 Jun 30 23:59:60 + S\n";
    let cases = [
        (format!("{leap}Leap 1972 Dec 31 23:59:60 + R\n"), "line 2: expected `S` at its end"),
        (format!("{leap}Leap 1972 Dec 31 23:59:59 + S\n"), "line 2: expected `23:59:60 +`"),
        (format!("{leap}Leap 1972 Dec 31 23:59:60 - S\n"), "line 2: expected `23:59:60 +`"),
        (format!("{leap}Leap 1972 Dec 32 23:59:60 + S\n"), "line 2: expected a day of that month"),
        (format!("{leap}Leap 1973 Feb 29 23:59:60 + S\n"), "line 2: expected a day of that month"),
        (format!("{leap}Leap 1972 De 31 23:59:60 + S\n"), "line 2: expected a month"),
        (format!("{leap}Leap 1972 Dezember 31 23:59:60 + S\n"), "line 2: expected a month"),
        (format!("{leap}Leap 19720 Dec 31 23:59:60 + S\n"), "line 2: expected a year"),
        (format!("{leap}Leap 1972 Dec 31\n"), "line 2: expected `Leap YEAR"),
        (format!("{leap}{leap}"), "line 2: the entry is not later"),
        (format!("{leap}Leap 9999 Dec 31 23:59:60 + S\n"), "line 2: the time is after 2262"),
        (format!("{leap}2272060800 10\n"), "line 2: expected `Leap` or `Expires`"),
        (format!("{leap}Expires 1999 Jan 1\n"), "line 2: expected `Expires YEAR"),
        (format!("{leap}Expires 1999 Jan 1 24:00:00\n"), "line 2: expected a time of day"),
        (format!("{leap}#expires soon\n"), "line 2: expected the Unix time"),
        (format!("{leap}#expires\n"), "line 2: expected the expiry"),
        (format!("{leap}Expires 1972 Jan 1 00:00:00\n"), "expires before its last entry"),
    ];
    for (text, reason) in cases {
        let error = LeapTable::from_leapseconds(text.as_bytes()).expect_err(reason).to_string();
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
    // Only comments: nothing shows that it is this text.
    assert!(message("# Leap seconds\n").contains("no entries"));
}

#[test]
fn the_earliest_expiry_of_a_text_counts_and_skipped_seconds_are_read() {
    let text = "leap\t1972\tJune\t30\t23:59:60\t+\tStationary # the first\n\
                Leap 1973 Feb 28 23:59:59 - S\n\
                #Expires 2027 Jun 28 00:00:00\n#expires 1700000000 (about)\n";
    let table = LeapTable::from_leapseconds(text.as_bytes()).expect("two leap seconds");
    let leaps: Vec<_> = table.leaps().map(|leap| (leap.label.to_string(), leap.inserts)).collect();
    let labels = ["1972-06-30T23:59:60.000000000Z", "1973-02-28T23:59:59.000000000Z"];
    assert_eq!(leaps, [(labels[0].to_owned(), true), (labels[1].to_owned(), false)]);
    assert_eq!(table.expires().map(|t| t.seconds()), Some(1_700_000_000));
}

#[test]
fn a_published_text_cut_off_anywhere_lacks_no_leap_second() {
    for end in 0..TEXT.len() {
        if let Ok(table) = LeapTable::from_leapseconds(&TEXT.as_bytes()[..end]) {
            assert!(table.entries().eq(LeapTable::builtin().entries()), "cut at {end}");
            assert!(table.expires().is_some(), "cut at {end}");
        }
    }
    let end = TEXT.find("Leap\t2016").expect("a line");
    let error = LeapTable::from_leapseconds(&TEXT.as_bytes()[..end]).expect_err("cut off");
    assert!(error.to_string().contains("it is cut off"), "{error}");
}

#[test]
fn no_entry_makes_the_readers_overflow() {
    let ends = [i64::MIN, i64::MIN + 1, -1, 0, 63_072_000, i64::MAX - 1, i64::MAX];
    for (unix, offset) in
        ends.into_iter().flat_map(|unix| [(unix, 10), (unix, i32::MIN), (unix, i32::MAX)])
    {
        if (unix, offset) == (63_072_000, 10) {
            continue;
        }
        LeapTable::from_entries(&[(unix, offset)]).expect_err("refused");
        LeapTable::from_entries(&[(63_072_000, 10), (unix, offset)]).expect_err("refused");
    }
    let error = LeapTable::from_entries(&[(i64::MIN, 10)]).expect_err("refused").to_string();
    assert!(error.contains("does not fit into 64 bits"), "{error}");
}

#[test]
fn the_host_table_is_found_or_its_absence_is_explained() {
    match LeapTable::system() {
        Ok(table) => {
            assert!(matches!(table.source(), TableSource::File(path) if path.exists()));
            assert!(table.leaps().count() >= 27);
        }
        Err(LeapTableError::NotFound { searched }) => assert!(!searched.is_empty()),
        Err(error) => panic!("{error}"),
    }
    let error = LeapTable::open(Path::new("/nonexistent/leap-seconds.list")).expect_err("absent");
    assert!(error.to_string().starts_with("/nonexistent/leap-seconds.list: "), "{error}");
    assert!(error.is_transient());
    let error = LeapTable::open(Path::new("Cargo.toml")).expect_err("not a list");
    assert!(error.to_string().starts_with("Cargo.toml: line 1: expected"), "{error}");
    assert!(!error.is_transient());
}

/// A table that expires on 2018-12-28.
fn expiring(expiry: Expiry) -> LeapTable {
    let builtin = LeapTable::builtin();
    let entries = builtin.entries().map(|entry| {
        format!("{} {}\n", entry.since.seconds() + 2_208_988_800, entry.tai_minus_utc)
    });
    let list = format!("#@ 3754944000\n{}", entries.collect::<String>());
    LeapTable::from_list(list.as_bytes()).expect("no `#$`, so no hash").on_expiry(expiry)
}

#[test]
fn an_expired_table_continues_by_default_and_reports_that_it_expired() {
    let table = expiring(Expiry::Ignore);
    let (before, after) = ("2018-12-27T23:59:59Z", "2018-12-28T00:00:00Z");
    let [before, after] = [before, after].map(|text| text.parse::<Timestamp>().expect(text));
    assert!(!table.is_expired_at(before) && table.is_expired_at(after));
    assert_eq!(table.tai_to_utc(after), LeapTable::builtin().tai_to_utc(after));
}

#[test]
fn an_expired_table_refuses_or_widens_where_told_to() {
    let builtin = LeapTable::builtin();
    let (refuses, widens) = (expiring(Expiry::Error), expiring(Expiry::Widen));
    let expired = ScaleError::Expired { expired: 1_545_955_200 };
    let cases = [
        // moment, whether single ones are refused, by how many seconds intervals are widened
        ("1999-01-01T00:00:00Z", false, 0),
        ("2018-12-27T23:59:59.999999999Z", false, 0),
        ("2018-12-28T00:00:00Z", true, 0),
        // A smear may begin a day before the end of the half-year.
        ("2018-12-31T00:00:00Z", true, 1),
        ("2019-03-01T00:00:00Z", true, 1),
        ("2019-07-02T00:00:00Z", true, 2),
        ("2026-11-24T00:00:00Z", true, 16),
        ("2262-04-11T00:00:00Z", true, 487),
    ];
    for (text, refused, seconds) in cases {
        let t: Timestamp = text.parse().expect(text);
        let (unix, utc) = (builtin.tai_to_unix(t).expect(text), builtin.tai_to_utc(t).expect(text));
        for table in [&refuses, &widens] {
            let verdict = if refused { Some(expired) } else { None };
            assert_eq!(table.tai_to_unix(t).err(), verdict, "{text}");
            assert_eq!(table.unix_to_tai(unix.time).err(), verdict, "{text}");
            assert_eq!(table.tai_to_utc(t).err(), verdict, "{text}");
            assert_eq!(table.utc_to_tai(utc).err(), verdict, "{text}");
        }
        assert_eq!(refuses.interval_to_unix(&t.into()).err(), refused.then_some(expired), "{text}");
        assert_eq!(refuses.unix_to_interval(unix.time.into()).err(), refused.then_some(expired));

        let width = u64::try_from(2 * seconds * 1_000_000_000i64).expect("positive");
        let span = widens.interval_to_unix(&t.into()).expect(text);
        assert_eq!(span.latest().nanos().abs_diff(span.earliest().nanos()), width, "{text}");
        let back = widens.unix_to_interval(unix.time.into()).expect(text);
        assert_eq!(u128::from(width), back.width().as_nanos(), "{text}");
        assert!(back.contains(t));
    }
}

/// A leap second came after the expiry, and the old table does not have it.
#[test]
fn a_widened_interval_contains_the_true_time_that_an_old_table_misses() {
    let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.seconds(), entry.tai_minus_utc))
        .collect();
    entries.extend([(1_546_300_800, 38), (1_561_939_200, 39)]); // 2019-01-01, 2019-07-01
    let truth = LeapTable::from_entries(&entries).expect("in order");
    let (ignores, widens) = (expiring(Expiry::Ignore), expiring(Expiry::Widen));
    let mut caught = 0;
    for hour in 0..24 * 400 {
        let tai = (1_545_955_200 + 37 + hour * 3600) * 1_000_000_000;
        let t = Timestamp::from_tai_nanos(tai);
        let shown = truth.tai_to_unix(t).expect("known").time;
        assert!(widens.unix_to_interval(shown.into()).expect("widens").contains(t), "{t}");
        caught +=
            usize::from(!ignores.unix_to_interval(shown.into()).expect("goes on").contains(t));
    }
    assert!(caught > 24 * 300, "the broken variant must fail: {caught}");
}

#[test]
fn offsets_and_leap_seconds_near_a_moment() {
    let table = LeapTable::builtin();
    let leap = 1_483_228_800;
    let cases = [
        (leap - 2, 1, Some((36, 36))),
        (leap - 1, 1, Some((36, 37))),
        (leap + 1, 2, Some((36, 37))),
        (leap, 0, Some((37, 37))),
        (63_072_000, 0, Some((10, 10))),
        (63_072_000, 1, None),
        (i64::MAX, i64::MAX, None),
        (1_700_000_000, i64::MAX, None),
    ];
    for (unix, slack, offsets) in cases {
        assert_eq!(table.offsets_near(unix, slack), offsets, "{unix} ± {slack}");
    }
    let at = |text: &str| text.parse::<Timestamp>().expect(text);
    let hour = std::time::Duration::from_secs(3600);
    let near = |text| table.leap_near(at(text), hour).map(|leap| leap.label.to_string());
    assert_eq!(near("2017-01-01T00:59:59Z").as_deref(), Some("2016-12-31T23:59:60.000000000Z"));
    assert_eq!(near("2016-12-31T23:00:00Z").as_deref(), Some("2016-12-31T23:59:60.000000000Z"));
    assert_eq!(near("2016-12-31T22:59:59Z"), None);
    let next = table.next_leap(at("2012-07-01T00:00:00Z")).expect("2015");
    assert_eq!((next.tai_minus_utc, next.inserts), (36, true));
    assert_eq!(table.next_leap(at("2017-01-01T00:00:00Z")), None);
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<std::sync::Arc<LeapTable>>();
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = LeapTable::from_bytes(&bytes);
        let _ = LeapTable::from_list(&bytes);
        let _ = LeapTable::from_leapseconds(&bytes);
        let _ = LeapTable::from_tzif(&bytes);
        let _ = LeapTable::from_tzif(&[&TZIF[..44], &bytes[..]].concat());
    }

    #[test]
    fn a_changed_byte_is_refused_or_changes_no_leap(at in 0..LIST.len(), to: u8) {
        let mut list = LIST.as_bytes().to_vec();
        list[at] = to;
        if let Ok(table) = LeapTable::from_list(&list) {
            prop_assert!(table.entries().eq(LeapTable::builtin().entries()));
        }
    }

    #[test]
    fn a_changed_byte_of_a_tzif_file_does_not_make_the_reader_panic(at in 0..TZIF.len(), to: u8) {
        let mut file = TZIF.to_vec();
        file[at] = to;
        let _ = LeapTable::from_tzif(&file);
    }
}
