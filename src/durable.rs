//! [`Record`]: one number in a file, which no crash takes backwards.
//!
//! A clock's high-water mark and a fencing token need the same thing from a disk: what
//! was promised before a crash must still hold after it. Overwriting the number in place
//! does not give that. Power can fail in the middle of the write, and `write` returns
//! long before the data is on the disk.
//!
//! So each change makes a new file. It is written whole, synced, and renamed over the old
//! one. Then the directory is synced too, because the rename is stored there. After a
//! crash the old file is there or the new one. (Pillai et al., "All File Systems Are Not
//! Created Equal", OSDI 2014, shows what goes wrong if any of the four steps is left out.)
//!
//! The file has 32 bytes, big-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | [`MAGIC`], which includes the version of this layout |
//! | 8..16 | the [`Kind`], so that a fencing token is not read as a time |
//! | 16..24 | the number |
//! | 24..32 | CRC-64/XZ of the 24 bytes before it |
//!
//! Two processes that use one record would both count from the same number. So its owner
//! holds a lock. The lock is on a file beside it, `NAME.lock`, because the record itself
//! is a different file after each change. The lock file stays when the owner exits,
//! because removing it would race with the next owner.
//!
//! On Windows the directory is synced through a handle with the right to write, as other
//! databases do it there. wasm32 has no files, so opening a record is an error.

mod directory;
mod lock;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lock::{Lock, LockError};

use crate::fork::ProcessKey;

/// "truechimer record", first layout.
const MAGIC: [u8; 8] = *b"tchimer1";

/// The length of a whole record in bytes.
const LENGTH: usize = 32;

/// The meaning of a record's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind(pub(crate) [u8; 8]);

/// Why a record on disk cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file was not written by this crate.
    #[error(
        "{} is not a truechimer record ({found}), and was not changed: use another path",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: &'static str,
    },
    /// The file is a record, but of another kind of number.
    #[error(
        "{} holds a record of kind {found:?}, not {expected:?}: use another path for each kind",
        path.display()
    )]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The kind in the file.
        found: String,
        /// The kind that the caller expects.
        expected: String,
    },
    /// The file is too short.
    #[error(
        "{} is truncated to {length} of {LENGTH} bytes, so its number is lost: check the disk, and \
         remove the file only when nothing that was issued under it can still be in use",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        length: u64,
    },
    /// The checksum does not match.
    #[error(
        "{} is torn, because its checksum does not match, so its number is lost: check the disk, \
         and remove the file only when nothing that was issued under it can still be in use",
        path.display()
    )]
    Torn {
        /// The file.
        path: PathBuf,
    },
    /// The process may not write the file, its directory or its file system.
    #[error(
        "{} cannot be written, so nothing in it would survive a crash: give this process the right \
         to write it and its directory, or mount the file system writable",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another owner holds the lock.
    #[error(
        "{} is locked by {holder}, and two owners would issue the same numbers: stop the other one, \
         or use another path here",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if known.
        holder: String,
    },
    /// The new number is smaller than the stored one.
    #[error("{} holds {stands}, and is never lowered, so {asked} was not written", path.display())]
    Backwards {
        /// The file.
        path: PathBuf,
        /// The stored number.
        stands: u64,
        /// The smaller number.
        asked: u64,
    },
    /// The record was opened by the parent, before a `fork`.
    #[error(
        "{} belongs to process {owner}, which forked: open a record of its own in the child",
        path.display()
    )]
    Forked {
        /// The file.
        path: PathBuf,
        /// The process that opened it.
        owner: u32,
    },
    /// The operating system returned an error.
    #[error("cannot {action} {}: {source}; the stored number still holds", path.display())]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: Arc<io::Error>,
    },
}

