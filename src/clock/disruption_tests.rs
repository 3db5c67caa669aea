//! A machine that its hypervisor moves to another host, or restores from a snapshot.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::clock::rig::{Honest, check, evidence, parts, utc};
use crate::clock::vmclock::MarkerCheck;
use crate::evidence::{Sample, Source, SourceError};
use crate::host::scripted::ScriptedHost;
use crate::host::{KernelState, STA_NANO, TIME_OK, VmClockPage};
use crate::source::assume::Assumed;
use crate::source::daemons::HostDaemons;
use crate::source::kernel::Kernel;

const SECOND: i64 = 1_000_000_000;

const DISRUPTED: ClockError = ClockError::Disrupted;

/// How the counter of the other host differs from what it would have shown, in ticks: not at all,
/// and far either way.
const OTHER_COUNTERS: [i64; 3] = [0, 1_000_000_000_000, -1_000_000_000_000];

/// An honest source that says when it was told of a move.
struct Told(Honest, Arc<AtomicBool>);

impl Source for Told {
    fn name(&self) -> &str {
        // Sources that are made anew replace those with the same name.
        self.0.name()
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        self.0.sample(counter)
    }

    fn disrupted(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

fn honest(host: &Arc<ScriptedHost>) -> SourceKind {
    evidence(Honest(host.clone()))
}

/// A core with these sources on a machine with a VMClock.
fn core(host: &Arc<ScriptedHost>, sources: Vec<SourceKind>) -> ClockCore<Arc<ScriptedHost>> {
    let vmclock = VmClockSetup::new(Path::new("/dev/vmclock0"), Ok(host.vmclock()));
    let parts = Parts { vmclock, ..parts(sources) };
    ClockCore::new(host.clone(), parts).expect("Auto never fails")
}

fn hosts() -> [Arc<ScriptedHost>; 3] {
    [ScriptedHost::new(), ScriptedHost::with_fast_counter(), ScriptedHost::with_raw_clock_only()]
}

#[test]
fn a_machine_that_was_moved_has_no_reading_until_it_is_sampled_again() {
    for host in hosts() {
        for counter_by in OTHER_COUNTERS {
            let core = core(&host, vec![honest(&host)]);
            core.round();
            check(&core, &host);
            let epoch = core.epoch();
            host.move_machine(30 * SECOND, counter_by);
            let t = Timestamp::from_tai_nanos(host.truth_ns());
            assert_eq!(core.now(), Err(DISRUPTED));
            assert_eq!(core.earliest(), Err(DISRUPTED));
            assert_eq!(core.after(t), Err(DISRUPTED));
            assert_eq!(core.before(t), Err(DISRUPTED));
            assert_eq!(core.status(), Status::Unsynchronized(Reason::Disrupted));
            assert!(core.round());
            check(&core, &host);
            assert_eq!(core.status(), Status::Synchronized);
            assert_ne!(core.epoch(), epoch);
            let report = core.report().vmclock;
            assert_eq!((report.disruptions, report.checked), (1, MarkerCheck::InReadings));
            // The counters of the next turn begin where this one's left off.
            host.move_machine(0, -counter_by);
        }
    }
}

/// One of the four ways to read a clock.
type Reading = fn(&ClockCore<Arc<ScriptedHost>>) -> Option<ClockError>;

#[test]
fn a_machine_that_is_moved_during_a_reading_gives_none() {
    let readings: [Reading; 4] = [
        |core| core.now().err(),
        |core| core.earliest().err(),
        |core| core.after(Timestamp::MIN).err(),
        |core| core.before(Timestamp::MAX).err(),
    ];
    for host in [ScriptedHost::new(), ScriptedHost::with_fast_counter()] {
        for reading in readings {
            let core = core(&host, vec![honest(&host)]);
            core.round();
            host.pass(100_000);
            assert_eq!(reading(&core), None);
            // The snapshot has been read then, and the counter is the other host's.
            host.move_machine_before_the_next_tick(2 * SECOND, 0);
            assert_eq!(reading(&core), Some(DISRUPTED));
        }
    }
}

#[test]
fn a_page_that_is_slow_to_read_is_left_to_the_sampler() {
    for (load_ns, in_readings) in [(0, true), (20, true), (21, false), (400, false)] {
        let host = ScriptedHost::with_fast_counter();
        host.slow_vmclock(load_ns);
        let core = core(&host, vec![honest(&host)]);
        core.round();
        let epoch = core.epoch();
        host.move_machine(30 * SECOND, 0);
        assert_eq!(core.now().is_err(), in_readings, "{load_ns} ns");
        core.round();
        check(&core, &host);
        assert_ne!(core.epoch(), epoch);
        let report = core.report().vmclock;
        let checked = if in_readings { MarkerCheck::InReadings } else { MarkerCheck::BySampler };
        assert_eq!((report.checked, report.load_ns), (checked, Some(load_ns)));
        assert_eq!((report.disruptions, report.marker), (1, Some(1)));
    }
}

/// A source that takes its sample, and then its machine is moved.
struct Moved(Honest, Vec<(i64, i64)>);

impl Source for Moved {
    fn name(&self) -> &str {
        "moved"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let sample = self.0.sample(counter)?;
        if let Some((later_ns, counter_by)) = self.1.pop() {
            self.0.0.move_machine(later_ns, counter_by);
        }
        Ok(sample)
    }
}

#[test]
fn a_sample_during_which_the_machine_was_moved_is_dropped() {
    for host in hosts() {
        let honest = Honest(host.clone());
        let moves = vec![(7 * SECOND, 0), (30 * SECOND, 5_000_000_000)];
        let moved = evidence(Moved(honest, moves));
        let core = core(&host, vec![moved]);
        assert!(core.round(), "twice in one round, and then it is right");
        check(&core, &host);
        assert_eq!(core.report().vmclock.disruptions, 2);
        assert_eq!(core.report().sources[0].samples, 1);
    }
}

#[test]
fn a_machine_that_is_moved_all_the_time_has_no_reading_and_blocks_no_sampler() {
    let host = ScriptedHost::new();
    let honest = Honest(host.clone());
    let moved = Moved(honest, vec![(SECOND, 0); 4]);
    let core = core(&host, vec![evidence(moved)]);
    assert!(core.round());
    assert_eq!(core.now(), Err(DISRUPTED));
    assert!(core.round());
    check(&core, &host);
}

#[test]
fn the_counter_of_the_other_host_is_measured_anew() {
    let host = ScriptedHost::new();
    let core = core(&host, vec![honest(&host)]);
    core.round();
    let hertz = |core: &ClockCore<Arc<ScriptedHost>>| core.report().counter.hertz;
    assert!((hertz(&core) - 1e9).abs() < 1e6);
    host.count_per_ns(2);
    host.move_machine(SECOND, 0);
    core.round();
    let report = core.report().counter;
    assert_eq!((report.kind, report.why_not_hardware), (CounterKind::Tsc, None));
    assert!((report.hertz - 2e9).abs() < 2e6, "{} Hz", report.hertz);
    host.pass(SECOND);
    check(&core, &host);
}

#[test]
fn each_source_is_told_and_one_that_panics_does_no_harm() {
    struct Panics(Honest);
    impl Source for Panics {
        fn name(&self) -> &str {
            "panics"
        }

        fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
            self.0.sample(counter)
        }

        fn disrupted(&mut self) {
            panic!("for the test");
        }
    }
    let host = ScriptedHost::new();
    let told = Arc::new(AtomicBool::new(false));
    let sources = vec![
        evidence(Panics(Honest(host.clone()))),
        evidence(Told(Honest(host.clone()), told.clone())),
    ];
    let core = core(&host, sources);
    core.round();
    assert!(!told.load(Ordering::Relaxed));
    core.restored();
    assert!(!told.load(Ordering::Relaxed), "the host's daemons were not restored");
    host.move_machine(SECOND, 0);
    core.round();
    assert!(told.load(Ordering::Relaxed));
    check(&core, &host);
}

#[test]
fn a_move_ends_the_operators_statement() {
    let host = ScriptedHost::new();
    let wall_clock = utc();
    let assumed = Assumed::new(Duration::from_millis(1), wall_clock);
    let core = core(&host, vec![SourceKind::Operator(Box::new(assumed))]);
    core.round();
    assert_eq!(core.status(), Status::Assumed);
    host.move_machine(SECOND, 0);
    core.round();
    assert_eq!(core.status(), Status::Unsynchronized(Reason::AssumptionEnded));
    assert!(core.report().sources[0].to_string().contains("the hypervisor moved this machine"));
    core.reassume();
    assert_eq!(core.status(), Status::Assumed);
}

#[test]
fn a_daemon_that_was_moved_with_its_machine_is_believed_after_several_updates() {
    let host = ScriptedHost::new();
    let write = |maxerror_us| {
        let kernel = KernelState {
            state: TIME_OK,
            status: STA_NANO,
            maxerror_us,
            esterror_us: 10,
            offset_ns: 0,
            adjtime_ns: 0,
            rate_ppb: 0,
            constant: 0,
            tai: 37,
            unix_ns: 0,
        };
        host.set_kernel_state(kernel);
    };
    let wall_clock = utc();
    let kernel = Kernel::of(wall_clock, Box::new(HostDaemons::default())).believing_any_writer();
    let core = core(&host, vec![evidence(kernel)]);
    write(1_234);
    core.round();
    let before = core.now().expect("it is believed");
    host.move_machine(30 * SECOND, 0);
    core.round();
    // The wall clock is 30 s behind now, and the daemon does not know it.
    assert_eq!(core.now(), Err(DISRUPTED));
    assert!(core.report().sources[0].to_string().contains("0 of the 16 updates"));
    for update in 1..=16 {
        assert_eq!(core.now(), Err(DISRUPTED), "after {} updates", update - 1);
        assert_eq!(core.status(), Status::Unsynchronized(Reason::Disrupted));
        host.pass(SECOND);
        write(1_234 + update);
        core.round();
    }
    assert!(core.now().expect("the daemon knows by now").definitely_after(&before));
}

#[test]
fn a_forked_child_reads_the_same_marker() {
    for is_lost in [false, true] {
        let host = ScriptedHost::with_fast_counter();
        let mut core = core(&host, vec![honest(&host)]);
        let truth = host.clone();
        core.make_sources = Box::new(move || vec![honest(&truth)]);
        core.round();
        if is_lost {
            core.process().lose_driver();
        }
        host.fork();
        check(&core, &host);
        host.move_machine(30 * SECOND, 0);
        assert_eq!(core.now(), Err(DISRUPTED), "nothing of the parent is used");
        core.round();
        check(&core, &host);
    }
}

#[test]
fn sources_that_are_made_after_a_move_do_not_believe_a_daemon_that_was_moved() {
    type Act = fn(&ClockCore<Arc<ScriptedHost>>, &ScriptedHost);
    let acts: [Act; 2] = [
        |core, _| core.restored(),
        |core, host| {
            core.process().lose_driver();
            host.fork();
            core.round();
        },
    ];
    for act in acts {
        let host = ScriptedHost::new();
        let told = Arc::new(AtomicBool::new(false));
        let mut core = core(&host, vec![honest(&host)]);
        let (truth, of_new) = (host.clone(), told.clone());
        core.make_sources =
            Box::new(move || vec![evidence(Told(Honest(truth.clone()), of_new.clone()))]);
        core.round();
        host.move_machine(SECOND, 0);
        core.round();
        told.store(false, Ordering::Relaxed);
        act(&core, &host);
        assert!(told.load(Ordering::Relaxed), "what its daemon knows is not known to it");
        check(&core, &host);
    }
}

#[test]
fn a_restored_process_on_a_machine_that_was_not_moved_is_no_disruption() {
    let host = ScriptedHost::new();
    let core = core(&host, vec![honest(&host)]);
    core.round();
    host.restore(30 * SECOND, 77, 0);
    core.restored();
    check(&core, &host);
    assert_eq!(core.report().vmclock.disruptions, 0);
}

#[test]
fn without_a_vmclock_nothing_is_compared_and_the_report_says_why() {
    let host = ScriptedHost::new();
    let path = Path::new("/nonexistent/vmclock0");
    let mut core = core(&host, vec![honest(&host)]);
    core.vmclock = VmClockSetup::new(path, VmClockPage::open(path));
    let report = core.report().vmclock;
    assert_eq!((report.checked, report.marker, report.has_time), (MarkerCheck::Never, None, false));
    let unused = report.unused.expect("it is not there");
    assert!(unused.contains("/nonexistent/vmclock0"), "{unused}");
    let told_to = VmClockSetup::default().report(0);
    assert_eq!((told_to.path, told_to.unused), (None, None));
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn a_reader_that_finds_a_disruption_wakes_the_sampler() {
    use crate::clock::thread::ThreadHandle;
    use crate::host::System;

    let words = Arc::new(std::array::from_fn(|_| std::sync::atomic::AtomicU64::new(1)));
    let page = VmClockPage::simulated(&words);
    let parts = Parts {
        limits: Limits { poll_interval: Duration::from_secs(3_600), ..Limits::default() },
        kind: CounterKind::MonotonicRaw,
        vmclock: VmClockSetup::new(Path::new("/dev/vmclock0"), Ok(page)),
        ..parts(Vec::new())
    };
    let mut core = ClockCore::new(System, parts).expect("the raw clock can always be had");
    // However busy this machine is, a load in a loop was fast once.
    core.published = Published::new(core.published.read().1, core.vmclock.page(), true);
    let core = Arc::new(core);
    let _thread = ThreadHandle::start(core.clone(), Duration::from_secs(20)).expect("started");
    let rounds = || core.report().sampler.rounds;
    let wait_for = |count: u64| {
        let began = std::time::Instant::now();
        while rounds() < count {
            assert!(began.elapsed() < Duration::from_secs(60), "no round {count}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait_for(1);
    let steps = core.report().sampler.steps;
    words[crate::host::MARKER_WORD].store(2, Ordering::Relaxed);
    assert_eq!(core.now(), Err(DISRUPTED));
    wait_for(2);
    assert_eq!(core.report().vmclock.disruptions, 1);
    assert_eq!(core.report().sampler.steps, steps, "it was no step");
}
