//! The hybrid logical clock.

mod crash;
mod durable;
mod promises;
mod renewal;
#[path = "../support/mod.rs"]
mod support;
mod world;
