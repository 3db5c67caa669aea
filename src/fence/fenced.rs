//! [`Fenced`]: a value with its fence, so that admission and change are one step.

use std::fmt;

use super::error::FenceError;
use super::fence::Fence;
use super::fencing_token::FencingToken;
use crate::exclusive::Exclusive;
use crate::section::NotAFuture;

/// A value that can be changed only under the largest token seen so far.
///
/// A [`Fence`](super::Fence) in front of a lock leaves a gap. A thread may be admitted,
/// then stopped, and take the lock after its successor did. `Fenced` checks the token
/// while it has the value to itself.
///
/// Threads ([`with`](Self::with)) and tasks ([`with_async`](Self::with_async)) take turns at one
/// value. A section that asks for the same value again waits for itself for ever.
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
    /// Raised only by whoever has the value, and read by anybody.
    fence: Fence,
    value: Exclusive<T>,
}

impl<T> Fenced<T> {
    /// `value`, behind a fence that has seen no token.
    pub fn new(value: T) -> Fenced<T> {
        Fenced::starting_at(FencingToken::MIN, value)
    }

    /// `value`, behind a fence that has already admitted `newest`.
    pub fn starting_at(newest: FencingToken, value: T) -> Fenced<T> {
        Fenced { fence: Fence::starting_at(newest), value: Exclusive::new(value) }
    }

    /// Runs `change` on the value if `token` is not stale. Other callers wait meanwhile, and this
    /// one blocks its thread while another section runs.
    ///
    /// A `change` that returns a future is refused by the compiler, because it would do nothing
    /// before this returned, and its work would be done later, under any token:
    ///
    /// ```compile_fail,E0283
    /// # let balance = truechimer::fence::Fenced::new(100);
    /// # let token = truechimer::FencingToken(2);
    /// let later = balance.with(token, |euros| {
    ///     let euros = *euros;
    ///     async move { euros + 50 } // runs when it is awaited, when another holder may have come
    /// })?;
    /// # Ok::<(), truechimer::fence::FenceError>(())
    /// ```
    ///
    /// The same without the future compiles, and [`with_async`](Self::with_async) is for futures:
    ///
    /// ```
    /// # let balance = truechimer::fence::Fenced::new(100);
    /// # let token = truechimer::FencingToken(2);
    /// let now = balance.with(token, |euros| {
    ///     let euros = *euros;
    ///     euros + 50
    /// })?;
    /// # Ok::<(), truechimer::fence::FenceError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`]. Then `change` did not run.
    pub fn with<R, UseWithAsyncForFutures>(
        &self,
        token: FencingToken,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, FenceError>
    where
        R: NotAFuture<UseWithAsyncForFutures>,
    {
        let mut value = self.value.lock();
        self.fence.admit(token)?;
        Ok(change(&mut value))
    }

    /// Runs the asynchronous `change` on the value if `token` is not stale. Other callers wait
    /// until its future has ended or is dropped, and so does this one, without blocking the thread.
    ///
    /// Dropping the future ends the section where it is: the value keeps what was changed so far,
    /// the token stays admitted, and others may go on at once. So whoever drops it knows only
    /// that no more will be changed under this token by this call.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use truechimer::fence::{Fenced, FencingToken};
    ///
    /// # async fn interest(euros: u64) -> u64 { euros / 100 }
    /// let balance = Fenced::new(100);
    /// let change = async |euros: &mut u64| *euros += interest(*euros).await;
    /// balance.with_async(FencingToken(2), change).await?;
    /// assert!(balance.with_async(FencingToken(1), change).await.is_err());
    /// assert_eq!(balance.into_inner(), (101, FencingToken(2)));
    /// # Ok::<(), truechimer::fence::FenceError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`]. Then `change` did not run.
    pub async fn with_async<R>(
        &self,
        token: FencingToken,
        change: impl AsyncFnOnce(&mut T) -> R,
    ) -> Result<R, FenceError> {
        let mut value = self.value.lock_async().await;
        self.fence.admit(token)?;
        Ok(change(&mut value).await)
    }

    /// The largest token that was admitted, also that of a section that still runs.
    pub fn newest(&self) -> FencingToken {
        self.fence.newest()
    }

    /// The value, and the token of its last holder. Store the two together.
    ///
    /// # Panics
    ///
    /// If a future of [`with_async`](Self::with_async) was leaked (`mem::forget`) in its section.
    /// Then the value is inside of what was leaked.
    pub fn into_inner(self) -> (T, FencingToken) {
        let value = self.value.into_inner().expect("no section's future was leaked");
        (value, self.fence.newest())
    }
}

impl<T> fmt::Debug for Fenced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Printing the value would need it, and `Debug` must not wait for one.
        f.debug_struct("Fenced").finish_non_exhaustive()
    }
}
