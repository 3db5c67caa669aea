//! [`Link`] and [`Network`]: messages that are late, lost, doubled and overtaken.
//!
//! Proofs about distributed programs rest on one of three models of time, and a
//! program that is right in one may be wrong in another. Each link has its own:
//!
//! - **synchronous**: a message arrives within a bound that all nodes know;
//! - **partially synchronous** (Dwork, Lynch, Stockmeyer 1988): that holds from some moment on,
//!   which no node knows, and until then delays have no bound;
//! - **asynchronous**: there is never a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::NodeId;
use super::random::{Random, nanos};

/// How long messages take.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Timing {
    /// Between these two, always.
    Synchronous {
        /// The shortest delay.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// Between these two from `stable_from` on; before, at least `least`, with a heavy tail.
    PartiallySynchronous {
        /// The shortest delay.
        least: Duration,
        /// The longest once the network is stable.
        most: Duration,
        /// When it becomes stable, since the world began. The nodes must not know.
        stable_from: Duration,
    },
    /// This, and a queue whose delay is exponentially distributed. There is no bound.
    Queued {
        /// The shortest delay.
        least: Duration,
        /// The mean delay of the queue.
        mean: Duration,
    },
    /// At least this, and with a heavy tail: beyond `x` times as much once in `x²` messages.
    Asynchronous {
        /// The shortest delay, and the scale of the longer ones.
        least: Duration,
    },
}

/// One direction between two nodes.
///
/// ```
/// use std::time::Duration;
/// use truechimer::sim::Link;
///
/// let bad = Link::heavy_tailed(Duration::from_millis(2)).losing(10_000).doubling(1_000);
/// # let _ = bad;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    timing: Timing,
    loss_per_million: u32,
    twice_per_million: u32,
    in_order: bool,
}

impl Link {
    /// Whatever the timing, nothing is lost or doubled, and messages overtake each other.
    pub fn new(timing: Timing) -> Link {
        Link { timing, loss_per_million: 0, twice_per_million: 0, in_order: false }
    }

    /// Synchronous.
    pub fn within(least: Duration, most: Duration) -> Link {
        Link::new(Timing::Synchronous { least, most })
    }

    /// Asynchronous.
    pub fn heavy_tailed(least: Duration) -> Link {
        Link::new(Timing::Asynchronous { least })
    }

    /// Asynchronous, through a queue.
    pub fn queued(least: Duration, mean: Duration) -> Link {
        Link::new(Timing::Queued { least, mean })
    }

    /// This many messages in a million never arrive.
    pub fn losing(mut self, per_million: u32) -> Link {
        self.loss_per_million = per_million;
        self
    }

    /// This many in a million arrive twice.
    pub fn doubling(mut self, per_million: u32) -> Link {
        self.twice_per_million = per_million;
        self
    }

    /// No message overtakes another, as on one TCP connection.
    pub fn in_order(mut self) -> Link {
        self.in_order = true;
        self
    }

    /// The delay of one message that is sent `t` ns after the world began, in ns;
    /// `None` if it is lost. `not_before` is when the last one before it arrives.
    pub(super) fn draw(&self, random: &mut Random, t: i64, not_before: i64) -> Option<i64> {
        if random.chance(self.loss_per_million) {
            return None;
        }
        let delay = match self.timing {
            Timing::Synchronous { least, most } => random.duration(least, most),
            Timing::PartiallySynchronous { least, most, stable_from } => {
                if t >= nanos(stable_from) {
                    random.duration(least, most)
                } else {
                    random.heavy_tail(least)
                }
            }
            Timing::Queued { least, mean } => least + random.exponential(mean),
            Timing::Asynchronous { least } => random.heavy_tail(least),
        };
        let delay = nanos(delay).max(1);
        Some(if self.in_order { delay.max(not_before.saturating_sub(t) + 1) } else { delay })
    }
}

impl Default for Link {
    /// 0.2 to 1 ms, nothing lost.
    fn default() -> Link {
        Link::within(Duration::from_micros(200), Duration::from_millis(1))
    }
}

/// All links.
#[derive(Clone, Debug)]
pub(super) struct Network {
    default: Link,
    links: BTreeMap<(NodeId, NodeId), Link>,
    /// The side of each node. Nodes that no group names are on side 0.
    sides: BTreeMap<NodeId, usize>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// When the last message of an ordered link arrives.
    arrivals: BTreeMap<(NodeId, NodeId), i64>,
}

impl Network {
    pub(super) fn new(default: Link) -> Network {
        Network {
            default,
            links: BTreeMap::new(),
            sides: BTreeMap::new(),
            cut: BTreeSet::new(),
            arrivals: BTreeMap::new(),
        }
    }

