//! What a forked child may do with what its parent made.

#[cfg(target_os = "linux")]
#[path = "../support/bus.rs"]
mod bus;
#[cfg(target_os = "linux")]
mod locks;
mod records;
#[cfg(target_os = "linux")]
mod timesyncd;
