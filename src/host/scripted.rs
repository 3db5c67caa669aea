//! [`ScriptedHost`]: a machine for unit tests, on which nothing happens by itself.
//!
//! Time passes only when a test says so, and by a few nanoseconds at each reading. (Whole
//! worlds of machines, with daemons and oscillators, are the business of `sim`.)

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::wall_watch::{TwoClocks, WallWatch};
use super::{
    HardwareCounter, HardwareKind, Host, HostClock, HostError, HostQuestion, KernelState,
    MARKER_WORD, ProcessKey, STA_UNSYNC, TIME_ERROR, TimeNamespace, VMCLOCK_WORDS, VmClockPage,
};

/// How long a reading takes, in ns: also the step of the counter.
const READING_NS: i64 = 10;

/// How early an unordered reading of the counter is, in ns.
const EARLY_NS: u64 = 1_000;

/// A machine that does what a test says.
pub(crate) struct ScriptedHost {
    script: Mutex<Script>,
    /// On a system without the clocks of Linux.
    watch: Option<WallWatch>,
    /// The hypervisor's page.
    vmclock: Arc<[AtomicU64; VMCLOCK_WORDS]>,
}

struct Script {
    /// The oscillator, which is true time in these tests.
    now_ns: i64,
    suspended_ns: i64,
    realtime_offset_ns: i64,
    /// By how much the wall clock that is shown is ahead of the kernel's.
    shown_ahead_ns: i64,
    denied: Vec<HostClock>,
    raw_stopped_at: Option<i64>,
    denies_adjtimex: bool,
    /// How often `adjtimex` was called.
    adjtimex_calls: u32,
    kernel: KernelState,
    has_hardware: bool,
    /// The name of the clock by which the kernel keeps time.
    clocksource: &'static str,
    /// How long a reading of the counter takes.
    tick_ns: i64,
    ticks_per_ns: i64,
    /// By how much the hardware counter is ahead of the oscillator.
    counter_ahead: i64,
    /// By how much the raw clock is.
    raw_ahead_ns: i64,
    namespace: TimeNamespace,
    process: u32,
    /// How many readings were made of clocks and of the kernel's state.
    readings: u32,
    /// The readings during which the wall clock is stepped away, and by how much.
    stepped_away: Option<(Range<u32>, i64)>,
    /// The machine is moved before the next reading of the counter, in this way.
    move_to_come: Option<(i64, i64)>,
    vmclock_load_ns: u64,
}

impl Script {
    /// By how much the wall clock is stepped away at this reading.
    fn away_ns(&self) -> i64 {
        let away = self.stepped_away.as_ref().filter(|(when, _)| when.contains(&self.readings));
        away.map_or(0, |&(_, by_ns)| by_ns)
    }
}

impl Script {
    fn new() -> Script {
        let kernel = KernelState {
            state: TIME_ERROR,
            status: STA_UNSYNC,
            maxerror_us: 16_000_000,
            esterror_us: 16_000_000,
            ..KernelState::BLANK
        };
        Script {
            now_ns: 3_600_000_000_000,
            suspended_ns: 0,
            realtime_offset_ns: 1_700_000_000_000_000_000,
            shown_ahead_ns: 0,
            denied: Vec::new(),
            raw_stopped_at: None,
            denies_adjtimex: false,
            adjtimex_calls: 0,
            kernel,
            has_hardware: true,
            clocksource: "tsc",
            tick_ns: READING_NS,
            ticks_per_ns: 1,
            counter_ahead: 0,
            raw_ahead_ns: 0,
            namespace: TimeNamespace::default(),
            process: 1,
            readings: 0,
            stepped_away: None,
            move_to_come: None,
            vmclock_load_ns: 1,
        }
    }
}

impl ScriptedHost {
    /// A machine an hour after its boot, with a hardware counter of 1 GHz, whose kernel is
    /// not synchronised.
    pub(crate) fn new() -> Arc<ScriptedHost> {
        let (script, vmclock) = (Mutex::new(Script::new()), Arc::default());
        Arc::new(ScriptedHost { script, watch: None, vmclock })
    }

    /// With a hardware counter of 2 GHz, which readers on x86-64 read by the shortest way.
    pub(crate) fn with_fast_counter() -> Arc<ScriptedHost> {
        let host = ScriptedHost::new();
        host.script.lock().ticks_per_ns = 2;
        host
    }

    /// Without a hardware counter.
    pub(crate) fn with_raw_clock_only() -> Arc<ScriptedHost> {
        let host = ScriptedHost::new();
        host.script.lock().has_hardware = false;
        host
    }

