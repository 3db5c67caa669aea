//! The clock's promise, in many random worlds; and each of its rules, broken on purpose.
//!
//! A short form of `examples/soundness.rs`, which is the place for long runs.

use truechimer::sim::{Mix, Sabotage, Scenario, campaign, search};

/// Enough to catch each sabotage below in a build without optimisation.
const READINGS: u32 = 600;

#[test]
fn no_reading_is_wrong_where_both_assumptions_hold() {
    let worlds = search(Mix::Honest, 0..120, |scenario| {
        let outcome = campaign(scenario, READINGS, None)?;
        assert_eq!(outcome.audit.misses, 0);
        Ok(())
    });
    assert_eq!(worlds.unwrap_or_else(|failure| panic!("{failure}")), 120);
}

#[test]
fn where_an_assumption_is_broken_a_contradiction_follows() {
    for mix in [Mix::Lying, Mix::Drifting, Mix::StoppedVm] {
        let (mut breaches, mut noticed) = (0, 0);
        for seed in 0..12 {
            let scenario = Scenario::random(mix, seed);
            let outcome = campaign(&scenario, READINGS, None)
                .unwrap_or_else(|why| panic!("{scenario}: {why}"));
            breaches += outcome.breaches.len();
            noticed += outcome.breaches.iter().filter(|b| b.noticed.is_some()).count();
        }
        assert!(breaches >= 12, "{mix}: {breaches}");
        assert_eq!(noticed, breaches, "{mix}");
    }
}

/// Which rule is broken, in which worlds it shows, and within how many seeds.
const CAUGHT: [(Sabotage, Mix, u64); 14] = [
    (Sabotage::RoundInward, Mix::Honest, 150),
    (Sabotage::NoGranularity, Mix::Honest, 10),
    (Sabotage::Guess, Mix::Honest, 3),
    (Sabotage::BelieveZero, Mix::Honest, 3),
    (Sabotage::WaitForWriter, Mix::Honest, 3),
    (Sabotage::UnorderedLatest, Mix::Honest, 10),
    (Sabotage::IgnoreSuspend, Mix::Honest, 20),
    (Sabotage::IgnoreLeapWindow, Mix::Honest, 20),
    (Sabotage::IgnoreStep, Mix::Honest, 40),
    (Sabotage::NeverAge, Mix::Honest, 10),
    (Sabotage::LatestWins, Mix::Honest, 10),
    (Sabotage::UncheckedArithmetic, Mix::Honest, 5),
    (Sabotage::SwallowContradictions, Mix::StoppedVm, 5),
    (Sabotage::TooSure, Mix::Honest, 10),
];

#[test]
fn each_rule_broken_on_purpose_is_caught() {
    for (sabotage, mix, seeds) in CAUGHT {
        let caught = (0..seeds).find_map(|seed| {
            let scenario = Scenario::random(mix, seed);
            campaign(&scenario, READINGS, Some(sabotage)).err().map(|why| (seed, why))
        });
        let (seed, why) = caught.unwrap_or_else(|| {
            panic!("{sabotage} (rule {:?}) went unnoticed in {seeds} worlds", sabotage.rule())
        });
        println!("{sabotage:<24} seed {seed:>3}: {why}");
    }
    for rule in 1..=9 {
        assert!(CAUGHT.iter().any(|(sabotage, ..)| sabotage.rule() == Some(rule)), "rule {rule}");
    }
}

#[test]
fn a_failing_world_is_made_small_and_its_line_replays_it() {
    let check = |scenario: &Scenario| {
        campaign(scenario, READINGS, Some(Sabotage::IgnoreSuspend)).map(|_| ())
    };
    let failure = search(Mix::Honest, 0..20, check).expect_err("it is caught within 20 seeds");
    assert!(failure.scenario.nodes().count() == 1, "{failure}");
    assert!(failure.scenario.faults().len() <= failure.found.faults().len());
    let replayed: Scenario = failure.scenario.to_string().parse().expect("it reads back");
    assert_eq!(check(&replayed), Err(failure.why.clone()));
    assert!(failure.to_string().contains("sleeps"), "{failure}");
}
