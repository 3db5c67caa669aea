//! [`Sampler`]: the sampling side of a simulated clock.
//!
//! It stands where the thread, its driver and the reading of the kernel stand
//! in the running clock, and calls the code that they call: the kernel source's
//! judgement, the estimator, the published block, the ring. Only what touches
//! the outside world is replaced, by a [`Moment`] that says what the outside
//! world would have shown.

use std::time::{Duration, Instant};

use super::machine::{CounterModel, Machine, Reference};
use super::random::{Random, nanos};
use super::sabotage::Sabotage;
use crate::clock::block::{Block, Label};
use crate::clock::bound::{Pace, Sample};
use crate::clock::counter::Counter;
use crate::clock::estimator::{Estimator, Fused};
use crate::clock::publish::{Publisher, Ring};
use crate::clock::report::Limits;
use crate::clock::status::{Reason, Status};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::SourceError;
use crate::source::adjtimex::KernelState;
use crate::source::kernel::{Evidence, Kernel};
use crate::source::realtime::{Realtime, SUSPEND_NOISE_NS};
use crate::timestamp::Timestamp;

/// All that can be seen of the outside world while a sample is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The true time at which the clock was read, for the sources that know it.
    pub(super) truth: i64,
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) realtime_ns: i64,
    pub(super) offset_ns: i64,
    pub(super) kernel: KernelState,
    pub(super) counted_until_ns: i64,
    pub(super) suspended_ns: i64,
    /// By the machine's own monotonic clock.
    pub(super) elapsed: Duration,
}

/// The witnesses, the estimator, and what they have published.
pub(super) struct Sampler {
    limits: Limits,
    pace: Pace,
    granularity_ns: u64,
    estimator: Estimator,
    ring: Ring,
    publisher: Publisher,
    kernel: Kernel,
    reference: Option<Reference>,
    /// What the kernel and the reference said last.
    last: [Result<(), Reason>; 2],
    suspended_ns: i64,
    contradictions: u64,
    /// Stands for the moment at which the machine's monotonic clock began: only differences
    /// to it are ever taken.
    began: Instant,
    sabotage: Option<Sabotage>,
    /// For `Sabotage::IgnoreStep`.
    last_vouched: Option<KernelState>,
}

/// The counter's label in the block. It is never read from: ticks come from the simulation.
const COUNTER: Counter = Counter::MONOTONIC_RAW;

impl Sampler {
    pub(super) fn new(machine: &Machine) -> Sampler {
        let mut limits = machine.limits;
        if machine.sabotage == Some(Sabotage::NeverAge) {
            limits.max_drift_ppm = 0;
        }
        let pace = pace_of(&machine.counter).with_drift(limits.max_drift_ppm);
        let step_ns = machine.counter.step * 1_000_000_000 / machine.counter.hertz;
        let granularity_ns =
            if machine.sabotage == Some(Sabotage::NoGranularity) { 0 } else { step_ns };
        let status = Status::Unsynchronized(Reason::NotSampled);
        let empty = Block::empty(pace, Label::new(COUNTER, status, 0));
        let (ring, publisher) = Ring::new(empty.to_words());
        Sampler {
            limits,
            pace,
            granularity_ns,
            estimator: Estimator::new(pace, granularity_ns, limits.max_width)
                .learning_rate(limits.max_wander_ppm),
            ring,
            publisher,
            kernel: Kernel::new(LeapTable::builtin()).of_another_world(),
            reference: machine.reference,
            last: [Err(Reason::NotSampled); 2],
            suspended_ns: 0,
            contradictions: 0,
            began: Instant::now(),
            sabotage: machine.sabotage,
            last_vouched: None,
        }
    }

