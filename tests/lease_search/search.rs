//! [`search`]: breadth first through every state, so that what it finds is as short as can be.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::world::{Notes, Size, World};

/// What the search found.
pub struct Found {
    /// How many states there are, or how many were seen before the counterexample.
    pub states: usize,
    /// How many steps lead from a state to the same or another one.
    pub steps: usize,
    /// How many steps the longest of the shortest ways to a state has.
    pub depth: usize,
    pub took: Duration,
    pub counterexample: Option<Counterexample>,
}

/// The shortest history that breaks a promise.
pub struct Counterexample {
    pub broken: String,
    pub timeline: Vec<String>,
}

/// How a state was found: from which one, and by which of its steps.
#[derive(Clone, Copy)]
struct Way {
    from: u32,
    step: u16,
}

/// Visits every state of the world, until none is new or a promise is broken.
pub fn search(size: Size, fault: Fault) -> Found {
    let begun = Instant::now();
    let first = World::new(size, fault);
    let mut seen = HashSet::from([fingerprint(&first)]);
    let mut ways = vec![Way { from: 0, step: 0 }];
    let mut layer = vec![(0_u32, first)];
    let (mut steps, mut depth) = (0, 0);
    let found = |states, steps, depth, counterexample| {
        let took = begun.elapsed();
        Found { states, steps, depth, took, counterexample }
    };
    while !layer.is_empty() {
        let mut next = Vec::new();
        for (at, world) in layer {
            for (index, step) in world.steps().into_iter().enumerate() {
                let mut after = world.clone();
                steps += 1;
                let broken = after.take(step, &mut Notes::Off).err();
                let way = Way { from: at, step: index as u16 };
                if let Some(broken) = broken {
                    let timeline = timeline(World::new(size, fault), &ways, way);
                    let counterexample = Counterexample { broken, timeline };
                    return found(ways.len(), steps, depth + 1, Some(counterexample));
                }
                if seen.insert(fingerprint(&after)) {
                    next.push((ways.len() as u32, after));
                    ways.push(way);
                }
            }
        }
        depth += usize::from(!next.is_empty());
        layer = next;
    }
    found(ways.len(), steps, depth, None)
}

/// What happened on the way that ends with `last`.
fn timeline(first: World, ways: &[Way], last: Way) -> Vec<String> {
    let mut path = vec![last];
    while path[path.len() - 1].from != 0 {
        path.push(ways[path[path.len() - 1].from as usize]);
    }
    let (mut world, mut lines) = (first, Vec::new());
    for way in path.iter().rev() {
        let mut notes = Notes::On(String::new());
        let (before, step) = (world.now, world.steps()[usize::from(way.step)]);
        // The last step breaks the promise, and its line tells how far it came.
        let _ = world.take(step, &mut notes);
        let Notes::On(text) = notes else { unreachable!("they are on") };
        lines.push(format!("true time {before:>2}  {text}"));
    }
    lines
}

/// 128 bits of two hashes. With 10⁷ states, two of them are alike with a chance of 10⁻²⁵.
fn fingerprint(world: &World) -> u128 {
    let mut both = Both(DefaultHasher::new(), DefaultHasher::new());
    both.1.write_u64(1);
    world.hash(&mut both);
    u128::from(both.0.finish()) << 64 | u128::from(both.1.finish())
}

/// Feeds two hashes that began differently.
struct Both(DefaultHasher, DefaultHasher);

impl Hasher for Both {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}
