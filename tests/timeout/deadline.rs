//! Deadlines, retries and keys: what crosses the wire, and what ends when.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use truechimer::timeout::{Backoff, Deadline, IdempotencyKey, Jitter, RetryError, TimeoutError};
use truechimer::{ClockError, Interval, ManualClock, Reason, Timestamp};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_tai_nanos(ms * 1_000_000)
}

fn span(earliest: i64, latest: i64) -> Interval {
    Interval::new(at(earliest), at(latest)).expect("in order")
}

/// A clock that reads this interval, in ms.
fn clock(earliest: i64, latest: i64) -> ManualClock {
    ManualClock::new(span(earliest, latest))
}

#[test]
fn a_deadline_has_passed_for_certain_or_perhaps_or_not() {
    let deadline = Deadline::at(at(100));
    let cases = [
        // now, definitely, possibly, left in ms
        ((80, 99), false, false, Some(1)),
        ((80, 100), false, true, None),
        ((80, 120), false, true, None),
        ((100, 120), false, true, None),
        ((101, 120), true, true, None),
    ];
    for ((a, b), definitely, possibly, left) in cases {
        let clock = clock(a, b);
        assert_eq!(deadline.definitely_passed(&clock), Ok(definitely), "{a}..{b}");
        assert_eq!(deadline.possibly_passed(&clock), Ok(possibly), "{a}..{b}");
        match (deadline.left(&clock), left) {
            (Ok(got), Some(left)) => assert_eq!(got, ms(left)),
            (Err(RetryError::DeadlinePassed { by }), None) => assert_eq!(by, ms(b as u64 - 100)),
            other => panic!("{a}..{b}: {other:?}"),
        }
    }
}

#[test]
fn an_error_of_the_clock_is_passed_on() {
    let clock = clock(0, 0);
    clock.fail(ClockError::Unsynchronized(Reason::TooOld));
    let deadline = Deadline::at(at(100));
    assert!(deadline.definitely_passed(&clock).is_err());
    assert!(deadline.possibly_passed(&clock).is_err());
    assert!(Deadline::within(&clock, ms(5)).is_err());
    let error = deadline.left(&clock).expect_err("no reading");
    assert!(error.is_transient());
    let mut retries = Backoff::new(ms(1), ms(2)).expect("in order").retries(1);
    let given_up = retries.next_before(&clock, deadline, ms(0)).expect_err("no reading");
    assert!(matches!(given_up, RetryError::Clock(_)) && given_up.is_transient());
}

#[test]
fn the_budget_is_whole_at_home_and_shrinks_by_uncertainty_elsewhere() {
    let here = clock(1_000, 1_010);
    let deadline = Deadline::within(&here, ms(80)).expect("a reading");
    assert_eq!(deadline.left(&here), Ok(ms(80)));
    // 20 ms on the way and in a queue, and a host that knows the time less well.
    let there = clock(1_020, 1_050);
    assert_eq!(deadline.left(&there), Ok(ms(40)));
    assert_eq!(deadline.minus(ms(15)).left(&there), Ok(ms(25)));
    assert_eq!(Deadline::at(Timestamp::MIN).minus(ms(1)).moment(), Timestamp::MIN);
    // Broken variant: by `earliest` more is handed on than is left at the worst.
    let worst = deadline.moment().duration_since(at(1_050)).expect("later");
    let optimistic = deadline.moment().duration_since(at(1_020)).expect("later");
    assert!(deadline.left(&there).expect("left") <= worst && optimistic > worst);
}

#[test]
fn the_ends_of_time_are_never_certain() {
    let beyond = Interval::new(at(0), Timestamp::MAX).expect("in order");
    let end = Deadline::at(Timestamp::MAX);
    assert!(end.left_at(&beyond).is_err(), "MAX stands for all later times, too");
    let clock = ManualClock::new(beyond);
    assert_eq!(end.possibly_passed(&clock), Ok(true));
    assert_eq!(Deadline::within(&clock, ms(1)), Ok(end));
    clock.set(Interval::from(Timestamp::MAX));
    assert_eq!(end.definitely_passed(&clock), Ok(false));
}

#[test]
fn deadline_texts_that_are_refused() {
    let texts = [
        "",
        "tai:",
        "tai:+5",
        "tai:05",
        "tai:-0",
        "tai: 5",
        "TAI:5",
        "5",
        "tai:5 ",
        "utc:5",
        "tai:9223372036854775808",
        "tai:0x5",
        "tai:5.0",
        "tai:５",
    ];
    for text in texts {
        let error = text.parse::<Deadline>().expect_err(text);
        assert!(matches!(error, TimeoutError::NotADeadline { .. }), "{text:?}");
        assert!(!error.is_transient() && error.to_string().contains("tai:"));
    }
}

