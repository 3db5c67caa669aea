//! [`Report`]: everything a clock can say about itself, as data.
//!
//! The hot path publishes seven words. This is the rest: who spoke, what they
//! said and when, which counter is read and why, and what went wrong. It is
//! kept beside the sampling and read under a lock of its own, so that a report
//! can be had while a source blocks: that source is what it should show.

use std::fmt;
use std::time::{Duration, Instant};

use crate::clock::bound::Sample;
use crate::clock::counter::{Calibration, CounterKind};
use crate::clock::status::Status;
use crate::clock::truetime::ClockError;
use crate::interval::Interval;
use crate::source::SourceError;
use crate::source::realtime::suspended_ns;

/// What a clock knows, and how.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// How far the clock is to be believed.
    pub status: Status,
    /// What `now()` said while the report was made.
    pub now: Result<Interval, ClockError>,
    /// Begins anew when a reading could contradict an earlier one.
    pub epoch: u64,
    /// Samples that could not be true together with what was known, since the clock was built.
    pub contradictions: u64,
    /// The counter that is read, and its rate.
    pub counter: CounterReport,
    /// Those who were asked, in that order.
    pub sources: Vec<SourceReport>,
    /// The clock's own thread.
    pub sampler: SamplerReport,
    /// How long the host has been suspended since it booted (BOOTTIME − MONOTONIC), to within 1 ms.
    pub suspended: Duration,
    /// What the user has set.
    pub limits: Limits,
}

/// What the user has set, and nothing changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Limits {
    /// Assumption A2: how far the counter's rate may be from nominal, in parts per million.
    pub max_drift_ppm: u32,
    /// Assumption A3, if it is made: how far the rate may stray from its own mean
    /// within two hours, in parts per million.
    pub max_wander_ppm: Option<u32>,
    /// A wider interval is an error.
    pub max_width: Duration,
    /// How often sources are asked.
    pub poll_interval: Duration,
}

/// The counter under the clock.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CounterReport {
    /// Which one; `Auto` until the first round is over, with a frequency of 0.
    pub kind: CounterKind,
    /// Why it is not the processor's own, if it is not.
    pub why_not_hardware: Option<String>,
    /// Its frequency against `CLOCK_MONOTONIC_RAW`, in Hz.
    pub hertz: f64,
    /// How well that is known, in parts per billion either way.
    pub uncertainty_ppb: f64,
}

/// What a source said last.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// What it said when it was asked last; `None` if it has not answered yet.
    pub said: Option<Said>,
    /// What else it knew then, in its own words: whom it follows, how far away that is.
    pub details: Option<String>,
    /// How long ago it answered.
    pub age: Option<Duration>,
    /// How long it has been asked without an answer: it blocks.
    pub asked_for: Option<Duration>,
    /// How many bounds it has given.
    pub samples: u64,
    /// How often it gave none, or nonsense.
    pub failures: u64,
    /// How many of its bounds could not be true together with what was known.
    pub contradictions: u64,
}

/// An answer of a source.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Said {
    /// It vouched for this interval, at the time of the sample.
    Time {
        /// Where true time was.
        time: Interval,
        /// How wide that is.
        width: Duration,
    },
    /// It did not vouch; its words say why and what to do.
    Nothing(String),
}

/// The thread that samples.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SamplerReport {
    /// Whether this process has one. Not with `manual()`, nor in the child of a fork.
    pub running: bool,
    /// How many rounds of questions it (or `refresh()`) has made.
    pub rounds: u64,
    /// Why steps of the wall clock do not wake it, if they do not: it notices them at its next poll.
    pub step_timer: Option<String>,
    /// How often a step of the wall clock woke it.
    pub steps: u64,
    /// Sources that were lost in a fork.
    pub lost_sources: Vec<String>,
}

/// A sample that was taken into account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) sample: Sample,
    pub(crate) contradicts: bool,
}

