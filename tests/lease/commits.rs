//! Commit stamps under a lease: those of one holder come before those of the next, whichever
//! way the lease moves.

use std::time::Duration;

use truechimer::fence::FencingToken;
use truechimer::lease::{
    Command, CommitError, Grant, GrantError, Grantor, Holder, HolderId, Lease, LeaseError,
};
use truechimer::{ClockError, Hlc, HlcError, Interval, ManualClock, Timestamp};

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

fn span(earliest: i64, latest: i64) -> Interval {
    Interval::new(at(earliest), at(latest)).expect("written in order")
}

fn clock_at(earliest: i64, latest: i64) -> ManualClock {
    ManualClock::new(span(earliest, latest))
}

fn lease_until(expires: i64) -> Lease {
    Lease::new(FencingToken(7), at(expires))
}

/// The lease, which is free.
fn take(grantor: &mut Grantor, clock: &ManualClock, holder: &mut Holder) -> Lease {
    let decision = grantor.decide(clock, holder.acquire()).expect("it is free");
    holder.accept(&decision.grant().expect("it is granted")).expect("fresh")
}

/// The story of the issue. All clocks are honest, with intervals of 100 ms and of 2 ms.
#[test]
fn the_next_holder_takes_a_later_stamp_than_the_one_before() {
    const MS: i64 = 1_000_000;
    let mut grantor = Grantor::durable(Duration::from_secs(10)).expect("a term");
    let (mut a, mut b) = (Holder::new(HolderId(1)), Holder::new(HolderId(2)));
    // True time is 1 000 ms. The clock of A is wide, and that of B is narrow.
    let (clock_a, clock_b) = (clock_at(999 * MS, 1_099 * MS), clock_at(1_000 * MS, 1_002 * MS));
    let (hlc_a, hlc_b) = (Hlc::new(clock_a.clone()), Hlc::new(clock_b.clone()));
    let lease = take(&mut grantor, &clock_a, &mut a);
    let first = lease.commit_stamp(&hlc_a).expect("long before the end").timestamp();
    assert!(first >= at(1_099 * MS));

    // If A could release now, B would take 1 002 ms for a later transaction.
    let kept = lease.release(&clock_a).expect_err("its stamp has not passed");
    let refusal = LeaseError::StampNotPassed { stamp: first, earliest: at(999 * MS) };
    assert_eq!(kept.error(), &refusal);
    assert!(kept.is_transient());
    let lease = kept.into_lease();
    let taken = grantor.decide(&clock_b, b.acquire());
    assert!(matches!(taken, Err(GrantError::Taken { .. })), "A still has it: {taken:?}");

    let nanos = first.tai_nanos();
    clock_a.set(span(nanos, nanos + 100 * MS));
    let lease = lease.release(&clock_a).expect_err("it may be that moment").into_lease();
    clock_a.set(span(nanos + 1, nanos + 100 * MS));
    let release = lease.release(&clock_a).expect("it has passed");
    // True time is beyond the stamp, so `latest` of any honest clock of B is, too.
    clock_b.set(span(nanos - MS, nanos + 1));
    assert!(grantor.decide(&clock_b, release).is_ok());
    let lease = take(&mut grantor, &clock_b, &mut b);
    let second = lease.commit_stamp(&hlc_b).expect("long before the end").timestamp();
    assert!(first < second, "{first} and then {second}");
}

#[test]
fn a_transfer_waits_for_the_greatest_stamp_too() {
    let clock = clock_at(100, 180);
    let hlc = Hlc::new(clock.clone());
    let lease = lease_until(1_000);
    assert_eq!(lease.newest_stamp(), None);
    let stamps = [180, 300, 250].map(|latest| {
        clock.set(span(100, latest));
        lease.commit_stamp(&hlc).expect("before the end").timestamp()
    });
    // The clock got narrower before the third, which is above the second all the same.
    assert!(stamps.is_sorted(), "{stamps:?}");
    assert_eq!(lease.newest_stamp(), Some(stamps[2]));
    let greatest = stamps[2].tai_nanos();
    clock.set(span(greatest, 400));
    let kept = lease.transfer(&clock, HolderId(2)).expect_err("the greatest has not passed");
    clock.set(span(greatest + 1, 400));
    let message = kept.into_lease().transfer(&clock, HolderId(2)).expect("all have passed");
    assert!(matches!(message, Command::Transfer { to: HolderId(2), .. }));
}