    /// The host has been suspended for so long before this clock was built.
    pub(super) fn has_slept(&mut self, suspended_ns: i64) {
        self.suspended_ns = suspended_ns;
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn sabotage(&self) -> Option<Sabotage> {
        self.sabotage
    }

    pub(super) fn block(&self) -> Block {
        Block::from_words(self.ring.read())
    }

    /// Samples that could not be true together with what was known.
    pub(super) fn contradictions(&self) -> u64 {
        self.contradictions
    }

    /// One round, as the driver makes it: each sample is published at once.
    pub(super) fn poll(&mut self, moment: &Moment, random: &mut Random) {
        let moment = &self.tampered(moment);
        self.ask(0, moment, |sampler, _| sampler.ask_kernel(moment), random);
        if let Some(reference) = self.reference {
            let ask = |_: &mut Sampler, random: &mut Random| {
                Ok(ask_reference(&reference, moment, random))
            };
            self.ask(1, moment, ask, random);
        }
    }

    fn ask(
        &mut self,
        seat: usize,
        moment: &Moment,
        ask: impl Fn(&mut Sampler, &mut Random) -> Result<Sample, SourceError>,
        random: &mut Random,
    ) {
        let mut answer = ask(self, random);
        // After a suspend nothing can be carried on: forget, and ask once more.
        if moment.suspended_ns - self.suspended_ns > SUSPEND_NOISE_NS {
            self.suspended_ns = moment.suspended_ns;
            self.estimator.forget(moment.before);
            answer = ask(self, random);
        }
        self.last[seat] = match answer {
            Ok(sample) => self.fuse(&sample, moment.after),
            Err(error) => Err(error.reason()),
        };
        let status = self.status();
        let block = self.estimator.publish(moment.after, COUNTER, status);
        self.publisher.publish(&self.ring, block.to_words());
    }

    fn ask_kernel(&mut self, moment: &Moment) -> Result<Sample, SourceError> {
        let evidence = Evidence {
            kernel: (moment.kernel, moment.kernel),
            realtime: Realtime {
                before: moment.before,
                unix_ns: moment.realtime_ns,
                after: moment.after,
                offset: (moment.offset_ns, moment.offset_ns),
            },
            counted_until_ns: moment.counted_until_ns,
            suspended_ns: moment.suspended_ns,
        };
        let sample = self.kernel.judge(&evidence, self.began + moment.elapsed)?;
        if self.sabotage == Some(Sabotage::IgnoreLeapWindow) {
            return Ok(without_leap_window(&sample, moment.realtime_ns));
        }
        Ok(sample)
    }

    fn fuse(&mut self, sample: &Sample, tick: u64) -> Result<(), Reason> {
        let fresh = || Estimator::new(self.pace, self.granularity_ns, self.limits.max_width);
        if self.sabotage == Some(Sabotage::LatestWins) {
            self.estimator = fresh();
        }
        let mut sample = *sample;
        if self.sabotage == Some(Sabotage::RoundInward) {
            sample.time = squeezed(sample.time, 1);
        }
        let sample = &sample;
        let outcome = match self.sabotage {
            Some(Sabotage::SwallowContradictions) => {
                let before = self.estimator.clone();
                match self.estimator.fuse(sample, tick) {
                    Fused::Contradicts => {
                        self.estimator = fresh();
                        self.estimator.fuse(sample, tick)
                    }
                    refused @ (Fused::Malformed | Fused::Void) => {
                        self.estimator = before;
                        refused
                    }
                    Fused::Agrees => Fused::Agrees,
                }
            }
            _ => self.estimator.fuse(sample, tick),
        };
        match outcome {
            Fused::Agrees => Ok(()),
            Fused::Contradicts => {
                self.contradictions += 1;
                Ok(())
            }
            Fused::Malformed | Fused::Void => Err(Reason::SourceFailed),
        }
    }

    /// What the witnesses' last words are worth together.
    fn status(&self) -> Status {
        if self.last.iter().any(Result::is_ok) {
            Status::Synchronized
        } else if self.estimator.has_evidence() {
            Status::Holdover
        } else {
            Status::Unsynchronized(self.last[0].err().unwrap_or(Reason::NotSampled))
        }
    }

    /// The moment as somebody would see it who breaks a rule in reading the kernel.
    fn tampered(&mut self, moment: &Moment) -> Moment {
        let mut moment = *moment;
        let kernel = &mut moment.kernel;
        match self.sabotage {
            Some(Sabotage::BelieveZero) if kernel.states_no_bound() => {
                kernel.maxerror_us = kernel.maxerror_us.max(0).saturating_add(1);
                kernel.status &= !libc::STA_PLL;
            }
            Some(Sabotage::IgnoreSuspend) => moment.suspended_ns = 0,
            Some(Sabotage::IgnoreStep) => {
                if kernel.is_synchronized() {
                    self.last_vouched = Some(*kernel);
                } else if let Some(earlier) = self.last_vouched {
                    *kernel = earlier;
                }
            }
            Some(Sabotage::UncheckedArithmetic) => {
                // What `maxerror_us * 1000` does in a build that checks.
                let nanos = kernel.maxerror_us.checked_mul(1000);
                nanos.expect("attempt to multiply with overflow");
            }
            _ => {}
        }
        moment
    }
}

/// The pace of a counter of exactly this frequency.
fn pace_of(counter: &CounterModel) -> Pace {
    let second = 1_000_000_000;
    let ticks = (counter.hertz, counter.hertz);
    Pace::shift_for(counter.hertz, second)
        .and_then(|shift| Pace::measured(shift, ticks, (second, second)))
        .unwrap_or(Pace::NANOSECONDS)
}

/// A source that knows the truth, and says no more of it than its bound.
fn ask_reference(reference: &Reference, moment: &Moment, random: &mut Random) -> Sample {
    let width = nanos(reference.width);
    let width = random.between(width / 2, width);
    let early = match random.below(4) {
        0 if reference.adversarial => 0,
        1 if reference.adversarial => width,
        _ => random.between(0, width),
    };
    let end = |offset: i64| Timestamp::from_tai_nanos(moment.truth.saturating_add(offset));
    let time = Interval::from_ordered(end(-early), end(width - early));
    Sample::new(moment.before, moment.after, time)
}

/// Both ends moved inward.
pub(super) fn squeezed(interval: Interval, by_ns: u64) -> Interval {
    let by = Duration::from_nanos(by_ns);
    let ends = (interval.earliest().saturating_add(by), interval.latest().saturating_sub(by));
    Interval::new(ends.0, ends.1).unwrap_or_else(|| Interval::from(interval.midpoint()))
}

/// The same error around the one offset that the table names for this second.
fn without_leap_window(sample: &Sample, unix_ns: i64) -> Sample {
    const SECOND: i64 = 1_000_000_000;
    let (table, unix_s) = (LeapTable::builtin(), unix_ns.div_euclid(SECOND));
    let covered = table.offsets_near(unix_s, 2).filter(|(least, most)| least < most);
    let (Some((least, most)), Some((offset, _))) = (covered, table.offsets_near(unix_s, 0)) else {
        return *sample;
    };
    let window = Duration::from_secs(u64::from(most.abs_diff(least)));
    let error = sample.time.width().saturating_sub(window) / 2;
    let tai = unix_ns.saturating_add(i64::from(offset) * SECOND);
    let time = Interval::from(Timestamp::from_tai_nanos(tai)).widen(error);
    Sample::new(sample.before, sample.after, time)
}
