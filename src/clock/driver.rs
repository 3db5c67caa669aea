//! [`Driver`]: asks the sources, judges the counter, publishes what came of it.
//!
//! The order matters. A sample is worth something only if the counter counted
//! all the way through it. So the counter is checked *after* each sample and
//! before the sample is used, and a suspend, during which counters may stand
//! still, is looked for at the same place. If something came between, what was
//! published is replaced before anybody else is asked, and evidence from before it
//! is refused, however late it arrives.
//!
//! Each sample is published at once, not each round: a source that blocks holds
//! up those after it, and nothing that was learnt before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

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
    name: String,
    witness: Witness,
    last: Result<(), Reason>,
}

impl Seat {
    fn new(witness: Witness) -> Seat {
        // Asked once, and here, where a name that panics does no harm.
        let name = catch_unwind(AssertUnwindSafe(|| witness.name().to_owned()));
        let name = name.unwrap_or_else(|_| "unnamed".to_owned());
        Seat { name, witness, last: Err(Reason::NotSampled) }
    }
}

/// What the driver and the rest of the process have to tell each other without
/// waiting for a round to end. A forked child finds in it what its parent left.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The operator has given the word again.
    pub(crate) renew: AtomicBool,
    /// What was concluded so far rests on an error.
    pub(crate) forget: AtomicBool,
    /// How long the host had slept in all when the counter was found in order last.
    suspended_ns: AtomicI64,
}

impl Notes {
    pub(crate) fn new() -> Notes {
        Notes { suspended_ns: AtomicI64::new(suspended_ns()), ..Notes::default() }
    }
}

/// All that is needed to go from evidence to a published bound.
pub(crate) struct Driver {
    seats: Vec<Seat>,
    calibration: Calibration,
    estimator: Estimator,
    publisher: Publisher,
    limits: Limits,
}

/// Where a round publishes, writes down what it does, and is told things.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) ring: &'a Ring,
    pub(crate) record: &'a Mutex<Record>,
    pub(crate) notes: &'a Notes,
}

/// Why what was known is no longer known as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Interruption {
    Suspended,
    CounterGivenUp(Untrusted),
    Asked,
}

impl Driver {
    pub(crate) fn new(
        witnesses: Vec<Witness>,
        calibration: Calibration,
        limits: Limits,
        publisher: Publisher,
    ) -> Driver {
        let pace = calibration.pace(limits.max_drift_ppm);
        let estimator = Estimator::new(
            pace,
            calibration.granularity_ns(limits.max_drift_ppm),
            limits.max_width,
        )
        .learning_rate(limits.max_wander_ppm);
        let seats = witnesses.into_iter().map(Seat::new).collect();
        Driver { seats, calibration, estimator, publisher, limits }
    }

    /// Goes on from what another driver has published last.
    pub(crate) fn resume_from(&mut self, block: &Block) {
        self.estimator.resume_from(block, self.calibration.counter);
    }

