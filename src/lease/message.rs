//! What holder and grantor say to each other, ready for a wire or a replicated log.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use crate::fence::FencingToken;
use crate::timestamp::Timestamp;

/// Who asks for a lease. The grantor only compares it; the token is what counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct HolderId(pub u64);

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Text that is not a holder's number.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "not a holder ({why}): write the number from 0 to 18446744073709551615 that `to_string` printed"
)]
pub struct ParseHolderError {
    why: ParseIntError,
}

/// Reads what `Display` printed.
///
/// ```
/// use truechimer::lease::HolderId;
///
/// assert_eq!(HolderId(7).to_string().parse(), Ok(HolderId(7)));
/// assert!("node-7".parse::<HolderId>().is_err());
/// ```
impl FromStr for HolderId {
    type Err = ParseHolderError;

    fn from_str(text: &str) -> Result<HolderId, ParseHolderError> {
        text.parse().map(HolderId).map_err(|why| ParseHolderError { why })
    }
}

/// What a grantor is asked to do. `Copy` and without pointers: it goes into a log as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Command {
    /// Grant the lease, if nobody has it.
    Acquire {
        /// Who wants it.
        holder: HolderId,
    },
    /// Move the expiry of the present lease forward.
    Renew {
        /// Which lease.
        token: FencingToken,
        /// How far the holder's *work* has come: larger than at the last renewal.
        progress: u64,
    },
    /// Hand the lease to another. The sender has closed its own.
    Transfer {
        /// Which lease.
        token: FencingToken,
        /// Who gets it.
        to: HolderId,
    },
    /// Give the lease back before its expiry. The sender has closed its own.
    Release {
        /// Which lease.
        token: FencingToken,
    },
    /// Forget the lease if it is certainly over. Nobody needs this: `Acquire`
    /// does it too. It is for those who want to see expiry in their log.
    Expire,
}

/// What a grantor has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Decision {
    /// Acquired: for the holder that asked.
    Granted(Grant),
    /// Renewed: the same token, a later expiry.
    Renewed(Grant),
    /// Transferred: a new token, for the new holder.
    Transferred(Grant),
    /// Released: the next one may acquire at once.
    Released(FencingToken),
    /// Expired: it was certainly over, or there was none.
    Expired(Option<FencingToken>),
}

/// A grantor's word: this holder has the lease, under this token, until then.
///
/// A message. [`Holder::accept`](super::Holder::accept) makes a lease of it once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grant {
    /// Who has it.
    pub holder: HolderId,
    /// What the resource is to see with every request.
    pub token: FencingToken,
    /// E: the holder acts only while true time is certainly before it.
    pub expires: Timestamp,
}

/// Why a grantor did nothing. A refusal leaves its state as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody has it, and it is not certainly over.
    #[error(
        "holder {holder} has the lease under token {token}: ask again in {retry_after:?} at the \
         earliest"
    )]
    Taken {
        /// Who has it: it may be the one who asked, whose answer was lost.
        holder: HolderId,
        /// Its token.
        token: FencingToken,
        /// The least time until it can be over, if it is not renewed.
        retry_after: Duration,
    },
    /// A grantor without memory waits until all that it may have forgotten is over.
    #[error(
        "the grantor has restarted without its state, and is quiet until every lease it may have \
         granted before is over: ask again in {retry_after:?} at the earliest"
    )]
    Quiet {
        /// The least time until it can grant.
        retry_after: Duration,
    },
    /// The grantor's clock does not answer: what it has granted counts as not over.
    #[error(
        "the grantor's clock does not answer, so no lease is known to be over and none can get an \
         expiry: mend its clock, or ask again"
    )]
    NoClock,
    /// The token is not of the present lease: it was released, replaced or never granted.
    #[error(
        "token {offered} is not of the present lease (the last one granted is {newest}): it was \
         released, transferred, or is over; stop, and acquire anew"
    )]
    NotCurrent {
        /// The token of the request.
        offered: FencingToken,
        /// The last token that was granted.
        newest: FencingToken,
    },
    /// The lease is certainly over. It does not come back; another can be acquired.
    #[error("the lease of token {token} ended at least {ago:?} ago: stop, and acquire anew")]
    Over {
        /// Its token.
        token: FencingToken,
        /// How long ago, at least.
        ago: Duration,
    },
    /// A renewal has to show that the work goes on, and this one does not.
    #[error(
        "a renewal must show progress: it says {offered}, and the last one said {last}; raise the \
         number where the work is done, not where the renewal is sent"
    )]
    NoProgress {
        /// What the request says.
        offered: u64,
        /// What the last renewal said, or 0.
        last: u64,
    },
    /// A renewal would not move the expiry forward.
    #[error(
        "a renewal now would not move the expiry forward: the grantor's clock has become less \
         certain, or the renewal came twice; renew later"
    )]
    NoGain,
    /// The expiry would be beyond what can be counted.
    #[error(
        "the lease would end after the year 2262, which cannot be counted: choose a shorter term"
    )]
    OutOfRange,
    /// There is no larger token.
    #[error("the last fencing token has been granted: start a resource with a new fence")]
    OutOfTokens,
}

impl Refusal {
    /// Whether the same command can succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Refusal::Taken { .. } | Refusal::Quiet { .. } | Refusal::NoClock | Refusal::NoGain => {
                true
            }
            Refusal::NotCurrent { .. }
            | Refusal::Over { .. }
            | Refusal::NoProgress { .. }
            | Refusal::OutOfRange
            | Refusal::OutOfTokens => false,
        }
    }
}
