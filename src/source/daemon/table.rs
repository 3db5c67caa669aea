//! The table of time daemons: one row for each, and everything else follows from it.
//!
//! The verdict, the explanation for operators and the table in the documentation of
//! `source::daemon` come from here. A unit test compares that documentation with the rows.

use std::fmt;

/// A program that disciplines the kernel's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Daemon {
    /// chronyd.
    Chrony,
    /// The reference implementation's ntpd.
    Ntpd,
    /// ntpsec's ntpd.
    Ntpsec,
    /// ntpd-rs.
    NtpdRs,
    /// OpenNTPD.
    OpenNtpd,
    /// systemd-timesyncd.
    Timesyncd,
    /// phc2sys of linuxptp.
    Phc2sys,
    /// ptp4l of linuxptp.
    Ptp4l,
    /// AWS ClockBound's daemon.
    ClockBound,
    /// Hyper-V's time synchronisation, a driver in the kernel.
    HyperV,
    /// ptpd.
    Ptpd,
    /// sfptpd of Solarflare (AMD).
    Sfptpd,
    /// Statime.
    Statime,
    /// timemaster of linuxptp, which starts other daemons.
    Timemaster,
    /// vmtoolsd of open-vm-tools.
    Vmtoolsd,
    /// VBoxService of VirtualBox's guest additions.
    VBoxService,
    /// The ntpd of busybox.
    Busybox,
    /// connmand of ConnMan.
    Connman,
    /// htpdate.
    Htpdate,
}

/// Whether `maxerror` as a daemon writes it is a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// It states an honest bound.
    Believed,
    /// It states one, with an exception that the explanation names.
    BelievedWithCare,
    /// It states none, so the kernel source refuses it.
    NotBelieved,
}

/// What is known of one daemon.
pub(super) struct Row {
    pub(super) daemon: Daemon,
    pub(super) name: &'static str,
    /// The names of its process; the kernel keeps 15 bytes of each.
    pub(super) comms: &'static [&'static str],
    pub(super) verdict: Verdict,
    /// What it writes as `maxerror`; then what that is worth, and what to do if it is worth
    /// nothing.
    pub(super) explanation: &'static str,
}

macro_rules! row {
    ($daemon:ident, $name:literal, $comms:expr, $verdict:ident, $writes:expr, $worth:expr) => {
        Row {
            daemon: Daemon::$daemon,
            name: $name,
            comms: &$comms,
            verdict: Verdict::$verdict,
            explanation: concat!("writes ", $writes, "; ", $worth),
        }
    };
}

/// What to do about a daemon that states no bound.
macro_rules! instead {
    () => {
        "run chronyd in its place, or state the error with `assume_error`"
    };
}

