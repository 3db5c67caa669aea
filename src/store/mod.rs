//! [`Store`]: where a promise is kept, so that it holds after a crash.
//!
//! A fence, a clock's high-water mark and a grantor's leases need the same thing from a
//! disk: what was promised before a crash must still hold after it. Their state is small,
//! and is replaced as a whole. So two calls suffice: [`load`](Store::load) and
//! [`persist`](Store::persist). The type that keeps a promise calls `persist`, waits for
//! its `Ok`, and only then makes the promise.
//!
//! | store | content is kept in |
//! |---|---|
//! | [`FileStore`] | a file of its own, replaced by write, fsync, rename, fsync |
//! | `sim::DiskStore` (feature `sim`) | a disk of the simulated world, whose crashes lose what was not synced |
//! | your own | a database's log, a row, an etcd key |
//!
//! # A store of your own
//!
//! A database has a log that is synced already, and a file beside it is one more thing to
//! back up and to lose. So let the log carry the content:
//!
//! ```
//! use truechimer::fence::{DurableFence, FencingToken};
//! use truechimer::store::{Store, StoreError};
//!
//! # use std::sync::{Arc, Mutex};
//! # #[derive(Clone, Default)]
//! # struct Wal(Arc<Mutex<Vec<(u8, Vec<u8>)>>>);
//! # impl Wal {
//! #     fn append(&self, kind: u8, content: &[u8]) -> std::io::Result<()> {
//! #         self.0.lock().unwrap().push((kind, content.to_vec()));
//! #         Ok(())
//! #     }
//! #     fn sync(&self) -> std::io::Result<()> { Ok(()) }
//! #     fn last(&self, kind: u8) -> std::io::Result<Option<Vec<u8>>> {
//! #         let entries = self.0.lock().unwrap();
//! #         Ok(entries.iter().rev().find(|(of, _)| *of == kind).map(|(_, bytes)| bytes.clone()))
//! #     }
//! # }
//! /// The last log record of this kind is the fence.
//! const FENCE: u8 = 7;
//!
//! struct InTheLog(Wal);
//!
//! impl Store for InTheLog {
//!     fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
//!         // An earlier process may have appended and not synced.
//!         let synced = self.0.sync().and_then(|()| self.0.last(FENCE));
//!         synced.map_err(|error| StoreError::io("read", self.place(), error))
//!     }
//!
//!     fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
//!         let synced = self.0.append(FENCE, content).and_then(|()| self.0.sync());
//!         synced.map_err(|error| StoreError::io("append to", self.place(), error))
//!     }
//!
//!     fn place(&self) -> String {
//!         "the fence in the log".to_owned()
//!     }
//! }
//!
//! # let wal = Wal::default();
//! let fence = DurableFence::create_new_in(InTheLog(wal.clone()))?;
//! fence.admit(FencingToken(34))?;
//! drop(fence); // or a crash
//!
//! let fence = DurableFence::open_existing_in(InTheLog(wal))?;
//! assert!(fence.admit(FencingToken(33)).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The first start is a call of its own
//!
//! A store that is empty has promised nothing, and one that was *lost* looks the same: the
//! volume is not mounted, the path has a typing error, the file was deleted. A fence that
//! then begins at 0 admits every zombie. So there are two calls wherever a promise is
//! opened. `create_new` is for the first start, and refuses what exists. `open_existing` is
//! for all later ones, and refuses what is missing. Which of them is right is known to
//! whoever deploys the program, and not to the program.
//!
//! # An asynchronous log
//!
//! The trait blocks, because a promise must not be made before `persist` has returned, and
//! most of those who promise are no futures. With a log whose interface is asynchronous:
//!
//! - Make the promising call on a thread that may block, for example
//!   `spawn_blocking(move || fence.admit(token))`. A call that needs no disk (a token seen
//!   before, a stamp below the mark) may stay where it is.
//! - Let `persist` send the content to the log's task, and wait for the answer on a channel.
//!   The task must not run on the thread that waits. A runtime with one thread would wait for
//!   itself, so there the promising call has to be on a thread of its own.
//! - Do not return `Ok` when the content was merely sent. This is the mistake that no test
//!   sees until power fails.
//! - A future that is dropped cancels nothing here: the thread goes on, and the content is
//!   persisted. This is safe, because a store may hold more than was promised.
//!
//! ```
//! # use std::sync::mpsc;
//! # use std::io;
//! # use truechimer::store::{Store, StoreError};
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! /// Content for the log's task, and where it says that the content is on disk.
//! type Request = (Vec<u8>, mpsc::Sender<io::Result<()>>);
//!
//! struct ByTask {
//!     content: Option<Vec<u8>>, // what the log's task had recovered, and synced, at the start
//!     requests: tokio::sync::mpsc::UnboundedSender<Request>,
//! }
//!
//! impl Store for ByTask {
//!     fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
//!         Ok(self.content.clone())
//!     }
//!
//!     fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
//!         let gone = || io::Error::other("the log's task has ended");
//!         let (done, answer) = mpsc::channel();
//!         self.requests
//!             .send((content.to_vec(), done))
//!             .map_err(|_| gone())
//!             .and_then(|()| answer.recv().map_err(|_| gone())?)
//!             .map_err(|error| StoreError::io("append to", self.place(), error))?;
//!         self.content = Some(content.to_vec());
//!         Ok(())
//!     }
//! }
//!
//! # use truechimer::fence::{DurableFence, FencingToken};
//! let (requests, mut inbox) = tokio::sync::mpsc::unbounded_channel::<Request>();
//! tokio::spawn(async move {
//!     while let Some((_content, done)) = inbox.recv().await {
//!         // append and sync, with .await
//!         let _ = done.send(Ok(()));
//!     }
//! });
//! let admitted = tokio::task::spawn_blocking(move || {
//!     let fence = DurableFence::create_new_in(ByTask { content: None, requests })?;
//!     fence.admit(FencingToken(34))
//! });
//! admitted.await??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#[cfg(all(test, not(loom)))]
pub(crate) mod crashes;
mod directory;
mod error;
mod file_store;
mod files;
mod lock;
#[cfg(all(test, not(loom)))]
pub(crate) mod model;
mod owner;
mod system;
#[cfg(all(test, not(loom)))]
mod tests;

pub use error::StoreError;
pub use file_store::FileStore;
pub(crate) use files::Files;
pub(crate) use owner::Owner;
pub(crate) use system::System;

/// One content of bytes, which is replaced whole and which no crash loses.
///
/// Whoever keeps a promise in it relies on these rules, so an implementation has to keep them:
///
/// 1. [`load`](Self::load) returns only what certainly survives a crash. A process may find what
///    an earlier one wrote and had not synced. So a store syncs before it answers.
/// 2. When [`persist`](Self::persist) has returned `Ok`, the new content survives.
/// 3. After an error of `persist`, or a crash in it, the store holds the old content or the new
///    one, and never a part or a mixture. Nothing may be promised on the new one until a later
///    `persist` or `load` has succeeded.
/// 4. One owner at a time has the store. Two would promise from the same content.
pub trait Store: Send {
    /// The content, or `None` if none was ever persisted.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it cannot be read, or cannot be made to survive a crash. A store that
    /// knows that it has lost its content returns an error, and not `None`.
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the content, and returns when the new one survives a crash.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the old content is there, or the new one (rule 3).
    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError>;

    /// The store's name in error messages, such as a path.
    fn place(&self) -> String {
        "the store".to_owned()
    }
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).load()
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        (**self).persist(content)
    }

    fn place(&self) -> String {
        (**self).place()
    }
}
