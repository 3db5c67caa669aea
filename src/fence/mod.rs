//! Fencing: the resource itself refuses a holder that has been replaced.
//!
//! # The problem
//!
//! A process holds a lease, checks it, and is then stopped: by a garbage collector, a
//! scheduler, a hypervisor or a slow disk. The lease expires, and another process is
//! granted it and writes. Then the first process continues between its check and its
//! write, and writes too. It cannot know better, because none of its own instructions
//! ran in between. HBase lost data this way.
//!
//! # Why a better check does not help
//!
//! However close to the write the lease is checked, there is a moment between the two,
//! and the process can be stopped there. Shooting the other node (STONITH) does not help
//! either: packets that it sent before are still under way, and two nodes that suspect
//! each other shoot each other.
//!
//! # The insight
//!
//! The *resource* is not stopped together with its client. Each grant of a lease carries
//! a [`FencingToken`], a number larger than all before it. Each request carries its
//! token. The resource remembers the largest token it has seen and refuses smaller ones.
//! Then it does not matter when a paused holder continues.
//!
//! | form | stores the largest token | use it for |
//! |---|---|---|
//! | [`Fence`] | in memory, lock-free | one resource, in front of other checks |
//! | [`Fenced`] | in memory, with the value it guards | state that lives in this process |
//! | [`KeyedFence`] | in memory, for each key | many resources |
//! | [`DurableFence`] | in a file or another [`Store`](crate::Store), for one process | a server that restarts |
//! | [`DurableKeyedFence`] | the same, for each key | many resources of such a server |
//! | [`SharedFence`] | in a file, for all processes of a machine | a resource without a server |
//!
//! # What the resource must do
//!
//! - **Admit and write in one step.** If a writer is stopped between `admit` and its
//!   write, the problem is the same, one step later. So admit inside the lock or the
//!   transaction that does the write. [`Fenced`] does this, and so do the `with` of the other
//!   forms. A write that is a future needs `with_async`, which has the resource until the future
//!   has ended. `with` refuses futures when it is compiled.
//! - **Keep the largest token across restarts.** Otherwise the first request after a
//!   restart may be a stale one. Store the token with the data, in the same transaction,
//!   and begin with [`Fence::starting_at`]. Or store it in a file of its own, with
//!   [`DurableFence`]. A file that is missing is an error there, because a new fence admits
//!   what the lost one had refused.
//! - **Fence reads too, if something is decided by them.** Reads by a stale holder are
//!   harmless otherwise.
//! - **Trust its clients.** The model is crash-recovery, not Byzantine: a client that
//!   invents the token `u64::MAX` locks out everybody else. If clients may be malicious,
//!   the lock service has to sign its tokens.
//!
//! To read: Gray and Cheriton, "Leases", SOSP 1989; Burrows, "The Chubby lock
//! service", OSDI 2006, section 2.4 (sequencers); Kleppmann, "Designing
//! Data-Intensive Applications", chapter 9.

mod convert;
mod durable;
mod durable_keyed_fence;
mod error;
#[expect(clippy::module_inception, reason = "files are named for their main type")]
mod fence;
mod fenced;
mod fencing_token;
mod keyed_content;
mod keyed_fence;
mod keyed_snapshot;
mod sections;
#[cfg(not(target_family = "wasm"))]
mod shared_async;

pub use durable::{DurableFence, SharedFence};
pub use durable_keyed_fence::DurableKeyedFence;
pub use error::{FenceError, StaleToken};
pub use fence::Fence;
pub use fenced::Fenced;
pub use fencing_token::{FencingToken, MAX_RAFT_INDEX, MAX_RAFT_TERM};
pub use keyed_fence::KeyedFence;
pub use keyed_snapshot::KeyedSnapshot;
