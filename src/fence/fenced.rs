//! [`Fenced`]: a value and its fence, so that admission and change are one step.

use std::fmt;

use parking_lot::Mutex;

use super::{FencingToken, StaleToken};

/// A value that is changed only under the largest token seen so far.
///
/// A [`Fence`](super::Fence) in front of a lock leaves a gap: a thread may be
/// admitted, stopped, and take the lock after its successor has. Here the token
/// is judged while the lock is held.
///
/// ```
/// use truechimer::fence::{Fenced, FencingToken};
///
/// let balance = Fenced::new(100);
/// balance.with(FencingToken(2), |euros| *euros += 50)?;
/// assert!(balance.with(FencingToken(1), |euros| *euros = 70).is_err());
/// assert_eq!(balance.into_inner(), (150, FencingToken(2)));
/// # Ok::<(), truechimer::fence::StaleToken>(())
/// ```
pub struct Fenced<T> {
    state: Mutex<(FencingToken, T)>,
}

impl<T> Fenced<T> {
    /// `value`, behind a fence that has seen nothing.
    pub fn new(value: T) -> Fenced<T> {
        Fenced::starting_at(FencingToken::MIN, value)
    }

    /// `value` as the holder of `newest` left it.
    pub fn starting_at(newest: FencingToken, value: T) -> Fenced<T> {
        Fenced { state: Mutex::new((newest, value)) }
    }

    /// Runs `change` on the value if `token` is not stale. Others wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`StaleToken`]: `change` was not run.
    pub fn with<R>(
        &self,
        token: FencingToken,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, StaleToken> {
        let mut state = self.state.lock();
        let (newest, value) = &mut *state;
        if token < *newest {
            return Err(StaleToken { offered: token, newest: *newest });
        }
        *newest = token;
        Ok(change(value))
    }

    /// The largest token that was let in.
    pub fn newest(&self) -> FencingToken {
        self.state.lock().0
    }

    /// The value, and the token of its last holder: keep the two together.
    pub fn into_inner(self) -> (T, FencingToken) {
        let (newest, value) = self.state.into_inner();
        (value, newest)
    }
}

impl<T> fmt::Debug for Fenced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value only changes under the lock, and Debug must not wait for one.
        f.debug_struct("Fenced").finish_non_exhaustive()
    }
}
