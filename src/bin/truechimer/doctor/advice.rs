//! What to do next: from what was found to a list of steps, the most urgent first.

use truechimer::CounterKind;
use truechimer::source::daemon::{Daemon, Verdict};

use super::Diagnosis;

/// What the advice rests on.
#[derive(Clone, Default)]
struct Facts<'a> {
    /// Whether the kernel's word is evidence at this moment.
    kernel_vouches: bool,
    kernel_is_denied: bool,
    /// Whether the kernel says that something disciplines its clock.
    kernel_synchronized: bool,
    /// TAI − UTC by the kernel, and by the table.
    tai: (Option<i32>, Option<i32>),
    /// A leap second is near, and the kernel has not been told.
    leap_is_untold: bool,
    /// And only the host's table has it.
    leap_is_not_in_use: bool,
    used_table_expired: bool,
    /// Both tables are there, and differ.
    tables_differ: bool,
    reason_code: Option<&'a str>,
    assumed: bool,
    daemons: Vec<Daemon>,
    in_container: bool,
    hypervisor: Option<&'a str>,
    /// A PTP clock's path, and its driver's name for it.
    ptp: Option<(&'a str, &'a str)>,
    tsc_was_refused: bool,
    steps_are_polled: bool,
}

/// The steps for this host.
pub fn next_steps(diagnosis: &Diagnosis) -> Vec<String> {
    let kernel = diagnosis.kernel.state;
    let ptp = diagnosis.devices.ptp.first();
    let counter = &diagnosis.counter_details;
    let facts = Facts {
        kernel_vouches: diagnosis.sources.iter().any(|s| s.name == "kernel" && s.vouches),
        kernel_is_denied: kernel.is_none(),
        kernel_synchronized: kernel.is_some_and(|kernel| kernel.is_synchronized()),
        tai: (diagnosis.tai.kernel_s, diagnosis.tai.table_s),
        leap_is_untold: diagnosis.leap_tables.untold.is_some(),
        leap_is_not_in_use: diagnosis.leap_tables.untold_and_not_in_use,
        used_table_expired: diagnosis.leap_tables.used.expired,
        tables_differ: diagnosis.leap_tables.agree == Some(false),
        reason_code: diagnosis.reading.reason_code.as_deref(),
        assumed: diagnosis.reading.status == "assumed",
        daemons: diagnosis.daemons.iter().map(|view| view.daemon).collect(),
        in_container: diagnosis.container.inside,
        hypervisor: diagnosis.virtual_machine.hypervisor,
        ptp: ptp
            .map(|ptp| (ptp.device.path.as_str(), ptp.clock_name.as_deref().unwrap_or_default())),
        tsc_was_refused: counter.kind == CounterKind::MonotonicRaw
            && counter.why_not_hardware.is_some(),
        steps_are_polled: diagnosis.sampler.step_timer_error.is_some(),
    };
    facts.steps()
}

