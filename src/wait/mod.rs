//! [`Waiter`]: commit-wait, which turns uncertainty into latency and order into a promise.
//!
//! # The problem
//!
//! Two transactions commit on two nodes, the second begun after the first was
//! acknowledged. Every reader must see them in that order, though no message
//! went between the nodes. Stamps from clocks that may be wrong do not give it.
//!
//! # Spanner's rule
//!
//! Choose `s` at or above `now().latest`, do what has to be done (replicate),
//! and let nothing out before `after(s)` holds (Corbett et al., OSDI 2012,
//! section 4.1.2). When the first transaction is acknowledged, true time is
//! beyond its `s1` for certain. The second begins later, so its `latest`, and
//! with it `s2`, is beyond `s1`. What it costs is the uncertainty at both ends,
//! less the time that replication took anyway. So begin the wait *after*
//! sending to the replicas, and it may be over when they answer.
//!
//! # Why not `sleep(2 * error)`
//!
//! A sleep is not a proof. The bound may have widened meanwhile, the clock may
//! have lost its source, the sleep may have been short. And it is late: by
//! 80 µs at the median, milliseconds at times. Here the clock itself is asked
//! last, always, and only `after(s)` ends a wait with success. The sleep before
//! that is a guess about when to ask: on the monotonic clock, to a margin
//! before the moment, less what the clocks may drift. The margin adapts to how
//! late this host wakes its sleepers. What is left is spun away. After every
//! sleep the wait is planned anew, so a bound that has narrowed ends it sooner.
//!
//! # What a wait cannot do
//!
//! It rests on the clock's promise. If that is broken, so is the order. A wait
//! never sleeps for ever on a clock that gives no answer or stands still; how
//! long it bears with one is a setting.
//!
//! What to read: `Planner` (the arithmetic), then `waiter.rs` (the blocking
//! wait), then `timer.rs` (many waits on one thread).

mod batch;
mod clock;
mod future;
mod margin;
mod outcome;
mod plan;
mod sleep;
mod timer;
mod waiter;
mod watch;

pub use batch::Batch;
pub use future::WaitFuture;
pub use outcome::{WaitError, Waited};
pub use plan::{Planner, Step};
pub use sleep::Cancel;
pub use waiter::{WaitSettings, Waiter, commit_wait};
