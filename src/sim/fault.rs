//! [`Fault`]: what can go wrong in a world.

use std::fmt;
use std::time::Duration;

use super::NodeId;
use crate::host::HostClock;

/// Something that happens to a node, its machine, its clock, or the network.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The process does not run for a while (a garbage collector, SIGSTOP). Its
    /// messages and timers wait; the clock's own thread stands still too.
    Pause(NodeId, Duration),
    /// Only the clock's own thread does not run.
    StopSampler(NodeId, Duration),
    /// The machine sleeps. Afterwards its wall clock comes from a real-time clock that is off
    /// by this many nanoseconds. The clock's thread is woken at the resume. If it is stopped
    /// at that moment, a counter that stood still breaks assumption A2.
    Suspend(NodeId, Duration, i64),
    /// The virtual machine is stopped and continued. No clock in it shows that, because the
    /// counter has not counted, which breaks assumption A2.
    StopVm(NodeId, Duration),
    /// The virtual machine moves to another host, whose oscillator is off by this many ppm.
    /// It takes no time; `StopVm` at the same moment makes it take some.
    Migrate(NodeId, f64),
    /// The hypervisor moves the virtual machine, or restores it from a snapshot: it does not run for
    /// a while, and goes on as if no time had passed, by an oscillator that is off by this many
    /// ppm and a counter that is ahead by so many ticks. Its VMClock shows it; on a machine
    /// without one this breaks assumption A2. Its daemon does not notice it for so many updates.
    MoveVm(NodeId, Duration, f64, u64, u32),
    /// The process dies, and loses all that it did not fsync.
    Crash(NodeId),
    /// The process starts again, with what it had fsynced.
    Restart(NodeId),
    /// Nodes of different groups no longer reach each other. Nodes in no group form one more.
    Partition(Vec<Vec<NodeId>>),
    /// Messages from the first to the second are lost. The other direction is open.
    Cut(NodeId, NodeId),
    /// All partitions and cuts end.
    Heal,
    /// An operator sets the wall clock, by this many nanoseconds.
    StepClock(NodeId, i64),
    /// Another program sets the wall clock, by this many nanoseconds, beside a daemon that goes on
    /// with what it had measured before for so many updates (as chronyd does).
    ForeignStep(NodeId, i64, u32),
    /// From now on the process is shown a wall clock that is ahead of the kernel's by this many
    /// nanoseconds, as under libfaketime.
    ShowOtherTime(NodeId, i64),
    /// The process is restored from a checkpoint on another host, whose counter is ahead by so many
    /// ticks. Its restore hook calls `restored()`.
    Restore(NodeId, u64),
    /// `CLOCK_MONOTONIC_RAW` stands still, until the process is started again.
    StopRawClock(NodeId),
    /// An operator slews it with `adjtime()`, without the daemon's knowledge (this breaks
    /// assumption A1 by a little).
    Slew(NodeId, i64),
    /// The time server cannot be reached for a while.
    LoseTimeServer(NodeId, Duration),
    /// The daemon dies. What it wrote into the kernel stays.
    KillDaemon(NodeId),
    /// From now on the daemon keeps the clock off by this many nanoseconds, and states its bound
    /// as before (this breaks assumption A1).
    Lie(NodeId, i64),
    /// The kernel is told of a leap second at the end of the UTC day: 1 or −1.
    AnnounceLeap(NodeId, i32),
    /// A filter denies this clock to the process until it is started again.
    DenyClock(NodeId, HostClock),
    /// The process forks, and its child goes on without the clock's thread (it calls
    /// `refresh()` in its place); if `true`, that thread was in the middle of a round.
    Fork(NodeId, bool),
    /// The operator states the wall clock's error again, if the clock is within it.
    Reassume(NodeId),
    /// The program installs a leap table that lists the leap second announced here.
    UpdateLeapTable(NodeId),
}

impl Fault {
    /// Whether it breaks assumption A1 or A2.
    pub fn breaks_an_assumption(&self) -> bool {
        matches!(self, Fault::Lie(..) | Fault::Slew(..) | Fault::StopVm(..))
    }

