//! [`SimClock`]: the shipping clock on a machine of the simulated world.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::bus::{BusClient, SimTimesyncd};
use super::host::SimHost;
use super::machine::{Machine, Reference};
use super::ntp::{NtpClient, SimNtp};
use super::random::{Random, nanos};
use crate::clock::core::{ClockCore, Parts};
use crate::clock::driver::SourceKind;
use crate::clock::report::Limits;
use crate::clock::vmclock::VmClockSetup;
use crate::clock::{Report, TrueTime};
use crate::counter::{Counter, CounterKind};
use crate::evidence::{Reason, Sample, Source, SourceError};
use crate::host::{Host, VMCLOCK_PATH};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::snapshot::{ClockError, Status};
use crate::source::assume::Assumed;
use crate::source::chrony::chrony_fit::ChronyFit;
use crate::source::chrony::{ChronyError, Tracking};
use crate::source::daemon::{Daemon, Running};
use crate::source::daemons::TimeDaemons;
use crate::source::kernel::Kernel;
use crate::source::vmclock::VmClock;
use crate::source::{RealtimeScale, WallClock};
use crate::timestamp::Timestamp;

/// A clock on a simulated machine, as a node of your program gets it.
///
/// It reads what [`Clock`](crate::Clock) would read on that machine at that moment, and each
/// reading is compared with the truth (see [`Audit`](super::Audit)). Clones read the same clock.
#[derive(Clone)]
pub struct SimClock {
    host: SimHost,
    /// `None` while the process is down.
    core: Arc<Mutex<Option<Arc<ClockCore<SimHost>>>>>,
    /// What asks the machine's time servers, if the clock has any.
    ntp: Arc<Mutex<Option<SharedNtp>>>,
    /// What listens to the machine's bus, if the clock can reach it.
    bus: Arc<Mutex<Option<SharedBus>>>,
}

/// A client belongs to the source and to the world's events.
pub(super) type SharedNtp = Arc<Mutex<NtpClient>>;
pub(super) type SharedBus = Arc<Mutex<BusClient>>;

impl SimClock {
    pub(super) fn new(host: SimHost) -> SimClock {
        SimClock { host, core: Arc::default(), ntp: Arc::default(), bus: Arc::default() }
    }

    pub(super) fn host(&self) -> &SimHost {
        &self.host
    }

