//! [`Holder`]: makes each grant into a lease at most once.

use super::duration_lease::{DurationGrant, DurationLease, Request};
use super::error::LeaseError;
use super::grant_error::GrantError;
use super::holder_id::HolderId;
use super::lease::Lease;
use super::message::{Command, Grant};
use super::stopwatch::Stopwatch;
use crate::fence::FencingToken;

/// A process that acquires leases and accepts each grant once.
///
/// A network may deliver a grant twice, the second time after the lease was
/// released. A lease made from the second copy would be held beside the next
/// holder's. So the holder only accepts tokens that are larger than all before.
///
/// Give each incarnation of a process an id of its own. Then grants for an earlier
/// incarnation, which this one does not remember, are not addressed to it.
///
/// ```
/// use truechimer::{ManualClock, Timestamp, fence::FencingToken};
/// use truechimer::lease::{Grant, Holder, HolderId, LeaseError};
/// # let clock = ManualClock::new(truechimer::Interval::EVERYTHING);
///
/// let mut holder = Holder::new(HolderId(3));
/// let expires = Timestamp::from_tai_nanos(1_000);
/// let grant = Grant { holder: holder.id(), token: FencingToken(7), expires };
/// let lease = holder.accept(&grant)?;
/// let message = lease.release(&clock)?;
/// assert!(matches!(holder.accept(&grant), Err(LeaseError::RepeatedGrant { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Holder {
    id: HolderId,
    /// The largest token that was accepted.
    accepted: Option<FencingToken>,
    /// The number of the last request.
    number: u64,
    /// The largest token that this holder knows of.
    seen: FencingToken,
}

impl Holder {
    /// A holder that has not accepted a grant yet.
    pub fn new(id: HolderId) -> Holder {
        Holder { id, accepted: None, number: 0, seen: FencingToken::MIN }
    }

    /// The id under which this holder acquires leases.
    pub fn id(&self) -> HolderId {
        self.id
    }

    /// A new request for the lease.
    ///
    /// Send the same command again if no answer comes, and make a new one after a refusal.
    pub fn acquire(&mut self) -> Command {
        self.number += 1;
        Command::Acquire { holder: self.id, number: self.number, seen: self.seen }
    }

    /// A new request for a duration lease, whose term counts from now.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NoStopwatch`]: without a reading no lease could be held.
    pub fn request<S: Stopwatch + ?Sized>(&mut self, stopwatch: &S) -> Result<Request, LeaseError> {
        Request::begin(stopwatch, || self.acquire())
    }

    /// Notes a refusal, so that the next request shows which tokens this holder knows of.
    ///
    /// It is needed after [`GrantError::MayBeRepeated`], and harmless after any other.
    pub fn refused(&mut self, refusal: &GrantError) {
        if let GrantError::MayBeRepeated { newest: token }
        | GrantError::NotCurrent { newest: token, .. }
        | GrantError::Taken { token, .. } = *refusal
        {
            self.seen = self.seen.max(token);
        }
    }

    /// Makes a lease of a grant. [`Lease::check`] tells whether it has not expired on the way.
    ///
    /// # Errors
    ///
    /// [`LeaseError::OtherHolder`] if the grant is for another holder, and
    /// [`LeaseError::RepeatedGrant`] if it was accepted before.
    pub fn accept(&mut self, grant: &Grant) -> Result<Lease, LeaseError> {
        self.accept_token(grant.holder, grant.token)?;
        Ok(Lease::new(grant.token, grant.expires))
    }

    /// Makes a duration lease of the grant that answers `request`.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), and [`LeaseError::OtherRequest`] if the grant answers
    /// another request.
    pub fn accept_duration(
        &mut self,
        request: Request,
        grant: &DurationGrant,
    ) -> Result<DurationLease, LeaseError> {
        if !request.is_answered_by(grant) {
            return Err(LeaseError::OtherRequest);
        }
        self.accept_token(grant.holder, grant.token)?;
        Ok(DurationLease::new(request, grant.token, grant.term))
    }

    /// Accepts a token that is for this holder and larger than all before.
    fn accept_token(
        &mut self,
        granted_to: HolderId,
        offered: FencingToken,
    ) -> Result<(), LeaseError> {
        if granted_to != self.id {
            return Err(LeaseError::OtherHolder { id: self.id, granted_to });
        }
        if let Some(accepted) = self.accepted.filter(|&accepted| offered <= accepted) {
            return Err(LeaseError::RepeatedGrant { offered, accepted });
        }
        self.accepted = Some(offered);
        self.seen = self.seen.max(offered);
        Ok(())
    }
}
