//! The simulated world itself: that it repeats, and that it does what it says.

use std::time::Duration;

use truechimer::fence::{DurableFence, FencingToken};
use truechimer::sim::{
    Daemon, DiskStore, Env, Fault, Link, Machine, Node, NodeId, Reference, Timing, World,
};
use truechimer::{ClockError, Reason, Status, Timestamp, TrueTime};

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Counts its starts on disk, echoes what it is sent, and notes when its timers come.
struct Echo {
    starts: u8,
    heard: Vec<(NodeId, u32)>,
    past: Vec<u64>,
}

impl Echo {
    fn new(env: &mut Env<'_, u32>) -> Echo {
        let starts = env.disk().read("starts").map_or(0, |bytes| bytes[0]) + 1;
        env.disk().write("starts", [starts]);
        env.disk().sync();
        env.disk().write("starts", [200]);
        env.set_timer(SEC, 1);
        Echo { starts, heard: Vec::new(), past: Vec::new() }
    }
}

impl Node for Echo {
    type Message = u32;

    fn receive(&mut self, env: &mut Env<'_, u32>, from: NodeId, message: u32) {
        self.heard.push((from, message));
        if message < 10 {
            env.send(from, message + 10);
        }
    }

    fn timer(&mut self, env: &mut Env<'_, u32>, timer: u64) {
        self.past.push(timer);
        if timer == 1 {
            let dice = env.random().below(6) as u32;
            env.log(format!("throws {dice}"));
            env.broadcast(dice);
            env.set_timer(SEC, 1);
        }
    }
}

/// Whether its clock answered when it began.
struct Began(bool);

impl Node for Began {
    type Message = ();

