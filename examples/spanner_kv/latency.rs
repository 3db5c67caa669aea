//! [`latency_table`]: the latency of commits, compared with the formula for it.
//!
//! A leader stamps a commit with its `latest` and sends it to its replicas at the same
//! moment. It may show the commit when a majority has it and its stamp has passed. So
//!
//! ```text
//! commit latency = max(replication, latest - earliest') = max(R, 2ε)
//! ```
//!
//! where R is a round trip to the nearer of two followers, and 2ε is the width of the
//! leader's interval. The formula is Spanner's (OSDI 2012, section 4.2.1): the wait is at
//! least 2ε, and it overlaps with replication.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use truechimer::sim::Link;

use super::cluster::{Clocks, Plan};
use super::layout::{Layout, Watch, Work};

/// One line of the table: medians over the commits of a run.
struct Row {
    /// Twice ε: the width of the leader's interval when it chose the timestamp.
    width: Duration,
    measured: Duration,
    /// max(R, 2ε), with each commit's own width.
    formula: Duration,
    commits: usize,
}

/// The table for several uncertainties and replication times. Each line has at least `commits`
/// commits.
pub fn latency_table(commits: u32) -> String {
    let replications = [200, 2_000, 20_000].map(Duration::from_micros);
    let mut table = String::from(
        "commit latency at the leader, from choosing the timestamp to showing it; medians in µs\n",
    );
    let head = ["ε", "R", "max(R, 2ε)", "measured", "commits"];
    let _ = writeln!(
        table,
        "{:>10} {:>10} {:>12} {:>10} {:>8}",
        head[0], head[1], head[2], head[3], head[4]
    );
    // The widths of the time sources in nanoseconds make ε from 1 µs to 10 ms.
    for replication in replications {
        for reference in [1_000, 10_000, 100_000, 1_000_000, 20_000_000] {
            let Row { width, measured, formula, commits } = row(replication, reference, commits);
            let micros = |d: Duration| d.as_nanos() as f64 / 1e3;
            let _ = writeln!(
                table,
                "{:>10.1} {:>10.1} {:>12.1} {:>10.1} {commits:>8}",
                micros(width) / 2.0,
                micros(replication),
                micros(formula),
                micros(measured),
            );
        }
    }
    table
}

fn row(replication: Duration, reference: u64, commits: u32) -> Row {
    let each =
        (replication * 3 + Duration::from_nanos(reference * 3)).max(Duration::from_millis(1));
    let from = Duration::from_secs(3);
    let plan = Plan {
        seed: reference ^ replication.as_nanos() as u64,
        layout: Layout { lock_services: 1, shards: 1, replicas: 3, clients: 2, keys_per_shard: 64 },
        work: Work {
            from,
            until: from + each * commits,
            sessions: 2,
            think: each,
            writing: 1_000_000,
            stale: 0,
            width: 1,
        },
        term: Duration::from_secs(1),
        link: Link::within(replication / 2, replication / 2),
        clocks: Clocks::Alike(reference),
        faults: Vec::new(),
        stalls: None,
        hand_overs: 0,
        broken: None,
    };
    let (world, _) = plan.run(Watch::Latency);
    let mut stamped: HashMap<&str, (Duration, u64)> = HashMap::new();
    let (mut widths, mut measured, mut formula) = (Vec::new(), Vec::new(), Vec::new());
    for line in world.trace().lines() {
        let words: Vec<&str> = line.what.split(' ').collect();
        match words[..] {
            ["stamped", txn, width] => {
                stamped.insert(txn, (line.at, width.parse().unwrap_or(0)));
            }
            ["shown", txn] => {
                let Some(&(at, width)) = stamped.get(txn) else { continue };
                let width = Duration::from_nanos(width);
                widths.push(width);
                measured.push(line.at - at);
                formula.push(width.max(replication));
            }
            _ => {}
        }
    }
    Row {
        width: median(&mut widths),
        commits: measured.len(),
        measured: median(&mut measured),
        formula: median(&mut formula),
    }
}

fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
