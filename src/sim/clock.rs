//! [`SimClock`]: a clock of the simulated world, with the one estimator.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::machine::Hardware;
use super::random::nanos;
use super::sabotage::Sabotage;
use super::sampler::squeezed;
use crate::clock::status::{Reason, Status};
use crate::clock::truetime::{ClockError, TrueTime};
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// A clock on a simulated machine: what a node of your program is given.
///
/// It answers as [`Clock`](crate::Clock) would on that machine, at that moment, and
/// each answer is held against the truth (see [`Audit`](super::Audit)). Clones read the same clock.
#[derive(Clone)]
pub struct SimClock {
    hardware: Arc<Mutex<Hardware>>,
    /// True time in the world: not for the program to see.
    truth: Arc<AtomicI64>,
}

/// An unordered read of the counter is early by up to this, in ns, behind 64 pending cache misses.
const EARLY_NS: u64 = 37_000;

impl SimClock {
    pub(super) fn new(hardware: Arc<Mutex<Hardware>>, truth: Arc<AtomicI64>) -> SimClock {
        SimClock { hardware, truth }
    }

    fn now_in_truth(&self) -> i64 {
        self.truth.load(Ordering::Relaxed)
    }

    /// How far the clock is to be believed.
    pub fn status(&self) -> Status {
        let mut hardware = self.hardware.lock();
        let tick = hardware.tick_now(self.now_in_truth());
        let block = hardware.sampler.block();
        let readable = block.interval_at(tick).is_some();
        match block.status() {
            Status::Synchronized if readable => {
                let stale = hardware.sampler.limits().poll_interval * 3 + Duration::from_secs(1);
                if block.age_at(tick) > stale { Status::Holdover } else { Status::Synchronized }
            }
            Status::Synchronized | Status::Holdover if !readable => {
                Status::Unsynchronized(Reason::TooOld)
            }
            status => status,
        }
    }

    /// Begins anew when a reading could contradict an earlier one.
    pub fn epoch(&self) -> u64 {
        self.hardware.lock().sampler.block().epoch().into()
    }

    fn read(&self) -> Result<Interval, ClockError> {
        let t = self.now_in_truth();
        let mut hardware = self.hardware.lock();
        let answer = hardware.read(t);
        match answer {
            Ok(said) => hardware.note_reading(t, said),
            Err(_) => hardware.audit.refusals += 1,
        }
        answer
    }
}

impl TrueTime for SimClock {
    fn now(&self) -> Result<Interval, ClockError> {
        self.read()
    }

    fn earliest(&self) -> Result<Timestamp, ClockError> {
        let t = self.now_in_truth();
        {
            let mut hardware = self.hardware.lock();
            if let Some(earliest) = hardware.read_earliest(t) {
                let latest = Timestamp::MAX;
                hardware.audit.judge(t, Interval::from_ordered(earliest, latest));
                return Ok(earliest);
            }
        }
        self.read().map(|interval| interval.earliest())
    }
}

impl std::fmt::Debug for SimClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("SimClock");
        debug.field("status", &self.status()).field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

/// What a reading was, for comparison with the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastReading {
    tick: u64,
    epoch: u32,
    said: Interval,
}

impl Hardware {
    /// A reading at `t`, as `Clock::now` makes it.
    fn read(&mut self, t: i64) -> Result<Interval, ClockError> {
        let tick = self.tick_now(t);
        let block = self.sampler.block();
        let sabotage = self.sampler.sabotage();
        if sabotage == Some(Sabotage::WaitForWriter) && self.writer_is_busy(t) {
            self.audit.waits += 1;
        }
        let answer = block.interval_at(tick);
        let Some(honest) = answer else {
            if sabotage == Some(Sabotage::Guess) {
                return Ok(self.guess(t));
            }
            return Err(block.refusal(tick, self.sampler.limits().max_width));
        };
        Ok(match sabotage {
            Some(Sabotage::RoundInward) => squeezed(honest, 1),
            Some(Sabotage::TooSure) => squeezed(honest, honest.width().as_nanos() as u64 / 8 * 3),
            Some(Sabotage::UnorderedLatest) => {
                let early = self.early_tick(t, EARLY_NS);
                block.interval_at(early).unwrap_or(honest)
            }
            _ => honest,
        })
    }

    /// As `Clock::earliest`: of an unordered read, which may be early.
    fn read_earliest(&mut self, t: i64) -> Option<Timestamp> {
        self.tick_now(t);
        let tick = self.early_tick(t, 1_200);
        self.sampler.block().earliest_at(tick)
    }

    /// Holds a reading against the truth, and against the one before it.
    fn note_reading(&mut self, t: i64, said: Interval) {
        self.audit.judge(t, said);
        let tick = self.tick(t);
        let epoch = self.sampler.block().epoch();
        if let Some(last) = self.last_reading.filter(|last| last.epoch == epoch) {
            if self.excludes(&last, tick, &said) {
                self.audit.disowned += 1;
            }
        }
        self.last_reading = Some(LastReading { tick, epoch, said });
    }

    /// Whether `last`, carried to `tick` by A2 alone, does not contain what is said now.
    fn excludes(&self, last: &LastReading, tick: u64, said: &Interval) -> bool {
        let nominal = self.counter_nanos(tick.saturating_sub(last.tick));
        let limits = self.sampler.limits();
        let drift = i128::from(limits.max_drift_ppm);
        // Each sample and each reading rounds outward by a nanosecond or two.
        let samples = nominal / i128::from(nanos(limits.poll_interval)) + 2;
        // A frequency that is off by 200 ppm makes a period that is off by up to 200.04.
        let spread = nominal * drift / (1_000_000 - drift) + 2 * samples;
        let end = |t: Timestamp| i128::from(t.tai_nanos());
        end(said.earliest()) < end(last.said.earliest()) + nominal - spread
            || end(said.latest()) > end(last.said.latest()) + nominal + spread
    }
}
