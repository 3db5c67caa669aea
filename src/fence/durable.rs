//! Fences that store their largest token in a file, so that it survives the process.
//!
//! A fence that begins again without its largest token admits the first zombie. So a
//! token is written to disk and synced *before* it is admitted. After a crash the file
//! may hold a larger token than any that was used, but never a smaller one.
//!
//! There are two forms, because a file with one owner is faster, but sometimes several
//! processes must share one:
//!
//! | | [`DurableFence`] | [`SharedFence`] |
//! |---|---|---|
//! | who may use the file | one process, any threads | any processes |
//! | cost of a token seen before | a read of memory | a lock and a read of the file |
//! | cost of a newer token | a synced replacement of the file | the same |
//! | admission and write in one step | up to the caller | inside [`with`](SharedFence::with) |

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::{FenceError, StaleToken};
use super::fence::Fence;
use super::fencing_token::FencingToken;
use crate::durable::{Kind, Record, RecordError};
use crate::store::{FileStore, Files, Owner, Store, StoreError, System};

/// The kind that is written into a fence's file.
const KIND: Kind = Kind(*b"fence\0\0\0");

/// The pause before another attempt to take a lock that somebody else holds.
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// A [`Fence`] of one process that refuses the same tokens after a crash as before it.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("fence");
/// use truechimer::fence::{DurableFence, FenceError, FencingToken};
///
/// let fence = DurableFence::create_new(&path)?; // the first start
/// fence.admit(FencingToken(34))?;
/// drop(fence); // or a crash
///
/// let fence = DurableFence::open_existing(&path)?; // every later start
/// assert!(matches!(fence.admit(FencingToken(33)), Err(FenceError::Stale(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DurableFence {
    /// The token in the store. It is raised after the store, so that no token is admitted
    /// before it is stored.
    stored: Fence,
    record: Mutex<Record>,
    owner: Owner,
    place: String,
}

impl DurableFence {
    /// A new fence whose file is at `path`, which does not exist yet. It has admitted nothing.
    ///
    /// Call it where a resource is made, and [`open_existing`](Self::open_existing) at every
    /// later start, because a fence that is made anew admits what the lost one had refused.
    ///
    /// # Errors
    ///
    /// [`RecordError::Store`] with [`Exists`](StoreError::Exists) if the file exists, with
    /// [`Lost`](StoreError::Lost) if only its lock file does, or with what the system said.
    /// Then no file was made.
    pub fn create_new(path: impl AsRef<Path>) -> Result<DurableFence, RecordError> {
        DurableFence::create_new_in(FileStore::create_new(path)?)
    }

    /// The fence whose file is at `path`, which exists.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is [missing](StoreError::Missing), [lost](StoreError::Lost), of
    /// another kind, in use, or damaged. A damaged or missing file is never treated as an
    /// empty one.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<DurableFence, RecordError> {
        DurableFence::open_existing_in(FileStore::open_existing(path)?)
    }

    /// As [`create_new`](Self::create_new), in an empty store of another kind, such as a
    /// database's own log.
    ///
    /// # Errors
    ///
    /// [`RecordError::Store`]: the store is not empty, or has failed.
    pub fn create_new_in(store: impl Store + 'static) -> Result<DurableFence, RecordError> {
        Record::create_new_in(store, KIND, FencingToken::MIN.get()).map(DurableFence::of)
    }

    /// As [`open_existing`](Self::open_existing), in a store of another kind that holds a fence.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the store is empty, holds something else, or has failed.
    pub fn open_existing_in(store: impl Store + 'static) -> Result<DurableFence, RecordError> {
        Record::open_existing_in(store, KIND).map(DurableFence::of)
    }

    fn of(record: Record) -> DurableFence {
        DurableFence {
            stored: Fence::starting_at(FencingToken(record.value())),
            place: record.place().to_owned(),
            record: Mutex::new(record),
            owner: Owner::this_process(),
        }
    }

    /// Admits `token` if no larger one was admitted before, in this process or an earlier one.
    ///
    /// A token that is larger than all before waits for the store.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens; [`FenceError::Record`] if a newer token
    /// cannot be stored, and then it is not admitted.
    pub fn admit(&self, token: FencingToken) -> Result<(), FenceError> {
        // A forked child has a copy of the memory, which does not follow the parent's fence.
        self.owner.check(&self.place).map_err(RecordError::from)?;
        if token > self.stored.newest() {
            let mut record = self.record.lock();
            // Another thread may have stored a larger token while this one waited.
            if token.get() > record.value() {
                record.advance(token.get())?;
            }
            // Raise the memory inside the lock. So it is never above the store, and never
            // below a token that was admitted.
            return self.stored.admit(token);
        }
        self.stored.admit(token)
    }

    /// The largest token that was admitted.
    pub fn newest(&self) -> FencingToken {
        self.stored.newest()
    }
}

