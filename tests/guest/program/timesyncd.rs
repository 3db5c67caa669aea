//! systemd-timesyncd on a bus, with a server that knows the truth: as on a stock Debian, without
//! its init system.
//!
//! It is started as `timesyncd BUS DAEMON EVENT...`, where an event is `MS:WHAT`:
//!
//! - `serve,OFF,DISPERSION,THERE,BACK`: from then on the server is off by so many µs, states that
//!   dispersion in µs, and each way takes so many ms.
//! - `mute`: the server answers no more.
//! - `restart`: timesyncd is killed, and started again.
//! - `stop` and `go`: timesyncd is stopped, and goes on.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys;
use crate::truth::{RAW0, Truth};

/// Who timesyncd becomes, as the plan's /etc/passwd has it.
const TIMESYNC: u32 = 990;
const BUS_CONF: &str = "/run/dbus/bus.conf";

/// What the server does.
#[derive(Clone, Copy)]
struct Serves {
    off_us: i64,
    dispersion_us: i64,
    there: Duration,
    back: Duration,
}

enum Event {
    Serve(Option<Serves>),
    Restart,
    Signal(Signal),
}

pub fn run(arguments: &[String]) -> io::Result<()> {
    let [bus, daemon, events @ ..] = arguments else {
        return Err(io::Error::other("usage: timesyncd BUS DAEMON MS:EVENT..."));
    };
    let raw0: i64 =
        std::env::var(RAW0).map_err(io::Error::other)?.parse().map_err(io::Error::other)?;
    let serves = Arc::new(Mutex::new(None));
    serve(&serves)?;
    for folder in ["/run/systemd/timesync", "/var/lib/systemd/timesync"] {
        fs::create_dir_all(folder)?;
        chown(folder, Some(TIMESYNC), Some(TIMESYNC))?;
    }
    fs::set_permissions("/run/dbus", fs::Permissions::from_mode(0o755))?;
    let _bus = Command::new(bus)
        .args(["--nofork", "--nopidfile", "--nosyslog", &format!("--config-file={BUS_CONF}")])
        .spawn()?;
    while !std::path::Path::new("/run/dbus/system_bus_socket").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut timesyncd = start(daemon)?;
    for event in events {
        let (at, event) = parse(event).ok_or_else(|| io::Error::other(event.clone()))?;
        let left = at * 1_000_000 - (sys::raw() - raw0);
        std::thread::sleep(Duration::from_nanos(left.max(0) as u64));
        match event {
            Event::Serve(what) => *serves.lock().expect("whole") = what,
            Event::Restart => {
                timesyncd.kill()?;
                timesyncd.wait()?;
                timesyncd = start(daemon)?;
            }
            Event::Signal(signal) => kill(Pid::from_raw(timesyncd.id() as i32), signal)?,
        }
    }
    let status = timesyncd.wait()?;
    Err(io::Error::other(format!("timesyncd has ended by itself: {status}")))
}

fn start(daemon: &str) -> io::Result<Child> {
    Command::new(daemon).env("SYSTEMD_LOG_LEVEL", "debug").spawn()
}

fn parse(event: &str) -> Option<(i64, Event)> {
    let (at, what) = event.split_once(':')?;
    let mut words = what.split(',');
    let event = match words.next()? {
        "serve" => {
            let mut number = || words.next()?.parse::<i64>().ok();
            let (off_us, dispersion_us) = (number()?, number()?);
            let mut way = || Some(Duration::from_millis(number()? as u64));
            Event::Serve(Some(Serves { off_us, dispersion_us, there: way()?, back: way()? }))
        }
        "mute" => Event::Serve(None),
        "restart" => Event::Restart,
        "stop" => Event::Signal(Signal::SIGSTOP),
        "go" => Event::Signal(Signal::SIGCONT),
        _ => return None,
    };
    Some((at.parse().ok()?, event))
}

/// Answers at NTP's port, each request in a thread of its own because the ways take time.
fn serve(serves: &Arc<Mutex<Option<Serves>>>) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:123")?;
    let truth = Arc::new(Truth::of_this_process()?);
    let serves = serves.clone();
    std::thread::spawn(move || {
        let mut request = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut request) {
            let Some(serves) = *serves.lock().expect("whole") else { continue };
            if length < 48 || request[0] & 7 != 3 {
                continue;
            }
            let (truth, request) = (truth.clone(), request);
            let Ok(socket) = socket.try_clone() else { continue };
            std::thread::spawn(move || {
                std::thread::sleep(serves.there);
                let now = || truth.now() + serves.off_us * 1_000;
                let mut reply = [0; 48];
                let receive = stamp(now());
                reply[..4].copy_from_slice(&[request[0] & 0b11_1000 | 4, 1, request[2], 0xec]);
                // In 2⁻¹⁶ s, rounded up.
                let dispersion = (serves.dispersion_us << 16) / 1_000_000 + 1;
                reply[8..12].copy_from_slice(&(dispersion as u32).to_be_bytes());
                reply[12..16].copy_from_slice(b"TRUE");
                reply[16..24].copy_from_slice(&receive);
                reply[24..32].copy_from_slice(&request[40..48]);
                reply[32..40].copy_from_slice(&receive);
                reply[40..48].copy_from_slice(&stamp(now()));
                std::thread::sleep(serves.back);
                let _ = socket.send_to(&reply, from);
            });
        }
    });
    Ok(())
}

/// Unix ns as an NTP timestamp, rounded down.
fn stamp(unix_ns: i64) -> [u8; 8] {
    const NTP_TO_UNIX: i64 = 2_208_988_800;
    let seconds = (unix_ns.div_euclid(1_000_000_000) + NTP_TO_UNIX) as u64;
    let fraction = ((unix_ns.rem_euclid(1_000_000_000) as u64) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction).to_be_bytes()
}
