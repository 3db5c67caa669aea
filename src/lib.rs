//! A clock that knows its error.
//!
//! A wall clock gives one number that may be wrong by seconds. It steps, drifts, repeats
//! leap seconds, and stands still when a machine is paused. A database that orders writes
//! by it loses data silently. A lease that trusts it lets a paused holder write after the
//! lease went to another. Spanner's answer is TrueTime: state `[earliest, latest]`, wait out
//! the uncertainty before a commit is released, and fence holders that were paused. This
//! crate does that on ordinary hosts.
//!
//! ```no_run
//! use truechimer::Clock;
//!
//! let clock = Clock::new()?;
//! let now = clock.now()?;
//! assert!(now.earliest() <= now.latest()); // and true time is between the two
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! - [`Clock`] reads the host: the kernel's error bound, a time daemon's, or the error that
//!   you state ([`assume_error`](ClockBuilder::assume_error)). Reading costs about as much as
//!   reading the processor's counter. [`clock`] states what is promised, and [`_design`] the
//!   assumptions and the rules behind it.
//! - [`Timestamp`] is a moment, counted in TAI, where no second is repeated; [`Interval`]
//!   is what a clock knows. Two intervals that overlap have no order, and no `<`.
//! - [`source`] is where evidence comes from, and which bounds are not believed.
//! - [`scale`] is UTC, Unix, GPS, NTP and smeared time, and the leap table between them.
//! - [`TrueTime`] is the trait through which everything else reads a clock. [`ManualClock`]
//!   implements it for tests.
//! - [Platforms](_platforms) says what works where: all of it on Linux, the types and the
//!   toolkit everywhere. [Width](_width) says how narrow intervals are, by which setting.
//!
//! # What goes wrong in distributed systems, and what helps
//!
//! The troubles are those of chapter 9 of *Designing Data-Intensive Applications*
//! (Kleppmann and Riccomini, second edition).
//!
//! | trouble | answer |
//! |---|---|
//! | A request has no answer: lost, late, or the node is down? | [`timeout::IdempotencyKey`], so that a retry is harmless; [`timeout::Retries`] |
//! | Delays have no bound, so a fixed timeout is wrong | [`timeout::Rto`], [`timeout::EwmaTimeout`]; [`timeout::PhiDetector`], a suspicion in place of a verdict; a [`Deadline`] that travels with the request |
//! | Wall clocks jump; monotonic clocks mean nothing elsewhere | [`Timestamp`] and [`Interval`], types that do not mix |
//! | Quartz drifts, NTP over the internet is good to tens of ms: last-write-wins drops the later write | [`Interval::definitely_before`], which is false if the order is not known |
//! | Leap seconds: minutes of 61 s, servers that smear | the core counts TAI; [`LeapTable`], [`Smear`] |
//! | A virtual machine is paused or moved, and no clock shows it | [`source::rtc`] is a second source that shows it, and [`pause`] describes what each clock can show; the rest is a stated limit |
//! | A process is stopped, and then writes on without knowing it: the zombie | [`lease`] judged by both ends of the interval, [`PauseMonitor`], and above all [`fence`] |
//! | Shooting the other node (STONITH) comes too late for packets under way | [`Fence`]: the resource itself refuses what is stale |
//! | A node cannot trust its own judgement | [`PeerClocks`]: if a majority proves our clock wrong, we step down |
//! | Nodes may be Byzantine | [`agreement`] with a stated number of faulty nodes; [`quorum`] |
//! | A proof in one model is a bug in another | each module states which model it assumes |
//!
//! # Cookbook
//!
//! Order two events, if the order is known:
//!
//! ```
//! # use truechimer::{Clock, TrueTime};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let clock = Clock::builder().assume_error(std::time::Duration::from_millis(5)).build()?;
//! let first = clock.now()?;
//! let second = clock.now()?;
//! if first.definitely_before(&second) {
//!     // certain, on any host that keeps its bound
//! } else {
//!     // they overlap, so the order is not known
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Learn why there is no time, and what to do:
//!
//! ```
//! # let clock = truechimer::Clock::builder().build()?;
//! if let Err(why) = clock.now() {
//!     eprintln!("{why}"); // "the clock is not synchronized: ...; run chronyd with ..."
//!     assert!(why.is_transient());
//! }
//! # Ok::<(), truechimer::BuildError>(())
//! ```
//!
//! Decide whether a reading is good enough to serve with:
//!
//! ```
//! # use std::time::Duration;
//! # let clock = truechimer::Clock::builder().assume_error(Duration::from_millis(1)).build()?;
//! let can_serve = clock.now().is_ok_and(|now| now.width() < Duration::from_millis(50));
//! # let _ = can_serve;
//! # Ok::<(), truechimer::BuildError>(())
//! ```
//!
//! Release a commit only after its timestamp has passed everywhere (commit-wait):
//!
//! ```
//! # let builder = truechimer::Clock::builder();
//! # let clock = builder.assume_error(std::time::Duration::from_millis(1)).build()?;
//! let commit = clock.now()?.latest();
//! // ... send it to the replicas, and meanwhile:
//! clock.commit_wait(commit)?;
//! // ... now the client may be told
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Stamp messages so that cause comes before effect, on every node:
//!
//! ```
//! use truechimer::Hlc;
//! # let assumed = || truechimer::Clock::builder().assume_error(std::time::Duration::from_millis(1));
//! # let (here, there) = (assumed().build()?, assumed().build()?);
//! let (here, there) = (Hlc::new(here), Hlc::new(there));
//! let sent = here.stamp()?;
//! let received = there.observe(sent)?; // refused if it proves that the sender's clock is wrong
//! assert!(received > sent);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Keep a paused holder from writing: the resource checks the token, not the clock.
//!
//! ```
//! use truechimer::{Fence, FencingToken};
//!
//! let fence = Fence::starting_at(FencingToken(0));
//! assert!(fence.admit(FencingToken(34)).is_ok()); // the new holder
//! assert!(fence.admit(FencingToken(33)).is_err()); // the zombie, with both numbers
//! ```
//!
//! Test your own code on a clock that you move by hand:
//!
//! ```
//! use std::time::Duration;
//! use truechimer::{Interval, ManualClock, Timestamp, TrueTime};
//!
//! let at = Timestamp::from_tai_nanos;
//! let clock = ManualClock::new(Interval::new(at(100), at(200)).unwrap());
//! assert!(clock.after(at(99))?);
//! assert!(!clock.after(at(150))? && !clock.before(at(150))?); // not known
//! clock.advance(Duration::from_nanos(51));
//! assert!(clock.after(at(150))?);
//! # Ok::<(), truechimer::ClockError>(())
//! ```
//!
//! # Features
//!
//! None is on by default; the core needs arc-swap, parking_lot and thiserror, and on Unix libc and nix.
//!
//! - `cli`: the `truechimer` command.
//! - `serde`: values and reports as data; numbers that doubles would round are text ([`decimal`]).
//! - `chrono`, `jiff`: conversions from and to their types.
//! - `sim`: a deterministic world in which true time is known, to test a database in.

