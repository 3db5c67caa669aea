//! [`devices`]: the PTP hardware clocks of this host, for whoever has to choose one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::ptp::PtpDevice;
use crate::source::phc_error::{self, StatedBound};

use super::device::clock_name;
use super::scale::{PhcScale, looks_like};

/// A PTP hardware clock of this host.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PhcInfo {
    /// Its file, for [`Phc::new`](super::Phc::new).
    pub path: PathBuf,
    /// What its driver calls it.
    pub clock_name: Option<String>,
    /// What its driver states of its error.
    pub error_bound: Option<Duration>,
    /// By how much it is ahead of `CLOCK_REALTIME`, in ns, to within a second.
    pub ahead_of_realtime_ns: Option<i64>,
    /// What it shows, if `CLOCK_REALTIME` is right to within a second: TAI or UTC. It is a guess,
    /// and not used by any source.
    pub looks_like: Option<PhcScale>,
    /// Why it was not read, or states no error.
    pub problem: Option<String>,
}

/// The PTP hardware clocks of this host, in the order of their names.
///
/// Each is opened and read once, which takes some µs. On other systems than Linux there are none.
///
/// ```
/// for phc in truechimer::source::phc::devices() {
///     println!("{}: {:?}, {:?}", phc.path.display(), phc.looks_like, phc.problem);
/// }
/// ```
pub fn devices() -> Vec<PhcInfo> {
    below(Path::new("/"))
}

fn below(root: &Path) -> Vec<PhcInfo> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/ptp")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // ptp9 before ptp10.
    folders.sort_by_key(|folder| (folder.as_os_str().len(), folder.clone()));
    folders.iter().map(|folder| info(folder, root)).collect()
}

fn info(folder: &Path, root: &Path) -> PhcInfo {
    let path = root.join("dev").join(folder.file_name().unwrap_or_default());
    let reading = PtpDevice::open(&path).and_then(|device| device.read());
    let (error_bound, unstated) = match phc_error::of_device(folder) {
        StatedBound::Nanos(nanos) => (Some(Duration::from_nanos(nanos)), None),
        StatedBound::Absent => (None, Some("its driver states no error".to_owned())),
        StatedBound::Useless(why) => (None, Some(format!("phc_error_bound: {why}"))),
    };
    let ahead = reading.as_ref().ok().map(|read| {
        read.clock_ns.saturating_sub(read.realtime_before_ns / 2 + read.realtime_after_ns / 2)
    });
    PhcInfo {
        clock_name: clock_name(folder),
        error_bound,
        ahead_of_realtime_ns: ahead,
        looks_like: reading.as_ref().ok().and_then(looks_like),
        problem: reading.err().map(|error| format!("it cannot be read: {error}")).or(unstated),
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_with_what_is_wrong_with_them() {
        let root = std::env::temp_dir().join(format!("truechimer-ptps-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        assert!(below(&root).is_empty(), "no sysfs at all");
        for (device, bound) in [("ptp10", "0\n"), ("ptp9", "21500\n")] {
            let folder = root.join("sys/class/ptp").join(device);
            fs::create_dir_all(folder.join("device")).expect("a directory");
            fs::write(folder.join("clock_name"), format!("card {device}\n")).expect("written");
            fs::write(folder.join("device/phc_error_bound"), bound).expect("written");
        }
        let found = below(&root);
        let names: Vec<_> = found.iter().map(|phc| phc.clock_name.as_deref()).collect();
        assert_eq!(names, [Some("card ptp9"), Some("card ptp10")]);
        assert_eq!(found[0].error_bound, Some(Duration::from_nanos(21_500)));
        assert_eq!(found[1].error_bound, None);
        assert!(found.iter().all(|phc| phc.problem.is_some() && phc.looks_like.is_none()));
        let _ = fs::remove_dir_all(&root);
    }
}
