//! [`PerProcess`]: a value of which every process has its own.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use arc_swap::ArcSwapOption;

use super::ProcessKey;

/// A value that the child of a fork makes anew, and never waits for its parent's.
pub(crate) struct PerProcess<T> {
    current: ArcSwapOption<Owned<T>>,
    /// The process one of whose threads makes the value now, or [`NOBODY`].
    maker: AtomicU64,
}

const NOBODY: u64 = 0;

/// The value of one process.
pub(crate) struct Owned<T> {
    process: ProcessKey,
    /// The real process, where `process` is simulated.
    made_in: ProcessKey,
    value: T,
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PerProcess<T> {
    /// No process has a value yet.
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { current: ArcSwapOption::const_empty(), maker: AtomicU64::new(NOBODY) }
    }

    /// `process` has this value.
    pub(crate) fn of(process: ProcessKey, value: T) -> PerProcess<T> {
        let this = PerProcess::new();
        this.current.store(Some(Owned::new(process, value)));
        this
    }

    /// The value of `process`. At the first call in a process, `make` makes it from the
    /// parent's value, if there was one. It must not wait for a lock in that value.
    ///
    /// One thread makes it, and others wait for that one. A thread of an ancestor is not
    /// waited for.
    pub(crate) fn get(
        &self,
        process: ProcessKey,
        make: impl FnOnce(Option<&T>) -> T,
    ) -> Arc<Owned<T>> {
        loop {
            if let Some(made) = self.made_by(process) {
                return made;
            }
            let maker = self.maker.load(Ordering::Relaxed);
            if maker == process.number() {
                thread::yield_now();
                continue;
            }
            // Acquire pairs with the release in `Turn`. Any other number is of a thread that
            // did not come along.
            let (taken, not_taken) = (Ordering::Acquire, Ordering::Relaxed);
            if self.maker.compare_exchange(maker, process.number(), taken, not_taken).is_err() {
                continue;
            }
            let _turn = Turn(&self.maker);
            if let Some(made) = self.made_by(process) {
                return made;
            }
            let parents = self.current.load_full();
            let made = Owned::new(process, make(parents.as_deref().map(|owned| &owned.value)));
            drop(parents);
            leave(self.current.swap(Some(made.clone())));
            return made;
        }
    }

    fn made_by(&self, process: ProcessKey) -> Option<Arc<Owned<T>>> {
        let current = self.current.load();
        current.as_ref().filter(|owned| owned.process == process).cloned()
    }
}

impl<T> Owned<T> {
    fn new(process: ProcessKey, value: T) -> Arc<Owned<T>> {
        Arc::new(Owned { process, made_in: ProcessKey::current(), value })
    }
}

/// Drops a value of this process, and forgets one of an ancestor: a thread that does not
/// exist here may have been in the middle of changing it.
fn leave<T>(owned: Option<Arc<Owned<T>>>) {
    if owned.as_ref().is_some_and(|owned| owned.made_in != ProcessKey::current()) {
        mem::forget(owned);
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        leave(self.current.swap(None));
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> PerProcess<T> {
        PerProcess::new()
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}

/// The turn to make the value, which ends in a panic too.
struct Turn<'a>(&'a AtomicU64);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(NOBODY, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::fork::Mutex;

    const PARENT: u32 = 1;
    const CHILD: u32 = 2;

    fn key(number: u32) -> ProcessKey {
        ProcessKey::simulated(number)
    }

    #[test]
    fn a_child_makes_its_own_value_from_its_parents_and_once() {
        let numbers = PerProcess::of(key(PARENT), Mutex::new(7));
        assert_eq!(*numbers.get(key(PARENT), |_| unreachable!("it is there")).lock(), 7);
        let childs = numbers.get(key(CHILD), |parents| {
            let parents = parents.and_then(Mutex::try_lock).map(|number| *number);
            Mutex::new(parents.expect("free") + 1)
        });
        assert_eq!(*childs.lock(), 8);
        *childs.lock() += 1;
        assert_eq!(*numbers.get(key(CHILD), |_| unreachable!("made once")).lock(), 9);
    }

    #[test]
    fn a_value_whose_lock_a_dead_thread_holds_is_replaced() {
        let numbers = PerProcess::of(key(PARENT), Mutex::new(7));
        std::mem::forget(numbers.get(key(PARENT), |_| unreachable!("it is there")).lock());
        let childs = numbers.get(key(CHILD), |parents| {
            assert!(parents.expect("a parent").try_lock().is_none());
            Mutex::new(0)
        });
        assert_eq!(*childs.lock(), 0);
    }

    #[test]
    fn a_thread_of_the_parent_that_makes_the_value_is_not_waited_for() {
        let numbers: PerProcess<u32> = PerProcess::new();
        numbers.maker.store(PARENT.into(), Ordering::Relaxed);
        assert_eq!(**numbers.get(key(CHILD), |parents| parents.map_or(1, |_| 2)), 1);
        assert_eq!(numbers.maker.load(Ordering::Relaxed), NOBODY);
    }

    #[test]
    fn two_threads_make_one_value() {
        let made = AtomicU64::new(0);
        let numbers: PerProcess<u64> = PerProcess::new();
        let make = || **numbers.get(key(PARENT), |_| made.fetch_add(1, Ordering::Relaxed));
        let seen: Vec<u64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!((seen, made.into_inner()), (vec![0; 4], 1));
    }
}
