//! How wide readings are, where true time is known: what the settings are worth.

use std::time::Duration;

use truechimer::TrueTime;
use truechimer::sim::{
    Daemon, Fault, Link, Machine, NodeId, NtpServer, NtpService, Oscillator, Reference, World,
};

const SECOND: Duration = Duration::from_secs(1);

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// A machine that asks one server in the same building itself, each `poll_s` seconds. The server
/// is off by so much at most.
fn asking(poll_s: u32, error: Duration, oscillator: Oscillator) -> Machine {
    let link = Link::within(micros(50), micros(120));
    let server = NtpServer { there: link, back: link, error, ..NtpServer::default() };
    let ntp = NtpService { servers: vec![server], poll: poll_s * SECOND };
    Machine::default().oscillator(oscillator).ntp(ntp).poll_interval(SECOND / 2)
}

fn width(world: &World<()>, id: NodeId) -> Duration {
    world.clock(id).expect("it was added").now().expect("it is synchronised").width()
}

fn median(mut widths: Vec<Duration>) -> Duration {
    widths.sort_unstable();
    widths[widths.len() / 2]
}

/// Readings over so many seconds, at all ages of a sample.
fn widths(world: &mut World<()>, id: NodeId, seconds: u32) -> Vec<Duration> {
    let read = |_| {
        world.run_for(Duration::from_millis(997));
        width(world, id)
    };
    (0..seconds).map(read).collect()
}

#[test]
fn own_exchanges_are_true_where_the_rate_swings_and_narrower_by_the_learnt_rate() {
    let swing = |ppm: f64| Oscillator::off_by(-12.0).temperature(ppm, 240 * SECOND);
    for (ppm, poll_s, factor) in [(2.0, 2, 2), (7.0, 16, 4), (9.5, 64, 7)] {
        let medians = [Some(20), None].map(|wander| {
            let mut world = World::of_clocks(2026);
            let id = world.add(asking(poll_s, micros(200), swing(ppm)).max_wander_ppm(wander));
            world.run_for(600 * SECOND);
            let median = median(widths(&mut world, id, 1_200));
            let audit = world.audit();
            assert_eq!((audit.complaint(), audit.contradictions), (None, 0), "{ppm} ppm");
            assert_eq!(audit.wander_refutations, 0, "{ppm} ppm: twice that is below 20");
            median
        });
        let [learnt, by_a2] = medians;
        assert!(learnt * factor < by_a2, "{ppm} ppm, {poll_s} s: {learnt:?} and {by_a2:?}");
    }
}

#[test]
fn after_a_restart_the_width_is_near_its_floor_at_once() {
    let mut world = World::of_clocks(7);
    // A server that hardly moves within its bound: else a lucky exchange of long ago is the floor.
    let id = world.add(asking(2, micros(10), Oscillator::off_by(40.0).wander(0.002)));
    world.run_for(1_800 * SECOND);
    let floor = median(widths(&mut world, id, 300));
    world.schedule(world.elapsed(), Fault::Crash(id));
    world.schedule(world.elapsed() + SECOND, Fault::Restart(id));
    world.run_for(SECOND);
    // Until three exchanges were made, which a client makes at its start one after the other.
    let first = loop {
        world.run_for(SECOND / 10);
        let clock = world.clock(id).expect("it was added");
        let said = clock.report().and_then(|report| report.sources.first().map(|ntp| ntp.samples));
        if said.is_some_and(|samples| samples >= 3) {
            break width(&world, id);
        }
    };
    assert!(first <= 2 * floor, "{first:?} and {floor:?}");
    world.run_for(45 * SECOND);
    let soon = median(widths(&mut world, id, 15));
    assert!(soon * 10 <= floor * 12, "{soon:?} within a minute, and {floor:?}");
    assert_eq!(world.audit().complaint(), None);
}

#[test]
fn a_reference_that_is_asked_often_leaves_its_own_error_and_little_more() {
    for error_us in [1, 5, 100] {
        let reference = Reference { width: micros(2 * error_us), adversarial: true };
        let machine = Machine::default().daemon(Daemon::None).reference(reference);
        let mut world = World::of_clocks(3);
        let id = world.add(machine.poll_interval(SECOND / 10));
        world.run_for(60 * SECOND);
        let median = median(widths(&mut world, id, 300));
        assert!(median <= micros(2 * error_us + 20), "{error_us} µs: {median:?}");
        assert_eq!(world.audit().complaint(), None);
    }
}
