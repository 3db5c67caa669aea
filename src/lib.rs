//! A clock that knows its error.
//!
//! A wall clock gives one number that may be wrong by seconds: it steps, drifts,
//! repeats leap seconds, and stands still when a machine is paused. A database that
//! orders writes by it loses data without a word; a lease that trusts it lets a paused
//! holder write after the lease went to another. Spanner's answer is TrueTime: say
//! `[earliest, latest]`, wait out the uncertainty before a commit is released, and
//! fence whatever was paused. This crate gives that on any Linux host.
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
//! - [`Clock`] reads the host: the kernel's error bound, a time daemon's, or your own
//!   word ([`assume_error`](ClockBuilder::assume_error)). Reading costs about as much as
//!   reading the processor's counter. [`clock`] says what is promised, and on what.
//! - [`Timestamp`] is a moment, counted in TAI, where no second is repeated; [`Interval`]
//!   is what a clock knows. Two intervals that overlap have no order, and no `<`.
//! - [`source`] is where evidence comes from, and who is not believed.
//! - [`scale`] is UTC, Unix, GPS, NTP and smeared time, and the leap table between them.
//! - [`TrueTime`] is the trait that everything below asks; a clock in a test is one too.
//! - [Platforms](_platforms) says what works where: all of it on Linux, the types and the
//!   toolkit everywhere.
//!
//! # What goes wrong in distributed systems, and what here answers it
//!
//! The troubles are those of chapter 9 of *Designing Data-Intensive Applications*
//! (Kleppmann and Riccomini, second edition).
//!
//! | trouble | answer |
//! |---|---|
//! | A request has no answer: lost, late, or the node is down? | [`timeout::IdempotencyKey`], so that a retry is harmless; [`timeout::Retries`] |
//! | Delays have no bound, so a fixed timeout is wrong | [`timeout::Rto`], [`timeout::EwmaTimeout`]; [`timeout::PhiDetector`], a suspicion in place of a verdict; a [`Deadline`] that travels with the request |
//! | Wall clocks jump; monotonic clocks mean nothing elsewhere | [`Timestamp`] and [`Interval`], types that do not mix |
//! | Quartz drifts, NTP over the internet is good to tens of ms: last-write-wins drops the later write | [`Interval::definitely_before`], which is false where nobody can know |
//! | Leap seconds: minutes of 61 s, servers that smear | the core counts TAI; [`LeapTable`], [`Smear`] |
//! | A virtual machine is paused or moved, and no clock shows it | [`source`] names the witnesses (RTC), [`pause`] what each can see; the rest is a stated limit |
//! | A process is stopped without knowing it, and writes on: the zombie | [`lease`] judged by both ends of the interval, [`PauseMonitor`], and above all [`fence`] |
//! | Shooting the other node (STONITH) comes too late for packets under way | [`Fence`]: the resource itself refuses what is stale |
//! | A node cannot trust its own judgement | [`PeerClocks`]: if a majority proves our clock wrong, we step down |
//! | Nodes may lie | [`agreement`] with a stated number of liars; [`quorum`] |
//! | A proof in one model is a bug in another | each module says which model it assumes |
//!
//! # Cookbook
//!
//! Order two events, where it can be known:
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
//!     // they overlap: nobody knows, so do not pretend
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Be told why there is no time, and what to do:
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
//! Let nothing out before its timestamp has passed everywhere (commit-wait):
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
//! Test your own code on a clock that you move by hand, since it asks the trait:
//!
//! ```
//! use truechimer::{ClockError, Interval, Timestamp, TrueTime};
//!
//! struct Scripted(Interval);
//!
//! impl TrueTime for Scripted {
//!     fn now(&self) -> Result<Interval, ClockError> {
//!         Ok(self.0)
//!     }
//! }
//!
//! let at = Timestamp::from_tai_nanos;
//! let clock = Scripted(Interval::new(at(100), at(200)).unwrap());
//! assert!(clock.after(at(99))?);
//! assert!(!clock.after(at(150))? && !clock.before(at(150))?); // not known
//! # Ok::<(), ClockError>(())
//! ```
//!
//! # Features
//!
//! None is on by default; the core needs parking_lot and thiserror, and on Unix libc and nix.
//!
//! - `cli`: the `truechimer` command.
//! - `serde`: values and reports as data.
//! - `chrono`, `jiff`: conversions from and to their types.
//! - `sim`: a deterministic world in which true time is known, to test a database in.

#![cfg_attr(
    target_family = "wasm",
    allow(dead_code, reason = "no host is read there, so nothing but the simulator runs a clock")
)]

pub mod _platforms;
pub mod agreement;
pub mod clock;
pub mod counter;
mod durable;
mod estimator;
pub mod evidence;
pub mod fence;
pub mod hlc;
pub mod host;
pub mod interval;
pub mod lease;
#[cfg(not(target_family = "wasm"))]
pub mod pause;
pub mod peers;
pub mod quorum;
pub mod scale;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
pub mod source;
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
pub use evidence::{Reason, Sample, Source, SourceError};
pub use fence::{Fence, FencingToken};
pub use hlc::{
    Hlc, HlcError, NodeStamp, NodeUid, PendingCommit, ReadUncertainty, ReleaseError, Stamp,
    Visibility,
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
pub use timeout::Deadline;
pub use timestamp::Timestamp;
#[cfg(not(target_family = "wasm"))]
pub use wait::{WaitError, Waited, Waiter};

/// The README's example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
