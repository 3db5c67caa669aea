//! A grantor whose term is changed, and one whose term makes no sense.

use std::time::Duration;

use truechimer::lease::{
    Command, Decision, Grant, Grantor, HolderId, Lease, MAX_TERM, Refusal, TermError,
};
use truechimer::{ClockError, Interval, Timestamp, TrueTime};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(1);

/// A clock without an error.
struct Exact(i64);

impl Exact {
    fn reading(&self) -> Interval {
        Interval::from(Timestamp::from_tai_nanos(self.0 * 1_000_000_000))
    }
}

impl TrueTime for Exact {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(self.reading())
    }
}

fn ask(grantor: &mut Grantor, second: i64, holder: u64) -> Result<Grant, Refusal> {
    match grantor.decide(&Exact(second), Command::Acquire { holder: HolderId(holder) })? {
        Decision::Granted(grant) => Ok(grant),
        other => panic!("{other:?} in place of a grant"),
    }
}

/// Through what a state is kept in, where there is such a thing.
fn read_back(grantor: Grantor) -> Grantor {
    #[cfg(feature = "serde")]
    {
        let text = serde_json::to_string(&grantor).expect("plain data");
        serde_json::from_str(&text).expect("it was written so")
    }
    #[cfg(not(feature = "serde"))]
    grantor
}

/// What `forgetting` once was: quiet for the present term, and what it knew dropped.
fn quiet_for_the_present_term(grantor: Grantor, now: &Interval) -> Grantor {
    Grantor::after_restart(grantor.term(), now).expect("a term")
}

type Forgetting = fn(Grantor, &Interval) -> Grantor;

/// When the second holder is granted the lease, of which the first has 10 s from 100 s on.
fn second_grant_after_a_lease_of_the_longer_term(forgetting: Forgetting) -> (Lease, i64) {
    let mut grantor = Grantor::durable(LONG).expect("a term");
    let first = ask(&mut grantor, 100, 1).expect("free");
    grantor.set_term(SHORT).expect("a term");
    let mut grantor = forgetting(read_back(grantor), &Exact(101).reading());
    let second = (101..).find(|&second| ask(&mut grantor, second, 2).is_ok());
    (Lease::new(first.token, first.expires), second.expect("some day"))
}

#[test]
fn a_shorter_term_does_not_make_the_quiet_after_a_longer_one_shorter() {
    let (first, second) = second_grant_after_a_lease_of_the_longer_term(Grantor::forgetting);
    assert!(first.check(&Exact(second)).is_err(), "two holders at {second} s");
    // What was granted between 100 s and 101 s is unknown, and may be for the longest term.
    assert_eq!(second, 112);

    let broken = second_grant_after_a_lease_of_the_longer_term(quiet_for_the_present_term);
    assert!(broken.0.check(&Exact(broken.1)).is_ok(), "the broken variant is not caught");
}

#[test]
fn a_quiet_time_under_way_is_not_cut_short() {
    let first_grant = |forgetting: Forgetting| {
        let mut grantor = Grantor::after_restart(LONG, &Exact(100).reading()).expect("a term");
        grantor.set_term(SHORT).expect("a term");
        let mut grantor = forgetting(read_back(grantor), &Exact(101).reading());
        (101..).find(|&second| ask(&mut grantor, second, 2).is_ok())
    };
    // An earlier life may have granted at 100 s, for 10 s.
    assert!(first_grant(Grantor::forgetting) > Some(110));
    assert_eq!(first_grant(quiet_for_the_present_term), Some(103), "no longer a broken variant");
}

#[test]
fn the_longest_term_is_remembered_through_any_number_of_restarts() {
    let mut grantor = Grantor::durable(LONG).expect("a term");
    for second in 0..5 {
        grantor.set_term(SHORT).expect("a term");
        grantor = read_back(grantor).forgetting(&Exact(second).reading());
        assert_eq!((grantor.term(), grantor.longest_term()), (SHORT, LONG));
    }
    assert!(ask(&mut grantor, 14, 1).is_err());
    let grant = ask(&mut grantor, 15, 1).expect("the longest term is over since 4 s");
    assert_eq!(grant.expires, Timestamp::from_tai_nanos(16_000_000_000));
}

#[test]
fn a_term_that_nobody_could_hold_or_that_never_ends_is_refused() {
    let now = Exact(100).reading();
    let too_long = MAX_TERM + Duration::from_nanos(1);
    let cases = [
        (Duration::ZERO, Err(TermError::Zero)),
        (Duration::from_nanos(1), Ok(())),
        (MAX_TERM, Ok(())),
        (too_long, Err(TermError::TooLong { term: too_long })),
        (Duration::MAX, Err(TermError::TooLong { term: Duration::MAX })),
    ];
    for (term, expected) in cases {
        assert_eq!(Grantor::durable(term).map(drop), expected, "{term:?}");
        assert_eq!(Grantor::after_restart(term, &now).map(drop), expected, "{term:?}");
        let mut grantor = Grantor::durable(SHORT).expect("a term");
        assert_eq!(grantor.set_term(term), expected, "{term:?}");
        let unchanged = (grantor.term(), grantor.longest_term()) == (SHORT, SHORT);
        assert_eq!(unchanged, expected.is_err(), "{term:?}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_written_state_with_such_a_term_is_refused_too() {
    let good = serde_json::to_string(&Grantor::durable(SHORT).expect("a term")).expect("data");
    let bad = good.replace(r#""secs":1"#, r#""secs":0"#);
    assert_ne!(good, bad);
    let error = serde_json::from_str::<Grantor>(&bad).expect_err("a term of zero");
    assert!(error.to_string().contains("nobody ever holds it"), "{error}");
}
