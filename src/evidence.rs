//! Evidence: what a source of time states, and why it may state nothing.
//!
//! A source answers one question: *between these two counter readings, where was true
//! time?* Its answer is a [`Sample`], an interval that certainly contains it, or a
//! [`SourceError`] that tells an operator why there is none. A source never answers "about".
//!
//! The clock believes each bound as stated. That is assumption A1
//! ([`_design`](crate::_design#the-assumptions)), so the main work of a source is to refuse
//! numbers that are not bounds. [`source`](crate::source) describes what the built-in sources
//! refuse.

use std::fmt;
use std::time::Duration;

use crate::counter::Counter;
use crate::host::HostError;
use crate::interval::Interval;

/// While the counter went from `before` to `after`, there was a moment at which true
/// time was within `time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// A counter reading taken before the evidence, in ticks.
    pub before: u64,
    /// A counter reading taken after the evidence, in ticks.
    pub after: u64,
    /// Where true time was in between.
    pub time: Interval,
}

impl Sample {
    /// A sample of these three parts.
    pub fn new(before: u64, after: u64, time: Interval) -> Sample {
        Sample { before, after, time }
    }
}

/// A source of time: something that can state an interval which contains it.
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Clock, Counter, Interval, Sample, Source, SourceError};
/// # fn read_gps() -> Option<Interval> { None }
///
/// struct Gps;
///
/// impl Source for Gps {
///     fn name(&self) -> &str {
///         "gps"
///     }
///
///     fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
///         let before = counter.read();
///         let time = read_gps().ok_or_else(|| SourceError::failed("no fix"))?;
///         Ok(Sample::new(before, counter.read(), time))
///     }
/// }
///
/// let clock = Clock::builder().source(Gps).build()?;
/// # Ok::<(), truechimer::BuildError>(())
/// ```
pub trait Source: Send {
    /// What the report calls it.
    fn name(&self) -> &str;

    /// States where true time was at some moment between two readings of `counter`,
    /// both taken in this call or earlier.
    ///
    /// It runs on the clock's own thread, or on the one that called `refresh()`.
    /// While it blocks, other sources are not sampled and readings widen. A panic is
    /// caught and counts as an error (the panic hook prints it, at each poll). Evidence
    /// whose `before` is from before a suspend is refused, so a source that keeps a
    /// sample must be ready to take a new one.
    ///
    /// # Errors
    ///
    /// If it has no interval to state.
    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError>;

    /// The hypervisor has moved this machine to another host, or restored it from a snapshot.
    ///
    /// What the source has kept is void: readings of the counter, which is another one now, and
    /// what it knows of the clocks and the oscillator. A daemon on this machine may not have
    /// noticed it yet, so what it stated before must not be stated again. By default nothing is
    /// kept. The clock calls this before it samples the source again.
    fn disrupted(&mut self) {}

    /// Whether its bounds are evidence, or only held against the evidence of others. The clock asks
    /// once, when it is built.
    fn role(&self) -> Role {
        Role::Evidence
    }

    /// Details of the last sample, in one line for the report.
    fn details(&self) -> Option<String> {
        None
    }

    /// What the source knows beside its last sample. By default nothing: then its samples
    /// count as current for as long as it returns them.
    fn condition(&self) -> SourceCondition {
        SourceCondition::default()
    }
}

/// What a clock does with a source's bounds.
///
/// A daemon's bound is an estimate, and was measured to be untrue in up to 44 % of readings. An
/// exchange of our own is a measurement. Where there are such exchanges, what a daemon says is
/// held against them, and narrows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Role {
    /// They are intersected with all other evidence.
    #[default]
    Evidence,
    /// They are compared with the evidence, and never make an interval narrower or a clock
    /// synchronized. If they exclude it, one of the two is wrong: that is a contradiction, and
    /// readings cover both for a minute after it last showed.
    CrossCheck,
}

/// What a source knows beside its samples.
///
/// ```
/// use std::time::Duration;
/// use truechimer::SourceCondition;
///
/// let condition = SourceCondition::default()
///     .updated_every(Duration::from_secs(64))
///     .in_holdover("the receiver has lost its satellites");
/// assert!(condition.holdover.is_some());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SourceCondition {
    /// Why nothing updates what the source states, if nothing does: its server is gone, for
    /// example. The bounds still hold and become wider, and the status is
    /// [`Status::Holdover`](crate::Status::Holdover).
    pub holdover: Option<String>,
    /// How often what it states is updated, if that is known. A contradiction is published
    /// for several times as long, because a source that is wrong may notice it then.
    pub update_interval: Option<Duration>,
    /// How far the host's oscillator may be off nominal, in ppm, if the source has evidence
    /// that it exceeds what A2 allows. The clock then carries its bounds by this rate.
    pub drift_ppm: Option<u32>,
    /// The last sample was made wider, because the clock behind it may be ahead of what its
    /// daemon takes it for: by at least and at most so many ns (at most 0, at least 0).
    pub(crate) unaccounted_ns: (i64, i64),
}

