//! `agree` and `examine`, compared with a definition that is too slow to ship and too simple to be
//! wrong.
//!
//! The oracle counts for every moment how many inputs contain it. Moments are doubled, so that it
//! also counts between two whole nanoseconds. The tests show:
//!
//! 1. All lists of up to 4 intervals with ends in 0..=3, each `faulty` from 0 to
//!    5, give the right answer, pieces, classifications and errors. Longer lists and other ends
//!    are sampled.
//! 2. The theorems of the module's essay hold: right, anchored, narrow.
//! 3. The three usual mistakes are caught by the same oracle.

use proptest::prelude::*;
use truechimer::agreement::{AgreementError, Classification, agree, examine};
use truechimer::{Interval, Timestamp};

fn span(a: i64, b: i64) -> Interval {
    let at = Timestamp::from_tai_nanos;
    Interval::new(at(a), at(b)).expect("written in order")
}

fn ends(i: &Interval) -> (i64, i64) {
    (i.earliest().tai_nanos(), i.latest().tai_nanos())
}

/// How many inputs contain `half / 2`.
fn coverage(inputs: &[Interval], half: i64) -> usize {
    let holds = |i: &&Interval| 2 * ends(i).0 <= half && half <= 2 * ends(i).1;
    inputs.iter().filter(holds).count()
}

/// Every possible moment, in half nanoseconds. It is empty if the rule allows no answer.
fn possible(inputs: &[Interval], faulty: usize) -> Vec<i64> {
    let n = inputs.len();
    if n <= 2 * faulty {
        return Vec::new();
    }
    let low = inputs.iter().map(|i| ends(i).0).min().unwrap_or(0);
    let high = inputs.iter().map(|i| ends(i).1).max().unwrap_or(0);
    (2 * low..=2 * high).filter(|&half| coverage(inputs, half) >= n - faulty).collect()
}

fn oracle(inputs: &[Interval], faulty: usize) -> Option<Interval> {
    let possible = possible(inputs, faulty);
    Some(span(possible.first()? / 2, possible.last()? / 2))
}

/// Compares every result of `agree` and `examine` with the definition.
fn check(inputs: &[Interval], faulty: usize) {
    let expected = oracle(inputs, faulty);
    assert_eq!(agree(inputs, faulty), expected, "{inputs:?}, {faulty} faulty");
    let possible = possible(inputs, faulty);
    let agreement = match examine(inputs, faulty) {
        Ok(agreement) => agreement,
        Err(reason) => {
            assert_eq!(expected, None, "{inputs:?}, {faulty} faulty");
            return check_reason(reason, inputs, faulty);
        }
    };
    assert_eq!(Some(agreement.interval()), expected);
    let inside = |half: i64| {
        let holds = |piece: &&Interval| 2 * ends(piece).0 <= half && half <= 2 * ends(piece).1;
        agreement.pieces().iter().filter(holds).count()
    };
    let (low, high) = ends(&agreement.interval());
    for half in 2 * low - 2..=2 * high + 2 {
        assert_eq!(inside(half), usize::from(possible.contains(&half)), "{inputs:?} {half}");
    }
    for (input, &classification) in inputs.iter().zip(agreement.classifications()) {
        let held = possible.iter().filter(|&&half| coverage(&[*input], half) == 1).count();
        let expected = match held {
            0 => Classification::Falseticker,
            all if all == possible.len() => Classification::Truechimer,
            _ => Classification::Undecided,
        };
        assert_eq!(classification, expected, "{input:?} of {inputs:?}, {faulty} faulty");
    }
    let false_ones =
        agreement.classifications().iter().filter(|&&s| s == Classification::Falseticker).count();
    assert_eq!(agreement.falsetickers().count(), false_ones);
    assert!(
        false_ones <= faulty,
        "more wrong inputs were found than can exist: {inputs:?}, {faulty} faulty"
    );
}

fn check_reason(reason: AgreementError, inputs: &[Interval], faulty: usize) {
    let n = inputs.len();
    match reason {
        AgreementError::NoInputs => assert_eq!(n, 0),
        AgreementError::TooManyFaulty { .. } => assert!(n > 0 && n <= 2 * faulty),
        AgreementError::NoCommonMoment { inputs: stated, needed, most } => {
            assert_eq!((stated, needed), (n, n - faulty));
            let all = inputs.iter().flat_map(|i| [ends(i).0, ends(i).1]);
            assert_eq!(Some(most), all.map(|end| coverage(inputs, 2 * end)).max());
        }
        other => panic!("this test does not know the error {other:?}"),
    }
}

