//! [`Rto`]: how long to wait for an answer, from the delay and its spread.
//!
//! The naive adaptive timeout is a multiple of the mean delay. In 1988 Van Jacobson found
//! why the early Internet collapsed under it. When queues fill, the *spread* grows before
//! the mean does. Then every timeout fires at once, and the retransmissions fill the
//! queues further. So the spread is learned too, and the timeout is the mean plus four
//! times the mean deviation.
//!
//! This is RFC 6298 as it is written, to the nanosecond, in Jacobson's scaled integers:
//! `8 × SRTT` and `4 × RTTVAR`. The gains of 1/8 and 1/4 and the factor of 4 are then one
//! shift each, and no remainder is lost.
//!
//! Its limit is the heavy tail. Four mean deviations are far out for a normal delay, and
//! near for one without a variance. Then one attempt in nine is given up while its answer
//! is on the way (`cargo test --test timeout shapes::`). RFC 6298 hides that under a minimum
//! of a second. Where attempts are expensive, raise `min` above the tail, or use
//! [`EwmaTimeout`](super::EwmaTimeout).
//!
//! What to read: RFC 6298; V. Jacobson, M. Karels, "Congestion avoidance and
//! control" (SIGCOMM 1988), appendix A; P. Karn, C. Partridge, "Improving
//! round-trip time estimates in reliable transport protocols" (SIGCOMM 1987).

use std::time::Duration;

use super::error::{TimeoutError, check_not_zero, check_order};
use crate::timestamp::duration_nanos;

/// The retransmission timer of RFC 6298.
///
/// ```
/// use std::time::Duration;
/// use truechimer::timeout::{Rto, RtoSettings};
///
/// let ms = Duration::from_millis;
/// let mut rto = Rto::new(RtoSettings::DATACENTER)?;
/// rto.observe(ms(20), 1);
/// assert_eq!(rto.timeout(), ms(60)); // 20 + 4 × (20 / 2)
/// rto.on_timeout();
/// assert_eq!(rto.timeout(), ms(120)); // doubled
/// rto.observe(ms(50), 2); // sent twice: which of the two was answered?
/// assert_eq!(rto.timeout(), ms(120)); // Karn's rule: nothing is learned from it
/// # Ok::<(), truechimer::timeout::TimeoutError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rto {
    settings: RtoSettings,
    /// `None` until the first sample.
    estimate: Option<Estimate>,
    /// How often the timeout has been doubled since the last sample.
    doublings: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Estimate {
    /// 8 × SRTT, ns.
    srtt_8: u64,
    /// 4 × RTTVAR, ns.
    rttvar_4: u64,
}

/// The limits of an [`Rto`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtoSettings {
    initial: Duration,
    min: Duration,
    max: Duration,
    granularity: Duration,
}

impl RtoSettings {
    /// The settings of the RFC: initially and at least 1 s (its rules 2.1 and 2.4), at most
    /// 60 s (2.5). They suit the open Internet, where a needless retransmission harms others.
    pub const RFC_6298: RtoSettings = RtoSettings {
        initial: Duration::from_secs(1),
        min: Duration::from_secs(1),
        max: Duration::from_secs(60),
        granularity: Duration::from_millis(1),
    };

    /// For requests between hosts of one region: initially 1 s, at least 10 ms, at most 10 s.
    ///
    /// The minimum is a few time slices of a busy scheduler. (Linux keeps 200 ms for TCP
    /// because of delayed acknowledgements, which requests do not have.) The granularity is
    /// 4 ms, a scheduler's tick, because a wake-up may come that much late.
    pub const DATACENTER: RtoSettings = RtoSettings {
        initial: Duration::from_secs(1),
        min: Duration::from_millis(10),
        max: Duration::from_secs(10),
        granularity: Duration::from_millis(4),
    };

    /// The timeout before the first sample.
    #[must_use]
    pub const fn initial(self, initial: Duration) -> RtoSettings {
        RtoSettings { initial, ..self }
    }

    /// The least timeout. It must exceed whatever can delay an answer without showing in the
    /// average: a delayed acknowledgement, a scheduler's time slice, a garbage collection.
    #[must_use]
    pub const fn min(self, min: Duration) -> RtoSettings {
        RtoSettings { min, ..self }
    }

