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
use std::time::Instant;

use crate::clock::block::Block;
use crate::clock::bound::Sample;
use crate::clock::counter::{Calibration, Untrusted};
use crate::clock::estimator::{Estimator, Fused};
use crate::clock::publish::{Publisher, Ring};
use crate::clock::report::{Answer, Limits, Record};
use crate::clock::status::{Reason, Status};
use crate::source::assume::Assumed;
use crate::source::realtime::{SUSPEND_NOISE_NS, suspended_ns};
use crate::source::{Source, SourceError};

/// Somebody who is asked for the time.
pub(crate) enum Witness {
    /// The operator, whose word makes the clock `Assumed`.
    Operator(Box<Assumed>),
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

    fn details(&self) -> Option<String> {
        match self {
            Witness::Operator(_) => None,
            // Like every call into a source, it may panic.
            Witness::Source(source) => {
                catch_unwind(AssertUnwindSafe(|| source.details())).unwrap_or(None)
            }
        }
    }

    fn as_source(&mut self) -> &mut dyn Source {
        match self {
            Witness::Operator(assumed) => assumed.as_mut(),
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
        let estimator = Estimator::new(pace, calibration.granularity_ns(), limits.max_width)
            .learning_rate(limits.max_wander_ppm);
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
            let details = self.seats[i].witness.details();
            let mut record = record.lock();
            record.end(i, &outcome, details, Instant::now());
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
        let renewed = operators.map(|assumed| assumed.renew()).count();
        if renewed > 0 {
            self.estimator.forget();
        }
    }

    /// Nothing that was concluded so far counts any longer.
    pub(crate) fn forget(&mut self) {
        self.estimator.forget();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::counter::{Counter, CounterKind};
    use crate::interval::Interval;
    use crate::timestamp::Timestamp;
    use nix::time::ClockId;
    use parking_lot::Mutex;
    use std::time::Duration;

    /// True time, for these tests: the raw clock, which no one steers.
    fn truth() -> Timestamp {
        Timestamp::from_tai_nanos(crate::sys::nanos(ClockId::CLOCK_MONOTONIC_RAW))
    }

    /// A source that knows the truth, to the microsecond.
    struct Honest;

    impl Source for Honest {
        fn name(&self) -> &str {
            "honest"
        }

        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            let before = counter.read();
            let time = Interval::from(truth()).widen(Duration::from_micros(1));
            Ok(Sample::new(before, counter.read(), time))
        }
    }

    /// A source that does what a script says.
    struct Scripted<F>(F);

    impl<F: FnMut(&Counter) -> Result<Sample, SourceError> + Send> Source for Scripted<F> {
        fn name(&self) -> &str {
            "scripted"
        }

        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            (self.0)(counter)
        }
    }

    struct Bench {
        driver: Driver,
        ring: Ring,
        record: Mutex<Record>,
    }

    impl Bench {
        fn new(kind: CounterKind, sources: Vec<Box<dyn Source>>) -> Bench {
            let calibration = Calibration::new(kind).expect("trusted here");
            let limits = Limits {
                max_drift_ppm: 200,
                max_wander_ppm: None,
                max_width: Duration::from_secs(10),
                poll_interval: Duration::from_millis(100),
            };
            let (ring, publisher) = Ring::new([0; crate::clock::publish::WORDS]);
            let witnesses = sources.into_iter().map(Witness::Source).collect();
            let driver = Driver::new(witnesses, calibration, limits, publisher);
            Bench { driver, ring, record: Mutex::default() }
        }

        fn round(&mut self) -> Block {
            self.driver.round(&self.ring, &self.record);
            Block::from_words(self.ring.read())
        }

        /// Reads the block; `truth` is asked on both sides of it.
        fn check(&self, block: &Block) -> Interval {
            let before = truth();
            let now = block.interval_at(block.counter().read_ordered()).expect("readable");
            let after = truth();
            assert!(now.earliest() <= after && before <= now.latest(), "{now:?} at {before:?}");
            now
        }
    }

