//! Five nodes with clocks, a partition and a pause, in a world whose true time is known.
//!
//! `cargo run --release --features sim --example sim`

use std::time::Duration;

use truechimer::sim::{Env, Fault, Machine, Node, NodeId, World};
use truechimer::{Interval, TrueTime};

fn main() {
    let secs = Duration::from_secs;
    let mut world = World::new(7, Gossip::new);
    let nodes = world.add_many(5, &Machine::default());
    world.schedule(secs(20), Fault::Partition(vec![nodes[..2].to_vec()]));
    world.schedule(secs(30), Fault::Pause(nodes[4], secs(8)));
    world.schedule(secs(40), Fault::Heal);
    world.run_for(secs(60));

    print!("{}", world.trace());
    for id in world.nodes() {
        let node = world.node(id).expect("none has crashed");
        let heard =
            format!("{} first, {} later, {} unordered", node.first, node.later, node.unclear);
        match world.clock(id).expect("each node has one").now() {
            Ok(now) => println!("{id}: {heard}; its clock is known to ± {:?}", now.width() / 2),
            Err(why) => println!("{id}: {heard}; {why}"),
        }
    }
    println!("{}", world.audit());
}

/// Tells the others every second what time it is, and orders what it hears by
/// its own last word: before, after, or nobody knows.
struct Gossip {
    said: Option<Interval>,
    first: u32,
    later: u32,
    unclear: u32,
}

const EVERY: Duration = Duration::from_secs(1);

impl Gossip {
    fn new(env: &mut Env<'_, Interval>) -> Gossip {
        env.set_timer(EVERY, 0);
        Gossip { said: None, first: 0, later: 0, unclear: 0 }
    }
}

impl Node for Gossip {
    type Message = Interval;

    fn receive(&mut self, _: &mut Env<'_, Interval>, _: NodeId, theirs: Interval) {
        match self.said {
            Some(ours) if theirs.definitely_before(&ours) => self.first += 1,
            Some(ours) if theirs.definitely_after(&ours) => self.later += 1,
            _ => self.unclear += 1,
        }
    }

    fn timer(&mut self, env: &mut Env<'_, Interval>, _: u64) {
        self.said = env.clock().now().ok();
        match self.said {
            Some(now) => env.broadcast(now),
            None => env.log("no time yet"),
        }
        env.set_timer(EVERY, 0);
    }
}
