//! [`Cancel`]: ends blocking waits from another thread.

use std::sync::Arc;

use super::parker::Parker;

/// Ends waits from another thread, including one that sleeps.
///
/// Clones cancel the same waits. Cancelling is final: a wait that begins later ends
/// at once.
#[derive(Clone, Default, Debug)]
pub struct Cancel {
    pub(super) parker: Arc<Parker>,
}

impl Cancel {
    /// A handle that has not been cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends every wait that was given this handle, now and later.
    pub fn cancel(&self) {
        self.parker.cancel();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.parker.is_cancelled()
    }
}
