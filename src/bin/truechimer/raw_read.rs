//! [`RawRead`]: the bare ways to read a clock, for measuring what they cost.
//!
//! What a reading costs differs by a factor of a hundred between hosts: a
//! clocksource that needs a system call, a hypervisor that traps the counter.
//! So it is measured where it matters, on the host in question, against the
//! same instructions and calls that everything else is built from. They are
//! timed in here, since making the counter's instructions public would hand out
//! readings that nobody has checked.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::sys;

/// A way to read a clock that works on this host, and can be timed.
///
/// ```
/// use truechimer::clock::raw_read::RawRead;
///
/// for way in RawRead::all() {
///     println!("{way}: {:?} a read", way.time(1000) / 1000);
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawRead {
    name: &'static str,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Kernel(ClockId),
    Unordered,
    Ordered,
    Fenced,
    Adjtimex,
}

/// Every clock that Linux numbers, by the name in its headers. 10 was SGI_CYCLE, and is no more.
const KERNEL_CLOCKS: [(i32, &str); 19] = [
    (0, "CLOCK_REALTIME"),
    (1, "CLOCK_MONOTONIC"),
    (2, "CLOCK_PROCESS_CPUTIME_ID"),
    (3, "CLOCK_THREAD_CPUTIME_ID"),
    (4, "CLOCK_MONOTONIC_RAW"),
    (5, "CLOCK_REALTIME_COARSE"),
    (6, "CLOCK_MONOTONIC_COARSE"),
    (7, "CLOCK_BOOTTIME"),
    (8, "CLOCK_REALTIME_ALARM"),
    (9, "CLOCK_BOOTTIME_ALARM"),
    (11, "CLOCK_TAI"),
    (16, "CLOCK_AUX0"),
    (17, "CLOCK_AUX1"),
    (18, "CLOCK_AUX2"),
    (19, "CLOCK_AUX3"),
    (20, "CLOCK_AUX4"),
    (21, "CLOCK_AUX5"),
    (22, "CLOCK_AUX6"),
    (23, "CLOCK_AUX7"),
];

impl RawRead {
    /// All that work on this host and in this thread; none where it may read no
    /// clock at all (PR_TSC_SIGSEGV).
    pub fn all() -> Vec<RawRead> {
        if !sys::counter_is_allowed() {
            return Vec::new();
        }
        let kernel = KERNEL_CLOCKS
            .iter()
            .map(|&(id, name)| RawRead { name, way: Way::Kernel(ClockId::from_raw(id)) });
        let adjtimex = RawRead { name: "adjtimex", way: Way::Adjtimex };
        kernel.chain(instructions()).chain([adjtimex]).filter(RawRead::works).collect()
    }

    fn works(&self) -> bool {
        match self.way {
            Way::Kernel(clock) => nix::time::clock_gettime(clock).is_ok(),
            Way::Adjtimex => sys::adjtimex().is_ok(),
            Way::Unordered | Way::Ordered | Way::Fenced => true,
        }
    }

    /// The kernel's name of the clock, or the instructions.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How long `reads` readings take, one after the other, in this thread.
    pub fn time(&self, reads: u32) -> Duration {
        match self.way {
            Way::Kernel(clock) => time_of(reads, || sys::nanos(clock)),
            Way::Unordered => time_of(reads, sys::hardware::ticks_unordered),
            Way::Ordered => time_of(reads, sys::hardware::ticks_ordered),
            Way::Fenced => time_of(reads, sys::hardware::ticks_fenced),
            Way::Adjtimex => time_of(reads, || sys::adjtimex().is_ok()),
        }
    }
}

/// The instructions that read this processor's counter.
fn instructions() -> Vec<RawRead> {
    #[cfg(target_arch = "x86_64")]
    {
        let mut all = vec![
            RawRead { name: "rdtsc", way: Way::Unordered },
            RawRead { name: "lfence; rdtsc", way: Way::Fenced },
        ];
        if sys::hardware::traits().has_rdtscp {
            all.insert(1, RawRead { name: "rdtscp", way: Way::Ordered });
        }
        all
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec![
            RawRead { name: "mrs cntvct_el0", way: Way::Unordered },
            RawRead { name: "isb; mrs cntvct_el0", way: Way::Fenced },
            RawRead { name: "dsb ishld; isb; mrs cntvct_el0", way: Way::Ordered },
        ]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    Vec::new()
}

impl fmt::Display for RawRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// How long `reads` calls of `read` take, with the loop that [`RawRead::time`]
/// uses: so that what is compared differs in nothing else.
#[inline]
pub fn time_of<T>(reads: u32, mut read: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..reads {
        black_box(read());
    }
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_that_is_named_works_and_takes_time() {
        let all = RawRead::all();
        let names: Vec<_> = all.iter().map(RawRead::name).collect();
        for needed in ["CLOCK_REALTIME", "CLOCK_MONOTONIC_RAW", "CLOCK_TAI"] {
            assert!(names.contains(&needed), "{names:?}");
        }
        if cfg!(target_arch = "x86_64") {
            assert!(names.contains(&"rdtsc"), "{names:?}");
        }
        if cfg!(target_arch = "aarch64") {
            assert!(names.contains(&"mrs cntvct_el0"), "{names:?}");
        }
        for way in all {
            assert!(way.time(10_000) > Duration::ZERO, "{way}");
        }
    }

    #[test]
    fn a_clock_that_does_not_exist_is_not_named() {
        let nobody = RawRead { name: "nobody", way: Way::Kernel(ClockId::from_raw(1000)) };
        assert!(!nobody.works());
    }
}
