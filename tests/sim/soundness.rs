//! The clock's promise, in many random worlds.
//!
//! A short form of `examples/soundness.rs`, which is the place for long runs. That it can
//! fail is shown by `tests/mutants`, which breaks the shipping source rule by rule.

use std::time::Duration;

use truechimer::sim::{
    Daemon, Fault, Link, Machine, Mix, NodeId, NtpServer, NtpService, Oscillator, Scenario,
    TimeService, World, campaign, search,
};
use truechimer::{Role, Status, TrueTime};

/// Enough to catch each mutant of the clock's rules within the seeds below.
const READINGS: u32 = 600;

#[test]
fn no_reading_is_wrong_where_both_assumptions_hold() {
    let worlds = search(Mix::Honest, 0..60, |scenario| {
        let outcome = campaign(scenario, READINGS)?;
        assert_eq!(outcome.audit.misses, 0);
        Ok(())
    });
    assert_eq!(worlds.unwrap_or_else(|failure| panic!("{failure}")), 60);
}

/// Requests and replies as events of these worlds; a minority of the servers lies, and so do some
/// kernels.
#[test]
fn no_reading_is_wrong_where_clocks_ask_servers_of_which_a_minority_lies() {
    let worlds = search(Mix::Exchanging, 0..40, |scenario| {
        let outcome = campaign(scenario, READINGS)?;
        assert_eq!(outcome.audit.misses, 0);
        assert!(outcome.audit.readings > 0);
        Ok(())
    });
    assert_eq!(worlds.unwrap_or_else(|failure| panic!("{failure}")), 40);
}

/// timesyncd steers these machines, and says on the bus what it has measured.
#[test]
fn no_reading_is_wrong_where_clocks_hear_timesyncd() {
    let worlds = search(Mix::Timesyncd, 0..24, |scenario| {
        let outcome = campaign(scenario, READINGS)?;
        assert_eq!(outcome.audit.misses, 0);
        Ok(())
    });
    assert_eq!(worlds.unwrap_or_else(|failure| panic!("{failure}")), 24);
}

#[test]
fn a_clock_that_hears_timesyncd_has_time_although_the_kernel_states_none() {
    let service = TimeService { poll: 32 * SECOND, ..TimeService::default() };
    let machine = Machine::default().daemon(Daemon::Timesyncd).time_service(service);
    let mut world = World::of_clocks(17);
    let (deaf, hears) = (world.add(machine.clone()), world.add(machine.system_bus()));
    world.run_for(100 * SECOND);
    let status = |world: &World<()>, id| world.clock(id).unwrap().status();
    assert_ne!(status(&world, deaf), Status::Synchronized);
    assert_eq!(status(&world, hears), Status::Synchronized);
    let clock = world.clock(hears).unwrap().clone();
    let width = clock.now().unwrap().width();
    // At most 64 s by 200 ppm either way, and what is not known of its stamps.
    assert!(width < Duration::from_millis(40), "{width:?}");
    // A process that begins between two exchanges carries the last one on.
    world.schedule(world.elapsed(), Fault::Crash(hears));
    world.schedule(world.elapsed() + SECOND, Fault::Restart(hears));
    world.run_for(5 * SECOND);
    assert_eq!(status(&world, hears), Status::Synchronized);
    let report = world.clock(hears).unwrap().report().unwrap();
    let details = report.sources.iter().find_map(|source| source.details.clone());
    assert!(details.is_some_and(|details| details.to_string().contains("before this clock")));
    let _ = world.clock(hears).unwrap().now();
    assert_eq!(world.audit().complaint(), None);
}

