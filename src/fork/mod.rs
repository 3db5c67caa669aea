//! What a `fork` leaves behind, and how it is kept out of the child's way.
//!
//! # The problem
//!
//! A child of `fork` has a copy of all memory and one thread: the one that called it. A lock
//! that another thread held at that moment is held in the child too, by a thread that does
//! not exist there. Whoever waits for it waits for ever. And what it protects may be half of
//! one state and half of another.
//!
//! # The naive fix, and why it fails
//!
//! Waiting for a limited time ends the wait, but not the state: the child has no timer, no
//! list of processes, no record, for as long as it lives. `pthread_atfork` can take all locks
//! before a fork, but then a fork waits for a source that blocks. Comparing process ids
//! fails where parent and child have the same one.
//!
//! # What is done
//!
//! There are three kinds of state, and each has its way:
//!
//! - *What is read and replaced as a whole* (a leap table, the reading of a `ManualClock`) is
//!   exchanged without a lock, by `arc_swap`. A dead thread has replaced it or has not.
//! - *What belongs to the threads of a process* (the driver, the timer of a waiter with its
//!   queue, the last scan of the processes) is made anew in a child: [`PerProcess`]. The child's
//!   value may take over what it finds behind a lock that is free.
//! - *What a child must not have at all* (a record on disk) is an error there, which is
//!   returned before any lock is tried.
//!
//! The locks are those of std (see `lock`), because parking_lot's share one table for the whole
//! process, and a thread that sleeps or wakes another holds a lock in it.

mod lock;
mod per_process;

pub(crate) use lock::{Condvar, Mutex};
pub(crate) use per_process::{Owned, PerProcess};

pub(crate) use crate::host::ProcessKey;
