//! [`Grantor`]: the state machine that decides who has the lease.
//!
//! It is pure: what it decides follows from its state, the command and the
//! interval that a clock gave. So it can live in a replicated log: the leader
//! reads its clock once, writes interval and command into the log, and every
//! replica comes to the same decision. The clocks of the replicas do not matter.
//!
//! # From where a term counts
//!
//! A lease granted at `now` ends at `now.earliest() + term`. Counted from
//! `latest` the holder would get a little more. But then a grantor that
//! restarts without memory would have to know how wide its *earlier* interval
//! was. Counted from `earliest`, nothing granted before a restart can end later
//! than the true time of the restart plus a term, however wide the interval was.
//! So it is enough to be quiet until `earliest > restart.latest() + term`.
//!
//! # Where tokens come from
//!
//! A token is the last one plus 1, or the grant's `earliest` in TAI nanoseconds,
//! whichever is larger. The first rule makes them strictly increasing in one
//! life of the grantor. The second makes them so across a restart without
//! memory: no token can be larger than the true time at which it was
//! granted, as long as a grant takes more than a nanosecond, and after the quiet
//! term `earliest` is past that. Without the second rule the tokens would
//! begin again at 1, and every fence would shut out the new holders.
//!
//! # What a changed term leaves behind
//!
//! A shorter term does not shorten what was granted under a longer one. So a
//! state that may lack decisions is not quiet for its present term, but for the
//! longest that it was ever told, and no shorter than what it still knows: the
//! end of its lease, and of a quiet time that was under way.
//!
//! # What it takes for granted
//!
//! That there is one. A grantor that was paused, and replaced meanwhile, is a
//! zombie itself: it grants what its successor grants too. A replicated log rules
//! that out, since the entry of the old leader is not accepted. A single
//! grantor must be started again only where the old process is known to be gone.

use std::time::Duration;

use super::book::{Book, Entered, Now};
use super::message::{Command, Decision, Grant, Refusal};
use super::term::{Term, TermError};
use crate::clock::truetime::TrueTime;
use crate::fence::FencingToken;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// Grants one lease, to one holder at a time. For many resources, keep one each.
///
/// With feature `serde` the whole state can be written and read back. How it is
/// kept decides how it has to begin:
///
/// | its state is | begin with | after a restart |
/// |---|---|---|
/// | written before each decision is sent (a replicated log, a file with fsync) | [`durable`](Self::durable), once | read it back: no quiet needed |
/// | not kept | [`after_restart`](Self::after_restart), each time, the first included | the same |
/// | kept now and then, and after each longer term | either | read it back, then [`forgetting`](Self::forgetting) |
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Interval, Timestamp};
/// use truechimer::lease::{Command, Decision, Grantor, HolderId, Refusal};
///
/// let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
/// let now = |ms: i64| Interval::new(at(ms - 1), at(ms + 1));
/// let mut grantor = Grantor::durable(Duration::from_millis(300))?;
///
/// let Decision::Granted(grant) =
///     grantor.apply(now(1_000), Command::Acquire { holder: HolderId(1) })?
/// else { unreachable!() };
/// assert_eq!(grant.expires, at(999 + 300));
///
/// // At 1300 ms the lease is over by the middle of the interval, and not for certain.
/// let other = Command::Acquire { holder: HolderId(2) };
/// assert!(matches!(grantor.apply(now(1_300), other), Err(Refusal::Taken { .. })));
/// assert!(grantor.apply(now(1_301), other).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grantor {
    term: Term,
    /// No lease of this grantor or of its earlier lives was granted for longer.
    longest: Term,
    book: Book<Timestamp>,
}

impl Grantor {
    /// The very first start of a grantor whose state will always be kept.
    ///
    /// It grants at once. Every later start reads the state back. To call this
    /// again in place of that is to break the rule of one holder.
    ///
    /// # Errors
    ///
    /// [`TermError`]: a term of zero, or above [`MAX_TERM`](super::MAX_TERM).
    pub fn durable(term: Duration) -> Result<Grantor, TermError> {
        let term = Term::try_from(term)?;
        Ok(Grantor { term, longest: term, book: Book::new(FencingToken::MIN, None) })
    }

