//! [`Grantor`]: the state machine that grants the lease.
//!
//! It is pure: each decision follows from its state, the command and an interval from a
//! clock. So it can live in a replicated log. The leader reads its clock once and writes
//! interval and command into the log, and every replica reaches the same decision. The
//! clocks of the other replicas do not matter.
//!
//! # Where a term begins
//!
//! A lease that is granted at `now` expires at `now.earliest() + term`. Counting from
//! `latest` would give the holder a little more. But then a grantor that restarts without
//! its state would have to know how wide its *earlier* intervals were. Counting from
//! `earliest`, nothing granted before a restart can expire later than the true time of
//! the restart plus a term, however wide the interval was. So it is enough to be quiet
//! until `earliest > restart.latest() + term`.
//!
//! # Where tokens come from
//!
//! A token is the last one plus 1, or the grant's `earliest` in TAI nanoseconds,
//! whichever is larger. The first rule makes tokens strictly increasing within one run
//! of the grantor. The second rule keeps them increasing across a restart without state:
//! no token can be larger than the true time of its grant, because a grant takes more
//! than a nanosecond, and after the quiet term `earliest` is past all of them. Without
//! the second rule tokens would begin again at 1, and every fence would refuse the new
//! holders.
//!
//! # Where repeats end
//!
//! Each command has a number, and the grantor decides on it once: a repeat gets the answer of
//! the first copy, and a copy that comes after a later command of the same sender is refused
//! (module `answers`, which also says what happens to requests that were forgotten). This is
//! part of the state. So it works in a replicated log, where a client that changes its leader
//! writes its command a second time, and it survives a restart that reads the state back. A
//! grantor without its state does not know what it answered. It refuses each holder once, with
//! the token that the holder has to have seen ([`GrantError::MayBeRepeated`]).
//!
//! # What a changed term leaves behind
//!
//! A shorter term does not shorten leases that were granted under a longer one. So a
//! state that may lack updates is quiet for the longest term that it was ever given. It
//! is also quiet until its known lease has expired, and until the end of a quiet time
//! that had already begun.
//!
//! # What it assumes
//!
//! There must be only one grantor. A grantor that is paused and replaced is a zombie
//! itself: it grants the same leases as its successor. A replicated log prevents that,
//! because it does not accept an entry of the old leader. A single grantor must only be
//! restarted where the old process is known to be gone.

use std::time::Duration;

use super::error::LeaseError;
use super::grant_error::GrantError;
use super::granted::Granted;
use super::lease_state::{LeaseState, Now, Offer};
use super::message::{Command, Decision, Grant};
use super::term::Term;
use crate::clock::truetime::TrueTime;
use crate::fence::FencingToken;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// Grants one lease, to one holder at a time. Keep one grantor for each resource.
///
/// With feature `serde` the whole state can be written and read back. It has a version, and a
/// text that lacks a field, has an unknown one, or contradicts itself is refused, because a
/// state that is read as "nothing is granted" would allow two holders. How it is stored decides
/// how it has to start:
///
/// | its state is | first start | after a restart |
/// |---|---|---|
/// | written before each decision is sent (a replicated log, a file with fsync) | [`durable`](Self::durable), once | read it back; no quiet time is needed |
/// | not stored | [`after_restart`](Self::after_restart) | the same |
/// | stored now and then, and after each change to a longer term | either | read it back, then [`after_lost_updates`](Self::after_lost_updates) |
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Interval, Timestamp};
/// use truechimer::lease::{Decision, GrantError, Grantor, Holder, HolderId};
///
/// let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
/// let now = |ms: i64| Interval::new(at(ms - 1), at(ms + 1));
/// let mut grantor = Grantor::durable(Duration::from_millis(300))?;
/// let (mut first, mut second) = (Holder::new(HolderId(1)), Holder::new(HolderId(2)));
///
/// let command = first.acquire();
/// let Decision::Granted(grant) = grantor.apply(now(1_000), command)? else { unreachable!() };
/// assert_eq!(grant.expires, at(999 + 300));
/// // A repeat of the command gets the same answer, at any time.
/// assert_eq!(grantor.apply(now(9_000), command)?, Decision::Granted(grant));
///
/// // At 1300 ms the midpoint is past the expiry, but the expiry has not certainly come.
/// let refused = grantor.apply(now(1_300), second.acquire());
/// assert!(matches!(refused, Err(GrantError::Taken { .. })));
/// assert!(grantor.apply(now(1_301), second.acquire()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Grantor {
    pub(super) term: Term,
    /// The longest term of any lease that this grantor, or an earlier run of it, granted.
    pub(super) longest: Term,
    pub(super) state: LeaseState<Timestamp>,
}

impl Grantor {
    /// The very first start of a grantor whose state will always be stored.
    ///
    /// It grants at once. Every later start must read the state back. Calling this again
    /// instead would allow two holders at once.
    ///
    /// # Errors
    ///
    /// [`LeaseError::ZeroTerm`], or [`LeaseError::TermTooLong`] above
    /// [`MAX_TERM`](super::MAX_TERM).
    pub fn durable(term: Duration) -> Result<Grantor, LeaseError> {
        let term = Term::try_from(term)?;
        let state = LeaseState::new(FencingToken::MIN, FencingToken::MIN, None);
        Ok(Grantor { term, longest: term, state })
    }