/// A fence that several processes of one machine share through a file.
///
/// The file's lock is held while the resource is changed, so admission and change are
/// one step even if the process is stopped in the middle. Then the other processes wait,
/// and give up with an error that names the process that holds the lock. This is safe,
/// but no process makes progress meanwhile, so keep changes short. Do not use it on a
/// network file system whose locks do not bind other hosts.
///
/// Another process may have stored a token and died, or met an error, before the token was
/// synced. So a token that the file already holds is synced before it is admitted, unless
/// this fence or a clone of it has seen to that before.
///
/// ```
/// # use std::time::Duration;
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("fence");
/// use truechimer::fence::{FencingToken, SharedFence};
///
/// let patience = Duration::from_secs(1);
/// let fence = SharedFence::create_new(&path, patience)?; // once, by one process
/// fence.with(FencingToken(34), || println!("the change"))?;
///
/// let fence = SharedFence::open_existing(&path, patience)?; // by all others, and later
/// assert!(fence.with(FencingToken(33), || println!("never")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedFence {
    files: Arc<dyn Files>,
    path: PathBuf,
    patience: Duration,
    /// The largest token that this fence knows to be on the disk. 0 if it knows of none.
    synced: Arc<AtomicU64>,
}

impl SharedFence {
    /// A new fence whose file is at `path`, which does not exist yet. It has admitted nothing.
    ///
    /// One process makes it, and all others [open](Self::open_existing) it, as does this one at
    /// every later start. `patience` is how long each call waits while another process holds
    /// the file.
    ///
    /// # Errors
    ///
    /// [`RecordError::Store`] with [`Exists`](StoreError::Exists) if the file exists, with
    /// [`Lost`](StoreError::Lost) if only its lock file does, or with what the system said.
    /// Then no file was made.
    pub fn create_new(
        path: impl AsRef<Path>,
        patience: Duration,
    ) -> Result<SharedFence, RecordError> {
        SharedFence::create_new_on(Arc::new(System), path.as_ref(), patience)
    }

    /// The fence whose file is at `path`, which exists.
    ///
    /// `patience` is how long each call waits while another process holds the file.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is [missing](StoreError::Missing), [lost](StoreError::Lost), of
    /// another kind, damaged, or still in use after `patience`.
    pub fn open_existing(
        path: impl AsRef<Path>,
        patience: Duration,
    ) -> Result<SharedFence, RecordError> {
        SharedFence::open_existing_on(Arc::new(System), path.as_ref(), patience)
    }

    fn create_new_on(
        files: Arc<dyn Files>,
        path: &Path,
        patience: Duration,
    ) -> Result<SharedFence, RecordError> {
        let fence = SharedFence::at(files, path, patience);
        let store = fence.when_free(|| FileStore::create_new_on(fence.files.clone(), path))?;
        Record::create_new_in(store, KIND, FencingToken::MIN.get())?;
        Ok(fence)
    }

    fn open_existing_on(
        files: Arc<dyn Files>,
        path: &Path,
        patience: Duration,
    ) -> Result<SharedFence, RecordError> {
        let fence = SharedFence::at(files, path, patience);
        fence.newest()?;
        Ok(fence)
    }

    fn at(files: Arc<dyn Files>, path: &Path, patience: Duration) -> SharedFence {
        SharedFence { files, path: path.to_owned(), patience, synced: Arc::default() }
    }

    /// Runs `change` if `token` is not stale, while no other process can run one.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens; [`FenceError::Record`] if the file cannot
    /// be locked in time, or cannot be written and synced. Then `change` did not run.
    pub fn with<R>(
        &self,
        token: FencingToken,
        change: impl FnOnce() -> R,
    ) -> Result<R, FenceError> {
        let store = self.store()?;
        let synced = Some(self.synced.load(Ordering::Relaxed)).filter(|&token| token > 0);
        let mut record = Record::open_shared(store, KIND, synced)?;
        let newest = FencingToken(record.value());
        // A token that is not synced yet refuses others too: whoever stored it may have admitted it.
        if token < newest {
            return Err(StaleToken { offered: token, newest }.into());
        }
        record.advance(token.get())?;
        self.synced.fetch_max(token.get(), Ordering::Relaxed);
        let result = change();
        // The record holds the lock, so it must live until after the change.
        drop(record);
        Ok(result)
    }

    /// The largest token that was admitted, by any process.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file cannot be locked in time, or cannot be read or synced.
    pub fn newest(&self) -> Result<FencingToken, RecordError> {
        let record = Record::open_existing_in(self.store()?, KIND)?;
        self.synced.fetch_max(record.value(), Ordering::Relaxed);
        Ok(FencingToken(record.value()))
    }

    /// Opens the file and takes its lock, and waits for the lock if it must.
    fn store(&self) -> Result<FileStore, RecordError> {
        self.when_free(|| FileStore::open_existing_on(self.files.clone(), &self.path))
    }

    fn when_free(
        &self,
        open: impl Fn() -> Result<FileStore, StoreError>,
    ) -> Result<FileStore, RecordError> {
        // From the first refusal on, because a system without files has no clock either.
        let mut began = None;
        loop {
            match open() {
                Err(StoreError::Locked { .. })
                    if began.get_or_insert_with(Instant::now).elapsed() < self.patience =>
                {
                    thread::sleep(LOCK_RETRY);
                }
                other => return Ok(other?),
            }
        }
    }
}
