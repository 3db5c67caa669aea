//! The first process: it makes the guest a place to run in, and carries the plan out.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::process::{Child, Command};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::plan::{Act, Place, Plan, Writer};
use crate::processes::Processes;
use crate::record::Kernel;
use crate::refclock::Refclock;
use crate::{LOGS, chronyd, container, phc, read_plan, sys, truth, writer};

const WRITER_PERIOD_NS: i64 = 1_000_000_000;

/// How often the conductor does what.
struct Periods {
    /// How long it sleeps between two looks at what is due.
    nap: Duration,
    /// The kernel's state is written down.
    kernel_ns: i64,
    /// chronyd is told the truth.
    refclock_ns: i64,
}

impl Periods {
    fn of(plan: &Plan) -> Periods {
        match plan.leisure {
            None => Periods {
                nap: Duration::from_millis(2),
                kernel_ns: 20_000_000,
                refclock_ns: 250_000_000,
            },
            Some(leisure) => Periods {
                nap: Duration::from_millis(250),
                kernel_ns: leisure.period_ms as i64 * 1_000_000,
                // chronyd's filter wants a few samples for each update.
                refclock_ns: (250_000_000 << leisure.poll).min(16_000_000_000),
            },
        }
    }
}

struct Conductor {
    plan: Plan,
    raw0: i64,
    /// What the truth has gained while the oscillator stood still.
    gained: i64,
    suspends: u8,
    refclock: Refclock,
    writer: Writer,
    next_write: i64,
    chronyd: Option<Child>,
    observers: Vec<Child>,
    processes: Processes,
    /// The kernel's bound when it was written down last.
    maxerror: libc::c_long,
    kernel_log: BufWriter<File>,
}

/// Carries the plan out, sends what was seen to the host, and switches the guest off.
pub fn run() -> io::Result<()> {
    prepare()?;
    let plan = read_plan()?;
    set_date(plan.date)?;
    let raw0 = sys::raw();
    println!("BEGIN {raw0}");
    let mut conductor = Conductor {
        raw0,
        gained: 0,
        suspends: 0,
        refclock: Refclock::new()?,
        writer: Writer::None,
        next_write: 0,
        chronyd: None,
        observers: Vec::new(),
        processes: Processes::default(),
        maxerror: 0,
        kernel_log: BufWriter::new(File::create(format!("{LOGS}/kernel"))?),
        plan,
    };
    conductor.begin()?;
    conductor.start_observers()?;
    conductor.play()?;
    conductor.finish()?;
    send_logs()?;
    println!("END");
    power_off()
}

/// Switches the guest off, which ends the emulator.
pub fn power_off() -> ! {
    let _ = io::stdout().flush();
    let _ = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_POWER_OFF);
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn prepare() -> io::Result<()> {
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("tmpfs", LOGS),
    ] {
        fs::create_dir_all(at)?;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .map_err(|error| io::Error::other(format!("mount {at}: {error}")))?;
    }
    phc::load_drivers()?;
    sys::interface_up("lo")
}

/// Sets the wall clock and the RTC.
fn set_date(unix: i64) -> io::Result<()> {
    sys::set_rtc(unix)?;
    nix::time::clock_settime(ClockId::CLOCK_REALTIME, Duration::from_secs(unix as u64).into())?;
    Ok(())
}

impl Conductor {
    fn true_utc(&self, raw: i64) -> i64 {
        truth::utc(&self.plan, raw - self.raw0, self.gained)
    }

    /// Brings about what is so before anybody looks: the steps at 0.
    fn begin(&mut self) -> io::Result<()> {
        let steps = std::mem::take(&mut self.plan.steps);
        let (first, later) = steps.into_iter().partition::<Vec<_>, _>(|&(at, _)| at == 0);
        self.plan.steps = later;
        for (_, act) in first {
            println!("ACT 0 {act:?}");
            self.act(act)?;
        }
        Ok(())
    }

    fn start_observers(&mut self) -> io::Result<()> {
        for observer in &self.plan.observers {
            let program = format!("/program-{}", observer.build);
            let mut command = Command::new(program);
            command.args(["observe", &observer.name, &self.raw0.to_string()]);
            let child = match observer.place {
                Place::Host => command.spawn()?,
                Place::Container => container::spawn(command)?,
            };
            self.observers.push(child);
        }
        Ok(())
    }

