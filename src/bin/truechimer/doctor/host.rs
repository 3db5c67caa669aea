//! What the clock runs on: a machine or a virtual one, a container, and whether it slept.
//!
//! Virtual machines matter since they can be stopped without their clocks
//! noticing, containers since neither the clock nor its daemon is theirs. Both
//! try to look like the real thing, so this is a collection of traces; each
//! verdict names the traces that it rests on.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{clocksource, text_of, word_of};
use crate::output::{Page, rounded_up};

/// A virtual machine, if it is one.
#[derive(Serialize)]
pub struct MachineView {
    pub virtual_machine: bool,
    /// Who makes it, where that shows.
    pub hypervisor: Option<&'static str>,
    /// What shows it.
    pub evidence: Vec<String>,
}

/// How hypervisors call themselves in the firmware's tables, and their names.
const PRODUCTS: [(&str, &str); 16] = [
    ("Amazon EC2", "Amazon EC2"),
    ("Google Compute Engine", "Google Compute Engine"),
    ("VMware", "VMware"),
    ("VirtualBox", "VirtualBox"),
    ("innotek GmbH", "VirtualBox"),
    ("Parallels", "Parallels"),
    ("BHYVE", "bhyve"),
    ("Apple Virtualization", "Apple Virtualization"),
    ("Microsoft Corporation Virtual Machine", "Hyper-V"),
    ("Alibaba Cloud", "Alibaba Cloud (KVM)"),
    ("OpenStack", "OpenStack (KVM)"),
    ("DigitalOcean", "DigitalOcean (KVM)"),
    ("Xen", "Xen"),
    ("KVM", "KVM"),
    ("QEMU", "QEMU"),
    ("Bochs", "Bochs"),
];

/// Clocksources that only a guest has.
const GUEST_CLOCKSOURCES: [(&str, &str); 4] = [
    ("kvm-clock", "KVM"),
    ("hyperv_clocksource_tsc_page", "Hyper-V"),
    ("hyperv_clocksource_msr", "Hyper-V"),
    ("xen", "Xen"),
];

impl MachineView {
    pub fn gather(root: &Path) -> MachineView {
        let mut evidence = Vec::new();
        let mut hypervisor = None;
        let mut found = |name: Option<&'static str>, trace: String| {
            hypervisor = hypervisor.or(name);
            evidence.push(trace);
        };
        let flag = processor_flag(root);
        if flag == Some(true) {
            found(None, "the processor's flag `hypervisor`".to_owned());
        }
        // The same words stand on the bare machines of some clouds, without the flag.
        if flag != Some(false) {
            if let Some((word, name)) = firmware_name(root) {
                found(Some(name), format!("the firmware's `{word}`"));
            }
        }
        if text_of(root, "/proc/sys/kernel/osrelease").to_lowercase().contains("microsoft") {
            found(Some("Hyper-V (WSL)"), "the kernel's release".to_owned());
        }
        if let Some(kind) = word_of(root, "/sys/hypervisor/type") {
            let name = (kind == "xen").then_some("Xen");
            found(name, format!("/sys/hypervisor/type, `{kind}`"));
        }
        if let Some(kind) = word_of(root, "/proc/device-tree/hypervisor/compatible") {
            let name = kind.contains("kvm").then_some("KVM");
            found(name, format!("the device tree's hypervisor, `{kind}`"));
        }
        for source in clocksource::available(root) {
            let known = GUEST_CLOCKSOURCES.iter().find(|(name, _)| *name == source);
            if let Some((_, name)) = known {
                found(Some(name), format!("the clocksource `{source}`"));
            }
        }
        MachineView { virtual_machine: !evidence.is_empty(), hypervisor, evidence }
    }

    pub fn lines(&self, has_vmclock: bool, page: &mut Page) {
        if !self.virtual_machine {
            page.line("machine", "no sign of a virtual one");
            return;
        }
        let name = self.hypervisor.unwrap_or("of an unknown kind");
        let evidence = self.evidence.join(", ");
        page.line("machine", &format!("a virtual one, {name}: by {evidence}"));
        if !has_vmclock {
            let limit = "if the hypervisor pauses this machine its clocks do not show it, and the \
                         error bounds do not count that time (no VMClock device)";
            page.line("", limit);
        }
    }
}

