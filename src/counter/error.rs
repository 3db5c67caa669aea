//! [`CounterError`]: why a counter may not be used.

use super::CounterKind;
use crate::host::HostError;

/// Why a counter may not be trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// This machine has no such counter, or this thread may not read it.
    #[error("this processor has no {0}: use `CounterKind::Auto` or `MonotonicRaw`")]
    Absent(CounterKind),
    /// The processor does not say that its counter runs at one rate in all states.
    #[error(
        "the processor does not promise an invariant TSC and rdtscp (CPUID 0x80000007, 0x80000001)"
    )]
    NotInvariant,
    /// The kernel keeps time by another clocksource.
    #[error(
        "the kernel keeps time by the clocksource `{current}` and not by `{wanted}`: it may have \
         found the counter unstable (see `dmesg`)"
    )]
    Clocksource {
        /// What /sys/devices/system/clocksource/clocksource0/current_clocksource says.
        current: String,
        /// What it says where the kernel uses this counter.
        wanted: &'static str,
    },
    /// A clock or a file that the judgement needs cannot be read.
    #[error("whether it may be trusted is not known, because {0}")]
    Host(#[from] HostError),
    /// Reading it is so slow that it must be emulated.
    #[error("a read takes {nanos} ns, more than {limit} ns: it is trapped and emulated")]
    Slow {
        /// The fastest of several reads, in nanoseconds.
        nanos: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// It stood still or ran backwards between two readings.
    #[error("it ran backwards or stood still")]
    Backwards,
    /// `CLOCK_MONOTONIC_RAW` itself does not move, so there is nothing to count by.
    #[error(
        "CLOCK_MONOTONIC_RAW stands still while CLOCK_MONOTONIC runs: look for what answers \
         clock_gettime in the kernel's place"
    )]
    RawClockStopped,
    /// Its rate against `CLOCK_MONOTONIC_RAW` is not what it was.
    #[error("its rate against CLOCK_MONOTONIC_RAW has changed")]
    RateChanged,
}
