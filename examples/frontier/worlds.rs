//! The worlds, and what each way to a bound gives in them.

use std::time::Duration;

use truechimer::TrueTime;
use truechimer::sim::{
    CounterModel, Daemon, Fault, Link, Machine, NodeId, NtpServer, NtpService, Oscillator,
    Reference, TimeService, VmClockModel, World,
};

/// How often the server is polled, in seconds.
pub const POLLS: [u64; 5] = [1, 2, 16, 64, 1024];

/// The bound that the server states.
const SERVER_ERROR: Duration = Duration::from_micros(200);
/// The PTP clock's.
const PHC_WIDTH: Duration = Duration::from_micros(10);
const WARM_UP: Duration = Duration::from_secs(600);

/// A way to a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// REALTIME ± `maxerror`.
    Kernel,
    /// chronyd's report, as RFC 5905 adds it up.
    Tracking,
    /// `Clock::new()`.
    Default,
    /// The same without A3.
    WithoutA3,
    /// `believe_chrony_estimate()`.
    Estimate,
    /// Own exchanges with the same server at the same poll.
    Ntp,
    NtpWithoutA3,
    /// A PTP clock that is good to 5 µs, each 100 ms.
    Phc,
}

impl Way {
    pub const ALL: [Way; 8] = [
        Way::Kernel,
        Way::Tracking,
        Way::Default,
        Way::WithoutA3,
        Way::Estimate,
        Way::Ntp,
        Way::NtpWithoutA3,
        Way::Phc,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Way::Kernel => "maxerror",
            Way::Tracking => "TRACKING",
            Way::Default => "default",
            Way::WithoutA3 => "no A3",
            Way::Estimate => "estimate",
            Way::Ntp => "ntp",
            Way::NtpWithoutA3 => "ntp, no A3",
            Way::Phc => "phc",
        }
    }
}

/// An oscillator and a network.
#[derive(Clone)]
pub struct Setting {
    pub name: &'static str,
    oscillator: Oscillator,
    there: Link,
    back: Link,
    /// How far the rate is from one of its means at most, in ppm.
    wander_ppm: f64,
    event: Event,
}

/// What happens in the middle.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Nothing,
    /// The rate steps by 2 ppm, to and fro, each 20 minutes.
    Steps,
    /// The machine is moved to a host whose oscillator is off by this many ppm.
    Move {
        ppm: f64,
        has_vmclock: bool,
    },
}

/// What a way gave.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub readings: u64,
    pub misses: u64,
    /// Of the widths, in µs.
    pub median: f64,
    pub p99: f64,
    pub largest: f64,
}

/// What all columns of a row have in common.
#[derive(Clone, Copy)]
pub struct By {
    pub poll_s: u64,
    /// A3, where it is assumed.
    pub wander_ppm: u32,
    pub seed: u64,
}

pub struct Row {
    pub by: By,
    pub world: Setting,
    pub cells: Vec<(Way, Cell)>,
}

impl Row {
    /// Whether A2 holds here. A move that no VMClock shows breaks it.
    pub fn keeps_a2(&self) -> bool {
        !matches!(self.world.event, Event::Move { has_vmclock: false, .. })
    }

    /// Whether the assumptions of this way hold here, so that it must not miss.
    pub fn must_hold(&self, way: Way) -> bool {
        let a2 = self.keeps_a2();
        match way {
            // A daemon's bound is an estimate.
            Way::Kernel | Way::Tracking | Way::Estimate => false,
            Way::WithoutA3 | Way::NtpWithoutA3 => a2,
            Way::Default | Way::Ntp | Way::Phc => {
                a2 && self.world.wander_ppm <= f64::from(self.by.wander_ppm)
            }
        }
    }
}

fn settings() -> Vec<Setting> {
    let us = Duration::from_micros;
    let calm_link = Link::within(us(50), us(120));
    let calm = || Oscillator::off_by(-12.0).wander(0.002);
    let setting = |name, oscillator, wander_ppm| Setting {
        name,
        oscillator,
        there: calm_link,
        back: calm_link,
        wander_ppm,
        event: Event::Nothing,
    };
    let swing = |ppm, period_s| calm().temperature(ppm, Duration::from_secs(period_s));
    let on = |name, there, back| Setting { there, back, ..setting(name, calm(), 1.0) };
    let queued = |mean_us| Link::queued(us(50), us(mean_us));
    let moved = |name, has_vmclock| Setting {
        event: Event::Move { ppm: 60.0, has_vmclock },
        ..setting(name, calm(), 1.0)
    };
    vec![
        setting("calm", calm(), 1.0),
        setting("50 ppm off", Oscillator::off_by(50.0).wander(0.002), 1.0),
        setting("150 ppm off", Oscillator::off_by(150.0).wander(0.002), 1.0),
        setting("swings by 2 ppm in 240 s", swing(2.0, 240), 5.0),
        setting("swings by 7 ppm in 240 s", swing(7.0, 240), 15.0),
        setting("swings by 14 ppm in 300 s", swing(14.0, 300), 29.0),
        setting("swings by 1 ppm in 2 h", swing(1.0, 7_200), 3.0),
        setting("swings by 6 ppm in 2 h", swing(6.0, 7_200), 13.0),
        Setting { event: Event::Steps, ..setting("steps by 2 ppm", calm(), 4.0) },
        on("jitter of 0.2 ms", queued(200), queued(200)),
        on("jitter of 1 ms", queued(1_000), queued(1_000)),
        on("jitter of 5 ms", queued(5_000), queued(5_000)),
        on("2 ms longer there", Link::within(us(2_050), us(2_120)), calm_link),
        moved("moved, with a VMClock", true),
        moved("moved, without", false),
    ]
}