impl RecordError {
    /// Whether the same call can succeed later without anybody changing the program or the file.
    pub fn is_transient(&self) -> bool {
        match self {
            RecordError::Locked { .. } => true,
            RecordError::Io { source, .. } => matches!(
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

    /// Wraps an error from the system. Missing permissions get a variant of their own, because
    /// there is something to do about them.
    fn io(action: &'static str, path: &Path, source: io::Error) -> RecordError {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                RecordError::ReadOnly { path }
            }
            _ => RecordError::Io { action, path, source: Arc::new(source) },
        }
    }
}

/// The process that opened a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    process: ProcessKey,
    /// For the error message only, because a child may have the same one.
    id: u32,
}

impl Owner {
    pub(crate) fn this_process() -> Owner {
        // wasm32 has no processes.
        let id = if cfg!(target_family = "wasm") { 0 } else { std::process::id() };
        Owner { process: ProcessKey::current(), id }
    }

    fn is_this_process(&self) -> bool {
        self.process == ProcessKey::current()
    }

    /// An error in a forked child. Call it before taking a lock, because a thread of the parent
    /// may have held it at the fork.
    pub(crate) fn check(&self, path: &Path) -> Result<(), RecordError> {
        if self.is_this_process() {
            return Ok(());
        }
        Err(RecordError::Forked { path: path.to_owned(), owner: self.id })
    }
}

/// One number on disk, and the exclusive right to change it.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    directory: File,
    kind: Kind,
    value: u64,
    /// The permissions of the file that was found, so that a replacement keeps them.
    permissions: Option<Permissions>,
    owner: Owner,
    /// `None` only inside `drop`.
    lock: Option<Lock>,
}

impl Record {
    /// The record at `path`. If there is none, a new one is made that holds `first`.
    ///
    /// When this returns, the number in [`value`](Self::value) is on disk.
    pub(crate) fn open(path: &Path, kind: Kind, first: u64) -> Result<Record, RecordError> {
        let path = resolve(path).map_err(|e| RecordError::io("find", path, e))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let directory = directory::open(parent).map_err(|e| RecordError::io("open", parent, e))?;
        let lock = Some(lock(&beside(&path, ".lock"))?);
        let owner = Owner::this_process();
        let mut record =
            Record { path, directory, kind, value: first, permissions: None, owner, lock };
        match record.read()? {
            Some(value) => record.value = value,
            None => record.replace(first)?,
        }
        Ok(record)
    }

    /// The number that is on disk.
    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    /// The path of the record, with every symbolic link resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Raises the number. After an error the disk holds the old number or the new one, and
    /// nothing else. The call may then be repeated.
    pub(crate) fn advance(&mut self, to: u64) -> Result<(), RecordError> {
        if to < self.value {
            let path = self.path.clone();
            return Err(RecordError::Backwards { path, stands: self.value, asked: to });
        }
        if to == self.value { Ok(()) } else { self.replace(to) }
    }

    /// Sets the number, also to a smaller one. An operator decides that this is safe.
    pub(crate) fn reset(&mut self, to: u64) -> Result<(), RecordError> {
        self.replace(to)
    }

    /// The number in the file, or `None` if there is no file.
    fn read(&mut self) -> Result<Option<u64>, RecordError> {
        let path = || self.path.clone();
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(RecordError::io("examine", &self.path, e)),
        };
        // Check this before opening the file, because opening a pipe waits for its other end.
        if !found.is_file() {
            return Err(RecordError::Foreign { path: path(), found: "not a regular file" });
        }
        // The superuser may open a read-only file for writing, but it is still meant to be read-only.
        if found.permissions().readonly() {
            return Err(RecordError::ReadOnly { path: path() });
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        let mut bytes = Vec::with_capacity(LENGTH + 1);
        file.and_then(|file| file.take(LENGTH as u64 + 1).read_to_end(&mut bytes))
            .map_err(|e| RecordError::io("read", &self.path, e))?;
        self.permissions = Some(found.permissions());
        decode(&bytes, self.kind, found.len(), &self.path).map(Some)
    }

