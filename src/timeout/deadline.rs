//! [`Deadline`]: until when an answer is useful, on every machine that a request visits.
//!
//! gRPC sends the time that is left ("deliver within 80 ms"), because the clocks of two
//! hosts do not compare. Then the time that a message spends in queues and on the wire
//! is not counted, and each hop passes on more than there is. Under load, servers then
//! work for clients that gave up long ago.
//!
//! A clock that knows its error allows the simple form: a moment of true time. It means
//! the same everywhere, and time in queues counts. One rule remains: use the right end of
//! the interval.
//!
//! - To *continue* the work, the deadline must certainly not have come. Ask
//!   [`possibly_passed`](Deadline::possibly_passed), which looks at `latest`.
//! - To conclude that *others* have stopped, so that the request may be sent again or its
//!   resources freed, the deadline must certainly have passed. Ask
//!   [`definitely_passed`](Deadline::definitely_passed), which looks at `earliest`.
//! - Between the two, stop working and keep waiting.
//!
//! If the clock returns an error, so do both. A worker treats that as passed, and a
//! waiting client as not passed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::error::{RetryError, TimeoutError};
use crate::clock::truetime::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::timestamp::Timestamp;

/// A moment of true time after which an answer is of no use.
///
/// Its text form is `tai:` and nanoseconds of TAI since 1970. The prefix keeps a program
/// from reading it as Unix time, which is 37 seconds off. With serde it is that text in
/// human-readable formats, and the number in others.
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

impl Deadline {
    /// The deadline at this moment.
    pub const fn at(moment: Timestamp) -> Deadline {
        Deadline(moment)
    }

    /// The deadline `budget` from now. A worker on this host has all of the budget.
    ///
    /// It is counted from the latest moment that now may be. So the true time until the
    /// deadline is at least the budget, and at most the budget plus the width of the
    /// interval.
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

    /// Whether the deadline has certainly passed. Then no node with a correct clock still
    /// works for it.
    ///
    /// # Errors
    ///
    /// When the clock gives no reading. Treat that as *not* passed.
    pub fn definitely_passed<C: TrueTime + ?Sized>(self, clock: &C) -> Result<bool, ClockError> {
        clock.after(self.0)
    }

    /// Whether the deadline may have come. Then stop the work.
    ///
    /// # Errors
    ///
    /// When the clock gives no reading. Treat that as passed.
    pub fn possibly_passed<C: TrueTime + ?Sized>(self, clock: &C) -> Result<bool, ClockError> {
        Ok(!clock.before(self.0)?)
    }

    /// The least true time that is left: the budget for the work, or for the next hop.
    ///
    /// # Errors
    ///
    /// [`RetryError::DeadlinePassed`] if the deadline may have come, and
    /// [`RetryError::Clock`] when the clock gives no reading.
    pub fn left<C: TrueTime + ?Sized>(self, clock: &C) -> Result<Duration, RetryError> {
        self.left_at(&clock.now()?)
    }

    /// [`left`](Self::left), by an interval that was read already.
    ///
    /// # Errors
    ///
    /// [`RetryError::DeadlinePassed`] if the deadline may have come.
    pub fn left_at(self, now: &Interval) -> Result<Duration, RetryError> {
        match self.0.duration_since(now.latest()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => {
                let by = now.latest().duration_since(self.0).unwrap_or_default();
                Err(RetryError::DeadlinePassed { by })
            }
        }
    }

    /// The deadline for the next hop: earlier by `reserve`, the time for the way back and
    /// for our own work.
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
    type Err = TimeoutError;

    fn from_str(text: &str) -> Result<Deadline, TimeoutError> {
        let nanos = text.strip_prefix(PREFIX).and_then(canonical);
        nanos
            .map(|nanos| Deadline(Timestamp::from_tai_nanos(nanos)))
            .ok_or_else(|| TimeoutError::NotADeadline { text: TimeoutError::shown(text) })
    }
}

/// Each number has one text, without `+` and leading zeros, so that equal deadlines have
/// equal texts.
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
