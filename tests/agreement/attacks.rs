//! `PeerClocks`: scenarios that have taken systems down, and attacks.
//!
//! Each test also shows a simpler rule that fails in the same scenario.

use std::cell::Cell;
use std::time::Duration;

use truechimer::agreement::Classification;
use truechimer::peers::{
    CounterLimits, Exchange, Nonce, PeerClocks, PeerError, PeerLimits, PeerReport, PeerVerdict,
    Relation, compare,
};
use truechimer::{ClockError, Interval, ManualClock, Reason, Timestamp};

/// `[a, b]` in milliseconds.
fn span(a: i64, b: i64) -> Interval {
    let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
    Interval::new(at(a), at(b)).expect("in order")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An exchange without delay, at true time and counter `at` ms, with a clock that is wrong by
/// `off` ms.
fn at_once(at: u64, off: i64) -> Exchange {
    let t = at as i64 + off;
    Exchange::new(ms(at), span(t - 5, t + 5), ms(at)).expect("in order")
}

#[test]
fn one_fast_node_never_stops_the_others() {
    for n in [3usize, 4, 5, 7, 12] {
        for fast in 0..n {
            for off in [-600_000i64, -1_000, 1_000, 600_000, 63 * 365 * 86_400_000] {
                let offset = |node| if node == fast { off } else { node as i64 % 3 };
                for us in 0..n {
                    let others = (0..n).filter(|&node| node != us);
                    let mut peers = PeerClocks::new(others.clone(), (n - 1) / 2).expect("n > 2f");
                    for node in others {
                        peers.observe(&node, at_once(10_000, offset(node))).expect("a member");
                    }
                    let verdict = peers.verdict(&at_once(10_001, offset(us)));
                    match verdict {
                        PeerVerdict::StepDown(c) => {
                            assert_eq!(us, fast);
                            assert!(c.off_by >= ms(off.unsigned_abs() - 20), "{c:?}");
                        }
                        verdict => assert_eq!(verdict, PeerVerdict::PeersWrong(vec![fast]), "{us}"),
                    }
                    // Broken variant: stop if any peer contradicts us. Then all nodes stop.
                    let contradicts =
                        |r: &PeerReport<usize>| r.against_ours != Some(Relation::Consistent);
                    assert!(peers.report(&at_once(10_001, offset(us))).iter().any(contradicts));
                }
            }
        }
    }
}

#[test]
fn a_peer_that_sends_different_answers_is_one_faulty_peer_to_each_node() {
    // It sends +1 h to "a" and -1 h to "b", which are both right.
    for (us, other, off) in [("a", "b", 3_600_000), ("b", "a", -3_600_000)] {
        let mut peers = PeerClocks::new([other, "janus"], 1).expect("3 > 2");
        peers.observe(&other, at_once(4_000_000, 1)).expect("a member");
        peers.observe(&"janus", at_once(4_000_000, off)).expect("a member");
        let verdict = peers.verdict(&at_once(4_000_001, 0));
        assert_eq!(verdict, PeerVerdict::PeersWrong(vec!["janus"]), "at {us}");
    }
}

#[test]
fn two_members_see_that_they_disagree_but_not_which_one_is_wrong() {
    let mut peers = PeerClocks::new(["b"], 0).expect("2 > 0");
    assert!(matches!(PeerClocks::new(["b"], 1), Err(PeerError::Quorum(_))));
    peers.observe(&"b", at_once(1_000, 300_000)).expect("a member");
    let reason = PeerError::TooManyWrong { wrong: 1, faulty: 0 };
    assert_eq!(peers.verdict(&at_once(1_000, 0)), PeerVerdict::NoQuorum(reason));
}

#[test]
fn contradiction_by_more_than_f_but_not_by_a_majority_does_not_stop_us() {
    // One of five may be wrong. Two contradict us and two are silent, so `f` may be too small.
    let mut peers = PeerClocks::new(["b", "c", "d", "e"], 1).expect("5 > 2");
    for peer in ["b", "c"] {
        peers.observe(&peer, at_once(100_000, 50_000)).expect("a member");
    }
    let reason = PeerError::Split { with_us: 1, needed: 3 };
    assert_eq!(peers.verdict(&at_once(100_000, 0)), PeerVerdict::NoQuorum(reason));
    // With a third one it is a majority, and we are told to stop.
    let mut majority = peers.clone();
    majority.observe(&"d", at_once(100_000, 50_001)).expect("a member");
    assert!(matches!(majority.verdict(&at_once(100_000, 0)), PeerVerdict::StepDown(_)));
    // Two that agree with us show that `f` was too small.
    for peer in ["d", "e"] {
        peers.observe(&peer, at_once(100_000, 1)).expect("a member");
    }
    let reason = PeerError::TooManyWrong { wrong: 2, faulty: 1 };
    assert_eq!(peers.verdict(&at_once(100_000, 0)), PeerVerdict::NoQuorum(reason));
}

#[test]
fn three_clocks_that_all_disagree_only_prove_that_two_are_wrong() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    peers.observe(&"b", at_once(100_000, 50_000)).expect("a member");
    peers.observe(&"c", at_once(100_000, -50_000)).expect("a member");
    let reason = PeerError::TooManyWrong { wrong: 2, faulty: 1 };
    assert_eq!(peers.verdict(&at_once(100_000, 0)), PeerVerdict::NoQuorum(reason));
    assert!(peers.report(&at_once(100_000, 0)).iter().all(|r| r.classification.is_none()));
}

