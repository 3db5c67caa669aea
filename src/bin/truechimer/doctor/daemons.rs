//! Which time daemons run, and whether the clock uses what they write.

use serde::Serialize;
use truechimer::source::daemon::{Daemon, Verdict};

use crate::args::with_option_names;
use crate::output::Page;

/// A time daemon that runs here.
#[derive(Clone, Serialize)]
pub struct DaemonView {
    pub name: String,
    pub daemon: Daemon,
    pub verdict: Verdict,
    pub explanation: String,
}

impl From<Daemon> for DaemonView {
    fn from(daemon: Daemon) -> DaemonView {
        DaemonView {
            name: daemon.to_string(),
            daemon,
            verdict: daemon.verdict(),
            explanation: with_option_names(&daemon.explanation()),
        }
    }
}

impl DaemonView {
    pub fn gather() -> Vec<DaemonView> {
        Daemon::detect().into_iter().map(DaemonView::from).collect()
    }
}

/// `is_believed` is the clock's judgement of the kernel's bound, whichever daemon wrote it.
pub fn lines(daemons: &[DaemonView], is_believed: bool, in_container: bool, page: &mut Page) {
    page.heading("Time daemon");
    if daemons.is_empty() {
        let none = "no time daemon that may set the clock can be seen among the processes";
        let hidden = "; one may run outside of this container";
        page.line("none", &format!("{none}{}", if in_container { hidden } else { "" }));
    }
    for daemon in daemons {
        page.line(&daemon.name, &format!("it {}{}", daemon.explanation, daemon.used(is_believed)));
    }
}

impl DaemonView {
    /// The end of its line: whether the clock uses its bound.
    fn used(&self, is_believed: bool) -> &'static str {
        match (self.verdict, is_believed) {
            (Verdict::NotBelieved, _) => "",
            (_, true) => "; the clock uses it",
            (_, false) => "; the clock does not use it now (see `Sources of time`)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_not_called_trusted_while_its_bound_is_refused() {
        let view = DaemonView::from(Daemon::Chrony);
        assert!(view.used(true).contains("uses it"));
        assert!(view.used(false).contains("does not use it"));
        let mut page = Page::new(crate::output::Paint::for_stdout());
        lines(&[view, DaemonView::from(Daemon::Vmtoolsd)], false, false, &mut page);
        let text = page.into_text();
        assert!(!text.contains("trusted"), "{text}");
        assert!(text.contains("--assume"), "options and not methods: {text}");
    }
}
