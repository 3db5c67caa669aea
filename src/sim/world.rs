//! [`World`]: the events of a simulated world, one after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::MutexGuard;

use super::NodeId;
use super::audit::Audit;
use super::bus::BusEvent;
use super::clock::SimClock;
use super::daemon::DaemonEvent;
use super::disk::Disk;
use super::fault::Fault;
use super::hardware::{self, Hardware};
use super::host::SimHost;
use super::machine::Machine;
use super::network::{Link, Network};
use super::node::{Effect, Env, Node, left_until_past};
use super::ntp::NtpEvent;
use super::random::{Random, nanos};
use super::trace::Trace;
use crate::host::KernelState;
use crate::source::chrony::Tracking;
use crate::timestamp::Timestamp;

mod event;
mod exchange;

use event::{Entry, Event, Wake};

/// Machines, clocks, a network and your program, all from one seed.
///
/// See the [module](super) for how to begin.
pub struct World<N: Node> {
    seed: u64,
    began: i64,
    truth: Arc<AtomicI64>,
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry<N::Message>>>,
    pub(super) hosts: Vec<Host<N>>,
    pub(super) network: Network,
    program: Program<N>,
    pub(super) trace: Trace,
}

/// What makes a process: at its start, and again after each crash.
type Program<N> = Box<dyn FnMut(&mut Env<'_, <N as Node>::Message>) -> N>;
type Tamper<M> = Box<dyn FnMut(&mut Random, NodeId, M) -> Option<M>>;

/// A machine, and the process on it.
pub(super) struct Host<N: Node> {
    pub(super) machine: Machine,
    pub(super) clock: SimClock,
    node: Option<N>,
    /// The process has begun and builds its clock.
    is_starting: bool,
    pub(super) disk: Disk,
    pub(super) random: Random,
    messages: Random,
    /// Incarnation number of the process: timers of earlier incarnations are ignored.
    pub(super) incarnation: u32,
    /// The process does not run before this.
    pub(super) frozen_until: i64,
    pub(super) sampler_stopped_until: i64,
    /// The whole machine does not run before this.
    pub(super) asleep_until: i64,
    /// How long the machine itself has stood still: timers run out so much later.
    pub(super) stood_still: i64,
    tamper: Option<Tamper<N::Message>>,
}

impl<N: Node> Host<N> {
    pub(super) fn hardware(&self) -> MutexGuard<'_, Hardware> {
        self.clock.host().hardware()
    }
}

/// For how long a machine has run when its first process begins: it has built its clock.
const HEAD_START_NS: i64 = 30_000_000;

/// 2026-01-01T00:00:00Z.
pub(super) const BEGIN: Timestamp = Timestamp::from_tai_nanos(1_767_225_637_000_000_000);

impl World<()> {
    /// A world of clocks, without a program on them.
    pub fn of_clocks(seed: u64) -> World<()> {
        World::new(seed, |_| ())
    }
}

