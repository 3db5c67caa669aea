//! Which time daemon disciplines this host's clock, and whether its bound may be believed.
//!
//! The kernel does not say who writes `maxerror`, and what the number is worth
//! depends on who does. So the processes are looked through by name, which any
//! user may do. It is a hint for people, not evidence: a daemon may run in a
//! container of its own, or not at all. So nothing is believed because of a
//! name; but a kernel bound is refused when the only daemon to be seen is one
//! that is known not to state a bound.
//!
//! | daemon | what it writes as maxerror | believed |
//! |---|---|---|
//! | chronyd | root delay / 2 + root dispersion + what is not corrected yet | yes |
//! | chronyd without `rtcsync` | the same, and leaves the kernel flagged | once it confirms it itself |
//! | ClockBound | its own bound | yes |
//! | ntpd, ntpsec | root delay / 2 + root dispersion | from the first real update on |
//! | ntpd-rs | its root delay, without what it has still to correct | no |
//! | OpenNTPD | nothing | no |
//! | systemd-timesyncd | 0 | no |
//! | phc2sys, ptp4l | 0 | no |
//! | Hyper-V's time synchronisation | nothing | no |

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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
    const ALL: [Daemon; 10] = [
        Daemon::Chrony,
        Daemon::Ntpd,
        Daemon::Ntpsec,
        Daemon::NtpdRs,
        Daemon::OpenNtpd,
        Daemon::Timesyncd,
        Daemon::Phc2sys,
        Daemon::Ptp4l,
        Daemon::ClockBound,
        Daemon::HyperV,
    ];

    /// What disciplines this host's clock, as far as it can be seen; nothing if nothing can.
    pub fn detect() -> Vec<Daemon> {
        Daemon::detect_in(Path::new("/proc"), Path::new("/sys"))
    }

    fn detect_in(proc: &Path, sys: &Path) -> Vec<Daemon> {
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        let is_pid =
            |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        let mut found: Vec<Daemon> = entries
            .filter(|entry| is_pid(&entry.file_name()))
            .filter_map(|entry| Daemon::from_process(&entry.path()))
            .collect();
        if hyper_v_synchronizes(sys) {
            found.push(Daemon::HyperV);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn from_process(dir: &Path) -> Option<Daemon> {
        let comm = fs::read_to_string(dir.join("comm")).ok()?;
        let daemon = Daemon::from_comm(comm.trim())?;
        if daemon != Daemon::Ntpd {
            return Some(daemon);
        }
        // Three programs are called ntpd; they show themselves by their arguments.
        let line = fs::read(dir.join("cmdline")).unwrap_or_default();
        let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
        Some(match () {
            () if has(b"ntpsec") => Daemon::Ntpsec,
            () if has(b"openntpd") || has(b"ntp engine") || has(b"[priv]") => Daemon::OpenNtpd,
            () => Daemon::Ntpd,
        })
    }

    /// The daemon whose process is called `comm` (the kernel keeps 15 bytes of it).
    fn from_comm(comm: &str) -> Option<Daemon> {
        Daemon::ALL.into_iter().find(|daemon| daemon.comms().contains(&comm))
    }

    fn comms(self) -> &'static [&'static str] {
        match self {
            Daemon::Chrony => &["chronyd"],
            Daemon::Ntpd => &["ntpd"],
            Daemon::Ntpsec | Daemon::HyperV => &[],
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
            Daemon::Ntpd | Daemon::Ntpsec => Verdict::BelievedWithCare,
            Daemon::NtpdRs
            | Daemon::OpenNtpd
            | Daemon::Timesyncd
            | Daemon::Phc2sys
            | Daemon::Ptp4l
            | Daemon::HyperV => Verdict::NotBelieved,
        }
    }

    /// Why, in words for an operator.
    pub fn explanation(self) -> &'static str {
        match self {
            Daemon::Chrony => {
                "writes root delay / 2 + root dispersion + the offset not yet corrected: a bound; \
                 without `rtcsync` the kernel stays flagged, and chronyd's own word confirms it"
            }
            Daemon::Ntpd => {
                "writes root delay / 2 + root dispersion: a bound, with the offset that the \
                 kernel is still working off added"
            }
            Daemon::Ntpsec => {
                "writes root delay / 2 + root dispersion, but 16 µs before it has heard from any \
                 server: believed from its first real update on"
            }
            Daemon::NtpdRs => {
                "writes its root delay and leaves out what it has still to correct: a little less \
                 than a bound; run chronyd in its place, or vouch with `assume_error`"
            }
            Daemon::OpenNtpd => {
                "writes no error bound; run chronyd in its place, or vouch with `assume_error`"
            }
            Daemon::Timesyncd => {
                "writes an error of 0 while it works off up to 0.4 s: no bound; run chronyd in its \
                 place, or vouch with `assume_error`"
            }
            Daemon::Phc2sys => {
                "writes an error of 0: no bound; vouch for the PTP clock with `assume_error`"
            }
            Daemon::Ptp4l => {
                "writes an error of 0 where it disciplines this clock: no bound; vouch with `assume_error`"
            }
            Daemon::ClockBound => "writes its own bound",
            Daemon::HyperV => {
                "sets the clock and states no bound; run chronyd with the host's PTP device \
                 (`refclock PHC /dev/ptp_hyperv`)"
            }
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Daemon::Chrony => "chronyd",
            Daemon::Ntpd => "ntpd",
            Daemon::Ntpsec => "ntpsec",
            Daemon::NtpdRs => "ntpd-rs",
            Daemon::OpenNtpd => "openntpd",
            Daemon::Timesyncd => "systemd-timesyncd",
            Daemon::Phc2sys => "phc2sys",
            Daemon::Ptp4l => "ptp4l",
            Daemon::ClockBound => "clockbound",
            Daemon::HyperV => "Hyper-V time synchronisation",
        })
    }
}

