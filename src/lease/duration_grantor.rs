//! [`DurationGrantor`]: the grantor's side of duration leases.

use std::time::Duration;

use super::drift::stretch;
use super::duration_lease::DurationGrant;
use super::error::LeaseError;
use super::grant_error::GrantError;
use super::granted::Granted;
use super::lease_state::{LeaseState, Now, Offer};
use super::message::{Command, Decision};
use super::stopwatch::Reading;
use super::term::Term;
use crate::fence::FencingToken;

/// The state machine that grants duration leases: one lease, to one holder at a time.
///
/// It is pure: the caller passes in the readings of one machine's stopwatch. It takes the same
/// commands as a [`Grantor`](super::Grantor), and answers repeats in the same way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
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
        let state = LeaseState::new(last_token, last_token, Some(quiet_until));
        Ok(DurationGrantor { term, max_drift_ppm, state })
    }

    /// Decides on `command`, which was received before `now` was read. `None` if the stopwatch
    /// cannot be read.
    ///
    /// A term counts from when the command was sent. A repeat of a command is not decided on
    /// again: it gets the answer of the first copy.
    ///
    /// # Errors
    ///
    /// [`GrantError`]. The lease is then as it was. A `Transfer` is always refused.
    pub fn apply(
        &mut self,
        now: Option<Reading>,
        command: Command,
    ) -> Result<Decision<DurationGrant>, GrantError> {
        if let Command::Transfer { .. } = command {
            return Err(GrantError::NotTransferable);
        }
        let term = stretch(self.term, self.max_drift_ppm);
        let expires = now.and_then(|now| now.latest.checked_add(term));
        let now = now.map(|Reading { earliest, latest }| Now { earliest, latest });
        // Only `Expire` has no id, and it grants nothing.
        let Some(request) = command.id() else { return self.state.expire(now) };
        let decision =
            self.state.apply(Offer { now, expires, least_token: FencingToken::MIN }, command)?;
        let term = self.term;
        Ok(decision.map(|Granted { holder, token, .. }| DurationGrant {
            holder,
            request,
            token,
            term,
        }))
    }

    /// The largest token that was granted.
    pub fn last_token(&self) -> FencingToken {
        self.state.last_token
    }
}