    /// The names of those who are asked.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.seats.iter().map(|seat| seat.name.as_str())
    }

    /// Asks every source once, and publishes after each answer.
    pub(crate) fn round(&mut self, around: Surroundings<'_>) {
        // Before anybody is asked, who may block: what is void is not shown meanwhile.
        let _ = self.settle(around);
        for i in 0..self.seats.len() {
            around.record.lock().begin(i, &self.seats[i].name);
            let outcome = self.ask(i, around);
            self.publish(around.ring);
            let details = self.seats[i].witness.details();
            let mut record = around.record.lock();
            record.end(i, &outcome, details, Instant::now());
            record.contradictions = self.estimator.contradictions();
            record.calibration = Some(self.calibration.clone());
        }
    }

    /// Asks one source; once more if something came between.
    fn ask(&mut self, i: usize, around: Surroundings<'_>) -> Result<Answer, SourceError> {
        let mut outcome = self.ask_once(i, around);
        if let Err(Trouble::Interrupted(_)) = outcome {
            outcome = self.ask_once(i, around);
        }
        let outcome = outcome.map_err(Trouble::into_error);
        self.seats[i].last = outcome.as_ref().map(|_| ()).map_err(SourceError::reason);
        outcome
    }

    fn ask_once(&mut self, i: usize, around: Surroundings<'_>) -> Result<Answer, Trouble> {
        let counter = self.calibration.counter;
        let source = self.seats[i].witness.as_source();
        let answer = catch_unwind(AssertUnwindSafe(|| source.sample(&counter)));
        let tick = counter.read();
        self.settle(around).map_err(Trouble::Interrupted)?;
        let sample = answer
            .unwrap_or_else(|panic| Err(SourceError::Panicked(words_of(&*panic))))
            .map_err(Trouble::Refused)?;
        match self.estimator.fuse(&sample, tick) {
            Fused::Agrees => Ok(Answer { sample, contradicts: false }),
            Fused::Contradicts => Ok(Answer { sample, contradicts: true }),
            Fused::Malformed => Err(Trouble::Refused(malformed(&sample, tick))),
            Fused::Void => Err(Trouble::Refused(void())),
        }
    }

    /// Draws the consequences of what has come between since the last time, and
    /// shows them to readers at once.
    fn settle(&mut self, around: Surroundings<'_>) -> Result<(), Interruption> {
        let asked = self.take_notes(around.notes);
        let outcome = asked.and(self.check_counter(around.notes));
        if outcome.is_err() {
            self.publish(around.ring);
        }
        outcome
    }

    /// Does what the program has asked for.
    fn take_notes(&mut self, notes: &Notes) -> Result<(), Interruption> {
        let mut begin_anew = notes.forget.swap(false, Ordering::SeqCst);
        if notes.renew.swap(false, Ordering::SeqCst) {
            for seat in &mut self.seats {
                if let Witness::Operator(assumed) = &mut seat.witness {
                    assumed.renew();
                    // What was held before rests on the old word.
                    begin_anew = true;
                }
            }
        }
        if begin_anew {
            self.forget(Reason::NotSampled);
            return Err(Interruption::Asked);
        }
        Ok(())
    }

    /// Nothing that was concluded up to now counts any longer.
    fn forget(&mut self, why: Reason) {
        self.estimator.forget(self.calibration.counter.read());
        for seat in &mut self.seats {
            seat.last = Err(why);
        }
    }

    /// Whether the counter has counted all the way up to now.
    fn check_counter(&mut self, notes: &Notes) -> Result<(), Interruption> {
        let slept = suspended_ns();
        let slept_before = notes.suspended_ns.load(Ordering::Relaxed);
        if slept.saturating_sub(slept_before) > SUSPEND_NOISE_NS {
            notes.suspended_ns.store(slept, Ordering::Relaxed);
            self.forget(Reason::Suspended);
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
                self.calibration.granularity_ns(max_drift_ppm),
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
            Trouble::Interrupted(Interruption::Asked) => SourceError::cannot_vouch(
                Reason::NotSampled,
                "the sample was thrown away, since the clock was told to begin anew meanwhile",
            ),
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

fn void() -> SourceError {
    SourceError::cannot_vouch(
        Reason::Suspended,
        "the sample was taken before the host slept, or before the counter was changed",
    )
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
        notes: Notes,
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
            Bench { driver, ring, record: Mutex::default(), notes: Notes::new() }
        }

        fn round(&mut self) -> Block {
            let Bench { driver, ring, record, notes } = self;
            driver.round(Surroundings { ring, record, notes });
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
            // Had it lost its bound it would not be readable; a busy host widens a sample.
            assert!(bench.check(&block).width() < Duration::from_secs(1));
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
        // By some 8 µs; less where the rate has come to be known better meanwhile.
        assert!(later.width() > first.width(), "{first:?} {later:?}");
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
        assert!(bench.check(&block).width() < Duration::from_secs(1));
        let why = bench.driver.calibration.why_not_hardware.clone();
        assert_eq!(why, Some(Untrusted::RateChanged));
        assert_eq!(block.epoch(), good.epoch() + 1, "readings since the last check are in doubt");
    }

    #[test]
    fn evidence_from_before_a_suspend_is_refused_however_late_it_arrives() {
        let mut kept = None;
        let caches = Scripted(move |counter: &Counter| match kept {
            Some(sample) => Ok(sample),
            None => Ok(*kept.insert(Honest.sample(counter)?)),
        });
        let mut bench = Bench::new(CounterKind::Auto, vec![Box::new(caches)]);
        assert_eq!(bench.round().status(), Status::Synchronized);
        bench.notes.suspended_ns.fetch_sub(1_000_000_000, Ordering::Relaxed);
        for _ in 0..2 {
            let block = bench.round();
            assert_eq!(block.bound(), None);
            assert_eq!(block.status(), Status::Unsynchronized(Reason::Suspended));
        }
    }

    #[test]
    fn what_is_void_is_not_shown_while_the_next_source_is_asked() {
        let mut bench = Bench::new(CounterKind::Auto, vec![Box::new(Honest)]);
        bench.round();
        for reason in [Reason::Suspended, Reason::NotSampled] {
            match reason {
                Reason::Suspended => {
                    bench.notes.suspended_ns.fetch_sub(1_000_000_000, Ordering::Relaxed);
                }
                _ => bench.notes.forget.store(true, Ordering::Relaxed),
            }
            let Bench { driver, ring, record, notes } = &mut bench;
            assert!(driver.settle(Surroundings { ring, record, notes }).is_err());
            let block = Block::from_words(ring.read());
            assert_eq!((block.bound(), block.status()), (None, Status::Unsynchronized(reason)));
            assert_eq!(bench.round().status(), Status::Synchronized, "and asked anew it is right");
        }
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
        bench.notes.suspended_ns.fetch_sub(1_000_000_000, Ordering::Relaxed);
        let block = bench.round();
        assert_eq!(block.status(), Status::Unsynchronized(Reason::Suspended));
        assert_eq!(block.bound(), None);
        assert_eq!(block.epoch(), before.epoch() + 1);
    }
}
