//! The promises of the hybrid logical clock, case by case, on a clock that the test moves.

use std::time::Duration;

use crate::support::{TODAY, UNSYNCHRONIZED, at, manual, span};
use truechimer::{Hlc, HlcError, ManualClock, PendingCommit, Stamp, Visibility};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

fn stamp(nanos: i64) -> Stamp {
    Stamp::from(at(nanos))
}

/// A node whose clock reads `[TODAY - early, TODAY + late]`.
fn node(early: i64, late: i64) -> Hlc<ManualClock> {
    Hlc::new(manual(TODAY - early, TODAY + late))
}

#[test]
fn a_stamp_is_earliest_or_one_more_than_the_last() {
    let hlc = node(0, 0);
    let clock = hlc.clock();
    // earliest, latest, the expected stamp: all counted from TODAY
    for (earliest, latest, expected) in
        [(0, 0, 0), (0, 0, 1), (0, 0, 2), (2, 9, 3), (4, 9, 4), (100, 200, 100), (50, 200, 101)]
    {
        clock.set(span(TODAY + earliest, TODAY + latest));
        assert_eq!(hlc.stamp().expect("a stamp"), stamp(TODAY + expected));
    }
}

#[test]
fn a_stamp_before_1970_keeps_its_order() {
    let hlc = Hlc::new(manual(-5, 5));
    let stamps: Vec<_> = (0..10).map(|_| hlc.stamp().expect("a stamp")).collect();
    assert!(stamps.is_sorted_by(|a, b| a < b));
    assert_eq!(stamps[0].timestamp(), at(-5));
}

#[test]
fn a_stamp_beyond_latest_is_refused_and_changes_nothing() {
    // remote, tolerance, how far beyond the limit it is
    let cases = [
        (100, 0, None),
        (101, 0, Some(1)),
        (100 + HOUR, 0, Some(HOUR)),
        (150, 50, None),
        (151, 50, Some(1)),
        // hlc-gen accepts this one by default.
        (63 * 365 * 24 * HOUR, SECOND, Some(63 * 365 * 24 * HOUR - SECOND - 100)),
    ];
    for (remote, tolerance, refused) in cases {
        let clock = manual(TODAY - 100, TODAY + 100);
        let hlc = Hlc::builder(clock).tolerance(Duration::from_nanos(tolerance as u64)).build();
        let before = hlc.stamp().expect("a stamp");
        let remote = stamp(TODAY + remote);
        match (hlc.observe(remote), refused) {
            (Ok(own), None) => assert!(own > remote && hlc.last() == own),
            (Err(HlcError::RemoteAhead { remote: named, latest, by, .. }), Some(expected)) => {
                assert_eq!((named, latest), (remote, at(TODAY + 100)));
                assert_eq!(by, Duration::from_nanos(expected as u64));
                assert_eq!(hlc.last(), before, "a refused stamp changed something");
            }
            (result, _) => panic!("{remote:?}: {result:?}"),
        }
    }
}

#[test]
fn a_stamp_that_was_reached_is_never_refused() {
    let hlc = node(100, 100);
    let reached = hlc.observe(stamp(TODAY + 100)).expect("not beyond latest");
    hlc.clock().set(span(TODAY - HOUR, TODAY - HOUR + 1));
    hlc.note(reached).expect("reached before, whatever the clock reads now");
    hlc.note(stamp(TODAY)).expect("below it too");
    hlc.clock().fail(UNSYNCHRONIZED);
    hlc.note(reached).expect("without a clock too");
    let next = reached.next().expect("not the last");
    assert!(
        matches!(hlc.note(next), Err(HlcError::Clock(_))),
        "a larger stamp has to be compared with the clock"
    );
}