    #[test]
    fn a_source_that_errs_panics_or_talks_nonsense_takes_nothing_away() {
        let mut turn = 0;
        let troubled = Scripted(move |counter: &Counter| {
            turn += 1;
            let now = counter.read();
            match turn {
                1 => Err(SourceError::failed("no fix")),
                2 => panic!("out of luck"),
                3 => Ok(Sample::new(now, now - 1, Interval::EVERYTHING)),
                4 => Ok(Sample::new(now, u64::MAX, Interval::EVERYTHING)),
                _ => Ok(Sample::new(now, now, Interval::EVERYTHING)),
            }
        });
        let mut bench = Bench::new(CounterKind::Auto, vec![Box::new(troubled), Box::new(Honest)]);
        for words in ["no fix", "panicked (out of luck)", "out of order", "out of order", ""] {
            let block = bench.round();
            assert_eq!(block.status(), Status::Synchronized);
            assert!(bench.check(&block).width() < Duration::from_millis(1));
            let record = bench.record.lock();
            let report =
                record.report(block.status(), Ok(Interval::EVERYTHING), 0, bench.driver.limits);
            let said = report.sources[0].to_string();
            assert!(said.contains(words), "`{said}` should mention `{words}`");
        }
        assert_eq!(bench.record.lock().contradictions, 0);
    }

    #[test]
    fn a_source_alone_that_has_nothing_to_say_is_the_reason() {
        let silent =
            Scripted(|_: &Counter| Err(SourceError::cannot_vouch(Reason::Slewing, "for the test")));
        let block = Bench::new(CounterKind::Auto, vec![Box::new(silent)]).round();
        assert_eq!(block.status(), Status::Unsynchronized(Reason::Slewing));
        assert_eq!(block.bound(), None);
    }

    #[test]
    fn when_a_source_falls_silent_its_last_word_widens() {
        let mut asked = 0;
        let once = Scripted(move |counter: &Counter| {
            asked += 1;
            if asked == 1 { Honest.sample(counter) } else { Err(SourceError::failed("gone")) }
        });
        let mut bench = Bench::new(CounterKind::Auto, vec![Box::new(once)]);
        let block = bench.round();
        assert_eq!(block.status(), Status::Synchronized);
        let first = bench.check(&block);
        std::thread::sleep(Duration::from_millis(20));
        let block = bench.round();
        assert_eq!(block.status(), Status::Holdover);
        let later = bench.check(&block);
        assert!(later.width() >= first.width() + Duration::from_micros(8), "{first:?} {later:?}");
    }

    #[test]
    fn a_liar_shows_and_the_truth_stays_covered() {
        let liar = Scripted(|counter: &Counter| {
            let mut sample = Honest.sample(counter)?;
            let ahead = |t: Timestamp| t.saturating_add(Duration::from_secs(1));
            let (earliest, latest) = (sample.time.earliest(), sample.time.latest());
            sample.time = Interval::new(ahead(earliest), ahead(latest)).expect("in order");
            Ok(sample)
        });
        let mut bench = Bench::new(CounterKind::Auto, vec![Box::new(Honest), Box::new(liar)]);
        for _ in 0..3 {
            let block = bench.round();
            assert_eq!(block.status(), Status::Contradicted);
            assert!(bench.check(&block).width() >= Duration::from_millis(999));
        }
        assert!(bench.record.lock().contradictions > 0);
    }

    #[test]
    fn a_counter_that_goes_bad_is_dropped_and_what_was_known_is_kept() {
        let mut bench = Bench::new(CounterKind::Auto, vec![Box::new(Honest)]);
        if bench.driver.calibration.counter == Counter::MONOTONIC_RAW {
            return; // This host has no better one to drop.
        }
        bench.round();
        let good = bench.round();
        bench.check(&good);
        bench.driver.seats[0].witness =
            Witness::Source(Box::new(Scripted(|_: &Counter| Err(SourceError::failed("gone")))));
        bench.driver.calibration.break_for_test();
        let block = bench.round();
        assert_eq!(block.counter(), Counter::MONOTONIC_RAW);
        assert_eq!(block.status(), Status::Holdover, "the source is gone, the bound is not");
        assert!(bench.check(&block).width() < Duration::from_millis(10));
        let why = bench.driver.calibration.why_not_hardware.clone();
        assert_eq!(why, Some(Untrusted::RateChanged));
    }

    #[test]
    fn a_suspend_voids_what_was_known_until_a_source_vouches_again() {
        let mut asked = 0;
        let mut bench = Bench::new(
            CounterKind::Auto,
            vec![Box::new(Scripted(move |counter: &Counter| {
                asked += 1;
                if asked == 1 {
                    Honest.sample(counter)
                } else {
                    Err(SourceError::cannot_vouch(Reason::Suspended, ""))
                }
            }))],
        );
        let before = bench.round();
        bench.check(&before);
        // As if the host had slept for a second since.
        bench.driver.suspended_ns -= 1_000_000_000;
        let block = bench.round();
        assert_eq!(block.status(), Status::Unsynchronized(Reason::Suspended));
        assert_eq!(block.bound(), None);
        assert_eq!(block.epoch(), before.epoch() + 1);
    }
}
