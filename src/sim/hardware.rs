//! [`Hardware`]: a machine that runs, and true time on it.
//!
//! True time on a machine is the world's, or a little later. While the clock's thread
//! samples, each reading takes some nanoseconds, and now and then a few milliseconds,
//! because a thread may lose the processor between any two readings. Other events on this
//! machine wait until the thread is done.

use std::time::Duration;

use super::audit::Audit;
use super::daemon::{DaemonEvent, Discipline};
use super::kernel::KernelClock;
use super::machine::CounterModel;
use super::machine::Machine;
use super::oscillator::{FRACTION, Ticker};
use super::random::{Random, nanos};
use super::vmclock::SimVmClock;
use crate::host::{HostClock, HostError, HostQuestion, KernelState, VmClockPage};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::chrony::Tracking;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

/// An unordered read of the counter is early by up to this, in ns, behind one pending cache
/// miss, and behind 64 of them.
const EARLY_NS: [u64; 2] = [1_200, 37_000];

/// EPERM.
const DENIED: i32 = 1;

/// A machine that runs.
pub(super) struct Hardware {
    ticker: Ticker,
    counter: CounterModel,
    /// By how much the counter is ahead of the raw clock: what it has counted in suspends, when the
    /// raw clock stood still, or on another host.
    counter_ahead: u128,
    pub(super) kernel: KernelClock,
    pub(super) discipline: Discipline,
    suspended_ns: i64,
    /// The time server cannot be reached before this moment.
    unreachable_until: i64,
    random: Random,
    /// The last true time at which anything was read or changed here.
    pub(super) reached: i64,
    /// The clock's thread is sampling, so readings take time.
    is_sampling: bool,
    /// After so many readings of the next round the wall clock is stepped by this.
    step_to_come: Option<(u64, i64)>,
    /// Clocks that a filter denies.
    denied: Vec<HostClock>,
    /// By how much the wall clock that the process is shown is ahead, in ns.
    shown_ahead_ns: i64,
    /// The raw clock stands still, and shows this.
    raw_stopped_at: Option<u128>,
    pub(super) process_id: u32,
    pub(super) audit: Audit,
    vmclock: Option<SimVmClock>,
    last_reading: Option<LastReading>,
    samples_every: Duration,
}

/// The streams that a machine draws from, under its own number.
const OSCILLATOR: u64 = 0;
const KERNEL: u64 = 1;
const DAEMON: u64 = 2;
const READINGS: u64 = 3;
pub(super) const PROCESS: u64 = 4;
pub(super) const NETWORK: u64 = 5;
pub(super) const REFERENCE: u64 = 6;
pub(super) const NTP: u64 = 7;
pub(super) const BUS: u64 = 8;

/// A stream of its own for each part of each machine.
pub(super) fn stream(seed: u64, machine: u32, part: u64) -> Random {
    Random::new(seed, (u64::from(machine) + 1) << 8 | part)
}

impl Hardware {
    pub(super) fn new(seed: u64, number: u32, machine: &Machine, began: i64) -> Hardware {
        let draw = |part| stream(seed, number, part);
        let mut random = draw(READINGS);
        // Booted up to a day ago.
        let uptime = NANOS_PER_SECOND as u64 + random.below(86_400_000_000_000);
        let mut ticker = Ticker::new(machine.oscillator.clone(), draw(OSCILLATOR), began, uptime);
        ticker.advance(began);
        let raw = ticker.at(began);
        let offset_s = utc_offset_s(began);
        let unix = began - seconds_to_nanos(offset_s);
        let off_by_ppm = ticker.off_by_ppm();
        Hardware {
            counter: machine.counter,
            counter_ahead: 0,
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
            reached: began,
            is_sampling: false,
            step_to_come: None,
            denied: Vec::new(),
            shown_ahead_ns: 0,
            raw_stopped_at: None,
            process_id: 1,
            audit: Audit::default(),
            vmclock: machine.vmclock.map(SimVmClock::new),
            last_reading: None,
            samples_every: machine.limits.poll_interval,
        }
    }

