//! [`Fenced`]: a value with its fence, so that admission and change are one step.

use std::fmt;

use parking_lot::Mutex;

use super::error::{FenceError, StaleToken};
use super::fencing_token::FencingToken;

/// A value that can be changed only under the largest token seen so far.
///
/// A [`Fence`](super::Fence) in front of a lock leaves a gap. A thread may be admitted,
/// then stopped, and take the lock after its successor did. `Fenced` checks the token
/// while it holds the lock.
///
/// ```
/// use truechimer::fence::{Fenced, FencingToken};
///
/// let balance = Fenced::new(100);
/// balance.with(FencingToken(2), |euros| *euros += 50)?;
/// assert!(balance.with(FencingToken(1), |euros| *euros = 70).is_err());
/// assert_eq!(balance.into_inner(), (150, FencingToken(2)));
/// # Ok::<(), truechimer::fence::FenceError>(())
/// ```
pub struct Fenced<T> {
    state: Mutex<(FencingToken, T)>,
}

impl<T> Fenced<T> {
    /// `value`, behind a fence that has seen no token.
    pub fn new(value: T) -> Fenced<T> {
        Fenced::starting_at(FencingToken::MIN, value)
    }

    /// `value`, behind a fence that has already admitted `newest`.
    pub fn starting_at(newest: FencingToken, value: T) -> Fenced<T> {
        Fenced { state: Mutex::new((newest, value)) }
    }

    /// Runs `change` on the value if `token` is not stale. Other callers wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`]. Then `change` did not run.
    pub fn with<R>(
        &self,
        token: FencingToken,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, FenceError> {
        let mut state = self.state.lock();
        let (newest, value) = &mut *state;
        if token < *newest {
            return Err(StaleToken { offered: token, newest: *newest }.into());
        }
        *newest = token;
        Ok(change(value))
    }

    /// The largest token that was admitted.
    pub fn newest(&self) -> FencingToken {
        self.state.lock().0
    }

    /// The value, and the token of its last holder. Store the two together.
    pub fn into_inner(self) -> (T, FencingToken) {
        let (newest, value) = self.state.into_inner();
        (value, newest)
    }
}

impl<T> fmt::Debug for Fenced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Printing the value would need the lock, and `Debug` must not wait for one.
        f.debug_struct("Fenced").finish_non_exhaustive()
    }
}
