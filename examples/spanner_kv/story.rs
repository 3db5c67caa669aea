//! [`find`] and [`tell`]: reduces a failed run to what it needs, and tells it in order of time.

use std::fmt::Write;
use std::time::Duration;

use truechimer::sim::{Fault, Line};

use super::checker::{Violation, check};
use super::cluster::{Plan, Trouble};
use super::history::Operation;
use super::layout::{Txn, Watch};

/// A run whose history is not strictly serialisable.
pub struct Finding {
    /// The plan, without the faults that the failure does not need.
    pub plan: Plan,
    pub violation: Violation,
    /// How many faults there were at first.
    pub faults: usize,
}

/// Runs a plan. If its history is not strictly serialisable, removes all unnecessary faults.
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

/// What the clients saw, why that is a violation, and a timeline in true time.
pub fn tell(finding: &Finding) -> String {
    let Finding { plan, violation, .. } = finding;
    let transactions = violation.transactions();
    let (_, history) = plan.run(Watch::Nothing);
    let history = history.borrow();
    let operations: Vec<&Operation> =
        transactions.iter().filter_map(|&txn| history.operation(txn)).collect();
    let keys = operations.iter().flat_map(|o| o.reads.iter().map(|&(key, _)| key));
    let shards = keys.map(|key| plan.layout.shard_of(key)).collect();
    let mut story = remaining_faults(&plan.faults);
    story.push_str("  What the clients saw:\n");
    story.extend(operations.iter().map(|operation| format!("    {operation}\n")));
    story.push_str("  But:\n");
    story.extend(violation.argument().iter().map(|step| format!("    {step}\n")));
    // The same seed gives the same run, now with a trace.
    let watched = transactions.iter().copied().collect();
    let (world, _) = plan.run(Watch::Some { transactions: watched, shards });
    story + &timeline(world.trace().lines(), &transactions)
}

fn remaining_faults(troubles: &[Trouble]) -> String {
    let none = if troubles.is_empty() { " none" } else { "" };
    let mut text = format!("  Remaining faults of the day:{none}\n");
    for (at, fault) in troubles.iter().flat_map(first_of_each_moment) {
        let _ = writeln!(text, "    {:>11.6} s  {fault}", at.as_secs_f64());
    }
    text
}

/// The lines about these transactions, with the faults and the changes of leader shortly before.
fn timeline(lines: &[Line], transactions: &[Txn]) -> String {
    let is_ours = |line: &&Line| {
        let names = transactions.iter().any(|txn| mentions(&line.what, &txn.to_string()));
        line.node.is_some() && names
    };
    let ours: Vec<Duration> = lines.iter().filter(is_ours).map(|line| line.at).collect();
    let is_related =
        |line: &&Line| ours.iter().any(|&at| line.at <= at && at <= line.at + SHOWN_BEFORE);
    let mut text = String::from("  In true time:\n");
    let mut lines = lines.iter().filter(is_related).peekable();
    while let Some(line) = lines.next() {
        let who = line.node.map_or_else(|| "--".to_owned(), |node| node.to_string());
        let _ = write!(text, "  {:>13.6} s {who:>5}  {}", line.at.as_secs_f64(), line.what);
        // Cutting off one replica gives many lines, so combine them.
        let is_more =
            |next: &&Line| line.node.is_none() && next.node.is_none() && next.at == line.at;
        let more = std::iter::from_fn(|| lines.next_if(is_more)).count();
        text += &if more > 0 { format!(", and {more} more such\n") } else { "\n".to_owned() };
    }
    text
}

/// The first fault of each moment. The others at that moment are of the same kind.
fn first_of_each_moment(trouble: &Trouble) -> Vec<&(Duration, Fault)> {
    let mut firsts: Vec<&(Duration, Fault)> = trouble.iter().collect();
    firsts.dedup_by_key(|(at, _)| *at);
    firsts
}

/// How long before a transaction's lines related lines are shown: two terms.
const SHOWN_BEFORE: Duration = Duration::from_millis(400);

/// Whether a line names a transaction. A line about T7.12 does not name T7.1.
fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let after = line[at + name.len()..].chars().next();
        !after.is_some_and(|c| c.is_ascii_digit())
    })
}
