//! Fencing: the resource itself turns away who has been replaced.
//!
//! # The problem
//!
//! A process holds a lease, checks it, and then is stopped: a collector of
//! garbage, a scheduler, a hypervisor, a slow disk. The lease runs out, another
//! process is granted it and writes. Then the first one goes on, from between
//! its check and its write, and writes too. It cannot know better: no
//! instruction of its own ran in between. HBase lost data this way.
//!
//! # Why a better check does not help
//!
//! However close to the write the lease is checked, there is a moment between
//! the two, and the stop can come there. Nor does it help to shoot the other
//! node: packets that it sent before are still on their way, and two nodes that
//! suspect each other shoot each other.
//!
//! # The insight
//!
//! The *resource* is not stopped together with its client. Let each grant carry
//! a number larger than all before it, the [`FencingToken`]; let each request
//! carry its token; and let the resource remember the largest it has seen and
//! refuse whatever is smaller. A paused holder may then wake whenever it likes.
//!
//! | form | remembers | for |
//! |---|---|---|
//! | [`Fence`] | in memory, lock-free | one resource, a gate in front of other checks |
//! | [`Fenced`] | in memory, with the thing it guards | state that lives in this process |
//! | [`KeyedFence`] | in memory, by key | many resources |
//! | [`DurableFence`] | in a file, one process | a server that restarts |
//! | [`SharedFence`] | in a file, any processes of a machine | a resource without a server |
//!
//! # What the resource must see to
//!
//! - **Admission and write are one step.** A writer that is stopped between
//!   `admit` and its write is the same trouble one step later. Admit inside the
//!   lock or the transaction that does the write. [`Fenced`] does so.
//! - **The largest token outlives a restart** of the resource, or the first
//!   request after the restart may be a stale one. Keep it with the data, in the
//!   same transaction, and begin with [`Fence::starting_at`]; or keep it in a
//!   file of its own, with [`DurableFence`].
//! - **Reads** by a stale holder are harmless only if nothing is decided by them.
//! - Assumed is crash-recovery, not Byzantine: a client that makes up a token of
//!   `u64::MAX` shuts everybody else out. Where clients may lie, the lock
//!   service has to sign what it hands out.
//!
//! To read: Gray and Cheriton, "Leases", SOSP 1989; Burrows, "The Chubby lock
//! service", OSDI 2006, section 2.4 (sequencers); Kleppmann, "Designing
//! Data-Intensive Applications", chapter 9.

mod durable;
mod fenced;
mod keyed;
mod token;

pub use durable::{AdmitError, DurableFence, SharedFence};
pub use fenced::Fenced;
pub use keyed::KeyedFence;
pub use token::{FencingToken, MAX_RAFT_INDEX, MAX_RAFT_TERM, ParseTokenError, TokenError};

use crate::sync::atomic::{AtomicU64, Ordering};

/// A gate that remembers the largest token it has admitted, and refuses smaller ones.
///
/// Lock-free: one load for a token that was seen before, one `fetch_max` for a
/// newer one. Share it by reference or in an `Arc`.
///
/// ```
/// use truechimer::fence::{Fence, FencingToken};
///
/// let fence = Fence::new();
/// let (paused, successor) = (FencingToken(33), FencingToken(34));
/// fence.admit(paused)?;
/// fence.admit(paused)?; // the same holder writes again
/// fence.admit(successor)?; // the lease went to another
/// let refused = fence.admit(paused).unwrap_err(); // the first one wakes
/// assert_eq!((refused.offered, refused.newest), (paused, successor));
/// # Ok::<(), truechimer::fence::StaleToken>(())
/// ```
#[derive(Debug)]
pub struct Fence {
    // Relaxed throughout: there is one word, and it orders nothing but itself.
    // All threads agree on the order of its values, `fetch_max` keeps that order
    // rising, and no thread reads a value older than one it knows of.
    newest: AtomicU64,
}

impl Fence {
    /// A fence that has seen nothing, and so admits any first token.
    ///
    /// Right for a resource that begins with the fence. One that has existed
    /// before needs [`starting_at`](Self::starting_at).
    pub fn new() -> Fence {
        Fence::starting_at(FencingToken::MIN)
    }

    /// A fence that has already admitted `newest`.
    pub fn starting_at(newest: FencingToken) -> Fence {
        Fence { newest: AtomicU64::new(newest.get()) }
    }

    /// Lets `token` in if no larger one was let in before.
    ///
    /// An equal one is let in: a holder writes more than once.
    ///
    /// # Errors
    ///
    /// [`StaleToken`], with both numbers: the caller has been replaced.
    #[inline]
    pub fn admit(&self, token: FencingToken) -> Result<(), StaleToken> {
        let newest = self.newest.load(Ordering::Relaxed);
        if token.get() == newest {
            return Ok(());
        }
        self.admit_another(token, newest)
    }

    /// [`admit`](Self::admit) of a token that is not the one seen last.
    fn admit_another(&self, token: FencingToken, seen: u64) -> Result<(), StaleToken> {
        // A number that was too large when it was loaded can only have grown.
        let before = if token.get() > seen {
            self.newest.fetch_max(token.get(), Ordering::Relaxed)
        } else {
            seen
        };
        if token.get() < before {
            return Err(StaleToken { offered: token, newest: FencingToken(before) });
        }
        Ok(())
    }

    /// The largest token that was let in: what to keep with the data.
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

/// A request came from a holder that has been replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error(
    "the fencing token {offered} is stale: a holder with {newest} has been here since, so stop, \
     drop what was decided under the old lease, and acquire anew"
)]
pub struct StaleToken {
    /// The token of the request.
    pub offered: FencingToken,
    /// The largest token seen by the resource.
    pub newest: FencingToken,
}

impl StaleToken {
    /// Whether the same token can be let in later. It cannot.
    pub fn is_transient(&self) -> bool {
        false
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

    type Admit = fn(&Fence, FencingToken) -> Result<(), StaleToken>;

    /// The new holder is let in and says so; whoever has heard of it tries the old token.
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
                assert_eq!(admit(&fence, OLD), Err(stale), "the old one came in after the new one");
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
    fn admit_in_two_steps(fence: &Fence, token: FencingToken) -> Result<(), StaleToken> {
        let newest = fence.newest.load(Ordering::SeqCst);
        if token.get() < newest {
            return Err(StaleToken { offered: token, newest: FencingToken(newest) });
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