    /// Replaces the file in four steps: write, sync, rename, sync the directory.
    fn replace(&mut self, to: u64) -> Result<(), RecordError> {
        self.owner.check(&self.path)?;
        let scratch = beside(&self.path, ".new");
        write_whole(&scratch, &encode(self.kind, to), self.permissions.as_ref())
            .map_err(|e| RecordError::io("write", &scratch, e))?;
        fs::rename(&scratch, &self.path)
            .and_then(|()| self.directory.sync_all())
            .map_err(|e| RecordError::io("replace", &self.path, e))?;
        self.value = to;
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Dropping the lock unlocks for every process that shares the open file. A forked child must not
        // unlock its parent's record when it drops its copy.
        if !self.owner.is_this_process() {
            std::mem::forget(self.lock.take());
        }
    }
}

/// `path` without symbolic links, because the lock must be beside the file itself.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            Ok(fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name))
        }
        Err(e) => Err(e),
        Ok(_) => fs::canonicalize(path),
    }
}

/// The file beside `path` whose name ends in `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Takes the lock at `path`, or returns an error that names the process that holds it.
fn lock(path: &Path) -> Result<Lock, RecordError> {
    match Lock::take(path) {
        Ok(lock) => {
            // The id is only for the error message of another process, so a failure is ignored.
            let mut file = lock.file();
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(lock)
        }
        Err(LockError::Held(file)) => {
            let mut id = String::new();
            let known = file.is_some_and(|file| file.take(20).read_to_string(&mut id).is_ok());
            let known = known && !id.is_empty();
            let holder = if known { format!("process {id}") } else { "another process".into() };
            Err(RecordError::Locked { path: path.to_owned(), holder })
        }
        Err(LockError::Io { action, error }) => Err(RecordError::io(action, path, error)),
    }
}

/// Writes a new file at `path`, and returns when it is on disk.
fn write_whole(path: &Path, bytes: &[u8], permissions: Option<&Permissions>) -> io::Result<()> {
    // Remove what a crash left here. Do not write through it, because it may be a link.
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions.clone())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn encode(kind: Kind, value: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&kind.0);
    bytes[16..24].copy_from_slice(&value.to_be_bytes());
    let sum = crc64(&bytes[..24]);
    bytes[24..32].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The number in `bytes`, which are the beginning of a file of `length` bytes.
pub(crate) fn decode(
    bytes: &[u8],
    kind: Kind,
    length: u64,
    path: &Path,
) -> Result<u64, RecordError> {
    let path = || path.to_owned();
    // A short file is compared only as far as it goes, so even an empty one counts as truncated.
    // It may have been a record, and then removing it without care would be wrong.
    let begins = bytes.iter().zip(MAGIC).all(|(&found, magic)| found == magic);
    // File systems show zeros for a file whose data never reached the disk.
    if !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0) {
        return Err(RecordError::Torn { path: path() });
    }
    if !begins {
        let found = "its first bytes are those of something else";
        return Err(RecordError::Foreign { path: path(), found });
    }
    let [head @ .., _, _, _, _, _, _, _, _] = bytes else {
        return Err(RecordError::Truncated { path: path(), length });
    };
    if bytes.len() < LENGTH {
        return Err(RecordError::Truncated { path: path(), length });
    }
    if bytes.len() > LENGTH {
        return Err(RecordError::Foreign { path: path(), found: "it is longer than a record" });
    }
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        word
    };
    if crc64(head) != u64::from_be_bytes(word(24)) {
        return Err(RecordError::Torn { path: path() });
    }
    if word(8) != kind.0 {
        let name = |kind: &[u8]| String::from_utf8_lossy(kind).into_owned();
        let (found, expected) = (name(&word(8)), name(&kind.0));
        return Err(RecordError::OtherKind { path: path(), found, expected });
    }
    Ok(u64::from_be_bytes(word(16)))
}

