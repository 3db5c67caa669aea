//! [`WaitSettings`]: how precise a wait is, what that may cost, and when it gives up.

use std::time::Duration;

use super::planner::Planner;

/// How waits are done. The defaults suit a database on an ordinary host.
///
/// ```
/// use std::time::Duration;
/// use truechimer::wait::WaitSettings;
///
/// // Never spin, and give up on a clock that has stopped for 100 ms.
/// let settings =
///     WaitSettings::default().spin(Duration::ZERO).patience(Duration::from_millis(100));
/// # let _ = settings;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitSettings {
    pub(super) max_drift_ppm: u32,
    pub(super) spin: Duration,
    pub(super) max_sleep: Duration,
    pub(super) patience: Duration,
}

impl Default for WaitSettings {
    fn default() -> WaitSettings {
        let Planner { max_drift_ppm, spin, max_sleep, .. } = Planner::default();
        WaitSettings { max_drift_ppm, spin, max_sleep, patience: Duration::from_secs(1) }
    }
}

impl WaitSettings {
    /// How far the monotonic clock's rate may be from true time, in parts per
    /// million; 200 unless set.
    ///
    /// Sleeps are shortened by that much. A kernel clock that is being slewed hard
    /// may be further off. Then a sleep ends late, but the wait is still correct.
    #[must_use]
    pub fn max_drift_ppm(self, max_drift_ppm: u32) -> Self {
        WaitSettings { max_drift_ppm, ..self }
    }

    /// For how long one wait may spin in total; 150 µs unless set.
    ///
    /// Spinning trades processor time for precision. With 0 a wait only sleeps and
    /// ends when the kernel wakes it, which is 30 to 200 µs late.
    #[must_use]
    pub fn spin(self, spin: Duration) -> Self {
        WaitSettings { spin, ..self }
    }

    /// The longest single sleep; 5 ms unless set.
    ///
    /// The clock is read again after each sleep. So a bound that has narrowed ends
    /// the wait at most this much later than it could have.
    #[must_use]
    pub fn max_sleep(self, max_sleep: Duration) -> Self {
        WaitSettings { max_sleep, ..self }
    }

    /// How long a wait without a deadline goes on while the clock returns errors
    /// or has stopped; 1 s unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        WaitSettings { patience, ..self }
    }

    /// The plan of a wait that has already spun for `spun`.
    pub(super) fn planner(&self, spun: Duration, margin: Duration) -> Planner {
        let spin = self.spin.saturating_sub(spun);
        Planner { max_drift_ppm: self.max_drift_ppm, spin, margin, max_sleep: self.max_sleep }
    }
}
