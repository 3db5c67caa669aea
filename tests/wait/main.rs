//! Waits of threads and of tasks.

mod blocking;
mod clocks;
mod paused;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
