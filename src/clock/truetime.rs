//! [`TrueTime`]: the four questions one may ask of a clock that knows its error.
//!
//! They are Spanner's (Corbett et al., "Spanner: Google's Globally-Distributed
//! Database", OSDI 2012, section 3). The running clock answers them, and so
//! does any clock written for a test; whatever is built on time asks through
//! this trait and never sees where the answer came from.

use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use super::status::Reason;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// A clock that states its uncertainty.
///
/// An implementation promises of [`now`](Self::now): at some moment between
/// the call and its return, the true time was within the interval. The other
/// three follow from it, and a clock may answer them more cheaply.
///
/// A clock without evidence answers with an error. It never guesses.
pub trait TrueTime {
    /// An interval that contains the true time.
    ///
    /// # Errors
    ///
    /// When the clock has no evidence, or evidence too old to be useful.
    fn now(&self) -> Result<Interval, ClockError>;

    /// A moment that has certainly been reached: true time is not before it.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    fn earliest(&self) -> Result<Timestamp, ClockError> {
        Ok(self.now()?.earliest())
    }

    /// Whether `t` has certainly passed. `false` means "not yet, or not known".
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    fn after(&self, t: Timestamp) -> Result<bool, ClockError> {
        Ok(self.earliest()? > t)
    }

    /// Whether `t` has certainly not been reached. `false` means "reached, or not known".
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    fn before(&self, t: Timestamp) -> Result<bool, ClockError> {
        Ok(self.now()?.latest() < t)
    }

    /// The waits that this clock wakes when it is moved, if it is moved by hand.
    ///
    /// `None`, the default, fits every clock that runs by itself. A wrapper around a
    /// [`ManualClock`](crate::ManualClock) passes on what it gets from it.
    fn changes(&self) -> Option<&Changes> {
        None
    }
}

/// Whatever points at a clock is a clock.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<C: TrueTime + ?Sized> TrueTime for $pointer {
            fn now(&self) -> Result<Interval, ClockError> {
                (**self).now()
            }
            fn earliest(&self) -> Result<Timestamp, ClockError> {
                (**self).earliest()
            }
            fn after(&self, t: Timestamp) -> Result<bool, ClockError> {
                (**self).after(t)
            }
            fn before(&self, t: Timestamp) -> Result<bool, ClockError> {
                (**self).before(t)
            }
            fn changes(&self) -> Option<&Changes> {
                (**self).changes()
            }
        }
    )*};
}
forward!(&C, Box<C>, Arc<C>);

/// Why a clock does not answer. Small and `Copy`: making one allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ClockError {
    /// No source vouches for the time, and nothing is left of an earlier one's word.
    #[error("the clock is not synchronized: {0}")]
    Unsynchronized(Reason),
    /// The evidence has aged until the interval became wider than is allowed.
    #[error(
        "the interval has grown wider than the limit of {limit:?} since a source last vouched: \
         mend the time source, or raise `max_width`"
    )]
    TooWide {
        /// The clock's `max_width`.
        limit: Duration,
    },
    /// Sources disagree by more than is allowed, so at least one of them lied.
    #[error(
        "the sources of time contradict each other: at least one is wrong, and it is not known \
         which; `truechimer doctor` shows what each of them says"
    )]
    Contradicted,
    /// The counter stands before the sample it should have followed.
    #[error(
        "the counter ran backwards since the last sample, as it does after a suspend: the clock \
         will choose another counter or sample again at its next poll"
    )]
    CounterWentBackwards,
}

impl ClockError {
    /// Whether asking again later can succeed without anybody changing the program.
    ///
    /// True of every error so far: daemons come back, samples arrive, and
    /// contradictions end. Wait with a deadline, not forever.
    pub fn is_transient(&self) -> bool {
        match self {
            ClockError::Unsynchronized(_)
            | ClockError::TooWide { .. }
            | ClockError::Contradicted
            | ClockError::CounterWentBackwards => true,
        }
    }
}
