//! [`TrueTime`]: the four readings of a clock that knows its error.
//!
//! They are Spanner's (Corbett et al., "Spanner: Google's Globally-Distributed
//! Database", OSDI 2012, section 3). The running clock answers them, and so do the
//! clock of a simulated machine and the one for tests. Whatever is built on time uses
//! this trait and does not see where the answer came from.

use std::sync::Arc;

use super::changes::Changes;
use crate::evidence::Reason;
use crate::interval::Interval;
use crate::snapshot::{ClockError, Status};
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

    /// What the readings rest on at this moment.
    ///
    /// By default it follows from [`now`](Self::now): a clock that answers is
    /// `Synchronized`, and one that does not is what its error says.
    fn status(&self) -> Status {
        match self.now() {
            Ok(_) => Status::Synchronized,
            Err(ClockError::Unsynchronized(reason)) => Status::Unsynchronized(reason),
            Err(ClockError::Contradicted) => Status::Contradicted,
            Err(_) => Status::Unsynchronized(Reason::TooOld),
        }
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
            fn status(&self) -> Status {
                (**self).status()
            }
            fn changes(&self) -> Option<&Changes> {
                (**self).changes()
            }
        }
    )*};
}
forward!(&C, Box<C>, Arc<C>);
