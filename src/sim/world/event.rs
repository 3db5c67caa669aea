//! [`Event`]: something that will happen in a world, and its place in the queue.

use crate::sim::NodeId;
use crate::sim::bus::BusEvent;
use crate::sim::daemon::DaemonEvent;
use crate::sim::fault::Fault;
use crate::sim::ntp::NtpEvent;
use crate::timestamp::Timestamp;

/// Something that will happen.
pub(super) enum Event<M> {
    Arrival {
        from: NodeId,
        to: NodeId,
        message: M,
    },
    Timer {
        node: NodeId,
        incarnation: u32,
        stood_still: i64,
        wake: Wake,
    },
    Sample(NodeId),
    Discipline(NodeId, DaemonEvent),
    Ntp(NodeId, NtpEvent),
    Bus(NodeId, BusEvent),
    Fault(Box<Fault>),
    /// The process has built its clock, and begins.
    Start(NodeId, u32),
    /// The machine goes on after it stood still.
    Resume(NodeId),
}

impl<M> Event<M> {
    /// The machine that must be ready for it, if it is one.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Event::Arrival { to: node, .. }
            | Event::Timer { node, .. }
            | Event::Sample(node)
            | Event::Discipline(node, _)
            | Event::Ntp(node, NtpEvent::Tick | NtpEvent::Reply { .. })
            | Event::Bus(node, _)
            | Event::Start(node, _)
            | Event::Resume(node) => Some(*node),
            // A server does not wait for the machine.
            Event::Ntp(_, NtpEvent::Request { .. }) => None,
            // A process may be killed or stopped at any moment.
            Event::Fault(fault) => match **fault {
                Fault::Crash(_) | Fault::Pause(..) | Fault::StopSampler(..) => None,
                _ => fault.node(),
            },
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Wake {
    Timer(u64),
    WhenPast(Timestamp, u64),
}

pub(super) struct Entry<M> {
    pub(super) at: i64,
    /// Ties are broken by the order in which events were made: the run is one sequence.
    pub(super) sequence: u64,
    pub(super) event: Event<M>,
}

impl<M> PartialEq for Entry<M> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}
impl<M> Eq for Entry<M> {}
impl<M> PartialOrd for Entry<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for Entry<M> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
