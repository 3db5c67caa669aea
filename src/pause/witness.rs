//! [`Witness`]: what the operating system shows to one thread about itself.
//!
//! Everything here is a reading; what readings mean is in `judge`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

/// How long between two looks at the real-time clock chip: a look costs tens of
/// microseconds where it is a real chip, and an exit to the hypervisor elsewhere.
const RTC_PERIOD: Duration = Duration::from_secs(1);

/// Readings that took no longer than this were taken together.
const TOGETHER: Duration = Duration::from_millis(1);

/// Which witnesses this host offers to a pause monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Witnesses {
    /// `/proc/thread-self/schedstat`: tells a scheduler's stall from other causes.
    pub run_queue: bool,
    /// `getrusage` of a thread: tells a stopped process from a late timer.
    pub switches: bool,
    /// `CLOCK_BOOTTIME`: shows a suspend.
    pub boot_time: bool,
    /// `/sys/class/rtc/rtc0/since_epoch`: shows the stop of a virtual machine.
    /// Without it nothing does.
    pub real_time_clock: bool,
}

/// All that one look shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) slept: Option<Slept>,
    /// How long the thread has waited in the run queue, ever.
    pub(super) queued: Option<Duration>,
    /// How often the thread has gone to sleep, ever.
    pub(super) switches: Option<u64>,
    pub(super) rtc: Option<RtcLook>,
}

/// How long the machine has been suspended since boot: between the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slept {
    pub(super) at_least: Duration,
    pub(super) at_most: Duration,
}

/// The chip's clock beside the two that it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RtcLook {
    /// The chip: whole seconds since 1970, rounded down.
    pub(super) chip: i64,
    /// The wall clock: whole seconds since 1970, rounded down.
    pub(super) wall: i64,
    /// The time since boot, suspends included.
    pub(super) boot: Duration,
}

/// The files and the habits of one thread's looking.
pub(super) struct Witness {
    run_queue: Option<File>,
    rtc: Option<File>,
    last_rtc: Option<(Instant, RtcLook)>,
}

impl Witness {
    /// For the calling thread, and to be used in it.
    pub(super) fn of_this_thread() -> Witness {
        let run_queue = open_run_queue();
        let rtc = File::open("/sys/class/rtc/rtc0/since_epoch").ok();
        Witness { run_queue, rtc, last_rtc: None }
    }

    /// A look whose readings belong together: if the thread was stopped in the
    /// middle of it, it looks again, or the mark would be missed on one side.
    pub(super) fn look(&mut self) -> Look {
        let mut began = Instant::now();
        let mut look = self.glance();
        for _ in 0..3 {
            if look.at.saturating_duration_since(began) < TOGETHER {
                break;
            }
            began = Instant::now();
            look = self.glance();
        }
        look
    }

    fn glance(&mut self) -> Look {
        let slept = slept();
        let queued = self.run_queue.as_ref().and_then(queued);
        let switches = switches();
        let rtc = self.look_at_rtc();
        Look { at: Instant::now(), slept, queued, switches, rtc }
    }

    /// A look at the chip that is not older than [`RTC_PERIOD`].
    fn look_at_rtc(&mut self) -> Option<RtcLook> {
        let file = self.rtc.as_ref()?;
        let now = Instant::now();
        if let Some((taken, look)) = self.last_rtc {
            if now.saturating_duration_since(taken) < RTC_PERIOD {
                return Some(look);
            }
        }
        let mut text = [0; 32];
        let look = RtcLook {
            chip: first_number(file, &mut text)?,
            wall: clock_gettime(ClockId::CLOCK_REALTIME).ok()?.tv_sec(),
            boot: read(ClockId::CLOCK_BOOTTIME)?,
        };
        self.last_rtc = Some((now, look));
        Some(look)
    }

    pub(super) fn offers(&mut self) -> Witnesses {
        let Look { slept, queued, switches, rtc, .. } = self.look();
        Witnesses {
            run_queue: queued.is_some(),
            switches: switches.is_some(),
            boot_time: slept.is_some(),
            real_time_clock: rtc.is_some(),
        }
    }
}

fn read(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().map(Duration::from)
}

/// `CLOCK_BOOTTIME - CLOCK_MONOTONIC`, between two looks at the second.
pub(super) fn slept() -> Option<Slept> {
    let before = read(ClockId::CLOCK_MONOTONIC)?;
    let boot = read(ClockId::CLOCK_BOOTTIME)?;
    let after = read(ClockId::CLOCK_MONOTONIC)?;
    Some(Slept { at_least: boot.saturating_sub(after), at_most: boot.saturating_sub(before) })
}

/// The calling thread's line in `/proc`: the file goes on showing that thread.
pub(super) fn open_run_queue() -> Option<File> {
    File::open("/proc/thread-self/schedstat").ok()
}

/// How long the file's thread has waited in the run queue.
///
/// The line is "on the processor, in the queue, turns", in nanoseconds. A kernel
/// that does not keep account shows zeros, which is no witness.
pub(super) fn queued(run_queue: &File) -> Option<Duration> {
    let mut text = [0; 96];
    let length = run_queue.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let turns = numbers.next()?.ok()?;
    (ran > 0 || turns > 0).then_some(Duration::from_nanos(waited))
}

fn switches() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    u64::try_from(usage.voluntary_context_switches()).ok()
}

fn first_number(file: &File, text: &mut [u8]) -> Option<i64> {
    let length = file.read_at(text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}
