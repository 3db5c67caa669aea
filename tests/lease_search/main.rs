//! draft
mod fault;
mod node;
mod search;
mod world;

use fault::Fault;
use search::search;
use world::Size;

#[test]
fn probe() {
    let var = |name: &str, or: i64| {
        std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or)
    };
    let size = Size {
        ticks: var("TICKS", 5), error: var("ERROR", 1), term: var("TERM", 3),
        requests: var("REQUESTS", 1) as u64, commands: var("COMMANDS", 1) as u64,
        stamps: var("STAMPS", 1) as u8, restarts: var("RESTARTS", 0) as u8, writes: var("WRITES", 0) != 0,
    };
    let found = search(size, Fault::Nothing);
    println!("{size:?}: {} states, {} steps, depth {}, {:?}", found.states, found.steps, found.depth, found.took);
    if let Some(c) = found.counterexample {
        println!("{}\n{}", c.broken, c.timeline.join("\n"));
    }
}
