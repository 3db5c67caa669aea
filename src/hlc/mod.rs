//! [`Hlc`]: a hybrid logical clock, whose stamps respect both causality and time.
//!
//! # The problem
//!
//! Events on several nodes need an order in which causes come before effects. A logical
//! clock (Lamport 1978) gives one, but it says nothing about time. It can neither answer
//! "as of ten o'clock" nor order two events that are connected outside the system. A
//! hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014) uses
//! the physical clock's time as stamp, and counts on from the last stamp while the
//! physical clock has not moved past it:
//!
//! ```text
//! next = max(last + 1, physical)
//! ```
//!
//! Both parts are nanoseconds of TAI here, so a stamp has 64 bits and the register is
//! one atomic word.
//!
//! # The naive way, and why it fails
//!
//! The usual physical time is `SystemTime::now()`, one number that may be wrong. A node
//! with a fast clock takes every node along that receives its stamps. All stamps are then
//! ahead, and they stay ahead when the clock has been repaired. The usual answer is a *max
//! offset*: refuse peers that are further ahead. But it has to be tuned. If it is too
//! small, healthy peers are refused, or a node refuses all of them after its own clock
//! stepped back. If it is too large, wrong stamps below it are accepted.
//!
//! # The insight: physical time is `earliest()`
//!
//! Let every node use its clock's `earliest` as physical time. Claim: **no stamp of a
//! correct node is ahead of true time** when it is issued. Each stamp is one of three:
//!
//! 1. A reading of `earliest`. It is no later than true time at the reading, so it is no
//!    later than true time when the stamp is issued.
//! 2. `last + 1`, where this node issued `last`.
//! 3. `last + 1`, where `last` was received from another node.
//!
//! Follow cases 2 and 3 back from a stamp `s`. After `n` steps of one nanosecond we reach
//! a reading `p` of some node, and `s = p + n`. Each step is a message, or an atomic
//! read-modify-write that depends on the one before. Both take more than a nanosecond,
//! because a read-modify-write takes at least a handful of cycles. So at least `n`
//! nanoseconds of true time have passed since `p` was read, and `s = p + n` is no later
//! than true time when it is issued. (While a commit is outstanding, a step may be two
//! nanoseconds. A read-modify-write takes longer than that, too.)
//!
//! True time is no later than any clock's `latest`. So a stamp beyond `now().latest` at
//! the node that receives it **proves** that the sender's clock is broken, or the
//! receiver's own. There is no offset to tune: the right tolerance is exactly 0. The
//! check is as sharp as the clocks are good, and it sharpens by itself as they improve.
//!
//! By the same proof, a node whose *own* register is beyond its own `latest` knows that
//! the register is poisoned: its clock was wrong at some earlier time. It returns
//! [`HlcError::Poisoned`] and issues nothing until time has passed the register, or until
//! an operator calls [`Hlc::reset`].
//!
//! # How far a stamp is from physical time
//!
//! A stamp is at least the `earliest` of its issue. It is at most true time, which is at
//! most `latest`. So `0 <= stamp - earliest <= width`. (Or -1, if the reading could have
//! been the stamp of an outstanding commit.)
//!
//! The one exception is a clock that stands still, as a simulated clock does while an
//! event is handled. Then steps take no time on that clock, and a stamp is ahead of it by
//! at most the number of steps. The register counts the steps that it takes beyond its
//! `latest`, so that they are not mistaken for poison. Peers on such a clock need a
//! [`HlcBuilder::tolerance`] of as many nanoseconds as stamps are issued in one of its
//! instants. Peers that use `latest` or a midpoint as physical time need one too: the
//! width of *their* intervals.
//!
//! # Commits
//!
//! [`Hlc::commit_stamp`] uses the other end. It is at least `latest`, so it is above
//! everything that was committed anywhere before. It is ahead of true time until it has
//! been waited out (module `wait`). If it went into the register, every stamp of this node
//! would be ahead, and peers would refuse a correct node by the proof above. So commit
//! stamps have a register of their own and are returned in a wrapper ([`PendingCommit`]).
//! Only [`Hlc::release`] unwraps one, once it has passed. No ordinary stamp equals a
//! commit stamp of the same node. In a two-phase commit the coordinator's stamp must not
//! be below its participants' either: see [`Hlc::commit_stamp_from`].
//!
//! A peer cannot be relied on to refuse a stamp that was not waited out. If its interval is wide,
//! the stamp is within it, and the peer would issue stamps ahead of true time, for which others
//! would blame the peer. So before its release a stamp is a [`ProvisionalStamp`], which
//! [`Hlc::note`] does not take.
//!
//! # Crashes
//!
//! A register in memory is lost in a crash, and a clock that was stepped back meanwhile
//! would issue the same stamps again. So a durable clock keeps a high-water mark in a file or in
//! any other [`Store`](crate::store::Store): [`HlcBuilder::create_new`] at the first start, and
//! [`HlcBuilder::open_existing`] at every other. Nothing above the mark is issued.
//!
//! A thread of the clock's own writes the mark ahead of need, so that no thread that takes a
//! stamp does work on files. Stamps wait only if the store is slower than the window allows. The
//! window is 1 s, or four times the latency of the store, up to 10 s, and a restart waits until it
//! has passed. A failed write is told by [`Hlc::mark_status`] and [`Hlc::check`] when half of the
//! window is left.
//! `stamp()` fails when it is used up.
//!
//! What else a node finds after a crash is its own log. Its greatest stamp goes to
//! [`HlcBuilder::not_below`]. [`Hlc::note`] is for the stamps of others, and would take a stamp
//! ahead of the clock as a sign that its sender's clock is broken. A commit that was logged and not
//! released goes to [`Hlc::resume`], and is waited out.
//!
//! # What the proof assumes
//!
//! It assumes that the clock keeps its promise (its interval contains the true time), that
//! an atomic change takes a nanosecond, and that peers follow the same rule or are
//! refused. A wrong peer whose stamps lie *within* `[earliest, latest]` is not detected.
//! It does no harm, because a correct peer could have sent the same stamps. An error of
//! time that is the same on every node cannot be detected.

mod builder;
mod commits;
#[cfg(all(test, not(loom)))]
mod crashes;
mod error;
mod high_water_mark;
#[expect(clippy::module_inception, reason = "files are named for their main type")]
mod hlc;
mod mark_request;
mod mark_state;
mod mark_status;
mod node_stamp;
mod pending_commit;
mod read_uncertainty;
mod register;
#[cfg(not(target_family = "wasm"))]
mod renewer;
mod stamp;
mod text;
mod window;

pub use builder::HlcBuilder;
pub use error::HlcError;
pub use hlc::Hlc;
pub use mark_status::MarkStatus;
pub use node_stamp::{NodeStamp, NodeUid};
pub use pending_commit::{PendingCommit, ProvisionalStamp, ReleaseError};
pub use read_uncertainty::{ReadUncertainty, Visibility};
pub use stamp::Stamp;
