//! [`Scenario`]: a random world, small enough to be written on one line.
//!
//! Everything in it follows from the seed, and the line lists the parts that are kept. Each
//! machine and each fault is drawn from a stream of its own, so the remaining parts do not
//! change when others are removed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::NodeId;
use super::daemon::{Daemon, TimeService};
use super::fault::Fault;
use super::listening;
use super::machine::{CounterModel, Machine, Reference};
use super::mix::Mix;
use super::moved;
use super::network::{Link, Timing};
use super::node::{Env, Node};
use super::ntp_service::NtpService;
use super::oscillator::Oscillator;
use super::random::Random;
use super::world::{BEGIN, World};
use crate::host::HostClock;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

/// A random world, or a part of one.
///
/// It prints as one line, which parses to the same world:
///
/// ```
/// use truechimer::sim::{Mix, Scenario};
///
/// let scenario = Scenario::random(Mix::Honest, 42);
/// let again: Scenario = scenario.to_string().parse()?;
/// assert_eq!(again, scenario);
/// # Ok::<(), truechimer::sim::ParseScenarioError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    mix: Mix,
    seed: u64,
    nodes: u32,
    run: Duration,
    /// Which machines and faults are kept, by number.
    machines: Vec<u32>,
    faults: Vec<u32>,
}

const LAYOUT: u64 = u64::MAX;
const MACHINES: u64 = 1 << 50;
const FAULTS: u64 = 1 << 51;

/// The midnights of leap seconds, in Unix seconds: 2017-01-01, as in the table,
const LISTED: i64 = 1_483_228_800;
/// and 2027-07-01, which the table does not list.
const UNLISTED: i64 = 1_814_400_000;

impl Scenario {
    /// The world of this seed.
    pub fn random(mix: Mix, seed: u64) -> Scenario {
        let nodes = 1 + Random::new(seed, LAYOUT).below(4) as u32;
        Scenario::with_nodes(mix, seed, nodes)
    }

    /// The world of this seed, with this many machines.
    pub fn with_nodes(mix: Mix, seed: u64, nodes: u32) -> Scenario {
        let mut layout = Random::new(seed, LAYOUT);
        layout.below(4);
        let run = Duration::from_secs(match mix {
            // Now and then long enough for a rate to be learnt.
            Mix::Honest if layout.chance(50_000) => 3_000 + layout.below(9_000),
            Mix::Honest | Mix::Exchanging => 30 + layout.below(400),
            // It polls every 16 s at most.
            Mix::Timesyncd => 100 + layout.below(700),
            _ => 900,
        });
        let faults = match mix {
            Mix::Honest | Mix::Exchanging | Mix::Timesyncd => {
                layout.below(4 + 2 * u64::from(nodes)) as u32
            }
            Mix::Moved => 4 * nodes,
            _ => nodes,
        };
        let machines = (0..nodes).collect();
        Scenario { mix, seed, nodes, run, machines, faults: (0..faults).collect() }
    }

    /// What it is made of.
    pub fn mix(&self) -> Mix {
        self.mix
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// For how long it runs.
    pub fn run(&self) -> Duration {
        self.run
    }

    /// The machines that are kept.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.machines.iter().map(|&number| NodeId(number))
    }

    /// The faults that are kept, and when they happen.
    pub fn faults(&self) -> Vec<(Duration, Fault)> {
        let mut all: Vec<_> = self.faults.iter().filter_map(|&i| self.fault(i)).collect();
        // One time server announces it to all of them.
        if let Some((_, leap)) = self.leap() {
            all.extend(self.nodes().map(|node| (Duration::ZERO, Fault::AnnounceLeap(node, leap))));
        }
        // A process that begins after a step that its daemon overlooks cannot know of it: what
        // it is told is then against A1. (README, limits.)
        let overlooks = |node: Option<NodeId>, faults: &[(Duration, Fault)]| {
            faults.iter().any(|(_, f)| matches!(f, Fault::ForeignStep(..)) && f.node() == node)
        };
        let kept = |fault: &Fault| {
            let begins_anew = matches!(
                fault,
                Fault::Crash(_) | Fault::Restart(_) | Fault::Suspend(..) | Fault::Restore(..)
            );
            !begins_anew || !overlooks(fault.node(), &all)
        };
        let mut faults: Vec<_> = all.iter().filter(|(_, fault)| kept(fault)).cloned().collect();
        faults.sort_by_key(|&(at, _)| at);
        faults
    }

