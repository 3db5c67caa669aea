//! [`ExpiryStatus`]: whether a lease's expiry has come, as far as a clock can tell.

use std::time::Duration;

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// How a clock's interval compares with an expiry E. Holder and grantor both use this rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpiryStatus {
    /// `latest < E`: E has certainly not come, and at least this much time is left.
    Held(Duration),
    /// `earliest <= E <= latest`: E may or may not have come, so nobody may act.
    Uncertain,
    /// `earliest > E`: E has certainly passed, at least this long ago.
    Expired(Duration),
}

impl ExpiryStatus {
    /// Compares the interval `now` with the expiry `expires`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Interval, Timestamp, lease::ExpiryStatus};
    /// # let at = Timestamp::from_tai_nanos;
    /// let now = Interval::new(at(100), at(120)).unwrap();
    /// let ns = Duration::from_nanos;
    /// assert_eq!(ExpiryStatus::of(at(150), &now), ExpiryStatus::Held(ns(30)));
    /// assert_eq!(ExpiryStatus::of(at(120), &now), ExpiryStatus::Uncertain);
    /// assert_eq!(ExpiryStatus::of(at(99), &now), ExpiryStatus::Expired(ns(1)));
    /// ```
    #[inline]
    pub const fn of(expires: Timestamp, now: &Interval) -> ExpiryStatus {
        // A difference of zero means "at E itself", where nobody may act.
        if let Some(left) = expires.duration_since(now.latest()) {
            if !left.is_zero() {
                return ExpiryStatus::Held(left);
            }
        }
        match now.earliest().duration_since(expires) {
            Some(past) if !past.is_zero() => ExpiryStatus::Expired(past),
            _ => ExpiryStatus::Uncertain,
        }
    }
}
