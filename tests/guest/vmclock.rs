//! A guest whose hypervisor has a VMClock: it is moved, and it is told the time.
//!
//! QEMU's own device has the marker alone, so that machine is really moved: its state goes to a
//! file, and another emulator goes on from there. The time fields are written by this test. The
//! guest's memory is a file that both share, an ACPI table shows the guest a page of it as a
//! VMClock, and so this test is the hypervisor. It asks the guest for its counter through
//! another page, which a real one need not.
//!
//! The host answers what time it is over a second serial port (`program/vmclock.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::ground::Ground;
use crate::initrd::Initrd;
use crate::machine::Monitor;

/// The emulated processor does not promise an invariant counter, and it has one.
pub const BUILD: &str = "tsc-taken-for-invariant";

/// Below the ground's directory: an emulator with a VMClock, and a kernel that knows it.
const AT: &str = "vmclock";

/// How long a guest may take, booting included.
const PATIENCE: Duration = Duration::from_secs(240);

/// 2024-05-01T00:00:37 TAI, in ns: what true time is when a story begins.
const BEGIN: i64 = 1_714_521_637_000_000_000;

/// An ACPI table that names a VMClock at [`PAGE`], compiled from
///
/// ```text
/// DefinitionBlock ("", "SSDT", 2, "TRUECH", "VMCLOCK", 1) { Scope (\_SB) { Device (VCLK) {
///   Name (_HID, "AMZNC10C") Name (_CID, "VMCLOCK") Name (_UID, 9)
///   Method (_STA) { Return (0xF) }
///   Name (_CRS, ResourceTemplate () { QWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed,
///     Cacheable, ReadWrite, 0, 0x0EF00000, 0x0EF00FFF, 0, 0x1000) }) } } }
/// ```
const TABLE: &str = "535344549b00000002de545255454348564d434c4f434b0001000000494e544c250920201046\
    075c5f53425f5b824d0656434c4b085f4849440d414d5a4e4331304300085f4349440d564d434c4f434b00085f5549\
    440a0914095f53544100a40a0f085f43525311330a308a2b00000d0300000000000000000000f00e00000000ff0ff0\
    0e00000000000000000000000000100000000000007900";

/// Where the page is in the guest's memory.
const PAGE: u64 = 0x0ef0_0000;

/// A machine that is moved gives no wrong reading, before or after.
pub fn a_machine_that_is_moved_gives_no_wrong_reading(ground: &Ground) -> Result<(), String> {
    let told = moved(ground).map_err(|error| error.to_string())?;
    println!("  {}", told.join("\n  "));
    let has = |text: &str| told.iter().any(|line| line.contains(text));
    let must = |is: bool, what: &str| if is { Ok(()) } else { Err(what.to_owned()) };
    must(has("CLOCK manual counter=TSC checked=InReadings"), "the marker is in each reading")?;
    must(has("CLOCK threaded counter=TSC checked=InReadings"), "and found without being named")?;
    must(has("CLOCK blind counter=TSC checked=Never"), "the third clock does without")?;
    for name in ["manual", "threaded"] {
        let of = |field: &str| count(&told, name, field);
        must(of("right") > 20, "the clock answers")?;
        must(of("missed") == 0, "no reading misses the truth")?;
        must(of("right_after") > 10, "and after the move it answers again")?;
    }
    must(count(&told, "manual", "disrupted") >= 20, "until it is sampled again")?;
    must(count(&told, "blind", "missed") > 0, "without the marker readings miss")?;
    must(has("STATUS before Unsynchronized(Disrupted)"), "the status says why")?;
    must(has("STATUS after Synchronized Synchronized"), "and that it is over")?;
    must(has("EPOCHS true true false"), "a new epoch begins")?;
    must(has("MARKER Some(2) 1"), "QEMU counts the marker on")
}

