//! [`BuildError`]: why a clock cannot be built, and what settings may be.

use std::time::Duration;

use crate::counter::{CounterError, CounterKind};
use crate::host::VmClockError;
use crate::source::ntp::NtpError;

/// Why a clock cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The drift is zero, or more than a tenth.
    #[error(
        "max_drift_ppm is {0}: it must be from 1 to {MAX_DRIFT_PPM}. No oscillator is perfect; 200 \
         is Spanner's figure, and few are worse than 100"
    )]
    MaxDrift(u32),
    /// The wander is zero, or more than the drift.
    #[error(
        "max_wander_ppm is {wander}: it must be from 1 to max_drift_ppm ({drift}). 20 is safe for a \
         quartz in a machine room, and None learns no rate"
    )]
    MaxWander {
        /// The requested wander.
        wander: u32,
        /// The clock's `max_drift_ppm`.
        drift: u32,
    },
    /// The poll interval is zero, or so long that steps and suspends would go unnoticed.
    #[error("poll_interval is {0:?}: it must be more than 0 and at most {MAX_POLL_INTERVAL:?}")]
    PollInterval(Duration),
    /// The width is so small that no interval has it, or so large that it limits nothing.
    #[error("max_width is {0:?}: it must be from {MIN_MAX_WIDTH:?} to {MAX_MAX_WIDTH:?}")]
    MaxWidth(Duration),
    /// The stated error is zero, or more than a day.
    #[error("assume_error is {0:?}: it must be more than 0 and at most {MAX_ASSUMED_ERROR:?}")]
    AssumeError(Duration),
    /// The stated error of the reference clock is zero, or more than a day.
    #[error("reference_error is {0:?}: it must be more than 0 and at most {MAX_ASSUMED_ERROR:?}")]
    ReferenceError(Duration),
    /// The interval would be wider than is allowed from the start.
    #[error(
        "assume_error of {error:?} gives an interval of twice that, which is wider than max_width \
         ({limit:?}): raise max_width, or state a smaller error"
    )]
    AssumeTooWide {
        /// The stated error.
        error: Duration,
        /// The clock's `max_width`.
        limit: Duration,
    },
    /// The NTP servers, or how they are to be asked.
    #[error("{0}")]
    Ntp(#[from] NtpError),
    /// The clock has no time source.
    #[error("the clock has no source: leave out `without_kernel()`, or add one with `source()`")]
    NoSource,
    /// The requested counter may not be trusted.
    #[error(
        "the counter {kind} may not be trusted: {why}. `CounterKind::Auto` uses a trusted counter, and \
         CLOCK_MONOTONIC_RAW if there is none"
    )]
    CounterUntrusted {
        /// The counter that was requested.
        kind: CounterKind,
        /// What is wrong with it.
        #[source]
        why: CounterError,
    },
    /// This thread is killed if it reads the counter, in the kernel's vDSO too.
    #[error(
        "this thread may not read the time-stamp counter (prctl PR_SET_TSC is PR_TSC_SIGSEGV): \
         clock_gettime would kill it as well. Allow it with PR_TSC_ENABLE, or build the clock in \
         another process"
    )]
    CounterForbidden,
    /// The VMClock that was named cannot be used.
    #[error(transparent)]
    VmClock(#[from] VmClockError),
    /// The clock's thread could not be started.
    #[error("the clock's thread cannot be started: {0}. Use `manual()` to do without one")]
    Thread(#[from] std::io::Error),
}

pub(super) const MAX_DRIFT_PPM: u32 = 100_000;
pub(super) const MAX_POLL_INTERVAL: Duration = Duration::from_secs(3600);
pub(super) const MIN_MAX_WIDTH: Duration = Duration::from_micros(1);
pub(super) const MAX_MAX_WIDTH: Duration = Duration::from_secs(7 * 86_400);
pub(super) const MAX_ASSUMED_ERROR: Duration = Duration::from_secs(86_400);
