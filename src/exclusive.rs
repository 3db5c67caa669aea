//! [`Exclusive`]: a value that one section at a time has, be it a thread's or a task's.
//!
//! A section under a fencing token may be asynchronous, and then it keeps its right for as long
//! as its future lives. The guard of a lock of std or of parking_lot belongs to a thread, so it
//! cannot be held across an `await` in a task that moves between threads. Here the value itself
//! is moved out and back in, and its absence is the lock. Nothing is held in between but the
//! value, so a section may do anything, and dropping a future returns the value.
//!
//! # Who is woken
//!
//! When the value comes back, one sleeping thread is woken and *every* waiting task. A task that
//! was woken may never be polled again, because something else in it goes on first. If the turn
//! were passed to that task alone, all others would wait for it for ever. So the tasks race, and
//! those that lose wait again. There is no order among those that wait.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::fork::{Condvar, Mutex};

/// A value of which one holder at a time has the use.
pub(crate) struct Exclusive<T> {
    state: Mutex<State<T>>,
    returned: Condvar,
}

struct State<T> {
    /// `None` while somebody has it. It is boxed, because it moves with each section.
    value: Option<Box<T>>,
    /// The tasks that wait, by the numbers of their futures.
    waiting: BTreeMap<u64, Waker>,
    issued: u64,
}

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Exclusive<T> {
        let state = State { value: Some(Box::new(value)), waiting: BTreeMap::new(), issued: 0 };
        Exclusive { state: Mutex::new(state), returned: Condvar::default() }
    }

    /// Waits for the value with the thread.
    pub(crate) fn lock(&self) -> Turn<'_, T> {
        let mut state = self.state.lock();
        loop {
            if let Some(value) = state.value.take() {
                return Turn { of: self, value: Some(value) };
            }
            state = self.returned.wait(state);
        }
    }

    /// Waits for the value without blocking the thread. Dropping the future ends the wait.
    pub(crate) fn lock_async(&self) -> WaitForTurn<'_, T> {
        WaitForTurn { of: self, number: None }
    }

    /// The value, if nobody has it. Somebody has it for ever if its section's future was leaked.
    pub(crate) fn into_inner(self) -> Option<T> {
        self.state.into_inner().value.map(|value| *value)
    }
}

impl<T> fmt::Debug for Exclusive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Printing the value would need it, and `Debug` must not wait.
        f.debug_struct("Exclusive").finish_non_exhaustive()
    }
}

/// The use of the value. Dropping it, also in a panic, returns the value.
#[must_use = "dropping it returns the value"]
pub(crate) struct Turn<'a, T> {
    of: &'a Exclusive<T>,
    /// `None` only inside `drop`.
    value: Option<Box<T>>,
}

const HELD: &str = "a turn has the value until it is dropped";

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect(HELD)
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect(HELD)
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.value = self.value.take();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.of.returned.notify_one();
        // Without the lock, because a waker may run a task here, which may take it.
        waiting.into_values().for_each(Waker::wake);
    }
}

/// A task's wait for the value, made by [`Exclusive::lock_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct WaitForTurn<'a, T> {
    of: &'a Exclusive<T>,
    number: Option<u64>,
}

impl<'a, T> Future for WaitForTurn<'a, T> {
    type Output = Turn<'a, T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn<'a, T>> {
        let this = self.get_mut();
        let of = this.of;
        let mut state = of.state.lock();
        if let Some(value) = state.value.take() {
            return Poll::Ready(Turn { of, value: Some(value) });
        }
        let number = *this.number.get_or_insert_with(|| {
            state.issued += 1;
            state.issued
        });
        let old = state.waiting.insert(number, context.waker().clone());
        // Dropping a waker may drop a task, and with it another wait for this value.
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for WaitForTurn<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = self.of.state.lock().waiting.remove(&number);
        drop(waker); // see `poll`
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;
    use std::thread;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A waiting future, and how often it was woken.
    fn wait(of: &Exclusive<u32>) -> (Pin<Box<WaitForTurn<'_, u32>>>, Arc<Count>) {
        let (mut wait, count) = (Box::pin(of.lock_async()), Arc::new(Count::default()));
        assert!(poll(&mut wait, &count).is_pending());
        (wait, count)
    }

    fn poll<'a>(
        wait: &mut Pin<Box<WaitForTurn<'a, u32>>>,
        count: &Arc<Count>,
    ) -> Poll<Turn<'a, u32>> {
        wait.as_mut().poll(&mut Context::from_waker(&Waker::from(count.clone())))
    }

    fn woken(count: &Count) -> u32 {
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_task_that_is_woken_and_not_polled_keeps_nobody_from_the_value() {
        let number = Exclusive::new(1);
        let turn = number.lock();
        let (_never_polled_again, first) = wait(&number);
        let (mut second, count) = wait(&number);
        drop(turn);
        assert_eq!((woken(&first), woken(&count)), (1, 1));
        let Poll::Ready(mut turn) = poll(&mut second, &count) else { panic!("it is free") };
        *turn += 1;
        drop(turn);
        assert_eq!(*number.lock(), 2);
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_and_a_repeated_poll_is_woken_once() {
        let number = Exclusive::new(1);
        let turn = number.lock();
        let (dropped, gone) = wait(&number);
        drop(dropped);
        assert_eq!(Arc::strong_count(&gone), 1, "its waker is gone");
        let (mut repeated, count) = wait(&number);
        assert!(poll(&mut repeated, &count).is_pending());
        drop(turn);
        assert_eq!((woken(&gone), woken(&count)), (0, 1));
    }

    #[test]
    fn threads_take_turns_and_a_panic_returns_the_value() {
        let number = Exclusive::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| *number.lock() += 1));
            }
            let panics = scope.spawn(|| {
                let _turn = number.lock();
                panic!("on purpose");
            });
            panics.join().expect_err("it panics");
        });
        assert_eq!(number.into_inner(), Some(4000));
    }
}