impl SourceCondition {
    /// Nothing updates what the source states, for this reason.
    #[must_use]
    pub fn in_holdover(mut self, why: impl fmt::Display) -> SourceCondition {
        self.holdover = Some(why.to_string());
        self
    }

    /// What it states is updated about so often.
    #[must_use]
    pub fn updated_every(mut self, interval: Duration) -> SourceCondition {
        self.update_interval = Some(interval);
        self
    }

    /// The host's oscillator may be off nominal by so many ppm.
    #[must_use]
    pub fn drifting_by(mut self, ppm: u32) -> SourceCondition {
        self.drift_ppm = Some(ppm);
        self
    }
}

/// Why a source states no interval.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source works, and knows that it has no bound to give.
    #[error("{}: {detail}; {}", .reason.what(), .reason.remedy())]
    NoBound {
        /// The reason, for programs.
        reason: Reason,
        /// What was seen.
        detail: String,
    },
    /// It could not be read, or its answer makes no sense.
    #[error("{0}")]
    Failed(String),
    /// It panicked.
    #[error("the source panicked ({0}): it is sampled again at the next poll")]
    Panicked(String),
    /// The host denies something that every sample needs.
    #[error("{0}")]
    Host(#[from] HostError),
}

impl SourceError {
    /// A failure in the source's own words.
    pub fn failed(what: impl fmt::Display) -> SourceError {
        SourceError::Failed(what.to_string())
    }

    /// No bound to give, and what was seen that shows it.
    pub fn no_bound(reason: Reason, detail: impl fmt::Display) -> SourceError {
        SourceError::NoBound { reason, detail: detail.to_string() }
    }

    /// The reason, for programs.
    pub fn reason(&self) -> Reason {
        match self {
            SourceError::NoBound { reason, .. } => *reason,
            SourceError::Host(error) if error.is_unsupported() => Reason::Unsupported,
            SourceError::Host(_) => Reason::Denied,
            SourceError::Failed(_) | SourceError::Panicked(_) => Reason::SourceFailed,
        }
    }
}

/// Why there is no bound, in a byte that fits the published snapshot.
///
/// The clock's report has the details: which source, and what it found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// No source has been sampled yet.
    NotSampled = 0,
    /// The kernel reports that nothing disciplines its clock.
    KernelUnsynchronized = 1,
    /// A daemon disciplines the kernel clock but states no error bound.
    NoBoundStated = 2,
    /// The kernel clock is being slewed faster than its error bound allows for.
    Slewing = 3,
    /// The system denies something that is needed (a seccomp filter, a sandbox).
    Denied = 4,
    /// The host was suspended, and no source has stated a bound since.
    Suspended = 5,
    /// The wall clock was stepped after the operator had stated its error.
    AssumptionEnded = 6,
    /// A source failed; the report says how.
    SourceFailed = 7,
    /// The evidence has aged beyond `max_width`.
    TooOld = 8,
    /// This operating system states no bound, and no other source was given.
    Unsupported = 9,
    /// The kernel has a bound, and it is not known which program wrote it.
    WriterUnknown = 10,
    /// The time comes from a reference clock (PHC, GPS), by a daemon or directly, and that clock's
    /// own error is not known.
    ReferenceStatesNoBound = 11,
    /// The oscillator is further off than `max_drift_ppm`, and than the kernel's bound allows for.
    OscillatorBeyondDrift = 12,
    /// This process is shown another time than the kernel keeps.
    ShownOtherTime = 13,
    /// The clock that everything is counted by stands still.
    CounterStopped = 14,
    /// The virtual machine was moved or restored, and no source has stated a bound since.
    Disrupted = 15,
    /// Too few of the time servers answer.
    ServersSilent = 20,
    /// Time servers contradict each other, or are too few to show which of them is wrong.
    ServersDisagree = 21,
}

impl Reason {
    /// The reason that was stored `as u8`.
    #[inline]
    pub(crate) fn from_u8(byte: u8) -> Reason {
        match byte {
            1 => Reason::KernelUnsynchronized,
            2 => Reason::NoBoundStated,
            3 => Reason::Slewing,
            4 => Reason::Denied,
            5 => Reason::Suspended,
            6 => Reason::AssumptionEnded,
            7 => Reason::SourceFailed,
            8 => Reason::TooOld,
            9 => Reason::Unsupported,
            10 => Reason::WriterUnknown,
            11 => Reason::ReferenceStatesNoBound,
            12 => Reason::OscillatorBeyondDrift,
            13 => Reason::ShownOtherTime,
            14 => Reason::CounterStopped,
            15 => Reason::Disrupted,
            20 => Reason::ServersSilent,
            21 => Reason::ServersDisagree,
            _ => Reason::NotSampled,
        }
    }