/// Whether systemd-timesyncd has heard from a server since the host booted.
///
/// That is all that it says, and it is no bound; `None` if it does not run.
pub fn timesyncd_has_synchronized() -> Option<bool> {
    let run = Path::new("/run/systemd/timesync");
    run.exists().then(|| run.join("synchronized").exists())
}

/// The class of the Hyper-V device over which the host gives the time.
const HYPER_V_TIME: &str = "{9527e630-d0ae-497b-adce-e80ab0175caf}";

/// Whether Hyper-V's driver for the host's time is bound to its device.
fn hyper_v_synchronizes(sys: &Path) -> bool {
    let devices = fs::read_dir(sys.join("bus/vmbus/devices")).into_iter().flatten().flatten();
    devices.map(|device| device.path()).any(|device| {
        let class = fs::read_to_string(device.join("class_id")).unwrap_or_default();
        class.trim() == HYPER_V_TIME && device.join("driver").exists()
    })
}

/// How long a look is good: reading every process's name takes milliseconds on a busy host.
const LOOK_EVERY: Duration = Duration::from_secs(30);

static LAST_LOOK: Mutex<Option<(Instant, Vec<Daemon>)>> = Mutex::new(None);

/// Who runs, as of the last half minute; one look for all clocks of the process.
pub(crate) fn running() -> Vec<Daemon> {
    // In the child of a fork the lock may be held by nobody who will release
    // it: then nothing is known, which refuses nothing.
    let Some(mut last) = LAST_LOOK.try_lock() else { return Vec::new() };
    match last.as_ref() {
        Some((at, found)) if at.elapsed() < LOOK_EVERY => found.clone(),
        _ => last.insert((Instant::now(), Daemon::detect())).1.clone(),
    }
}

/// A daemon that states no bound, if no other runs that can have written one.
pub(crate) fn only_unbelievable(running: &[Daemon]) -> Option<Daemon> {
    let refused = |daemon: &Daemon| daemon.verdict() == Verdict::NotBelieved;
    if running.iter().all(refused) { running.first().copied() } else { None }
}

#[cfg(test)]
mod tests;
