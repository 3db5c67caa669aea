//! [`Holder`]: what stands between a grant that may come twice and a lease.

use super::duration::{DurationGrant, DurationLease, Request};
use super::holder::Lease;
use super::message::{Command, Grant, HolderId};
use crate::fence::FencingToken;

/// One who acquires leases, and takes each grant once.
///
/// A network may deliver a grant twice, the second time after the lease was
/// released. A lease made of it would be held beside the next holder's. So the
/// tokens of what has been accepted must rise.
///
/// Give each incarnation of a process an id of its own: the messages to an
/// earlier one, which this one does not remember, then are not addressed to it.
///
/// ```
/// use truechimer::{Timestamp, fence::FencingToken};
/// use truechimer::lease::{AcceptError, Grant, Holder, HolderId};
///
/// let mut holder = Holder::new(HolderId(3));
/// let expires = Timestamp::from_tai_nanos(1_000);
/// let grant = Grant { holder: holder.id(), token: FencingToken(7), expires };
/// let lease = holder.accept(&grant)?;
/// let message = lease.release();
/// assert!(matches!(holder.accept(&grant), Err(AcceptError::Repeated { .. })));
/// # Ok::<(), AcceptError>(())
/// ```
#[derive(Debug)]
pub struct Holder {
    id: HolderId,
    accepted: Option<FencingToken>,
}

impl Holder {
    /// A holder that has accepted nothing yet.
    pub fn new(id: HolderId) -> Holder {
        Holder { id, accepted: None }
    }

    /// The id it acquires under.
    pub fn id(&self) -> HolderId {
        self.id
    }

    /// The request for the lease.
    pub fn acquire(&self) -> Command {
        Command::Acquire { holder: self.id }
    }

    /// Makes a lease of a grant. [`Lease::check`] says whether it still is one.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]: the grant is another's, or was accepted before.
    pub fn accept(&mut self, grant: &Grant) -> Result<Lease, AcceptError> {
        self.take(grant.holder, grant.token)?;
        Ok(Lease::new(grant.token, grant.expires))
    }

    /// Makes a duration lease of the grant that answers `request`.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), and if the grant answers another request.
    pub fn accept_duration(
        &mut self,
        request: Request,
        grant: &DurationGrant,
    ) -> Result<DurationLease, AcceptError> {
        if grant.answers != request.id() {
            return Err(AcceptError::OtherRequest);
        }
        self.take(grant.holder, grant.token)?;
        Ok(DurationLease::new(request, grant.token, grant.term))
    }

    fn take(&mut self, granted_to: HolderId, offered: FencingToken) -> Result<(), AcceptError> {
        if granted_to != self.id {
            return Err(AcceptError::NotMine { id: self.id, granted_to });
        }
        if let Some(accepted) = self.accepted.filter(|&accepted| offered <= accepted) {
            return Err(AcceptError::Repeated { offered, accepted });
        }
        self.accepted = Some(offered);
        Ok(())
    }
}

/// A grant that no lease can be made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The grant is for another holder.
    #[error("the grant is for holder {granted_to}, and this is {id}: it was sent astray; drop it")]
    NotMine {
        /// Who was asked to accept.
        id: HolderId,
        /// Whom the grant is for.
        granted_to: HolderId,
    },
    /// A lease was made of this grant, or of a later one, before.
    #[error(
        "the grant's token {offered} is not above {accepted}, which was accepted before: it came \
         twice or late, and its lease may have been given back; drop it"
    )]
    Repeated {
        /// The grant's token.
        offered: FencingToken,
        /// The largest accepted before.
        accepted: FencingToken,
    },
    /// The grant answers an earlier or later request than the one it was offered with.
    #[error(
        "the grant answers another request: a lease has to be counted from the sending of the \
         request that it answers, so look that one up"
    )]
    OtherRequest,
}

impl AcceptError {
    /// Whether the same grant can be accepted later: only with the request that it answers.
    pub fn is_transient(&self) -> bool {
        false
    }
}
