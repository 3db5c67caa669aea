//! Other clocks that the host has: a VMClock page, PTP hardware clocks, real-time clocks.

use std::fs::File;
use std::path::Path;

use serde::Serialize;
use truechimer::source::KernelState;

use super::files::{entries_of, first_line_of};
use crate::output::Page;

/// The devices of each kind.
#[derive(Serialize)]
pub struct Devices {
    pub vmclock: Vec<DeviceView>,
    pub ptp: Vec<PtpView>,
    pub rtc: Vec<RtcView>,
}

/// A device file.
#[derive(Serialize)]
pub struct DeviceView {
    pub path: String,
    /// Whether this user may open it.
    pub readable: bool,
}

/// A PTP hardware clock.
#[derive(Serialize)]
pub struct PtpView {
    #[serde(flatten)]
    pub device: DeviceView,
    /// Its driver's name for it.
    pub clock_name: Option<String>,
    /// Its error bound in nanoseconds, if its driver states one.
    #[serde(serialize_with = "truechimer::decimal::option::serialize")]
    pub error_bound_ns: Option<u64>,
}

/// A real-time clock.
#[derive(Serialize)]
pub struct RtcView {
    pub name: String,
    pub driver: Option<String>,
    /// What it shows, in seconds of Unix time.
    pub unix_s: Option<i64>,
    /// How far it is ahead of the wall clock, to within 2 s.
    pub ahead_of_wall_clock_s: Option<i64>,
    /// Whether the wall clock was set from it at boot.
    pub set_clock_at_boot: bool,
}

impl Devices {
    pub fn gather(root: &Path, kernel: Option<&KernelState>) -> Devices {
        let vmclock = entries_of(root, "/dev", "vmclock");
        let ptp = entries_of(root, "/dev", "ptp");
        let rtc = entries_of(root, "/sys/class/rtc", "rtc");
        let wall_s = kernel.map(|kernel| kernel.unix_ns.div_euclid(1_000_000_000));
        Devices {
            vmclock: vmclock.iter().map(|name| DeviceView::new(root, name)).collect(),
            ptp: ptp.iter().map(|name| PtpView::new(root, name)).collect(),
            rtc: rtc.into_iter().map(|name| RtcView::new(root, name, wall_s)).collect(),
        }
    }

    pub fn has_vmclock(&self) -> bool {
        !self.vmclock.is_empty()
    }

    pub fn lines(&self, page: &mut Page) {
        let none = |kind, page: &mut Page| page.line(kind, "none");
        if self.vmclock.is_empty() {
            none("VMClock", page);
        }
        for device in &self.vmclock {
            page.line("VMClock", &device.to_text());
        }
        if self.ptp.is_empty() {
            none("PTP clock", page);
        }
        for ptp in &self.ptp {
            page.line("PTP clock", &ptp.to_text());
        }
        if self.rtc.is_empty() {
            none("RTC", page);
        }
        for rtc in &self.rtc {
            page.line("RTC", &rtc.to_text());
        }
    }
}

impl DeviceView {
    fn new(root: &Path, name: &str) -> DeviceView {
        let path = format!("/dev/{name}");
        let readable = File::open(root.join(&path[1..])).is_ok();
        DeviceView { path, readable }
    }

    fn to_text(&self) -> String {
        let access = if self.readable { "" } else { ", which this user may not read" };
        format!("{}{access}", self.path)
    }
}

impl PtpView {
    fn new(root: &Path, name: &str) -> PtpView {
        let class = format!("/sys/class/ptp/{name}");
        let bound = first_line_of(root, &format!("{class}/device/phc_error_bound"));
        PtpView {
            device: DeviceView::new(root, name),
            clock_name: first_line_of(root, &format!("{class}/clock_name")),
            error_bound_ns: bound.and_then(|bound| bound.parse().ok()),
        }
    }

    fn to_text(&self) -> String {
        let mut text = self.device.to_text();
        if let Some(name) = &self.clock_name {
            text += &format!(" ({name})");
        }
        if let Some(bound) = self.error_bound_ns {
            text += &format!(", which states an error of {bound} ns");
        }
        text
    }
}

impl RtcView {
    fn new(root: &Path, name: String, wall_s: Option<i64>) -> RtcView {
        let class = format!("/sys/class/rtc/{name}");
        let read = |file: &str| first_line_of(root, &format!("{class}/{file}"));
        let unix_s = read("since_epoch").and_then(|text| text.parse::<i64>().ok());
        let ahead = unix_s.zip(wall_s).map(|(rtc, wall)| rtc.saturating_sub(wall));
        RtcView {
            driver: read("name"),
            unix_s,
            ahead_of_wall_clock_s: ahead,
            set_clock_at_boot: read("hctosys").as_deref() == Some("1"),
            name,
        }
    }

    fn to_text(&self) -> String {
        let mut text = self.name.clone();
        if let Some(driver) = &self.driver {
            text += &format!(" ({driver})");
        }
        match self.ahead_of_wall_clock_s {
            None => text += ", which cannot be read",
            // It shows whole seconds, and was read at a slightly different moment.
            Some(-2..=2) => text += ", within 2 s of the wall clock",
            Some(ahead) => {
                let side = if ahead > 0 { "ahead of" } else { "behind" };
                let ahead = ahead.unsigned_abs();
                text += &format!(", {ahead} s {side} the wall clock (it may keep local time)");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::files::fake_root::Host;

    #[test]
    fn a_host_without_devices_has_empty_lists() {
        let host = Host::with(&[]);
        let devices = Devices::gather(host.root(), None);
        assert!(devices.vmclock.is_empty() && devices.ptp.is_empty() && devices.rtc.is_empty());
    }

    #[test]
    fn the_files_of_devices_are_read() {
        let host = Host::with(&[
            ("/dev/vmclock0", ""),
            ("/dev/ptp0", ""),
            ("/sys/class/ptp/ptp0/clock_name", "KVM virtual PTP\n"),
            ("/sys/class/ptp/ptp0/device/phc_error_bound", "12345\n"),
            ("/sys/class/rtc/rtc0/name", "rtc_cmos rtc_cmos\n"),
            ("/sys/class/rtc/rtc0/since_epoch", "1003\n"),
            ("/sys/class/rtc/rtc1/since_epoch", "garbage\n"),
        ]);
        let mut kernel = KernelState::read().expect("no filter denies it in tests");
        kernel.unix_ns = 1_000_999_999_999;
        let devices = Devices::gather(host.root(), Some(&kernel));
        assert!(devices.has_vmclock() && devices.vmclock[0].readable);
        assert_eq!(devices.ptp[0].error_bound_ns, Some(12_345));
        assert!(devices.ptp[0].to_text().contains("KVM virtual PTP"));
        assert_eq!(devices.rtc[0].ahead_of_wall_clock_s, Some(3));
        assert!(devices.rtc[0].to_text().contains("3 s ahead of"));
        assert!(devices.rtc[1].to_text().contains("cannot be read"));
    }
}
