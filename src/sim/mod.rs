//! A world in which true time is known (feature `sim`).
//!
//! A program that depends on clocks is wrong on the day on which they are wrong: in a leap
//! second, after a suspend, or when a process was stopped between reading the clock and
//! acting on it. Such days do not come during a test. Mocking the clock does not help much,
//! because a mock returns only what its author thought of.
//!
//! This module simulates a world. Its machines have oscillators that drift. Its kernels slew,
//! step and make leap seconds as Linux does. Daemons discipline them over a network, or lie.
//! Processes stall and crash, and find what they had fsynced. Links are slow, lose messages,
//! duplicate and reorder them. In one respect it is better than the real world: true time is
//! known, so it is known whether a clock was right.
//!
//! The clocks in it are not mocks. A [`SimClock`] is the code of the running
//! [`Clock`](crate::Clock), from the calibration of the counter to the reading. Only the
//! machine below it is simulated. Each reading is compared with the truth (see
//! [`World::audit`]).
//!
//! There are no threads, and real time plays no part. Events happen one after the other, in an
//! order that follows from the seed. The same seed gives the same run, to the last byte of
//! its [`Trace`].
//!
//! # Your own code in it
//!
//! A process is a [`Node`]: it receives messages and timers, and acts through an [`Env`].
//! Code that takes a [`TrueTime`](crate::TrueTime) takes the [`SimClock`] of the `Env`, and code
//! that takes a [`Store`](crate::Store) takes a [`DiskStore`] on its disk.
//! In this example a token goes round three nodes. Each stamps it by its own clock, and the
//! next stamp should be larger. It is, if the holder waits until its stamp has certainly passed.
//!
//! ```
//! use std::time::Duration;
//! use truechimer::sim::{Env, Fault, Link, Machine, Node, NodeId, TimeService, World};
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
//!     // One time server is far away, so that machine's interval is wider.
//!     let link = Link::within(Duration::from_millis(5), Duration::from_millis(20));
//!     let far = TimeService { link, ..TimeService::default() };
//!     let far = Machine::default().time_service(far);
//!     let nodes = [Machine::default(), far, Machine::default()].map(|m| world.add(m));
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
//! // The test can fail, and does so without the wait.
//! let (_, disorder) = run(false);
//! assert!(disorder > 0);
//! ```
//!
//! # Where to go on
//!
//! - [`search`] runs a check in many random worlds and reduces a failing one. It prints one
//!   line, a [`Scenario`], which replays the run.
//! - [`Fault`] lists what can go wrong, and [`Timing`] the models of a network.
//!   [`Machine::reference_understates`] gives your program a clock that is wrong.
//! - [`World::corrupt`] makes a node Byzantine.
//! - `examples/sim.rs` is a first program, `examples/soundness.rs` the campaign that this
//!   crate runs against itself, `examples/frontier.rs` how narrow its intervals are.
//! - `examples/spanner_kv.rs` is a whole database on a thousand such machines, with a checker
//!   for its history. It has nodes of several kinds, logs on disk, and clients that record
//!   their results.
//!
//! # What it does not show
//!
//! A call of a node takes no simulated time, so races within a process do not occur. (Loom
//! checks the lock-free parts of this crate.) A stall falls between a call's last clock
//! reading and its messages ([`Machine::stalls`]), and nowhere else. While the clock's thread
//! samples, each reading takes time, and a step of the wall clock may fall between any two of
//! them. Other events on that machine wait until the thread is done.

mod apply_fault;
mod audit;
mod bus;
mod campaign;
mod clock;
mod daemon;
mod disk;
mod fault;
mod hardware;
mod host;
mod kernel;
mod listening;
mod machine;
mod mix;
mod moved;
mod network;
mod node;
mod ntp;
mod ntp_service;
mod oscillator;
mod random;
mod regression;
mod scenario;
mod search;
mod timesyncd;
mod trace;
mod vmclock;
mod world;

use std::fmt;

pub use audit::{Audit, Miss};
pub use campaign::{Breach, Outcome, campaign};
pub use clock::SimClock;
pub use daemon::{Daemon, TimeService};
pub use disk::{Disk, DiskStore};
pub use fault::Fault;
pub use machine::{CounterModel, Machine, Reference, VmClockModel};
pub use mix::Mix;
pub use network::{Link, Timing};
pub use node::{Env, Node};
pub use ntp_service::{NtpServer, NtpService};
pub use oscillator::Oscillator;
pub use random::Random;
pub use scenario::{ParseScenarioError, Scenario};
pub use search::{Failure, search, search_in};
pub use trace::{Line, Trace};
pub use world::World;

/// The number of a node, from 0 in the order in which nodes were added.
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
