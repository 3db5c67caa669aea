//! [`DurationGrantor`]: the grantor's side of duration leases.

use std::time::Duration;

use super::book::{Book, Entered, Now};
use super::drift::stretch;
use super::duration::{DurationGrant, RequestId};
use super::message::{HolderId, Refusal};
use super::stopwatch::Reading;
use super::term::{Term, TermError};
use crate::fence::FencingToken;

/// The state machine that grants duration leases: one lease, one holder at a time.
///
/// Pure: it is handed the readings of one machine's stopwatch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurationGrantor {
    term: Duration,
    max_drift_ppm: u32,
    book: Book<Duration>,
}

impl DurationGrantor {
    /// A grantor that is quiet for one term, counted from `now`.
    ///
    /// `term` is the longest that any earlier grantor may have granted.
    /// `last_token` must not be below any token granted before: without a time
    /// of day there is nothing else to take it from. Keep
    /// [`last_token`](Self::last_token) durably before each grant is sent.
    ///
    /// # Errors
    ///
    /// [`TermError`]: a term of zero, or above [`MAX_TERM`](super::MAX_TERM).
    pub fn after_restart(
        term: Duration,
        max_drift_ppm: u32,
        last_token: FencingToken,
        now: Reading,
    ) -> Result<DurationGrantor, TermError> {
        let term = Term::try_from(term)?.into();
        let quiet_until = now.latest.saturating_add(stretch(term, max_drift_ppm));
        Ok(DurationGrantor { term, max_drift_ppm, book: Book::new(last_token, Some(quiet_until)) })
    }

    /// Grants the lease to `holder`, whose request was received before `now` was read.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the state is as it was.
    pub fn acquire(
        &mut self,
        now: Option<Reading>,
        holder: HolderId,
        request: RequestId,
    ) -> Result<DurationGrant, Refusal> {
        let (now, expires) = self.line(now);
        let entered = self.book.acquire(now, holder, expires, FencingToken::MIN)?;
        Ok(self.grant(entered, request))
    }

    /// Renews the lease of `token`: counted anew, from when this request was sent.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the state is as it was.
    pub fn renew(
        &mut self,
        now: Option<Reading>,
        token: FencingToken,
        progress: u64,
        request: RequestId,
    ) -> Result<DurationGrant, Refusal> {
        let (now, expires) = self.line(now);
        let entered = self.book.renew(now, token, progress, expires)?;
        Ok(self.grant(entered, request))
    }

    /// Takes the lease back before its end.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotCurrent`].
    pub fn release(&mut self, token: FencingToken) -> Result<(), Refusal> {
        self.book.release(token)
    }

    /// The largest token that was granted.
    pub fn last_token(&self) -> FencingToken {
        self.book.last_token()
    }

    /// Now, and when a grant made now would be over, both on the stopwatch.
    fn line(&self, now: Option<Reading>) -> (Option<Now<Duration>>, Option<Duration>) {
        let expires =
            now.and_then(|now| now.latest.checked_add(stretch(self.term, self.max_drift_ppm)));
        (now.map(|Reading { earliest, latest }| Now { earliest, latest }), expires)
    }

    fn grant(&self, entered: Entered<Duration>, answers: RequestId) -> DurationGrant {
        let Entered { holder, token, .. } = entered;
        DurationGrant { holder, answers, token, term: self.term }
    }
}
