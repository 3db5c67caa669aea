//! [`Driver`]: asks the sources, judges the counter, publishes what came of it.
//!
//! The order matters. A sample is worth something only if the counter counted
//! all the way through it. So the counter is checked *after* each sample and
//! before the sample is used, and a suspend, during which counters may stand
//! still, is looked for at the same place. What was published before stays
//! right either way, up to the last check that went well.
//!
//! Each sample is published at once, not each round: a source that blocks holds
//! up those after it, and nothing that was learnt before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::clock::block::Block;
use crate::clock::bound::Sample;
use crate::clock::counter::{Calibration, Untrusted};
use crate::clock::estimator::{Estimator, Fused};
use crate::clock::publish::{Publisher, Ring};
use crate::clock::report::Record;
use crate::clock::status::{Reason, Status};
use crate::source::assume::Assumed;
use crate::source::realtime::{SUSPEND_NOISE_NS, suspended_ns};
use crate::source::{Source, SourceError};

/// What the user has set, and nothing changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Limits {
    /// Assumption A2: how far the counter's rate may be from nominal, in parts per million.
    pub max_drift_ppm: u32,
    /// A wider interval is an error.
    pub max_width: Duration,
    /// How often sources are asked.
    pub poll_interval: Duration,
}

/// Somebody who is asked for the time.
pub(crate) enum Witness {
    /// The operator, whose word makes the clock `Assumed`.
    Operator(Assumed),
    /// Evidence, which makes it `Synchronized`.
    Source(Box<dyn Source>),
}

impl Witness {
    pub(crate) fn name(&self) -> &str {
        match self {
            Witness::Operator(assumed) => assumed.name(),
            Witness::Source(source) => source.name(),
        }
    }

    fn as_source(&mut self) -> &mut dyn Source {
        match self {
            Witness::Operator(assumed) => assumed,
            Witness::Source(source) => source.as_mut(),
        }
    }
}

/// A witness, and whether it vouched when it was asked last.
struct Seat {
    witness: Witness,
    last: Result<(), Reason>,
}

/// All that is needed to go from evidence to a published bound.
pub(crate) struct Driver {
    seats: Vec<Seat>,
    calibration: Calibration,
    estimator: Estimator,
    publisher: Publisher,
    suspended_ns: i64,
    limits: Limits,
}

/// What the check after a sample found.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Interruption {
    Suspended,
    CounterGivenUp(Untrusted),
}

impl Driver {
    pub(crate) fn new(
        witnesses: Vec<Witness>,
        calibration: Calibration,
        limits: Limits,
        publisher: Publisher,
    ) -> Driver {
        let pace = calibration.pace(limits.max_drift_ppm);
        let estimator = Estimator::new(pace, calibration.granularity_ns(), limits.max_width);
        let not_asked = |witness| Seat { witness, last: Err(Reason::NotSampled) };
        Driver {
            seats: witnesses.into_iter().map(not_asked).collect(),
            calibration,
            estimator,
            publisher,
            suspended_ns: suspended_ns(),
            limits,
        }
    }

    /// Goes on from what another driver has published last.
    pub(crate) fn resume_from(&mut self, block: &Block) {
        if block.counter() == self.calibration.counter {
            self.estimator.resume_from(block);
        }
    }

    /// Asks every source once, and publishes after each answer.
    pub(crate) fn round(&mut self, ring: &Ring, record: &parking_lot::Mutex<Record>) {
        for i in 0..self.seats.len() {
            record.lock().begin(i, self.seats[i].witness.name());
            let outcome = self.ask(i);
            self.publish(ring);
            let mut record = record.lock();
            record.end(i, &outcome, Instant::now());
            record.contradictions = self.estimator.contradictions();
            record.calibration = Some(self.calibration.clone());
        }
        if self.seats.is_empty() {
            self.publish(ring);
        }
    }

    /// The operator gives the word again: what was held before rests on the old one.
    pub(crate) fn reassume(&mut self) {
        let operators = self.seats.iter_mut().filter_map(|seat| match &mut seat.witness {
            Witness::Operator(assumed) => Some(assumed),
            Witness::Source(_) => None,
        });
        let renewed = operators.map(Assumed::renew).count();
        if renewed > 0 {
            self.estimator.forget();
        }
    }