/// Every list of `length` intervals with ends in 0..=`top`.
fn every_list(length: usize, top: i64, visit: &mut impl FnMut(&[Interval])) {
    fn grow(list: &mut Vec<Interval>, left: usize, top: i64, visit: &mut impl FnMut(&[Interval])) {
        if left == 0 {
            return visit(list);
        }
        for a in 0..=top {
            for b in a..=top {
                list.push(span(a, b));
                grow(list, left - 1, top, visit);
                list.pop();
            }
        }
    }
    grow(&mut Vec::new(), length, top, visit);
}

#[test]
fn every_small_case_agrees_with_the_definition() {
    let mut lists = 0;
    for length in 0..=4 {
        every_list(length, 3, &mut |inputs| {
            (0..=5).for_each(|faulty| check(inputs, faulty));
            lists += 1;
        });
    }
    assert_eq!(lists, 1 + 10 + 100 + 1_000 + 10_000);
}

#[test]
fn cases_by_hand() {
    type Ends = (i64, i64);
    let cases: &[(&str, &[Ends], usize, Option<Ends>)] = &[
        ("one right clock", &[(3, 5)], 0, Some((3, 5))),
        ("one clock that may be wrong", &[(3, 5)], 1, None),
        ("all agree", &[(0, 9), (4, 6), (5, 7)], 0, Some((5, 6))),
        ("touching ends share a moment", &[(0, 5), (5, 9)], 0, Some((5, 5))),
        ("neighbours share none", &[(0, 4), (5, 9)], 0, None),
        ("Marzullo's example", &[(8, 12), (11, 13), (14, 15)], 1, Some((11, 12))),
        ("the truth is in either piece", &[(0, 2), (1, 9), (8, 10)], 1, Some((1, 9))),
        (
            "a wrong clock in the gap changes nothing",
            &[(0, 2), (1, 9), (8, 10), (1, 9), (5, 5)],
            2,
            Some((1, 9)),
        ),
        ("equal intervals", &[(1, 2), (1, 2), (1, 2), (7, 9)], 1, Some((1, 2))),
        ("two against two", &[(0, 1), (0, 1), (5, 6), (5, 6)], 1, None),
        (
            "the ends of time",
            &[(i64::MIN, 0), (0, i64::MAX), (i64::MIN, i64::MAX)],
            0,
            Some((0, 0)),
        ),
        ("nothing known", &[(i64::MIN, i64::MAX); 3], 1, Some((i64::MIN, i64::MAX))),
    ];
    for &(name, inputs, faulty, expected) in cases {
        let inputs: Vec<_> = inputs.iter().map(|&(a, b)| span(a, b)).collect();
        let expected = expected.map(|(a, b)| span(a, b));
        assert_eq!(agree(&inputs, faulty), expected, "{name}");
        assert_eq!(examine(&inputs, faulty).ok().map(|a| a.interval()), expected, "{name}");
    }
}

#[test]
fn a_wrong_input_inside_the_hull_but_between_the_pieces_is_found() {
    let inputs = [span(0, 2), span(1, 9), span(1, 9), span(8, 10), span(4, 5)];
    let agreement = examine(&inputs, 2).expect("three share a moment");
    assert_eq!(agreement.interval(), span(1, 9));
    assert_eq!(agreement.pieces(), [span(1, 2), span(4, 5), span(8, 9)]);
    // With two more clocks the middle is no longer possible, so the clock that states it is wrong.
    let inputs =
        [span(0, 2), span(0, 2), span(1, 9), span(8, 10), span(8, 10), span(1, 9), span(4, 5)];
    let agreement = examine(&inputs, 3).expect("four share a moment");
    assert_eq!(agreement.interval(), span(1, 9));
    assert_eq!(agreement.pieces(), [span(1, 2), span(8, 9)]);
    assert_eq!(agreement.falsetickers().collect::<Vec<_>>(), [6]);
}

