//! [`KernelState::read`]: the kernel of this machine, without a clock.

use super::{Host, HostError, KernelState, System};

impl KernelState {
    /// Reads this machine's kernel.
    ///
    /// # Errors
    ///
    /// If a filter denies the call, or this operating system has no `adjtimex`.
    pub fn read() -> Result<KernelState, HostError> {
        System.kernel_state()
    }
}
