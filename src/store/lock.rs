//! [`Lock`]: the exclusive right to a file, which ends with the process.
//!
//! Each system has its own way. What they share is that the kernel gives the lock back when
//! its owner dies, in whatever way, so that no crash leaves a lock behind.
//!
//! The lock file itself stays when its owner ends, because removing it would race with the
//! next owner. Only an owner that has made the file, and has kept no promise under it, removes
//! it again. Another process may have opened the file just before, and would then lock a file
//! that has no name any more, beside an owner of the next one. So whoever has taken a lock
//! looks whether it is still the file at that path.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::files::{HeldLock, LockError, LockFile};

/// A lock file that this owner holds.
#[derive(Debug)]
pub(super) struct Lock {
    file: system::Locked,
    path: PathBuf,
}

impl Lock {
    /// Opens or creates the file, and takes its lock without waiting.
    pub(super) fn take(path: &Path, lock_file: LockFile) -> Result<Lock, LockError> {
        let mut options = File::options();
        options.read(true).write(true).truncate(false);
        match lock_file {
            LockFile::New => options.create_new(true),
            LockFile::Existing => &mut options,
            LockFile::Any => options.create(true),
        };
        let file = system::take(path, &mut options, lock_file)?;
        // The id is only for the error message of another process, so a failure is ignored.
        let mut contents: &File = &file;
        let _ = contents.set_len(0).and_then(|()| write!(contents, "{}", std::process::id()));
        Ok(Lock { file, path: path.to_owned() })
    }
}

impl HeldLock for Lock {
    fn remove(self: Box<Self>) {
        system::remove(self.file, &self.path);
    }

    fn forget(self: Box<Self>) {
        std::mem::forget(self.file);
    }
}

/// The error of opening the lock file.
#[cfg_attr(not(any(unix, windows)), expect(dead_code, reason = "there are no locks"))]
fn not_opened(error: std::io::Error, lock_file: LockFile) -> LockError {
    match (error.kind(), lock_file) {
        (ErrorKind::AlreadyExists, LockFile::New) => LockError::Exists,
        (ErrorKind::NotFound, LockFile::Existing) => LockError::Held(None),
        _ => LockError::Io { action: "open", error },
    }
}

/// The error of a lock that another owner holds, who left its id in the file.
#[cfg_attr(not(any(unix, windows)), expect(dead_code, reason = "there are no locks"))]
fn held(file: Option<&File>) -> LockError {
    let mut id = String::new();
    let is_known = file.is_some_and(|file| file.take(20).read_to_string(&mut id).is_ok());
    LockError::Held((is_known && !id.is_empty()).then_some(id))
}

/// `flock`, which belongs to the open file and not to the process: two records of one
/// process exclude each other too.
#[cfg(unix)]
mod system {
    use std::fs::{self, File, OpenOptions};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use nix::errno::Errno;
    use nix::fcntl::{Flock, FlockArg};

    use super::{LockError, LockFile, held, not_opened};

    pub(super) type Locked = Flock<File>;

    /// Nobody waits for a lock here.
    const EXCLUSIVE: FlockArg = FlockArg::LockExclusiveNonblock;

    pub(super) fn take(
        path: &Path,
        options: &mut OpenOptions,
        lock_file: LockFile,
    ) -> Result<Locked, LockError> {
        let _gate = match lock_file {
            LockFile::New => gate(path)?,
            LockFile::Existing | LockFile::Any => None,
        };
        let file = options.open(path).map_err(|error| not_opened(error, lock_file))?;
        let lock = Flock::lock(file, EXCLUSIVE);
        let lock = lock.map_err(|(file, errno)| match errno {
            Errno::EWOULDBLOCK => held(Some(&file)),
            errno => LockError::Io { action: "lock", error: errno.into() },
        })?;
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let ours = lock.metadata().map(identity);
        let ours = ours.map_err(|error| LockError::Io { action: "examine", error })?;
        // Its owner removed the file between the opening and the lock. The next attempt opens
        // the file that has taken its place.
        match fs::metadata(path).map(identity) {
            Ok(there) if there == ours => Ok(lock),
            _ => Err(LockError::Held(None)),
        }
    }

    /// Keeps other creators away between the creation of the lock file and its lock. One that came
    /// in between would find a lock file that nobody holds and no file beside it, and would
    /// report that the file is lost.
    fn gate(path: &Path) -> Result<Option<Locked>, LockError> {
        let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) else {
            return Ok(None);
        };
        // Some file systems lock no directory. There the report may be wrong, and nothing else.
        match Flock::lock(directory, EXCLUSIVE) {
            Err((_, Errno::EWOULDBLOCK)) => Err(LockError::Held(None)),
            gate => Ok(gate.ok()),
        }
    }

    /// Removes the name while the lock is held. Others that have the file open then see that it
    /// has lost its name.
    pub(super) fn remove(lock: Locked, path: &Path) {
        let _ = fs::remove_file(path);
        drop(lock);
    }
}

/// On Windows an open file can refuse all other openings for writing, which is a lock
/// without a further call.
#[cfg(windows)]
mod system {
    use std::fs::{self, File, OpenOptions};
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::path::Path;

    use super::{LockError, LockFile, held, not_opened};

    pub(super) type Locked = File;

    /// Others may read the file, to learn the owner's id.
    const FILE_SHARE_READ: u32 = 1;
    /// What a reader of the id must allow the owner.
    const FILE_SHARE_READ_WRITE: u32 = 3;
    const ERROR_SHARING_VIOLATION: i32 = 32;

    pub(super) fn take(
        path: &Path,
        options: &mut OpenOptions,
        lock_file: LockFile,
    ) -> Result<Locked, LockError> {
        options.share_mode(FILE_SHARE_READ).open(path).map_err(|error| {
            if error.raw_os_error() != Some(ERROR_SHARING_VIOLATION) {
                return not_opened(error, lock_file);
            }
            let reader = File::options().read(true).share_mode(FILE_SHARE_READ_WRITE).open(path);
            held(reader.ok().as_ref())
        })
    }

    /// An open file cannot be removed here. Once another process has opened it, removing it
    /// fails, so nobody holds a file without a name.
    pub(super) fn remove(lock: Locked, path: &Path) {
        drop(lock);
        let _ = fs::remove_file(path);
    }
}

/// A system without locks: nothing there can promise that a file has one owner.
#[cfg(not(any(unix, windows)))]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io::ErrorKind;
    use std::path::Path;

    use super::{LockError, LockFile};

    pub(super) type Locked = File;

    pub(super) fn take(_: &Path, _: &mut OpenOptions, _: LockFile) -> Result<Locked, LockError> {
        Err(LockError::Io { action: "lock", error: ErrorKind::Unsupported.into() })
    }

    pub(super) fn remove(lock: Locked, _: &Path) {
        drop(lock);
    }
}
