//! The rules of leases, one by one, as tables.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use truechimer::fence::FencingToken;
use truechimer::lease::{
    Command, Decision, ExpiryStatus, Grant, GrantError, Grantor, Holder, HolderId, Lease,
    LeaseError, SectionOutcome,
};
use truechimer::{ClockError, Interval, ManualClock, Timestamp};

const TERM: Duration = Duration::from_nanos(100);

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

fn span(earliest: i64, latest: i64) -> Interval {
    Interval::new(at(earliest), at(latest)).expect("written in order")
}

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn clock_at(earliest: i64, latest: i64) -> ManualClock {
    ManualClock::new(span(earliest, latest))
}

/// A new request of this holder, which has seen all tokens. No two have the same number.
fn acquire(holder: u64) -> Command {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    Command::Acquire { holder: HolderId(holder), number, seen: FencingToken(u64::MAX) }
}

fn renew(token: FencingToken, number: u64, progress: u64) -> Command {
    Command::Renew { token, number, progress }
}

fn granted(decision: Result<Decision, GrantError>) -> Grant {
    match decision {
        Ok(Decision::Granted(grant) | Decision::Renewed(grant) | Decision::Transferred(grant)) => {
            grant
        }
        other => panic!("nothing was granted: {other:?}"),
    }
}

#[test]
fn after_a_clock_was_wrong_the_fence_and_a_quiet_term_keep_two_holders_apart() {
    let mut grantor = Grantor::durable(TERM).expect("a term");
    let former = granted(grantor.apply(Some(span(1_000, 1_010)), acquire(1)));
    // A source is wrong by an hour: the grantor sees that the lease has expired.
    let new = granted(grantor.apply(Some(span(9_000, 9_010)), acquire(2)));
    // The truth comes out: both sides of the contradiction are covered, in a new epoch.
    let (former, new) =
        (Lease::new(former.token, former.expires), Lease::new(new.token, new.expires));
    let truth = clock_at(1_020, 1_030);
    assert!(former.check(&truth).is_ok() && new.check(&truth).is_ok(), "two holders");
    // Only the resource can tell them apart.
    let fence = truechimer::Fence::starting_at(FencingToken(0));
    assert!(fence.admit(new.token()).is_ok() && fence.admit(former.token()).is_err());
    // The grantor grants nothing until the former lease, and whatever else, has expired.
    let mut grantor = grantor.after_lost_updates(&span(1_020, 1_030));
    for now in [span(1_031, 1_040), span(1_100, 1_130), span(9_050, 9_110)] {
        let refused = grantor.apply(Some(now), acquire(3));
        assert!(matches!(refused, Err(GrantError::Quiet { .. })), "{now}: {refused:?}");
    }
    let third = granted(grantor.apply(Some(span(9_101, 9_111)), acquire(3)));
    assert!(third.token > new.token(), "and its token is larger than both");
    assert!(former.check(&clock_at(9_101, 9_111)).is_err());
}

#[test]
fn the_holder_acts_only_while_the_latest_is_before_the_expiry() {
    let expires = at(1_000);
    let lease = Lease::new(FencingToken(7), expires);
    let held = |nanos| Ok((FencingToken(7), ns(nanos)));
    let uncertain = |now| Err(LeaseError::Uncertain { expires, now });
    let expired = |nanos| Err(LeaseError::Expired { expires, ago: ns(nanos) });
    let cases = [
        (span(900, 950), held(50), ExpiryStatus::Held(ns(50))),
        (span(0, 999), held(1), ExpiryStatus::Held(ns(1))),
        (span(0, 1_000), uncertain(span(0, 1_000)), ExpiryStatus::Uncertain),
        (span(1_000, 1_000), uncertain(span(1_000, 1_000)), ExpiryStatus::Uncertain),
        (span(1_000, 2_000), uncertain(span(1_000, 2_000)), ExpiryStatus::Uncertain),
        (span(1_001, 1_001), expired(1), ExpiryStatus::Expired(ns(1))),
        (span(5_000, 9_000), expired(4_000), ExpiryStatus::Expired(ns(4_000))),
        (Interval::EVERYTHING, uncertain(Interval::EVERYTHING), ExpiryStatus::Uncertain),
    ];
    for (now, expected, status) in cases {
        let clock = ManualClock::new(now);
        let checked = lease.check(&clock).map(|held| (held.token(), held.at_least()));
        assert_eq!(checked, expected, "{now:?}");
        assert_eq!(ExpiryStatus::of(expires, &now), status, "{now:?}");
    }
}

