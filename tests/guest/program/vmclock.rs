//! The first process of a guest whose hypervisor has a VMClock (the host's half is `vmclock.rs`
//! one folder up).
//!
//! The host knows true time, because it *is* the host. The guest asks for it over its second
//! serial port before and after each reading of its clocks, so a reading that does not reach from
//! the one answer to the other has missed. The answers are a source for the clocks too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use truechimer::{
    Clock, ClockError, Counter, Interval, Reason, Sample, Source, SourceError, Status, Timestamp,
};

use crate::{conductor, sys};

/// What the host wants to see; the file is only there in such a guest.
pub const STORY: &str = "/vmclock";

pub fn run(story: &str) -> io::Result<()> {
    prepare()?;
    let truth = Arc::new(Mutex::new(Truth::connect()?));
    match story.trim() {
        "moved" => moved(&truth)?,
        "stated" => stated(&truth)?,
        other => return Err(io::Error::other(format!("no story is called {other}"))),
    }
    println!("END");
    conductor::power_off();
}

fn prepare() -> io::Result<()> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(at)?;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .map_err(|error| io::Error::other(format!("mount {at}: {error}")))?;
    }
    finit_module(File::open("/modules/ptp_vmclock.ko")?, c"", ModuleInitFlags::empty())
        .map_err(|error| io::Error::other(format!("ptp_vmclock: {error}")))
}

/// The serial port at whose other end is the host.
struct Truth {
    port: File,
    asked: u64,
    heard: Vec<u8>,
    /// What the host is doing.
    phase: String,
}

impl Truth {
    fn connect() -> io::Result<Truth> {
        let port = OpenOptions::new().read(true).write(true).open("/dev/ttyS1")?;
        let mut settings = tcgetattr(&port)?;
        cfmakeraw(&mut settings);
        tcsetattr(&port, SetArg::TCSANOW, &settings)?;
        Ok(Truth { port, asked: 0, heard: Vec::new(), phase: String::new() })
    }

    /// True time in TAI ns, at some moment of this call.
    fn ask(&mut self) -> io::Result<i64> {
        // A question or an answer may be lost while the machine is moved.
        for _ in 0..600 {
            self.asked += 1;
            self.port.write_all(format!("{}\n", self.asked).as_bytes())?;
            while let Some(line) = self.line(Duration::from_millis(300))? {
                let mut words = line.split(' ');
                let number = words.next().and_then(|word| word.parse().ok());
                if let (Some(tai), Some(phase), true) =
                    (words.next(), words.next(), number == Some(self.asked))
                {
                    self.phase = phase.to_owned();
                    return tai.parse().map_err(io::Error::other);
                }
            }
        }
        Err(io::Error::other("the host does not answer"))
    }

    /// A line of the host's, or `None` if there is none for so long.
    fn line(&mut self, patience: Duration) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            let fd = self.port.as_fd().as_raw_fd();
            let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one `pollfd`, of a descriptor that is open.
            let ready = unsafe { libc::poll(&mut poll, 1, patience.as_millis() as i32) };
            if ready <= 0 {
                return Ok(None);
            }
            let mut bytes = [0; 256];
            let length = self.port.read(&mut bytes)?;
            self.heard.extend_from_slice(&bytes[..length]);
        }
    }
}

/// The host's answers as evidence.
struct OfHost(Arc<Mutex<Truth>>);

impl Source for OfHost {
    fn name(&self) -> &str {
        "host"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let mut truth = self.0.lock().expect("nobody panics with it");
        let before = counter.try_read()?;
        let tai = truth.ask().map_err(SourceError::failed)?;
        let after = counter.try_read()?;
        Ok(Sample::new(before, after, Timestamp::from_tai_nanos(tai).into()))
    }
}

/// What the readings of one clock were, held against the truth.
#[derive(Default)]
struct Count {
    right: u32,
    missed: u32,
    disrupted: u32,
    refused: u32,
    right_after: u32,
}

impl Count {
    fn note(&mut self, said: Result<Interval, ClockError>, before: i64, after: i64) {
        match said {
            Ok(said) => {
                let is_right =
                    said.latest().tai_nanos() >= before && said.earliest().tai_nanos() <= after;
                self.right += u32::from(is_right);
                self.missed += u32::from(!is_right);
                self.right_after += u32::from(is_right && self.disrupted > 0);
            }
            Err(ClockError::Disrupted) => self.disrupted += 1,
            Err(_) => self.refused += 1,
        }
    }

    fn tell(&self, name: &str) {
        println!(
            "COUNT {name} right={} missed={} disrupted={} refused={} right_after={}",
            self.right, self.missed, self.disrupted, self.refused, self.right_after
        );
    }
}

