//! What is to happen in a guest, as data: written by the host, carried out by the guest.
//!
//! Times in a plan are milliseconds of `CLOCK_MONOTONIC_RAW` since the plan
//! began, so that no step or slew of the wall clock moves them.

use serde::{Deserialize, Serialize};

/// All that a guest is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What the guest's wall clock is set to at the start, in Unix seconds.
    pub date: i64,
    /// How far true time is ahead of the wall clock at the start, ns.
    pub ahead_ns: i64,
    /// True time passes faster than the guest's oscillator by this much.
    pub rate_ppb: i64,
    /// The oscillator wanders around that.
    pub wander: Option<Wander>,
    /// Hours, in minutes.
    pub leisure: Option<Leisure>,
    /// TAI − UTC at the start, seconds.
    pub tai_offset: i64,
    /// A leap second that the world really has.
    pub leap: Option<Leap>,
    pub hardware: Hardware,
    pub observers: Vec<Observer>,
    /// When to read more often than every 20 ms; the last window that matches counts.
    pub windows: Vec<Window>,
    /// What happens when. At 0 is before the observers start.
    pub steps: Vec<(u64, Act)>,
    pub end_ms: u64,
}

/// A rate that swings by `ppb` either way, linearly to and fro, in `period_s` seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Wander {
    pub ppb: i64,
    pub period_s: i64,
}

/// A guest in which next to nothing happens for hours.
///
/// Its time is counted in instructions, and jumps to the next timer where it would
/// idle. So everybody in it looks seldom, and hours take minutes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Leisure {
    /// How long everybody waits between two looks.
    pub period_ms: u64,
    /// How often a clock asks its sources.
    pub ask_ms: u64,
    /// chronyd is to update its clock every 2^`poll` seconds.
    pub poll: u32,
}

/// From the Unix second `at` on, TAI − UTC is `offset_after`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Leap {
    pub at: i64,
    pub offset_after: i64,
}

/// What the guest has beside a processor and memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Hardware {
    Plain,
    /// Two network cards on one wire, each with a clock of its own: /dev/ptp0 and /dev/ptp1.
    NetworkCards,
    /// The same, and the second card's clock runs 2.6 times too fast.
    CardThatRunsWrong,
    /// What DMI says of a bare machine of Amazon EC2, and a TSC by which the kernel keeps time.
    Ec2,
}

/// The network cards' modules, in the order in which they depend on each other. Where one
/// is built into the kernel there is no such file.
pub const MODULES: [&str; 6] = ["i2c-algo-bit", "dca", "pps_core", "ptp", "igb", "e1000e"];

/// The build of the crate as it is.
pub const HONEST: &str = "honest";
/// The same, but that it takes the TSC for invariant: an emulated processor does not say so of
/// its own, and it is.
pub const TSC_INVARIANT: &str = "tsc-invariant";

/// Whether this build of the crate has all of its safeties.
pub fn is_honest(build: &str) -> bool {
    build == HONEST || build == TSC_INVARIANT
}

/// One process that reads a clock and writes down what it saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observer {
    pub name: String,
    /// Which build of the program it runs: `honest`, or the name of a sabotage.
    pub build: String,
    pub reader: Reader,
    pub place: Place,
}

/// Where an observer runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Place {
    /// Beside the daemons.
    Host,
    /// In namespaces of its own for processes, mounts and the network, as in a container.
    Container,
}

/// How an observer reads the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reader {
    /// No clock of this crate: `REALTIME ± maxerror`, with what is stale added.
    KernelPlain,
    /// The same with a quarter of `maxerror`: wrong, so that the check is checked.
    KernelTooSure,
    /// `Clock::new()`.
    Clock,
    /// A clock without a thread of its own, refreshed every 100 ms between readings.
    Manual,
    /// `Clock::new()` that asks every millisecond, and so in the few that a leap second is odd.
    Eager,
    /// A clock without A3, which asks as seldom as the leisure says.
    Drift,
    /// The same with A3: the oscillator wanders by no more than so many ppm.
    Wander(u32),
    /// A clock that the kernel alone vouches for.
    KernelOnly,
    /// A clock that takes chronyd's report alone for evidence.
    ChronyOnly,
    /// `Clock::new()`, but that the oscillator may be off by so many ppm.
    MaxDrift(u32),
    /// `Clock::new()` with an operator who knows the daemon's reference clock to so many
    /// milliseconds.
    ReferenceError(u64),
    /// `Clock::new()` with an operator who knows who writes the kernel's bound.
    AnyWriter,
    /// `Clock::new()` with the RTC as a second witness.
    WithRtc,
    /// The clock of the network card with this number alone, which shows TAI within 1 ms.
    Phc(u32),
    /// The same beside the kernel.
    PhcBesideKernel(u32),
    /// The same, but a reading says what the report has about the card: `RunsWrong`, if it names
    /// it as a clock that runs wrong.
    PhcInReport(u32),
    /// ClockBound's segment alone.
    ClockBound,
    /// The operator alone vouches, for so many milliseconds, and the clock asks as seldom as
    /// it may: only a step of the wall clock wakes it.
    Assumed(u64),
    /// `Clock::new()` that is built anew every so many seconds, like processes that start then.
    Reborn(u64),
    /// A clock that is read in a forked child, which refreshes it now and then.
    Forked,
    /// So many clocks in one process, read in turn.
    Many(usize),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Window {
    pub from_ms: u64,
    pub to_ms: u64,
    pub period_us: u64,
}

