//! Whether this process is in a container, where the clock and its daemon are the host's.
//!
//! The traces are those that systemd-detect-virt looks for. The report names the traces
//! that were found.

use std::path::Path;

use serde::Serialize;

use super::files::{contents_of, first_line_of};
use crate::output::Page;

/// Whether this process is in a container.
#[derive(Serialize)]
pub struct ContainerView {
    pub inside: bool,
    /// Which kind, if it can be told.
    pub kind: Option<String>,
    /// The traces that were found.
    pub evidence: Vec<String>,
}

/// Parts of a control group's path that show which manager made it.
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
        if let Some(name) = first_line_of(root, "/run/systemd/container") {
            found(name, "/run/systemd/container");
        }
        if root.join("run/.containerenv").exists() {
            found("Podman".to_owned(), "/run/.containerenv");
        }
        if root.join(".dockerenv").exists() {
            found("Docker".to_owned(), "/.dockerenv");
        }
        let cgroup = contents_of(root, "/proc/1/cgroup");
        if let Some((_, name)) = CGROUPS.iter().find(|(part, _)| cgroup.contains(part)) {
            found((*name).to_owned(), "/proc/1/cgroup");
        }
        let environment = contents_of(root, "/proc/1/environ");
        let set = environment.split('\0').find_map(|entry| entry.strip_prefix("container="));
        if let Some(name) = set.filter(|name| !name.is_empty()) {
            found(name.escape_debug().to_string(), "the variable `container` of process 1");
        }
        ContainerView { inside: !evidence.is_empty(), kind, evidence }
    }

    pub fn lines(&self, page: &mut Page) {
        match &self.kind {
            None => page.line("container", "no trace of one"),
            Some(kind) => {
                let evidence = self.evidence.join(", ");
                page.line(
                    "container",
                    &format!(
                        "{kind}, by {evidence}: the clock is the host's, and its daemon may run \
                         where it cannot be seen from here"
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::files::fake_root::{Files, Host};

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
}
