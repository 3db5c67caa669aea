//! [`Term`]: how long a lease lasts, checked once.
//!
//! A lease with a term of zero has expired when it is granted, so nobody ever holds it
//! and every holder renews for ever. A lease of centuries is a lock that a dead holder
//! keeps, and the quiet time after a restart is just as long. Both come from a mistaken
//! unit or from a field left at its default. So both are refused where the term is set,
//! before they can do harm.

use std::time::Duration;

use super::error::LeaseError;

/// The longest term that a grantor accepts: 365 days.
pub const MAX_TERM: Duration = Duration::from_secs(365 * 86_400);

/// A term above zero and not above [`MAX_TERM`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Duration", into = "Duration"))]
pub(super) struct Term(Duration);

impl TryFrom<Duration> for Term {
    type Error = LeaseError;

    fn try_from(term: Duration) -> Result<Term, LeaseError> {
        if term.is_zero() {
            return Err(LeaseError::ZeroTerm);
        }
        if term > MAX_TERM {
            return Err(LeaseError::TermTooLong { term, limit: MAX_TERM });
        }
        Ok(Term(term))
    }
}

impl From<Term> for Duration {
    fn from(term: Term) -> Duration {
        term.0
    }
}
