//! Network Time Security (RFC 8915): NTP whose replies prove which server they are from.
//!
//! Plain NTP believes whoever repeats 64 random bits of the request, and everybody on the way has
//! seen them. With NTS, the client first talks to a *key server* over TLS 1.3
//! ([`key_exchange`]), whose certificate proves its name. That gives keys for both directions, and
//! eight cookies, from which the time server makes the same keys later without having kept
//! anything. Each request then has a cookie and an authenticator, and each reply an authenticator
//! and a new cookie ([`session`]).
//!
//! # What it does for an interval
//!
//! The interval of an exchange needs no symmetric way, so delaying a packet only makes it wider.
//! What was left to an attacker on the way is to change what the packet says, or to answer in the
//! server's place, and NTS takes that. It does not make the server's own clock right: a server that
//! proves its name can be wrong, so that several servers have to agree as without NTS.
//!
//! A server that is asked with NTS is never used without. While there are no keys, or a reply is
//! not authentic, the server counts as silent, and the report has the reason.

pub(crate) mod extension;
#[cfg(all(test, not(loom)))]
mod fake;
pub(crate) mod key_exchange;
pub(crate) mod records;
mod servers;
pub(crate) mod session;

#[cfg(all(test, not(loom)))]
mod world_tests;

pub use key_exchange::AuthoritiesError;
pub(crate) use key_exchange::PORT;
pub(crate) use servers::NtsServers;