#[test]
fn a_clock_that_asks_near_servers_is_narrow_without_any_daemon() {
    let server = NtpServer::default();
    let service = NtpService { servers: vec![server; 3], poll: SECOND };
    let mut world = World::of_clocks(15);
    let id = world.add(Machine::default().daemon(Daemon::None).ntp(service));
    world.run_for(10 * SECOND);
    let clock = world.clock(id).unwrap().clone();
    assert_eq!(clock.status(), Status::Synchronized);
    let width = clock.now().unwrap().width();
    assert!(width < Duration::from_millis(1), "{width:?}");
    let report = clock.report().unwrap();
    let roles: Vec<(&str, Role)> =
        report.sources.iter().map(|source| (source.name.as_str(), source.role)).collect();
    assert_eq!(roles, [("kernel", Role::CrossCheck), ("ntp", Role::Evidence)]);
    assert_eq!(world.audit().complaint(), None);
}

/// A server whose way back is far longer than the way there, with a bound of next to nothing. Who
/// takes half of the round trip for the error is wrong by nearly as much.
#[test]
fn a_way_that_is_longer_in_one_direction_makes_no_reading_wrong() {
    let us = Duration::from_micros;
    for back in [20, 10_000] {
        let there = Link::within(us(10_020 - back), us(10_021 - back));
        let back = Link::within(us(back), us(back + 1));
        let server = NtpServer { there, back, error: us(1), ..NtpServer::default() };
        let service = NtpService { servers: vec![server], poll: SECOND };
        let mut world = World::of_clocks(16);
        let id = world.add(Machine::default().daemon(Daemon::None).ntp(service));
        for _ in 0..200 {
            world.run_for(SECOND / 10);
            let _ = world.clock(id).unwrap().now();
        }
        let audit = world.audit();
        assert!(audit.readings > 150, "{audit}");
        assert_eq!(audit.complaint(), None);
    }
}

#[test]
fn no_reading_misses_in_worlds_whose_machines_are_moved() {
    let (mut moves, mut readings) = (0, 0);
    for seed in 0..24 {
        let scenario = Scenario::random(Mix::Moved, seed);
        let outcome =
            campaign(&scenario, READINGS).unwrap_or_else(|why| panic!("{scenario}: {why}"));
        assert_eq!(outcome.audit.misses, 0);
        readings += outcome.audit.readings;
        let is_move = |fault: &Fault| matches!(fault, Fault::MoveVm(..));
        moves += scenario.faults().iter().filter(|(_, fault)| is_move(fault)).count();
    }
    assert!(moves > 50 && readings > 5_000, "{moves} moves, {readings} readings");
}

#[test]
fn where_an_assumption_is_broken_a_contradiction_follows() {
    for mix in [Mix::Lying, Mix::Drifting, Mix::StoppedVm] {
        let (mut breaches, mut noticed) = (0, 0);
        for seed in 0..8 {
            let scenario = Scenario::random(mix, seed);
            let outcome =
                campaign(&scenario, READINGS).unwrap_or_else(|why| panic!("{scenario}: {why}"));
            breaches += outcome.breaches.len();
            noticed += outcome.breaches.iter().filter(|b| b.noticed.is_some()).count();
        }
        assert!(breaches >= 8, "{mix}: {breaches}");
        assert_eq!(noticed, breaches, "{mix}");
    }
}

#[test]
fn a_failing_world_is_made_small_and_its_line_replays_it() {
    // A user's check that fails in every world in which a machine sleeps.
    let check = |scenario: &Scenario| {
        let mut world = scenario.world(|_| ());
        world.run_for(scenario.run());
        let slept = world.trace().lines().iter().find(|line| line.what.contains("sleeps"));
        slept.map_or(Ok(()), |line| Err(line.what.clone()))
    };
    let failure = search(Mix::Honest, 0..40, check).expect_err("a machine sleeps in one of 40");
    assert!(failure.scenario.nodes().count() == 1, "{failure}");
    assert!(failure.scenario.faults().len() <= failure.found.faults().len());
    let replayed: Scenario = failure.scenario.to_string().parse().expect("it reads back");
    assert_eq!(check(&replayed), Err(failure.why.clone()));
    assert!(failure.to_string().contains("sleeps"), "{failure}");
}

