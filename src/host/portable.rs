//! [`System`] on macOS, the BSDs and Windows, by the standard library alone.
//!
//! There a wall clock and a monotonic clock can be read, and nothing states how far off
//! the wall clock is. So a clock on such a system needs a source of its own or the
//! operator's statement (`assume_error`). [`WallWatch`] makes the clocks that show steps
//! and suspends from these two.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::kernel_state::KernelState;
use super::wall_watch::{TwoClocks, WallWatch};
use super::{HardwareCounter, Host, HostClock, HostError, HostQuestion, ProcessKey};

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Host for System {
    fn ticks_unordered(&self) -> u64 {
        0
    }

    fn ticks_ordered(&self) -> u64 {
        0
    }

    fn ticks_fenced(&self) -> u64 {
        0
    }

    fn fence(&self) {}

    /// None: these kernels do not tell whether they trust a counter themselves.
    fn hardware_counter(&self) -> Option<HardwareCounter> {
        None
    }

    fn clocksource(&self) -> Result<String, HostError> {
        Err(HostError::unsupported(HostQuestion::Clocksource))
    }

    fn nanos(&self, clock: HostClock) -> Result<i64, HostError> {
        static WATCH: WallWatch = WallWatch::new();
        let nanos = WATCH.nanos(clock, self, ProcessKey::current());
        nanos.ok_or(HostError::unsupported(HostQuestion::Clock(clock)))
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        Err(HostError::unsupported(HostQuestion::Adjtimex))
    }

    fn process(&self) -> ProcessKey {
        ProcessKey::current()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl System {
    /// Reading a clock kills no thread on these systems.
    pub(crate) fn counter_is_allowed() -> bool {
        true
    }
}

impl TwoClocks for System {
    fn wall_ns(&self) -> i64 {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => nanos(before.duration()).saturating_neg(),
        }
    }

    /// Nanoseconds since an hour before the first call: an [`Instant`] shows only
    /// differences, and a counter at 0 would be taken for one that cannot be read.
    fn monotonic_ns(&self) -> i64 {
        const HEAD_START_NS: i64 = 3_600_000_000_000;
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let since = BEGAN.get_or_init(Instant::now).elapsed().as_nanos();
        i64::try_from(since).unwrap_or(i64::MAX).saturating_add(HEAD_START_NS)
    }
}