    /// A process begins: its clock is built, and samples its sources once.
    pub(super) fn build(&self, machine: &Machine, [random, of_ntp, of_bus]: [Random; 3]) {
        let mut hardware = self.host.hardware();
        hardware.begin_process();
        hardware.set_sampling(true);
        drop(hardware);
        let wall_clock = Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc));
        let (host, of_kernel) = (self.host.clone(), wall_clock.clone());
        let page = self.host.hardware().vmclock();
        let stating = page.as_ref().filter(|(_, has_time)| *has_time).map(|(page, _)| page.clone());
        let Limits { max_drift_ppm, max_wander_ppm, .. } = machine.limits;
        let believes_estimate = machine.believes_estimate;
        let process = self.host.process();
        let ntp = machine.ntp.clone().map(|service| NtpClient::new(service, process, of_ntp));
        let ntp = ntp.map(|client| Arc::new(Mutex::new(client)));
        self.ntp.lock().clone_from(&ntp);
        let bus = machine.has_bus.then(|| Arc::new(Mutex::new(BusClient::new(process, of_bus))));
        self.bus.lock().clone_from(&bus);
        let make_sources = move || {
            let daemons = Box::new(SimDaemons(host.clone()));
            let kernel = Kernel::of(of_kernel.clone(), daemons).max_drift_ppm(max_drift_ppm);
            let mut kernel = kernel.with_chrony().max_wander_ppm(max_wander_ppm);
            if believes_estimate {
                kernel = kernel.believing_chrony_estimate();
            }
            if ntp.is_some() {
                kernel = kernel.cross_checking();
            }
            let mut sources: Vec<Box<dyn Source>> = vec![Box::new(kernel)];
            if let Some(page) = stating.clone() {
                sources.push(Box::new(VmClock::of(page, of_kernel.clone())));
            }
            if let Some(client) = ntp.clone() {
                sources.push(Box::new(SimNtp::new(host.clone(), client, of_kernel.clone())));
            }
            if let Some(client) = bus.clone() {
                let (host, wall_clock) = (host.clone(), of_kernel.clone());
                sources.push(Box::new(SimTimesyncd::new(host, client, wall_clock, max_drift_ppm)));
            }
            sources.into_iter().map(SourceKind::Evidence).collect::<Vec<_>>()
        };
        let assumed = machine.assume_error.map(|error| Assumed::new(error, wall_clock.clone()));
        let reference = machine.reference.map(|reference| {
            let understates = machine.understates;
            SimReference { host: self.host.clone(), reference, understates, random }
        });
        let sources = assumed
            .map(|assumed| SourceKind::Operator(Box::new(assumed)))
            .into_iter()
            .chain(make_sources())
            .chain(reference.map(|reference| SourceKind::Evidence(Box::new(reference))))
            .collect();
        let parts = Parts {
            limits: machine.limits,
            kind: CounterKind::Auto,
            wall_clock,
            sources,
            make_sources: Box::new(make_sources),
            vmclock: page.map_or_else(VmClockSetup::default, |(page, _)| {
                VmClockSetup::new(Path::new(VMCLOCK_PATH), Ok(page))
            }),
        };
        // `Auto` never fails.
        let core = ClockCore::new(self.host.clone(), parts).ok().map(Arc::new);
        *self.core.lock() = core;
        self.host.hardware().set_sampling(false);
        self.round();
    }

    /// The process ends.
    pub(super) fn end(&self) {
        *self.core.lock() = None;
        *self.ntp.lock() = None;
        *self.bus.lock() = None;
    }

    /// What asks the machine's time servers, while its process runs.
    pub(super) fn ntp(&self) -> Option<SharedNtp> {
        self.ntp.lock().clone()
    }

    /// What listens to the machine's bus, while its process runs.
    pub(super) fn bus(&self) -> Option<SharedBus> {
        self.bus.lock().clone()
    }

    /// The clock's thread samples all sources, which takes time on this machine.
    pub(super) fn round(&self) {
        let Some(core) = self.core() else { return };
        self.host.hardware().set_sampling(true);
        let before = doubts(&core);
        core.round();
        let after = doubts(&core);
        let mut hardware = self.host.hardware();
        hardware.set_sampling(false);
        let at = Timestamp::from_tai_nanos(hardware.reached);
        let audit = &mut hardware.audit;
        let contradictions = after.0.saturating_sub(before.0);
        let refutations = after.1.saturating_sub(before.1);
        audit.contradictions += contradictions;
        audit.wander_refutations += refutations;
        if contradictions > 0 {
            audit.first_contradiction.get_or_insert(at);
        }
        if refutations > 0 {
            audit.first_refutation.get_or_insert(at);
        }
    }

    /// The process forks, and its child goes on; with `in_round` while the clock's thread
    /// is in the middle of a round.
    pub(super) fn fork(&self, in_round: bool) {
        let Some(core) = self.core() else { return };
        if in_round {
            core.process().lose_driver();
        }
        self.host.hardware().process_id += 1;
    }

    /// The operator states the wall clock's error again.
    pub(super) fn reassume(&self) {
        self.while_sampling(|core| core.reassume());
    }

    /// The process was restored from a checkpoint, and its restore hook runs.
    pub(super) fn restored(&self) {
        self.while_sampling(|core| core.restored());
    }

    /// The program installs another leap table.
    pub(super) fn set_leap_table(&self, leaps: LeapTable) {
        self.while_sampling(|core| core.replace_leap_table(leaps));
    }

    fn while_sampling(&self, act: impl FnOnce(&ClockCore<SimHost>)) {
        let Some(core) = self.core() else { return };
        self.host.hardware().set_sampling(true);
        act(&core);
        self.host.hardware().set_sampling(false);
    }

    fn core(&self) -> Option<Arc<ClockCore<SimHost>>> {
        self.core.lock().clone()
    }

    /// What the readings rest on.
    pub fn status(&self) -> Status {
        self.core().map_or(DOWN, |core| core.status())
    }

    /// Changes when a reading may contradict an earlier one.
    pub fn epoch(&self) -> u64 {
        self.core().map_or(0, |core| core.epoch())
    }

    /// The clock's report. `None` while its process is down.
    pub fn report(&self) -> Option<Report> {
        self.core().map(|core| core.report())
    }
}

