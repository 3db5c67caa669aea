//! [`Files`]: the operations of a file system that a [`FileStore`](super::FileStore) uses.
//!
//! They are a trait so that the tests can run the store that ships on a model of a disk, which
//! loses in a crash whatever was not synced. A real disk loses it only when power fails, so on
//! a real one no test can see a sync that is missing.

use std::fmt::Debug;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

/// What is at a path.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) is_regular: bool,
    /// Whether the file is meant not to be written.
    pub(crate) is_read_only: bool,
    pub(crate) length: u64,
    pub(crate) permissions: Option<Permissions>,
}

/// A file system.
pub(crate) trait Files: Debug + Send + Sync {
    /// `path` without symbolic links, because the lock must be beside the file itself.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;

    /// What is at `path`.
    fn examine(&self, path: &Path) -> io::Result<Found>;

    /// Opens a file that exists, to read and sync it.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Makes a file that does not exist, to write and sync it.
    fn create(
        &self,
        path: &Path,
        permissions: Option<&Permissions>,
    ) -> io::Result<Box<dyn OpenFile>>;

    /// Opens a directory, to sync the names in it.
    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Gives a file another name, and replaces what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock at `path` without waiting.
    fn lock(&self, path: &Path, lock_file: LockFile) -> Result<Box<dyn HeldLock>, LockError>;
}

/// An open file or directory.
pub(crate) trait OpenFile: Debug + Send {
    /// The content from here on, but no more than `limit` bytes.
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>>;

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when the content, or for a directory its names, are on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// Whether a lock file has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockFile {
    /// It is made, and must not be there.
    New,
    /// It must be there. If another owner has removed it again, this owner is said to have it.
    Existing,
    /// It is made if it is missing.
    Any,
}

/// A lock that is held until this is dropped.
pub(crate) trait HeldLock: Debug + Send {
    /// Releases the lock and removes its file, in an order in which no two owners hold it.
    fn remove(self: Box<Self>);

    /// Forgets the lock in a forked child, because dropping it there would unlock its parent's.
    fn forget(self: Box<Self>);
}

/// Why a lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another owner has it, with its process id if that is known.
    Held(Option<String>),
    /// The lock file should be new, and is there.
    Exists,
    /// The system failed.
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The error from the system.
        error: io::Error,
    },
}
