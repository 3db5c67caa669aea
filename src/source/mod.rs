//! Evidence: who says what time it is, and how far off that may be.
//!
//! A source answers one question: *between these two counter readings, where
//! was true time?* It answers with an interval that certainly holds it, or
//! says in words for an operator why it cannot. It never answers "about".
//!
//! What a source says is assumption A1: the clock believes each bound as
//! stated. So the work in this module is in *not* believing what is not a
//! bound: a time daemon that disciplines the kernel's clock without stating how
//! well (`maxerror` of 0), one that has not learned anything yet, a kernel clock
//! that runs away under a slew, a suspend that the daemon has not noticed.

pub(crate) mod adjtimex;
pub mod assume;
mod calendar;
pub mod chrony;
pub mod daemon;
mod in_flight;
pub mod kernel;
pub(crate) mod realtime;
pub mod rtc;
pub mod timex;

pub use adjtimex::KernelState;
pub(crate) use calendar::Calendar;
pub use calendar::WallScale;

use crate::clock::bound::Sample;
use crate::clock::counter::Counter;
use crate::clock::status::Reason;

/// Something that vouches for the time.
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Clock, Counter, Interval, Sample, Source, SourceError};
/// # fn read_gps() -> Option<Interval> { None }
///
/// struct Gps;
///
/// impl Source for Gps {
///     fn name(&self) -> &str {
///         "gps"
///     }
///
///     fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
///         let before = counter.read();
///         let time = read_gps().ok_or_else(|| SourceError::failed("no fix"))?;
///         Ok(Sample::new(before, counter.read(), time))
///     }
/// }
///
/// let clock = Clock::builder().source(Gps).build()?;
/// # Ok::<(), truechimer::BuildError>(())
/// ```
pub trait Source: Send {
    /// What the report calls it.
    fn name(&self) -> &str;

    /// Says where true time was at some moment between two readings of `counter`,
    /// both taken in this call or earlier.
    ///
    /// It runs on the clock's own thread, or on the one that called `refresh()`.
    /// While it blocks, other sources are not asked and readings widen; a
    /// panic is caught and counts as an error.
    ///
    /// # Errors
    ///
    /// Whenever it cannot vouch for an interval.
    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError>;

    /// What else it knew at its last sample, in a line for the report.
    fn details(&self) -> Option<String> {
        None
    }
}

/// Why a source does not vouch for the time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source works, and knows that it has no bound to give.
    #[error("{}: {detail}; {}", .reason.what(), .reason.remedy())]
    CannotVouch {
        /// Why, in one word for programs.
        reason: Reason,
        /// What was seen.
        detail: String,
    },
    /// It could not be asked, or its answer makes no sense.
    #[error("{0}")]
    Failed(String),
    /// It panicked.
    #[error("the source panicked ({0}): it is asked again at the next poll")]
    Panicked(String),
}

impl SourceError {
    /// A failure in the source's own words.
    pub fn failed(what: impl std::fmt::Display) -> SourceError {
        SourceError::Failed(what.to_string())
    }

    /// No bound to give, and what was seen that shows it.
    pub fn cannot_vouch(reason: Reason, detail: impl std::fmt::Display) -> SourceError {
        SourceError::CannotVouch { reason, detail: detail.to_string() }
    }

    /// The reason in one word.
    pub fn reason(&self) -> Reason {
        match self {
            SourceError::CannotVouch { reason, .. } => *reason,
            SourceError::Failed(_) | SourceError::Panicked(_) => Reason::SourceFailed,
        }
    }
}
