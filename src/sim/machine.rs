//! [`Machine`]: an oscillator, a kernel, a daemon, and the clock on top of them.

use std::time::Duration;

use super::audit::Audit;
use super::clock::LastReading;
use super::daemon::{Daemon, Discipline, Due, TimeService};
use super::kernel::KernelClock;
use super::oscillator::{FRACTION, Oscillator, Ticker};
use super::random::{Random, nanos};
use super::sabotage::Sabotage;
use super::sampler::{Moment, Sampler};
use crate::clock::report::Limits;
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::timestamp::Timestamp;

/// What a simulated machine is made of.
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
pub struct Machine {
    pub(super) oscillator: Oscillator,
    pub(super) daemon: Daemon,
    pub(super) service: TimeService,
    pub(super) reference: Option<Reference>,
    pub(super) off_by_ns: i64,
    pub(super) counter: CounterModel,
    pub(super) limits: Limits,
    pub(super) stalls: Option<(u32, Duration)>,
    pub(super) sabotage: Option<Sabotage>,
}

/// A time source on the machine itself, which is right within its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its interval is at most this wide; where in it the truth lies is drawn.
    pub width: Duration,
    /// Half of the time the truth is exactly at one end: right, and only just.
    pub adversarial: bool,
}

/// The counter that the clock reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterModel {
    /// Its nominal frequency.
    pub hertz: u64,
    /// It moves by so many ticks at a time.
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
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            oscillator: Oscillator::off_by(-12.0).wander(0.02),
            daemon: Daemon::Chrony,
            service: TimeService::default(),
            reference: None,
            off_by_ns: 30_000_000,
            counter: CounterModel::TSC,
            limits: Limits {
                max_drift_ppm: 200,
                max_wander_ppm: None,
                max_width: Duration::from_secs(10),
                poll_interval: Duration::from_millis(100),
            },
            stalls: None,
            sabotage: None,
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

    /// The widest interval that is given, as the clock's builder takes it.
    pub fn max_width(mut self, width: Duration) -> Machine {
        self.limits.max_width = width;
        self
    }

    /// How often the clock's own thread asks its sources.
    pub fn poll_interval(mut self, interval: Duration) -> Machine {
        self.limits.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// So often in a million, the process loses the processor after its last
    /// clock reading and before its messages leave, for up to `longest`.
    pub fn stalls(mut self, per_million: u32, longest: Duration) -> Machine {
        self.stalls = Some((per_million, longest));
        self
    }

    /// Breaks one of the clock's rules, to see who notices.
    pub fn sabotage(mut self, sabotage: Sabotage) -> Machine {
        self.sabotage = Some(sabotage);
        self
    }
}

/// A machine that runs.
pub(super) struct Hardware {
    ticker: Ticker,
    counter: CounterModel,
    /// What the counter has counted in suspends, which the raw clock has not.
    in_suspend: u128,
    pub(super) kernel: KernelClock,
    pub(super) discipline: Discipline,
    suspended_ns: i64,
    /// The time server cannot be reached before this moment.
    unreachable_until: i64,
    random: Random,
    pub(super) sampler: Sampler,
    pub(super) audit: Audit,
    pub(super) last_reading: Option<LastReading>,
    /// For how long the last round of questions took the writer.
    writer_busy: (i64, i64),
}

/// The streams that a machine draws from, under its own number.
const OSCILLATOR: u64 = 0;
const KERNEL: u64 = 1;
const DAEMON: u64 = 2;
const SAMPLER: u64 = 3;
pub(super) const PROCESS: u64 = 4;
pub(super) const NETWORK: u64 = 5;

/// A stream of its own for each part of each machine.
pub(super) fn stream(seed: u64, machine: u32, part: u64) -> Random {
    Random::new(seed, (u64::from(machine) + 1) << 8 | part)
}

impl Hardware {
    pub(super) fn new(seed: u64, number: u32, machine: &Machine, began: i64) -> Hardware {
        let draw = |part| stream(seed, number, part);
        let mut random = draw(SAMPLER);
        // Booted up to a day ago.
        let uptime = random.below(86_400_000_000_000);
        let mut ticker = Ticker::new(machine.oscillator.clone(), draw(OSCILLATOR), began, uptime);
        ticker.advance(began);
        let raw = ticker.at(began);
        let offset_s = utc_offset_s(began);
        let unix = began - offset_s * 1_000_000_000;
        let off_by_ppm = ticker.off_by_ppm();
        Hardware {
            counter: machine.counter,
            in_suspend: 0,
            kernel: KernelClock::new(draw(KERNEL), raw, unix.saturating_add(machine.off_by_ns)),
            discipline: Discipline::new(
                machine.daemon,
                machine.service,
                draw(DAEMON),
                off_by_ppm,
                offset_s,
                began,
            ),
            ticker,
            suspended_ns: 0,
            unreachable_until: i64::MIN,
            random,
            sampler: Sampler::new(machine),
            audit: Audit::default(),
            last_reading: None,
            writer_busy: (0, 0),
        }
    }

    /// The machine boots again: its clock knows nothing, and the kernel's state is gone.
    pub(super) fn restart_clock(&mut self, machine: &Machine) {
        self.sampler = Sampler::new(machine);
        self.sampler.has_slept(self.suspended_ns);
        self.last_reading = None;
    }

    /// Carries everything forward to true time `t`.
    pub(super) fn advance(&mut self, t: i64) {
        self.ticker.advance(t);
        self.kernel.advance(self.ticker.at(t));
    }

