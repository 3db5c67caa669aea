//! [`Stopwatch`]: the clock that a duration lease counts on.
//!
//! A duration lease does not need the time of day. It only needs to know how long ago
//! something was. Its clock must also count while the machine sleeps, because a holder
//! that was suspended for an hour must find that its lease has ended. The host's is
//! `BootClock`.

use std::time::Duration;

/// A clock that measures how much time has passed, with a stated error and drift.
pub trait Stopwatch {
    /// The present value, or `None` if the clock cannot be read.
    ///
    /// At some moment of the call the clock stood at `earliest` or later, and at some
    /// moment at `latest` or earlier. Readings of different machines, or of different
    /// boots of one machine, cannot be compared.
    fn read(&self) -> Option<Reading>;

    /// Assumption A2: how far the clock's rate may be from true, in parts per million.
    fn max_drift_ppm(&self) -> u32;
}

impl<S: Stopwatch + ?Sized> Stopwatch for &S {
    fn read(&self) -> Option<Reading> {
        (**self).read()
    }
    fn max_drift_ppm(&self) -> u32 {
        (**self).max_drift_ppm()
    }
}

/// A reading of a stopwatch: two bounds, counted from a zero of the stopwatch's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The stopwatch stands here or later.
    pub earliest: Duration,
    /// The stopwatch stands here or earlier.
    pub latest: Duration,
}
