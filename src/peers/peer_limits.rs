//! [`PeerLimits`]: which evidence is accepted, and how it ages.

use std::time::Duration;

use super::counter_limits::CounterLimits;

/// Which evidence is accepted, and how it ages.
///
/// ```
/// use std::time::Duration;
/// use truechimer::peers::{CounterLimits, PeerLimits};
///
/// let limits = PeerLimits::default()
///     .counter(CounterLimits::default().max_drift_ppm(500))
///     .max_age(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "pass it to `PeerClocks::limits`"]
pub struct PeerLimits {
    pub(super) counter: CounterLimits,
    pub(super) max_age: Duration,
    pub(super) max_width: Duration,
}

impl Default for PeerLimits {
    fn default() -> PeerLimits {
        PeerLimits {
            counter: CounterLimits::default(),
            max_age: Duration::from_secs(30),
            max_width: Duration::from_secs(10),
        }
    }
}

impl PeerLimits {
    /// What is assumed of our own counter. Default: [`CounterLimits::default`].
    pub fn counter(self, counter: CounterLimits) -> PeerLimits {
        PeerLimits { counter, ..self }
    }

    /// Evidence that was received longer ago than this no longer counts.
    ///
    /// Default 30 s: a few polls, in which evidence widens by 6 ms at 200 ppm.
    pub fn max_age(self, max_age: Duration) -> PeerLimits {
        PeerLimits { max_age, ..self }
    }

    /// An answer wider than this, its round trip included, is refused, because it would
    /// agree with almost any clock. Default 10 s.
    pub fn max_width(self, max_width: Duration) -> PeerLimits {
        PeerLimits { max_width, ..self }
    }
}
