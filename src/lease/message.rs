//! The messages between holder and grantor, ready for a network or a replicated log.

use std::str::FromStr;

use super::error::LeaseError;
use super::holder_id::HolderId;
use crate::fence::FencingToken;
use crate::timestamp::Timestamp;

/// Reads the text that `Display` prints.
impl FromStr for HolderId {
    type Err = LeaseError;

    fn from_str(text: &str) -> Result<HolderId, LeaseError> {
        text.parse().map(HolderId).map_err(LeaseError::ParseHolderId)
    }
}

/// A request to a grantor. It is `Copy` and has no pointers, so it can go into a log as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Command {
    /// Grant the lease, if nobody holds it.
    Acquire {
        /// The process that wants the lease.
        holder: HolderId,
    },
    /// Move the expiry of the present lease forward.
    Renew {
        /// The token of the lease.
        token: FencingToken,
        /// How far the holder's *work* has come. It must be larger than in the last renewal.
        progress: u64,
    },
    /// Hand the lease to another holder. The sender has already stopped using it.
    Transfer {
        /// The token of the lease.
        token: FencingToken,
        /// The next holder.
        to: HolderId,
    },
    /// Give the lease back before its expiry. The sender has already stopped using it.
    Release {
        /// The token of the lease.
        token: FencingToken,
    },
    /// Remove the lease if it has certainly expired.
    ///
    /// This is optional, because `Acquire` does it too. It makes the expiry visible in a log.
    Expire,
}

/// The grantor's answer to a [`Command`] that it carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Decision {
    /// The lease was granted to the holder that asked for it.
    Granted(Grant),
    /// The lease was renewed: it keeps its token and has a later expiry.
    Renewed(Grant),
    /// The lease was transferred: the new holder has a new token.
    Transferred(Grant),
    /// The lease was released, and can be acquired at once.
    Released(FencingToken),
    /// The lease had certainly expired and was removed. `None` if there was no lease.
    Expired(Option<FencingToken>),
}

/// States that a holder has the lease, under which token, and until when.
///
/// It is a message. [`Holder::accept`](super::Holder::accept) makes a lease of it, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grant {
    /// The holder of the lease.
    pub holder: HolderId,
    /// The token that the resource must see with every request.
    pub token: FencingToken,
    /// E: the holder may act only while true time is certainly before it.
    pub expires: Timestamp,
}