#![cfg_attr(
    target_family = "wasm",
    allow(dead_code, reason = "no host is read there, so nothing but the simulator runs a clock")
)]

pub mod _design;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod _fuzz;
pub mod _platforms;
pub mod _width;
pub mod agreement;
mod background;
pub mod clock;
pub mod counter;
#[cfg(feature = "serde")]
pub mod decimal;
mod durable;
mod estimator;
pub mod evidence;
mod exclusive;
pub mod fence;
mod fork;
pub mod hlc;
pub mod host;
pub mod interval;
pub mod lease;
#[cfg(not(target_family = "wasm"))]
pub mod pause;
pub mod peers;
pub mod quorum;
pub mod scale;
pub mod section;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
pub mod source;
pub mod store;
mod sync;
pub mod timeout;
pub mod timestamp;
#[cfg(not(target_family = "wasm"))]
pub mod wait;

#[cfg(not(target_family = "wasm"))]
pub use clock::{BuildError, Clock, ClockBuilder};
pub use clock::{Limits, ManualClock, Report, TrueTime};
pub use counter::{Counter, CounterError, CounterKind};
pub use durable::RecordError;
pub use evidence::{Reason, Role, Sample, Source, SourceCondition, SourceError};
pub use fence::{Fence, FencingToken};
pub use hlc::{
    Hlc, HlcError, NodeStamp, NodeUid, PendingCommit, ProvisionalStamp, ReadUncertainty,
    ReleaseError, Stamp, Visibility,
};
pub use interval::Interval;
pub use lease::{Grantor, Lease};
#[cfg(not(target_family = "wasm"))]
pub use pause::PauseMonitor;
pub use peers::PeerClocks;
pub use scale::{
    GpsTime, LeapTable, LeapTableError, NtpDate, NtpTime, ParseTimeError, PtpTime, ScaleError,
    ScaleInterval, Smear, Smeared, UnixTime, Utc,
};
pub use snapshot::{ClockError, Status};
pub use source::RealtimeScale;
pub use store::{FileStore, Store, StoreError};
pub use timeout::Deadline;
pub use timestamp::Timestamp;
#[cfg(not(target_family = "wasm"))]
pub use wait::{WaitError, Waited, Waiter};

/// The README's example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
