//! [`Term`]: how long a lease lasts, checked once.
//!
//! A lease of no length is over when it is granted: nobody ever holds it, and
//! everybody renews for ever. One of centuries is not a lease but a lock that a
//! dead holder keeps, and the quiet term after a restart is as long. Both come
//! from a unit mistaken or a field left at its default, so both are refused
//! where they are set, and not where they do harm.

use std::time::Duration;

/// The longest term that a grantor takes: 365 days.
pub const MAX_TERM: Duration = Duration::from_secs(365 * 86_400);

/// A term above zero, and not above [`MAX_TERM`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Duration", into = "Duration"))]
pub(super) struct Term(Duration);

impl TryFrom<Duration> for Term {
    type Error = TermError;

    fn try_from(term: Duration) -> Result<Term, TermError> {
        if term.is_zero() {
            return Err(TermError::Zero);
        }
        if term > MAX_TERM {
            return Err(TermError::TooLong { term });
        }
        Ok(Term(term))
    }
}

impl From<Term> for Duration {
    fn from(term: Term) -> Duration {
        term.0
    }
}

/// Why a duration is no term of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TermError {
    /// A lease of no length is never held.
    #[error(
        "a term of zero: such a lease is over when it is granted, and nobody ever holds it; give \
         one well above the width of the clocks' intervals and a round trip"
    )]
    Zero,
    /// A lease that never ends outlives its dead holder.
    #[error(
        "a term of {term:?} is above the longest, {MAX_TERM:?} (365 days): what a dead holder has \
         would be lost for as long; give a shorter one, and renew"
    )]
    TooLong {
        /// What was given.
        term: Duration,
    },
}

impl TermError {
    /// Whether the same term can be taken later. It cannot.
    pub fn is_transient(&self) -> bool {
        false
    }
}
