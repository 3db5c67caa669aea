//! [`Background`]: a call that may block, on a thread of its own, as a future.
//!
//! A task must not wait for a disk on its executor's thread, because all other tasks of that
//! thread would wait too. There is no pool: what is done here ends in a sync of a file, which
//! takes many times as long as it takes to start a thread.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::fork::{Mutex, ProcessKey};

/// The result of a call on another thread.
///
/// Dropping it does not end the call, which may see that by [`IsAbandoned`]. Its result is dropped
/// on its thread.
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct Background<T> {
    shared: Arc<Shared<T>>,
    process: ProcessKey,
}

struct Shared<T> {
    outcome: Mutex<Outcome<T>>,
    is_abandoned: AtomicBool,
}

enum Outcome<T> {
    Pending(Option<Waker>),
    Returned(T),
    /// The call panicked, or its result was taken.
    None,
}

/// Tells a call whether nobody waits for its result any more.
pub(crate) struct IsAbandoned<'a>(&'a AtomicBool);

impl IsAbandoned<'_> {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<T: Send + 'static> Background<T> {
    /// Starts `call` on a thread of this name.
    ///
    /// # Errors
    ///
    /// If no thread can be started. Then `call` is dropped.
    pub(crate) fn start(
        name: &str,
        call: impl FnOnce(IsAbandoned<'_>) -> T + Send + 'static,
    ) -> io::Result<Background<T>> {
        let outcome = Mutex::new(Outcome::Pending(None));
        let shared = Arc::new(Shared { outcome, is_abandoned: AtomicBool::new(false) });
        let finish = Finish(shared.clone());
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let result = call(IsAbandoned(&finish.0.is_abandoned));
            finish.0.end(Outcome::Returned(result));
        })?;
        Ok(Background { shared, process: ProcessKey::current() })
    }
}

impl<T> Shared<T> {
    fn end(&self, outcome: Outcome<T>) {
        let mut now = self.outcome.lock();
        if let Outcome::Pending(waker) = &mut *now {
            let waker = waker.take();
            *now = outcome;
            drop(now);
            // Without the lock, because a waker may run a task here.
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// Ends the call if it panics.
struct Finish<T>(Arc<Shared<T>>);

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        self.0.end(Outcome::None);
    }
}

impl<T> Future for Background<T> {
    /// An error if the call panicked, or if a forked child polls: the thread is its parent's.
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.process != ProcessKey::current() {
            let error = "it was begun before a fork, by a thread that only the parent has";
            return Poll::Ready(Err(io::Error::other(error)));
        }
        let mut outcome = self.shared.outcome.lock();
        match std::mem::replace(&mut *outcome, Outcome::None) {
            Outcome::Returned(result) => Poll::Ready(Ok(result)),
            Outcome::None => Poll::Ready(Err(io::Error::other("the call panicked"))),
            Outcome::Pending(old) => {
                *outcome = Outcome::Pending(Some(context.waker().clone()));
                // Dropping a waker may drop a task, and with it this future.
                drop(outcome);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.shared.is_abandoned.store(true, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::sync::mpsc;

    #[test]
    fn the_result_comes_and_a_panic_is_an_error() {
        let call = Background::start("test", |_| 7).expect("a thread");
        assert_eq!(block_on(call).expect("it returns"), 7);
        let call = Background::start("test", |_| -> u32 { panic!("on purpose") });
        let error = block_on(call.expect("a thread")).expect_err("it panics");
        assert!(error.to_string().contains("panicked"), "{error}");
    }

    #[test]
    fn a_call_whose_future_is_dropped_sees_it_and_drops_its_result() {
        struct Tells(mpsc::Sender<()>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send(()).expect("the test waits");
            }
        }
        let (told, tell) = mpsc::channel();
        let call = Background::start("test", |is_abandoned| {
            while !is_abandoned.get() {
                thread::yield_now();
            }
            Tells(told)
        });
        drop(call);
        tell.recv().expect("the result was dropped");
    }
}
