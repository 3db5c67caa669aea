//! What `truechimer convert` and `truechimer leaps` print.

use clap::Parser;
use truechimer::UnixTime;

use crate::{convert, leaps};

#[derive(clap::Parser)]
enum Command {
    Convert(convert::ConvertArgs),
    Leaps(leaps::LeapsArgs),
}

/// What a command prints, or its error.
fn run(args: &[&str]) -> Result<String, String> {
    let now = UnixTime::new(1_795_500_000, 0).expect("2026-11-24");
    let mut out = Vec::new();
    let args = [&["truechimer"], args].concat();
    match Command::try_parse_from(args).map_err(|error| error.to_string())? {
        Command::Convert(args) => {
            convert::run(&args, now, &mut out).map_err(|error| error.to_string())?;
        }
        Command::Leaps(args) => {
            leaps::run(&args, now, &mut out).map_err(|error| error.to_string())?;
        }
    }
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn a_leap_second_is_shown_on_every_scale() {
    let shown = run(&["convert", "2016-12-31T23:59:60.5Z"]).expect("a moment");
    let expected = "\
utc               2016-12-31T23:59:60.500000000Z
tai               2017-01-01T00:00:36.500000000 TAI
tai nanoseconds   1483228836500000000
unix              1483228799.500000000 (second showing, in a leap second)
gps week, second  1930 17.500000000
ntp               dc12c4ff.80000000
ntp date          0:dc12c4ff.8000000000000000
ptp               1483228836.500000000
smear google      2017-01-01T00:00:00.000000000 smear:google
smear aws         2017-01-01T00:00:00.000000000 smear:aws
smear meta        2017-01-01T00:00:00.499999999 smear:meta
smear meta-ptp    2017-01-01T00:00:00.499992307 smear:meta-ptp
smear chrony      2017-01-01T00:00:00.499999999 smear:chrony
smear utc-sls     2016-12-31T23:59:59.500500000 smear:utc-sls
";
    assert_eq!(shown, expected);
}

#[test]
fn every_form_of_one_moment_gives_the_same_rows() {
    let plain = run(&["convert", "2015-03-01T12:00:00.25Z"]).expect("a moment");
    for form in [
        "2015-03-01T13:00:00.25+01:00",
        "2015-03-01T12:00:35.25 TAI",
        "unix:1425211200.25",
        "gps:1834 43216.25",
        "ntp:d89d7dc0.40000000",
        "ntp:0:d89d7dc0.4000000000000000",
        "ptp:1425211235.25",
        "2015-03-01T12:00:00.25 smear:google",
    ] {
        assert_eq!(run(&["convert", form]).as_deref(), Ok(plain.as_str()), "{form}");
    }
}

#[test]
fn an_ambiguous_count_shows_both_moments_and_an_interval_its_hull() {
    let both = run(&["convert", "unix:1483228799.5"]).expect("two moments");
    assert!(both.contains("is the first of two") && both.contains("is the second of two"));
    assert!(both.contains("23:59:59.500000000Z") && both.contains("23:59:60.500000000Z"));
    let interval = "[2016-12-31T23:59:59.9Z, 2016-12-31T23:59:60.1Z]";
    let hull = run(&["convert", interval]).expect("an interval");
    assert!(
        hull.contains("unix              [1483228799.000000000, 1483228799.999999999]"),
        "{hull}"
    );
    let json = run(&["convert", "--json", "1960-01-01T00:00:00 TAI", interval]).expect("two lines");
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["utc"]["none"].as_str().expect("a reason").contains("before 1972"));
}

#[test]
fn a_text_that_names_no_moment_is_refused_with_the_text_and_the_reason() {
    for (text, reason) in [
        ("2016-12-31T12:34:60Z", "no second 60"),
        ("yesterday", "expected a year"),
        ("", "expected a year"),
        ("unix:12.", "expected seconds of Unix time"),
        ("gps:1930 604800", "below 604800"),
        ("ntp:00000000.00000000", "does not know the time"),
        ("ptp:-1", "not negative"),
        ("2016-12-31T18:00:00 smear:bing", "expected a smear"),
        ("1971-01-01T00:00:00Z", "before 1972"),
    ] {
        let error = run(&["convert", text]).expect_err(text);
        assert!(error.starts_with(&format!("{text:?}: ")) && error.contains(reason), "{error}");
    }
    let error = run(&["convert", "--table", "/nonexistent", "unix:0"]).expect_err("no table");
    assert!(error.contains("/nonexistent: "), "{error}");
}

#[test]
fn the_table_is_shown_with_its_source_expiry_and_hash() {
    let shown = run(&["leaps", "--table", "tests/data/leap-seconds.list"]).expect("a table");
    for part in [
        "source    tests/data/leap-seconds.list\n",
        "hash      verified\n",
        "expires   2026-06-28T00:00:00Z: EXPIRED",
        "built-in  (which the clock uses) the same entries\n",
        "leaps     27\n",
        "       10  1972-01-01T00:00:00Z\n",
        "       37  2016-12-31T23:59:60Z inserted\n",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let builtin = run(&["leaps", "--table", "builtin", "--json"]).expect("a table");
    let facts: serde_json::Value = serde_json::from_str(&builtin).expect("JSON");
    assert_eq!(facts["expired"], serde_json::json!(false));
    assert_eq!(facts["leaps"][26]["begins_tai_ns"], "1483228836000000000");
    assert_eq!(facts["leaps"].as_array().map(Vec::len), Some(27));
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let default = run(&["leaps"]).expect("the one that the clock uses");
    assert_eq!(Ok(&default), run(&["leaps", "--table", "builtin"]).as_ref());
    for part in ["source    built into truechimer\n", "used by   now, ", "--table system"] {
        assert!(default.contains(part), "{part:?} in {default}");
    }
    assert_eq!(facts["used_by_default"], serde_json::json!(true));
    assert!(run(&["leaps", "--table", "Cargo.toml"]).is_err());
}