/// A process that does not run has no clock.
const DOWN: Status = Status::Unsynchronized(Reason::NotSampled);

/// How often samples contradicted the evidence, and how often they refuted A3.
fn doubts(core: &ClockCore<SimHost>) -> (u64, u64) {
    let process = core.process();
    let record = process.record.lock();
    let refutations = record.learning.map_or(0, |learning| learning.refutations);
    (record.contradictions, refutations)
}

impl TrueTime for SimClock {
    fn now(&self) -> Result<Interval, ClockError> {
        let down = Err(ClockError::Unsynchronized(Reason::NotSampled));
        let Some(core) = self.core() else { return down };
        // The first look in a forked child makes the child's own driver, which takes time.
        self.host.hardware().set_sampling(true);
        let drift_ppm = core.drift_ppm();
        self.host.hardware().set_sampling(false);
        let answer = core.now();
        let epoch = core.epoch();
        let mut hardware = self.host.hardware();
        match answer {
            Ok(said) => hardware.judge(said, epoch, drift_ppm),
            Err(_) => hardware.audit.refusals += 1,
        }
        answer
    }

    fn earliest(&self) -> Result<Timestamp, ClockError> {
        let down = Err(ClockError::Unsynchronized(Reason::NotSampled));
        let Some(core) = self.core() else { return down };
        let answer = core.earliest();
        let mut hardware = self.host.hardware();
        let at = hardware.reached;
        match answer {
            Ok(earliest) => {
                hardware.audit.judge(at, Interval::from_ordered(earliest, Timestamp::MAX));
            }
            Err(_) => hardware.audit.refusals += 1,
        }
        answer
    }

    fn status(&self) -> Status {
        SimClock::status(self)
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SimClock");
        debug.field("status", &self.status()).field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

/// The time daemon of a simulated machine.
struct SimDaemons(SimHost);

impl TimeDaemons for SimDaemons {
    /// On some machines no process is visible, as in a container: what the writer is has to follow
    /// from its answer then.
    fn running(&mut self) -> Running {
        let is_visible = self.0.hardware().discipline.is_visible_chronyd();
        Running {
            daemons: if is_visible { vec![Daemon::Chrony] } else { Vec::new() },
            hidden: Some("the host is simulated"),
            ..Running::default()
        }
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        let mut hardware = self.0.hardware();
        let at = hardware.reached;
        let raw_now = hardware.advance(at);
        hardware
            .discipline
            .tracking(raw_now)
            .ok_or_else(|| ChronyError::NotRunning { at: "the simulated machine".to_owned() })
    }

    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        let mut hardware = self.0.hardware();
        let at = hardware.reached;
        let now = hardware.advance(at);
        Ok(hardware.discipline.fit(now))
    }
}

/// A source that knows the truth, and states an interval around it.
struct SimReference {
    host: SimHost,
    reference: Reference,
    understates: u32,
    random: Random,
}

impl Source for SimReference {
    fn name(&self) -> &str {
        "reference"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before = counter.try_read()?;
        let truth = self.host.reached();
        let after = counter.try_read()?;
        let time = self.interval(truth);
        Ok(Sample::new(before, after, time))
    }
}

impl SimReference {
    fn interval(&mut self, truth: i64) -> Interval {
        let Reference { width, adversarial } = self.reference;
        let width = self.random.between(nanos(width) / 2, nanos(width));
        let early = match self.random.below(4) {
            0 if adversarial => 0,
            1 if adversarial => width,
            _ => self.random.between(0, width),
        };
        let end = |offset: i64| Timestamp::from_tai_nanos(truth.saturating_add(offset));
        let honest = Interval::from_ordered(end(-early), end(width - early));
        // A narrower interval around the same middle may miss the truth.
        let stated = Duration::from_nanos(width.unsigned_abs() / u64::from(self.understates));
        let off = (honest.width() - stated.min(honest.width())) / 2;
        let ends = (honest.earliest().saturating_add(off), honest.latest().saturating_sub(off));
        Interval::new(ends.0, ends.1).unwrap_or(honest)
    }
}
