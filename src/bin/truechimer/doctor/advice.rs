//! What to do next: a list of steps that follows from the facts, the most urgent first.

use truechimer::source::daemon::{Daemon, Verdict};

/// What the advice rests on.
#[derive(Clone, Default)]
pub struct Facts<'a> {
    /// Whether the kernel states a bound that counts as evidence.
    pub kernel_states_bound: bool,
    /// Whether a filter denies `adjtimex`.
    pub kernel_is_denied: bool,
    /// Whether this operating system has no `adjtimex`.
    pub kernel_is_unsupported: bool,
    /// Whether the kernel says that something disciplines its clock.
    pub kernel_synchronized: bool,
    /// TAI − UTC by the kernel, and by the table.
    pub tai: (Option<i32>, Option<i32>),
    /// A leap second is near, and the kernel has not been told of it.
    pub leap_is_untold: bool,
    /// Only the host's table has that leap second.
    pub leap_is_not_in_use: bool,
    pub used_table_expired: bool,
    /// The clock's table and the host's have different leap seconds.
    pub tables_differ: bool,
    pub reason_code: Option<&'a str>,
    pub assumed: bool,
    pub daemons: Vec<Daemon>,
    pub in_container: bool,
    pub hypervisor: Option<&'a str>,
    /// A PTP clock's path, and its driver's name for it.
    pub ptp: Option<(&'a str, &'a str)>,
    pub tsc_is_not_used: bool,
    pub steps_are_polled: bool,
}

