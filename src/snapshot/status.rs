//! [`Status`]: how far a clock is to be believed, and [`Reason`]: why not.

use std::fmt;

/// How far the clock is to be believed at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Status {
    /// A source vouches for the time; readings rest on evidence.
    Synchronized,
    /// No source vouches any longer. Readings rest on earlier evidence and widen.
    Holdover,
    /// Readings rest on the operator's word (`assume_error`), not on evidence alone.
    Assumed,
    /// No readings, and the reason.
    Unsynchronized(Reason),
    /// Sources disagreed lately. Readings cover both sides, or are refused.
    Contradicted,
}

impl Status {
    /// Whether readings rest on a source that vouches now, or on the operator's word.
    pub fn is_usable(&self) -> bool {
        matches!(self, Status::Synchronized | Status::Assumed)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Synchronized => f.write_str("synchronized"),
            Status::Holdover => f.write_str("holdover"),
            Status::Assumed => f.write_str("assumed"),
            Status::Unsynchronized(reason) => write!(f, "unsynchronized: {reason}"),
            Status::Contradicted => f.write_str("contradicted"),
        }
    }
}

/// Why no reading can be given, in a word that fits the published block.
///
/// The full story (which source, what it said) is in the clock's report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// No source has been asked yet.
    NotSampled = 0,
    /// The kernel says that nothing disciplines its clock.
    KernelUnsynchronized = 1,
    /// Something disciplines the kernel clock but states no error bound.
    NoBoundStated = 2,
    /// The kernel clock is being slewed faster than its error bound allows for.
    Slewing = 3,
    /// The kernel may not be asked (a seccomp filter, an old kernel).
    Denied = 4,
    /// The host was suspended, and no source has vouched since.
    Suspended = 5,
    /// The wall clock was stepped after the operator had vouched for it.
    AssumptionEnded = 6,
    /// A source failed; the report has its words.
    SourceFailed = 7,
    /// The evidence has aged beyond `max_width`.
    TooOld = 8,
}

impl Reason {
    /// The reason that was stored `as u8`.
    #[inline]
    pub(crate) fn from_u8(byte: u8) -> Reason {
        match byte {
            1 => Reason::KernelUnsynchronized,
            2 => Reason::NoBoundStated,
            3 => Reason::Slewing,
            4 => Reason::Denied,
            5 => Reason::Suspended,
            6 => Reason::AssumptionEnded,
            7 => Reason::SourceFailed,
            8 => Reason::TooOld,
            _ => Reason::NotSampled,
        }
    }

    /// What happened.
    pub fn what(&self) -> &'static str {
        match self {
            Reason::NotSampled => "no source has been sampled yet",
            Reason::KernelUnsynchronized => {
                "the kernel says that nothing disciplines its clock (STA_UNSYNC)"
            }
            Reason::NoBoundStated => {
                "what disciplines the kernel clock states no error bound (maxerror)"
            }
            Reason::Slewing => {
                "the kernel clock is being slewed faster than its error bound allows for"
            }
            Reason::Denied => "the kernel may not be asked about its clock (adjtimex is refused)",
            Reason::Suspended => "the host was suspended, and no source has vouched since",
            Reason::AssumptionEnded => {
                "the wall clock was stepped, or the host suspended, after the operator vouched for it"
            }
            Reason::SourceFailed => "the source of time failed",
            Reason::TooOld => "the last evidence has aged until the interval became too wide",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Reason::NotSampled => "call `refresh()`, or let the clock's own thread sample",
            Reason::KernelUnsynchronized => {
                "run chronyd with `rtcsync`, or vouch for the clock with `assume_error` \
                 (`--assume 250ms`)"
            }
            Reason::NoBoundStated => {
                "run chronyd in its place, or vouch for the clock with `assume_error` \
                 (`--assume 250ms`)"
            }
            Reason::Slewing => "wait until the slew has ended",
            Reason::Denied => "allow adjtimex in the seccomp filter: reading needs no privilege",
            Reason::Suspended => "wait for the time daemon's next update",
            Reason::AssumptionEnded => "check the wall clock, then vouch again with `reassume()`",
            Reason::SourceFailed => "see the clock's report, or `truechimer doctor`",
            Reason::TooOld => "mend the time source, or raise `max_width`",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy())
    }
}