    /// A start without stored state. Nothing is granted for one term.
    ///
    /// `now` is any reading since the start. `term` is the longest term that any earlier
    /// run may have granted. A shorter one for new grants can be [set](Self::set_term) at
    /// once.
    ///
    /// # Errors
    ///
    /// [`LeaseError::ZeroTerm`], or [`LeaseError::TermTooLong`] above
    /// [`MAX_TERM`](super::MAX_TERM).
    pub fn after_restart(term: Duration, now: &Interval) -> Result<Grantor, LeaseError> {
        let term = Term::try_from(term)?;
        let state =
            LeaseState::new(FencingToken::MIN, no_larger(now), Some(all_expired(term, now)));
        Ok(Grantor { term, longest: term, state })
    }

    /// This state, which may lack later updates. It keeps its last token, and grants
    /// nothing until everything that it knows of or may lack has expired.
    ///
    /// That takes one term, the longest that it was ever given. It takes longer if its
    /// known lease or a quiet time under way ends later. The lost updates must not have
    /// set a [longer term](Self::set_term).
    #[must_use]
    pub fn after_lost_updates(self, now: &Interval) -> Grantor {
        let longest = self.longest.max(self.term);
        let state = self.state.after_lost_updates(all_expired(longest, now), no_larger(now));
        Grantor { term: self.term, longest, state }
    }

    /// Decides on `command` at `now`, the interval of a clock, or `None` if the clock
    /// returned an error.
    ///
    /// A repeat of a command is not decided on again: it gets the answer of the first copy.
    ///
    /// # Errors
    ///
    /// [`GrantError`]. The lease is then as it was.
    pub fn apply(
        &mut self,
        now: Option<Interval>,
        command: Command,
    ) -> Result<Decision, GrantError> {
        let expires = now.and_then(|now| now.earliest().checked_add(self.term()));
        let least_token = now.map_or(FencingToken::MIN, |now| token_at(now.earliest()));
        let now = now.map(|now| Now { earliest: now.earliest(), latest: now.latest() });
        let answer = self.state.apply(Offer { now, expires, least_token }, command);
        answer.map(|decision| decision.map(Grant::from))
    }

    /// Reads `clock`, and calls [`apply`](Self::apply) with its interval.
    ///
    /// Do not use it in a replicated log, where the interval has to be part of the entry.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn decide<C: TrueTime + ?Sized>(
        &mut self,
        clock: &C,
        command: Command,
    ) -> Result<Decision, GrantError> {
        self.apply(clock.now().ok(), command)
    }

    /// The last grant, if it was not released. It may have expired.
    pub fn current(&self) -> Option<Grant> {
        self.state.current().map(Grant::from)
    }

    /// The largest token that was granted.
    pub fn last_token(&self) -> FencingToken {
        self.state.last_token
    }

    /// How long a lease lasts.
    pub fn term(&self) -> Duration {
        self.term.into()
    }

    /// The longest term that this state knows of. After a restart without state,
    /// [start with it](Self::after_restart).
    pub fn longest_term(&self) -> Duration {
        self.longest.max(self.term).into()
    }

    /// Changes how long leases last, from the next grant or renewal on.
    ///
    /// The present lease keeps its expiry. A grantor that does not store its state has to
    /// pass its [longest](Self::longest_term) term to the next
    /// [restart](Self::after_restart). A grantor that stores its state now and then has to
    /// store it after a longer term was set and before anything is granted under it,
    /// because otherwise the stored state does not know of the longer term.
    ///
    /// # Errors
    ///
    /// [`LeaseError::ZeroTerm`], or [`LeaseError::TermTooLong`] above
    /// [`MAX_TERM`](super::MAX_TERM). The term is then unchanged.
    pub fn set_term(&mut self, term: Duration) -> Result<(), LeaseError> {
        self.term = Term::try_from(term)?;
        self.longest = self.longest.max(self.term);
        Ok(())
    }
}

impl From<Granted<Timestamp>> for Grant {
    fn from(granted: Granted<Timestamp>) -> Grant {
        let Granted { holder, token, expires } = granted;
        Grant { holder, token, expires }
    }
}

/// The moment by which everything that was granted before `now` has expired.
///
/// If that moment cannot be counted, the result is the last one that can, so the grantor
/// stays quiet for ever. That is safe.
fn all_expired(term: Term, now: &Interval) -> Timestamp {
    now.latest().saturating_add(term.into())
}

/// The token of a grant at this moment, or 0 before 1970. Every earlier grant has a smaller one.
fn token_at(moment: Timestamp) -> FencingToken {
    FencingToken(u64::try_from(moment.tai_nanos()).unwrap_or(0))
}

/// A token that no grant before `now` was above, because none is above true time.
fn no_larger(now: &Interval) -> FencingToken {
    token_at(now.latest())
}
