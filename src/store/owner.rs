//! [`Owner`]: the process that opened a store, which its forked child is not.

use super::error::StoreError;
use crate::fork::ProcessKey;

/// The process that opened a store.
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

    pub(super) fn is_this_process(&self) -> bool {
        self.process == ProcessKey::current()
    }

    /// An error in a forked child. Call it before taking a lock, because a thread of the parent
    /// may have held it at the fork.
    pub(crate) fn check(&self, place: &str) -> Result<(), StoreError> {
        if self.is_this_process() {
            return Ok(());
        }
        Err(StoreError::Forked { place: place.to_owned(), owner: self.id })
    }
}
