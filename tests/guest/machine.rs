//! One guest: boots it, follows its console, does what it asks of the host, ends it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::ground::Ground;
use crate::plan::{Hardware, Plan};

/// Sending the logs may take this long beside the plan itself, which an emulator on a busy
/// host does not run at full speed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Booting takes 3 s where the host is quiet, and with network cards 10 s.
const BOOTING: Duration = Duration::from_secs(240);
/// How often a guest that does not get to its beginning is booted.
const BOOTS: u32 = 3;

/// What time passes in a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// The host's, also while the host does not let it run: as in a machine that is
    /// rented out more than once.
    OfTheHost,
    /// That of the instructions it has run, and where it idles it jumps. Nothing that the
    /// host does beside it makes a difference.
    OfItsOwn,
}

/// What a guest left behind.
pub struct Outcome {
    /// The oscillator's reading when the plan began.
    pub raw0: i64,
    /// The logs by name.
    pub logs: BTreeMap<String, Vec<u8>>,
}

/// Runs a plan in a guest of its own.
pub fn run(ground: &Ground, name: &str, plan: &Plan, time: Time) -> io::Result<Outcome> {
    let dir = ground.scratch(name)?;
    fs::write(dir.join("initrd"), ground.initrd(plan)?)?;
    // At leisure a guest is much faster than this. Minutes of it may still be slow where the
    // host is busy; hours may not.
    const SLOW_MS: u64 = 600_000;
    let plan_ms = match plan.leisure {
        Some(_) => (plan.end_ms / 10).max(plan.end_ms.min(SLOW_MS)),
        None => plan.end_ms,
    };
    let patience = Duration::from_millis(plan_ms) + PATIENCE;
    let mut boots = 0;
    let machine = loop {
        boots += 1;
        let mut machine = Machine::boot(ground, &dir, plan.hardware, time)?;
        let console = machine.follow(patience);
        fs::write(dir.join("console"), machine.console.join("\n"))?;
        match console {
            Ok(()) => break machine,
            // A kernel that is starved while it tries its timers gives up, or hangs.
            // Nothing has been read yet in such a guest.
            Err(_) if !machine.has_begun() && boots < BOOTS => {}
            Err(error) => {
                let tail = machine.console.len().saturating_sub(30);
                let tail = machine.console[tail..].join("\n  ");
                return Err(io::Error::other(format!("{error}; its last words:\n  {tail}")));
            }
        }
    };
    let logs = split_logs(&fs::read(dir.join("logs"))?)?;
    // What the daemons said, for whoever wants to know why.
    for (name, words) in logs.iter().filter(|(name, _)| name.ends_with(".log")) {
        fs::write(dir.join(name), words)?;
    }
    let raw0 = machine.console.iter().find_map(|line| line.strip_prefix("BEGIN ")?.parse().ok());
    let raw0 = raw0.ok_or_else(|| io::Error::other("the guest never began"))?;
    Ok(Outcome { raw0, logs })
}

struct Machine {
    qemu: Child,
    lines: Receiver<String>,
    monitor: PathBuf,
    console: Vec<String>,
}

impl Machine {
    fn boot(ground: &Ground, dir: &Path, hardware: Hardware, time: Time) -> io::Result<Machine> {
        let monitor = dir.join("monitor");
        let mut command = ground.emulator(hardware);
        let cards: &[&str] = match hardware {
            Hardware::Plain | Hardware::Ec2 => &[],
            Hardware::NetworkCards => &["igb", "igb"],
            Hardware::CardThatRunsWrong => &["igb", "e1000e"],
        };
        if !cards.is_empty() {
            // A card's virtual functions take up much of a bus, so each card has its own.
            command.args(["-machine", "q35"]);
            for (card, model) in (1..).zip(cards) {
                command.args(["-netdev", &format!("hubport,id=port{card},hubid=0")]);
                let root_port = format!("pcie-root-port,id=bus{card},chassis={card}");
                let mac = format!("52:54:00:00:00:0{card}");
                let device = format!("{model},romfile=,bus=bus{card},netdev=port{card},mac={mac}");
                command.args(["-device", &root_port, "-device", &device]);
            }
        }
        let mut words =
            "console=ttyS0 panic=-1 loglevel=4 random.trust_cpu=on no_timer_check".to_owned();
        if hardware == Hardware::Ec2 {
            // ClockBound takes a machine without a hypervisor for one without a VMClock.
            command.args(["-smbios", "type=1,manufacturer=Amazon EC2,product=m7i.metal-24xl"]);
            words += " tsc=reliable";
        }
        if time == Time::OfItsOwn {
            // 8 ns an instruction: about what an emulated processor does anyway. The RTC
            // goes by the same time.
            command.args(["-icount", "shift=3,sleep=off", "-rtc", "clock=vm"]);
        }
        command
            .args(["-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-m", "512", "-cpu", "max"])
            .arg("-kernel")
            .arg(ground.kernel(hardware))
            .arg("-initrd")
            .arg(dir.join("initrd"))
            .args(["-append", &words])
            .args(["-serial", "stdio", "-serial"])
            .arg(format!("file:{}", dir.join("logs").display()))
            .arg("-monitor")
            .arg(format!("unix:{},server,nowait", monitor.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("qemu-errors"))?);
        let mut qemu = command.spawn()?;
        let stdout = qemu.stdout.take().ok_or_else(|| io::Error::other("no console"))?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(text).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(Machine { qemu, lines, monitor, console: Vec::new() })
    }