/// CRC-64/XZ (ECMA-182, reflected), bit by bit, because 24 bytes need no table.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u64::from(byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 }
        })
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const KIND: Kind = Kind(*b"testmark");

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mark");
        (directory, path)
    }

    fn open(path: &Path) -> Result<Record, RecordError> {
        Record::open(path, KIND, 7)
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc64(b"123456789"), 0x995D_C9BB_DF19_39FA);
    }

    #[test]
    fn an_advanced_number_is_read_back_after_reopening() {
        let (_directory, path) = place();
        assert_eq!(open(&path).expect("new").value(), 7);
        let mut record = open(&path).expect("there");
        record.advance(9).expect("forward");
        record.advance(9).expect("no change");
        drop(record);
        let mut record = open(&path).expect("there");
        assert_eq!(record.value(), 9);
        record.reset(3).expect("asked for");
        drop(record);
        assert_eq!(open(&path).expect("there").value(), 3);
    }

    #[test]
    fn it_never_goes_back() {
        let (_directory, path) = place();
        let mut record = open(&path).expect("new");
        let error = record.advance(6).expect_err("back");
        assert!(matches!(error, RecordError::Backwards { stands: 7, asked: 6, .. }), "{error}");
        assert_eq!(record.value(), 7);
    }

    #[test]
    fn a_record_has_one_owner_at_a_time_under_any_name() {
        let (directory, path) = place();
        let record = open(&path).expect("new");
        let link = directory.path().join("link");
        symlink(&path, &link).expect("a link");
        for name in [&path, &link] {
            let error = open(name).expect_err("held");
            assert!(matches!(error, RecordError::Locked { .. }) && error.is_transient());
            assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        }
        drop(record);
        open(&link).expect("free again");
    }

    #[test]
    fn a_file_that_is_not_a_whole_record_is_refused_and_left_unchanged() {
        let good = encode(KIND, 42);
        let changed = |at: usize| {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        let cases: &[(Vec<u8>, &str)] = &[
            (vec![], "truncated"),
            (good[..5].to_vec(), "truncated"),
            (good[..31].to_vec(), "truncated"),
            (vec![0; 32], "torn"),
            (b"hello".to_vec(), "not a truechimer record"),
            ([&good[..], b"x"].concat(), "longer than a record"),
            (changed(3), "not a truechimer record"),
            (changed(12), "torn"),
            (changed(20), "torn"),
            (changed(31), "torn"),
            (encode(Kind(*b"fence tk"), 42).to_vec(), "\"fence tk\", not \"testmark\""),
        ];
        for (bytes, expected) in cases {
            let (_directory, path) = place();
            fs::write(&path, bytes).expect("written");
            let error = open(&path).expect_err(expected);
            assert!(error.to_string().contains(expected), "{bytes:?}: {error}");
            assert!(!error.is_transient(), "{error}");
            assert_eq!(&fs::read(&path).expect("still there"), bytes);
        }
    }

    #[test]
    fn a_read_only_file_is_refused_for_the_superuser_too() {
        let (_directory, path) = place();
        drop(open(&path).expect("new"));
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("set");
        let error = open(&path).expect_err("read-only");
        assert!(matches!(error, RecordError::ReadOnly { .. }), "{error}");
    }

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let (directory, path) = place();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for path in [path.as_path(), directory.path()] {
            let error = open(path).expect_err("not a file");
            assert!(matches!(error, RecordError::Foreign { .. }), "{error}");
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = open(Path::new("/no such place/mark")).expect_err("nowhere");
        assert!(error.to_string().contains("/no such place/mark"), "{error}");
        open(Path::new("/")).expect_err("no name");
    }

    #[test]
    fn a_half_written_file_from_a_crash_is_not_read() {
        let (directory, path) = place();
        let mut record = open(&path).expect("new");
        let elsewhere = directory.path().join("elsewhere");
        symlink(&elsewhere, beside(&path, ".new")).expect("a trap");
        record.advance(8).expect("over it");
        assert!(!elsewhere.exists(), "written through the link");
        fs::write(beside(&path, ".new"), b"half").expect("written");
        drop(record);
        assert_eq!(open(&path).expect("there").value(), 8);
    }

    #[test]
    fn a_replacement_keeps_the_files_permissions() {
        let (_directory, path) = place();
        drop(open(&path).expect("new"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        open(&path).expect("there").advance(8).expect("forward");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