impl<N: Node> World<N> {
    /// An empty world. `program` makes each process, at its start and after each
    /// crash; what an earlier one left is on its disk.
    pub fn new(
        seed: u64,
        program: impl FnMut(&mut Env<'_, N::Message>) -> N + 'static,
    ) -> World<N> {
        World::beginning_at(BEGIN, seed, program)
    }

    /// A world that begins at another moment: before a leap second, say.
    pub fn beginning_at(
        began: Timestamp,
        seed: u64,
        program: impl FnMut(&mut Env<'_, N::Message>) -> N + 'static,
    ) -> World<N> {
        World {
            seed,
            began: began.tai_nanos(),
            truth: Arc::new(AtomicI64::new(began.tai_nanos())),
            sequence: 0,
            queue: BinaryHeap::new(),
            hosts: Vec::new(),
            network: Network::new(Link::default()),
            program: Box::new(program),
            trace: Trace::default(),
        }
    }

    /// Adds a node on a machine of its own, and starts its process.
    pub fn add(&mut self, machine: Machine) -> NodeId {
        let id = NodeId(self.hosts.len() as u32);
        let now = self.now_ns();
        // The machine runs already when its process is added: for long enough that the
        // process has built its clock by now.
        let began = now - HEAD_START_NS;
        let hardware = Hardware::new(self.seed, id.0, &machine, began);
        let clock = SimClock::new(SimHost::new(hardware, self.truth.clone()));
        self.set_now(began);
        clock.build(&machine, self.streams(id, 0));
        self.set_now(now);
        let first_event = clock.host().hardware().discipline.first_event();
        let poll_interval = nanos(machine.limits.poll_interval);
        let (asks_servers, has_bus) = (machine.ntp.is_some(), machine.has_bus);
        self.hosts.push(Host {
            machine,
            clock,
            node: None,
            is_starting: false,
            disk: Disk::default(),
            random: hardware::stream(self.seed, id.0, hardware::PROCESS),
            messages: hardware::stream(self.seed, id.0, hardware::NETWORK),
            incarnation: 0,
            frozen_until: i64::MIN / 2,
            sampler_stopped_until: i64::MIN / 2,
            asleep_until: i64::MIN / 2,
            stood_still: 0,
            tamper: None,
        });
        self.after(nanos(first_event), Event::Discipline(id, DaemonEvent::Ask));
        self.after(poll_interval, Event::Sample(id));
        if asks_servers {
            self.after(1, Event::Ntp(id, NtpEvent::Tick));
        }
        if has_bus {
            self.after(1, Event::Bus(id, BusEvent::Tick));
        }
        self.start(id);
        id
    }

    /// Adds this many nodes on machines of one kind.
    pub fn add_many(&mut self, count: u32, machine: &Machine) -> Vec<NodeId> {
        (0..count).map(|_| self.add(machine.clone())).collect()
    }

    /// The link between any two nodes for which no other is set.
    pub fn set_links(&mut self, link: Link) {
        self.network.set_default(link);
    }

    /// The link from one node to another.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, link: Link) {
        self.network.set(from, to, link);
    }

    /// Makes a fault happen at `at` after the world began, or now if that is past.
    pub fn schedule(&mut self, at: Duration, fault: Fault) {
        let at = self.began.saturating_add(nanos(at));
        self.after(at.saturating_sub(self.now_ns()).max(0), Event::Fault(Box::new(fault)));
    }

    /// Makes a node Byzantine. Each of its messages is given to `tamper` with its receiver.
    /// `tamper` may change it, differently for each receiver, or drop it.
    pub fn corrupt(
        &mut self,
        node: NodeId,
        tamper: impl FnMut(&mut Random, NodeId, N::Message) -> Option<N::Message> + 'static,
    ) {
        if let Some(host) = self.hosts.get_mut(node.index()) {
            host.tamper = Some(Box::new(tamper));
        }
    }

    /// Runs for this much true time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now().saturating_add(time));
    }

