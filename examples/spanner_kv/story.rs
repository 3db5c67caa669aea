//! [`find`] and [`tell`]: a run that went wrong, made small, and told in the order of time.

use std::fmt::Write;
use std::time::Duration;

use truechimer::sim::{Fault, Line};

use super::checker::{Violation, check};
use super::cluster::{Plan, Trouble};
use super::layout::Watch;

/// A run whose history is not strictly serialisable.
pub struct Finding {
    /// As it was, with the faults that it does not need taken away.
    pub plan: Plan,
    pub violation: Violation,
    /// How many faults there were at first.
    pub faults: usize,
}

/// Runs a plan; if its history does not hold, takes away what is not needed for that.
pub fn find(plan: &Plan) -> Option<Finding> {
    let fails = |plan: &Plan| check(&plan.run(Watch::Nothing).1.borrow()).err();
    let violation = fails(plan)?;
    let faults = plan.faults.len();
    let mut finding = Finding { plan: plan.clone(), violation, faults };
    let mut at = 0;
    while at < finding.plan.faults.len() {
        let mut smaller = finding.plan.clone();
        smaller.faults.remove(at);
        match fails(&smaller) {
            Some(violation) => (finding.plan, finding.violation) = (smaller, violation),
            None => at += 1,
        }
    }
    Some(finding)
}

/// The argument, and a timeline in true time, from a second run with the same seed.
pub fn tell(finding: &Finding) -> String {
    let Finding { plan, violation, .. } = finding;
    let transactions = violation.transactions();
    let (first, history) = plan.run(Watch::Nothing);
    drop(first);
    let history = history.borrow();
    let operations: Vec<_> =
        transactions.iter().filter_map(|&txn| history.operation(txn)).collect();
    let shards = operations
        .iter()
        .flat_map(|operation| operation.reads.iter().map(|&(key, _)| plan.layout.shard_of(key)));
    let watch = Watch::Some {
        transactions: transactions.iter().copied().collect(),
        shards: shards.collect(),
    };
    let mut story = String::new();
    let left = if finding.plan.faults.is_empty() { "none" } else { "" };
    let _ = writeln!(story, "  Of the day's troubles there are left: {left}");
    for trouble in &finding.plan.faults {
        for (at, fault) in same_moments(trouble) {
            let _ = writeln!(story, "    {:>11.6} s  {fault}", at.as_secs_f64());
        }
    }
    let _ = writeln!(story, "  What the clients saw:");
    for operation in &operations {
        let _ = writeln!(story, "    {operation}");
    }
    let _ = writeln!(story, "  But:");
    for step in violation.argument() {
        let _ = writeln!(story, "    {step}");
    }
    let (world, _) = plan.run(watch);
    let lines = world.trace().lines();
    let is_ours = |what: &str| transactions.iter().any(|txn| mentions(what, &txn.to_string()));
    let ours: Vec<Duration> = lines
        .iter()
        .filter(|line| line.node.is_some() && is_ours(&line.what))
        .map(|line| line.at)
        .collect();
    // What befell the cluster, and who began to lead, shortly before one of these.
    let has_to_do =
        |line: &&Line| ours.iter().any(|&at| line.at <= at && at <= line.at + SHOWN_BEFORE);
    let _ = writeln!(story, "  In true time:");
    let mut lines = lines.iter().filter(has_to_do).peekable();
    while let Some(line) = lines.next() {
        let who = line.node.map_or_else(|| "--".to_owned(), |node| node.to_string());
        let _ = write!(story, "  {:>13.6} s {who:>5}  {}", line.at.as_secs_f64(), line.what);
        let mut more = 0;
        while lines.next_if(|next| next.node.is_none() && next.at == line.at).is_some() {
            more += 1;
        }
        let _ = match more {
            0 => writeln!(story),
            _ => writeln!(story, ", and {more} more such"),
        };
    }
    story
}

/// The first fault of each moment: the others are of its kind.
fn same_moments(trouble: &Trouble) -> Vec<&(Duration, Fault)> {
    let mut firsts: Vec<&(Duration, Fault)> = trouble.iter().collect();
    firsts.dedup_by_key(|(at, _)| *at);
    firsts
}

/// Two terms.
const SHOWN_BEFORE: Duration = Duration::from_millis(400);

/// Whether a line names a transaction: T7.1 is not in a line about T7.12.
fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let after = line[at + name.len()..].chars().next();
        !after.is_some_and(|c| c.is_ascii_digit())
    })
}
