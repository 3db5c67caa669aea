//! [`System`] on macOS, the BSDs and Windows, by the standard library alone.
//!
//! There a wall clock and a monotonic clock can be read, and nothing states how far off
//! the wall clock is. So a clock on such a system needs a source of its own or the
//! operator's statement (`assume_error`). A step of the wall clock, or a suspend in
//! which the monotonic clock stood still, shows in the difference of the two.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::kernel_state::KernelState;
use super::{HardwareCounter, Host, HostClock, HostError, HostQuestion};

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
        let nanos = match clock {
            HostClock::Realtime => wall_clock_ns(),
            HostClock::Monotonic | HostClock::MonotonicRaw => monotonic_ns(),
            HostClock::RealtimeCoarse | HostClock::Boottime => {
                return Err(HostError::unsupported(HostQuestion::Clock(clock)));
            }
        };
        Ok(nanos)
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        Err(HostError::unsupported(HostQuestion::Adjtimex))
    }

    fn process_id(&self) -> u32 {
        std::process::id()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl System {
    /// Reading a clock kills no thread on these systems.
    pub(crate) fn counter_is_allowed() -> bool {
        true
    }
}

fn wall_clock_ns() -> i64 {
    let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => nanos(before.duration()).saturating_neg(),
    }
}

/// Nanoseconds since an hour before the first call: an [`Instant`] shows only differences,
/// and a counter at 0 would be taken for one that cannot be read.
fn monotonic_ns() -> i64 {
    const HEAD_START_NS: i64 = 3_600_000_000_000;
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let since = BEGAN.get_or_init(Instant::now).elapsed().as_nanos();
    i64::try_from(since).unwrap_or(i64::MAX).saturating_add(HEAD_START_NS)
}
