//! What the driver of a PTP hardware clock states of that clock's own error.
//!
//! AWS's driver for the ENA adapter has a file `phc_error_bound` in the device's sysfs folder,
//! in ns. No other driver is known to state a bound.
//!
//! A [`Phc`](super::phc::Phc) source reads its own device's file.
//!
//! chronyd does not tell which device is behind the name of a reference clock. `PHC0` is its
//! first `refclock PHC` line, and not `/dev/ptp0`. So the largest bound of all devices counts,
//! and none if one of the devices states no bound.

use std::fs;
use std::io;
use std::path::Path;

use crate::timestamp::NANOS_PER_SECOND;

/// What a device's driver states of its clock's error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StatedBound {
    /// The driver has no such file.
    Absent,
    /// It has one, and it says that the error is not known, or nothing that can be understood.
    Useless(String),
    /// The clock is within so many ns of the truth.
    Nanos(u64),
}

/// The error of the clock behind chronyd's name `reference`, in ns, as the files below `root`
/// state it.
pub(super) fn of_reference(reference: &str, root: &Path) -> Option<u64> {
    if !reference.starts_with("PHC") {
        return None;
    }
    let devices = fs::read_dir(root.join("sys/class/ptp")).ok()?;
    let bounds = devices.flatten().map(|device| match of_device(&device.path()) {
        StatedBound::Nanos(nanos) => Some(nanos),
        StatedBound::Absent | StatedBound::Useless(_) => None,
    });
    bounds.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// What the device with this folder in sysfs states. 0, and more than a second, mean that it does
/// not know.
pub(super) fn of_device(device: &Path) -> StatedBound {
    let text = match fs::read_to_string(device.join("device/phc_error_bound")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return StatedBound::Absent,
        Err(error) => return StatedBound::Useless(format!("it cannot be read: {error}")),
    };
    match text.trim().parse() {
        Ok(nanos) if (1..=NANOS_PER_SECOND.unsigned_abs()).contains(&nanos) => {
            StatedBound::Nanos(nanos)
        }
        _ => StatedBound::Useless(format!("it says {:?}, and not from 1 ns to 1 s", text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root directory with PTP devices whose drivers state these bounds.
    fn of(name: &str, bounds: &[Option<&str>]) -> Option<u64> {
        let root =
            std::env::temp_dir().join(format!("truechimer-phc-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (i, bound) in bounds.iter().enumerate() {
            let device = root.join(format!("sys/class/ptp/ptp{i}/device"));
            fs::create_dir_all(&device).expect("a directory");
            if let Some(bound) = bound {
                fs::write(device.join("phc_error_bound"), bound).expect("written");
            }
        }
        let found = of_reference("PHC0", &root);
        assert_eq!(of_reference("GPS", &root), None, "another kind of clock");
        let _ = fs::remove_dir_all(&root);
        found
    }

    #[test]
    fn the_largest_bound_counts_and_each_device_must_state_one() {
        assert_eq!(of("none", &[]), None);
        assert_eq!(of("one", &[Some("21500\n")]), Some(21_500));
        assert_eq!(of("two", &[Some("21500\n"), Some("40000\n")]), Some(40_000));
        assert_eq!(of("one-silent", &[Some("21500\n"), None]), None);
        for (i, useless) in ["0\n", "", "-5\n", "soon\n", "1000000001\n"].iter().enumerate() {
            assert_eq!(of(&format!("useless{i}"), &[Some(useless)]), None, "{useless}");
        }
    }
}
