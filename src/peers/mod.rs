//! [`PeerClocks`]: whether our clock or a peer's is wrong, decided by a majority.
//!
//! # The problem
//!
//! A node cannot see that its own clock is wrong. Its interval looks like any other, its
//! leases seem valid, and its timestamps are in order among themselves.
//!
//! # The naive fix, and why it fails
//!
//! The naive fix is to compare with each peer, and to stop if one differs by too much.
//! Then one node with a fast clock stops every node that talks to it, which has happened
//! in production. The next fix is to ignore peers that differ. But then the node with the
//! fast clock itself continues.
//!
//! # The insight
//!
//! A disagreement proves that *one of two* is wrong, and counting shows which. If at most
//! `f` of the `n` members can be wrong and `f + 1` of them contradict us, then we are
//! wrong. Then we stop, whatever our own clock reports.
//!
//! # The model
//!
//! There are `n` members, ourselves included. At most `f` of them have wrong clocks or are
//! malicious, with `n >= 2f + 1`. Those may send any answer, different answers to different
//! nodes, and conspire (Byzantine). The others answer with an interval that contained the
//! true time when they read their clock. Links may lose, delay, repeat and reorder messages
//! without bound, but an answer is known to come from the member that it names. Use TLS or
//! a MAC, because an attacker who can forge answers counts as all members at once. Our own
//! *counter* keeps within its drift ([`CounterLimits`]). No bound on the delay is assumed,
//! and neither is it assumed that both directions take equally long.
//!
//! Why `2f + 1` is enough, and not the `3f + 1` of Byzantine agreement: the members do not
//! agree on a common decision here. Each node decides by the answers that it got itself,
//! and passes nothing on, so a peer that sends different answers to different nodes is one
//! faulty peer to each of them. And there is a truth outside of the group, which all right
//! intervals contain.
//!
//! # The rule
//!
//! Carry all evidence to one moment ([`Exchange::at`]). Let `h` members have answered,
//! ourselves included. A moment is *possible* if at most `f` of them exclude it.
//!
//! 1. If our interval contains no possible moment, we are wrong. Each of its moments is
//!    excluded by `f + 1` members, and one of those is right. If a majority of the members
//!    shares some possible moment, the verdict is [`PeerVerdict::StepDown`].
//! 2. If a majority of the members, ourselves included, shares a possible moment of our
//!    interval, we continue. The verdict is [`PeerVerdict::Agree`], or
//!    [`PeerVerdict::PeersWrong`] with the peers whose interval contains no possible moment.
//! 3. Otherwise the verdict is [`PeerVerdict::NoQuorum`].
//!
//! What this guarantees, if at most `f` members are wrong:
//!
//! - *A right clock is never told to stop.* The true time is possible whichever members
//!   have answered, because only wrong ones exclude it. So up to `f` faulty members cannot
//!   stop any node, and a single fast node never stops the others.
//! - *A right peer is never called wrong*, for the same reason.
//! - *A right clock is told to continue* once a majority of right members, itself included,
//!   has answered.
//! - *A wrong clock is told to stop* once `f + 1` right peers that contradict it have
//!   answered, and a majority that shares a moment. All right members together suffice.
//! - A wrong clock that no right clock contradicts cannot be found, by this or any other
//!   rule. But if it is told to continue, at least one right clock is in the majority. So
//!   its error is at most the width of that clock's evidence.
//!
//! The limit is sharp. `f + 1` members that conspire can stop one right node. With `n = 2`,
//! a disagreement is visible, but not which clock is wrong. So allow for as many faulty
//! members as you can: [`PeerClocks::new`] takes `f`, which can be up to `(n - 1) / 2`.
//!
//! # Attacks, and what prevents them
//!
//! - *Replaying an old answer*, so that a right peer seems to be behind. An answer counts
//!   only with the [`Nonce`] of an open request, and only once.
//! - *Answering "any time at all"* to agree with every clock, or answering so late that it
//!   has the same effect. An answer wider than `max_width` on arrival is refused.
//! - *Crashing while right*, and still counting. Evidence older than `max_age` does not
//!   count.
//! - *Being counted twice.* The members are named once, at the start.
//! - *Stopping our machine.* When a virtual machine is stopped and continued, its counter
//!   is behind, and all peers seem to have jumped ahead. See [`PeerClocks::forget`], and use
//!   a counter that notices it if there is one.
//! - *Being right for a long time, then wrong.* An answer that contradicts the peer's own
//!   earlier answers replaces them, and is counted in its report.
//!
//! What to read: L. Lamport and P. M. Melliar-Smith, "Synchronizing clocks in the presence
//! of faults" (JACM 32(1), 1985), for the `3f + 1` of the harder problem; K. Marzullo (see
//! [`agreement`](crate::agreement)) for counting.

mod counter_limits;
mod error;
mod exchange;
mod member;
mod peer_clocks;
mod peer_limits;
mod peer_verdict;
mod relation;

pub use counter_limits::CounterLimits;
pub use error::PeerError;
pub use exchange::Exchange;
pub use member::Nonce;
pub use peer_clocks::PeerClocks;
pub use peer_limits::PeerLimits;
pub use peer_verdict::{Correction, PeerReport, PeerVerdict};
pub use relation::{Relation, compare};
