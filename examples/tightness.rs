//! How narrow are the intervals, beside the kernel's own maxerror, and what keeps them from being narrower?
//!
//! `cargo run --release --features sim --example tightness`
//!
//! A machine under chronyd on a server in the same building, for eight simulated
//! hours at each poll interval, of which the first two are not counted. Its quartz
//! follows a temperature by 3 ppm either way. Two clocks on it: with A2 alone
//! (200 ppm), and with A3 (a wander of 15 ppm). A third machine has an oscillator that is
//! good for an A3 of 1 ppm: what is left there is not the oscillator's.
//!
//! What limits the width: the floor is twice what the daemon itself writes at its
//! updates (root distance, and the offset it has still to correct); on top come
//! 2 x (wander + what is not known of the mean rate) x the time since the update.
//! Under A3 with 15 ppm and a poll of 16 s the floor is nine tenths of it, at 1024 s the
//! allowance for wander is three quarters.

use std::time::Duration;

use truechimer::TrueTime;
use truechimer::sim::{Machine, NodeId, Oscillator, TimeService, World};

fn main() {
    println!("medians in µs; widths are latest − earliest, the whole of the uncertainty");
    println!(
        "{:>6} {:>10} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9} {:>7}",
        "poll", "floor", "maxerror", "A2", "A3 15ppm", "A3 1ppm", "maxerror", "maxerror", ""
    );
    println!(
        "{:>6} {:>10} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9} {:>7}",
        "s", "2 x root", "", "width", "width", "width", "/ A3", "/ A2", "misses"
    );
    let mut misses = 0;
    for poll in [16, 64, 256, 1024] {
        let row = measure(poll);
        misses += row.misses;
        println!(
            "{poll:>6} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>9.1} {:>9.1} {:>7}",
            row.floor,
            row.maxerror,
            row.widths[0],
            row.widths[1],
            row.widths[2],
            row.maxerror / row.widths[1],
            row.maxerror / row.widths[0],
            row.misses
        );
    }
    println!("misses: {misses}");
    std::process::exit(i32::from(misses > 0));
}

struct Row {
    /// Twice what the daemon writes at its updates: its root distance, both ways.
    floor: f64,
    maxerror: f64,
    widths: [f64; 3],
    misses: u64,
}

fn measure(poll: u64) -> Row {
    let second = Duration::from_secs(1);
    let mut world = World::of_clocks(2026);
    let quartz = Oscillator::off_by(-12.0).wander(0.01).temperature(3.0, 3_600 * second);
    let service = TimeService { poll: Duration::from_secs(poll), ..TimeService::default() };
    let machine = Machine::default().oscillator(quartz).time_service(service);
    world.add(machine.clone());
    world.add(machine.clone().max_wander_ppm(15));
    let steady = Oscillator::off_by(-12.0).temperature(0.4, 3_600 * second);
    world.add(machine.oscillator(steady).max_wander_ppm(1));
    world.run_for(2 * 3_600 * second);
    let (mut maxerrors, mut at_updates, mut widths) =
        (Vec::new(), Vec::new(), [const { Vec::new() }; 3]);
    let mut last = f64::MAX;
    for _ in 0..6 * 3_600 {
        world.run_for(second);
        let kernel = world.kernel_state(NodeId(1)).expect("it was added");
        let maxerror = kernel.maxerror_us as f64;
        if maxerror < last {
            at_updates.push(maxerror * 2.0);
        }
        last = maxerror;
        maxerrors.push(maxerror);
        for (id, widths) in world.nodes().zip(&mut widths) {
            let now = world.clock(id).expect("it was added").now();
            widths.push(now.map_or(f64::MAX, |now| now.width().as_secs_f64() * 1e6));
        }
    }
    Row {
        floor: median(at_updates),
        maxerror: median(maxerrors),
        widths: widths.map(median),
        misses: world.audit().misses,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
