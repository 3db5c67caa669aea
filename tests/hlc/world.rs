//! Properties of the stamps of all nodes together, in a world whose true time is known.
//!
//! 1. On each node stamps strictly increase.
//! 2. If one event happened before another, its stamp is smaller, also across messages.
//! 3. No stamp is ahead of true time. None is below the `earliest` of its reading by more than
//!    the nanosecond that avoids a commit stamp: `-1 <= stamp - earliest <= width`.
//! 4. A correct node never refuses a stamp of a correct node.
//! 5. No two stamps of a node are equal, commit stamps included.
//!
//! A node that uses `latest` as physical time must break these, and does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::{Running, TODAY, manual, span};
use proptest::prelude::*;
use truechimer::{
    ClockError, Hlc, Interval, ManualClock, PendingCommit, Stamp, Timestamp, TrueTime, Waiter,
};

/// The broken variant. Many clocks do this, because their "now" is the upper end or above it.
struct LatestAsPhysical(ManualClock);

impl TrueTime for LatestAsPhysical {
    fn now(&self) -> Result<Interval, ClockError> {
        self.0.now()
    }
    fn earliest(&self) -> Result<Timestamp, ClockError> {
        Ok(self.0.now()?.latest())
    }
}

/// A node's clock, made from the clock that the test moves.
trait NodeClock: TrueTime + From<ManualClock> {}

impl NodeClock for ManualClock {}

impl NodeClock for LatestAsPhysical {}

impl From<ManualClock> for LatestAsPhysical {
    fn from(clock: ManualClock) -> LatestAsPhysical {
        LatestAsPhysical(clock)
    }
}

#[derive(Clone, Debug)]
enum Event {
    Local,
    Send,
    /// Receives the message with this number, modulo the number of messages under way.
    Receive(usize),
    Commit,
}

/// The node, the event, the time since the event before, and how far the node's clock reads
/// before and after true time.
type Moment = (usize, Event, i64, i64, i64);

const NODES: usize = 3;

struct Node<C> {
    clock: ManualClock,
    hlc: Hlc<C>,
    issued: HashSet<Stamp>,
    last: Stamp,
    pending: Vec<PendingCommit>,
}

impl<C: NodeClock> Node<C> {
    fn issue(&mut self, stamp: Stamp) -> Result<(), String> {
        if stamp <= self.last {
            return Err(format!("{stamp:?} is not after {:?}", self.last));
        }
        self.last = stamp;
        if self.issued.insert(stamp) { Ok(()) } else { Err(format!("{stamp:?} twice")) }
    }

    /// Releases the commits that have passed, and issues a new one.
    fn commit(&mut self) -> Result<(), String> {
        for pending in std::mem::take(&mut self.pending) {
            match self.hlc.release(pending) {
                Ok(stamp) => self.last = self.last.max(stamp),
                Err(error) => self.pending.push(error.into_pending()),
            }
        }
        let commit = self.hlc.commit_stamp().map_err(|e| e.to_string())?;
        let fresh = self.issued.insert(commit.provisional().to_stored());
        self.pending.push(commit);
        if fresh { Ok(()) } else { Err("a commit stamp twice".into()) }
    }
}

/// Plays the events, and returns the first broken promise as an error.
fn play<C: NodeClock>(events: &[Moment]) -> Result<(), String> {
    let node = |_| {
        let clock = manual(TODAY, TODAY);
        Node::<C> {
            hlc: Hlc::new(C::from(clock.clone())),
            clock,
            issued: HashSet::new(),
            last: Stamp::MIN,
            pending: Vec::new(),
        }
    };
    let mut nodes: Vec<_> = (0..NODES).map(node).collect();
    let mut messages: Vec<Stamp> = Vec::new();
    let mut truth = TODAY;
    for (place, event, pause, early, late) in events {
        // Two, because a discarded stamp takes a nanosecond, too.
        truth += 2 + pause;
        let node = &mut nodes[place % NODES];
        node.clock.set(span(truth - early, truth + late));
        let stamp = match event {
            Event::Commit => {
                node.commit()?;
                continue;
            }
            Event::Receive(which) if !messages.is_empty() => {
                let message = messages.swap_remove(which % messages.len());
                let own = node.hlc.observe(message).map_err(|error| error.to_string())?;
                if own <= message {
                    return Err(format!("{own:?} received {message:?} before it was sent"));
                }
                own
            }
            _ => node.hlc.stamp().map_err(|error| error.to_string())?,
        };
        node.issue(stamp)?;
        let after = stamp.timestamp().tai_nanos();
        // It may be one below `earliest`, to avoid a commit stamp.
        if after > truth || after < truth - early - 1 {
            return Err(format!("{} ns from true time, earliest {early} before it", after - truth));
        }
        if let Event::Send = event {
            messages.push(stamp);
        }
    }
    Ok(())
}

