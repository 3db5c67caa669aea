//! [`Retries`]: when to ask again, and when to stop asking.
//!
//! The naive retry comes at once, and a server that has just fallen over under
//! its load gets all of it again. Exponential backoff spreads the attempts of
//! one client over time, but a thousand clients that failed together come back
//! together, in the same waves. The cure is randomness: each waits for a random
//! part of its window. And the attempts must end when the answer is of no use any
//! more, or a slow server is kept slow by work that nobody waits for.
//!
//! The two kinds of jitter are those of M. Brooker, "Exponential Backoff and
//! Jitter" (AWS Architecture Blog, 2015): with the number of attempts counted
//! from 0,
//!
//! ```text
//! full           random(0, min(cap, base × 2^attempt))
//! decorrelated   min(cap, random(base, 3 × the last delay))
//! ```
//!
//! A retry is safe only if applying the request twice is: send an
//! [`IdempotencyKey`](super::IdempotencyKey) with it.

use std::time::Duration;

use crate::clock::TrueTime;
use crate::snapshot::ClockError;

use super::{Deadline, DeadlineError, LimitError, in_order, not_zero};

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
    /// From 0 to a window that doubles. The least load on the server.
    #[default]
    Full,
    /// From `base` to three times the last delay. Never at once, and a little slower.
    Decorrelated,
}

/// Why there is no further attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GiveUp {
    /// All attempts have been made.
    #[error(
        "all {attempts} attempts have been made: the server is down or the request cannot succeed; \
         whether one of them was applied is not known"
    )]
    NoAttemptsLeft {
        /// How many were made, the first one included.
        attempts: u32,
    },
    /// There is not enough time for another one.
    #[error(
        "{left:?} are left until the deadline and an attempt needs {needed:?}: whether an earlier \
         one was applied is not known"
    )]
    NoTimeLeft {
        /// What is left, at least.
        left: Duration,
        /// What an attempt needs, by the caller's word.
        needed: Duration,
    },
    /// How much time is left is not known.
    #[error("how much time is left is not known: {0}")]
    Clock(#[from] ClockError),
}

impl GiveUp {
    /// Whether the same call may succeed later: only if the clock comes back.
    pub fn is_transient(&self) -> bool {
        match self {
            GiveUp::Clock(error) => error.is_transient(),
            GiveUp::NoAttemptsLeft { .. } | GiveUp::NoTimeLeft { .. } => false,
        }
    }
}

impl Backoff {
    /// Full jitter in windows that double from `base` to `cap`, without end.
    ///
    /// # Errors
    ///
    /// Unless `0 < base <= cap`.
    pub fn new(base: Duration, cap: Duration) -> Result<Backoff, LimitError> {
        not_zero("base", base)?;
        in_order(("base", base), ("cap", cap))?;
        Ok(Backoff { base, cap, jitter: Jitter::Full, attempts: u32::MAX })
    }

    /// With this kind of jitter.
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Backoff {
        Backoff { jitter, ..self }
    }

    /// With so many attempts in all, the first one included. 0 is taken as 1.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Backoff {
        Backoff { attempts: attempts.max(1), ..self }
    }

    /// The retries of one request. Give each request a seed of its own, or
    /// they all wait for the same times; the same seed gives the same delays.
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
/// # Ok::<(), truechimer::timeout::LimitError>(())
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
    /// [`GiveUp::NoAttemptsLeft`].
    pub fn next_delay(&mut self) -> Result<Duration, GiveUp> {
        let Backoff { base, cap, jitter, attempts } = self.backoff;
        if self.made >= attempts {
            return Err(GiveUp::NoAttemptsLeft { attempts: self.made });
        }
        let delay = match jitter {
            Jitter::Full => {
                let doubled = base.saturating_mul(1 << (self.made - 1).min(31));
                self.random.between(Duration::ZERO, doubled.min(cap))
            }
            // The window itself is not cut to `cap`, only what is drawn from it, as in the source.
            Jitter::Decorrelated => self.random.between(base, self.last.saturating_mul(3)).min(cap),
        };
        self.last = delay;
        self.made += 1;
        Ok(delay)
    }

    /// How long to wait before the next attempt, if after that `needed` is left until the deadline.
    ///
    /// Where the delay does not fit it is drawn anew from what does, so that
    /// clients with one deadline do not all come at its last moment.
    ///
    /// # Errors
    ///
    /// [`GiveUp`], whose reasons are exhausted attempts, too little time, and a
    /// clock that gives no reading.
    pub fn next_before<C: TrueTime + ?Sized>(
        &mut self,
        clock: &C,
        deadline: Deadline,
        needed: Duration,
    ) -> Result<Duration, GiveUp> {
        let left = match deadline.left(clock) {
            Ok(left) => left,
            Err(DeadlineError::Clock(error)) => return Err(GiveUp::Clock(error)),
            Err(_) => return Err(GiveUp::NoTimeLeft { left: Duration::ZERO, needed }),
        };
        let Some(room) = left.checked_sub(needed) else {
            return Err(GiveUp::NoTimeLeft { left, needed });
        };
        let delay = self.next_delay()?;
        if delay <= room {
            return Ok(delay);
        }
        Ok(self.random.between(Duration::ZERO, room))
    }

    /// How many attempts have been made, if each delay was followed by one.
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

    /// From `low` to `high`, both included; `low` where they are the wrong way round.
    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        // The high half of a product: uneven by 2^-64 times the span, which no one can see.
        let part = (u128::from(self.next()) * (u128::from(span) + 1)) >> 64;
        low.saturating_add(Duration::from_nanos(part as u64))
    }
}