    /// Asks one source; once more if the counter failed under it.
    fn ask(&mut self, i: usize) -> Result<Answer, SourceError> {
        let mut outcome = self.ask_once(i);
        if let Err(Trouble::Interrupted(_)) = outcome {
            outcome = self.ask_once(i);
        }
        let outcome = outcome.map_err(Trouble::into_error);
        self.seats[i].last = outcome.as_ref().map(|_| ()).map_err(SourceError::reason);
        outcome
    }

    fn ask_once(&mut self, i: usize) -> Result<Answer, Trouble> {
        let counter = self.calibration.counter;
        let source = self.seats[i].witness.as_source();
        let answer = catch_unwind(AssertUnwindSafe(|| source.sample(&counter)));
        let tick = counter.read();
        self.check_counter().map_err(Trouble::Interrupted)?;
        let sample = answer
            .unwrap_or_else(|panic| Err(SourceError::Panicked(words_of(&*panic))))
            .map_err(Trouble::Refused)?;
        match self.estimator.fuse(&sample, tick) {
            Fused::Agrees => Ok(Answer { sample, contradicts: false }),
            Fused::Contradicts => Ok(Answer { sample, contradicts: true }),
            Fused::Malformed => Err(Trouble::Refused(malformed(&sample, tick))),
        }
    }

    /// Whether the counter has counted all the way up to now. If not, draws the consequences.
    fn check_counter(&mut self) -> Result<(), Interruption> {
        let slept = suspended_ns();
        if slept - self.suspended_ns > SUSPEND_NOISE_NS {
            self.suspended_ns = slept;
            self.estimator.forget();
            self.calibration.restart_comparison();
            return Err(Interruption::Suspended);
        }
        let max_drift_ppm = self.limits.max_drift_ppm;
        if let Err(why) = self.calibration.check() {
            let last_good = self.calibration.last_good;
            self.calibration = Calibration::monotonic_raw(Some(why.clone()));
            self.estimator.change_counter(
                (last_good.before, last_good.after),
                last_good.raw,
                self.calibration.pace(max_drift_ppm),
                self.calibration.granularity_ns(),
            );
            return Err(Interruption::CounterGivenUp(why));
        }
        self.estimator.set_pace(self.calibration.pace(max_drift_ppm));
        Ok(())
    }

    fn publish(&mut self, ring: &Ring) {
        let status = self.status();
        let counter = self.calibration.counter;
        let block = self.estimator.publish(counter.read(), counter, status);
        self.publisher.publish(ring, block.to_words());
    }

    /// What the witnesses' last words are worth together.
    fn status(&self) -> Status {
        let vouches = |of: fn(&Witness) -> bool| {
            self.seats.iter().any(|seat| seat.last.is_ok() && of(&seat.witness))
        };
        if vouches(|witness| matches!(witness, Witness::Source(_))) {
            Status::Synchronized
        } else if vouches(|witness| matches!(witness, Witness::Operator(_))) {
            Status::Assumed
        } else if self.estimator.has_evidence() {
            Status::Holdover
        } else {
            let first = self.seats.iter().find_map(|seat| seat.last.err());
            Status::Unsynchronized(first.unwrap_or(Reason::NotSampled))
        }
    }
}

/// A sample that was taken into account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) sample: Sample,
    pub(crate) contradicts: bool,
}

/// Why a sample was not taken into account.
enum Trouble {
    Refused(SourceError),
    Interrupted(Interruption),
}

impl Trouble {
    fn into_error(self) -> SourceError {
        match self {
            Trouble::Refused(error) => error,
            Trouble::Interrupted(Interruption::Suspended) => SourceError::cannot_vouch(
                Reason::Suspended,
                "the sample was thrown away, since the host slept while it was taken",
            ),
            Trouble::Interrupted(Interruption::CounterGivenUp(why)) => {
                SourceError::failed(format_args!("the counter failed while it was sampled: {why}"))
            }
        }
    }
}

fn malformed(sample: &Sample, tick: u64) -> SourceError {
    SourceError::failed(format_args!(
        "the source returned a sample whose ticks are out of order (before {}, after {}, now {tick}): \
         both must come from the counter that it is given, `before` first",
        sample.before, sample.after,
    ))
}

/// What a panic said, if it was text.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}
