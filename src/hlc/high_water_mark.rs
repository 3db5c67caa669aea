//! [`HighWaterMark`]: an upper limit of the stamps issued before a crash, kept in a store.
//!
//! A restarted node must not issue the stamps again that it issued before. Its clock
//! cannot ensure that, because it may have been wrong before the crash, or be wrong now.
//! Writing each stamp to disk would ensure it, but costs a sync for each stamp. So the
//! mark in the store is kept a *window* ahead: nothing above it was issued. Stamps below it
//! need no write.
//!
//! After a restart the node starts above the mark. The mark may be ahead of true time by
//! up to a window, so the node first waits until it has passed.
//!
//! # The naive way, and why it fails
//!
//! When half of the window was used up, the thread that took the next stamp wrote the mark. It
//! waited for the disk, and on an executor all tasks of its thread waited too. With a disk that
//! took longer than half of the window, all other threads came to the end of the window and queued
//! for the lock. Each of them had computed its mark before it queued, so that mark was in the past
//! when it was written. One directory sync of 1.2 s cost 18 s.
//!
//! # What is done
//!
//! Each mark has a thread that writes it ([`Renewer`]). Threads that take stamps do no work on
//! files: they look at a [`MarkState`] under a lock that nobody holds during a write, twice in a
//! window. They wait only when the window is used up, and then one write covers all of them. The
//! thread raises the mark by itself when half of the window is left, with a window that follows
//! the store's latency.
//!
//! An executor needs no more than that: `try_stamp` returns an error where `stamp` would wait, and
//! `stamp_async` is woken by the thread. To hand the write to the executor's own pool for blocking
//! work would depend on the executor, and would leave programs without one as they were.
//!
//! A thread is not wanted everywhere. In a simulated world it would make each run different, and
//! wasm32 has none. There the thread that takes a stamp writes the mark, as before.

use std::task::{Poll, Waker};
use std::time::Duration;

use super::error::HlcError;
use super::mark_request::{Asked, Before, Level, Wait, adopt, perform, used_up};
use super::mark_state::MarkState;
use super::mark_status::MarkStatus;
use super::register::Register;
#[cfg(not(target_family = "wasm"))]
use super::renewer::Renewer;
use super::stamp::Stamp;
use crate::durable::{Kind, Record, RecordError};
use crate::fork::Mutex;
use crate::store::Owner;

pub(super) const KIND: Kind = Kind(*b"hlc-mark");

/// The mark in the store, and who writes it.
#[derive(Debug)]
pub(super) struct HighWaterMark {
    writer: Writer,
    owner: Owner,
    place: String,
    /// Held for the whole of a reset.
    resetting: Mutex<()>,
}

/// Who writes the mark.
#[allow(clippy::large_enum_variant, reason = "there is one for each clock")]
#[derive(Debug)]
enum Writer {
    /// A thread of the mark's own.
    #[cfg(not(target_family = "wasm"))]
    Thread(Renewer),
    /// The threads that take stamps.
    Caller { record: Mutex<Record>, state: Mutex<MarkState> },
}

impl HighWaterMark {
    /// Keeps the mark in `record`. Returns the mark, and its number for the register to
    /// start at.
    pub(super) fn new(
        record: Record,
        window: Duration,
        with_thread: bool,
    ) -> Result<(HighWaterMark, u64), RecordError> {
        let (floor, place) = (record.value(), record.place().to_owned());
        let state = MarkState::new(floor, window);
        let writer = Writer::new(record, state, with_thread)?;
        let (owner, resetting) = (Owner::this_process(), Mutex::new(()));
        Ok((HighWaterMark { writer, owner, place, resetting }, floor))
    }

    /// Makes sure that stamps up to `next` may be issued. It waits for the store only if they may
    /// not. `last` is the register's value that `next` was computed from.
    pub(super) fn reserve(
        &self,
        register: &Register,
        last: u64,
        next: u64,
        wait: Wait,
    ) -> Result<(), HlcError> {
        self.check_owner()?;
        let asked = Asked { register, last, next, level: next };
        match &self.writer {
            #[cfg(not(target_family = "wasm"))]
            Writer::Thread(renewer) => renewer.reserve(asked, wait),
            Writer::Caller { record, state } => reserve_as_caller(record, state, asked, wait),
        }
    }

    /// Raises the mark, if less than half of the window is left above `next`. Returns whether there
    /// was something to do.
    pub(super) fn renew(&self, register: &Register, next: u64) -> Result<bool, HlcError> {
        self.check_owner()?;
        let asked = |state: &MarkState| {
            let level = next.saturating_add(state.window.nanos() / 2);
            let asked = Asked { register, last: 0, next, level };
            (level > state.limit()).then_some(asked)
        };
        let asked = self.look(asked);
        let Some(asked) = asked else { return Ok(false) };
        match &self.writer {
            #[cfg(not(target_family = "wasm"))]
            Writer::Thread(renewer) => renewer.reserve(asked, Wait::Block)?,
            Writer::Caller { record, state } => {
                reserve_as_caller(record, state, asked, Wait::Block)?;
            }
        }
        Ok(true)
    }

    /// Asks for a mark of at least `level`, and wakes `waker` after each write. `before` is what an
    /// earlier call of the same future found.
    #[cfg_attr(target_family = "wasm", expect(unused_variables, reason = "it has no threads"))]
    pub(super) fn poll_level(
        &self,
        register: &Register,
        next: u64,
        level: Level,
        before: &mut Option<Before>,
        waker: &Waker,
    ) -> Poll<Result<(), HlcError>> {
        self.check_owner()?;
        match &self.writer {
            #[cfg(not(target_family = "wasm"))]
            Writer::Thread(renewer) => renewer.poll_level(next, level, before, waker),
            // Nobody would wake it. The documentation says that this blocks.
            Writer::Caller { record, state } => {
                let level = level.above(next, &state.lock());
                let asked = Asked { register, last: 0, next, level };
                Poll::Ready(reserve_as_caller(record, state, asked, Wait::Block))
            }
        }
    }

