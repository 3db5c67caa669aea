//! [`FileStore`]: a content in a file, replaced so that a crash leaves the old one or the new one.
//!
//! Overwriting the content in place does not give that. Power can fail in the middle of the
//! write, and `write` returns long before the data is on the disk.
//!
//! So each change makes a new file. It is written whole, synced, and renamed over the old
//! one. Then the directory is synced too, because the rename is stored there. After a
//! crash the old file is there or the new one. (Pillai et al., "All File Systems Are Not
//! Created Equal", OSDI 2014, shows what goes wrong if any of the four steps is left out.)
//!
//! A process that is killed between the rename and the last sync leaves a file that everybody
//! reads and that a loss of power takes back. So the first `load` syncs the file and its
//! directory before it answers, and so does a `load` after a `persist` that failed.
//!
//! Two processes that use one file would both count from the same content. So its owner
//! holds a lock. The lock is on a file beside it, `NAME.lock`, because the file itself
//! is a different one after each change. The lock file also says that there was a file, if it
//! is found alone.
//!
//! The directory is opened for each change, before the rename. A handle from the beginning would
//! go on syncing a directory that was renamed or unmounted since, in which the new file is not.
//!
//! On Windows the directory is synced through a handle with the right to write, as other
//! databases do it there. wasm32 has no files, so opening a store is an error.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Store;
use super::error::StoreError;
use super::files::{Files, Found, HeldLock, LockError, LockFile};
use super::owner::Owner;
use super::system::System;

/// A [`Store`] in a file of its own, with one owner at a time.
///
/// Beside the file `NAME` it keeps `NAME.lock`, which stays, and for the time of a change
/// `NAME.new`. The lock is released when the store is dropped, or its process ends in any way.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("state");
/// use truechimer::store::{FileStore, Store, StoreError};
///
/// let mut store = FileStore::create_new(&path)?; // the first start
/// store.persist(b"seven were granted")?;
/// drop(store); // or a crash
///
/// let mut store = FileStore::open_existing(&path)?; // every later start
/// assert_eq!(store.load()?.as_deref(), Some(&b"seven were granted"[..]));
/// drop(store);
///
/// std::fs::remove_file(&path)?; // or its volume is not mounted
/// assert!(matches!(FileStore::open_existing(&path), Err(StoreError::Lost { .. })));
/// assert!(matches!(FileStore::create_new(&path), Err(StoreError::Lost { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileStore {
    files: Arc<dyn Files>,
    path: PathBuf,
    /// The permissions of the file that was found, so that a replacement keeps them.
    permissions: Option<Permissions>,
    /// Whether the file's content is certainly on the disk.
    is_synced: bool,
    new: New,
    owner: Owner,
    /// `None` only inside `drop`.
    lock: Option<Box<dyn HeldLock>>,
}

/// What a store that was just created leaves if it is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum New {
    /// The store is not new: it stays.
    No,
    /// Its lock file is to be removed, and there is no file.
    Empty,
    /// There may be a file too, which nobody was told of.
    Uncertain,
}

impl FileStore {
    /// The longest content in bytes. A larger file was not written by this store.
    pub const MAX_LENGTH: u64 = 64 << 20;

    /// A new store whose file is at `path`, which does not exist yet.
    ///
    /// The file appears with the first [`persist`](Store::persist). If the store is dropped
    /// before one has succeeded, nothing stays behind.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if the file exists; [`StoreError::Lost`] if only its lock file
    /// does; others if the system fails.
    pub fn create_new(path: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        FileStore::create_new_on(Arc::new(System), path.as_ref())
    }

