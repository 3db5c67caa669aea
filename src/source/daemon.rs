//! Which time daemon disciplines this host's clock, and whether its bound can be believed.
//!
//! The kernel does not record which program wrote `maxerror`, and the number's worth
//! depends on the writer. So this module looks for the daemons' processes by name, which
//! any user may do. The result is a hint and not evidence, because a daemon may run in
//! another container or be hidden. A name alone therefore never makes a bound believed.
//! But the kernel's bound is refused if every daemon that is visible is one that
//! states no bound.
//!
//! | daemon | what it writes as `maxerror` | believed | what that is worth |
//! |---|---|---|---|
//! | chronyd | root delay / 2 + root dispersion + the offset that it has not corrected yet | yes | this is a bound; without `rtcsync` the kernel stays flagged, and chronyd's own report confirms it |
//! | ntpd | root delay / 2 + root dispersion | with care | this is a bound once the offset that the kernel's PLL still has to correct is added |
//! | ntpsec | root delay / 2 + root dispersion, and 16 µs before its first update | with care | this is a bound from its first update on, with the PLL's offset added |
//! | ntpd-rs | its root delay, without what it has still to correct | no | this is a little less than a bound: run chronyd in its place, or state the error with `assume_error` |
//! | openntpd | nothing | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | systemd-timesyncd | 0, also while it corrects up to 0.4 s | no | this is no bound: run chronyd in its place, or state the error with `assume_error` |
//! | phc2sys | 0 | no | this is no bound: state the error of the PTP clock with `assume_error` |
//! | ptp4l | 0 where it disciplines this clock | no | this is no bound: state the error of the PTP clock with `assume_error` |
//! | clockbound | its own bound | yes | this is a bound |
//! | Hyper-V time synchronisation | nothing | no | without a bound, run chronyd with the host's PTP device (`refclock PHC /dev/ptp_hyperv`) |

mod table;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fork::{Mutex, PerProcess, ProcessKey};
use table::TABLE;
pub use table::{Daemon, Verdict};

impl Daemon {
    /// The daemons that discipline this host's clock, as far as they are visible.
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
        // Three programs are called ntpd. Their arguments tell them apart.
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
        TABLE.iter().find(|row| row.comms.contains(&comm)).map(|row| row.daemon)
    }
}

/// Whether systemd-timesyncd has reached a server since the host booted. `None` if it does
/// not run.
///
/// Its marker file shows nothing else, so it is not a bound.
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

/// How long a list of processes is used, because reading it takes milliseconds on a busy host.
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// When the processes were read last, and what was found.
type Scan = Option<(Instant, Vec<Daemon>)>;

/// A forked child makes its own, because a thread of the parent may be in the middle of one.
static LAST_SCAN: PerProcess<Mutex<Scan>> = PerProcess::new();

/// The daemons that ran within the last half minute. All clocks of the process share one scan.
pub(crate) fn running() -> Vec<Daemon> {
    let here = LAST_SCAN.get(ProcessKey::current(), |_| Mutex::default());
    // A thread that finds another one scanning waits for it. "No daemon is known" would refuse
    // nothing.
    let mut last = here.lock();
    match last.as_ref() {
        Some((at, found)) if at.elapsed() < SCAN_EVERY => found.clone(),
        _ => last.insert((Instant::now(), Daemon::detect())).1.clone(),
    }
}

/// A daemon that states no bound, if no other daemon runs that could have written one.
pub(crate) fn only_unbelievable(running: &[Daemon]) -> Option<Daemon> {
    let refused = |daemon: &Daemon| daemon.verdict() == Verdict::NotBelieved;
    if running.iter().all(refused) { running.first().copied() } else { None }
}

#[cfg(test)]
mod tests;
