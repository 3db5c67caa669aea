//! The running clock: [`Clock::now`] gives an interval that contains true time.
//!
//! ```text
//! sources ─► driver ─► estimator ─► snapshot ─► ring ─► Clock::now ─► Interval
//!            (thread)   (pure)      (7 words)   (lock-free)
//! ```
//!
//! One side writes, ten times a second. It samples the sources, combines their bounds into a
//! pair of lines, and publishes it. The other side reads, up to a hundred million times a
//! second. It takes the seven words, reads the counter, and multiplies twice. Between them
//! is a ring on which neither waits.
//!
//! # What is promised
//!
//! If each source's bound held when it was sampled (A1), and the counter's true rate stayed
//! within `max_drift_ppm` of nominal (A2), then for every [`Clock::now`] there is a moment
//! between its call and its return at which true time was in the interval.
//!
//! A third assumption (A3) is made unless [`max_wander_ppm`](crate::ClockBuilder::max_wander_ppm) says no: within any two
//! hours the counter's rate stays within 20 ppm of its means. Readings between the time daemon's
//! updates are then up to ten times narrower. Leave it out on a virtual machine that may be moved to
//! another host, unless its VMClock shows that. [`_design`](crate::_design) has the rules that keep the promise.

#[cfg(not(target_family = "wasm"))]
mod build_error;
#[cfg(not(target_family = "wasm"))]
pub mod builder;
pub mod changes;
pub(crate) mod core;
pub(crate) mod driver;
pub mod manual;
#[cfg(not(target_family = "wasm"))]
mod own_sources;
#[cfg(test)]
mod portable_tests;
pub mod report;
#[cfg(test)]
mod rig;
#[cfg(not(target_family = "wasm"))]
mod running;
pub(crate) mod sample_error;
#[cfg(not(target_family = "wasm"))]
mod thread;
pub mod truetime;
pub(crate) mod vmclock;
#[cfg(test)]
mod wander_tests;

#[cfg(not(target_family = "wasm"))]
pub use build_error::BuildError;
#[cfg(not(target_family = "wasm"))]
pub use builder::ClockBuilder;
pub use changes::{Changes, Subscription};
pub use manual::ManualClock;
pub use report::{CounterReport, Limits, Report, Said, SamplerReport, SourceReport};
#[cfg(not(target_family = "wasm"))]
pub use running::Clock;
#[cfg(all(test, not(loom), not(target_family = "wasm")))]
pub(crate) use running::WeakClock;
pub use truetime::TrueTime;
pub use vmclock::{MarkerCheck, VmClockReport};
