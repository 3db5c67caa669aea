//! What to do next: a list of steps that follows from the facts, the most urgent first.

use std::net::IpAddr;
use std::time::Duration;

use truechimer::source::daemon::{Daemon, Verdict};

use crate::output::rounded_up;

/// What the advice rests on.
#[derive(Clone, Default)]
pub struct Facts<'a> {
    /// Whether the kernel states a bound that counts as evidence.
    pub kernel_states_bound: bool,
    /// Whether another source states one, but for the operator.
    pub another_states_bound: bool,
    /// Whether time servers are asked, or were to be.
    pub asks_servers: bool,
    /// A server that chronyd follows and that is near.
    pub near_server: Option<IpAddr>,
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
    /// The reference clock that the daemon follows, if it follows one.
    pub reference_clock: Option<String>,
    /// chronyd follows only its own clock (`local`).
    pub chrony_is_local: bool,
    /// The time between chronyd's last two updates.
    pub update_interval: Option<Duration>,
    /// By how many ppm an interval widens either way between samples, once the rate is learnt.
    pub rate_error_ppm: u32,
    /// Whether a rate is learnt.
    pub learns_rate: bool,
    /// chronyd's root distance: how far its server's time may be off when it arrives here.
    pub root_distance: Option<Duration>,
    /// The width of the reading.
    pub width: Option<Duration>,
    /// Whether a VMClock shows moves of this machine.
    pub moves_show: bool,
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
        if self.another_states_bound {
            // The clock has its evidence, and the kernel's need not be mended.
        } else if self.asks_servers {
            steps.push(
                "See under `Sources of time` what became of the servers that were asked. UDP port \
                 123 to them has to be open."
                    .to_owned(),
            );
        } else if self.kernel_is_denied {
            steps.push(
                "Allow adjtimex in the seccomp filter of this process. Reading needs no \
                 privilege, and without it nothing is known about the kernel's clock."
                    .to_owned(),
            );
        } else if self.kernel_is_unsupported {
            steps.push(self.about_servers_of_ones_own());
            steps.push(self.about_an_assumption().to_owned());
        } else if !self.kernel_states_bound {
            self.about_evidence(&mut steps);
        } else {
            steps.extend(self.about_a_near_server());
            steps.extend(self.about_a_long_poll());
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
        // These run beside the daemon that steers the clock, or start it.
        let steers_alone = |daemon: &&Daemon| {
            !matches!(daemon, Daemon::ClockBound | Daemon::Ptp4l | Daemon::Timemaster)
        };
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
        steps.push(self.about_servers_of_ones_own());
        steps.push(self.about_an_assumption().to_owned());
    }

    /// The way that needs nothing of the host.
    fn about_servers_of_ones_own(&self) -> String {
        let server = match self.hypervisor {
            Some("Amazon EC2") => "169.254.169.123",
            Some("Google Compute Engine") => "metadata.google.internal --wall-scale google",
            _ => "HOST",
        };
        format!(
            "Or ask time servers directly, which needs nothing of this host: `truechimer now --ntp \
             {server}`, or `ntp()` in a program. Name three or more where you can."
        )
    }

    /// chronyd's server is so near that an exchange of one's own is narrower than chronyd's bound.
    fn about_a_near_server(&self) -> Option<String> {
        let server = self.near_server.filter(|_| !self.asks_servers)?;
        Some(format!(
            "For narrower intervals, ask chronyd's server {server} directly, because it is near: \
             `--ntp-of-daemon`, or `ntp_of_daemon()` in a program{}.",
            self.width_of_own_exchanges().unwrap_or_default(),
        ))
    }

    /// What own exchanges would give, beside what there is.
    ///
    /// An exchange is no wider than twice chronyd's root distance, which has chronyd's own doubt in
    /// it too. Until the next, up to 4 s later for a server that is this near, it widens.
    fn width_of_own_exchanges(&self) -> Option<String> {
        const POLL: Duration = Duration::from_secs(4);
        let (distance, width) = (self.root_distance?, self.width?);
        let expected = distance.saturating_mul(2) + self.grows(POLL) / 2;
        (expected < width).then(|| {
            format!(
                ". They would be some {} wide, and not {}",
                rounded_up(expected),
                rounded_up(width)
            )
        })
    }

    /// By how much an interval widens in this time.
    fn grows(&self, time: Duration) -> Duration {
        time.saturating_mul(2).saturating_mul(self.rate_error_ppm) / 1_000_000
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
        match self.reason_code {
            Some("reference_states_no_bound") => {
                return steps.push(self.about_a_reference_clock());
            }
            Some("writer_unknown") => self.about_an_unknown_writer(steps),
            _ => {}
        }
        for daemon in self.daemons.iter().filter(|d| d.verdict() == Verdict::NotBelieved) {
            steps.push(format!(
                "{daemon} runs and states no error bound. Run chronyd in its place, with `rtcsync` \
                 in its configuration and a server to follow."
            ));
        }
        let others = self.daemons.iter().any(|d| d.verdict() != Verdict::NotBelieved);
        if others && self.reason_code != Some("writer_unknown") {
            steps.push(
                "Wait for the time daemon's next update, and run this again. If it stays so, look \
                 at its log."
                    .to_owned(),
            );
        }
    }

    /// The daemon takes its reference clock for exact.
    fn about_a_reference_clock(&self) -> String {
        let name = self.reference_clock.as_deref().unwrap_or("a reference clock");
        format!(
            "State how far {name} may be off, which the time daemon does not know: \
             `--reference-error 1ms`, `reference_error()` in a program, or `delay 0.002` (twice \
             the error, in seconds) on its `refclock` line in chrony.conf. Or have chronyd follow \
             a server."
        )
    }

    /// The kernel has a bound, and no daemon that answers has written it.
    fn about_an_unknown_writer(&self, steps: &mut Vec<String>) {
        let runs = |daemon: Daemon| self.daemons.contains(&daemon);
        if self.chrony_is_local {
            steps.push(
                "chronyd follows only its own clock (`local`), and another program told the kernel \
                 its bound. Give chronyd a server, and stop the other program."
                    .to_owned(),
            );
        } else if runs(Daemon::Chrony) {
            steps.push(
                "Let chronyd be asked: leave `cmdport 0` out of chrony.conf, or run this as root, so \
                 that it can use chronyd's socket. If chronyd answers, see under `Sources of time` \
                 why its answer does not fit the kernel."
                    .to_owned(),
            );
        } else if runs(Daemon::Ntpd) || runs(Daemon::Ntpsec) {
            steps.push(
                "Let ntpd be asked: allow queries from 127.0.0.1 in ntp.conf (`restrict 127.0.0.1`), \
                 and give it a server that is not its own clock."
                    .to_owned(),
            );
        } else if self.in_container {
            steps.push(
                "Share the host's network with this container (`hostNetwork: true`), or mount \
                 chronyd's directory /run/chrony, so that the host's chronyd can be asked."
                    .to_owned(),
            );
        } else if self.daemons.is_empty() {
            steps.push(
                "Find out what disciplines this clock and whether it states a bound, because no \
                 time daemon can be seen from here. Run chronyd in its place."
                    .to_owned(),
            );
        }
        steps.push(
            "If you know that the host's time daemon states an honest bound, say so: \
             `--believe-any-writer`, or `believe_any_writer()` in a program."
                .to_owned(),
        );
    }

    /// Between two updates the interval grows by what is not known of the oscillator's rate.
    fn about_a_long_poll(&self) -> Option<String> {
        /// An update every 64 s or less costs at most some 3 ms where the rate is learnt, and 30 ms
        /// where it is not.
        const LONG: Duration = Duration::from_secs(100);
        let interval = self.update_interval.filter(|interval| *interval >= LONG)?;
        let grows = |interval: Duration| rounded_up(self.grows(interval));
        Some(format!(
            "chronyd updates the clock every {} s, and until its next update the interval grows \
             by up to {}. `maxpoll 4` on the server lines in chrony.conf makes that {}.",
            interval.as_secs(),
            grows(interval),
            grows(Duration::from_secs(16)),
        ))
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
                "Give chronyd the hypervisor's clock: `refclock PHC {path} poll 2 delay 0.002` \
                 ({name}). The `delay` states that it may be 1 ms off, because chronyd takes it for \
                 exact: write twice the error that your provider states."
            ));
        }
        let server = match self.hypervisor? {
            "Amazon EC2" => "`server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4`",
            "Google Compute Engine" => "`server metadata.google.internal prefer iburst`",
            "Hyper-V" => {
                "`refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2 delay 0.002`, where \
                 `delay` is twice the error of the host's clock, which Azure does not publish"
            }
            "KVM" | "QEMU" if self.ptp.is_none() => {
                return Some(
                    "For the hypervisor's clock, load the module ptp_kvm and give chronyd \
                     `refclock PHC /dev/ptp0 poll 2 delay 0.002`, where `delay` is twice the \
                     error of the host's clock, if the hypervisor offers it."
                        .to_owned(),
                );
            }
            _ => return None,
        };
        Some(format!("Give chronyd this platform's own source of time: {server}."))
    }

    fn about_details(&self, steps: &mut Vec<String>) {
        if let Some(hypervisor) = self.hypervisor.filter(|_| self.learns_rate && !self.moves_show) {
            steps.push(format!(
                "This is a virtual machine ({hypervisor}), and no VMClock shows when it is moved to \
                 another host. If that can happen while it runs, do not rely on the rate that is \
                 learnt here: `--max-wander-ppm off`, or `max_wander_ppm(None)` in a program."
            ));
        }
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
            rate_error_ppm: 200,
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

    /// The kernel has a bound, and its writer is not known.
    fn unknown() -> Facts<'static> {
        Facts { kernel_states_bound: false, reason_code: Some("writer_unknown"), ..healthy() }
    }

    #[test]
    fn what_is_recommended_is_what_the_clock_believes() {
        let platforms = ["Amazon EC2", "Google Compute Engine", "Hyper-V", "KVM"];
        let by_platform = platforms.map(|name| Facts { hypervisor: Some(name), ..broken() });
        let ptp = Facts { ptp: Some(("/dev/ptp3", "KVM virtual PTP")), ..broken() };
        for facts in by_platform.into_iter().chain([ptp]) {
            let steps = facts.steps().join("\n");
            // chronyd takes a reference clock for exact unless a `delay` states its error.
            assert!(!steps.contains("refclock") || steps.contains(" delay 0.002"), "{steps}");
        }
    }

    #[test]
    fn a_short_poll_needs_no_advice() {
        for seconds in [1, 16, 64, 99] {
            let interval = Some(Duration::from_secs(seconds));
            let steps = Facts { update_interval: interval, ..healthy() }.steps().join("\n");
            assert!(steps.starts_with("Nothing"), "{steps}");
        }
    }

    #[test]
    fn own_exchanges_are_not_praised_where_they_would_be_wider() {
        let facts = Facts {
            near_server: Some(IpAddr::from([10, 0, 0, 1])),
            root_distance: Some(Duration::from_millis(5)),
            width: Some(Duration::from_millis(9)),
            ..healthy()
        };
        let steps = facts.steps().join("\n");
        assert!(steps.contains("--ntp-of-daemon") && !steps.contains("They would"), "{steps}");
    }

    #[test]
    fn a_learnt_rate_is_not_doubted_where_a_move_would_show() {
        let facts = Facts { hypervisor: Some("KVM"), learns_rate: true, ..healthy() };
        for facts in [
            Facts { moves_show: true, ..facts.clone() },
            Facts { learns_rate: false, ..facts.clone() },
            Facts { hypervisor: None, ..facts },
        ] {
            let steps = facts.steps().join("\n");
            assert!(!steps.contains("max-wander-ppm"), "{steps}");
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
                "systemd-timesyncd runs and states no error bound",
            ),
            (Facts { kernel_states_bound: false, ..healthy() }, "next update"),
            (Facts { daemons: Vec::new(), ..unknown() }, "Find out what disciplines"),
            (Facts { daemons: Vec::new(), in_container: true, ..unknown() }, "hostNetwork"),
            (unknown(), "cmdport 0"),
            (unknown(), "--believe-any-writer"),
            (Facts { chrony_is_local: true, ..unknown() }, "follows only its own clock"),
            (Facts { daemons: vec![Daemon::Ntpsec], ..unknown() }, "restrict 127.0.0.1"),
            (
                Facts {
                    reason_code: Some("reference_states_no_bound"),
                    reference_clock: Some("PHC0".to_owned()),
                    ..unknown()
                },
                "State how far PHC0 may be off",
            ),
            (
                Facts { update_interval: Some(Duration::from_secs(1024)), ..healthy() },
                "every 1024 s, and until its next update the interval grows by up to 409.600 ms",
            ),
            (
                Facts { update_interval: Some(Duration::from_secs(1024)), ..healthy() },
                "`maxpoll 4` on the server lines in chrony.conf makes that 6.400 ms",
            ),
            (
                Facts {
                    update_interval: Some(Duration::from_secs(1024)),
                    rate_error_ppm: 20,
                    ..healthy()
                },
                "the interval grows by up to 40.960 ms",
            ),
            (
                Facts {
                    near_server: Some(IpAddr::from([10, 0, 0, 1])),
                    root_distance: Some(Duration::from_micros(300)),
                    width: Some(Duration::from_millis(2)),
                    rate_error_ppm: 20,
                    ..healthy()
                },
                "They would be some 680.000 µs wide, and not 2.000 ms",
            ),
            (
                Facts { hypervisor: Some("KVM"), learns_rate: true, ..healthy() },
                "virtual machine (KVM), and no VMClock shows",
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
