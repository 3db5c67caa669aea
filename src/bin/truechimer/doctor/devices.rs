//! Other clocks that the host has: a VMClock page, PTP hardware clocks, real-time clocks.

use std::fs::File;
use std::path::Path;

use serde::Serialize;
use truechimer::clock::VmClockReport;
use truechimer::source::KernelState;
use truechimer::source::phc::{PhcInfo, PhcScale};

use super::files::{entries_of, first_line_of};
use crate::output::{Page, rounded_up};

/// The devices of each kind.
#[derive(Serialize)]
pub struct Devices {
    pub vmclock: Vec<DeviceView>,
    /// What the clock has of the first of them.
    pub vmclock_use: VmClockReport,
    pub ptp: Vec<PhcInfo>,
    pub rtc: Vec<RtcView>,
}

/// A device file.
#[derive(Serialize)]
pub struct DeviceView {
    pub path: String,
    /// Whether this user may open it.
    pub readable: bool,
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
    pub fn gather(
        root: &Path,
        kernel: Option<&KernelState>,
        vmclock_use: VmClockReport,
        ptp: Vec<PhcInfo>,
    ) -> Devices {
        let vmclock = entries_of(root, "/dev", "vmclock");
        let rtc = entries_of(root, "/sys/class/rtc", "rtc");
        let wall_s = kernel.map(|kernel| kernel.unix_ns.div_euclid(1_000_000_000));
        Devices {
            vmclock: vmclock.iter().map(|name| DeviceView::new(root, name)).collect(),
            vmclock_use,
            ptp,
            rtc: rtc.into_iter().map(|name| RtcView::new(root, name, wall_s)).collect(),
        }
    }

    /// Whether a VMClock is used, so that moves of this machine show.
    pub fn moves_show(&self) -> bool {
        self.vmclock_use.path.is_some() && self.vmclock_use.unused.is_none()
    }

    pub fn has_vmclock(&self) -> bool {
        !self.vmclock.is_empty()
    }

    /// Whether the line about the clock's VMClock is about this device.
    fn is_in_use(&self, device: &DeviceView) -> bool {
        self.vmclock_use.path.as_deref() == Some(Path::new(&device.path))
    }

    pub fn lines(&self, page: &mut Page) {
        let none = |kind, page: &mut Page| page.line(kind, "none");
        page.line("VMClock", &text_of_vmclock(&self.vmclock_use));
        for device in self.vmclock.iter().filter(|device| !self.is_in_use(device)) {
            page.line("VMClock", &device.to_text());
        }
        if self.ptp.is_empty() {
            none("PTP clock", page);
        }
        for ptp in &self.ptp {
            page.line("PTP clock", &text_of_ptp(ptp));
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

/// A PTP hardware clock, in words.
fn text_of_ptp(ptp: &PhcInfo) -> String {
    let mut text = ptp.path.display().to_string();
    if let Some(name) = &ptp.clock_name {
        text += &format!(" ({})", name.escape_debug());
    }
    match ptp.looks_like {
        Some(PhcScale::Tai) => text += ", which shows TAI if the wall clock is right",
        Some(PhcScale::Utc) => text += ", which shows UTC if the wall clock is right",
        _ => {}
    }
    match (ptp.error_bound, &ptp.problem) {
        (Some(bound), _) => {
            text += &format!("; its driver states an error of {}", rounded_up(bound))
        }
        (None, Some(problem)) => text += &format!("; {problem}"),
        (None, None) => {}
    }
    text
}

/// What VMClock gives to the clock, in words.
fn text_of_vmclock(vmclock: &VmClockReport) -> String {
    if let Some(why) = &vmclock.unused {
        return why.clone();
    }
    let Some(path) = &vmclock.path else { return "not looked for".to_owned() };
    let mut text = format!("{}, compared {}", path.display(), vmclock.checked);
    if let Some(marker) = vmclock.marker {
        text += &format!("; marker {marker}");
    }
    if let Some(load_ns) = vmclock.load_ns {
        text += &format!("; a look costs {load_ns} ns");
    }
    if vmclock.disruptions > 0 {
        text += &format!("; moved or restored {} times", vmclock.disruptions);
    }
    text += if vmclock.has_time { "; it states the time as well" } else { "; it states no time" };
    text
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

    fn gather(host: &Host, kernel: Option<&KernelState>) -> Devices {
        let clock =
            truechimer::Clock::builder().without_vmclock().manual().build().expect("a clock");
        Devices::gather(host.root(), kernel, clock.report().vmclock, Vec::new())
    }

    #[test]
    fn a_host_without_devices_has_empty_lists() {
        let host = Host::with(&[]);
        let devices = gather(&host, None);
        assert!(devices.vmclock.is_empty() && devices.ptp.is_empty() && devices.rtc.is_empty());
    }

    #[test]
    fn the_files_of_devices_are_read() {
        let host = Host::with(&[
            ("/dev/vmclock0", ""),
            ("/sys/class/rtc/rtc0/name", "rtc_cmos rtc_cmos\n"),
            ("/sys/class/rtc/rtc0/since_epoch", "1003\n"),
            ("/sys/class/rtc/rtc1/since_epoch", "garbage\n"),
        ]);
        let mut kernel = KernelState::read().expect("no filter denies it in tests");
        kernel.unix_ns = 1_000_999_999_999;
        let devices = gather(&host, Some(&kernel));
        assert!(devices.has_vmclock() && devices.vmclock[0].readable);
        assert_eq!(devices.rtc[0].ahead_of_wall_clock_s, Some(3));
        assert!(devices.rtc[0].to_text().contains("3 s ahead of"));
        assert!(devices.rtc[1].to_text().contains("cannot be read"));
    }
}
