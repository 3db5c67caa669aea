//! No reader with doubles changes a value of this crate.
//!
//! JavaScript, `jq` and many others keep every number of JSON as a double. Here such a reader is
//! put between a writer and a reader of ours: it parses the text, rounds each number to a double,
//! and writes the text again.
#![cfg(feature = "serde")]

use std::fmt::Debug;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};
use truechimer::clock::TrueTime;
use truechimer::fence::{KeyedFence, KeyedSnapshot, StaleToken};
use truechimer::peers::Nonce;
use truechimer::{
    Clock, Deadline, FencingToken, GpsTime, Interval, NodeStamp, NodeUid, PtpTime, Stamp,
    Timestamp, UnixTime,
};

/// Rounds each number to a double. Whole ones are written without a fraction, as JavaScript does.
fn with_doubles(json: &mut Value) {
    match json {
        Value::Number(number) => {
            let double = number.as_f64().expect("a number");
            let whole = double.fract() == 0.0 && double.abs() < 9e18;
            let fraction = || Number::from_f64(double).expect("finite");
            *number = if whole { Number::from(double as i64) } else { fraction() };
        }
        Value::Array(items) => items.iter_mut().for_each(with_doubles),
        Value::Object(fields) => fields.values_mut().for_each(with_doubles),
        _ => {}
    }
}

/// `value`, written, passed through a reader with doubles, and read.
fn passed_on<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let mut json = serde_json::to_value(value).expect("plain data");
    with_doubles(&mut json);
    let text = json.to_string();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn assert_kept<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    assert_eq!(passed_on(&value), value);
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

/// As an interval was written before: its ends as bare numbers.
#[derive(Serialize, Deserialize)]
struct BareEnds {
    earliest: i64,
    latest: i64,
}

proptest! {
    #[test]
    fn a_reader_with_doubles_changes_no_value(a: i64, b: i64, token: u64, other: u64, key: String) {
        let span = Interval::new(at(a.min(b)), at(a.max(b))).expect("in order");
        assert_kept(at(a));
        assert_kept(span);
        let (token, newest) = (FencingToken(token), FencingToken(other));
        assert_kept(token);
        assert_kept(StaleToken { offered: token, newest });
        assert_kept(Nonce::from_bits(other));
        assert_kept(KeyedSnapshot { floor: newest, newest: vec![(key, token)] });
        let stamp = Stamp::from_bits(other);
        assert_kept((stamp, NodeStamp { stamp, node: NodeUid(u128::from(other) << 60) }));
        assert_kept(Deadline::at(at(b)));
        assert_kept(UnixTime::from_nanos(a));
    }

    #[test]
    fn present_times_keep_their_nanoseconds(
        now in 1_700_000_000_000_000_000..2_000_000_000_000_000_000i64, width in 0..1_000_000i64,
    ) {
        let span = Interval::new(at(now), at(now + width)).expect("in order");
        assert_kept(span);
        assert_kept((GpsTime::from_tai(at(now)).expect("in range"),
                     PtpTime::from_tai(at(now)).expect("in range")));
    }
}

#[test]
fn the_reader_with_doubles_of_this_test_narrows_what_is_written_as_numbers() {
    let (earliest, latest) = (1_764_352_021_000_000_001, 1_764_352_021_000_000_127);
    let BareEnds { earliest: from, latest: to } = {
        let mut json = json!({ "earliest": earliest, "latest": latest });
        with_doubles(&mut json);
        let end = |name: &str| json[name].as_f64().expect("a number") as i64;
        BareEnds { earliest: end("earliest"), latest: end("latest") }
    };
    assert!(from > earliest || to < latest, "[{from}, {to}]");
}

