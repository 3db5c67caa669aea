//! Whether the host is a virtual machine, and whose.
//!
//! It matters since a virtual machine can be stopped without its clocks noticing.
//! Hypervisors try to look like the real thing, so this is a collection of
//! traces, and the answer names those that it rests on.

use std::path::Path;

use serde::Serialize;

use super::{clocksource, contents_of, first_line_of};
use crate::output::Page;

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
        if contents_of(root, "/proc/sys/kernel/osrelease").to_lowercase().contains("microsoft") {
            found(Some("Hyper-V (WSL)"), "the kernel's release".to_owned());
        }
        if let Some(kind) = first_line_of(root, "/sys/hypervisor/type") {
            let name = (kind == "xen").then_some("Xen");
            found(name, format!("/sys/hypervisor/type, `{kind}`"));
        }
        if let Some(kind) = first_line_of(root, "/proc/device-tree/hypervisor/compatible") {
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
    let cpuinfo = contents_of(root, "/proc/cpuinfo");
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// The word in the firmware's tables that names a hypervisor, and that one's name.
fn firmware_name(root: &Path) -> Option<(&'static str, &'static str)> {
    const FIELDS: [&str; 5] =
        ["sys_vendor", "product_name", "board_vendor", "bios_vendor", "bios_version"];
    let words = FIELDS.map(|field| first_line_of(root, &format!("/sys/class/dmi/id/{field}")));
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    PRODUCTS.into_iter().find(|(word, _)| words.contains(word))
}

#[cfg(test)]
mod tests {
    use super::super::fake_root::{Files, Host};
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
    fn bytes_that_are_no_text_are_no_error() {
        let host = Host::with(&[NO_FLAG]);
        std::fs::write(host.root().join("proc/cpuinfo"), b"flags: \xff\xfe hypervisor\n")
            .expect("ours");
        assert!(MachineView::gather(host.root()).virtual_machine);
    }
}
