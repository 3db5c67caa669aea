//! [`EwmaTimeout`]: a multiple of the mean delay, in one word of state.
//!
//! Cassandra's failure detector takes the gaps between heartbeats to be
//! exponentially distributed. Then the suspicion `phi` after a silence of `t` is
//! `t / (mean × ln 10)`, and its threshold of 8 is nothing but a timeout of
//! `8 × ln 10`, about 18.4, means. That is the form here: mean times a factor.
//! Cassandra averages the last 1000 gaps; an exponentially weighted average
//! needs no window, and follows a change sooner.
//!
//! It knows nothing of the spread, and makes up for it by patience: a steady
//! delay of 20 ms gets a timeout of 370 ms, where [`Rto`](super::Rto) waits for 24.
//! With a heavy tail that patience is the better choice: 11 of 4000 attempts
//! are given up too early, against 473. (`cargo test --test timeout_shapes --
//! --nocapture` prints the tables.) So: `Rto` where a needless retry is cheap and
//! waiting is not, this where it is the other way round.
//!
//! A timeout is itself a measurement: the delay was *at least* so long. If it
//! were not counted, a delay that has jumped beyond the timeout would never be
//! learned, because no answer would ever come in time to teach it.

use std::time::Duration;

use super::{LimitError, in_order, in_range, not_zero};

/// A timeout of `multiple` times the exponentially weighted mean of the delay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EwmaTimeout {
    limits: EwmaLimits,
    /// Nanoseconds. None until the first sample.
    mean: Option<f64>,
}

/// How an [`EwmaTimeout`] follows the delay, and between what it is kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EwmaLimits {
    /// The weight of a new sample, above 0 and at most 1. Default 1/8, as RFC 6298's SRTT.
    pub weight: f64,
    /// The factor, from 1 to 1000. Default 8 × ln 10, for a `phi` of 8 in Cassandra's terms.
    pub multiple: f64,
    /// Before anything is known. Default 1 s.
    pub initial: Duration,
    /// Never less. Default 10 ms.
    pub min: Duration,
    /// Never more. Default 60 s.
    pub max: Duration,
}

impl Default for EwmaLimits {
    fn default() -> EwmaLimits {
        EwmaLimits {
            weight: 0.125,
            multiple: 8.0 * std::f64::consts::LN_10,
            initial: Duration::from_secs(1),
            min: Duration::from_millis(10),
            max: Duration::from_secs(60),
        }
    }
}

impl EwmaTimeout {
    /// With these limits, and nothing learned yet.
    ///
    /// # Errors
    ///
    /// When a limit is outside its range, or not `0 < min <= initial <= max`.
    pub fn new(limits: EwmaLimits) -> Result<EwmaTimeout, LimitError> {
        in_range("weight", limits.weight, 1e-6, 1.0)?;
        in_range("multiple", limits.multiple, 1.0, 1000.0)?;
        not_zero("min", limits.min)?;
        in_order(("min", limits.min), ("initial", limits.initial))?;
        in_order(("initial", limits.initial), ("max", limits.max))?;
        Ok(EwmaTimeout { limits, mean: None })
    }

    /// Learns from an answer that came `delay` after its request.
    #[inline]
    pub fn observe(&mut self, delay: Duration) {
        let delay = delay.as_nanos() as f64;
        self.mean = Some(match self.mean {
            None => delay,
            Some(mean) => mean + self.limits.weight * (delay - mean),
        });
    }

    /// No answer came within [`timeout`](Self::timeout): counts as a delay of that length.
    pub fn on_timeout(&mut self) {
        self.observe(self.timeout());
    }

    /// How long to wait for an answer to a request that is sent now.
    #[inline]
    pub fn timeout(&self) -> Duration {
        let EwmaLimits { multiple, initial, min, max, .. } = self.limits;
        match self.mean {
            None => initial,
            // Finite and positive; a cast beyond the range gives the largest number.
            Some(mean) => Duration::from_nanos((mean * multiple) as u64).clamp(min, max),
        }
    }

    /// The weighted mean. None before the first sample.
    pub fn mean(&self) -> Option<Duration> {
        self.mean.map(|mean| Duration::from_nanos(mean as u64))
    }
}
