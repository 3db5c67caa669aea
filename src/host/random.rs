//! Unpredictable numbers, from the system.
//!
//! They are read anew each time. A generator in the process would continue with the *same* numbers
//! in a process and in its forked child.

use std::io;

/// Where they come from, for messages.
#[cfg(not(windows))]
pub(crate) const RANDOM_SOURCE: &str = "/dev/urandom";
#[cfg(windows)]
pub(crate) const RANDOM_SOURCE: &str = "the system's generator";

/// So many random bytes. It costs an open and a read, some microseconds.
///
/// # Errors
///
/// If the file cannot be read. On systems without it, wasm32 among them, there is nothing to open.
#[cfg(not(windows))]
pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    use io::Read as _;

    let mut bytes = [0; N];
    std::fs::File::open(RANDOM_SOURCE)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Windows has no such file.
#[cfg(windows)]
pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