/// Reads three clocks while the host moves the machine, and for some seconds after it.
fn moved(truth: &Arc<Mutex<Truth>>) -> io::Result<()> {
    let of_host = || OfHost(truth.clone());
    let builder = || Clock::builder().without_kernel().source(of_host());
    let built = |error| io::Error::other(format!("a clock cannot be built: {error}"));
    let manual = builder().manual().vmclock("/dev/vmclock0").build().map_err(built)?;
    let poll = Duration::from_millis(200);
    let threaded = builder().poll_interval(poll).build().map_err(built)?;
    // What happens without the marker.
    let blind = builder().manual().without_vmclock().build().map_err(built)?;
    let clocks = [("manual", &manual), ("threaded", &threaded), ("blind", &blind)];
    for (name, clock) in clocks {
        let report = clock.report();
        let vmclock = report.vmclock;
        println!(
            "CLOCK {name} counter={} checked={:?} load_ns={:?} marker={:?}",
            report.counter.kind, vmclock.checked, vmclock.load_ns, vmclock.marker
        );
    }
    let epochs = clocks.map(|(_, clock)| clock.epoch());
    let mut counts = [(); 3].map(|()| Count::default());
    let ask = || truth.lock().expect("nobody panics with it").ask();
    let (mut turns, mut since_move) = (0, 0);
    println!("READY");
    while since_move < 60 {
        let before = ask()?;
        let said = clocks.map(|(_, clock)| clock.now());
        let after = ask()?;
        for (count, said) in counts.iter_mut().zip(said) {
            count.note(said, before, after);
        }
        turns += 1;
        if turns > 5_000 {
            return Err(io::Error::other("the machine was never moved"));
        }
        if counts[0].disrupted > 0 {
            since_move += 1;
            // Readings before that must not come back by themselves.
            if since_move == 20 {
                println!("STATUS before {:?}", manual.status());
                let _ = manual.refresh();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for ((name, _), count) in clocks.iter().zip(&counts) {
        count.tell(name);
    }
    println!("STATUS after {:?} {:?}", manual.status(), threaded.status());
    let changed = |i: usize| clocks[i].1.epoch() != epochs[i];
    println!("EPOCHS {} {} {}", changed(0), changed(1), changed(2));
    println!("MARKER {:?} {}", manual.report().vmclock.marker, manual.report().vmclock.disruptions);
    Ok(())
}

/// Reads a clock whose only source is the hypervisor's page, in what the host makes of it.
fn stated(truth: &Arc<Mutex<Truth>>) -> io::Result<()> {
    std::thread::spawn(answer_the_hypervisor);
    let ask = || truth.lock().expect("nobody panics with it").ask();
    println!("READY");
    // The hypervisor begins to state the time when it knows the counter.
    while truth.lock().expect("nobody panics with it").phase != "honest" {
        ask()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    let clock = Clock::builder()
        .without_kernel()
        .vmclock("/dev/vmclock0")
        .poll_interval(Duration::from_millis(50))
        .build()
        .map_err(|error| io::Error::other(format!("the clock cannot be built: {error}")))?;
    let report = clock.report();
    println!(
        "CLOCK stated counter={} checked={:?} has_time={}",
        report.counter.kind, report.vmclock.checked, report.vmclock.has_time
    );
    loop {
        let before = ask()?;
        let phase = truth.lock().expect("nobody panics with it").phase.clone();
        if phase == "end" {
            return Ok(());
        }
        let said = clock.now();
        let status = clock.status();
        let contradictions = clock.report().contradictions;
        let after = ask()?;
        // What the host did between the two is of both phases.
        if truth.lock().expect("nobody panics with it").phase != phase {
            continue;
        }
        let verdict = match said {
            Ok(said) if said.latest().tai_nanos() < before => "missed".to_owned(),
            Ok(said) if said.earliest().tai_nanos() > after => "missed".to_owned(),
            Ok(said) => format!("right {}", said.width().as_nanos()),
            Err(ClockError::Disrupted) => "disrupted".to_owned(),
            Err(ClockError::Unsynchronized(Reason::Disrupted)) => "disrupted".to_owned(),
            Err(error) => format!("refused {error}"),
        };
        let status = match status {
            Status::Unsynchronized(_) => "unsynchronized".to_owned(),
            status => status.to_string(),
        };
        println!("READING {phase} {status} {contradictions} {verdict}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where the hypervisor and the guest agree on the counter: the page after the VMClock's own.
const MAILBOX: libc::off_t = 0x0ef0_1000;

/// Tells the hypervisor what the counter shows, whenever it asks: a real one knows.
fn answer_the_hypervisor() {
    let memory = OpenOptions::new().read(true).write(true).open("/dev/mem");
    let memory = memory.expect("the first process may open it");
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a page that the kernel was told to leave alone (`memmap`).
    let page = unsafe {
        let fd = memory.as_raw_fd();
        libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, fd, MAILBOX)
    };
    assert!(page != libc::MAP_FAILED, "the mailbox cannot be mapped");
    // SAFETY: the page is mapped for as long as the guest runs, and only accessed as atomics.
    let word = |index: usize| unsafe { &*page.cast::<AtomicU64>().add(index) };
    let mut answered = 0;
    loop {
        let asked = word(0).load(Ordering::Acquire);
        if asked != answered {
            word(2).store(sys::tsc(), Ordering::Relaxed);
            word(1).store(asked, Ordering::Release);
            answered = asked;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}
