//! `PeerClocks` against a scripted truth.
//!
//! The script knows the true time. Our counter drifts, messages take any time
//! on either way, liars say anything. What it proves, for up to `f` liars:
//!
//! 1. A right clock is never told to stop; no right peer is ever called wrong.
//! 2. A right clock that has heard all right peers is told to go on.
//! 3. A wrong clock that has heard all right peers is told to stop.
//! 4. `f + 1` liars break each of these: the limit is sharp, and the test can fail.
//!
//! `tests/peers_attacks.rs` has the scenes by hand.

use std::time::Duration;

use proptest::prelude::*;
use truechimer::agreement::Standing;
use truechimer::peers::{Exchange, NoQuorum, PeerClocks, Verdict};
use truechimer::{Interval, Timestamp};

const MS: i64 = 1_000_000;

/// What one member does in the script.
#[derive(Clone, Debug)]
struct Script {
    /// An honest interval reaches so far to either side of true time, ns.
    below: i64,
    above: i64,
    /// A liar's interval begins so far from true time and is so wide, ns.
    lie: (i64, i64),
    /// How long the message takes to the peer and back, true ns.
    there: i64,
    back: i64,
    /// When the question leaves us, true ns before the verdict.
    asked: i64,
    /// Whether an answer comes.
    heard: bool,
}

fn script() -> impl Strategy<Value = Script> {
    let ends = (0..20 * MS, 0..20 * MS);
    let lie = (-500 * MS..500 * MS, 0..1_000 * MS);
    let ways = (0..300 * MS, 0..300 * MS, 1_000 * MS..9_000 * MS);
    (ends, lie, ways, prop::bool::weighted(0.8)).prop_map(|((below, above), lie, ways, heard)| {
        let (there, back, asked) = ways;
        Script { below, above, lie, there, back, asked, heard }
    })
}

/// The script's world: member 0 is us.
#[derive(Clone, Debug)]
struct World {
    truth: i64,
    counter_ppm: i64,
    members: Vec<Script>,
    liars: Vec<bool>,
}

impl World {
    fn counter(&self, truth: i64) -> Duration {
        let since = i128::from(truth - (self.truth - 100_000 * MS));
        let ticks = since * i128::from(1_000_000 + self.counter_ppm) / 1_000_000;
        Duration::from_nanos(u64::try_from(ticks).expect("after the start"))
    }