    /// A system on which std shows a wall clock and a monotonic clock, and nothing else is
    /// known. The monotonic clock stands still in a suspend.
    pub(crate) fn with_two_clocks() -> Arc<ScriptedHost> {
        let script = Mutex::new(Script { has_hardware: false, ..Script::new() });
        Arc::new(ScriptedHost { script, watch: Some(WallWatch::new()), vmclock: Arc::default() })
    }

    /// True time, in ns: the oscillator.
    pub(crate) fn truth_ns(&self) -> i64 {
        self.script.lock().now_ns
    }

    /// Time passes.
    pub(crate) fn pass(&self, ns: i64) {
        self.script.lock().now_ns += ns;
    }

    /// The machine sleeps: BOOTTIME alone shows it, or the wall clock where there is none.
    pub(crate) fn suspend(&self, ns: i64) {
        self.script.lock().suspended_ns += ns;
        if self.watch.is_some() {
            self.step(ns);
        }
    }

    /// From now on the process is shown a wall clock that is ahead of the kernel's by this, as
    /// under libfaketime.
    pub(crate) fn show_other_time(&self, ahead_ns: i64) {
        self.script.lock().shown_ahead_ns = ahead_ns;
    }

    /// The raw clock stands still from now on.
    pub(crate) fn stop_raw_clock(&self) {
        let mut script = self.script.lock();
        script.raw_stopped_at = Some(script.now_ns);
    }

    /// The raw clock shows the oscillator again.
    pub(crate) fn let_raw_clock_run(&self) {
        self.script.lock().raw_stopped_at = None;
    }

    /// From now on this clock may not be read.
    pub(crate) fn deny(&self, clock: HostClock) {
        self.script.lock().denied.push(clock);
    }

    /// From now on `adjtimex` is denied.
    pub(crate) fn deny_adjtimex(&self) {
        self.script.lock().denies_adjtimex = true;
    }

    /// How often `adjtimex` was called so far.
    pub(crate) fn adjtimex_calls(&self) -> u32 {
        self.script.lock().adjtimex_calls
    }

    /// The wall clock is stepped.
    pub(crate) fn step(&self, by_ns: i64) {
        self.script.lock().realtime_offset_ns += by_ns;
    }

    /// The wall clock is stepped away before one of the next readings, and back before a
    /// later one. In between the kernel states that it is not synchronised.
    pub(crate) fn step_away_during(&self, readings: Range<u32>, by_ns: i64) {
        let mut script = self.script.lock();
        script.readings = 0;
        script.stepped_away = Some((readings, by_ns));
    }

    /// What the kernel says of its clock from now on.
    pub(crate) fn set_kernel_state(&self, kernel: KernelState) {
        self.script.lock().kernel = kernel;
    }

    /// The hardware counter jumps ahead.
    pub(crate) fn disturb_counter(&self, ticks: u64) {
        self.script.lock().counter_ahead += ticks as i64;
    }

    /// The process is in a time namespace with these offsets from now on.
    pub(crate) fn enter_time_namespace(&self, monotonic_ns: i64, boottime_ns: i64) {
        self.script.lock().namespace = TimeNamespace { monotonic_ns, boottime_ns };
    }

    /// The process is restored from a checkpoint on another host, `later_ns` later: the
    /// counters of the other host show other numbers, and a time namespace keeps MONOTONIC and
    /// BOOTTIME where they were. The wall clock shows the time that has passed.
    pub(crate) fn restore(&self, later_ns: i64, counter_by: i64, raw_by_ns: i64) {
        let mut script = self.script.lock();
        script.now_ns += later_ns;
        script.namespace.monotonic_ns -= later_ns;
        script.namespace.boottime_ns -= later_ns;
        script.counter_ahead += counter_by - later_ns;
        script.raw_ahead_ns += raw_by_ns;
    }

    /// The VMClock of this machine.
    pub(crate) fn vmclock(&self) -> VmClockPage {
        VmClockPage::simulated(&self.vmclock)
    }

    /// The hypervisor writes a word of the VMClock.
    pub(crate) fn set_vmclock_word(&self, index: usize, word: u64) {
        self.vmclock[index].store(word, Ordering::Relaxed);
    }

    /// From now on a load of the VMClock takes so long.
    pub(crate) fn slow_vmclock(&self, load_ns: u64) {
        self.script.lock().vmclock_load_ns = load_ns;
    }

    /// The hypervisor moves the machine to another host, where it goes on `later_ns` later as if no
    /// time had passed, on a counter that shows another number.
    pub(crate) fn move_machine(&self, later_ns: i64, counter_by: i64) {
        self.restore(later_ns, counter_by, 0);
        self.step(-later_ns);
        self.vmclock[MARKER_WORD].fetch_add(1, Ordering::Relaxed);
    }

