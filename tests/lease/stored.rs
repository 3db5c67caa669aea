//! The state of a grantor and its messages, as they are stored and sent: read whole or refused.

use std::time::Duration;

use serde_json::{Map, Value};
use truechimer::fence::FencingToken;
use truechimer::lease::{
    Command, Decision, DurationGrant, Grant, GrantError, Grantor, Holder, HolderId, RequestId,
    Sender,
};
use truechimer::{Interval, Timestamp};

/// The first number that a reader with doubles takes for another one.
const ABOVE_DOUBLES: u64 = (1 << 53) + 1;

fn now(nanos: i64) -> Option<Interval> {
    Some(Interval::from(Timestamp::from_tai_nanos(nanos)))
}

/// A grantor that is quiet, and one with a lease, a renewal and a refusal.
fn grantors() -> [Grantor; 2] {
    let term = Duration::from_nanos(100);
    let quiet = Grantor::after_restart(term, &now(1_000).expect("a reading")).expect("a term");
    let mut held = Grantor::durable(term).expect("a term");
    let mut holders = [1, 2].map(|id| Holder::new(HolderId(ABOVE_DOUBLES + id)));
    let grant = held.apply(now(1_000), holders[0].acquire()).ok().and_then(Decision::grant);
    let lease = holders[0].accept(&grant.expect("free")).expect("fresh");
    held.apply(now(1_010), lease.renewal(ABOVE_DOUBLES)).expect("in time");
    held.apply(now(1_020), holders[1].acquire()).expect_err("it is held");
    [quiet, held]
}

fn read(value: &Value) -> Result<Grantor, String> {
    serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())
}

/// Gets an object, and how the whole text reads with another in its place.
type Check<'a> = dyn FnMut(&dyn Fn(Map<String, Value>) -> Value, &Map<String, Value>) + 'a;

/// Calls `check` with each object in `value`, as the whole text with that object replaced.
fn for_each_object(value: &Value, check: &mut Check<'_>) {
    fn walk(at: &Value, whole: &dyn Fn(Value) -> Value, check: &mut Check<'_>) {
        match at {
            Value::Object(object) => {
                check(&|changed| whole(Value::Object(changed)), object);
                for (name, inner) in object {
                    let put = |value| {
                        let mut changed = object.clone();
                        changed.insert(name.clone(), value);
                        whole(Value::Object(changed))
                    };
                    walk(inner, &put, check);
                }
            }
            Value::Array(items) => {
                for (index, inner) in items.iter().enumerate() {
                    let put = |value| {
                        let mut changed = items.clone();
                        changed[index] = value;
                        whole(Value::Array(changed))
                    };
                    walk(inner, &put, check);
                }
            }
            _ => {}
        }
    }
    walk(value, &|value| value, check);
}

/// The failure of the issue: without `quiet_until` or `current` it was read as "nothing granted".
#[test]
fn a_state_that_lacks_any_field_at_any_depth_is_refused() {
    for grantor in grantors() {
        let value = serde_json::to_value(&grantor).expect("plain data");
        assert_eq!(read(&value), Ok(grantor));
        let mut removed = 0;
        for_each_object(&value, &mut |put, object| {
            for name in object.keys() {
                let mut less = object.clone();
                less.remove(name);
                let less = put(less);
                assert!(read(&less).is_err(), "without {name}: {less}");
                removed += 1;
            }
        });
        assert!(removed >= 8, "{removed}");
        for name in ["current", "quiet_until", "answers", "forgotten", "version"] {
            let mut less = value.as_object().expect("an object").clone();
            less.remove(name);
            let error = read(&Value::Object(less)).expect_err(name);
            assert!(error.contains(&format!("missing field `{name}`")), "{error}");
        }
    }
}

#[test]
fn a_state_with_an_unknown_field_at_any_depth_is_refused() {
    for grantor in grantors() {
        let value = serde_json::to_value(&grantor).expect("plain data");
        let mut added = 0;
        for_each_object(&value, &mut |put, object| {
            let mut more = object.clone();
            more.insert("of_a_later_version".to_owned(), Value::Null);
            let more = put(more);
            assert!(read(&more).is_err(), "{more}");
            added += 1;
        });
        assert!(added >= 3, "{added}");
    }
}