    fn play(&mut self) -> io::Result<()> {
        let mut steps = std::mem::take(&mut self.plan.steps);
        steps.sort_by_key(|&(at, _)| at);
        let mut steps = steps.into_iter().peekable();
        let periods = Periods::of(&self.plan);
        let mut next = [0; 2];
        loop {
            let elapsed = sys::raw() - self.raw0;
            let ms = (elapsed / 1_000_000) as u64;
            if ms >= self.plan.end_ms {
                return Ok(());
            }
            while let Some((_, act)) = steps.next_if(|&(at, _)| at <= ms) {
                println!("ACT {ms} {act:?}");
                self.act(act)?;
            }
            if elapsed >= next[0] {
                next[0] = elapsed + periods.kernel_ns;
                self.processes.must_run()?;
                self.note_kernel()?;
            } else if self.plan.leisure.is_some() {
                self.note_update()?;
            }
            if elapsed >= next[1] {
                next[1] = elapsed + periods.refclock_ns;
                self.refclock.send(|raw| self.true_utc(raw));
            }
            if elapsed >= self.next_write {
                self.next_write = elapsed + WRITER_PERIOD_NS;
                writer::write(self.writer, self.plan.rate_ppb, |raw| self.true_utc(raw))?;
            }
            std::thread::sleep(periods.nap);
        }
    }

    fn act(&mut self, act: Act) -> io::Result<()> {
        let mut request = sys::nothing();
        match act {
            Act::Chronyd { rtcsync } => {
                let poll = self.plan.leisure.map_or(0, |leisure| leisure.poll);
                self.chronyd = Some(chronyd::start(rtcsync, poll)?);
            }
            Act::Start(process) => self.processes.start(&process, self.raw0)?,
            Act::SetPhc(ahead) => phc::set(|| self.true_utc(sys::raw()) + ahead)?,
            Act::KillChronyd => {
                if let Some(mut chronyd) = self.chronyd.take() {
                    chronyd.kill()?;
                    chronyd.wait()?;
                }
            }
            Act::RefclockLies(by) => self.refclock.lies_by_ns = by,
            Act::RefclockLeap(leap) => self.refclock.leap = leap,
            Act::RefclockTalks(talks) => self.refclock.talks = talks,
            Act::Step(by) => step(by)?,
            Act::SetOffset(by) => {
                request.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
                request.time.tv_sec = by.div_euclid(1_000_000_000);
                request.time.tv_usec = by.rem_euclid(1_000_000_000);
                sys::adjtimex(request)?;
            }
            Act::Tick(tick) => {
                request.modes = libc::ADJ_TICK;
                request.tick = tick;
                sys::adjtimex(request)?;
            }
            Act::Frequency(ppb) => {
                request.modes = libc::ADJ_FREQUENCY;
                request.freq = ppb * 65_536 / 1000;
                sys::adjtimex(request)?;
            }
            Act::Writer(writer) => {
                self.writer = writer;
                self.next_write = sys::raw() - self.raw0 + WRITER_PERIOD_NS;
                writer::write(writer, self.plan.rate_ppb, |raw| self.true_utc(raw))?;
            }
            Act::KernelLeap(leap) => {
                let (_, current) = sys::adjtimex(sys::nothing())?;
                request.modes = libc::ADJ_STATUS;
                request.status = current.status & !(libc::STA_INS | libc::STA_DEL);
                request.status |= [0, libc::STA_INS, libc::STA_DEL][leap as usize];
                sys::adjtimex(request)?;
            }
            Act::Tai(offset) => {
                request.modes = libc::ADJ_TAI;
                request.constant = offset;
                sys::adjtimex(request)?;
            }
            Act::Suspend(seconds) => self.suspend(seconds)?,
            Act::HostPause(ms) => self.host_pause(ms)?,
            Act::Freeze(stopped) => {
                let signal = if stopped { Signal::SIGSTOP } else { Signal::SIGCONT };
                for observer in &self.observers {
                    kill(Pid::from_raw(observer.id() as i32), signal)?;
                }
            }
            Act::Say(words) => println!("{words}"),
        }
        Ok(())
    }

