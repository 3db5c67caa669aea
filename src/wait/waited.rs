//! [`Waited`]: what a successful wait took.

use std::time::Duration;

/// The account of a wait that succeeded: its moment has certainly passed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Waited {
    /// How long the wait took. Zero if the moment had already passed.
    pub total: Duration,
    /// How much of `total` was spent spinning.
    pub spun: Duration,
    /// How long ago, by the clock, the moment had passed when the wait returned.
    /// This is the time that the wait took too long.
    pub overshoot: Duration,
    /// How many times it slept.
    pub sleeps: u32,
}