#[test]
fn a_node_alone_has_no_quorum_but_with_one_of_two_peers_it_has() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    let reason = PeerError::TooFewHeard { heard: 1, needed: 2 };
    assert_eq!(peers.verdict(&at_once(1_000, 0)), PeerVerdict::NoQuorum(reason));
    peers.observe(&"b", at_once(1_000, 3)).expect("a member");
    assert_eq!(peers.verdict(&at_once(1_000, 0)), PeerVerdict::Agree);
    // A group of one member is a majority by itself.
    let alone = PeerClocks::<&str>::new([], 0).expect("1 > 0");
    assert_eq!(alone.verdict(&at_once(1_000, 0)), PeerVerdict::Agree);
}

#[test]
fn a_replayed_answer_is_refused() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2").seed(7);
    let old = peers.ask(&"b", ms(1_000)).expect("a member");
    let answer = span(1_000, 1_002);
    peers.answer(&"b", old, answer, ms(1_001)).expect("asked");

    // Ten seconds later the network or an attacker delivers it again.
    let new = peers.ask(&"b", ms(11_000)).expect("a member");
    assert_ne!(new, old);
    let cases = [
        ("a duplicate", "b", old),
        ("from another peer", "c", new),
        ("never asked", "b", Nonce::from_bits(new.to_bits() ^ 1)),
    ];
    for (name, peer, nonce) in cases {
        let accepted = peers.answer(&peer, nonce, answer, ms(11_001));
        assert_eq!(accepted, Err(PeerError::UnknownNonce), "{name}");
    }
    assert!(PeerError::UnknownNonce.is_transient());
    assert_eq!(peers.verdict(&at_once(11_001, 0)), PeerVerdict::Agree);

    // Broken variant: matched with the newest request, it makes a right peer seem to be behind.
    let mistaken = Exchange::new(ms(11_000), answer, ms(11_001)).expect("in order");
    peers.observe(&"b", mistaken).expect("a member");
    let report = peers.report(&at_once(11_001, 0));
    assert!(matches!(report[0].against_ours, Some(Relation::Behind(_))));
    assert_eq!(report[0].self_contradictions, 1);
    // The right answer to the open request is still accepted, and corrects that.
    peers.answer(&"b", new, span(11_000, 11_002), ms(11_003)).expect("still open");
    assert_eq!(peers.verdict(&at_once(11_003, 0)), PeerVerdict::Agree);
}

#[test]
fn asymmetry_within_the_round_trip_calls_no_clock_wrong() {
    // Two seconds in one direction and none in the other: the peer read its clock at either end.
    let slow_there = Exchange::new(ms(8_000), span(9_999, 10_001), ms(10_000)).expect("in order");
    let slow_back = Exchange::new(ms(8_000), span(7_999, 8_001), ms(10_000)).expect("in order");
    for exchange in [slow_there, slow_back] {
        let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
        peers.observe(&"b", exchange).expect("a member");
        assert_eq!(peers.verdict(&at_once(10_000, 0)), PeerVerdict::Agree);
        // Broken variant: half of the round trip in each direction. It finds an error of a second.
        let middle = (exchange.sent() + exchange.received()) / 2;
        let halved = Exchange::new(middle, exchange.theirs(), middle).expect("in order");
        peers.observe(&"b", halved).expect("a member");
        assert!(matches!(peers.verdict(&at_once(10_000, 0)), PeerVerdict::NoQuorum(_)));
    }
}

