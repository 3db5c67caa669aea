//! Fences that store their largest token on a disk, so that it survives the process.
//!
//! A fence that begins again without its largest token admits the first zombie. So a
//! token is written to disk and synced *before* it is admitted. After a crash the file
//! may hold a larger token than any that was used, but never a smaller one.
//!
//! For the same reason a file that is missing is not a new fence. `create_new` is for the
//! first start of all, and `open_existing` for every later one; see [`store`](crate::store).
//!
//! There are two forms, because a file with one owner is faster, but sometimes several
//! processes must share one:
//!
//! | | [`DurableFence`] | [`SharedFence`] |
//! |---|---|---|
//! | who may use it | one process, any threads | any processes of a machine |
//! | kept in | a file, or any [`Store`] | a file |
//! | cost of a token seen before | a read of memory | a lock and a read of the file; a synced replacement of it if this fence has not synced the token before |
//! | cost of a newer token | a synced replacement of the content | the same, of the file |
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
use crate::exclusive::Exclusive;
use crate::section::NotAFuture;
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
/// synced. So a token that the file already holds is written again and synced before it is
/// admitted, unless this fence or a clone of it has seen to that before.
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
    /// The tasks of this process take turns, so that one thread at a time waits for the file.
    pub(super) tasks: Arc<Exclusive<()>>,
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
        let create = || FileStore::create_new_on(fence.files.clone(), path);
        let store = when_free(create, |waited| waited < patience)?;
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
        let tasks = Arc::new(Exclusive::new(()));
        SharedFence { files, path: path.to_owned(), patience, synced: Arc::default(), tasks }
    }

    /// Runs `change` if `token` is not stale, while no other process can run one.
    ///
    /// It blocks its thread for as long as others have the file, and while the file is written.
    /// Tasks have [`with_async`](Self::with_async). A `change` that returns a future is refused by
    /// the compiler, because its work would be done after the file is unlocked:
    ///
    /// ```compile_fail,E0283
    /// # use truechimer::fence::{FenceError, FencingToken, SharedFence};
    /// # fn locked(fence: &SharedFence) -> Result<(), FenceError> {
    /// let later = fence.with(FencingToken(34), || async { "written" })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The same without the future compiles:
    ///
    /// ```
    /// # use truechimer::fence::{FenceError, FencingToken, SharedFence};
    /// # fn locked(fence: &SharedFence) -> Result<(), FenceError> {
    /// let now = fence.with(FencingToken(34), || "written")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens; [`FenceError::Record`] if the file cannot
    /// be locked in time, or cannot be written and synced. Then `change` did not run.
    pub fn with<R, UseWithAsyncForFutures>(
        &self,
        token: FencingToken,
        change: impl FnOnce() -> R,
    ) -> Result<R, FenceError>
    where
        R: NotAFuture<UseWithAsyncForFutures>,
    {
        let record = self.admit(token, |waited| waited < self.patience)?;
        let result = change();
        // The record holds the lock, so it must live until after the change.
        drop(record);
        Ok(result)
    }

    /// Locks the file and admits `token` there, while the time that it has waited lets it go on.
    /// Whoever has the record has the lock.
    pub(super) fn admit(
        &self,
        token: FencingToken,
        goes_on: impl Fn(Duration) -> bool,
    ) -> Result<Record, FenceError> {
        let store = self.store_while(goes_on)?;
        let synced = Some(self.synced.load(Ordering::Relaxed)).filter(|&token| token > 0);
        let mut record = Record::open_shared(store, KIND, synced)?;
        let newest = FencingToken(record.value());
        // A token that is not synced yet refuses others too: whoever stored it may have admitted it.
        if token < newest {
            return Err(StaleToken { offered: token, newest }.into());
        }
        record.advance(token.get())?;
        self.synced.fetch_max(token.get(), Ordering::Relaxed);
        Ok(record)
    }

    /// The name of the file in error messages.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    #[cfg(not(target_family = "wasm"))]
    pub(super) fn patience(&self) -> Duration {
        self.patience
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
        self.store_while(|waited| waited < self.patience)
    }

    fn store_while(&self, goes_on: impl Fn(Duration) -> bool) -> Result<FileStore, RecordError> {
        when_free(|| FileStore::open_existing_on(self.files.clone(), &self.path), goes_on)
    }
}

