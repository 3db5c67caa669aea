//! [`EwmaTimeout`]: a multiple of the mean delay, in one word of state.
//!
//! Cassandra's failure detector takes the gaps between heartbeats to be exponentially
//! distributed. Then the suspicion `phi` after a silence of `t` is `t / (mean × ln 10)`,
//! and its threshold of 8 is simply a timeout of `8 × ln 10`, about 18.4, means. That is
//! the form used here: the mean times a factor. Cassandra averages the last 1000 gaps. An
//! exponentially weighted average needs no window and follows a change sooner.
//!
//! It knows nothing about the spread, and compensates with a long timeout. For a steady
//! delay of 20 ms it waits 370 ms, where [`Rto`](super::Rto) waits 24. With a heavy tail
//! the long timeout is the better choice: 11 of 4000 attempts are given up too early,
//! against 473. (`cargo test --test timeout shapes:: -- --nocapture` prints the tables.) So
//! use `Rto` where a needless retry is cheap and waiting is expensive, and this where it
//! is the other way round.
//!
//! A timeout is also a measurement: the delay was *at least* that long. It has to be
//! counted. Otherwise a delay that has jumped beyond the timeout would never be learned,
//! because no answer would come in time to be measured.

use std::time::Duration;

use super::error::{TimeoutError, check_not_zero, check_order, check_range};

/// A timeout of `multiple` times the exponentially weighted mean of the delay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EwmaTimeout {
    settings: EwmaSettings,
    /// In nanoseconds. `None` until the first sample.
    mean: Option<f64>,
}

/// How an [`EwmaTimeout`] follows the delay, and its limits.
///
/// ```
/// use std::time::Duration;
/// use truechimer::timeout::{EwmaSettings, EwmaTimeout};
///
/// let settings = EwmaSettings::default().multiple(10.0).max(Duration::from_secs(5));
/// let mut timeout = EwmaTimeout::new(settings)?;
/// timeout.observe(Duration::from_millis(3));
/// assert_eq!(timeout.timeout(), Duration::from_millis(30));
/// # Ok::<(), truechimer::timeout::TimeoutError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EwmaSettings {
    weight: f64,
    multiple: f64,
    initial: Duration,
    min: Duration,
    max: Duration,
}

impl Default for EwmaSettings {
    fn default() -> EwmaSettings {
        EwmaSettings {
            weight: 0.125,
            multiple: 8.0 * std::f64::consts::LN_10,
            initial: Duration::from_secs(1),
            min: Duration::from_millis(10),
            max: Duration::from_secs(60),
        }
    }
}

impl EwmaSettings {
    /// The weight of a new sample, above 0 and at most 1; 1/8 unless set, as RFC 6298's SRTT.
    #[must_use]
    pub fn weight(self, weight: f64) -> EwmaSettings {
        EwmaSettings { weight, ..self }
    }

    /// The factor, from 1 to 1000; 8 × ln 10 unless set, for a `phi` of 8 in Cassandra's terms.
    #[must_use]
    pub fn multiple(self, multiple: f64) -> EwmaSettings {
        EwmaSettings { multiple, ..self }
    }

    /// The timeout before the first sample; 1 s unless set.
    #[must_use]
    pub fn initial(self, initial: Duration) -> EwmaSettings {
        EwmaSettings { initial, ..self }
    }

    /// The least timeout; 10 ms unless set.
    #[must_use]
    pub fn min(self, min: Duration) -> EwmaSettings {
        EwmaSettings { min, ..self }
    }

    /// The greatest timeout; 60 s unless set.
    #[must_use]
    pub fn max(self, max: Duration) -> EwmaSettings {
        EwmaSettings { max, ..self }
    }
}

impl EwmaTimeout {
    /// A timeout with these settings that has learned nothing yet.
    ///
    /// # Errors
    ///
    /// When a setting is outside its range, or not `0 < min <= initial <= max`.
    pub fn new(settings: EwmaSettings) -> Result<EwmaTimeout, TimeoutError> {
        check_range("weight", settings.weight, 1e-6, 1.0)?;
        check_range("multiple", settings.multiple, 1.0, 1000.0)?;
        check_not_zero("min", settings.min)?;
        check_order(("min", settings.min), ("initial", settings.initial))?;
        check_order(("initial", settings.initial), ("max", settings.max))?;
        Ok(EwmaTimeout { settings, mean: None })
    }

    /// Learns from an answer that came `delay` after its request.
    #[inline]
    pub fn observe(&mut self, delay: Duration) {
        let delay = delay.as_nanos() as f64;
        self.mean = Some(match self.mean {
            None => delay,
            Some(mean) => mean + self.settings.weight * (delay - mean),
        });
    }

    /// No answer came within [`timeout`](Self::timeout). That counts as a delay of that length.
    pub fn on_timeout(&mut self) {
        self.observe(self.timeout());
    }

    /// How long to wait for an answer to a request that is sent now.
    #[inline]
    pub fn timeout(&self) -> Duration {
        let EwmaSettings { multiple, initial, min, max, .. } = self.settings;
        match self.mean {
            None => initial,
            // The product is finite and positive. A cast beyond the range gives the largest number.
            Some(mean) => Duration::from_nanos((mean * multiple) as u64).clamp(min, max),
        }
    }

    /// The weighted mean. `None` before the first sample.
    pub fn mean(&self) -> Option<Duration> {
        self.mean.map(|mean| Duration::from_nanos(mean as u64))
    }
}
