//! [`Renewer`]: the thread that writes a mark, ahead of need.
//!
//! It owns the record, so that nobody else can touch the store. It shares a [`MarkState`] with
//! the threads that take stamps, behind a lock that is never held during a write.
//!
//! The thread does not change the register either. A thread that takes a stamp does that, when
//! it next looks at the state ([`adopt`]). So the register stays the node's own, and a limit
//! that an operator lowered is never lifted by a write that began before.
//!
//! In the child of a `fork` there is no such thread. The child may not use its parent's mark
//! anyway, and is told so before it comes to any lock.

use std::sync::{Arc, MutexGuard};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::error::HlcError;
use super::mark_request::{Asked, Before, Level, Wait, adopt, perform, used_up};
use super::mark_state::MarkState;
use super::mark_status::MarkStatus;
use super::register::Register;
use crate::durable::{Record, RecordError};
use crate::fork::{Condvar, Mutex};
use crate::store::StoreError;

/// How long a thread sleeps that nobody has to wake at a certain time. It then looks again,
/// because the condition variable has no wait without an end.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// The thread's side that the others see.
#[derive(Debug)]
pub(super) struct Renewer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    place: String,
    opened: Instant,
    inner: Mutex<Inner>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells the others that a write has ended.
    written: Condvar,
}

#[derive(Debug)]
struct Inner {
    mark: MarkState,
    /// The futures to wake after the next write.
    wakers: Vec<Waker>,
    is_stopping: bool,
    has_ended: bool,
}

