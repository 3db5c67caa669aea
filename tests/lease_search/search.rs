//! [`search`]: breadth first through every state, so that what it finds is as short as can be.

use std::collections::HashSet;
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

/// Visits every state of the world, until none is new or a promise is broken whose text begins
/// with `promise`. A history that breaks another promise is not followed further.
pub fn search(size: Size, fault: Fault, promise: &str) -> Found {
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
                    if !broken.starts_with(promise) {
                        continue;
                    }
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

/// 128 bits, so that two states are alike by chance only once in 10²⁴ searches of 10⁷ states.
fn fingerprint(world: &World) -> u128 {
    let mut bytes = Bytes(Vec::with_capacity(1_024));
    world.hash(&mut bytes);
    let (mut first, mut second) = (bytes.0.len() as u64, 0x9E37_79B9_7F4A_7C15);
    for chunk in bytes.0.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        first = mixed(first ^ word ^ 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB) ^ second;
        second = mixed(second ^ word ^ 0x8EBC_6AF0_9C88_C6E3, 0x5899_65CC_7537_4CC3);
    }
    u128::from(first) << 64 | u128::from(second)
}

/// Both halves of the product, folded together.
fn mixed(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// All that a state hands to a hash, one after the other.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the bytes are asked for")
    }
}
