//! The random worlds whose virtual machines are moved ([`Mix::Moved`](super::Mix)).

use std::time::Duration;

use super::NodeId;
use super::fault::Fault;
use super::machine::{Machine, Reference, VmClockModel};
use super::oscillator::Oscillator;
use super::random::Random;

/// How far oscillators are off between which machines are moved, in ppm: so far that a daemon can
/// follow.
const MOVED_PPM: f64 = 95.0;

/// A virtual machine with a VMClock.
pub(super) fn machine(machine: Machine, wander_ppm: u32, random: &mut Random) -> Machine {
    let machine = machine
        .oscillator(Oscillator::off_by(MOVED_PPM * (2.0 * random.unit() - 1.0)))
        .vmclock(match random.below(2) {
            0 => VmClockModel::Marker,
            _ => VmClockModel::Time(Duration::from_nanos(1_000 << random.below(14))),
        });
    // Each host's oscillator is steady, so a rate may be learnt, and is another one after a move.
    let machine = if random.chance(400_000) { machine.max_wander_ppm(wander_ppm) } else { machine };
    if random.chance(350_000) {
        let width = Duration::from_nanos(100 << random.below(17));
        return machine.reference(Reference { width, adversarial: random.chance(700_000) });
    }
    machine
}

/// A move, or what may happen beside it. No process begins after one: its clock could not know
/// that its daemon does not.
pub(super) fn fault(node: NodeId, random: &mut Random) -> Fault {
    let lasts = |random: &mut Random, most_ms: u64| {
        random.duration(Duration::from_millis(1), Duration::from_millis(most_ms))
    };
    match random.below(10) {
        0 => Fault::Fork(node, random.chance(500_000)),
        1 => Fault::Pause(node, lasts(random, 30_000)),
        2 => Fault::StopSampler(node, lasts(random, 60_000)),
        3 => Fault::LoseTimeServer(node, lasts(random, 60_000)),
        _ => {
            let longest_ms = 1 << random.between(1, 18);
            let ticks = if random.chance(500_000) { 0 } else { random.below(1 << 50) };
            let ppm = MOVED_PPM * (2.0 * random.unit() - 1.0);
            let updates = random.below(12) as u32;
            Fault::MoveVm(node, lasts(random, longest_ms), ppm, ticks, updates)
        }
    }
}