impl Renewer {
    pub(super) fn start(record: Record, mark: MarkState) -> Result<Renewer, RecordError> {
        let place = record.place().to_owned();
        let inner = Inner { mark, wakers: Vec::new(), is_stopping: false, has_ended: false };
        let shared = Arc::new(Shared {
            place,
            opened: Instant::now(),
            inner: Mutex::new(inner),
            work: Condvar::default(),
            written: Condvar::default(),
        });
        let its = shared.clone();
        let thread = thread::Builder::new().name("truechimer-mark".to_owned());
        let started = thread.spawn(move || run(record, &its));
        started.map_err(|e| StoreError::io("start the thread that writes", &shared.place, e))?;
        Ok(Renewer { shared })
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&MarkState) -> T) -> T {
        look(&self.shared.inner.lock().mark)
    }

    pub(super) fn status(&self) -> MarkStatus {
        let now = self.shared.opened.elapsed();
        self.look(|mark| MarkStatus::of(mark, now))
    }

    /// Makes sure that the mark has the level that is asked for.
    pub(super) fn reserve(&self, asked: Asked<'_>, wait: Wait) -> Result<(), HlcError> {
        let Asked { register, next, level, .. } = asked;
        let shared = &*self.shared;
        // While the window holds, a thread does not even wait for another one's look at the state.
        let must_look = level > register.reserved();
        let guard = if must_look { Some(shared.inner.lock()) } else { shared.inner.try_lock() };
        let Some(mut inner) = guard else { return Ok(()) };
        let failures = inner.mark.failures();
        if !asked.is_void() && inner.mark.touch(next, shared.opened.elapsed()) {
            shared.work.notify_one();
        }
        loop {
            if asked.is_void() {
                return Ok(());
            }
            adopt(&inner.mark, register);
            if level <= inner.mark.limit() && next <= inner.mark.renew_at() {
                return Ok(());
            }
            if level > inner.mark.limit() && inner.mark.failures() > failures {
                let error = inner.mark.error().cloned();
                return Err(error.map_or(used_up(next, &inner.mark), HlcError::Record));
            }
            let was_asked = shared.ask(&mut inner);
            if level <= inner.mark.limit() {
                // No other stamp needs to look here before the window is used up.
                register.set_reserved(inner.mark.limit(), inner.mark.limit());
                return Ok(());
            }
            was_asked?;
            match wait {
                Wait::Never => return Err(used_up(next, &inner.mark)),
                Wait::Block => inner = shared.written.wait_until(inner, soon()),
            }
        }
    }

    /// Like [`reserve`](Self::reserve), for a future.
    pub(super) fn poll_level(
        &self,
        next: u64,
        level: Level,
        before: &mut Option<Before>,
        waker: &Waker,
    ) -> Poll<Result<(), HlcError>> {
        let shared = &*self.shared;
        let mut inner = shared.inner.lock();
        let before = *before.get_or_insert_with(|| {
            let mark = &mut inner.mark;
            if mark.touch(next, shared.opened.elapsed()) {
                shared.work.notify_one();
            }
            let level = level.above(next, mark);
            Before { failures: mark.failures(), resets: mark.resets(), level }
        });
        // After a reset another stamp is taken, which may need less.
        if before.level <= inner.mark.limit() || inner.mark.resets() > before.resets {
            return Poll::Ready(Ok(()));
        }
        if inner.mark.failures() > before.failures {
            let error = inner.mark.error().cloned();
            return Poll::Ready(error.map_or(Ok(()), |error| Err(error.into())));
        }
        shared.ask(&mut inner)?;
        if !inner.wakers.iter().any(|other| other.will_wake(waker)) {
            inner.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Sets the mark to what `begin` has asked for, and waits until that is stored.
    pub(super) fn reset(
        &self,
        register: &Register,
        begin: impl FnOnce(&mut MarkState, Duration),
    ) -> Result<(), HlcError> {
        let shared = &*self.shared;
        let mut inner = shared.inner.lock();
        shared.check(&inner)?;
        begin(&mut inner.mark, shared.opened.elapsed());
        shared.work.notify_one();
        loop {
            if let Some(result) = inner.mark.take_reset_result() {
                adopt(&inner.mark, register);
                return result.map_err(HlcError::from);
            }
            inner = shared.written.wait_until(inner, soon());
        }
    }

    /// Ends the thread, and returns when it has left the store. A write that is under way is waited
    /// for, so that the store can be opened again at once.
    pub(super) fn stop(&self) {
        let mut inner = self.shared.inner.lock();
        inner.is_stopping = true;
        self.shared.work.notify_one();
        while !inner.has_ended {
            inner = self.shared.written.wait_until(inner, soon());
        }
    }
}

impl Shared {
    /// Asks the thread for a higher mark.
    fn ask(&self, inner: &mut Inner) -> Result<(), HlcError> {
        self.check(inner)?;
        if inner.mark.ask() {
            self.work.notify_one();
        }
        Ok(())
    }

    /// An error if there is no thread any more.
    fn check(&self, inner: &Inner) -> Result<(), HlcError> {
        if inner.has_ended { Err(RecordError::from(self.has_panicked()).into()) } else { Ok(()) }
    }

    fn has_panicked(&self) -> StoreError {
        let error = std::io::Error::other("the store panicked in its `persist`");
        StoreError::io("write", &self.place, error)
    }
}

/// The thread.
fn run(record: Record, shared: &Shared) {
    block_signals();
    // Declared first, so dropped last: the store is free when the others hear of the end.
    let _ended = Ended(shared);
    let mut record = record;
    let mut inner = shared.inner.lock();
    while !inner.is_stopping {
        let Some(write) = inner.mark.begin(shared.opened.elapsed()) else {
            let next = inner.mark.next().and_then(|next| shared.opened.checked_add(next));
            inner = shared.work.wait_until(inner, next.unwrap_or_else(soon));
            continue;
        };
        drop(inner);
        let (write, result) = perform(&mut record, write);
        inner = shared.inner.lock();
        inner.mark.finish(write, result, shared.opened.elapsed());
        inner = shared.tell(inner);
    }
}

impl Shared {
    /// Wakes everybody who waits for a write.
    fn tell<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let wakers = std::mem::take(&mut inner.wakers);
        self.written.notify_all();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        self.inner.lock()
    }
}

/// Tells the others that the thread has ended, whatever ended it.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.has_ended = true;
        if !inner.is_stopping {
            inner.mark.give_up(self.0.has_panicked().into());
        }
        drop(self.0.tell(inner));
    }
}

fn soon() -> Instant {
    Instant::now() + LOOK_AGAIN
}

/// Signals are for the program's own threads.
fn block_signals() {
    #[cfg(unix)]
    let _ = nix::sys::signal::SigSet::all().thread_block();
}
