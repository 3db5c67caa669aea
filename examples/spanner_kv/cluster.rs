//! [`Plan`]: a cluster and the faults of its day, from one seed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use truechimer::sim::{
    Daemon, Env, Fault, Link, Machine, Node, NodeId, Oscillator, Random, Reference, World,
};

use super::client::Client;
use super::history::History;
use super::layout::{BEGAN, Broken, Layout, Role, Settings, Watch, Work};
use super::lock_service::LockService;
use super::message::Message;
use super::replica::Replica;

/// The process on a node.
pub enum Process {
    LockService(LockService),
    Replica(Box<Replica>),
    Client(Client),
}

impl Node for Process {
    type Message = Message;

    fn receive(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
        match self {
            Process::LockService(lock_service) => lock_service.receive(env, from, message),
            Process::Replica(replica) => replica.receive(env, from, message),
            Process::Client(client) => client.receive(env, from, message),
        }
    }

    fn timer(&mut self, env: &mut Env<'_, Message>, timer: u64) {
        match self {
            Process::LockService(lock_service) => lock_service.timer(env),
            Process::Replica(replica) => replica.timer(env, timer),
            Process::Client(client) => client.timer(env, timer),
        }
    }
}

/// Faults that belong together, for example a cut and its healing.
pub type Trouble = Vec<(Duration, Fault)>;

/// A cluster, its work, and its faults.
#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub layout: Layout,
    pub work: Work,
    pub term: Duration,
    pub link: Link,
    /// The source of each node's time.
    pub clocks: Clocks,
    /// The faults, each with the one that ends it.
    pub faults: Vec<Trouble>,
    /// How often in a million a process loses the processor before its messages leave, and for
    /// how long at most.
    pub stalls: Option<(u32, Duration)>,
    /// How often in a million ticks a leader hands its lease to another replica. There are twenty
    /// ticks in a term.
    pub hand_overs: u32,
    pub broken: Option<Broken>,
}

/// The time sources of a cluster.
#[derive(Clone, Copy, Debug)]
pub enum Clocks {
    /// Each machine has a source of its own quality: widths from 0.1 to 100 ms.
    Mixed,
    /// All machines have a source of this width in nanoseconds. A reading is up to twice as wide.
    Alike(u64),
}

const STALLS: Option<(u32, Duration)> = Some((200, Duration::from_millis(300)));
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

impl Plan {
    /// Two shards of three replicas, some clients, and several seconds with faults.
    pub fn random(seed: u64, broken: Option<Broken>) -> Plan {
        let layout =
            Layout { lock_services: 1, shards: 2, replicas: 3, clients: 20, keys_per_shard: 8 };
        let work = Work {
            from: 5 * SECOND,
            until: 11 * SECOND,
            sessions: 3,
            think: 5 * MS,
            writing: 900_000,
            stale: 200_000,
            width: 3,
        };
        let mut random = Random::new(seed, 1);
        let mut faults = faults(&mut random, &layout, &work);
        // Few other faults make replicas lose what they promised. It is slow, so not each day has it.
        if broken == Some(Broken::PromiseNotPersisted) || broken.is_none() && seed % 4 == 3 {
            faults.extend(crashing_followers(&mut random, &layout, &work));
        }
        Plan {
            seed,
            layout,
            work,
            term: 200 * MS,
            link: Link::heavy_tailed(MS / 10).losing(1_000).doubling(1_000),
            clocks: Clocks::Mixed,
            faults,
            stalls: STALLS,
            hand_overs: 20_000,
            broken,
        }
    }

