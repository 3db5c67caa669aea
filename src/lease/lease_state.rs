//! [`LeaseState`]: the present lease and its holder, with expiries on any kind of time line.
//!
//! The rules for granting are the same for moments of true time and for readings of a
//! stopwatch. They differ only in what a moment is and in where a term begins. So this
//! module takes both ends of now, and the expiry that a grant would get, as arguments,
//! and it knows nothing about clocks.
//!
//! There is one lease, and each grant takes a new token. So the token of the present
//! lease is always the last one that was granted, and it is stored once.

use std::time::Duration;

use super::answers::{Answer, Answers};
use super::grant_error::GrantError;
use super::granted::Granted;
use super::holder_id::HolderId;
use super::message::{Command, Decision};
use crate::fence::FencingToken;
use crate::timestamp::Timestamp;

/// A moment on some time line: true time, or one machine's stopwatch.
pub(super) trait Moment: Copy + Ord {
    /// `self - earlier`, or zero if `earlier` is the later one.
    fn since(self, earlier: Self) -> Duration;
}

impl Moment for Timestamp {
    fn since(self, earlier: Timestamp) -> Duration {
        self.duration_since(earlier).unwrap_or_default()
    }
}

impl Moment for Duration {
    fn since(self, earlier: Duration) -> Duration {
        self.saturating_sub(earlier)
    }
}

/// A clock reading: now is not before `earliest` and not after `latest`.
#[derive(Clone, Copy)]
pub(super) struct Now<T> {
    pub(super) earliest: T,
    pub(super) latest: T,
}

/// What a grant that is made now would be.
#[derive(Clone, Copy)]
pub(super) struct Offer<T> {
    /// `None` if the clock returned an error.
    pub(super) now: Option<Now<T>>,
    /// When the lease would expire. `None` if that moment is not known or cannot be counted.
    pub(super) expires: Option<T>,
    /// The least token that it would have.
    pub(super) least_token: FencingToken,
}

/// The state of a grantor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LeaseState<T> {
    pub(super) last_token: FencingToken,
    pub(super) current: Option<CurrentLease<T>>,
    /// Nothing is granted until this moment has certainly passed.
    pub(super) quiet_until: Option<T>,
    /// So that a repeat of a command gets the same answer.
    pub(super) answers: Answers<T>,
}

/// The present lease. Its token is the `last_token` of the [`LeaseState`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct CurrentLease<T> {
    pub(super) holder: HolderId,
    pub(super) expires: T,
    /// The progress that the last renewal showed, or 0.
    pub(super) progress: u64,
}

impl<T: Moment> LeaseState<T> {
    /// A state in which nobody has the lease. The next token is larger than `last_token`.
    ///
    /// A request that was granted a token up to `forgotten` by an earlier run of the grantor is
    /// not granted another one if it comes again.
    pub(super) fn new(
        last_token: FencingToken,
        forgotten: FencingToken,
        quiet_until: Option<T>,
    ) -> LeaseState<T> {
        let answers = Answers::new(forgotten);
        LeaseState { last_token, current: None, quiet_until, answers }
    }

    /// This state, after updates to it were lost. Whatever the lost updates granted has
    /// expired after `lost_expire`, and had no larger token than `forgotten`.
    ///
    /// The known lease and the known quiet time are waited out too. The known holder may
    /// have been renewed or replaced in a lost update, so the lease has no holder here: it
    /// only extends the quiet time.
    pub(super) fn after_lost_updates(
        self,
        lost_expire: T,
        forgotten: FencingToken,
    ) -> LeaseState<T> {
        let expires = self.current.map(|current| current.expires);
        let known = self.quiet_until.max(expires);
        let forgotten = forgotten.max(self.answers.forgotten()).max(self.last_token);
        LeaseState::new(self.last_token, forgotten, known.max(Some(lost_expire)))
    }

    /// The present lease, as far as this state knows. It may have expired.
    pub(super) fn current(&self) -> Option<Granted<T>> {
        let CurrentLease { holder, expires, .. } = self.current?;
        Some(Granted { holder, token: self.last_token, expires })
    }

    /// Decides on a command, or answers a repeat as it answered the first copy.
    pub(super) fn apply(&mut self, offer: Offer<T>, command: Command) -> Answer<T> {
        let Some(id) = command.id() else { return self.decide(offer, command) };
        if let Some(answer) = self.answers.to(id, command) {
            return answer;
        }
        let answer = self.decide(offer, command);
        self.answers.remember(command, answer, self.last_token);
        answer
    }

