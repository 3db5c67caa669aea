//! Whether this process is in a container: then neither the clock nor its daemon is its own.
//!
//! The traces are those that systemd-detect-virt looks for; the answer names
//! those that it rests on.

use std::path::Path;

use serde::Serialize;

use super::{contents_of, first_line_of};
use crate::output::Page;

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
        if let Some(word) = first_line_of(root, "/run/systemd/container") {
            found(word, "/run/systemd/container");
        }
        if root.join("run/.containerenv").exists() {
            found("Podman".to_owned(), "/run/.containerenv");
        }
        if root.join(".dockerenv").exists() {
            found("Docker".to_owned(), "/.dockerenv");
        }
        let cgroup = contents_of(root, "/proc/1/cgroup");
        if let Some((_, name)) = CGROUPS.iter().find(|(word, _)| cgroup.contains(word)) {
            found((*name).to_owned(), "/proc/1/cgroup");
        }
        let environment = contents_of(root, "/proc/1/environ");
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

#[cfg(test)]
mod tests {
    use super::super::fake_root::{Files, Host};
    use super::*;

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