/// The rows of this poll, as they come.
pub fn rows(by: By, hours: f64) -> impl Iterator<Item = Row> {
    settings().into_iter().map(move |world| {
        let cells = measure(&world, by, hours);
        Row { by, world, cells }
    })
}

fn measure(setting: &Setting, by: By, hours: f64) -> Vec<(Way, Cell)> {
    let ways = [Way::Default, Way::WithoutA3, Way::Estimate, Way::Ntp, Way::NtpWithoutA3, Way::Phc];
    let mut cells: Vec<(Way, Cell)> = Vec::new();
    for way in ways {
        let run = run(setting, way, by, hours);
        if way == Way::Default {
            cells.extend(
                [(Way::Kernel, run.kernel), (Way::Tracking, run.tracking)]
                    .map(|(way, widths)| (way, widths.cell())),
            );
        }
        cells.push((way, run.clock.cell()));
    }
    cells
}

/// What one run has shown.
#[derive(Default)]
struct Run {
    clock: Widths,
    kernel: Widths,
    tracking: Widths,
}

#[derive(Default)]
struct Widths {
    micros: Vec<f64>,
    misses: u64,
}

impl Widths {
    fn note(&mut self, width: Duration, holds: bool) {
        self.micros.push(width.as_secs_f64() * 1e6);
        self.misses += u64::from(!holds);
    }

    fn cell(mut self) -> Cell {
        self.micros.sort_by(f64::total_cmp);
        let count = self.micros.len();
        let at = |part: f64| {
            let i = (count as f64 * part) as usize;
            self.micros.get(i.min(count.saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        let (median, p99, largest) = (at(0.5), at(0.99), at(1.0));
        Cell { readings: count as u64, misses: self.misses, median, p99, largest }
    }
}

fn machine(setting: &Setting, way: Way, By { poll_s, wander_ppm, .. }: By) -> Machine {
    let poll = Duration::from_secs(poll_s);
    let service = TimeService {
        poll,
        link: setting.there,
        back: Some(setting.back),
        server_error: SERVER_ERROR,
        ..TimeService::default()
    };
    let machine = Machine::default()
        .oscillator(setting.oscillator.clone())
        .daemon(Daemon::ChronyEstimating)
        .time_service(service)
        .counter(CounterModel::TSC)
        .starts_off_by(0)
        .max_wander_ppm(wander_ppm)
        .poll_interval(Duration::from_millis(500));
    let machine = match setting.event {
        Event::Move { has_vmclock: true, .. } => machine.vmclock(VmClockModel::Marker),
        _ => machine,
    };
    let server = NtpServer {
        there: setting.there,
        back: setting.back,
        error: SERVER_ERROR,
        ..NtpServer::default()
    };
    let ntp = NtpService { servers: vec![server], poll };
    match way {
        Way::WithoutA3 => machine.max_wander_ppm(None),
        Way::Estimate => machine.believe_chrony_estimate(),
        Way::Ntp => machine.ntp(ntp),
        Way::NtpWithoutA3 => machine.ntp(ntp).max_wander_ppm(None),
        Way::Phc => machine
            .daemon(Daemon::None)
            .reference(Reference { width: PHC_WIDTH, adversarial: true })
            .poll_interval(Duration::from_millis(100)),
        _ => machine,
    }
}

fn run(setting: &Setting, way: Way, by: By, hours: f64) -> Run {
    let mut world = World::of_clocks(by.seed);
    let id = world.add(machine(setting, way, by));
    // Some polls at least.
    let seconds = ((hours * 3_600.0) as u64).max(4 * by.poll_s);
    let half = WARM_UP + Duration::from_secs(seconds / 2);
    match setting.event {
        Event::Nothing => {}
        Event::Steps => {
            for i in 0..seconds / 1_200 {
                let ppm = if i % 2 == 0 { -10.0 } else { -12.0 };
                world.schedule(WARM_UP + Duration::from_secs(i * 1_200), Fault::Migrate(id, ppm));
            }
        }
        Event::Move { ppm, .. } => {
            world.schedule(half, Fault::MoveVm(id, Duration::from_millis(300), ppm, 0, 3));
        }
    }
    world.run_for(WARM_UP);
    let mut run = Run::default();
    let before = world.audit_of(id).misses;
    // Not a divisor of any poll, so that every age of a sample is seen.
    let step = Duration::from_millis(997);
    for _ in 0..seconds {
        world.run_for(step);
        read(&world, id, &mut run);
    }
    // The clock itself compares its readings with the truth.
    run.clock.misses = world.audit_of(id).misses - before;
    run
}

fn read(world: &World<()>, id: NodeId, run: &mut Run) {
    if let Some(Ok(now)) = world.clock(id).map(|clock| clock.now()) {
        run.clock.note(now.width(), true);
    }
    let (Some(error_ns), Some(kernel)) = (world.wall_clock_error_ns(id), world.kernel_state(id))
    else {
        return;
    };
    let off = Duration::from_nanos(error_ns.unsigned_abs());
    let bound = Duration::from_micros(kernel.maxerror_us.unsigned_abs());
    if bound < Duration::from_secs(1) {
        run.kernel.note(2 * bound, off <= bound);
    }
    if let Some(tracking) = world.chrony_tracking(id) {
        let bound =
            tracking.root_delay_ns / 2 + tracking.root_dispersion_ns + tracking.correction_ns;
        let bound = Duration::from_nanos(bound);
        run.tracking.note(2 * bound, off <= bound);
    }
}