    /// The node that it happens to. `None` for faults of the network.
    pub fn node(&self) -> Option<NodeId> {
        match *self {
            Fault::Pause(node, _)
            | Fault::StopSampler(node, _)
            | Fault::Suspend(node, _, _)
            | Fault::StopVm(node, _)
            | Fault::Migrate(node, _)
            | Fault::MoveVm(node, ..)
            | Fault::Crash(node)
            | Fault::Restart(node)
            | Fault::StepClock(node, _)
            | Fault::ForeignStep(node, _, _)
            | Fault::ShowOtherTime(node, _)
            | Fault::StopRawClock(node)
            | Fault::Restore(node, _)
            | Fault::Slew(node, _)
            | Fault::LoseTimeServer(node, _)
            | Fault::KillDaemon(node)
            | Fault::Lie(node, _)
            | Fault::AnnounceLeap(node, _)
            | Fault::DenyClock(node, _)
            | Fault::Fork(node, _)
            | Fault::Reassume(node)
            | Fault::UpdateLeapTable(node) => Some(node),
            Fault::Partition(_) | Fault::Cut(..) | Fault::Heal => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Pause(node, lasts) => write!(f, "{node} is paused for {lasts:?}"),
            Fault::StopSampler(node, lasts) => {
                write!(f, "the clock's thread on {node} stands still for {lasts:?}")
            }
            Fault::Suspend(node, lasts, error) => {
                write!(f, "{node} sleeps for {lasts:?}, and its RTC is off by {error} ns then")
            }
            Fault::StopVm(node, lasts) => write!(f, "the VM of {node} is stopped for {lasts:?}"),
            Fault::Migrate(node, ppm) => write!(f, "{node} moves to a host with {ppm:.3} ppm"),
            Fault::MoveVm(node, lasts, ppm, ticks, updates) => write!(
                f,
                "the VM of {node} is moved within {lasts:?} to a host with {ppm:.3} ppm whose counter \
                 is {ticks} ahead, and its daemon does not notice for {updates} updates"
            ),
            Fault::Crash(node) => write!(f, "{node} crashes"),
            Fault::Restart(node) => write!(f, "{node} starts again"),
            Fault::Partition(groups) => {
                let named = |group: &Vec<NodeId>| {
                    group.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
                };
                let groups: Vec<String> = groups.iter().map(named).collect();
                write!(f, "the network splits: {} | the others", groups.join(" | "))
            }
            Fault::Cut(from, to) => write!(f, "messages from {from} to {to} are lost"),
            Fault::Heal => f.write_str("the network is whole again"),
            Fault::StepClock(node, by) => write!(f, "the clock of {node} is set by {by} ns"),
            Fault::ForeignStep(node, by, updates) => {
                let what = "its daemon does not notice for";
                write!(f, "the clock of {node} is set by {by} ns, and {what} {updates} updates")
            }
            Fault::ShowOtherTime(node, by) => {
                write!(f, "the process of {node} is shown a clock that is {by} ns ahead")
            }
            Fault::Restore(node, ticks) => {
                write!(f, "the process of {node} is restored where the counter is {ticks} ahead")
            }
            Fault::StopRawClock(node) => write!(f, "the raw clock of {node} stands still"),
            Fault::Slew(node, by) => write!(f, "the clock of {node} is slewed by {by} ns"),
            Fault::LoseTimeServer(node, lasts) => {
                write!(f, "{node} cannot reach its time server for {lasts:?}")
            }
            Fault::KillDaemon(node) => write!(f, "the time daemon of {node} dies"),
            Fault::Lie(node, by) => write!(f, "the time daemon of {node} lies by {by} ns"),
            Fault::AnnounceLeap(node, leap) => {
                write!(f, "{node} is told of a leap second ({leap:+})")
            }
            Fault::DenyClock(node, clock) => write!(f, "a filter on {node} denies {clock}"),
            Fault::Fork(node, true) => write!(f, "the process of {node} forks in mid-round"),
            Fault::Fork(node, false) => write!(f, "the process of {node} forks"),
            Fault::Reassume(node) => write!(f, "the operator of {node} states the error again"),
            Fault::UpdateLeapTable(node) => write!(f, "{node} gets a new leap table"),
        }
    }
}
