//! [`DurationGrantor`]: the grantor's side of duration leases.

use std::time::Duration;

use super::drift::stretch;
use super::duration_lease::{DurationGrant, RequestId};
use super::error::LeaseError;
use super::grant_error::GrantError;
use super::holder_id::HolderId;
use super::lease_state::{Granted, LeaseState, Now};
use super::stopwatch::Reading;
use super::term::Term;
use crate::fence::FencingToken;

/// The state machine that grants duration leases: one lease, to one holder at a time.
///
/// It is pure: the caller passes in the readings of one machine's stopwatch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurationGrantor {
    term: Duration,
    max_drift_ppm: u32,
    state: LeaseState<Duration>,
}

impl DurationGrantor {
    /// A grantor that grants nothing for one term, counted from `now`.
    ///
    /// `term` is the longest term that any earlier grantor may have granted.
    /// `last_token` must not be below any token that was granted before, because without
    /// a time of day tokens cannot be derived from a clock. Store
    /// [`last_token`](Self::last_token) durably before each grant is sent.
    ///
    /// # Errors
    ///
    /// [`LeaseError::ZeroTerm`], or [`LeaseError::TermTooLong`] above
    /// [`MAX_TERM`](super::MAX_TERM).
    pub fn after_restart(
        term: Duration,
        max_drift_ppm: u32,
        last_token: FencingToken,
        now: Reading,
    ) -> Result<DurationGrantor, LeaseError> {
        let term = Term::try_from(term)?.into();
        let quiet_until = now.latest.saturating_add(stretch(term, max_drift_ppm));
        let state = LeaseState::new(last_token, Some(quiet_until));
        Ok(DurationGrantor { term, max_drift_ppm, state })
    }

    /// Grants the lease to `holder`, whose request was received before `now` was read.
    ///
    /// # Errors
    ///
    /// [`GrantError`]. The state is then unchanged.
    pub fn acquire(
        &mut self,
        now: Option<Reading>,
        holder: HolderId,
        request: RequestId,
    ) -> Result<DurationGrant, GrantError> {
        let (now, expires) = self.now_and_expiry(now);
        let granted = self.state.acquire(now, holder, expires, FencingToken::MIN)?;
        Ok(self.answer(granted, request))
    }

    /// Renews the lease of `token`. The new term counts from when this request was sent.
    ///
    /// # Errors
    ///
    /// [`GrantError`]. The state is then unchanged.
    pub fn renew(
        &mut self,
        now: Option<Reading>,
        token: FencingToken,
        progress: u64,
        request: RequestId,
    ) -> Result<DurationGrant, GrantError> {
        let (now, expires) = self.now_and_expiry(now);
        let granted = self.state.renew(now, token, progress, expires)?;
        Ok(self.answer(granted, request))
    }

    /// Takes the lease back before its end.
    ///
    /// # Errors
    ///
    /// [`GrantError::NotCurrent`].
    pub fn release(&mut self, token: FencingToken) -> Result<(), GrantError> {
        self.state.release(token)
    }

    /// The largest token that was granted.
    pub fn last_token(&self) -> FencingToken {
        self.state.last_token()
    }

    /// Now, and the expiry of a grant that is made now, both on the stopwatch.
    fn now_and_expiry(&self, now: Option<Reading>) -> (Option<Now<Duration>>, Option<Duration>) {
        let term = stretch(self.term, self.max_drift_ppm);
        let expires = now.and_then(|now| now.latest.checked_add(term));
        (now.map(|Reading { earliest, latest }| Now { earliest, latest }), expires)
    }

    fn answer(&self, granted: Granted<Duration>, request: RequestId) -> DurationGrant {
        let Granted { holder, token, .. } = granted;
        DurationGrant { holder, request, token, term: self.term }
    }
}
