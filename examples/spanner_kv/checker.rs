//! [`check`]: is there one order of all transactions that explains everything, and that
//! respects time? That is strict serialisability, and what Spanner calls external consistency.
//!
//! In general that is NP-complete (Papadimitriou 1979), since the order in which the
//! versions of a register came about has to be guessed. Here it need not be: every value
//! names its writer, and every writer has read what it overwrites. So the versions of each
//! register form a chain, and what is left is a graph:
//!
//! | edge | when |
//! |---|---|
//! | writer → next writer | the second overwrote the first (`ww`) |
//! | writer → reader | the second read what the first wrote (`wr`) |
//! | reader → next writer | the second overwrote what the first read (`rw`) |
//! | earlier → later | the first was acknowledged before the second began (`rt`) |
//!
//! The history is strictly serialisable exactly if this graph has no cycle (Adya 1999; the
//! same idea is in Kingsbury and Alvaro, "Elle", 2020). The `rt` edges would be quadratic
//! in number. They are drawn through one node for each acknowledgement, in a chain, so all
//! of it is linear.
//!
//! A read of the past does not claim to see what was acknowledged before it began, so no
//! `rt` edge leads to it; and it has to be exact: it sees the last version whose timestamp
//! is at or below its moment, and no other.

use std::collections::{HashMap, HashSet, VecDeque};

use truechimer::Timestamp;

use super::history::{End, History, Kind, Operation};
use super::layout::{Key, Txn};

/// Why a history is not strictly serialisable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Each comes before the next, and the last before the first.
    Cycle(Vec<(Txn, Edge)>),
    /// Two have overwritten the same version: the first one's write is lost.
    LostUpdate { key: Key, version: Txn, writers: [Txn; 2] },
    /// A value was seen that was never written for good.
    Phantom { key: Key, reader: Txn, writer: Txn },
    /// A snapshot was not that of its moment.
    WrongSnapshot { key: Key, reader: Txn, saw: Txn, instead_of: Txn },
}

/// Why one transaction comes before another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    Overwrites(Key),
    IsRead(Key),
    IsOverwritten(Key),
    IsEarlier,
}

impl Violation {
    /// The transactions that it is about.
    pub fn transactions(&self) -> Vec<Txn> {
        let all = match self {
            Violation::Cycle(cycle) => cycle.iter().map(|&(txn, _)| txn).collect(),
            Violation::LostUpdate { version, writers: [a, b], .. } => vec![*version, *a, *b],
            Violation::Phantom { reader, writer, .. } => vec![*writer, *reader],
            Violation::WrongSnapshot { reader, saw, instead_of, .. } => {
                vec![*saw, *instead_of, *reader]
            }
        };
        all.into_iter().filter(|&txn| txn != Txn::NOBODY).collect()
    }

    /// One line for each step of the argument.
    pub fn argument(&self) -> Vec<String> {
        match self {
            Violation::Cycle(cycle) => {
                let next = cycle.iter().cycle().skip(1).map(|&(txn, _)| txn);
                cycle.iter().zip(next).map(|(&(txn, edge), next)| edge.says(txn, next)).collect()
            }
            Violation::LostUpdate { key, version, writers: [a, b] } => {
                vec![format!(
                    "{a} and {b} have both read k{key} as {version} left it, and written it"
                )]
            }
            Violation::Phantom { key, reader, writer } => {
                vec![format!(
                    "{reader} saw k{key} as {writer} wrote it, and {writer} did not commit"
                )]
            }
            Violation::WrongSnapshot { key, reader, saw, instead_of } => vec![format!(
                "at the moment that {reader} read, k{key} was as {instead_of} left it, and it saw {saw}"
            )],
        }
    }
}

impl Edge {
    fn says(self, a: Txn, b: Txn) -> String {
        match self {
            Edge::Overwrites(key) => format!("{a} is before {b}, which overwrote its k{key}"),
            Edge::IsRead(key) => format!("{a} is before {b}, which saw its k{key}"),
            Edge::IsOverwritten(key) => {
                format!("{a} is before {b}, which wrote k{key}: {a} did not see that")
            }
            Edge::IsEarlier => format!("{a} is before {b}: it had ended when {b} began"),
        }
    }
}

/// Checks a history that has ended.
pub fn check(history: &History) -> Result<(), Violation> {
    let known = Known::of(history)?;
    match Graph::of(&known).short_cycle() {
        Some(cycle) => Err(Violation::Cycle(cycle)),
        None => known.check_snapshots(),
    }
}

/// The transactions that happened, and the chain of versions of each register.
struct Known<'h> {
    operations: Vec<&'h Operation>,
    index: HashMap<Txn, usize>,
    /// Who overwrote which version of which register.
    next: HashMap<(Key, Txn), Txn>,
}

