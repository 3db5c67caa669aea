//! [`Report`]: everything a clock can say about itself, as data.
//!
//! The hot path publishes seven words. This is the rest: what each source stated and
//! when, which counter is read and why, and what went wrong. It is kept beside the
//! sampling and read under a lock of its own, so that a report can be had while a source
//! blocks, because that source is what it should show.

use std::fmt;
use std::time::Duration;

use crate::clock::vmclock::VmClockReport;
use crate::counter::calibration::Calibration;
use crate::counter::{CounterKind, DEFAULT_MAX_DRIFT_PPM, DEFAULT_MAX_WANDER_PPM};
use crate::estimator::Learning;
use crate::evidence::{Role, Sample, SourceError};
use crate::host::{Host, HostClock, TimeNamespace, suspended_ns};
use crate::interval::Interval;
use crate::snapshot::{ClockError, Status};

/// What a clock knows, and how.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// What the readings rest on.
    pub status: Status,
    /// What `now()` said while the report was made.
    pub now: Result<Interval, ClockError>,
    /// A number that changes when a reading may contradict an earlier one.
    pub epoch: u64,
    /// How many samples contradicted the earlier evidence since the clock was built.
    pub contradictions: u64,
    /// The counter that is read, and its rate.
    pub counter: CounterReport,
    /// The sources, in the order in which they are sampled.
    pub sources: Vec<SourceReport>,
    /// The hypervisor's VMClock, which shows when a virtual machine was moved or restored.
    pub vmclock: VmClockReport,
    /// The clock's own thread.
    pub sampler: SamplerReport,
    /// How long the host has been suspended since it booted (BOOTTIME − MONOTONIC, less what a
    /// time namespace adds), to within
    /// 1 ms; `None` where no clock shows it, or none may be read.
    pub suspended: Option<Duration>,
    /// By how much this process is shown other monotonic clocks than the host keeps.
    pub time_namespace: TimeNamespace,
    /// The user's settings.
    pub limits: Limits,
}

/// The user's settings, which do not change.
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
    /// How often sources are sampled.
    pub poll_interval: Duration,
}

impl Default for Limits {
    /// The builder's: 200 ppm, 20 ppm, 10 s, 100 ms.
    fn default() -> Limits {
        Limits {
            max_drift_ppm: DEFAULT_MAX_DRIFT_PPM,
            max_wander_ppm: Some(DEFAULT_MAX_WANDER_PPM),
            max_width: Duration::from_secs(10),
            poll_interval: Duration::from_millis(100),
        }
    }
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
    /// How far its rate may be from nominal, in parts per million. It is `max_drift_ppm`, or more
    /// where the time daemon corrects an oscillator that is further off.
    pub drift_ppm: u32,
    /// How far its rate may stray from its own mean within two hours, in parts per million, if
    /// that is assumed (A3). It is `max_wander_ppm`, or more where the evidence has refuted that.
    pub wander_ppm: Option<u32>,
    /// How often the evidence has refuted it.
    pub wander_refutations: u64,
    /// By how much readings widen either way while there is no evidence, in parts per billion:
    /// by `drift_ppm`, or by less once the rate is learnt.
    pub rate_error_ppb: f64,
}

/// What a source stated last.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Whether its bounds are evidence, or only held against the evidence of others.
    pub role: Role,
    /// Its answer to the last sampling; `None` if it has not answered yet.
    pub said: Option<Said>,
    /// Details in the source's own words: which server it follows, for example.
    pub details: Option<String>,
    /// Why nothing updates what it states, if nothing does. Its bounds still hold.
    pub holdover: Option<String>,
    /// How long ago it answered.
    pub age: Option<Duration>,
    /// For how long the present sampling has run, if the source has not answered yet.
    pub asked_for: Option<Duration>,
    /// How many bounds it has stated.
    pub samples: u64,
    /// How often it returned an error, or a sample that makes no sense.
    pub failures: u64,
    /// How many of its bounds contradicted the earlier evidence.
    pub contradictions: u64,
}

/// An answer of a source.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Said {
    /// It stated this interval, of the time of the sample.
    Time {
        /// Where true time was.
        time: Interval,
        /// How wide that is.
        width: Duration,
    },
    /// It stated no interval. The text says why, and what to do.
    Nothing(String),
}

/// The thread that samples.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SamplerReport {
    /// Whether this process has one. Not with `manual()`, nor in the child of a fork.
    pub running: bool,
    /// How many rounds of sampling it (or `refresh()`) has made.
    pub rounds: u64,
    /// Why steps of the wall clock do not wake it, if they do not. It then notices them at its
    /// next poll.
    pub step_timer: Option<String>,
    /// How often a step of the wall clock woke it.
    pub steps: u64,
    /// Sources that were lost in a fork.
    pub lost_sources: Vec<String>,
}

/// A sample that the estimator has combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) sample: Sample,
    pub(crate) contradicts: bool,
}

/// What the sampling side records.
#[derive(Default)]
pub(crate) struct Record {
    sources: Vec<Entry>,
    pub(crate) contradictions: u64,
    pub(crate) calibration: Option<Calibration>,
    /// How far the counter's rate may be from nominal, as it is used now.
    pub(crate) drift_ppm: Option<u32>,
    pub(crate) learning: Option<Learning>,
    pub(crate) running: bool,
    pub(crate) rounds: u64,
    pub(crate) steps: u64,
    pub(crate) step_timer: Option<String>,
    pub(crate) lost_sources: Vec<String>,
    /// How often the machine was moved or restored.
    pub(crate) disruptions: u64,
}