#[test]
fn key_texts_that_are_refused_and_the_one_that_is_written() {
    let key = IdempotencyKey::from_bits(0xab);
    assert_eq!(key.to_string(), "000000000000000000000000000000ab");
    let upper: Result<IdempotencyKey, TimeoutError> = "000000000000000000000000000000AB".parse();
    assert_eq!(upper.expect("either case"), key);
    assert_eq!(IdempotencyKey::from_bytes(key.to_bytes()), key);
    assert_eq!(key.to_bytes()[15], 0xab);
    let long = "0".repeat(33);
    let texts = [
        "",
        "ab",
        "+00000000000000000000000000000ab",
        &long,
        "0000000000000000000000000000000g",
        "00000000-0000-0000-0000-0000000000ab",
        "ﬀ０００００００００",
    ];
    for text in texts {
        let error = text.parse::<IdempotencyKey>().expect_err(text);
        assert!(matches!(error, TimeoutError::NotAKey { .. }) && !error.is_transient(), "{text:?}");
    }
}

#[test]
fn no_two_random_keys_meet_and_every_bit_takes_part() {
    let keys: HashSet<u128> =
        (0..2_000).map(|_| IdempotencyKey::random().expect("a kernel").to_bits()).collect();
    assert_eq!(keys.len(), 2_000);
    assert_eq!(keys.iter().fold(0, |all, key| all | key), u128::MAX);
    assert_eq!(keys.iter().fold(u128::MAX, |all, key| all & key), 0);
}

#[test]
fn delays_stay_in_their_window_and_fill_it() {
    let (base, cap) = (ms(10), ms(500));
    let backoff = Backoff::new(base, cap).expect("in order");
    let mut widest = [Duration::ZERO; 12];
    for seed in 0..400 {
        let mut retries = backoff.retries(seed);
        for (i, widest) in widest.iter_mut().enumerate() {
            let delay = retries.next_delay().expect("without end");
            assert!(delay <= cap.min(base * (1 << i)), "full, {i}: {delay:?}");
            *widest = delay.max(*widest);
        }
        let mut retries = backoff.jitter(Jitter::Decorrelated).retries(seed);
        let mut last = base;
        for i in 0..12 {
            let delay = retries.next_delay().expect("without end");
            assert!(base <= delay && delay <= cap.min(last * 3), "decorrelated, {i}: {delay:?}");
            last = delay;
        }
    }
    for (i, widest) in widest.iter().enumerate() {
        let window = cap.min(base * (1 << i));
        assert!(*widest > window * 9 / 10, "{i}: {widest:?} of {window:?} used");
    }
}

#[test]
fn clients_that_failed_together_do_not_come_back_together() {
    let backoff = Backoff::new(ms(100), ms(10_000)).expect("in order");
    let third = |seed| {
        let mut retries = backoff.retries(seed);
        (0..3).map(|_| retries.next_delay().expect("without end")).sum::<Duration>()
    };
    let mut busiest = [0u32; 8]; // of 1000 clients, by tenths of a second
    (0..1_000).for_each(|seed| busiest[(third(seed).as_millis() / 100).min(7) as usize] += 1);
    assert!(busiest.iter().all(|&n| n < 300), "{busiest:?}");
    // Broken variant: without jitter all of them come 700 ms later, in one tenth of a second.
    let same_seed: HashSet<Duration> = (0..1_000).map(|_| third(7)).collect();
    assert_eq!(same_seed.len(), 1, "and a seed replays");
}

#[test]
fn retries_end_with_the_attempts_or_the_time() {
    let backoff = Backoff::new(ms(10), ms(40)).expect("in order");
    let mut retries = backoff.attempts(3).retries(9);
    assert!(retries.next_delay().is_ok() && retries.next_delay().is_ok());
    let end = retries.next_delay().expect_err("three were made");
    assert_eq!(end, RetryError::NoAttemptsLeft { attempts: 3 });
    assert!(!end.is_transient());
    assert!(backoff.attempts(0).retries(9).next_delay().is_err(), "0 is taken as 1");

    let clock = clock(0, 10);
    let deadline = Deadline::at(at(110));
    let mut retries = backoff.retries(9);
    for (now, needed, ends) in [(10, 50, false), (60, 50, false), (61, 50, true), (110, 0, true)] {
        clock.set(span(0, now));
        let next = retries.next_before(&clock, deadline, ms(needed));
        match next {
            Ok(delay) => assert!(!ends && delay + ms(needed) <= ms(110 - now as u64)),
            Err(reason) => {
                let left = ms(110 - now as u64);
                assert_eq!(reason, RetryError::NoTimeLeft { left, needed: ms(needed) });
                assert!(ends);
            }
        }
    }
    assert!(matches!(Backoff::new(ms(0), ms(1)), Err(TimeoutError::Zero { .. })));
    assert!(matches!(Backoff::new(ms(2), ms(1)), Err(TimeoutError::OutOfOrder { .. })));
}

