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
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::{FenceError, StaleToken};
use super::fence::Fence;
use super::fencing_token::FencingToken;
use crate::durable::{Kind, Owner, Record, RecordError};

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
/// let fence = DurableFence::open(&path)?;
/// fence.admit(FencingToken(34))?;
/// drop(fence); // or a crash
///
/// let fence = DurableFence::open(&path)?;
/// assert!(matches!(fence.admit(FencingToken(33)), Err(FenceError::Stale(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DurableFence {
    /// The token in the file. It is raised after the file, so that no token is admitted
    /// before it is stored.
    on_disk: Fence,
    record: Mutex<Record>,
    owner: Owner,
    path: PathBuf,
}

impl DurableFence {
    /// The fence whose file is at `path`. The file is created if it does not exist.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is of another kind, in use, or damaged. A damaged
    /// file is never treated as an empty one.
    pub fn open(path: impl AsRef<Path>) -> Result<DurableFence, RecordError> {
        let record = Record::open(path.as_ref(), KIND, FencingToken::MIN.get())?;
        Ok(DurableFence {
            on_disk: Fence::starting_at(FencingToken(record.value())),
            path: record.path().to_owned(),
            record: Mutex::new(record),
            owner: Owner::this_process(),
        })
    }

    /// Admits `token` if no larger one was admitted before, in this process or an earlier one.
    ///
    /// A token that is larger than all before waits for the disk.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens; [`FenceError::Record`] if a newer token
    /// cannot be stored, and then it is not admitted.
    pub fn admit(&self, token: FencingToken) -> Result<(), FenceError> {
        // A forked child has a copy of the memory, which does not follow the parent's fence.
        self.owner.check(&self.path)?;
        if token > self.on_disk.newest() {
            let mut record = self.record.lock();
            // Another thread may have stored a larger token while this one waited.
            if token.get() > record.value() {
                record.advance(token.get())?;
            }
            // Raise the memory inside the lock. So it is never above the file, and never
            // below a token that was admitted.
            return self.on_disk.admit(token);
        }
        self.on_disk.admit(token)
    }

    /// The largest token that was admitted.
    pub fn newest(&self) -> FencingToken {
        self.on_disk.newest()
    }
}

/// A fence that several processes of one machine share through a file.
///
/// The file's lock is held while the resource is changed, so admission and change are
/// one step even if the process is stopped in the middle. Then the other processes wait,
/// and give up with an error that names the process that holds the lock. This is safe,
/// but no process makes progress meanwhile, so keep changes short. Do not use it on a
/// network file system whose locks do not bind other hosts.
#[derive(Clone, Debug)]
pub struct SharedFence {
    path: PathBuf,
    patience: Duration,
}

impl SharedFence {
    /// The fence whose file is at `path`. The file is created if it does not exist.
    ///
    /// `patience` is how long each call waits while another process holds the file.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is of another kind, or damaged.
    pub fn open(path: impl AsRef<Path>, patience: Duration) -> Result<SharedFence, RecordError> {
        let fence = SharedFence { path: path.as_ref().to_owned(), patience };
        fence.record()?;
        Ok(fence)
    }

    /// Runs `change` if `token` is not stale, while no other process can run one.
    ///
    /// # Errors
    ///
    /// [`FenceError::Stale`], with both tokens; [`FenceError::Record`] if the file cannot
    /// be locked in time, or cannot be written. Then `change` did not run.
    pub fn with<R>(
        &self,
        token: FencingToken,
        change: impl FnOnce() -> R,
    ) -> Result<R, FenceError> {
        let mut record = self.record()?;
        let newest = FencingToken(record.value());
        if token < newest {
            return Err(StaleToken { offered: token, newest }.into());
        }
        record.advance(token.get())?;
        let result = change();
        // The record holds the lock, so it must live until after the change.
        drop(record);
        Ok(result)
    }

    /// The largest token that was admitted, by any process.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file cannot be locked in time, or cannot be read.
    pub fn newest(&self) -> Result<FencingToken, RecordError> {
        Ok(FencingToken(self.record()?.value()))
    }

    /// Opens the file and takes its lock, and waits for the lock if it must.
    fn record(&self) -> Result<Record, RecordError> {
        // From the first refusal on, because a system without files has no clock either.
        let mut began = None;
        loop {
            match Record::open(&self.path, KIND, FencingToken::MIN.get()) {
                Err(RecordError::Locked { .. })
                    if began.get_or_insert_with(Instant::now).elapsed() < self.patience =>
                {
                    thread::sleep(LOCK_RETRY);
                }
                other => return other,
            }
        }
    }
}
