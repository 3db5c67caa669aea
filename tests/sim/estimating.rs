//! Daemons that state an estimate, as chronyd does, beside oscillators whose rate swings.
//!
//! Their server is at the edge of its own bound, so what the estimate leaves out shows. The figures
//! are printed by
//!
//! ```text
//! cargo test --all-features --test sim -- estimating --nocapture
//! ```

use std::time::Duration;

use truechimer::TrueTime;
use truechimer::sim::{
    Daemon, Link, Machine, Mix, Oscillator, TimeService, World, campaign, search,
};

const SECOND: Duration = Duration::from_secs(1);

/// By how many ppm the rates swing, and in how many seconds.
const SWINGS: [(f64, u64); 4] = [(0.0, 240), (2.0, 240), (7.0, 240), (14.0, 300)];

fn machine(swing_ppm: f64, period_s: u64, poll_s: u64) -> Machine {
    let quartz = Oscillator::off_by(40.0).temperature(swing_ppm, Duration::from_secs(period_s));
    let micros = Duration::from_micros;
    let service = TimeService {
        poll: Duration::from_secs(poll_s),
        link: Link::within(micros(80), micros(150)),
        server_error: micros(200),
        ..TimeService::default()
    };
    Machine::default()
        .oscillator(quartz)
        .daemon(Daemon::ChronyEstimating)
        .time_service(service)
        .poll_interval(Duration::from_millis(100))
}

/// The median of the widths in µs, and how many readings missed.
fn run(machine: Machine) -> (u128, u64) {
    let mut world = World::of_clocks(2026);
    let id = world.add(machine);
    world.run_for(600 * SECOND);
    let mut widths = Vec::new();
    for _ in 0..4_000 {
        world.run_for(Duration::from_millis(257));
        let reading = world.clock(id).expect("it runs").now().expect("a bound");
        widths.push(reading.width().as_micros());
    }
    widths.sort_unstable();
    (widths[widths.len() / 2], world.audit().misses)
}

#[test]
fn estimating_daemons_are_believed_with_an_allowance_and_no_reading_is_wrong() {
    println!("swing ppm/s  poll s   default µs misses   wander 15 µs misses   as stated µs misses");
    let mut missed_as_stated = 0;
    for (swing_ppm, period_s) in SWINGS {
        for poll_s in [16, 64] {
            let machine = || machine(swing_ppm, period_s, poll_s);
            let default = run(machine());
            let learning = run(machine().max_wander_ppm(15));
            let stated = run(machine().max_wander_ppm(15).believe_chrony_estimate());
            println!(
                "{swing_ppm:>5}/{period_s} {poll_s:>9} {:>12} {:>6} {:>14} {:>6} {:>14} {:>6}",
                default.0, default.1, learning.0, learning.1, stated.0, stated.1
            );
            assert_eq!(default.1, 0, "{swing_ppm} ppm, {poll_s} s");
            assert_eq!(learning.1, 0, "{swing_ppm} ppm, {poll_s} s, wander 15");
            missed_as_stated += stated.1;
        }
    }
    assert!(missed_as_stated > 100, "{missed_as_stated}: these worlds show nothing");
}

/// Swings from 2 to 14 ppm in some minutes, drawn at random.
#[test]
fn no_reading_is_wrong_in_random_worlds_of_estimating_daemons() {
    let worlds = search(Mix::Estimating, 0..24, |scenario| {
        let outcome = campaign(scenario, 600)?;
        assert_eq!(outcome.audit.misses, 0);
        assert!(outcome.audit.readings > 0);
        Ok(())
    });
    assert_eq!(worlds.unwrap_or_else(|failure| panic!("{failure}")), 24);
}