    /// A world with these machines and these faults to come.
    pub fn world<N: Node>(
        &self,
        program: impl FnMut(&mut Env<'_, N::Message>) -> N + 'static,
    ) -> World<N> {
        let mut world = World::beginning_at(self.begin(), self.seed, program);
        world.set_links(links(&mut Random::new(self.seed, LAYOUT - 3)));
        for number in 0..self.nodes {
            world.add(self.machine(number));
        }
        for (at, fault) in self.faults() {
            world.schedule(at, fault);
        }
        world
    }

    /// When the assumptions are broken on this machine, if they are.
    pub(super) fn breach(&self, node: NodeId) -> Option<Duration> {
        if self.mix == Mix::Drifting {
            return Some(Duration::ZERO);
        }
        let faults = self.faults.iter().filter_map(|&i| self.fault(i));
        let mut breaches =
            faults.filter(|(_, f)| f.breaks_an_assumption() && f.node() == Some(node));
        breaches.next().map(|(at, _)| at)
    }

    /// When the clock of this machine is first stepped beside a daemon that overlooks it. From then
    /// on the daemon's statement may contradict what is known.
    pub(super) fn overlooked_step(&self, node: NodeId) -> Option<Duration> {
        let mut faults = self.faults().into_iter();
        let is_step =
            |fault: &Fault| matches!(fault, Fault::ForeignStep(..)) && fault.node() == Some(node);
        faults.find(|(_, fault)| is_step(fault)).map(|(at, _)| at)
    }

    /// When this machine's kernel may first state what is not true, if it may.
    pub(super) fn first_doubt(&self, node: NodeId) -> Option<Duration> {
        if self.machine(node.0).daemon == Daemon::ChronyEstimating {
            return Some(Duration::ZERO);
        }
        let lies = self
            .faults()
            .into_iter()
            .find(|(_, fault)| matches!(fault, Fault::Lie(..)) && fault.node() == Some(node));
        lies.map(|(at, _)| at).into_iter().chain(self.overlooked_step(node)).min()
    }

    /// Smaller scenarios that may fail in the same way, the likeliest first.
    pub(super) fn smaller(&self) -> Vec<Scenario> {
        let without = |list: &[u32], i: usize| {
            let mut list = list.to_vec();
            list.remove(i);
            list
        };
        let mut smaller = Vec::new();
        if self.machines.len() > 1 {
            smaller.extend(
                (0..self.machines.len())
                    .map(|i| Scenario { machines: without(&self.machines, i), ..self.clone() }),
            );
        }
        smaller.extend(
            (0..self.faults.len())
                .map(|i| Scenario { faults: without(&self.faults, i), ..self.clone() }),
        );
        let shorter = self.run * 3 / 4;
        if self.mix.is_honest() && shorter >= Duration::from_secs(2) {
            smaller.push(Scenario { run: Duration::from_secs(shorter.as_secs()), ..self.clone() });
        }
        smaller
    }

    /// A leap second in this world: when (UTC midnight, Unix seconds) and which.
    fn leap(&self) -> Option<(i64, i32)> {
        if !self.mix.is_honest() {
            return None;
        }
        match Random::new(self.seed, LAYOUT - 1).below(12) {
            0..=2 => Some((LISTED, 1)),
            3 => Some((UNLISTED, 1)),
            4 => Some((UNLISTED, -1)),
            _ => None,
        }
    }

    fn begin(&self) -> Timestamp {
        let Some((midnight, _)) = self.leap() else { return BEGIN };
        let mut random = Random::new(self.seed, LAYOUT - 2);
        let before = random.between(20, 200);
        let offset = if midnight == LISTED { 36 } else { 37 };
        Timestamp::from_tai_nanos(seconds_to_nanos(midnight + offset - before))
    }

    fn machine(&self, number: u32) -> Machine {
        let mut random = Random::new(self.seed, MACHINES + u64::from(number));
        let is_long = Scenario::with_nodes(self.mix, self.seed, self.nodes).run.as_secs() >= 900;
        let shortest_poll = if is_long { 8 } else { 6 };
        let mut machine = Machine::default()
            .oscillator(oscillator(self.mix, &mut random).0)
            .daemon(daemon(self.mix, &mut random))
            .time_service(time_service(self.mix, &mut random))
            .starts_off_by(random.between(-10_000_000_000, 10_000_000_000))
            .poll_interval(Duration::from_millis(1 << random.between(shortest_poll, 10)))
            .max_wander_ppm(self.learns(number).then_some(WANDER_PPM));
        if random.chance(500_000) {
            machine = machine.counter(CounterModel::MONOTONIC_RAW);
        }
        if self.mix == Mix::Moved {
            return moved::machine(machine, WANDER_PPM, &mut random);
        }
        if let Some(oscillator) = self.oscillator_beyond_a2(number) {
            // Near its server, so that its estimate of the oscillator is good.
            let service = TimeService {
                poll: Duration::from_secs(16 << random.below(4)),
                link: Link::within(Duration::from_micros(20), Duration::from_micros(200)),
                ..time_service(self.mix, &mut random)
            };
            return machine.oscillator(oscillator).daemon(Daemon::Chrony).time_service(service);
        }
        if self.mix == Mix::Timesyncd {
            machine = machine.system_bus();
        }
        if self.mix == Mix::Exchanging {
            let number = MACHINES + (1 << 42) + u64::from(number);
            machine = machine.ntp(NtpService::random(&mut Random::new(self.seed, number)));
        }
        // An operator whose statement is true: the clock is within 4 s until it is stepped.
        if self.mix == Mix::Honest && random.chance(150_000) {
            machine = machine
                .starts_off_by(random.between(-NANOS_PER_SECOND, NANOS_PER_SECOND))
                .assume_error(Duration::from_secs(4));
        }
        if self.mix == Mix::Estimating {
            return machine;
        }
        // Without a daemon, nothing but the reference shows a drift.
        let always = matches!(self.mix, Mix::Lying | Mix::Drifting);
        if always || random.chance(350_000) {
            let width = Duration::from_nanos(100 << random.below(17));
            machine = machine.reference(Reference { width, adversarial: random.chance(700_000) });
        }
        machine
    }

    fn fault(&self, number: u32) -> Option<(Duration, Fault)> {
        let mut random = Random::new(self.seed, FAULTS + u64::from(number));
        let full = Scenario::with_nodes(self.mix, self.seed, self.nodes).run;
        let node = match self.mix {
            Mix::Honest | Mix::Exchanging | Mix::Timesyncd => {
                NodeId(random.below(u64::from(self.nodes)) as u32)
            }
            Mix::Moved => NodeId(number % self.nodes.max(1)),
            _ => NodeId(number),
        };
        if !self.machines.contains(&node.0) {
            return None;
        }
        let within = |random: &mut Random, least: u64, most: u64| {
            random.duration(Duration::from_millis(least), Duration::from_millis(most))
        };
        let at = within(&mut random, 1_000, full.as_millis() as u64);
        let early = Duration::from_secs(100) + at / 10;
        Some(match self.mix {
            Mix::Lying => {
                let lie = random.between(30_000_000, 2_000_000_000);
                (early, Fault::Lie(node, if random.chance(500_000) { lie } else { -lie }))
            }
            Mix::StoppedVm => (early, Fault::StopVm(node, within(&mut random, 500, 60_000))),
            Mix::Drifting | Mix::Estimating => {
                (early, Fault::Pause(node, within(&mut random, 1, 20)))
            }
            Mix::Moved => (at, moved::fault(node, &mut random)),
            Mix::Exchanging if random.chance(100_000) => {
                (at, Fault::Lie(node, random.between(-NANOS_PER_SECOND, NANOS_PER_SECOND)))
            }
            Mix::Honest | Mix::Exchanging | Mix::Timesyncd if random.chance(250_000) => {
                (at, self.network_fault(node, &mut random))
            }
            Mix::Honest | Mix::Exchanging | Mix::Timesyncd => {
                (at, self.honest_fault(node, &mut random))
            }
        })
    }

    /// An oscillator that is further off than A2 allows, on one of twelve honest machines. Its
    /// chronyd corrects it, which shows it.
    fn oscillator_beyond_a2(&self, number: u32) -> Option<Oscillator> {
        let mut random = Random::new(self.seed, MACHINES + (1 << 41) + u64::from(number));
        if self.mix != Mix::Honest || !random.chance(83_000) {
            return None;
        }
        let sign = if random.chance(500_000) { 1.0 } else { -1.0 };
        let off_by = Oscillator::off_by(sign * (205.0 + 275.0 * random.unit()));
        Some(off_by.wander(0.05 * random.unit()).temperature(5.0 * random.unit(), DAY_AND_NIGHT))
    }

    /// Whether this machine's clock assumes A3, which then holds.
    fn learns(&self, number: u32) -> bool {
        let steadiness = self.steadiness(number);
        let mut random = Random::new(self.seed, MACHINES + (1 << 40) + u64::from(number));
        matches!(self.mix, Mix::Honest | Mix::Exchanging)
            && !matches!(steadiness, Steadiness::Wild)
            && random.chance(600_000)
    }

    fn steadiness(&self, number: u32) -> Steadiness {
        oscillator(self.mix, &mut Random::new(self.seed, MACHINES + u64::from(number))).1
    }

    /// A fault of the network. It does not affect the clocks, but a program on them.
    fn network_fault(&self, node: NodeId, random: &mut Random) -> Fault {
        let other = NodeId(random.below(u64::from(self.nodes)) as u32);
        match random.below(4) {
            0 => Fault::Cut(node, other),
            1 => Fault::Heal,
            _ => {
                let here = (0..self.nodes).map(NodeId).filter(|_| random.chance(500_000));
                Fault::Partition(vec![here.collect()])
            }
        }
    }

    /// A fault that breaks no assumption.
    fn honest_fault(&self, node: NodeId, random: &mut Random) -> Fault {
        let lasts = |random: &mut Random, most_ms: u64| {
            random.duration(Duration::from_millis(1), Duration::from_millis(most_ms))
        };
        // A counter that stands still in a suspend breaks A2, if no sampler notices it.
        let kinds = if self.machine(node.0).counter.counts_in_suspend { 10 } else { 8 };
        // A leap second that no table lists, and that falls into a suspend, cannot be noticed.
        let may_sleep = self.leap().is_none_or(|(midnight, _)| midnight == LISTED);
        let kind = random.below(kinds + 8);
        let is_assumed = self.machine(node.0).assume_error.is_some();
        match kind {
            _ if kind == kinds + 4 => {
                let most = 1 << random.between(20, 42);
                let by = random.between(-most, most);
                Fault::ForeignStep(node, by, random.below(12) as u32)
            }
            _ if kind == kinds + 7 => Fault::Restore(node, random.below(1 << 50)),
            // An operator who looks at a false clock would state a false error.
            _ if kind == kinds + 5 && !is_assumed => {
                let most = 1 << random.between(23, 43);
                Fault::ShowOtherTime(node, random.between(-most, most))
            }
            // Readings of the raw clock itself would stand still until the next poll.
            _ if kind >= kinds + 5 && self.machine(node.0).counter.is_hardware() => {
                Fault::StopRawClock(node)
            }
            _ if kind >= kinds + 5 => Fault::DenyClock(node, HostClock::MonotonicRaw),
            _ if kind == kinds => Fault::Fork(node, random.chance(300_000)),
            _ if kind == kinds + 1 => Fault::Reassume(node),
            _ if kind == kinds + 2 => Fault::UpdateLeapTable(node),
            _ if kind == kinds + 3 => {
                let clocks = [HostClock::Realtime, HostClock::MonotonicRaw, HostClock::Boottime];
                Fault::DenyClock(node, random.pick(&clocks).copied().unwrap_or(clocks[0]))
            }
            0 | 1 if may_sleep => {
                let error = random.between(-2_000_000_000, 2_000_000_000);
                Fault::Suspend(node, lasts(random, 100_000), error)
            }
            2 => match (self.steadiness(node.0), self.learns(node.0)) {
                // To the other end of what A3 allows, where it is assumed.
                (Steadiness::OneRate(sign), true) => {
                    let least = 200.05 - f64::from(WANDER_PPM);
                    Fault::Migrate(node, sign * (least + (199.999 - least) * random.unit()))
                }
                (Steadiness::Quartz(ppm), true) => {
                    Fault::Migrate(node, ppm + 2.0 * random.signed_unit())
                }
                _ => Fault::Migrate(node, 199.95 * random.signed_unit()),
            },
            3 => Fault::Crash(node),
            4 => Fault::Restart(node),
            5 => {
                let most = 1 << random.between(10, 33);
                Fault::StepClock(node, random.between(-most, most))
            }
            0 | 1 | 6 => Fault::LoseTimeServer(node, lasts(random, 200_000)),
            7 => Fault::KillDaemon(node),
            8 => Fault::Pause(node, lasts(random, 60_000)),
            _ => Fault::StopSampler(node, lasts(random, 120_000)),
        }
    }
}

/// How the nodes reach each other: each of the three models of time.
fn links(random: &mut Random) -> Link {
    let ms = Duration::from_millis;
    let link = match random.below(3) {
        0 => Link::within(ms(1), ms(10)),
        1 => {
            let stable_from = Duration::from_secs(random.below(300));
            Link::new(Timing::PartiallySynchronous { least: ms(1), most: ms(20), stable_from })
        }
        _ => Link::heavy_tailed(ms(2)),
    };
    match random.below(3) {
        0 => link,
        1 => link.in_order(),
        _ => link.losing(20_000).doubling(20_000),
    }
}

/// The period of an outdoor temperature.
const DAY_AND_NIGHT: Duration = Duration::from_secs(86_400);

/// What A3 is, where it is assumed.
const WANDER_PPM: u32 = 15;

/// How far an oscillator strays from its own mean.
#[derive(Clone, Copy, Debug)]
enum Steadiness {
    /// It keeps one frequency, near the limit of A2 of this sign.
    OneRate(f64),
    /// By 11 ppm at most in the time of a scenario, around so many ppm.
    Quartz(f64),
    Wild,
}

fn oscillator(mix: Mix, random: &mut Random) -> (Oscillator, Steadiness) {
    let sign = if random.chance(500_000) { 1.0 } else { -1.0 };
    if mix == Mix::Drifting {
        return (Oscillator::off_by(sign * (230.0 + 60.0 * random.unit())), Steadiness::Wild);
    }
    if mix == Mix::Estimating {
        let swing = 2.0 + 12.0 * random.unit();
        let period = Duration::from_secs(200 + random.below(200));
        return (Oscillator::off_by(sign * 40.0).temperature(swing, period), Steadiness::Wild);
    }
    match random.below(3) {
        // As bad as A2 allows, all the time: 200 ppm of frequency are 200.04 of a period.
        0 => {
            let off_by = if sign > 0.0 { 200.039 } else { -199.999 };
            (Oscillator::off_by(off_by), Steadiness::OneRate(sign))
        }
        1 => {
            let ppm = sign * 40.0 * random.unit();
            let quartz = Oscillator::off_by(ppm)
                .wander(0.01 * random.unit())
                .temperature(5.0 * random.unit(), Duration::from_secs(60 + random.below(3_600)))
                .ageing(random.unit())
                .limit(199.999);
            (quartz, Steadiness::Quartz(ppm))
        }
        _ => {
            let wild = Oscillator::off_by(sign * 200.0 * random.unit())
                .wander(30.0 * random.unit())
                .temperature(100.0 * random.unit(), Duration::from_secs(5 + random.below(100)))
                .limit(199.999);
            (wild, Steadiness::Wild)
        }
    }
}

fn daemon(mix: Mix, random: &mut Random) -> Daemon {
    match mix {
        Mix::Honest => {}
        Mix::Moved if random.chance(200_000) => return Daemon::None,
        Mix::Moved => return Daemon::Chrony,
        Mix::Exchanging if random.chance(150_000) => return Daemon::ChronyEstimating,
        Mix::Exchanging => {}
        // A daemon would show the drift by its correction.
        Mix::Drifting => return Daemon::None,
        Mix::Lying | Mix::StoppedVm => return Daemon::Chrony,
        Mix::Timesyncd => return Daemon::Timesyncd,
        Mix::Estimating => return Daemon::ChronyEstimating,
    }
    match random.below(12) {
        0 => Daemon::Timesyncd,
        1 => Daemon::None,
        2 => Daemon::Nonsense,
        3 => Daemon::NtpdRs,
        4 => Daemon::ChronyOnPhc,
        _ => Daemon::Chrony,
    }
}

fn time_service(mix: Mix, random: &mut Random) -> TimeService {
    if mix == Mix::Estimating {
        // The round trip would cover what the estimate leaves out.
        return TimeService {
            poll: Duration::from_secs(16 << random.below(3)),
            link: Link::within(Duration::from_micros(20), Duration::from_micros(60)),
            server_error: Duration::from_micros(1 << random.below(8)),
            slew_ppm: 250,
            back: None,
        };
    }
    if mix == Mix::Timesyncd {
        return listening::service(random);
    }
    let poll = Duration::from_secs(1 << random.below(if mix.is_honest() { 8 } else { 6 }));
    let micros = |us| Duration::from_micros(us);
    let link = match random.below(4) {
        0 => Link::within(micros(20), micros(60)),
        1 => Link::within(micros(200), micros(2_000)),
        2 => Link::heavy_tailed(micros(500)).losing(50_000),
        _ => Link::heavy_tailed(Duration::from_millis(8)).losing(200_000),
    };
    let link = if mix.is_honest() { link } else { Link::within(micros(100), micros(900)) };
    TimeService {
        poll,
        link,
        back: None,
        server_error: micros(1 << random.below(10)),
        slew_ppm: if random.chance(300_000) { 50_000 } else { 250 },
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        write!(
            f,
            "mix={} seed={} nodes={} run={}s machines={} faults={}",
            self.mix,
            self.seed,
            self.nodes,
            self.run.as_secs(),
            list(&self.machines),
            list(&self.faults)
        )
    }
}

/// A line that is not a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a scenario: a line reads `mix=honest seed=42 nodes=3 run=120s machines=0,2 faults=1`, \
     as a failing search prints it"
)]
pub struct ParseScenarioError(String);

