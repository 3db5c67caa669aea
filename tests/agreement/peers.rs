//! `PeerClocks`, in random histories with a known true time.
//!
//! Our counter drifts, messages take any time in either direction, and faulty members send any
//! answer. The test shows for up to `f` faulty members:
//!
//! 1. A right clock is never told to stop, and a right peer is never called wrong.
//! 2. A right clock is told to continue once all right peers have answered.
//! 3. A wrong clock is told to stop once all right peers have answered.
//! 4. With `f + 1` faulty members these promises break. So the limit is sharp, and the test can
//!    fail.
//!
//! `tests/agreement/attacks.rs` has single scenarios.

use std::time::Duration;

use proptest::prelude::*;
use truechimer::agreement::Classification;
use truechimer::peers::{Exchange, PeerClocks, PeerError, PeerVerdict};
use truechimer::{Interval, Timestamp};

const MS: i64 = 1_000_000;

/// The behaviour of one member.
#[derive(Clone, Debug)]
struct Script {
    /// How far a right interval extends to either side of true time, in ns.
    below: i64,
    above: i64,
    /// Where a faulty interval begins, counted from true time, and how wide it is, in ns.
    fault: (i64, i64),
    /// How long the message takes to the peer and back, in ns of true time.
    there: i64,
    back: i64,
    /// How long before the verdict the request is sent, in ns of true time.
    asked: i64,
    /// Whether the answer arrives.
    heard: bool,
}

fn script() -> impl Strategy<Value = Script> {
    let ends = (0..20 * MS, 0..20 * MS);
    let fault = (-500 * MS..500 * MS, 0..1_000 * MS);
    let ways = (0..300 * MS, 0..300 * MS, 1_000 * MS..9_000 * MS);
    (ends, fault, ways, prop::bool::weighted(0.8)).prop_map(
        |((below, above), fault, ways, heard)| {
            let (there, back, asked) = ways;
            Script { below, above, fault, there, back, asked, heard }
        },
    )
}

/// The world. Member 0 is us.
#[derive(Clone, Debug)]
struct World {
    truth: i64,
    counter_ppm: i64,
    members: Vec<Script>,
    faulty: Vec<bool>,
}

impl World {
    fn counter(&self, truth: i64) -> Duration {
        let since = i128::from(truth - (self.truth - 100_000 * MS));
        let ticks = since * i128::from(1_000_000 + self.counter_ppm) / 1_000_000;
        Duration::from_nanos(u64::try_from(ticks).expect("after the start"))
    }

    fn answer(&self, i: usize, truth: i64) -> Interval {
        let m = &self.members[i];
        let (a, b) = match self.faulty[i] {
            true => (truth + m.fault.0, truth + m.fault.0 + m.fault.1),
            false => (truth - m.below, truth + m.above),
        };
        let at = Timestamp::from_tai_nanos;
        Interval::new(at(a), at(b)).expect("in order")
    }

    fn ours(&self) -> Exchange {
        let (before, after) = (self.counter(self.truth - 100), self.counter(self.truth));
        Exchange::new(before, self.answer(0, self.truth), after).expect("in order")
    }

    fn peers(&self, faulty: usize) -> PeerClocks<usize> {
        let mut peers = PeerClocks::new(1..self.members.len(), faulty).expect("n > 2f");
        for (i, m) in self.members.iter().enumerate().skip(1).filter(|(_, m)| m.heard) {
            let sent = self.truth - m.asked;
            let nonce = peers.ask(&i, self.counter(sent)).expect("a member");
            let answer = self.answer(i, sent + m.there);
            let received = self.counter(sent + m.there + m.back);
            peers.answer(&i, nonce, answer, received).expect("asked, and not too wide");
        }
        peers
    }

    /// Whether the present answer of a member does not contain the truth.
    fn is_wrong(&self, i: usize) -> bool {
        !self.answer(i, self.truth).contains(Timestamp::from_tai_nanos(self.truth))
    }
}

/// `n` members, of which `faulty` are faulty, in random positions.
fn world(n: usize, faulty: usize) -> impl Strategy<Value = World> {
    let faulty = Just((0..n).map(|i| i < faulty).collect::<Vec<_>>()).prop_shuffle();
    let members = prop::collection::vec(script(), n);
    (members, faulty, -200i64..=200, 0..1_000_000 * MS).prop_map(|(members, faulty, ppm, truth)| {
        World { truth: truth + 1_000_000 * MS, counter_ppm: ppm, members, faulty }
    })
}

/// Groups of 1 to 9 with up to as many faulty members as the limit allows.
fn at_the_limit() -> impl Strategy<Value = (World, usize)> {
    (1usize..=9).prop_flat_map(|n| {
        let faulty = (n - 1) / 2;
        (0..=faulty).prop_flat_map(move |f| (world(n, f), Just(f)))
    })
}

