//! Real time servers, unpacked by `fetch.sh`, on the loopback of a namespace of their own.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// Set to run the servers; without it they are skipped.
pub const ASK: &str = "TRUECHIMER_NTS";
/// Where the packages are, if not in `target/nts`.
const DIRECTORY: &str = "TRUECHIMER_NTS_DIR";
/// Which edition of what `fetch.sh` fetches is needed.
const EDITION: &str = "1";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// How long a server may take to start and to synchronise with the one above it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a reply has these (RFC 5905, 7.3), in seconds of 16 and 16 bits.
const ROOT_DELAY: usize = 4;
const ROOT_DISPERSION: usize = 8;
const MAX_ROOT_DISTANCE: f64 = 0.1;

/// The server that the others follow. One that follows only itself would be refused.
const ABOVE_IP: &str = "192.168.77.1";
const ABOVE: &str = "192.168.77.1:123";
/// Where every server gives keys and time. They take turns.
pub const KEYS: &str = "127.0.0.1:4460";
pub const TIME: &str = "127.0.0.1:123";

/// The unpacked packages, and a folder for the servers' files.
pub struct Ground {
    root: PathBuf,
    work: PathBuf,
}

impl Ground {
    /// The ground, or a sentence that says what is missing and how to get it.
    pub fn find() -> Result<Ground, String> {
        let dir = match std::env::var_os(DIRECTORY) {
            Some(dir) => PathBuf::from(dir),
            None => target_dir().join("nts"),
        };
        let edition = fs::read_to_string(dir.join("complete")).unwrap_or_default();
        if edition.trim() != EDITION {
            return Err(format!(
                "the time servers (chronyd, ntpsec, ntpd-rs; about 25 MB) are not in {}, or are of \
                 an earlier edition: run `tests/nts/fetch.sh`, or name a directory in {DIRECTORY}",
                dir.display(),
            ));
        }
        Ok(Ground { root: dir.join("root"), work: dir.join("run") })
    }