#[test]
fn a_poisoned_node_reports_it_and_does_not_spread_it() {
    // After a backward step of an hour, the stamps of uhlc stay an hour ahead.
    let hlc = node(-HOUR, HOUR + 10);
    hlc.stamp().expect("the clock is wrong, but nothing shows it yet");
    hlc.clock().set(span(TODAY, TODAY + 10));
    for result in [hlc.stamp(), hlc.observe(stamp(TODAY + 5)), hlc.check().map(|()| Stamp::MIN)] {
        match result {
            Err(HlcError::Poisoned { register, latest, by }) => {
                assert_eq!((register, latest), (stamp(TODAY + HOUR), at(TODAY + 10)));
                assert_eq!(by, Duration::from_nanos(HOUR as u64 - 10));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(hlc.commit_stamp(), Err(HlcError::Poisoned { .. })));
    hlc.note(stamp(TODAY + 5)).expect("a healthy peer is not refused");

    // It recovers by waiting.
    hlc.clock().set(span(TODAY + HOUR + 1, TODAY + HOUR + 11));
    hlc.check().expect("passed");
    assert_eq!(hlc.stamp().expect("passed"), stamp(TODAY + HOUR + 1));

    // It also recovers when an operator resets it.
    hlc.clock().set(span(TODAY, TODAY + 10));
    assert!(hlc.stamp().is_err());
    assert_eq!(hlc.reset().expect("the clock has a reading"), stamp(TODAY + HOUR + 1));
    let after = hlc.stamp().expect("reset");
    assert!(after >= stamp(TODAY) && after <= stamp(TODAY + 10));
}

#[test]
fn poison_of_one_nanosecond_is_detected() {
    let hlc = node(0, 0);
    hlc.stamp().expect("exact");
    hlc.clock().set(span(TODAY - 1, TODAY - 1));
    assert!(matches!(hlc.stamp(), Err(HlcError::Poisoned { .. })));
}

#[test]
fn logical_steps_on_a_clock_that_stands_still_are_not_poison() {
    // The crate hlc wraps after 65 536 stamps of one instant.
    let hlc = node(0, 0);
    let mut last = Stamp::MIN;
    for _ in 0..200_000 {
        let next = hlc.stamp().expect("explained by logical steps");
        assert!(next > last);
        last = next;
    }
    assert_eq!(last, stamp(TODAY + 199_999));
    // While a commit is outstanding, it counts in twos.
    let commit = hlc.commit_stamp().expect("explained too").provisional().to_stored();
    for _ in 0..10 {
        let next = hlc.stamp().expect("explained by logical steps");
        assert!(next > last && next != commit);
        last = next;
    }
}

#[test]
fn a_receive_never_goes_back() {
    // In the crate hybrid-logical-clock it does.
    let hlc = node(10, 10);
    let mut last = hlc.stamp().expect("a stamp");
    for remote in [TODAY - HOUR, TODAY, TODAY + 10, TODAY - 1, i64::MIN] {
        let own = hlc.observe(stamp(remote)).expect("not ahead");
        assert!(own > last && own > stamp(remote));
        last = own;
    }
}

#[test]
fn one_bad_message_does_not_capture_a_node() {
    // It does capture a clock of the crate hybrid-clocks.
    let hlc = node(10, 10);
    for bad in [Stamp::MAX, stamp(TODAY + HOUR), stamp(TODAY + 11)] {
        assert!(hlc.observe(bad).is_err());
    }
    assert_eq!(hlc.stamp().expect("a stamp"), stamp(TODAY - 10));
}

#[test]
fn a_commit_stamp_stays_out_of_the_register_until_it_has_passed() {
    let hlc = node(1_000, 1_000);
    let ordinary = hlc.stamp().expect("a stamp");
    let commit = hlc.commit_stamp().expect("a commit stamp");
    let provisional = commit.provisional();
    assert!(provisional >= stamp(TODAY + 1_000) && provisional > ordinary);
    assert!(hlc.stamp().expect("a stamp") < stamp(TODAY), "ordinary stamps stay behind");

    let commit = match hlc.release(commit) {
        Err(error) => {
            let reached = match error.error() {
                HlcError::NotPassed { earliest, .. } => *earliest,
                other => panic!("{other:?}"),
            };
            assert_eq!(reached, at(TODAY - 1_000));
            assert!(error.is_transient());
            error.into_pending()
        }
        Ok(stamp) => panic!("{stamp:?} was released too early"),
    };
    hlc.clock().fail(UNSYNCHRONIZED);
    let commit = hlc.release(commit).expect_err("no clock").into_pending();
    hlc.clock().set(span(provisional.timestamp().tai_nanos(), TODAY + 9_000));
    let commit = hlc.release(commit).expect_err("equal is not after").into_pending();
    hlc.clock().set(span(provisional.timestamp().tai_nanos() + 1, TODAY + 9_000));
    assert_eq!(hlc.release(commit).expect("passed"), provisional);
    assert!(hlc.stamp().expect("a stamp") > provisional);
}

#[test]
fn commit_stamps_increase_and_are_above_every_stamp_seen() {
    let hlc = node(100, 100);
    let mut last = Stamp::MIN;
    for _ in 0..5 {
        let seen = hlc.observe(stamp(TODAY + 50)).expect("not ahead");
        let next = hlc.commit_stamp().expect("a commit stamp").provisional().to_stored();
        assert!(next > last && next > seen && next >= stamp(TODAY + 100));
        last = next;
    }
    // They still increase when the interval narrows.
    hlc.clock().set(span(TODAY + 50, TODAY + 60));
    assert!(hlc.commit_stamp().is_ok_and(|commit| commit.provisional() > last));
}

#[test]
fn a_coordinators_stamp_is_not_below_its_participants() {
    let hlc = node(100, 100);
    let within = Duration::from_nanos(500);
    let mut last = Stamp::MIN;
    // The stamp under which a participant prepared, from TODAY; how far beyond the limit it is.
    let cases = [(-HOUR, None), (100, None), (101, None), (600, None), (601, Some(1)), (300, None)];
    for (prepared, refused) in cases {
        match (hlc.commit_stamp_from(stamp(TODAY + prepared), within), refused) {
            (Ok(commit), None) => {
                let commit = commit.provisional().to_stored();
                assert!(commit > last && commit >= stamp(TODAY + prepared.max(100)), "{prepared}");
                last = commit;
            }
            (Err(HlcError::RemoteAhead { remote, by, tolerance, .. }), Some(more)) => {
                assert_eq!((remote, tolerance), (stamp(TODAY + prepared), within));
                assert_eq!(by, Duration::from_nanos(more));
            }
            (other, _) => panic!("{prepared}: {other:?}"),
        }
    }
    // A refused stamp changes nothing, and ordinary stamps are not affected.
    assert!(last <= stamp(TODAY + 604));
    assert!(hlc.stamp().expect("a stamp") < stamp(TODAY));
}

#[test]
fn a_resumed_commit_is_waited_out_and_its_stamp_belongs_to_nobody_else() {
    let clock = manual(TODAY, TODAY + 20);
    let before = Hlc::new(clock.clone());
    let log = before.commit_stamp().expect("a commit stamp").provisional().to_stored();
    let hlc = Hlc::new(clock);
    let mut pending = Some(hlc.resume(log));
    assert_eq!(pending.as_ref().map(|commit| commit.timestamp()), Some(log.timestamp()));
    let commit = hlc.commit_stamp().expect("not beyond latest").provisional();
    assert!(commit > log, "{commit:?} is not above {log:?}");
    for tick in 0..40 {
        hlc.clock().set(span(TODAY + tick, TODAY + tick + 20));
        assert_ne!(hlc.stamp().expect("ordinary stamps go on"), log);
        let Some(commit) = pending.take() else { continue };
        match hlc.release(commit) {
            Ok(stamp) => {
                assert!(stamp == log && at(TODAY + tick) > log.timestamp(), "too early");
                assert!(hlc.stamp().expect("a stamp") > log);
            }
            Err(early) => {
                assert!(at(TODAY + tick) <= log.timestamp(), "{early} is late");
                pending = Some(early.into_pending());
            }
        }
    }
    assert!(pending.is_none(), "it was never released");
}

#[test]
fn a_resumed_commit_of_a_wrong_clock_does_not_take_new_commits_along() {
    let hlc = node(0, 10);
    let _far = hlc.resume(stamp(TODAY + HOUR + 1));
    assert!(hlc.stamp().is_ok(), "ordinary stamps go on");
    let error = hlc.commit_stamp().expect_err("it would be an hour ahead");
    assert!(
        matches!(error, HlcError::Ahead { register, .. } if register == stamp(TODAY + HOUR + 1))
    );
    assert!(error.is_transient());
    hlc.clock().set(span(TODAY + HOUR, TODAY + HOUR + 10));
    let commit = hlc.commit_stamp().expect("latest has reached it");
    assert!(commit.provisional() > stamp(TODAY + HOUR + 1));

    // An operator may give it up.
    let hlc = node(0, 10);
    let _last = hlc.resume(Stamp::MAX);
    assert!(hlc.stamp().is_ok() && hlc.commit_stamp().is_err());
    hlc.reset().expect("the clock has a reading");
    drop(hlc.commit_stamp().expect("given up"));
}

#[test]
fn an_even_stamp_that_is_resumed_is_not_issued_again_either() {
    // A commit stamp of this crate is odd. This one is of something else.
    let hlc = node(0, 20);
    let commit = hlc.resume(stamp(TODAY + 10));
    for tick in [0, 9, 10] {
        hlc.clock().set(span(TODAY + tick, TODAY + tick + 20));
        assert!(matches!(hlc.stamp(), Err(HlcError::Ahead { .. })), "{tick}");
    }
    hlc.clock().set(span(TODAY + 11, TODAY + 31));
    assert_eq!(hlc.release(commit).expect("passed"), stamp(TODAY + 10));
    assert!(hlc.stamp().expect("passed") > stamp(TODAY + 10));
}

#[test]
fn own_history_ahead_of_the_clock_is_waited_for_and_blames_nobody() {
    // A node restored from a backup replays its log, whose greatest stamp is ahead of its clock.
    let history = [TODAY + 100, TODAY + 500, TODAY - HOUR].map(stamp);
    let clock = manual(TODAY, TODAY + 10);
    let plain = Hlc::new(clock.clone());
    let blamed = plain.note(history[1]).expect_err("it is beyond latest");
    assert!(blamed.to_string().contains("`HlcBuilder::not_below`"), "{blamed}");

    let builder = history.into_iter().fold(Hlc::builder(clock), |b, stamp| b.not_below(stamp));
    let hlc = builder.build();
    for own in history {
        hlc.note(own).expect("its own stamp, whatever the clock reads");
    }
    for earliest in [0, 100, 499, 500] {
        hlc.clock().set(span(TODAY + earliest, TODAY + earliest + 10));
        for result in [hlc.stamp(), hlc.check().map(|()| Stamp::MIN)] {
            match result {
                Err(HlcError::Ahead { register, by, .. }) => {
                    assert_eq!(register, history[1]);
                    assert_eq!(by, Duration::from_nanos(501 - earliest as u64));
                }
                other => panic!("{earliest}: {other:?}"),
            }
        }
        let commit = hlc.commit_stamp().map(|commit| commit.provisional().to_stored());
        match commit {
            Ok(commit) => assert!(earliest >= 490 && commit > history[1]),
            Err(error) => assert!(earliest < 490 && matches!(error, HlcError::Ahead { .. })),
        }
    }
    assert!(hlc.stamp_logical().expect("causality") > history[1]);
    hlc.clock().set(span(TODAY + 600, TODAY + 610));
    assert!(hlc.stamp().expect("passed") > history[1]);
}

#[test]
fn no_ordinary_stamp_is_a_commit_stamp() {
    // Time passes in single nanoseconds, past every outstanding commit stamp.
    let clock = manual(TODAY, TODAY + 20);
    let hlc = Hlc::new(clock);
    let (mut pending, mut ordinary) = (Vec::<PendingCommit>::new(), Vec::new());
    for tick in 0..2_000 {
        hlc.clock().set(span(TODAY + tick, TODAY + tick + 20));
        if tick % 3 == 0 {
            pending.push(hlc.commit_stamp().expect("a commit stamp"));
        }
        ordinary.push(hlc.stamp().expect("a stamp"));
    }
    assert!(ordinary.is_sorted_by(|a, b| a < b));
    for commit in pending {
        assert!(
            ordinary.binary_search(&commit.provisional().to_stored()).is_err(),
            "{commit:?} twice"
        );
    }
}

#[test]
fn without_a_clock_stamps_still_keep_causality() {
    let hlc = node(10, 10);
    let before = hlc.stamp().expect("a stamp");
    hlc.clock().fail(UNSYNCHRONIZED);
    assert!(matches!(hlc.stamp(), Err(HlcError::Clock(_))));
    assert!(matches!(hlc.commit_stamp(), Err(HlcError::Clock(_))));
    let first = hlc.stamp_logical().expect("causality");
    let received = hlc.observe_logical(stamp(TODAY + SECOND)).expect("accepted without a check");
    let last = hlc.stamp_logical().expect("causality");
    assert!(before < first && first < received && received < last);
    assert!(received > stamp(TODAY + SECOND));

    // The clock works again, but time has not passed the issued stamps. So none is sent.
    hlc.clock().set(span(TODAY, TODAY + 2 * SECOND));
    match hlc.stamp() {
        Err(error @ HlcError::Ahead { register, .. }) => {
            assert!(register == last && error.is_transient());
        }
        other => panic!("{other:?}"),
    }
    hlc.clock().set(span(TODAY + SECOND + 100, TODAY + 2 * SECOND));
    assert!(hlc.stamp().is_ok_and(|next| next > last));
}

#[test]
fn with_a_clock_a_logical_stamp_is_an_ordinary_one() {
    let hlc = node(10, 10);
    assert_eq!(hlc.stamp_logical().expect("a stamp"), stamp(TODAY - 10));
    assert!(matches!(hlc.observe_logical(stamp(TODAY + 11)), Err(HlcError::RemoteAhead { .. })));
}

#[test]
fn after_the_last_stamp_there_is_an_error_and_no_panic() {
    let hlc = Hlc::new(manual(i64::MAX - 1, i64::MAX));
    hlc.observe(Stamp::MAX).expect_err("nothing is above it");
    for _ in 0..3 {
        assert!(matches!(hlc.stamp(), Err(HlcError::Exhausted)));
        assert!(matches!(hlc.stamp_logical(), Err(HlcError::Exhausted)));
        assert!(matches!(hlc.commit_stamp(), Err(HlcError::Exhausted)));
    }
    hlc.clock().set(span(TODAY, TODAY + 10));
    hlc.reset().expect("the clock has a reading");
    hlc.stamp().expect("it continues");
}

#[test]
fn a_readers_uncertainty_covers_what_may_have_been_committed_before_it_started() {
    let hlc = node(100, 100);
    let range = hlc.read_uncertainty().expect("a range");
    assert_eq!((range.at(), range.limit()), (stamp(TODAY - 100), stamp(TODAY + 100)));
    assert_eq!(range.classify(stamp(TODAY - 100)), Visibility::InSnapshot);
    assert!(range.contains(stamp(TODAY - 99)) && range.contains(stamp(TODAY + 100)));
    assert_eq!(range.classify(stamp(TODAY + 101)), Visibility::Later);
}
