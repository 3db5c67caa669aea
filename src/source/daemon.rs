//! Which time daemon disciplines this host's clock, and whether its bound may be believed.
//!
//! The kernel does not say who writes `maxerror`, and what the number is worth
//! depends on who does. So the processes are looked through by name, which any
//! user may do. It is a hint for people (and for the choice of sources), not
//! evidence: a daemon may run in a container of its own, or not at all.

use std::fmt;
use std::fs;
use std::path::Path;

/// A program that disciplines the kernel's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Daemon {
    /// chronyd.
    Chrony,
    /// ntpd or ntpsec's ntpd.
    Ntpd,
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
}

/// Whether `maxerror` as a daemon writes it is a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// It states an honest bound.
    Believed,
    /// It states one, with an exception that is named.
    BelievedWithCare,
    /// It states none: the kernel source refuses it.
    NotBelieved,
}

impl Daemon {
    const ALL: [Daemon; 8] = [
        Daemon::Chrony,
        Daemon::Ntpd,
        Daemon::NtpdRs,
        Daemon::OpenNtpd,
        Daemon::Timesyncd,
        Daemon::Phc2sys,
        Daemon::Ptp4l,
        Daemon::ClockBound,
    ];

    /// The daemons that run on this host, as far as its processes can be seen.
    pub fn detect() -> Vec<Daemon> {
        Daemon::detect_in(Path::new("/proc"))
    }

    fn detect_in(proc: &Path) -> Vec<Daemon> {
        let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
        let is_pid =
            |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        let mut found: Vec<Daemon> = entries
            .flatten()
            .filter(|entry| is_pid(&entry.file_name()))
            .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
            .filter_map(|comm| Daemon::from_comm(comm.trim()))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The daemon whose process is called `comm` (the kernel keeps 15 bytes of it).
    fn from_comm(comm: &str) -> Option<Daemon> {
        Daemon::ALL.into_iter().find(|daemon| daemon.comms().contains(&comm))
    }

    fn comms(self) -> &'static [&'static str] {
        match self {
            Daemon::Chrony => &["chronyd"],
            Daemon::Ntpd => &["ntpd"],
            Daemon::NtpdRs => &["ntp-daemon", "ntpd-rs"],
            Daemon::OpenNtpd => &["openntpd"],
            Daemon::Timesyncd => &["systemd-timesyn"],
            Daemon::Phc2sys => &["phc2sys"],
            Daemon::Ptp4l => &["ptp4l"],
            Daemon::ClockBound => &["clockbound"],
        }
    }

    /// Whether its `maxerror` is a bound.
    pub fn verdict(self) -> Verdict {
        match self {
            Daemon::Chrony | Daemon::ClockBound => Verdict::Believed,
            Daemon::Ntpd | Daemon::NtpdRs => Verdict::BelievedWithCare,
            Daemon::OpenNtpd | Daemon::Timesyncd | Daemon::Phc2sys | Daemon::Ptp4l => {
                Verdict::NotBelieved
            }
        }
    }

    /// Why, in words for an operator.
    pub fn explanation(self) -> &'static str {
        match self {
            Daemon::Chrony => {
                "writes root delay / 2 + root dispersion + the offset not yet corrected: a bound \
                 (with `rtcsync`; without it the kernel says UNSYNC)"
            }
            Daemon::Ntpd => {
                "writes root delay / 2 + root dispersion, but ntpsec's writes 16 µs before it has \
                 heard from any server: believed from its first real update on"
            }
            Daemon::NtpdRs => {
                "writes its root delay and leaves out what it has still to correct: a little less \
                 than a bound"
            }
            Daemon::OpenNtpd => "writes no error bound",
            Daemon::Timesyncd => {
                "writes an error of 0, and works off up to 0.4 s: no bound; run chronyd in its place"
            }
            Daemon::Phc2sys => {
                "writes an error of 0: no bound; vouch for the PTP clock with `assume_error`"
            }
            Daemon::Ptp4l => {
                "writes an error of 0 where it disciplines this clock: no bound; vouch with `assume_error`"
            }
            Daemon::ClockBound => "writes its own bound",
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Daemon::Chrony => "chronyd",
            Daemon::Ntpd => "ntpd",
            Daemon::NtpdRs => "ntpd-rs",
            Daemon::OpenNtpd => "openntpd",
            Daemon::Timesyncd => "systemd-timesyncd",
            Daemon::Phc2sys => "phc2sys",
            Daemon::Ptp4l => "ptp4l",
            Daemon::ClockBound => "clockbound",
        })
    }
}