    /// The store whose file is at `path`, which exists.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if there is no file, and [`StoreError::Lost`] if only its lock file
    /// is there; [`StoreError::Locked`] if another owner has it; others if the system fails.
    /// Nothing is created.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        FileStore::open_existing_on(Arc::new(System), path.as_ref())
    }

    pub(crate) fn create_new_on(
        files: Arc<dyn Files>,
        path: &Path,
    ) -> Result<FileStore, StoreError> {
        let path = resolve(&*files, path)?;
        let lock_path = beside(&path, ".lock");
        let refuse_what_is_there = || match examine(&*files, &path)? {
            Some(_) => Err(StoreError::Exists { place: shown(&path) }),
            None => Ok(()),
        };
        refuse_what_is_there()?;
        let lock = match files.lock(&lock_path, LockFile::New) {
            Ok(lock) => lock,
            Err(LockError::Exists) => {
                // Either another process is creating the same, or the file was lost.
                take_lock(&*files, &lock_path, LockFile::Existing)?;
                refuse_what_is_there()?;
                return Err(StoreError::Lost { place: shown(&path), lock: shown(&lock_path) });
            }
            Err(error) => return Err(lock_error(error, &lock_path)),
        };
        let store = FileStore::holding(files.clone(), path.clone(), lock, New::Empty);
        refuse_what_is_there()?;
        Ok(store)
    }

    pub(crate) fn open_existing_on(
        files: Arc<dyn Files>,
        path: &Path,
    ) -> Result<FileStore, StoreError> {
        let path = resolve(&*files, path)?;
        let lock_path = beside(&path, ".lock");
        let Some(found) = examine(&*files, &path)? else {
            return Err(absent(&*files, &path));
        };
        if found.is_read_only {
            return Err(StoreError::ReadOnly { place: shown(&path) });
        }
        let lock = take_lock(&*files, &lock_path, LockFile::Any)?;
        Ok(FileStore::holding(files, path, lock, New::No))
    }

    fn holding(
        files: Arc<dyn Files>,
        path: PathBuf,
        lock: Box<dyn HeldLock>,
        new: New,
    ) -> FileStore {
        let owner = Owner::this_process();
        let lock = Some(lock);
        FileStore { files, path, permissions: None, is_synced: false, new, owner, lock }
    }

    /// The path of the file, with every symbolic link resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of the file, which a loss of power may take back.
    pub(crate) fn read(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.owner.check(&shown(&self.path))?;
        let Some(found) = examine(&*self.files, &self.path)? else {
            return match self.new {
                New::Empty => Ok(None),
                New::No | New::Uncertain => Err(absent(&*self.files, &self.path)),
            };
        };
        check_length(&self.path, found.length)?;
        let file = self.files.open(&self.path);
        // One byte more, to see that the file has grown meanwhile.
        let content = file.and_then(|mut file| file.read(FileStore::MAX_LENGTH + 1));
        let content = content.map_err(failed("read", &self.path))?;
        check_length(&self.path, content.len() as u64)?;
        self.permissions = found.permissions;
        Ok(Some(content))
    }

    /// Returns when the file at the path, and its name, are on the disk.
    fn sync(&mut self) -> Result<(), StoreError> {
        let file = self.files.open(&self.path).map_err(failed("open", &self.path))?;
        file.sync().map_err(failed("sync", &self.path))?;
        let parent = parent(&self.path);
        let directory = self.files.open_directory(parent).map_err(failed("open", parent))?;
        directory.sync().map_err(failed("sync", parent))?;
        self.is_synced = true;
        self.new = New::No;
        Ok(())
    }

    /// Writes a new file at `scratch`, and returns when its content is on disk.
    fn write_whole(&self, scratch: &Path, content: &[u8]) -> Result<(), StoreError> {
        // Remove what a crash left here. Do not write through it, because it may be a link.
        match self.files.remove(scratch) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("remove", scratch)(e)),
            _ => {}
        }
        let file = self.files.create(scratch, self.permissions.as_ref());
        let mut file = file.map_err(failed("create", scratch))?;
        file.write_all(content).map_err(failed("write", scratch))?;
        file.sync().map_err(failed("sync", scratch))
    }

    /// Puts the file at `scratch` in the place of the old one, and returns when that is on disk.
    fn put(&mut self, scratch: &Path) -> Result<(), StoreError> {
        let parent = parent(&self.path);
        let directory = self.files.open_directory(parent).map_err(failed("open", parent))?;
        // From here on nobody knows which file a crash leaves.
        self.is_synced = false;
        if self.new == New::Empty {
            self.new = New::Uncertain;
        }
        self.files.rename(scratch, &self.path).map_err(failed("replace", &self.path))?;
        directory.sync().map_err(failed("sync", parent))?;
        self.is_synced = true;
        self.new = New::No;
        Ok(())
    }
}

impl Store for FileStore {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let content = self.read()?;
        if content.is_some() && !self.is_synced {
            self.sync()?;
        }
        Ok(content)
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.owner.check(&shown(&self.path))?;
        check_length(&self.path, content.len() as u64)?;
        let scratch = beside(&self.path, ".new");
        let replaced = self.write_whole(&scratch, content).and_then(|()| self.put(&scratch));
        if replaced.is_err() {
            // It takes up space, which may be what there is too little of.
            let _ = self.files.remove(&scratch);
        }
        replaced
    }

    fn place(&self) -> String {
        shown(&self.path)
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        // Dropping the lock unlocks for every process that shares the open file. A forked child
        // must not unlock its parent's file when it drops its copy.
        if !self.owner.is_this_process() {
            lock.forget();
            return;
        }
        // The creation has failed, and nothing was promised. If the lock file stayed, the next
        // attempt would read it as a promise that was lost.
        match self.new {
            New::No => drop(lock),
            New::Empty => lock.remove(),
            New::Uncertain => {
                let gone = match self.files.remove(&self.path) {
                    Ok(()) => true,
                    Err(e) => e.kind() == ErrorKind::NotFound,
                };
                if gone { lock.remove() } else { drop(lock) }
            }
        }
    }
}

/// What is at `path`: a regular file or nothing.
fn examine(files: &dyn Files, path: &Path) -> Result<Option<Found>, StoreError> {
    match files.examine(path) {
        // Check this before opening the file, because opening a pipe waits for its other end.
        Ok(found) if !found.is_regular => Err(StoreError::NotAFile { place: shown(path) }),
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StoreError::io("examine", shown(path), e)),
    }
}

/// The error for a file that is not there.
fn absent(files: &dyn Files, path: &Path) -> StoreError {
    let lock = beside(path, ".lock");
    match files.examine(&lock) {
        Ok(_) => StoreError::Lost { place: shown(path), lock: shown(&lock) },
        Err(_) => StoreError::Missing { place: shown(path) },
    }
}

fn check_length(path: &Path, length: u64) -> Result<(), StoreError> {
    match length <= FileStore::MAX_LENGTH {
        true => Ok(()),
        false => {
            Err(StoreError::TooLong { place: shown(path), length, limit: FileStore::MAX_LENGTH })
        }
    }
}

fn resolve(files: &dyn Files, path: &Path) -> Result<PathBuf, StoreError> {
    files.resolve(path).map_err(failed("find", path))
}

fn take_lock(
    files: &dyn Files,
    path: &Path,
    lock_file: LockFile,
) -> Result<Box<dyn HeldLock>, StoreError> {
    files.lock(path, lock_file).map_err(|error| lock_error(error, path))
}

fn lock_error(error: LockError, path: &Path) -> StoreError {
    let place = shown(path);
    match error {
        LockError::Held(id) => {
            let holder = id.map_or("another process".to_owned(), |id| format!("process {id}"));
            StoreError::Locked { place, holder }
        }
        LockError::Exists => StoreError::Exists { place },
        LockError::Io { action, error } => StoreError::io(action, place, error),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::io(action, shown(path), error)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The file beside `path` whose name ends in `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
