//! [`Remaining`]: the result of a check of a lease that is held.

use std::time::Duration;

use crate::fence::FencingToken;

/// The lease was held when it was checked, and this much of it remained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remaining {
    token: FencingToken,
    // Not a `Duration`, because its division by 10⁹ is a good part of what a check costs.
    nanos: u64,
}

impl Remaining {
    #[inline]
    pub(super) fn new(token: FencingToken, nanos: u64) -> Remaining {
        Remaining { token, nanos }
    }

    /// The token of the lease. Send it with every request, so that the resource can check it.
    #[inline]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// The least time that the lease lasts, counted from the reading of the clock.
    ///
    /// Check again before each act, and do not rely on this time alone, because the process
    /// may be paused in the meantime.
    #[inline]
    pub fn at_least(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }
}
