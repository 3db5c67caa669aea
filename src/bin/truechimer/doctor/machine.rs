//! Whether the host is a virtual machine, and of which hypervisor.
//!
//! This matters because a hypervisor can pause a virtual machine, and its clocks do not show
//! that. Hypervisors imitate real machines, so this module looks for traces, and the report
//! names those that were found.

use std::path::Path;

use serde::Serialize;

use super::clocksource;
use super::files::{contents_of, first_line_of};
use crate::output::Page;

/// Whether the host is a virtual machine.
#[derive(Serialize)]
pub struct MachineView {
    pub virtual_machine: bool,
    /// Its hypervisor, if it can be told.
    pub hypervisor: Option<&'static str>,
    /// The traces that were found.
    pub evidence: Vec<String>,
}

/// What hypervisors write into the firmware's tables, and their names.
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
        // The bare machines of some clouds have the same names in their tables, but not the flag.
        if flag != Some(false) {
            if let Some((product, name)) = firmware_name(root) {
                found(Some(name), format!("the firmware's `{product}`"));
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
            page.line("machine", "no trace of a virtual one");
            return;
        }
        let name = self.hypervisor.unwrap_or("of an unknown kind");
        let evidence = self.evidence.join(", ");
        page.line("machine", &format!("a virtual one, {name}: by {evidence}"));
        if !has_vmclock {
            let limit = "if the hypervisor pauses this machine, its clocks do not show it, and the \
                         error bounds do not include that time (no VMClock device)";
            page.line("", limit);
        }
    }
}

/// The flag `hypervisor` of x86 processors; `None` if the processor has no list of flags.
fn processor_flag(root: &Path) -> Option<bool> {
    let cpuinfo = contents_of(root, "/proc/cpuinfo");
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// The text in the firmware's tables that shows a hypervisor, and the hypervisor's name.
fn firmware_name(root: &Path) -> Option<(&'static str, &'static str)> {
    const FIELDS: [&str; 5] =
        ["sys_vendor", "product_name", "board_vendor", "bios_vendor", "bios_version"];
    let fields = FIELDS.map(|field| first_line_of(root, &format!("/sys/class/dmi/id/{field}")));
    let fields = fields.into_iter().flatten().collect::<Vec<_>>().join(" ");
    PRODUCTS.into_iter().find(|(product, _)| fields.contains(product))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::files::fake_root::{Files, Host};

    const FLAG: (&str, &str) = ("/proc/cpuinfo", "processor: 0\nflags\t\t: fpu hypervisor sse\n");
    const NO_FLAG: (&str, &str) = ("/proc/cpuinfo", "processor: 0\nflags\t\t: fpu sse\n");
    const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

    #[test]
    fn virtual_machines_are_told_from_bare_ones() {
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
            // ARM has no such flags, so the firmware's tables decide.
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
    fn bytes_that_are_not_utf_8_are_accepted() {
        let host = Host::with(&[NO_FLAG]);
        std::fs::write(host.root().join("proc/cpuinfo"), b"flags: \xff\xfe hypervisor\n")
            .expect("ours");
        assert!(MachineView::gather(host.root()).virtual_machine);
    }
}
