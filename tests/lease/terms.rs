//! Grantors whose term is changed, and terms that are refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use truechimer::fence::FencingToken;
use truechimer::lease::{
    Command, Decision, Grant, GrantError, Grantor, HolderId, Lease, LeaseError, MAX_TERM,
};
use truechimer::{Interval, ManualClock, Timestamp};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(1);

/// An exact reading at this second.
fn exact(second: i64) -> Interval {
    Interval::from(Timestamp::from_tai_nanos(second * 1_000_000_000))
}

fn clock_at(second: i64) -> ManualClock {
    ManualClock::new(exact(second))
}

fn acquire(grantor: &mut Grantor, second: i64, holder: u64) -> Result<Grant, GrantError> {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let seen = FencingToken(u64::MAX);
    let command = Command::Acquire { holder: HolderId(holder), number, seen };
    match grantor.decide(&clock_at(second), command)? {
        Decision::Granted(grant) => Ok(grant),
        other => panic!("{other:?} in place of a grant"),
    }
}

/// The same state after it was stored and read back, if serde is enabled.
fn read_back(grantor: Grantor) -> Grantor {
    #[cfg(feature = "serde")]
    {
        let text = serde_json::to_string(&grantor).expect("plain data");
        serde_json::from_str(&text).expect("it was written so")
    }
    #[cfg(not(feature = "serde"))]
    grantor
}

/// A broken form of `after_lost_updates`: it is quiet for the present term only, and drops the
/// known lease.
fn quiet_for_the_present_term(grantor: Grantor, now: &Interval) -> Grantor {
    Grantor::after_restart(grantor.term(), now).expect("a term")
}

type Recover = fn(Grantor, &Interval) -> Grantor;

/// The first holder's lease, granted at 100 s for 10 s, and the second at which the next holder
/// is granted it.
fn second_grant_after_a_lease_of_the_longer_term(recover: Recover) -> (Lease, i64) {
    let mut grantor = Grantor::durable(LONG).expect("a term");
    let first = acquire(&mut grantor, 100, 1).expect("free");
    grantor.set_term(SHORT).expect("a term");
    let mut grantor = recover(read_back(grantor), &exact(101));
    let second = (101..).find(|&second| acquire(&mut grantor, second, 2).is_ok());
    (Lease::new(first.token, first.expires), second.expect("some day"))
}

#[test]
fn a_shorter_term_does_not_shorten_the_quiet_time_after_a_longer_one() {
    let (first, second) =
        second_grant_after_a_lease_of_the_longer_term(Grantor::after_lost_updates);
    assert!(first.check(&clock_at(second)).is_err(), "two holders at {second} s");
    // Between 100 s and 101 s an unknown lease may have been granted, for the longest term.
    assert_eq!(second, 112);

    let broken = second_grant_after_a_lease_of_the_longer_term(quiet_for_the_present_term);
    assert!(broken.0.check(&clock_at(broken.1)).is_ok(), "the broken variant is not caught");
}

#[test]
fn a_quiet_time_under_way_is_not_cut_short() {
    let first_grant = |recover: Recover| {
        let mut grantor = Grantor::after_restart(LONG, &exact(100)).expect("a term");
        grantor.set_term(SHORT).expect("a term");
        let mut grantor = recover(read_back(grantor), &exact(101));
        (101..).find(|&second| acquire(&mut grantor, second, 2).is_ok())
    };
    // An earlier run may have granted a lease at 100 s, for 10 s.
    assert!(first_grant(Grantor::after_lost_updates) > Some(110));
    assert_eq!(
        first_grant(quiet_for_the_present_term),
        Some(103),
        "the broken variant is not caught"
    );
}

#[test]
fn the_longest_term_is_remembered_through_any_number_of_restarts() {
    let mut grantor = Grantor::durable(LONG).expect("a term");
    for second in 0..5 {
        grantor.set_term(SHORT).expect("a term");
        grantor = read_back(grantor).after_lost_updates(&exact(second));
        assert_eq!((grantor.term(), grantor.longest_term()), (SHORT, LONG));
    }
    assert!(acquire(&mut grantor, 14, 1).is_err());
    let grant = acquire(&mut grantor, 15, 1).expect("the longest term passed at 14 s");
    assert_eq!(grant.expires, Timestamp::from_tai_nanos(16_000_000_000));
}

#[test]
fn a_term_that_is_zero_or_too_long_is_refused() {
    let now = exact(100);
    let too_long = MAX_TERM + Duration::from_nanos(1);
    let cases = [
        (Duration::ZERO, Err(LeaseError::ZeroTerm)),
        (Duration::from_nanos(1), Ok(())),
        (MAX_TERM, Ok(())),
        (too_long, Err(LeaseError::TermTooLong { term: too_long, limit: MAX_TERM })),
        (Duration::MAX, Err(LeaseError::TermTooLong { term: Duration::MAX, limit: MAX_TERM })),
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
fn a_stored_state_with_such_a_term_is_refused_too() {
    let good = serde_json::to_string(&Grantor::durable(SHORT).expect("a term")).expect("data");
    let bad = good.replace(r#""secs":1"#, r#""secs":0"#);
    assert_ne!(good, bad);
    let error = serde_json::from_str::<Grantor>(&bad).expect_err("a term of zero");
    assert!(error.to_string().contains("nobody ever holds the lease"), "{error}");
}
