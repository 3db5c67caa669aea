//! Leases: locks that expire by themselves, judged by clocks that state their error.
//!
//! # The problem
//!
//! If the holder of a lock dies, it never gives the lock back. So the lock gets an
//! expiry E: the holder may act until E, and after E the lock may be granted to
//! another. Now two machines have to agree on when E is, but their clocks differ.
//!
//! # The naive fix, and why it fails
//!
//! Each side compares E with its wall clock. The holder's clock is 40 ms slow and
//! the grantor's is 40 ms fast, so for 80 ms there are two holders, and each of
//! them has checked its lease. A "safety margin" is a guess about the clock error,
//! and no margin is large enough on the day when a time daemon has died.
//!
//! # The insight
//!
//! A clock that states its error can answer two different questions. Each side
//! asks the question whose wrong answer does no harm:
//!
//! ```text
//!                        latest < E                earliest > E
//!     ───────────── Held ───────────┤── Uncertain ──├─────── Expired ──────────▶
//!                                           E
//! ```
//!
//! - **The holder** acts only while `now().latest < E`, because then E has certainly
//!   not come.
//! - **The grantor** grants anew only when `now().earliest > E`, because then E has
//!   certainly passed.
//! - In between, nobody acts. This is the price of the uncertainty, and it lasts as
//!   long as the two intervals are wide. A better clock makes it shorter, and a worse
//!   clock never makes it unsafe.
//! - **If a clock returns an error**, the holder treats the lease as expired and the
//!   grantor treats it as held.
//!
//! If both clocks keep their promise, then at every moment of true time
//! [`Lease::check`] succeeds for at most one holder.
//!
//! # Commits keep their order when a lease moves
//!
//! A holder that commits transactions chooses a stamp s at or above its clock's `latest`, so
//! s is ahead of true time for a while. If it then gives the lease away, the next holder's
//! `latest` may be below s, because its clock is better. It would choose a smaller stamp for
//! a later transaction, and a reader at a moment between the two would see the later one
//! without the earlier one. (With intervals of 100 ms: A takes 0.099 s and releases; B is
//! granted the lease 1 ms later, and takes 0.002 s.) So all stamps of one holder must lie
//! before all stamps of the next. Spanner calls this disjointness, and two rules give it:
//!
//! 1. **Each stamp lies before the lease's end**: s < E. [`Lease::commit_stamp`] refuses others.
//! 2. **The lease is not handed over before its greatest stamp has passed.**
//!    [`Lease::release`] and [`Lease::transfer`] give the lease back until the holder's
//!    `earliest` is beyond it.
//!
//! Claim: when the next holder takes a stamp s′, then s < s′. A lease ends in one of two ways.
//!
//! - *It was handed over.* By rule 2 the holder's `earliest` was beyond s when it made the
//!   message, so true time was. The grantor granted the lease later, and the next holder's
//!   reading is later still. Its `latest` is at or beyond true time, and s′ is at or beyond
//!   its `latest`. So s < s′.
//! - *It expired*: the holder was dropped, paused, cut off, or has crashed. The grantor grants
//!   the lease anew when its `earliest` is beyond E′, the end that *it* knows. The holder knows
//!   some end E ≤ E′, since every end that it learned was granted and ends only move forward
//!   (a renewal whose answer was lost makes E′ larger, not smaller). By rule 1, s < E ≤ E′. So
//!   true time was beyond s when the lease was granted, and s < s′ as before. This does not
//!   ask whether s had passed by the holder's clock. So **dropping a lease is always safe**,
//!   whatever was taken under it, and so is the crash of its holder.
//!
//! Threads: `commit_stamp` takes `&self` and handing over takes `self`. So no stamp is taken
//! while or after the lease is handed over. If a renewal arrives while a stamp is taken, the stamp
//! is compared with the old end or the new one, and both were granted.
//!
//! The rules order stamps. A transaction whose stamp has passed must also have been *finished*
//! or given up before its lease is handed over, because the next holder does not know of it;
//! what comes late, the [fence](crate::fence) refuses.
//!
//! # Repeated and late messages
//!
//! Networks, RPC libraries and clients of replicated logs deliver at least once. Each
//! [`Command`] carries the number of its request, and a [`Grantor`] decides on it once. A repeat
//! gets the same answer, and a copy that comes after a later command of the same sender is
//! refused. So a renewal that was sent twice is no error, and a late copy of an `Acquire` does
//! not take the lease for a holder that has given it back. The memory for this is bounded, and
//! `answers.rs` shows what a request can do that was forgotten.
//!
//! # What a lease cannot do
//!
//! A check is true at the moment when it is made. A process that is stopped between
//! its check and its write will write later, after E. So a lease keeps other holders
//! from starting, and a [fence](crate::fence) keeps a paused holder from finishing:
//! each grant carries a [`FencingToken`](crate::fence::FencingToken), which the
//! resource must check. [`Lease::run`] and [`Lease::run_async`] at least report afterwards that
//! the lease may have ended before the work did. A section whose future is dropped gets no check
//! afterwards, so the lease [counts](Lease::abandoned) it.
//!
//! # When the clock was wrong
//!
//! `earliest` can go back: a source was wrong by an hour, the grantor saw that E had passed,
//! and a contradiction brought the truth out. The clock then begins a new
//! [epoch](crate::Clock::epoch). What was granted in the earlier one cannot be taken back, and
//! two holders may have their leases: the new one, and the former one, whose E has not
//! come. In that case:
//!
//! - **The resource** refuses the former holder by its token, once the new one has written.
//!   This is the only protection that needs no clock, so what must not be written twice
//!   needs a [fence](crate::fence).
//! - **A holder** keeps the epoch of its last check beside its work. If it has changed, the
//!   check was by evidence that may have been wrong. The holder checks anew, and treats
//!   what it did since as [`SectionOutcome`] treats work that outlived its lease.
//! - **A grantor** whose clock is in another epoch than at its last grant goes quiet for its
//!   longest term: [`Grantor::after_lost_updates`] makes one that does. By then each lease
//!   that was granted, over another or under it, has expired. A grantor without a stored
//!   state numbers its tokens by the clock. If that clock was ahead, its tokens are too, and
//!   fences refuse the lower tokens of a restarted grantor until time has caught up.
//! - **A term** is counted from the grantor's `earliest`, so a clock that was *behind* makes
//!   leases end early, which harms nobody.
//!
//! A clock that is [restored](crate::Clock::restored) or that [forgot](crate::Clock::reassume)
//! its evidence begins a new epoch too, and the same holds.
//!
//! # Two kinds
//!
//! | | [`Lease`], [`Grantor`] | [`DurationLease`], [`DurationGrantor`] |
//! |---|---|---|
//! | clocks | state their error ([`TrueTime`](crate::TrueTime)) | not synchronized, drift bounded |
//! | expiry | a moment, the same for all | a duration, counted by each side |
//! | grantor's state | may move to another node | is meaningless on another node |
//! | after a restart | quiet for the longest term, or no wait with durable state | quiet for one term |
//! | commit stamps | covered | no: its end is no moment of true time |
//! | transfer | yes | no: the next holder has sent no request to count from |
//!
//! Both kinds have the same commands, the same rules for granting (`lease_state.rs`) and the same
//! memory of answers. They differ in their types, though a stopwatch could be written as a
//! [`TrueTime`](crate::TrueTime) whose zero is private, and [`Lease`] could run on it. That was
//! considered, and rejected for these reasons:
//!
//! - **Clocks could be mixed up silently.** Everything that takes a `TrueTime` relies on one
//!   promise: any two of them can be compared. A clock with a private zero breaks it. A lease
//!   that ends in 2026, checked with a clock that counts from boot, is held for half a century.
//!   A grant by a grantor that has been up for 100 days would be held for 99 days too long on a
//!   machine that was booted yesterday. The same clock could be given to an
//!   [`Hlc`](crate::Hlc) or a [`Waiter`](crate::Waiter). With two types, none of this compiles.
//! - **The sum is another one.** A term on a stopwatch is shrunk by the drift for the holder,
//!   counts from *its own* sending, and so needs the request to which a grant is the answer. The
//!   grantor stretches the term and counts from its `latest`. A grant of true time carries a
//!   moment and needs none of that; there the grantor counts from `earliest`, because after a
//!   restart it need not know how wide its intervals were. A clock that stated its drift in
//!   its intervals would need no such rules, but it would be 17 s wide after a day of 200 ppm.
//! - **Half of the verbs would be wrong**: commit stamps, transfers, and a stored or replicated
//!   state mean nothing on a private time line, and would have to fail at run time.
//!
//! The model: nodes crash and recover but follow the protocol. The network may lose,
//! repeat, delay and reorder messages. Clocks keep the promise of `TrueTime`, or the
//! drift bound for duration leases. Under these assumptions safety always holds.
//! Progress also needs messages to arrive within a term.
//!
//! To read: Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for
//! distributed file cache consistency", SOSP 1989; Corbett et al., "Spanner",
//! OSDI 2012, section 4.1.1 (disjointness of leader leases).

