//! [`WaitQueue`]: the pending asynchronous waits of a waiter, sorted by their moments.
//!
//! It only keeps the order. It reads no clock and wakes nobody: the wakers that are
//! due are returned, and the caller wakes them after it has released its lock.
//!
//! It is a sorted map and not a binary heap, because a future that is dropped
//! removes its entry at once, wherever that is.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::timestamp::Timestamp;

/// A wait's key in the queue. Equal moments are woken in the order of registration.
pub(super) type Key = (Timestamp, u64);

#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    waits: BTreeMap<Key, Waker>,
    deadlines: BTreeMap<(Instant, u64), Key>,
    /// The wait that was woken early to spin until its moment.
    leader: Option<Key>,
    issued: u64,
}

impl WaitQueue {
    /// An empty queue that numbers its waits from here on.
    pub(super) fn numbered_from(issued: u64) -> WaitQueue {
        WaitQueue { issued, ..WaitQueue::default() }
    }

    pub(super) fn insert(&mut self, t: Timestamp, deadline: Option<Instant>, waker: Waker) -> Key {
        self.issued += 1;
        let key = (t, self.issued);
        self.waits.insert(key, waker);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key.1), key);
        }
        key
    }

    /// Removes a wait. Returns its waker, to be dropped without the lock.
    pub(super) fn remove(&mut self, key: Key, deadline: Option<Instant>) -> Option<Waker> {
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, key.1));
        }
        self.waits.remove(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    pub(super) fn waker_mut(&mut self, key: Key) -> Option<&mut Waker> {
        self.waits.get_mut(&key)
    }

    /// The wakers of all waits, in order.
    pub(super) fn wakers(&self) -> impl Iterator<Item = Waker> {
        self.waits.values().cloned()
    }

    /// The moment of the first wait.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.waits.first_key_value().map(|(&(t, _), _)| t)
    }

    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(&(deadline, _), _)| deadline)
    }

    /// Whether the wait with this key is the first by its moment.
    pub(super) fn is_first(&self, key: Key) -> bool {
        self.waits.first_key_value().is_some_and(|(&first, _)| first == key)
    }

    /// Whether the wait with this key is the first by its deadline.
    pub(super) fn is_first_deadline(&self, key: Key) -> bool {
        self.deadlines.first_key_value().is_some_and(|(_, &first)| first == key)
    }

    pub(super) fn leader(&self) -> Option<Key> {
        self.leader
    }

    /// Whether the first wait is the leader, which wakes what is due by itself.
    pub(super) fn is_led(&self) -> bool {
        self.leader.is_some_and(|leader| self.is_first(leader))
    }

    /// Ends the leadership of this wait. Returns whether it was the leader.
    pub(super) fn depose(&mut self, key: Key) -> bool {
        let was_leader = self.leader == Some(key);
        if was_leader {
            self.leader = None;
        }
        was_leader
    }

    /// Makes the first wait the leader if it is no further away than `lead`, and
    /// returns its waker. A leader that stands behind it loses its role.
    pub(super) fn elect(&mut self, earliest: Timestamp, lead: Duration) -> Option<Waker> {
        let (&first, waker) = self.waits.first_key_value()?;
        let near = !lead.is_zero() && first.0 <= earliest.saturating_add(lead);
        if !near || self.leader.is_some_and(|leader| leader <= first) {
            return None;
        }
        self.leader = Some(first);
        Some(waker.clone())
    }

    /// Removes the waits that are due at `earliest`, and returns their wakers in order.
    pub(super) fn take_due(&mut self, earliest: Timestamp) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.waits.first_entry() {
            if first.key().0 >= earliest {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    /// The wakers of the waits whose deadline has come. The waits stay in the queue,
    /// because they may be due as well.
    pub(super) fn take_expired(&mut self, at: Instant) -> Vec<Waker> {
        let mut expired = Vec::new();
        while let Some(first) = self.deadlines.first_entry() {
            if first.key().0 > at {
                break;
            }
            let key = first.remove();
            expired.extend(self.waits.get(&key).cloned());
        }
        expired
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_tai_nanos(nanos)
    }

    fn queue(moments: &[i64]) -> (WaitQueue, Vec<Key>) {
        let mut queue = WaitQueue::default();
        let keys =
            moments.iter().map(|&t| queue.insert(at(t), None, Waker::noop().clone())).collect();
        (queue, keys)
    }

    #[test]
    fn what_is_due_leaves_in_order_and_a_moment_is_due_after_it_and_not_at_it() {
        let (mut queue, keys) = queue(&[300, 100, 200, 100]);
        assert!(queue.is_first(keys[1]), "the first of two with one moment");
        assert_eq!(queue.take_due(at(100)).len(), 0);
        assert_eq!(queue.take_due(at(101)).len(), 2);
        assert_eq!((queue.first(), queue.len()), (Some(at(200)), 2));
        assert!(queue.waker_mut(keys[3]).is_none() && queue.waker_mut(keys[2]).is_some());
        assert!(queue.remove(keys[0], None).is_some() && queue.remove(keys[0], None).is_none());
    }

    #[test]
    fn the_first_wait_leads_once_it_is_near() {
        let (mut queue, keys) = queue(&[5_000, 9_000]);
        assert!(queue.elect(at(0), Duration::ZERO).is_none(), "without a lead there is no leader");
        assert!(queue.elect(at(3_999), US).is_none() && queue.leader().is_none());
        assert!(queue.elect(at(4_000), US).is_some() && queue.is_led());
        assert!(queue.elect(at(4_500), US).is_none(), "it has been woken already");
        // An earlier wait takes over.
        let earlier = queue.insert(at(4_900), None, Waker::noop().clone());
        assert!(!queue.is_led());
        assert!(queue.elect(at(4_500), US).is_some());
        assert!(queue.leader() == Some(earlier) && !queue.depose(keys[0]) && queue.depose(earlier));
        assert_eq!(queue.leader(), None);
    }

    #[test]
    fn an_expired_wait_is_woken_once_and_stays() {
        let start = Instant::now();
        let (mut queue, _) = queue(&[]);
        let late = queue.insert(at(1), Some(start + 2 * US), Waker::noop().clone());
        let soon = queue.insert(at(9), Some(start + US), Waker::noop().clone());
        assert!(queue.is_first_deadline(soon) && !queue.is_first_deadline(late));
        assert_eq!(queue.take_expired(start).len(), 0);
        assert_eq!(queue.take_expired(start + US).len(), 1);
        assert_eq!(queue.take_expired(start + US).len(), 0);
        assert_eq!((queue.len(), queue.first_deadline()), (2, Some(start + 2 * US)));
        queue.remove(late, Some(start + 2 * US));
        assert_eq!(queue.first_deadline(), None);
    }
}
