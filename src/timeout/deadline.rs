//! [`Deadline`]: until when an answer is of use, on every machine it passes.
//!
//! gRPC sends the time that is left ("deliver within 80 ms"), since the clocks of
//! two hosts do not compare. Then the time a message spends in queues and on
//! the wire is counted by nobody, and each hop hands on more than there is:
//! under load, servers work for clients that have long gone.
//!
//! A clock that knows its error allows the plain form: a moment of true time. It
//! means the same everywhere, and queues count. What remains is to ask the right
//! end of the interval. To *go on* with the work, the deadline must not have
//! come for certain: ask [`possibly_passed`](Deadline::possibly_passed), which
//! looks at `latest`. To conclude that *others* have stopped, so that the
//! request may be sent anew or its resources freed, it must have passed for
//! certain: ask [`definitely_passed`](Deadline::definitely_passed), which looks at
//! `earliest`. Between the two, stop working and go on waiting.
//!
//! Without a reading of the clock both answer with an error. A worker treats
//! that as passed, a waiter as not passed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// A moment of true time after which an answer is of no use.
///
/// Its text form is `tai:` and nanoseconds of TAI since 1970: whoever takes it for
/// Unix time, 37 seconds off, fails to parse it. With serde it is that text in
/// formats for people, and the number in others.
///
/// ```
/// use truechimer::timeout::Deadline;
/// use truechimer::Timestamp;
///
/// let deadline = Deadline::at(Timestamp::from_tai_nanos(1_700_000_000_000_000_000));
/// assert_eq!(deadline.to_string(), "tai:1700000000000000000");
/// assert_eq!("tai:1700000000000000000".parse(), Ok(deadline));
/// assert!("1700000000000000000".parse::<Deadline>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Deadline(Timestamp);

/// Why there is no time left, or no deadline.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadlineError {
    /// True time may have reached the deadline.
    #[error(
        "the deadline may have passed, by {by:?} at most: stop the work, and tell the caller; ask \
         for more time, or for a better clock, if it was never met"
    )]
    Passed {
        /// How long ago, at most.
        by: Duration,
    },
    /// The clock gives no reading. A worker must treat that as passed.
    #[error("whether the deadline has passed is not known: {0}")]
    Clock(#[from] ClockError),
    /// The text is not a deadline.
    #[error("{text:?} is not a deadline: write \"tai:\" and nanoseconds of TAI since 1970")]
    NotADeadline {
        /// What was given, or the beginning of it.
        text: String,
    },
}

impl DeadlineError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            DeadlineError::Clock(error) => error.is_transient(),
            DeadlineError::Passed { .. } | DeadlineError::NotADeadline { .. } => false,
        }
    }
}

impl Deadline {
    /// The deadline at this moment.
    pub const fn at(moment: Timestamp) -> Deadline {
        Deadline(moment)
    }

    /// The deadline `budget` from now: all of the budget is left to a worker on this host.
    ///
    /// Counted from the latest moment that now may be. So the true time until
    /// the deadline is the budget at least, and more by the width of the
    /// interval at most.
    ///
    /// # Errors
    ///
    /// When the clock gives no reading.
    pub fn within<C: TrueTime + ?Sized>(
        clock: &C,
        budget: Duration,
    ) -> Result<Deadline, ClockError> {
        Ok(Deadline(clock.now()?.latest().saturating_add(budget)))
    }

    /// The moment.
    pub const fn moment(self) -> Timestamp {
        self.0
    }

    /// Whether the deadline has passed for certain: nobody with a right clock still works for it.
    ///
    /// # Errors
    ///
    /// When the clock gives no reading. Treat that as *not* passed.
    pub fn definitely_passed<C: TrueTime + ?Sized>(self, clock: &C) -> Result<bool, ClockError> {
        clock.after(self.0)
    }

    /// Whether the deadline may have come: then stop working for it.
    ///
    /// # Errors
    ///
    /// When the clock gives no reading. Treat that as passed.
    pub fn possibly_passed<C: TrueTime + ?Sized>(self, clock: &C) -> Result<bool, ClockError> {
        Ok(!clock.before(self.0)?)
    }

    /// The true time that is left at least: the budget for the work, or for the next hop.
    ///
    /// # Errors
    ///
    /// [`DeadlineError::Passed`] if the deadline may have come, and
    /// [`DeadlineError::Clock`] when the clock gives no reading.
    pub fn left<C: TrueTime + ?Sized>(self, clock: &C) -> Result<Duration, DeadlineError> {
        self.left_at(&clock.now()?)
    }

    /// [`left`](Self::left), by a reading that was taken already.
    ///
    /// # Errors
    ///
    /// [`DeadlineError::Passed`] if the deadline may have come.
    pub fn left_at(self, now: &Interval) -> Result<Duration, DeadlineError> {
        match self.0.duration_since(now.latest()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => {
                let by = now.latest().duration_since(self.0).unwrap_or_default();
                Err(DeadlineError::Passed { by })
            }
        }
    }

    /// The deadline for the next hop, earlier by what the way back and our own work will take.
    #[must_use]
    pub const fn minus(self, reserve: Duration) -> Deadline {
        Deadline(self.0.saturating_sub(reserve))
    }
}

const PREFIX: &str = "tai:";

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.tai_nanos())
    }
}

impl FromStr for Deadline {
    type Err = DeadlineError;

    fn from_str(text: &str) -> Result<Deadline, DeadlineError> {
        let nanos = text.strip_prefix(PREFIX).and_then(canonical);
        let shown = || text.chars().take(40).collect();
        nanos
            .map(|nanos| Deadline(Timestamp::from_tai_nanos(nanos)))
            .ok_or_else(|| DeadlineError::NotADeadline { text: shown() })
    }
}

/// One text a number: no `+`, no leading zeros. Else two texts of one deadline would differ.
fn canonical(digits: &str) -> Option<i64> {
    let number: i64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(feature = "serde")]
impl serde::Serialize for Deadline {
    fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if output.is_human_readable() { output.collect_str(self) } else { self.0.serialize(output) }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Deadline {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Deadline, D::Error> {
        if !input.is_human_readable() {
            return Timestamp::deserialize(input).map(Deadline);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
