//! A world in which true time is known (feature `sim`).
//!
//! A program that rests on clocks is wrong on the day on which they are: in a leap second,
//! after a suspend, when a process was stopped between looking at the clock and
//! acting on it. Such days do not come while one tests. Mocking the clock does not help
//! much either: a mock says what its author thought of.
//!
//! So here is a world. It has machines with oscillators that drift, kernels that slew,
//! step and make leap seconds as Linux does, daemons that discipline them over a
//! network, or lie; processes that stall, crash and find what they had fsynced; links
//! that are slow, lose, double and reorder. One thing in it is better than in ours:
//! true time is known, so it can be said whether a clock was right.
//!
//! The clocks in it are not mocks. A [`SimClock`] is the code of the running
//! [`Clock`](crate::Clock), from the calibration of the counter to the reading; only the
//! machine that it runs on is simulated. Each reading is held against the truth: see
//! [`World::audit`].
//!
//! There are no threads and there is no real time. Events happen one after the other, in
//! an order that follows from the seed: the same seed gives the same run, to the last
//! byte of its [`Trace`].
//!
//! # Your own code in it
//!
//! A process is a [`Node`]: it gets messages and timers, and an [`Env`] to answer with.
//! Whatever takes a [`TrueTime`](crate::TrueTime) takes the [`SimClock`] of its `Env`.
//! Here a token goes round three nodes. Each stamps it by its own clock, and the next stamp
//! should be larger: it is, if the holder waits until its stamp is certainly past.
//!
//! ```
//! use std::time::Duration;
//! use truechimer::sim::{Env, Fault, Machine, Node, NodeId, World};
//! use truechimer::{Timestamp, TrueTime};
//!
//! struct Holder {
//!     waits: bool,
//!     stamp: Option<Timestamp>,
//!     stamps: u32,
//!     disorder: u32,
//! }
//!
//! impl Holder {
//!     fn take(&mut self, env: &mut Env<'_, Timestamp>) {
//!         // Without a reading the token is lost, and nothing is out of order.
//!         self.stamp = env.clock().now().ok().map(|now| now.latest());
//!         let Some(stamp) = self.stamp else { return };
//!         self.stamps += 1;
//!         match self.waits {
//!             true => env.when_past(stamp, 1), // commit-wait
//!             false => env.set_timer(Duration::ZERO, 1),
//!         }
//!     }
//! }
//!
//! impl Node for Holder {
//!     type Message = Timestamp;
//!
//!     fn receive(&mut self, env: &mut Env<'_, Timestamp>, _: NodeId, theirs: Timestamp) {
//!         self.take(env);
//!         self.disorder += u32::from(self.stamp.is_some_and(|ours| ours <= theirs));
//!     }
//!
//!     fn timer(&mut self, env: &mut Env<'_, Timestamp>, timer: u64) {
//!         match timer {
//!             0 => self.take(env),
//!             _ => env.send(NodeId((env.me().0 + 1) % 3), self.stamp.expect("it was taken")),
//!         }
//!     }
//! }
//!
//! let run = |waits: bool| {
//!     let mut world = World::new(42, move |env: &mut Env<'_, Timestamp>| {
//!         if env.me() == NodeId(0) {
//!             env.set_timer(Duration::from_secs(5), 0);
//!         }
//!         Holder { waits, stamp: None, stamps: 0, disorder: 0 }
//!     });
//!     let nodes = world.add_many(3, &Machine::default());
//!     world.schedule(Duration::from_secs(9), Fault::Pause(nodes[1], Duration::from_secs(1)));
//!     world.run_for(Duration::from_secs(20));
//!     assert_eq!(world.audit().misses, 0);
//!     let sum = |of: fn(&Holder) -> u32| -> u32 {
//!         world.nodes().filter_map(|id| world.node(id)).map(of).sum()
//!     };
//!     (sum(|holder| holder.stamps), sum(|holder| holder.disorder))
//! };
//!
//! let (stamps, disorder) = run(true);
//! assert!(stamps > 100 && disorder == 0);
//! // The test can fail: without the wait it does.
//! let (_, disorder) = run(false);
//! assert!(disorder > 0);
//! ```
//!
//! # Where to go on
//!
//! - [`search`] runs a check in many random worlds and makes a failing one small. What it
//!   prints is one line, a [`Scenario`], that replays the run.
//! - [`Fault`] says what can go wrong, and [`Timing`] which model of the network you
//!   assume. [`Machine::reference_understates`] gives your program a clock that is wrong.
//! - [`World::corrupt`] makes a node Byzantine.
//! - `examples/sim.rs` is a first program, `examples/soundness.rs` the campaign that this
//!   crate runs against itself, `examples/tightness.rs` how narrow its intervals are.
//! - `examples/spanner_kv.rs` is a whole database on a thousand such machines, with a checker
//!   for its history: nodes of several kinds, logs on disk, clients that record what they saw.
//!
//! # What it does not show
//!
//! A call of a node takes no simulated time, so races within a process are not in it (the
//! lock-free parts of this crate are checked by loom). A stall falls between a call's
//! last clock reading and its messages ([`Machine::stalls`]), and nowhere else. While the
//! clock's thread samples, time passes at each reading, and a step of the wall clock may
//! fall between any two of them; other events on that machine wait until it is through.

mod apply_fault;
mod audit;
mod campaign;
mod clock;
mod daemon;
mod disk;
mod fault;
mod hardware;
mod host;
mod kernel;
mod machine;
mod network;
mod node;
mod oscillator;
mod random;
mod scenario;
mod search;
mod trace;
mod world;

use std::fmt;

pub use audit::{Audit, Miss};
pub use campaign::{Breach, Outcome, campaign};
pub use clock::SimClock;
pub use daemon::{Daemon, TimeService};
pub use disk::Disk;
pub use fault::Fault;
pub use machine::{CounterModel, Machine, Reference};
pub use network::{Link, Timing};
pub use node::{Env, Node};
pub use oscillator::Oscillator;
pub use random::Random;
pub use scenario::{Mix, ParseScenarioError, Scenario};
pub use search::{Failure, search, search_in};
pub use trace::{Line, Trace};
pub use world::World;

/// A node: nodes are numbered from 0, in the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The number, to index with.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}
