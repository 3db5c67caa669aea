//! Which time daemon runs, and whether its bound may be believed.

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

pub fn lines(daemons: &[DaemonView], in_container: bool, page: &mut Page) {
    page.heading("Time daemon");
    if daemons.is_empty() {
        let none = "no time daemon can be seen among the processes";
        let hidden = "; one may run outside of this container";
        page.line("none", &format!("{none}{}", if in_container { hidden } else { "" }));
    }
    for daemon in daemons {
        let believed = match daemon.verdict {
            Verdict::Believed => "its bound may be believed",
            Verdict::BelievedWithCare => "its bound may be believed with care",
            Verdict::NotBelieved => "its bound may not be believed",
            _ => "nothing is known about its bound",
        };
        page.line(&daemon.name, &format!("{believed}: it {}", daemon.explanation));
    }
}
