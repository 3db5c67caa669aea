//! [`Rto`]: how long to wait for an answer, by the delay and its spread.
//!
//! The naive adaptive timeout is a multiple of the mean delay. Van Jacobson
//! found in 1988 why the early Internet collapsed under it: when queues fill,
//! the *spread* grows before the mean does, every timeout fires at once, and the
//! retransmissions fill the queues further. So the spread is learned too, and
//! the timeout is the mean and four times the mean deviation.
//!
//! This is RFC 6298 as it is written, to the nanosecond, in Jacobson's scaled
//! integers: `8 × SRTT` and `4 × RTTVAR`, so that the gains of 1/8 and 1/4 and
//! the factor of 4 cost a shift each and lose no remainder.
//!
//! Its limit is the heavy tail. Four mean deviations are far out for a normal
//! delay and near by for one without a variance: one attempt in nine is then given
//! up while its answer is on the way (`cargo test --test timeout_shapes`).
//! RFC 6298 hides that under a minimum of a second. Where attempts are dear,
//! raise `min` above the tail, or take [`EwmaTimeout`](super::EwmaTimeout).
//!
//! What to read: RFC 6298; V. Jacobson, M. Karels, "Congestion avoidance and
//! control" (SIGCOMM 1988), appendix A; P. Karn, C. Partridge, "Improving
//! round-trip time estimates in reliable transport protocols" (SIGCOMM 1987).

use std::time::Duration;

use super::{LimitError, in_order, nanos_up_to, not_zero};

/// The retransmission timer of RFC 6298.
///
/// ```
/// use std::time::Duration;
/// use truechimer::timeout::{Rto, RtoLimits};
///
/// let ms = Duration::from_millis;
/// let mut rto = Rto::new(RtoLimits::DATACENTER)?;
/// rto.observe(ms(20), 1);
/// assert_eq!(rto.timeout(), ms(60)); // 20 + 4 × (20 / 2)
/// rto.on_timeout();
/// assert_eq!(rto.timeout(), ms(120)); // doubled
/// rto.observe(ms(50), 2); // sent twice: which of the two was answered?
/// assert_eq!(rto.timeout(), ms(120)); // Karn's rule: nothing is learned from it
/// # Ok::<(), truechimer::timeout::LimitError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rto {
    limits: RtoLimits,
    /// None until the first sample.
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

/// Between what a timeout is kept, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtoLimits {
    /// Before anything is known.
    pub initial: Duration,
    /// Never less. It must exceed what can delay an answer without showing in
    /// the average: a delayed acknowledgement, a scheduler's time slice, a
    /// garbage collection.
    pub min: Duration,
    /// Never more, however often it was doubled: a peer that has come back
    /// should be found out within this time.
    pub max: Duration,
    /// G in the RFC: how coarse the measurements are. With a spread of nothing,
    /// the timeout is still so much above the mean.
    pub granularity: Duration,
}

impl RtoLimits {
    /// The RFC's own: 1 s at first and at least (its rules 2.1 and 2.4), at most
    /// 60 s (2.5). For the open Internet, where a needless retransmission hurts others.
    pub const RFC_6298: RtoLimits = RtoLimits {
        initial: Duration::from_secs(1),
        min: Duration::from_secs(1),
        max: Duration::from_secs(60),
        granularity: Duration::from_millis(1),
    };

    /// For requests between hosts of one region: 1 s at first, at least 10 ms (a
    /// few time slices of a busy scheduler; Linux keeps 200 ms for TCP because of
    /// delayed acknowledgements, which requests do not have), at most 10 s. Its
    /// granularity is 4 ms, a scheduler's tick: a wake-up may come so much late.
    pub const DATACENTER: RtoLimits = RtoLimits {
        initial: Duration::from_secs(1),
        min: Duration::from_millis(10),
        max: Duration::from_secs(10),
        granularity: Duration::from_millis(4),
    };
}

impl Default for RtoLimits {
    fn default() -> RtoLimits {
        RtoLimits::RFC_6298
    }
}

/// Samples are cut to two years, so that eight of them fit.
const MAX_SAMPLE_NS: u64 = 1 << 56;

impl Rto {
    /// With these limits, and nothing learned yet.
    ///
    /// # Errors
    ///
    /// Unless `0 < min <= initial <= max`.
    pub fn new(limits: RtoLimits) -> Result<Rto, LimitError> {
        not_zero("min", limits.min)?;
        in_order(("min", limits.min), ("initial", limits.initial))?;
        in_order(("initial", limits.initial), ("max", limits.max))?;
        Ok(Rto { limits, estimate: None, doublings: 0 })
    }

    /// Learns from an answer that came `rtt` after the request was sent for the first time.
    ///
    /// `attempts` is how often the request was sent. After more than one it is
    /// not known which of them was answered, so nothing is learned, and a
    /// doubled timeout stays doubled (Karn's rule; RFC 6298, section 3).
    /// Returns whether the sample counted. Where each attempt has a number of
    /// its own that the answer brings back, there is no doubt: give the time
    /// since *that* attempt, and 1.
    #[inline]
    pub fn observe(&mut self, rtt: Duration, attempts: u32) -> bool {
        if attempts > 1 {
            return false;
        }
        let rtt = nanos_up_to(rtt, MAX_SAMPLE_NS);
        self.estimate = Some(match self.estimate {
            // Rule 2.2: SRTT = R, RTTVAR = R / 2.
            None => Estimate { srtt_8: 8 * rtt, rttvar_4: 2 * rtt },
            Some(old) => old.updated(rtt),
        });
        self.doublings = 0;
        true
    }

    /// The timeout has passed without an answer: the next one is twice as long (rule 5.5).
    #[inline]
    pub fn on_timeout(&mut self) {
        self.doublings = self.doublings.saturating_add(1);
    }

    /// How long to wait for an answer to a request that is sent now.
    #[inline]
    pub fn timeout(&self) -> Duration {
        let RtoLimits { initial, min, max, granularity } = self.limits;
        let once = match self.estimate {
            None => initial,
            Some(Estimate { srtt_8, rttvar_4 }) => {
                let spread = Duration::from_nanos(rttvar_4).max(granularity);
                Duration::from_nanos(srtt_8 / 8).saturating_add(spread)
            }
        };
        // 2^31 times any duration of a nanosecond or more is over every sensible maximum.
        let factor = 1u32 << self.doublings.min(31);
        once.clamp(min, max).saturating_mul(factor).min(max)
    }

    /// SRTT, the smoothed round-trip time. None before the first sample.
    pub fn srtt(&self) -> Option<Duration> {
        self.estimate.map(|estimate| Duration::from_nanos(estimate.srtt_8 / 8))
    }

    /// RTTVAR, the smoothed mean deviation. None before the first sample.
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