/// What the sampling side writes down as it goes.
#[derive(Default)]
pub(crate) struct Record {
    sources: Vec<Entry>,
    pub(crate) contradictions: u64,
    pub(crate) calibration: Option<Calibration>,
    pub(crate) running: bool,
    pub(crate) rounds: u64,
    pub(crate) steps: u64,
    pub(crate) step_timer: Option<String>,
    pub(crate) lost_sources: Vec<String>,
}

#[derive(Default)]
struct Entry {
    name: String,
    said: Option<Said>,
    details: Option<String>,
    answered: Option<Instant>,
    asked: Option<Instant>,
    samples: u64,
    failures: u64,
    contradictions: u64,
}

impl Record {
    /// An empty record, but for the names of sources that a fork lost.
    pub(crate) fn after_loss(lost_sources: Vec<String>) -> Record {
        Record { lost_sources, ..Record::default() }
    }

    /// Source `i` is being asked.
    pub(crate) fn begin(&mut self, i: usize, name: &str) {
        if self.sources.len() <= i {
            self.sources.resize_with(i + 1, Entry::default);
        }
        let entry = &mut self.sources[i];
        if entry.name != name {
            name.clone_into(&mut entry.name);
        }
        entry.asked = Some(Instant::now());
    }

    /// Source `i` has answered.
    pub(crate) fn end(
        &mut self,
        i: usize,
        outcome: &Result<Answer, SourceError>,
        details: Option<String>,
        at: Instant,
    ) {
        let entry = &mut self.sources[i];
        entry.details = details;
        entry.asked = None;
        entry.answered = Some(at);
        entry.said = Some(match outcome {
            Ok(answer) => {
                entry.samples += 1;
                entry.contradictions += u64::from(answer.contradicts);
                Said::Time { time: answer.sample.time, width: answer.sample.time.width() }
            }
            Err(error) => {
                entry.failures += 1;
                Said::Nothing(error.to_string())
            }
        });
    }

    /// The names of the sources that have been asked, for a driver that cannot take them over.
    pub(crate) fn source_names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|entry| entry.name.as_str())
    }

    /// The record, with what the readers see put beside it.
    pub(crate) fn report(
        &self,
        status: Status,
        now: Result<Interval, ClockError>,
        epoch: u64,
        limits: Limits,
    ) -> Report {
        let sources = self.sources.iter().map(|entry| SourceReport {
            name: entry.name.clone(),
            said: entry.said.clone(),
            details: entry.details.clone(),
            age: entry.answered.map(|at| at.elapsed()),
            asked_for: entry.asked.map(|since| since.elapsed()),
            samples: entry.samples,
            failures: entry.failures,
            contradictions: entry.contradictions,
        });
        Report {
            status,
            now,
            epoch,
            contradictions: self.contradictions,
            counter: CounterReport::from(self.calibration.as_ref()),
            sources: sources.collect(),
            sampler: SamplerReport {
                running: self.running,
                rounds: self.rounds,
                step_timer: self.step_timer.clone(),
                steps: self.steps,
                lost_sources: self.lost_sources.clone(),
            },
            suspended: Duration::from_nanos(suspended_ns().try_into().unwrap_or(0)),
            limits,
        }
    }
}

impl From<Option<&Calibration>> for CounterReport {
    fn from(calibration: Option<&Calibration>) -> CounterReport {
        let Some(calibration) = calibration else {
            return CounterReport {
                kind: CounterKind::Auto,
                why_not_hardware: None,
                hertz: 0.0,
                uncertainty_ppb: 0.0,
            };
        };
        let ratio = calibration.ratio();
        CounterReport {
            kind: calibration.counter.kind(),
            why_not_hardware: calibration.why_not_hardware.as_ref().map(ToString::to_string),
            hertz: ratio.hertz(),
            uncertainty_ppb: ratio.uncertainty_ppb(),
        }
    }
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if let Some(since) = self.asked_for {
            write!(f, "asked {since:.1?} ago and silent since; before that: ")?;
        }
        match &self.said {
            None => f.write_str("has not answered yet"),
            Some(Said::Time { width, .. }) => write!(f, "vouches for {width:?}"),
            Some(Said::Nothing(why)) => f.write_str(why),
        }
    }
}
