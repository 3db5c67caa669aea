//! The parts of `examples/spanner_kv.rs`.

pub mod checker;
mod client;
pub mod cluster;
mod counted_tokens;
pub mod history;
pub mod latency;
pub mod layout;
mod leader;
mod lock_service;
mod locks;
pub mod log;
pub mod message;
mod reads;
mod replica;
mod state;
pub mod story;
mod transact;