/// Opens a file again and again while another has its lock, as long as the time that this has
/// taken lets it go on.
fn when_free(
    open: impl Fn() -> Result<FileStore, StoreError>,
    goes_on: impl Fn(Duration) -> bool,
) -> Result<FileStore, RecordError> {
    // From the first refusal on, because a system without files has no clock either.
    let mut began = None;
    loop {
        match open() {
            Err(StoreError::Locked { .. })
                if goes_on(began.get_or_insert_with(Instant::now).elapsed()) =>
            {
                thread::sleep(LOCK_RETRY);
            }
            other => return Ok(other?),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::store::crashes::Crashes;
    use crate::store::model::ModelDisk;

    const PATH: &str = "/place/state";

    fn shared(disk: &ModelDisk) -> Result<SharedFence, RecordError> {
        SharedFence::open_existing_on(Arc::new(disk.handle()), Path::new(PATH), Duration::ZERO)
    }

    /// A disk on which a shared fence holds 20.
    fn disk_with_20(seed: u64) -> ModelDisk {
        let disk = ModelDisk::new(seed);
        let files = Arc::new(disk.handle());
        let fence = SharedFence::create_new_on(files, Path::new(PATH), Duration::ZERO);
        fence.expect("new").with(FencingToken(20), || ()).expect("stored");
        disk
    }

    fn text(error: impl ToString) -> String {
        error.to_string()
    }

    #[test]
    fn no_crash_makes_a_durable_fence_forget() {
        let campaign = Crashes {
            create: |disk| {
                let store = disk.create_new(PATH).map_err(text)?;
                DurableFence::create_new_in(store).map_err(text)
            },
            open: |disk| {
                let store = disk.open_existing(PATH).map_err(text)?;
                DurableFence::open_existing_in(store).map_err(text)
            },
            held: |fence| {
                // It refuses whatever is older, in memory as on the disk.
                let newest = fence.newest();
                if let Some(zombie) = newest.get().checked_sub(1).map(FencingToken) {
                    fence.admit(zombie).expect_err("older than the newest");
                }
                fence.admit(newest).map_err(text)?;
                Ok(newest.get())
            },
            promise: |fence, token| fence.admit(FencingToken(token)).map_err(text),
        };
        let happened = campaign.run(10_000).expect("nothing is forgotten");
        assert!(happened.promises > 5_000 && happened.refused > 1_000, "{happened:?}");
        assert!(happened.found_more > 50 && happened.created_again > 20, "{happened:?}");
    }

    #[test]
    fn no_crash_makes_a_shared_fence_forget() {
        let campaign = Crashes {
            create: |disk| {
                let files = Arc::new(disk.handle());
                SharedFence::create_new_on(files, Path::new(PATH), Duration::ZERO).map_err(text)
            },
            open: |disk| shared(disk).map_err(text),
            held: |fence| {
                // By the answer of `with` and not of `newest`, which syncs.
                let (mut store, mut held) = (fence.store().map_err(text)?, 0);
                if let Some(content) = store.read().map_err(text)? {
                    held = crate::durable::decode(&content, KIND, PATH).map_err(text)?;
                }
                drop(store);
                fence.with(FencingToken(held), || ()).map_err(text)?;
                if let Some(zombie) = held.checked_sub(1).map(FencingToken) {
                    fence.with(zombie, || panic!("a zombie")).expect_err("older than the newest");
                }
                Ok(held)
            },
            promise: |fence, token| fence.with(FencingToken(token), || ()).map_err(text),
        };
        let happened = campaign.run(10_000).expect("nothing is forgotten");
        assert!(happened.promises > 5_000 && happened.refused > 1_000, "{happened:?}");
        assert!(happened.found_more > 50 && happened.created_again > 20, "{happened:?}");
    }

    /// One operation of the admission fails or is its process's last one, 34 is offered again, by
    /// the same process or the next, and power fails.
    #[test]
    fn a_token_that_no_sync_covers_is_not_admitted() {
        let mut admitted = 0;
        for seed in 0..6 {
            for (is_killed, operation) in (0..40).flat_map(|n| [(false, n), (true, n)]) {
                let disk = disk_with_20(seed);
                let mut fence = shared(&disk).expect("there");
                match is_killed {
                    true => disk.stop_after(operation),
                    false => disk.fail_after(operation, ErrorKind::Other),
                }
                let first = fence.with(FencingToken(34), || ());
                if is_killed {
                    disk.kill();
                    fence = shared(&disk).expect("there");
                }
                disk.mend();
                if fence.newest().expect("there") < FencingToken(34) {
                    assert!(first.is_err());
                    continue;
                }
                disk.kill();
                fence = shared(&disk).expect("there");
                fence.with(FencingToken(34), || ()).expect("the newest");
                admitted += 1;
                disk.lose_power();
                let zombie = shared(&disk).expect("there").with(FencingToken(33), || ());
                assert!(matches!(zombie, Err(FenceError::Stale(_))), "operation {operation}");
            }
        }
        assert!(admitted > 100, "{admitted}");
    }

    /// The same, and the second attempt is made by a fence that has synced nothing yet.
    #[test]
    fn a_token_that_another_process_has_left_unsynced_is_written_again() {
        for seed in 0..6 {
            for operation in 0..40 {
                let disk = disk_with_20(seed);
                let (dying, living) = (shared(&disk), shared(&disk));
                disk.fail_after(operation, ErrorKind::Other);
                let _ = dying.expect("there").with(FencingToken(34), || ());
                disk.mend();
                living.expect("there").with(FencingToken(34), || ()).expect("the newest");
                disk.lose_power();
                let zombie = shared(&disk).expect("there").with(FencingToken(33), || ());
                assert!(matches!(zombie, Err(FenceError::Stale(_))), "operation {operation}");
            }
        }
    }

    #[test]
    fn a_full_or_read_only_disk_admits_no_newer_token() {
        let disk = disk_with_20(1);
        let owned = || DurableFence::open_existing_in(disk.open_existing(PATH)?);
        for (make, is_transient) in
            [(ModelDisk::fill as fn(&ModelDisk), true), (ModelDisk::make_read_only, false)]
        {
            let fence = owned().expect("there");
            make(&disk);
            let error = fence.admit(FencingToken(34)).expect_err("it cannot be stored");
            assert_eq!(error.is_transient(), is_transient, "{error}");
            fence.admit(FencingToken(20)).expect("stored before");
            fence.admit(FencingToken(19)).expect_err("stale");
            assert_eq!(fence.newest(), FencingToken(20));
            disk.mend();
            drop(fence);
        }
        owned().expect("there").admit(FencingToken(34)).expect("there is room");
    }

    #[test]
    fn a_store_is_created_or_opened_and_never_both() {
        let disk = ModelDisk::new(1);
        let empty = DurableFence::open_existing_in(disk.create_new(PATH).expect("new"));
        let missing = RecordError::Store(StoreError::Missing { place: PATH.to_owned() });
        assert_eq!(empty.expect_err("empty").to_string(), missing.to_string());
        assert!(disk.names().is_empty());
        let fence = DurableFence::create_new_in(disk.create_new(PATH).expect("new"));
        drop(fence.expect("empty"));
        let again = DurableFence::create_new_in(disk.open_existing(PATH).expect("there"));
        assert!(matches!(again, Err(RecordError::Store(StoreError::Exists { .. }))));
    }
}
