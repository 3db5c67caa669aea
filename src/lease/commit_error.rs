//! [`CommitError`]: why a lease covers no commit stamp.

use crate::hlc::HlcError;
use crate::timestamp::Timestamp;

/// Why no commit stamp could be taken under a lease.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The stamp would not lie before the lease's end, so the next holder could take an
    /// earlier one. It was not returned and is not remembered.
    #[error(
        "the commit stamp {stamp} would reach the end of the lease at {expires}, after which \
         another holder may take earlier ones: renew the lease and take a stamp again, or give \
         the transaction up"
    )]
    BeyondLease {
        /// The moment of the stamp.
        stamp: Timestamp,
        /// E, as far as this holder knows.
        expires: Timestamp,
    },
    /// The hybrid logical clock issued no stamp.
    #[error(transparent)]
    Hlc(#[from] HlcError),
}

impl CommitError {
    /// Whether the same call can succeed later: after a renewal, or when the clock has passed
    /// what is in the way.
    pub fn is_transient(&self) -> bool {
        match self {
            CommitError::BeyondLease { .. } => true,
            CommitError::Hlc(error) => error.is_transient(),
        }
    }
}