mod abandoned;
mod answers;
#[cfg(not(target_family = "wasm"))]
mod boot_clock;
mod commit_error;
mod drift;
mod durable_grantor;
mod duration_grantor;
mod duration_lease;
mod error;
mod expiry;
mod grant_error;
mod granted;
mod grantor;
#[cfg(feature = "serde")]
mod grantor_form;
mod holder;
mod holder_id;
#[expect(clippy::module_inception, reason = "files are named for their main type")]
mod lease;
mod lease_state;
mod message;
mod remaining;
mod request_id;
mod section_outcome;
mod stopwatch;
mod term;

#[cfg(not(target_family = "wasm"))]
pub use boot_clock::BootClock;
pub use commit_error::CommitError;
pub use durable_grantor::{DurableGrantor, DurableGrantorError, GrantorFormat};
pub use duration_grantor::DurationGrantor;
pub use duration_lease::{DurationGrant, DurationLease, Request};
pub use error::LeaseError;
pub use expiry::ExpiryStatus;
pub use grant_error::GrantError;
pub use grantor::Grantor;
pub use holder::Holder;
pub use holder_id::HolderId;
pub use lease::{HandOverError, Lease};
pub use message::{Command, Decision, Grant};
pub use remaining::Remaining;
pub use request_id::{RequestId, Sender};
pub use section_outcome::SectionOutcome;
pub use stopwatch::{Reading, Stopwatch};
pub use term::MAX_TERM;
