//! [`Expiry`]: the setting for moments after a leap table's expiry.

use std::fmt;

/// What a table does with moments after its expiry, when it may lack leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expiry {
    /// Continues with the last offset, because no leap second has come since 2016 and old
    /// tables are common. [`LeapTable::is_expired_at`](super::LeapTable::is_expired_at) reports it.
    #[default]
    Ignore,
    /// Widens intervals by one second on each side for each half-year begun since the
    /// expiry, because leap seconds have only come at the end of June and December, one at
    /// a time. A single moment cannot be widened, so it is refused as under [`Expiry::Error`].
    Widen,
    /// Refuses every later moment, with [`ScaleError::Expired`](super::ScaleError::Expired).
    Error,
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expiry::Ignore => "continue with the last offset",
            Expiry::Widen => "widen intervals, refuse single moments",
            Expiry::Error => "refuse",
        })
    }
}
