//! [`SharedFence::with_async`]: a section of a task under the lock of a file.
//!
//! Waiting for the lock and writing the file block a thread, for as long as another process and
//! the disk take. So a thread is started for it, and the task waits for that thread. There is at
//! most one such thread for a fence and its clones: the other tasks wait for their turn first, on
//! the timer of the crate's waits, which ends them when their patience does.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::task::Poll;

use super::durable::SharedFence;
use super::error::FenceError;
use super::fencing_token::FencingToken;
use crate::background::Background;
use crate::durable::RecordError;
use crate::exclusive::Turn;
use crate::store::{Owner, StoreError};
use crate::wait::{deadline_after, sleep_until};

impl SharedFence {
    /// Runs the asynchronous `change` if `token` is not stale, while no other process and no other
    /// task can run one.
    ///
    /// The file is locked until the future of `change` has ended, so keep it short. Waiting for the
    /// lock and writing the file are done on a thread that is started for it, so the executor's
    /// thread is not blocked.
    ///
    /// # Dropping the future
    ///
    /// A dropped future releases the lock, at once if `change` has begun. If it has not begun, the
    /// thread that waits for the file notices within a millisecond, or when its disk has answered.
    /// Whoever drops it does not know how much was changed: nothing, a part, or all. The token may
    /// have been admitted, and stays so: smaller ones are refused from then on, and the same one
    /// may try again.
    ///
    /// # Fork
    ///
    /// The lock is the parent's. So in the child of a `fork` a future that was begun in the parent
    /// is an error when it is polled, and `change` goes no further there.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("fence");
    /// # futures::executor::block_on(async {
    /// use std::time::Duration;
    /// use truechimer::fence::{FencingToken, SharedFence};
    ///
    /// # async fn write() -> u64 { 7 }
    /// let fence = SharedFence::create_new(&path, Duration::from_secs(5))?;
    /// let written = fence.with_async(FencingToken(34), async || write().await).await?;
    /// assert_eq!(written, 7);
    /// assert!(fence.with_async(FencingToken(33), async || unreachable!()).await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`with`](Self::with). Then `change` did not run. And
    /// [`Forked`](StoreError::Forked) in a child, where it may have run in part.
    pub async fn with_async<R>(
        &self,
        token: FencingToken,
        change: impl AsyncFnOnce() -> R,
    ) -> Result<R, FenceError> {
        let owner = Owner::this_process();
        let mut section = Box::pin(self.section(token, change));
        let ended = poll_fn(|context| match owner.check(&self.place()) {
            Ok(()) => section.as_mut().poll(context).map(Ok),
            Err(forked) => Poll::Ready(Err(forked)),
        });
        match ended.await {
            Ok(result) => result,
            Err(forked) => {
                // What it holds is the parent's, and the parent's threads may have locked it.
                mem::forget(section);
                Err(RecordError::from(forked).into())
            }
        }
    }

    async fn section<R>(
        &self,
        token: FencingToken,
        change: impl AsyncFnOnce() -> R,
    ) -> Result<R, FenceError> {
        let deadline = deadline_after(self.patience());
        let turn = self.turn(deadline).await?;
        let fence = self.clone();
        let call = Background::start("truechimer-fence", move |is_abandoned| {
            let in_time = || std::time::Instant::now() < deadline;
            fence.admit(token, |_| in_time() && !is_abandoned.get())
        });
        let no_thread = |error| self.failed("start a thread for", error);
        let admitted = call.map_err(no_thread)?.await;
        let record = admitted.map_err(|error| self.failed("wait for", error))??;
        let result = change().await;
        // The record holds the lock, so it must live until after the change. The turn ends after
        // it, so that the next task finds the file unlocked.
        drop(record);
        drop(turn);
        Ok(result)
    }

    /// Waits until no other task of this process uses the file, but not beyond `deadline`.
    async fn turn(&self, deadline: std::time::Instant) -> Result<Turn<'_, ()>, FenceError> {
        let mut turn = pin!(self.tasks.lock_async());
        let mut sleep = None;
        poll_fn(|context| {
            if let Poll::Ready(turn) = turn.as_mut().poll(context) {
                return Poll::Ready(Ok(turn));
            }
            let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            match sleep.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(_)) => {
                    let holder = "another task of this process".to_owned();
                    let locked = StoreError::Locked { place: self.place(), holder };
                    Poll::Ready(Err(RecordError::from(locked).into()))
                }
                Poll::Ready(Err(error)) => {
                    let error = std::io::Error::other(error);
                    Poll::Ready(Err(self.failed("start a thread for", error)))
                }
            }
        })
        .await
    }

    fn failed(&self, action: &'static str, error: std::io::Error) -> FenceError {
        RecordError::from(StoreError::io(action, self.place(), error)).into()
    }
}