fn events() -> impl Strategy<Value = Vec<Moment>> {
    let event = prop_oneof![
        3 => Just(Event::Local),
        3 => Just(Event::Send),
        4 => any::<usize>().prop_map(Event::Receive),
        2 => Just(Event::Commit),
    ];
    let pause = prop_oneof![3 => 0i64..5, 1 => 0i64..10_000];
    let error = || prop_oneof![1 => Just(0i64), 2 => 0i64..10, 2 => 0i64..5_000];
    prop::collection::vec((0..NODES, event, pause, error(), error()), 1..200)
}

proptest! {
    #[test]
    fn all_promises_hold_in_any_history(events in events()) {
        play::<ManualClock>(&events).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn a_node_that_uses_latest_as_physical_time_is_caught() {
    let one = [(0, Event::Local, 0, 5, 5)];
    play::<ManualClock>(&one).expect("with `earliest` all promises hold");
    let error = play::<LatestAsPhysical>(&one).expect_err("it is ahead of true time");
    assert!(error.contains("5 ns from true time"), "{error}");

    // Its peers detect it, too, without knowing true time, because their `latest` is smaller.
    let events = [(0, Event::Send, 0, 0, 1_000), (1, Event::Receive(0), 0, 10, 10)];
    let error = play::<LatestAsPhysical>(&events[..1]).expect_err("ahead");
    assert!(error.contains("1000 ns"), "{error}");
    let sender = Hlc::new(LatestAsPhysical(manual(TODAY, TODAY + 1_000)));
    let receiver = Hlc::new(manual(TODAY - 10, TODAY + 10));
    let refused = receiver.observe(sender.stamp().expect("a stamp"));
    assert!(refused.expect_err("ahead").to_string().contains("990ns beyond"));
}

#[test]
fn every_thread_sees_its_stamps_increase_and_none_is_issued_twice() {
    // Miri interprets each step, and tries other schedules instead.
    const EACH: u32 = if cfg!(miri) { 200 } else { 30_000 };
    let clock = Running::new(Duration::from_micros(5), Duration::from_micros(5));
    let hlc = Hlc::new(&clock);
    let issued = thread::scope(|scope| {
        let issue = || {
            (0..EACH)
                .map(|i| {
                    if i % 50 == 0 {
                        drop(hlc.commit_stamp().expect("a commit stamp"));
                    }
                    let stamp = hlc.stamp().expect("a stamp");
                    assert!(stamp.timestamp() <= clock.truth(), "ahead of true time");
                    stamp
                })
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(issue)).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut all = HashSet::new();
    for stamps in issued {
        assert!(stamps.is_sorted_by(|a, b| a < b), "a thread saw them go back");
        assert!(stamps.into_iter().all(|stamp| all.insert(stamp)), "issued twice");
    }
}

#[test]
fn a_later_commit_has_a_later_stamp_on_any_node() {
    // This is external consistency: the nodes exchange no messages and share only true time.
    let clocks = [(50, 400), (300, 20), (5, 5)].map(|(early, late)| {
        Arc::new(Running::new(Duration::from_micros(early), Duration::from_micros(late)))
    });
    let truth = clocks[0].clone();
    let nodes = clocks.map(|clock| {
        // The clocks began at different moments, so shift them to the true time of the first.
        let apart = truth.truth().tai_nanos() - clock.truth().tai_nanos();
        clock.set_shift(apart);
        (Hlc::new(clock.clone()), Waiter::new(clock))
    });
    let mut committed = HashMap::new();
    let mut last = Stamp::MIN;
    for i in 0..30 {
        let (hlc, waiter) = &nodes[i % nodes.len()];
        let commit = hlc.commit_stamp().expect("a commit stamp");
        waiter.wait(commit.timestamp()).expect("it passes");
        let stamp = hlc.release(commit).expect("it has passed");
        assert!(stamp > last, "commit {i} is before one that was acknowledged before it began");
        assert!(stamp.timestamp() < truth.truth(), "released before true time had reached it");
        committed.insert(stamp, i);
        last = stamp;
    }
}