#[test]
fn carrying_evidence_by_the_clock_on_trial_hides_its_step() {
    // "b" answered at 1 s. At 5 s our clock stepped forward by 10 s. "c" answered at 6 s.
    let step = 10_000;
    let scene = |b_carried_by: u64| {
        let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
        // By the counter, "b" answered at 1 s. By our clock, that was 10 s longer ago.
        let heard = ms(21_000 - b_carried_by);
        let b = Exchange::new(heard, span(995, 1_005), heard).expect("in order");
        peers.observe(&"b", b).expect("a member");
        let c = Exchange::new(ms(21_000), span(5_995, 6_005), ms(21_000)).expect("in order");
        peers.observe(&"c", c).expect("a member");
        let t = 6_000 + step;
        let ours = Exchange::new(ms(21_000), span(t - 5, t + 5), ms(21_000)).expect("in order");
        peers.verdict(&ours)
    };
    assert!(matches!(scene(5_000), PeerVerdict::StepDown(_)), "carried by the counter");
    assert_eq!(
        scene(5_000 + step as u64),
        PeerVerdict::PeersWrong(vec!["c"]),
        "carried by our clock"
    );
}

#[test]
fn old_evidence_widens_by_the_drift_and_then_no_longer_counts() {
    let counter = CounterLimits::default().max_drift_ppm(1_000).step(Duration::ZERO);
    let limits = PeerLimits::default().counter(counter).max_age(ms(10_000)).max_width(ms(500));
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2").limits(limits);
    let heard = Exchange::new(ms(1_000), span(1_000, 1_002), ms(1_000)).expect("in order");
    peers.observe(&"b", heard).expect("a member");
    let interval = |at| peers.report(&at_once(at, 0))[0].interval;
    assert_eq!(interval(1_000), Some(span(1_000, 1_002)));
    let aged = interval(11_000).expect("fresh");
    assert_eq!(aged.hull(&span(11_012, 11_012)), aged, "10 s at 1000 ppm, in both directions");
    assert_eq!(aged.hull(&span(10_990, 11_013)), span(10_990, 11_013), "and no more");
    assert_eq!(interval(11_001), None);
    let back = interval(0).expect("fresh");
    assert_eq!(back.hull(&span(0, 3)), back, "carried back");
    let silent = PeerError::TooFewHeard { heard: 1, needed: 2 };
    assert_eq!(peers.verdict(&at_once(11_001, 0)), PeerVerdict::NoQuorum(silent));

    // An answer that is too wide does not count either, nor one that was under way for too long.
    let wide = Exchange::new(ms(11_000), span(0, 60_000), ms(11_000)).expect("in order");
    let late = Exchange::new(ms(1_000), span(11_000, 11_001), ms(11_000)).expect("in order");
    for exchange in [wide, late] {
        let refused = peers.observe(&"c", exchange).expect_err("too wide");
        assert!(matches!(refused, PeerError::TooWide { limit, .. } if limit == ms(500)));
        assert!(refused.is_transient());
    }
}

#[test]
fn several_exchanges_with_one_peer_narrow_its_interval() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    let slow = Exchange::new(ms(1_000), span(1_795, 1_805), ms(2_000)).expect("in order");
    peers.observe(&"b", slow).expect("a member");
    peers.observe(&"b", at_once(2_500, 0)).expect("a member");
    let slow = Exchange::new(ms(3_000), span(3_195, 3_205), ms(4_000)).expect("in order");
    peers.observe(&"b", slow).expect("a member");
    let interval = peers.report(&at_once(4_000, 0))[0].interval.expect("it answered");
    assert!(interval.width() < ms(12), "the quickest exchange counts: {interval:?}");
    assert!(interval.contains(span(4_000, 4_000).earliest()));
}

#[test]
fn a_repaired_clock_counts_again_and_a_late_wrong_answer_does_not() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    peers.observe(&"c", at_once(1_000, 0)).expect("a member");
    peers.observe(&"b", at_once(1_000, 90_000)).expect("a member");
    assert_eq!(peers.verdict(&at_once(1_001, 0)), PeerVerdict::PeersWrong(vec!["b"]));
    peers.observe(&"b", at_once(2_000, 0)).expect("a member");
    assert_eq!(peers.verdict(&at_once(2_001, 0)), PeerVerdict::Agree);
    // An earlier exchange that is recorded late does not bring the wrong answer back.
    peers.observe(&"b", at_once(1_500, 90_000)).expect("a member");
    assert_eq!(peers.verdict(&at_once(2_001, 0)), PeerVerdict::Agree);
    assert_eq!(peers.report(&at_once(2_001, 0))[0].self_contradictions, 2);
}

#[test]
fn a_contradicted_answer_never_counts_again() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    peers.observe(&"b", at_once(1_000, 9_000)).expect("a member");
    peers.observe(&"b", at_once(2_000, 0)).expect("a member");
    // This one is wide and contains the first answer, but not the second.
    let wide = Exchange::new(ms(3_000), span(7_000, 13_000), ms(3_000)).expect("in order");
    peers.observe(&"b", wide).expect("a member");
    let interval = peers.report(&at_once(3_000, 0))[0].interval.expect("it answered");
    assert!(interval.width() >= ms(6_000), "only its last answer counts: {interval:?}");
}