    /// Suspends to memory, and measures by the processor's counter how long the kernel's stood.
    fn suspend(&mut self, seconds: u64) -> io::Result<()> {
        let (raw_a, tsc_a) = (sys::raw(), sys::tsc());
        std::thread::sleep(Duration::from_millis(1000));
        let (raw_b, tsc_b) = (sys::raw(), sys::tsc());
        fs::write("/sys/class/rtc/rtc0/wakealarm", "0")?;
        fs::write("/sys/class/rtc/rtc0/wakealarm", format!("+{seconds}"))?;
        fs::write("/sys/power/state", "mem")?;
        let (raw_c, tsc_c) = (sys::raw(), sys::tsc());
        println!("SUSPENDED raw {} tsc {} of {}", raw_c - raw_b, tsc_c - tsc_b, tsc_b - tsc_a);
        let per_tick = (raw_b - raw_a) as f64 / (tsc_b - tsc_a) as f64;
        let passed = tsc_c.wrapping_sub(tsc_b) as f64 * per_tick;
        self.gained += passed as i64 - (raw_c - raw_b);
        self.suspends += 1;
        // A daemon does not write at the moment of the resume: it finds out.
        self.next_write = raw_c - self.raw0 + WRITER_PERIOD_NS;
        self.note_kernel()
    }

    /// Asks the host to stop the machine, and learns from it how long it stood still.
    fn host_pause(&mut self, ms: u64) -> io::Result<()> {
        println!("HOST pause {ms}");
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let stood: i64 = line.trim().parse().map_err(io::Error::other)?;
        self.gained += stood;
        println!("PAUSED {stood}");
        self.note_kernel()
    }

    fn note_kernel(&mut self) -> io::Result<()> {
        let (_, before) = sys::adjtimex(sys::nothing())?;
        let (raw, realtime) = sys::realtime();
        let (state, after) = sys::adjtimex(sys::nothing())?;
        let kernel = Kernel {
            raw,
            realtime,
            maxerror: before.maxerror.max(after.maxerror) as u32,
            status: after.status as u16,
            state: state as u8,
            tai: after.tai as i16,
            gained: self.gained,
            suspends: self.suspends,
            rate_ppb: sys::rate_ppb(&after) as i32,
        };
        self.maxerror = after.maxerror;
        self.kernel_log.write_all(&kernel.encode())
    }

    /// Writes the kernel's state down out of turn if somebody has just made its bound smaller.
    fn note_update(&mut self) -> io::Result<()> {
        let (_, kernel) = sys::adjtimex(sys::nothing())?;
        if kernel.maxerror < self.maxerror { self.note_kernel() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        for observer in &mut self.observers {
            let status = observer.wait()?;
            println!("OBSERVER {status}");
        }
        if let Some(mut chronyd) = self.chronyd.take() {
            chronyd.kill()?;
            chronyd.wait()?;
        }
        self.processes.end()?;
        self.kernel_log.flush()
    }
}

fn step(by: i64) -> io::Result<()> {
    let to = sys::nanos(ClockId::CLOCK_REALTIME) + by;
    nix::time::clock_settime(ClockId::CLOCK_REALTIME, Duration::from_nanos(to as u64).into())?;
    Ok(())
}

/// Sends every log through the second serial port: a line with name and length, then the bytes.
fn send_logs() -> io::Result<()> {
    let port = File::options().read(true).write(true).open("/dev/ttyS1")?;
    let mut raw = nix::sys::termios::tcgetattr(&port)?;
    nix::sys::termios::cfmakeraw(&mut raw);
    nix::sys::termios::tcsetattr(&port, nix::sys::termios::SetArg::TCSANOW, &raw)?;
    let mut port = BufWriter::new(port);
    let mut logs: Vec<_> = fs::read_dir(LOGS)?.collect::<Result<_, _>>()?;
    logs.sort_by_key(std::fs::DirEntry::file_name);
    for path in logs.iter().map(|entry| entry.path()) {
        let mut bytes = Vec::new();
        File::open(&path)?.read_to_end(&mut bytes)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("unnamed");
        writeln!(port, "{name} {}", bytes.len())?;
        port.write_all(&bytes)?;
    }
    port.flush()?;
    let port = port.into_inner().map_err(io::Error::other)?;
    nix::sys::termios::tcdrain(&port)?;
    Ok(())
}