    /// The greatest timeout, however often it was doubled. A peer that has come back is
    /// noticed within this time.
    #[must_use]
    pub const fn max(self, max: Duration) -> RtoSettings {
        RtoSettings { max, ..self }
    }

    /// G in the RFC: the resolution of the measurements. Even with a spread of zero the
    /// timeout is this much above the mean.
    #[must_use]
    pub const fn granularity(self, granularity: Duration) -> RtoSettings {
        RtoSettings { granularity, ..self }
    }
}

impl Default for RtoSettings {
    fn default() -> RtoSettings {
        RtoSettings::RFC_6298
    }
}

/// Longer samples count as this, two years, so that eight of them fit 64 bits.
const MAX_SAMPLE_NS: u64 = 1 << 56;

impl Rto {
    /// A timer with these settings that has learned nothing yet.
    ///
    /// # Errors
    ///
    /// Unless `0 < min <= initial <= max`.
    pub fn new(settings: RtoSettings) -> Result<Rto, TimeoutError> {
        check_not_zero("min", settings.min)?;
        check_order(("min", settings.min), ("initial", settings.initial))?;
        check_order(("initial", settings.initial), ("max", settings.max))?;
        Ok(Rto { settings, estimate: None, doublings: 0 })
    }

    /// Learns from an answer that came `rtt` after the request was sent for the first time.
    ///
    /// `attempts` is how often the request was sent. If it was sent more than once, it is
    /// not known which attempt was answered. Then nothing is learned, and a doubled timeout
    /// stays doubled (Karn's rule; RFC 6298, section 3). Returns whether the sample counted.
    /// If each attempt has a number that the answer repeats, there is no ambiguity: pass
    /// the time since *that* attempt, and 1.
    #[inline]
    pub fn observe(&mut self, rtt: Duration, attempts: u32) -> bool {
        if attempts > 1 {
            return false;
        }
        let rtt = duration_nanos(rtt).min(MAX_SAMPLE_NS);
        self.estimate = Some(match self.estimate {
            // Rule 2.2: SRTT = R, RTTVAR = R / 2.
            None => Estimate { srtt_8: 8 * rtt, rttvar_4: 2 * rtt },
            Some(old) => old.updated(rtt),
        });
        self.doublings = 0;
        true
    }

    /// The timeout has passed without an answer, so the next one is twice as long (rule 5.5).
    #[inline]
    pub fn on_timeout(&mut self) {
        self.doublings = self.doublings.saturating_add(1);
    }

    /// How long to wait for an answer to a request that is sent now.
    #[inline]
    pub fn timeout(&self) -> Duration {
        let RtoSettings { initial, min, max, granularity } = self.settings;
        let once = match self.estimate {
            None => initial,
            Some(Estimate { srtt_8, rttvar_4 }) => {
                let spread = Duration::from_nanos(rttvar_4).max(granularity);
                Duration::from_nanos(srtt_8 / 8).saturating_add(spread)
            }
        };
        // More doublings make no difference: 2^31 times 10 ms are 248 days.
        let factor = 1u32 << self.doublings.min(31);
        once.clamp(min, max).saturating_mul(factor).min(max)
    }

    /// SRTT, the smoothed round-trip time. `None` before the first sample.
    pub fn srtt(&self) -> Option<Duration> {
        self.estimate.map(|estimate| Duration::from_nanos(estimate.srtt_8 / 8))
    }

    /// RTTVAR, the smoothed mean deviation. `None` before the first sample.
    pub fn rttvar(&self) -> Option<Duration> {
        self.estimate.map(|estimate| Duration::from_nanos(estimate.rttvar_4 / 4))
    }
}

impl Estimate {
    /// Rule 2.3: RTTVAR moves by a quarter toward |SRTT - R|, by the old SRTT; then SRTT by an
    /// eighth toward R.
    #[inline]
    fn updated(self, rtt: u64) -> Estimate {
        let deviation = self.srtt_8.abs_diff(8 * rtt) / 8;
        Estimate {
            rttvar_4: self.rttvar_4 - self.rttvar_4 / 4 + deviation,
            srtt_8: self.srtt_8 - self.srtt_8 / 8 + rtt,
        }
    }
}
