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
//!
//! # What is believed, by daemon
//!
//! `Clock::new()` asks the kernel, and chronyd beside it. The kernel does not say
//! who wrote its bound, so a writer is known by what it writes: `maxerror mod
//! 500` is what was written last, and 0, or 16 µs under the PLL, is what daemons
//! write that have no bound to state. None is believed while that mark stands.
//!
//! | who disciplines the clock | what counts | why |
//! |---|---|---|
//! | chronyd with `rtcsync` | the kernel's bound, or chronyd's own if that is larger | it writes root delay / 2 + root dispersion + what is not corrected yet |
//! | chronyd without `rtcsync` | the same, once chronyd itself says that it is synchronised | the kernel's flag stays set, its bound is good |
//! | chronyd with `local`, or `-x` | nothing | the one follows itself, the other tells the kernel nothing |
//! | ClockBound | the kernel's bound | it writes its own |
//! | ntpd, ntpsec | the kernel's bound, what the PLL has left to do, and a third of that | the PLL has up to so much under way, which nothing shows |
//! | ntpd-rs, OpenNTPD | nothing, if it alone is seen to run | the one leaves out what it has still to correct, the other states nothing |
//! | systemd-timesyncd, phc2sys, ptp4l | nothing | they write 0 |
//! | nobody, or Hyper-V's driver | nothing | the kernel says so itself |
//! | a clock slewed by more than 500 ppm | nothing, until it is over | it outruns its bound |
//!
//! Each judgement can be overridden: `without_kernel`, `without_chrony`,
//! `believe_any_writer` and `assume_error` of [`ClockBuilder`](crate::ClockBuilder),
//! and any source of your own. Of timesyncd's last exchange with its server the
//! kernel knows nothing, and it is not asked over D-Bus: the remedy is chronyd, or
//! `assume_error`. [`daemon`] tells them apart for people.
//!
//! # What real kernels showed
//!
//! `tests/guest` runs Debian's kernel and chronyd in guests, with a truth that the
//! test knows, and counts the readings that missed it. In every row the count was 0,
//! but for the two limits that are named.
//!
//! | what happened | what the clock did |
//! |---|---|
//! | chronyd converges from 300 ms off, is killed, and comes back; oscillator off by +40 and −90 ppm | 10 700 readings; widths of 0.3 ms at the narrowest, 1.0 to 1.3 ms at the median, where the kernel's 2 × maxerror has 1.1 ms |
//! | chronyd's source jumps by 2 s, and chronyd follows it | a contradiction; both sides are covered for a minute |
//! | a leap second inserted, and one deleted that no table knows; with TAI set and without | no contradiction; width as before |
//! | steps of 1 s, 1 h and 5 ms; slews of 500 and 100 000 ppm | holdover on what was known, until a daemon writes a bound again |
//! | maxerror of 0, and of 16 µs with STA_PLL, 300 ms off | refused throughout |
//! | a bound ten times too small | believed: that is assumption A1. A contradiction when the truth came out |
//! | the PLL works off 300 ms | the offset left to it alone missed the truth by 18 ms; with what is under way: none |
//! | program and sampler stopped for 10 s; a fork; 1000 clocks | wider, and right |
//! | **suspend to memory** | the counter of these guests stands still meanwhile. Readings before the first sample after the resume are wrong: some 20 readings in 1 to 30 ms, on an emulated processor of a busy host. A clock without a thread (`manual`, a forked child) has to call `refresh()` first |
//! | **the host stops the machine for 4 s** | nothing inside shows it, and readings are wrong until the daemon has mended the clock. With [`rtc::Rtc`] as a second witness: `Contradicted`, and right again, within a second |

pub(crate) mod adjtimex;
pub(crate) mod assume;
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
    /// While it blocks, other sources are not asked and readings widen. A panic is
    /// caught and counts as an error (the panic hook prints it, at each poll). Evidence
    /// whose `before` is from before a suspend is refused, so one that keeps a sample
    /// must be ready to take a new one.
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