#[test]
fn without_a_clock_the_holder_holds_nothing_and_the_grantor_frees_nothing() {
    let failed = clock_at(0, 0);
    failed.fail(ClockError::Contradicted);
    let lease = Lease::new(FencingToken(7), Timestamp::MAX);
    assert_eq!(lease.check(&failed), Err(LeaseError::NoClock(ClockError::Contradicted)));

    let mut grantor = Grantor::durable(TERM).expect("a term");
    assert_eq!(grantor.decide(&failed, acquire(1)), Err(GrantError::NoClock));
    let grant = granted(grantor.apply(Some(span(0, 0)), acquire(1)));
    for command in [acquire(2), renew(grant.token, 1, 1), Command::Expire] {
        assert_eq!(grantor.decide(&failed, command), Err(GrantError::NoClock), "{command:?}");
    }
    // Transfer and release need no clock, because the expiry is known and the holder has stopped.
    let handed = Command::Transfer { token: grant.token, number: 2, to: HolderId(2) };
    let handed = granted(grantor.decide(&failed, handed));
    assert_eq!((handed.holder, handed.expires), (HolderId(2), grant.expires));
    assert!(handed.token > grant.token);
    let back = Command::Release { token: handed.token, number: 1 };
    assert_eq!(grantor.decide(&failed, back), Ok(Decision::Released(handed.token)));
}

#[test]
fn a_section_does_not_run_without_a_lease_and_is_reported_if_it_overruns_it() {
    let lease = Lease::new(FencingToken(7), at(1_000));
    let clock = clock_at(900, 950);
    let ran = lease.run(&clock, |token| token.get() + 1);
    assert_eq!(ran, Ok(SectionOutcome::Covered(8)));

    let overran = lease.run(&clock, |_| clock.set(span(960, 1_010)));
    let error = LeaseError::Uncertain { expires: at(1_000), now: span(960, 1_010) };
    assert_eq!(overran, Ok(SectionOutcome::Overran { result: (), error: error.clone() }));
    assert_eq!(overran.expect("it ran").covered(), Err(error));

    clock.set(span(900, 950));
    let failed = lease.run(&clock, |_| clock.fail(ClockError::Contradicted)).expect("it ran");
    assert_eq!(failed.covered(), Err(LeaseError::NoClock(ClockError::Contradicted)));

    clock.set(span(1_001, 1_002));
    let mut ran = false;
    let refused = lease.run(&clock, |_| ran = true);
    assert_eq!(refused, Err(LeaseError::Expired { expires: at(1_000), ago: ns(1) }));
    assert!(!ran);
}

#[test]
fn a_section_during_which_the_lease_is_renewed_is_covered() {
    let lease = Lease::new(FencingToken(7), at(1_000));
    let clock = clock_at(900, 950);
    let renewed = Grant { holder: HolderId(1), token: FencingToken(7), expires: at(2_000) };
    let ran = lease.run(&clock, |_| {
        lease.renewed(&renewed).expect("later");
        clock.set(span(1_500, 1_600));
    });
    assert_eq!(ran, Ok(SectionOutcome::Covered(())));
}

#[test]
fn the_answer_to_a_renewal_moves_the_expiry_forward_or_not_at_all() {
    let token = FencingToken(7);
    let lease = Lease::new(token, at(1_000));
    let answer = |token, expires| Grant { holder: HolderId(1), token, expires: at(expires) };
    let other = FencingToken(8);
    let late =
        |present, offered| Err(LeaseError::NotLater { present: at(present), offered: at(offered) });
    let cases = [
        (answer(token, 1_500), Ok(()), 1_500),
        (answer(token, 1_500), late(1_500, 1_500), 1_500),
        (answer(token, 1_200), late(1_500, 1_200), 1_500),
        (answer(other, 9_000), Err(LeaseError::OtherLease { token, offered: other }), 1_500),
        (answer(token, 1_501), Ok(()), 1_501),
    ];
    for (grant, expected, expires) in cases {
        assert_eq!(lease.renewed(&grant), expected, "{grant:?}");
        assert_eq!(lease.expires(), at(expires), "{grant:?}");
    }
}

#[test]
fn the_lease_is_granted_anew_only_when_the_earliest_is_after_the_expiry() {
    let mut grantor = Grantor::durable(TERM).expect("a term");
    let first = granted(grantor.apply(Some(span(1_000, 1_020)), acquire(1)));
    assert_eq!(first.expires, at(1_100));
    let taken = |nanos| {
        let (holder, token) = (HolderId(1), first.token);
        Err(GrantError::Taken { holder, token, retry_after: ns(nanos) })
    };
    let cases = [
        (span(1_030, 1_050), taken(50)),
        (span(1_080, 1_120), taken(0)),
        (span(1_100, 1_100), taken(0)),
        (span(0, 5_000), taken(0)), // the midpoint is long past
    ];
    for (now, expected) in cases {
        // Not even to its own holder, which may be a later incarnation of a paused one.
        for holder in [1, 2] {
            assert_eq!(grantor.apply(Some(now), acquire(holder)), expected, "{now:?}");
        }
        assert_eq!(grantor.apply(Some(now), Command::Expire), expected, "{now:?}");
    }
    let second = granted(grantor.apply(Some(span(1_101, 1_150)), acquire(2)));
    assert!(second.token > first.token);
    assert_eq!(grantor.current(), Some(second));
}

