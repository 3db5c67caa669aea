//! [`PhiDetector`]: how strongly to suspect a peer, based on its own past.
//!
//! A heartbeat detector with a fixed timeout answers yes or no, and is wrong in one of two
//! ways: too early for a peer on a slow link, or too late for a near one. The phi-accrual
//! detector gives a measure. From the gaps between past heartbeats it estimates how likely
//! such a silence is from a peer that is alive: `phi = -log10 P(gap > silence)`. At
//! `phi = 3` a healthy peer is expected to be silent for so long once in a thousand gaps,
//! at 8 once in a hundred million. A load balancer may act at 1, a failover at 8 or 12.
//!
//! The paper leaves four things open that decide whether it works:
//!
//! - **Our own pauses.** A process that was stopped for ten seconds finds every peer silent
//!   for ten seconds, and suspects them all. So the caller reports its pauses
//!   ([`PhiDetector::paused`]), and they do not count as silence. Heartbeats that arrive
//!   after a pause had been waiting and come in a burst. The gaps of that burst say nothing
//!   about the peer, so they are not learned.
//! - **A gap that ended in suspicion** may have been an absence. Akka does not learn from
//!   it at all. Then a peer that has become slower for good is suspected at every heartbeat
//!   for ever. Cassandra truncates it. Here it counts as the time after which suspicion
//!   began. So one absence changes little, and a lasting change is learned.
//! - **A spread of zero.** With perfectly regular heartbeats phi would jump from 0 to
//!   infinity within a microsecond. `min_std_dev` prevents that.
//! - **The far tail**, where the obvious program returns infinity: see
//!   [`phi`](super::phi).
//!
//! Its limit is the model, which takes gaps to be normally distributed. With a heavy tail,
//! long gaps are more common than phi says. Then a threshold gives about as many false
//! suspicions as a fixed timeout of the same length (`cargo test --test timeout shapes::`
//! has both). In that case raise `acceptable_pause` rather than the threshold.
//!
//! What to read: N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The φ accrual
//! failure detector" (SRDS 2004).

use std::time::Duration;

use super::error::{TimeoutError, check_not_zero, check_range};
use super::phi::{deviations_of_phi, phi_of_deviations};
use crate::timestamp::duration_nanos;

/// A phi-accrual failure detector for one peer.
///
/// Moments are a `Duration` on a monotonic clock of the caller's. A heartbeat is
/// any sign of life that is expected at regular intervals.
///
/// ```
/// use std::time::Duration;
/// use truechimer::timeout::{PhiDetector, PhiSettings};
///
/// let ms = Duration::from_millis;
/// let mut peer = PhiDetector::new(PhiSettings::default(), ms(0))?;
/// for second in 1..=10 {
///     peer.heartbeat(ms(1_000 * second));
/// }
/// assert!(peer.phi(ms(10_900)) < 1.0); // not due yet
/// assert!(peer.is_suspected(ms(14_000))); // but now
/// peer.paused(ms(3_500)); // we were stopped for most of that time
/// assert!(!peer.is_suspected(ms(14_000)));
/// # Ok::<(), truechimer::timeout::TimeoutError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PhiDetector {
    settings: PhiSettings,
    /// How many standard deviations above the mean the threshold is.
    deviations: f64,
    window: Window,
    last: Duration,
    /// How long this process was not running since `last`.
    paused: Duration,
    /// How many heartbeats may still be waiting since the last pause.
    backlog: u64,
}

/// What a [`PhiDetector`] expects, and when it suspects.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PhiSettings {
    threshold: f64,
    window: usize,
    min_std_dev: Duration,
    acceptable_pause: Duration,
    first_interval: Duration,
}

impl Default for PhiSettings {
    fn default() -> PhiSettings {
        PhiSettings {
            threshold: 8.0,
            window: 1000,
            min_std_dev: Duration::from_millis(100),
            acceptable_pause: Duration::ZERO,
            first_interval: Duration::from_secs(1),
        }
    }
}

impl PhiSettings {
    /// The phi from which a peer is suspected, from 0.5 to 1000; 8 unless set, as in Akka
    /// and Cassandra.
    #[must_use]
    pub fn threshold(self, threshold: f64) -> PhiSettings {
        PhiSettings { threshold, ..self }
    }

    /// How many gaps are remembered, from 2 to 32768; 1000 unless set, as in Cassandra.
    #[must_use]
    pub fn window(self, window: usize) -> PhiSettings {
        PhiSettings { window, ..self }
    }

    /// The least standard deviation that is assumed; 100 ms unless set, as in Akka, for
    /// heartbeats of a second. Choose a tenth of the interval.
    #[must_use]
    pub fn min_std_dev(self, min_std_dev: Duration) -> PhiSettings {
        PhiSettings { min_std_dev, ..self }
    }

    /// The length of a pause that a healthy *peer* may make now and then, as a garbage
    /// collector does. It is added to the mean gap. 0 unless set; Akka's cluster has 3 s.
    #[must_use]
    pub fn acceptable_pause(self, acceptable_pause: Duration) -> PhiSettings {
        PhiSettings { acceptable_pause, ..self }
    }

    /// The expected gap until some have been seen; 1 s unless set.
    #[must_use]
    pub fn first_interval(self, first_interval: Duration) -> PhiSettings {
        PhiSettings { first_interval, ..self }
    }
}

/// The most gaps remembered, so that their squares can be summed exactly.
const MAX_WINDOW: usize = 1 << 15;
/// Longer gaps count as this, three days: `MAX_WINDOW² × MAX_GAP_NS²` fits 128 bits.
const MAX_GAP_NS: u64 = 1 << 48;