    /// What the counter shows at `t`.
    pub(super) fn tick(&self, t: i64) -> u64 {
        let nominal = self.ticker.at(t) + self.in_suspend;
        let ticks =
            (nominal >> 16) * u128::from(self.counter.hertz) / (1_000_000_000 << (FRACTION - 16));
        let ticks = ticks as u64;
        ticks - ticks % self.counter.step
    }

    /// What the counter shows at `t`, where the ticker may have to be carried there first.
    pub(super) fn tick_now(&mut self, t: i64) -> u64 {
        self.ticker.advance(t);
        self.tick(t)
    }

    /// An earlier tick: what a processor gives that reads the counter out of order.
    pub(super) fn early_tick(&mut self, t: i64, by_ns: u64) -> u64 {
        let early = t - self.random.below(by_ns) as i64;
        self.tick(early)
    }

    /// So many ticks in nominal nanoseconds.
    pub(super) fn counter_nanos(&self, ticks: u64) -> i128 {
        (u128::from(ticks) * 1_000_000_000 / u128::from(self.counter.hertz)) as i128
    }

    /// Whether the clock's thread is in the middle of a round of questions.
    pub(super) fn writer_is_busy(&self, t: i64) -> bool {
        self.writer_busy.0 <= t && t < self.writer_busy.1
    }

    /// What a program says that has no evidence and answers all the same.
    pub(super) fn guess(&mut self, t: i64) -> Interval {
        self.advance(t);
        let unix = self.kernel.realtime_ns(self.ticker.at(t));
        let tai = unix.saturating_add(utc_offset_s(t) * 1_000_000_000);
        Interval::from(Timestamp::from_tai_nanos(tai)).widen(Duration::from_millis(1))
    }

    /// How long `nominal` of the machine's own time takes in truth, in ns.
    pub(super) fn true_nanos(&self, nominal: Duration) -> i64 {
        self.ticker.true_nanos(nanos(nominal))
    }

    /// The daemon does what is due; what it waits for next.
    pub(super) fn discipline(&mut self, t: i64, due: Due) -> Vec<(i64, Due)> {
        self.advance(t);
        let raw = self.ticker.at(t);
        let reachable = t >= self.unreachable_until;
        self.discipline.act(due, t, &mut self.kernel, raw, reachable)
    }

    /// The clock's thread asks every source.
    pub(super) fn poll(&mut self, t: i64) {
        self.advance(t);
        // The sample ends now, and began a little earlier: mostly tens of ns,
        // sometimes as long as a thread may be out of luck.
        let began = match self.random.below(20) {
            0 => t - self.random.between(0, 2_000_000),
            _ => t - self.random.between(20, 300),
        };
        // What was changed meanwhile cannot be carried back.
        let began = if self.ticker.at(began) <= self.kernel.changed_at_raw() { t } else { began };
        let read_at = match self.random.below(4) {
            0 => began,
            1 => t,
            _ => self.random.between(began, t),
        };
        let raw = self.ticker.at(read_at);
        let moment = Moment {
            truth: read_at,
            before: self.tick(began),
            after: self.tick(t),
            realtime_ns: self.kernel.realtime_ns(raw),
            offset_ns: self.kernel.offset_ns(raw),
            kernel: self.kernel.state(),
            counted_until_ns: self.kernel.counted_until_ns(),
            suspended_ns: self.suspended_ns,
            elapsed: Duration::from_nanos((raw >> FRACTION) as u64),
        };
        // A source that is asked over a socket answers when it likes.
        self.writer_busy = (t, t + self.random.between(20_000, 5_000_000));
        let contradictions = self.sampler.contradictions();
        self.sampler.poll(&moment, &mut self.random);
        let new = self.sampler.contradictions() - contradictions;
        if new > 0 {
            self.audit.contradictions += new;
            let at = Timestamp::from_tai_nanos(t);
            self.audit.first_contradiction = self.audit.first_contradiction.or(Some(at));
        }
    }

    /// The machine sleeps from `t` to `until`; its real-time clock is off by `rtc_error` after.
    pub(super) fn suspend(&mut self, t: i64, until: i64, rtc_error: i64) {
        self.advance(t);
        let slept = until - t;
        if self.counter.counts_in_suspend {
            self.in_suspend += self.ticker.at(until) - self.ticker.at(t);
        }
        self.ticker.stand_still(t, until);
        self.suspended_ns += slept;
        self.kernel.resume(slept, rtc_error);
    }

    /// The virtual machine does not run from `t` to `until`, and nothing in it shows that.
    pub(super) fn stop(&mut self, t: i64, until: i64) {
        self.advance(t);
        self.ticker.stand_still(t, until);
    }

    /// From `t` on another host's oscillator counts.
    pub(super) fn change_frequency(&mut self, t: i64, off_by_ppm: f64) {
        self.advance(t);
        self.ticker.change_frequency(t, off_by_ppm);
    }

    pub(super) fn lose_time_server(&mut self, until: i64) {
        self.unreachable_until = until;
    }
}

/// TAI − UTC at `tai`, in seconds.
pub(super) fn utc_offset_s(tai: i64) -> i64 {
    let unix_s = tai.div_euclid(1_000_000_000) - 37;
    LeapTable::builtin().offsets_near(unix_s, 0).map_or(0, |(offset, _)| i64::from(offset))
}
