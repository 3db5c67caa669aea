//! The VMClock: what a hypervisor tells a virtual machine about its counter.
//!
//! Linux shows it as `/dev/vmclock0` (driver `ptp_vmclock`, from Linux 6.13), a page that the
//! hypervisor writes. Two parts of it are used. The *disruption marker* changes whenever the
//! machine was moved to another host, or restored from a snapshot: then the counter is another
//! one, and nothing inside the machine shows it. The *time fields* state what time it was at one
//! value of the counter, how fast that counts, and how far both may be off. QEMU fills in the
//! marker alone.
//!
//! This module knows the format. `vmclock_open` opens the device, `vmclock_page` has the memory,
//! `source::vmclock` judges the time fields, and `snapshot::published` compares the marker at each
//! reading.

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    target_pointer_width = "64",
    target_endian = "little"
))]
#[path = "vmclock_open.rs"]
mod open;
#[cfg(not(all(
    any(target_os = "linux", target_os = "android"),
    target_pointer_width = "64",
    target_endian = "little"
)))]
mod open {
    use std::path::Path;

    use super::{VmClockError, VmClockPage};

    impl VmClockPage {
        /// No VMClock is read on this system.
        pub(crate) fn open(path: &Path) -> Result<VmClockPage, VmClockError> {
            Err(VmClockError::Unsupported(path.to_owned()))
        }
    }
}

use std::path::PathBuf;
use std::sync::atomic::{Ordering, fence};

use super::vmclock_page::{VmClockPage, WORDS};

/// Where Linux shows the first VMClock.
pub(crate) const DEFAULT_PATH: &str = "/dev/vmclock0";

/// The word of the disruption marker.
pub(crate) const MARKER_WORD: usize = 2;

/// How long a page must be to have the time fields.
const SIZE_WITH_TIME: u32 = 104;

/// How often a page is read that is being written. A write takes less than a microsecond, but the
/// hypervisor's thread may lose its processor in the middle of it.
const TRIES: u32 = 1_000;

/// Why a VMClock is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmClockError {
    /// There is no such file.
    #[error(
        "{} does not exist: the hypervisor offers no VMClock, or the driver (`modprobe \
         ptp_vmclock`, Linux 6.13 or newer) is not loaded", .0.display()
    )]
    Absent(PathBuf),
    /// This process may not open it.
    #[error(
        "{} may not be read by this user: allow it with `chmod a+r`, or for good with the udev rule \
         `KERNEL==\"vmclock*\", MODE=\"0444\"`; or build the clock before privileges are dropped, \
         because its mapping outlives that", .0.display()
    )]
    Denied(PathBuf),
    /// It cannot be opened, read or mapped.
    #[error("{} cannot be used as a VMClock: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: std::io::Error,
    },
    /// It is a file, which somebody could shorten while it is mapped.
    #[error("{} is not a device: name the node of a VMClock ({DEFAULT_PATH})", .0.display())]
    NotADevice(PathBuf),
    /// It is not a VMClock of a kind that is known.
    #[error("{} is not a VMClock that can be used: {what}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// This system has no VMClock.
    #[error("{} is not read on this system: VMClocks are on 64-bit Linux", .0.display())]
    Unsupported(PathBuf),
}

/// The fields of a page that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VmClockFields {
    size: u32,
    pub(crate) counter_id: u8,
    pub(crate) time_type: u8,
    pub(crate) marker: u64,
    pub(crate) flags: u64,
    pub(crate) status: u8,
    pub(crate) leap_indicator: u8,
    pub(crate) tai_offset: i16,
    pub(crate) shift: u8,
    /// The counter's value at which the time was as stated.
    pub(crate) counter_value: u64,
    /// The counter's period in units of 2^−(64 + shift) s, and the most that it may be off.
    pub(crate) period: u64,
    pub(crate) period_max_error: u64,
    pub(crate) seconds: u64,
    /// In units of 2^−64 s.
    pub(crate) fraction: u64,
    pub(crate) time_max_error_ns: u64,
}

/// No counter: the page has a marker and no time.
const NO_COUNTER: u8 = 0xff;

impl VmClockFields {
    /// The fields that these words hold.
    pub(crate) fn from_words(words: &[u64; WORDS]) -> VmClockFields {
        let byte = |word: usize, at: u32| (words[word] >> (8 * at)) as u8;
        VmClockFields {
            size: (words[0] >> 32) as u32,
            counter_id: byte(1, 2),
            time_type: byte(1, 3),
            marker: words[MARKER_WORD],
            flags: words[3],
            status: byte(4, 2),
            leap_indicator: byte(4, 6),
            tai_offset: (words[4] >> 32) as i16,
            shift: byte(4, 7),
            counter_value: words[5],
            period: words[6],
            period_max_error: words[8],
            seconds: words[9],
            fraction: words[10],
            time_max_error_ns: words[12],
        }
    }

    /// Whether the page is long enough for the time fields, and names a counter for them.
    pub(crate) fn has_time(&self) -> bool {
        self.size >= SIZE_WITH_TIME && self.counter_id != NO_COUNTER
    }
}

/// The page was being written at each attempt to read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the hypervisor was writing the page at each of {TRIES} attempts to read it: it has been stopped \
     in the middle of an update"
)]
pub(crate) struct BeingWritten;

impl VmClockPage {
    /// The disruption marker now.
    pub(crate) fn marker(&self) -> u64 {
        self.words()[MARKER_WORD].load(Ordering::Relaxed)
    }

    /// Whether it has time fields at all.
    pub(crate) fn has_time(&self) -> bool {
        VmClockFields::from_words(&self.load()).has_time()
    }

    fn load(&self) -> [u64; WORDS] {
        self.words().each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    /// The fields of one update, and what `within` returned while they were valid.
    ///
    /// # Errors
    ///
    /// If the page is being written all the time.
    pub(crate) fn read<T>(
        &self,
        mut within: impl FnMut() -> T,
    ) -> Result<(VmClockFields, T), BeingWritten> {
        let sequence = || (self.words()[1].load(Ordering::Acquire) >> 32) as u32;
        for _ in 0..TRIES {
            let before = sequence();
            if before % 2 == 0 {
                let words = self.load();
                let answer = within();
                // The words are loaded before the sequence is loaded again.
                fence(Ordering::Acquire);
                if sequence() == before {
                    return Ok((VmClockFields::from_words(&words), answer));
                }
            }
            std::hint::spin_loop();
        }
        Err(BeingWritten)
    }
}

#[cfg(test)]
#[path = "vmclock_tests.rs"]
mod tests;