#[test]
fn a_bare_number_is_refused_because_it_may_have_been_rounded() {
    fn refused<T: DeserializeOwned + Debug>(json: Value) {
        let error = serde_json::from_value::<T>(json.clone()).expect_err("refused").to_string();
        assert!(error.contains("in quotes"), "{json}: {error}");
        serde_json::from_str::<T>(&json.to_string()).expect_err("refused as text too");
    }
    for number in [json!(5), json!(-5), json!(5.0), json!(1_764_352_021_000_000_000_i64)] {
        refused::<Timestamp>(number.clone());
        refused::<FencingToken>(number.clone());
        refused::<Nonce>(number.clone());
        refused::<Interval>(json!({ "earliest": number, "latest": "9" }));
    }
    for text in ["", "+5", "05", "-0", "5.0", "5e3", " 5", "0x5", "9223372036854775808"] {
        refused::<Timestamp>(json!(text));
    }
    refused::<FencingToken>(json!("-1"));
    refused::<FencingToken>(json!("18446744073709551616"));
}

#[test]
fn an_interval_in_json_has_its_two_ends_in_order_and_nothing_else() {
    let span = Interval::new(at(-1), at(i64::MAX)).expect("in order");
    let json = json!({ "earliest": "-1", "latest": "9223372036854775807" });
    assert_eq!(serde_json::to_value(span).expect("data"), json);
    for bad in [
        json!({ "earliest": "2", "latest": "1" }),
        json!({ "earliest": "2" }),
        json!({ "earliest": "2", "latest": "3", "error": "1" }),
    ] {
        serde_json::from_value::<Interval>(bad.clone()).expect_err(&bad.to_string());
    }
}

#[test]
fn a_stored_fence_without_a_part_of_it_is_refused() {
    let fence = KeyedFence::restore(KeyedSnapshot {
        floor: FencingToken(u64::MAX - 1),
        newest: vec![("shard-7".to_owned(), FencingToken(u64::MAX))],
    });
    let good = json!({
        "version": 1,
        "floor": "18446744073709551614",
        "newest": [["shard-7", "18446744073709551615"]],
    });
    assert_eq!(serde_json::to_value(fence.snapshot()).expect("data"), good);
    serde_json::from_value::<KeyedSnapshot<String>>(good.clone()).expect("as it was written");
    let changed = |name: &str, to: Option<Value>| {
        let mut json = good.clone();
        let fields = json.as_object_mut().expect("an object");
        match to {
            Some(value) => fields.insert(name.to_owned(), value),
            None => fields.remove(name),
        };
        serde_json::from_value::<KeyedSnapshot<String>>(json).map_err(|error| error.to_string())
    };
    for field in ["version", "floor", "newest"] {
        let error = changed(field, None).expect_err(field);
        assert!(error.contains("missing field"), "{error}");
        changed(field, Some(Value::Null)).expect_err(field);
    }
    let error = changed("version", Some(json!(2))).expect_err("a version to come");
    assert!(error.contains("has version 2, and this program reads 1"), "{error}");
    let error = changed("ceiling", Some(json!("9"))).expect_err("an unknown field");
    assert!(error.contains("unknown field"), "{error}");
}

#[test]
fn a_report_has_no_number_that_a_double_would_change() {
    fn check(path: &str, json: &Value) {
        match json {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let path = format!("{path}.{name}");
                    assert!(!(name.ends_with("_ns") && field.is_number()), "{path}");
                    check(&path, field);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(path, item)),
            Value::Number(_) => {
                let mut rounded = json.clone();
                with_doubles(&mut rounded);
                assert_eq!(rounded.as_f64(), json.as_f64());
                let exact = json.as_u64().is_none_or(|number| number <= 1 << 53);
                assert!(exact && json.as_i64().is_none_or(|number| number >= -(1 << 53)), "{path}");
            }
            _ => {}
        }
    }
    let clock = Clock::builder().assume_error(std::time::Duration::from_millis(250));
    let clock = clock.manual().build().expect("a clock");
    let json = serde_json::to_value(clock.report()).expect("plain data");
    check("report", &json);
    assert_eq!(json["now"]["Ok"].is_object(), TrueTime::now(&clock).is_ok());
    #[cfg(target_os = "linux")]
    {
        let state = truechimer::source::KernelState::read().expect("no filter denies it in tests");
        let json = serde_json::to_value(state).expect("plain data");
        check("kernel", &json);
        assert_eq!(json["unix_ns"], state.unix_ns.to_string());
    }
}