    /// Runs until this true time. If that is past, nothing happens.
    pub fn run_until(&mut self, end: Timestamp) {
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end.tai_nanos()) {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.set_now(next.at);
            self.happen(next.event);
        }
        self.set_now(end.tai_nanos().max(self.now_ns()));
    }

    /// True time, which no node can see.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_tai_nanos(self.now_ns())
    }

    /// How long ago the world began.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now_ns().abs_diff(self.began))
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<N> {
        (0..self.hosts.len() as u32).map(NodeId)
    }

    /// Whether a node's process is up, and neither it nor its machine stands still.
    pub fn is_running(&self, id: NodeId) -> bool {
        let host = self.hosts.get(id.index());
        let now = self.now_ns();
        host.is_some_and(|host| host.node.is_some() && host.frozen_until <= now)
            && self.busy_for(id) <= 0
    }

    /// A node's process; `None` while it is down.
    pub fn node(&self, id: NodeId) -> Option<&N> {
        self.hosts.get(id.index())?.node.as_ref()
    }

    /// A node's clock; `None` if there is no such node.
    pub fn clock(&self, id: NodeId) -> Option<&SimClock> {
        self.hosts.get(id.index()).map(|host| &host.clock)
    }

    /// Calls a node's process, as a client on the same machine would. `None` while it is down.
    pub fn call<R>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut N, &mut Env<'_, N::Message>) -> R,
    ) -> Option<R> {
        let mut node = self.hosts.get_mut(id.index())?.node.take()?;
        let result = self.with_env(id, |env| act(&mut node, env));
        self.hosts[id.index()].node = Some(node);
        Some(result)
    }

    /// What `adjtimex` would return on a node's machine. `None` if there is no such node.
    pub fn kernel_state(&self, id: NodeId) -> Option<KernelState> {
        let mut hardware = self.hosts.get(id.index())?.hardware();
        Some(hardware.kernel_state(self.now_ns()))
    }

    /// How far a node's wall clock is ahead of UTC, in ns. `None` if there is no such node.
    pub fn wall_clock_error_ns(&self, id: NodeId) -> Option<i64> {
        let mut hardware = self.hosts.get(id.index())?.hardware();
        Some(hardware.wall_clock_error_ns(self.now_ns()))
    }

    /// What a node's chronyd would answer to a TRACKING request. `None` if there is none.
    pub fn chrony_tracking(&self, id: NodeId) -> Option<Tracking> {
        let mut hardware = self.hosts.get(id.index())?.hardware();
        hardware.chrony_tracking(self.now_ns())
    }

    /// All readings of all clocks, compared with the truth.
    pub fn audit(&self) -> Audit {
        let audits = self.hosts.iter().map(|host| host.hardware().audit.clone());
        audits.fold(Audit::default(), |sum, audit| sum.plus(&audit))
    }

    /// The readings of one node's clock.
    pub fn audit_of(&self, id: NodeId) -> Audit {
        self.hosts.get(id.index()).map_or_else(Audit::default, |h| h.hardware().audit.clone())
    }

    /// Faults, and the lines that nodes have logged, in their order.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Writes every message and timer into the trace too.
    pub fn trace_everything(&mut self) {
        self.trace.keep_everything();
    }

    pub(super) fn now_ns(&self) -> i64 {
        self.truth.load(Ordering::Relaxed)
    }

    fn set_now(&mut self, t: i64) {
        self.truth.store(t, Ordering::Relaxed);
    }

    fn after(&mut self, delay: i64, event: Event<N::Message>) {
        let at = self.now_ns().saturating_add(delay);
        self.sequence += 1;
        self.queue.push(Reverse(Entry { at, sequence: self.sequence, event }));
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.elapsed();
        self.trace.note(at, line);
    }

    fn happen(&mut self, event: Event<N::Message>) {
        // A busy machine finishes its work first.
        if let Some(busy) = event.node().map(|id| self.busy_for(id)).filter(|&busy| busy > 0) {
            return self.after(busy, event);
        }
        match event {
            Event::Arrival { from, to, message } => self.arrive(from, to, message),
            Event::Timer { node, incarnation, stood_still, wake } => {
                self.wake(node, incarnation, stood_still, wake);
            }
            Event::Sample(node) => self.sample(node),
            Event::Discipline(node, event) => self.discipline(node, event),
            Event::Ntp(node, event) => self.exchange(node, event),
            Event::Bus(node, event) => self.hear(node, event),
            Event::Fault(fault) => {
                self.trace.fault(self.elapsed(), &fault);
                self.apply_fault(*fault);
            }
            Event::Start(node, incarnation) => self.begin_process(node, incarnation),
            Event::Resume(node) => self.sample_soon(node),
        }
    }

    /// How long the machine is busy from now, in ns, because its clock's thread reads clocks or
    /// the machine is suspended.
    fn busy_for(&self, id: NodeId) -> i64 {
        let host = self.hosts.get(id.index());
        host.map_or(0, |host| host.clock.host().reached() - self.now_ns())
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, message: N::Message) {
        if !self.network.is_open(from, to) {
            return;
        }
        let frozen = self.hosts[to.index()].frozen_until - self.now_ns();
        if frozen > 0 {
            return self.after(frozen, Event::Arrival { from, to, message });
        }
        self.note(|| format!("{to} receives a message from {from}"));
        self.call(to, |node, env| node.receive(env, from, message));
    }

    fn wake(&mut self, id: NodeId, incarnation: u32, stood_still: i64, wake: Wake) {
        let now = self.now_ns();
        let host = &self.hosts[id.index()];
        if host.incarnation != incarnation {
            return;
        }
        let late = (host.stood_still - stood_still).max(host.frozen_until - now);
        let stood_still = host.stood_still;
        if late > 0 {
            return self.after(late, Event::Timer { node: id, incarnation, stood_still, wake });
        }
        let timer = match wake {
            Wake::Timer(timer) => timer,
            Wake::WhenPast(t, timer) => {
                if let Some(left) = left_until_past(&host.clock, t) {
                    return self.set_wake(id, left, wake);
                }
                timer
            }
        };
        self.note(|| format!("{id}: timer {timer}"));
        self.call(id, |node, env| node.timer(env, timer));
    }

    fn set_wake(&mut self, id: NodeId, delay: Duration, wake: Wake) {
        let host = &self.hosts[id.index()];
        let delay = host.hardware().true_nanos(delay).max(1);
        let (incarnation, stood_still) = (host.incarnation, host.stood_still);
        self.after(delay, Event::Timer { node: id, incarnation, stood_still, wake });
    }

    fn sample(&mut self, id: NodeId) {
        let now = self.now_ns();
        let host = &self.hosts[id.index()];
        let stopped = host.frozen_until.max(host.sampler_stopped_until) - now;
        if stopped > 0 {
            return self.after(stopped, Event::Sample(id));
        }
        if host.node.is_none() {
            return self.after(nanos(host.machine.limits.poll_interval), Event::Sample(id));
        }
        host.clock.round();
        let again = host.hardware().true_nanos(host.machine.limits.poll_interval);
        self.after(again, Event::Sample(id));
    }

    fn discipline(&mut self, id: NodeId, event: DaemonEvent) {
        let now = self.now_ns();
        let host = &self.hosts[id.index()];
        // A paused process does not stop the daemon, but a machine that stands still does.
        let asleep = self.asleep_for(id);
        if asleep > 0 {
            return self.after(asleep, Event::Discipline(id, event));
        }
        let next = host.hardware().discipline(now, event);
        for (delay, event) in next {
            self.after(delay, Event::Discipline(id, event));
        }
    }

    /// What the sources of a process draw from.
    fn streams(&self, id: NodeId, incarnation: u32) -> [Random; 3] {
        [hardware::REFERENCE, hardware::NTP, hardware::BUS]
            .map(|part| hardware::stream(self.seed, id.0, part + (u64::from(incarnation) << 4)))
    }

    /// Starts a node's process: it builds its clock, and then begins.
    pub(super) fn start(&mut self, id: NodeId) {
        let host = &mut self.hosts[id.index()];
        if host.node.is_some() || host.is_starting {
            return;
        }
        host.is_starting = true;
        let incarnation = host.incarnation;
        if incarnation == 0 {
            return self.begin_process(id, incarnation);
        }
        let streams = self.streams(id, incarnation);
        let host = &self.hosts[id.index()];
        host.clock.build(&host.machine, streams);
        let built_in = self.busy_for(id).max(0);
        self.after(built_in, Event::Start(id, incarnation));
    }

    fn begin_process(&mut self, id: NodeId, incarnation: u32) {
        let host = &mut self.hosts[id.index()];
        if !host.is_starting || host.incarnation != incarnation {
            return;
        }
        host.is_starting = false;
        let mut program = std::mem::replace(&mut self.program, Box::new(|_| unreachable!()));
        let node = self.with_env(id, &mut program);
        self.program = program;
        self.hosts[id.index()].node = Some(node);
    }

    /// Ends a node's process. It loses all that it did not sync.
    pub(super) fn crash(&mut self, id: NodeId) {
        let host = &mut self.hosts[id.index()];
        host.node = None;
        host.is_starting = false;
        host.incarnation += 1;
        host.disk.crash(&mut host.random);
        host.clock.end();
    }

    /// The kernel tells the clock's thread when the machine wakes from a suspend.
    pub(super) fn wake_sampler_after(&mut self, id: NodeId, delay: i64) {
        self.after(delay, Event::Resume(id));
    }

    /// Samples at once, as a clock's thread does when its timer shows a step.
    pub(super) fn sample_soon(&mut self, id: NodeId) {
        let now = self.now_ns();
        let host = &self.hosts[id.index()];
        if host.node.is_some() && host.frozen_until.max(host.sampler_stopped_until) <= now {
            host.clock.round();
        }
    }

    fn with_env<R>(&mut self, id: NodeId, act: impl FnOnce(&mut Env<'_, N::Message>) -> R) -> R {
        let nodes = self.hosts.len() as u32;
        let Host { clock, disk, random, .. } = &mut self.hosts[id.index()];
        let mut env = Env { me: id, nodes, clock, disk, random, effects: Vec::new() };
        let result = act(&mut env);
        let effects = env.effects;
        self.apply_effects(id, effects);
        result
    }

    fn apply_effects(&mut self, id: NodeId, effects: Vec<Effect<N::Message>>) {
        let stall = self.stall(id);
        for effect in effects {
            match effect {
                Effect::Send(to, message) => self.send(id, to, message, stall),
                Effect::Timer(delay, timer) => self.set_wake(id, delay, Wake::Timer(timer)),
                Effect::WhenPast(t, timer) => {
                    let left = left_until_past(&self.hosts[id.index()].clock, t);
                    self.set_wake(id, left.unwrap_or_default(), Wake::WhenPast(t, timer));
                }
                Effect::Log(line) => {
                    let at = self.elapsed();
                    self.trace.log(at, id, line);
                }
            }
        }
    }

    /// For how long the process loses the processor before its messages leave.
    fn stall(&mut self, id: NodeId) -> i64 {
        let now = self.now_ns();
        let host = &mut self.hosts[id.index()];
        let Some((per_million, longest)) = host.machine.stalls else { return 0 };
        if !host.random.chance(per_million) {
            return 0;
        }
        let stall = nanos(host.random.duration(Duration::ZERO, longest));
        host.frozen_until = host.frozen_until.max(now + stall);
        stall
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: N::Message, stall: i64) {
        if to.index() >= self.hosts.len() {
            return;
        }
        let host = &mut self.hosts[from.index()];
        let message = match &mut host.tamper {
            Some(tamper) => tamper(&mut host.random, to, message),
            None => Some(message),
        };
        let Some(message) = message.filter(|_| self.network.is_open(from, to)) else { return };
        let t = self.now_ns() - self.began + stall;
        let random = &mut self.hosts[from.index()].messages;
        let [first, second] = self.network.delays(random, (from, to), t);
        if let Some(delay) = second {
            let message = message.clone();
            self.after(stall + delay, Event::Arrival { from, to, message });
        }
        if let Some(delay) = first {
            self.after(stall + delay, Event::Arrival { from, to, message });
        }
    }
}