    /// The hardware counter of the host to which the machine is moved counts at this rate.
    pub(crate) fn count_per_ns(&self, ticks: i64) {
        self.script.lock().ticks_per_ns = ticks;
    }

    /// As [`move_machine`](Self::move_machine), immediately before the counter is read again.
    pub(crate) fn move_machine_before_the_next_tick(&self, later_ns: i64, counter_by: i64) {
        self.script.lock().move_to_come = Some((later_ns, counter_by));
    }

    /// The kernel keeps time by this clock from now on.
    pub(crate) fn set_clocksource(&self, name: &'static str) {
        self.script.lock().clocksource = name;
    }

    /// A reading of the counter takes so long from now on, as where the processor traps.
    pub(crate) fn slow_counter(&self, tick_ns: i64) {
        self.script.lock().tick_ns = tick_ns;
    }

    /// The process is a forked child from now on.
    pub(crate) fn fork(&self) {
        self.script.lock().process += 1;
    }

    fn ticks(&self) -> u64 {
        let to_come = self.script.lock().move_to_come.take();
        if let Some((later_ns, counter_by)) = to_come {
            self.move_machine(later_ns, counter_by);
        }
        let mut script = self.script.lock();
        script.now_ns += script.tick_ns;
        (script.now_ns * script.ticks_per_ns).wrapping_add(script.counter_ahead) as u64
    }
}

impl Host for ScriptedHost {
    fn ticks_unordered(&self) -> u64 {
        self.ticks() - EARLY_NS
    }

    fn ticks_ordered(&self) -> u64 {
        self.ticks()
    }

    fn ticks_fenced(&self) -> u64 {
        self.ticks()
    }

    fn fence(&self) {}

    fn hardware_counter(&self) -> Option<HardwareCounter> {
        self.script.lock().has_hardware.then_some(HardwareCounter {
            kind: HardwareKind::Tsc,
            is_invariant: true,
            has_cheap_order: true,
        })
    }

    fn clocksource(&self) -> Result<String, HostError> {
        Ok(self.script.lock().clocksource.to_owned())
    }

    fn nanos(&self, clock: HostClock) -> Result<i64, HostError> {
        if let Some(watch) = &self.watch {
            let nanos = watch.nanos(clock, self, self.process());
            return nanos.ok_or(HostError::unsupported(HostQuestion::Clock(clock)));
        }
        let mut script = self.script.lock();
        if script.denied.contains(&clock) {
            return Err(HostError::new(HostQuestion::Clock(clock), 1));
        }
        script.now_ns += READING_NS;
        let now = script.now_ns;
        let wall_ns = now + script.realtime_offset_ns + script.away_ns();
        script.readings += 1;
        Ok(match clock {
            HostClock::Realtime => wall_ns + script.shown_ahead_ns,
            HostClock::RealtimeCoarse => wall_ns / 4_000_000 * 4_000_000,
            HostClock::Monotonic => now + script.namespace.monotonic_ns,
            HostClock::MonotonicRaw => {
                script.raw_stopped_at.unwrap_or(now)
                    + script.raw_ahead_ns
                    + script.namespace.monotonic_ns
            }
            HostClock::Boottime => now + script.suspended_ns + script.namespace.boottime_ns,
        })
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        if self.watch.is_some() {
            return Err(HostError::unsupported(HostQuestion::Adjtimex));
        }
        let mut script = self.script.lock();
        script.adjtimex_calls += 1;
        if script.denies_adjtimex {
            return Err(HostError::new(HostQuestion::Adjtimex, 1));
        }
        let away_ns = script.away_ns();
        script.readings += 1;
        let unix_ns = script.now_ns + script.realtime_offset_ns + away_ns;
        let kernel = KernelState { unix_ns, ..script.kernel };
        Ok(match away_ns {
            0 => kernel,
            _ => KernelState { state: TIME_ERROR, status: kernel.status | STA_UNSYNC, ..kernel },
        })
    }

    fn time_namespace(&self) -> TimeNamespace {
        self.script.lock().namespace
    }

    fn vmclock_load_ns(&self, _: &VmClockPage) -> Result<u64, HostError> {
        Ok(self.script.lock().vmclock_load_ns)
    }

    fn process(&self) -> ProcessKey {
        ProcessKey::simulated(self.script.lock().process)
    }

    fn sleep(&self, time: Duration) {
        self.pass(i64::try_from(time.as_nanos()).expect("not that long"));
    }
}

impl TwoClocks for ScriptedHost {
    fn wall_ns(&self) -> i64 {
        self.monotonic_ns() + self.script.lock().realtime_offset_ns
    }

    fn monotonic_ns(&self) -> i64 {
        let mut script = self.script.lock();
        script.now_ns += READING_NS;
        script.now_ns
    }
}
