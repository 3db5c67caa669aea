//! Commands that are delivered more than once, or late.

use std::time::Duration;

use truechimer::fence::FencingToken;
use truechimer::lease::{
    Command, Decision, Grant, GrantError, Grantor, Holder, HolderId, Lease, RequestId, Sender,
};
use truechimer::{Interval, ManualClock, Timestamp};

const TERM: Duration = Duration::from_nanos(100);
/// How many senders a grantor remembers.
const REMEMBERED: u64 = 64;

/// An exact reading.
fn now(nanos: i64) -> Option<Interval> {
    Some(Interval::from(Timestamp::from_tai_nanos(nanos)))
}

fn clock_at(nanos: i64) -> ManualClock {
    ManualClock::new(now(nanos).expect("a reading"))
}

fn durable() -> Grantor {
    Grantor::durable(TERM).expect("a term")
}

fn granted(decision: Result<Decision, GrantError>) -> Grant {
    decision.ok().and_then(Decision::grant).expect("it is granted")
}

/// A grantor with a lease for this holder, the command for it, and the lease.
fn held(holder: &mut Holder) -> (Grantor, Command, Lease) {
    let mut grantor = durable();
    let acquire = holder.acquire();
    let lease = holder.accept(&granted(grantor.apply(now(1_000), acquire))).expect("fresh");
    (grantor, acquire, lease)
}

#[test]
fn each_repeat_gets_the_same_decision_and_changes_nothing() {
    let mut holder = Holder::new(HolderId(1));
    let (mut grantor, acquire, lease) = held(&mut holder);
    let renewals = [lease.renewal(1), lease.renewal(2)];
    let transfer = lease.transfer(&clock_at(0), HolderId(2)).expect("no stamp");
    let token = |grantor: &Grantor| grantor.last_token();
    let first = grantor.apply(now(1_000), acquire);
    assert!(first.is_ok());
    let mut answers = vec![(acquire, first)];
    for (nanos, command) in [(1_010, renewals[0]), (1_020, renewals[1]), (1_030, transfer)] {
        let answer = grantor.apply(now(nanos), command);
        assert!(answer.is_ok(), "{answer:?}");
        answers.push((command, answer));
    }
    let handed = Command::Release { token: token(&grantor), number: 1 };
    let refused = Command::Acquire { holder: HolderId(3), number: 1, seen: FencingToken::MIN };
    for command in [refused, handed] {
        answers.push((command, grantor.apply(now(1_040), command)));
    }
    assert!(matches!(answers[4].1, Err(GrantError::Taken { .. })));
    let state = grantor.clone();
    for (command, answer) in answers {
        // At any time, and without a clock.
        for now in [now(1_040), now(9_000), now(0), None] {
            let repeated = grantor.apply(now, command);
            // The first renewal was overtaken by the second, and both by the transfer.
            if command.id().is_some_and(|id| renewals.iter().any(|r| r.id() == Some(id))) {
                assert!(matches!(repeated, Err(GrantError::Overtaken { .. })), "{repeated:?}");
            } else {
                assert_eq!(repeated, answer, "{command:?}");
            }
            assert_eq!(grantor, state, "{command:?}");
        }
    }
}

#[test]
fn a_repeated_renewal_is_answered_with_the_expiry_that_it_got() {
    let mut holder = Holder::new(HolderId(1));
    let (mut grantor, _, lease) = held(&mut holder);
    let renewal = lease.renewal(5);
    let renewed = grantor.apply(now(1_010), renewal);
    assert_eq!(granted(renewed).expires, Timestamp::from_tai_nanos(1_110));
    // The second copy comes later, and moves nothing.
    assert_eq!(grantor.apply(now(1_050), renewal), renewed);
    assert_eq!(grantor.current(), renewed.ok().and_then(Decision::grant));
    assert_eq!(lease.renewed(&granted(renewed)), Ok(()));
}

#[test]
fn a_late_copy_of_an_acquire_takes_the_lease_from_nobody() {
    let mut first = Holder::new(HolderId(1));
    let (mut grantor, acquire, lease) = held(&mut first);
    let release = lease.release(&clock_at(1_010)).expect("no stamp");
    let released = grantor.apply(now(1_010), release);
    assert!(matches!(released, Ok(Decision::Released(_))));
    // The copy is answered like the first, but nobody has the lease.
    let copy = granted(grantor.apply(now(1_020), acquire));
    assert_eq!(grantor.current(), None);
    assert!(first.accept(&copy).is_err(), "the holder knows that it gave it back");
    let mut second = Holder::new(HolderId(2));
    let next = granted(grantor.apply(now(1_021), second.acquire()));
    assert_eq!(next.holder, HolderId(2));
    // And so for the release, also when another one has the lease.
    assert_eq!(grantor.apply(now(1_022), release), released);
    assert_eq!(grantor.current(), Some(next));
}

/// A copy of a request that was refused must not be granted to a holder that has gone.
#[test]
fn a_refusal_is_final_and_a_new_request_is_decided_anew() {
    let mut first = Holder::new(HolderId(1));
    let (mut grantor, _, lease) = held(&mut first);
    let mut second = Holder::new(HolderId(2));
    let refused = second.acquire();
    let taken = grantor.apply(now(1_010), refused);
    assert!(matches!(taken, Err(GrantError::Taken { .. })));
    grantor.apply(now(1_020), lease.release(&clock_at(0)).expect("no stamp")).expect("held");
    assert_eq!(grantor.apply(now(1_030), refused), taken);
    assert_eq!(grantor.current(), None);
    assert!(grantor.apply(now(1_030), second.acquire()).is_ok());
    let overtaken = Err(GrantError::Overtaken { offered: 1, newest: 2 });
    assert_eq!(grantor.apply(now(1_040), refused), overtaken);
}

