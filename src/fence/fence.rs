//! [`Fence`]: the largest token admitted so far, in one atomic word.

use super::error::{FenceError, StaleToken};
use super::fencing_token::FencingToken;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Remembers the largest token that it has admitted, and refuses smaller ones.
///
/// It is lock-free: a token that was seen before costs one load, and a newer one costs
/// one `fetch_max`. Share it by reference or in an `Arc`.
///
/// ```
/// use truechimer::fence::{Fence, FenceError, FencingToken};
///
/// let fence = Fence::new();
/// let (paused, successor) = (FencingToken(33), FencingToken(34));
/// fence.admit(paused)?;
/// fence.admit(paused)?; // the same holder writes again
/// fence.admit(successor)?; // another holder was granted the lease
/// let Err(FenceError::Stale(stale)) = fence.admit(paused) else { unreachable!() };
/// assert_eq!((stale.offered, stale.newest), (paused, successor));
/// # Ok::<(), FenceError>(())
/// ```
#[derive(Debug)]
pub struct Fence {
    // Relaxed throughout, because no other data is published with this word. All threads
    // agree on the order of its values, `fetch_max` keeps that order rising, and no
    // thread reads an older value than one that it has seen or been told of.
    newest: AtomicU64,
}

impl Fence {
    /// A fence that has seen no token, so it admits any first one.
    ///
    /// Use it for a resource that is created together with the fence. A resource that
    /// existed before needs [`starting_at`](Self::starting_at).
    pub fn new() -> Fence {
        Fence::starting_at(FencingToken::MIN)
    }

    /// A fence that has already admitted `newest`.
    pub fn starting_at(newest: FencingToken) -> Fence {
        Fence { newest: AtomicU64::new(newest.get()) }
    }

    /// Admits `token` if no larger one was admitted before.
    ///
    /// An equal token is admitted, because a holder may write more than once.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens: the caller has been replaced.
    #[inline]
    pub fn admit(&self, token: FencingToken) -> Result<(), FenceError> {
        let newest = self.newest.load(Ordering::Relaxed);
        if token.get() == newest {
            return Ok(());
        }
        self.admit_other(token, newest)
    }

    /// [`admit`](Self::admit) for a token that differs from `seen`, the newest one.
    fn admit_other(&self, token: FencingToken, seen: u64) -> Result<(), FenceError> {
        // The newest token only grows. So one that was above `token` still is.
        let before = if token.get() > seen {
            self.newest.fetch_max(token.get(), Ordering::Relaxed)
        } else {
            seen
        };
        if token.get() < before {
            return Err(StaleToken { offered: token, newest: FencingToken(before) }.into());
        }
        Ok(())
    }

    /// The largest token that was admitted. Store it with the data.
    #[inline]
    pub fn newest(&self) -> FencingToken {
        FencingToken(self.newest.load(Ordering::Relaxed))
    }
}

impl Default for Fence {
    fn default() -> Fence {
        Fence::new()
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::atomic::AtomicBool;
    use loom::sync::Arc;
    use loom::thread;

    const OLD: FencingToken = FencingToken(1);
    const NEW: FencingToken = FencingToken(2);

    type Admit = fn(&Fence, FencingToken) -> Result<(), FenceError>;

    /// The new holder is admitted and tells another thread, which then tries the old token.
    fn the_old_after_the_new(admit: Admit) {
        loom::model(move || {
            let fence = Arc::new(Fence::new());
            let told = Arc::new(AtomicBool::new(false));
            let (shared, tell) = (fence.clone(), told.clone());
            let old_in_time = {
                let fence = fence.clone();
                thread::spawn(move || admit(&fence, OLD))
            };
            let successor = thread::spawn(move || {
                admit(&shared, NEW).expect("nothing is newer");
                tell.store(true, Ordering::Release); // pairs with the Acquire below
            });
            if told.load(Ordering::Acquire) {
                let stale = StaleToken { offered: OLD, newest: NEW };
                let refused = matches!(admit(&fence, OLD), Err(FenceError::Stale(s)) if s == stale);
                assert!(refused, "the old one came in after the new one");
            }
            successor.join().expect("the successor does not panic");
            old_in_time.join().expect("the old holder does not panic").ok();
            assert_eq!(fence.newest(), NEW, "the old one took the place of the new one");
        });
    }

    #[test]
    fn loom_a_stale_token_is_never_admitted_after_a_newer_one() {
        the_old_after_the_new(Fence::admit);
    }

    #[test]
    fn loom_of_racing_tokens_the_largest_stays_and_is_never_refused() {
        loom::model(|| {
            let fence = Arc::new(Fence::new());
            let racers: Vec<_> = [2, 3]
                .map(|token| {
                    let fence = fence.clone();
                    thread::spawn(move || fence.admit(FencingToken(token)).is_ok())
                })
                .into_iter()
                .collect();
            let first = fence.newest();
            let second = fence.newest();
            assert!(first <= second, "went back from {first} to {second}");
            let admitted: Vec<_> =
                racers.into_iter().map(|r| r.join().expect("no panic")).collect();
            assert!(admitted[1], "the largest was refused");
            assert_eq!(fence.newest(), FencingToken(3));
        });
    }

    /// [`Fence::admit`] with a load, a comparison and a store in place of `fetch_max`.
    fn admit_in_two_steps(fence: &Fence, token: FencingToken) -> Result<(), FenceError> {
        let newest = fence.newest.load(Ordering::SeqCst);
        if token.get() < newest {
            return Err(StaleToken { offered: token, newest: FencingToken(newest) }.into());
        }
        fence.newest.store(token.get(), Ordering::SeqCst);
        Ok(())
    }

    #[test]
    #[should_panic(expected = "the old one")]
    fn loom_a_fence_of_two_steps_lets_the_old_one_in() {
        the_old_after_the_new(admit_in_two_steps);
    }
}