#[test]
fn a_renewal_must_show_progress_and_come_in_time() {
    let mut grantor = Grantor::durable(TERM).expect("a term");
    let grant = granted(grantor.apply(Some(span(1_000, 1_020)), acquire(1)));
    let token = grant.token;
    let mut number = 0;
    let mut renewal = |now, progress| {
        number += 1;
        grantor.apply(now, renew(token, number, progress))
    };
    let no_progress = |offered, last| Err(GrantError::NoProgress { offered, last });
    assert_eq!(renewal(Some(span(1_010, 1_030)), 0), no_progress(0, 0), "no work was done yet");
    assert_eq!(granted(renewal(Some(span(1_010, 1_030)), 5)).expires, at(1_110));
    assert_eq!(renewal(Some(span(1_050, 1_070)), 5), no_progress(5, 5), "the work is stuck");
    assert_eq!(renewal(Some(span(1_050, 1_070)), 4), no_progress(4, 5), "an old message");
    assert_eq!(renewal(Some(span(0, 1_070)), 6), Err(GrantError::NoGain), "a worse clock");
    // The expiry is uncertain, but a renewal is still safe, because nobody else was granted it.
    assert_eq!(granted(renewal(Some(span(1_105, 1_130)), 6)).expires, at(1_205));
    let expired = Err(GrantError::Expired { token, ago: ns(1) });
    assert_eq!(renewal(Some(span(1_206, 1_206)), 7), expired, "an expired lease stays expired");
    let stale = FencingToken(token.get() - 1);
    let not_current = Err(GrantError::NotCurrent { offered: stale, newest: token });
    assert_eq!(grantor.apply(Some(span(1_100, 1_100)), renew(stale, 1, 9)), not_current);
}

#[test]
fn a_released_lease_does_not_come_back() {
    let mut grantor = Grantor::durable(TERM).expect("a term");
    let mut holder = Holder::new(HolderId(1));
    let now = Some(span(1_000, 1_020));
    let grant = granted(grantor.apply(now, holder.acquire()));
    let lease = holder.accept(&grant).expect("the first time");
    let late_renewal = lease.renewal(1);
    let release = lease.release(&clock_at(1_000, 1_020)).expect("no stamp was taken");
    assert_eq!(grantor.apply(now, release), Ok(Decision::Released(grant.token)));
    // The grantor accepts no late renewal, and no renewal, transfer or release that comes later.
    let overtaken = |offered, newest| Err(GrantError::Overtaken { offered, newest });
    assert_eq!(grantor.apply(now, late_renewal), overtaken(1, 2));
    assert_eq!(grantor.apply(now, release), Ok(Decision::Released(grant.token)), "a repeat");
    let token = grant.token;
    let gone = Err(GrantError::NotCurrent { offered: token, newest: token });
    let transfer = Command::Transfer { token, number: 4, to: HolderId(1) };
    for late in [renew(token, 3, 2), transfer, Command::Release { token, number: 5 }] {
        assert_eq!(grantor.apply(now, late), gone, "{late:?}");
    }
    // The holder makes no lease of a duplicate grant.
    let repeated = LeaseError::RepeatedGrant { offered: grant.token, accepted: grant.token };
    assert_eq!(holder.accept(&grant).err(), Some(repeated));
    let misdelivered = Grant { holder: HolderId(2), ..grant };
    let other = LeaseError::OtherHolder { id: HolderId(1), granted_to: HolderId(2) };
    assert_eq!(holder.accept(&misdelivered).err(), Some(other));
    // The next holder need not wait for the expiry.
    let next = granted(grantor.apply(now, acquire(2)));
    assert!(next.token > grant.token);
    // A late release by the earlier holder does not end the next holder's lease.
    assert_eq!(grantor.apply(now, release), overtaken(2, 5));
    assert!(grantor.apply(now, Command::Release { token, number: 6 }).is_err());
    assert_eq!(grantor.current(), Some(next));
}

