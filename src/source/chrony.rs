//! chronyd's own statement of its error: the TRACKING report.
//!
//! The kernel's `maxerror` is what a daemon last wrote, plus the kernel's growth since then.
//! It does not show which program wrote it. And a chronyd without `rtcsync` leaves the kernel
//! flagged as unsynchronised, although its bound is good. So the clock also requests chronyd's
//! report, over the protocol of its command port. The request needs no privilege, and costs
//! chronyd some 50 µs.
//!
//! The naive way is to run `chronyc tracking` and parse its text. That forks a process, the
//! numbers are rounded for people, and they cannot be checked.
//!
//! The report has two parts. The *current correction* is how far the wall clock is from
//! chronyd's estimate. The estimate itself may be off by half of the round trip to the
//! primary source (*root delay*), because a packet may have spent all of it in one direction,
//! and by what the clocks on the path have drifted since (*root dispersion*). Hence, as in
//! RFC 5905, section 11.2 (the root distance):
//!
//! ```text
//! |REALTIME − UTC| ≤ |current correction| + root delay / 2 + root dispersion
//! ```
//!
//! A clock reads this report beside the kernel's bound (`check`). It shows that chronyd is the
//! writer (`fit`), and which of the two bounds counts. Both are estimates, so an allowance is added
//! for what they leave out (`allowance`). Where the system denies `adjtimex`, the report counts
//! alone (`alone`).
//!
//! Read next: [`mod@tracking`] for the bytes and how they are checked, [`client`] for the
//! sockets. The layout of the packets is that of chrony's `candm.h`, version 6, in use since
//! chrony 1.31.

pub(crate) mod allowance;
pub(crate) mod alone;
pub(crate) mod check;
pub(crate) mod chrony_fit;
pub mod client;
mod fit;
pub mod source_stats;
pub mod sources;
pub mod tracking;

use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use client::Endpoint;

use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceCondition, SourceError};
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::source::daemons::{HostDaemons, TimeDaemons};
use crate::source::kernel::Kernel;
use crate::source::wall_clock::WallClock;

pub use client::{ChronyError, Client};
pub use source_stats::SourceStats;
pub use sources::{ChronySource, NewestMeasurement, SourceMode, SourceState};
pub use tracking::{Leap, Reference, Tracking, TrackingError};

/// The kernel's clock, if chronyd confirms its bound.
///
/// Where the system denies `adjtimex`, chronyd's report counts alone, once chronyd has made an
/// update while the clock watched.
///
/// `Clock::new()` reads chronyd's report beside the kernel's bound anyway, and believes other
/// writers that it knows (`source::writer`) if chronyd does not answer. Use this source to accept
/// only evidence that chronyd confirms, or if chronyd listens at another address of the host.
///
/// ```
/// use truechimer::Clock;
/// use truechimer::source::chrony::Chrony;
///
/// let clock = Clock::builder().without_kernel().source(Chrony::new()).build()?;
/// # Ok::<(), truechimer::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Chrony(Kernel);

impl Chrony {
    /// The chronyd that answers at [`client::UDP`], [`client::UDP6`] or [`client::SOCKET`], and
    /// the builtin leap table.
    pub fn new() -> Chrony {
        Chrony::of(HostDaemons::default(), LeapTable::builtin())
    }

    /// A chronyd at another UDP address. It must discipline the clock of *this* host.
    pub fn udp(at: SocketAddr, leaps: LeapTable) -> Chrony {
        Chrony::at(vec![Endpoint::Udp(at)], leaps)
    }

    /// A chronyd at another Unix socket, which answers only root and its own user.
    #[cfg(unix)]
    pub fn unix(at: &Path, leaps: LeapTable) -> Chrony {
        Chrony::at(vec![Endpoint::Unix(at.to_owned())], leaps)
    }

    fn at(endpoints: Vec<Endpoint>, leaps: LeapTable) -> Chrony {
        Chrony::of(HostDaemons::with_chronyd_at(endpoints), leaps)
    }

    fn of(daemons: HostDaemons, leaps: LeapTable) -> Chrony {
        let wall_clock = Arc::new(WallClock::new(leaps, RealtimeScale::Utc));
        Chrony(Kernel::of(wall_clock, Box::new(daemons)).confirmed_only())
    }

    /// How far a reference clock of chronyd's may be off, as
    /// [`ClockBuilder::reference_error`](crate::ClockBuilder::reference_error) states it for the
    /// sources that the clock makes itself.
    #[must_use]
    pub fn reference_error(self, error: Duration) -> Chrony {
        Chrony(self.0.reference_error(error))
    }

    /// For a host whose time servers smear. It does what `wall_scale` of the clock's builder
    /// does, which applies only to the sources that the clock makes itself.
    pub fn wall_scale(self, leaps: LeapTable, scale: RealtimeScale) -> Chrony {
        Chrony(self.0.showing(leaps, scale))
    }
}

impl Default for Chrony {
    fn default() -> Chrony {
        Chrony::new()
    }
}

impl Source for Chrony {
    fn name(&self) -> &str {
        "chrony"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.0.sample(counter)
    }

    fn disrupted(&mut self) {
        self.0.disrupted();
    }

    fn details(&self) -> Option<String> {
        self.0.details()
    }

    fn condition(&self) -> SourceCondition {
        self.0.condition()
    }
}

/// Requests the report of this host's chronyd: over UDP, or else over its Unix socket.
///
/// # Errors
///
/// The error of the request over UDP, if none answers.
///
/// ```no_run
/// let tracking = truechimer::source::chrony::tracking()?;
/// println!("chronyd follows {}, stratum {}", tracking.reference, tracking.stratum);
/// # Ok::<(), truechimer::source::chrony::ChronyError>(())
/// ```
pub fn tracking() -> Result<Tracking, ChronyError> {
    HostDaemons::default().chrony_tracking()
}

/// Requests the sources of this host's chronyd: which servers it follows, and what it thinks of
/// them.
///
/// # Errors
///
/// As [`tracking()`].
///
/// ```no_run
/// for source in truechimer::source::chrony::sources()? {
///     println!("{:?}: {:?}", source.address, source.state);
/// }
/// # Ok::<(), truechimer::source::chrony::ChronyError>(())
/// ```
pub fn sources() -> Result<Vec<ChronySource>, ChronyError> {
    HostDaemons::default().chrony_sources()
}

/// Requests the statistics of the sources of this host's chronyd: over how many polls, and over
/// what time, it has fitted its line to each of them. They are in the order of [`sources()`].
///
/// # Errors
///
/// As [`tracking()`].
///
/// ```no_run
/// for stats in truechimer::source::chrony::source_stats()? {
///     println!("{:?}: {} polls in {:?}", stats.address, stats.samples, stats.span);
/// }
/// # Ok::<(), truechimer::source::chrony::ChronyError>(())
/// ```
pub fn source_stats() -> Result<Vec<SourceStats>, ChronyError> {
    HostDaemons::default().chrony_source_stats()
}
