//! [`Hlc`]: stamps that respect both cause and time.
//!
//! # The problem
//!
//! Events on several nodes want an order in which causes come before effects.
//! A logical clock (Lamport 1978) gives one, and says nothing of time: it can
//! neither answer "as of ten o'clock" nor order two events that are connected
//! outside the system. A hybrid logical clock (Kulkarni et al., "Logical
//! Physical Clocks", OPODIS 2014) takes the physical clock's time as stamp, and
//! counts on from the last stamp where the clock has not moved past it:
//!
//! ```text
//! next = max(last + 1, physical)
//! ```
//!
//! Both halves are nanoseconds of TAI here, so a stamp is 64 bits and the
//! register is one atomic word.
//!
//! # The naive way, and why it fails
//!
//! The usual physical time is `SystemTime::now()`, one number that may be
//! wrong. A node whose clock is fast drags every node that hears of it along:
//! the stamps of all are ahead, and stay so when the clock is mended. The usual
//! answer is a *max offset*: refuse peers that are further ahead. It has to be
//! tuned. Too small, and healthy peers are refused, or the node refuses all of
//! them after its own clock stepped back. Too large, and poison gets in below it.
//!
//! # The insight: physical time is `earliest()`
//!
//! Let every node take its clock's `earliest` as physical time. Claim: **no
//! stamp of a correct node is ahead of true time** when it is issued. Each
//! stamp is one of three:
//!
//! 1. A reading of `earliest`. It is no later than true time at the reading, so
//!    no later than true time at the issue.
//! 2. `last + 1`, where `last` was issued on this node, or
//! 3. `last + 1`, where `last` was received from another node.
//!
//! Follow 2 and 3 back from a stamp `s`: through `n` steps of one nanosecond we
//! come to a reading `p` of some node, and `s = p + n`. Each step is an atomic
//! read-modify-write that depends on the one before it, or a message, and takes
//! more than a nanosecond: a handful of cycles at the least. So at least `n`
//! nanoseconds of true time have gone by since `p` was read, and `s = p + n` is
//! no later than true time at the issue. (While a commit is outstanding a step
//! may be of two nanoseconds. A read-modify-write takes more than that too.)
//!
//! True time is no later than anybody's `latest`. So a stamp that is beyond
//! `now().latest` at the node that receives it **proves** that its sender's
//! clock is broken (or the receiver's own). There is no offset to tune, and
//! the tolerance that is exactly right is 0. The refusal is as sharp as the
//! clocks are good, and gets sharper by itself as they get better.
//!
//! By the same proof a node whose *own* register is beyond its own `latest`
//! knows that it was poisoned, by an earlier epoch of its clock. It says so
//! ([`HlcError::Poisoned`]) and issues nothing until time has passed the
//! register, or an operator calls [`Hlc::reset`].
//!
//! # How far a stamp is from physical time
//!
//! A stamp is at least `earliest` at its issue, and at most true time, which is
//! at most `latest`. So `0 <= stamp - earliest <= width`. (Or -1, where the
//! reading could have been the stamp of a commit that is outstanding.)
//!
//! The one case outside this is a clock that stands still, as a simulated one
//! does while an event is handled. Then the steps take no time on that clock,
//! and a stamp is at most the number of steps since ahead of it. The register
//! counts the steps it takes beyond its `latest`, so that counting on is not
//! taken for poison. Peers on such a clock need a [`HlcBuilder::tolerance`] of
//! as many nanoseconds as stamps are issued in one of its instants. So do peers
//! that take `latest` or a midpoint as physical time: for them it is the width
//! of *their* intervals.
//!
//! # Commits
//!
//! [`Hlc::commit_stamp`] is the other end: at least `latest`, so that it is
//! above everything committed anywhere before. It is ahead of true time until
//! it has been waited out (module `wait`). If it got into the register, every
//! stamp of this node would be ahead, and the proof above would hit a correct
//! node. So it has a register of its own and comes wrapped
//! ([`PendingCommit`]), and only [`Hlc::release`] unwraps it, once it has
//! passed. No ordinary stamp equals a commit stamp of the same node. In a two-phase commit
//! the coordinator's stamp must not be below its participants' as well:
//! [`Hlc::commit_stamp_from`].
//!
//! # Crashes
//!
//! A register in memory is gone after a crash, and a clock that was stepped
//! back meanwhile would issue the same stamps again. [`Hlc::durable`] keeps a
//! high-water mark on disk.
//!
//! # What it rests on
//!
//! On the clock's promise (an interval contains the true time), on atomics that
//! take a nanosecond, and on peers that follow the same rule or are refused.
//! A peer that lies *within* `[earliest, latest]` is not found out, and does no
//! harm: its stamps could be honest. Time that is wrong on every node alike is
//! out of reach.

mod clock;
mod commit;
mod error;
mod mark;
mod node;
mod register;
mod stamp;

use std::time::Duration;

pub use clock::{Hlc, HlcBuilder};
pub use commit::{PendingCommit, ReadUncertainty, ReleaseError, Visibility};
pub use error::HlcError;
pub use node::{NodeId, NodeStamp};
pub use stamp::{ParseStampError, Stamp};

/// `duration` in nanoseconds, at most `u64::MAX` of them (584 years).
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
