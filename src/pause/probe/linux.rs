//! The traces of a pause on Linux and Android: files of `/proc` and `/sys`, and clocks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

#[cfg(target_os = "linux")]
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

use crate::pause::observation::{RtcReading, SuspendedTime};

fn read(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().map(Duration::from)
}

/// `CLOCK_BOOTTIME - CLOCK_MONOTONIC`. The second is read before and after the first.
pub(in crate::pause) fn suspended_time() -> Option<SuspendedTime> {
    let before = read(ClockId::CLOCK_MONOTONIC)?;
    let boot = read(ClockId::CLOCK_BOOTTIME)?;
    let after = read(ClockId::CLOCK_MONOTONIC)?;
    Some(SuspendedTime {
        at_least: boot.saturating_sub(after),
        at_most: boot.saturating_sub(before),
    })
}

/// The calling thread's line in `/proc`. The file keeps showing that thread.
pub(in crate::pause) fn open_run_queue() -> Option<File> {
    File::open("/proc/thread-self/schedstat").ok()
}

/// How long the file's thread has waited in the run queue.
///
/// The line is "on the processor, in the queue, turns", in nanoseconds. A kernel without
/// this accounting shows zeros, and then the result is `None`.
pub(in crate::pause) fn queued(run_queue: &File) -> Option<Duration> {
    let mut text = [0; 96];
    let length = run_queue.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let turns = numbers.next()?.ok()?;
    (ran > 0 || turns > 0).then_some(Duration::from_nanos(waited))
}

/// How often the calling thread has gone to sleep since it began.
#[cfg(target_os = "linux")]
pub(super) fn switches() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    u64::try_from(usage.voluntary_context_switches()).ok()
}

/// nix does not count for a thread on Android.
#[cfg(not(target_os = "linux"))]
pub(super) fn switches() -> Option<u64> {
    None
}

/// The real-time clock chip, if there is one that this process may read.
pub(super) fn open_rtc() -> Option<File> {
    File::open("/sys/class/rtc/rtc0/since_epoch").ok()
}

/// The chip's clock, and the two clocks that it is compared with.
pub(super) fn read_rtc(rtc: &File) -> Option<RtcReading> {
    let chip = first_number(rtc)?;
    // A `time_t` has 32 bits on some systems.
    #[allow(clippy::useless_conversion, reason = "see above")]
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).ok()?.tv_sec().into();
    Some(RtcReading { chip, wall, boot: read(ClockId::CLOCK_BOOTTIME)? })
}

fn first_number(file: &File) -> Option<i64> {
    let mut text = [0; 32];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}