/// Checks promises 1 to 3. The error names the broken promise.
fn check_promises(world: &World, faulty: usize) -> Result<(), String> {
    let peers = world.peers(faulty);
    let ours = world.ours();
    let verdict = peers.verdict(&ours);
    let right = |i: usize| !world.faulty[i];
    let heard_all_right =
        (1..world.members.len()).filter(|&i| right(i)).all(|i| world.members[i].heard);
    match &verdict {
        PeerVerdict::StepDown(_) if !world.is_wrong(0) => {
            return Err("a right clock is told to stop".into());
        }
        PeerVerdict::PeersWrong(wrong) if wrong.iter().any(|&i| right(i)) => {
            return Err(format!("a right peer is called wrong: {wrong:?}"));
        }
        PeerVerdict::NoQuorum(reason) if right(0) && heard_all_right => {
            return Err(format!("a right clock is not told to continue: {reason}"));
        }
        PeerVerdict::NoQuorum(PeerError::TooManyWrong { .. }) => {
            return Err("more faulty members were found than there are".into());
        }
        PeerVerdict::StepDown(correction) => {
            let truth = Timestamp::from_tai_nanos(world.truth);
            if !correction.true_time.contains(truth) {
                return Err("the correction is wrong".into());
            }
        }
        _ => {}
    }
    for report in peers.report(&ours) {
        if right(report.peer) && report.classification == Some(Classification::Falseticker) {
            return Err("a right peer is reported as a falseticker".into());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn up_to_the_limit_no_right_clock_is_blamed_or_stopped((world, faulty) in at_the_limit()) {
        prop_assert_eq!(check_promises(&world, faulty), Ok(()), "{:?}", world);
    }

    /// Our clock is so far off that no right evidence overlaps it. The other faulty members send
    /// any answer.
    #[test]
    fn a_wrong_clock_is_told_to_stop_once_the_right_ones_have_answered(
        (mut world, faulty) in (3usize..=9).prop_flat_map(|n| {
            (1..=(n - 1) / 2).prop_flat_map(move |f| (world(n, f), Just(f)))
        }),
        ahead: bool,
    ) {
        let us = world.faulty.iter().position(|&faulty| faulty).expect("f is at least 1");
        world.faulty.swap(0, us);
        world.members[0].fault = if ahead { (2_000 * MS, 5 * MS) } else { (-2_000 * MS, 5 * MS) };
        for (m, &is_faulty) in world.members.iter_mut().zip(&world.faulty) {
            m.heard |= !is_faulty;
        }
        match world.peers(faulty).verdict(&world.ours()) {
            PeerVerdict::StepDown(correction) => {
                prop_assert!(correction.true_time.contains(Timestamp::from_tai_nanos(world.truth)));
                let error = Duration::from_nanos(2_000 * MS as u64);
                prop_assert!(correction.off_by <= error + Duration::from_millis(1));
            }
            other => prop_assert!(false, "{:?} in {:?}", other, world),
        }
    }
}

/// Promise 4: with one faulty member more than assumed, the same checks fail.
#[test]
fn one_faulty_member_too_many_breaks_the_promises() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    for n in [3, 4, 5, 7] {
        let faulty = (n - 1) / 2;
        let strategy = world(n, faulty + 1);
        let broken = (0..3_000).filter(|_| {
            let mut world = strategy.new_tree(&mut runner).expect("a world").current();
            // They conspire and send the same wrong answer. We are not one of them.
            let first = world.faulty.iter().position(|&faulty| faulty).expect("some are faulty");
            let right = world.faulty.iter().position(|&faulty| !faulty).expect("some are not");
            world.faulty.swap(0, right);
            let fault = (world.members[first].fault.0 * 20, MS);
            world.members.iter_mut().for_each(|m| m.fault = fault);
            check_promises(&world, faulty).is_err()
        });
        assert!(broken.count() > 100, "{n} members");
    }
}

/// The usual mistake is to use a majority of the answers in place of a bound on faulty members.
#[test]
fn a_majority_of_the_answers_is_not_enough() {
    let at = |ms: i64| Timestamp::from_tai_nanos(ms * MS);
    let span = |a, b| Interval::new(at(a), at(b)).expect("in order");
    let moment = Duration::from_secs(5);
    let mut peers = PeerClocks::new(1..=4, 2).expect("5 > 2 * 2");
    for faulty in [1, 2] {
        let wrong = Exchange::new(moment, span(90_000, 90_001), moment).expect("in order");
        peers.observe(&faulty, wrong).expect("a member");
    }
    let ours = Exchange::new(moment, span(5_000, 5_001), moment).expect("in order");
    // Broken variant: of three answers two agree, so it calls the third one wrong.
    let heard: Vec<Interval> =
        peers.report(&ours).iter().filter_map(|r| r.interval).chain([ours.theirs()]).collect();
    let naive = truechimer::agreement::examine(&heard, (heard.len() - 1) / 2).expect("two agree");
    assert_eq!(naive.falsetickers().collect::<Vec<_>>(), [2], "ours, which is the right one");

    let reason = PeerError::Split { with_us: 1, needed: 3 };
    assert_eq!(peers.verdict(&ours), PeerVerdict::NoQuorum(reason));
}
