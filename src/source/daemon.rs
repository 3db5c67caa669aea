//! Which time daemons run on this host, and what each of them writes as `maxerror`.
//!
//! The kernel does not record which program wrote `maxerror`, and the number's worth
//! depends on the writer. This module looks for the daemons' processes by name, which any user
//! may do. A name alone never makes a bound believed (`source::writer` asks the daemons
//! for that). But if only daemons are visible that state no bound, none of them can have
//! written one, and the refusal names them.
//!
//! Only a process that may set the clock counts: one with CAP_SYS_TIME, in the user namespace of
//! this process. Else any user's process that calls itself `phc2sys` would make clocks refuse.
//! And a chronyd with `-x` tells the kernel nothing.
//!
//! A container, or `hidepid`, hides the host's processes. Process 2 of the host is the kernel's
//! `kthreadd`. If it cannot be seen, no conclusion is drawn from the absence of a daemon.
//!
//! What each of them writes was seen on real hosts, except where the table says that it was read
//! in the program's source.
//!
//! | daemon | what it writes as `maxerror` | believed | what that is worth |
//! |---|---|---|---|
//! | chronyd | root delay / 2 + root dispersion + the offset that it has not corrected yet | yes | this is a bound if it follows a server; a reference clock's own error is left out |
//! | ntpd | root delay / 2 + root dispersion | with care | this is a bound if it follows a server, once the offset that the kernel's PLL still has to correct is added |
//! | ntpsec | root delay / 2 + root dispersion, and 16 µs before its first update | with care | this is a bound if it follows a server, from its first update on, with the PLL's offset added |
//! | ntpd-rs | its root delay, without what it has still to correct | no | this was seen 8 ms too small: run chronyd in its place, or state the error with `assume_error` |
//! | openntpd | 0 while it calls its clock synchronised (by its source) | no | this is no bound: run chronyd in its place, or state the error with `assume_error` |
//! | systemd-timesyncd | 0, also while it corrects up to 0.4 s | no | this is no bound: its exchanges are used where the system bus can be reached (`source::timesyncd`), else run chronyd in its place, or state the error with `assume_error` |
//! | phc2sys | 0 | no | this is no bound: state the error of the PTP clock with `assume_error` |
//! | ptp4l | 0 where it disciplines this clock | no | this is no bound: state the error of the PTP clock with `assume_error` |
//! | clockbound | its own bound, without what it has still to correct | yes | this is a bound once the offset that the kernel's PLL still has to correct is added |
//! | Hyper-V time synchronisation | nothing | no | without a bound, run chronyd with the host's PTP device (`refclock PHC /dev/ptp_hyperv` with twice its error as `delay`) |
//! | ptpd | the offset that it measured last | no | this is a measurement and no bound: run chronyd in its place, or state the error with `assume_error` |
//! | sfptpd | nothing, but it clears the kernel's flag (by its source) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | statime | nothing but frequency, TAI − UTC and leap seconds (by its source) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | timemaster | nothing itself, because it starts chronyd or ntpd on PTP clocks (by its manual) | no | what counts is the daemon that it starts, with `reference_error` for the PTP clock, or `assume_error` |
//! | vmtoolsd | nothing but the length of a tick, if its time synchronisation is on (by its source) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | VBoxService | nothing, because it uses adjtime() and settimeofday() (by its source) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | busybox ntpd | nothing, but it clears the kernel's flag (by its source) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | connmand | nothing, because it uses adjtime() and settimeofday() (by its source of 2012) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |
//! | htpdate | nothing but steps, adjtime() and the frequency (by its source) | no | without a bound, run chronyd in its place, or state the error with `assume_error` |

mod port_owner;
mod table;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fork::{Mutex, PerProcess, ProcessKey};

pub(crate) use port_owner::PortOwner;
use table::TABLE;
pub use table::{Daemon, Verdict};

/// The time daemons of a host, as far as they are visible.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Running {
    /// Those that may set the clock.
    pub(crate) daemons: Vec<Daemon>,
    /// A chronyd runs that may not set the clock, or was told not to (`-x`).
    pub(crate) has_idle_chronyd: bool,
    /// Why others may run unseen; `None` if all are visible.
    pub(crate) hidden: Option<&'static str>,
}

impl Daemon {
    /// The daemons that may set this host's clock, as far as they are visible.
    pub fn detect() -> Vec<Daemon> {
        Running::now().daemons
    }
}

impl Running {
    /// The daemons of this host.
    fn now() -> Running {
        Running::detect_in(Path::new("/proc"), Path::new("/sys"))
    }