    /// What happened.
    pub fn what(&self) -> &'static str {
        match self {
            Reason::NotSampled => "no source has been sampled yet",
            Reason::KernelUnsynchronized => {
                "the kernel reports that nothing disciplines its clock (STA_UNSYNC)"
            }
            Reason::NoBoundStated => {
                "the daemon that disciplines the kernel clock states no error bound (maxerror)"
            }
            Reason::Slewing => {
                "the kernel clock is being slewed faster than its error bound allows for"
            }
            Reason::Denied => "the system denies a clock or a system call that is needed",
            Reason::Suspended => "the host was suspended, and no source has stated a bound since",
            Reason::AssumptionEnded => {
                "the wall clock was stepped, or the host suspended, after the operator stated its error"
            }
            Reason::SourceFailed => "the source of time failed",
            Reason::TooOld => "the last evidence has aged until the interval became too wide",
            Reason::Unsupported => "this operating system states no error bound of its clock",
            Reason::WriterUnknown => {
                "the kernel has an error bound (maxerror), but it is not known which program wrote it"
            }
            Reason::ReferenceStatesNoBound => {
                "the time comes from a reference clock whose own error is not stated: a daemon that \
                 follows it takes it for exact, and leaves that error out of its bound"
            }
            Reason::OscillatorBeyondDrift => {
                "the time daemon corrects an oscillator that is further off than max_drift_ppm and \
                 than the kernel's error bound allows for"
            }
            Reason::CounterStopped => {
                "CLOCK_MONOTONIC_RAW stands still, so nothing can be carried on"
            }
            Reason::Disrupted => {
                "the hypervisor moved this machine to another host, or restored it from a snapshot, \
                 and no source has stated a bound since"
            }
            Reason::ServersSilent => "too few of the NTP servers answer with a time",
            Reason::ServersDisagree => "no majority of the NTP servers agrees on the time",
            Reason::ShownOtherTime => {
                "this process is shown another wall clock than the kernel keeps (libfaketime, for \
                 example)"
            }
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Reason::NotSampled => "call `refresh()`, or let the clock's own thread sample",
            Reason::KernelUnsynchronized => {
                "run chronyd with `rtcsync`, ask NTP servers with `ntp()`, or state the clock's \
                 error yourself with `assume_error`"
            }
            Reason::NoBoundStated => {
                "run chronyd in its place, ask NTP servers with `ntp()`, or state the clock's \
                 error yourself with `assume_error`; \
                 of systemd-timesyncd (239 or newer) its own exchanges are used, if this process \
                 reaches the system bus"
            }
            Reason::Slewing => "wait until the slew has ended",
            Reason::Denied => {
                "allow clock_gettime and adjtimex in the seccomp filter, because reading needs no \
                 privilege; the clock's report names what is denied"
            }
            Reason::Suspended => "wait for the time daemon's next update",
            Reason::AssumptionEnded => {
                "check the wall clock, then state its error again with `reassume()`"
            }
            Reason::SourceFailed => "see the clock's report, or `truechimer doctor`",
            Reason::TooOld => "repair the time source, or raise `max_width`",
            Reason::Unsupported => {
                "ask NTP servers with `ntp()`, or state the clock's error with `assume_error`"
            }
            Reason::WriterUnknown => {
                "do one of these:\n\
                 - share the host's network or chronyd's socket (/run/chrony) with this process, so \
                 that chronyd or ntpd can be asked\n\
                 - ask NTP servers of your own choice with `ntp()`\n\
                 - call `believe_any_writer()` if you know that the host's time daemon states an \
                 honest bound"
            }
            Reason::ReferenceStatesNoBound => {
                "state the reference clock's error with `reference_error()`, or as `delay` (twice \
                 the error, 1 µs or more) of its `refclock` line in chrony.conf; that of a `Phc` \
                 source with its `error()`"
            }
            Reason::OscillatorBeyondDrift => {
                "choose another clocksource if the host has one, or state what it is off with \
                 `max_drift_ppm`"
            }
            Reason::CounterStopped => {
                "look for what answers clock_gettime in the kernel's place (a preloaded library, a \
                 sandbox, an emulator)"
            }
            Reason::Disrupted => "wait for the time daemon's next update",
            Reason::ServersSilent => {
                "check that UDP port 123 to them is open and that their names are right, or name \
                 further servers"
            }
            Reason::ServersDisagree => {
                "replace the servers that are wrong, or name further ones so that a majority can \
                 outvote them"
            }
            Reason::ShownOtherTime => {
                "run without the program that changes what clock_gettime returns; in a test, inject \
                 faults with `ManualClock` or the simulator"
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy())
    }
}
