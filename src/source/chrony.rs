//! chronyd's own statement of its error: the TRACKING report.
//!
//! The kernel's `maxerror` is what a daemon last wrote, grown by the kernel
//! since. It does not say who wrote it, and a chronyd that runs without
//! `rtcsync` leaves the kernel flagged as unsynchronised although its bound is
//! good. So chronyd is asked itself, over the protocol of its command port. The
//! question needs no privilege, and costs chronyd some 50 µs.
//!
//! The naive way is to run `chronyc tracking` and read its text. That forks a
//! process, is rounded to what people like to see, and cannot be checked.
//!
//! The report says how far the wall clock still is from what chronyd believes
//! (*current correction*), and how far that may be from the truth: half of the
//! round trip to the primary source (*root delay*), for a packet may have spent
//! all of it on one way, and what clocks on the path have drifted since (*root
//! dispersion*). Hence, as in RFC 5905, section 11.2 (the root distance):
//!
//! ```text
//! |REALTIME − UTC| ≤ |current correction| + root delay / 2 + root dispersion
//! ```
//!
//! A clock asks chronyd beside the kernel (`check`), and the larger bound
//! counts. Read next: [`mod@tracking`] for the bytes and what is checked about them,
//! [`client`] for the asking. The layout of the packets is that of chrony's
//! `candm.h`, version 6, as spoken since chrony 1.31.

pub(crate) mod check;
pub mod client;
pub mod tracking;

use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use client::Endpoint;

use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceError};
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::source::daemons::{HostDaemons, TimeDaemons};
use crate::source::kernel::Kernel;
use crate::source::wall_clock::WallClock;

pub use client::{ChronyError, Client};
pub use tracking::{Leap, Reference, Tracking, TrackingError};

/// The kernel's clock, where chronyd confirms it.
///
/// `Clock::new()` asks the chronyd of this host beside the kernel anyway, and
/// believes the kernel alone where chronyd is silent. Use this source to accept no
/// evidence but chronyd's, or where chronyd listens elsewhere on the host.
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
    /// The chronyd that answers at [`client::UDP`] or [`client::SOCKET`], and the
    /// builtin leap table.
    pub fn new() -> Chrony {
        Chrony::at(Endpoint::defaults(), LeapTable::builtin())
    }

    /// One that answers over UDP elsewhere. It must discipline the clock of *this* host.
    pub fn udp(at: SocketAddr, leaps: LeapTable) -> Chrony {
        Chrony::at(vec![Endpoint::Udp(at)], leaps)
    }

    /// One that answers on a Unix socket elsewhere, to root or its own user.
    #[cfg(unix)]
    pub fn unix(at: &Path, leaps: LeapTable) -> Chrony {
        Chrony::at(vec![Endpoint::Unix(at.to_owned())], leaps)
    }

    fn at(endpoints: Vec<Endpoint>, leaps: LeapTable) -> Chrony {
        let wall_clock = Arc::new(WallClock::new(leaps, RealtimeScale::Utc));
        let daemons = Box::new(HostDaemons::with_chronyd_at(endpoints));
        Chrony(Kernel::of(wall_clock, daemons).confirmed_only())
    }

    /// For a host whose time servers smear: as `wall_scale` of the clock's builder,
    /// which (like its leap table) is for the sources that the clock makes itself.
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

    fn details(&self) -> Option<String> {
        self.0.details()
    }
}

/// Asks the chronyd of this host for its report: over UDP, else over its Unix socket.
///
/// # Errors
///
/// What went wrong over UDP, if neither answers.
///
/// ```no_run
/// let tracking = truechimer::source::chrony::tracking()?;
/// println!("chronyd follows {}, stratum {}", tracking.reference, tracking.stratum);
/// # Ok::<(), truechimer::source::chrony::ChronyError>(())
/// ```
pub fn tracking() -> Result<Tracking, ChronyError> {
    HostDaemons::default().chrony_tracking()
}
