//! Time scales and leap tables.

#[cfg(feature = "cli")]
mod commands;
mod interop;
mod leap_seconds;
mod oracles;
mod properties;
mod smear;
mod tables;
mod zic;

// The two files of the command that `commands` tries.
#[cfg(feature = "cli")]
#[path = "../../src/bin/truechimer/convert.rs"]
#[allow(missing_docs, reason = "the command is not a library")]
mod convert;
#[cfg(feature = "cli")]
#[path = "../../src/bin/truechimer/leaps.rs"]
#[allow(missing_docs, reason = "the command is not a library")]
mod leaps;