#[test]
fn a_state_of_another_version_or_with_contradictions_is_refused() {
    let [_, held] = grantors();
    let value = serde_json::to_value(&held).expect("plain data");
    let answers = value["answers"].as_array().expect("an array").clone();
    let twice: Vec<Value> = answers.iter().chain(&answers[..1]).cloned().collect();
    let expire = serde_json::json!({"command": "expire", "answer": {"Ok": {"expired": null}}});
    let cases = [
        ("version", Value::from(0), "version 0"),
        ("version", Value::from(2), "use the program that wrote it"),
        ("version", Value::from("1"), "invalid type"),
        ("longest", serde_json::json!({"secs": 0, "nanos": 99}), "longest term"),
        ("term", serde_json::json!({"secs": 0, "nanos": 0}), "nobody ever holds"),
        ("answers", Value::from(twice), "two are to one sender"),
        ("answers", Value::from(vec![expire]), "damaged"),
        ("current", Value::from(7), "invalid type"),
    ];
    for (name, wrong, expected) in cases {
        let mut changed = value.clone();
        changed[name] = wrong;
        let error = read(&changed).expect_err(name);
        assert!(error.contains(expected), "{name}: {error}");
    }
    let without_token = {
        let mut changed = value;
        changed["last_token"] = serde_json::to_value(FencingToken::MIN).expect("a number");
        changed
    };
    assert!(read(&without_token).expect_err("no token").contains("no token"));
    for text in ["{}", "null", "[]", r#"{"version":1}"#, r#"{"term":-1,"state":null}"#] {
        assert!(serde_json::from_str::<Grantor>(text).is_err(), "{text}");
    }
}

#[test]
fn a_message_that_lacks_a_field_or_has_an_unknown_one_is_refused() {
    let (holder, token) = (HolderId(ABOVE_DOUBLES), FencingToken(9));
    let (number, progress) = (ABOVE_DOUBLES, ABOVE_DOUBLES);
    let grant = Grant { holder, token, expires: Timestamp::from_tai_nanos(5) };
    let request = RequestId { sender: Sender::Holder(holder), number };
    let term = Duration::from_secs(1);
    let by_duration = DurationGrant { holder, request, token, term };
    fn refuses<T>(message: T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let value = serde_json::to_value(&message).expect("plain data");
        assert_eq!(serde_json::from_value::<T>(value.clone()).expect("it was written so"), message);
        let text = value.to_string();
        assert!(
            !text.contains("9007199254740993,") && !text.contains("9007199254740993}"),
            "{text}"
        );
        for_each_object(&value, &mut |put, object| {
            for name in object.keys() {
                let mut less = object.clone();
                less.remove(name);
                assert!(serde_json::from_value::<T>(put(less)).is_err(), "{text} without {name}");
            }
            let mut more = object.clone();
            more.insert("unknown".to_owned(), Value::Null);
            assert!(serde_json::from_value::<T>(put(more)).is_err(), "{text} with more");
        });
    }
    refuses(Command::Acquire { holder, number, seen: token });
    refuses(Command::Renew { token, number, progress });
    refuses(Command::Transfer { token, number, to: holder });
    refuses(Command::Release { token, number });
    refuses(Command::Expire);
    refuses(Decision::Granted(grant));
    refuses(Decision::<Grant>::Expired(None));
    refuses(Decision::Renewed(by_duration));
    refuses(GrantError::Taken { holder, token, retry_after: term });
    refuses(GrantError::NoProgress { offered: progress, last: progress });
    refuses(GrantError::Overtaken { offered: number, newest: number });
    refuses(GrantError::NumberReused { number });
    refuses(grant);
    refuses(by_duration);
}

#[test]
fn numbers_above_the_doubles_are_text_in_json_and_only_digits_are_read() {
    let holder = HolderId(u64::MAX);
    let text = serde_json::to_string(&holder).expect("text");
    assert_eq!(text, r#""18446744073709551615""#);
    assert_eq!(serde_json::from_str::<HolderId>(&text).expect("digits"), holder);
    let escaped = serde_json::from_str::<HolderId>("\"\\u0037\"").expect("an escaped digit");
    assert_eq!(escaped, HolderId(7));
    for wrong in
        ["7", "7.0", "\"\"", "\"+7\"", "\"-7\"", "\" 7\"", "\"18446744073709551616\"", "null"]
    {
        assert!(serde_json::from_str::<HolderId>(wrong).is_err(), "{wrong}");
    }
    let command = Command::Renew { token: FencingToken(1), number: 2, progress: ABOVE_DOUBLES };
    let value = serde_json::to_value(command).expect("plain data");
    assert_eq!(value["renew"]["progress"], Value::from("9007199254740993"));
    assert_eq!(value["renew"]["number"], Value::from("2"));
}