    /// An empty folder with the certificates and the key.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let at = self.work.join(name);
        if at.exists() {
            fs::remove_dir_all(&at)?;
        }
        fs::create_dir_all(&at)?;
        for file in ["server.pem", "server.key"] {
            fs::copy(certificates().join(file), at.join(file))?;
        }
        Ok(at)
    }

    /// Starts a program by its own loader, with its own libraries.
    fn start(&self, program: &str, arguments: &[&str], at: &Path) -> io::Result<Server> {
        let libraries = self.root.join(LIBRARIES);
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(self.root.join(program));
        command.args(arguments).current_dir(at).stdin(Stdio::null());
        let log = fs::OpenOptions::new().create(true).append(true).open(at.join("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        // A filter holds for one thread and what it starts.
        let started = thread::spawn(move || {
            without_setting_clocks()?;
            command.spawn()
        });
        let child = started.join().map_err(|_| io::Error::other("a panic"))??;
        Ok(Server { child, log: at.join("log") })
    }

    /// The chronyd that is followed: it follows this host's clock, which is the truth here.
    pub fn above(&self) -> io::Result<Server> {
        let at = self.folder("above")?;
        let settings = format!("bindaddress {ABOVE_IP}\nlocal stratum 1\nallow\n");
        let server = self.chronyd(&at, &settings)?;
        server.until_it_answers(None, Some(ABOVE))?;
        Ok(server)
    }

    /// A chronyd with NTS, in this folder. It keeps no keys, so that a new one has others.
    pub fn chronyd_with_nts(&self, at: &Path) -> io::Result<Server> {
        let settings = "bindaddress 127.0.0.1\nserver 192.168.77.1 minpoll -4 maxpoll -4 iburst\n\
             allow 127.0.0.0/8\nntsserverkey server.key\nntsservercert server.pem\n\
             ntsprocesses 0\n";
        let server = self.chronyd(at, settings)?;
        server.until_it_answers(Some(KEYS), Some(TIME))?;
        Ok(server)
    }

    /// The same without NTS.
    pub fn chronyd_plain(&self, at: &Path) -> io::Result<Server> {
        let settings = "bindaddress 127.0.0.1\nserver 192.168.77.1 minpoll -4 maxpoll -4 iburst\n\
             allow 127.0.0.0/8\n";
        let server = self.chronyd(at, settings)?;
        server.until_it_answers(None, Some(TIME))?;
        Ok(server)
    }

    fn chronyd(&self, at: &Path, settings: &str) -> io::Result<Server> {
        let common = "port 123\ncmdport 0\nbindcmdaddress /\npidfile chronyd.pid\n";
        fs::write(at.join("chrony.conf"), format!("{common}{settings}"))?;
        // `-x`: it does not steer the clock. `-U`: it need not be root.
        self.start("usr/sbin/chronyd", &["-x", "-d", "-U", "-u", "root", "-f", "chrony.conf"], at)
    }

    /// An ntpsec that knows no time. It steers nothing here, so it would not become synchronised.
    pub fn ntpsec(&self) -> io::Result<Server> {
        let at = self.folder("ntpsec")?;
        let settings = "interface ignore wildcard\ninterface listen 127.0.0.1\nnts enable\n\
            nts key server.key\nnts cert server.pem\nnts cookie cookies\n";
        fs::write(at.join("ntp.conf"), settings)?;
        let server =
            self.start("usr/sbin/ntpd", &["-n", "-c", "ntp.conf", "-p", "ntp.pid"], &at)?;
        server.until_it_answers(Some(KEYS), None)?;
        Ok(server)
    }

    pub fn ntpd_rs(&self) -> io::Result<Server> {
        let at = self.folder("ntpd-rs")?;
        let settings = "[[source]]\nmode = \"server\"\naddress = \"192.168.77.1:123\"\n\
            [source-defaults]\npoll-interval-limits = { min = 0, max = 1 }\n\
            initial-poll-interval = 0\n\
            [synchronization]\nminimum-agreeing-sources = 1\n\
            [[server]]\nlisten = \"127.0.0.1:123\"\n\
            [[nts-ke-server]]\nlisten = \"127.0.0.1:4460\"\n\
            certificate-chain-path = \"server.pem\"\nprivate-key-path = \"server.key\"\n\
            [keyset]\nkey-storage-path = \"keys\"\n";
        fs::write(at.join("ntp.toml"), settings)?;
        let server = self.start("usr/bin/ntp-daemon", &["-c", "ntp.toml"], &at)?;
        server.until_it_answers(Some(KEYS), Some(TIME))?;
        Ok(server)
    }
}

/// A running server, which ends with its owner.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Waits until it gives keys, and serves time as one that is synchronised.
    fn until_it_answers(&self, keys: Option<&str>, time: Option<&str>) -> io::Result<()> {
        let began = Instant::now();
        let keys: Option<SocketAddr> = keys.map(|at| at.parse().expect("an address"));
        while began.elapsed() < PATIENCE {
            let listens = |at| TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok();
            let serves = time.map_or(Ok(true), is_synchronised)?;
            if serves && keys.is_none_or(listens) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Err(io::Error::other(format!("the server is not ready after {PATIENCE:?}:\n{log}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a plain request is answered by a server that knows the time to 0.1 s.
fn is_synchronised(at: &str) -> io::Result<bool> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut packet = [0; 48];
    packet[0] = 0x23;
    packet[40] = 1;
    socket.send_to(&packet, at)?;
    let mut reply = [0; 100];
    let Ok(length) = socket.recv(&mut reply) else { return Ok(false) };
    // After its first exchange chronyd is synchronised to a second or two.
    let seconds = |at: usize| {
        let fixed = u32::from_be_bytes([reply[at], reply[at + 1], reply[at + 2], reply[at + 3]]);
        f64::from(fixed) / 65_536.0
    };
    let distance = seconds(ROOT_DELAY) / 2.0 + seconds(ROOT_DISPERSION);
    Ok(length >= 48
        && reply[0] >> 6 != 3
        && (1..16).contains(&reply[1])
        && distance < MAX_ROOT_DISTANCE)
}

/// Network and users of this process's own, from now on: the ports are free there, and nobody in
/// it may set a clock. It must have one thread.
pub fn enter_namespace() -> io::Result<()> {
    let own = fs::metadata("/proc/self")?;
    let (user, group) = (own.uid(), own.gid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    let above = format!("{ABOVE_IP}/32");
    for arguments in [["link", "set", "lo", "up"].as_slice(), &["addr", "add", &above, "dev", "lo"]]
    {
        if !Command::new("ip").args(arguments).status()?.success() {
            return Err(io::Error::other(format!("`ip {}` failed", arguments.join(" "))));
        }
    }
    Ok(())
}

/// Every call that sets a clock returns success, from now on and in this thread, and does nothing:
/// ntpd-rs does not run where it may not steer, and this host's clock is not to be steered.
fn without_setting_clocks() -> io::Result<()> {
    let calls = [
        libc::SYS_adjtimex,
        libc::SYS_clock_adjtime,
        libc::SYS_clock_settime,
        libc::SYS_settimeofday,
    ];
    let rules = calls.iter().map(|&call| (call, vec![])).collect();
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let pretend = SeccompAction::Errno(0);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, pretend, arch);
    let program = BpfProgram::try_from(filter.map_err(io::Error::other)?);
    apply_filter(&program.map_err(io::Error::other)?).map_err(io::Error::other)
}

/// Where the certificates are that `make.sh` made.
pub fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nts/certificates")
}

fn target_dir() -> PathBuf {
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().nth(3)).map(Path::to_path_buf);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))
}
