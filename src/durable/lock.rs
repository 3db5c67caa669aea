//! [`Lock`]: the exclusive right to a file, which ends with the process.
//!
//! Each system has its own way. What they share is that the kernel gives the lock back when
//! its owner dies, in whatever way, so that no crash leaves a lock behind.

use std::fs::File;
use std::io;
use std::path::Path;

/// Why a lock was not taken.
pub(super) enum LockError {
    /// Another owner has it. Its id is in the file, if the file can be read.
    #[cfg_attr(not(any(unix, windows)), expect(dead_code, reason = "there are no locks"))]
    Held(Option<File>),
    /// The system failed.
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The error from the system.
        error: io::Error,
    },
}

/// A lock file that this owner holds.
#[derive(Debug)]
pub(super) struct Lock(system::Locked);

impl Lock {
    /// Opens or creates the file, and takes its lock without waiting.
    pub(super) fn take(path: &Path) -> Result<Lock, LockError> {
        system::take(path).map(Lock)
    }

    /// The file, in which the owner leaves its id.
    pub(super) fn file(&self) -> &File {
        &self.0
    }
}

/// `flock`, which belongs to the open file and not to the process: two records of one
/// process exclude each other too.
#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::path::Path;

    use nix::errno::Errno;
    use nix::fcntl::{Flock, FlockArg};

    use super::LockError;

    pub(super) type Locked = Flock<File>;

    pub(super) fn take(path: &Path) -> Result<Locked, LockError> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| LockError::Io { action: "open", error })?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| match errno {
            Errno::EWOULDBLOCK => LockError::Held(Some(file)),
            errno => LockError::Io { action: "lock", error: errno.into() },
        })
    }
}

/// On Windows an open file can refuse all other openings for writing, which is a lock
/// without a further call.
#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::path::Path;

    use super::LockError;

    pub(super) type Locked = File;

    /// Others may read the file, to learn the owner's id.
    const FILE_SHARE_READ: u32 = 1;
    /// What a reader of the id must allow the owner.
    const FILE_SHARE_READ_WRITE: u32 = 3;
    const ERROR_SHARING_VIOLATION: i32 = 32;

    pub(super) fn take(path: &Path) -> Result<Locked, LockError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.share_mode(FILE_SHARE_READ).open(path).map_err(|error| {
            if error.raw_os_error() != Some(ERROR_SHARING_VIOLATION) {
                return LockError::Io { action: "open", error };
            }
            let reader = File::options().read(true).share_mode(FILE_SHARE_READ_WRITE).open(path);
            LockError::Held(reader.ok())
        })
    }
}

/// A system without locks: nothing there can promise that a file has one owner.
#[cfg(not(any(unix, windows)))]
mod system {
    use std::fs::File;
    use std::io::ErrorKind;
    use std::path::Path;

    use super::LockError;

    pub(super) type Locked = File;

    pub(super) fn take(_: &Path) -> Result<Locked, LockError> {
        Err(LockError::Io { action: "lock", error: ErrorKind::Unsupported.into() })
    }
}