/// The flag `hypervisor` of x86 processors; `None` where processors have no such flags.
fn processor_flag(root: &Path) -> Option<bool> {
    let cpuinfo = text_of(root, "/proc/cpuinfo");
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// The word in the firmware's tables that names a hypervisor, and that one's name.
fn firmware_name(root: &Path) -> Option<(&'static str, &'static str)> {
    const FIELDS: [&str; 5] =
        ["sys_vendor", "product_name", "board_vendor", "bios_vendor", "bios_version"];
    let words = FIELDS.map(|field| word_of(root, &format!("/sys/class/dmi/id/{field}")));
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    PRODUCTS.into_iter().find(|(word, _)| words.contains(word))
}

/// A container, if this process is in one.
#[derive(Serialize)]
pub struct ContainerView {
    pub inside: bool,
    /// Which kind, where that shows.
    pub kind: Option<String>,
    /// What shows it.
    pub evidence: Vec<String>,
}

/// Words in the path of a control group that a container's manager leaves there.
const CGROUPS: [(&str, &str); 6] = [
    ("kubepods", "Kubernetes"),
    ("docker", "Docker"),
    ("libpod", "Podman"),
    ("containerd", "containerd"),
    ("/lxc", "LXC"),
    ("machine.slice", "systemd-nspawn"),
];

impl ContainerView {
    /// `variable` reads this process's environment.
    pub fn gather(root: &Path, variable: &dyn Fn(&str) -> Option<String>) -> ContainerView {
        let mut evidence = Vec::new();
        let mut kind = None;
        let mut found = |name: String, trace: &str| {
            kind.get_or_insert(name);
            evidence.push(trace.to_owned());
        };
        if variable("KUBERNETES_SERVICE_HOST").is_some() {
            found("Kubernetes".to_owned(), "the variable KUBERNETES_SERVICE_HOST");
        }
        if let Some(word) = word_of(root, "/run/systemd/container") {
            found(word, "/run/systemd/container");
        }
        if root.join("run/.containerenv").exists() {
            found("Podman".to_owned(), "/run/.containerenv");
        }
        if root.join(".dockerenv").exists() {
            found("Docker".to_owned(), "/.dockerenv");
        }
        let cgroup = text_of(root, "/proc/1/cgroup");
        if let Some((_, name)) = CGROUPS.iter().find(|(word, _)| cgroup.contains(word)) {
            found((*name).to_owned(), "/proc/1/cgroup");
        }
        let environment = text_of(root, "/proc/1/environ");
        let set = environment.split('\0').find_map(|entry| entry.strip_prefix("container="));
        if let Some(word) = set.filter(|word| !word.is_empty()) {
            found(word.escape_debug().to_string(), "the variable `container` of process 1");
        }
        ContainerView { inside: !evidence.is_empty(), kind, evidence }
    }

    pub fn lines(&self, page: &mut Page) {
        match &self.kind {
            None => page.line("container", "no sign of one"),
            Some(kind) => {
                let evidence = self.evidence.join(", ");
                page.line(
                    "container",
                    &format!(
                        "{kind}, by {evidence}: the clock is the host's, and its daemon may run \
                         where it is not seen from here"
                    ),
                );
            }
        }
    }
}

/// How long the host has slept since it booted.
#[derive(Serialize)]
pub struct SuspendView {
    /// BOOTTIME − MONOTONIC, less what a time namespace adds; 0 below the 1 ms by
    /// which the two readings may be apart.
    pub suspended_ns: u64,
    /// Whether this process is in a time namespace with offsets of its own.
    pub time_namespace: bool,
}

impl SuspendView {
    pub fn gather(difference: Duration, root: &Path) -> SuspendView {
        let offset_ns = namespace_offset_ns(&text_of(root, "/proc/self/timens_offsets"));
        let difference_ns = i128::try_from(difference.as_nanos()).unwrap_or(i128::MAX);
        let suspended_ns = difference_ns.saturating_sub(offset_ns.unwrap_or(0));
        let suspended_ns = if suspended_ns < 1_000_000 { 0 } else { suspended_ns };
        SuspendView {
            suspended_ns: suspended_ns.try_into().unwrap_or(u64::MAX),
            time_namespace: offset_ns.is_some(),
        }
    }

    pub fn lines(&self, page: &mut Page) {
        let slept = if self.suspended_ns == 0 {
            "never since boot (BOOTTIME − MONOTONIC is 0)".to_owned()
        } else {
            let slept = rounded_up(Duration::from_nanos(self.suspended_ns));
            format!("for {slept} in all since boot (BOOTTIME − MONOTONIC)")
        };
        let namespace = if self.time_namespace { "; in a time namespace" } else { "" };
        page.line("suspended", &format!("{slept}{namespace}"));
    }
}

/// By how much a time namespace moves BOOTTIME further than MONOTONIC; `None` where
/// there is none, or it moves nothing.
fn namespace_offset_ns(offsets: &str) -> Option<i128> {
    let offset_of = |clock: &str| {
        let line = offsets.lines().find_map(|line| line.trim_start().strip_prefix(clock))?;
        let mut numbers = line.split_whitespace().map(str::parse::<i64>);
        let (seconds, nanos) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
    };
    let (monotonic, boottime) = (offset_of("monotonic")?, offset_of("boottime")?);
    (monotonic != 0 || boottime != 0).then_some(boottime - monotonic)
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{Files, Host};
    use super::*;

    const FLAG: (&str, &str) = ("/proc/cpuinfo", "processor: 0\nflags\t\t: fpu hypervisor sse\n");
    const NO_FLAG: (&str, &str) = ("/proc/cpuinfo", "processor: 0\nflags\t\t: fpu sse\n");
    const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

    #[test]
    fn virtual_machines_and_bare_ones() {
        let vendor = |name| ("/sys/class/dmi/id/sys_vendor", name);
        let product = |name| ("/sys/class/dmi/id/product_name", name);
        let cases: &[(Files, bool, Option<&str>)] = &[
            (&[], false, None),
            (&[NO_FLAG], false, None),
            (&[FLAG], true, None),
            (&[FLAG, (CLOCKSOURCE, "tsc kvm-clock \n")], true, Some("KVM")),
            (&[FLAG, vendor("QEMU\n")], true, Some("QEMU")),
            (&[FLAG, vendor("Amazon EC2\n"), product("m7g\n")], true, Some("Amazon EC2")),
            (&[NO_FLAG, vendor("Amazon EC2\n"), product("m5.metal\n")], false, None),
            (
                &[FLAG, vendor("Microsoft Corporation\n"), product("Virtual Machine\n")],
                true,
                Some("Hyper-V"),
            ),
            (&[NO_FLAG, vendor("Microsoft Corporation\n"), product("Surface Pro\n")], false, None),
            // No flags on ARM: there the firmware's word has to do.
            (&[("/proc/cpuinfo", "Features : fp\n"), vendor("QEMU\n")], true, Some("QEMU")),
            (&[("/proc/device-tree/hypervisor/compatible", "linux,kvm\0")], true, Some("KVM")),
            (&[("/sys/hypervisor/type", "xen\n")], true, Some("Xen")),
        ];
        for (files, is_virtual, name) in cases {
            let host = Host::with(files);
            let machine = MachineView::gather(host.root());
            let found = (machine.virtual_machine, machine.hypervisor);
            assert_eq!(found, (*is_virtual, *name), "{files:?}");
        }
    }

    #[test]
    fn containers_and_their_traces() {
        let cases: &[(Files, Option<&str>)] = &[
            (&[], None),
            (&[("/proc/1/cgroup", "0::/init.scope\n")], None),
            (&[("/proc/1/cgroup", "0::/kubepods.slice/pod1\n")], Some("Kubernetes")),
            (&[("/proc/1/cgroup", "9:cpu:/docker/abc\n")], Some("Docker")),
            (&[("/.dockerenv", "")], Some("Docker")),
            (&[("/run/.containerenv", "engine=\"podman\"\n")], Some("Podman")),
            (&[("/run/systemd/container", "systemd-nspawn\n")], Some("systemd-nspawn")),
            (&[("/proc/1/environ", "PATH=/bin\0container=lxc\0")], Some("lxc")),
            (&[("/proc/1/environ", "PATH=/bin\0container=\0")], None),
        ];
        for (files, kind) in cases {
            let host = Host::with(files);
            let container = ContainerView::gather(host.root(), &|_| None);
            assert_eq!(container.kind.as_deref(), *kind, "{files:?}");
            assert_eq!(container.inside, kind.is_some());
        }
        let nothing = Host::with(&[]);
        let container = ContainerView::gather(nothing.root(), &|name| {
            (name.starts_with("KUB")).then(String::new)
        });
        assert_eq!(container.kind.as_deref(), Some("Kubernetes"));
    }

    #[test]
    fn a_time_namespace_is_no_suspend() {
        let day = 86_400;
        let cases = [
            (Duration::from_nanos(300), "", 0, false),
            (Duration::from_secs(5), "", 5_000_000_000, false),
            (Duration::from_secs(5), "monotonic 0 0\nboottime 0 0\n", 5_000_000_000, false),
            (Duration::from_secs(day), "monotonic   0  0\nboottime  86400 0\n", 0, true),
            (Duration::from_secs(7), "monotonic -3 0\nboottime 2 0\n", 2_000_000_000, true),
            (Duration::ZERO, "monotonic 0 0\nboottime 9223372036854775807 999\n", 0, true),
            (Duration::from_secs(5), "monotonic x\nboottime", 5_000_000_000, false),
        ];
        for (difference, offsets, slept, namespace) in cases {
            let host = Host::with(&[("/proc/self/timens_offsets", offsets)]);
            let view = SuspendView::gather(difference, host.root());
            assert_eq!((view.suspended_ns, view.time_namespace), (slept, namespace), "{offsets:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_error() {
        let host = Host::with(&[NO_FLAG]);
        std::fs::write(host.root().join("proc/cpuinfo"), b"flags: \xff\xfe hypervisor\n")
            .expect("ours");
        assert!(MachineView::gather(host.root()).virtual_machine);
    }
}
