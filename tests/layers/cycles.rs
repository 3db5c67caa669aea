//! [`cycles`]: the circles in a graph, of any length.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each node, those that it points to.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// For each node that is in a circle, a shortest one through it. A circle is listed once and
/// begins with its smallest name.
pub fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let circles = graph.keys().filter_map(|node| circle_through(graph, node));
    let rotated = circles.map(|mut circle| {
        let smallest = (0..circle.len()).min_by_key(|&i| circle[i].clone()).unwrap_or(0);
        circle.rotate_left(smallest);
        circle
    });
    rotated.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A shortest way from `start` back to it.
fn circle_through(graph: &Graph, start: &String) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for next in graph.get(node).into_iter().flatten() {
            if next == start {
                let mut way = vec![node.clone()];
                let mut at = node;
                while at != start {
                    at = came_from[at];
                    way.push(at.clone());
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, node);
                open.push_back(next);
            }
        }
    }
    None
}
