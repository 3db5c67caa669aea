//! [`PhiDetector`]: how much a peer is to be suspected, by its own past.
//!
//! A heartbeat detector with a fixed timeout gives a verdict, and it is wrong in
//! one of two ways: too early for a peer on a slow link, too late for one next
//! door. The phi-accrual detector gives a measure. From the gaps between past
//! heartbeats it estimates how likely a silence of this length is from a peer
//! that is alive: `phi = -log10 P(gap > silence)`. At `phi = 3` one such silence
//! in a thousand gaps is expected of a healthy peer, at 8 one in a hundred
//! million. A load balancer may act at 1, a failover at 8 or 12.
//!
//! Four things that the paper leaves open decide whether it works:
//!
//! - **Our own pauses.** A process that was stopped for ten seconds finds every
//!   peer silent for ten seconds, and convicts them all. So the caller reports
//!   its pauses ([`PhiDetector::paused`]), and they do not count as silence.
//!   What arrives after a pause had been waiting, and comes in a burst: the gaps
//!   of that burst say nothing about the peer, and are not learned.
//! - **A gap that ended in suspicion** was perhaps an absence. Akka does not
//!   learn from it at all; then a peer that slows down for good is suspected at
//!   every heartbeat for ever. Cassandra cuts it. Here it counts as the time
//!   after which suspicion began: one absence changes little, a lasting change
//!   is learned.
//! - **A spread of nothing.** Heartbeats of perfect regularity would make phi
//!   jump from 0 to infinity within a microsecond: hence `min_std_dev`.
//! - **The far tail**, where the obvious program returns infinity: see
//!   [`phi`](super::phi).
//!
//! Its limit is the model: gaps are taken to be normally distributed. With a
//! heavy tail, long gaps are commoner than phi says, and the threshold convicts
//! about as often as a fixed timeout of the same length would (`cargo test --test
//! timeout_shapes` has both). Then raise `acceptable_pause` rather than the threshold.
//!
//! What to read: N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The φ accrual
//! failure detector" (SRDS 2004).

use std::time::Duration;

use super::tail::{deviations_of, of_deviations};
use super::{LimitError, in_range, nanos_up_to, not_zero};

/// A phi-accrual failure detector for one peer.
///
/// Moments are a `Duration` on a monotonic clock of the caller's. A heartbeat is
/// any sign of life that is expected at intervals.
///
/// ```
/// use std::time::Duration;
/// use truechimer::timeout::{PhiDetector, PhiLimits};
///
/// let ms = Duration::from_millis;
/// let mut peer = PhiDetector::new(PhiLimits::default(), ms(0))?;
/// for second in 1..=10 {
///     peer.heartbeat(ms(1_000 * second));
/// }
/// assert!(peer.phi(ms(10_900)) < 1.0); // not due yet
/// assert!(peer.is_suspected(ms(14_000))); // but now
/// peer.paused(ms(3_500)); // it was us who were stopped for most of that
/// assert!(!peer.is_suspected(ms(14_000)));
/// # Ok::<(), truechimer::timeout::LimitError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PhiDetector {
    limits: PhiLimits,
    /// How many standard deviations make the threshold.
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
pub struct PhiLimits {
    /// The phi from which a peer is suspected, from 0.5 to 1000. Default 8, as Akka and Cassandra.
    pub threshold: f64,
    /// How many gaps are remembered, from 2 to 32768. Default 1000, as Cassandra.
    pub window: usize,
    /// The standard deviation is taken to be at least this. Default 100 ms, as
    /// Akka, for heartbeats of a second; choose a tenth of the interval.
    pub min_std_dev: Duration,
    /// Added to the mean gap: a pause that a healthy *peer* may make now and
    /// then, as a garbage collector does. Default 0; Akka's cluster has 3 s.
    pub acceptable_pause: Duration,
    /// The gap expected until there is experience. Default 1 s.
    pub first_interval: Duration,
}

impl Default for PhiLimits {
    fn default() -> PhiLimits {
        PhiLimits {
            threshold: 8.0,
            window: 1000,
            min_std_dev: Duration::from_millis(100),
            acceptable_pause: Duration::ZERO,
            first_interval: Duration::from_secs(1),
        }
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
    /// When a limit is outside its range.
    pub fn new(limits: PhiLimits, now: Duration) -> Result<PhiDetector, LimitError> {
        in_range("threshold", limits.threshold, 0.5, 1000.0)?;
        in_range("window", limits.window as f64, 2.0, MAX_WINDOW as f64)?;
        not_zero("min_std_dev", limits.min_std_dev)?;
        not_zero("first_interval", limits.first_interval)?;
        let mut window = Window::new(limits.window, limits.min_std_dev);
        // A quarter to either side, as Akka: a wide guess, that leaves as the window fills.
        let first = nanos_up_to(limits.first_interval, MAX_GAP_NS / 2);
        window.push(first - first / 4);
        window.push(first + first / 4);
        let deviations = deviations_of(limits.threshold);
        Ok(PhiDetector {
            limits,
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
            // It came at an unknown moment of the pause. Nothing is learned from it.
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
    /// That much silence is not the peer's. Report a pause before asking for
    /// [`phi`](Self::phi), and before the heartbeats that waited meanwhile. A
    /// pause that is reported too late or twice only delays suspicion by its length.
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
        let expected = self.window.mean + nanos(self.limits.acceptable_pause);
        of_deviations((nanos(silence) - expected) / self.window.std_dev)
    }

    /// Whether phi has reached the threshold. Suspected is not dead.
    #[inline]
    pub fn is_suspected(&self, now: Duration) -> bool {
        self.phi(now) >= self.limits.threshold
    }

    /// The silence after which suspicion begins, of time in which we were running.
    ///
    /// Good for setting a timer: `last heartbeat + this + pauses`.
    pub fn suspects_after(&self) -> Duration {
        let silence = self.window.mean
            + nanos(self.limits.acceptable_pause)
            + self.deviations * self.window.std_dev;
        // One more, for what the sum above may have rounded off.
        Duration::from_nanos(silence.max(0.0) as u64).saturating_add(Duration::from_nanos(1))
    }

    /// The mean gap between heartbeats, of those remembered.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.window.mean as u64)
    }

    /// Their standard deviation, at least `min_std_dev`.
    pub fn std_dev(&self) -> Duration {
        Duration::from_nanos(self.window.std_dev as u64)
    }
}

fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// The last gaps, in nanoseconds, and what follows from them.
///
/// The sums are integers. Floating-point sums of a sliding window gather the
/// rounding errors of all that ever passed through it.
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

    /// Adds a gap of at most [`MAX_GAP_NS`], in place of the oldest where the window is full.
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