impl Facts<'_> {
    /// The steps for this host.
    pub fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        self.about_a_leap_second(&mut steps);
        self.about_conflicts(&mut steps);
        if self.kernel_is_denied {
            steps.push(
                "Allow adjtimex in the seccomp filter of this process. Reading needs no \
                 privilege, and without it nothing is known about the kernel's clock."
                    .to_owned(),
            );
        } else if self.kernel_is_unsupported {
            steps.push(self.about_an_assumption().to_owned());
        } else if !self.kernel_states_bound {
            self.about_evidence(&mut steps);
        }
        self.about_details(&mut steps);
        if steps.is_empty() {
            steps.push("Nothing. No problem was found.".to_owned());
        }
        steps
    }

    /// What has to be done before midnight.
    fn about_a_leap_second(&self, steps: &mut Vec<String>) {
        if self.leap_is_untold {
            steps.push(
                "Let the time daemon tell the kernel of the coming leap second before the end of \
                 this UTC day: set `leapsectz right/UTC` in chrony.conf or `leapfile` in \
                 ntp.conf, and restart it. If its servers smear the leap second, use \
                 `--wall-scale` instead."
                    .to_owned(),
            );
        }
        if self.leap_is_not_in_use {
            steps.push(
                "The clock's own leap table does not have that leap second: update truechimer, or \
                 give programs the system's table (`leap_table(LeapTable::system()?)`)."
                    .to_owned(),
            );
        }
    }

    /// Sources or daemons that work against each other.
    fn about_conflicts(&self, steps: &mut Vec<String>) {
        if self.reason_code == Some("contradicted") {
            steps.push(
                "Two sources state bounds that cannot both be true. Compare them under `Sources \
                 of time`, and stop the wrong one."
                    .to_owned(),
            );
        }
        // ClockBound runs beside a chronyd, and ptp4l beside a phc2sys.
        let steers_alone = |daemon: &&Daemon| !matches!(daemon, Daemon::ClockBound | Daemon::Ptp4l);
        let daemons: Vec<String> =
            self.daemons.iter().filter(steers_alone).map(ToString::to_string).collect();
        if daemons.len() > 1 {
            let daemons = daemons.join(" and ");
            steps.push(format!(
                "{daemons} run at the same time and work against each other, unless they were \
                 configured for it. Keep one, preferably chronyd."
            ));
        }
    }

    /// The kernel states no bound that counts.
    fn about_evidence(&self, steps: &mut Vec<String>) {
        if self.kernel_synchronized {
            self.about_a_clock_without_bound(steps);
        } else {
            self.about_a_clock_without_discipline(steps);
        }
        steps.push(self.about_an_assumption().to_owned());
    }

    /// What holds until there is evidence.
    fn about_an_assumption(&self) -> &'static str {
        if self.assumed {
            "Until there is evidence, your assumption takes its place (`--assume`). A step of the \
             wall clock or a suspend ends it."
        } else {
            "Until there is evidence, you can state the error of this clock if you know it: \
             `truechimer now --assume 250ms`, or `assume_error` in a program."
        }
    }

    fn about_a_clock_without_bound(&self, steps: &mut Vec<String>) {
        let without_bound: Vec<_> =
            self.daemons.iter().filter(|d| d.verdict() == Verdict::NotBelieved).collect();
        if self.daemons.is_empty() {
            steps.push(
                "Find out what disciplines this clock and whether it states a bound, because no \
                 time daemon can be seen from here."
                    .to_owned(),
            );
        }
        for daemon in without_bound {
            steps.push(format!(
                "{daemon} disciplines the clock and states no error bound. Run chronyd in its place, \
                 with `rtcsync` in its configuration."
            ));
        }
        if self.daemons.iter().any(|d| d.verdict() != Verdict::NotBelieved) {
            steps.push(
                "Wait for the time daemon's next update, and run this again. If it stays so, look \
                 at its log."
                    .to_owned(),
            );
        }
    }

    fn about_a_clock_without_discipline(&self, steps: &mut Vec<String>) {
        if self.daemons.contains(&Daemon::Chrony) {
            steps.push(
                "chronyd runs, but the kernel says that nothing disciplines its clock. Either \
                 chronyd has no source yet (`chronyc tracking` shows it), or `rtcsync` is missing \
                 in its configuration. Add it, and restart chronyd."
                    .to_owned(),
            );
        } else if let Some(daemon) = self.daemons.first() {
            steps.push(format!(
                "{daemon} runs, but has not synchronized the kernel's clock. Look at its log and \
                 its servers."
            ));
        } else if self.in_container {
            steps.push(
                "A container uses its host's clock. Run chronyd on the host, with `rtcsync` in its \
                 configuration. Nothing has to run in the container."
                    .to_owned(),
            );
        } else {
            steps.push(
                "Install chrony and run chronyd, with `rtcsync` in its configuration. It \
                 disciplines the clock and states its error bound."
                    .to_owned(),
            );
        }
        steps.extend(self.best_server());
    }

    /// The platform's own source of time, if it has one.
    fn best_server(&self) -> Option<String> {
        if let Some((path, name)) = self.ptp.filter(|(_, name)| name.contains("KVM")) {
            return Some(format!(
                "Give chronyd the hypervisor's clock: `refclock PHC {path} poll 2` ({name})."
            ));
        }
        let server = match self.hypervisor? {
            "Amazon EC2" => "`server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4`",
            "Google Compute Engine" => "`server metadata.google.internal prefer iburst`",
            "Hyper-V" => "`refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0`",
            "KVM" | "QEMU" if self.ptp.is_none() => {
                return Some(
                    "For the hypervisor's clock, load the module ptp_kvm and give chronyd \
                     `refclock PHC /dev/ptp0 poll 2`, if the hypervisor offers it."
                        .to_owned(),
                );
            }
            _ => return None,
        };
        Some(format!("Give chronyd this platform's own source of time: {server}."))
    }

    fn about_details(&self, steps: &mut Vec<String>) {
        if self.used_table_expired {
            steps.push(
                "The clock's leap table has expired and is still used. Update truechimer, or give \
                 programs the system's table (`leap_table(LeapTable::system()?)`)."
                    .to_owned(),
            );
        }
        if self.tables_differ && !self.leap_is_not_in_use {
            steps.push(
                "The clock's leap table and the system's have different leap seconds. Compare \
                 `truechimer leaps` with `truechimer leaps --table system`, and update the older."
                    .to_owned(),
            );
        }
        if let (Some(kernel), Some(table)) = self.tai {
            if kernel != 0 && kernel != table {
                steps.push(format!(
                    "The kernel was told that TAI − UTC is {kernel} s, but the leap table says \
                     {table} s. Find out which is out of date, the daemon's leap file or this \
                     program."
                ));
            }
        }
        if self.tsc_is_not_used {
            steps.push(
                "The processor's counter is not used (see `Counter`). Readings are slower, but \
                 just as accurate. If the kernel gave the counter up, `dmesg | grep -i -e tsc -e \
                 clocksource` shows why, and `truechimer bench` shows what that costs."
                    .to_owned(),
            );
        }
        if self.steps_are_polled {
            steps.push(
                "Allow timerfd_create and timerfd_settime in the seccomp filter, or raise the \
                 limit of open files, so that steps of the clock are noticed at once."
                    .to_owned(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Facts<'static> {
        Facts {
            kernel_states_bound: true,
            kernel_synchronized: true,
            tai: (Some(37), Some(37)),
            daemons: vec![Daemon::Chrony],
            ..Facts::default()
        }
    }

    fn broken() -> Facts<'static> {
        Facts {
            daemons: Vec::new(),
            kernel_states_bound: false,
            kernel_synchronized: false,
            ..healthy()
        }
    }

    #[test]
    fn a_healthy_host_has_nothing_to_do() {
        let steps = healthy().steps();
        assert!(steps.len() == 1 && steps[0].starts_with("Nothing"), "{steps:?}");
    }

    #[test]
    fn each_problem_has_its_step() {
        let cases: Vec<(Facts, &str)> = vec![
            (broken(), "Install chrony"),
            (Facts { in_container: true, ..broken() }, "its host's clock"),
            (Facts { daemons: vec![Daemon::Chrony], ..broken() }, "chronyc tracking"),
            (Facts { daemons: vec![Daemon::NtpdRs], ..broken() }, "ntpd-rs runs, but has not"),
            (Facts { hypervisor: Some("Amazon EC2"), ..broken() }, "169.254.169.123"),
            (Facts { hypervisor: Some("KVM"), ..broken() }, "ptp_kvm"),
            (Facts { ptp: Some(("/dev/ptp3", "KVM virtual PTP")), ..broken() }, "PHC /dev/ptp3"),
            (broken(), "--assume 250ms"),
            (Facts { assumed: true, ..broken() }, "your assumption takes its place"),
            (
                Facts { kernel_states_bound: false, daemons: vec![Daemon::Timesyncd], ..healthy() },
                "systemd-timesyncd disciplines the clock and states no error bound",
            ),
            (Facts { kernel_states_bound: false, ..healthy() }, "next update"),
            (
                Facts { kernel_states_bound: false, daemons: Vec::new(), ..healthy() },
                "Find out what disciplines",
            ),
            (Facts { kernel_is_denied: true, ..broken() }, "seccomp"),
            (Facts { kernel_is_unsupported: true, ..broken() }, "--assume 250ms"),
            (
                Facts { daemons: vec![Daemon::Chrony, Daemon::Ntpd], ..healthy() },
                "chronyd and ntpd run at the same time",
            ),
            (Facts { reason_code: Some("contradicted"), ..healthy() }, "cannot both be true"),
            (Facts { tai: (Some(36), Some(37)), ..healthy() }, "TAI − UTC is 36 s"),
            (Facts { tsc_is_not_used: true, ..healthy() }, "dmesg"),
            (
                Facts { leap_is_untold: true, ..healthy() },
                "tell the kernel of the coming leap second",
            ),
            (Facts { leap_is_not_in_use: true, ..healthy() }, "update truechimer"),
            (Facts { used_table_expired: true, ..healthy() }, "has expired and is still used"),
            (Facts { tables_differ: true, ..healthy() }, "leaps --table system"),
            (Facts { steps_are_polled: true, ..healthy() }, "timerfd"),
        ];
        for (facts, part) in cases {
            let steps = facts.steps().join("\n");
            assert!(steps.contains(part), "{part}: {steps}");
            assert!(!steps.contains("Nothing."), "{steps}");
        }
    }

    #[test]
    fn daemons_that_belong_together_are_not_advised_against() {
        for daemons in
            [vec![Daemon::Chrony, Daemon::ClockBound], vec![Daemon::Phc2sys, Daemon::Ptp4l]]
        {
            let steps = Facts { daemons, ..healthy() }.steps().join("\n");
            assert!(!steps.contains("against each other"), "{steps}");
        }
        let untold = Facts { tai: (Some(0), Some(37)), ..healthy() }.steps().join("\n");
        assert!(untold.starts_with("Nothing"), "{untold}");
    }
}