impl<'h> Known<'h> {
    fn of(history: &'h History) -> Result<Known<'h>, Violation> {
        // Whose client was told nothing has happened if somebody has seen it.
        let mut happened: Vec<&Operation> = Vec::new();
        let mut seen: HashSet<Txn> = HashSet::new();
        let told = |o: &&Operation| matches!(o.end, End::Committed(_) | End::Read);
        let mut todo: Vec<&Operation> = history.operations().iter().filter(told).collect();
        seen.extend(todo.iter().map(|operation| operation.txn));
        while let Some(operation) = todo.pop() {
            for &(key, writer) in &operation.reads {
                if writer == Txn::NOBODY || seen.contains(&writer) {
                    continue;
                }
                let phantom = Violation::Phantom { key, reader: operation.txn, writer };
                let found = history.operation(writer).filter(|o| o.end == End::Unknown);
                let writer = found.filter(|o| o.writes.contains(&key)).ok_or(phantom)?;
                seen.insert(writer.txn);
                todo.push(writer);
            }
            happened.push(operation);
        }
        happened.sort_by_key(|operation| operation.began);
        let index = happened.iter().enumerate().map(|(at, o)| (o.txn, at)).collect();
        let mut next = HashMap::new();
        for operation in &happened {
            for &(key, version) in
                operation.reads.iter().filter(|(k, _)| operation.writes.contains(k))
            {
                if let Some(other) = next.insert((key, version), operation.txn) {
                    let writers = [other, operation.txn];
                    return Err(Violation::LostUpdate { key, version, writers });
                }
            }
        }
        let known = Known { operations: happened, index, next };
        known.check_writers()?;
        Ok(known)
    }

    /// Whoever is named as a writer of a register has written it, and is another.
    fn check_writers(&self) -> Result<(), Violation> {
        for operation in &self.operations {
            for &(key, writer) in operation.reads.iter().filter(|r| r.1 != Txn::NOBODY) {
                let has_written = self.operations[self.index[&writer]].writes.contains(&key);
                if !has_written || writer == operation.txn {
                    return Err(Violation::Phantom { key, reader: operation.txn, writer });
                }
            }
        }
        Ok(())
    }

    fn check_snapshots(&self) -> Result<(), Violation> {
        let stamp = |txn: Txn| match self.index.get(&txn).map(|&at| self.operations[at].end) {
            Some(End::Committed(at)) => Some(at),
            _ => None,
        };
        for operation in &self.operations {
            let (Kind::Stale(at) | Kind::Reading(at)) = operation.kind else { continue };
            for &(key, saw) in &operation.reads {
                let reader = operation.txn;
                // Of a writer whose client was told nothing the timestamp is not known; it
                // lies between those of its neighbours in the chain.
                let before = self.first_stamp(saw, stamp, |txn| self.version_before(key, txn));
                if before.is_some_and(|before| before > at) {
                    let instead_of = self.version_before(key, saw).unwrap_or(Txn::NOBODY);
                    return Err(Violation::WrongSnapshot { key, reader, saw, instead_of });
                }
                let next = |txn| self.next.get(&(key, txn)).copied();
                let Some(instead_of) = next(saw) else { continue };
                let after = self.first_stamp(instead_of, stamp, next);
                if after.is_some_and(|after| after <= at) {
                    return Err(Violation::WrongSnapshot { key, reader, saw, instead_of });
                }
            }
        }
        Ok(())
    }

    /// The timestamp of `txn`, or of the first after it on this way along a chain that has one.
    fn first_stamp(
        &self,
        txn: Txn,
        stamp: impl Fn(Txn) -> Option<Timestamp>,
        step: impl Fn(Txn) -> Option<Txn>,
    ) -> Option<Timestamp> {
        std::iter::successors(Some(txn), |&txn| step(txn)).find_map(stamp)
    }

    fn version_before(&self, key: Key, writer: Txn) -> Option<Txn> {
        let reads = &self.operations[*self.index.get(&writer)?].reads;
        reads.iter().find(|(k, _)| *k == key).map(|&(_, version)| version)
    }
}

/// Transactions, and after them a node for each acknowledgement.
struct Graph<'k> {
    known: &'k Known<'k>,
    edges: Vec<Vec<(u32, Edge)>>,
}

