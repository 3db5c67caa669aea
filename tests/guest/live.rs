//! A real chronyd on this host, without a guest: `chronyd -x` touches no clock.
//!
//! It runs in a network namespace that the test makes for itself, so that its
//! command port is nobody else's. The test plays its reference clock.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use truechimer::source::chrony::{ChronyError, Client, Leap, Tracking, client};

use crate::ground::Ground;

/// How far the reference clock says that this host is off.
const OFFSET: f64 = 0.002;
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows one chronyd through its life: not there, unsynchronised, synchronised, stopped, dead.
pub fn a_real_chronyd_answers(ground: &Ground) -> Result<(), String> {
    // Namespaces belong to threads, and the libtest thread keeps its own.
    std::thread::scope(|scope| {
        let story = scope.spawn(|| story(ground).map_err(|error| error.to_string()));
        story.join().map_err(|_| "the test itself panicked".to_owned())?
    })
}

fn story(ground: &Ground) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| io::Error::other(format!("a network namespace needs root: {error}")))?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    must(up.success(), "`ip link set lo up`")?;
    let dir = ground.scratch("live")?;
    // chronyd puts a socket only where nobody else can.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    let mut udp = Client::udp(client::UDP).map_err(io::Error::other)?;
    must(matches!(udp.tracking(), Err(ChronyError::NotRunning { .. })), "nobody listens yet")?;

    let mut chronyd = Chronyd::start(ground, &dir, "")?;
    let first = until(&mut udp, |_| true)?;
    must(first.leap == Leap::Unsynchronized && first.bound_ns().is_none(), "no word at the start")?;

    let reference = UnixDatagram::unbound()?;
    let synchronized = until(&mut udp, |tracking| {
        feed(&reference, &dir.join("ref.sock"));
        tracking.bound_ns().is_some()
    })?;
    println!("  live: {synchronized:?}");
    let least = (OFFSET * 1e9 * 0.8) as u64;
    must(synchronized.leap == Leap::Normal, "no leap second")?;
    must(synchronized.stratum == 1, "next to a primary source")?;
    must(synchronized.reference.to_string() == "TRUE", "the reference has its name")?;
    must(synchronized.correction_ns > least, "the offset shows")?;
    must(synchronized.bound_ns() > Some(least), "and counts")?;
    must(synchronized.bound_ns() < Some(100_000_000), "but not for more than it is")?;
    let since =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + synchronized.reference_time);
    must(since.is_ok_and(|since| since < PATIENCE), "the reference was heard just now")?;

    let socket = dir.join("chronyd.sock");
    let mut unix = Client::unix(&socket).map_err(io::Error::other)?;
    let over_unix = until(&mut unix, |_| true)?;
    must(over_unix.reference == synchronized.reference, "the Unix socket says the same")?;

    chronyd.signal(Signal::SIGSTOP)?;
    must(matches!(udp.tracking(), Err(ChronyError::NoAnswer { .. })), "a stopped one is silent")?;
    must(matches!(unix.tracking(), Err(ChronyError::NoAnswer { .. })), "on both sockets")?;
    chronyd.signal(Signal::SIGCONT)?;
    until(&mut udp, |_| true)?;

    drop(chronyd);
    must(matches!(udp.tracking(), Err(ChronyError::NotRunning { .. })), "gone")?;
    must(matches!(unix.tracking(), Err(ChronyError::NotRunning { .. })), "gone on both")?;

    // The same client speaks to the next chronyd; that one follows only itself.
    let _alone = Chronyd::start(ground, &dir, "local stratum 10\n")?;
    let local = until(&mut udp, |tracking| tracking.reference.is_local())?;
    must(local.leap == Leap::Normal, "it calls itself synchronised")?;
    must(local.bound_ns().is_none(), "and is not believed")
}

fn must(holds: bool, what: &str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(format!("it must be that: {what}"))) }
}

/// Asks until the answer is what is wanted.
fn until(client: &mut Client, mut wanted: impl FnMut(&Tracking) -> bool) -> io::Result<Tracking> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.tracking();
        match answer {
            Ok(tracking) if wanted(&tracking) => return Ok(tracking),
            Err(error) if !error.is_transient() => return Err(io::Error::other(error)),
            answer if Instant::now() > deadline => {
                return Err(io::Error::other(format!("the last answer in time was {answer:?}")));
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// One sample of the reference clock (see `program/refclock.rs`); nobody listening is no error.
fn feed(from: &UnixDatagram, to: &Path) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut sample = [0; 40];
    sample[0..8].copy_from_slice(&now.as_secs().to_ne_bytes());
    sample[8..16].copy_from_slice(&u64::from(now.subsec_micros()).to_ne_bytes());
    sample[16..24].copy_from_slice(&OFFSET.to_ne_bytes());
    sample[36..40].copy_from_slice(&0x534f_434b_i32.to_ne_bytes());
    let _ = from.send_to(&sample, to);
}

struct Chronyd(Child);

impl Chronyd {
    fn start(ground: &Ground, dir: &Path, extra: &str) -> io::Result<Chronyd> {
        let path = |name: &str| -> PathBuf { dir.join(name) };
        for stale in ["chronyd.sock", "ref.sock", "chronyd.pid"] {
            if path(stale).exists() {
                fs::remove_file(path(stale))?;
            }
        }
        let reference = match extra {
            "" => format!(
                "refclock SOCK {} refid TRUE poll 0 delay 1e-3\n",
                path("ref.sock").display()
            ),
            _ => String::new(),
        };
        let conf = format!(
            "{reference}{extra}bindcmdaddress 127.0.0.1\nbindcmdaddress {}\npidfile {}\n",
            path("chronyd.sock").display(),
            path("chronyd.pid").display(),
        );
        fs::write(path("chrony.conf"), conf)?;
        let output = File::create(path("chronyd.log"))?;
        let chronyd = ground
            .command("usr/sbin/chronyd")
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(path("chrony.conf"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Chronyd(chronyd))
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.0.id() as i32), signal)?)
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
