//! [`OwnSources`]: the sources that a clock makes by itself, again in a forked child.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::driver::SourceKind;
use crate::clock::report::Limits;
use crate::evidence::Source;
use crate::host::VmClockPage;
use crate::source::WallClock;
use crate::source::daemons::HostDaemons;
use crate::source::kernel::Kernel;
use crate::source::ntp::Ntp;
#[cfg(target_os = "linux")]
use crate::source::timesyncd::Timesyncd;
use crate::source::vmclock::VmClock;

/// Which of them, and how.
pub(super) struct OwnSources {
    pub(super) with_kernel: bool,
    pub(super) with_chrony: bool,
    pub(super) with_timesyncd: bool,
    pub(super) believes_any_writer: bool,
    pub(super) believes_chrony_estimate: bool,
    pub(super) reference_error: Option<Duration>,
    pub(super) ntp: Option<Ntp>,
}

impl Default for OwnSources {
    fn default() -> OwnSources {
        OwnSources {
            with_kernel: true,
            with_chrony: true,
            with_timesyncd: true,
            believes_any_writer: false,
            believes_chrony_estimate: false,
            reference_error: None,
            ntp: None,
        }
    }
}

impl OwnSources {
    /// The sources, in the order in which they are sampled.
    pub(super) fn make(
        &self,
        wall_clock: &Arc<WallClock>,
        vmclock: Option<&VmClockPage>,
        limits: &Limits,
    ) -> Vec<SourceKind> {
        let Limits { max_drift_ppm, max_wander_ppm, .. } = *limits;
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        if self.with_kernel {
            let kernel = self.kernel(wall_clock).max_drift_ppm(max_drift_ppm);
            sources.push(Box::new(kernel.max_wander_ppm(max_wander_ppm)));
        }
        // Where the program names servers, timesyncd's one server could only contradict them.
        #[cfg(target_os = "linux")]
        if self.with_kernel && self.with_timesyncd && self.ntp.is_none() {
            let timesyncd = Timesyncd::of(wall_clock.clone()).max_drift_ppm(max_drift_ppm);
            sources.push(Box::new(timesyncd));
        }
        if let Some(page) = vmclock {
            sources.push(Box::new(VmClock::of(page.clone(), wall_clock.clone())));
        }
        if let Some(ntp) = &self.ntp {
            sources.push(Box::new(ntp.for_clock(wall_clock.clone())));
        }
        sources.into_iter().map(SourceKind::Evidence).collect()
    }

    fn kernel(&self, wall_clock: &Arc<WallClock>) -> Kernel {
        let mut kernel = Kernel::of(wall_clock.clone(), Box::new(HostDaemons::default()));
        if self.with_chrony {
            kernel = kernel.with_chrony();
        }
        if self.believes_any_writer {
            kernel = kernel.believing_any_writer();
        }
        if self.believes_chrony_estimate {
            kernel = kernel.believing_chrony_estimate();
        }
        if let Some(error) = self.reference_error {
            kernel = kernel.reference_error(error);
        }
        if self.ntp.is_some() {
            kernel = kernel.cross_checking();
        }
        kernel
    }
}