#[test]
fn after_a_suspend_that_the_counter_missed_forget_prevents_a_false_verdict() {
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    peers.observe(&"b", at_once(1_000, 0)).expect("a member");
    peers.observe(&"c", at_once(1_000, 0)).expect("a member");
    let open = peers.ask(&"b", ms(1_500)).expect("a member");
    // The machine slept for a minute. Our clock is right again, but the counter stood still.
    let ours = Exchange::new(ms(2_000), span(61_995, 62_005), ms(2_000)).expect("in order");
    // Broken variant: evidence from before the suspend is kept.
    assert!(matches!(peers.verdict(&ours), PeerVerdict::StepDown(_)));
    peers.forget();
    let reason = PeerError::TooFewHeard { heard: 1, needed: 2 };
    assert_eq!(peers.verdict(&ours), PeerVerdict::NoQuorum(reason));
    // A request from before cannot tell how long its answer was under way.
    let late = peers.answer(&"b", open, span(1_499, 1_501), ms(2_000));
    assert_eq!(late, Err(PeerError::UnknownNonce));
}

#[test]
fn members_are_counted_once_and_other_nodes_not_at_all() {
    assert_eq!(PeerClocks::new(["b", "b"], 1).err(), Some(PeerError::DuplicatePeer));
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    assert_eq!(peers.ask(&"x", ms(1)), Err(PeerError::UnknownPeer));
    assert_eq!(peers.observe(&"x", at_once(1, 0)), Err(PeerError::UnknownPeer));
    let backwards = Exchange::new(ms(2), span(0, 1), ms(1));
    assert!(matches!(backwards, Err(PeerError::ReceivedBeforeSent { .. })));
}

#[test]
fn unbounded_ends_stay_unbounded() {
    let limits = CounterLimits::default();
    let (min, max) = (Timestamp::MIN, Timestamp::MAX);
    let all = Exchange::new(ms(5), Interval::EVERYTHING, ms(6)).expect("in order");
    for at in [Duration::ZERO, ms(5), ms(9), Duration::MAX] {
        assert_eq!(all.at(at, &limits), Interval::EVERYTHING);
    }
    let last = Exchange::new(ms(5), Interval::from(max), ms(6)).expect("in order");
    assert_eq!(last.at(Duration::MAX, &limits), Interval::from(max));
    let first = Exchange::new(ms(5), Interval::from(min), ms(6)).expect("in order");
    assert!(first.at(ms(7), &limits).contains(min));
    let long = Exchange::new(Duration::ZERO, span(0, 1), Duration::MAX).expect("in order");
    assert_eq!(long.at(Duration::MAX, &limits).latest(), max);
}

#[test]
fn two_clocks_are_compared_by_containment_only() {
    let cases = [
        // sent, theirs, received, relation
        (span(100, 104), span(90, 99), span(140, 144), Some(Relation::Behind(ms(1)))),
        (span(100, 104), span(90, 100), span(140, 144), Some(Relation::Consistent)),
        (span(100, 104), span(144, 150), span(140, 144), Some(Relation::Consistent)),
        (span(100, 104), span(145, 150), span(140, 144), Some(Relation::Ahead(ms(1)))),
        (span(100, 104), span(0, 1_000), span(140, 144), Some(Relation::Consistent)),
        (span(100, 104), span(50, 51), span(10, 14), None), // our own clock stepped back
    ];
    for (sent, theirs, received, relation) in cases {
        assert_eq!(compare(&sent, &theirs, &received), relation, "{theirs:?}");
    }
}

#[test]
fn our_own_clock_is_read_between_two_readings_of_the_counter() {
    let clock = ManualClock::new(span(999, 1_001));
    let mut peers = PeerClocks::new(["b", "c"], 1).expect("3 > 2");
    peers.observe(&"b", at_once(1_000, 0)).expect("a member");
    peers.observe(&"c", at_once(1_000, 0)).expect("a member");
    // We are stopped for 2 s between reading the clock and the counter. Our clock is still right.
    let reads = Cell::new(0);
    let counter = || ms([1_000, 3_000][reads.replace(1)]);
    assert_eq!(peers.check(&clock, counter), Ok(PeerVerdict::Agree));
    // Broken variant: the counter is read only once, afterwards. It tells a right clock to stop.
    let once = Exchange::new(ms(3_000), span(999, 1_001), ms(3_000)).expect("in order");
    assert!(matches!(peers.verdict(&once), PeerVerdict::StepDown(_)));
    assert_eq!(peers.report(&once)[0].classification, Some(Classification::Truechimer));

    clock.fail(ClockError::Unsynchronized(Reason::TooOld));
    assert!(peers.check(&clock, || ms(1_000)).is_err());
}
