//! What a clock does with the VMClock of its machine, and what it reports of that.

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(not(target_family = "wasm"))]
use crate::host::VMCLOCK_PATH;
use crate::host::{Host, VmClockError, VmClockPage};

/// A slower load would show in every reading: then only the sampler looks at the page, in ns.
const SLOWEST_LOAD_NS: u64 = 20;

/// Which VMClock is used.
#[cfg(not(target_family = "wasm"))]
pub(crate) enum VmClockChoice {
    /// The machine's first, if there is one and it may be read.
    IfThere,
    Without,
    /// This one, and it must be there.
    At(PathBuf),
}

#[cfg(not(target_family = "wasm"))]
impl VmClockChoice {
    /// Opens it.
    pub(crate) fn setup(&self) -> Result<VmClockSetup, VmClockError> {
        match self {
            VmClockChoice::Without => Ok(VmClockSetup::default()),
            VmClockChoice::IfThere => {
                let path = Path::new(VMCLOCK_PATH);
                Ok(VmClockSetup::new(path, VmClockPage::open(path)))
            }
            VmClockChoice::At(path) => Ok(VmClockSetup::new(path, Ok(VmClockPage::open(path)?))),
        }
    }

    /// Whether the program has named one.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, VmClockChoice::At(_))
    }
}

/// The VMClock that a clock is built with.
#[derive(Clone, Default)]
pub(crate) struct VmClockSetup {
    path: Option<PathBuf>,
    page: Option<VmClockPage>,
    /// Why there is no page, if one was looked for.
    unused: Option<String>,
    load_ns: Option<u64>,
}

impl VmClockSetup {
    /// What was found at `path`.
    pub(crate) fn new(path: &Path, found: Result<VmClockPage, VmClockError>) -> VmClockSetup {
        let (page, unused) = match found {
            Ok(page) => (Some(page), None),
            Err(why) => (None, Some(why.to_string())),
        };
        VmClockSetup { path: Some(path.to_owned()), page, unused, load_ns: None }
    }

    /// The page, if there is one.
    pub(crate) fn page(&self) -> Option<&VmClockPage> {
        self.page.as_ref()
    }

    /// Measures what a load of the page costs.
    pub(crate) fn timed_on(mut self, host: &(impl Host + ?Sized)) -> VmClockSetup {
        self.load_ns = self.page.as_ref().and_then(|page| host.vmclock_load_ns(page).ok());
        self
    }

    /// Whether each reading looks at the page.
    pub(crate) fn is_in_readings(&self) -> bool {
        self.load_ns.is_some_and(|ns| ns <= SLOWEST_LOAD_NS)
    }

    /// For the report, after so many disruptions.
    pub(crate) fn report(&self, disruptions: u64) -> VmClockReport {
        VmClockReport {
            path: self.path.clone(),
            unused: self.unused.clone(),
            checked: match &self.page {
                None => MarkerCheck::Never,
                Some(_) if self.is_in_readings() => MarkerCheck::InReadings,
                Some(_) => MarkerCheck::BySampler,
            },
            marker: self.page.as_ref().map(VmClockPage::marker),
            disruptions,
            load_ns: self.load_ns,
            has_time: self.page.as_ref().is_some_and(VmClockPage::has_time),
        }
    }
}

/// Who notices that the machine was moved to another host, or restored from a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MarkerCheck {
    /// Nobody: there is no VMClock, or it is not used. After a migration readings are wrong until
    /// the time daemon has corrected the wall clock.
    Never,
    /// The sampler, at its next poll: a load of the page is so slow that it would show in each
    /// reading. Readings between a migration and that poll are wrong.
    BySampler,
    /// Each reading: none is ever of the old machine.
    InReadings,
}

impl fmt::Display for MarkerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MarkerCheck::Never => "never",
            MarkerCheck::BySampler => "at each poll",
            MarkerCheck::InReadings => "in every reading",
        })
    }
}

/// What the VMClock of a virtual machine gives to a clock.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct VmClockReport {
    /// The node that was looked for; `None` if the clock was told to do without.
    pub path: Option<PathBuf>,
    /// Why it is not used, and what to do; `None` if it is used.
    pub unused: Option<String>,
    /// Who compares the disruption marker.
    pub checked: MarkerCheck,
    /// The disruption marker now.
    pub marker: Option<u64>,
    /// How often the machine was found to have been moved or restored since the clock was built.
    pub disruptions: u64,
    /// What a load of the page costs, in ns.
    pub load_ns: Option<u64>,
    /// Whether the hypervisor also states the time there, so that it is a source.
    pub has_time: bool,
}