    fn has_begun(&self) -> bool {
        self.console.iter().any(|line| line.starts_with("BEGIN "))
    }

    /// Reads the console until the emulator ends by itself.
    fn follow(&mut self, patience: Duration) -> io::Result<()> {
        let mut deadline = Instant::now() + BOOTING;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(ms) = line.strip_prefix("HOST pause ") {
                        self.pause(Duration::from_millis(ms.parse().map_err(io::Error::other)?))?;
                    }
                    if line.starts_with("BEGIN ") {
                        deadline = Instant::now() + patience;
                    }
                    let failed = line.starts_with("FAILED ") || line.contains("Kernel panic");
                    self.console.push(line);
                    if failed {
                        return Err(io::Error::other("the guest failed"));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other("the guest took too long, and was ended"));
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.qemu.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("the emulator ended with {status}")));
        }
        match self.console.iter().any(|line| line == "END") {
            true => Ok(()),
            false => Err(io::Error::other("the guest ended early")),
        }
    }

    /// Stops the guest for so long, and tells it how long it was.
    fn pause(&mut self, length: Duration) -> io::Result<()> {
        let mut monitor = Monitor::connect(&self.monitor)?;
        monitor.say("stop")?;
        let began = Instant::now();
        std::thread::sleep(length);
        monitor.say("cont")?;
        let stood = began.elapsed();
        let stdin =
            self.qemu.stdin.as_mut().ok_or_else(|| io::Error::other("the console is closed"))?;
        writeln!(stdin, "{}", stood.as_nanos())?;
        stdin.flush()
    }
}

/// Whatever happens, the emulator that was started here ends here.
impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(None) = self.qemu.try_wait() {
            let _ = self.qemu.kill();
            let _ = self.qemu.wait();
        }
    }
}

/// The emulator's own console, by which it is stopped and continued.
pub struct Monitor {
    stream: UnixStream,
}

const PROMPT: &[u8] = b"(qemu) ";

impl Monitor {
    pub fn connect(at: &Path) -> io::Result<Monitor> {
        let stream = UnixStream::connect(at)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut monitor = Monitor { stream };
        monitor.await_prompt()?;
        Ok(monitor)
    }

    /// Gives a command, and returns when it has been carried out.
    pub fn say(&mut self, command: &str) -> io::Result<()> {
        self.ask(command).map(|_| ())
    }

    /// The same, with what was answered.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        self.await_prompt()
    }

    fn await_prompt(&mut self) -> io::Result<String> {
        let mut heard = Vec::new();
        let mut byte = [0];
        while !heard.ends_with(PROMPT) {
            self.stream.read_exact(&mut byte)?;
            heard.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }
}

/// Takes apart what came through the second serial port: `name length`, then the bytes.
fn split_logs(mut rest: &[u8]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut logs = BTreeMap::new();
    while !rest.is_empty() {
        let bad = || io::Error::other("the logs came through damaged");
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(bad)?;
        let header = std::str::from_utf8(&rest[..end]).map_err(|_| bad())?;
        let (name, length) = header.split_once(' ').ok_or_else(bad)?;
        let length: usize = length.parse().map_err(|_| bad())?;
        let body = rest.get(end + 1..end + 1 + length).ok_or_else(bad)?;
        logs.insert(name.to_owned(), body.to_vec());
        rest = &rest[end + 1 + length..];
    }
    Ok(logs)
}