    /// From now on readings take time, or no longer do.
    pub(super) fn set_sampling(&mut self, is_sampling: bool) {
        self.is_sampling = is_sampling;
    }

    /// The true time of a reading that is made when the world is at `t`.
    fn reading_at(&mut self, t: i64) -> i64 {
        self.reached = self.reached.max(t);
        if self.is_sampling {
            self.reached += match self.random.below(2_000) {
                // The thread loses the processor.
                0 => self.random.between(1_000, 2_000_000),
                _ => self.random.between(15, 45),
            };
            self.step_if_due();
        }
        self.ticker.advance(self.reached);
        self.update_vmclock();
        self.reached
    }

    /// The hypervisor updates its page now and then.
    fn update_vmclock(&mut self) {
        let at = self.reached;
        if self.vmclock.as_ref().is_some_and(|vmclock| vmclock.is_due(at)) {
            let (tick, step_ns) = (self.tick(at), self.counter.step_ns());
            if let Some(vmclock) = &mut self.vmclock {
                vmclock.write_time(at, tick, step_ns, self.counter.hertz, &mut self.random);
            }
        }
    }

    /// The hypervisor shows that it has moved the machine.
    pub(super) fn disrupt(&mut self) {
        if let Some(vmclock) = &mut self.vmclock {
            vmclock.disrupt();
        }
        self.update_vmclock();
    }

    /// The page that the hypervisor writes, if it has one, and whether it states the time.
    pub(super) fn vmclock(&self) -> Option<(VmClockPage, bool)> {
        self.vmclock.as_ref().map(SimVmClock::page)
    }

    fn step_if_due(&mut self) {
        match &mut self.step_to_come {
            Some((0, by)) => {
                let by = *by;
                self.step_to_come = None;
                self.kernel.advance(self.ticker.at(self.reached));
                self.kernel.step_by(by);
            }
            Some((readings, _)) => *readings -= 1,
            None => {}
        }
    }

    /// Carries everything forward to true time `t`, unless it is beyond that already.
    pub(super) fn advance(&mut self, t: i64) -> i64 {
        self.reached = self.reached.max(t);
        self.ticker.advance(self.reached);
        self.kernel.advance(self.ticker.at(self.reached));
        self.reached
    }

    /// What the counter shows at `t`, near the present.
    fn tick(&self, t: i64) -> u64 {
        let nominal = self.ticker.at(t) + self.counter_ahead;
        let ticks = (nominal >> 16) * u128::from(self.counter.hertz)
            / ((NANOS_PER_SECOND as u128) << (FRACTION - 16));
        let ticks = ticks as u64;
        ticks - ticks % self.counter.step
    }

    /// A reading of the hardware counter.
    pub(super) fn ticks(&mut self, t: i64) -> u64 {
        let at = self.reading_at(t);
        self.tick(at)
    }

    /// A reading by a processor that reads the counter out of order.
    pub(super) fn ticks_unordered(&mut self, t: i64) -> u64 {
        let at = self.reading_at(t);
        let most = EARLY_NS[usize::from(self.random.chance(60_000))];
        let early = self.random.below(most) as i64;
        self.tick(at - early)
    }

    /// A reading of one of the kernel's clocks.
    pub(super) fn nanos(&mut self, t: i64, clock: HostClock) -> Result<i64, HostError> {
        if self.denied.contains(&clock) {
            return Err(HostError::new(HostQuestion::Clock(clock), DENIED));
        }
        let at = self.reading_at(t);
        // The kernel's clocks are made from the counter, and share its steps.
        let step = u128::from(self.counter.step_ns()) << FRACTION;
        let raw = self.ticker.at(at);
        let shown = raw - raw % step;
        if clock == HostClock::MonotonicRaw {
            return Ok((self.raw_stopped_at.unwrap_or(shown) >> FRACTION) as i64);
        }
        self.kernel.do_accounts_until(raw);
        Ok(match clock {
            HostClock::Realtime => self.kernel.realtime_ns(shown) + self.shown_ahead_ns,
            HostClock::RealtimeCoarse => self.kernel.counted_until_ns(),
            HostClock::Boottime => self.kernel.monotonic_ns(shown) + self.suspended_ns,
            HostClock::Monotonic | HostClock::MonotonicRaw => self.kernel.monotonic_ns(shown),
        })
    }

