//! What a forked child may do with what its parent made.

#[cfg(target_os = "linux")]
mod locks;
mod records;