    /// A thousand nodes, with faults on some of them.
    pub fn large(seed: u64) -> Plan {
        let layout = Layout {
            lock_services: 10,
            shards: 240,
            replicas: 3,
            clients: 270,
            keys_per_shard: 64,
        };
        let work = Work {
            from: 5 * SECOND,
            until: 600 * SECOND,
            sessions: 4,
            think: 30 * MS,
            writing: 900_000,
            stale: 200_000,
            width: 3,
        };
        let mut random = Random::new(seed, 1);
        // All faults come in the first half minute.
        let soon = Work { until: 35 * SECOND, ..work };
        let faults = (0..6).flat_map(|_| faults(&mut random, &layout, &soon)).collect();
        let link = Link::heavy_tailed(MS / 10).losing(1_000).doubling(1_000);
        Plan {
            seed,
            layout,
            work,
            term: 2 * SECOND,
            link,
            clocks: Clocks::Alike(100_000),
            faults,
            stalls: STALLS,
            hand_overs: 2_000,
            broken: None,
        }
    }

    /// Runs until so many transactions are done.
    pub fn run_until_done(&self, transactions: u64) -> (World<Process>, Rc<RefCell<History>>) {
        let (mut world, history) = self.world(Watch::Nothing);
        while history.borrow().count().done() < transactions && world.elapsed() < self.work.until {
            world.run_for(100 * MS);
        }
        (world, history)
    }

    /// Runs to the end of the work, and for the time that the nodes need to finish.
    pub fn run(&self, watch: Watch) -> (World<Process>, Rc<RefCell<History>>) {
        let (mut world, history) = self.world(watch);
        world.run_until(BEGAN.saturating_add(self.work.until + 3 * SECOND));
        (world, history)
    }

    fn world(&self, watch: Watch) -> (World<Process>, Rc<RefCell<History>>) {
        let history = Rc::new(RefCell::new(History::default()));
        let settings = Rc::new(Settings {
            layout: self.layout,
            work: self.work,
            term: self.term,
            hand_overs: self.hand_overs,
            broken: self.broken,
            watch,
            history: history.clone(),
        });
        let program = move |env: &mut Env<'_, Message>| match settings.layout.role(env.me()) {
            Role::LockService => Process::LockService(LockService::new(settings.clone(), env)),
            Role::Replica(shard) => {
                Process::Replica(Box::new(Replica::new(settings.clone(), shard, env)))
            }
            Role::Client => Process::Client(Client::new(settings.clone(), env)),
        };
        let mut world = World::beginning_at(BEGAN, self.seed, program);
        world.set_links(self.link);
        for node in 0..self.layout.nodes() {
            world.add(self.machine(node));
        }
        for (at, fault) in self.faults.iter().flatten() {
            world.schedule(*at, fault.clone());
        }
        (world, history)
    }

    fn machine(&self, node: u32) -> Machine {
        let mut random = Random::new(self.seed, 100 + u64::from(node));
        let nanos = match self.clocks {
            // The steps are half an order of magnitude.
            Clocks::Mixed => match self.layout.role(NodeId(node)) {
                Role::LockService => [100_000, 100_000_000][random.below(2) as usize],
                Role::Replica(_) => {
                    [100_000, 300_000, 1_000_000, 10_000_000][random.below(4) as usize]
                }
                Role::Client => [100_000, 300_000, 1_000_000, 3_000_000][random.below(4) as usize],
            },
            Clocks::Alike(nanos) => nanos,
        };
        // By A2 a reading widens by 400 ppm of its age, so its width about doubles between two samples.
        let poll = Duration::from_nanos(nanos * 2_500).max(MS);
        let machine = Machine::default()
            .oscillator(Oscillator::off_by(random.between(-80, 80) as f64).wander(0.02))
            .daemon(Daemon::None)
            // It is moved to other hosts, and has no VMClock: nothing can be said of its rate.
            .max_wander_ppm(None)
            .starts_off_by(random.between(-1_000_000_000, 1_000_000_000))
            .reference(Reference { width: Duration::from_nanos(nanos), adversarial: false })
            .poll_interval(poll);
        let machine = match self.stalls {
            Some((per_million, longest)) => machine.stalls(per_million, longest),
            None => machine,
        };
        match self.broken {
            Some(Broken::TooSure) => machine.reference_understates(4),
            _ => machine,
        }
    }
}