#[test]
fn a_number_is_of_one_command() {
    let mut holder = Holder::new(HolderId(1));
    let (mut grantor, _, lease) = held(&mut holder);
    let token = lease.token();
    assert!(grantor.apply(now(1_010), lease.renewal(1)).is_ok());
    let state = grantor.clone();
    let reused = Err(GrantError::NumberReused { number: 1 });
    for command in
        [Command::Release { token, number: 1 }, Command::Renew { token, number: 1, progress: 2 }]
    {
        assert_eq!(grantor.apply(now(1_010), command), reused);
        assert_eq!(grantor, state);
    }
    // The requests of a holder and those of its lease are counted apart.
    let sender = Sender::Lease(token);
    assert_eq!(lease.renewal(2).id(), Some(RequestId { sender, number: 2 }));
    let sender = Sender::Holder(holder.id());
    assert_eq!(holder.acquire().id(), Some(RequestId { sender, number: 2 }));
}

/// The others who ask until the grantor has forgotten everybody else.
fn forget_all(grantor: &mut Grantor, nanos: i64) {
    for other in 100..100 + REMEMBERED {
        let mut other = Holder::new(HolderId(other));
        let refusal = grantor.apply(now(nanos), other.acquire()).expect_err("it is held");
        if let GrantError::MayBeRepeated { .. } = refusal {
            other.refused(&refusal);
            grantor.apply(now(nanos), other.acquire()).expect_err("it is held");
        }
    }
}

#[test]
fn a_forgotten_request_is_not_granted_again() {
    let mut first = Holder::new(HolderId(1));
    let (mut grantor, acquire, lease) = held(&mut first);
    let renewal = lease.renewal(1);
    grantor.apply(now(1_010), renewal).expect("in time");
    forget_all(&mut grantor, 1_020);
    // The repeat of the renewal shows no progress, so it moves nothing.
    let before = grantor.current();
    assert!(grantor.apply(now(1_030), renewal).is_err());
    assert_eq!(grantor.current(), before);
    let release = lease.release(&clock_at(0)).expect("no stamp");
    grantor.apply(now(1_030), release).expect("held");
    // The repeat of the `Acquire` says that it had not seen the token that it was granted.
    let refusal = grantor.apply(now(1_040), acquire).expect_err("it was granted before");
    assert_eq!(refusal, GrantError::MayBeRepeated { newest: grantor.last_token() });
    assert_eq!(grantor.current(), None, "it would keep the others out for a term");
    assert!(grantor.apply(now(1_040), acquire).is_err(), "however often");
    // A holder that lives asks again, and gets it.
    first.refused(&refusal);
    assert!(grantor.apply(now(1_041), first.acquire()).is_ok());
}

#[test]
fn a_grantor_without_its_state_grants_no_earlier_request_again() {
    let mut first = Holder::new(HolderId(1));
    let (grantor, acquire, _) = held(&mut first);
    let restart = now(1_010).expect("a reading");
    let lost = Grantor::after_restart(TERM, &restart).expect("a term");
    for mut grantor in [lost, grantor.after_lost_updates(&restart)] {
        let refusal = grantor.apply(now(2_000), acquire).expect_err("it may be a repeat");
        assert_eq!(refusal, GrantError::MayBeRepeated { newest: FencingToken(1_010) });
        assert_eq!(grantor.current(), None);
        let mut living = Holder::new(HolderId(2));
        let refusal = grantor.apply(now(2_000), living.acquire()).expect_err("it may be, too");
        living.refused(&refusal);
        let grant = granted(grantor.apply(now(2_000), living.acquire()));
        assert!(grant.token > FencingToken(1_010));
    }
}

#[test]
fn the_memory_of_a_grantor_is_bounded() {
    let mut holder = Holder::new(HolderId(1));
    let (mut grantor, ..) = held(&mut holder);
    let mut size = 0;
    for round in 0..3 {
        for other in 0..10 * REMEMBERED {
            let mut other = Holder::new(HolderId(1_000 * (round + 1) + other));
            let _ = grantor.apply(now(1_010), other.acquire());
        }
        let length = format!("{grantor:?}").len();
        assert!(size == 0 || length < size + size / 10, "{size} and then {length}");
        size = length;
    }
}

#[cfg(feature = "serde")]
#[test]
fn repeats_are_recognized_by_a_grantor_that_was_read_back() {
    let mut holder = Holder::new(HolderId(1));
    let (mut grantor, acquire, lease) = held(&mut holder);
    let release = lease.release(&clock_at(0)).expect("no stamp");
    let answers = [acquire, release].map(|command| grantor.apply(now(1_010), command));
    let text = serde_json::to_string(&grantor).expect("plain data");
    let mut read: Grantor = serde_json::from_str(&text).expect("it was written so");
    assert_eq!([acquire, release].map(|command| read.apply(now(1_020), command)), answers);
    assert_eq!(read, grantor);
}
