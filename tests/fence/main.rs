//! Fences, in memory and in files.

mod durable;
mod keyed_durable;
mod rules;
mod tasks;