#[test]
fn a_transfer_keeps_the_expiry_or_moves_it_forward_and_fences_the_giver() {
    let cases = [
        // now, the new expiry
        (Some(span(1_010, 1_030)), at(1_110)),
        (Some(span(900, 1_030)), at(1_100)),
        (None, at(1_100)),
    ];
    for (now, expires) in cases {
        let mut grantor = Grantor::durable(TERM).expect("a term");
        let mut giver = Holder::new(HolderId(1));
        let grant = granted(grantor.apply(Some(span(1_000, 1_020)), giver.acquire()));
        let lease = giver.accept(&grant).expect("fresh");
        let message = lease.transfer(&clock_at(0, 0), HolderId(2)).expect("no stamp was taken");
        let handed = granted(grantor.apply(now, message));
        assert_eq!((handed.holder, handed.expires), (HolderId(2), expires), "{now:?}");
        assert!(handed.token > grant.token, "{now:?}");
    }
}

#[test]
fn a_restart_without_state_is_quiet_until_every_earlier_lease_has_expired() {
    let mut grantor = Grantor::after_restart(TERM, &span(1_000, 1_040)).expect("a term");
    let quiet = |nanos| Err(GrantError::Quiet { retry_after: ns(nanos) });
    assert_eq!(grantor.apply(Some(span(1_000, 1_040)), acquire(1)), quiet(100));
    assert_eq!(grantor.apply(Some(span(1_140, 1_180)), acquire(1)), quiet(0));
    assert_eq!(grantor.apply(None, acquire(1)), Err(GrantError::NoClock));
    let grant = granted(grantor.apply(Some(span(1_141, 1_181)), acquire(1)));
    // No grant before true time 1 040 can have had a token above that.
    assert!(grant.token.get() > 1_040);

    // A state that may lack later updates keeps its tokens, and is quiet, too.
    let now = span(1_150, 1_190);
    let mut stale = grantor.clone().after_lost_updates(&now);
    assert_eq!(stale.apply(Some(now), acquire(2)), quiet(100));
    assert!(granted(stale.apply(Some(span(1_291, 1_300)), acquire(2))).token > grant.token);
}

#[test]
fn at_the_ends_of_time_and_of_tokens_nothing_wraps() {
    let mut grantor = Grantor::durable(TERM).expect("a term");
    let end = Interval::from(Timestamp::MAX);
    assert_eq!(grantor.apply(Some(end), acquire(1)), Err(GrantError::OutOfRange));
    // A quiet term that cannot be counted lasts for ever.
    let mut quiet = Grantor::after_restart(TERM, &end).expect("a term");
    assert!(matches!(quiet.apply(Some(end), acquire(1)), Err(GrantError::Quiet { .. })));
    let long_ago = granted(grantor.apply(Some(Interval::from(Timestamp::MIN)), acquire(1)));
    assert_eq!(long_ago.token, FencingToken(1), "before 1970 tokens are only counted");
}

#[cfg(feature = "serde")]
mod serialized {
    use super::*;

    #[test]
    fn a_grantor_that_is_read_back_makes_the_same_decisions() {
        let mut grantor = Grantor::after_restart(TERM, &span(1_000, 1_040)).expect("a term");
        let commands = [
            (Some(span(1_050, 1_060)), acquire(1)),
            (Some(span(1_141, 1_150)), acquire(1)),
            (Some(span(1_145, 1_150)), renew(FencingToken(1_141), 1, 3)),
            (Some(span(1_146, 1_150)), acquire(2)),
            (None, Command::Transfer { token: FencingToken(1_141), number: 2, to: HolderId(3) }),
            (Some(span(1_400, 1_450)), Command::Expire),
            (Some(span(1_400, 1_450)), acquire(2)),
            (Some(span(1_410, 1_450)), Command::Release { token: FencingToken(1_400), number: 1 }),
        ];
        let mut accepted = 0;
        for (now, command) in commands {
            // Send each entry through a log, and start each replica from a snapshot.
            let entry = serde_json::to_string(&(now, command)).expect("plain data");
            let (now, command): (Option<Interval>, Command) =
                serde_json::from_str(&entry).expect("as it was written");
            let snapshot = serde_json::to_string(&grantor).expect("plain data");
            let mut replica: Grantor = serde_json::from_str(&snapshot).expect("as it was written");
            assert_eq!(replica, grantor);
            let decision = grantor.apply(now, command);
            assert_eq!(replica.apply(now, command), decision, "{command:?}");
            assert_eq!(replica, grantor, "{command:?}");
            accepted += u32::from(decision.is_ok());
            let answer = serde_json::to_string(&decision).expect("plain data");
            let read: Result<Decision, GrantError> =
                serde_json::from_str(&answer).expect("the same");
            assert_eq!(read, decision);
        }
        assert_eq!(accepted, 6);
    }
}