/// The faults of a day, under which the assumptions of the clocks still hold. On every second
/// day one replica after the other is cut off from all servers but not from the clients, and
/// sometimes the lock service crashes meanwhile.
fn faults(random: &mut Random, layout: &Layout, work: &Work) -> Vec<Trouble> {
    let mut faults = Vec::new();
    if random.chance(500_000) {
        let mut at = work.from;
        while at < work.until {
            let shard = random.below(u64::from(layout.shards)) as u32;
            let group: Vec<_> = layout.group(shard).collect();
            let lasts = random.duration(200 * MS, 400 * MS);
            if let Some(&node) = random.pick(&group) {
                faults.push([isolate(layout, node, at), vec![(at + lasts, Fault::Heal)]].concat());
                if random.chance(300_000) {
                    let lock_service = layout.lock_service_of(shard);
                    let crash = at + random.duration(MS, 60 * MS);
                    let again = crash + random.duration(MS, 60 * MS);
                    faults.push(vec![
                        (crash, Fault::Crash(lock_service)),
                        (again, Fault::Restart(lock_service)),
                    ]);
                }
            }
            at += lasts + random.duration(10 * MS, 200 * MS);
        }
    }
    for _ in 0..6 + random.below(14) {
        let at = random.duration(work.from, work.until);
        let node = NodeId(random.below(u64::from(layout.servers().end)) as u32);
        let lasts = random.duration(5 * MS, 800 * MS);
        faults.push(match random.below(8) {
            0 | 1 => vec![(at, Fault::Pause(node, lasts))],
            2 => vec![(at, Fault::Crash(node)), (at + lasts, Fault::Restart(node))],
            3 => [isolate(layout, node, at), vec![(at + lasts, Fault::Heal)]].concat(),
            4 => {
                let here = (0..layout.nodes()).map(NodeId).filter(|_| random.chance(500_000));
                let split = Fault::Partition(vec![here.collect()]);
                vec![(at, split), (at + lasts, Fault::Heal)]
            }
            5 => vec![(at, Fault::StopSampler(node, lasts))],
            6 => {
                let rtc_is_off_by = random.between(-1_000_000_000, 1_000_000_000);
                vec![(at, Fault::Suspend(node, lasts, rtc_is_off_by))]
            }
            _ => vec![(at, Fault::Migrate(node, random.between(-80, 80) as f64))],
        });
    }
    faults.sort_by_key(|parts| parts[0].0);
    faults
}

/// One replica of each shard crashes all the time and is back at once, while the two others lose
/// and regain the lock service in turns.
fn crashing_followers(random: &mut Random, layout: &Layout, work: &Work) -> Vec<Trouble> {
    let mut faults = Vec::new();
    for shard in 0..layout.shards {
        let group: Vec<_> = layout.group(shard).collect();
        let [first, second, crashing] = group[..] else { continue };
        let lock_service = layout.lock_service_of(shard);
        let mut from = work.from;
        for node in [first, second].into_iter().cycle() {
            if from >= work.until {
                break;
            }
            let until = from + random.duration(210 * MS, 260 * MS);
            let cut = [Fault::Cut(node, lock_service), Fault::Cut(lock_service, node)];
            let mut trouble: Trouble = cut.map(|cut| (from, cut)).into();
            let mut at = from;
            while at < until {
                let again = at + random.duration(MS / 10, 2 * MS);
                trouble.extend([(at, Fault::Crash(crashing)), (again, Fault::Restart(crashing))]);
                at = again + random.duration(MS, 8 * MS);
            }
            trouble.push((until, Fault::Heal));
            faults.push(trouble);
            from = at + random.duration(MS, 20 * MS);
        }
    }
    faults.sort_by_key(|parts| parts[0].0);
    faults
}

/// Cuts a server off from all other servers, but not from the clients.
fn isolate(layout: &Layout, node: NodeId, at: Duration) -> Trouble {
    let others = layout.servers().map(NodeId).filter(|&other| other != node);
    others
        .flat_map(|other| [(at, Fault::Cut(node, other)), (at, Fault::Cut(other, node))])
        .collect()
}