#[test]
fn errors_say_which_rule_failed_and_whether_to_try_again() {
    let apart = [span(0, 1), span(5, 6), span(9, 9)];
    let cases = [
        (examine(&[], 0), AgreementError::NoInputs, false),
        (examine(&apart, 2), AgreementError::TooManyFaulty { inputs: 3, faulty: 2 }, false),
        (
            examine(&apart, usize::MAX),
            AgreementError::TooManyFaulty { inputs: 3, faulty: usize::MAX },
            false,
        ),
        (
            examine(&apart, 1),
            AgreementError::NoCommonMoment { inputs: 3, needed: 2, most: 1 },
            true,
        ),
    ];
    for (answer, expected, transient) in cases {
        let reason = answer.expect_err("no agreement");
        assert_eq!(reason, expected);
        assert_eq!(reason.is_transient(), transient);
        assert!(reason.to_string().len() > 20, "{reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Also with more inputs than fit into the buffer on the stack.
    #[test]
    fn longer_lists_agree_with_the_definition(
        list in prop::collection::vec((0i64..40, 0i64..25), 0..70),
        faulty in 0usize..36,
    ) {
        let inputs: Vec<_> = list.iter().map(|&(a, width)| span(a, a + width)).collect();
        check(&inputs, faulty);
    }

    /// The truth is known. Right inputs contain it, and wrong ones are arbitrary.
    #[test]
    fn with_at_most_f_wrong_inputs_the_answer_is_right_anchored_and_narrow(
        mut right in prop::collection::vec((0i64..1_000, 0i64..1_000), 20),
        wrong in prop::collection::vec((-3_000i64..3_000, 0i64..4_000), 0..9),
        truth in -1_000_000i64..1_000_000,
        spare in 0usize..2,
        more in 1usize..9,
    ) {
        let faulty = wrong.len() + spare;
        right.truncate(wrong.len() + 2 * spare + more);
        let right: Vec<_> = right.iter().map(|&(a, b)| span(truth - a, truth + b)).collect();
        let wrong = wrong.iter().map(|&(a, width)| span(truth + a, truth + a + width));
        let inputs: Vec<_> = wrong.chain(right.iter().copied()).collect();
        prop_assert!(inputs.len() > 2 * faulty);

        let agreement = examine(&inputs, faulty).expect("the truth itself is a common moment");
        let answer = agreement.interval();
        prop_assert!(answer.contains(Timestamp::from_tai_nanos(truth)), "right");
        for end in [answer.earliest(), answer.latest()] {
            prop_assert!(right.iter().any(|i| i.contains(end)), "anchored");
        }
        let spans = |i: &&Interval| i.width() >= answer.width();
        prop_assert!(inputs.iter().any(|i| spans(&i)), "narrow");
        if inputs.len() > 3 * faulty {
            prop_assert!(right.iter().any(|i| spans(&i)), "as narrow as a right one");
        }
        let wrong = inputs.len() - right.len();
        prop_assert!(agreement.falsetickers().all(|i| i < wrong), "no right clock is called wrong");
        for (i, &classification) in agreement.classifications().iter().enumerate() {
            let holds_truth = inputs[i].contains(Timestamp::from_tai_nanos(truth));
            let certified = classification == Classification::Truechimer;
            prop_assert!(!certified || holds_truth, "no wrong clock is called right");
        }
    }
}

/// The usual mistakes. Each differs from the definition in one place.
mod broken {
    use super::*;

    /// One end is excluded, so touching intervals share no moment.
    pub fn half_open(inputs: &[Interval], faulty: usize) -> Option<Interval> {
        let holds = |i: &&Interval, t: i64| ends(i).0 <= t && t < ends(i).1;
        scan(inputs, faulty, &|t| inputs.iter().filter(|i| holds(i, t)).count(), false)
    }

    /// The first piece in place of the hull of all pieces.
    pub fn first_cluster(inputs: &[Interval], faulty: usize) -> Option<Interval> {
        scan(inputs, faulty, &|t| coverage(inputs, 2 * t), true)
    }

    /// Without the check that the right inputs outnumber the wrong ones.
    pub fn outvoted(inputs: &[Interval], faulty: usize) -> Option<Interval> {
        let needed = inputs.len().saturating_sub(faulty).max(1);
        let possible: Vec<i64> = (-1..=5).filter(|&t| coverage(inputs, 2 * t) >= needed).collect();
        Some(span(*possible.first()?, *possible.last()?))
    }

    fn scan(
        inputs: &[Interval],
        faulty: usize,
        count: &dyn Fn(i64) -> usize,
        stop_at_gap: bool,
    ) -> Option<Interval> {
        if inputs.len() <= 2 * faulty {
            return None;
        }
        let possible = |t: &i64| count(*t) >= inputs.len() - faulty;
        let first = (-1..=5).find(possible)?;
        let last = match stop_at_gap {
            true => (first..=5).take_while(possible).last()?,
            false => (first..=5).filter(possible).last()?,
        };
        Some(span(first, last))
    }
}

#[test]
fn the_oracle_catches_the_usual_mistakes() {
    type Variant = fn(&[Interval], usize) -> Option<Interval>;
    let variants: [(&str, Variant, bool); 4] = [
        ("agree", agree, false),
        ("half-open ends", broken::half_open, true),
        ("the first cluster only", broken::first_cluster, true),
        ("n <= 2f allowed", broken::outvoted, true),
    ];
    for (name, variant, is_broken) in variants {
        let mut wrong = 0;
        for length in 1..=3 {
            every_list(length, 4, &mut |inputs| {
                for faulty in 0..=3 {
                    wrong += usize::from(variant(inputs, faulty) != oracle(inputs, faulty));
                }
            });
        }
        assert_eq!(wrong > 0, is_broken, "{name}: {wrong} wrong answers");
    }
}