    /// Takes the register back to `floor`, and the mark to a window above it.
    pub(super) fn reset(&self, register: &Register, floor: u64) -> Result<(), HlcError> {
        self.check_owner()?;
        let _one_at_a_time = self.resetting.lock();
        let begin = |state: &mut MarkState, now: Duration| {
            // The limit first. A stamp that another thread issues after the register was taken
            // back is compared with the lowered limit (see `Register::reset`).
            state.ask_reset(floor, now);
            register.set_reserved(state.limit(), state.limit());
            register.reset(floor);
        };
        match &self.writer {
            #[cfg(not(target_family = "wasm"))]
            Writer::Thread(renewer) => renewer.reset(register, begin),
            Writer::Caller { record, state } => {
                begin(&mut state.lock(), Duration::ZERO);
                let mut record = record.lock();
                // If another thread had the record first, it has done this write.
                let _ = write_as_caller(&mut record, state);
                let mut state = state.lock();
                let result = state.take_reset_result().unwrap_or(Ok(()));
                adopt(&state, register);
                result.map_err(HlcError::from)
            }
        }
    }

    /// How the mark stands.
    pub(super) fn status(&self, register: &Register) -> MarkStatus {
        if let Err(error) = self.check_owner() {
            let limit = Stamp::from_bits(register.reserved());
            let error = match error {
                HlcError::Record(error) => Some(error),
                _ => None,
            };
            let zero = Duration::ZERO;
            return MarkStatus { limit, window: zero, latency: zero, writing: None, error };
        }
        match &self.writer {
            #[cfg(not(target_family = "wasm"))]
            Writer::Thread(renewer) => renewer.status(),
            Writer::Caller { state, .. } => MarkStatus::of(&state.lock(), Duration::ZERO),
        }
    }

    /// The longest that a mark of an earlier run can be ahead if its clock was right.
    pub(super) fn longest_window(&self) -> Duration {
        self.look(|state| state.window.longest())
    }

    fn look<T>(&self, look: impl FnOnce(&MarkState) -> T) -> T {
        match &self.writer {
            #[cfg(not(target_family = "wasm"))]
            Writer::Thread(renewer) => renewer.look(look),
            Writer::Caller { state, .. } => look(&state.lock()),
        }
    }

    /// An error in a forked child. It comes before any lock, because a thread of the parent may
    /// have held it at the fork.
    fn check_owner(&self) -> Result<(), HlcError> {
        Ok(self.owner.check(&self.place).map_err(RecordError::from)?)
    }
}

impl Drop for HighWaterMark {
    fn drop(&mut self) {
        // A forked child has no thread to wait for, and may find its lock held for ever.
        #[cfg(not(target_family = "wasm"))]
        if let (Writer::Thread(renewer), true) = (&self.writer, self.check_owner().is_ok()) {
            renewer.stop();
        }
    }
}

impl Writer {
    #[cfg(not(target_family = "wasm"))]
    fn new(record: Record, state: MarkState, with_thread: bool) -> Result<Writer, RecordError> {
        if with_thread {
            return Renewer::start(record, state).map(Writer::Thread);
        }
        Ok(Writer::Caller { record: Mutex::new(record), state: Mutex::new(state) })
    }

    /// There are no threads on wasm32.
    #[cfg(target_family = "wasm")]
    fn new(record: Record, state: MarkState, _: bool) -> Result<Writer, RecordError> {
        Ok(Writer::Caller { record: Mutex::new(record), state: Mutex::new(state) })
    }
}

/// [`HighWaterMark::reserve`] without a thread: the first that comes into the second half of the
/// window writes, and others wait for it only at the end of the window.
fn reserve_as_caller(
    record: &Mutex<Record>,
    state: &Mutex<MarkState>,
    asked: Asked<'_>,
    wait: Wait,
) -> Result<(), HlcError> {
    let Asked { register, next, level, .. } = asked;
    let must_wait = {
        let state = state.lock();
        if level <= state.limit() && (wait == Wait::Never || next <= state.renew_at()) {
            return Ok(());
        }
        if wait == Wait::Never {
            return Err(used_up(next, &state));
        }
        level > state.limit()
    };
    let guard = if must_wait { Some(record.lock()) } else { record.try_lock() };
    let Some(mut record) = guard else { return Ok(()) };
    {
        let mut state = state.lock();
        if asked.is_void() {
            return Ok(());
        }
        if level <= state.limit() && next <= state.renew_at() {
            adopt(&state, register);
            return Ok(()); // another thread did it while this one waited
        }
        state.touch(next, Duration::ZERO);
        state.ask();
    }
    let result = write_as_caller(&mut record, state);
    let state = state.lock();
    match result {
        Ok(()) => adopt(&state, register),
        // A part of the window is left. Use half of it before the next attempt.
        Err(_) if level <= state.limit() => {
            let limit = state.limit();
            register.set_reserved(limit, next + (limit - next) / 2);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Does the write that is asked for, with the record in hand.
fn write_as_caller(record: &mut Record, state: &Mutex<MarkState>) -> Result<(), RecordError> {
    let write = state.lock().begin(Duration::ZERO);
    let Some(write) = write else { return Ok(()) };
    let (write, result) = perform(record, write);
    state.lock().finish(write, result.clone(), Duration::ZERO);
    result
}