/// The number in `COUNT name … field=N`.
fn count(told: &[String], name: &str, field: &str) -> u32 {
    let start = format!("COUNT {name} ");
    let line = told.iter().find(|line| line.starts_with(&start));
    let words = line.into_iter().flat_map(|line| line.split(' '));
    let number = |word: &str| word.strip_prefix(field)?.strip_prefix('=')?.parse().ok();
    words.into_iter().find_map(number).unwrap_or(0)
}

fn moved(ground: &Ground) -> io::Result<Vec<String>> {
    let dir = ground.scratch("vmclock-moved")?;
    let guest = Guest::new(ground, &dir, "moved")?;
    let device = ["-device", "vmclock"];
    let mut told = Vec::new();
    let mut first = guest.boot(&device, "")?;
    first.follow(&mut told, |line| line == "READY")?;
    std::thread::sleep(Duration::from_secs(1));
    let state = dir.join("state");
    let mut monitor = Monitor::connect(&guest.monitor)?;
    monitor.say(&format!("migrate \"exec:cat>{}\"", state.display()))?;
    let until = Instant::now() + PATIENCE;
    while !monitor.ask("info migrate")?.contains("completed") {
        if Instant::now() > until {
            return Err(io::Error::other("the machine could not be moved"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    monitor.say("quit").ok();
    first.end();
    // The time that no clock in the machine shows.
    std::thread::sleep(Duration::from_secs(2));
    let incoming = format!("exec:cat {}", state.display());
    let mut second = guest.boot(&[device[0], device[1], "-incoming", &incoming], "")?;
    second.follow(&mut told, |line| line == "END")?;
    drop(second);
    fs::remove_file(state)?;
    Ok(told)
}

/// The hypervisor's time is a source by itself, in all states of the page.
pub fn the_time_that_the_hypervisor_states_is_believed_as_it_states_it(
    ground: &Ground,
) -> Result<(), String> {
    let told = stated(ground).map_err(|error| error.to_string())?;
    let clock = told.iter().find(|line| line.starts_with("CLOCK")).cloned().unwrap_or_default();
    println!("  {clock}");
    if !clock.contains("counter=TSC checked=InReadings has_time=true") {
        return Err(format!("the page is not used: {clock}"));
    }
    let of = |phase: &str| -> Vec<&str> {
        let start = format!("READING {phase} ");
        told.iter().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    };
    for phase in ["honest", "moved", "unknown", "stuck", "again", "lying"] {
        let readings = of(phase);
        let with = |text: &str| readings.iter().filter(|line| line.contains(text)).count();
        println!(
            "  {phase}: {} readings, {} right, {} missed, {} disrupted, {} synchronized, {} contradicted",
            readings.len(),
            with(" right "),
            with(" missed"),
            with(" disrupted"),
            with("synchronized 0"),
            with("contradicted"),
        );
        let must = |is: bool, what: &str| {
            if is { Ok(()) } else { Err(format!("{phase}: {what}: {:?}", readings.last())) }
        };
        must(readings.len() > 10, "there are readings")?;
        // A lie that contradicts what is known is covered: both sides are published.
        must(with(" missed") == 0, "no reading misses the truth")?;
        must(with(" right ") > readings.len() / 2, "the clock answers")?;
        match phase {
            "honest" | "again" => must(with("synchronized 0 right") > 0, "it is synchronized")?,
            "moved" => must(with("synchronized 0 right") > 0, "it is right after a move")?,
            "unknown" | "stuck" => must(with("holdover 0") > 0, "it states nothing")?,
            _ => must(with("contradicted") > 0, "the lie shows itself")?,
        }
    }
    Ok(())
}

fn stated(ground: &Ground) -> io::Result<Vec<String>> {
    let dir = ground.scratch("vmclock-stated")?;
    let memory = File::create_new(dir.join("memory"))?;
    memory.set_len(256 << 20)?;
    let memory = OpenOptions::new().read(true).write(true).open(dir.join("memory"))?;
    let table: Result<Vec<u8>, _> =
        (0..TABLE.len() / 2).map(|i| u8::from_str_radix(&TABLE[2 * i..2 * i + 2], 16)).collect();
    fs::write(dir.join("table"), table.map_err(io::Error::other)?)?;
    let guest = Guest::new(ground, &dir, "stated")?;
    let mut page = Page { memory, asked: 0, sequence: 0, marker: 1, tsc_hertz: tsc_hertz()? };
    page.begin()?;
    let khz = (page.tsc_hertz / 1e3).round();
    let ram = format!(
        "memory-backend-file,id=m,size=256M,mem-path={},share=on",
        dir.join("memory").display()
    );
    let acpi = format!("file={}", dir.join("table").display());
    let arguments = ["-machine", "pc,memory-backend=m", "-object", &ram, "-acpitable", &acpi];
    let append = format!("memmap=1M${PAGE:#X} iomem=relaxed tsc=reliable tsc_early_khz={khz}");
    let mut told = Vec::new();
    let mut machine = guest.boot(&arguments, &append)?;
    machine.follow(&mut told, |line| line == "READY")?;
    let truth = &guest.truth;
    let until = |phase: &str, lasts_ms: u64, page: &mut Page, status: u8, lie_ns: i64| {
        let end = Instant::now() + Duration::from_millis(lasts_ms);
        page.write(truth, status, lie_ns)?;
        truth.begin(phase);
        while Instant::now() < end {
            page.write(truth, status, lie_ns)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok::<(), io::Error>(())
    };
    until("honest", 2_500, &mut page, 2, 0)?;
    // Another host, 10 s later: what time it is, is told before the machine goes on, as a
    // hypervisor does while the machine stands still.
    truth.begin("between");
    page.marker += 1;
    page.jump(truth, 10_000_000_000)?;
    until("moved", 2_000, &mut page, 3, 0)?;
    until("unknown", 1_500, &mut page, 0, 0)?;
    page.stop_in_the_middle()?;
    truth.begin("stuck");
    std::thread::sleep(Duration::from_millis(1_500));
    until("again", 1_500, &mut page, 2, 0)?;
    truth.begin("between");
    until("lying", 2_000, &mut page, 2, 50_000_000)?;
    truth.begin("end");
    machine.follow(&mut told, |line| line == "END")?;
    drop(machine);
    fs::remove_file(dir.join("memory"))?;
    Ok(told)
}

/// The frequency of this host's counter, which the emulated one shares.
fn tsc_hertz() -> io::Result<f64> {
    let clock = truechimer::Clock::builder().manual().assume_error(Duration::from_secs(1)).build();
    let counter = clock.map_err(io::Error::other)?.report().counter;
    match counter.kind {
        truechimer::CounterKind::Tsc => Ok(counter.hertz),
        kind => {
            Err(io::Error::other(format!("this host counts by {kind}, and by its TSC it must")))
        }
    }
}

/// The hypervisor's half of a VMClock.
struct Page {
    memory: File,
    asked: u64,
    sequence: u32,
    marker: u64,
    tsc_hertz: f64,
}

impl Page {
    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(bytes, PAGE + at)
    }

    fn begin(&self) -> io::Result<()> {
        self.put(0, &0x4b4c_4356_u32.to_le_bytes())?;
        self.put(4, &4096_u32.to_le_bytes())?;
        // Version 1, the counter is the TSC, the time is UTC.
        self.put(8, &[1, 0, 1, 0])?;
        self.put(16, &self.marker.to_le_bytes())
    }

    /// What the guest's counter shows, and true time at that moment, to within so many ns.
    fn counter(&mut self, truth: &Host) -> io::Result<(u64, i64, i64)> {
        const MAILBOX: u64 = PAGE + 0x1000;
        let word = |at: u64| -> io::Result<u64> {
            let mut bytes = [0; 8];
            self.memory.read_exact_at(&mut bytes, MAILBOX + at)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.asked += 1;
            let before = truth.tai();
            self.memory.write_all_at(&self.asked.to_le_bytes(), MAILBOX)?;
            while truth.tai() - before < 500_000_000 {
                if word(8)? == self.asked {
                    let after = truth.tai();
                    return Ok((word(16)?, (before + after) / 2, (after - before) / 2 + 1_000));
                }
                std::thread::sleep(Duration::from_micros(20));
            }
        }
        Err(io::Error::other("the guest does not tell its counter"))
    }

    /// Writes the time, off by a lie, and the status.
    fn write(&mut self, truth: &Host, status: u8, lie_ns: i64) -> io::Result<()> {
        let read = self.counter(truth)?;
        self.write_at(read, status, lie_ns)
    }

    fn write_at(
        &mut self,
        (counter, tai, error_ns): (u64, i64, i64),
        status: u8,
        lie_ns: i64,
    ) -> io::Result<()> {
        self.sequence |= 1;
        self.put(12, &self.sequence.to_le_bytes())?;
        let shift = self.tsc_hertz.log2().floor() as u8;
        let period = (2_f64.powi(64 + i32::from(shift)) / self.tsc_hertz) as u64;
        let unix = tai - 37_000_000_000 + lie_ns;
        let fraction = ((unix.rem_euclid(1_000_000_000) as u128) << 64) / 1_000_000_000;
        self.put(16, &self.marker.to_le_bytes())?;
        // All errors are valid, and the offset to TAI, which is written as UTC − TAI.
        self.put(24, &(1 | 8 | 16 | 32 | 64_u64).to_le_bytes())?;
        self.put(34, &[status, 0])?;
        self.put(36, &(-37_i16).to_le_bytes())?;
        self.put(38, &[0, shift])?;
        self.put(40, &counter.to_le_bytes())?;
        self.put(48, &period.to_le_bytes())?;
        self.put(56, &(period / 1_000_000).to_le_bytes())?;
        self.put(64, &(period / 10_000).to_le_bytes())?;
        self.put(72, &unix.div_euclid(1_000_000_000).to_le_bytes())?;
        self.put(80, &(fraction as u64).to_le_bytes())?;
        self.put(88, &1_000_u64.to_le_bytes())?;
        self.put(96, &error_ns.unsigned_abs().to_le_bytes())?;
        self.sequence += 1;
        self.put(12, &self.sequence.to_le_bytes())
    }

    /// The machine is on another host, where it is later.
    fn jump(&mut self, truth: &Host, later_ns: i64) -> io::Result<()> {
        let (counter, tai, error_ns) = self.counter(truth)?;
        // The marker changes no later than true time does.
        self.write_at((counter, tai + later_ns, error_ns), 3, 0)?;
        truth.offset.fetch_add(later_ns, Ordering::SeqCst);
        Ok(())
    }

    /// The hypervisor is stopped while it writes.
    fn stop_in_the_middle(&mut self) -> io::Result<()> {
        self.sequence |= 1;
        self.put(12, &self.sequence.to_le_bytes())
    }
}

/// True time, and what is going on.
struct Host {
    began: Instant,
    offset: AtomicI64,
    phase: Mutex<String>,
}

impl Host {
    fn tai(&self) -> i64 {
        let since = i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX);
        BEGIN + since + self.offset.load(Ordering::SeqCst)
    }

    fn begin(&self, phase: &str) {
        phase.clone_into(&mut self.phase.lock().expect("nobody panics with it"));
    }
}

struct Guest<'a> {
    ground: &'a Ground,
    dir: PathBuf,
    monitor: PathBuf,
    truth: Arc<Host>,
}

impl<'a> Guest<'a> {
    fn new(ground: &'a Ground, dir: &Path, story: &str) -> io::Result<Guest<'a>> {
        let mut initrd = Initrd::new();
        initrd.copy(&ground.program(BUILD)?, "/init")?;
        initrd.copy(&ground.part(AT).join("ptp_vmclock.ko"), "/modules/ptp_vmclock.ko")?;
        initrd.file("/vmclock", story.as_bytes());
        fs::write(dir.join("initrd"), initrd.finish())?;
        let truth = Host {
            began: Instant::now(),
            offset: AtomicI64::new(0),
            phase: Mutex::new("none".to_owned()),
        };
        let monitor = dir.join("monitor");
        Ok(Guest { ground, dir: dir.to_owned(), monitor, truth: Arc::new(truth) })
    }

    fn boot(&self, arguments: &[&str], append: &str) -> io::Result<Booted> {
        let port = self.dir.join("truth");
        for socket in [&port, &self.monitor] {
            let _ = fs::remove_file(socket);
        }
        let base = self.ground.part(AT);
        let root = base.join("root");
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let path = format!("{}:{}", libraries.display(), libraries.join("pulseaudio").display());
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.args(["--library-path", &path]).arg(root.join("usr/bin/qemu-system-x86_64"));
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(root.join(firmware));
        }
        let qemu = command
            .args(["-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-m", "256", "-cpu", "max"])
            .arg("-kernel")
            .arg(base.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.dir.join("initrd"))
            .arg("-append")
            .arg(format!("console=ttyS0 panic=-1 loglevel=4 random.trust_cpu=on {append}"))
            .args(["-serial", "stdio", "-serial"])
            .arg(format!("unix:{},server,nowait", port.display()))
            .arg("-monitor")
            .arg(format!("unix:{},server,nowait", self.monitor.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(self.dir.join("qemu-errors"))?)
            .spawn()?;
        let mut booted = Booted { qemu, lines: channel().1, ended: Arc::default() };
        let stdout = booted.qemu.stdout.take().ok_or_else(|| io::Error::other("no console"))?;
        let (sender, lines) = channel();
        booted.lines = lines;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line.trim().to_owned()).is_err() {
                    return;
                }
            }
        });
        let (truth, ended) = (self.truth.clone(), booted.ended.clone());
        std::thread::spawn(move || answer(&port, &truth, &ended));
        Ok(booted)
    }
}