    /// A start without memory: nothing is granted for one term.
    ///
    /// `now` is any reading since the start. `term` is the longest that any
    /// earlier life may have granted; a shorter one for the new grants can be
    /// [set](Self::set_term) at once.
    ///
    /// # Errors
    ///
    /// [`TermError`]: a term of zero, or above [`MAX_TERM`](super::MAX_TERM).
    pub fn after_restart(term: Duration, now: &Interval) -> Result<Grantor, TermError> {
        let term = Term::try_from(term)?;
        let book = Book::new(FencingToken::MIN, Some(quiet(term, now)));
        Ok(Grantor { term, longest: term, book })
    }

    /// This state, which may lack later decisions: keeps its last token, and is
    /// quiet until all that it knows and all that it may lack is over.
    ///
    /// That is one term, the longest that it was ever given, and longer if its
    /// lease or its own quiet time is. What it may lack must not be a
    /// [longer term](Self::set_term).
    pub fn forgetting(self, now: &Interval) -> Grantor {
        let longest = self.longest.max(self.term);
        Grantor { term: self.term, longest, book: self.book.forgetting(quiet(longest, now)) }
    }

    /// Decides on `command`, at an interval that a clock gave, or `None` where it gave none.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the state is as it was.
    pub fn apply(&mut self, now: Option<Interval>, command: Command) -> Result<Decision, Refusal> {
        let expires = now.and_then(|now| now.earliest().checked_add(self.term()));
        let least_token = now.map_or(FencingToken::MIN, |now| token_of(now.earliest()));
        let now = now.map(|now| Now { earliest: now.earliest(), latest: now.latest() });
        let book = &mut self.book;
        Ok(match command {
            Command::Acquire { holder } => {
                Decision::Granted(book.acquire(now, holder, expires, least_token)?.into())
            }
            Command::Renew { token, progress } => {
                Decision::Renewed(book.renew(now, token, progress, expires)?.into())
            }
            Command::Transfer { token, to } => {
                let entered = book.transfer(now, token, to, expires, least_token)?;
                Decision::Transferred(entered.into())
            }
            Command::Release { token } => {
                book.release(token)?;
                Decision::Released(token)
            }
            Command::Expire => Decision::Expired(book.expire(now)?),
        })
    }

    /// [`apply`](Self::apply) at what `clock` says now.
    ///
    /// Not for a replicated log, where the interval is a part of the entry.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn decide<C: TrueTime + ?Sized>(
        &mut self,
        clock: &C,
        command: Command,
    ) -> Result<Decision, Refusal> {
        self.apply(clock.now().ok(), command)
    }

    /// The last grant, if it was not given back. It may be over.
    ///
    /// For a holder whose answer was lost: send this again.
    pub fn current(&self) -> Option<Grant> {
        self.book.current().map(Grant::from)
    }

    /// The largest token that was granted.
    pub fn last_token(&self) -> FencingToken {
        self.book.last_token()
    }

    /// How long a lease lasts.
    pub fn term(&self) -> Duration {
        self.term.into()
    }

    /// The longest term that this state knows of: after a restart without
    /// memory, [give it this](Self::after_restart).
    pub fn longest_term(&self) -> Duration {
        self.longest.max(self.term).into()
    }

    /// Changes how long leases last, from the next grant or renewal on.
    ///
    /// What is granted keeps its expiry. A grantor that keeps no state has to
    /// give the [longest](Self::longest_term) of its terms at the next
    /// [restart](Self::after_restart). One that is kept now and then has to be
    /// kept after a longer term was set and before anything is granted under it:
    /// a state cannot know of a term that it was never told.
    ///
    /// # Errors
    ///
    /// [`TermError`]: a term of zero, or above [`MAX_TERM`](super::MAX_TERM). The
    /// term is as it was.
    pub fn set_term(&mut self, term: Duration) -> Result<(), TermError> {
        self.term = Term::try_from(term)?;
        self.longest = self.longest.max(self.term);
        Ok(())
    }
}

impl From<Entered<Timestamp>> for Grant {
    fn from(entered: Entered<Timestamp>) -> Grant {
        let Entered { holder, token, expires } = entered;
        Grant { holder, token, expires }
    }
}

/// When everything that was granted before `now` is over, at the latest.
///
/// Where that cannot be counted, it is never: quiet for good, and not unsafe.
fn quiet(term: Term, now: &Interval) -> Timestamp {
    now.latest().saturating_add(term.into())
}

/// A token that no grant before `earliest` can have had. Before 1970 there is none.
fn token_of(earliest: Timestamp) -> FencingToken {
    FencingToken(u64::try_from(earliest.tai_nanos()).unwrap_or(0))
}
