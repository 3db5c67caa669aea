//! [`TimeoutError`]: why a value cannot be made, and [`RetryError`]: why there is no time
//! left or no further attempt.

use std::io;
use std::time::Duration;

use crate::snapshot::ClockError;

/// Why a timeout, detector, backoff, deadline or key cannot be made.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimeoutError {
    /// Durations that must be in order are not.
    #[error("{low} is {low_is:?} and {high} is {high_is:?}: {low} must not be the greater")]
    OutOfOrder {
        /// The setting that must be the smaller.
        low: &'static str,
        /// Its value.
        low_is: Duration,
        /// The setting that must be the greater.
        high: &'static str,
        /// Its value.
        high_is: Duration,
    },
    /// A duration is zero where there would be no waiting at all.
    #[error("{what} is zero: it must be at least a nanosecond")]
    Zero {
        /// Which setting.
        what: &'static str,
    },
    /// A number is outside its range, or NaN.
    #[error("{what} is {value}: it must be at least {min} and at most {max}")]
    OutOfRange {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The least it may be.
        min: f64,
        /// The most it may be.
        max: f64,
    },
    /// The text is not a [`Deadline`](super::Deadline).
    #[error("{text:?} is not a deadline: write \"tai:\" and nanoseconds of TAI since 1970")]
    NotADeadline {
        /// The text, or its beginning.
        text: String,
    },
    /// The text is not an [`IdempotencyKey`](super::IdempotencyKey).
    #[error("{text:?} is not an idempotency key: write 32 hexadecimal digits")]
    NotAKey {
        /// The text, or its beginning.
        text: String,
    },
    /// The kernel's random numbers cannot be read, so there is no key.
    #[error(
        "16 bytes could not be read from {file}: {reason}; make it available in this container or \
         chroot, or raise the limit of open files"
    )]
    NoRandomness {
        /// The file that was to be read.
        file: &'static str,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system said about it.
        reason: String,
    },
}

impl TimeoutError {
    /// Whether the same call may succeed later, for example after a moment without a
    /// free file descriptor.
    pub fn is_transient(&self) -> bool {
        match self {
            TimeoutError::NoRandomness { kind, .. } => {
                !matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            _ => false,
        }
    }

    /// The text, or its first 40 characters, for an error message.
    pub(super) fn shown(text: &str) -> String {
        text.chars().take(40).collect()
    }
}

/// Why there is no time left, or no further attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// True time may have reached the deadline.
    #[error(
        "the deadline may have passed, by {by:?} at most: stop the work, and tell the caller; ask \
         for more time, or for a better clock, if it was never met"
    )]
    DeadlinePassed {
        /// How long ago, at most.
        by: Duration,
    },
    /// Some time is left until the deadline, but less than an attempt needs.
    #[error(
        "{left:?} are left until the deadline and an attempt needs {needed:?}: whether an earlier \
         one was applied is not known"
    )]
    NoTimeLeft {
        /// The time that is left, at least. Zero if the deadline may have passed.
        left: Duration,
        /// The time that an attempt needs, as given by the caller.
        needed: Duration,
    },
    /// All attempts have been made.
    #[error(
        "all {attempts} attempts have been made: the server is down or the request cannot succeed; \
         whether one of them was applied is not known"
    )]
    NoAttemptsLeft {
        /// How many were made, including the first.
        attempts: u32,
    },
    /// The clock returned an error, so the time that is left is not known. A worker must
    /// treat that as passed.
    #[error("how much time is left is not known: {0}")]
    Clock(#[from] ClockError),
}

impl RetryError {
    /// Whether the same call may succeed later. That is so only if the clock recovers.
    pub fn is_transient(&self) -> bool {
        match self {
            RetryError::Clock(error) => error.is_transient(),
            RetryError::DeadlinePassed { .. }
            | RetryError::NoTimeLeft { .. }
            | RetryError::NoAttemptsLeft { .. } => false,
        }
    }
}

/// Checks that `low <= high`.
pub(super) fn check_order(
    (low, low_is): (&'static str, Duration),
    (high, high_is): (&'static str, Duration),
) -> Result<(), TimeoutError> {
    if low_is > high_is {
        return Err(TimeoutError::OutOfOrder { low, low_is, high, high_is });
    }
    Ok(())
}

pub(super) fn check_not_zero(what: &'static str, value: Duration) -> Result<(), TimeoutError> {
    if value.is_zero() { Err(TimeoutError::Zero { what }) } else { Ok(()) }
}

/// Checks that `min <= value <= max`. NaN is in no range.
pub(super) fn check_range(
    what: &'static str,
    value: f64,
    min: f64,
    max: f64,
) -> Result<(), TimeoutError> {
    if min <= value && value <= max {
        return Ok(());
    }
    Err(TimeoutError::OutOfRange { what, value, min, max })
}
