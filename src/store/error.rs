//! [`StoreError`]: why a content was not loaded or persisted.

use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Why a [`Store`](super::Store) cannot be opened, loaded or persisted.
///
/// `place` is the store's [name](super::Store::place), for a file its path.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is nothing to open.
    #[error(
        "{place} does not exist: mount its volume or correct the path; call `create_new` only for \
         the first start, because a new store knows of no promise that was made before"
    )]
    Missing {
        /// The store.
        place: String,
    },
    /// There is something already, so it is not new.
    #[error(
        "{place} exists already, and what was promised under it holds: open it with \
         `open_existing`, or use another path for a new one"
    )]
    Exists {
        /// The store.
        place: String,
    },
    /// The file is gone, but the lock file beside it is there.
    #[error(
        "{place} is missing, but its lock file {lock} is there, so a file was here and its promises \
         are lost: mount its volume or restore it from a copy that is not older; remove {lock} and \
         call `create_new` only if nothing that was promised under it can still be in use, or if \
         its first creation was interrupted"
    )]
    Lost {
        /// The file that is missing.
        place: String,
        /// The lock file that was found.
        lock: String,
    },
    /// There is a directory, a pipe or a device where the file should be.
    #[error("{place} is not a regular file, and was not changed: use another path")]
    NotAFile {
        /// The path.
        place: String,
    },
    /// The content is longer than the store takes.
    #[error("{place} has {length} bytes, and at most {limit} can be stored: use another path")]
    TooLong {
        /// The store.
        place: String,
        /// The length of the content in bytes.
        length: u64,
        /// The largest length in bytes.
        limit: u64,
    },
    /// The process may not write the file, its directory or its file system.
    #[error(
        "{place} cannot be written, so nothing in it would survive a crash: give this process the \
         right to write it and its directory, or mount the file system writable"
    )]
    ReadOnly {
        /// The file.
        place: String,
    },
    /// Another owner holds the lock.
    #[error(
        "{place} is locked by {holder}, and two owners would promise the same: stop the other one, \
         or use another path here"
    )]
    Locked {
        /// The lock file.
        place: String,
        /// The process that holds it, if known.
        holder: String,
    },
    /// The store was opened by the parent, before a `fork`.
    #[error("{place} belongs to process {owner}, which forked: open one of its own in the child")]
    Forked {
        /// The store.
        place: String,
        /// The process that opened it.
        owner: u32,
    },
    /// The operating system, or what else the store is in, returned an error.
    #[error(
        "cannot {action} {place}: {source}; what was promised still holds, and nothing new was \
         promised"
    )]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file, or the store.
        place: String,
        /// The error from the system.
        source: Arc<io::Error>,
    },
}

impl StoreError {
    /// The system's error in `action` ("write", "append to") on `place`. For other errors than the
    /// system's there is [`io::Error::other`].
    ///
    /// Missing rights get a variant of their own, because there is something to do about them.
    pub fn io(action: &'static str, place: impl Into<String>, source: io::Error) -> StoreError {
        let place = place.into();
        match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                StoreError::ReadOnly { place }
            }
            _ => StoreError::Io { action, place, source: Arc::new(source) },
        }
    }

    /// Whether the same call can succeed later without anybody changing the program or the store.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Locked { .. } => true,
            StoreError::Io { source, .. } => matches!(
                source.kind(),
                ErrorKind::Interrupted
                    | ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ResourceBusy
                    | ErrorKind::TimedOut
                    | ErrorKind::OutOfMemory
            ),
            _ => false,
        }
    }
}
