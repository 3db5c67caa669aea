//! [`Device`]: what this source asks of a PTP hardware clock, and how this host answers it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::host::ptp::{PtpDevice, PtpReading, is_passing};
use crate::source::phc_error::{self, StatedBound};

use super::error::PhcError;

/// A PTP hardware clock.
pub(super) trait Device: Send {
    /// Reads it once.
    fn read(&mut self) -> io::Result<PtpReading>;

    /// What its driver states of its error at this moment.
    fn stated_bound(&mut self) -> StatedBound;

    /// Opens it again where it is now, after it had gone.
    fn reopen(&mut self) -> io::Result<()>;

    /// Its name in sysfs as the beginning of a line, or nothing.
    fn describe(&self) -> String;
}

/// A device of this host.
#[derive(Debug)]
pub(super) struct HostDevice {
    /// Below which `sys` and `dev` are.
    root: PathBuf,
    device: PtpDevice,
    /// Its folder in sysfs. A container may have none.
    folder: PathBuf,
    /// What its driver calls it.
    clock_name: Option<String>,
    /// Whether its driver pairs it with the raw clock.
    is_precise: bool,
}

impl HostDevice {
    pub(super) fn open(path: &Path, root: &Path) -> Result<HostDevice, PhcError> {
        let not_a_clock = |source| PhcError::NotAClock { path: path.to_owned(), source };
        let device = PtpDevice::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::Unsupported => PhcError::Unsupported,
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                PhcError::Open { path: path.to_owned(), source }
            }
            _ => not_a_clock(source),
        })?;
        match device.read() {
            Err(source) if !is_passing(&source) => return Err(not_a_clock(source)),
            _ => {}
        }
        let number = device.number().map_err(not_a_clock)?;
        let folder = root.join("sys/dev/char").join(number);
        let clock_name = clock_name(&folder);
        let is_precise = device.read_precise().is_ok();
        Ok(HostDevice { root: root.to_owned(), device, folder, clock_name, is_precise })
    }
}

impl Device for HostDevice {
    fn read(&mut self) -> io::Result<PtpReading> {
        if self.is_precise {
            // One that fails at times is read in the other way then.
            if let Ok(reading) = self.device.read_precise() {
                return Ok(reading);
            }
        }
        self.device.read()
    }

    fn stated_bound(&mut self) -> StatedBound {
        phc_error::of_device(&self.folder)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some(name) = &self.clock_name else {
            return Err(io::Error::other("the device has gone, and sysfs did not show its name"));
        };
        let found = the_one_named(name, &self.root)?;
        let device =
            PtpDevice::open(&self.root.join("dev").join(found.file_name().unwrap_or_default()))?;
        // The file in /dev may be another device's by now.
        if fs::read_to_string(found.join("dev"))?.trim() != device.number()? {
            return Err(io::Error::other("the device is about to change its number"));
        }
        self.is_precise = device.read_precise().is_ok();
        self.device = device;
        self.folder = found;
        Ok(())
    }

    fn describe(&self) -> String {
        self.clock_name.as_ref().map_or_else(String::new, |name| format!("clock {name}, "))
    }
}

/// What the driver of the device with this folder in sysfs calls it.
pub(super) fn clock_name(folder: &Path) -> Option<String> {
    let name = fs::read_to_string(folder.join("clock_name")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The folder in sysfs of the only device that its driver calls this.
fn the_one_named(name: &str, root: &Path) -> io::Result<PathBuf> {
    let entries = fs::read_dir(root.join("sys/class/ptp"))?;
    let mut named = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|folder| clock_name(folder).as_deref() == Some(name));
    let found = named.next();
    match (found, named.next()) {
        (Some(folder), None) => Ok(folder),
        (None, _) => Err(io::Error::other(format!(
            "the device has gone, and none called {name} has come in its place"
        ))),
        (Some(_), Some(_)) => Err(io::Error::other(format!(
            "the device has gone, and more than one is called {name}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root directory whose sysfs has these PTP devices, by folder and clock_name.
    fn root(test: &str, devices: &[(&str, &str)]) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("truechimer-ptp-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("sys/class/ptp")).expect("a directory");
        for (device, name) in devices {
            let folder = root.join("sys/class/ptp").join(device);
            fs::create_dir_all(&folder).expect("a directory");
            fs::write(folder.join("clock_name"), format!("{name}\n")).expect("written");
        }
        root
    }

    #[test]
    fn a_device_is_found_again_by_its_name_if_no_other_has_it() {
        let root = root(
            "again",
            &[("ptp0", "KVM"), ("ptp3", "ena-05"), ("ptp4", "twin"), ("ptp5", "twin")],
        );
        let found = |name: &str| {
            the_one_named(name, &root).map(|folder| folder.file_name().map(ToOwned::to_owned))
        };
        assert_eq!(found("ena-05").expect("there"), Some("ptp3".into()));
        for (name, why) in [("twin", "more than one"), ("ena", "none called"), ("", "none called")]
        {
            let error = found(name).expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        let _ = fs::remove_dir_all(&root);
    }

    #[test]
    fn what_is_no_clock_is_an_error_that_names_it() {
        let error =
            HostDevice::open(Path::new("/nonexistent/ptp0"), Path::new("/")).expect_err("absent");
        let (text, is_transient) = (error.to_string(), error.is_transient());
        if cfg!(target_os = "linux") {
            assert!(text.contains("/nonexistent/ptp0") && is_transient, "{text}");
            let error =
                HostDevice::open(Path::new("/dev/null"), Path::new("/")).expect_err("no clock");
            assert!(error.to_string().contains("/dev/null is no PTP clock"), "{error}");
            assert!(!error.is_transient());
        } else {
            assert!(text.contains("Linux"), "{text}");
        }
    }
}