    fn answer(&self, i: usize, truth: i64) -> Interval {
        let m = &self.members[i];
        let (a, b) = match self.liars[i] {
            true => (truth + m.lie.0, truth + m.lie.0 + m.lie.1),
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

    /// Whether a member's word, true or not, happens to contain the truth.
    fn is_wrong(&self, i: usize) -> bool {
        !self.answer(i, self.truth).contains(Timestamp::from_tai_nanos(self.truth))
    }
}

/// `n` members of which `liars` lie, in any places.
fn world(n: usize, liars: usize) -> impl Strategy<Value = World> {
    let liars = Just((0..n).map(|i| i < liars).collect::<Vec<_>>()).prop_shuffle();
    let members = prop::collection::vec(script(), n);
    (members, liars, -200i64..=200, 0..1_000_000 * MS).prop_map(|(members, liars, ppm, truth)| {
        World { truth: truth + 1_000_000 * MS, counter_ppm: ppm, members, liars }
    })
}

/// Groups of 1 to 9 with as many liars as the limit allows.
fn at_the_limit() -> impl Strategy<Value = (World, usize)> {
    (1usize..=9).prop_flat_map(|n| {
        let faulty = (n - 1) / 2;
        (0..=faulty).prop_flat_map(move |f| (world(n, f), Just(f)))
    })
}

/// What rules 1 to 3 say of a verdict. An error names the rule that was broken.
fn judge(world: &World, faulty: usize) -> Result<(), String> {
    let peers = world.peers(faulty);
    let ours = world.ours();
    let verdict = peers.verdict(&ours);
    let right = |i: usize| !world.liars[i];
    let heard_all_right =
        (1..world.members.len()).filter(|&i| right(i)).all(|i| world.members[i].heard);
    match &verdict {
        Verdict::StepDown(_) if !world.is_wrong(0) => return Err("a right clock stops".into()),
        Verdict::PeersWrong(wrong) if wrong.iter().any(|&i| right(i)) => {
            return Err(format!("a right peer is called wrong: {wrong:?}"));
        }
        Verdict::NoQuorum(reason) if right(0) && heard_all_right => {
            return Err(format!("a right clock is held up: {reason}"));
        }
        Verdict::NoQuorum(NoQuorum::TooManyWrong { .. }) => {
            return Err("more liars seen than there are".into());
        }
        Verdict::StepDown(correction) => {
            let truth = Timestamp::from_tai_nanos(world.truth);
            if !correction.true_time.contains(truth) {
                return Err("the correction is wrong".into());
            }
        }
        _ => {}
    }
    for report in peers.report(&ours) {
        if right(report.peer) && report.standing == Some(Standing::Falseticker) {
            return Err("a right peer is reported as a falseticker".into());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn up_to_the_limit_no_right_clock_is_blamed_or_held_up((world, faulty) in at_the_limit()) {
        prop_assert_eq!(judge(&world, faulty), Ok(()), "{:?}", world);
    }

    /// Far off, so that no honest evidence overlaps ours; the other liars say what they like.
    #[test]
    fn a_wrong_clock_that_hears_the_right_ones_is_told_to_stop(
        (mut world, faulty) in (3usize..=9).prop_flat_map(|n| {
            (1..=(n - 1) / 2).prop_flat_map(move |f| (world(n, f), Just(f)))
        }),
        ahead: bool,
    ) {
        let us = world.liars.iter().position(|&liar| liar).expect("f is at least 1");
        world.liars.swap(0, us);
        world.members[0].lie = if ahead { (2_000 * MS, 5 * MS) } else { (-2_000 * MS, 5 * MS) };
        for (m, &liar) in world.members.iter_mut().zip(&world.liars) {
            m.heard |= !liar;
        }
        match world.peers(faulty).verdict(&world.ours()) {
            Verdict::StepDown(correction) => {
                prop_assert!(correction.true_time.contains(Timestamp::from_tai_nanos(world.truth)));
                let error = Duration::from_nanos(2_000 * MS as u64);
                prop_assert!(correction.off_by <= error + Duration::from_millis(1));
            }
            other => prop_assert!(false, "{:?} in {:?}", other, world),
        }
    }
}

/// Rule 4: with one liar more than is allowed for, the same checks find fault.
#[test]
fn one_liar_too_many_breaks_the_promise() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    for n in [3, 4, 5, 7] {
        let faulty = (n - 1) / 2;
        let strategy = world(n, faulty + 1);
        let broken = (0..3_000).filter(|_| {
            let mut world = strategy.new_tree(&mut runner).expect("a world").current();
            // They conspire: one lie, and we are not one of them.
            let first = world.liars.iter().position(|&liar| liar).expect("some lie");
            let honest = world.liars.iter().position(|&liar| !liar).expect("some do not");
            world.liars.swap(0, honest);
            let lie = (world.members[first].lie.0 * 20, MS);
            world.members.iter_mut().for_each(|m| m.lie = lie);
            judge(&world, faulty).is_err()
        });
        assert!(broken.count() > 100, "{n} members");
    }
}

/// The usual mistake: a majority of those heard, in place of a bound on who may lie.
#[test]
fn a_majority_of_those_heard_is_not_enough() {
    let at = |ms: i64| Timestamp::from_tai_nanos(ms * MS);
    let span = |a, b| Interval::new(at(a), at(b)).expect("in order");
    let moment = Duration::from_secs(5);
    let mut peers = PeerClocks::new(1..=4, 2).expect("5 > 2 * 2");
    for liar in [1, 2] {
        let lie = Exchange::new(moment, span(90_000, 90_001), moment).expect("in order");
        peers.observe(&liar, lie).expect("a member");
    }
    let ours = Exchange::new(moment, span(5_000, 5_001), moment).expect("in order");
    // Broken variant: of the three heard, two say the same, so the third is wrong.
    let heard: Vec<Interval> =
        peers.report(&ours).iter().filter_map(|r| r.says).chain([ours.theirs()]).collect();
    let naive = truechimer::agreement::examine(&heard, (heard.len() - 1) / 2).expect("two agree");
    assert_eq!(naive.falsetickers().collect::<Vec<_>>(), [2], "the right clock, that is us");

    let reason = NoQuorum::Split { with_us: 1, needed: 3 };
    assert_eq!(peers.verdict(&ours), Verdict::NoQuorum(reason));
}