    /// Decides on a command that was not decided on before.
    fn decide(&mut self, offer: Offer<T>, command: Command) -> Answer<T> {
        Ok(match command {
            Command::Acquire { holder, seen, .. } => {
                self.answers.refuse_forgotten(seen, self.last_token)?;
                Decision::Granted(self.acquire(offer, holder)?)
            }
            Command::Renew { token, progress, .. } => {
                Decision::Renewed(self.renew(offer, token, progress)?)
            }
            Command::Transfer { token, to, .. } => {
                Decision::Transferred(self.transfer(offer, token, to)?)
            }
            Command::Release { token, .. } => {
                self.release(token)?;
                Decision::Released(token)
            }
            Command::Expire => self.expire(offer.now)?,
        })
    }

    /// Grants the lease, if it is free.
    fn acquire(&mut self, offer: Offer<T>, holder: HolderId) -> Result<Granted<T>, GrantError> {
        let now = offer.now.ok_or(GrantError::NoClock)?;
        // Wait out what an earlier incarnation may have granted.
        if let Some(until) = self.quiet_until.filter(|&until| now.earliest <= until) {
            return Err(GrantError::Quiet { retry_after: until.since(now.latest) });
        }
        if let Some(current) = self.current.filter(|current| now.earliest <= current.expires) {
            return Err(self.taken(&current, now));
        }
        let expires = offer.expires.ok_or(GrantError::OutOfRange)?;
        let next = self.last_token.next().ok_or(GrantError::OutOfTokens)?;
        self.quiet_until = None;
        Ok(self.grant(holder, next.max(offer.least_token), expires))
    }

    /// Moves the expiry forward.
    fn renew(
        &mut self,
        offer: Offer<T>,
        token: FencingToken,
        progress: u64,
    ) -> Result<Granted<T>, GrantError> {
        let current = self.current_with(token)?;
        let now = offer.now.ok_or(GrantError::NoClock)?;
        refuse_expired(&current, token, now)?;
        if progress <= current.progress {
            return Err(GrantError::NoProgress { offered: progress, last: current.progress });
        }
        let expires = offer.expires.ok_or(GrantError::OutOfRange)?;
        if expires <= current.expires {
            return Err(GrantError::NoGain);
        }
        self.current = Some(CurrentLease { expires, progress, ..current });
        Ok(Granted { holder: current.holder, token, expires })
    }

    /// Hands the lease to `to` under a new token. The expiry stays, or moves to a later one.
    fn transfer(
        &mut self,
        offer: Offer<T>,
        token: FencingToken,
        to: HolderId,
    ) -> Result<Granted<T>, GrantError> {
        let current = self.current_with(token)?;
        // Without a clock the expiry is still known, so a transfer does not need one.
        if let Some(now) = offer.now {
            refuse_expired(&current, token, now)?;
        }
        let expires = offer.expires.map_or(current.expires, |later| later.max(current.expires));
        let next = token.next().ok_or(GrantError::OutOfTokens)?;
        Ok(self.grant(to, next.max(offer.least_token), expires))
    }

    /// Takes the lease back. Its holder has stopped using it, so no clock is needed.
    fn release(&mut self, token: FencingToken) -> Result<(), GrantError> {
        self.current_with(token)?;
        self.current = None;
        Ok(())
    }

    /// Removes the lease if it has certainly expired.
    pub(super) fn expire<G>(&mut self, now: Option<Now<T>>) -> Result<Decision<G>, GrantError> {
        let Some(current) = self.current else { return Ok(Decision::Expired(None)) };
        let now = now.ok_or(GrantError::NoClock)?;
        if now.earliest <= current.expires {
            return Err(self.taken(&current, now));
        }
        self.current = None;
        Ok(Decision::Expired(Some(self.last_token)))
    }

    fn grant(&mut self, holder: HolderId, token: FencingToken, expires: T) -> Granted<T> {
        self.last_token = token;
        self.current = Some(CurrentLease { holder, expires, progress: 0 });
        Granted { holder, token, expires }
    }

    /// The refusal while `current` has not certainly expired.
    fn taken(&self, current: &CurrentLease<T>, now: Now<T>) -> GrantError {
        GrantError::Taken {
            holder: current.holder,
            token: self.last_token,
            retry_after: current.expires.since(now.latest),
        }
    }

    /// The present lease, if its token is `token`.
    fn current_with(&self, token: FencingToken) -> Result<CurrentLease<T>, GrantError> {
        self.current
            .filter(|_| token == self.last_token)
            .ok_or(GrantError::NotCurrent { offered: token, newest: self.last_token })
    }
}

/// Refuses a lease that has certainly expired, because it could be granted to another at
/// any moment.
fn refuse_expired<T: Moment>(
    current: &CurrentLease<T>,
    token: FencingToken,
    now: Now<T>,
) -> Result<(), GrantError> {
    if now.earliest > current.expires {
        return Err(GrantError::Expired { token, ago: now.earliest.since(current.expires) });
    }
    Ok(())
}
