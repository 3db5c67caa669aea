//! A world in which true time is known (feature `sim`).

mod audit;
mod campaign;
mod clock;
mod daemon;
mod disk;
mod fault;
mod kernel;
mod machine;
mod network;
mod node;
mod oscillator;
mod random;
mod sabotage;
mod sampler;
mod scenario;
mod search;
mod strike;
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
pub use sabotage::{Sabotage, UnknownSabotage};
pub use scenario::{Mix, ParseScenarioError, Scenario};
pub use search::{Failure, search};
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