/// A leap second that no table lists is announced before its midnight only. The child of a fork asks
/// the servers anew after it, and they no longer say so.
#[test]
fn a_forked_child_knows_of_the_leap_second_that_was_announced_to_its_parent() {
    let world = "mix=exchanging seed=405 nodes=2 run=387s machines=0 faults=1";
    let scenario: Scenario = world.parse().expect("a line as a failing campaign prints it");
    let outcome = campaign(&scenario, 2_000).unwrap_or_else(|why| panic!("{why}"));
    assert!(outcome.audit.readings > 1_000, "{}", outcome.audit);
}

const SECOND: Duration = Duration::from_secs(1);

/// A server under chronyd with this poll interval, whose clock polls once a second.
fn server(poll_s: u64) -> Machine {
    let quartz = Oscillator::off_by(-12.0).wander(0.01).temperature(3.0, 3_600 * SECOND);
    let service = TimeService { poll: Duration::from_secs(poll_s), ..TimeService::default() };
    Machine::default().oscillator(quartz).time_service(service).poll_interval(SECOND)
}

fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_learnt_rate_makes_intervals_narrower_than_maxerror_by_the_factors_that_are_promised() {
    // The whole width against the kernel's one-sided maxerror.
    for (poll_s, factor) in [(64, 3), (1024, 10)] {
        let mut world = World::of_clocks(2026);
        let id = world.add(server(poll_s).max_wander_ppm(15));
        world.run_for(2 * 3_600 * SECOND);
        let (mut widths, mut maxerrors) = (Vec::new(), Vec::new());
        for _ in 0..3 * 3_600 / 4 {
            world.run_for(4 * SECOND);
            widths.push(world.clock(id).unwrap().now().unwrap().width().as_nanos());
            let maxerror_us = world.kernel_state(id).unwrap().maxerror_us;
            maxerrors.push(u128::from(maxerror_us.unsigned_abs()) * 1_000);
        }
        let (width, maxerror) = (median(widths), median(maxerrors));
        assert!(width * factor <= maxerror, "poll {poll_s}: {width} ns and {maxerror} ns");
        assert_eq!(world.audit().complaint(), None);
    }
}

/// Why A3 should be off on a virtual machine whose moves nothing shows.
#[test]
fn a_migration_breaks_a3_and_not_a2_and_the_next_update_refutes_it() {
    let run = |wander: Option<u32>| {
        let mut world = World::of_clocks(7);
        world.add(server(256).max_wander_ppm(wander));
        world.schedule(3 * 3_600 * SECOND, Fault::Migrate(NodeId(0), 90.0));
        for _ in 0..4 * 3_600 / 10 {
            world.run_for(10 * SECOND);
            let _ = world.clock(NodeId(0)).unwrap().now();
        }
        world.audit()
    };
    let with_a2 = run(None);
    assert_eq!((with_a2.misses, with_a2.contradictions, with_a2.wander_refutations), (0, 0, 0));
    let with_a3 = run(Some(15));
    let miss = with_a3.first_miss.expect("100 ppm are more than 15");
    let noticed = with_a3.first_refutation.expect("the daemon's update shows it");
    assert_eq!(with_a3.contradictions, 0, "no source is wrong");
    let after = noticed.duration_since(miss.truth).expect("not before it");
    assert!(after <= 520 * SECOND, "{after:?}: two updates");
}

#[test]
fn what_was_learnt_of_the_rate_is_not_used_for_longer_than_it_is_known() {
    let mut world = World::of_clocks(8);
    let id = world.add(server(64).max_wander_ppm(15));
    world.run_for(3_600 * SECOND);
    world.schedule(world.elapsed(), Fault::StopSampler(id, 3 * 3_600 * SECOND));
    world.run_for(1_800 * SECOND);
    assert!(world.clock(id).unwrap().now().is_ok(), "half an hour of holdover");
    world.run_for(5_700 * SECOND);
    // By A2 alone the interval would be 3 s wide by now, and max_width is 10 s.
    assert!(world.clock(id).unwrap().now().is_err(), "two hours after the oldest sample");
    world.run_for(2 * 3_600 * SECOND);
    assert!(world.clock(id).unwrap().now().is_ok(), "the thread runs again");
    assert_eq!(world.audit().complaint(), None);
}