impl PhiDetector {
    /// A detector that expects the first heartbeat within `first_interval` of `now`.
    ///
    /// # Errors
    ///
    /// When a setting is outside its range.
    pub fn new(settings: PhiSettings, now: Duration) -> Result<PhiDetector, TimeoutError> {
        check_range("threshold", settings.threshold, 0.5, 1000.0)?;
        check_range("window", settings.window as f64, 2.0, MAX_WINDOW as f64)?;
        check_not_zero("min_std_dev", settings.min_std_dev)?;
        check_not_zero("first_interval", settings.first_interval)?;
        let mut window = Window::new(settings.window, settings.min_std_dev);
        // As in Akka, a wide first guess: a quarter to either side. It leaves as the window fills.
        let first = nanos_up_to(settings.first_interval, MAX_GAP_NS / 2);
        window.push(first - first / 4);
        window.push(first + first / 4);
        let deviations = deviations_of_phi(settings.threshold);
        Ok(PhiDetector {
            settings,
            deviations,
            window,
            last: now,
            paused: Duration::ZERO,
            backlog: 0,
        })
    }

    /// A heartbeat came at `now`.
    pub fn heartbeat(&mut self, now: Duration) {
        let gap = now.saturating_sub(self.last);
        if !self.paused.is_zero() {
            // It came at an unknown moment of the pause, so nothing is learned from it.
            self.paused = Duration::ZERO;
        } else if self.backlog > 0 && 2.0 * nanos(gap) < self.window.mean {
            self.backlog -= 1;
        } else {
            self.backlog = 0;
            self.window.push(nanos_up_to(gap.min(self.suspects_after()), MAX_GAP_NS));
        }
        self.last = self.last.max(now);
    }

    /// This process was not running for `by`, at some time since the last heartbeat.
    ///
    /// That much of the silence is not due to the peer. Report a pause before asking for
    /// [`phi`](Self::phi), and before the heartbeats that waited meanwhile. A pause that is
    /// reported too late or twice only delays suspicion by its length.
    pub fn paused(&mut self, by: Duration) {
        self.paused = self.paused.saturating_add(by);
        let waiting = (nanos(by) / self.window.mean.max(1.0)) as u64;
        self.backlog = self.backlog.saturating_add(waiting).saturating_add(1);
    }

    /// The suspicion at `now`: 0 or more, always finite.
    ///
    /// `-log10` of the probability that a healthy peer is silent for so long.
    #[inline]
    pub fn phi(&self, now: Duration) -> f64 {
        let silence = now.saturating_sub(self.last).saturating_sub(self.paused);
        let expected = self.window.mean + nanos(self.settings.acceptable_pause);
        phi_of_deviations((nanos(silence) - expected) / self.window.std_dev)
    }

    /// Whether phi has reached the threshold. A suspected peer may still be alive.
    #[inline]
    pub fn is_suspected(&self, now: Duration) -> bool {
        self.phi(now) >= self.settings.threshold
    }

    /// The silence after which suspicion begins, counting only time in which we ran.
    ///
    /// Use it to set a timer for `last heartbeat + this + pauses`.
    pub fn suspects_after(&self) -> Duration {
        let silence = self.window.mean
            + nanos(self.settings.acceptable_pause)
            + self.deviations * self.window.std_dev;
        // One nanosecond more, because the sum above may have been rounded down.
        Duration::from_nanos(silence.max(0.0) as u64).saturating_add(Duration::from_nanos(1))
    }

    /// The mean of the remembered gaps between heartbeats.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.window.mean as u64)
    }

    /// Their standard deviation, at least `min_std_dev`.
    pub fn std_dev(&self) -> Duration {
        Duration::from_nanos(self.window.std_dev as u64)
    }
}

/// `duration` in nanoseconds, at most `most`.
fn nanos_up_to(duration: Duration, most: u64) -> u64 {
    duration_nanos(duration).min(most)
}

fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// The last gaps in nanoseconds, their mean and their standard deviation.
///
/// The sums are integers. Floating-point sums of a sliding window would accumulate the
/// rounding errors of every gap that ever passed through it.
#[derive(Clone, Debug)]
struct Window {
    gaps: Vec<u64>,
    capacity: usize,
    next: usize,
    sum: u128,
    sum_of_squares: u128,
    min_std_dev: f64,
    mean: f64,
    std_dev: f64,
}

impl Window {
    fn new(capacity: usize, min_std_dev: Duration) -> Window {
        let min_std_dev = nanos(min_std_dev);
        let (sum, sum_of_squares) = (0, 0);
        let (gaps, next) = (Vec::new(), 0);
        Window {
            gaps,
            capacity,
            next,
            sum,
            sum_of_squares,
            min_std_dev,
            mean: 0.0,
            std_dev: min_std_dev,
        }
    }

    /// Adds a gap of at most [`MAX_GAP_NS`]. It replaces the oldest when the window is full.
    fn push(&mut self, gap: u64) {
        let square = |gap: u64| u128::from(gap) * u128::from(gap);
        if self.gaps.len() < self.capacity {
            self.gaps.push(gap);
        } else {
            let oldest = std::mem::replace(&mut self.gaps[self.next], gap);
            self.sum -= u128::from(oldest);
            self.sum_of_squares -= square(oldest);
        }
        self.next = (self.next + 1) % self.capacity;
        self.sum += u128::from(gap);
        self.sum_of_squares += square(gap);

        let count = self.gaps.len() as u128;
        // n Σx² - (Σx)² is n² times the variance, exactly.
        let spread = count * self.sum_of_squares - self.sum * self.sum;
        self.mean = self.sum as f64 / count as f64;
        self.std_dev = ((spread as f64).sqrt() / count as f64).max(self.min_std_dev);
    }
}
