//! [`Node`] and [`Env`]: your program, and the part of the world that it sees.

use std::fmt::Display;
use std::time::Duration;

use super::NodeId;
use super::clock::SimClock;
use super::disk::Disk;
use super::random::Random;
use crate::clock::truetime::TrueTime;
use crate::timestamp::Timestamp;

/// One process of the program under test. It reacts to events, and does nothing in between.
///
/// A call takes no simulated time. For what shall happen later it uses the [`Env`].
pub trait Node {
    /// What nodes send each other.
    type Message: Clone;

    /// A message has arrived.
    fn receive(&mut self, env: &mut Env<'_, Self::Message>, from: NodeId, message: Self::Message);

    /// A timer that was set has run out.
    fn timer(&mut self, env: &mut Env<'_, Self::Message>, timer: u64) {
        let _ = (env, timer);
    }
}

/// A process without code, for a world of clocks alone.
impl Node for () {
    type Message = ();

    fn receive(&mut self, _: &mut Env<'_, ()>, _: NodeId, (): ()) {}
}

/// What a node requested during a call.
#[derive(Debug)]
pub(super) enum Effect<M> {
    Send(NodeId, M),
    /// After this much of the machine's own time.
    Timer(Duration, u64),
    /// As soon as this has certainly passed on the node's clock.
    WhenPast(Timestamp, u64),
    Log(String),
}

/// The world as a node sees it: its clock, disk, messages, timers, and random numbers.
///
/// It does not see true time.
pub struct Env<'a, M> {
    pub(super) me: NodeId,
    pub(super) nodes: u32,
    pub(super) clock: &'a SimClock,
    pub(super) disk: &'a Disk,
    pub(super) random: &'a mut Random,
    pub(super) effects: Vec<Effect<M>>,
}

impl<M> Env<'_, M> {
    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// All nodes, this one included.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<M> {
        (0..self.nodes).map(NodeId)
    }

    /// This node's clock. Clone it for the parts of the program that keep one.
    pub fn clock(&self) -> &SimClock {
        self.clock
    }

    /// This node's disk. Clone it for the parts of the program that keep one.
    pub fn disk(&self) -> &Disk {
        self.disk
    }

    /// Random numbers that follow from the seed.
    pub fn random(&mut self) -> &mut Random {
        self.random
    }

    /// Sends a message. It may arrive late, twice, out of order, or never.
    pub fn send(&mut self, to: NodeId, message: M) {
        self.effects.push(Effect::Send(to, message));
    }

    /// Sends to every other node.
    pub fn broadcast(&mut self, message: M)
    where
        M: Clone,
    {
        for to in (0..self.nodes).map(NodeId).filter(|&to| to != self.me) {
            self.effects.push(Effect::Send(to, message.clone()));
        }
    }

    /// Calls [`Node::timer`] with `timer` after `delay`, as this machine's own oscillator counts
    /// it. The oscillator may be off, and stands still in a suspend.
    pub fn set_timer(&mut self, delay: Duration, timer: u64) {
        self.effects.push(Effect::Timer(delay, timer));
    }

    /// Calls [`Node::timer`] with `timer` once `t` has certainly passed on this node's clock. This
    /// is commit-wait, for a program that must not block.
    ///
    /// It goes on waiting while the clock gives no reading.
    pub fn when_past(&mut self, t: Timestamp, timer: u64) {
        self.effects.push(Effect::WhenPast(t, timer));
    }

    /// Writes a line into the world's trace.
    pub fn log(&mut self, line: impl Display) {
        self.effects.push(Effect::Log(line.to_string()));
    }
}

/// How long to wait before `t` can have passed on this clock. `None` if it has.
pub(super) fn left_until_past(clock: &SimClock, t: Timestamp) -> Option<Duration> {
    const WITHOUT_A_CLOCK: Duration = Duration::from_millis(10);
    match clock.earliest() {
        Ok(earliest) if earliest > t => None,
        Ok(earliest) => {
            let left = t.duration_since(earliest).unwrap_or_default();
            Some(left + Duration::from_micros(1))
        }
        Err(_) => Some(WITHOUT_A_CLOCK),
    }
}
