//! [`Retries`]: when to try again, and when to stop.
//!
//! A naive client retries at once. A server that has just failed under its load then gets
//! all of it again. Exponential backoff spreads the attempts of one client over time. But
//! a thousand clients that failed together come back together, in the same waves. The
//! cure is randomness: each waits for a random part of its window. And the attempts must
//! end when the answer is of no use any more. Otherwise a slow server stays slow, because
//! it works on requests whose clients have given up.
//!
//! The two kinds of jitter are those of M. Brooker, "Exponential Backoff and Jitter" (AWS
//! Architecture Blog, 2015). The number of attempts counts from 0:
//!
//! ```text
//! full           random(0, min(cap, base × 2^attempt))
//! decorrelated   min(cap, random(base, 3 × the last delay))
//! ```
//!
//! A retry is safe only if the request may be applied twice. So send an
//! [`IdempotencyKey`](super::IdempotencyKey) with it.

use std::time::Duration;

use super::deadline::Deadline;
use super::error::{RetryError, TimeoutError, check_not_zero, check_order};
use crate::clock::truetime::TrueTime;

/// How long to wait between attempts, and how many to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    jitter: Jitter,
    attempts: u32,
}

/// How the delays are made random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Jitter {
    /// From 0 to a window that doubles. This puts the least load on the server.
    #[default]
    Full,
    /// From `base` to three times the last delay. It never retries at once, and is a
    /// little slower.
    Decorrelated,
}

impl Backoff {
    /// Full jitter in windows that double from `base` to `cap`, with no limit of attempts.
    ///
    /// # Errors
    ///
    /// Unless `0 < base <= cap`.
    pub fn new(base: Duration, cap: Duration) -> Result<Backoff, TimeoutError> {
        check_not_zero("base", base)?;
        check_order(("base", base), ("cap", cap))?;
        Ok(Backoff { base, cap, jitter: Jitter::Full, attempts: u32::MAX })
    }

    /// With this kind of jitter.
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Backoff {
        Backoff { jitter, ..self }
    }

    /// At most this many attempts, including the first. 0 counts as 1.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Backoff {
        Backoff { attempts: attempts.max(1), ..self }
    }

    /// The retries of one request. Give each request a seed of its own, because equal
    /// seeds give equal delays.
    pub fn retries(self, seed: u64) -> Retries {
        Retries { backoff: self, random: SplitMix64(seed), made: 1, last: self.base }
    }
}

/// The retries of one request, of which the first attempt has been made.
///
/// ```
/// use std::time::Duration;
/// use truechimer::timeout::Backoff;
///
/// let ms = Duration::from_millis;
/// let mut retries = Backoff::new(ms(10), ms(1_000))?.attempts(4).retries(42);
/// while let Ok(delay) = retries.next_delay() {
///     assert!(delay <= ms(40)); // 10, then 20, then 40 at most
///     // sleep for `delay`, then try again with the same idempotency key
/// }
/// assert_eq!(retries.attempts_made(), 4);
/// # Ok::<(), truechimer::timeout::TimeoutError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Retries {
    backoff: Backoff,
    random: SplitMix64,
    made: u32,
    last: Duration,
}

impl Retries {
    /// How long to wait before the next attempt.
    ///
    /// # Errors
    ///
    /// [`RetryError::NoAttemptsLeft`].
    pub fn next_delay(&mut self) -> Result<Duration, RetryError> {
        let Backoff { base, cap, jitter, attempts } = self.backoff;
        if self.made >= attempts {
            return Err(RetryError::NoAttemptsLeft { attempts: self.made });
        }
        let delay = match jitter {
            Jitter::Full => {
                let doubled = base.saturating_mul(1 << (self.made - 1).min(31));
                self.random.between(Duration::ZERO, doubled.min(cap))
            }
            // As in the source, `cap` limits the drawn delay and not the window.
            Jitter::Decorrelated => self.random.between(base, self.last.saturating_mul(3)).min(cap),
        };
        self.last = delay;
        self.made += 1;
        Ok(delay)
    }

    /// How long to wait before the next attempt, so that `needed` is left after it until
    /// the deadline.
    ///
    /// If the delay does not fit, a new one is drawn from the range that does. Otherwise
    /// all clients with one deadline would come at its last moment.
    ///
    /// # Errors
    ///
    /// [`RetryError::NoAttemptsLeft`], [`RetryError::NoTimeLeft`], and
    /// [`RetryError::Clock`] when the clock returns an error.
    pub fn next_before<C: TrueTime + ?Sized>(
        &mut self,
        clock: &C,
        deadline: Deadline,
        needed: Duration,
    ) -> Result<Duration, RetryError> {
        let left = match deadline.left(clock) {
            Ok(left) => left,
            Err(error @ RetryError::Clock(_)) => return Err(error),
            Err(_) => return Err(RetryError::NoTimeLeft { left: Duration::ZERO, needed }),
        };
        let Some(room) = left.checked_sub(needed) else {
            return Err(RetryError::NoTimeLeft { left, needed });
        };
        let delay = self.next_delay()?;
        if delay <= room {
            return Ok(delay);
        }
        Ok(self.random.between(Duration::ZERO, room))
    }

    /// How many attempts have been made, assuming one after each delay.
    pub fn attempts_made(&self) -> u32 {
        self.made
    }
}

/// G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators" (OOPSLA
/// 2014). Not for secrets.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included. It is `low` if `high` is smaller.
    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        // The high half of the product. Its bias is 2^-64 times the span, which is negligible.
        let part = (u128::from(self.next()) * (u128::from(span) + 1)) >> 64;
        low.saturating_add(Duration::from_nanos(part as u64))
    }
}