impl FromStr for Scenario {
    type Err = ParseScenarioError;

    fn from_str(text: &str) -> Result<Scenario, ParseScenarioError> {
        let error = || ParseScenarioError(text.to_owned());
        let field = |name: &str| {
            let found = text.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.ok_or_else(error)
        };
        let number = |word: &str| word.parse::<u64>().map_err(|_| error());
        let list = |word: &str| -> Result<Vec<u32>, ParseScenarioError> {
            let numbers = word.split(',').filter(|word| !word.is_empty());
            numbers.map(|n| n.parse().map_err(|_| error())).collect()
        };
        let mix = field("mix=")?;
        let mix = Mix::ALL.into_iter().find(|m| m.to_string() == mix).ok_or_else(error)?;
        let nodes = u32::try_from(number(field("nodes=")?)?).map_err(|_| error())?;
        let full = Scenario::with_nodes(mix, number(field("seed=")?)?, nodes);
        let run = number(field("run=")?.strip_suffix('s').ok_or_else(error)?)?;
        let scenario = Scenario {
            run: Duration::from_secs(run),
            machines: list(field("machines=")?)?,
            faults: list(field("faults=")?)?,
            ..full.clone()
        };
        let known = scenario.run <= full.run
            && scenario.machines.iter().all(|&m| m < nodes)
            && scenario.faults.iter().all(|f| full.faults.contains(f));
        if known { Ok(scenario) } else { Err(error()) }
    }
}
