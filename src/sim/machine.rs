//! [`Machine`]: what a simulated machine is made of.

use std::time::Duration;

use super::daemon::{Daemon, TimeService};
use super::ntp_service::NtpService;
use super::oscillator::Oscillator;
use crate::clock::Limits;
use crate::timestamp::NANOS_PER_SECOND;

/// An oscillator, a kernel, a daemon, and the settings of the clock on top of them.
///
/// The default is a server with a quartz of −12 ppm that wanders, and chronyd
/// on a time server in the same building.
///
/// ```
/// use std::time::Duration;
/// use truechimer::sim::{Daemon, Machine, Oscillator};
///
/// let laptop = Machine::default()
///     .oscillator(Oscillator::off_by(35.0).temperature(4.0, Duration::from_secs(600)))
///     .daemon(Daemon::Timesyncd);
/// # let _ = laptop;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a machine does nothing until a world has it"]
pub struct Machine {
    pub(super) oscillator: Oscillator,
    pub(super) daemon: Daemon,
    pub(super) service: TimeService,
    pub(super) reference: Option<Reference>,
    pub(super) ntp: Option<NtpService>,
    pub(super) off_by_ns: i64,
    pub(super) counter: CounterModel,
    pub(super) limits: Limits,
    pub(super) stalls: Option<(u32, Duration)>,
    pub(super) understates: u32,
    pub(super) believes_estimate: bool,
    pub(super) assume_error: Option<Duration>,
    pub(super) vmclock: Option<VmClockModel>,
    pub(super) has_bus: bool,
}

/// What the hypervisor of a simulated virtual machine shows in its VMClock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VmClockModel {
    /// The disruption marker alone, as QEMU does.
    Marker,
    /// The marker, and the time to within this.
    Time(Duration),
}

/// A time source on the machine itself, whose interval contains the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its interval is at most this wide. Where the truth lies in it is drawn at random.
    pub width: Duration,
    /// If true, the truth is exactly at one end of the interval half of the time.
    pub adversarial: bool,
}

/// The counter that the clock reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterModel {
    /// Its nominal frequency.
    pub hertz: u64,
    /// It moves by this many ticks at a time.
    pub step: u64,
    /// Whether it goes on counting while the machine is suspended.
    pub counts_in_suspend: bool,
}

impl CounterModel {
    /// CLOCK_MONOTONIC_RAW, as the kernel makes it of a 100 MHz reference.
    pub const MONOTONIC_RAW: CounterModel =
        CounterModel { hertz: 1_000_000_000, step: 10, counts_in_suspend: false };
    /// A TSC of 2.6 GHz, which steps as the same reference does.
    pub const TSC: CounterModel =
        CounterModel { hertz: 2_600_000_000, step: 26, counts_in_suspend: true };

    /// Whether it is a counter of the processor's own, beside the kernel's raw clock.
    pub(super) fn is_hardware(self) -> bool {
        self != CounterModel { step: self.step, ..CounterModel::MONOTONIC_RAW }
    }

    /// The least distance of two different readings, in ns.
    pub(super) fn step_ns(self) -> u64 {
        (self.step.saturating_mul(NANOS_PER_SECOND as u64) / self.hertz.max(1)).max(1)
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            oscillator: Oscillator::off_by(-12.0).wander(0.02),
            daemon: Daemon::Chrony,
            service: TimeService::default(),
            reference: None,
            ntp: None,
            off_by_ns: 30_000_000,
            counter: CounterModel::TSC,
            limits: Limits::default(),
            stalls: None,
            understates: 1,
            believes_estimate: false,
            assume_error: None,
            vmclock: None,
            has_bus: false,
        }
    }
}

impl Machine {
    /// Another oscillator.
    pub fn oscillator(mut self, oscillator: Oscillator) -> Machine {
        self.oscillator = oscillator;
        self
    }

    /// Another daemon.
    pub fn daemon(mut self, daemon: Daemon) -> Machine {
        self.daemon = daemon;
        self
    }

    /// Another time server, or way to it.
    pub fn time_service(mut self, service: TimeService) -> Machine {
        self.service = service;
        self
    }

    /// A second source of time beside the kernel.
    pub fn reference(mut self, reference: Reference) -> Machine {
        self.reference = Some(reference);
        self
    }

    /// The clock asks these time servers itself. The kernel is then a cross-check.
    pub fn ntp(mut self, service: NtpService) -> Machine {
        self.ntp = Some(service);
        self
    }

    /// How far the wall clock is off when the machine starts, in nanoseconds (positive: ahead).
    pub fn starts_off_by(mut self, nanos: i64) -> Machine {
        self.off_by_ns = nanos;
        self
    }

    /// Another counter.
    pub fn counter(mut self, counter: CounterModel) -> Machine {
        self.counter = counter;
        self
    }

    /// Assumption A2, as the clock's builder takes it.
    pub fn max_drift_ppm(mut self, ppm: u32) -> Machine {
        self.limits.max_drift_ppm = ppm;
        self
    }

    /// Assumption A3, as the clock's builder takes it: `None` for a clock that does not make it.
    pub fn max_wander_ppm(mut self, ppm: impl Into<Option<u32>>) -> Machine {
        self.limits.max_wander_ppm = ppm.into();
        self
    }

    /// chronyd's estimate counts as it states it, as the clock's builder takes it.
    pub fn believe_chrony_estimate(mut self) -> Machine {
        self.believes_estimate = true;
        self
    }

    /// The widest interval that is given, as the clock's builder takes it.
    pub fn max_width(mut self, width: Duration) -> Machine {
        self.limits.max_width = width;
        self
    }

    /// How often the clock's own thread samples its sources.
    pub fn poll_interval(mut self, interval: Duration) -> Machine {
        self.limits.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// This many times in a million, the process loses the processor for up to `longest`,
    /// between its last clock reading and its messages.
    pub fn stalls(mut self, per_million: u32, longest: Duration) -> Machine {
        self.stalls = Some((per_million, longest));
        self
    }

    /// The reference states a width that is this many times too small, which breaks assumption
    /// A1. Use it to see that your own checks catch a clock whose interval is too narrow.
    pub fn reference_understates(mut self, times: u32) -> Machine {
        self.understates = times.max(1);
        self
    }

    /// The machine is a virtual one whose hypervisor has a VMClock. It shows
    /// [`Fault::MoveVm`](super::Fault::MoveVm).
    pub fn vmclock(mut self, model: VmClockModel) -> Machine {
        self.vmclock = Some(model);
        self
    }

    /// The clock can reach the system bus, on which [`Daemon::Timesyncd`] publishes its exchanges.
    /// They are evidence then, as on any host of systemd's.
    pub fn system_bus(mut self) -> Machine {
        self.has_bus = true;
        self
    }

    /// The operator states the wall clock's error, as in the clock's builder.
    pub fn assume_error(mut self, error: Duration) -> Machine {
        self.assume_error = Some(error);
        self
    }
}