impl Facts<'_> {
    fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        self.about_a_leap_second(&mut steps);
        self.about_conflicts(&mut steps);
        if self.kernel_is_denied {
            steps.push(
                "Allow adjtimex in the seccomp filter of this process: reading it needs no \
                 privilege, and without it nothing is known about the kernel's clock."
                    .to_owned(),
            );
        } else if !self.kernel_vouches {
            self.about_evidence(&mut steps);
        }
        self.about_details(&mut steps);
        if steps.is_empty() {
            steps.push("Nothing. All is as it should be.".to_owned());
        }
        steps
    }

    /// What has to be done before midnight.
    fn about_a_leap_second(&self, steps: &mut Vec<String>) {
        if self.leap_is_untold {
            steps.push(
                "Have the kernel told of the coming leap second before the end of this UTC day: \
                 by the time daemon, with `leapsectz right/UTC` in chrony.conf or `leapfile` in \
                 ntp.conf, and a restart. If its servers smear the leap second, say so with \
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
                 of time`, and stop the one that is wrong."
                    .to_owned(),
            );
        }
        // ClockBound stands beside a chronyd, and ptp4l beside a phc2sys.
        let alone = |daemon: &&Daemon| !matches!(daemon, Daemon::ClockBound | Daemon::Ptp4l);
        let rivals: Vec<String> =
            self.daemons.iter().filter(alone).map(ToString::to_string).collect();
        if rivals.len() > 1 {
            let rivals = rivals.join(" and ");
            steps.push(format!(
                "{rivals} run at the same time and work against each other, unless they were set \
                 up for it. Keep one, chronyd by preference."
            ));
        }
    }

    /// The kernel does not vouch.
    fn about_evidence(&self, steps: &mut Vec<String>) {
        if self.kernel_synchronized {
            self.about_a_clock_without_bound(steps);
        } else {
            self.about_a_clock_without_discipline(steps);
        }
        let until = if self.assumed {
            "Until then your word stands in (`--assume`). A step of the wall clock or a suspend \
             ends it."
        } else {
            "Until then, if you know how good this clock is, vouch for it: `truechimer now \
             --assume 250ms`, or `assume_error` in a program."
        };
        steps.push(until.to_owned());
    }

    fn about_a_clock_without_bound(&self, steps: &mut Vec<String>) {
        let silent: Vec<_> =
            self.daemons.iter().filter(|d| d.verdict() == Verdict::NotBelieved).collect();
        if self.daemons.is_empty() {
            steps.push(
                "Find out what disciplines this clock, and whether it states a bound: no time \
                 daemon can be seen from here."
                    .to_owned(),
            );
        }
        for daemon in silent {
            steps.push(format!(
                "{daemon} keeps the clock and states no error bound. Run chronyd in its place, \
                 with `rtcsync` in its configuration."
            ));
        }
        if self.daemons.iter().any(|d| d.verdict() != Verdict::NotBelieved) {
            steps.push(
                "Wait for the time daemon's next update, and ask again. If it stays so, look at \
                 its log."
                    .to_owned(),
            );
        }
    }

    fn about_a_clock_without_discipline(&self, steps: &mut Vec<String>) {
        if self.daemons.contains(&Daemon::Chrony) {
            steps.push(
                "chronyd runs, and the kernel says that nothing disciplines its clock: either it \
                 has no source yet (`chronyc tracking` shows it), or `rtcsync` is missing in its \
                 configuration. Add that, and restart it."
                    .to_owned(),
            );
        } else if let Some(daemon) = self.daemons.first() {
            steps.push(format!(
                "{daemon} runs, and has not synchronized the kernel's clock: look at its log and \
                 its servers."
            ));
        } else if self.in_container {
            steps.push(
                "The clock of a container is its host's. Run chronyd there, with `rtcsync` in its \
                 configuration; nothing has to run in the container."
                    .to_owned(),
            );
        } else {
            steps.push(
                "Install chrony and run chronyd, with `rtcsync` in its configuration: it keeps \
                 the clock and states an honest error bound."
                    .to_owned(),
            );
        }
        steps.extend(self.best_server());
    }

    /// The nearest good source of time, for hosts whose maker has one.
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
                "The clock's leap table has expired, which is ignored. Update truechimer, or give \
                 programs the system's table (`leap_table(LeapTable::system()?)`)."
                    .to_owned(),
            );
        }
        if self.tables_differ && !self.leap_is_not_in_use {
            steps.push(
                "The clock's leap table and the system's have other leap seconds: compare \
                 `truechimer leaps` with `truechimer leaps --table system`, and update the older."
                    .to_owned(),
            );
        }
        if let (Some(kernel), Some(table)) = self.tai {
            if kernel != 0 && kernel != table {
                steps.push(format!(
                    "The kernel was told that TAI − UTC is {kernel} s, and the leap table says \
                     {table} s. Find out which is out of date: the daemon's leap file, or this \
                     program."
                ));
            }
        }
        if self.tsc_was_refused {
            steps.push(
                "The processor's counter is not used (see `Counter`), which makes readings slower \
                 and not worse. If the kernel gave it up, `dmesg | grep -i -e tsc -e clocksource` \
                 says why; `truechimer bench` shows what that costs."
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
            kernel_vouches: true,
            kernel_synchronized: true,
            tai: (Some(37), Some(37)),
            daemons: vec![Daemon::Chrony],
            ..Facts::default()
        }
    }

    fn broken() -> Facts<'static> {
        Facts {
            daemons: Vec::new(),
            kernel_vouches: false,
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
    fn each_trouble_has_its_step() {
        let cases: Vec<(Facts, &str)> = vec![
            (broken(), "Install chrony"),
            (Facts { in_container: true, ..broken() }, "its host's"),
            (Facts { daemons: vec![Daemon::Chrony], ..broken() }, "chronyc tracking"),
            (Facts { daemons: vec![Daemon::NtpdRs], ..broken() }, "ntpd-rs runs, and has not"),
            (Facts { hypervisor: Some("Amazon EC2"), ..broken() }, "169.254.169.123"),
            (Facts { hypervisor: Some("KVM"), ..broken() }, "ptp_kvm"),
            (Facts { ptp: Some(("/dev/ptp3", "KVM virtual PTP")), ..broken() }, "PHC /dev/ptp3"),
            (broken(), "--assume 250ms"),
            (Facts { assumed: true, ..broken() }, "your word stands in"),
            (
                Facts { kernel_vouches: false, daemons: vec![Daemon::Timesyncd], ..healthy() },
                "systemd-timesyncd keeps the clock and states no error bound",
            ),
            (Facts { kernel_vouches: false, ..healthy() }, "next update"),
            (
                Facts { kernel_vouches: false, daemons: Vec::new(), ..healthy() },
                "Find out what disciplines",
            ),
            (Facts { kernel_is_denied: true, ..broken() }, "seccomp"),
            (
                Facts { daemons: vec![Daemon::Chrony, Daemon::Ntpd], ..healthy() },
                "chronyd and ntpd run at the same time",
            ),
            (Facts { reason_code: Some("contradicted"), ..healthy() }, "cannot both be true"),
            (Facts { tai: (Some(36), Some(37)), ..healthy() }, "TAI − UTC is 36 s"),
            (Facts { tsc_was_refused: true, ..healthy() }, "dmesg"),
            (Facts { leap_is_untold: true, ..healthy() }, "Have the kernel told"),
            (Facts { leap_is_not_in_use: true, ..healthy() }, "update truechimer"),
            (Facts { used_table_expired: true, ..healthy() }, "has expired, which is ignored"),
            (Facts { tables_differ: true, ..healthy() }, "leaps --table system"),
            (Facts { steps_are_polled: true, ..healthy() }, "timerfd"),
        ];
        for (facts, words) in cases {
            let steps = facts.steps().join("\n");
            assert!(steps.contains(words), "{words}: {steps}");
            assert!(!steps.contains("Nothing."), "{steps}");
        }
    }

    #[test]
    fn what_is_in_order_is_not_advised_against() {
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
