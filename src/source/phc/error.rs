//! [`PhcError`]: why a PTP hardware clock cannot be opened.

use std::io;
use std::path::PathBuf;

/// Why a PTP hardware clock cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhcError {
    /// The device cannot be opened.
    #[error(
        "the PTP clock {} cannot be opened: {source}; `truechimer doctor` lists the ones there are, \
         and reading one needs the right to read its file", .path.display()
    )]
    Open {
        /// The device's file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It can be opened, and is no PTP clock or one that this kernel cannot read.
    #[error(
        "{} is no PTP clock that can be read: {source}; it must be a device /dev/ptpN, and the \
         kernel Linux 5.0 or newer", .path.display()
    )]
    NotAClock {
        /// The device's file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// This operating system has no PTP clocks.
    #[error("PTP clocks are read on Linux only")]
    Unsupported,
}

impl PhcError {
    /// Whether the same call may succeed later: a driver may be loaded, or a permission given.
    pub fn is_transient(&self) -> bool {
        matches!(self, PhcError::Open { .. })
    }
}
