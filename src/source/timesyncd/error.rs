//! [`BusError`]: why timesyncd cannot be heard.

use std::path::PathBuf;

/// timesyncd's name on the bus.
pub(super) const NAME: &str = "org.freedesktop.timesync1";

/// Why timesyncd cannot be heard.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// There is no bus.
    #[error(
        "there is no system bus at {path}: in a container, mount the host's to use its timesyncd",
        path = .path.display()
    )]
    NoBus {
        /// Where its socket was looked for.
        path: PathBuf,
    },
    /// The environment names a bus that cannot be reached this way.
    #[error("DBUS_SYSTEM_BUS_ADDRESS is {0:?}, and only `unix:path=...` is known here")]
    Address(String),
    /// The bus does not let this process in, or not ask.
    #[error("the bus at {path} denies access: {why}", path = .path.display())]
    Denied {
        /// The bus's socket.
        path: PathBuf,
        /// What it said.
        why: String,
    },
    /// No timesyncd, or one from before systemd 239.
    #[error(
        "systemd-timesyncd does not run here (or is older than systemd 239, which has no bus name)"
    )]
    NotRunning,
    /// What answers has no such property.
    #[error("timesyncd does not publish its exchanges ({0}): systemd 239 or newer does")]
    NoProperty(String),
    /// No answer in time.
    #[error("no answer on the bus at {path} in time: timesyncd or the bus is stopped, or very busy", path = .path.display())]
    Silent {
        /// The bus's socket.
        path: PathBuf,
    },
    /// The bus has ended the connection.
    #[error("the bus at {path} closed the connection", path = .path.display())]
    Closed {
        /// The bus's socket.
        path: PathBuf,
    },
    /// What came is not D-Bus, or not what was asked for.
    #[error("the bus at {path} sent something that cannot be read: {why}", path = .path.display())]
    Malformed {
        /// The bus's socket.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system failed.
    #[error("the bus at {path} cannot be used: {why}", path = .path.display())]
    Io {
        /// The bus's socket.
        path: PathBuf,
        /// The system's error.
        why: String,
    },
    /// A clock could not be read beside the answer.
    #[error("{0}")]
    Host(String),
    /// The thread that listens could not be started.
    #[error("the thread that listens to the bus cannot be started: {0}")]
    Thread(String),
}

impl BusError {
    /// Whether a later request can succeed without a change to the system.
    pub fn is_transient(&self) -> bool {
        match self {
            BusError::NoBus { .. } | BusError::NotRunning | BusError::Silent { .. } => true,
            BusError::Closed { .. } | BusError::Io { .. } | BusError::Thread(_) => true,
            BusError::Address(_) | BusError::Denied { .. } | BusError::NoProperty(_) => false,
            BusError::Malformed { .. } | BusError::Host(_) => false,
        }
    }
}