/// One thing that happens to the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    /// Starts chronyd, with `rtcsync` or without.
    Chronyd { rtcsync: bool },
    /// Ends it with SIGKILL, so that it tidies nothing up.
    KillChronyd,
    /// Starts some other process, which then runs until the plan ends.
    Start(Process),
    /// Sets the clock of each network card so far ahead of true UTC, ns.
    SetPhc(i64),
    /// The reference clock lies by so many nanoseconds from now on.
    RefclockLies(i64),
    /// The reference clock announces a leap: 0 none, 1 insert, 2 delete.
    RefclockLeap(i32),
    /// The reference clock sends, or does not.
    RefclockTalks(bool),
    /// `clock_settime`, relative, ns.
    Step(i64),
    /// `adjtimex` with `ADJ_SETOFFSET`, ns.
    SetOffset(i64),
    /// Slews by tick length: 10 000 is none, 11 000 is +100 000 ppm.
    Tick(i64),
    /// Slews by frequency, at most ±500 000 ppb.
    Frequency(i64),
    /// From now on once a second this is written into the kernel.
    Writer(Writer),
    /// The kernel is told of a leap second: 0 none, 1 insert, 2 delete.
    KernelLeap(i32),
    /// The kernel is told TAI − UTC.
    Tai(i64),
    /// Suspends to memory; the alarm clock wakes it after so many seconds.
    Suspend(u64),
    /// The host stops the whole machine for so long, and goes on.
    HostPause(u64),
    /// SIGSTOP or SIGCONT to all observers.
    Freeze(bool),
    /// A line for the log.
    Say(String),
}

/// A process that runs beside the clocks.
///
/// It is a program of the unpacked packages or, as `/init`, this guest's own program (see
/// `program/main.rs` for what that can be).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its output is kept under this name.
    pub name: String,
    pub argv: Vec<String>,
    pub uid: u32,
    /// Path and contents of what it reads, written before it starts.
    pub files: Vec<(String, String)>,
}

/// A stand-in for a daemon that sets the kernel's error bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Writer {
    None,
    /// The true distance and a little.
    Honest,
    /// 0, as timesyncd, phc2sys and ptp4l do.
    Zero,
    /// 16 µs with STA_PLL, as a never-synchronised ntpsec does.
    Sixteen,
    /// A tenth of the true distance.
    Tenth,
    /// The same, but the kernel stays flagged as unsynchronised, as by a chronyd without
    /// `rtcsync`: only chronyd could confirm it.
    TenthFlagged,
    /// As ntpd with the kernel's PLL: the distance is given to the kernel to work
    /// off, and the bound is what remains beside it.
    Pll,
}

impl Plan {
    /// The processes that are started in it, in no order.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.steps.iter().filter_map(|(_, act)| match act {
            Act::Start(process) => Some(process),
            _ => None,
        })
    }

    /// How long `observer` waits after a reading at `ms` since the start.
    ///
    /// In the windows the honest clocks have the guest's one processor nearly
    /// to themselves.
    pub fn period_us(&self, observer: &Observer, ms: u64) -> u64 {
        let is_first = is_honest(&observer.build)
            && matches!(observer.reader, Reader::Clock | Reader::Manual | Reader::KernelPlain);
        let window = self.windows.iter().rev().find(|w| (w.from_ms..w.to_ms).contains(&ms));
        let usually = self.leisure.map_or(20_000, |leisure| leisure.period_ms * 1000);
        window.filter(|_| is_first).map_or(usually, |w| w.period_us)
    }

    /// True TAI at the plan's start, ns.
    pub fn base_tai(&self) -> i64 {
        (self.date + self.tai_offset) * 1_000_000_000 + self.ahead_ns
    }

    /// True TAI when the oscillator has run for `elapsed` ns since the start, rounded down.
    pub fn true_tai(&self, elapsed: i64) -> i64 {
        let wandered = self.wander.map_or(0, |wander| wander.gained(elapsed));
        let gained = i128::from(elapsed) * i128::from(self.rate_ppb) + wandered;
        self.base_tai() + elapsed + gained.div_euclid(1_000_000_000) as i64
    }

    /// True UTC as Unix time counts it, ns, for a moment of true TAI.
    pub fn utc_of(&self, tai: i64) -> i64 {
        let before = tai - self.tai_offset * 1_000_000_000;
        match self.leap {
            // Inside an inserted second both offsets give a time of day; the
            // later one repeats the last second, as the kernel does.
            Some(leap) => {
                let after = tai - leap.offset_after * 1_000_000_000;
                let edge = leap.at * 1_000_000_000;
                let inserted = leap.offset_after > self.tai_offset;
                let reached = if inserted { before >= edge } else { after >= edge };
                if reached { after } else { before }
            }
            None => before,
        }
    }
}

impl Wander {
    /// What true time has gained by it, in ns × 10⁻⁹: a parabola over each half of a
    /// period, up in the one and down in the other.
    fn gained(self, elapsed: i64) -> i128 {
        let half = i128::from(self.period_s) * 500_000_000;
        let elapsed = i128::from(elapsed);
        let into = elapsed.rem_euclid(half);
        let gained = i128::from(self.ppb) * into * (half - into) / half;
        if elapsed.div_euclid(half) % 2 == 0 { gained } else { -gained }
    }
}
