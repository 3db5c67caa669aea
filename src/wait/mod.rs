//! [`Waiter`]: commit-wait, which turns the clock's uncertainty into a short delay and
//! gives order in return.
//!
//! # The problem
//!
//! Two transactions commit on two nodes, and the second begins after the first was
//! acknowledged. Every reader must see them in that order, though the nodes exchanged
//! no message. Stamps from clocks with an unknown error do not ensure it.
//!
//! # Spanner's rule
//!
//! Choose `s` at or above `now().latest`, do the work (replicate), and release nothing
//! before `after(s)` holds (Corbett et al., OSDI 2012, section 4.1.2). When the first
//! transaction is acknowledged, true time is certainly beyond its `s1`. The second
//! begins later, so its `latest` is beyond `s1`, and so is `s2`. The cost is the
//! uncertainty at both ends, less the time that replication takes anyway. So begin the
//! wait *after* sending to the replicas: it may be over when they answer.
//!
//! # Why not `sleep(2 * error)`
//!
//! A sleep proves nothing. Meanwhile the bound may have widened, the clock may have
//! lost its source, or the sleep may have been short. And a sleep ends late: by 80 µs
//! at the median, and sometimes by milliseconds. Here the last step is always a reading
//! of the clock, and only `after(s)` ends a wait with success. The sleep before it is a
//! guess about when to read. It is timed by the monotonic clock and ends a margin before
//! the moment, less the possible drift. The margin adapts to how late this host wakes
//! its sleepers. The wait spins for the rest. It is planned again after every sleep, so
//! a bound that has narrowed ends it sooner.
//!
//! # What a wait cannot do
//!
//! It relies on the clock's promise. If that is broken, so is the order. A wait never
//! sleeps for ever on a clock that returns errors or has stopped; the setting
//! [`patience`](WaitSettings::patience) limits it.
//!
//! What to read: `planner.rs` (the arithmetic), then `blocking.rs` (the blocking wait),
//! then `timer.rs` (many waits on one thread).

mod batch;
mod blocking;
mod cancel;
mod clock;
mod error;
mod fine_timer;
mod margin;
mod parker;
mod planner;
mod queue;
mod settings;
mod sleep;
mod stall_detector;
mod timer;
mod wait_future;
mod waited;
mod waiter;

pub use batch::Batch;
pub use blocking::commit_wait;
pub use cancel::Cancel;
pub use error::WaitError;
pub use planner::{Planner, Step};
pub use settings::WaitSettings;
pub(crate) use sleep::{deadline_after, sleep_until};
pub use wait_future::WaitFuture;
pub use waited::Waited;
pub use waiter::Waiter;