    /// A reading of `adjtimex`.
    pub(super) fn kernel_state(&mut self, t: i64) -> KernelState {
        let at = self.reading_at(t);
        let raw = self.ticker.at(at);
        self.kernel.do_accounts_until(raw);
        self.kernel.state(raw)
    }

    /// Whether the processor has a counter of its own.
    pub(super) fn has_hardware_counter(&self) -> bool {
        self.counter.is_hardware()
    }

    /// A thread sleeps for so long by the machine's own clock.
    pub(super) fn sleep(&mut self, t: i64, time: Duration) {
        let from = self.reading_at(t);
        let lasts = self.true_nanos(time) + self.random.between(50_000, 200_000);
        self.advance(from + lasts);
    }

    /// How long `nominal` of the machine's own time takes in truth, in ns.
    pub(super) fn true_nanos(&self, nominal: Duration) -> i64 {
        self.ticker.true_nanos(nanos(nominal))
    }

    /// The daemon handles an event. Returns the next events, each with its delay in ns.
    pub(super) fn discipline(&mut self, t: i64, event: DaemonEvent) -> Vec<(i64, DaemonEvent)> {
        let t = self.advance(t);
        let raw = self.ticker.at(t);
        let reachable = self.is_reachable(t);
        self.discipline.act(event, t, &mut self.kernel, raw, reachable)
    }

    /// The machine sleeps from `t` to `until`. Its real-time clock is off by `rtc_error` then.
    pub(super) fn suspend(&mut self, t: i64, until: i64, rtc_error: i64) {
        let t = self.advance(t);
        let slept = until - t;
        if self.counter.counts_in_suspend {
            self.counter_ahead += self.ticker.at(until) - self.ticker.at(t);
        }
        self.ticker.stand_still(t, until);
        self.reached = until;
        self.suspended_ns += slept;
        self.kernel.resume(slept, rtc_error);
    }

    /// The virtual machine does not run from `t` to `until`, and no clock in it shows that.
    pub(super) fn stop(&mut self, t: i64, until: i64) {
        let t = self.advance(t);
        self.ticker.stand_still(t, until);
        self.reached = until;
    }

    /// From `t` on another host's oscillator counts.
    pub(super) fn change_frequency(&mut self, t: i64, off_by_ppm: f64) {
        let t = self.advance(t);
        self.ticker.change_frequency(t, off_by_ppm);
    }

    /// Whether time servers can be reached.
    pub(super) fn is_reachable(&self, t: i64) -> bool {
        t >= self.unreachable_until
    }

    pub(super) fn lose_time_server(&mut self, until: i64) {
        self.unreachable_until = until;
    }

    /// The wall clock is stepped: now, or in the middle of the next round.
    pub(super) fn step(&mut self, t: i64, by: i64) {
        self.advance(t);
        if self.random.chance(300_000) {
            self.step_to_come = Some((self.random.below(150), by));
        } else {
            self.kernel.step_by(by);
        }
    }

    /// From now on this clock may not be read by the process.
    pub(super) fn deny(&mut self, clock: HostClock) {
        self.denied.push(clock);
    }

    /// From now on the process is shown another wall clock.
    pub(super) fn show_other_time(&mut self, ahead_ns: i64) {
        self.shown_ahead_ns = ahead_ns;
    }

    /// From now on the process is shown a raw clock that stands still.
    pub(super) fn stop_raw_clock(&mut self, t: i64) {
        let t = self.advance(t);
        self.raw_stopped_at.get_or_insert(self.ticker.at(t));
    }