/// One row for each daemon, in the order of [`Daemon`].
#[rustfmt::skip]
pub(super) const TABLE: [Row; 19] = [
    row!(Chrony, "chronyd", ["chronyd"], Believed,
        "root delay / 2 + root dispersion + the offset that it has not corrected yet",
        "this is a bound if it follows a server; a reference clock's own error is left out"),
    row!(Ntpd, "ntpd", ["ntpd"], BelievedWithCare,
        "root delay / 2 + root dispersion",
        "this is a bound if it follows a server, once the offset that the kernel's PLL still has to correct is added"),
    // Its process is called ntpd too, and is told apart by its arguments.
    row!(Ntpsec, "ntpsec", [], BelievedWithCare,
        "root delay / 2 + root dispersion, and 16 µs before its first update",
        "this is a bound if it follows a server, from its first update on, with the PLL's offset added"),
    row!(NtpdRs, "ntpd-rs", ["ntp-daemon", "ntpd-rs"], NotBelieved,
        "its root delay, without what it has still to correct",
        concat!("this was seen 8 ms too small: ", instead!())),
    row!(OpenNtpd, "openntpd", ["openntpd"], NotBelieved,
        "0 while it calls its clock synchronised (by its source)",
        concat!("this is no bound: ", instead!())),
    row!(Timesyncd, "systemd-timesyncd", ["systemd-timesyn"], NotBelieved,
        "0, also while it corrects up to 0.4 s",
        concat!("this is no bound: its exchanges are used where the system bus can be reached (`source::timesyncd`), else ", instead!())),
    row!(Phc2sys, "phc2sys", ["phc2sys"], NotBelieved,
        "0",
        "this is no bound: state the error of the PTP clock with `assume_error`"),
    row!(Ptp4l, "ptp4l", ["ptp4l"], NotBelieved,
        "0 where it disciplines this clock",
        "this is no bound: state the error of the PTP clock with `assume_error`"),
    row!(ClockBound, "clockbound", ["clockbound"], Believed,
        "its own bound, without what it has still to correct",
        "this is a bound once the offset that the kernel's PLL still has to correct is added"),
    // A driver of the kernel, without a process.
    row!(HyperV, "Hyper-V time synchronisation", [], NotBelieved,
        "nothing",
        "without a bound, run chronyd with the host's PTP device (`refclock PHC /dev/ptp_hyperv` with twice its error as `delay`)"),
    row!(Ptpd, "ptpd", ["ptpd", "ptpd2"], NotBelieved,
        "the offset that it measured last",
        concat!("this is a measurement and no bound: ", instead!())),
    row!(Sfptpd, "sfptpd", ["sfptpd"], NotBelieved,
        "nothing, but it clears the kernel's flag (by its source)",
        concat!("without a bound, ", instead!())),
    row!(Statime, "statime", ["statime"], NotBelieved,
        "nothing but frequency, TAI − UTC and leap seconds (by its source)",
        concat!("without a bound, ", instead!())),
    row!(Timemaster, "timemaster", ["timemaster"], NotBelieved,
        "nothing itself, because it starts chronyd or ntpd on PTP clocks (by its manual)",
        "what counts is the daemon that it starts, with `reference_error` for the PTP clock, or `assume_error`"),
    row!(Vmtoolsd, "vmtoolsd", ["vmtoolsd"], NotBelieved,
        "nothing but the length of a tick, if its time synchronisation is on (by its source)",
        concat!("without a bound, ", instead!())),
    row!(VBoxService, "VBoxService", ["VBoxService"], NotBelieved,
        "nothing, because it uses adjtime() and settimeofday() (by its source)",
        concat!("without a bound, ", instead!())),
    row!(Busybox, "busybox ntpd", ["busybox"], NotBelieved,
        "nothing, but it clears the kernel's flag (by its source)",
        concat!("without a bound, ", instead!())),
    row!(Connman, "connmand", ["connmand"], NotBelieved,
        "nothing, because it uses adjtime() and settimeofday() (by its source of 2012)",
        concat!("without a bound, ", instead!())),
    row!(Htpdate, "htpdate", ["htpdate"], NotBelieved,
        "nothing but steps, adjtime() and the frequency (by its source)",
        concat!("without a bound, ", instead!())),
];

impl Daemon {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Whether its `maxerror` is a bound.
    pub fn verdict(self) -> Verdict {
        self.row().verdict
    }

    /// What it writes and what that is worth, in words for an operator. The text continues
    /// a sentence that begins with the daemon's name.
    pub fn explanation(self) -> &'static str {
        self.row().explanation
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as the documentation shows it.
    fn documented(row: &Row) -> String {
        let believed = match row.verdict {
            Verdict::Believed => "yes",
            Verdict::BelievedWithCare => "with care",
            Verdict::NotBelieved => "no",
        };
        let text = row.explanation.strip_prefix("writes ").expect("it begins so");
        let (writes, worth) = text.split_once("; ").expect("it has two parts");
        format!("//! | {} | {writes} | {believed} | {worth} |", row.name)
    }

    #[test]
    fn each_daemon_has_its_own_row() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.daemon as usize, index, "{}", row.name);
            assert_eq!(row.daemon.row().name, row.name);
        }
    }

    #[test]
    fn the_documentation_has_exactly_these_rows() {
        let text = include_str!("../daemon.rs");
        let rows = text.lines().filter(|line| line.starts_with("//! |")).skip(2);
        let documented: Vec<String> = TABLE.iter().map(documented).collect();
        assert_eq!(rows.collect::<Vec<_>>(), documented, "copy the right side to source/daemon.rs");
    }

    #[test]
    fn every_refusal_names_a_remedy() {
        for row in TABLE.iter().filter(|row| row.verdict == Verdict::NotBelieved) {
            let text = row.explanation;
            assert!(text.contains("chronyd") || text.contains("assume_error"), "{text}");
        }
    }
}
