//! The simulated world, and what runs in it.

mod estimating;
mod soundness;
mod spanner_kv;
mod width;
mod world;