#[derive(Default)]
struct Entry {
    name: String,
    role: Role,
    said: Option<Said>,
    details: Option<String>,
    holdover: Option<String>,
    answered_ns: Option<i64>,
    asked_ns: Option<i64>,
    samples: u64,
    failures: u64,
    contradictions: u64,
}

impl Record {
    /// The record after a fork that lost these sources: what is known of the rate is kept.
    pub(crate) fn after_loss(self, lost_sources: Vec<String>) -> Record {
        let Record { drift_ppm, learning, .. } = self;
        Record { lost_sources, drift_ppm, learning, ..Record::default() }
    }

    /// Source `i` is being sampled, from this time of the monotonic clock on.
    pub(crate) fn begin(&mut self, i: usize, (name, role): (&str, Role), now_ns: Option<i64>) {
        if self.sources.len() <= i {
            self.sources.resize_with(i + 1, Entry::default);
        }
        let entry = &mut self.sources[i];
        if entry.name != name {
            name.clone_into(&mut entry.name);
        }
        entry.role = role;
        entry.asked_ns = now_ns;
    }

    /// Source `i` has answered.
    pub(crate) fn end(
        &mut self,
        i: usize,
        outcome: &Result<Answer, SourceError>,
        (details, holdover): (Option<String>, Option<String>),
        now_ns: Option<i64>,
    ) {
        let entry = &mut self.sources[i];
        entry.details = details;
        entry.holdover = holdover;
        entry.asked_ns = None;
        entry.answered_ns = now_ns;
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

    /// The names of the sources that were sampled, for a driver that cannot take them over.
    pub(crate) fn source_names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|entry| entry.name.as_str())
    }

    /// The record, together with what readers see.
    pub(crate) fn report(
        &self,
        (status, now, epoch): (Status, Result<Interval, ClockError>, u64),
        limits: Limits,
        vmclock: VmClockReport,
        host: &(impl Host + ?Sized),
    ) -> Report {
        let monotonic = host.nanos(HostClock::Monotonic).ok();
        let since = |then: Option<i64>| {
            let (now, then) = (monotonic?, then?);
            Some(Duration::from_nanos(now.saturating_sub(then).max(0).unsigned_abs()))
        };
        let suspended = suspended_ns(host).ok().flatten();
        let sources = self.sources.iter().map(|entry| SourceReport {
            name: entry.name.clone(),
            role: entry.role,
            said: entry.said.clone(),
            details: entry.details.clone(),
            holdover: entry.holdover.clone(),
            age: since(entry.answered_ns),
            asked_for: since(entry.asked_ns),
            samples: entry.samples,
            failures: entry.failures,
            contradictions: entry.contradictions,
        });
        Report {
            status,
            now,
            epoch,
            contradictions: self.contradictions,
            counter: CounterReport::new(
                self.calibration.as_ref(),
                self.drift_ppm.unwrap_or(limits.max_drift_ppm),
                self.learning,
                &limits,
            ),
            sources: sources.collect(),
            vmclock,
            sampler: SamplerReport {
                running: self.running,
                rounds: self.rounds,
                step_timer: self.step_timer.clone(),
                steps: self.steps,
                lost_sources: self.lost_sources.clone(),
            },
            suspended: suspended.map(|ns| Duration::from_nanos(ns.max(0).unsigned_abs())),
            time_namespace: host.time_namespace(),
            limits,
        }
    }
}

impl CounterReport {
    fn new(
        calibration: Option<&Calibration>,
        drift_ppm: u32,
        learning: Option<Learning>,
        limits: &Limits,
    ) -> CounterReport {
        let unlearnt = Learning {
            wander_ppm: limits.max_wander_ppm,
            refutations: 0,
            rate_error_ppb: f64::from(drift_ppm) * 1_000.0,
        };
        let learning = learning.unwrap_or(unlearnt);
        let why = calibration.and_then(|calibration| calibration.why_not_hardware.as_ref());
        let ratio = calibration.map(Calibration::ratio);
        CounterReport {
            kind: calibration.map_or(CounterKind::Auto, |known| known.counter.kind()),
            why_not_hardware: why.map(ToString::to_string),
            hertz: ratio.map_or(0.0, |ratio| ratio.hertz()),
            uncertainty_ppb: ratio.map_or(0.0, |ratio| ratio.uncertainty_ppb()),
            drift_ppm,
            wander_ppm: learning.wander_ppm,
            wander_refutations: learning.refutations,
            rate_error_ppb: learning.rate_error_ppb,
        }
    }
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if self.role == Role::CrossCheck {
            f.write_str("(a cross-check) ")?;
        }
        if let Some(since) = self.asked_for {
            write!(f, "sampled {since:.1?} ago and silent since; before that: ")?;
        }
        match &self.said {
            None => f.write_str("has not answered yet"),
            Some(Said::Time { width, .. }) => write!(f, "states an interval of {width:?}"),
            Some(Said::Nothing(why)) => f.write_str(why),
        }?;
        match &self.holdover {
            Some(why) => write!(f, " (holdover: {why})"),
            None => Ok(()),
        }
    }
}
