//! [`check`]: whether one order of all transactions explains every read and respects time.
//! This is strict serialisability, which Spanner calls external consistency.
//!
//! In general the question is NP-complete (Papadimitriou 1979), because the order of a
//! register's versions has to be guessed. Here it is known: every value names its writer,
//! and every writer has read the version that it overwrites. So the versions of each
//! register form a chain, and the rest is a graph:
//!
//! | edge | when |
//! |---|---|
//! | writer → next writer | the second overwrote the first (`ww`) |
//! | writer → reader | the second read what the first wrote (`wr`) |
//! | reader → next writer | the second overwrote what the first read (`rw`) |
//! | earlier → later | the first was acknowledged before the second began (`rt`) |
//!
//! The history is strictly serialisable exactly if this graph has no cycle (Adya 1999; the
//! same idea is in Kingsbury and Alvaro, "Elle", 2020). There would be quadratically many
//! `rt` edges. So they lead through a chain with one node for each acknowledgement, and the
//! graph is linear in size.
//!
//! A read of the past does not claim to see what was acknowledged before it began, so no
//! `rt` edge leads to it. But it has to be exact: it must see the last version whose
//! timestamp is at or below its moment.

use std::collections::{HashMap, HashSet, VecDeque};

use truechimer::Timestamp;

use super::history::{End, History, Kind, Operation};
use super::layout::{Key, Txn};

/// Why a history is not strictly serialisable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Each transaction comes before the next, and the last before the first.
    Cycle(Vec<(Txn, Edge)>),
    /// Two transactions overwrote the same version, so the write of the first is lost.
    LostUpdate { key: Key, version: Txn, writers: [Txn; 2] },
    /// A value was read that no committed transaction wrote.
    Phantom { key: Key, reader: Txn, writer: Txn },
    /// A snapshot read did not see the values of its moment.
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
    /// The transactions involved.
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

    /// The proof, with one line for each step.
    pub fn argument(&self) -> Vec<String> {
        match self {
            Violation::Cycle(cycle) => {
                let next = cycle.iter().cycle().skip(1).map(|&(txn, _)| txn);
                cycle.iter().zip(next).map(|(&(txn, edge), next)| edge.explain(txn, next)).collect()
            }
            Violation::LostUpdate { key, version, writers: [a, b] } => {
                vec![format!(
                    "{a} and {b} both read k{key} as {version} wrote it, and then wrote it"
                )]
            }
            Violation::Phantom { key, reader, writer } => {
                vec![format!(
                    "{reader} read k{key} as {writer} wrote it, but {writer} did not commit"
                )]
            }
            Violation::WrongSnapshot { key, reader, saw, instead_of } => vec![format!(
                "at the moment of {reader}'s snapshot, k{key} had the value of {instead_of}, but it read {saw}"
            )],
        }
    }
}

impl Edge {
    fn explain(self, a: Txn, b: Txn) -> String {
        match self {
            Edge::Overwrites(key) => format!("{a} is before {b}, which overwrote its k{key}"),
            Edge::IsRead(key) => format!("{a} is before {b}, which saw its k{key}"),
            Edge::IsOverwritten(key) => {
                format!("{a} is before {b}, which wrote k{key}, because {a} did not see that")
            }
            Edge::IsEarlier => format!("{a} is before {b}, because it had ended when {b} began"),
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

/// The transactions that happened, with the chain of versions of each register.
struct Known<'h> {
    operations: Vec<&'h Operation>,
    index: HashMap<Txn, usize>,
    /// The transaction that overwrote each version of each register.
    next: HashMap<(Key, Txn), Txn>,
}

impl<'h> Known<'h> {
    fn of(history: &'h History) -> Result<Known<'h>, Violation> {
        // A transaction without an answer has happened if another transaction read its value.
        let mut happened: Vec<&Operation> = Vec::new();
        let mut seen: HashSet<Txn> = HashSet::new();
        let is_answered = |o: &&Operation| matches!(o.end, End::Committed(_) | End::Read);
        let mut todo: Vec<&Operation> = history.operations().iter().filter(is_answered).collect();
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

    /// Checks that each named writer of a register wrote it, and is another transaction.
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
                // The timestamp of a writer whose client got no answer is not known, but it
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

    /// The timestamp of `txn`, or of the next transaction along the chain that has one. `step`
    /// gives the direction.
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

/// A graph of the transactions, followed by a node for each acknowledgement.
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

    /// A cycle with few transactions, for people to read. It is the smallest one found from the
    /// first transactions of the strongly connected components.
    fn short_cycle(&self) -> Option<Vec<(Txn, Edge)>> {
        const STARTS: usize = 400;
        let components = self.strongly_connected_components();
        let is_transaction = |&node: &u32| (node as usize) < self.known.operations.len();
        let mut component_of = vec![u32::MAX; self.edges.len()];
        for (component, nodes) in components.iter().enumerate() {
            for &node in nodes {
                component_of[node as usize] = component as u32;
            }
        }
        let starts =
            components.iter().flat_map(|nodes| nodes.iter().copied().filter(is_transaction));
        let cycles =
            starts.take(STARTS).filter_map(|start| self.cycle_through(start, &component_of));
        cycles.min_by_key(Vec::len)
    }

    /// A short path from `start` back to itself. The search is breadth first, and edges between
    /// acknowledgements cost nothing.
    fn cycle_through(&self, start: u32, component_of: &[u32]) -> Option<Vec<(Txn, Edge)>> {
        let count = self.known.operations.len();
        let mut from: HashMap<u32, (u32, Edge)> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &(next, edge) in &self.edges[node as usize] {
                if component_of[next as usize] != component_of[start as usize]
                    || from.contains_key(&next)
                {
                    continue;
                }
                from.insert(next, (node, edge));
                if next == start {
                    return Some(self.path_back(start, &from));
                }
                let is_time = next as usize >= count;
                if is_time { queue.push_front(next) } else { queue.push_back(next) }
            }
        }
        None
    }

    fn path_back(&self, start: u32, from: &HashMap<u32, (u32, Edge)>) -> Vec<(Txn, Edge)> {
        let mut path = Vec::new();
        let mut node = start;
        loop {
            let (before, edge) = from[&node];
            if let Some(operation) = self.known.operations.get(before as usize) {
                path.push((operation.txn, edge));
            }
            if before == start {
                path.reverse();
                return path;
            }
            node = before;
        }
    }

    /// All strongly connected components of more than one node (Tarjan 1972, without recursion).
    fn strongly_connected_components(&self) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let count = self.edges.len();
        let (mut order, mut low) = (vec![NEW; count], vec![0_u32; count]);
        let (mut on_stack, mut stack) = (vec![false; count], Vec::new());
        let (mut components, mut visited) = (Vec::new(), 0);
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
                    // An unvisited node is entered now. This node continues with its next edge later.
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
                    let first = stack.iter().rposition(|&n| n == node).expect("it is on the stack");
                    let component = stack.split_off(first);
                    component.iter().for_each(|&n| on_stack[n as usize] = false);
                    if component.len() > 1 {
                        components.push(component);
                    }
                }
            }
        }
        components
    }
}