proptest! {
    #[test]
    fn texts_and_bytes_read_back(nanos: i64, bits: u128) {
        let deadline = Deadline::at(Timestamp::from_tai_nanos(nanos));
        prop_assert_eq!(deadline.to_string().parse::<Deadline>(), Ok(deadline));
        let key = IdempotencyKey::from_bits(bits);
        prop_assert_eq!(key.to_string().parse::<IdempotencyKey>().ok(), Some(key));
        prop_assert_eq!(IdempotencyKey::from_bytes(key.to_bytes()), key);
    }

    #[test]
    fn a_retry_always_leaves_the_time_it_needs(
        seed: u64,
        base in 1u64..=u64::MAX,
        wider in 0u64..,
        left in 1i64..1_000_000,
        needed in 0u64..2_000_000,
        decorrelated: bool,
    ) {
        let base = Duration::from_nanos(base);
        let cap = base.saturating_add(Duration::from_secs(wider));
        let jitter = if decorrelated { Jitter::Decorrelated } else { Jitter::Full };
        let mut retries = Backoff::new(base, cap).expect("in order").jitter(jitter).retries(seed);
        let clock = clock(0, 0);
        for _ in 0..40 {
            match retries.next_before(&clock, Deadline::at(at(left)), ms(needed)) {
                Ok(delay) => prop_assert!(delay + ms(needed) <= ms(left as u64)),
                Err(_) => prop_assert!(needed > left as u64),
            }
        }
    }
}

#[cfg(feature = "serde")]
mod wire {
    use super::*;
    use serde::de::value::{Error, I64Deserializer, StrDeserializer};
    use serde::de::{Deserialize, IntoDeserializer};

    #[test]
    fn people_read_text_and_nonsense_is_refused() {
        let text: StrDeserializer<'_, Error> = "tai:77".into_deserializer();
        assert_eq!(Deadline::deserialize(text), Ok(Deadline::at(Timestamp::from_tai_nanos(77))));
        let text: StrDeserializer<'_, Error> = "77".into_deserializer();
        assert!(Deadline::deserialize(text).is_err());
        let number: I64Deserializer<Error> = 77i64.into_deserializer();
        assert!(Deadline::deserialize(number).is_err(), "a bare number could be Unix time");
        let text: StrDeserializer<'_, Error> =
            "0000000000000000000000000000004d".into_deserializer();
        assert_eq!(IdempotencyKey::deserialize(text), Ok(IdempotencyKey::from_bits(77)));
    }

    #[test]
    fn machines_read_numbers_and_bytes() {
        use serde_test::{Configure, Token, assert_tokens};
        let deadline = Deadline::at(Timestamp::from_tai_nanos(-5));
        assert_tokens(&deadline.compact(), &[Token::I64(-5)]);
        assert_tokens(&deadline.readable(), &[Token::BorrowedStr("tai:-5")]);
        let key = IdempotencyKey::from_bits(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let bytes = (1..=16).map(Token::U8);
        let tokens: Vec<Token> =
            [Token::Tuple { len: 16 }].into_iter().chain(bytes).chain([Token::TupleEnd]).collect();
        assert_tokens(&key.compact(), &tokens);
    }

    #[cfg(feature = "cli")]
    #[test]
    fn json_reads_back_what_it_wrote() {
        let deadline = Deadline::at(Timestamp::from_tai_nanos(i64::MIN));
        let key = IdempotencyKey::from_bits(u128::MAX);
        let json = serde_json::to_string(&(deadline, key)).expect("serialises");
        assert_eq!(json, format!("[\"{deadline}\",\"{key}\"]"));
        let back: (Deadline, IdempotencyKey) = serde_json::from_str(&json).expect("reads back");
        assert_eq!(back, (deadline, key));
        let escaped: Deadline = serde_json::from_str("\"tai\\u003a5\"").expect("an escape");
        assert_eq!(escaped, Deadline::at(Timestamp::from_tai_nanos(5)));
        assert!(serde_json::from_str::<Deadline>("5").is_err());
    }
}