    pub(super) fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    pub(super) fn set(&mut self, from: NodeId, to: NodeId, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Nodes of different groups, and those in none, no longer reach each other.
    pub(super) fn partition(&mut self, groups: &[Vec<NodeId>]) {
        self.sides.clear();
        for (side, group) in groups.iter().enumerate() {
            self.sides.extend(group.iter().map(|&node| (node, side + 1)));
        }
    }

    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    pub(super) fn heal(&mut self) {
        self.sides.clear();
        self.cut.clear();
    }

    /// Whether a message that arrives now gets through.
    pub(super) fn is_open(&self, from: NodeId, to: NodeId) -> bool {
        let side = |node| self.sides.get(&node).copied().unwrap_or(0);
        from == to || (side(from) == side(to) && !self.cut.contains(&(from, to)))
    }

    /// The delays after which copies of a message arrive: none, one or two.
    pub(super) fn delays(
        &mut self,
        random: &mut Random,
        (from, to): (NodeId, NodeId),
        t: i64,
    ) -> [Option<i64>; 2] {
        if from == to {
            return [Some(1), None];
        }
        let link = self.links.get(&(from, to)).copied().unwrap_or(self.default);
        let last = self.arrivals.get(&(from, to)).copied().unwrap_or(i64::MIN);
        let first = link.draw(random, t, last);
        let second = first
            .filter(|_| link.twice_per_million > 0 && random.chance(link.twice_per_million))
            .and_then(|_| link.draw(random, t, last));
        if link.in_order {
            let latest = first.max(second).map_or(last, |delay| last.max(t + delay));
            self.arrivals.insert((from, to), latest);
        }
        [first, second]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn delays(link: Link, at: i64) -> Vec<i64> {
        let mut random = Random::new(5, 1);
        (0..100_000).filter_map(|_| link.draw(&mut random, at, i64::MIN)).collect()
    }

    #[test]
    fn a_synchronous_link_keeps_its_bound_and_an_asynchronous_one_has_none() {
        let bounded = delays(Link::within(MS, 3 * MS), 0);
        assert!(bounded.iter().all(|d| (1_000_000..=3_000_000).contains(d)));
        let free = delays(Link::heavy_tailed(MS), 0);
        let beyond = |factor: i64| free.iter().filter(|&&d| d > factor * 1_000_000).count();
        assert!((900..1_100).contains(&beyond(10)), "{}", beyond(10));
        assert!((1..30).contains(&beyond(100)), "{}", beyond(100));
    }

    #[test]
    fn a_queue_adds_its_mean_to_the_shortest_delay() {
        let queued = delays(Link::queued(MS, 2 * MS), 0);
        let mean = queued.iter().sum::<i64>() / queued.len() as i64;
        assert!((2_950_000..3_050_000).contains(&mean), "{mean}");
        assert!(queued.iter().all(|&delay| delay >= 1_000_000));
    }

    #[test]
    fn a_partially_synchronous_link_has_a_bound_from_some_moment_on() {
        let link = Link::new(Timing::PartiallySynchronous {
            least: MS,
            most: 2 * MS,
            stable_from: 1000 * MS,
        });
        assert!(delays(link, 999_999_999).iter().any(|&d| d > 50_000_000));
        assert!(delays(link, 1_000_000_000).iter().all(|&d| d <= 2_000_000));
    }

    #[test]
    fn loss_and_doubling_happen_as_often_as_asked_for() {
        let link = Link::default().losing(100_000).doubling(200_000);
        let mut network = Network::new(link);
        let mut random = Random::new(1, 1);
        let (a, b) = (NodeId(0), NodeId(1));
        let drawn: Vec<_> = (0..100_000).map(|_| network.delays(&mut random, (a, b), 0)).collect();
        let lost = drawn.iter().filter(|d| d[0].is_none()).count();
        let doubled = drawn.iter().filter(|d| d[1].is_some()).count();
        assert!((9_000..11_000).contains(&lost), "{lost}");
        assert!((14_000..18_500).contains(&doubled), "{doubled}");
    }

    #[test]
    fn on_an_ordered_link_no_message_overtakes_another() {
        let mut network = Network::new(Link::heavy_tailed(MS).in_order());
        let mut random = Random::new(9, 1);
        let mut last = 0;
        for t in (0..10_000).map(|i| i * 1_000) {
            let arrives = t + network.delays(&mut random, (NodeId(0), NodeId(1)), t)[0].unwrap();
            assert!(arrives > last);
            last = arrives;
        }
    }

    #[test]
    fn partitions_and_one_way_cuts() {
        let mut network = Network::new(Link::default());
        let [a, b, c, d] = [0, 1, 2, 3].map(NodeId);
        network.partition(&[vec![a, b]]);
        network.cut(a, b);
        for (from, to, open) in
            [(a, b, false), (b, a, true), (a, c, false), (c, d, true), (d, b, false), (a, a, true)]
        {
            assert_eq!(network.is_open(from, to), open, "{from} to {to}");
        }
        network.heal();
        assert!(network.is_open(a, b) && network.is_open(a, c));
    }
}
