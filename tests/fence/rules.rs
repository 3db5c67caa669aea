//! Fences, compared with a model that only remembers the largest token seen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use truechimer::fence::{
    Fence, FenceError, Fenced, FencingToken, KeyedFence, KeyedSnapshot, StaleToken,
};

/// Tokens close together, so that every order occurs, and the largest token.
fn token() -> impl Strategy<Value = FencingToken> {
    prop_oneof![8 => 0u64..8, 1 => Just(u64::MAX), 1 => any::<u64>()].prop_map(FencingToken)
}

/// The right answer to `offered` of a fence that has seen `newest`.
fn expected(newest: FencingToken, offered: FencingToken) -> Result<(), StaleToken> {
    if offered < newest { Err(StaleToken { offered, newest }) } else { Ok(()) }
}

/// The answer of a fence, in a form that can be compared.
fn answer(admitted: Result<(), FenceError>) -> Result<(), StaleToken> {
    match admitted {
        Ok(()) => Ok(()),
        Err(FenceError::Stale(stale)) => Err(stale),
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn a_token_is_admitted_exactly_if_none_was_larger(
        start in token(), offered in prop::collection::vec(token(), 0..20),
    ) {
        let (fence, fenced) = (Fence::starting_at(start), Fenced::starting_at(start, Vec::new()));
        let (mut newest, mut changes) = (start, Vec::new());
        for token in offered {
            let expected = expected(newest, token);
            prop_assert_eq!(answer(fence.admit(token)), expected);
            let changed = fenced.with(token, |changes| changes.push(token));
            prop_assert_eq!(answer(changed), expected);
            if expected.is_ok() {
                changes.push(token);
            }
            newest = newest.max(token);
            prop_assert_eq!((fence.newest(), fenced.newest()), (newest, newest));
        }
        prop_assert!(changes.is_sorted());
        prop_assert_eq!(fenced.into_inner(), (changes, newest));
    }

    #[test]
    fn the_tokens_of_one_key_are_not_compared_with_another_keys(
        steps in prop::collection::vec(
            prop_oneof![
                9 => (0u8..4, token()).prop_map(|(key, token)| (Some(key), token)),
                1 => (0u64..4).prop_map(|floor| (None, FencingToken(floor))),
            ],
            0..40,
        ),
    ) {
        let fences = KeyedFence::new();
        let mut model: HashMap<u8, FencingToken> = HashMap::new();
        let mut floor = FencingToken::MIN;
        for (key, token) in steps {
            let Some(key) = key else {
                fences.raise_floor(token);
                floor = floor.max(token);
                continue;
            };
            let newest = model.get(&key).copied().unwrap_or_default().max(floor);
            let admitted = answer(fences.admit(&key, token));
            prop_assert_eq!(admitted, expected(newest, token), "key {}", key);
            model.insert(key, newest.max(token));
            prop_assert_eq!(fences.floor(), floor);
        }
        // A fence that is made from a snapshot gives the same answers.
        for (key, token) in (0..4).flat_map(|key| (0..8).map(move |token| (key, token))) {
            let again = KeyedFence::restore(fences.snapshot());
            let newest = model.get(&key).copied().unwrap_or_default().max(floor);
            let token = FencingToken(token);
            let admitted = answer(again.admit(&key, token));
            prop_assert_eq!(admitted, expected(newest, token), "key {}", key);
        }
    }
}

#[test]
fn a_floor_removes_only_the_keys_that_it_makes_unnecessary() {
    let newest = [(1, 5), (2, 6), (3, 7), (3, 4)].map(|(k, t)| (k, FencingToken(t)));
    let floor = FencingToken::MIN;
    let fences = KeyedFence::restore(KeyedSnapshot { floor, newest: newest.to_vec() });
    assert_eq!(fences.newest(&3), Some(FencingToken(7)), "the larger of two counts");
    assert_eq!(fences.raise_floor(FencingToken(6)), 2);
    assert_eq!((fences.len(), fences.newest(&3)), (1, Some(FencingToken(7))));
    let stale =
        |offered| Err(StaleToken { offered: FencingToken(offered), newest: FencingToken(6) });
    assert_eq!(answer(fences.admit(&1, FencingToken(5))), stale(5));
    assert_eq!(answer(fences.admit(&9, FencingToken(5))), stale(5), "a key never seen before");
    assert_eq!(fences.len(), 1, "a refused key takes no memory");
    assert_eq!(fences.raise_floor(FencingToken(2)), 0, "a floor does not go down");
    assert_eq!(fences.floor(), FencingToken(6));
}

#[test]
fn in_a_race_of_threads_no_token_is_admitted_after_a_larger_one() {
    // Miri interprets each step, and tries other schedules instead.
    const EACH: u64 = if cfg!(miri) { 200 } else { 20_000 };
    let (fence, next) = (Fence::new(), AtomicU64::new(1));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let token = FencingToken(next.fetch_add(1, Ordering::Relaxed));
                    let before = fence.newest();
                    match answer(fence.admit(token)) {
                        Ok(()) => assert!(before <= token, "{token} after {before}"),
                        Err(stale) => {
                            assert_eq!(stale.offered, token);
                            assert!(stale.newest > token && stale.newest >= before);
                        }
                    }
                    assert!(fence.newest() >= token);
                }
            });
        }
    });
    assert_eq!(fence.newest(), FencingToken(4 * EACH));
}

#[test]
fn a_refusal_names_both_tokens() {
    let stale = StaleToken { offered: FencingToken(33), newest: FencingToken(34) };
    let error = FenceError::from(stale);
    let text = error.to_string();
    assert!(text.contains("33") && text.contains("34"), "{text}");
    assert!(!error.is_transient());
}