/// Answers what time it is until the machine has ended.
fn answer(port: &Path, truth: &Host, ended: &AtomicBool) {
    let stream = loop {
        match UnixStream::connect(port) {
            Ok(stream) => break stream,
            Err(_) if ended.load(Ordering::SeqCst) => return,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let Ok(mut back) = stream.try_clone() else { return };
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let phase = truth.phase.lock().expect("nobody panics with it").clone();
        // The phase first: a time is never of an earlier phase than it says.
        let answer = format!("{} {} {phase}\n", line.trim(), truth.tai());
        if back.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

struct Booted {
    qemu: Child,
    lines: Receiver<String>,
    ended: Arc<AtomicBool>,
}

impl Booted {
    /// Follows the console up to a line.
    fn follow(&mut self, told: &mut Vec<String>, is_last: impl Fn(&str) -> bool) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|error| {
                let last = told.iter().rev().take(12).rev().cloned().collect::<Vec<_>>();
                io::Error::other(format!(
                    "the console ends: {error}; it said:\n  {}",
                    last.join("\n  ")
                ))
            })?;
            let failed = line.starts_with("FAILED ") || line.contains("Kernel panic");
            let is_end = is_last(&line);
            told.push(line);
            if failed {
                return Err(io::Error::other(format!("the guest failed: {told:?}")));
            }
            if is_end {
                return Ok(());
            }
        }
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Ok(None) = self.qemu.try_wait() {
            let _ = self.qemu.kill();
            let _ = self.qemu.wait();
        }
    }
}

/// Whatever happens, the emulator that was started here ends here.
impl Drop for Booted {
    fn drop(&mut self) {
        self.end();
    }
}
