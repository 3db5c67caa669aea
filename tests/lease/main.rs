//! Leases. `tests/lease_search` tries every order of small worlds beside this.

mod commits;
mod duration;
mod interleavings;
mod repeats;
mod rules;
#[cfg(feature = "serde")]
mod stored;
mod tasks;
mod terms;