    fn detect_in(proc: &Path, sys: &Path) -> Running {
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        let is_pid =
            |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        let mut running = Running::default();
        for process in entries.filter(|entry| is_pid(&entry.file_name())) {
            let Some(daemon) = Daemon::from_process(&process.path()) else { continue };
            let sets_clock = may_set_clock(proc, &process.path());
            if daemon == Daemon::Chrony && (!sets_clock || was_told_not_to(&process.path())) {
                running.has_idle_chronyd = true;
            } else if sets_clock {
                running.daemons.push(daemon);
            }
        }
        if hyper_v_synchronizes(sys) {
            running.daemons.push(Daemon::HyperV);
        }
        running.daemons.sort_unstable();
        running.daemons.dedup();
        let kthreadd = fs::read_to_string(proc.join("2/comm")).unwrap_or_default();
        if kthreadd.trim() != "kthreadd" {
            running.hidden = Some("the host's processes cannot be seen from here");
        }
        running
    }
}

impl Daemon {
    fn from_process(dir: &Path) -> Option<Daemon> {
        let comm = fs::read_to_string(dir.join("comm")).ok()?;
        let daemon = Daemon::from_comm(comm.trim())?;
        // Several programs share a name. Their arguments tell them apart.
        let line = fs::read(dir.join("cmdline")).unwrap_or_default();
        let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
        match daemon {
            Daemon::Ntpd if has(b"ntpsec") => Some(Daemon::Ntpsec),
            Daemon::Ntpd if has(b"openntpd") || has(b"ntp engine") || has(b"[priv]") => {
                Some(Daemon::OpenNtpd)
            }
            Daemon::Ntpd if runs_busybox(dir) => Some(Daemon::Busybox),
            Daemon::Busybox => has(b"ntpd").then_some(Daemon::Busybox),
            other => Some(other),
        }
    }

    /// The daemon whose process is called `comm` (the kernel keeps 15 bytes of it).
    fn from_comm(comm: &str) -> Option<Daemon> {
        TABLE.iter().find(|row| row.comms.contains(&comm)).map(|row| row.daemon)
    }
}

/// Whether a process is busybox under another name. Only its owner and root may see this.
fn runs_busybox(dir: &Path) -> bool {
    fs::read_link(dir.join("exe"))
        .is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "busybox"))
}

/// Whether a process has the privilege to set this host's clock: CAP_SYS_TIME, or the user 0 if
/// its capabilities cannot be read.
///
/// Any user has all capabilities in a user namespace of their own, where they are worth
/// nothing. So the process's namespace has to map users as this process's does.
fn may_set_clock(proc: &Path, dir: &Path) -> bool {
    const CAP_SYS_TIME: u64 = 1 << 25;
    let status = fs::read_to_string(dir.join("status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let capable = match field("CapEff:") {
        Some(bits) => {
            u64::from_str_radix(bits.trim(), 16).is_ok_and(|bits| bits & CAP_SYS_TIME != 0)
        }
        None => field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0"),
    };
    let users = |of: &Path| fs::read_to_string(of.join("uid_map")).ok();
    let is_same = match (users(dir), users(&proc.join("self"))) {
        (Some(its), Some(own)) => its == own,
        _ => true,
    };
    capable && is_same
}

/// Whether a chronyd was started with `-x`, alone or among other flags (`-dx`).
fn was_told_not_to(dir: &Path) -> bool {
    const FLAGS: &[u8] = b"46dmnpqQrRsSUx";
    let line = fs::read(dir.join("cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0 || byte == b' ').any(|argument| {
        let flags = argument.strip_prefix(b"-").unwrap_or_default();
        flags.contains(&b'x') && flags.iter().all(|flag| FLAGS.contains(flag))
    })
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
type Scan = Option<(Instant, Running)>;

/// A forked child makes its own, because a thread of the parent may be in the middle of one.
static LAST_SCAN: PerProcess<Mutex<Scan>> = PerProcess::new();

/// The daemons that ran within the last half minute. All clocks of the process share one scan.
pub(crate) fn running() -> Running {
    let here = LAST_SCAN.get(ProcessKey::current(), |_| Mutex::default());
    // A thread that finds another one scanning waits for it. "No daemon is known" would refuse
    // nothing.
    let mut last = here.lock();
    match last.as_ref() {
        Some((at, found)) if at.elapsed() < SCAN_EVERY => found.clone(),
        _ => last.insert((Instant::now(), Running::now())).1.clone(),
    }
}

/// A daemon that states no bound, if no other daemon runs that could have written one.
pub(crate) fn only_unbelievable(running: &[Daemon]) -> Option<Daemon> {
    let refused = |daemon: &Daemon| daemon.verdict() == Verdict::NotBelieved;
    if running.iter().all(refused) { running.first().copied() } else { None }
}

#[cfg(test)]
mod tests;
