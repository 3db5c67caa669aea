//! Fences that outlive their process: the largest token is in a file.
//!
//! A fence that begins again at nothing lets the first zombie in. So a token is
//! on disk, synced, *before* it is let in: after a crash the file may hold a
//! larger token than any that was used, and never a smaller one.
//!
//! Two forms, since "one owner" is faster and "many processes" is sometimes needed:
//!
//! | | [`DurableFence`] | [`SharedFence`] |
//! |---|---|---|
//! | who may use the file | one process, any threads | any processes |
//! | a token seen before | a look at memory | a lock and a read of the file |
//! | a newer token | a synced replacement of the file | the same |
//! | admission and write are one step | the caller's affair | inside [`with`](SharedFence::with) |

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Fence, FencingToken, StaleToken};
use crate::durable::{Kind, Record, RecordError};

/// What a fence's file says that it is.
const KIND: Kind = Kind(*b"fence\0\0\0");

/// How long to wait before a lock is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// A [`Fence`] of one process that is as strict after a crash as before.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("fence");
/// use truechimer::fence::{AdmitError, DurableFence, FencingToken};
///
/// let fence = DurableFence::open(&path)?;
/// fence.admit(FencingToken(34))?;
/// drop(fence); // or a crash
///
/// let fence = DurableFence::open(&path)?;
/// assert!(matches!(fence.admit(FencingToken(33)), Err(AdmitError::Stale(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DurableFence {
    /// What is on disk: raised after the file, so that nothing is let in before.
    on_disk: Fence,
    record: Mutex<Record>,
    owner: u32,
    path: PathBuf,
}

impl DurableFence {
    /// The fence whose file is at `path`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is another's, or in use, or damaged. A damaged
    /// file is never taken for an empty one.
    pub fn open(path: impl AsRef<Path>) -> Result<DurableFence, RecordError> {
        let record = Record::open(path.as_ref(), KIND, FencingToken::MIN.get())?;
        Ok(DurableFence {
            on_disk: Fence::starting_at(FencingToken(record.value())),
            path: record.path().to_owned(),
            record: Mutex::new(record),
            owner: std::process::id(),
        })
    }

    /// Lets `token` in if no larger one was let in before, in this life or an earlier one.
    ///
    /// A token that is larger than all before waits for the disk.
    ///
    /// # Errors
    ///
    /// [`AdmitError::Stale`], with both numbers; [`AdmitError::Record`] where a
    /// newer token cannot be kept, and then it is not let in.
    pub fn admit(&self, token: FencingToken) -> Result<(), AdmitError> {
        // A forked child has a copy of the memory, which nobody raises for it.
        if std::process::id() != self.owner {
            let (path, owner) = (self.path.clone(), self.owner);
            return Err(RecordError::Forked { path, owner }.into());
        }
        if token > self.on_disk.newest() {
            let mut record = self.record.lock();
            // Another thread may have been here with a larger one.
            if token.get() > record.value() {
                record.advance(token.get())?;
            }
            // Inside the lock: what memory says is then never more than the file, nor less
            // than the token of somebody who was let in.
            return Ok(self.on_disk.admit(token)?);
        }
        Ok(self.on_disk.admit(token)?)
    }

    /// The largest token that was let in.
    pub fn newest(&self) -> FencingToken {
        self.on_disk.newest()
    }
}

/// A fence that several processes of one machine share through a file.
///
/// The file's lock is held while the resource is changed, so that admission and
/// change are one step even if the process is stopped in the middle: then the
/// others wait, and give up with an error that says who has it. That is no
/// danger, but no progress either; keep changes short. Not for a network file
/// system whose locks are only advisory to other hosts.
#[derive(Clone, Debug)]
pub struct SharedFence {
    path: PathBuf,
    patience: Duration,
}

impl SharedFence {
    /// The fence whose file is at `path`, which is made if there is none.
    ///
    /// Whoever has the file is waited for as long as `patience`.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is another's or damaged.
    pub fn open(path: impl AsRef<Path>, patience: Duration) -> Result<SharedFence, RecordError> {
        let fence = SharedFence { path: path.as_ref().to_owned(), patience };
        fence.record()?;
        Ok(fence)
    }

    /// Runs `change` if `token` is not stale, while nobody else can.
    ///
    /// # Errors
    ///
    /// [`AdmitError::Stale`], with both numbers; [`AdmitError::Record`] where
    /// the file cannot be had in time, or written. `change` was not run.
    pub fn with<R>(
        &self,
        token: FencingToken,
        change: impl FnOnce() -> R,
    ) -> Result<R, AdmitError> {
        let mut record = self.record()?;
        let newest = FencingToken(record.value());
        if token < newest {
            return Err(StaleToken { offered: token, newest }.into());
        }
        record.advance(token.get())?;
        let result = change();
        drop(record);
        Ok(result)
    }

    /// The largest token that was let in, by any process.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file cannot be had in time, or read.
    pub fn newest(&self) -> Result<FencingToken, RecordError> {
        Ok(FencingToken(self.record()?.value()))
    }

    /// The file, and the right to it.
    fn record(&self) -> Result<Record, RecordError> {
        let began = Instant::now();
        loop {
            match Record::open(&self.path, KIND, FencingToken::MIN.get()) {
                Err(RecordError::Locked { .. }) if began.elapsed() < self.patience => {
                    thread::sleep(RETRY);
                }
                other => return other,
            }
        }
    }
}

/// Why a durable fence did not let a token in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// The caller has been replaced.
    #[error(transparent)]
    Stale(#[from] StaleToken),
    /// The token would not be remembered after a crash.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl AdmitError {
    /// Whether the same token can be let in later.
    pub fn is_transient(&self) -> bool {
        match self {
            AdmitError::Stale(stale) => stale.is_transient(),
            AdmitError::Record(record) => record.is_transient(),
        }
    }
}
