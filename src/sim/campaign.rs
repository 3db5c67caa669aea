//! [`campaign`]: reads every clock of a random world many times, and compares each reading
//! with the truth.
//!
//! Readings come in bursts, some of them nanoseconds apart, because an error of rounding shows
//! at one reading in many. Bursts are dense around faults and midnights, because clocks go
//! wrong there.

use std::time::Duration;

use super::NodeId;
use super::audit::Audit;
use super::mix::Mix;
use super::random::Random;
use super::scenario::Scenario;
use super::search::guarded;
use super::world::World;
use crate::clock::truetime::TrueTime;
use crate::timestamp::{Timestamp, duration_nanos_i64, seconds_to_nanos};

/// An assumption that was broken on one machine, and what followed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Breach {
    /// The machine.
    pub node: NodeId,
    /// Its first wrong reading, since the breach; `None` if the bound hid it.
    pub missed: Option<Duration>,
    /// The first contradiction, since the breach.
    pub noticed: Option<Duration>,
}

/// How long before a world's end a miss must be to count as never noticed. This is several
/// updates of the slowest daemon in these worlds.
const GRACE: Duration = Duration::from_secs(150);

/// The result of one world.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// All readings of all clocks.
    pub audit: Audit,
    /// The breaches, where there were any.
    pub breaches: Vec<Breach>,
}

/// Makes one world of the campaign: about `readings` readings of each of its clocks.
///
/// # Errors
///
/// What went wrong: a reading that missed, or contradicted an earlier one of its epoch, or
/// panicked; a contradiction in a world of honest sources; or, if an assumption was broken, a
/// miss that no contradiction followed.
pub fn campaign(scenario: &Scenario, readings: u32) -> Result<Outcome, String> {
    guarded(|scenario| run(scenario, readings), scenario)
}

fn run(scenario: &Scenario, readings: u32) -> Result<Outcome, String> {
    let mut world = scenario.world(|_| ());
    let end = world.now().saturating_add(scenario.run());
    for (start, count) in bursts(scenario, &world, readings) {
        read_burst(&mut world, scenario, start.min(end), count);
    }
    world.run_until(end);
    read_burst(&mut world, scenario, end, 1);
    judge(scenario, &world)
}

/// When bursts of readings begin, in order, and how many readings each has.
fn bursts(scenario: &Scenario, world: &World<()>, readings: u32) -> Vec<(Timestamp, u32)> {
    const LENGTH: u32 = 50;
    let mut random = Random::new(scenario.seed(), u64::MAX - 10);
    let began = world.now();
    // Each reading is two: `now` and `earliest`.
    let count = (readings / 2).div_ceil(LENGTH);
    let mut bursts: Vec<(Timestamp, u32)> = (0..count)
        .map(|_| (began.saturating_add(random.duration(Duration::ZERO, scenario.run())), LENGTH))
        .collect();
    let midnight = Timestamp::from_tai_nanos(
        (began.tai_nanos() / 86_400_000_000_000 + 1) * 86_400_000_000_000,
    );
    let events = scenario.faults().into_iter().map(|(at, _)| began.saturating_add(at));
    // UTC's midnight comes some 37 s after TAI's.
    let events: Vec<Timestamp> = events
        .chain(
            (-40..41)
                .map(|s| Timestamp::from_tai_nanos(midnight.tai_nanos() + seconds_to_nanos(s))),
        )
        .collect();
    for event in events {
        for _ in 0..2 {
            let after = random.duration(Duration::ZERO, Duration::from_millis(20));
            bursts.push((event.saturating_add(after), 10));
        }
    }
    bursts.retain(|&(at, _)| at >= began && at <= began.saturating_add(scenario.run()));
    bursts.sort_by_key(|&(at, _)| at);
    bursts
}

fn read_burst(world: &mut World<()>, scenario: &Scenario, start: Timestamp, count: u32) {
    let mut random = Random::new(start.tai_nanos() as u64, u64::MAX - 11);
    let longest = 1 << random.between(3, 24);
    let mut at = start.max(world.now());
    for _ in 0..count {
        world.run_until(at);
        for node in scenario.nodes() {
            if let Some(clock) = world.clock(node).filter(|_| world.is_running(node)) {
                // The audit keeps the result, and errors count too.
                let _ = clock.now();
                let _ = clock.earliest();
            }
        }
        at = at.saturating_add(Duration::from_nanos(1 + random.below(longest)));
    }
}

fn judge(scenario: &Scenario, world: &World<()>) -> Result<Outcome, String> {
    // Machines that the scenario no longer keeps run on, but are not told of leap seconds.
    let audits = scenario.nodes().map(|node| world.audit_of(node));
    let audit = audits.fold(Audit::default(), |sum, audit| sum.plus(&audit));
    // A miss is a fault of the clock only if its assumptions held. Everything else always is.
    let misses_count = scenario.mix().allows_no_miss();
    let first_miss = audit.first_miss.filter(|_| misses_count);
    if let Some(complaint) = (Audit { first_miss, ..audit.clone() }).complaint() {
        return Err(complaint);
    }
    let began =
        Timestamp::from_tai_nanos(world.now().tai_nanos() - duration_nanos_i64(world.elapsed()));
    for node in scenario.nodes().filter(|_| scenario.mix().is_honest()) {
        let audit = world.audit_of(node);
        // Beside servers that are asked, a kernel that lies is a contradiction, and no miss.
        let overlooked = match scenario.mix() {
            Mix::Exchanging => scenario.first_doubt(node),
            _ => scenario.overlooked_step(node),
        };
        let overlooked = overlooked.map(|at| began.saturating_add(at));
        let is_early = |at: &Timestamp| overlooked.is_none_or(|overlooked| *at < overlooked);
        if let Some(at) = audit.first_contradiction.filter(is_early) {
            return Err(format!(
                "{} contradictions although every source was honest, the first at {at}",
                audit.contradictions
            ));
        }
        // Where a clock of these worlds assumes A3, it holds. A source that is wrong would seem to
        // break it.
        if let Some(at) = audit.first_refutation.filter(is_early) {
            return Err(format!("A3 was refuted at {at}, although it holds"));
        }
    }
    let breaches = scenario.nodes().filter_map(|node| {
        let at = began.saturating_add(scenario.breach(node)?);
        let audit = world.audit_of(node);
        let since = |t: Timestamp| t.duration_since(at);
        Some(Breach {
            node,
            missed: audit.first_miss.and_then(|miss| since(miss.truth)),
            noticed: audit.first_contradiction.and_then(since),
        })
    });
    let breaches: Vec<Breach> = breaches.collect();
    for breach in &breaches {
        let at = scenario.breach(breach.node).unwrap_or_default();
        // A miss near the world's end does not count, because no later update can show it.
        let in_time = |missed: Duration| at + missed + GRACE <= scenario.run();
        if let (Some(missed), None) = (breach.missed.filter(|&m| in_time(m)), breach.noticed) {
            return Err(format!(
                "{} was wrong {missed:?} after its assumptions were broken, and no contradiction \
                 ever showed it",
                breach.node
            ));
        }
    }
    Ok(Outcome { audit, breaches })
}
