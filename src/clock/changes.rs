//! [`Changes`]: how a clock that is moved by hand wakes the waits that sleep on it.
//!
//! A wait on a running clock knows roughly when to read it again, because true time
//! passes at a known rate. A wait on a clock that is moved by hand cannot know that. So such a clock keeps a list of the waits that sleep, and wakes them
//! after each move. The running clock has no such list and pays nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::fork::{Mutex, Owned, PerProcess, ProcessKey};

/// The waits that sleep on a clock which is moved by hand.
///
/// Such a clock owns one, gives it out by
/// [`TrueTime::changes`](crate::TrueTime::changes), and calls
/// [`notify`](Self::notify) after *each* move, because the waits rely on it. Clones
/// share one list.
///
/// The child of a `fork` begins with an empty list: the waits in its parent's are of
/// threads that it does not have. A wait that is polled in the child subscribes there.
#[derive(Clone, Default, Debug)]
pub struct Changes {
    listeners: Arc<PerProcess<Mutex<Listeners>>>,
}

#[derive(Default, Debug)]
struct Listeners {
    issued: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// The list of this process.
fn here(listeners: &PerProcess<Mutex<Listeners>>) -> Arc<Owned<Mutex<Listeners>>> {
    listeners.get(ProcessKey::current(), |_| Mutex::default())
}

impl Changes {
    /// An empty list.
    pub fn new() -> Changes {
        Changes::default()
    }

    /// Wakes every listener, in the order in which they subscribed.
    ///
    /// Call it after the clock has moved and without holding its lock, because
    /// listeners read the clock in here.
    pub fn notify(&self) {
        let listeners = here(&self.listeners);
        let wakers: Vec<Waker> = listeners.lock().wakers.values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes `waker` at each change from now on, until the subscription is dropped.
    ///
    /// To miss no change, subscribe first and read the clock after that.
    pub fn subscribe(&self, waker: Waker) -> Subscription {
        let process = ProcessKey::current();
        let here = here(&self.listeners);
        let mut listeners = here.lock();
        listeners.issued += 1;
        let id = listeners.issued;
        listeners.wakers.insert(id, waker);
        Subscription { listeners: Arc::downgrade(&self.listeners), process, id }
    }
}

/// A place in the list of [`Changes`]. Dropping it gives the place back.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    listeners: Weak<PerProcess<Mutex<Listeners>>>,
    process: ProcessKey,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A forked child counts its subscriptions anew, so this number is another's there.
        if self.process != ProcessKey::current() {
            return;
        }
        let Some(listeners) = self.listeners.upgrade() else { return };
        let waker = here(&listeners).lock().wakers.remove(&self.id);
        // Dropping a waker may drop a task and, with it, another subscription to
        // this list. So the lock is released first.
        drop(waker);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::task::Wake;

    struct Recorder(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Recorder {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("no panic").push(self.0);
        }
    }

    #[test]
    fn listeners_are_woken_in_order_until_they_unsubscribe() {
        let changes = Changes::new();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waker = |number| Waker::from(Arc::new(Recorder(number, woken.clone())));
        let first = changes.subscribe(waker(1));
        let second = changes.clone().subscribe(waker(2));
        changes.notify();
        drop(first);
        changes.notify();
        assert_eq!(*woken.lock().expect("no panic"), [1, 2, 2]);
        drop(changes);
        drop(second);
        assert_eq!(Arc::strong_count(&woken), 1, "the wakers are gone with their list");
    }

    #[test]
    fn a_listener_may_unsubscribe_another_while_it_is_woken() {
        struct Unsubscribes(Mutex<Option<Subscription>>);
        impl Wake for Unsubscribes {
            fn wake(self: Arc<Self>) {
                self.0.lock().expect("no panic").take();
            }
        }
        let changes = Changes::new();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let other = changes.subscribe(Waker::from(Arc::new(Recorder(2, woken.clone()))));
        let unsubscribes = Arc::new(Unsubscribes(Mutex::new(Some(other))));
        let _first = changes.subscribe(Waker::from(unsubscribes));
        changes.notify();
        changes.notify();
        assert_eq!(*woken.lock().expect("no panic"), [2], "it was woken in the first round only");
    }
}
