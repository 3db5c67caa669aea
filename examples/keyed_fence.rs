//! How much memory a fence with keys takes, and that a raised floor gives it back.
//!
//! `cargo run --release --example keyed_fence`, or with another number of keys:
//! `cargo run --release --example keyed_fence -- 100000`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use truechimer::fence::{FencingToken, KeyedFence};

const KEYS: u64 = 8_000_000;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let Ok(keys) = argument.as_deref().map_or(Ok(KEYS), str::parse::<u64>) else {
        eprintln!("{} is no number of keys", argument.unwrap_or_default());
        return ExitCode::FAILURE;
    };
    let fence = KeyedFence::new();
    println!("{:<34} {:>10} {:>10} {:>12} {:>12}", "", "keys", "room for", "resident", "it took");
    show("at the beginning", &fence, Duration::ZERO);
    let began = Instant::now();
    for key in 0..keys {
        // The tokens of one service in the order of its grants.
        fence.admit(&key, FencingToken(1 + key)).expect("each key has an order of its own");
    }
    show("every key admitted once", &fence, began.elapsed());
    for (share, text) in [(2, "floor raised over a half"), (1, "floor raised over all")] {
        let began = Instant::now();
        fence.raise_floor(FencingToken(keys / share));
        show(text, &fence, began.elapsed());
    }
    ExitCode::SUCCESS
}

fn show(text: &str, fence: &KeyedFence<u64>, took: Duration) {
    let resident = resident_mib().map_or("unknown".to_owned(), |mib| format!("{mib} MiB"));
    let (keys, room, took) = (fence.len(), fence.capacity(), format!("{took:.1?}"));
    println!("{text:<34} {keys:>10} {room:>10} {resident:>12} {took:>12}");
}

/// The memory of this process that is in use, as Linux counts it.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}
