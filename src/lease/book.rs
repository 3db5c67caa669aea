//! [`Book`]: who has the lease, on whatever line time is counted.
//!
//! The rules of granting are the same for moments of true time and for readings
//! of a stopwatch. Only what a moment *is* differs, and from when a term counts.
//! So the book is told both ends of now, and the expiry that a grant would get,
//! and knows nothing of clocks.
//!
//! There is one lease, and each grant takes a new token. So the present lease's
//! token is always the last one granted, and is kept once.

use std::time::Duration;

use super::message::{HolderId, Refusal};
use crate::fence::FencingToken;
use crate::timestamp::Timestamp;

/// A moment on some line: true time, or one machine's stopwatch.
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

/// What a clock said: now is not before `earliest` and not after `latest`.
#[derive(Clone, Copy)]
pub(super) struct Now<T> {
    pub(super) earliest: T,
    pub(super) latest: T,
}

/// The state of a grantor.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Book<T> {
    last_token: FencingToken,
    current: Option<Entry<T>>,
    /// Nothing is granted until this has certainly passed.
    quiet_until: Option<T>,
}

/// The present lease, whose token is the book's last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Entry<T> {
    holder: HolderId,
    expires: T,
    progress: u64,
}

/// What a grant came to.
pub(super) struct Entered<T> {
    pub(super) holder: HolderId,
    pub(super) token: FencingToken,
    pub(super) expires: T,
}

impl<T: Moment> Book<T> {
    /// Nobody has the lease, and the next token is larger than `last_token`.
    pub(super) fn new(last_token: FencingToken, quiet_until: Option<T>) -> Book<T> {
        Book { last_token, current: None, quiet_until }
    }

    /// This book, with what was entered after it was written lost: that is over after `all_over`.
    ///
    /// Its own lease and its own quiet time count on. Of the first the holder may be renewed
    /// or replaced, so it is not known who has it: it only keeps the others waiting.
    pub(super) fn forgetting(self, all_over: T) -> Book<T> {
        let expires = self.current.map(|entry| entry.expires);
        let known = self.quiet_until.max(expires);
        Book::new(self.last_token, known.max(Some(all_over)))
    }

    pub(super) fn last_token(&self) -> FencingToken {
        self.last_token
    }

    /// Who has the lease, as far as the book knows. It may be over.
    pub(super) fn current(&self) -> Option<Entered<T>> {
        let Entry { holder, expires, .. } = self.current?;
        Some(Entered { holder, token: self.last_token, expires })
    }

    /// Grants until `expires`, with a token of at least `least_token`.
    pub(super) fn acquire(
        &mut self,
        now: Option<Now<T>>,
        holder: HolderId,
        expires: Option<T>,
        least_token: FencingToken,
    ) -> Result<Entered<T>, Refusal> {
        let now = now.ok_or(Refusal::NoClock)?;
        if let Some(until) = self.quiet_until.filter(|&until| now.earliest <= until) {
            return Err(Refusal::Quiet { retry_after: until.since(now.latest) });
        }
        if let Some(entry) = self.current.filter(|entry| now.earliest <= entry.expires) {
            return Err(Refusal::Taken {
                holder: entry.holder,
                token: self.last_token,
                retry_after: entry.expires.since(now.latest),
            });
        }
        let expires = expires.ok_or(Refusal::OutOfRange)?;
        let token = self.last_token.next().ok_or(Refusal::OutOfTokens)?.max(least_token);
        self.quiet_until = None;
        Ok(self.enter(holder, token, expires))
    }

    /// Moves the expiry to `expires`, forward only.
    pub(super) fn renew(
        &mut self,
        now: Option<Now<T>>,
        token: FencingToken,
        progress: u64,
        expires: Option<T>,
    ) -> Result<Entered<T>, Refusal> {
        let entry = self.present(token)?;
        let now = now.ok_or(Refusal::NoClock)?;
        not_over(&entry, token, now)?;
        if progress <= entry.progress {
            return Err(Refusal::NoProgress { offered: progress, last: entry.progress });
        }
        let expires = expires.ok_or(Refusal::OutOfRange)?;
        if expires <= entry.expires {
            return Err(Refusal::NoGain);
        }
        self.current = Some(Entry { expires, progress, ..entry });
        Ok(Entered { holder: entry.holder, token, expires })
    }

    /// Hands the lease on under a new token. The expiry stays, or moves to a later `expires`.
    pub(super) fn transfer(
        &mut self,
        now: Option<Now<T>>,
        token: FencingToken,
        to: HolderId,
        expires: Option<T>,
        least_token: FencingToken,
    ) -> Result<Entered<T>, Refusal> {
        let entry = self.present(token)?;
        // The expiry is known without a clock, so handing on needs none.
        if let Some(now) = now {
            not_over(&entry, token, now)?;
        }
        let expires = expires.map_or(entry.expires, |later| later.max(entry.expires));
        let token = token.next().ok_or(Refusal::OutOfTokens)?.max(least_token);
        Ok(self.enter(to, token, expires))
    }

    /// Takes the lease back. Its holder has stopped, so no clock is asked.
    pub(super) fn release(&mut self, token: FencingToken) -> Result<(), Refusal> {
        self.present(token)?;
        self.current = None;
        Ok(())
    }

    /// Forgets the lease if it is certainly over.
    pub(super) fn expire(&mut self, now: Option<Now<T>>) -> Result<Option<FencingToken>, Refusal> {
        let Some(entry) = self.current else { return Ok(None) };
        let now = now.ok_or(Refusal::NoClock)?;
        if now.earliest <= entry.expires {
            return Err(Refusal::Taken {
                holder: entry.holder,
                token: self.last_token,
                retry_after: entry.expires.since(now.latest),
            });
        }
        self.current = None;
        Ok(Some(self.last_token))
    }

    fn enter(&mut self, holder: HolderId, token: FencingToken, expires: T) -> Entered<T> {
        self.last_token = token;
        self.current = Some(Entry { holder, expires, progress: 0 });
        Entered { holder, token, expires }
    }

    /// The present lease, if `token` is its token.
    fn present(&self, token: FencingToken) -> Result<Entry<T>, Refusal> {
        self.current
            .filter(|_| token == self.last_token)
            .ok_or(Refusal::NotCurrent { offered: token, newest: self.last_token })
    }
}

/// Refuses what is certainly over: it could be granted to another at any moment.
fn not_over<T: Moment>(entry: &Entry<T>, token: FencingToken, now: Now<T>) -> Result<(), Refusal> {
    if now.earliest > entry.expires {
        return Err(Refusal::Over { token, ago: now.earliest.since(entry.expires) });
    }
    Ok(())
}