impl<'k> Graph<'k> {
    fn of(known: &'k Known<'k>) -> Graph<'k> {
        let count = known.operations.len();
        let mut graph = Graph { known, edges: vec![Vec::new(); count] };
        for (at, operation) in known.operations.iter().enumerate() {
            for &(key, version) in &operation.reads {
                if let Some(&writer) = known.index.get(&version) {
                    let overwrites = operation.writes.contains(&key);
                    let edge = if overwrites { Edge::Overwrites(key) } else { Edge::IsRead(key) };
                    graph.edges[writer].push((at as u32, edge));
                }
                let next = known.next.get(&(key, version)).filter(|&&next| next != operation.txn);
                if let Some(next) = next {
                    graph.edges[at].push((known.index[next] as u32, Edge::IsOverwritten(key)));
                }
            }
        }
        graph.add_time();
        graph
    }

    fn add_time(&mut self) {
        let operations = &self.known.operations;
        let mut ends: Vec<_> = operations
            .iter()
            .enumerate()
            .filter_map(|(at, operation)| Some((operation.ended?, at)))
            .collect();
        ends.sort_unstable();
        let mut ends = ends.into_iter().peekable();
        // The last acknowledgement so far.
        let mut last: Option<u32> = None;
        for (at, operation) in operations.iter().enumerate() {
            while let Some((_, ended)) = ends.next_if(|&(end, _)| end < operation.began) {
                let node = self.edges.len() as u32;
                self.edges.push(Vec::new());
                self.edges[ended].push((node, Edge::IsEarlier));
                if let Some(last) = last {
                    self.edges[last as usize].push((node, Edge::IsEarlier));
                }
                last = Some(node);
            }
            if let (Some(last), false) = (last, matches!(operation.kind, Kind::Stale(_))) {
                self.edges[last as usize].push((at as u32, Edge::IsEarlier));
            }
        }
    }

    /// A cycle of few transactions, to be read by people: the smallest of those that were
    /// found from the first transactions of each knot.
    fn short_cycle(&self) -> Option<Vec<(Txn, Edge)>> {
        const TRIED: usize = 400;
        let knots = self.knots();
        let is_transaction = |&node: &u32| (node as usize) < self.known.operations.len();
        let mut members = vec![u32::MAX; self.edges.len()];
        for (knot, nodes) in knots.iter().enumerate() {
            for &node in nodes {
                members[node as usize] = knot as u32;
            }
        }
        let starts = knots.iter().flat_map(|nodes| nodes.iter().copied().filter(is_transaction));
        let cycles = starts.take(TRIED).filter_map(|start| self.cycle_through(start, &members));
        cycles.min_by_key(Vec::len)
    }

    /// A short way from `start` back to it: breadth first, where a step in time costs nothing.
    fn cycle_through(&self, start: u32, members: &[u32]) -> Option<Vec<(Txn, Edge)>> {
        let count = self.known.operations.len();
        let mut from: HashMap<u32, (u32, Edge)> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &(next, edge) in &self.edges[node as usize] {
                if members[next as usize] != members[start as usize] || from.contains_key(&next) {
                    continue;
                }
                from.insert(next, (node, edge));
                if next == start {
                    return Some(self.way_back(start, &from));
                }
                let is_time = next as usize >= count;
                if is_time { queue.push_front(next) } else { queue.push_back(next) }
            }
        }
        None
    }

    fn way_back(&self, start: u32, from: &HashMap<u32, (u32, Edge)>) -> Vec<(Txn, Edge)> {
        let mut way = Vec::new();
        let mut node = start;
        loop {
            let (before, edge) = from[&node];
            if let Some(operation) = self.known.operations.get(before as usize) {
                way.push((operation.txn, edge));
            }
            if before == start {
                way.reverse();
                return way;
            }
            node = before;
        }
    }

    /// All strongly connected components of more than one node (Tarjan 1972, without recursion).
    fn knots(&self) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let count = self.edges.len();
        let (mut order, mut low) = (vec![NEW; count], vec![0_u32; count]);
        let (mut on_stack, mut stack) = (vec![false; count], Vec::new());
        let (mut knots, mut visited) = (Vec::new(), 0);
        for root in 0..count as u32 {
            if order[root as usize] != NEW {
                continue;
            }
            let mut path = vec![(root, 0_usize)];
            while let Some(&mut (node, ref mut edge)) = path.last_mut() {
                let at = node as usize;
                if *edge == 0 {
                    (order[at], low[at]) = (visited, visited);
                    visited += 1;
                    stack.push(node);
                    on_stack[at] = true;
                }
                if let Some(&(next, _)) = self.edges[at].get(*edge) {
                    *edge += 1;
                    // The node is entered once: its first edge may lead to a new node.
                    if order[next as usize] == NEW {
                        path.push((next, 0));
                    } else if on_stack[next as usize] {
                        low[at] = low[at].min(order[next as usize]);
                    }
                    continue;
                }
                path.pop();
                if let Some(&(parent, _)) = path.last() {
                    low[parent as usize] = low[parent as usize].min(low[at]);
                }
                if low[at] == order[at] {
                    let first = stack.iter().rposition(|&n| n == node).expect("it is on it");
                    let knot = stack.split_off(first);
                    knot.iter().for_each(|&n| on_stack[n as usize] = false);
                    if knot.len() > 1 {
                        knots.push(knot);
                    }
                }
            }
        }
        knots
    }
}