#[test]
fn a_stamp_that_would_reach_the_end_is_refused_and_not_remembered() {
    // A commit stamp is `latest`, or the nanosecond after it.
    let cases = [(998, true), (1_000, false), (1_001, false), (5_000, false)];
    for (latest, is_covered) in cases {
        let clock = clock_at(900, latest);
        let hlc = Hlc::new(clock.clone());
        let lease = lease_until(1_000);
        match lease.commit_stamp(&hlc) {
            Ok(pending) => assert_eq!(lease.newest_stamp(), Some(pending.timestamp())),
            Err(CommitError::BeyondLease { stamp, expires }) => {
                assert!(stamp >= at(latest));
                assert_eq!(expires, at(1_000));
                assert_eq!(lease.newest_stamp(), None, "nothing has to be waited out");
                assert!(lease.release(&clock).is_ok());
                assert!(!is_covered, "{latest}");
                continue;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(is_covered, "{latest}");
    }
}

#[test]
fn the_end_that_counts_is_the_last_that_was_granted() {
    let clock = clock_at(900, 1_100);
    let hlc = Hlc::new(clock.clone());
    let lease = lease_until(1_000);
    assert!(lease.commit_stamp(&hlc).is_err());
    let longer = Grant { holder: HolderId(1), token: FencingToken(7), expires: at(1_500) };
    lease.renewed(&longer).expect("later");
    let stamp = lease.commit_stamp(&hlc).expect("before the new end").timestamp();
    assert!(stamp >= at(1_100) && stamp < at(1_500));
}

#[test]
fn the_coordinators_stamp_is_covered_like_any_other() {
    let clock = clock_at(900, 910);
    let hlc = Hlc::new(clock.clone());
    let lease = lease_until(1_000);
    let participant = |nanos| Hlc::new(clock_at(nanos, nanos)).commit_stamp().expect("it has time");
    let within = Duration::from_nanos(500);
    let (low, high) = (participant(950), participant(1_000));
    let pending = lease.commit_stamp_from(&hlc, low.provisional(), within).expect("before it");
    assert!(pending.timestamp() >= at(950));
    let newest = Some(pending.timestamp());
    assert_eq!(lease.newest_stamp(), newest);
    let refused = lease.commit_stamp_from(&hlc, high.provisional(), within);
    assert!(matches!(refused, Err(CommitError::BeyondLease { .. })), "{refused:?}");
    assert_eq!(lease.newest_stamp(), newest);
    let far = participant(2_000);
    let far = lease.commit_stamp_from(&hlc, far.provisional(), within);
    assert!(matches!(far, Err(CommitError::Hlc(HlcError::RemoteAhead { .. }))), "{far:?}");
}

#[test]
fn without_a_clock_a_lease_with_a_stamp_is_kept_and_one_without_is_released() {
    let clock = clock_at(100, 180);
    let hlc = Hlc::new(clock.clone());
    let (with, without) = (lease_until(1_000), lease_until(1_000));
    let _pending = with.commit_stamp(&hlc).expect("before the end");
    clock.fail(ClockError::Contradicted);
    let kept = with.release(&clock).expect_err("it may not have passed");
    assert_eq!(kept.error(), &LeaseError::NoClock(ClockError::Contradicted));
    assert!(without.release(&clock).is_ok());
    assert!(kept.into_lease().commit_stamp(&hlc).is_err());
}

/// Neither the crash nor the drop of a holder needs a wait: its stamps lie before the end.
#[test]
fn a_dropped_lease_needs_no_wait() {
    let term = Duration::from_nanos(100);
    let mut grantor = Grantor::durable(term).expect("a term");
    let (mut a, mut b) = (Holder::new(HolderId(1)), Holder::new(HolderId(2)));
    let clock = clock_at(1_000, 1_000);
    let lease = take(&mut grantor, &clock, &mut a);
    clock.set(span(1_000, 1_099));
    let first = lease.commit_stamp(&Hlc::new(clock.clone())).expect("before 1 100").timestamp();
    // The grantor and B have the best clock. Before 1 101 nothing is granted.
    let refused = (1_000..=1_100).all(|now| {
        clock.set(span(now, now));
        grantor.decide(&clock, b.acquire()).is_err()
    });
    assert!(refused);
    clock.set(span(1_101, 1_101));
    let lease = take(&mut grantor, &clock, &mut b);
    let second = lease.commit_stamp(&Hlc::new(clock)).expect("before the end").timestamp();
    assert!(first < second, "{first} and then {second}");
}

#[test]
fn stamps_of_many_threads_are_all_waited_out() {
    let clock = clock_at(100, 180);
    let hlc = Hlc::new(clock.clone());
    let lease = lease_until(1_000_000);
    let greatest = std::thread::scope(|scope| {
        let take = || (0..100).map(|_| lease.commit_stamp(&hlc).expect("room").timestamp()).max();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).max()
    });
    assert_eq!(lease.newest_stamp(), greatest);
}