    fn receive(&mut self, _: &mut Env<'_, ()>, _: NodeId, (): ()) {}
}

#[test]
fn a_restarted_process_has_a_clock_that_has_asked_its_sources() {
    let mut world = World::new(1, |env: &mut Env<'_, ()>| Began(env.clock().now().is_ok()));
    let reference = Reference { width: MS, adversarial: false };
    // Without that it would be hours until it asks.
    let machine = Machine::default().reference(reference).poll_interval(10_000 * SEC);
    let node = world.add(machine);
    world.schedule(2 * SEC, Fault::Crash(node));
    world.schedule(3 * SEC, Fault::Restart(node));
    world.run_for(4 * SEC);
    assert!(world.node(node).is_some_and(|process| process.0));
    assert_eq!(world.audit().misses, 0);
}

fn busy_world(seed: u64) -> World<Echo> {
    let mut world = World::new(seed, Echo::new);
    world.trace_everything();
    world.set_links(Link::heavy_tailed(MS).losing(100_000).doubling(100_000));
    let nodes = world.add_many(4, &Machine::default().stalls(100_000, 50 * MS));
    world.schedule(3 * SEC, Fault::Partition(vec![nodes[..2].to_vec()]));
    world.schedule(5 * SEC, Fault::Suspend(nodes[0], 3 * SEC, 40_000_000));
    world.schedule(6 * SEC, Fault::Crash(nodes[3]));
    world.schedule(8 * SEC, Fault::Restart(nodes[3]));
    world.schedule(9 * SEC, Fault::Heal);
    world.run_for(20 * SEC);
    world
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_byte() {
    let story = |seed| {
        let world = busy_world(seed);
        let clocks: Vec<_> = world.nodes().map(|id| world.clock(id).unwrap().now()).collect();
        format!("{}{clocks:?}{}", world.trace(), world.audit())
    };
    let first = story(11);
    assert!(first.len() > 10_000, "hardly anything happened:\n{first}");
    assert_eq!(first, story(11));
    assert_ne!(first, story(12));
}

#[test]
fn a_crash_loses_what_was_not_synced_and_a_restart_finds_the_rest() {
    let mut restarts = [0; 2];
    for seed in 0..40 {
        let mut world = World::new(seed, Echo::new);
        let id = world.add(Machine::default());
        world.schedule(SEC, Fault::Crash(id));
        world.schedule(2 * SEC, Fault::Restart(id));
        world.run_for(SEC + MS);
        assert!(world.node(id).is_none());
        // It is up again when it has built its clock, which takes 10 ms.
        world.run_for(SEC + 20 * MS);
        // The second write was in the page cache: the kernel may have got round to it.
        match world.node(id).unwrap().starts {
            2 => restarts[0] += 1,
            201 => restarts[1] += 1,
            other => panic!("{other} was never written"),
        }
    }
    assert!(restarts.iter().all(|&count| count > 5), "{restarts:?}");
}

/// A resource behind a durable fence, which is offered a token each second.
struct Fenced {
    fence: DurableFence,
    /// What the fence held when the process began.
    found: FencingToken,
}

impl Fenced {
    fn new(env: &mut Env<'_, ()>) -> Fenced {
        let store = DiskStore::open(env.disk(), "fence").expect("no earlier process has it");
        let fence = match env.disk().read("fence") {
            None => DurableFence::create_new_in(store),
            Some(_) => DurableFence::open_existing_in(store),
        };
        let fence = fence.expect("the disk works");
        env.set_timer(SEC, 1);
        Fenced { found: fence.newest(), fence }
    }
}

impl Node for Fenced {
    type Message = ();

    fn receive(&mut self, _: &mut Env<'_, ()>, _: NodeId, (): ()) {}

    fn timer(&mut self, env: &mut Env<'_, ()>, _: u64) {
        let next = FencingToken(self.fence.newest().get() + 1);
        self.fence.admit(next).expect("the newest");
        env.set_timer(SEC, 1);
    }
}

#[test]
fn a_fence_on_a_nodes_disk_survives_its_crashes() {
    for seed in 0..10 {
        let mut world = World::new(seed, Fenced::new);
        let id = world.add(Machine::default());
        world.run_for(SEC / 2);
        for _ in 0..4 {
            world.run_for(3 * SEC);
            let admitted = world.node(id).expect("it runs").fence.newest();
            world.schedule(Duration::ZERO, Fault::Crash(id));
            world.schedule(MS, Fault::Restart(id));
            world.run_for(100 * MS);
            let restarted = world.node(id).expect("it runs again");
            assert_eq!(restarted.found, admitted);
            let zombie = FencingToken(admitted.get() - 1);
            assert!(restarted.fence.admit(zombie).is_err());
        }
    }
}

#[test]
fn a_pause_delays_messages_and_a_crash_voids_timers() {
    let mut world = World::new(5, Echo::new);
    let [a, b] = [world.add(Machine::default()), world.add(Machine::default())];
    world.schedule(Duration::from_millis(500), Fault::Pause(b, 2 * SEC));
    world.schedule(Duration::from_millis(700), Fault::Crash(a));
    world.schedule(Duration::from_millis(800), Fault::Restart(a));
    world.run_for(Duration::from_millis(2_400));
    assert_eq!(world.node(b).unwrap().heard.len(), 0);
    assert_eq!(world.node(a).unwrap().past, [1], "the timer of its first life is void");
    world.run_for(Duration::from_millis(200));
    assert!(world.node(b).unwrap().heard.iter().any(|&(from, m)| from == a && m < 10));
    assert!(!world.is_running(NodeId(9)));
}

#[test]
fn a_cut_goes_one_way_and_a_partition_both() {
    let run = |fault: Fault| {
        let mut world = World::new(1, Echo::new);
        world.add_many(2, &Machine::default());
        world.schedule(Duration::ZERO, fault);
        world.run_for(SEC + 100 * MS);
        // Who has heard the other's dice?
        [0, 1].map(|id| world.node(NodeId(id)).unwrap().heard.iter().any(|&(_, m)| m < 10))
    };
    let [a, b] = [0, 1].map(NodeId);
    assert_eq!(run(Fault::Heal), [true, true]);
    assert_eq!(run(Fault::Cut(a, b)), [true, false]);
    assert_eq!(run(Fault::Partition(vec![vec![a]])), [false, false]);
}

#[test]
fn a_byzantine_node_tells_each_something_else() {
    let mut world = World::new(1, Echo::new);
    let nodes = world.add_many(3, &Machine::default());
    world.corrupt(nodes[0], |_, to, _| (to.0 == 1).then_some(77));
    world.run_for(SEC + 100 * MS);
    let heard = |id: NodeId| -> Vec<u32> {
        let heard = &world.node(id).unwrap().heard;
        heard.iter().filter(|(from, _)| *from == nodes[0]).map(|&(_, m)| m).collect()
    };
    assert!(heard(nodes[1]).iter().all(|&m| m == 77) && !heard(nodes[1]).is_empty());
    assert!(heard(nodes[2]).is_empty());
}

#[test]
fn when_past_waits_out_the_uncertainty_and_no_longer() {
    let mut world = World::new(3, Echo::new);
    let reference = Reference { width: MS, adversarial: false };
    let id = world.add(Machine::default().reference(reference));
    world.run_for(SEC / 2);
    let latest = world.clock(id).unwrap().now().unwrap().latest();
    world.call(id, |_, env| env.when_past(latest, 7)).unwrap();
    while !world.node(id).unwrap().past.contains(&7) {
        assert!(world.elapsed() < 2 * SEC, "it never came");
        world.run_for(Duration::from_micros(10));
    }
    // Sure that it is past: it is, and by no more than the clock's own width.
    let late = world.now().duration_since(latest).expect("it was past");
    assert!(late <= 2 * MS, "{late:?}");
    assert_eq!(world.clock(id).unwrap().after(latest), Ok(true));
}

#[test]
fn clocks_know_what_their_daemons_are_worth() {
    let mut world = World::of_clocks(9);
    let status = |world: &World<()>, id| world.clock(id).unwrap().status();
    let chrony = world.add(Machine::default());
    let timesyncd = world.add(Machine::default().daemon(Daemon::Timesyncd));
    let ntpd_rs = world.add(Machine::default().daemon(Daemon::NtpdRs));
    let phc = world.add(Machine::default().daemon(Daemon::ChronyOnPhc));
    let nobody = world.add(Machine::default().daemon(Daemon::None));
    world.run_for(100 * SEC);
    assert_eq!(status(&world, chrony), Status::Synchronized);
    assert_eq!(status(&world, timesyncd), Status::Unsynchronized(Reason::NoBoundStated));
    assert_eq!(status(&world, ntpd_rs), Status::Unsynchronized(Reason::WriterUnknown));
    assert_eq!(status(&world, phc), Status::Unsynchronized(Reason::ReferenceStatesNoBound));
    let refused = world.clock(nobody).unwrap().now();
    assert_eq!(refused, Err(ClockError::Unsynchronized(Reason::KernelUnsynchronized)));
    world.schedule(world.elapsed(), Fault::StopSampler(chrony, 100 * SEC));
    world.run_for(50 * SEC);
    assert_eq!(status(&world, chrony), Status::Holdover);
    let audit = world.audit();
    assert_eq!((audit.misses, audit.refusals), (0, 1));
}

#[test]
fn a_partially_synchronous_world_becomes_timely() {
    let mut world = World::new(4, Echo::new);
    world.set_links(Link::new(Timing::PartiallySynchronous {
        least: 10 * MS,
        most: 20 * MS,
        stable_from: 60 * SEC,
    }));
    let nodes = world.add_many(2, &Machine::default());
    world.run_for(70 * SEC + 500 * MS);
    let before = world.node(nodes[0]).unwrap().heard.len();
    world.run_for(20 * SEC);
    let heard = world.node(nodes[0]).unwrap().heard.len() - before;
    assert_eq!(heard, 40, "each second a dice and an answer");
}

/// A lease holder as one would write it in a hurry: it checks, is stopped, and writes.
struct Holder {
    until: Option<Timestamp>,
}

impl Node for Holder {
    type Message = Timestamp;

    fn receive(&mut self, env: &mut Env<'_, Timestamp>, _: NodeId, until: Timestamp) {
        // The storage looks for itself whether the lease behind this write is over.
        if env.clock().after(until).unwrap_or(false) {
            env.log("zombie");
        }
    }

    fn timer(&mut self, env: &mut Env<'_, Timestamp>, _: u64) {
        env.set_timer(100 * MS, 0);
        let Ok(now) = env.clock().now() else { return };
        let until = *self.until.get_or_insert(now.latest());
        if now.latest().saturating_add(50 * MS) < until {
            env.send(NodeId(1), until);
        } else {
            self.until = Some(now.earliest().saturating_add(SEC));
        }
    }
}

#[test]
fn a_stall_between_the_check_and_the_message_makes_a_zombie() {
    let zombies = |stalls: u32| {
        let mut world = World::new(6, |env: &mut Env<'_, Timestamp>| {
            env.set_timer(if env.me() == NodeId(0) { SEC } else { 1_000_000 * SEC }, 0);
            Holder { until: None }
        });
        let machine = Machine::default().reference(Reference { width: MS, adversarial: false });
        world.add(machine.clone().stalls(stalls, 5 * SEC));
        world.add(machine);
        world.run_for(300 * SEC);
        world.trace().lines().iter().filter(|line| line.what == "zombie").count()
    };
    assert_eq!(zombies(0), 0);
    assert!(zombies(50_000) > 0);
}