    /// From now on another host's counter is read, which is ahead by so many ticks. The kernel's
    /// clocks go on, as a restore sees to it.
    pub(super) fn replace_counter(&mut self, t: i64, ticks: u64) {
        self.advance(t);
        // The raw clock is one of the kernel's.
        let ticks = if self.counter.is_hardware() { ticks } else { 0 };
        let nanos = u128::from(ticks) * NANOS_PER_SECOND as u128 / u128::from(self.counter.hertz);
        self.counter_ahead += nanos << FRACTION;
        self.last_reading = None;
    }

    /// A new process, under no filter yet.
    pub(super) fn begin_process(&mut self) {
        self.process_id += 1;
        self.denied.clear();
        self.shown_ahead_ns = 0;
        self.raw_stopped_at = None;
        self.last_reading = None;
    }

    /// By how much the wall clock is off, in ns.
    pub(super) fn wall_clock_error_ns(&mut self, t: i64) -> i64 {
        let t = self.advance(t);
        let utc = t - self.discipline.true_offset_s(t) * NANOS_PER_SECOND;
        self.kernel.realtime_ns(self.ticker.at(t)) - utc
    }

    /// What chronyd would answer.
    pub(super) fn chrony_tracking(&mut self, t: i64) -> Option<Tracking> {
        let t = self.advance(t);
        self.discipline.tracking(t)
    }

    /// Compares a reading with the truth, and with the reading before it, where the clock carries
    /// its bounds by this drift.
    pub(super) fn judge(&mut self, said: Interval, epoch: u64, drift_ppm: u32) {
        let at = self.reached;
        self.audit.judge(at, said);
        // Each of the two is carried by A2 alone, or by the drift that a daemon has shown, over
        // the ticks between them.
        let tick = self.tick(at);
        if let Some(last) = self.last_reading.filter(|last| last.epoch == epoch) {
            if self.excludes(&last, tick, &said, drift_ppm.max(last.drift_ppm)) {
                self.audit.disowned += 1;
            }
        }
        self.last_reading = Some(LastReading { tick, epoch, said, drift_ppm });
    }

    /// Whether `last`, carried to `tick` by this drift, does not contain the present interval.
    fn excludes(&self, last: &LastReading, tick: u64, said: &Interval, drift_ppm: u32) -> bool {
        let ticks = u128::from(tick.saturating_sub(last.tick));
        let nominal = (ticks * NANOS_PER_SECOND as u128 / u128::from(self.counter.hertz)) as i128;
        let drift = i128::from(drift_ppm);
        // Each sample and each reading rounds outward by a nanosecond or two.
        let samples = nominal / i128::from(nanos(self.samples_every).max(1)) + 2;
        // A frequency that is off by 200 ppm makes a period that is off by up to 200.04. A
        // calibration over 10 ms knows the rate itself to some 30 ppm more.
        let spread = nominal * (drift + CALIBRATION_PPM) / (1_000_000 - drift) + 2 * samples;
        let end = |t: Timestamp| i128::from(t.tai_nanos());
        end(said.earliest()) < end(last.said.earliest()) + nominal - spread
            || end(said.latest()) > end(last.said.latest()) + nominal + spread
    }
}

/// The error of a rate that was measured over 10 ms, in ppm.
const CALIBRATION_PPM: i128 = 30;

/// A reading, for comparison with the next.
#[derive(Clone, Copy, Debug)]
struct LastReading {
    tick: u64,
    epoch: u64,
    said: Interval,
    drift_ppm: u32,
}

/// TAI − UTC at `tai`, in seconds.
pub(super) fn utc_offset_s(tai: i64) -> i64 {
    let unix_s = tai.div_euclid(NANOS_PER_SECOND) - 37;
    LeapTable::builtin().offsets_near(unix_s, 0).map_or(0, |(offset, _)| i64::from(offset))
}
