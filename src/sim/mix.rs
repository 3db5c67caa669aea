//! [`Mix`]: the kinds of random worlds.

use std::fmt;

/// What a random world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mix {
    /// Everything that may go wrong while the clock's assumptions hold.
    Honest,
    /// A1 is broken: some time daemons lie. Each machine has an honest second source.
    Lying,
    /// A2 is broken: oscillators are off by more than the clocks allow for.
    Drifting,
    /// A2 is broken: virtual machines are stopped and continued.
    StoppedVm,
    /// Daemons break A1 as real ones do: bounds are estimates
    /// ([`Daemon::ChronyEstimating`](super::Daemon::ChronyEstimating)), the server is at the edge of its own bound, and the
    /// oscillators' rates swing. The allowance for that makes up for it, so no reading may be wrong.
    Estimating,
    /// As `Honest`, and each clock asks time servers itself, of which a minority lies. The
    /// kernels are cross-checks, and some of them lie too.
    Exchanging,
    /// The assumptions hold, and virtual machines with a VMClock are moved to other hosts, or
    /// restored later.
    Moved,
    /// As `Honest`, and each machine has timesyncd, whose exchanges its clock hears on the bus.
    Timesyncd,
}

impl Mix {
    /// All of them.
    pub const ALL: [Mix; 8] = [
        Mix::Honest,
        Mix::Lying,
        Mix::Drifting,
        Mix::StoppedVm,
        Mix::Estimating,
        Mix::Exchanging,
        Mix::Moved,
        Mix::Timesyncd,
    ];

    /// Whether the clock's assumptions hold on every machine, so that no reading may be wrong.
    pub fn is_honest(self) -> bool {
        matches!(self, Mix::Honest | Mix::Exchanging | Mix::Moved | Mix::Timesyncd)
    }

    /// Whether a reading that is wrong is a fault of the clock: as [`is_honest`](Self::is_honest),
    /// and where what is broken is allowed for.
    pub fn allows_no_miss(self) -> bool {
        self.is_honest() || self == Mix::Estimating
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mix::Honest => "honest",
            Mix::Lying => "lying",
            Mix::Drifting => "drifting",
            Mix::StoppedVm => "stopped-vm",
            Mix::Estimating => "estimating",
            Mix::Exchanging => "exchanging",
            Mix::Moved => "moved",
            Mix::Timesyncd => "timesyncd",
        })
    }
}
