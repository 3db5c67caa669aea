//! The messages between holder and grantor, ready for a network or a replicated log.
//!
//! With the feature `serde` each field is required and an unknown field or variant is an
//! error, so that no part of a message is lost by a reader that does not know it.

use std::str::FromStr;

use super::error::LeaseError;
use super::holder_id::HolderId;
use super::request_id::{RequestId, Sender};
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
///
/// [`Holder`](super::Holder) and [`Lease`](super::Lease) make commands and number them. To
/// repeat a command whose answer did not come, send the *same* command: its repeats get the
/// answer of the first copy. To ask anew after an answer, make a new command.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", deny_unknown_fields))]
#[non_exhaustive]
pub enum Command {
    /// Grant the lease, if nobody holds it.
    Acquire {
        /// The process that wants the lease.
        holder: HolderId,
        /// The number of the request. It rises from one `Acquire` of this holder to the next.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        number: u64,
        /// The largest token that the holder knew when it made this request, or
        /// [`FencingToken::MIN`].
        ///
        /// By it the grantor recognizes the repeat of a request that it has forgotten.
        seen: FencingToken,
    },
    /// Move the expiry of the present lease forward.
    Renew {
        /// The token of the lease.
        token: FencingToken,
        /// The number of the request. It rises from one request of this lease to the next.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        number: u64,
        /// How far the holder's *work* has come. It must be larger than in the last renewal.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        progress: u64,
    },
    /// Hand the lease to another holder. The sender has already stopped using it.
    Transfer {
        /// The token of the lease.
        token: FencingToken,
        /// The number of the request, as in `Renew`.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        number: u64,
        /// The next holder.
        to: HolderId,
    },
    /// Give the lease back before its expiry. The sender has already stopped using it.
    Release {
        /// The token of the lease.
        token: FencingToken,
        /// The number of the request, as in `Renew`.
        #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
        number: u64,
    },
    /// Remove the lease if it has certainly expired.
    ///
    /// This is optional, because `Acquire` does it too. It makes the expiry visible in a log.
    /// It has no number, because a repeat finds nothing more to remove.
    Expire,
}

impl Command {
    /// What identifies this request. `None` for `Expire`, which nobody in particular sends.
    pub fn id(&self) -> Option<RequestId> {
        let (sender, number) = match *self {
            Command::Acquire { holder, number, .. } => (Sender::Holder(holder), number),
            Command::Renew { token, number, .. }
            | Command::Transfer { token, number, .. }
            | Command::Release { token, number } => (Sender::Lease(token), number),
            Command::Expire => return None,
        };
        Some(RequestId { sender, number })
    }
}

/// The grantor's answer to a [`Command`] that it carried out.
///
/// `G` is what it grants: a [`Grant`], or a [`DurationGrant`](super::DurationGrant).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Decision<G = Grant> {
    /// The lease was granted to the holder that asked for it.
    Granted(G),
    /// The lease was renewed: it keeps its token and has a later expiry.
    Renewed(G),
    /// The lease was transferred: the new holder has a new token.
    Transferred(G),
    /// The lease was released, and can be acquired at once.
    Released(FencingToken),
    /// The lease had certainly expired and was removed. `None` if there was no lease.
    Expired(Option<FencingToken>),
}

impl<G> Decision<G> {
    /// What was granted, renewed or transferred. `None` if the lease has ended.
    pub fn grant(self) -> Option<G> {
        match self {
            Decision::Granted(grant) | Decision::Renewed(grant) | Decision::Transferred(grant) => {
                Some(grant)
            }
            Decision::Released(_) | Decision::Expired(_) => None,
        }
    }

    /// The same decision about something else that was granted.
    pub(super) fn map<H>(self, change: impl FnOnce(G) -> H) -> Decision<H> {
        match self {
            Decision::Granted(grant) => Decision::Granted(change(grant)),
            Decision::Renewed(grant) => Decision::Renewed(change(grant)),
            Decision::Transferred(grant) => Decision::Transferred(change(grant)),
            Decision::Released(token) => Decision::Released(token),
            Decision::Expired(token) => Decision::Expired(token),
        }
    }
}

/// States that a holder has the lease, under which token, and until when.
///
/// It is a message. [`Holder::accept`](super::Holder::accept) makes a lease of it, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Grant {
    /// The holder of the lease.
    pub holder: HolderId,
    /// The token that the resource must see with every request.
    pub token: FencingToken,
    /// E: the holder may act only while true time is certainly before it.
    pub expires: Timestamp,
}
